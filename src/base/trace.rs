//! What happened to one sampled publication, and when: noted on its way, turned into spans only when it
//! is over.
//!
//! A [`Trace`] rides along with its publication, as an `Option` that is nearly always empty. Whoever has
//! something to say of it asks that option; only behind it are there a clock, a lock and an allocation.
//! When the last lane lets go of the publication the trace goes into the queue of its [`Tracer`].

mod parent;
mod tracer;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

pub use parent::TraceParent;
pub use tracer::{SpansLost, TraceCounters, TraceOptions, Tracer};

use super::clock::since_1970;
use super::ids::ChannelName;

/// By which way a publication came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingress {
    /// An HTTP request.
    Http,
    /// A session's message.
    WebSocket,
    /// A call of the library.
    Library,
}

impl Ingress {
    /// Its name in spans.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::WebSocket => "websocket",
            Self::Library => "library",
        }
    }
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It was not published in the end: its publisher went away, or there was an error before.
    #[default]
    Abandoned,
    /// It was passed on to the lanes.
    Accepted,
    /// Nobody was there, and its channel keeps nothing.
    Nobody,
    /// It did not go out: it or a newer one had gone out before.
    Repeat,
    /// The hub had no room.
    Overloaded,
    /// The hub is going away.
    Draining,
    /// There may be no more channels.
    TooManyChannels,
}

impl Outcome {
    /// Its name in spans.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Abandoned => "abandoned",
            Self::Accepted => "accepted",
            Self::Nobody => "nobody",
            Self::Repeat => "repeat",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::TooManyChannels => "too_many_channels",
        }
    }

    /// Whether nobody got the publication who was to.
    pub const fn is_error(self) -> bool {
        !matches!(self, Self::Accepted | Self::Nobody | Self::Repeat)
    }
}

/// What is noted on the way.
#[derive(Clone, Debug, Default)]
pub struct TraceNotes {
    /// Where it goes.
    pub channel: Option<ChannelName>,
    /// Bytes of its message.
    pub message_bytes: usize,
    /// What became of it, as far as known.
    pub outcome: Outcome,
    /// When it was posted to the channel's mailbox.
    pub posted: Option<Instant>,
    /// When it was taken out of there.
    pub taken: Option<Instant>,
    /// When it was about to be passed on to the lanes.
    pub passed_on: Option<Instant>,
    /// Subscribers at that moment.
    pub subscribers: usize,
    /// Its number in the channel, if that keeps a history.
    pub offset: Option<u64>,
    /// What each lane did, in the order in which they were done.
    pub lanes: Vec<LaneNotes>,
}

/// What one lane did with a publication, and with those that it was written with.
#[derive(Clone, Debug)]
pub struct LaneNotes {
    /// Which lane.
    pub lane: usize,
    /// When the lane began with it.
    pub began: Instant,
    /// When each form of it that was needed was made.
    pub encodes: Vec<EncodeNotes>,
    /// When the first write was due.
    pub first_write: Instant,
    /// When it was done.
    pub ended: Instant,
    /// Publications that were written as one.
    pub batch: usize,
    /// Turns that it took.
    pub turns: u32,
    /// Which way it went to how many.
    pub ways: Ways,
}

/// The making of one form.
#[derive(Clone, Debug)]
pub struct EncodeNotes {
    /// Its name.
    pub form: &'static str,
    /// Whether it is deflated.
    pub is_deflated: bool,
    /// Its bytes, of all publications that are written as one.
    pub bytes: usize,
    /// When that began.
    pub began: Instant,
    /// When it was done.
    pub ended: Instant,
}

/// Which way something went to how many sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// Calls to the system.
    pub writes: u64,
    /// Sessions whose socket took all of it at once.
    pub direct: u64,
    /// Sessions in whose outbox it, or the rest of it, was put.
    pub outbox: u64,
    /// Sessions that were gone or going.
    pub gone: u64,
}

/// See the module.
pub struct Trace {
    tracer: Arc<Tracer>,
    parent: Option<TraceParent>,
    ingress: Ingress,
    began: Instant,
    /// The machine's time then.
    began_unix: Duration,
    notes: Mutex<TraceNotes>,
}

impl Trace {
    fn new(
        tracer: Arc<Tracer>,
        parent: Option<TraceParent>,
        ingress: Ingress,
        began: Instant,
    ) -> Self {
        let unix = since_1970(SystemTime::now());
        let began_unix = unix.saturating_sub(began.elapsed());
        Self { tracer, parent, ingress, began, began_unix, notes: Mutex::default() }
    }

    /// Takes a note.
    pub fn note(&self, note: impl FnOnce(&mut TraceNotes)) {
        note(&mut self.notes.lock());
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trace(..)")
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let notes = std::mem::take(self.notes.get_mut());
        let Self { parent, ingress, began, began_unix, .. } = *self;
        let ended = Instant::now();
        self.tracer.put(TracedPublication { parent, ingress, began, began_unix, ended, notes });
    }
}

/// A sampled publication that is over.
#[derive(Clone, Debug)]
pub struct TracedPublication {
    /// What its publisher was in the middle of.
    pub parent: Option<TraceParent>,
    /// By which way it came in.
    pub ingress: Ingress,
    /// When the request or message came in that it is from.
    pub began: Instant,
    /// The same by the machine's clock, since the Unix epoch.
    pub began_unix: Duration,
    /// When the last lane let go of it.
    pub ended: Instant,
    /// What was noted.
    pub notes: TraceNotes,
}

impl TracedPublication {
    /// A moment by the machine's clock, since the Unix epoch: never before the publication began.
    pub fn unix(&self, at: Instant) -> Duration {
        self.began_unix + at.saturating_duration_since(self.began)
    }

    /// How many spans it is: itself, ingress, mailbox and channel, and for each lane one for itself, the
    /// wait, the walk and each form.
    pub fn spans(&self) -> usize {
        let TraceNotes { posted, taken, passed_on, lanes, .. } = &self.notes;
        let steps = [posted, taken, passed_on].into_iter().filter(|at| at.is_some()).count();
        1 + steps + lanes.iter().map(|lane| 3 + lane.encodes.len()).sum::<usize>()
    }
}
