//! What is counted while messages arrive.

use std::time::Instant;

use super::account::{Ledger, Seen};
use super::client::Piece;
use super::eras::Eras;
use super::flight::Flights;
use super::inflate::Inflater;
use super::options::Options;
use super::stamp::{Stamp, Stamper};
use super::stats::Times;

/// The numbers of a run. One message costs a look at its stamp, a comparison with the expected
/// number and a step of two histograms.
pub(crate) struct Tally {
    /// What all times of the run count from.
    pub(crate) epoch: Instant,
    pub(crate) stamper: Stamper,
    inflater: Inflater,
    pub(crate) channels: Vec<Channel>,
    pub(crate) counts: Counts,
    pub(crate) latency: Times,
    /// The same, apart for what happens in the middle.
    pub(crate) eras: Option<Eras>,
    pub(crate) last_subscriber: Times,
    /// From the first subscriber to the last.
    pub(crate) pass: Times,
    /// Of the piece of the course that is being recorded.
    pub(crate) recent: Times,
    pub(crate) recent_received: u64,
    /// Everything with a stamp, measured or not: whether something still comes.
    pub(crate) arrivals: u64,
    pub(crate) last_arrival_ns: u64,
}

/// One channel.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    /// The number of the next message.
    pub(crate) next: u32,
    /// The number of the first that is measured; nothing is before the measurement begins.
    first: Option<u32>,
    /// Subscribers that are to get what is sent now.
    pub(crate) members: u32,
    /// Of what is measured, what the server said that it did not take.
    refused: u64,
    flights: Flights,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) doubled: u64,
    pub(crate) reordered: u64,
    pub(crate) unstamped: u64,
    pub(crate) completed: u64,
    /// On their way to somebody, measured or not.
    pub(crate) in_flight: u64,
}

/// What one subscriber has of each of its channels.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// By channel, in order.
    pub(crate) ledgers: Vec<(u16, Ledger)>,
    pub(crate) is_affected: bool,
}

impl Account {
    /// Of one whose first message is not known.
    pub(crate) fn fresh(channels: &[u16]) -> Self {
        let ledgers = channels.iter().map(|channel| (*channel, Ledger::default())).collect();
        Self { ledgers, is_affected: false }
    }
}

