use proptest::prelude::*;

use http::HeaderMap;

use super::*;

fn negotiate_lines(lines: &[&str]) -> Result<Option<Deflate>, Malformed> {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(
            Field::SecWebSocketExtensions.name(),
            HeaderValue::from_bytes(line.as_bytes()).unwrap(),
        );
    }
    negotiate(&headers)
}

/// The window agreed on, and whether the answer names it.
fn agreed(lines: &[&str]) -> Option<(u8, bool)> {
    let agreed = negotiate_lines(lines).unwrap_or_else(|_| panic!("{lines:?} is in order"));
    agreed.map(|deflate| (deflate.window_bits as u8, deflate.is_limited))
}

#[test]
fn the_offers_of_rfc_7692() {
    for (lines, want) in [
        // Section 4.1.
        (&["permessage-foo"][..], None),
        (&["permessage-foo; x=10"], None),
        (&["permessage-foo, permessage-bar"], None),
        (&["permessage-foo; use_y, permessage-foo"], None),
        // Section 7.1.2.1 and 7.1.2.2.
        (&["permessage-deflate; server_max_window_bits=10"], Some((9, true))),
        (&["permessage-deflate; client_max_window_bits"], Some((15, false))),
        (&["permessage-deflate; client_max_window_bits=10"], Some((15, false))),
        // Section 7.1.3.
        (&["permessage-deflate"], Some((15, false))),
        (
            &["permessage-deflate; client_max_window_bits; server_max_window_bits=10"],
            Some((9, true)),
        ),
        (
            &["permessage-deflate; client_max_window_bits; server_max_window_bits=10, \
               permessage-deflate; client_max_window_bits"],
            Some((9, true)),
        ),
        // Section 8.
        (
            &["permessage-deflate; server_no_context_takeover; client_no_context_takeover"],
            Some((15, false)),
        ),
    ] {
        assert_eq!(agreed(lines), want, "{lines:?}");
    }
}

#[test]
fn every_window_is_answered_with_one_that_is_not_larger() {
    for asked in 9..=15u8 {
        let offer = format!("permessage-deflate; server_max_window_bits={asked}");
        let (bits, is_limited) = agreed(&[&offer]).unwrap();
        assert!(is_limited && (9..=asked).contains(&bits), "{asked}: {bits}");
        let answer = negotiate_lines(&[&offer]).unwrap().unwrap().answer();
        let named = format!("; server_max_window_bits={bits}");
        assert!(answer.to_str().unwrap().ends_with(&named), "{answer:?}");
    }
}

#[test]
fn an_answer_always_excludes_context_takeover_and_can_be_negotiated_again() {
    for offer in ["permessage-deflate", "permessage-deflate;server_max_window_bits=12"] {
        let deflate = negotiate_lines(&[offer]).unwrap().unwrap();
        let answer = deflate.answer();
        let text = answer.to_str().unwrap();
        assert!(text.starts_with(
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        ));
        assert_eq!(negotiate_lines(&[text]), Ok(Some(deflate)));
    }
}

#[test]
fn an_offer_that_cannot_be_kept_is_declined_and_the_next_is_tried() {
    for bad in [
        "unknown",
        "unknown=1",
        "server_no_context_takeover=1",
        "client_no_context_takeover=\"true\"",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits",
        "server_max_window_bits=8",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=010",
        "server_max_window_bits=1",
        "server_max_window_bits=+9",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=\"x\"",
        "client_max_window_bits; client_max_window_bits=10",
        "Server_no_context_takeover",
    ] {
        let offer = format!("permessage-deflate; {bad}");
        assert_eq!(agreed(&[&offer]), None, "{offer}");
        assert_eq!(agreed(&[&offer, "permessage-deflate"]), Some((15, false)), "{offer}");
        let both = format!("{offer}, permessage-deflate; server_max_window_bits=12");
        assert_eq!(agreed(&[&both]), Some((12, true)), "{both}");
    }
    // A client may limit its own window to 256 bytes: it is not ours.
    assert_eq!(agreed(&["permessage-deflate; client_max_window_bits=8"]), Some((15, false)));
}

#[test]
fn spelling_does_not_matter_and_other_extensions_are_passed_over() {
    for lines in [
        &["permessage-deflate;server_max_window_bits=15"][..],
        &[" permessage-deflate\t; server_max_window_bits = \"15\" "],
        &["permessage-deflate; server_max_window_bits=\"1\\5\""],
        &["x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=15"],
        &["foo; a=\"x\"; b", ",, permessage-deflate; server_max_window_bits=15,"],
        &["permessage-deflate; unknown", "permessage-deflate; server_max_window_bits=15"],
    ] {
        assert_eq!(agreed(lines), Some((15, true)), "{lines:?}");
    }
    for none in [&[][..], &[""], &[", ,"], &["deflate"], &["PERMESSAGE-DEFLATE"]] {
        assert_eq!(agreed(none), None, "{none:?}");
    }
}

#[test]
fn what_is_not_of_the_grammar_is_malformed_wherever_it_stands() {
    for bad in [
        "permessage-deflate;",
        "permessage-deflate; ;client_max_window_bits",
        "permessage-deflate client_max_window_bits",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; client_max_window_bits=\"\"",
        "permessage-deflate; client_max_window_bits=\"10",
        "permessage-deflate; client_max_window_bits=\"10\\",
        "permessage-deflate; client_max_window_bits=\"1 0\"",
        "permessage-deflate; client_max_window_bits=10 11",
        "permessage-deflate; =10",
        "; permessage-deflate",
        "=",
        "per/message",
        "\u{e4}",
        "foo; a=\"b\"c",
    ] {
        assert_eq!(negotiate_lines(&[bad]), Err(Malformed), "{bad}");
        assert_eq!(negotiate_lines(&["permessage-deflate", bad]), Err(Malformed), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..4),
    ) {
        let mut headers = HeaderMap::new();
        for line in lines {
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                headers.append(Field::SecWebSocketExtensions.name(), value);
            }
        }
        let _ = negotiate(&headers);
    }

    #[test]
    fn no_mix_of_its_own_words_makes_it_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "permessage-deflate", "server_max_window_bits", "client_max_window_bits", ";", "=", ",",
            "\"", "\\", "8", "15", " ", "server_no_context_takeover",
        ]), 0..24),
    ) {
        if let Ok(Some(deflate)) = negotiate_lines(&[&words.concat()]) {
            prop_assert!(deflate.answer().to_str().is_ok());
        }
    }
}
