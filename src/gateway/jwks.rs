//! Fetches the keys of tokens, again and again, while the gateway runs.
//!
//! # What holds
//! * No failure admits anybody: what is not a good answer changes nothing, and keys that were not fetched
//!   for `stale_max` are gone, by the machine's clock and by one that nobody can turn.
//! * A key that is not in the newest set counts from then on for nobody who comes; sessions that came by
//!   it stay as long as their token is good.
//! * There are never two fetches at once, and never two within `refresh_min`, but for a reload of the
//!   configuration, which fetches at once.
//! * A token that names an unknown key waits for the fetch that it caused, or that is under way, and
//!   is then looked at once more. Within `refresh_min` of the last one it does not wait, so tokens
//!   with made up keys cost nothing.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT, AGE, CACHE_CONTROL, HeaderMap, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::Full;
use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::auth::jwks::{self, JwksOrigin};
use crate::auth::source::KeySource;
use crate::base::access::Answering;
use crate::base::clock::since_1970;
use crate::base::outgoing::JwksCounters;
use crate::config::JwksSettings;
use crate::fetch::{Client, FetchError, TlsError, Url};

/// How much earlier than due a fetch may be, so that nodes that were started together do not fetch
/// together.
const JITTER: std::ops::Range<f64> = 0.9..1.0;

/// Fetches as the newest configuration says.
#[derive(Debug)]
pub(super) struct Fetching {
    counters: Arc<JwksCounters>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    settings: JwksSettings,
    source: Arc<KeySource>,
    calls: Arc<Calls>,
    /// Ends with this.
    _task: JoinSet<()>,
}

/// Who wants a fetch, and how the last one went.
#[derive(Debug)]
struct Calls {
    wanted: Notify,
    turn: Mutex<Turn>,
    /// How many fetches have ended; whether the last one brought keys.
    ended: watch::Sender<(u64, bool)>,
    timeout: Duration,
    counters: Arc<JwksCounters>,
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    /// One is under way, or about to be.
    Now,
    /// Not before this.
    From(Instant),
}

impl Fetching {
    pub(super) fn new(counters: Arc<JwksCounters>) -> Self {
        Self { counters, running: Mutex::new(None) }
    }

    /// The keys that these settings name; `None` if they name none. If the settings are those of
    /// before, so are the keys, and they are fetched again.
    ///
    /// # Errors
    /// [`TlsError`]; then nothing has changed.
    pub(super) fn source(
        &self,
        settings: &JwksSettings,
    ) -> Result<Option<Arc<KeySource>>, TlsError> {
        let mut running = self.running.lock();
        if let Some(same) = running.as_ref().filter(|running| running.settings == *settings) {
            same.calls.wanted.notify_one();
            return Ok(Some(same.source.clone()));
        }
        let Some(url) = settings.url.clone() else {
            *running = None;
            return Ok(None);
        };
        let client = Client::new(settings.limits.clone())?;
        if url.is_exposed() {
            tracing::warn!(
                "keys of tokens are fetched from {url} without TLS: whoever is in between can let \
                 anybody in"
            );
        }
        let calls = Arc::new(Calls {
            wanted: Notify::new(),
            turn: Mutex::new(Turn::Now),
            ended: watch::channel((0, false)).0,
            timeout: settings.limits.timeout,
            counters: self.counters.clone(),
        });
        let asked = calls.clone();
        let source = Arc::new(KeySource::new(Box::new(move || asked.clone().refetched())));
        let fetcher = Fetcher {
            client,
            url,
            refresh_min: settings.refresh_min.min(settings.refresh_interval),
            settings: settings.clone(),
            source: source.clone(),
            calls: calls.clone(),
            counters: self.counters.clone(),
            last: None,
        };
        let mut task = JoinSet::new();
        task.spawn(fetcher.run());
        *running = Some(Running {
            settings: settings.clone(),
            source: source.clone(),
            calls,
            _task: task,
        });
        Ok(Some(source))
    }
}

impl Calls {
    fn refetched(self: Arc<Self>) -> Answering<bool> {
        let mut ended = self.ended.subscribe();
        {
            let mut turn = self.turn.lock();
            match *turn {
                Turn::Now => {}
                Turn::From(then) if Instant::now() >= then => {
                    *turn = Turn::Now;
                    self.wanted.notify_one();
                }
                Turn::From(_) => {
                    self.counters.held_back.add(1);
                    // The last one may have ended since the token was looked at, and to look for an id
                    // costs next to nothing.
                    return Box::pin(std::future::ready(true));
                }
            }
        }
        self.counters.early.add(1);
        Box::pin(async move {
            // The fetch has this time itself; the rest is for whoever has the processor.
            let most = self.timeout + Duration::from_secs(1);
            let changed = tokio::time::timeout(most, ended.changed()).await;
            matches!(changed, Ok(Ok(()))) && ended.borrow().1
        })
    }
}

