//! Loading as a whole, from surroundings that are a value.

mod admin;
mod errors;
mod keys;
mod listeners;
mod outgoing;
mod secrets;
mod traces;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::*;

const FILE: &str = "conf/fanfare.toml";

/// Surroundings with these variables and files.
#[derive(Default)]
struct World {
    variables: Vec<(OsString, OsString)>,
    files: BTreeMap<PathBuf, String>,
    flags: Flags,
}

impl World {
    fn new() -> Self {
        Self::default()
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }

    /// With this as the configuration file.
    fn config(mut self, text: &str) -> Self {
        self.flags.config = Some(FILE.into());
        self.file(FILE, text)
    }

    fn flags(mut self, change: impl FnOnce(&mut Flags)) -> Self {
        change(&mut self.flags);
        self
    }

    fn set(self, assignment: &str) -> Self {
        self.flags(|flags| flags.set.push(assignment.into()))
    }

    fn load(&self) -> Result<Settings, ConfigError> {
        load(&self.flags, self)
    }

    /// The one line of the error, if there is one.
    fn refused(&self) -> String {
        let text = self.load().expect_err("it is refused").to_string();
        assert!(!text.contains('\n'), "more than one line: {text}");
        text
    }
}

impl Environment for World {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        self.variables.clone()
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn cores(&self) -> usize {
        3
    }
}

/// A secret long enough for every algorithm and as an API key.
fn canary() -> String {
    "canary".repeat(11)
}

#[test]
fn nothing_given_is_an_open_gateway_on_loopback() {
    let settings = World::new().load().unwrap();
    assert_eq!(settings.listen().unwrap().to_string(), "127.0.0.1:8000");
    assert!(settings.open_mode && settings.auth.is_none() && settings.api.keys.is_empty());
    assert_eq!((settings.hub.lanes, settings.drain), (3, DrainSettings::default()));
    assert_eq!(settings.log.filter, "info");
}

#[test]
fn the_environment_overrides_the_file_and_flags_override_both() {
    let file =
        World::new().config("listen = '127.0.0.1:1'\n[hub]\nlanes = 5\n[log]\nformat='json'");
    let settings = file.load().unwrap();
    assert_eq!((settings.listen().unwrap().port(), settings.hub.lanes), (1, 5));
    assert_eq!(settings.log.format, LogFormat::Json);
    let both = file.variable("FANFARE_LISTEN", "127.0.0.1:2").variable("FANFARE_HUB_LANES", "6");
    let settings = both.load().unwrap();
    assert_eq!((settings.listen().unwrap().port(), settings.hub.lanes), (2, 6));
    assert_eq!(settings.log.format, LogFormat::Json, "what is not overridden stays");
    let all = both.set("hub.lanes=7").set("hub.lanes=8").set("listen=127.0.0.1:3");
    assert_eq!(all.load().unwrap().hub.lanes, 8, "the later of two counts");
    let all = all.flags(|flags| {
        flags.listen = Some("127.0.0.1:4".into());
        flags.log_format = Some("text".into());
    });
    let settings = all.load().unwrap();
    assert_eq!((settings.listen().unwrap().port(), settings.log.format), (4, LogFormat::Text));
}

#[test]
fn a_list_is_overridden_as_a_whole() {
    let (one, two) = ("first-key-of-the-file", "first-of-the-environment");
    let world = World::new()
        .config(&format!("[api]\nkeys = ['{one}', 'second-key-of-the-file']\n"))
        .variable("FANFARE_API_KEYS", &format!("{two}, second-of-the-environment"))
        .variable("FANFARE_AUTH_SECRET", &canary());
    let api = world.load().unwrap().api;
    assert_eq!(api.keys_count, 2);
    assert!(api.keys.accept(two.as_bytes()) && !api.keys.accept(one.as_bytes()));
    assert!(api.keys.accept(b"second-of-the-environment"));
}

#[test]
fn the_variable_names_the_file_unless_the_flag_does() {
    let world = World::new()
        .file("a.toml", "[hub]\nlanes = 1")
        .file("b.toml", "[hub]\nlanes = 2")
        .variable("FANFARE_CONFIG", "a.toml");
    assert_eq!(world.load().unwrap().hub.lanes, 1);
    let world = world.flags(|flags| flags.config = Some("b.toml".into()));
    assert_eq!(world.load().unwrap().hub.lanes, 2);
}

#[test]
fn variables_of_others_are_left_alone() {
    let world = World::new()
        .variable("PATH", "/bin")
        .variable("FANFARES_LISTEN", "x")
        .variable("FANFARE_SERVICE_HOST", "10.0.0.1")
        .variable("FANFARE_SERVICE_PORT", "8000")
        .variable("FANFARE_SERVICE_PORT_HTTP", "8000")
        .variable("FANFARE_PORT", "tcp://10.0.0.1:8000")
        .variable("FANFARE_PORT_8000_TCP_ADDR", "10.0.0.1");
    assert!(world.load().is_ok());
    assert!(World::new().variable("FANFARE_PORT", "8000").load().is_err(), "typed by a person");
}

#[test]
fn the_gateway_is_keyed_with_both_kinds_of_keys() {
    let world = World::new()
        .variable("FANFARE_LISTEN", "0.0.0.0:80")
        .variable("FANFARE_API_KEYS", &canary())
        .variable("FANFARE_AUTH_SECRET", &canary());
    let settings = world.load().unwrap();
    assert!(!settings.open_mode && settings.auth.is_some() && settings.api.keys_count == 1);
}

#[test]
fn tokens_can_be_loaded_without_the_rest_being_able_to_run() {
    let world = World::new()
        .variable("FANFARE_LISTEN", "0.0.0.0:80")
        .variable("FANFARE_AUTH_SECRET", &canary());
    assert!(world.load().is_err());
    assert_eq!(load_auth(&world.flags, &world).unwrap().unwrap().keys.len(), 1);
    assert!(load_auth(&Flags::default(), &World::new()).unwrap().is_none());
}
