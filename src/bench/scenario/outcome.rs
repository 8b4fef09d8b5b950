//! From what was found to a report, and whether it is good.

use std::time::{Duration, Instant};

use crate::bench::measure::{Cpu, machine};
use crate::bench::options::{Options, PublishBy, Scenario};
use crate::bench::pool::{Agreements, Session, is_counted};
use crate::bench::report::{
    Connect, Counted, Deliveries, Generator, Messages, Report, SCHEMA, Schedule, Server, Stalled,
    Storm, Summary, Tls, Told,
};
use crate::bench::rig::Rig;
use crate::bench::stats::round;
use crate::bench::tally::Account;
use crate::bench::target::redacted;

/// Of one core. Above it, what waits is more often the generator than the server.
const BUSY_CORES: f64 = 0.9;
/// Waiting for a core, of one. Above it, somebody else is measured too.
const CROWDED_CORES: f64 = 0.1;
/// At the 99th percentile. Below it, the clock of the system is about as good.
const LATENESS_US_MAX: f64 = 1_000.0;

/// What is found on the way.
#[derive(Debug, Default)]
pub(super) struct Findings {
    started_unix_ms: u64,
    pub(super) rss_before: Option<u64>,
    pub(super) rss_connected: Option<u64>,
    pub(super) connect_took: Duration,
    pub(super) connected: u64,
    pub(super) connect_failed: u64,
    pub(super) cpu_connecting: Option<Cpu>,
    pub(super) handshakes: Summary,
    pub(super) began: Option<Instant>,
    pub(super) sent_before: u64,
    pub(super) ended_before: u64,
    pub(super) cpu_before: Cpu,
    pub(super) own_before: Duration,
    /// Of the server and of the generator.
    pub(super) waiting_before: (Duration, Duration),
    pub(super) waiting: (Duration, Duration),
    pub(super) cpu: Cpu,
    pub(super) own: Duration,
    /// Until the last arrival, and until it was known to be the last.
    pub(super) measured: Duration,
    pub(super) waited: Duration,
    pub(super) late_at_end: u64,
    pub(super) stalled: Option<Stalled>,
    pub(super) storm: Option<Storm>,
    pub(super) beside: Option<Report>,
    /// Of connections that were cut off.
    lost_before: u64,
    affected_before: u64,
}

impl Findings {
    pub(super) fn new(started_unix_ms: u64) -> Self {
        Self { started_unix_ms, ..Self::default() }
    }

    /// Counts a connection that is cut off: what was under way to it then is not lost by the server.
    pub(super) fn set_aside(&mut self, account: &Account) {
        self.lost_before += account.missing();
        self.affected_before += u64::from(account.is_affected || account.missing() > 0);
    }

    pub(super) fn report(self, rig: &mut Rig<'_>) -> Report {
        let deliveries = self.deliveries(rig);
        let messages = self.messages(rig);
        let schedule = self.schedule(rig);
        let mut report = Report {
            schema: SCHEMA.to_owned(),
            scenario: rig.options.scenario.name().to_owned(),
            label: rig.options.label.clone(),
            ok: false,
            outcome: String::new(),
            faults: Vec::new(),
            notes: Vec::new(),
            started_unix_ms: self.started_unix_ms,
            tool: format!("fanfare {}", env!("CARGO_PKG_VERSION")),
            machine: machine(),
            options: told(&rig.options),
            measured_ms: ms(self.measured),
            connect: self.connect(rig),
            server: self.server(rig, deliveries.received),
            generator: self.generator(),
            latency_us: rig.tally.latency.summary(),
            last_subscriber_us: rig.tally.last_subscriber.summary(),
            pass_us: rig.tally.pass.summary(),
            stalled: self.stalled,
            storm: self.storm,
            beside: self.beside.map(Box::new),
            series: rig.course.take().map(|course| course.points).unwrap_or_default(),
            messages,
            deliveries,
            schedule,
        };
        judge(&mut report, rig);
        report
    }

