//! The loop: waits, reads, sends what is due, and takes samples.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::client::CARRIED_BYTES_MAX;
use super::companion::{Companion, Gate};
use super::connect::Handshake;
use super::interrupt::Interrupt;
use super::measure::{Processes, own_cpu};
use super::options::Options;
use super::pacer::{Due, Pacer};
use super::pool::Pool;
use super::publisher::Publishers;
use super::report::Point;
use super::stats::{Times, round};
use super::tally::Tally;
use super::{BenchError, Progress};

/// One read: what a server writes in one pass over many messages.
const BUFFER_BYTES: usize = 256 << 10;
const EVENTS_MAX: usize = 1_024;
/// Woken for a signal.
const STOP: Token = Token(usize::MAX);
/// The longest wait, so that deadlines and samples need no timers.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// A wait that ends by the clock ends about so much late (Linux: timer slack), so the last part is spun.
const SPIN: Duration = Duration::from_micros(60);
/// Descriptors that are neither subscribers' nor publishers'.
const DESCRIPTORS_BESIDE: u64 = 64;
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Everything that runs, and what was counted.
pub(crate) struct Rig<'p> {
    pub(crate) options: Options,
    pub(crate) pool: Pool,
    pub(crate) tally: Tally,
    pub(crate) pacer: Pacer,
    /// Sent in all.
    pub(crate) sent: u64,
    pub(crate) lateness: Times,
    pub(crate) publishers: Option<Publishers>,
    /// Why publishing ended, if it did by itself.
    pub(crate) publisher_fault: Option<String>,
    pub(crate) server: Option<Processes>,
    pub(crate) is_interrupted: bool,
    pub(crate) course: Option<Course>,
    /// What runs at the same time in a thread of its own.
    pub(crate) companion: Option<Companion>,
    /// Held until the other one of two lets it begin.
    pub(crate) gate: Option<Gate>,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    /// Connections with more to read.
    unread: Vec<usize>,
    progress: &'p mut dyn FnMut(&Progress),
    phase: &'static str,
    told: (Instant, u64, u64),
    _interrupt: Interrupt,
}

/// The samples of the measurement.
pub(crate) struct Course {
    began: Instant,
    every: Duration,
    last: (Instant, u64, Duration, Duration),
    pub(crate) points: Vec<Point>,
}

impl<'p> Rig<'p> {
    pub(crate) fn new(
        options: &Options,
        progress: &'p mut dyn FnMut(&Progress),
    ) -> Result<Self, BenchError> {
        check_descriptors(options)?;
        let poll = Poll::new().map_err(BenchError::io("make a poll"))?;
        let waker = Waker::new(poll.registry(), STOP).map_err(BenchError::io("make a waker"))?;
        let interrupt = Interrupt::listen(Arc::new(waker))?;
        Ok(Self {
            pool: Pool::new(options, Handshake::new())?,
            tally: Tally::new(options, rand::random()),
            pacer: Pacer::Off,
            sent: 0,
            lateness: Times::new(),
            publishers: None,
            publisher_fault: None,
            server: Processes::new(&options.pids)?,
            is_interrupted: false,
            course: None,
            companion: None,
            gate: None,
            options: options.clone(),
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            buffer: vec![0; BUFFER_BYTES + CARRIED_BYTES_MAX],
            unread: Vec::new(),
            progress,
            phase: "connecting",
            told: (Instant::now(), 0, 0),
            _interrupt: interrupt,
        })
    }

    pub(crate) fn open_publishers(&mut self) -> Result<(), BenchError> {
        let handshake = Handshake::new();
        let first = self.options.subscribers;
        let publishers = Publishers::open(&self.options, handshake, self.poll.registry(), first)?;
        self.publishers = Some(publishers);
        Ok(())
    }

    /// Stops watching those that stop reading.
    pub(crate) fn stall(&mut self) {
        for session in self.pool.sessions.iter_mut().filter(|session| session.is_to_stall) {
            session.unwatch(self.poll.registry());
        }
    }

