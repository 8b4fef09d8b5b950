//! Claims of well signed tokens: each is of its type and within its bounds, or the token is refused.

use serde_json::Value;

use super::*;
use crate::auth::jwt::SettingsError;

/// What the claims `{"exp":...}` with these added come to.
fn with_claims(authoriser: &JwtAuthoriser, more: Value) -> Result<Grant, Refusal> {
    let mut claims = json!({"exp": NOW_S + 60});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    authoriser.authorise(Some(&hs_token(&claims.to_string())), now())
}

#[track_caller]
fn refused_claims(authoriser: &JwtAuthoriser, more: Value, text: &str) {
    let refusal = with_claims(authoriser, more).unwrap_err();
    assert!(refusal.to_string().contains(text), "{text:?} is not in {refusal}");
}

#[test]
fn exp_is_required_a_number_and_in_the_future() {
    let hs256 = hs256();
    refused(&hs256, &hs_token("{}"), "it has no exp");
    let later = NOW_S + 60;
    for exp in [format!("\"{later}\""), "null".into(), "true".into(), format!("[{later}]")] {
        refused(&hs256, &hs_token(&format!("{{\"exp\":{exp}}}")), "its exp is not a number");
    }
    for exp in ["-1", "-1e300", "-0.5"] {
        refused(&hs256, &hs_token(&format!("{{\"exp\":{exp}}}")), "its exp is not a number");
    }
    let milliseconds = format!("{later}000");
    for exp in [&milliseconds, "1e300", "18446744073709551615", "18446744073709551616"] {
        refused(&hs256, &hs_token(&format!("{{\"exp\":{exp}}}")), "after the year 9999");
    }
    for exp in ["NaN", "Infinity", "1e999", "+1"] {
        refused(&hs256, &hs_token(&format!("{{\"exp\":{exp}}}")), "its claims are not");
    }
    let twice = format!("{{\"exp\":1,\"exp\":{later}}}");
    refused(&hs256, &hs_token(&twice), "is given twice");
    for exp in ["0".into(), "1".into(), NOW_S.to_string(), format!("{}.9", NOW_S)] {
        let token = hs_token(&format!("{{\"exp\":{exp}}}"));
        assert_eq!(hs256.authorise(Some(&token), now()), Err(Refusal::Expired), "{exp}");
    }
    for (exp, expires) in [(format!("{}", NOW_S + 1), NOW_S + 1), (format!("{later}.5"), later)] {
        let token = hs_token(&format!("{{\"exp\":{exp}}}"));
        assert_eq!(hs256.authorise(Some(&token), now()).unwrap().expires_unix_s, Some(expires));
    }
}

#[test]
fn exp_may_be_made_optional_and_is_checked_all_the_same() {
    let keys = vec![secret(Algorithm::Hs256, None, SECRET)];
    let settings = AuthSettings { keys, require_exp: false, ..AuthSettings::default() };
    let lenient = JwtAuthoriser::new(settings).unwrap();
    assert_eq!(lenient.authorise(Some(&hs_token("{}")), now()).unwrap().expires_unix_s, None);
    refused(&lenient, &hs_token("{\"exp\":null}"), "its exp is not a number");
    refused(&lenient, &hs_token("{\"exp\":\"1\"}"), "its exp is not a number");
    refused(&lenient, &hs_token("{\"exp\":1}"), "expired");
}

#[test]
fn nbf_is_a_number_and_has_the_leeway() {
    let hs256 = hs256();
    for good in [json!(0), json!(NOW_S), json!(NOW_S + 5), json!(NOW_S as f64 + 5.5)] {
        assert!(with_claims(&hs256, json!({"nbf": good})).is_ok(), "{good}");
    }
    refused_claims(&hs256, json!({"nbf": NOW_S + 6}), "not valid yet");
    refused_claims(&hs256, json!({"nbf": u64::MAX}), "not valid yet");
    refused_claims(&hs256, json!({"nbf": 1e300}), "not valid yet");
    for bad in [json!("0"), json!(null), json!(-1), json!([0])] {
        refused_claims(&hs256, json!({"nbf": bad}), "its nbf is not a number");
    }
    let settings = |leeway_s| AuthSettings {
        keys: vec![secret(Algorithm::Hs256, None, SECRET)],
        leeway_s,
        ..AuthSettings::default()
    };
    assert_eq!(JwtAuthoriser::new(settings(31)).unwrap_err(), SettingsError::Leeway(31));
    let strict = JwtAuthoriser::new(settings(0)).unwrap();
    refused_claims(&strict, json!({"nbf": NOW_S + 1}), "not valid yet");
    let wide = JwtAuthoriser::new(settings(30)).unwrap();
    assert!(with_claims(&wide, json!({"nbf": NOW_S + 30})).is_ok());
    // No leeway prolongs a token.
    let expired = hs_token(&format!("{{\"exp\":{NOW_S}}}"));
    assert_eq!(wide.authorise(Some(&expired), now()), Err(Refusal::Expired));
}

