//! Models of the outbox: a lane that feeds it, the writers that it starts, somebody who ends it.
//!
//! The socket is a list under a lock that is only ever tried: two writers at once fail the model.

use std::collections::VecDeque;

use bytes::Bytes;
use loom::sync::{Arc, Mutex};
use loom::thread;

use super::queue::{Bounds, Labelled, Loss, Squeeze, Taking};
use super::state::{Closing, Next, Offered, Outbox, State};
use crate::base::label::Label;
use crate::base::limits::SlowConsumerPolicy;
use crate::base::loss::Dropped;
use crate::base::memory::Memory;
use crate::base::sync::model;

const BOUNDS: Bounds = Bounds { bytes_max: 100, frames_max: 100, squeeze: Squeeze::None };
/// Room for one frame: with two behind, a policy decides.
const TIGHT: Bounds = Bounds { bytes_max: 100, frames_max: 1, squeeze: Squeeze::None };
/// What tells of a loss: this, and how many.
const GAP: u8 = 100;

fn memory() -> std::sync::Arc<Memory> {
    Memory::new(usize::MAX)
}

struct Session {
    outbox: Outbox,
    socket: Mutex<Vec<u8>>,
}

impl Session {
    fn open() -> Arc<Self> {
        let session = Arc::new(Self { outbox: Outbox::new(), socket: Mutex::new(Vec::new()) });
        assert!(!session.outbox.open(), "nothing queued up");
        session
    }

    fn write(&self, frames: impl IntoIterator<Item = Bytes>) {
        let mut socket = self.socket.try_lock().expect("two writers at once");
        frames.into_iter().for_each(|frame| socket.extend(&frame));
    }

    fn written(&self) -> Vec<u8> {
        self.socket.lock().unwrap().clone()
    }
}

/// A writer task, as a thread.
fn start_writer(session: &Arc<Session>) -> thread::JoinHandle<Next> {
    let session = session.clone();
    thread::spawn(move || {
        let mut batch = VecDeque::new();
        loop {
            let tell = |loss: &Loss| Some(frame(GAP + loss.count as u8));
            let dropped = &mut Dropped::default();
            let mut taking = Taking { now_ms: 0, age_max_ms: 0, tell: &tell, dropped };
            match session.outbox.take(&mut batch, &mut taking) {
                Next::Write => session.write(batch.drain(..)),
                end => return end,
            }
        }
    })
}

fn frame(number: u8) -> Bytes {
    Bytes::from(vec![number])
}

/// The lane delivers one frame; the socket takes it directly unless `is_blocked`.
fn deliver(
    session: &Arc<Session>,
    number: u8,
    is_blocked: bool,
) -> Option<thread::JoinHandle<Next>> {
    deliver_within(session, (frame(number), None), is_blocked, &BOUNDS)
}

fn deliver_within(
    session: &Arc<Session>,
    labelled: Labelled,
    is_blocked: bool,
    bounds: &Bounds,
) -> Option<thread::JoinHandle<Next>> {
    let once = || std::iter::once(labelled.clone());
    match session.outbox.state() {
        State::Parked => match session.outbox.offer(once(), bounds, 0, &memory()) {
            Offered::Idle => session.write([labelled.0]),
            Offered::Taken { refused: 0, .. } | Offered::Closed => {}
            other => panic!("{other:?}"),
        },
        State::Idle if is_blocked => {
            if let Offered::Taken { .. } = session.outbox.park(None, once(), bounds, 0, &memory()) {
                return Some(start_writer(session));
            }
        }
        State::Idle => session.write([labelled.0]),
        State::Closing | State::Closed => {}
    }
    None
}

#[test]
fn everything_is_written_once_in_order_and_the_outbox_comes_to_rest() {
    model(|| {
        let session = Session::open();
        // The first and the third write find the socket full (if they are direct at all).
        let writers: Vec<_> = (1..=4).filter_map(|n| deliver(&session, n, n % 2 == 1)).collect();
        for writer in writers {
            assert_eq!(writer.join().unwrap(), Next::Idle);
        }
        assert_eq!(session.written(), [1, 2, 3, 4]);
        assert_eq!(session.outbox.state(), State::Idle);
        assert_eq!(session.outbox.lag(), None);
    });
}