impl Tally {
    pub(crate) fn new(options: &Options, run: u16) -> Self {
        let mut channels = Vec::new();
        channels.resize_with(options.channels, Channel::default);
        Self {
            epoch: Instant::now(),
            stamper: Stamper::new(run),
            inflater: Inflater::new(),
            channels,
            counts: Counts::default(),
            latency: Times::new(),
            eras: None,
            last_subscriber: Times::new(),
            pass: Times::new(),
            recent: Times::new(),
            recent_received: 0,
            arrivals: 0,
            last_arrival_ns: 0,
        }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// From the next message of every channel on, everything counts.
    pub(crate) fn begin(&mut self) {
        for channel in &mut self.channels {
            channel.first = Some(channel.next);
        }
        self.counts = Counts { in_flight: self.counts.in_flight, ..Counts::default() };
    }

    pub(crate) fn ledger(&self, channel: u16) -> Ledger {
        Ledger::from(self.channels[usize::from(channel)].next)
    }

    /// A message that is about to be sent.
    pub(crate) fn depart(&mut self, at: usize, intended_ns: u64, bytes: usize) -> Vec<u8> {
        let channel = &mut self.channels[at];
        let number = channel.next;
        channel.next += 1;
        if channel.members > 0 {
            let given_up = channel.flights.start(number, channel.members);
            self.counts.in_flight += u64::from(!given_up);
        }
        let stamp = Stamp { channel: at as u16, number, intended_ns };
        self.stamper.message(stamp, bytes)
    }

    /// What a subscriber got, if it is a message.
    pub(crate) fn arrive(&mut self, account: &mut Account, piece: Piece<'_>, now_ns: u64) {
        let stamp = match piece {
            Piece::Message(payload) => self.stamper.find(payload),
            Piece::Deflated(payload) => self.stamper.find(self.inflater.inflate(payload)),
            Piece::Ping(_) | Piece::Close(_) => return,
        };
        match stamp {
            Some(stamp) => self.count(account, stamp, now_ns),
            None => self.counts.unstamped += 1,
        }
    }

    fn count(&mut self, account: &mut Account, stamp: Stamp, now_ns: u64) {
        self.arrivals += 1;
        self.last_arrival_ns = now_ns;
        let Some(channel) = self.channels.get_mut(usize::from(stamp.channel)) else { return };
        let is_measured = channel.first.is_some_and(|first| stamp.number >= first);
        let seen = if is_measured { account.see(stamp) } else { Some(Seen::InOrder) };
        match seen {
            // Of a channel that it has not subscribed to.
            None => {
                account.is_affected = true;
                self.counts.doubled += 1;
                return;
            }
            Some(Seen::Double) => {
                account.is_affected = true;
                self.counts.doubled += 1;
                return;
            }
            Some(Seen::Late) => {
                account.is_affected = true;
                self.counts.reordered += 1;
            }
            Some(Seen::InOrder) => {}
        }
        let landed = channel.flights.arrived(stamp.number, now_ns);
        if landed.is_some() {
            self.counts.in_flight = self.counts.in_flight.saturating_sub(1);
        }
        if !is_measured {
            return;
        }
        let took_ns = now_ns.saturating_sub(stamp.intended_ns);
        self.counts.received += 1;
        self.recent_received += 1;
        self.latency.record(took_ns);
        self.recent.record(took_ns);
        if let Some(eras) = &self.eras {
            eras.record(took_ns);
        }
        if let Some(pass_ns) = landed {
            self.counts.completed += 1;
            self.last_subscriber.record(took_ns);
            self.pass.record(pass_ns);
        }
    }

    /// A message that the server said it did not take: nobody is to get it.
    pub(crate) fn refused(&mut self, at: usize, number: u32) {
        let channel = &mut self.channels[at];
        self.counts.in_flight -= u64::from(channel.flights.cancel(number));
        channel.refused += u64::from(channel.first.is_some_and(|first| number >= first));
    }

    /// Nothing that is on its way is waited for any more.
    pub(crate) fn forget_flights(&mut self) {
        self.channels.iter_mut().for_each(|channel| channel.flights.clear());
        self.counts.in_flight = 0;
    }

    /// What a subscriber lost, if everything that was sent was for it.
    pub(crate) fn lost(&self, account: &Account) -> u64 {
        let of = |(channel, ledger): &(u16, Ledger)| {
            let channel = &self.channels[usize::from(*channel)];
            ledger.lost(channel.next).saturating_sub(channel.refused)
        };
        account.ledgers.iter().map(of).sum()
    }
}

impl Account {
    fn see(&mut self, stamp: Stamp) -> Option<Seen> {
        let at = match self.ledgers.as_slice() {
            [(channel, _)] if *channel == stamp.channel => 0,
            ledgers => {
                ledgers.binary_search_by_key(&stamp.channel, |(channel, _)| *channel).ok()?
            }
        };
        Some(self.ledgers[at].1.see(stamp.number))
    }