    fn deliveries(&self, rig: &Rig<'_>) -> Deliveries {
        let scenario = rig.options.scenario;
        let is_measured = self.began.is_some() && scenario != Scenario::Idle;
        let counted = |session: &&Session| is_measured && is_counted(session, scenario);
        // After a signal, what has not come may be on its way: only what was jumped over is lost.
        let lost = |session: &Session| {
            let account = &session.account;
            if rig.is_interrupted { account.missing() } else { rig.tally.lost(account) }
        };
        let mut deliveries = Deliveries {
            received: rig.tally.counts.received,
            doubled: rig.tally.counts.doubled,
            reordered: rig.tally.counts.reordered,
            unstamped: rig.tally.counts.unstamped,
            disconnected: rig.pool.counts.ended - self.ended_before,
            lost: self.lost_before,
            sessions_affected: self.affected_before,
            exact: true,
            ..Deliveries::default()
        };
        for session in rig.pool.sessions.iter().filter(counted) {
            let lost = lost(session);
            deliveries.lost += lost;
            deliveries.sessions_affected += u64::from(lost > 0 || session.account.is_affected);
            deliveries.exact &= session.account.is_exact();
        }
        deliveries.expected = deliveries.received + deliveries.lost;
        deliveries.per_s = per_s(deliveries.received, self.measured);
        deliveries
    }

    fn messages(&self, rig: &Rig<'_>) -> Messages {
        let sent = if self.began.is_some() { rig.sent - self.sent_before } else { 0 };
        let answers = rig.publishers.as_ref().map(|publishers| publishers.answers.clone());
        let is_http = rig.options.publish_by == PublishBy::Http;
        Messages {
            sent,
            acknowledged: answers.as_ref().filter(|_| is_http).map(|a| a.acknowledged),
            refused: answers.as_ref().map_or(0, |answers| answers.refused),
            per_s: per_s(sent, self.measured),
            completed: rig.tally.counts.completed,
            late_at_end: self.late_at_end,
        }
    }

    fn connect(&self, rig: &Rig<'_>) -> Connect {
        let errors =
            rig.pool.failures().map(|(text, count)| Counted { text: text.to_owned(), count });
        let each = |cpu: Cpu| round(cpu.total().as_secs_f64() * 1e6 / self.connected.max(1) as f64);
        Connect {
            attempted: rig.pool.counts.attempted,
            connected: self.connected,
            failed: self.connect_failed,
            duration_ms: ms(self.connect_took),
            per_s: per_s(self.connected, self.connect_took),
            handshake_us: self.handshakes.clone(),
            errors: errors.collect(),
            deflating: rig.pool.counts.deflating as u64,
            tls: rig.pool.agreed().map(tls).collect(),
            server_cpu_us_per_connection: self.cpu_connecting.map(each),
        }
    }

    fn schedule(&self, rig: &Rig<'_>) -> Schedule {
        let closed_loop = rig.options.scenario.window().is_some();
        let lateness_us = rig.lateness.summary();
        let is_late = lateness_us.p99 > LATENESS_US_MAX || self.late_at_end > 0;
        Schedule { closed_loop, behind: !closed_loop && is_late, lateness_us }
    }

    fn server(&self, rig: &Rig<'_>, received: u64) -> Option<Server> {
        let server = rig.server.as_ref()?;
        let cpu_us = self.cpu.total().as_secs_f64() * 1e6;
        let before = self.rss_before.unwrap_or_default();
        let connected = self.rss_connected.unwrap_or_default();
        let grown = connected as f64 - before as f64;
        Some(Server {
            pids: server.pids.clone(),
            cpu_ms: ms(self.cpu.total()),
            cpu_user_ms: ms(self.cpu.user),
            cpu_system_ms: ms(self.cpu.system),
            cpu_us_per_delivery: (received > 0).then(|| cpu_us / received as f64),
            cpu_cores: cores(self.cpu.total(), self.waited),
            waiting_cores: cores(self.waiting.0, self.waited),
            rss_before_bytes: before,
            rss_connected_bytes: connected,
            rss_after_bytes: server.resident_bytes(),
            rss_per_connection_bytes: (grown / self.connected.max(1) as f64).round(),
        })
    }

    fn generator(&self) -> Generator {
        let cpu_cores = cores(self.own, self.waited);
        let waiting_cores = cores(self.waiting.1, self.waited);
        let bottleneck = cpu_cores + waiting_cores > BUSY_CORES;
        Generator { cpu_ms: ms(self.own), cpu_cores, waiting_cores, bottleneck }
    }
}

