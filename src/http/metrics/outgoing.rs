//! The metrics of requests that the gateway makes itself: for keys of tokens, and to the application.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Kind, Metric, Source};
use crate::base::outgoing::JwksCounters;

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "fanfare_jwks_refreshes_total",
        help: "Times that the keys of tokens were fetched, by result: after a failure the old ones stay.",
        kind: Kind::Counter,
        read: |from, to| {
            to.with("result", "ok", jwks(from).fetched.get());
            to.with("result", "failed", jwks(from).failed.get());
        },
    },
    Metric {
        name: "fanfare_jwks_unknown_keys_total",
        help: "Tokens that named an unknown key, by what that led to: a fetch out of turn, or \
               nothing, because the last one was just before.",
        kind: Kind::Counter,
        read: |from, to| {
            to.with("led_to", "fetch", jwks(from).early.get());
            to.with("led_to", "nothing", jwks(from).held_back.get());
        },
    },
    Metric {
        name: "fanfare_jwks_keys",
        help: "Keys of tokens that were fetched and count now.",
        kind: Kind::Gauge,
        read: |from, to| to.one(jwks(from).keys.get()),
    },
    Metric {
        name: "fanfare_jwks_age_seconds",
        help: "Time since the keys of tokens were fetched.",
        kind: Kind::Gauge,
        read: |from, to| {
            let fetched = jwks(from).fetched_unix_s.get();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
            if fetched > 0 {
                to.one((now as i64 - fetched).max(0));
            }
        },
    },
];

fn jwks<'a>(from: &Source<'a>) -> &'a JwksCounters {
    &from.state.tally().jwks
}
