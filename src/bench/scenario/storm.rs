//! In the middle everybody is cut off, and all come back at once, while messages go on.

use std::time::{Duration, Instant};

use super::outcome::Findings;
use super::steady;
use crate::bench::eras::{Era, Eras};
use crate::bench::pacer::Pacer;
use crate::bench::report::{Steady, Storm};
use crate::bench::rig::Rig;
use crate::bench::stats::{Times, round};

/// How long recovery may take.
const RECOVERY_MAX: Duration = Duration::from_secs(120);

pub(super) fn run(rig: &mut Rig<'_>, found: &mut Findings) {
    steady::count_members(rig, |_| true);
    super::begin(rig, found);
    steady::open_accounts(rig);
    let began = Instant::now();
    // Goes on as long as recovery takes.
    rig.pacer = steady::pacer(rig, rig.options.duration + RECOVERY_MAX);
    let end = began + rig.options.duration;
    rig.run_until("before the storm", began + rig.options.duration / 2, |_| false);
    if !rig.is_interrupted && rig.publisher_fault.is_none() {
        found.storm = Some(storm(rig, found));
        rig.run_until("after the storm", end, |_| false);
    }
    rig.pacer = Pacer::Off;
    super::wait_for_arrivals(rig, "waiting for the last");
    super::end(rig, found);
}

fn storm(rig: &mut Rig<'_>, found: &mut Findings) -> Storm {
    let sessions = rig.pool.counts.open as u64;
    rig.tally.forget_flights();
    for account in rig.pool.cut_all() {
        found.set_aside(&account);
    }
    begin_era(rig, Era::During);
    let cut = Instant::now();
    rig.pool.since = Some(cut);
    rig.pool.handshakes = Times::new();
    rig.pool.is_persistent = true;
    rig.pool.parallel = usize::MAX;
    let (completed, received) = (rig.tally.counts.completed, rig.tally.counts.received);
    let cpu = super::server_cpu(rig);
    rig.pool.start_all(cut);
    let end = cut + RECOVERY_MAX;
    let is_back = rig.run_until("storm", end, |rig| rig.pool.is_settled());
    let all_connected_ms = is_back.then(|| round(cut.elapsed().as_secs_f64() * 1e3));
    // What was sent until here went to some only, and is not waited for. What comes later is: whoever
    // has that has the others, if it is to get them.
    rig.tally.forget_flights();
    // A message counts as complete only when as many have it as there were before the storm.
    let is_whole =
        is_back && rig.run_until("storm", end, |rig| rig.tally.counts.completed > completed);
    let last = rig.tally.epoch + Duration::from_nanos(rig.tally.last_arrival_ns);
    let recovered = last.saturating_duration_since(cut).as_secs_f64() * 1e3;
    rig.pool.is_persistent = false;
    begin_era(rig, Era::After);
    Storm {
        sessions,
        reconnected: rig.pool.counts.open as u64,
        reconnect_us: rig.pool.handshakes.summary(),
        put_off: rig.pool.counts.put_off,
        all_connected_ms,
        server_cpu_ms: cpu
            .zip(super::server_cpu(rig))
            .map(|(before, after)| round(after.since(before).total().as_secs_f64() * 1e3)),
        received: rig.tally.counts.received - received,
        full_recovery_ms: is_whole.then(|| round(recovered)),
        // When it is over.
        steady: None,
    }
}

fn begin_era(rig: &Rig<'_>, era: Era) {
    if let Some(companion) = &rig.companion {
        companion.eras.begin(era);
    }
}

/// What those felt that stayed connected.
pub(super) fn note_steady(found: &mut Findings, eras: &Eras) {
    if let Some(storm) = &mut found.storm {
        storm.steady = Some(Steady {
            before_us: eras.summary(Era::Before),
            during_us: eras.summary(Era::During),
            after_us: eras.summary(Era::After),
        });
    }
}
