//! Who comes in: keys, the cookie that stands for one, and what too many wrong ones lead to.
//!
//! A login keeps the key it was made with, and counts as long as that key does: one that is taken out of
//! the configuration ends its logins with the next reload.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use http::{Request, StatusCode};
use parking_lot::Mutex;
use serde_json::json;

use super::super::answer::{self, Answer, Challenge, Refusal};
use super::super::guard;
use super::super::peer::Peer;
use super::super::state::State;
use super::{Access, AdminSettings};
use crate::base::counters::Count;

/// The name of the cookie.
const COOKIE_NAME: &str = "fanfare_admin";

/// Addresses whose wrong keys are counted one by one; what comes beyond them counts together.
const ADDRESSES_MAX: usize = 1_024;

/// How long wrong keys count.
const MINUTE: Duration = Duration::from_secs(60);

/// What is known of those who come.
#[derive(Debug, Default)]
pub(super) struct Door {
    logins: Mutex<Vec<Login>>,
    wrong: Mutex<HashMap<Option<IpAddr>, Wrong>>,
    pub(super) wrong_keys: Count,
}

struct Login {
    id: u128,
    key: Vec<u8>,
    until: Instant,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(..)")
    }
}

#[derive(Clone, Copy, Debug)]
struct Wrong {
    since: Instant,
    count: u32,
}

/// What somebody came with.
#[derive(Clone)]
pub(super) enum Pass {
    Key(Vec<u8>),
    Login(u128),
    Nothing,
}

/// Somebody who asks, not known yet.
pub(super) struct Caller {
    pass: Pass,
    address: Option<IpAddr>,
    /// The origin of the page that asks; checked to be our own if there is one.
    origin: Option<String>,
}

/// Somebody who may look.
pub(super) struct Viewer {
    pub(super) access: Access,
    pub(super) pass: Pass,
}

impl Caller {
    /// Reads what a request brought.
    ///
    /// # Errors
    /// [`Refusal`], for a request through a page that is not ours.
    pub(super) fn of<B>(state: &State, request: &Request<B>, peer: Peer) -> Result<Self, Refusal> {
        guard::check_own_origin(state, request.headers())?;
        let headers = request.headers();
        let origin = headers.get(http::header::ORIGIN).and_then(|origin| origin.to_str().ok());
        let address = peer.address().map(|address| whole(address.ip()));
        Ok(Self { pass: pass(headers), address, origin: origin.map(Into::into) })
    }
}

/// As per-address bounds have it: an address of version 6 is its first 64 bits.
fn whole(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

fn pass(headers: &HeaderMap) -> Pass {
    let key = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked(7));
    if let Some((scheme, key)) = key
        && scheme.eq_ignore_ascii_case(b"bearer ")
    {
        return Pass::Key(key.trim_ascii().to_vec());
    }
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut ids = cookies.flat_map(|line| line.split(';')).filter_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == COOKIE_NAME && value.len() == 32).then(|| u128::from_str_radix(value, 16).ok())?
    });
    ids.next().map_or(Pass::Nothing, Pass::Login)
}

/// Lets a viewer in, to look.
///
/// # Errors
/// [`Refusal`].
pub(super) fn enter<B>(state: &State, request: &Request<B>, peer: Peer) -> Result<Viewer, Refusal> {
    let caller = Caller::of(state, request, peer)?;
    identify(state, &caller)
}

/// What a visitor may do; `None` for one that has not logged in, or whose login is over.
///
/// # Errors
/// [`Refusal`], for a page that is not ours and for a key that is wrong.
pub(super) fn look_up<B>(
    state: &State,
    request: &Request<B>,
    peer: Peer,
) -> Result<Option<Access>, Refusal> {
    let caller = Caller::of(state, request, peer)?;
    match caller.pass {
        Pass::Key(_) => identify(state, &caller).map(|viewer| Some(viewer.access)),
        pass => Ok(still(state, &pass)),
    }
}

/// Lets a viewer in who wants to change something.
///
/// # Errors
/// [`Refusal`].
pub(super) fn enter_to_change<B>(
    state: &State,
    request: &Request<B>,
    peer: Peer,
) -> Result<Viewer, Refusal> {
    let caller = Caller::of(state, request, peer)?;
    if matches!(caller.pass, Pass::Login(_)) && caller.origin.is_none() {
        let text = "with a cookie this needs the Origin of our own page; from elsewhere send the key \
                    as Authorization: Bearer KEY";
        return Err(Refusal::new(StatusCode::FORBIDDEN, text));
    }
    identify(state, &caller)
}

fn identify(state: &State, caller: &Caller) -> Result<Viewer, Refusal> {
    let settings = &state.options().admin;
    let door = &state.admin.door;
    let access = match &caller.pass {
        Pass::Key(key) => Some(door.try_key(settings, caller.address, key)?),
        pass => still(state, pass),
    };
    let text = "log in, or send a key of admin.keys or admin.read_only_keys as Authorization: \
                Bearer KEY";
    let access = access.ok_or_else(|| Refusal::challenge(Challenge::Admin, text))?;
    Ok(Viewer { access, pass: caller.pass.clone() })
}

