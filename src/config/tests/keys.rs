//! The table of keys against everything that works from it.

use super::super::keys::{self, ALGORITHMS, Kind};
use super::*;
use crate::auth::keys::Algorithm;
use crate::auth::origin::{OriginList, origin_allowed};
use crate::base::channels::{ChannelOptions, HistoryOptions};
use crate::base::limits::SlowConsumerPolicy;

/// Keys whose effect cannot be read back as what was typed: each has its own test, by that name.
const NOT_SHOWN: [(&str, &str); 34] = [
    ("api.keys", "a_list_is_overridden_as_a_whole"),
    ("api.keys_file", "key_files_are_read_beside_the_configuration"),
    ("admin.keys", "the_admin_page_has_keys_of_its_own"),
    ("admin.keys_file", "the_admin_page_has_keys_of_its_own"),
    ("admin.read_only_keys", "the_admin_page_has_keys_of_its_own"),
    ("admin.read_only_keys_file", "the_admin_page_has_keys_of_its_own"),
    ("auth.keys", "several_keys_are_taken_from_the_file"),
    ("auth.algorithm", "the_short_way_takes_every_form"),
    ("auth.secret", "the_short_way_takes_every_form"),
    ("auth.secret_file", "key_files_are_read_beside_the_configuration"),
    ("auth.public_key", "the_short_way_takes_every_form"),
    ("auth.public_key_file", "the_short_way_takes_every_form"),
    ("auth.default_subscribe", "lists_reach_what_uses_them"),
    ("auth.default_publish", "lists_reach_what_uses_them"),
    ("origins.allow", "lists_reach_what_uses_them"),
    ("channels.rules", "rules_for_channels_are_taken_from_the_file"),
    ("listeners", "listeners_are_taken_from_the_file"),
    ("http.trusted_proxies", "proxies_are_trusted_by_network_or_as_local"),
    ("http.per_address_exempt", "networks_that_are_exempt_replace_the_default"),
    ("auth.jwks_file", "sets_of_keys_are_taken_from_a_file_and_an_address"),
    ("auth.jwks_url", "sets_of_keys_are_taken_from_a_file_and_an_address"),
    ("auth.jwks_ca_file", "sets_of_keys_are_taken_from_a_file_and_an_address"),
    ("hooks.connect_url", "hooks_are_taken_whole"),
    ("hooks.subscribe_url", "hooks_are_taken_whole"),
    ("hooks.publish_url", "hooks_are_taken_whole"),
    ("hooks.events_url", "hooks_are_taken_whole"),
    ("hooks.secret", "hooks_are_taken_whole"),
    ("hooks.secret_file", "hooks_are_taken_whole"),
    ("hooks.headers", "hooks_are_taken_whole"),
    ("hooks.ca_file", "hooks_are_taken_whole"),
    ("hooks.events", "hooks_are_taken_whole"),
    ("traces.otlp_url", "where_traces_go_is_taken_whole"),
    ("traces.headers", "where_traces_go_is_taken_whole"),
    ("traces.ca_file", "where_traces_go_is_taken_whole"),
];

fn keyed() -> World {
    World::new()
        .variable("FANFARE_API_KEYS", &canary())
        .variable("FANFARE_AUTH_SECRET", &canary())
        // Room for the smallest and largest values of the bounds that depend on each other.
        .variable("FANFARE_MESSAGES_MESSAGE_BYTES_MAX", "1")
}

/// Something that the key takes and that is not its default.
fn other_value(kind: Kind, default: Option<&str>) -> Vec<String> {
    match kind {
        Kind::Switch => vec!["true".into(), "false".into()],
        Kind::Number { min, max } => vec![min.to_string(), max.to_string()],
        Kind::Choice(names) => names.iter().map(ToString::to_string).collect(),
        _ if default == Some("127.0.0.1:8000") => vec!["[::1]:9".into(), "127.0.0.2:9".into()],
        _ => vec!["something".into(), "else".into()],
    }
}

#[test]
fn every_key_reaches_the_settings_from_every_source() {
    let mut read = 0;
    for key in keys::all().filter(|key| NOT_SHOWN.iter().all(|(path, _)| *path != key.path)) {
        let default = (key.get)(&World::new().load().unwrap()).map(|value| value.to_string());
        for value in other_value(key.kind, default.as_deref().map(|text| text.trim_matches('"'))) {
            let literal = match key.kind {
                Kind::Switch | Kind::Number { .. } => value.clone(),
                _ => format!("'{value}'"),
            };
            let (section, name) = key.split();
            let header = if section.is_empty() { String::new() } else { format!("[{section}]") };
            let mut by_variable = keyed();
            by_variable.variables.retain(|(name, _)| *name != *key.variable());
            let sources = [
                by_variable.variable(&key.variable(), &value),
                World {
                    variables: keyed()
                        .variables
                        .into_iter()
                        .filter(|(name, _)| *name != *key.variable())
                        .collect(),
                    ..World::new().config(&format!("{header}\n{name} = {literal}"))
                },
                keyed().set(&format!("{}={value}", key.path)),
            ];
            for world in sources {
                // The largest message asks for outboxes that hold it.
                let world = if key.path == "messages.message_bytes_max" {
                    world
                        .set("hub.outbox_bytes_max=1073741824")
                        .set("hub.publication_bytes_pending_max=1073741824")
                } else {
                    world
                };
                let settings = world.load().unwrap_or_else(|error| panic!("{}: {error}", key.path));
                let got = (key.get)(&settings).unwrap();
                assert_eq!(got.to_string().trim_matches('"'), value, "{}", key.path);
                read += 1;
            }
        }
    }
    assert!(read > 6 * 30, "{read}");
}

