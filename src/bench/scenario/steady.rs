//! The same all the time: fanout, burst, channels; and stalled, where some stop reading.

use std::time::{Duration, Instant};

use super::outcome::Findings;
use crate::bench::options::Scenario;
use crate::bench::pacer::{Due, Pacer};
use crate::bench::pool::is_counted;
use crate::bench::report::Stalled;
use crate::bench::rig::Rig;
use crate::bench::tally::Account;

pub(super) fn run(rig: &mut Rig<'_>, found: &mut Findings) {
    count_members(rig, |_| true);
    send(rig, "warming up", rig.options.warmup);
    super::wait_for_arrivals(rig, "warming up");
    rig.tally.forget_flights();
    if rig.is_interrupted || rig.publisher_fault.is_some() {
        return;
    }
    let scenario = rig.options.scenario;
    rig.stall();
    count_members(rig, |session| is_counted(session, scenario));
    super::begin(rig, found);
    open_accounts(rig);
    send(rig, "measuring", rig.options.duration);
    found.late_at_end = rig.pacer.late(rig.tally.now_ns());
    rig.pacer = Pacer::Off;
    super::wait_for_arrivals(rig, "waiting for the last");
    super::end(rig, found);
    if matches!(scenario, Scenario::Stalled { .. }) {
        found.stalled = Some(look_at_stalled(rig));
    }
}

/// Sends for so long.
fn send(rig: &mut Rig<'_>, phase: &'static str, duration: Duration) {
    let began = Instant::now();
    rig.pacer = pacer(rig, duration);
    // A server that does not take messages may be late by this much before it is given up.
    let end = began + duration + rig.options.grace;
    rig.run_until(phase, end, |rig| {
        let in_flight = rig.tally.counts.in_flight;
        matches!(rig.pacer.due(rig.tally.now_ns(), in_flight), Due::Over)
    });
}

pub(super) fn pacer(rig: &Rig<'_>, duration: Duration) -> Pacer {
    let now_ns = rig.tally.now_ns();
    let scenario = rig.options.scenario;
    if let Some(window) = scenario.window() {
        let until_ns = now_ns + duration.as_nanos() as u64;
        return Pacer::Window { size: window as u64, until_ns };
    }
    let clock = |rate| Pacer::clock(now_ns, rate, (duration.as_secs_f64() * rate).round() as u64);
    scenario.rate_per_s().map_or(Pacer::Off, clock)
}

/// How many are to get a message of each channel.
pub(super) fn count_members(
    rig: &mut Rig<'_>,
    is_one: impl Fn(&crate::bench::pool::Session) -> bool,
) {
    rig.tally.channels.iter_mut().for_each(|channel| channel.members = 0);
    for session in rig.pool.sessions.iter().filter(|session| session.is_open() && is_one(session)) {
        for channel in &session.channels {
            rig.tally.channels[usize::from(*channel)].members += 1;
        }
    }
}

/// From here on everybody is to get everything.
pub(super) fn open_accounts(rig: &mut Rig<'_>) {
    for session in &mut rig.pool.sessions {
        let ledger = |channel: &u16| (*channel, rig.tally.ledger(*channel));
        let ledgers = session.channels.iter().map(ledger).collect();
        session.account = Account { ledgers, is_affected: false };
    }
}

fn look_at_stalled(rig: &mut Rig<'_>) -> Stalled {
    let stalled = rig.pool.sessions.iter_mut().filter(|session| session.is_to_stall);
    let ended: Vec<bool> = stalled.map(|session| session.was_ended()).collect();
    let evicted = ended.iter().filter(|ended| **ended).count() as u64;
    let sessions = ended.len() as u64;
    Stalled { sessions, evicted, connected: sessions - evicted }
}
