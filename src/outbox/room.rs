//! Waiting until sockets take more: one set of the kernel's (epoll) for all sessions of a hub.
//!
//! tokio watches a socket of its own for reading and for writing. A fresh one can be written to, so every
//! connection woke its worker once more to hear that: 2.5 of 33 µs for one that is made alone. But only a
//! session that is behind ever waits to write. So its socket is registered for reading, and its
//! writer asks here, for one wake-up at a time.
//!
//! # State
//! The set, the waker of each who waits, by descriptor, and the task that hands events on to wakers; set and
//! task from the first who asks until the last is gone. At most one entry for each session that is behind.
//!
//! # Who may touch what
//! A writer adds and takes away its own socket. The task takes wakers away. All under a lock, held for
//! a call or two of the kernel.
//!
//! # Orderings
//! The lock's.
//!
//! # Races considered
//! - *A socket takes more again between a refused write and the wait for it*: adding it to the set looks
//!   at it, and the event is there at once (epoll_ctl(2)).
//! - *An event of a writer that is gone*: its socket was taken out of the set, and its waker away, before
//!   anybody could have closed it. A descriptor of the same number is another's, who asked for itself.
//! - *The next writer of a session asks while the last one is about to end*: a socket can be in the set once,
//!   so whoever asks for it has to be gone before anybody else may: before its outbox is idle.
//! - *Woken for nothing*: a writer writes first and asks again.
//! - *The runtime of the task is gone*: the next who waits starts another one.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::task::{Context, Waker};

use parking_lot::Mutex;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::retry_on_intr;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;

use super::watched::watch_reading;

/// Events that are taken at once; what is left is taken next.
const EVENTS_MAX: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Room(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    /// Sockets in the set.
    members: usize,
    set: Option<Arc<OwnedFd>>,
    wakers: HashMap<RawFd, Waker>,
    task: Option<AbortHandle>,
}

/// The wait of one writer; dropped, it is over.
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    room: &'a Room,
    /// Where its socket is in, once it asked.
    asked: Option<(Arc<OwnedFd>, BorrowedFd<'a>)>,
}

impl Room {
    /// A writer that may have to wait.
    pub(crate) fn wait(&self) -> Wait<'_> {
        Wait { room: self, asked: None }
    }

    /// Whether nobody waits, and nothing is kept for that.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        let waiting = self.0.lock();
        waiting.members == 0 && waiting.set.is_none() && waiting.task.is_none()
    }

    /// The set, and somebody who looks at it.
    fn set(&self, waiting: &mut Waiting) -> io::Result<Arc<OwnedFd>> {
        let set = match &waiting.set {
            Some(set) => set.clone(),
            None => waiting.set.insert(Arc::new(epoll::create(CreateFlags::CLOEXEC)?)).clone(),
        };
        if waiting.task.as_ref().is_none_or(AbortHandle::is_finished) {
            let task = hand_on(watch_reading(set.clone())?, self.0.clone());
            waiting.task = Some(tokio::spawn(task).abort_handle());
        }
        Ok(set)
    }
}

impl<'a> Wait<'a> {
    /// Has the task woken once when the socket, always the same one, takes more or is broken.
    ///
    /// # Errors
    /// Those of `epoll_create1` and `epoll_ctl`.
    pub(crate) fn ask(&mut self, socket: BorrowedFd<'a>, cx: &Context<'_>) -> io::Result<()> {
        let number = socket.as_raw_fd();
        // Negative ones do not exist.
        let data = EventData::new_u64(number as u64);
        let events = EventFlags::OUT | EventFlags::ONESHOT;
        let mut waiting = self.room.0.lock();
        match &self.asked {
            Some((set, _)) => epoll::modify(set, socket, data, events)?,
            None => {
                let set = self.room.set(&mut waiting)?;
                // First, so that a set that is refused its only member does not stay.
                waiting.members += 1;
                let (set, _) = self.asked.insert((set, socket));
                epoll::add(set, socket, data, events)?;
            }
        }
        // The event may have come by now, but it needs the lock to be handed on.
        waiting.wakers.insert(number, cx.waker().clone());
        Ok(())
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let Some((set, socket)) = &self.asked else { return };
        let mut waiting = self.room.0.lock();
        // It is in there, unless it was refused.
        let _ = epoll::delete(set, socket);
        waiting.wakers.remove(&socket.as_raw_fd());
        waiting.members -= 1;
        if waiting.members == 0 {
            waiting.set = None;
            waiting.task.take().inspect(AbortHandle::abort);
        }
    }
}

