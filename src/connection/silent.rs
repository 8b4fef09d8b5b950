//! Who listens and says nothing: without a task until there is something to read.
//!
//! Most connections of a fan-out have never said a word since their handshake. A task for each, which would
//! only wait, is made, queued, polled once and kept: that was a twentieth of what an accept costs, and an
//! eighth of an idle connection's memory (`perf/README.md`). So what would wake the task makes it instead.
//!
//! # State
//! The connection, while nobody reads it; or that somebody has woken it, from when on a task has it for good.
//!
//! # Who may touch what
//! Whoever starts it polls the connection once and then leaves it here; whoever wakes it first takes it
//! away. Those are the runtime's driver, which has something to read, and whoever ends the session: its lane,
//! its writer.
//!
//! # Orderings
//! All of it is behind a lock, which nobody holds while the connection is polled, spawned or dropped.
//!
//! # Races considered
//! - *Woken between the poll and being left here*: then it is not left here, but gets its task.
//! - *Woken twice*: the second finds nothing.
//! - *The waker holds the connection, which holds the session and the socket, which hold the waker*: whatever
//!   ends one of them wakes it. So does the driver when its runtime ends: the task that it makes
//!   then is dropped before it runs, and the session ends. A stream that no driver knows would stay, and
//!   has a task from the start.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::reader::{Connection, Step};

/// See the module.
#[derive(Debug)]
struct Silent(Mutex<Kept>);

#[derive(Debug)]
enum Kept {
    NotYet,
    Silent(Box<Connection>),
    Woken,
}

/// Reads until the connection is over, after this step.
///
/// # Panics
/// Outside of a tokio runtime.
pub(super) fn start(mut connection: Box<Connection>, mut first: Step) {
    if matches!(first, Step::Read) && connection.is_watched() {
        let silent = Arc::new(Silent(Mutex::new(Kept::NotYet)));
        let waker = Waker::from(silent.clone());
        match connection.poll_step(&mut Context::from_waker(&waker)) {
            Poll::Pending => return silent.keep(connection),
            Poll::Ready(step) => first = step,
        }
    }
    tokio::spawn(connection.run(first));
}

impl Silent {
    /// Leaves it here until somebody wakes it.
    fn keep(&self, connection: Box<Connection>) {
        let mut kept = self.0.lock();
        match *kept {
            Kept::Woken => {
                drop(kept);
                read_on(connection);
            }
            _ => *kept = Kept::Silent(connection),
        }
    }
}

impl Wake for Silent {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let kept = std::mem::replace(&mut *self.0.lock(), Kept::Woken);
        if let Kept::Silent(connection) = kept {
            read_on(connection);
        }
    }
}

/// Gives it its task. Wakers are called in a runtime; where there is none any more, dropping the
/// connection ends the session.
fn read_on(connection: Box<Connection>) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(connection.run(Step::Read));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;
    use tokio::runtime::Runtime;

    use super::super::{Accept, Head, Stream, accept};
    use super::*;
    use crate::base::access::Grant;
    use crate::base::disconnect::{Disconnect, Reason};
    use crate::base::ids::SessionId;
    use crate::base::message::Message;
    use crate::hub::Hub;

    /// A session of this hub that is in a channel and waits for its socket.
    fn connection(hub: &Hub) -> Box<Connection> {
        let head = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let head = Head::parse(Bytes::from_static(head.as_bytes()), 32).unwrap();
        let lobby = "lobby".try_into().unwrap();
        accept(hub, &head, Accept::new(Grant::anyone()).channel(lobby)).unwrap().connection
    }

    /// The same with a socket; its id, and the socket's peer.
    fn started(hub: &Hub) -> (SessionId, UnixStream) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut connection = connection(hub);
        let id = connection.session().id;
        let first = connection.begin(Stream::fresh_unix(ours.into()).unwrap().into(), Bytes::new());
        start(connection, first);
        (id, UnixStream::from_std(theirs).unwrap())
    }

    fn tasks() -> usize {
        Handle::current().metrics().num_alive_tasks()
    }

    async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
        for _ in 0..500 {
            if is_so() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not in five seconds: {what}");
    }

    #[tokio::test]
    async fn whoever_says_nothing_has_no_task_and_gets_one_with_the_first_word() {
        let hub = Hub::builder().build();
        let before = tasks();
        let (_, mut peer) = started(&hub);
        hub.publish(&"lobby".try_into().unwrap(), Message::text("to all")).unwrap();
        let mut frame = [0; 8];
        peer.read_exact(&mut frame).await.unwrap();
        assert_eq!(&frame, b"\x81\x06to all");
        assert_eq!(tasks(), before);
        // In two pieces: the task that the first made has to be woken by the second.
        peer.write_all(b"\x81\x82\0\0").await.unwrap();
        until("a task", || tasks() == before + 1).await;
        peer.write_all(b"\0\0hi").await.unwrap();
        let mut echo = [0; 4];
        peer.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"\x81\x02hi");
        drop(peer);
        until("the end", || hub.session_count() == 0 && tasks() == before).await;
    }

    #[tokio::test]
    async fn what_ends_it_finds_it_silent() {
        let hub = Hub::builder().build();
        let before = tasks();
        drop(started(&hub));
        until("its peer is gone", || hub.session_count() == 0).await;
        let (id, mut peer) = started(&hub);
        assert!(hub.disconnect(id, Disconnect::new(Reason::Kicked)));
        let mut close = [0; 2];
        peer.read_exact(&mut close).await.unwrap();
        assert_eq!(close[0], 0x88);
        peer.read_exact(&mut vec![0; close[1].into()]).await.unwrap();
        // It answers the close, and that is the end.
        peer.write_all(b"\x88\x80\0\0\0\0").await.unwrap();
        until("both have closed", || hub.session_count() == 0 && tasks() == before).await;
    }

    #[tokio::test]
    async fn woken_before_it_is_left_it_has_a_task() {
        let hub = Hub::builder().build();
        let before = tasks();
        let silent = Arc::new(Silent(Mutex::new(Kept::NotYet)));
        silent.wake_by_ref();
        silent.keep(connection(&hub));
        assert_eq!(tasks(), before + 1);
        silent.wake_by_ref();
        assert_eq!(tasks(), before + 1);
        // Without a socket there is nothing to read.
        until("its end", || hub.session_count() == 0 && tasks() == before).await;
    }

    #[test]
    fn it_ends_with_its_runtime() {
        let (hub, _peers) = {
            let runtime = Runtime::new().unwrap();
            let _in = runtime.enter();
            let hub = Hub::builder().build();
            let peers: Vec<_> = (0..3).map(|_| started(&hub)).collect();
            assert_eq!(hub.session_count(), 3);
            (hub, peers)
        };
        assert_eq!(hub.session_count(), 0);
    }
}