    pub(crate) fn begin_course(&mut self, every: Duration) {
        let now = Instant::now();
        let server = self.server.as_ref().map_or(Duration::ZERO, |server| server.cpu().total());
        let last = (now, self.sent, server, own_cpu());
        self.tally.recent.clear();
        self.tally.recent_received = 0;
        self.course = Some(Course { began: now, every, last, points: Vec::new() });
    }

    /// Goes on until something is so, or until a time; false if it was the time, or a signal, or the
    /// end of the publisher.
    pub(crate) fn run_until(
        &mut self,
        phase: &'static str,
        end: Instant,
        mut is_done: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        self.phase = phase;
        loop {
            if is_done(self) {
                return true;
            }
            let is_over = self.is_interrupted || self.publisher_fault.is_some();
            if is_over || Instant::now() >= end {
                return false;
            }
            self.turn(end);
        }
    }

    fn turn(&mut self, end: Instant) {
        let now = Instant::now();
        self.pool.turn(&self.options, self.poll.registry(), now);
        self.send_due();
        let wake_at = end.min(now + WAIT_MAX).min(self.next_send().unwrap_or(end));
        self.wait(wake_at);
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            match event.token() {
                STOP => self.is_interrupted = true,
                token => self.handle(token.0, event.is_read_closed()),
            }
            self.send_due();
        }
        self.events = events;
        for at in std::mem::take(&mut self.unread) {
            self.handle(at, false);
            self.send_due();
        }
        self.sample(false);
        self.tell();
    }

    fn handle(&mut self, at: usize, is_to_end: bool) {
        let subscribers = self.options.subscribers;
        if at < subscribers {
            let now = Instant::now();
            let now_ns = now.duration_since(self.tally.epoch).as_nanos() as u64;
            let Self { pool, options, tally, buffer, .. } = self;
            if pool.handle(at, options, tally, buffer, (now, now_ns), is_to_end) {
                self.unread.push(at);
            }
            return;
        }
        let Some(publishers) = &mut self.publishers else { return };
        let registry = self.poll.registry();
        let handled =
            publishers.handle(at - subscribers, &mut self.tally, &mut self.buffer, registry);
        self.note_publisher(handled);
    }

    fn note_publisher(&mut self, done: Result<(), BenchError>) {
        if let Err(error) = done {
            self.publisher_fault.get_or_insert(error.to_string());
        }
    }

    /// Sends what is due, as far as the server takes it.
    fn send_due(&mut self) {
        if self.pacer == Pacer::Off || !self.may_begin() {
            return;
        }
        for _ in 0..self.pacer.at_once() {
            if self.publisher_fault.is_some() {
                break;
            }
            let now_ns = self.tally.now_ns();
            let Due::Now(intended_ns) = self.pacer.due(now_ns, self.tally.counts.in_flight) else {
                break;
            };
            if !self.has_room() {
                break;
            }
            let channel = self.next_channel();
            let Some(publishers) = &mut self.publishers else { break };
            let number = self.tally.channels[channel].next;
            let message = self.tally.depart(channel, intended_ns, self.options.message_bytes);
            publishers.publish(channel, number, &message);
            self.lateness.record(now_ns - intended_ns);
            self.pacer.sent();
            self.sent += 1;
        }
        let flushed = self.publishers.as_mut().map_or(Ok(()), Publishers::flush);
        self.note_publisher(flushed);
    }

    fn may_begin(&self) -> bool {
        self.pacer.may_begin(self.tally.counts.in_flight)
    }

    fn next_channel(&self) -> usize {
        (self.sent % self.options.channels as u64) as usize
    }

    /// Whether the next message can be handed over.
    fn has_room(&self) -> bool {
        let room = |publishers: &Publishers| publishers.has_room(self.next_channel());
        self.publishers.as_ref().is_some_and(room)
    }

    fn next_send(&self) -> Option<Instant> {
        let at = |ns| Some(self.tally.epoch + Duration::from_nanos(ns));
        match self.pacer.due(self.tally.now_ns(), self.tally.counts.in_flight) {
            Due::At(ns) => at(ns),
            // Became due since it was last looked; without room the connection says when it has some.
            Due::Now(ns) if self.may_begin() && self.has_room() => at(ns),
            Due::Now(_) | Due::Waiting | Due::Over => None,
        }
    }

    /// Waits for an event, to the tenth of a millisecond: `epoll_wait` alone counts in whole ones.
    fn wait(&mut self, until: Instant) {
        self.poll_now();
        let left = until.saturating_duration_since(Instant::now());
        if !self.events.is_empty() || !self.unread.is_empty() || left <= SPIN {
            return;
        }
        let left = left - SPIN;
        let timeout =
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut waited = [PollFd::new(self.poll.registry(), PollFlags::IN)];
        // Interrupted is as good as woken.
        let _ = poll(&mut waited, Some(&timeout));
        self.poll_now();
    }

    fn poll_now(&mut self) {
        if self.poll.poll(&mut self.events, Some(Duration::ZERO)).is_err() {
            self.events.clear();
        }
    }

    /// Adds a point to the course if it is time, or anyway at the end.
    pub(crate) fn sample(&mut self, is_last: bool) {
        let Some(course) = &mut self.course else { return };
        let now = Instant::now();
        let span = now.duration_since(course.last.0);
        // A short piece at the end would say more of where it was cut than of the server.
        let enough = if is_last { course.every / 2 } else { course.every };
        if span < enough || span.is_zero() {
            return;
        }
        let server = self.server.as_ref().map(|server| server.cpu().total());
        let own = own_cpu();
        let cores = |used: Duration| round(used.as_secs_f64() / span.as_secs_f64());
        let (_, sent, server_before, own_before) = course.last;
        course.points.push(Point {
            t_ms: round(now.duration_since(course.began).as_secs_f64() * 1e3),
            span_ms: round(span.as_secs_f64() * 1e3),
            sent: self.sent - sent,
            received: self.tally.recent_received,
            p50_us: self.tally.recent.percentile_us(50.0),
            p99_us: self.tally.recent.percentile_us(99.0),
            max_us: self.tally.recent.max_us(),
            server_cpu_cores: server.map(|server| cores(server.saturating_sub(server_before))),
            generator_cpu_cores: cores(own.saturating_sub(own_before)),
        });
        course.last = (now, self.sent, server.unwrap_or_default(), own);
        self.tally.recent.clear();
        self.tally.recent_received = 0;
    }

    fn tell(&mut self) {
        let (when, sent, received) = self.told;
        let now = Instant::now();
        let span = now.duration_since(when);
        if span < PROGRESS_EVERY {
            return;
        }
        let progress = Progress {
            phase: self.phase,
            elapsed: now.duration_since(self.tally.epoch),
            connected: self.pool.counts.open,
            sent: self.sent - sent,
            received: self.tally.arrivals - received,
            span,
            p99_us: self.tally.latency.percentile_us(99.0),
        };
        (self.progress)(&progress);
        self.told = (now, self.sent, self.tally.arrivals);
    }
}

/// Raises the limit of open files to what the system allows.
///
/// # Errors
/// That is too little.
fn check_descriptors(options: &Options) -> Result<(), BenchError> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let publishers = options.channels as u64;
    let beside = options.scenario.beside().map_or(0, |beside| beside.subscribers as u64 + 1);
    let needed = options.subscribers as u64 + publishers + beside + DESCRIPTORS_BESIDE;
    match current {
        Some(most) if most < needed => Err(BenchError::Options(format!(
            "{} subscribers need {needed} open files and {most} are allowed; raise the limit \
             (ulimit -n) or take fewer",
            options.subscribers
        ))),
        _ => Ok(()),
    }
}