#[test]
fn rules_for_channels_are_taken_from_the_file() {
    let load = |text: &str| {
        World::new().file("f.toml", text).flags(|f| f.config = Some("f.toml".into())).load()
    };
    let settings = load(
        "[[channels.rules]]\nmatch = 'news.*'\npolicy = 'drop_newest'\nkey_pointer = '/a'\n\
         [[channels.rules]]\nmatch = 'news.1'\nhistory_publications_max = 7\n\
         history_bytes_max = 2048\nhistory_age_max_ms = 5\ncache = true\npresence = true\njoin_leave = true\n\
         subscribers_max = 9\n",
    );
    let rules = settings.unwrap().channels;
    assert_eq!((rules.len(), rules.of("news.2").policy), (2, Some(SlowConsumerPolicy::DropNewest)));
    let history = HistoryOptions { publications_max: 7, bytes_max: 2_048, age_max_ms: 5 };
    let expected = ChannelOptions {
        policy: None,
        key_pointer: None,
        history,
        cache: true,
        presence: true,
        join_leave: true,
        authorize_subscribe: false,
        authorize_publish: false,
        subscribers_max: Some(9),
    };
    assert_eq!(**rules.of("news.1"), expected);
    assert_eq!(**rules.of("chat"), ChannelOptions::default());

    for (rule, line, text) in [
        ("policy = 'disconnect'", 1, "channels.rules[0] has no match"),
        ("match = 'a b'", 1, "that no channel can have"),
        ("match = 'a'\ncache = true", 1, "without a history"),
        ("match = 'a'\nkey_pointer = 'a'", 1, "like /symbol"),
        ("match = 'a'\n[[channels.rules]]\nmatch = 'a'", 3, "channels.rules[1] is the second one"),
        (
            "match = 'a'\npolicy = 'drop'",
            3,
            "one of disconnect, drop_newest, drop_oldest, conflate, latest",
        ),
        ("match = 'a'\nhistory_publications = 3", 3, "did you mean history_publications_max?"),
        ("match = 'a'\nhistory_bytes_max = 1", 3, "from 1024 to"),
        ("match = 1", 2, "a text in double quotes"),
    ] {
        let error = load(&format!("[[channels.rules]]\n{rule}\n")).unwrap_err().to_string();
        assert!(
            error.contains(text) && error.contains(&format!("f.toml:{line}")),
            "{rule}: {error}"
        );
    }
}

#[test]
fn keys_that_are_not_shown_are_all_tested_by_name() {
    let tests = concat!(
        include_str!("../tests.rs"),
        include_str!("secrets.rs"),
        include_str!("keys.rs"),
        include_str!("listeners.rs"),
        include_str!("outgoing.rs"),
        include_str!("admin.rs"),
        include_str!("traces.rs")
    );
    let settings = keyed().set("auth.issuer=i").set("auth.audience=a").load().unwrap();
    for key in keys::all() {
        let named = NOT_SHOWN.iter().find(|(path, _)| *path == key.path);
        assert_eq!(named.is_some(), (key.get)(&settings).is_none(), "{}", key.path);
        if let Some((_, test)) = named {
            assert!(tests.contains(&format!("fn {test}()")), "{}: {test}", key.path);
        }
    }
}

/// The names of the fields of the raw form, as its own deserialiser lists them.
fn fields_of(section: &str) -> Vec<String> {
    let probe = match section {
        "" => "no_such_key = 1".to_owned(),
        section => format!("[{section}]\nno_such_key = 1"),
    };
    let error = toml::from_str::<raw::Raw>(&probe).unwrap_err();
    let message = error.message();
    let listed = message.split_once("expected").unwrap().1;
    listed.split('`').skip(1).step_by(2).map(Into::into).collect()
}

#[test]
fn the_raw_form_has_exactly_the_keys_of_the_table() {
    let sections: Vec<&str> = keys::all().map(|key| key.split().0).collect();
    let mut top: Vec<String> =
        keys::all().filter(|key| key.split().0.is_empty()).map(|key| key.path.into()).collect();
    for (at, section) in sections.iter().enumerate() {
        if !section.is_empty() && !sections[..at].contains(section) {
            top.push((*section).into());
            let of_table: Vec<_> = keys::all()
                .filter(|key| key.split().0 == *section)
                .map(|key| key.split().1)
                .collect();
            let mut of_raw = fields_of(section);
            let mut of_table: Vec<String> = of_table.into_iter().map(Into::into).collect();
            of_raw.sort();
            of_table.sort();
            assert_eq!(of_raw, of_table, "[{section}]");
        }
    }
    let mut of_raw = fields_of("");
    of_raw.sort();
    top.sort();
    assert_eq!(of_raw, top);
}

