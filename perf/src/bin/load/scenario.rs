//! One run: connect, settle, publish, count.

use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Faults, Role};
use super::options::{Options, Pace};
use super::process::Usage;
use super::swarm::{Plan, Swarm};
use super::tracker::{Times, Tracker};
use super::wire::Filler;

/// Traffic before anything is counted.
const WARM: Duration = Duration::from_millis(500);

/// Without a delivery for so long, what is missing is taken for lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the small channel's times are kept under; the others' are under 0.
const SMALL: usize = 1;

/// Without context, so that any message can be inflated by itself.
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
    client_no_context_takeover\r\n";

struct Run<'a> {
    options: &'a Options,
    swarm: Swarm,
    /// The connection that publishes to each channel.
    publishers: Vec<usize>,
    traffic: Traffic,
}

/// When the next message is due.
struct Traffic {
    due_ns: u64,
    small_due_ns: u64,
    /// A plain generator: which channel is next need not be unpredictable.
    random: u64,
}

/// Runs what the options say.
pub fn run(options: &Options) -> io::Result<Value> {
    let channels = options.channels + usize::from(options.small > 0);
    let mut tracker = Tracker::new(channels, 2);
    if options.small > 0 {
        tracker.set_group(options.channels as u16, SMALL);
    }
    let filler = match options.json {
        true => Filler::json(options.bytes),
        false => Filler::text(options.bytes),
    };
    let mut swarm = Swarm::new(options.target, tracker, filler)?;
    if options.deflate {
        swarm.headers.push_str(OFFER);
    }
    let traffic = Traffic { due_ns: 0, small_due_ns: 0, random: 0x9e37_79b9_7f4a_7c15 };
    let mut run = Run { options, swarm, publishers: Vec::new(), traffic };
    let report = run.all();
    run.swarm.end();
    report
}

