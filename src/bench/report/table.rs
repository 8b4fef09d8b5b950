//! A report for the terminal.

use std::fmt::Write as _;

use super::{Report, Summary};

/// The width of the column with the names.
const NAME_WIDTH: usize = 22;

/// A few lines for each run.
pub fn render(report: &Report) -> String {
    let mut rows: Vec<(&str, String)> = Vec::new();
    let deliveries = &report.deliveries;
    let is_traffic = report.messages.sent > 0;
    rows.push(("connections", connections(report)));
    rows.extend(tls(report).map(|text| ("TLS", text)));
    if is_traffic {
        rows.push(("messages", messages(report)));
        rows.push((
            "deliveries",
            format!(
                "{} of {}, {}/s",
                thousands(deliveries.received),
                thousands(deliveries.expected),
                thousands(deliveries.per_s as u64)
            ),
        ));
        rows.push((
            "lost, doubled, late",
            format!("{}, {}, {}", deliveries.lost, deliveries.doubled, deliveries.reordered),
        ));
        rows.push(("latency", times(&report.latency_us)));
        rows.push(("to the last", times(&report.last_subscriber_us)));
    }
    if deliveries.disconnected > 0 {
        rows.push(("disconnected", thousands(deliveries.disconnected)));
    }
    special(report, &mut rows);
    let generator = &report.generator;
    rows.push(("generator", format!("{:.0} % of a core", generator.cpu_cores * 100.0)));
    let mut out = format!("{}  {}\n", report.scenario, report.name());
    for (name, value) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {name:<NAME_WIDTH$}{value}");
    }
    for note in &report.notes {
        let _ = writeln!(out, "  note: {note}");
    }
    for fault in &report.faults {
        let _ = writeln!(out, "  FAULT: {fault}");
    }
    let verdict = if report.ok { "ok" } else { "NOT OK" };
    let _ = writeln!(out, "  {verdict} ({})", report.outcome);
    out
}

fn connections(report: &Report) -> String {
    let connect = &report.connect;
    let mut text = format!(
        "{} of {} in {}, handshake p50 {} p99 {}",
        thousands(connect.connected),
        thousands(report.options.subscribers as u64),
        time(connect.duration_ms * 1e3),
        time(connect.handshake_us.p50),
        time(connect.handshake_us.p99),
    );
    if let Some(cpu) = connect.server_cpu_us_per_connection {
        let _ = write!(text, ", server CPU {} each", time(cpu));
    }
    text
}

/// What TLS was spoken, if it was.
pub(super) fn tls(report: &Report) -> Option<String> {
    let subscribers = report.connect.tls.iter().map(|tls| {
        let (full, resumed) = (thousands(tls.full), thousands(tls.resumed));
        format!("{}, {}: {full} full handshakes, {resumed} resumed", tls.version, tls.cipher_suite)
    });
    let publisher = match (report.connect.tls.is_empty(), report.options.publish_tls) {
        (true, true) => Some("publishing only"),
        (false, false) if report.messages.sent > 0 => Some("publishing without"),
        _ => None,
    };
    let insecure = report.options.tls_insecure.then_some("certificates not checked");
    let more = publisher.into_iter().chain(insecure).map(str::to_owned);
    let all: Vec<String> = subscribers.chain(more).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn messages(report: &Report) -> String {
    let messages = &report.messages;
    let pace = match (report.options.rate_per_s, report.options.window) {
        (Some(rate), _) => format!("{rate}/s wanted, open loop"),
        (None, Some(window)) => format!("{window} in flight, closed loop"),
        (None, None) => String::new(),
    };
    format!(
        "{} of {} bytes, {}/s ({pace})",
        thousands(messages.sent),
        report.options.message_bytes,
        thousands(messages.per_s as u64)
    )
}

fn special(report: &Report, rows: &mut Vec<(&str, String)>) {
    if let Some(small) = report.beside.as_ref().filter(|_| report.storm.is_none()) {
        let (p99, pass) = (small.latency_us.p99, report.pass_us.p50);
        rows.push(("small channel", times(&small.latency_us)));
        let part = if pass > 0.0 { p99 / pass * 100.0 } else { 0.0 };
        rows.push(("a pass of the big", format!("p50 {}; p99 beside: {part:.1} %", time(pass))));
    }
    if let Some(stalled) = &report.stalled {
        let text = format!(
            "{} stopped reading: {} evicted, {} still connected",
            stalled.sessions, stalled.evicted, stalled.connected
        );
        rows.push(("stalled", text));
    }
    if let Some(storm) = &report.storm {
        let or_never = |ms: Option<f64>| ms.map_or("never".to_owned(), |ms| time(ms * 1e3));
        let put_off = match storm.put_off {
            0 => String::new(),
            count => format!("; {} told to come later", thousands(count)),
        };
        let text = format!(
            "{} of {} back{put_off}; all connected after {}, all served after {}",
            storm.reconnected,
            storm.sessions,
            or_never(storm.all_connected_ms),
            or_never(storm.full_recovery_ms)
        );
        rows.push(("storm", text));
        if let Some(steady) = &storm.steady {
            rows.push(("steady before", times(&steady.before_us)));
            rows.push(("steady in the storm", times(&steady.during_us)));
            rows.push(("steady after it", times(&steady.after_us)));
        }
    }
    if let Some(server) = &report.server {
        let each = server.cpu_us_per_delivery.map(|us| format!(", {us:.3} µs a delivery"));
        let text =
            format!("{:.0} % of a core{}", server.cpu_cores * 100.0, each.unwrap_or_default());
        rows.push(("server CPU", text));
        let text = format!(
            "{:.1} MiB, {:.2} KiB a connection",
            server.rss_after_bytes as f64 / 1_048_576.0,
            server.rss_per_connection_bytes / 1_024.0
        );
        rows.push(("server memory", text));
    }
}

fn times(summary: &Summary) -> String {
    let of = [
        ("p50", summary.p50),
        ("p90", summary.p90),
        ("p99", summary.p99),
        ("p99.9", summary.p999),
        ("max", summary.max),
    ];
    of.map(|(name, us)| format!("{name} {}", time(us))).join("  ")
}

/// A time in the unit that makes it short.
pub(super) fn time(us: f64) -> String {
    match us {
        us if us < 1_000.0 => format!("{us:.0} µs"),
        us if us < 10_000.0 => format!("{:.2} ms", us / 1e3),
        us if us < 1_000_000.0 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

/// With a space between groups of three.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            ["0", "999", "1 000", "1 234 567"],
            [0, 999, 1_000, 1_234_567].map(thousands)[..]
        );
        let shown = [12.3, 1_234.0, 45_678.0, 2_500_000.0].map(time);
        assert_eq!(shown, ["12 µs", "1.23 ms", "46 ms", "2.50 s"]);
    }
}
