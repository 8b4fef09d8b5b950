//! All subscribers: who is to connect, who is connecting, who is there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};

use super::connect::{self, Handshake, NotOpen};
use super::inflate;
use super::options::{Options, Scenario};
use super::stats::Times;
use super::stream::{Agreed, Stream};
use super::tally::{Account, Tally};
use super::target::Target;
pub(crate) use session::Session;
use session::{Ready, State};

mod session;

/// Connections that are started before events are looked at again.
const STARTS_PER_TURN: usize = 64;
/// Texts of failures that are told apart.
const FAILURES_MAX: usize = 16;
/// How long a subscriber that was not let in waits before it tries again, where it does: the first
/// time, and each time twice as long up to the last, if the server does not say when.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LAST: Duration = Duration::from_secs(3);
/// How much longer it may be, so that not all come back at once.
const RETRY_JITTER: f64 = 0.25;

/// All of them.
pub(crate) struct Pool {
    pub(crate) sessions: Vec<Session>,
    target: Target,
    handshake: Handshake,
    to_start: VecDeque<usize>,
    to_retry: BTreeSet<(Instant, usize)>,
    /// When each attempt has to be over, by the count of attempts of its session.
    deadlines: VecDeque<(Instant, usize, u32)>,
    opening: usize,
    pub(crate) parallel: usize,
    /// Whether those that fail try again.
    pub(crate) is_persistent: bool,
    /// From when the times of handshakes count, if not each from its own start.
    pub(crate) since: Option<Instant>,
    pub(crate) counts: PoolCounts,
    pub(crate) handshakes: Times,
    failures: BTreeMap<String, u64>,
    agreed: BTreeMap<(&'static str, &'static str), Agreements>,
    began: Instant,
}

/// Handshakes of TLS that ended with the same version and suite.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Agreements {
    pub(crate) full: u64,
    pub(crate) resumed: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PoolCounts {
    /// Attempts over the whole run: also the number of the next source.
    pub(crate) attempted: u64,
    pub(crate) open: usize,
    /// Handshakes that agreed on permessage-deflate.
    pub(crate) deflating: usize,
    pub(crate) failed: u64,
    /// Attempts that the server asked to come later, and that did.
    pub(crate) put_off: u64,
    /// Open ones whose connection ended.
    pub(crate) ended: u64,
}

impl Pool {
    pub(crate) fn new(options: &Options, handshake: Handshake) -> Result<Self, super::BenchError> {
        let target = Target::new(&options.url, "--url", "ws", &options.tls)?;
        let stalled = options.scenario.stalled_percent() / 100.0;
        // Spread evenly: one whenever the count reaches the next whole number.
        let is_to_stall =
            |at: usize| ((at + 1) as f64 * stalled) as u64 > (at as f64 * stalled) as u64;
        let session = |at| Session::new(channels_of(at, options), is_to_stall(at));
        Ok(Self {
            sessions: (0..options.subscribers).map(session).collect(),
            target,
            handshake,
            to_start: VecDeque::new(),
            to_retry: BTreeSet::new(),
            deadlines: VecDeque::new(),
            opening: 0,
            parallel: options.connect_parallel,
            is_persistent: false,
            since: None,
            counts: PoolCounts::default(),
            handshakes: Times::new(),
            failures: BTreeMap::new(),
            agreed: BTreeMap::new(),
            began: Instant::now(),
        })
    }

    /// Has everybody connect who is not connected.
    pub(crate) fn start_all(&mut self, now: Instant) {
        self.began = now;
        self.to_start = (0..self.sessions.len()).collect();
    }

    /// Whether nobody is on the way.
    pub(crate) fn is_settled(&self) -> bool {
        self.to_start.is_empty() && self.to_retry.is_empty() && self.opening == 0
    }

    /// Starts as many connections as may be, and gives up those that take too long.
    pub(crate) fn turn(&mut self, options: &Options, registry: &Registry, now: Instant) {
        while let Some(&(deadline, at, attempt)) = self.deadlines.front() {
            let is_over = self.sessions[at].attempt != attempt || !self.sessions[at].is_opening();
            if !is_over && deadline > now {
                break;
            }
            self.deadlines.pop_front();
            if !is_over {
                self.fail(at, "it took too long (--connect-timeout)".to_owned(), now);
            }
        }
        while self.to_retry.first().is_some_and(|(at, _)| *at <= now) {
            self.to_start.extend(self.to_retry.pop_first().map(|(_, at)| at));
        }
        for _ in 0..STARTS_PER_TURN {
            let is_paced = options.connect_rate_per_s.is_some_and(|rate| {
                self.counts.attempted as f64 > now.duration_since(self.began).as_secs_f64() * rate
            });
            if self.opening >= self.parallel || is_paced {
                break;
            }
            let Some(at) = self.to_start.pop_front() else { break };
            self.start(at, options, registry, now);
        }
    }

