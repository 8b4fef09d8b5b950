//! One page for one run or several: everything in one file, for screens in light and dark, and for
//! paper.

use std::fmt::Write as _;

use super::Report;
use super::plot::{Axis, COLOURS, Line, Scale, bars, escape, lines};
use super::table::{thousands, time};

/// Colours that are told apart by most eyes, on white and on dark.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b2430;--soft:#5a6675;--back:#fff;--card:#f6f8fa;--rule:#dce1e7;\
--bad:#b3261e;--good:#18794e;--c0:#2563c9;--c1:#d9480f;--c2:#0b8a6a;--c3:#8a3ab9;--c4:#b08900;\
--c5:#c2255c;--c6:#3b7a99;--c7:#6b7280}\
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa6b5;--back:#12161c;--card:#1a2029;\
--rule:#2c3541;--bad:#ff8a80;--good:#5fd39b;--c0:#6ea8fe;--c1:#ff9a62;--c2:#4fd1ab;--c3:#c890f0;\
--c4:#e3c04b;--c5:#ff86ac;--c6:#86c5e0;--c7:#a9b1bd}}\
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--ink);\
font:15px/1.5 system-ui,sans-serif}main{max-width:1180px;margin:0 auto;padding:24px 20px 48px}\
h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:32px 0 10px}h3{font-size:14px;margin:0 0 6px}\
p{margin:4px 0}.soft{color:var(--soft)}.bad{color:var(--bad);font-weight:600}\
.good{color:var(--good);font-weight:600}\
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:14px;align-items:start}\
.card{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:12px 14px;\
break-inside:avoid}svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font-size:13px}\
.grid{stroke:var(--rule);stroke-width:1;fill:none}.line{fill:none;stroke-width:2;\
stroke-linejoin:round}.dashed{stroke-dasharray:5 4}\
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{text-align:right;padding:5px 7px;border-bottom:1px solid var(--rule);white-space:nowrap}\
table{font-size:14px}th{font-weight:600;color:var(--soft);font-size:12px;vertical-align:bottom}\
th:first-child,td:first-child{text-align:left;white-space:normal;min-width:8em}\
.name{margin-right:16px;white-space:nowrap}.key{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:7px;\
background:currentColor}dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:8px 0}\
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}\
@media print{:root{--ink:#000;--soft:#444;--back:#fff;--card:#fff;--rule:#bbb;--bad:#b3261e;\
--good:#18794e;--c0:#2563c9;--c1:#d9480f;--c2:#0b8a6a;--c3:#8a3ab9;--c4:#b08900;--c5:#c2255c;\
--c6:#3b7a99;--c7:#6b7280}body{font-size:11px}main{max-width:none;padding:0}\
.plots{grid-template-columns:1fr 1fr}h1{font-size:18px}h2{font-size:14px;\
break-after:avoid;margin:16px 0 6px}h3{font-size:11px}table{font-size:9.5px}th{font-size:8.5px}\
th,td{padding:3px 4px}.scroll{overflow:visible}svg text{font-size:15px}\
*{print-color-adjust:exact}}";

/// The page.
pub fn render(reports: &[Report]) -> String {
    let mut page = String::from(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content='width=device-width,initial-scale=1'>\
         <title>fanfare bench</title><style>",
    );
    page.push_str(STYLE);
    for colour in 0..COLOURS {
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            ".line.c{colour}{{stroke:var(--c{colour})}}.bar.c{colour}{{fill:var(--c{colour})}}\
             .key.c{colour}{{color:var(--c{colour})}}"
        );
    }
    page.push_str("</style><main><h1>fanfare bench</h1>");
    head(&mut page, reports);
    let mut scenarios: Vec<&str> = Vec::new();
    for report in reports {
        if !scenarios.contains(&report.scenario.as_str()) {
            scenarios.push(&report.scenario);
        }
    }
    for name in scenarios {
        let of = reports.iter().filter(|report| report.scenario == name);
        // What is beside a storm is told with the storm.
        let with_beside = of.flat_map(|run| {
            let beside = run.beside.as_deref().filter(|_| run.storm.is_none());
            std::iter::once(run).chain(beside)
        });
        scenario(&mut page, name, &with_beside.collect::<Vec<_>>());
    }
    page.push_str("<h2>Runs</h2>");
    reports.iter().for_each(|report| run(&mut page, report));
    page + "</main></html>\n"
}

fn head(page: &mut String, reports: &[Report]) {
    let Some(first) = reports.first() else { return };
    let machine = &first.machine;
    let cpu = if machine.cpu.is_empty() { "CPU not named" } else { &machine.cpu };
    let _ = write!(
        page,
        "<p class=soft>{} · {} cores, {} · Linux {} · latency counts from the time that a message \
         was meant to be sent</p>",
        escape(&first.tool),
        machine.cores,
        escape(cpu),
        escape(&machine.kernel)
    );
    let bad = reports.iter().filter(|report| !report.ok).count();
    if bad > 0 {
        let _ = write!(page, "<p class=bad>{bad} of {} runs are not ok</p>", reports.len());
    }
}

