//! What the gateway asks others: keys of tokens, and the application.

use std::time::Duration;

use super::super::keys::EVENTS;
use super::*;
use crate::hooks::{EventKind, HookSettings, SigningSecret};

const SET: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},{"kty":"oct","k":"AA"}]}"#;

#[test]
fn sets_of_keys_are_taken_from_a_file_and_an_address() {
    let world = World::new()
        .config(
            "[auth]\njwks_file = 'set.json'\njwks_url = 'https://id.example/keys?a=b'\n\
             jwks_ca_file = 'ca.pem'\njwks_refresh_interval_ms = 60000\nissuer = 'x'\n",
        )
        .file("conf/set.json", SET);
    let settings = world.load().unwrap();
    let auth = settings.auth.unwrap();
    let jwks = auth.jwks.unwrap();
    assert!(auth.keys.is_empty() && !settings.open_mode);
    assert_eq!((jwks.keys.len(), jwks.skipped.len()), (1, 1));
    assert_eq!(settings.jwks.url.unwrap().to_string(), "https://id.example/keys");
    assert_eq!(settings.jwks.limits.ca_file, Some("conf/ca.pem".into()));
    assert_eq!(settings.jwks.refresh_interval, Duration::from_secs(60));
    assert_eq!(World::new().load().unwrap().jwks, JwksSettings::default());
}

#[test]
fn sets_that_are_no_good_are_refused() {
    let file = "[auth]\njwks_file = 'set.json'\n";
    for (config, set, text) in [
        (file, "canary", "no JWK set"),
        (file, r#"{"keys":[]}"#, "no key in it that can be used: it is empty"),
        (file, r#"{"keys":[{"kty":"oct","k":"Y2FuYXJ5"}]}"#, "key 0: a secret needs an alg"),
        ("[auth]\njwks_file = 'nowhere'\n", "", "cannot read"),
        ("[auth]\njwks_file = 'set.json'\nalgorithm = 'RS256'\n", SET, "remove it"),
        ("[auth]\njwks_url = 'id.example'\n", "", "auth.jwks_url is neither http"),
        ("[auth]\njwks_url = 'https://a:canary@b/'\n", "", "auth.jwks_url has a name"),
        ("[auth]\njwks_url = 'https://b/'\njwks_stale_max_ms = 1000\n", "", "raise it"),
    ] {
        let told = World::new().config(config).file("conf/set.json", set).refused();
        assert!(told.contains(text) && !told.contains("canary"), "{text:?} is not in {told}");
    }
}

#[test]
fn hooks_are_taken_whole() {
    let secret = canary();
    let text = "[hooks]\nconnect_url = 'https://app/c'\nsubscribe_url = 'https://app/s'\n\
                publish_url = 'https://app/p'\nevents_url = 'http://127.0.0.1:1/e'\n\
                headers = ['Cookie', 'x-device']\nca_file = 'ca.pem'\n\
                events = ['channel_vacated']\npause_ms = 10\nsecret_file = 'secret'\n\
                [[channels.rules]]\nmatch = 'a'\nauthorize_subscribe = true\nauthorize_publish = true\n";
    let world = World::new().config(text).file("conf/secret", &format!("{secret}\n"));
    let settings = world.load().unwrap();
    let HookSettings { headers, events, ca_file, pause, .. } = &settings.hooks;
    let urls: Vec<String> = settings.hooks.urls().map(ToString::to_string).collect();
    assert_eq!(urls, ["https://app/c", "https://app/s", "https://app/p", "http://127.0.0.1:1/e"]);
    assert_eq!((headers[0].as_str(), headers[1].as_str()), ("cookie", "x-device"));
    assert_eq!((events.as_slice(), pause.as_millis()), (&[EventKind::ChannelVacated][..], 10));
    assert_eq!(ca_file.as_deref(), Some(Path::new("conf/ca.pem")));
    assert_eq!(settings.hooks.secret, SigningSecret::new(secret.as_bytes()));
    assert!(!settings.open_mode, "the application decides who comes");
    let rule = settings.channels.of("a");
    assert!(rule.authorize_subscribe && rule.authorize_publish);
    assert!(!format!("{settings:?}").contains("canary"));
    let by_variable = World::new().variable("FANFARE_HOOKS_SECRET", &secret);
    assert_eq!(by_variable.load().unwrap().hooks.secret, SigningSecret::new(secret.as_bytes()));
    assert_eq!(World::new().load().unwrap().hooks, HookSettings::default());
}

#[test]
fn hooks_that_make_no_sense_are_refused() {
    let secret = format!("[hooks]\nsecret = '{}'\n", canary());
    for (text, advice) in [
        ("[hooks]\nevents_url = 'https://a/'\n".into(), "FANFARE_HOOKS_SECRET"),
        ("[hooks]\nsecret = 'canary'\n".into(), "hooks.secret: the secret has 6 bytes"),
        (format!("{secret}secret_file = 'a'\n"), "keep one of them"),
        (format!("{secret}connect_url = 'app'\n"), "hooks.connect_url is neither http"),
        (format!("{secret}headers = ['a b']\n"), "hooks.headers[0] is not the name"),
        (format!("{secret}events = ['connect']\n"), "hooks.events[0] is none of connected,"),
        ("[[channels.rules]]\nmatch = 'a'\nauthorize_subscribe = true\n".into(), "subscribe_url"),
        ("[[channels.rules]]\nmatch = 'a'\nauthorize_publish = true\n".into(), "publish_url"),
    ] {
        let told = World::new().config(&text).refused();
        assert!(told.contains(advice) && !told.contains("canary"), "{advice:?} is not in {told}");
    }
    let told = World::new().set("hooks.secret=canary").refused();
    assert!(told.contains("hooks.secret_file") && !told.contains("canary"), "{told}");
}

#[test]
fn the_events_of_the_table_are_those_there_are() {
    assert_eq!(EventKind::ALL.map(EventKind::name), EVENTS);
}
