//! Floor 2: the application, over HTTP: it is asked who may, and told what happened.
//!
//! Every request is a POST with a JSON body and these headers:
//!
//! | header | |
//! |---|---|
//! | `X-Fanfare-Hook` | `connect`, `subscribe`, `publish` or `events` |
//! | `X-Fanfare-Signature` | `t=SECONDS,v1=HEX`: see [`signature`] |
//!
//! # What holds
//! * **Closed on failure**: no answer, an answer that is none, and a question that was not asked are
//!   all no.
//! * **Bounded**: each question has a time; there are only so many at once, and one more is answered
//!   at once; after some failures in a row the application is left alone for a while ([`breaker`]),
//!   so a dead one costs nobody any time.
//! * **Apart**: only the session that something is asked for waits. Events go into a bounded queue
//!   without waiting ([`queue`]), and what finds no room is counted.
//!
//! | part | does |
//! |---|---|
//! | [`ask`] | one question and its answer |
//! | [`connect`] | what the one about connecting says, and what its answer allows |
//! | [`teller`] | sends the events, in order, until they are taken |
//!
//! # State
//! `setup`: the settings, and the clients for them. `uses`: what of the settings is looked at for each
//! session that begins or ends.
//!
//! # Who may touch what
//! Whoever reads the configuration again stores `setup`, then `uses`; anybody loads.
//!
//! # Orderings
//! | location | writer | reader | order | pairs with |
//! |---|---|---|---|---|
//! | `setup` | a reload | whoever asks or tells | `ArcSwap` | a question goes by the old ones or the new ones, whole |
//! | `uses` | a reload | whoever begins or ends a session | Relaxed | nothing: whoever finds that something is asked or told looks at `setup` |
//!
//! # Races considered
//! - *A session begins between the two stores*: it is asked about, or is not, by the old settings. Asked with the
//!   new ones, where there is no address any more, it is refused as when nobody answers.

mod ask;
mod breaker;
mod connect;
mod queue;
mod settings;
mod signature;
mod teller;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

pub use settings::{EventKind, HookSettings, SigningSecret};
pub use teller::Teller;

use crate::base::access::Answering;
use crate::base::application::{Admission, Application, Asker, ConnectQuestion, HubEvent, Refused};
use crate::base::ids::ChannelName;
use crate::base::message::{Kind, Message};
use crate::base::outgoing::{Hook, HookCounters};
use crate::fetch::{Client, FetchLimits, TlsError};
use breaker::Breaker;
use queue::Queue;

/// The application over HTTP, as it is configured now. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Hooks {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    setup: ArcSwap<Setup>,
    /// A bit for each [`EventKind`] that is told, and [`ASKED_TO_CONNECT`].
    uses: AtomicU8,
    breakers: [Breaker; 3],
    counters: HookCounters,
    queue: Queue,
}

/// What a change of the configuration changes.
#[derive(Debug)]
struct Setup {
    settings: HookSettings,
    /// For questions, where there are addresses for some.
    client: Option<Client>,
    /// For events: a question never waits for them, nor they for one.
    teller: Option<Client>,
}

impl Setup {
    fn new(settings: HookSettings) -> Result<Self, TlsError> {
        let limits = settings.limits();
        let asks = [Hook::Connect, Hook::Subscribe, Hook::Publish];
        let asks = asks.into_iter().any(|hook| settings.url(hook).is_some());
        let client = asks.then(|| Client::new(limits.clone())).transpose()?;
        let one = FetchLimits { in_flight_max: 1, ..limits };
        let teller = settings.events_url.is_some().then(|| Client::new(one)).transpose()?;
        Ok(Self { settings, client, teller })
    }
}

impl Hooks {
    /// With these settings.
    ///
    /// # Errors
    /// [`TlsError`], if the file of authorities is no good.
    pub fn new(settings: HookSettings) -> Result<Self, TlsError> {
        let queue = Queue::new(settings.events_queue_max);
        warn_of_what_is_exposed(&settings);
        let shared = Shared {
            uses: AtomicU8::new(uses(&settings)),
            setup: ArcSwap::from_pointee(Setup::new(settings)?),
            breakers: Default::default(),
            counters: HookCounters::default(),
            queue,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// From now on with these, but for the length of the queue. If they are those of before nothing
    /// happens.
    ///
    /// # Errors
    /// [`TlsError`]; then nothing has changed.
    pub fn set(&self, settings: HookSettings) -> Result<(), TlsError> {
        if self.shared.setup.load().settings != settings {
            warn_of_what_is_exposed(&settings);
            let uses = uses(&settings);
            self.shared.setup.store(Arc::new(Setup::new(settings)?));
            self.shared.uses.store(uses, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whoever sends the events; there is to be one.
    pub fn teller(&self) -> Teller {
        Teller::new(self.shared.clone())
    }
}

/// See [`Shared`].
const ASKED_TO_CONNECT: u8 = 0x80;

/// See [`Shared`].
fn uses(settings: &HookSettings) -> u8 {
    let connects = if settings.connect_url.is_some() { ASKED_TO_CONNECT } else { 0 };
    let told = settings.told().iter().fold(0, |bits, kind| bits | kind.bit());
    connects | told
}

fn warn_of_what_is_exposed(settings: &HookSettings) {
    for url in settings.urls().filter(|url| url.is_exposed()) {
        tracing::warn!(
            "the application is asked at {url} without TLS: whoever is in between can answer for it"
        );
    }
}

impl Application for Hooks {
    fn decides_connects(&self) -> bool {
        self.shared.uses.load(Ordering::Relaxed) & ASKED_TO_CONNECT != 0
    }

    fn connect(&self, question: ConnectQuestion) -> Answering<Result<Admission, Refused>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let setup = shared.setup.load_full();
            let body = connect::question(&question, &setup.settings);
            let judge = |answer: &[u8]| connect::judge(answer, &question);
            shared.ask(&setup, Hook::Connect, body, judge).await
        })
    }

    fn subscribe(&self, asker: Asker, channel: ChannelName) -> Answering<Result<(), Refused>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let setup = shared.setup.load_full();
            let body = by(asker, &channel);
            shared.ask(&setup, Hook::Subscribe, body.into(), ask::judge).await
        })
    }

    fn publish(
        &self,
        asker: Asker,
        channel: ChannelName,
        message: Message,
    ) -> Answering<Result<(), Refused>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let setup = shared.setup.load_full();
            let mut body = by(asker, &channel);
            let (name, data) = match (message.kind(), message.as_text()) {
                (Kind::Json, Some(text)) => ("json", text.into()),
                (_, Some(text)) => ("text", text.into()),
                (_, None) => ("base64", STANDARD.encode(message.data())),
            };
            body.insert(name.into(), Value::String(data));
            shared.ask(&setup, Hook::Publish, body.into(), ask::judge).await
        })
    }

    fn note(&self, event: HubEvent<'_>) {
        let kind = EventKind::of(&event);
        if self.shared.uses.load(Ordering::Relaxed) & kind.bit() != 0 {
            self.shared.queue.push(event, &self.shared.counters);
        }
    }

    fn counters(&self) -> &HookCounters {
        &self.shared.counters
    }
}

/// Who asks, and about which channel.
fn by(asker: Asker, channel: &ChannelName) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("channel".into(), channel.as_str().into());
    if let Some(session) = asker.session {
        body.insert("session".into(), session.to_string().into());
    }
    if let Some(user) = asker.user {
        body.insert("user".into(), user.as_str().into());
    }
    if let Some(peer) = asker.peer {
        body.insert("address".into(), json!(peer.to_string()));
    }
    body
}
