//! Who may listen, and to what: the same for WebSockets and event streams. The cheap checks first.

use std::time::{Duration, SystemTime};

use http::header::{COOKIE, HeaderMap};
use http::{Request, StatusCode};

use super::answer::{Challenge, Refusal};
use super::guard;
use super::peer::Peer;
use super::state::{State, StateOptions};
use super::tally::UpgradeRefused;
use crate::auth::token::{self, Credential, Place};
use crate::base::access::{Grant, Refusal as TokenRefusal};
use crate::base::application::{Admission, Asker, ConnectQuestion, Denial, Refused, Unchecked};
use crate::base::disconnect::{Disconnect, Reason};
use crate::base::fields::Fields;
use crate::base::ids::ChannelName;
use crate::connection::{Accept, UpgradeError};
use crate::hub::{OpenError, SubscribeError};

/// The channel of a peer that names none and cannot subscribe later.
const LOBBY: &str = "lobby";

/// Counts and logs a refusal. A line that may come often says how many there were without one since
/// the last.
pub(super) fn note(state: &State, why: UpgradeRefused, text: &str, peer: Peer) {
    state.tally().upgrades_refused(why).add(1);
    match why {
        // What only the operator can change.
        UpgradeRefused::Overloaded | UpgradeRefused::Share => {
            let lines = state.tally().refusal_lines(why);
            if lines.may_tell(state.hub.now_ms()) {
                let untold = lines.take_untold();
                tracing::info!(reason = why.name(), %peer, untold, "listener refused: {text}");
            }
        }
        _ => tracing::debug!(reason = why.name(), %peer, "listener refused: {text}"),
    }
}

/// Why there is no session, of what the hub said.
pub(super) fn reason(error: &UpgradeError) -> UpgradeRefused {
    match error {
        UpgradeError::Open(OpenError::TooManySessionsOfUser(_))
        | UpgradeError::Subscribe(_, SubscribeError::ChannelFull(_)) => UpgradeRefused::Share,
        _ if error.status() == StatusCode::SERVICE_UNAVAILABLE => UpgradeRefused::Overloaded,
        _ => UpgradeRefused::Handshake,
    }
}

/// Names the peer where it has an address.
pub(super) fn of_peer(accept: Accept, peer: Peer) -> Accept {
    match peer.address() {
        Some(address) => accept.peer(address),
        None => accept,
    }
}

/// Where the page is from that asks.
pub(super) fn check_origin(
    options: &StateOptions,
    headers: &impl Fields,
) -> Result<(), (UpgradeRefused, Refusal)> {
    guard::check_origin(options, headers).map_err(|no| match no.status {
        StatusCode::FORBIDDEN => (UpgradeRefused::Origin, no),
        _ => (UpgradeRefused::Handshake, no),
    })
}

/// One more channel that a query names, unless it is there already.
///
/// # Errors
/// A text for the peer.
pub(super) fn add_channel(
    channels: &mut Vec<ChannelName>,
    name: &str,
    channels_max: usize,
) -> Result<(), String> {
    let name = ChannelName::new(name).map_err(|error| error.to_string())?;
    if !channels.contains(&name) {
        if channels.len() == channels_max {
            return Err(format!("at most {channels_max} channels are allowed"));
        }
        channels.push(name);
    }
    Ok(())
}

/// These channels, or the one of whoever names none.
pub(super) fn or_lobby(mut channels: Vec<ChannelName>) -> Result<Vec<ChannelName>, String> {
    if channels.is_empty() {
        channels.push(ChannelName::new(LOBBY).map_err(|error| error.to_string())?);
    }
    Ok(channels)
}

/// A request to listen, however its head was read.
#[derive(Debug)]
pub(super) struct Asked<'a, F> {
    pub(super) query: Option<&'a str>,
    pub(super) fields: &'a F,
}

impl<'a, B> From<&'a Request<B>> for Asked<'a, HeaderMap> {
    fn from(request: &'a Request<B>) -> Self {
        Self { query: request.uri().query(), fields: request.headers() }
    }
}

/// Whoever comes in.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) grant: Grant,
    /// Where its token was.
    pub(super) place: Option<Place>,
    /// The channels that it is in: those it names, then those the application adds.
    pub(super) channels: Vec<ChannelName>,
    /// Whether the application let it in. Then no token changes what it may.
    pub(super) is_by_application: bool,
}

/// What somebody asks for who comes in.
#[derive(Debug)]
pub(super) struct Wish {
    /// `websocket` or `sse`.
    pub(super) transport: &'static str,
    pub(super) channels: Vec<ChannelName>,
    /// Whether it named none, so that these only count if the application adds none.
    pub(super) is_default: bool,
    /// The most that it may be in.
    pub(super) channels_max: usize,
}