#[test]
fn a_clock_before_1970_counts_as_1970() {
    let before = UNIX_EPOCH - Duration::from_secs(1);
    assert!(hs256().authorise(Some(&hs_token(&fresh())), before).is_ok());
    let expired = hs_token("{\"exp\":0}");
    assert_eq!(hs256().authorise(Some(&expired), before), Err(Refusal::Expired));
}

#[test]
fn issuer_and_audience_are_checked_when_configured() {
    let settings = AuthSettings {
        keys: vec![secret(Algorithm::Hs256, None, SECRET)],
        issuer: Some("https://id.example".into()),
        audience: Some("fanfare".into()),
        ..AuthSettings::default()
    };
    let strict = JwtAuthoriser::new(settings).unwrap();
    let iss = "https://id.example";
    for aud in [json!("fanfare"), json!(["a", "fanfare"])] {
        assert!(with_claims(&strict, json!({"iss": iss, "aud": aud})).is_ok());
    }
    for (claims, text) in [
        (json!({"aud": "fanfare"}), "it has no iss"),
        (json!({"iss": "https://id.example/", "aud": "fanfare"}), "its iss is not the issuer"),
        (json!({"iss": [iss], "aud": "fanfare"}), "its iss is not a string"),
        (json!({"iss": null, "aud": "fanfare"}), "its iss is not a string"),
        (json!({"iss": iss}), "it has no aud"),
        (json!({"iss": iss, "aud": "fanfare2"}), "its aud does not name"),
        (json!({"iss": iss, "aud": []}), "its aud does not name"),
        (json!({"iss": iss, "aud": ["Fanfare", "a"]}), "its aud does not name"),
        (json!({"iss": iss, "aud": ["fanfare", 1]}), "its aud is neither"),
        (json!({"iss": iss, "aud": {"fanfare": 1}}), "its aud is neither"),
        (json!({"iss": iss, "aud": null}), "its aud is neither"),
    ] {
        refused_claims(&strict, claims, text);
    }
}

#[test]
fn sub_is_a_user_id() {
    let hs256 = hs256();
    refused_claims(&hs256, json!({"sub": 7}), "its sub is a number; write it as a string");
    for bad in [json!(null), json!(["a"]), json!(true)] {
        refused_claims(&hs256, json!({"sub": bad}), "its sub is not a string");
    }
    for bad in [json!(""), json!("a\nb"), json!("u".repeat(129))] {
        refused_claims(&hs256, json!({"sub": bad}), "its sub must have 1 to 128 bytes");
    }
    assert_eq!(with_claims(&hs256, json!({})).unwrap().user, None);
}

#[test]
fn rules_come_from_the_claims_or_the_defaults() {
    let settings = AuthSettings {
        keys: vec![secret(Algorithm::Hs256, None, SECRET)],
        default_subscribe: Rules::from_patterns(["public.*"]),
        default_publish: Rules::from_patterns(["inbox"]),
        ..AuthSettings::default()
    };
    let open = JwtAuthoriser::new(settings).unwrap();
    let absent = with_claims(&open, json!({})).unwrap();
    assert!(absent.subscribe.allow("public.a") && absent.publish.allow("inbox"));
    let given = with_claims(&open, json!({"subscribe": ["a"], "publish": []})).unwrap();
    assert!(given.subscribe.allow("a") && !given.subscribe.allow("public.a"));
    assert!(given.publish.is_none());
    let nothing = with_claims(&hs256(), json!({})).unwrap();
    assert!(nothing.subscribe.is_none() && nothing.publish.is_none());

    let most = vec!["x".repeat(49); 128];
    assert!(with_claims(&open, json!({"subscribe": &most[..100]})).is_ok());
    assert!(with_claims(&open, json!({"subscribe": ["x".repeat(200)]})).is_ok());
    let many = vec!["x"; 129];
    for name in ["subscribe", "publish"] {
        for bad in [
            json!("a"),
            json!(null),
            json!([1]),
            json!([null]),
            json!(many),
            json!(["x".repeat(201)]),
        ] {
            refused_claims(&open, json!({ name: bad }), &format!("its {name} is not up to 128"));
        }
    }
    assert!(with_claims(&open, json!({"publish": &many[..128]})).is_ok());
}

#[test]
fn claims_are_one_object() {
    for bad in ["", "[]", "null", "1", "{", "\u{feff}{}", "{} {}"] {
        refused(&hs256(), &hs_token(bad), "its claims are not");
    }
    let deep = format!("{{\"exp\":{},\"aud\":{}}}", NOW_S + 60, "[".repeat(5_000));
    refused(&hs256(), &hs_token(&deep), "its claims are not");
}