#[test]
fn the_reference_holds_every_key_and_reads_back_as_the_defaults() {
    let printed = reference();
    let mut typed = String::new();
    for line in printed.lines() {
        assert!(line.len() <= 100, "{line}");
        let is_key =
            line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' '));
        typed.push_str(is_key.unwrap_or(line));
        typed.push('\n');
    }
    let typed = World::new().config(&typed).load().unwrap();
    let defaults = World::new().load().unwrap();
    let mut with_default = 0;
    for key in keys::all() {
        assert!(
            printed.contains(&key.variable()) || matches!(key.kind, Kind::Tables(_)),
            "{}",
            key.path
        );
        let (_, name) = key.split();
        let example = format!("\n# Example: {name} = ");
        assert_eq!(key.example.is_some(), printed.contains(&example), "{}", key.path);
        if key.example.is_none() {
            assert!(printed.contains(&format!("\n#{name} = ")), "{}", key.path);
            let default = (key.get)(&defaults);
            assert!(default.is_some(), "{} has neither default nor example", key.path);
            assert_eq!((key.get)(&typed), default, "{}", key.path);
            with_default += 1;
        }
    }
    assert!(with_default > 30);
    assert!(World::new().config(&printed).load().is_ok(), "as it is printed, it sets nothing");
}

#[test]
fn examples_are_of_the_type_that_their_key_takes() {
    for key in keys::all() {
        let Some(example) = key.example else { continue };
        let (section, name) = key.split();
        let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
        let text = format!("{header}{name} = {example}\n");
        assert!(file::parse(&text, Path::new(FILE)).is_ok(), "{}", key.path);
    }
}

#[test]
fn names_say_their_unit() {
    for key in keys::all().filter(|key| matches!(key.kind, Kind::Number { .. })) {
        let times = [
            "timeout", "interval", "_age_", "leeway", "wait", "window", "refresh", "stale",
            "pause", "delay", "retry", "_lag_",
        ];
        let is_time = times.iter().any(|time| key.path.contains(time));
        let has_unit = key.path.ends_with("_ms") || key.path.ends_with("_s");
        assert_eq!(is_time, has_unit, "{}", key.path);
    }
}

#[test]
fn the_algorithms_are_those_that_tokens_can_have() {
    assert_eq!(ALGORITHMS, Algorithm::ALL.map(Algorithm::name));
}

#[test]
fn the_policies_are_those_that_an_outbox_has() {
    assert_eq!(SlowConsumerPolicy::NAMES, SlowConsumerPolicy::ALL.map(SlowConsumerPolicy::name));
    for policy in SlowConsumerPolicy::ALL {
        let text = format!("hub.slow_consumer_policy = '{}'", policy.name());
        let settings = World::new().config(&text).load().unwrap();
        assert_eq!(settings.hub.slow_consumer_policy, policy);
    }
}

#[test]
fn lists_reach_what_uses_them() {
    let settings = keyed()
        .config("[origins]\nallow = ['https://a.example']\n[auth]\ndefault_subscribe = ['news.*']")
        .variable("FANFARE_AUTH_DEFAULT_PUBLISH", "chat, room.*")
        .load()
        .unwrap();
    let auth = settings.auth.unwrap();
    assert!(auth.default_subscribe.allow("news.1") && !auth.default_subscribe.allow("chat"));
    assert!(auth.default_publish.allow("chat") && auth.default_publish.allow("room.1"));
    assert!(!auth.default_publish.allow("news.1"));
    assert_eq!(settings.origins, OriginList::new(["https://a.example"]).unwrap());
    assert!(!origin_allowed(Some(b"https://b.example"), Some("h"), &settings.origins));
}

#[test]
fn networks_that_are_exempt_replace_the_default() {
    let exempt = |world: World, address: &str| {
        let address = address.parse().unwrap();
        world.load().unwrap().per_address_exempt.iter().any(|network| network.contains(address))
    };
    let inside =
        ["127.0.0.9", "::1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1"];
    assert!(inside.iter().all(|address| exempt(World::new(), address)));
    assert!(["11.0.0.1", "172.32.0.1", "2001:db8::1"].iter().all(|a| !exempt(World::new(), a)));
    let listed =
        || World::new().variable("FANFARE_HTTP_PER_ADDRESS_EXEMPT", "203.0.113.7,fc00::/7");
    assert!(exempt(listed(), "203.0.113.7") && exempt(listed(), "fd00::1"));
    assert!(!exempt(listed(), "203.0.113.8") && !exempt(listed(), "127.0.0.1"));
    let nobody = World::new().config("[http]\nper_address_exempt = []").load().unwrap();
    assert!(nobody.per_address_exempt.is_empty());
}
