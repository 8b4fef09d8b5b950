//! The file: TOML, walked with the line of everything that is found wrong.

use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::entries::{Entries, Entry, fits, unknown_key};
use super::error::{ConfigError, Place, nearest, shown};
use super::keys::{self, Key, Kind, TableKind};

/// Reads the text of the file at `path`.
pub(crate) fn parse(text: &str, path: &Path) -> Result<Entries, ConfigError> {
    let file = File { path: path.into(), text };
    let table = DeTable::parse(text).map_err(|error| {
        // Only the message: the whole error shows the line, which may hold a secret.
        let at = error.span().map_or(0, |span| span.start);
        let what = error.message().replace('\n', " ");
        ConfigError::new(file.place(at), format!("this is not TOML: {what}; correct the line"))
    })?;
    let mut entries = Entries::default();
    for (name, value) in table.get_ref() {
        let at = name.span().start;
        let name: &str = name.get_ref();
        let is_section = keys::all().any(|key| !name.is_empty() && key.split().0 == name);
        match value.get_ref() {
            DeValue::Table(section) if is_section => {
                for (inner, value) in section {
                    let path = format!("{name}.{}", inner.get_ref());
                    file.entry(&path, inner.span().start, value, &mut entries)?;
                }
            }
            DeValue::Table(_) => return Err(file.unknown_section(name, at)),
            _ if is_section => {
                let what = format!("{name} is a section; write [{name}] and its keys below");
                return Err(ConfigError::new(file.place(at), what));
            }
            _ => file.entry(name, at, value, &mut entries)?,
        }
    }
    Ok(entries)
}

struct File<'a> {
    path: Arc<Path>,
    text: &'a str,
}

impl File<'_> {
    fn place(&self, at: usize) -> Place {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Place::File(self.path.clone(), line)
    }

    fn unknown_section(&self, name: &str, at: usize) -> ConfigError {
        let sections = keys::all().map(|key| key.split().0).filter(|name| !name.is_empty());
        let advice = match nearest(name, sections) {
            Some(near) => format!("did you mean [{near}]?"),
            None => "`fanfare config` lists the sections".into(),
        };
        let what = format!("there is no section [{}]; {advice}", shown(name));
        ConfigError::new(self.place(at), what)
    }

    fn entry(
        &self,
        path: &str,
        at: usize,
        value: &Spanned<DeValue<'_>>,
        entries: &mut Entries,
    ) -> Result<(), ConfigError> {
        let place = self.place(at);
        let Some(key) = Key::find(path) else { return Err(unknown_key(path, place)) };
        let mut items = Vec::new();
        if let DeValue::Array(array) = value.get_ref() {
            for item in array {
                items.push(self.place(item.span().start));
                if let (Kind::Tables(tables), DeValue::Table(table)) = (key.kind, item.get_ref()) {
                    self.check_table(tables, table)?;
                }
            }
        }
        let value =
            plain(value.get_ref()).filter(|value| fits(key.kind, value)).ok_or_else(|| {
                ConfigError::new(
                    place.clone(),
                    format!("{path} takes {}; change it", key.kind.wanted()),
                )
            })?;
        entries.insert(key, Entry { value, place, items });
        Ok(())
    }

    /// One of a list of tables: known names, and values of their types.
    fn check_table(&self, kind: &TableKind, table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (name, value) in table {
            let place = self.place(name.span().start);
            let name: &str = name.get_ref();
            let names = || kind.entries.iter().map(|(name, _)| *name);
            let Some((_, entry)) = kind.entries.iter().find(|(known, _)| *known == name) else {
                let advice = match nearest(name, names()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => {
                        format!("it may hold {}", names().collect::<Vec<_>>().join(", "))
                    }
                };
                let what = format!("{} has no {}; {advice}", kind.one, shown(name));
                return Err(ConfigError::new(place, what));
            };
            if let (Kind::Table(inner), DeValue::Table(table)) = (entry, value.get_ref()) {
                self.check_table(inner, table)?;
            }
            if !plain(value.get_ref()).is_some_and(|value| fits(*entry, &value)) {
                let what = format!("{name} takes {}; change it", entry.wanted());
                return Err(ConfigError::new(place, what));
            }
        }
        Ok(())
    }
}

/// The value without its span; `None` for what no key takes: floats, dates, numbers over 64 bits.
fn plain(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(switch) => Value::Boolean(*switch),
        DeValue::Integer(n) => Value::Integer(i64::from_str_radix(n.as_str(), n.radix()).ok()?),
        DeValue::Array(items) => {
            items.iter().map(|item| plain(item.get_ref())).collect::<Option<Vec<_>>>()?.into()
        }
        DeValue::Table(table) => {
            let pairs = table.iter().map(|(name, value)| {
                plain(value.get_ref()).map(|value| (name.get_ref().to_string(), value))
            });
            pairs.collect::<Option<Table>>()?.into()
        }
        DeValue::Float(_) | DeValue::Datetime(_) => return None,
    })
}
