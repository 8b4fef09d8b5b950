//! `GET /admin/events`: a sample a second, taken once for all who watch, and only while somebody does.
//!
//! A viewer who is slow gets the newest sample and not those between; what waits for one is at most the
//! sample that is being written. Viewers are no sessions: they count in none of the hub's numbers, and are
//! let in when the node is too short of memory for sessions, which is when one wants to look.
//!
//! The first event is `history`: the rows of the last five minutes, as far as somebody watched. Each
//! later one is a sample.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::super::answer::{Answer, Refusal};
use super::super::peer::Peer;
use super::super::state::State;
use super::super::take_over::{TakeOver, TakenOver};
use super::door::{self, Pass};
use super::sample::Sampler;
use crate::connection::{Permit, Stream};

/// Rows that are kept: five minutes of them.
pub(super) const ROWS_MAX: usize = 300;

const SECOND: Duration = Duration::from_secs(1);

/// How long a viewer may take for one sample.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
    X-Content-Type-Options: nosniff\r\nX-Accel-Buffering: no\r\nConnection: close\r\n\r\n\
    retry: 2000\n\n";

/// What the viewers share.
#[derive(Debug)]
pub(super) struct Feed {
    watching: Mutex<Watching>,
    rows: Mutex<VecDeque<Value>>,
    latest: watch::Sender<Bytes>,
}

#[derive(Debug, Default)]
struct Watching {
    viewers: usize,
    is_sampled: bool,
}

impl Default for Feed {
    fn default() -> Self {
        let latest = watch::Sender::new(Bytes::new());
        Self { watching: Mutex::default(), rows: Mutex::default(), latest }
    }
}

impl Feed {
    pub(super) fn viewers(&self) -> usize {
        self.watching.lock().viewers
    }
}

/// A viewer who waits for the socket, and then watches.
pub struct View {
    state: Arc<State>,
    pass: Pass,
    latest: watch::Receiver<Bytes>,
    _place: Place,
    _permit: Option<Permit>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("View(..)")
    }
}

/// One of the viewers that there may be.
struct Place(Arc<State>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.admin.feed.watching.lock().viewers -= 1;
    }
}

/// Lets a viewer in, or says why not.
pub(in crate::http) fn open(state: &Arc<State>, request: &Request<Incoming>, peer: Peer) -> Answer {
    let permit = request.extensions().get::<Permit>().cloned();
    let viewer = door::enter(state, request, peer);
    match viewer.and_then(|viewer| Ok((take_place(state)?, viewer.pass))) {
        Ok((place, pass)) => TakeOver::answer(TakenOver::Admin(View {
            latest: state.admin.feed.latest.subscribe(),
            state: state.clone(),
            pass,
            _place: place,
            _permit: permit,
        })),
        Err(refusal) => refusal.answer(),
    }
}

fn take_place(state: &Arc<State>) -> Result<Place, Refusal> {
    let mut watching = state.admin.feed.watching.lock();
    let most = state.options().admin.viewers_max;
    if watching.viewers >= most {
        let text = format!("{most} watch already, and more may not (admin.viewers_max)");
        return Err(Refusal::new(http::StatusCode::SERVICE_UNAVAILABLE, text));
    }
    watching.viewers += 1;
    if !std::mem::replace(&mut watching.is_sampled, true) {
        state.hub.watch_channels(true);
        tokio::spawn(sample(Arc::downgrade(state)));
    }
    drop(watching);
    Ok(Place(state.clone()))
}

/// Takes samples until nobody watches.
async fn sample(state: Weak<State>) {
    let Some(mut sampler) = state.upgrade().map(|state| Sampler::new(&state)) else { return };
    let mut interval = interval_at(Instant::now() + SECOND, SECOND);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(state) = state.upgrade() else { return };
        let feed = &state.admin.feed;
        {
            let mut watching = feed.watching.lock();
            if watching.viewers == 0 {
                watching.is_sampled = false;
                state.hub.watch_channels(false);
                return;
            }
        }
        let (sample, row) = sampler.take(&state);
        let mut rows = feed.rows.lock();
        rows.push_back(row);
        let too_many = rows.len().saturating_sub(ROWS_MAX);
        rows.drain(..too_many);
        drop(rows);
        feed.latest.send_replace(event("sample", &sample));
    }
}

fn event(name: &str, data: &Value) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

impl View {
    /// Writes samples until the viewer goes, takes too long, or may not look any more.
    pub async fn run(mut self, mut stream: Stream) {
        let rows: Vec<Value> = self.state.admin.feed.rows.lock().iter().cloned().collect();
        let history = event("history", &json!({ "rows": rows }));
        let mut next = Bytes::from([HEAD.as_bytes(), &history].concat());
        // What was there before it came is in the history, or is old.
        self.latest.mark_unchanged();
        loop {
            match timeout(WRITE_TIMEOUT, stream.write_all(&next)).await {
                Ok(Ok(())) if timeout(WRITE_TIMEOUT, stream.flush()).await.is_ok() => {}
                _ => return,
            }
            let mut ignored = [0; 64];
            next = loop {
                tokio::select! {
                    changed = self.latest.changed() => match changed {
                        Ok(()) => break self.latest.borrow_and_update().clone(),
                        Err(_) => return,
                    },
                    // A viewer has nothing to say; its end is read here.
                    read = stream.read(&mut ignored) => match read {
                        Ok(bytes) if bytes > 0 => {}
                        _ => return,
                    },
                }
            };
            if door::still(&self.state, &self.pass).is_none() {
                let over = event("over", &json!({}));
                let _ = timeout(WRITE_TIMEOUT, stream.write_all(&over)).await;
                let _ = timeout(WRITE_TIMEOUT, stream.shutdown()).await;
                return;
            }
        }
    }
}