/// A policy drops while the writer takes: every frame is written or told, each once, and the outbox
/// does not come to rest before that.
fn every_frame_is_written_or_told(policy: SlowConsumerPolicy) {
    model(move || {
        let session = Session::open();
        let deliver = |number: u8| {
            let (channel, key, expires_ms) = (None, None, None);
            let offset = number.into();
            let label = Label {
                channel,
                stream: 1,
                offset,
                key,
                expires_ms,
                policy,
                _held: Default::default(),
                drops: None,
            };
            let labelled = (frame(number), Some(std::sync::Arc::new(label)));
            deliver_within(&session, labelled, number % 2 == 1, &TIGHT)
        };
        let writers: Vec<_> = (1..=4).filter_map(deliver).collect();
        for writer in writers {
            assert_eq!(writer.join().unwrap(), Next::Idle);
        }
        let written = session.written();
        let (told, frames): (Vec<u8>, Vec<u8>) = written.iter().partition(|byte| **byte > GAP);
        let lost: u8 = told.iter().map(|byte| byte - GAP).sum();
        assert!(frames.is_sorted_by(|a, b| a < b), "doubled or out of order: {written:?}");
        assert_eq!(frames.len() + usize::from(lost), 4, "{written:?}");
        assert_eq!(session.outbox.state(), State::Idle);
        assert_eq!(session.outbox.lag(), None);
    });
}

#[test]
fn what_makes_way_while_the_writer_takes_is_told() {
    every_frame_is_written_or_told(SlowConsumerPolicy::DropOldest);
}

#[test]
fn what_is_not_let_in_while_the_writer_takes_is_told() {
    every_frame_is_written_or_told(SlowConsumerPolicy::DropNewest);
}

#[test]
fn whoever_ends_it_leaves_no_writer_and_no_queue() {
    model(|| {
        let session = Session::open();
        let killer = {
            let session = session.clone();
            thread::spawn(move || session.outbox.close())
        };
        let writers: Vec<_> = (1..=3).filter_map(|n| deliver(&session, n, n == 1)).collect();
        for writer in writers {
            // A writer may have finished before the end came.
            assert!(matches!(writer.join().unwrap(), Next::Idle | Next::Closed));
        }
        assert!(killer.join().unwrap(), "nobody else ended it");
        assert_eq!(session.outbox.state(), State::Closed);
        assert_eq!(session.outbox.lag(), None);
        let written = session.written();
        assert_eq!(written, (1..=written.len() as u8).collect::<Vec<_>>(), "a prefix, in order");
    });
}

#[test]
fn the_close_frame_is_the_last_and_is_written_once() {
    const CLOSE: u8 = 9;
    model(|| {
        let session = Session::open();
        let writer = deliver(&session, 1, true);
        deliver(&session, 2, false);
        match session.outbox.begin_close(frame(CLOSE), false, &memory()) {
            Closing::Write(close) => session.write([close]),
            Closing::Queued { dropped } => assert_eq!(dropped, 0),
            Closing::Already => panic!("nobody else closes"),
        }
        deliver(&session, 3, false);
        assert_eq!(session.outbox.begin_close(frame(CLOSE), false, &memory()), Closing::Already);
        let end = writer.expect("the first write blocks").join().unwrap();
        assert!(matches!(end, Next::Idle | Next::CloseWritten), "{end:?}");
        assert_eq!(session.written(), [1, 2, CLOSE]);
        assert_eq!(session.outbox.state(), State::Closing);
    });
}

#[test]
fn what_queued_up_before_the_socket_came_goes_out_first() {
    model(|| {
        let session = Arc::new(Session { outbox: Outbox::new(), socket: Mutex::new(Vec::new()) });
        let opener = {
            let session = session.clone();
            thread::spawn(move || session.outbox.open().then(|| start_writer(&session)))
        };
        (1..=2).for_each(|n| assert!(deliver(&session, n, false).is_none()));
        if let Some(writer) = opener.join().unwrap() {
            assert_eq!(writer.join().unwrap(), Next::Idle);
        }
        assert_eq!(session.written(), [1, 2]);
        assert_eq!(session.outbox.state(), State::Idle);
    });
}