/// What somebody who was let in may do now; `None` if that is over.
pub(super) fn still(state: &State, pass: &Pass) -> Option<Access> {
    let settings = &state.options().admin;
    match pass {
        Pass::Nothing => None,
        Pass::Key(key) => access_of(settings, key),
        Pass::Login(id) => {
            let (logins, now) = (state.admin.door.logins.lock(), Instant::now());
            // The id has 122 random bits and more: what a comparison's time tells of it is no help.
            let login = logins.iter().find(|login| login.id == *id && login.until > now)?;
            access_of(settings, &login.key)
        }
    }
}

fn access_of(settings: &AdminSettings, key: &[u8]) -> Option<Access> {
    let (full, read_only) = (settings.keys.accept(key), settings.read_only_keys.accept(key));
    match (full, read_only) {
        (true, _) => Some(Access::Full),
        (false, true) => Some(Access::ReadOnly),
        (false, false) => None,
    }
}

impl Door {
    /// # Errors
    /// [`Refusal`], for a wrong key, and for any key while there were too many.
    fn try_key(
        &self,
        settings: &AdminSettings,
        address: Option<IpAddr>,
        key: &[u8],
    ) -> Result<Access, Refusal> {
        let now = Instant::now();
        let mut wrong = self.wrong.lock();
        wrong.retain(|_, wrong| now.duration_since(wrong.since) < MINUTE);
        let place = match wrong.len() < ADDRESSES_MAX || wrong.contains_key(&address) {
            true => address,
            false => None,
        };
        let so_far = wrong.get(&place).copied().unwrap_or(Wrong { since: now, count: 0 });
        if so_far.count >= settings.wrong_keys_per_min_max {
            let text = "too many wrong keys; try again in a minute";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, text));
        }
        if let Some(access) = access_of(settings, key) {
            return Ok(access);
        }
        wrong.insert(place, Wrong { count: so_far.count + 1, ..so_far });
        drop(wrong);
        self.wrong_keys.add(1);
        tracing::warn!(address = address.map(tracing::field::display), "admin: a wrong key");
        Err(Refusal::challenge(Challenge::Admin, "the key is not right"))
    }
}

/// Takes a key for a cookie. The body is a form: `key=…`.
///
/// # Errors
/// [`Refusal`].
pub(super) fn log_in(state: &State, caller: &Caller, body: &[u8]) -> Result<Answer, Refusal> {
    let Some(origin) = &caller.origin else {
        let text = "a login needs an Origin, and that of our own page; without a browser send the key \
                    as Authorization: Bearer KEY";
        return Err(Refusal::new(StatusCode::FORBIDDEN, text));
    };
    let key = form_urlencoded::parse(body).find(|(name, _)| name == "key");
    let key = key.ok_or_else(|| Refusal::bad_request("the form has no key"))?.1;
    let settings = &state.options().admin;
    let door = &state.admin.door;
    let access = door.try_key(settings, caller.address, key.as_bytes())?;
    let (id, now) = (rand::random::<u128>(), Instant::now());
    let timeout = Duration::from_millis(settings.login_timeout_ms);
    let mut logins = door.logins.lock();
    logins.retain(|login| login.until > now);
    if logins.len() >= settings.logins_max {
        logins.remove(0);
    }
    logins.push(Login { id, key: key.as_bytes().to_vec(), until: now + timeout });
    drop(logins);
    tracing::info!(
        address = caller.address.map(tracing::field::display),
        access = access.name(),
        "admin: logged in"
    );
    Ok(with_cookie(
        &json!({ "access": access.name() }),
        &format!("{id:032x}"),
        timeout.as_secs(),
        // Only the browser knows whether TLS ends at a proxy before us, and it says so here.
        origin.starts_with("https://"),
    ))
}

/// Ends a login.
pub(super) fn log_out(state: &State, caller: &Caller) -> Answer {
    if let (Pass::Login(id), Some(_)) = (&caller.pass, &caller.origin) {
        state.admin.door.logins.lock().retain(|login| login.id != *id);
    }
    let is_secure = caller.origin.as_ref().is_some_and(|origin| origin.starts_with("https://"));
    with_cookie(&json!({}), "", 0, is_secure)
}

fn with_cookie(body: &serde_json::Value, value: &str, age_s: u64, is_secure: bool) -> Answer {
    let secure = if is_secure { "; Secure" } else { "" };
    let cookie = format!(
        "{COOKIE_NAME}={value}; Path=/admin; Max-Age={age_s}; HttpOnly; SameSite=Strict{secure}"
    );
    let mut answer = answer::json(StatusCode::OK, body);
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}