/// What is wrong, and what to know.
fn judge(report: &mut Report, rig: &Rig<'_>) {
    let mut faults = Vec::new();
    let count = |faults: &mut Vec<String>, number: u64, what: &str| {
        if number > 0 {
            faults.push(format!("{number} {what}"));
        }
    };
    let deliveries = &report.deliveries;
    count(&mut faults, report.connect.failed, "subscribers could not connect");
    count(&mut faults, deliveries.lost, "deliveries lost");
    count(&mut faults, deliveries.doubled, "deliveries doubled");
    count(&mut faults, deliveries.reordered, "deliveries out of order");
    count(&mut faults, deliveries.disconnected, "subscribers disconnected by the server");
    if report.storm.as_ref().is_some_and(|storm| storm.full_recovery_ms.is_none()) {
        faults.push("not everybody came back after the storm".to_owned());
    }
    let is_silent = report.messages.sent > 0 && deliveries.received == 0;
    if is_silent && !rig.is_interrupted {
        faults.push("nothing that was published arrived".to_owned());
    }
    faults.extend(rig.publisher_fault.clone());
    judge_beside(report, &mut faults);
    note_deflate(report, rig);
    if report.messages.refused > 0 {
        let answers = rig.publishers.as_ref().map(|publishers| &publishers.answers);
        let status = answers.and_then(|answers| answers.refusal).unwrap_or_default();
        let refused = report.messages.refused;
        report.notes.push(format!("the server refused {refused} messages, the last with {status}"));
    }
    if report.generator.bottleneck {
        let cores = report.generator.cpu_cores;
        report.notes.push(format!(
            "the generator was busy {:.0} % of the time and waited for a core {:.0} %: it may be the \
             bottleneck, not the server",
            cores * 100.0,
            report.generator.waiting_cores * 100.0
        ));
    }
    let server_waited = report.server.as_ref().map_or(0.0, |server| server.waiting_cores);
    let waiting =
        [("the generator", report.generator.waiting_cores), ("the server", server_waited)];
    for (who, cores) in waiting.into_iter().filter(|(_, cores)| *cores > CROWDED_CORES) {
        let percent = cores * 100.0;
        report.notes.push(format!(
            "{who} wanted a core and had none {percent:.0} % of the time: the machine was busy with \
             something else, and times say little"
        ));
    }
    if report.schedule.behind {
        report.notes.push(format!(
            "sent behind schedule (99 % within {:.1} ms, {} not sent): the server or the generator \
             did not keep up; latency counts from the times that were meant",
            report.schedule.lateness_us.p99 / 1e3,
            report.messages.late_at_end
        ));
    }
    report.outcome = if rig.is_interrupted {
        "interrupted".to_owned()
    } else if rig.publisher_fault.is_some() || report.connect.failed > 0 {
        "stopped".to_owned()
    } else {
        "complete".to_owned()
    };
    report.ok = faults.is_empty();
    report.faults = faults;
}

/// What is wrong in the small channel is wrong here.
fn judge_beside(report: &mut Report, faults: &mut Vec<String>) {
    let Some(small) = &report.beside else { return };
    faults.extend(small.faults.iter().map(|fault| format!("the small channel: {fault}")));
    let notes = small.notes.iter().map(|note| format!("the small channel: {note}"));
    report.notes.extend(notes);
}

fn note_deflate(report: &mut Report, rig: &Rig<'_>) {
    let connect = &report.connect;
    let without = connect.connected.saturating_sub(connect.deflating);
    if rig.options.deflate && without > 0 {
        let text = format!("permessage-deflate was not agreed on in {without} connections");
        report.notes.push(text);
    }
}

fn tls((version, cipher_suite, counts): (&str, &str, Agreements)) -> Tls {
    Tls {
        version: version.to_owned(),
        cipher_suite: cipher_suite.to_owned(),
        full: counts.full,
        resumed: counts.resumed,
    }
}

fn told(options: &Options) -> Told {
    let publish = match (options.scenario, options.publish_by) {
        (Scenario::Idle, _) => "none",
        (_, PublishBy::WebSocket) => "ws",
        (_, PublishBy::Http) => "http",
    };
    Told {
        url: redacted(&options.url),
        subscribers: options.subscribers,
        channels: options.channels,
        channels_per_session: options.channels_per_session,
        rate_per_s: options.scenario.rate_per_s(),
        window: options.scenario.window(),
        deflate: options.deflate,
        duration_ms: ms(options.duration),
        warmup_ms: ms(options.warmup),
        message_bytes: options.message_bytes,
        publish: publish.to_owned(),
        publish_tls: publish != "none" && options.publishes_over_tls(),
        tls_insecure: options.tls.is_insecure,
        stalled_percent: options.scenario.stalled_percent(),
    }
}

fn ms(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1e3)
}

fn per_s(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { round(count as f64 / time.as_secs_f64()) }
}

fn cores(used: Duration, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { round(used.as_secs_f64() / time.as_secs_f64()) }
}
