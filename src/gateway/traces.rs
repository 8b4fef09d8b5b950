//! Exports sampled publications to a collector: OTLP over HTTP, in JSON.
//!
//! # Why not the opentelemetry crates
//! They record spans while a context is entered, which is what the way of a publication cannot pay for:
//! here a few instants are noted, and what is sent is made of them afterwards, by this task alone. Of the
//! crates that would leave the encoder, which is one table ([`otlp`]) in a stable format, and a queue whose
//! drops cannot be read; for 13 more crates, all of them before 1.0.
//!
//! # What holds
//! * A collector that is dead or slow slows nobody: this task alone waits for it, and what finds the queue
//!   full is dropped and counted.
//! * One request at a time, of [`REQUEST_SPANS`] and those that belong together with the last one.
//! * What may go well later (no connection, no answer in time, 429, 502, 503, 504) is sent again, at most
//!   [`ATTEMPTS`] times in all, each after twice the wait; everything else is given up at once, as the
//!   protocol has it.
//! * At the end what is queued is sent, each once more, for as long as one request may take.

mod otlp;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::base::trace::{SpansLost, TracedPublication, Tracer};
use crate::config::TraceSettings;
use crate::fetch::{Client, TlsError, Url};
use otlp::Resource;

/// How long spans wait for others at the most.
const EXPORT_EACH: Duration = Duration::from_secs(1);

/// Spans of one request, at which no other publication is added.
const REQUEST_SPANS: usize = 512;

/// How often a request is sent in all.
const ATTEMPTS: u32 = 5;

/// How long it waits after the first failure.
const BACKOFF: Duration = Duration::from_secs(1);

/// Exports until it is told to finish; dropped, it stops at once.
#[derive(Debug)]
pub(super) struct Exporting {
    pub(super) tracer: Arc<Tracer>,
    finish: oneshot::Sender<()>,
    task: JoinSet<()>,
    timeout: Duration,
}

struct Exporter {
    tracer: Arc<Tracer>,
    client: Client,
    url: Url,
    settings: TraceSettings,
    resource: Resource,
    finish: oneshot::Receiver<()>,
    is_finishing: bool,
    /// Whether the last request failed: only the first of several is told.
    is_failing: bool,
}

/// How a request went.
enum Sent {
    Ok,
    /// It may go well later.
    Later(String),
    /// It never will.
    Never(String),
}

/// Begins, if there is anywhere to export to. On the current runtime.
///
/// # Errors
/// [`TlsError`].
pub(super) fn start(settings: &TraceSettings) -> Result<Option<Exporting>, TlsError> {
    let Some(url) = settings.url.clone() else { return Ok(None) };
    let client = Client::new(settings.limits.clone())?;
    let tracer = Tracer::new(settings.options);
    let (finish, finished) = oneshot::channel();
    let exporter = Exporter {
        tracer: tracer.clone(),
        client,
        url,
        resource: Resource {
            service_name: settings.service_name.clone(),
            instance_id: format!("{:032x}", rand::random::<u128>()),
            channel_names: settings.channel_names,
        },
        settings: settings.clone(),
        finish: finished,
        is_finishing: false,
        is_failing: false,
    };
    let mut task = JoinSet::new();
    task.spawn(exporter.run());
    Ok(Some(Exporting { tracer, finish, task, timeout: settings.limits.timeout }))
}

impl Exporting {
    /// Sends what is queued, for a bounded time.
    pub(super) async fn finish(self) {
        let Self { tracer, finish, mut task, timeout } = self;
        // It has ended already only if it panicked.
        let _ = finish.send(());
        let _ = tokio::time::timeout(timeout, task.join_next()).await;
        let left = tracer.queued() as u64;
        if left > 0 {
            tracer.counters().lost(SpansLost::Shutdown).add(left);
            tracing::warn!(spans = left, "spans were not exported before the end");
        }
    }
}

impl Exporter {
    async fn run(mut self) {
        while !self.is_finishing {
            tokio::select! {
                _ = &mut self.finish => self.is_finishing = true,
                () = tokio::time::sleep(EXPORT_EACH) => {}
                () = self.tracer.half_full() => {}
            }
            while let Some(publications) = self.next() {
                self.export(&publications).await;
            }
        }
    }

    /// What goes into the next request.
    fn next(&self) -> Option<Vec<TracedPublication>> {
        let (mut publications, mut spans) = (Vec::new(), 0);
        while spans < REQUEST_SPANS
            && let Some(publication) = self.tracer.take()
        {
            spans += publication.spans();
            publications.push(publication);
        }
        (!publications.is_empty()).then_some(publications)
    }

    async fn export(&mut self, publications: &[TracedPublication]) {
        let spans: usize = publications.iter().map(TracedPublication::spans).sum();
        let body = Bytes::from(otlp::request(&self.resource, publications).to_string());
        for attempt in 1..=ATTEMPTS {
            let counters = self.tracer.counters();
            let (why, is_over) = match self.send(body.clone(), spans as u64).await {
                Sent::Ok => {
                    counters.requests_ok.add(1);
                    if std::mem::take(&mut self.is_failing) {
                        tracing::info!("spans are exported to {} again", self.url);
                    }
                    return;
                }
                Sent::Later(why) => (why, attempt == ATTEMPTS || self.is_finishing),
                Sent::Never(why) => (why, true),
            };
            if !std::mem::replace(&mut self.is_failing, true) {
                tracing::warn!("cannot export spans to {}: {why}", self.url);
            }
            if is_over {
                self.tracer.counters().requests_failed.add(1);
                self.tracer.counters().lost(SpansLost::Failed).add(spans as u64);
                return;
            }
            self.tracer.counters().requests_retried.add(1);
            tokio::select! {
                _ = &mut self.finish => self.is_finishing = true,
                () = tokio::time::sleep(BACKOFF * (1 << (attempt - 1))) => {}
            }
        }
    }

    async fn send(&self, body: Bytes, spans: u64) -> Sent {
        let mut request = Request::post(self.url.uri())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("fanfare/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &self.settings.headers {
            request = request.header(name, value);
        }
        let request = match request.body(Full::new(body)) {
            Ok(request) => request,
            Err(error) => return Sent::Never(error.to_string()),
        };
        let reply = match self.client.send(request).await {
            Ok(reply) => reply,
            Err(error) => return Sent::Later(error.to_string()),
        };
        let status = reply.status;
        match status {
            status if status.is_success() => {}
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => return Sent::Later(format!("the answer is {status}")),
            status => return Sent::Never(format!("the answer is {status}")),
        }
        let rejected = otlp::rejected(&reply.body).map_or(0, |(rejected, why)| {
            tracing::warn!(spans = rejected, "the collector rejected spans: {why}");
            rejected.min(spans)
        });
        self.tracer.counters().lost(SpansLost::Rejected).add(rejected);
        self.tracer.counters().exported.add(spans - rejected);
        Sent::Ok
    }
}
