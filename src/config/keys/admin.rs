//! The admin page.

use super::{DAY_MS, Key, Kind, int, key, number};

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("admin.keys", Kind::SecretList, |_| None,
        "The keys of the page at /admin, at least 16 characters each. Without any, and without \
         admin.read_only_keys, there is no page. Whoever has one sees names and addresses of \
         sessions, may end them and publish.")
        .example("[\"(openssl rand -hex 32)\"]"),
    key("admin.keys_file", Kind::Text, |_| None,
        "A file with such keys, one a line; they count beside those of admin.keys. Relative to \
         this file.")
        .example("\"/run/secrets/fanfare-admin-keys\""),
    key("admin.read_only_keys", Kind::SecretList, |_| None,
        "Keys of the same page for those who may see all of it and change nothing.")
        .example("[\"(openssl rand -hex 32)\"]"),
    key("admin.read_only_keys_file", Kind::Text, |_| None,
        "A file with such keys, one a line.")
        .example("\"/run/secrets/fanfare-admin-read-only-keys\""),
    number("admin.viewers_max", (1, 1_000), |s| int(s.admin.viewers_max),
        "Pages that may watch at once. What they show is computed once a second for all of them, \
         and only while there are any."),
    number("admin.logins_max", (1, 10_000), |s| int(s.admin.logins_max),
        "Logins at once; beyond it the oldest ends. Memory: about 300 bytes each."),
    number("admin.login_timeout_ms", (60_000, 30 * DAY_MS), |s| int(s.admin.login_timeout_ms),
        "How long a login lasts."),
    number("admin.wrong_keys_per_min_max", (1, 1_000), |s| int(s.admin.wrong_keys_per_min_max),
        "Wrong keys of one address in a minute; beyond it no key of that address is looked at \
         until the minute is over (429). An address of version 6 is its first 64 bits."),
];