/// What is compared: its title, its value in a run if it has one, and how that is written.
type Compared = (&'static str, fn(&Report) -> Option<f64>, fn(f64) -> String);

/// One scenario: the table, and the plots that compare its runs.
fn scenario(page: &mut String, name: &str, reports: &[&Report]) {
    let _ = write!(page, "<h2>{}</h2>", escape(name));
    table(page, reports);
    if reports.len() > 1 {
        page.push_str("<p class=soft style='margin:10px 0'>");
        for (at, report) in reports.iter().enumerate() {
            let (colour, name) = (at % COLOURS, escape(report.name()));
            let _ =
                write!(page, "<span class=name><span class='key c{colour}'></span>{name}</span> ");
        }
        page.push_str("</p>");
    }
    page.push_str("<div class=plots style='margin-top:12px'>");
    if reports.iter().any(|report| report.latency_us.count > 0) {
        percentiles(page, reports);
        course(page, reports);
    }
    if reports.iter().any(|report| steady(report).is_some()) {
        percentiles_of_steady(page, reports);
    }
    let compared: [Compared; 6] = [
        (
            "Server CPU per delivery",
            |report| report.server.as_ref()?.cpu_us_per_delivery,
            |us| format!("{us:.3} µs"),
        ),
        (
            "Deliveries a second",
            |report| Some(report.deliveries.per_s).filter(|per_s| *per_s > 0.0),
            |per_s| thousands(per_s as u64),
        ),
        (
            "Server memory per connection",
            |report| Some(report.server.as_ref()?.rss_per_connection_bytes).filter(|b| *b > 0.0),
            |bytes| format!("{:.2} KiB", bytes / 1_024.0),
        ),
        (
            "Everybody served after a storm",
            |report| report.storm.as_ref()?.full_recovery_ms,
            |ms| time(ms * 1e3),
        ),
        (
            "Latency (p99) of those that stay, before a storm",
            |report| Some(steady(report)?.before_us.p99),
            time,
        ),
        (
            "Latency (p99) of those that stay, in the storm",
            |report| Some(steady(report)?.during_us.p99),
            time,
        ),
    ];
    for (title, value, label) in compared {
        let found: Vec<(String, f64, String)> = reports
            .iter()
            .filter_map(|report| Some((report.name().to_owned(), value(report)?)))
            .map(|(name, value)| (name, value, label(value)))
            .collect();
        if !found.is_empty() && found.len() == reports.len() {
            card(page, title, &bars(title, &found));
        }
    }
    page.push_str("</div>");
}

fn steady(report: &Report) -> Option<&super::Steady> {
    report.storm.as_ref()?.steady.as_ref()
}

fn card(page: &mut String, title: &str, svg: &str) {
    let _ = write!(page, "<div class=card><h3>{}</h3>{svg}</div>", escape(title));
}

fn percentiles(page: &mut String, reports: &[&Report]) {
    let x = Axis { title: "percentile", scale: Scale::Nines, label: |value| format!("{value}") };
    let y = Axis { title: "", scale: Scale::Log, label: axis_time };
    let all = |pick: fn(&Report) -> &super::Summary| -> Vec<Line> {
        let line = |(colour, report): (usize, &&Report)| Line {
            colour,
            is_dashed: false,
            points: pick(report).percentiles.clone(),
        };
        reports.iter().enumerate().map(line).collect()
    };
    let title = "Latency of each delivery";
    card(page, title, &lines(title, &x, &y, &all(|report| &report.latency_us)));
    let title = "Until the last subscriber has it";
    card(page, title, &lines(title, &x, &y, &all(|report| &report.last_subscriber_us)));
}

/// What those felt that stayed connected: before the storm dashed, in it drawn through.
fn percentiles_of_steady(page: &mut String, reports: &[&Report]) {
    let x = Axis { title: "percentile", scale: Scale::Nines, label: |value| format!("{value}") };
    let y = Axis { title: "", scale: Scale::Log, label: axis_time };
    let all: Vec<Line> =
        reports
            .iter()
            .enumerate()
            .filter_map(|(colour, report)| Some((colour, steady(report)?)))
            .flat_map(|(colour, steady)| {
                [(true, &steady.before_us), (false, &steady.during_us)].map(|(is_dashed, times)| {
                    Line { colour, is_dashed, points: times.percentiles.clone() }
                })
            })
            .collect();
    let title = "Latency of those that stay: before (dashed) and in the storm";
    card(page, title, &lines(title, &x, &y, &all));
}

fn course(page: &mut String, reports: &[&Report]) {
    let x = Axis { title: "seconds", scale: Scale::Time, label: |value| format!("{value}") };
    let line = |value: fn(&super::Point) -> Option<f64>, is_dashed: bool| {
        move |(colour, report): (usize, &&Report)| {
            let points = report.series.iter();
            let points = points.filter_map(|point| Some((point.t_ms / 1e3, value(point)?)));
            Line { colour, is_dashed, points: points.collect() }
        }
    };
    let runs = || reports.iter().enumerate();
    let y = Axis { title: "", scale: Scale::Linear, label: axis_count };
    let rates = runs().map(line(|point| Some(point.received as f64 / point.span_ms * 1e3), false));
    let title = "Deliveries a second, over time";
    card(page, title, &lines(title, &x, &y, &rates.collect::<Vec<_>>()));
    let y = Axis { title: "", scale: Scale::Log, label: axis_time };
    let tails = runs().map(line(|point| point.p99_us, false));
    let middles = runs().map(line(|point| point.p50_us, true));
    let title = "Latency over time: p99, and p50 dashed";
    card(page, title, &lines(title, &x, &y, &tails.chain(middles).collect::<Vec<_>>()));
    let y = Axis { title: "", scale: Scale::Linear, label: |value| format!("{value:.2}") };
    let server = runs().map(line(|point| point.server_cpu_cores, false));
    let own = runs().map(line(|point| Some(point.generator_cpu_cores), true));
    let title = "Cores busy: the server, and the generator dashed";
    card(page, title, &lines(title, &x, &y, &server.chain(own).collect::<Vec<_>>()));
}

/// Short, for an axis.
fn axis_time(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us} µs"),
        us if us < 1e6 => format!("{} ms", us / 1e3),
        us => format!("{} s", us / 1e6),
    }
}