type No = (UpgradeRefused, Refusal);

/// Why nobody comes in yet.
#[derive(Debug)]
pub(super) enum Halt {
    /// Nobody does.
    Refused(No),
    /// Somebody has to be asked first.
    Ask(Box<Ask>),
}

impl From<No> for Halt {
    #[cold]
    fn from(no: No) -> Self {
        Self::Refused(no)
    }
}

impl From<Ask> for Halt {
    #[cold]
    fn from(whom: Ask) -> Self {
        Self::Ask(Box::new(whom))
    }
}

/// Who has to be asked.
#[derive(Debug)]
pub(super) enum Ask {
    /// Whoever has the keys of tokens: the one of this token is not known here.
    Keys,
    /// The application, whether this one may connect.
    Connect(ConnectQuestion),
    /// The application, whether whoever has this may subscribe to these.
    Subscribe(Vec<ChannelName>, Admission),
}

/// What those said who were asked.
#[derive(Debug, Default)]
pub(super) struct Said {
    keys_fetched: bool,
    admission: Option<Admission>,
    is_by_application: bool,
    may_subscribe: bool,
}

/// Whoever `check` lets in, after asking whom it wants asked, each once. So what decides waits for nobody,
/// and where nobody has to be asked it is called without this. It goes on from `first`, if `check` has said
/// that already: a token is not to be verified twice.
pub(super) async fn ask_around<T>(
    state: &State,
    options: &StateOptions,
    peer: Peer,
    first: Option<Box<Ask>>,
    mut check: impl FnMut(&mut Said) -> Result<T, Halt>,
) -> Result<T, No> {
    let (mut said, mut next) = (Said::default(), first);
    loop {
        if let Some(whom) = next.take() {
            said.note(state, options, peer, *whom).await?;
        }
        match check(&mut said) {
            Ok(checked) => return Ok(checked),
            Err(Halt::Refused(no)) => return Err(no),
            Err(Halt::Ask(whom)) => next = Some(whom),
        }
    }
}

impl Said {
    /// Asks, and notes what is said.
    async fn note(
        &mut self,
        state: &State,
        options: &StateOptions,
        peer: Peer,
        whom: Ask,
    ) -> Result<(), No> {
        match whom {
            Ask::Keys => {
                options.authoriser.refetched().await;
                self.keys_fetched = true;
            }
            Ask::Connect(question) => {
                let application = state.hub.application();
                let application = application.ok_or_else(|| refusal(Refused::Unavailable))?;
                self.admission = Some(application.connect(question).await.map_err(refusal)?);
                self.is_by_application = true;
            }
            Ask::Subscribe(channels, admission) => {
                // Together they have the time of a handshake.
                let most = Duration::from_millis(options.http_limits.handshake_timeout_ms);
                let answers = ask_to_subscribe(state, &channels, &admission.grant, peer);
                let answers = tokio::time::timeout(most, answers).await;
                answers.unwrap_or_else(|_| Err(refusal(Refused::Unavailable)))?;
                self.admission = Some(admission);
                self.may_subscribe = true;
            }
        }
        Ok(())
    }
}

/// What the token and the application allow; the channels that are wanted are among that.
pub(super) fn authorise<F: Fields>(
    state: &State,
    options: &StateOptions,
    asked: &Asked<'_, F>,
    wish: Wish,
    peer: Peer,
    said: &mut Said,
) -> Result<Admitted, Halt> {
    let credential = credential(options, asked)?;
    let place = credential.as_ref().map(Credential::place);
    let token = credential.as_ref().map(Credential::token);
    let Admission { grant, channels: added } = match said.admission.take() {
        Some(admission) => admission,
        None => match state.hub.application().filter(|port| port.decides_connects()) {
            Some(_) => return Err(connect(options, asked, &wish, token, peer, said)),
            None => Admission { grant: token_grant(options, token, said)?, channels: Vec::new() },
        },
    };
    let is_replaced = wish.is_default && !added.is_empty();
    let wanted = if is_replaced { Vec::new() } else { wish.channels };
    if let Some(channel) = wanted.iter().find(|name| !grant.subscribe.allow(name.as_str())) {
        let text = format!("the token does not allow to subscribe to the channel {channel}");
        let refusal = Refusal::new(StatusCode::FORBIDDEN, text);
        return Err((UpgradeRefused::Permission, refusal).into());
    }
    let asks = |name: &&ChannelName| state.hub.asks_to_subscribe(name) && !added.contains(name);
    let asking: Vec<_> = wanted.iter().filter(asks).cloned().collect();
    if !asking.is_empty() && !said.may_subscribe {
        let admission = Admission { grant, channels: added };
        return Err(Ask::Subscribe(asking, admission).into());
    }
    let channels = together(wanted, added, wish.channels_max)?;
    Ok(Admitted { grant, place, channels, is_by_application: said.is_by_application })
}

