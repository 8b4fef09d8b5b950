//! A sample: the numbers of one second, from what the counters were before and are now.
//!
//! What it costs, once a second however many watch: a read of every counter, a look at no more than
//! [`BEHIND_MAX`] of the sessions that are behind and at no more than 1,024 active channels, and three
//! files of `/proc`.

use std::collections::HashMap;
use std::time::{Instant, SystemTime};

use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use super::super::metrics::Process;
use super::super::state::State;
use super::feed::ROWS_MAX;
use super::look;
use crate::base::clock::since_1970;
use crate::base::counters::PASS_US_BOUNDS;
use crate::base::disconnect::Reason;
use crate::base::ids::ChannelName;
use crate::base::loss::DropCause;
use crate::hub::BusyChannel;

/// Sessions that are behind and looked at.
const BEHIND_MAX: usize = 2_048;

/// Rows of the tables.
const TABLE_ROWS: usize = 8;

/// Upper bounds of what waits for a session, in bytes, and of how long, in milliseconds; the last
/// place of each histogram is open.
const LAG_BYTES: [usize; 6] = [1 << 10, 4 << 10, 16 << 10, 64 << 10, 128 << 10, 256 << 10];
const LAG_MS: [u64; 6] = [10, 100, 500, 1_000, 2_000, 5_000];

/// The share of a new value in a channel's rate, so that the table does not jump.
const NEW_SHARE: f64 = 0.3;

/// Below so many publications a second a channel is quiet.
const RATE_MIN: f64 = 0.05;

type Buckets = [u64; PASS_US_BOUNDS.len() + 1];

/// What only grows, at one moment.
#[derive(Clone, Default)]
struct Totals {
    publications: u64,
    refused: u64,
    opened: u64,
    received: u64,
    deliveries: Vec<u64>,
    delivery_bytes: Vec<u64>,
    workers_busy_s: Vec<f64>,
    wait: Buckets,
    cpu_s: f64,
    drops: Vec<u64>,
    disconnects: Vec<u64>,
}

impl Totals {
    fn read(state: &State, process: &Process) -> Self {
        let counters = state.hub.counters();
        let mut wait = [0; PASS_US_BOUNDS.len() + 1];
        for lane in counters.lanes() {
            wait.iter_mut().zip(lane.delivery_us.get().0).for_each(|(sum, count)| *sum += count);
        }
        let dropped = DropCause::ALL.map(|cause| counters.over_lanes(|lane| lane.dropped(cause)));
        let runtime = Handle::current().metrics();
        let busy = |worker| runtime.worker_total_busy_duration(worker).as_secs_f64();
        Self {
            publications: counters.publications.get(),
            refused: counters.publications_refused.get(),
            opened: counters.sessions_opened.get(),
            received: counters.messages_received.get(),
            deliveries: counters.lanes().iter().map(|lane| lane.deliveries.get()).collect(),
            delivery_bytes: counters.lanes().iter().map(|lane| lane.delivery_bytes.get()).collect(),
            workers_busy_s: (0..runtime.num_workers()).map(busy).collect(),
            wait,
            cpu_s: process.cpu_seconds.unwrap_or_default(),
            drops: dropped.into_iter().chain([counters.over_lanes(|l| &l.discarded)]).collect(),
            disconnects: Reason::ALL.map(|reason| counters.disconnects(reason).get()).into(),
        }
    }
}

/// Takes samples; keeps what the next one is compared with.
pub(super) struct Sampler {
    at: Instant,
    before: Totals,
    /// Drops and disconnects of each second of the last five minutes, the newest last.
    recent: std::collections::VecDeque<(Vec<u64>, Vec<u64>)>,
    rates: HashMap<ChannelName, (f64, usize)>,
}

impl Sampler {
    pub(super) fn new(state: &State) -> Self {
        let before = Totals::read(state, &Process::read());
        let recent = [(before.drops.clone(), before.disconnects.clone())].into();
        Self { at: Instant::now(), before, recent, rates: HashMap::new() }
    }