    fn start(&mut self, at: usize, options: &Options, registry: &Registry, now: Instant) {
        let source = options.source(self.counts.attempted as usize);
        self.counts.attempted += 1;
        let session = &mut self.sessions[at];
        let started = connect::start(self.target.addr, source, session.is_to_stall);
        let watched = started.and_then(|mut stream| {
            registry.register(&mut stream, Token(at), Interest::READABLE | Interest::WRITABLE)?;
            Stream::new(stream, &self.target)
        });
        self.opening += 1;
        session.attempt += 1;
        match watched {
            Ok(stream) => {
                session.state = State::opening(stream, now);
                self.deadlines.push_back((now + options.connect_timeout, at, session.attempt));
            }
            Err(error) => self.fail(at, connect::error_text(&error), now),
        }
    }

    fn fail(&mut self, at: usize, why: impl Into<NotOpen>, now: Instant) {
        let NotOpen { text, retry_after } = why.into();
        self.opening -= 1;
        self.sessions[at].state = State::Absent;
        if self.failures.len() < FAILURES_MAX || self.failures.contains_key(&text) {
            *self.failures.entry(text).or_default() += 1;
        }
        if self.is_persistent {
            self.counts.put_off += u64::from(retry_after.is_some());
            let in_vain = self.sessions[at].in_vain;
            self.sessions[at].in_vain += 1;
            self.to_retry.insert((now + pause(retry_after, in_vain), at));
        } else {
            self.counts.failed += 1;
        }
    }

    /// Does what a connection is ready for; returns whether there is more to read.
    pub(crate) fn handle(
        &mut self,
        at: usize,
        options: &Options,
        tally: &mut Tally,
        buffer: &mut [u8],
        now: (Instant, u64),
        is_to_end: bool,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(at) else { return false };
        if let State::Opening(opening) = &mut session.state {
            let request = || {
                let names: Vec<String> = session
                    .channels
                    .iter()
                    .map(|c| options.channel_name(usize::from(*c)))
                    .collect();
                let mut headers = options.headers.clone();
                let (name, value) = inflate::OFFER;
                headers.extend(options.deflate.then(|| (name.to_owned(), value.to_owned())));
                self.handshake.request(&self.target.host, &self.target.path(&names), &headers)
            };
            match opening.advance(&self.handshake, request) {
                Ok(None) => return false,
                Ok(Some((answer, early))) => {
                    self.counts.deflating += usize::from(answer.deflates);
                    let (began, agreed) = self.sessions[at].open(answer.deflates);
                    agreed.into_iter().for_each(|agreed| self.note(agreed));
                    self.opened(at, began, &early, options, tally, now);
                }
                Err(why) => {
                    self.fail(at, why, now.0);
                    return false;
                }
            }
        }
        match self.sessions[at].read(buffer, tally, now.1, is_to_end) {
            Ready::No => false,
            Ready::More => true,
            Ready::Ended => {
                self.counts.open -= 1;
                self.counts.ended += 1;
                false
            }
        }
    }

    fn opened(
        &mut self,
        at: usize,
        began: Instant,
        early: &[u8],
        options: &Options,
        tally: &mut Tally,
        now: (Instant, u64),
    ) {
        let session = &mut self.sessions[at];
        self.opening -= 1;
        self.counts.open += 1;
        let took = now.0.saturating_duration_since(self.since.unwrap_or(began));
        self.handshakes.record(took.as_nanos() as u64);
        if let Some(template) = &options.subscribe_message {
            session.subscribe(template, options);
        }
        session.take_early(early, tally, now.1);
    }

    fn note(&mut self, Agreed { version, cipher_suite, is_resumed }: Agreed) {
        let counts = self.agreed.entry((version, cipher_suite)).or_default();
        counts.full += u64::from(!is_resumed);
        counts.resumed += u64::from(is_resumed);
    }

