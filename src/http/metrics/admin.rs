//! The metrics of the process's time, and of the admin page.

use tokio::runtime::Handle;

use super::{Kind, Metric};

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "fanfare_process_cpu_seconds_total",
        help: "Time that the process was on a core, the kernel's part included.",
        kind: Kind::Counter,
        read: |from, to| from.process.cpu_seconds.into_iter().for_each(|s| to.one(s)),
    },
    Metric {
        name: "fanfare_worker_busy_seconds_total",
        help: "Time that each thread of the runtime did not wait for anything.",
        kind: Kind::Counter,
        read: |_, to| {
            let runtime = Handle::current().metrics();
            for worker in 0..runtime.num_workers() {
                let busy = runtime.worker_total_busy_duration(worker);
                to.with("worker", worker, busy.as_secs_f64());
            }
        },
    },
    Metric {
        name: "fanfare_admin_viewers",
        help: "Pages that watch the node at /admin now.",
        kind: Kind::Gauge,
        read: |from, to| to.one(from.state.admin.viewers()),
    },
    Metric {
        name: "fanfare_admin_wrong_keys_total",
        help: "Wrong keys sent to the admin page.",
        kind: Kind::Counter,
        read: |from, to| to.one(from.state.admin.wrong_keys()),
    },
];
