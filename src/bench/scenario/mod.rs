//! What happens in which order, and what is made of it.

mod outcome;
mod steady;
mod storm;

use std::time::{Duration, Instant, SystemTime};

use super::BenchError;
use super::companion::Companion;
use super::measure::{Cpu, own_cpu, own_waiting};
use super::options::Scenario;
use super::report::Report;
use super::rig::Rig;
use crate::base::clock::since_1970;
use outcome::Findings;

/// Points of the course at most, and how far they are apart at least.
const POINTS_MAX: u32 = 600;
const POINT_SPAN_MIN: Duration = Duration::from_millis(250);

/// How much longer than the measurement it may take until the last has arrived.
const BACKLOG_MAX: Duration = Duration::from_secs(60);

/// Runs the scenario of the options.
pub(crate) fn run(rig: &mut Rig<'_>) -> Result<Report, BenchError> {
    let mut found = Findings::new(since_1970(SystemTime::now()).as_millis() as u64);
    found.rss_before = rig.server.as_ref().map(|server| server.resident_bytes());
    connect_all(rig, &mut found)?;
    rig.companion = Companion::start(&rig.options)?;
    let is_complete = !rig.is_interrupted && rig.pool.counts.failed == 0;
    if is_complete {
        match rig.options.scenario {
            Scenario::Idle => idle(rig, &mut found),
            Scenario::Storm { .. } => {
                rig.open_publishers()?;
                storm::run(rig, &mut found);
            }
            _ => {
                rig.open_publishers()?;
                steady::run(rig, &mut found);
            }
        }
    }
    rig.sample(true);
    let has_priority = rig.companion.as_ref().map(|companion| companion.has_priority);
    let eras = rig.companion.as_ref().map(|companion| companion.eras.clone());
    found.beside = rig.companion.take().map(Companion::end).transpose()?;
    if let Some(eras) = eras {
        storm::note_steady(&mut found, &eras);
    }
    let mut report = found.report(rig);
    if has_priority == Some(false) {
        report.notes.push(
            "the small channel's thread could not get priority (CAP_SYS_NICE): what it waited for \
             may have been the other thread"
                .to_owned(),
        );
    }
    Ok(report)
}

/// Everybody connects, and then nothing happens for a moment.
fn connect_all(rig: &mut Rig<'_>, found: &mut Findings) -> Result<(), BenchError> {
    let began = Instant::now();
    let cpu = server_cpu(rig);
    rig.pool.start_all(began);
    // Each attempt has its own deadline; this is in case the pace itself is too slow.
    let pace = rig.options.connect_rate_per_s.unwrap_or(f64::MAX);
    let waves = rig.options.subscribers.div_ceil(rig.options.connect_parallel) as u32 + 1;
    let paced = Duration::try_from_secs_f64(rig.options.subscribers as f64 / pace);
    let end = began + rig.options.connect_timeout * waves + paced.unwrap_or_default();
    rig.run_until("connecting", end, |rig| rig.pool.is_settled());
    found.connect_took = began.elapsed();
    found.connected = rig.pool.counts.open as u64;
    found.connect_failed = rig.pool.counts.failed;
    if rig.pool.counts.open == 0 && !rig.is_interrupted {
        let why = rig.pool.failures().next().map_or("no answer", |(text, _)| text);
        return Err(BenchError::Connect(why.to_owned()));
    }
    // Before it settles: what it does every second is not the connections'.
    found.cpu_connecting = cpu.zip(server_cpu(rig)).map(|(before, after)| after.since(before));
    rig.run_until("settling", Instant::now() + rig.options.settle, |_| false);
    found.rss_connected = rig.server.as_ref().map(|server| server.resident_bytes());
    found.handshakes = rig.pool.handshakes.summary();
    Ok(())
}

/// Nothing happens.
fn idle(rig: &mut Rig<'_>, found: &mut Findings) {
    begin(rig, found);
    rig.run_until("idle", Instant::now() + rig.options.duration, |_| false);
    end(rig, found);
}

/// The measurement begins; that of a run beside this one too.
fn begin(rig: &mut Rig<'_>, found: &mut Findings) {
    rig.is_interrupted |= rig.gate.take().is_some_and(|gate| !gate.pass());
    let every = (rig.options.duration / POINTS_MAX).max(POINT_SPAN_MIN);
    rig.lateness.clear();
    rig.tally.begin();
    found.sent_before = rig.sent;
    found.ended_before = rig.pool.counts.ended;
    found.began = Some(Instant::now());
    found.cpu_before = server_cpu(rig).unwrap_or_default();
    found.own_before = own_cpu();
    found.waiting_before = waiting(rig);
    rig.begin_course(every);
    if let Some(companion) = &rig.companion {
        companion.begin();
    }
}

/// The measurement is over.
fn end(rig: &mut Rig<'_>, found: &mut Findings) {
    let Some(began) = found.began else { return };
    found.cpu = server_cpu(rig).unwrap_or_default().since(found.cpu_before);
    found.own = own_cpu().saturating_sub(found.own_before);
    let (server, own) = waiting(rig);
    let (server_before, own_before) = found.waiting_before;
    found.waiting = (server.saturating_sub(server_before), own.saturating_sub(own_before));
    // What it took to notice that nothing comes any more is not part of it.
    let last = rig.tally.epoch + Duration::from_nanos(rig.tally.last_arrival_ns);
    found.waited = began.elapsed();
    found.measured = if last > began { last - began } else { began.elapsed() };
    if matches!(rig.options.scenario, Scenario::Idle) {
        found.measured = found.waited;
    }
}

/// Waits until everything that was sent has arrived, or nothing has for a while.
fn wait_for_arrivals(rig: &mut Rig<'_>, phase: &'static str) {
    let grace = rig.options.grace;
    let mut seen = (rig.tally.arrivals, Instant::now());
    // A server that repeats itself for ever would never be done.
    let end = Instant::now() + rig.options.duration + BACKLOG_MAX;
    rig.run_until(phase, end, |rig| {
        if rig.tally.arrivals != seen.0 {
            seen = (rig.tally.arrivals, Instant::now());
        }
        rig.tally.counts.in_flight == 0 || seen.1.elapsed() > grace
    });
}

/// How long the server and the generator wanted a core and had none.
fn waiting(rig: &Rig<'_>) -> (Duration, Duration) {
    let server = rig.server.as_ref().map(|server| server.waiting());
    (server.unwrap_or_default(), own_waiting())
}

fn server_cpu(rig: &Rig<'_>) -> Option<Cpu> {
    rig.server.as_ref().map(|server| server.cpu())
}