struct Fetcher {
    client: Client,
    url: Url,
    settings: JwksSettings,
    refresh_min: Duration,
    source: Arc<KeySource>,
    calls: Arc<Calls>,
    counters: Arc<JwksCounters>,
    /// The last set that was taken up, and when.
    last: Option<(Bytes, Instant)>,
}

impl Fetcher {
    async fn run(mut self) {
        let mut failures = 0;
        loop {
            *self.calls.turn.lock() = Turn::Now;
            let fetched = self.fetch().await;
            let is_good = fetched.is_ok();
            let wait = match fetched {
                Ok(max_age) => {
                    failures = 0;
                    self.counters.fetched.add(1);
                    let wait = max_age.unwrap_or(Duration::MAX);
                    wait.clamp(self.refresh_min, self.settings.refresh_interval)
                }
                Err(why) => {
                    failures += 1;
                    self.failed(&why);
                    backoff(self.refresh_min, self.settings.refresh_interval, failures)
                }
            };
            *self.calls.turn.lock() = Turn::From(Instant::now() + self.refresh_min);
            self.calls.ended.send_modify(|ended| *ended = (ended.0 + 1, is_good));
            let wait = wait.mul_f64(rand::rng().random_range(JITTER));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.calls.wanted.notified() => {}
            }
        }
    }

    /// Fetches and takes up. Returns how long the answer counts, if it says so.
    async fn fetch(&mut self) -> Result<Option<Duration>, String> {
        let request = Request::get(self.url.uri())
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .header(USER_AGENT, concat!("fanfare/", env!("CARGO_PKG_VERSION")))
            .body(Full::default())
            .map_err(|error| error.to_string())?;
        let reply =
            self.client.send(request).await.map_err(|error: FetchError| error.to_string())?;
        if reply.status != StatusCode::OK {
            return Err(format!("the answer is {} and not 200", reply.status));
        }
        let read = jwks::parse(&reply.body, JwksOrigin::Url).map_err(|error| error.to_string())?;
        let keys = read.keys.len();
        let is_new = self.last.as_ref().is_none_or(|(body, _)| *body != reply.body);
        let now = SystemTime::now();
        self.source.set(read.keys, now + self.settings.stale_max);
        self.counters.keys.set(keys as i64);
        let unix_s = since_1970(now).as_secs();
        self.counters.fetched_unix_s.set(unix_s as i64);
        self.last = Some((reply.body, Instant::now()));
        if is_new {
            let url = &self.url;
            for skipped in &read.skipped {
                tracing::warn!("a key of the set at {url} is skipped: {skipped}");
            }
            match keys {
                0 => {
                    tracing::error!("the set at {url} has no key that can be used: no token counts")
                }
                _ => tracing::info!(keys, "fetched the keys of tokens from {url}"),
            }
        }
        Ok(max_age(&reply.headers))
    }

    fn failed(&mut self, why: &str) {
        self.counters.failed.add(1);
        let url = &self.url;
        let stale_max = self.settings.stale_max;
        let is_over = self.last.as_ref().is_none_or(|(_, at)| at.elapsed() >= stale_max);
        if !is_over {
            tracing::warn!("cannot fetch the keys of tokens from {url}, the old ones stay: {why}");
            return;
        }
        self.last = None;
        self.source.clear();
        self.counters.keys.set(0);
        tracing::error!(
            "cannot fetch the keys of tokens from {url}, and there are none: nobody is let in by \
             them: {why}"
        );
    }
}

/// Twice as long after each failure.
fn backoff(least: Duration, most: Duration, failures: u32) -> Duration {
    least.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(most)
}

/// How long an answer may be kept (RFC 9111 section 5.2.2.1), less what it was on its way already.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let mut directives = lines.flat_map(|line| line.split(','));
    let seconds = directives.find_map(|directive| {
        let (name, value) = directive.trim().split_once('=')?;
        let is_max_age = name.eq_ignore_ascii_case("max-age");
        is_max_age.then(|| value.trim_matches('"').parse::<u64>().ok()).flatten()
    })?;
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.parse::<u64>().ok());
    Some(Duration::from_secs(seconds.saturating_sub(age.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_found_among_others() {
        let of = |line: &str, age: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, line.parse().unwrap());
            if let Some(age) = age {
                headers.insert(AGE, age.parse().unwrap());
            }
            max_age(&headers).map(|age| age.as_secs())
        };
        assert_eq!(of("public, max-age=300, must-revalidate", None), Some(300));
        assert_eq!(of("Max-Age=\"60\"", Some("50")), Some(10));
        assert_eq!(of("max-age=60", Some("90")), Some(0));
        assert_eq!(of("no-store", None), None);
        assert_eq!(of("max-age=-1, s-maxage=5", None), None);
    }

    #[test]
    fn failures_wait_longer_and_longer_up_to_a_bound() {
        let (least, most) = (Duration::from_secs(10), Duration::from_secs(300));
        let waits: Vec<u64> = (1..8).map(|n| backoff(least, most, n).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff(least, most, u32::MAX), most);
    }
}