/// What the application is asked about whoever connects; or what is wrong with its token, which is not
/// the application's business.
fn connect<F: Fields>(
    options: &StateOptions,
    asked: &Asked<'_, F>,
    wish: &Wish,
    token: Option<&str>,
    peer: Peer,
    said: &Said,
) -> Halt {
    let mut question = question(options, asked, wish, peer);
    match options.authoriser.takes_tokens() {
        true if token.is_some() => match token_grant(options, token, said) {
            Ok(grant) => question.grant = Some(grant),
            Err(halt) => return halt,
        },
        // None at all is.
        true => {}
        false => question.token = token.map(|token| Unchecked(token.to_owned())),
    }
    Ask::Connect(question).into()
}

fn together(
    mut channels: Vec<ChannelName>,
    added: Vec<ChannelName>,
    channels_max: usize,
) -> Result<Vec<ChannelName>, No> {
    for channel in added {
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    if channels.len() > channels_max {
        let text = format!("at most {channels_max} channels are allowed");
        return Err((UpgradeRefused::Query, Refusal::bad_request(text)));
    }
    Ok(channels)
}

fn credential<F: Fields>(
    options: &StateOptions,
    asked: &Asked<'_, F>,
) -> Result<Option<Credential>, No> {
    let found = token::find(asked.fields, asked.query, &options.cookie_name);
    let found = found.map_err(|error| {
        (UpgradeRefused::Token, Refusal::challenge(Challenge::BadToken, error.to_string()))
    })?;
    Ok(found.filter(|found| {
        !found.place().rides_along() || guard::trusts_cookies(options, asked.fields)
    }))
}

/// What a token allows; one with an unknown key is looked at again once the keys were fetched.
fn token_grant(options: &StateOptions, token: Option<&str>, said: &Said) -> Result<Grant, Halt> {
    let error = match options.authoriser.authorise(token, SystemTime::now()) {
        Ok(grant) => return Ok(grant),
        Err(TokenRefusal::UnknownKey) if !said.keys_fetched => return Err(Ask::Keys.into()),
        Err(error) => error,
    };
    let text = error.to_string();
    let refusal = match error {
        TokenRefusal::Missing => Refusal::challenge(Challenge::Token, text),
        TokenRefusal::Unavailable => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text),
        _ => Refusal::challenge(Challenge::BadToken, text),
    };
    Err(Halt::Refused((UpgradeRefused::Token, refusal)))
}

fn question<F: Fields>(
    options: &StateOptions,
    asked: &Asked<'_, F>,
    wish: &Wish,
    peer: Peer,
) -> ConnectQuestion {
    let mut headers = asked.fields.to_map();
    if !guard::trusts_cookies(options, &headers) {
        headers.remove(COOKIE);
    }
    let pairs = form_urlencoded::parse(asked.query.unwrap_or_default().as_bytes());
    let pairs = pairs.filter(|(name, _)| name != token::QUERY_NAME);
    ConnectQuestion {
        transport: wish.transport,
        peer: peer.address(),
        headers,
        query: form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish(),
        channels: if wish.is_default { Vec::new() } else { wish.channels.clone() },
        token: None,
        grant: None,
    }
}

/// Asks for the channels whose rules want that, one after the other.
async fn ask_to_subscribe(
    state: &State,
    channels: &[ChannelName],
    grant: &Grant,
    peer: Peer,
) -> Result<(), No> {
    for channel in channels {
        let Some(application) = state.hub.application() else {
            return Err(refusal(Refused::Unavailable));
        };
        let asker = Asker { session: None, user: grant.user.clone(), peer: peer.address() };
        application.subscribe(asker, channel.clone()).await.map_err(refusal)?;
    }
    Ok(())
}

fn refusal(refused: Refused) -> No {
    let refusal = match refused {
        Refused::Unavailable => {
            let text = "the application that decides who may connect cannot be asked at the moment; try \
                        again later";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text)
        }
        Refused::Denied(Denial { reason, is_unauthenticated, close_code }) => {
            let disconnect = close_code.map(|code| {
                Disconnect::new(Reason::Kicked).with_code(code).with_text(reason.clone())
            });
            let refusal = match is_unauthenticated {
                true => Refusal::challenge(Challenge::Token, reason),
                false => Refusal::new(StatusCode::FORBIDDEN, reason),
            };
            refusal.or_disconnect(disconnect)
        }
    };
    (UpgradeRefused::Application, refusal)
}
