//! A stand-in for what the gateway asks: an HTTP server that says what it is told to, and remembers
//! what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::support::PATIENCE;

/// How it answers.
#[derive(Clone)]
pub enum Say {
    /// This status, these headers, this body.
    This(u16, Vec<(&'static str, String)>, String),
    /// Nothing, ever.
    Nothing,
    /// A byte of this now and then.
    Drip(&'static str),
}

impl Say {
    pub fn json(value: Value) -> Self {
        Self::This(200, Vec::new(), value.to_string())
    }

    pub fn status(status: u16) -> Self {
        Self::This(status, Vec::new(), String::new())
    }
}

/// What it was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

type Answering = Box<dyn Fn(&Asked) -> Say + Send>;

struct Shared {
    say: Mutex<Answering>,
    asked: Mutex<Vec<Asked>>,
}

/// The server; it ends when this is dropped.
pub struct Application {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Application {
    pub async fn start(say: impl Fn(&Asked) -> Say + Send + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Mutex::default();
        let shared = Arc::new(Shared { say: Mutex::new(Box::new(say)), asked });
        let app = Router::new().fallback(answer).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, shared, task }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn says(&self, say: impl Fn(&Asked) -> Say + Send + 'static) {
        *self.shared.say.lock().unwrap() = Box::new(say);
    }

    /// What it was asked at this path so far.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let asked = self.shared.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.path == path).cloned().collect()
    }

    /// Waits until it was asked so often.
    pub async fn until_asked(&self, path: &str, times: usize) -> Vec<Asked> {
        let began = Instant::now();
        loop {
            let asked = self.asked(path);
            if asked.len() >= times {
                return asked;
            }
            assert!(began.elapsed() < PATIENCE, "{path} was asked {} times", asked.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 16 << 20).await.unwrap().to_vec();
    let asked = Asked { path: parts.uri.path().to_owned(), headers: parts.headers, body };
    let say = (shared.say.lock().unwrap())(&asked);
    shared.asked.lock().unwrap().push(asked);
    match say {
        Say::This(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Body::from(body)).unwrap()
        }
        Say::Nothing => std::future::pending().await,
        Say::Drip(text) => {
            let bytes = futures_util::stream::unfold(0, move |at| async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let byte = text.as_bytes().get(at).copied().unwrap_or(b' ');
                Some((Ok::<_, std::io::Error>(vec![byte]), at + 1))
            });
            Response::new(Body::from_stream(bytes))
        }
    }
}
