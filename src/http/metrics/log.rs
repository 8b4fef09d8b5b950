//! The metrics of the log.

use super::{Kind, Metric};
use crate::base::log_lines::LineLost;

pub(super) const METRICS: &[Metric] = &[Metric {
    name: "fanfare_log_lines_dropped_total",
    help: "Log lines that were lost, by reason: nobody reads stderr fast enough, or it cannot be \
           written to.",
    kind: Kind::Counter,
    read: |_, to| {
        for why in LineLost::ALL {
            to.with("reason", why.name(), why.count().get());
        }
    },
}];
