use super::super::queue::{Loss, Squeeze};
use super::*;

const BOUNDS: Bounds = Bounds { bytes_max: 8, frames_max: 8, squeeze: Squeeze::None };

fn frames(texts: &[&'static str]) -> impl Iterator<Item = Labelled> {
    texts.iter().map(|text| (Bytes::from_static(text.as_bytes()), None))
}

fn taken(refused: usize) -> Offered {
    Offered::Taken { dropped: Dropped::default(), refused }
}

fn memory() -> Arc<Memory> {
    Memory::new(usize::MAX)
}

fn parked(texts: &[&'static str]) -> Outbox {
    let outbox = Outbox::new();
    assert!(!outbox.open());
    let offered = outbox.park(None, frames(texts), &BOUNDS, 0, &memory());
    assert_eq!(offered, taken(0));
    outbox
}

fn take(outbox: &Outbox) -> (Next, usize) {
    let mut batch = VecDeque::new();
    let tell = |_: &Loss| None;
    let dropped = &mut Dropped::default();
    let next =
        outbox.take(&mut batch, &mut Taking { now_ms: 0, age_max_ms: 0, tell: &tell, dropped });
    (next, batch.len())
}

#[test]
fn what_is_offered_before_the_socket_is_there_waits_for_it() {
    let outbox = Outbox::new();
    assert_eq!(outbox.lag(), None);
    assert_eq!(outbox.offer(frames(&["a"]), &BOUNDS, 0, &memory()), taken(0));
    assert!(outbox.open(), "a writer has to be started");
    assert_eq!((take(&outbox), take(&outbox)), ((Next::Write, 1), (Next::Idle, 0)));
    let outbox = Outbox::new();
    let close = Bytes::from_static(b"close");
    assert_eq!(outbox.begin_close(close, false, &memory()), Closing::Queued { dropped: 0 });
    assert!(outbox.open(), "a writer has to be started");
    assert_eq!((take(&outbox), take(&outbox)), ((Next::Write, 1), (Next::CloseWritten, 0)));
}

#[test]
fn what_waits_is_gone_with_the_session() {
    let outbox = parked(&["a", "b"]);
    assert!(outbox.close());
    assert!(!outbox.close(), "the second to end it");
    assert_eq!(take(&outbox), (Next::Closed, 0));
    assert_eq!(outbox.offer(frames(&["c"]), &BOUNDS, 0, &memory()), Offered::Closed);
    let parked = outbox.park(None, frames(&["c"]), &BOUNDS, 0, &memory());
    assert_eq!(parked, Offered::Closed);
}

#[test]
fn an_overflow_is_told_and_keeps_what_fitted() {
    let outbox = parked(&["12345"]);
    let offered = outbox.offer(frames(&["678", "9", "10"]), &BOUNDS, 0, &memory());
    assert_eq!(offered, taken(2));
    assert_eq!(outbox.lag().map(|lag| (lag.bytes, lag.frames)), Some((8, 2)));
}

#[test]
fn a_close_without_a_queue_is_written_by_whoever_begins_it() {
    let outbox = parked(&["a"]);
    assert_eq!(take(&outbox), (Next::Write, 1));
    assert_eq!(take(&outbox), (Next::Idle, 0));
    let close = Bytes::from_static(b"close");
    assert_eq!(outbox.begin_close(close.clone(), true, &memory()), Closing::Write(close.clone()));
    assert_eq!(outbox.state(), State::Closing);
    assert!(outbox.park_close(close, &memory()), "the socket did not take it");
    assert_eq!(take(&outbox), (Next::Write, 1));
    assert_eq!(take(&outbox), (Next::CloseWritten, 0));
}
