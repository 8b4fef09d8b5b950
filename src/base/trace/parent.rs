//! What a publisher is in the middle of, as W3C Trace Context level 2 section 3.2 has it.

use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

/// A `traceparent`: the trace and the span in it that something is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace_id: NonZeroU128,
    /// The span in it.
    pub span_id: NonZeroU64,
    /// Whether whoever has that span records it.
    pub is_sampled: bool,
}

/// A text is no `traceparent`. As the standard has it, it then counts as if it were not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTraceParent;

/// The length of all that version 00 has.
const LEN: usize = 55;

impl FromStr for TraceParent {
    type Err = NoTraceParent;

    fn from_str(text: &str) -> Result<Self, NoTraceParent> {
        let bytes = text.as_bytes();
        let version = hex(bytes.get(..2))?;
        // A later version may have more behind what this one has, and 255 is none.
        let has_good_length = match version {
            0 => bytes.len() == LEN,
            _ => version != 0xff && (bytes.len() == LEN || bytes.get(LEN) == Some(&b'-')),
        };
        let dashes = [2, 35, 52].into_iter().all(|at| bytes.get(at) == Some(&b'-'));
        if !(has_good_length && dashes) {
            return Err(NoTraceParent);
        }
        let trace_id = NonZeroU128::new(hex(bytes.get(3..35))?).ok_or(NoTraceParent)?;
        let span_id = NonZeroU64::new(hex(bytes.get(36..52))? as u64).ok_or(NoTraceParent)?;
        let is_sampled = hex(bytes.get(53..55))? & 1 == 1;
        Ok(Self { trace_id, span_id, is_sampled })
    }
}

/// Lower case only: upper case is no `traceparent`.
fn hex(digits: Option<&[u8]>) -> Result<u128, NoTraceParent> {
    let digits = digits.ok_or(NoTraceParent)?;
    digits.iter().try_fold(0, |number, digit| match digit {
        b'0'..=b'9' => Ok(number << 4 | u128::from(digit - b'0')),
        b'a'..=b'f' => Ok(number << 4 | u128::from(digit - b'a' + 10)),
        _ => Err(NoTraceParent),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_is_read() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let read: TraceParent = text.parse().unwrap();
        assert_eq!(read.trace_id.get(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((read.span_id.get(), read.is_sampled), (0x00f0_67aa_0ba9_02b7, true));
        let later = format!("cc{}-what-the-future-will-be-like", &text[2..]);
        assert_eq!(later.parse(), Ok(read));
        let unsampled = format!("{}02", &text[..53]).parse::<TraceParent>();
        assert!(!unsampled.unwrap().is_sampled);
    }

    #[test]
    fn what_is_none_is_told_from_it() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for bad in [
            String::new(),
            good[..54].into(),
            format!("{good}-more"),
            format!("{good}0"),
            good.to_uppercase(),
            good.replace('-', "_"),
            format!("ff{}", &good[2..]),
            format!("cc{}x", &good[2..]),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01".into(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01".into(),
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01".into(),
            "ü".repeat(28),
        ] {
            assert_eq!(bad.parse::<TraceParent>(), Err(NoTraceParent), "{bad}");
        }
    }
}
