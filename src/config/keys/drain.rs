//! How the process ends.

use super::{HOUR_MS, Key, int, number};

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    number("drain.ready_wait_ms", (0, HOUR_MS), |s| int(s.drain.ready_wait.as_millis()),
        "How long /ready says 503 before the listeners are closed, at SIGTERM: as long as a load \
         balancer takes to notice. Everybody is served meanwhile."),
    number("drain.window_ms", (0, HOUR_MS), |s| int(s.drain.window.as_millis()),
        "Over how long the closes of sessions are spread, so that they do not come back as one; at most \
         half of drain.timeout_ms. 0 closes all at once."),
    number("drain.timeout_ms", (0, HOUR_MS), |s| int(s.drain.timeout.as_millis()),
        "How long a graceful end may take, from when the listeners are closed, before what is left is \
         cut off."),
];