fn axis_count(count: f64) -> String {
    match count {
        count if count < 1e3 => format!("{count}"),
        count if count < 1e6 => format!("{} k", count / 1e3),
        count => format!("{} M", count / 1e6),
    }
}

fn table(page: &mut String, reports: &[&Report]) {
    page.push_str(
        "<div class=scroll><table><tr><th>run<th>subscribers<th>messages/s<th>deliveries/s<th>p50\
         <th>p99<th>p99.9<th>last p99<th>lost, doubled,<br>late<th>CPU per<br>delivery\
         <th>memory per<br>connection<th></tr>",
    );
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
    for (at, report) in reports.iter().enumerate() {
        let is_any = report.latency_us.count > 0;
        let of = |us: f64| or_none(is_any.then(|| time(us)));
        let server = report.server.as_ref();
        let cpu = server.and_then(|server| server.cpu_us_per_delivery);
        let memory = server.map(|server| server.rss_per_connection_bytes / 1_024.0);
        let deliveries = &report.deliveries;
        let verdict = if report.ok { "<td class=good>ok" } else { "<td class=bad>not ok" };
        let _ = write!(
            page,
            "<tr><td><span class='key c{}'></span>{}",
            at % COLOURS,
            escape(report.name())
        );
        for cell in [
            thousands(report.connect.connected),
            or_none(is_any.then(|| thousands(report.messages.per_s.round() as u64))),
            or_none(is_any.then(|| thousands(deliveries.per_s as u64))),
            of(report.latency_us.p50),
            of(report.latency_us.p99),
            of(report.latency_us.p999),
            of(report.last_subscriber_us.p99),
            format!("{}, {}, {}", deliveries.lost, deliveries.doubled, deliveries.reordered),
            or_none(cpu.map(|us| format!("{us:.3} µs"))),
            or_none(memory.map(|kib| format!("{kib:.2} KiB"))),
        ] {
            let _ = write!(page, "<td>{cell}");
        }
        page.push_str(verdict);
        page.push_str("</tr>");
    }
    page.push_str("</table></div>");
}

/// What a run was told, and what was noted.
fn run(page: &mut String, report: &Report) {
    let told = &report.options;
    let pace = match (told.rate_per_s, told.window) {
        (Some(rate), _) => format!("{rate} messages/s, open loop"),
        (None, Some(window)) => format!("{window} messages in flight, closed loop"),
        (None, None) => "none".to_owned(),
    };
    let _ = write!(
        page,
        "<div class=card style='margin-bottom:12px'><h3>{} · {}</h3><dl>",
        escape(report.name()),
        escape(&report.scenario)
    );
    let seconds = |ms: f64| format!("{} s", ms / 1e3);
    let rows = [
        ("url", told.url.clone()),
        ("traffic", format!("{pace}, {} bytes, published by {}", told.message_bytes, told.publish)),
        (
            "channels",
            format!("{}, {} for each subscriber", told.channels, told.channels_per_session),
        ),
        ("measured", format!("{} after {}", seconds(told.duration_ms), seconds(told.warmup_ms))),
        ("connecting", format!("{:.0} a second", report.connect.per_s)),
        ("generator", format!("{:.0} % of a core", report.generator.cpu_cores * 100.0)),
        ("ended", report.outcome.clone()),
    ];
    let tls = super::table::tls(report).map(|text| ("TLS", text));
    for (name, value) in rows.into_iter().chain(tls) {
        let _ = write!(page, "<dt>{name}<dd>{}", escape(&value));
    }
    page.push_str("</dl>");
    for note in &report.notes {
        let _ = write!(page, "<p class=soft>Note: {}</p>", escape(note));
    }
    for fault in &report.faults {
        let _ = write!(page, "<p class=bad>{}</p>", escape(fault));
    }
    page.push_str("</div>");
}
