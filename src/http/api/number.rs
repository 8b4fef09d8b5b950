//! Whole numbers, however JSON spells them: `2`, `2.0` and `2e0` are the same number (RFC 8259
//! section 6), and there are languages whose libraries write the second.

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Number;

/// Up to here a float tells whole numbers apart: 2^53.
const FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

/// A number that may be missing or null.
pub(super) fn whole<'de, D: Deserializer<'de>, T: TryFrom<i128>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let number: Option<Number> = Deserialize::deserialize(from)?;
    number.map(|number| value(&number).ok_or_else(|| D::Error::custom("not whole"))).transpose()
}

/// A number that has to be there.
pub(super) fn whole_always<'de, D: Deserializer<'de>, T: TryFrom<i128>>(
    from: D,
) -> Result<T, D::Error> {
    whole(from)?.ok_or_else(|| D::Error::custom("null"))
}

fn value<T: TryFrom<i128>>(number: &Number) -> Option<T> {
    let float = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= FLOAT_MAX);
    let exact = number.as_u64().map(i128::from).or_else(|| number.as_i64().map(i128::from));
    T::try_from(exact.or_else(|| float().map(|float| float as i128))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Asked {
        #[serde(default, deserialize_with = "whole")]
        n: Option<u16>,
    }

    #[test]
    fn spelling_does_not_matter_and_value_does() {
        for (text, n) in [
            ("{}", Some(None)),
            ("{\"n\":null}", Some(None)),
            ("{\"n\":3}", Some(Some(3))),
            ("{\"n\":3.0}", Some(Some(3))),
            ("{\"n\":0.3e1}", Some(Some(3))),
            ("{\"n\":3.5}", None),
            ("{\"n\":-1}", None),
            ("{\"n\":65536}", None),
            ("{\"n\":1e300}", None),
            ("{\"n\":\"3\"}", None),
        ] {
            let read = serde_json::from_str::<Asked>(text).ok().map(|asked| asked.n);
            assert_eq!(read, n, "{text}");
        }
        let most = Number::from(u64::MAX);
        assert_eq!(value(&most), Some(u64::MAX));
        assert_eq!(value::<u64>(&"9007199254740994.0".parse().unwrap()), None);
    }
}
