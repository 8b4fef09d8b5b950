//! Models of the mailbox's hand-over, of a lane's sleep, and of subscribe racing publish.
//!
//! The queue and the swap are stand-ins (see `base::sync`); the counts, the duty and the roster are
//! the real ones.

use std::sync::Arc as StdArc;

use loom::future::block_on;
use loom::sync::{Arc, Mutex};
use loom::thread;

use super::inbox::Inbox;
use super::mailbox::{Duty, Mailbox};
use super::roster::{Member, Roster, SnapshotSwap};
use crate::base::ids::SessionId;
use crate::base::sync::model;

/// Drains into `seen`. `try_lock` fails if two drain at once: that is the exclusion the duty promises.
fn drain(mailbox: &Mailbox<(u8, u8)>, mut duty: Duty, seen: &Mutex<Vec<(u8, u8)>>) {
    let mut seen_now = seen.try_lock().expect("two drainers at once");
    while let Some(letter) = mailbox.take(&mut duty) {
        seen_now.push(letter);
        if mailbox.is_drained(&duty) {
            // The last take ends the duty; from then on the list is somebody else's.
            drop(seen_now);
            match mailbox.take(&mut duty) {
                None => return,
                Some(letter) => {
                    seen_now = seen.try_lock().expect("two drainers at once");
                    seen_now.push(letter);
                }
            }
        }
    }
}

#[test]
fn every_letter_is_drained_once_and_in_its_posters_order() {
    model(|| {
        let mailbox = Arc::new(Mailbox::new());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let posters: Vec<_> = (0..2u8)
            .map(|poster| {
                let (mailbox, seen) = (mailbox.clone(), seen.clone());
                thread::spawn(move || {
                    for number in 0..2u8 {
                        if let Some(duty) = mailbox.post((poster, number)) {
                            drain(&mailbox, duty, &seen);
                        }
                    }
                })
            })
            .collect();
        for poster in posters {
            poster.join().unwrap();
        }
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 4, "lost or doubled: {seen:?}");
        for poster in 0..2 {
            let own: Vec<u8> = seen.iter().filter(|l| l.0 == poster).map(|l| l.1).collect();
            assert_eq!(own, [0, 1]);
        }
        assert_eq!(mailbox.len(), 0);
    });
}

#[test]
fn a_lane_that_goes_to_sleep_misses_no_post() {
    model(|| {
        let inbox = Arc::new(Inbox::new());
        let posters: Vec<_> = (0..2)
            .map(|item| {
                let inbox = inbox.clone();
                thread::spawn(move || inbox.post(item))
            })
            .collect();
        // A missed wake would leave this waiting for ever, which loom reports as a deadlock.
        let mut taken = 0;
        while taken < 2 {
            block_on(inbox.wait());
            let mut duty = inbox.claim().expect("woken for something");
            while inbox.take(&mut duty).is_some() {
                taken += 1;
            }
        }
        for poster in posters {
            poster.join().unwrap();
        }
    });
}

/// What a channel does with its letters, with one lane and without sockets.
struct Channel {
    mailbox: Mailbox<Letter>,
    state: Mutex<(u64, Roster<()>)>,
    snapshot: SnapshotSwap<()>,
    lane: Inbox<(u8, u64)>,
}

enum Letter {
    Publish(u8),
    Join,
    Leave,
}

const SUBSCRIBER: u64 = 7;

impl Channel {
    fn new() -> Self {
        Self {
            mailbox: Mailbox::new(),
            state: Mutex::new((0, Roster::new(1))),
            snapshot: SnapshotSwap::new(StdArc::new(Vec::new())),
            lane: Inbox::new(),
        }
    }

    fn post(&self, letter: Letter) {
        let Some(mut duty) = self.mailbox.post(letter) else { return };
        let mut state = self.state.lock().unwrap();
        while let Some(letter) = self.mailbox.take(&mut duty) {
            let (number, roster) = &mut *state;
            *number += 1;
            match letter {
                Letter::Publish(publication) => {
                    roster.refresh(0, &self.snapshot);
                    if !roster.is_empty(0) {
                        self.lane.post((publication, *number));
                    }
                }
                Letter::Join => {
                    let id = SessionId::from(SUBSCRIBER);
                    roster.join(0, Member { session: (), id, since: *number });
                }
                Letter::Leave => roster.leave(0, SessionId::from(SUBSCRIBER), *number),
            }
        }
    }

    /// One pass of the lane: everything pending, joined, to the newest snapshot.
    fn pass(&self, got: &mut Vec<u8>) {
        let Some(mut duty) = self.lane.claim() else { return };
        let mut batch = Vec::new();
        while let Some(item) = self.lane.take(&mut duty) {
            batch.push(item);
        }
        for member in self.snapshot.load_full().iter() {
            got.extend(batch.iter().filter(|(_, number)| *number > member.since).map(|(p, _)| *p));
        }
    }
}

#[test]
fn a_subscriber_gets_everything_from_its_join_on() {
    model(|| {
        let channel = Arc::new(Channel::new());
        let publisher = {
            let channel = channel.clone();
            thread::spawn(move || (1..=3).for_each(|p| channel.post(Letter::Publish(p))))
        };
        let subscriber = {
            let channel = channel.clone();
            thread::spawn(move || channel.post(Letter::Join))
        };
        let mut got = Vec::new();
        channel.pass(&mut got);
        publisher.join().unwrap();
        subscriber.join().unwrap();
        channel.post(Letter::Publish(4));
        channel.pass(&mut got);
        // A suffix of 1, 2, 3, 4 that is not empty: no gap, nothing twice.
        let first = *got.first().expect("the last one at least");
        assert_eq!(got, (first..=4).collect::<Vec<u8>>());
    });
}

#[test]
fn one_that_comes_and_goes_gets_a_stretch_without_a_gap() {
    model(|| {
        let channel = Arc::new(Channel::new());
        let publisher = {
            let channel = channel.clone();
            thread::spawn(move || (1..=2).for_each(|p| channel.post(Letter::Publish(p))))
        };
        let subscriber = {
            let channel = channel.clone();
            thread::spawn(move || {
                channel.post(Letter::Join);
                channel.post(Letter::Leave);
            })
        };
        let mut got = Vec::new();
        channel.pass(&mut got);
        publisher.join().unwrap();
        subscriber.join().unwrap();
        channel.pass(&mut got);
        let rest_is_gone = got.len();
        channel.post(Letter::Publish(3));
        channel.pass(&mut got);
        assert_eq!(got.len(), rest_is_gone, "a publication after the end");
        assert!(got.windows(2).all(|pair| pair[1] == pair[0] + 1), "{got:?}");
    });
}