/// Wakes whoever's event has come.
async fn hand_on(set: AsyncFd<Arc<OwnedFd>>, room: Arc<Mutex<Waiting>>) {
    while let Ok(mut ready) = set.readable().await {
        let Ok(numbers) = take_events(set.get_ref()) else { return };
        // These were all: whoever comes from here on is told of anew.
        if numbers.len() < EVENTS_MAX {
            ready.clear_ready();
        }
        let woken: Vec<Waker> = {
            let mut waiting = room.lock();
            numbers.iter().filter_map(|number| waiting.wakers.remove(number)).collect()
        };
        woken.into_iter().for_each(Waker::wake);
    }
}

/// The sockets that have an event.
fn take_events(set: &OwnedFd) -> rustix::io::Result<Vec<RawFd>> {
    let mut events = Vec::<Event>::with_capacity(EVENTS_MAX);
    retry_on_intr(|| epoll::wait(set, spare_capacity(&mut events), Some(&Timespec::default())))?;
    Ok(events.iter().map(|event| event.data.u64() as RawFd).collect())
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::task::JoinHandle;

    use super::*;

    /// A socket that takes nothing more, and its peer.
    fn full() -> (UnixStream, UnixStream) {
        let (socket, peer) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        peer.set_nonblocking(true).unwrap();
        fill(&socket);
        (socket, peer)
    }

    fn fill(mut socket: &UnixStream) {
        while socket.write(&[0; 4_096]).is_ok() {}
    }

    /// All of it: a socket of which only a part was taken counts as full on.
    fn drain(mut peer: &UnixStream) {
        while peer.read(&mut [0; 4_096]).is_ok() {}
    }

    /// Waits as a writer does: until a write is not refused.
    async fn until_written(room: &Room, socket: &UnixStream) -> io::Result<usize> {
        let mut wait = room.wait();
        poll_fn(|cx| match { socket }.write(b"x") {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait.ask(socket.as_fd(), cx)?;
                Poll::Pending
            }
            written => Poll::Ready(written),
        })
        .await
    }

    /// The same in a task of its own, which only its waker asks again.
    fn start(room: &Arc<Room>, socket: UnixStream) -> JoinHandle<(io::Result<usize>, UnixStream)> {
        let room = room.clone();
        tokio::spawn(async move { (until_written(&room, &socket).await, socket) })
    }

    async fn soon<T>(task: JoinHandle<T>) -> T {
        tokio::time::timeout(Duration::from_secs(10), task).await.expect("it is woken").unwrap()
    }

    fn waiting(room: &Room) -> usize {
        room.0.lock().wakers.len()
    }

    async fn until_waiting(room: &Room, count: usize) {
        while waiting(room) < count {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_waits_is_woken_when_there_is_room_and_when_there_is_nobody_any_more() {
        let room = Arc::new(Room::default());
        let (socket, peer) = full();
        let task = start(&room, socket);
        until_waiting(&room, 1).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!task.is_finished() && waiting(&room) == 1);
        drain(&peer);
        let (written, socket) = soon(task).await;
        assert_eq!((written.unwrap(), waiting(&room)), (1, 0));
        assert!(room.is_empty());
        fill(&socket);
        let task = start(&room, socket);
        until_waiting(&room, 1).await;
        drop(peer);
        assert_eq!(soon(task).await.0.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_wait_that_is_dropped_leaves_nothing_behind_and_its_number_is_free() {
        let room = Arc::new(Room::default());
        for _ in 0..3 {
            // Each has the numbers of the last.
            let (socket, peer) = full();
            let moment = Duration::from_millis(5);
            assert!(tokio::time::timeout(moment, until_written(&room, &socket)).await.is_err());
            assert_eq!(waiting(&room), 0);
            let task = start(&room, socket);
            until_waiting(&room, 1).await;
            drain(&peer);
            assert_eq!(soon(task).await.0.unwrap(), 1);
        }
    }

    #[tokio::test]
    async fn more_than_are_taken_at_once_are_all_woken() {
        let room = Arc::new(Room::default());
        let count = 3 * EVENTS_MAX + 1;
        let (sockets, peers): (Vec<_>, Vec<_>) = (0..count).map(|_| full()).unzip();
        let tasks: Vec<_> = sockets.into_iter().map(|socket| start(&room, socket)).collect();
        until_waiting(&room, count).await;
        peers.iter().for_each(drain);
        for task in tasks {
            assert_eq!(soon(task).await.0.unwrap(), 1);
        }
        assert_eq!(waiting(&room), 0);
        assert!(room.is_empty());
    }

    #[test]
    fn a_room_outlives_the_runtime_that_looked_at_it() {
        let room = Arc::new(Room::default());
        for _ in 0..2 {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let wait = async {
                let (socket, peer) = full();
                let task = start(&room, socket);
                until_waiting(&room, 1).await;
                drain(&peer);
                soon(task).await.0
            };
            assert_eq!(runtime.unwrap().block_on(wait).unwrap(), 1);
        }
    }
}