    /// The sample of the time since the last one, and its row for the charts.
    pub(super) fn take(&mut self, state: &State) -> (Value, Value) {
        let process = Process::read();
        let now = Totals::read(state, &process);
        let seconds = self.at.elapsed().as_secs_f64().max(0.001);
        self.at = Instant::now();
        let rate = |now: u64, before: u64| round(now.saturating_sub(before) as f64 / seconds);
        let before = std::mem::replace(&mut self.before, now.clone());
        let wait: Buckets = std::array::from_fn(|at| now.wait[at].saturating_sub(before.wait[at]));
        let waits = [0.5, 0.95, 0.99].map(|share| quantile_us(&wait, share));
        let lanes: Vec<Value> = (0..now.deliveries.len())
            .map(|lane| {
                let per_s = rate(now.deliveries[lane], before.deliveries[lane]);
                let bytes = rate(now.delivery_bytes[lane], before.delivery_bytes[lane]);
                json!({ "deliveries_per_s": per_s, "bytes_per_s": bytes })
            })
            .collect();
        let busy = now.workers_busy_s.iter().zip(&before.workers_busy_s);
        let workers: Vec<f64> =
            busy.map(|(now, before)| round((now - before) / seconds).min(1.0)).collect();
        let deliveries = rate(now.deliveries.iter().sum(), before.deliveries.iter().sum());
        let publications = rate(now.publications, before.publications);
        let cpu = round((now.cpu_s - before.cpu_s) / seconds);
        let (counters, memory) = (state.hub.counters(), state.hub.memory());
        let (behind, unix_ms) =
            (counters.writers.get().max(0), since_1970(SystemTime::now()).as_millis() as u64);
        let row = json!([
            unix_ms,
            counters.sessions.get(),
            publications,
            deliveries,
            waits,
            behind,
            memory.used(),
            cpu,
            process.resident_bytes
        ]);
        let mut sample = json!({
            "row": row,
            "uptime_s": state.started.elapsed().as_secs(),
            "channels": counters.channels.get(),
            "subscriptions": counters.subscriptions.get(),
            "users": state.hub.user_count(),
            "opened_per_s": rate(now.opened, before.opened),
            "received_per_s": rate(now.received, before.received),
            "refused_per_s": rate(now.refused, before.refused),
            "bytes_per_s": rate(now.delivery_bytes.iter().sum(), before.delivery_bytes.iter().sum()),
            "wait_buckets": wait,
            "lanes": lanes,
            "workers": workers,
            "busy": self.busiest(state, seconds),
            "memory": {
                "used": memory.used(),
                "max": memory.max(),
                "pressure": memory.pressure().name(),
                "history": counters.history_bytes.get(),
                "pending": counters.publication_bytes_pending.get(),
            },
            "process": {
                "fds": process.open_fds,
                "fds_max": process.max_fds,
                "tasks": Handle::current().metrics().num_alive_tasks(),
            },
            "viewers": state.admin.viewers(),
        });
        sample["lag"] = lag(state);
        self.add_recent(&now, &mut sample);
        (sample, row)
    }

    /// Those that make most deliveries, by their rate over a few seconds.
    fn busiest(&mut self, state: &State, seconds: f64) -> Value {
        self.rates.values_mut().for_each(|(rate, _)| *rate *= 1.0 - NEW_SHARE);
        for BusyChannel { name, publications, subscribers } in state.hub.busy_channels() {
            let now = publications as f64 / seconds;
            // The first value counts whole.
            let entry = self.rates.entry(name).or_insert((now * (1.0 - NEW_SHARE), 0));
            *entry = (entry.0 + now * NEW_SHARE, subscribers);
        }
        self.rates.retain(|_, (rate, _)| *rate >= RATE_MIN);
        let load = |(rate, subscribers): (f64, usize)| rate * subscribers.max(1) as f64;
        let mut all: Vec<_> = self.rates.iter().map(|(name, rate)| (name, *rate)).collect();
        all.sort_unstable_by(|(a, x), (b, y)| load(*y).total_cmp(&load(*x)).then(a.cmp(b)));
        let rows = all.iter().take(TABLE_ROWS).map(|(name, (rate, subscribers))| {
            json!({
                "channel": name.as_str(),
                "sessions": subscribers,
                "publications_per_s": round(*rate),
                "deliveries_per_s": round(rate * *subscribers as f64),
            })
        });
        json!({ "active": all.len(), "rows": rows.collect::<Vec<_>>() })
    }