impl Run<'_> {
    fn all(&mut self) -> io::Result<Value> {
        let options = self.options;
        let empty = Usage::of(&options.pids)?;
        self.connect(self.subscribers(), options.connecting)?;
        let connected = Usage::of(&options.pids)?;
        let settled = self.settle()?;
        let count = (options.subscribers + options.stalled + options.small).max(1);
        let mut report = json!({
            "subscribers": options.subscribers,
            "connect_cpu_us": connected.cpu_us_since(&empty) / count as f64,
            "deflating": self.swarm.deflating(),
            "rss_empty_kib": empty.rss_kib,
            "rss_connected_kib": settled.rss_kib,
            "rss_per_connection_kib":
                settled.rss_kib.saturating_sub(empty.rss_kib) as f64 / count as f64,
        });
        if options.seconds > 0.0 {
            self.connect_publishers()?;
            let measured = self.measure()?;
            merge(&mut report, measured);
        }
        let faults = self.swarm.faults;
        let lost = faults.lost + self.swarm.missing();
        merge(&mut report, verdict(Faults { lost, ..faults }));
        Ok(report)
    }

    fn subscribers(&self) -> Vec<Plan> {
        let options = self.options;
        let mut plans = Vec::new();
        for index in 0..options.subscribers + options.stalled {
            // Spread, so that every channel has as many, give or take one.
            let step = (options.channels / options.each).max(1);
            let channels: Vec<u16> = (0..options.each)
                .map(|which| ((index + which * step) % options.channels) as u16)
                .collect();
            // The stalled ones are among the others, not behind them.
            let nth = (options.subscribers + options.stalled) / options.stalled.max(1);
            let is_stalled = options.stalled > 0 && index % nth == nth - 1;
            let role = if is_stalled { Role::Stalled } else { Role::Subscriber };
            plans.push(Plan {
                path: path(&options.subscribe, &channels),
                role,
                channels,
                urgent: false,
            });
        }
        for _ in 0..options.small {
            let channels = vec![options.channels as u16];
            let path = path(&options.subscribe, &channels);
            plans.push(Plan { path, role: Role::Subscriber, channels, urgent: true });
        }
        plans
    }

    /// Connects with at most so many handshakes under way.
    fn connect(&mut self, plans: Vec<Plan>, at_once: usize) -> io::Result<()> {
        for plan in plans {
            self.swarm.connect(plan)?;
            self.wait_handshakes(at_once - 1)?;
        }
        self.wait_handshakes(0)
    }

    fn wait_handshakes(&mut self, most: usize) -> io::Result<()> {
        let since = Instant::now();
        while self.swarm.handshaking() > most {
            self.swarm.step(Duration::from_millis(100))?;
            if since.elapsed() > PATIENCE {
                return Err(io::Error::other("the server does not answer a handshake"));
            }
        }
        Ok(())
    }

    fn connect_publishers(&mut self) -> io::Result<()> {
        for channel in 0..self.options.channels + usize::from(self.options.small > 0) {
            let channels = vec![channel as u16];
            let path = path(&self.options.publish, &channels);
            let plan = Plan { path, role: Role::Publisher, channels, urgent: false };
            self.publishers.push(self.swarm.connect(plan)?);
            self.wait_handshakes(0)?;
        }
        Ok(())
    }

    /// Lets the server come to rest: until its memory has not changed for a second.
    fn settle(&mut self) -> io::Result<Usage> {
        let mut last = Usage::of(&self.options.pids)?;
        let mut still = 0;
        for _ in 0..40 {
            self.idle(Duration::from_millis(250))?;
            let now = Usage::of(&self.options.pids)?;
            still = if now.rss_kib == last.rss_kib { still + 1 } else { 0 };
            last = now;
            if still == 4 {
                break;
            }
        }
        Ok(last)
    }

    fn idle(&mut self, time: Duration) -> io::Result<()> {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.swarm.step(left)?;
        }
        Ok(())
    }

    fn measure(&mut self) -> io::Result<Value> {
        let options = self.options;
        let now = self.swarm.now_ns();
        (self.traffic.due_ns, self.traffic.small_due_ns) = (now, now);
        self.publish_for(WARM)?;
        if matches!(options.pace, Pace::Window(_)) {
            self.drain()?;
        }
        self.swarm.tracker.measuring = true;
        let (deliveries, sent) = (self.swarm.tracker.deliveries, self.swarm.tracker.sent);
        let (before, own) = (Usage::of(&options.pids)?, Usage::of(&[std::process::id()])?);
        let began = Instant::now();
        if options.joiners > 0 {
            self.storm()?;
        } else {
            self.publish_for(Duration::from_secs_f64(options.seconds))?;
        }
        let ended = Instant::now();
        self.drain()?;
        let elapsed = began.elapsed().as_secs_f64();
        let after = Usage::of(&options.pids)?;
        let own = Usage::of(&[std::process::id()])?.cpu_us_since(&own);
        self.swarm.tracker.measuring = false;
        let deliveries = self.swarm.tracker.deliveries - deliveries;
        let cpu_us = after.cpu_us_since(&before);
        let tracker = &self.swarm.tracker;
        Ok(json!({
            "messages": tracker.sent - sent,
            "deliveries": deliveries,
            "seconds": elapsed,
            "drain_ms": ended.elapsed().as_secs_f64() * 1e3,
            "deliveries_per_s": deliveries as f64 / elapsed,
            "cpu_us": cpu_us,
            "cpu_us_per_delivery": cpu_us / deliveries.max(1) as f64,
            "user_us_per_delivery":
                cpu_us * after.user_share_since(&before) / deliveries.max(1) as f64,
            "server_busy": cpu_us / 1e6 / elapsed,
            "generator_busy": own / 1e6 / elapsed,
            "rss_after_kib": after.rss_kib,
            "times_us": times(&tracker.groups[0]),
            "small_times_us": times(&tracker.groups[SMALL]),
        }))
    }

    /// Everybody comes at once, while messages flow.
    fn storm(&mut self) -> io::Result<()> {
        for _ in 0..self.options.joiners {
            let channels = vec![0];
            let path = path(&self.options.subscribe, &channels);
            self.swarm.connect(Plan { path, role: Role::Joiner, channels, urgent: false })?;
            self.publish_due()?;
            let since = Instant::now();
            while self.swarm.handshaking() >= self.options.connecting {
                self.step_until_due()?;
                self.publish_due()?;
                if since.elapsed() > PATIENCE {
                    return Err(io::Error::other("the server does not answer a handshake"));
                }
            }
        }
        self.wait_handshakes(0)?;
        // One more message for all of them: then everybody's count is complete.
        let now = self.swarm.now_ns();
        self.swarm.publish(self.publishers[0], &[(0, now)])
    }

    fn publish_for(&mut self, time: Duration) -> io::Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.publish_due()?;
            self.step_until_due()?;
        }
        Ok(())
    }

    fn step_until_due(&mut self) -> io::Result<()> {
        let now = self.swarm.now_ns();
        let mut wait = 10_000_000;
        if matches!(self.options.pace, Pace::Rate(_)) {
            wait = wait.min(self.traffic.due_ns.saturating_sub(now));
        }
        if self.options.small > 0 {
            wait = wait.min(self.traffic.small_due_ns.saturating_sub(now));
        }
        self.swarm.step(Duration::from_nanos(wait))
    }

    fn publish_due(&mut self) -> io::Result<()> {
        let now = self.swarm.now_ns();
        match self.options.pace {
            Pace::Window(window) => self.refill(window, now)?,
            Pace::Rate(rate) => {
                while self.traffic.due_ns <= now {
                    let channel = self.traffic.pick(self.options.channels);
                    let publisher = self.publishers[usize::from(channel)];
                    self.swarm.publish(publisher, &[(channel, self.traffic.due_ns)])?;
                    self.traffic.due_ns += (1e9 / rate) as u64;
                }
            }
        }
        let small = self.options.channels as u16;
        while self.options.small > 0 && self.traffic.small_due_ns <= now {
            let publisher = self.publishers[usize::from(small)];
            self.swarm.publish(publisher, &[(small, self.traffic.small_due_ns)])?;
            self.traffic.small_due_ns += (1e9 / self.options.small_rate) as u64;
        }
        Ok(())
    }

    /// Once half of the window is back, the other half goes out together.
    fn refill(&mut self, window: u64, now: u64) -> io::Result<()> {
        let outstanding = self.swarm.tracker.outstanding();
        if outstanding > window / 2 {
            return Ok(());
        }
        let count = (window - outstanding) as usize;
        if self.options.channels == 1 {
            return self.swarm.publish(self.publishers[0], &vec![(0, now); count]);
        }
        for _ in 0..count {
            let channel = self.traffic.pick(self.options.channels);
            self.swarm.publish(self.publishers[usize::from(channel)], &[(channel, now)])?;
        }
        Ok(())
    }

    /// Waits until everything has arrived, or nothing does any more.
    fn drain(&mut self) -> io::Result<()> {
        let mut last = (Instant::now(), self.swarm.tracker.deliveries);
        while self.swarm.tracker.outstanding() > 0 || self.is_joiner_behind() {
            self.swarm.step(Duration::from_millis(1))?;
            let deliveries = self.swarm.tracker.deliveries;
            if deliveries != last.1 {
                last = (Instant::now(), deliveries);
            } else if last.0.elapsed() > PATIENCE {
                break;
            }
        }
        Ok(())
    }

    fn is_joiner_behind(&self) -> bool {
        self.options.joiners > 0 && self.swarm.missing() > 0
    }
}

impl Traffic {
    fn pick(&mut self, channels: usize) -> u16 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % channels as u64) as u16
    }
}

fn path(template: &str, channels: &[u16]) -> String {
    let named: Vec<String> = channels.iter().map(|channel| format!("channel=c{channel}")).collect();
    template.replace("{channels}", &named.join("&"))
}

fn times(times: &Times) -> Value {
    let of = |histogram: &hdrhistogram::Histogram<u64>| {
        json!({
            "count": histogram.len(),
            "p50": histogram.value_at_quantile(0.5),
            "p90": histogram.value_at_quantile(0.9),
            "p99": histogram.value_at_quantile(0.99),
            "max": histogram.max(),
        })
    };
    json!({ "each": of(&times.each), "last": of(&times.last), "pass": of(&times.pass) })
}

fn verdict(faults: Faults) -> Value {
    let Faults { lost, doubled, reordered, closed } = faults;
    json!({ "lost": lost, "doubled": doubled, "reordered": reordered, "closed": closed })
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}
