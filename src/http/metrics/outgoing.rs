//! The metrics of requests that the gateway makes itself: for keys of tokens, and to the application.

use std::fmt::Display;
use std::time::SystemTime;

use super::{Kind, Metric, Source};
use crate::base::clock::since_1970;
use crate::base::counters::PASS_US_BOUNDS;
use crate::base::outgoing::{EventLost, Hook, HookCounters, HookResult, JwksCounters, OneHook};

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
            let now = since_1970(SystemTime::now()).as_secs();
            if fetched > 0 {
                to.one((now as i64 - fetched).max(0));
            }
        },
    },
    Metric {
        name: "fanfare_hook_requests_total",
        help: "Requests to the application, by what for and result; those that it was spared count too.",
        kind: Kind::Counter,
        read: |from, to| {
            for (hook, one) in hooks(from) {
                for result in HookResult::ALL {
                    let count = one.results(result).get();
                    to.write("", &[("hook", &hook.name()), ("result", &result.name())], count);
                }
            }
        },
    },
    Metric {
        name: "fanfare_hook_request_seconds",
        help: "Time that requests to the application took.",
        kind: Kind::Histogram,
        read: |from, to| {
            for (hook, one) in hooks(from) {
                let (buckets, sum_us) = one.took_us.get();
                let hook: &dyn Display = &hook.name();
                let mut count = 0;
                for (us, bucket) in PASS_US_BOUNDS.into_iter().zip(buckets) {
                    count += bucket;
                    to.write("_bucket", &[("hook", hook), ("le", &(us as f64 / 1e6))], count);
                }
                count += buckets[PASS_US_BOUNDS.len()];
                to.write("_bucket", &[("hook", hook), ("le", &"+Inf")], count);
                to.write("_sum", &[("hook", hook)], sum_us as f64 / 1e6);
                to.write("_count", &[("hook", hook)], count);
            }
        },
    },
    Metric {
        name: "fanfare_hook_requests_in_flight",
        help: "Requests to the application now.",
        kind: Kind::Gauge,
        read: |from, to| {
            for (hook, one) in hooks(from) {
                to.with("hook", hook.name(), one.in_flight.get());
            }
        },
    },
    Metric {
        name: "fanfare_hook_broken",
        help: "1 while the application is not asked because it failed too often.",
        kind: Kind::Gauge,
        read: |from, to| {
            for (hook, one) in hooks(from).filter(|(hook, _)| *hook != Hook::Events) {
                to.with("hook", hook.name(), one.broken.get());
            }
        },
    },
    Metric {
        name: "fanfare_hook_events_queued",
        help: "Events that wait to be told to the application.",
        kind: Kind::Gauge,
        read: |from, to| counted(from).into_iter().for_each(|all| to.one(all.events_queued.get())),
    },
    Metric {
        name: "fanfare_hook_events_sent_total",
        help: "Events that the application took.",
        kind: Kind::Counter,
        read: |from, to| counted(from).into_iter().for_each(|all| to.one(all.events_sent.get())),
    },
    Metric {
        name: "fanfare_hook_events_lost_total",
        help: "Events that the application was not told, by reason: the queue was full, it did not take \
               them in time, or the gateway ended.",
        kind: Kind::Counter,
        read: |from, to| {
            if let Some(all) = counted(from) {
                for why in EventLost::ALL {
                    to.with("reason", why.name(), all.events_lost(why).get());
                }
            }
        },
    },
];

fn counted<'a>(from: &Source<'a>) -> Option<&'a HookCounters> {
    from.state.hub.application().map(|application| application.counters())
}

fn hooks<'a>(from: &Source<'a>) -> impl Iterator<Item = (Hook, &'a OneHook)> {
    let all = counted(from).into_iter();
    all.flat_map(|all| Hook::ALL.into_iter().map(move |hook| (hook, all.of(hook))))
}

fn jwks<'a>(from: &Source<'a>) -> &'a JwksCounters {
    &from.state.tally().jwks
}
