//! Tells the application what happened: batch by batch, in order, each until it is taken or its time
//! is over. A batch that comes twice, because its answer was lost, has the same events with the same
//! ids.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt as _;
use tokio::time::Instant;

use super::Shared;
use super::ask::{InFlight, request};
use super::queue::Event;
use crate::base::outgoing::{EventLost, Hook, HookResult};
use crate::fetch::FetchError;

/// The pause after a first failure; it doubles up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How much of a pause is waited, so that gateways that failed together do not come back together.
const JITTER: std::ops::Range<f64> = 0.5..1.0;

/// See the module.
pub struct Teller {
    shared: Arc<Shared>,
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Teller(..)")
    }
}

impl Teller {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Tells until `end` is ready, and then what is left by that time, which `end` says.
    ///
    /// Not cancel safe: dropped, it takes a batch along.
    pub async fn run(self, end: impl Future<Output = Instant>) {
        let mut end = std::pin::pin!(end);
        let mut until = None;
        loop {
            if until.is_none() {
                tokio::select! {
                    biased;
                    ends = &mut end => until = Some(ends),
                    () = self.gathered() => {}
                }
            }
            let batch = self.batch();
            match (batch.is_empty(), until) {
                (true, Some(_)) => return,
                (true, None) => continue,
                (false, Some(until)) => self.tell(&batch, Some(until)).await,
                (false, None) => {
                    let mut telling = std::pin::pin!(self.tell(&batch, None));
                    tokio::select! {
                        biased;
                        () = &mut telling => continue,
                        ends = &mut end => until = Some(ends),
                    }
                    // It has begun without knowing that its time is short.
                    let rest = tokio::time::timeout_at(until.unwrap_or_else(Instant::now), telling);
                    if rest.await.is_err() {
                        self.lost(&batch, EventLost::Shutdown);
                    }
                }
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return self.give_up();
            }
        }
    }

    /// Waits for a first event, and then a little for more to go with it.
    async fn gathered(&self) {
        let queue = &self.shared.queue;
        while queue.len() == 0 {
            queue.pushed.notified().await;
        }
        let setup = self.shared.setup.load_full();
        let batch_max = setup.settings.events_batch_max;
        let full = async {
            while queue.len() < batch_max {
                queue.pushed.notified().await;
            }
        };
        let _ = tokio::time::timeout(setup.settings.events_delay_max, full).await;
    }

    fn batch(&self) -> Vec<Event> {
        let most = self.shared.setup.load().settings.events_batch_max;
        let batch: Vec<Event> = std::iter::from_fn(|| self.shared.queue.pop()).take(most).collect();
        self.shared.counters.events_queued.add(-(batch.len() as i64));
        batch
    }

    /// Tells a batch until it is taken, or until its time or `until` is over.
    async fn tell(&self, batch: &[Event], until: Option<Instant>) {
        let body = Bytes::from(self.shared.queue.body(batch).to_string());
        let retry_max = self.shared.setup.load().settings.events_retry_max;
        let own_end = Instant::now() + retry_max;
        let end = until.map_or(own_end, |until| until.min(own_end));
        let mut pause = PAUSE_MIN;
        loop {
            let sent = tokio::time::timeout_at(end, self.send(body.clone())).await;
            let why = match sent {
                Ok(Ok(())) => return self.shared.counters.events_sent.add(batch.len() as u64),
                Ok(Err(why)) => why,
                Err(_) => "its time is over".into(),
            };
            let wait = pause.mul_f64(rand::rng().random_range(JITTER));
            if Instant::now() + wait >= end {
                let lost =
                    if until.is_some() { EventLost::Shutdown } else { EventLost::Undelivered };
                let events = batch.len();
                tracing::error!(
                    events,
                    "the application did not take events, they are lost: {why}"
                );
                return self.lost(batch, lost);
            }
            tracing::warn!(events = batch.len(), "the application did not take events: {why}");
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn send(&self, body: Bytes) -> Result<(), String> {
        // As it is configured now: an address that was put right counts for what waits.
        let setup = self.shared.setup.load_full();
        let counted = self.shared.counters.of(Hook::Events);
        let Some((url, client)) = setup.settings.url(Hook::Events).zip(setup.teller.as_ref())
        else {
            return Err("it is not to be told any more".into());
        };
        let request = request(Hook::Events, url, &setup.settings, body);
        let request = request.map_err(|error| error.to_string())?;
        let _in_flight = InFlight::begin(counted);
        let sent = Instant::now();
        let replied = client.send(request).await;
        counted.took_us.note(sent.elapsed().as_micros() as u64);
        let (result, told) = match replied {
            Ok(reply) if reply.status.is_success() => (HookResult::Allowed, Ok(())),
            Ok(reply) => (HookResult::Failed, Err(format!("its answer is {}", reply.status))),
            Err(error @ FetchError::Timeout(_)) => (HookResult::Timeout, Err(error.to_string())),
            Err(error) => (HookResult::Failed, Err(error.to_string())),
        };
        counted.results(result).add(1);
        told
    }

    fn lost(&self, batch: &[Event], why: EventLost) {
        self.shared.counters.events_lost(why).add(batch.len() as u64);
    }

    /// The time is over: counts what is left.
    fn give_up(&self) {
        loop {
            let batch = self.batch();
            if batch.is_empty() {
                return;
            }
            self.lost(&batch, EventLost::Shutdown);
        }
    }
}
