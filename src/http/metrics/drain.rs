//! The metrics of a graceful end.

use super::{Kind, Metric};

pub(super) const METRICS: &[Metric] = &[Metric {
    name: "fanfare_drain_phase",
    help: "0 while it serves; then the number of the phase in which it ends, as the log names it. \
           fanfare_sessions says how many are left.",
    kind: Kind::Gauge,
    read: |from, to| to.one(from.state.tally().drain_phase.get()),
}];