    /// The versions and suites of TLS, and how often each was agreed on.
    pub(crate) fn agreed(&self) -> impl Iterator<Item = (&str, &str, Agreements)> {
        self.agreed.iter().map(|((version, suite), counts)| (*version, *suite, *counts))
    }

    /// Cuts everybody off, and has them forget what they had; returns what was amiss until then.
    pub(crate) fn cut_all(&mut self) -> Vec<Account> {
        self.counts.open = 0;
        self.sessions.iter_mut().map(Session::cut).collect()
    }

    /// The texts of failures, and how often each came.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&str, u64)> {
        self.failures.iter().map(|(text, count)| (text.as_str(), *count))
    }
}

/// How long to wait before the next attempt.
fn pause(retry_after: Option<Duration>, in_vain: u32) -> Duration {
    let backoff = RETRY_FIRST.saturating_mul(1 << in_vain.min(16)).min(RETRY_LAST);
    let jitter = 1.0 + RETRY_JITTER * rand::random::<f64>();
    retry_after.unwrap_or(backoff).mul_f64(jitter)
}

/// The channels of a subscriber: one after the other if it is in one; otherwise spread at random, the
/// same in every run.
fn channels_of(at: usize, options: &Options) -> Vec<u16> {
    let (channels, wanted) = (options.channels, options.channels_per_session);
    if wanted == channels {
        return (0..channels).map(|channel| channel as u16).collect();
    }
    if wanted == 1 {
        return vec![(at % channels) as u16];
    }
    let mut chosen = std::collections::BTreeSet::new();
    let mut seed = at as u64;
    // Floyd's choice of `wanted` out of `channels`, without trying twice.
    for limit in channels - wanted..channels {
        seed = mix(seed);
        let one = (seed % (limit as u64 + 1)) as u16;
        if !chosen.insert(one) {
            chosen.insert(limit as u16);
        }
    }
    chosen.into_iter().collect()
}

/// A step of splitmix64.
fn mix(seed: u64) -> u64 {
    let seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let one = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let two = (one ^ one >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    two ^ two >> 31
}

/// Whether everybody is to be in every message's count: those that stopped reading are not.
pub(crate) fn is_counted(session: &Session, scenario: Scenario) -> bool {
    !(session.is_to_stall && matches!(scenario, Scenario::Stalled { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_spread_and_in_order() {
        let scenario = Scenario::Channels { rate_per_s: 1.0 };
        let options = Options {
            channels: 1_000,
            channels_per_session: 10,
            ..Options::new(scenario, "ws://127.0.0.1:1/{channel}")
        };
        let mut members = vec![0; 1_000];
        for at in 0..2_000 {
            let channels = channels_of(at, &options);
            assert!(channels.len() == 10 && channels.is_sorted_by(|a, b| a < b));
            channels.iter().for_each(|channel| members[usize::from(*channel)] += 1);
        }
        assert!(members.iter().all(|count| (2..60).contains(count)), "{members:?}");
        let one = Options { channels_per_session: 1, ..options };
        assert_eq!(channels_of(1_002, &one), [2]);
    }

    #[test]
    fn who_is_turned_away_waits_as_long_as_it_was_told_and_longer_each_time() {
        let told = pause(Some(Duration::from_secs(2)), 9);
        assert!((2.0..=2.5).contains(&told.as_secs_f64()), "{told:?}");
        for (in_vain, least_ms) in [(0, 50), (1, 100), (3, 400), (9, 3_000), (u32::MAX, 3_000)] {
            let ms = pause(None, in_vain).as_millis();
            assert!((least_ms..=least_ms * 5 / 4).contains(&ms), "{ms} after {in_vain}");
        }
    }

    #[test]
    fn the_stalled_are_a_part_of_all() {
        for (percent, expected) in [(0.0, 0), (10.0, 10), (33.0, 33), (99.0, 99)] {
            let scenario = Scenario::Stalled { rate_per_s: 1.0, percent };
            let options =
                Options { subscribers: 100, ..Options::new(scenario, "ws://127.0.0.1:1/") };
            let pool = Pool::new(&options, Handshake::new()).unwrap();
            let stalled = pool.sessions.iter().filter(|session| session.is_to_stall).count();
            assert_eq!(stalled, expected);
        }
    }
}
