//! What was given, key by key, each with its place: a layer for each source, laid over each other.

use std::collections::BTreeMap;
use std::ffi::OsString;

use serde::Deserialize as _;
use toml::{Table, Value};

use super::error::{ConfigError, Place, nearest, shown};
use super::keys::{self, Key, Kind};
use super::raw::Raw;

/// A value of its key's type and in its range. No `Debug`: it may be a secret.
pub(crate) struct Entry {
    pub(crate) value: Value,
    pub(crate) place: Place,
    /// For a list from the file, where each item is.
    pub(crate) items: Vec<Place>,
}

/// Entries by the path of their key.
#[derive(Default)]
pub(crate) struct Entries(BTreeMap<&'static str, Entry>);

/// Where each key was given.
#[derive(Debug, Default)]
pub(crate) struct Places(pub(super) BTreeMap<&'static str, (Place, Vec<Place>)>);

impl Places {
    pub(crate) fn of(&self, path: &str) -> Place {
        self.0.get(path).map(|(place, _)| place.clone()).unwrap_or_default()
    }

    /// Where the item of a list is, as near as is known.
    pub(crate) fn of_item(&self, path: &str, index: usize) -> Place {
        let item = self.0.get(path).and_then(|(_, items)| items.get(index));
        item.cloned().unwrap_or_else(|| self.of(path))
    }
}

impl Entries {
    pub(crate) fn insert(&mut self, key: &'static Key, entry: Entry) {
        self.0.insert(key.path, entry);
    }

    /// Lays `above` over this: what it has counts.
    pub(crate) fn overlay(&mut self, above: Entries) {
        self.0.extend(above.0);
    }

    /// From the environment. Names without `FANFARE_` are not looked at.
    pub(crate) fn from_variables(
        variables: Vec<(OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut entries = Self::default();
        for (name, value) in variables {
            let name = name.to_string_lossy();
            if !name.starts_with("FANFARE_") || name == CONFIG_VARIABLE {
                continue;
            }
            let place = Place::Variable(shown(&name));
            let Some(value) = value.to_str() else {
                return Err(ConfigError::new(place, "it is not UTF-8; set it to plain text"));
            };
            match keys::all().find(|key| key.variable() == *name) {
                Some(key) => entries.insert_text(key, value, place)?,
                None if is_of_kubernetes(&name, value) => {}
                None => return Err(unknown_variable(&name, place)),
            }
        }
        Ok(entries)
    }

    /// From `--set` with `section.key=value`.
    pub(crate) fn set(&mut self, assignment: &str) -> Result<(), ConfigError> {
        let flag = |name: &str| Place::Flag(format!("--set {}", shown(name)));
        let Some((path, value)) = assignment.split_once('=') else {
            // Not repeated: without a name in front it may be anything.
            let place = Place::Flag("--set".into());
            return Err(ConfigError::new(place, "write --set section.key=value"));
        };
        match Key::find(path.trim()) {
            None => Err(unknown_key(path, flag(path))),
            Some(key) if key.kind.is_secret() => Err(ConfigError::new(
                flag(key.path),
                format!("arguments can be read by others on this machine; {}", use_instead(key)),
            )),
            Some(key) => self.insert_text(key, value.trim(), flag(key.path)),
        }
    }

    /// Inserts a value that came as text.
    pub(crate) fn insert_text(
        &mut self,
        key: &'static Key,
        text: &str,
        place: Place,
    ) -> Result<(), ConfigError> {
        if matches!(key.kind, Kind::Tables(_)) {
            return Err(ConfigError::new(
                place,
                format!("{} can only be given in the file; {}", key.path, use_instead(key)),
            ));
        }
        // A variable that is set to nothing is a script that went wrong; for keys it would open
        // what they were to close.
        if text.trim().is_empty() {
            return Err(ConfigError::new(place, "it is empty; give it a value or remove it"));
        }
        let value = match key.kind {
            Kind::Switch => text.parse().ok().map(Value::Boolean),
            Kind::Number { .. } => text.parse().ok().map(Value::Integer),
            Kind::List | Kind::SecretList => {
                let items: Vec<&str> = text.split(',').map(str::trim).collect();
                (!items.contains(&"")).then(|| items.into())
            }
            Kind::Text | Kind::Choice(_) | Kind::Secret => Some(text.into()),
            Kind::Table(_) | Kind::Tables(_) => None,
        };
        let value = value.filter(|value| fits(key.kind, value)).ok_or_else(|| {
            let wanted = match key.kind {
                Kind::List | Kind::SecretList => "texts with commas between them: a,b".into(),
                kind => kind.wanted(),
            };
            ConfigError::new(place.clone(), format!("{} takes {wanted}; change it", key.path))
        })?;
        self.insert(key, Entry { value, place, items: Vec::new() });
        Ok(())
    }

    /// As the raw form, and where everything was.
    pub(crate) fn into_raw(self) -> Result<(Raw, Places), ConfigError> {
        let mut root = Table::new();
        let mut places = Places::default();
        for (path, entry) in self.0 {
            places.0.insert(path, (entry.place, entry.items));
            let (section, name) = path.split_once('.').unwrap_or(("", path));
            if section.is_empty() {
                root.insert(name.into(), entry.value);
            } else if let Value::Table(table) =
                root.entry(section).or_insert_with(|| Table::new().into())
            {
                table.insert(name.into(), entry.value);
            }
        }
        // The values have their types from the table of keys, so this fails only where a number
        // is too large for this machine's pointers. serde's text could repeat a value.
        let raw = Raw::deserialize(root).map_err(|_| {
            ConfigError::new(Place::Default, "a number is too large for this machine; lower it")
        })?;
        Ok((raw, places))
    }
}

/// The variable with the path of the file.
pub(crate) const CONFIG_VARIABLE: &str = "FANFARE_CONFIG";

/// Whether the value is of that kind and in its range.
pub(crate) fn fits(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Switch => value.is_bool(),
        Kind::Number { min, max } => value.as_integer().is_some_and(|n| (min..=max).contains(&n)),
        Kind::Text | Kind::Secret => value.is_str(),
        Kind::Choice(names) => value.as_str().is_some_and(|name| names.contains(&name)),
        Kind::List | Kind::SecretList => {
            value.as_array().is_some_and(|items| items.iter().all(Value::is_str))
        }
        Kind::Table(_) => value.is_table(),
        Kind::Tables(_) => value.as_array().is_some_and(|items| items.iter().all(Value::is_table)),
    }
}

/// The error for a path that is no key.
pub(crate) fn unknown_key(path: &str, place: Place) -> ConfigError {
    let advice = match nearest(path, keys::all().map(|key| key.path)) {
        Some(near) => format!("did you mean {near}?"),
        None => "`fanfare config` lists the keys".into(),
    };
    ConfigError::new(place, format!("there is no key {}; {advice}", shown(path)))
}

fn unknown_variable(name: &str, place: Place) -> ConfigError {
    let names: Vec<String> = keys::all().map(Key::variable).collect();
    let names = names.iter().map(String::as_str).chain([CONFIG_VARIABLE]);
    let advice = match nearest(name, names) {
        Some(near) => format!("did you mean {near}?"),
        None => "`fanfare config` lists them; unset it".into(),
    };
    ConfigError::new(place, format!("there is no such variable; {advice}"))
}

fn use_instead(key: &Key) -> String {
    match key.path {
        "auth.keys" => {
            "for a single key set FANFARE_AUTH_SECRET or FANFARE_AUTH_SECRET_FILE".into()
        }
        "listeners" => "write [[listeners]] and its entries there, or use listen".into(),
        "channels.rules" => "write [[channels.rules]] and its entries there".into(),
        path => format!("set {} or use {path}_file", key.variable()),
    }
}

/// Whether Kubernetes made this variable: it gives every pod some for each service in its
/// namespace, and a service for this program is likely to be called `fanfare`.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let name = name.strip_prefix("FANFARE_").unwrap_or_default();
    let is_link = value.starts_with("tcp://") || value.starts_with("udp://");
    name == "SERVICE_HOST"
        || name == "SERVICE_PORT"
        || name.starts_with("SERVICE_PORT_")
        || name.starts_with("PORT_")
        || (name == "PORT" && is_link)
}
