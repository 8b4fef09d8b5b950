//! The queue as a plain value, against two lists.

use std::collections::VecDeque;

use arbitrary::Arbitrary;
use bytes::Bytes;
use fanfare::fuzzing::{Bounds, CONTROL_BYTES_MAX, Queue, Verdict};

use super::{BYTES_MAX, FRAMES_MAX};

#[derive(Arbitrary, Debug)]
pub enum Operation {
    Data(u8),
    Control(u16),
    Behind(u8),
    Take(u8),
}

/// Runs the operations.
pub fn check(operations: &[Operation], bounds: &Bounds, refused: Verdict) {
    let mut queue = Queue::default();
    let (mut data, mut control) = (VecDeque::<Bytes>::new(), VecDeque::<Bytes>::new());
    let mut in_hand: Vec<usize> = Vec::new();
    for (number, operation) in operations.iter().take(300).enumerate() {
        let now_ms = number as u64;
        let frame = |len: usize| Bytes::from(vec![number as u8; len]);
        let waiting = data.iter().map(Bytes::len).sum::<usize>() + in_hand.iter().sum::<usize>();
        let frames = data.len() + in_hand.len();
        match operation {
            Operation::Data(len) => {
                let len = usize::from(*len);
                let fits = waiting + len <= BYTES_MAX && frames < FRAMES_MAX;
                let verdict = queue.push_data(frame(len), bounds, now_ms);
                assert_eq!(verdict, if fits { Verdict::Queued } else { refused });
                if fits {
                    data.push_back(frame(len));
                }
            }
            Operation::Control(len) => {
                let len = usize::from(*len);
                let bytes = control.iter().map(Bytes::len).sum::<usize>();
                let fits = bytes + len <= CONTROL_BYTES_MAX;
                let verdict = queue.push_control(frame(len));
                assert_eq!(verdict, if fits { Verdict::Queued } else { Verdict::Overflow });
                if fits {
                    control.push_back(frame(len));
                }
            }
            Operation::Behind(len) => {
                let len = usize::from(*len);
                let fits = waiting + len <= BYTES_MAX + CONTROL_BYTES_MAX;
                let verdict = queue.push_behind(frame(len), bounds, now_ms);
                assert_eq!(verdict, if fits { Verdict::Queued } else { Verdict::Overflow });
                if fits {
                    data.push_back(frame(len));
                }
            }
            Operation::Take(max) => {
                let mut batch = VecDeque::new();
                queue.take(&mut batch, usize::from(*max) + 1);
                in_hand.clear();
                let mut taken = 0;
                for bytes in batch {
                    assert!(taken <= usize::from(*max), "more than one frame over the bound");
                    taken += bytes.len();
                    match control.pop_front() {
                        Some(expected) => assert_eq!(bytes, expected),
                        None => {
                            in_hand.push(bytes.len());
                            assert_eq!(Some(bytes), data.pop_front());
                        }
                    }
                }
                assert!(taken > usize::from(*max) || (data.is_empty() && control.is_empty()));
            }
        }
        let bytes = data.iter().map(Bytes::len).sum::<usize>() + in_hand.iter().sum::<usize>();
        assert_eq!((queue.bytes(), queue.frames()), (bytes, data.len() + in_hand.len()));
        assert_eq!(queue.is_empty(), data.is_empty() && control.is_empty());
        assert!(queue.oldest_ms().is_some() == (queue.frames() > 0));
    }
}
