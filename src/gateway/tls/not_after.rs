//! Until when a certificate holds, out of its DER (RFC 5280 section 4.1): just the way to that field.

/// Seconds since 1970 of the end of its validity; `None` if it is not in order.
pub(super) fn not_after_unix_s(certificate: &[u8]) -> Option<i64> {
    const INTEGER: u8 = 0x02;
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xA0;
    let (certificate, _) = field(certificate, SEQUENCE)?;
    let (mut rest, _) = field(certificate, SEQUENCE)?;
    if let Some((_, behind)) = field(rest, VERSION) {
        rest = behind;
    }
    let (_, rest) = field(rest, INTEGER)?;
    let (_, rest) = field(rest, SEQUENCE)?; // the signature's algorithm
    let (_, rest) = field(rest, SEQUENCE)?; // the issuer
    let (validity, _) = field(rest, SEQUENCE)?;
    let (_, _, not_after) = any(validity)?;
    let (kind, time, _) = any(not_after)?;
    unix_s(kind, time)
}

/// The content of the next field if it has this tag, and what is behind it.
fn field(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = any(bytes)?;
    (found == tag).then_some((content, rest))
}

/// The tag and the content of the next field, and what is behind it.
fn any(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, bytes) = bytes.split_first()?;
    let (&first, mut bytes) = bytes.split_first()?;
    let mut len = usize::from(first);
    if first >= 0x80 {
        let (digits, rest) = bytes.split_at_checked(len - 0x80)?;
        let fits = (1..=4).contains(&digits.len());
        len = digits.iter().fold(0, |len, &digit| (len << 8) | usize::from(digit));
        bytes = fits.then_some(rest)?;
    }
    let (content, rest) = bytes.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ`, from 1950 to 2049, or with four digits of the year (section 4.1.2.5).
fn unix_s(kind: u8, time: &[u8]) -> Option<i64> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let digits = time.strip_suffix(b"Z")?;
    let number = |digits: &[u8]| -> Option<i64> {
        let all = digits.iter().all(u8::is_ascii_digit);
        all.then(|| digits.iter().fold(0, |sum, digit| 10 * sum + i64::from(digit - b'0')))
    };
    let (year, rest) = match (kind, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(&digits[..2])?;
            (if year < 50 { 2_000 + year } else { 1_900 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4])?, &digits[4..]),
        _ => return None,
    };
    let mut parts = [0; 5];
    for (part, digits) in parts.iter_mut().zip(rest.chunks(2)) {
        *part = number(digits)?;
    }
    let [month, day, hour, minute, second] = parts;
    let fits = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60;
    fits.then(|| 86_400 * days(year, month, day) + 3_600 * hour + 60 * minute + second)
}

/// Days since 1970 in the Gregorian calendar, counted in years that begin in March: so a leap day is
/// the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_month = (153 * month + 2) / 5;
    let before_year = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719,468 days lie between 1 March of the year 0 and 1970.
    before_year + before_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (kind, time, is) in [
            (0x17, "700101000000Z", 0),
            (0x17, "491231235959Z", 2_524_607_999),
            (0x17, "500101000000Z", -631_152_000),
            (0x17, "240229120000Z", 1_709_208_000),
            (0x18, "20000301000000Z", 951_868_800),
            (0x18, "99991231235959Z", 253_402_300_799),
        ] {
            assert_eq!(unix_s(kind, time.as_bytes()), Some(is), "{time}");
        }
        for (kind, time) in [
            (0x17, "7001010000Z"),
            (0x17, "20000301000000Z"),
            (0x18, "20001301000000Z"),
            (0x18, "2000030100000Z"),
            (0x18, "20000301000000"),
            (0x18, "2000030100+000Z"),
            (0x16, "700101000000Z"),
        ] {
            assert_eq!(unix_s(kind, time.as_bytes()), None, "{time}");
        }
    }

    #[test]
    fn it_is_found_in_a_certificate_and_not_beyond_its_end() {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2031, 7, 9);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let der = certificate.der();
        assert_eq!(not_after_unix_s(der), Some(1_941_321_600));
        for end in 0..der.len() {
            // Its outer length is wrong then.
            assert_eq!(not_after_unix_s(&der[..end]), None);
        }
        for at in 0..der.len().min(300) {
            let mut broken = der.to_vec();
            broken[at] = 0xFF;
            let _ = not_after_unix_s(&broken);
        }
    }
}