    /// What was dropped and who was disconnected: ever, and in the last minutes that somebody watched.
    fn add_recent(&mut self, now: &Totals, sample: &mut Value) {
        self.recent.push_back((now.drops.clone(), now.disconnects.clone()));
        if self.recent.len() > ROWS_MAX {
            self.recent.pop_front();
        }
        let (drops, disconnects) = &self.recent[0];
        let listed = |names: &mut dyn Iterator<Item = &'static str>, now: &[u64], then: &[u64]| {
            let rows = names.zip(now.iter().zip(then));
            let shown = rows
                .map(|(name, (now, then))| (name.into(), json!([now.saturating_sub(*then), now])));
            Value::Object(shown.collect::<Map<String, Value>>())
        };
        let causes = &mut DropCause::ALL.iter().map(|cause| cause.name()).chain(["session_ended"]);
        sample["drops"] = listed(causes, &now.drops, drops);
        let reasons = &mut Reason::ALL.iter().map(|reason| reason.name());
        sample["disconnects"] = listed(reasons, &now.disconnects, disconnects);
        sample["recent_s"] = (self.recent.len() - 1).into();
    }
}

fn lag(state: &State) -> Value {
    let (mut by_bytes, mut by_ms) = ([0_u32; LAG_BYTES.len() + 1], [0_u32; LAG_MS.len() + 1]);
    let (looked_at, worst) = state.hub.slow_survey(BEHIND_MAX, TABLE_ROWS, |bytes, oldest_ms| {
        by_bytes[LAG_BYTES.partition_point(|&bound| bound < bytes)] += 1;
        by_ms[LAG_MS.partition_point(|&bound| bound < oldest_ms)] += 1;
    });
    let worst: Vec<Value> = worst.iter().map(look::slow).collect();
    json!({
        "looked_at": looked_at,
        "bytes_bounds": LAG_BYTES, "bytes": by_bytes,
        "ms_bounds": LAG_MS, "ms": by_ms,
        "slowest": worst,
    })
}

/// What a share of the values does not pass, in microseconds, even within a bucket; `None` without
/// values. In the open bucket it is the last bound.
fn quantile_us(buckets: &Buckets, share: f64) -> Option<u64> {
    let count: u64 = buckets.iter().sum();
    let wanted = count as f64 * share;
    let mut below = 0.0;
    for (at, &in_bucket) in buckets.iter().enumerate() {
        let upto = below + in_bucket as f64;
        if in_bucket > 0 && upto >= wanted {
            let low = if at == 0 { 0 } else { PASS_US_BOUNDS[at - 1] } as f64;
            let high = PASS_US_BOUNDS.get(at).map_or(low, |&bound| bound as f64);
            return Some((low + (high - low) * (wanted - below) / in_bucket as f64) as u64);
        }
        below = upto;
    }
    None
}

/// To a thousandth: more is noise, and bytes on the way.
fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::super::super::state::tests::state;
    use super::*;
    use crate::base::message::Message;
    use crate::hub::SessionOptions;

    #[test]
    fn a_quantile_lies_where_so_many_are_below_it() {
        let mut buckets = [0; PASS_US_BOUNDS.len() + 1];
        assert_eq!(quantile_us(&buckets, 0.5), None);
        // 100 from 50 to 100 µs, 100 beyond 10 s.
        (buckets[3], buckets[14]) = (100, 100);
        assert_eq!(quantile_us(&buckets, 0.25), Some(75));
        assert_eq!(quantile_us(&buckets, 0.5), Some(100));
        assert_eq!(quantile_us(&buckets, 0.99), Some(10_000_000));
    }

    #[tokio::test]
    async fn a_sample_has_what_happened_since_the_last_one() {
        let state = state(true);
        let channel = ChannelName::try_from("a").unwrap();
        let session = state.hub.open(SessionOptions::default()).unwrap();
        state.hub.join(&session, &channel, None, None).unwrap();
        state.hub.publish(&channel, Message::text("before")).unwrap();
        state.hub.watch_channels(true);
        let mut sampler = Sampler::new(&state);
        for _ in 0..10 {
            state.hub.publish(&channel, Message::text("x")).unwrap();
        }
        let (sample, row) = sampler.take(&state);
        assert_eq!(row[1], 1, "sessions");
        assert!(row[2].as_f64().unwrap() > 0.0, "publications: {row}");
        let busy = &sample["busy"]["rows"][0];
        assert_eq!((&busy["channel"], &busy["sessions"]), (&json!("a"), &json!(1)));
        assert_eq!(sample["disconnects"]["kicked"], json!([0, 0]));
        let (sample, row) = sampler.take(&state);
        assert_eq!((row[2].as_f64(), sample["recent_s"].as_u64()), (Some(0.0), Some(2)));
    }
}
