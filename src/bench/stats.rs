//! Histograms of times, and what is told of them.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The finest difference that is kept, in nanoseconds: less than a system call takes.
const FINEST_NS: u64 = 100;
/// The longest time that is kept, in nanoseconds: ten minutes.
const LONGEST_NS: u64 = 600_000_000_000;
/// Three digits: an error of a thousandth.
const DIGITS: u8 = 3;

/// For plots: dense where the tail is.
const PERCENTILES: [f64; 18] = [
    1.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95,
    99.99, 100.0,
];

/// A histogram of nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> Self {
        let bounds = Histogram::new_with_bounds(FINEST_NS, LONGEST_NS, DIGITS);
        Self(bounds.expect("the bounds are constants that it takes"))
    }

    pub(crate) fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    /// In microseconds; `None` if nothing was recorded.
    pub(crate) fn percentile_us(&self, percentile: f64) -> Option<f64> {
        let is_any = !self.0.is_empty();
        is_any.then(|| us(self.0.value_at_percentile(percentile)))
    }

    pub(crate) fn max_us(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| us(self.0.max()))
    }

    pub(crate) fn summary(&self) -> Summary {
        if self.0.is_empty() {
            return Summary::default();
        }
        let at = |percentile| us(self.0.value_at_percentile(percentile));
        Summary {
            count: self.0.len(),
            min: us(self.0.min()),
            mean: round(self.0.mean() / 1e3),
            p50: at(50.0),
            p90: at(90.0),
            p99: at(99.0),
            p999: at(99.9),
            p9999: at(99.99),
            max: us(self.0.max()),
            percentiles: PERCENTILES.map(|percentile| (percentile, at(percentile))).into(),
        }
    }
}

fn us(ns: u64) -> f64 {
    round(ns as f64 / 1e3)
}

/// To three digits behind the point: what is more is noise in a file that people read.
pub(crate) fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// What is told of a histogram, in microseconds. All zero if nothing was recorded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Summary {
    pub count: u64,
    pub min: f64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub p9999: f64,
    pub max: f64,
    /// Pairs of a percentile and the time that so many were at most.
    pub percentiles: Vec<(f64, f64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_of_what_was_recorded() {
        let mut times = Times::new();
        assert_eq!(times.summary(), Summary::default());
        assert_eq!(times.percentile_us(50.0), None);
        (1..=1_000).for_each(|ms| times.record(ms * 1_000_000));
        let summary = times.summary();
        let near = |value: f64, wanted: f64| (value / wanted - 1.0).abs() < 0.002;
        assert_eq!(summary.count, 1_000);
        assert!(near(summary.p50, 500e3) && near(summary.p99, 990e3), "{summary:?}");
        assert!(near(summary.max, 1e6) && near(summary.mean, 500.5e3), "{summary:?}");
        assert!(summary.percentiles.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
    }

    #[test]
    fn what_is_too_long_counts_as_the_longest() {
        let mut times = Times::new();
        times.record(u64::MAX);
        assert!(times.max_us().unwrap() >= LONGEST_NS as f64 / 1e3);
    }
}
