//! The admin page: off unless it has keys, and those are its own.

use super::*;

#[test]
fn the_admin_page_has_keys_of_its_own() {
    assert!(!World::new().load().unwrap().admin.is_on());
    assert!(
        !World::new()
            .variable("FANFARE_API_KEYS", &canary())
            .set("insecure=true")
            .load()
            .unwrap()
            .admin
            .is_on()
    );
    let world = World::new()
        .config("[admin]\nkeys_file = 'keys'\nread_only_keys_file = 'ro'\nviewers_max = 3")
        .variable("FANFARE_ADMIN_KEYS", "an-admin-key-of-the-list")
        .variable("FANFARE_ADMIN_READ_ONLY_KEYS", "a-read-only-key-of-the-list")
        .file("conf/keys", "an-admin-key-of-the-file\n")
        .file("conf/ro", "a-read-only-key-of-the-file\n");
    let admin = world.load().unwrap().admin;
    assert!(admin.is_on() && admin.viewers_max == 3);
    for key in ["an-admin-key-of-the-list", "an-admin-key-of-the-file"] {
        assert!(admin.keys.accept(key.as_bytes()) && !admin.read_only_keys.accept(key.as_bytes()));
    }
    for key in ["a-read-only-key-of-the-list", "a-read-only-key-of-the-file"] {
        assert!(!admin.keys.accept(key.as_bytes()) && admin.read_only_keys.accept(key.as_bytes()));
    }
    assert!(!format!("{admin:?}").contains("of-the"));
}

#[test]
fn bad_admin_keys_are_named_as_such_and_not_shown() {
    for (text, told) in [
        ("keys = ['canary']", "admin key 0 has 6 characters; at least 16"),
        ("read_only_keys = ['canary']", "read-only admin key 0 has 6 characters"),
        ("keys = ['canary-canary canary']", "admin key 0 has a character at byte 13"),
        ("keys_file = 'k'", "the file of admin.keys_file holds no key"),
        ("read_only_keys_file = 'gone'", "admin.read_only_keys_file: cannot read"),
    ] {
        let world = World::new().config(&format!("[admin]\n{text}")).file("conf/k", "\n");
        let error = world.load().unwrap_err().to_string();
        assert!(error.contains(told) && !error.contains("canary"), "{text}: {error}");
    }
    let refused = World::new().set(&format!("admin.keys={}", canary())).refused();
    assert!(refused.contains("FANFARE_ADMIN_KEYS"), "{refused}");
}