    /// Jumped over and not come.
    pub(crate) fn missing(&self) -> u64 {
        self.ledgers.iter().map(|(_, ledger)| ledger.missing()).sum()
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.ledgers.iter().all(|(_, ledger)| ledger.is_exact())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::options::Scenario;

    const MS: u64 = 1_000_000;

    fn tally(channels: usize) -> Tally {
        let scenario = Scenario::Fanout { rate_per_s: 1.0 };
        Tally::new(&Options { channels, ..Options::new(scenario, "ws://x/{channel}") }, 7)
    }

    fn account(tally: &Tally, channels: &[u16]) -> Account {
        let ledgers = channels.iter().map(|channel| (*channel, tally.ledger(*channel))).collect();
        Account { ledgers, is_affected: false }
    }

    fn arrive(tally: &mut Tally, account: &mut Account, payload: &[u8], now_ns: u64) {
        tally.arrive(account, Piece::Message(payload), now_ns);
    }

    /// The server stands still for a second, and the generator with it: a loop that measures from
    /// when it got to sending would see one slow message; here all that were due show it.
    #[test]
    fn a_standstill_is_seen_by_every_message_that_was_due() {
        let mut tally = tally(1);
        tally.channels[0].members = 1;
        tally.begin();
        let mut one = account(&tally, &[0]);
        for number in 0..200 {
            // Due every 10 ms; nothing is sent or arrives before the second is over.
            let intended_ns = number * 10 * MS;
            let sent_ns = intended_ns.max(1_000 * MS);
            let message = tally.depart(0, intended_ns, 64);
            arrive(&mut tally, &mut one, &message, sent_ns + MS);
        }
        let summary = tally.latency.summary();
        assert_eq!(summary.count, 200);
        assert!(summary.p90 > 790_000.0, "a tenth waited for more than 0.8 s: {summary:?}");
        assert!((summary.max / 1_001_000.0 - 1.0).abs() < 0.01, "{summary:?}");
        assert_eq!(tally.last_subscriber.summary().p90, summary.p90);
    }

    #[test]
    fn what_came_before_the_measurement_does_not_count() {
        let mut tally = tally(1);
        tally.channels[0].members = 2;
        let warm = tally.depart(0, 0, 64);
        let mut nobody = Account::default();
        arrive(&mut tally, &mut nobody, &warm, 5);
        assert_eq!(tally.counts.in_flight, 1);
        tally.begin();
        let (mut one, mut two) = (account(&tally, &[0]), account(&tally, &[0]));
        arrive(&mut tally, &mut one, &warm, 6);
        assert_eq!((tally.counts.received, tally.counts.in_flight), (0, 0));
        let message = tally.depart(0, 7, 64);
        arrive(&mut tally, &mut one, &message, 8);
        arrive(&mut tally, &mut one, &message, 9);
        arrive(&mut tally, &mut two, b"welcome", 9);
        let counts = tally.counts;
        assert_eq!((counts.received, counts.doubled, counts.unstamped), (1, 1, 1));
        assert_eq!((tally.lost(&one), tally.lost(&two)), (0, 1));
        assert!(one.is_affected && !two.is_affected && counts.completed == 0);
    }

    #[test]
    fn what_the_server_refused_is_not_lost() {
        let mut tally = tally(1);
        tally.channels[0].members = 1;
        tally.begin();
        let mut one = account(&tally, &[0]);
        let messages = [0; 3].map(|at| tally.depart(at, 0, 64));
        arrive(&mut tally, &mut one, &messages[0], 1);
        arrive(&mut tally, &mut one, &messages[2], 1);
        assert_eq!((tally.lost(&one), tally.counts.in_flight), (1, 1));
        tally.refused(0, 1);
        assert_eq!((tally.lost(&one), tally.counts.in_flight), (0, 0));
    }

    #[test]
    fn channels_are_counted_apart() {
        let mut tally = tally(3);
        tally.channels[0].members = 1;
        tally.channels[2].members = 1;
        tally.begin();
        let mut one = account(&tally, &[0, 2]);
        let messages = [0, 2, 2, 1].map(|channel| tally.depart(channel, 0, 64));
        for at in [2, 0, 3, 1] {
            arrive(&mut tally, &mut one, &messages[at], 1);
        }
        let counts = tally.counts;
        assert_eq!((counts.received, counts.reordered, counts.doubled), (3, 1, 1));
        assert_eq!((tally.lost(&one), counts.completed, counts.in_flight), (0, 3, 0));
    }
}
