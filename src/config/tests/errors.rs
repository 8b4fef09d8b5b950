//! What is wrong, where, and what to do.

use super::*;

#[track_caller]
fn refused(world: &World, parts: &[&str]) {
    let text = world.refused();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn unknown_names_are_refused_with_the_nearest_known_one() {
    let file = |text: &str| World::new().config(text);
    let at = |line: usize| format!("{FILE}:{line}: ");
    for (text, line, advice) in [
        (
            "[hub]\n\noutbox_byte_max = 1",
            3,
            "no key hub.outbox_byte_max; did you mean hub.outbox_bytes_max?",
        ),
        ("[http]\nlanes = 1", 2, "no key http.lanes; did you mean hub.lanes?"),
        ("lisen = 'x'", 1, "no key lisen; did you mean listen?"),
        ("outbox_bytes_max = 1", 1, "did you mean hub.outbox_bytes_max?"),
        ("\n[hubs]\nlanes = 1", 2, "no section [hubs]; did you mean [hub]?"),
        ("[redis]\nurl = 'x'", 1, "no section [redis]; `fanfare config` lists the sections"),
        ("[hub]\nzzzzzzzzzzzzzzzz = 1", 2, "`fanfare config` lists the keys"),
        ("hub = 1", 1, "hub is a section; write [hub]"),
        ("[listen]\nx = 1", 1, "no section [listen]"),
        ("[auth]\nkeys = [\n{ kid = 'a', secert = 'b' }\n]", 3, "no secert; did you mean secret?"),
        ("[auth]\nkeys = [\n{ kid = 1 }\n]", 3, "kid takes a text"),
    ] {
        refused(&file(text), &[&at(line), advice]);
    }
    for (name, advice) in [
        ("FANFARE_LISTN", "did you mean FANFARE_LISTEN?"),
        ("FANFARE_HUB_OUTBOX_BYTES", "did you mean FANFARE_HUB_OUTBOX_BYTES_MAX?"),
        ("FANFARE_CONFG", "did you mean FANFARE_CONFIG?"),
        ("FANFARE_ZZZZZZZZZZZZ", "`fanfare config` lists them"),
    ] {
        refused(&World::new().variable(name, "1"), &[&format!("{name}: "), advice]);
    }
    refused(&World::new().set("hub.lane=1"), &["--set hub.lane: ", "did you mean hub.lanes?"]);
    refused(&World::new().set("hub.lanes"), &["--set: write --set section.key=value"]);
}

#[test]
fn values_of_the_wrong_type_or_out_of_range_are_refused() {
    for (text, advice) in [
        ("hub.lanes = 'x'", "hub.lanes takes a plain number from 1 to 1024"),
        ("hub.lanes = 0", "hub.lanes takes a plain number from 1 to 1024"),
        ("hub.lanes = 1.5", "a plain number"),
        ("hub.lanes = -1", "a plain number"),
        ("hub.outbox_bytes_max = '64 KiB'", "a plain number from 1024"),
        ("hub.outbox_age_max_ms = 99999999999999999999", "a plain number"),
        ("http.header_bytes_max = 4096", "from 8192"),
        ("insecure = 'true'", "insecure takes true or false"),
        ("listen = 8000", "listen takes a text"),
        ("origins.allow = 'https://a.example'", "takes a list of texts"),
        ("origins.allow = [1]", "takes a list of texts"),
        ("log.format = 'xml'", "one of text, json"),
        ("hub.slow_consumer_policy = 'drop'", "one of disconnect, drop_newest, drop_oldest"),
        ("auth.algorithm = 'none'", "one of HS256"),
        ("auth.keys = ['a']", "a list of tables"),
    ] {
        refused(&World::new().config(text), &[&format!("{FILE}:1: "), advice]);
    }
    for (name, value, advice) in [
        ("FANFARE_HUB_LANES", "4k", "a plain number"),
        ("FANFARE_HUB_LANES", "2000", "from 1 to 1024"),
        ("FANFARE_INSECURE", "yes", "true or false"),
        ("FANFARE_ORIGINS_ALLOW", "https://a.example,,", "with commas between"),
        ("FANFARE_AUTH_KEYS", "x", "can only be given in the file"),
        ("FANFARE_LISTEN", "", "it is empty"),
        ("FANFARE_API_KEYS", " ", "it is empty"),
    ] {
        refused(&World::new().variable(name, value), &[&format!("{name}: "), advice]);
    }
}

#[test]
fn values_without_a_meaning_are_refused() {
    for (text, line, advice) in [
        ("listen = 'localhost:8000'", 1, "127.0.0.1:8000"),
        ("listen = '8000'", 1, "an IP address and a port"),
        ("[auth]\ncookie = 'a b'", 2, "not the name of a cookie"),
        ("[log]\nfilter = 'fanfare=loud'", 2, "log.filter is not a filter"),
        (
            "[origins]\nallow = [\n'https://a.example',\n'a.example/path'\n]",
            4,
            "origin 1 is not one",
        ),
        ("[http]\nper_address_exempt = [\n'10.0.0.0/8',\n'10.0.0.1/8'\n]", 4, "not a network"),
    ] {
        refused(&World::new().config(text), &[&format!("{FILE}:{line}: "), advice]);
    }
}

#[test]
fn the_largest_message_fits_wherever_it_waits() {
    let small = World::new().config("[hub]\n\noutbox_bytes_max = 65535");
    refused(&small, &[&format!("{FILE}:3: "), "raise it to at least 65536"]);
    let exact = World::new().config("[hub]\noutbox_bytes_max = 65536");
    assert!(exact.load().is_ok());
    let large = World::new().variable("FANFARE_MESSAGES_MESSAGE_BYTES_MAX", "262145");
    refused(&large, &["FANFARE_MESSAGES_MESSAGE_BYTES_MAX: hub.outbox_bytes_max is 262144"]);
    let pending = World::new()
        .set("messages.message_bytes_max=100000000")
        .set("hub.outbox_bytes_max=100000000");
    refused(&pending, &["hub.publication_bytes_pending_max is 67108864", "100000000"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named_where_it_was_given() {
    let flag = World::new().flags(|flags| flags.config = Some("gone.toml".into()));
    refused(&flag, &["--config: cannot read gone.toml"]);
    let variable = World::new().variable("FANFARE_CONFIG", "gone.toml");
    refused(&variable, &["FANFARE_CONFIG: cannot read gone.toml"]);
}

#[test]
fn what_is_not_toml_is_named_by_its_line() {
    refused(&World::new().config("\n\n[hub\nlanes = 1"), &[&format!("{FILE}:3: this is not TOML")]);
    let twice = World::new().config("[hub]\nlanes = 1\nlanes = 2");
    refused(&twice, &[&format!("{FILE}:3: this is not TOML: duplicate key")]);
}

#[test]
fn an_address_that_others_reach_needs_keys() {
    let open = World::new().flags(|flags| flags.listen = Some("0.0.0.0:8000".into()));
    refused(&open, &["--listen: others can reach 0.0.0.0:8000", "export FANFARE_API_KEYS=$("]);
    let open = open.flags(|flags| flags.insecure = true);
    assert!(open.load().unwrap().open_mode);
    let half = World::new().variable("FANFARE_API_KEYS", &canary());
    refused(&half, &["FANFARE_AUTH_SECRET=$(openssl rand -hex 32)"]);
}

#[test]
fn a_name_in_an_error_cannot_break_the_line() {
    let long = "x".repeat(10_000);
    for world in [
        World::new().config("\"a\\nb\\u001b[31m\" = 1"),
        World::new().config(&format!("{long} = 1")),
        World::new().variable("FANFARE_A\u{202e}\nB", "x"),
        World::new().set("a\nb=1"),
    ] {
        let text = world.refused();
        assert!(
            text.len() < 300 && text.chars().all(|c| !c.is_control() && c.is_ascii()),
            "{text}"
        );
    }
}
