//! From JSON text to a command.
//!
//! The object is read into one raw value per known field, whatever is wrong with them, so that an
//! error can still name the command by its id. What is wrong is judged afterwards.

use std::borrow::Cow;
use std::fmt;

use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine as _, alphabet};
use serde::de::{Deserialize, Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    Command, CommandError, DEPTH_MAX, ErrorCode, Extras, ID_BYTES_MAX, Id, Request, Token,
};
use crate::base::ids::ChannelName;
use crate::base::limits::{PUBLISH_KEY_BYTES_MAX, TTL_MS_MAX};
use crate::base::message::Message;
use crate::base::position::Recover;

/// The standard alphabet; browsers pad, others leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How much of an unknown name is repeated in an error.
const SHOWN_CHARS_MAX: usize = 32;

const FIELDS: [&str; 12] = [
    "type",
    "id",
    "channel",
    "data",
    "text",
    "base64",
    "token",
    "recover",
    "key",
    "ttl_ms",
    "idempotency_key",
    "join_leave",
];
const TYPE: usize = 0;
const ID: usize = 1;
const CHANNEL: usize = 2;
const DATA: usize = 3;
const TEXT: usize = 4;
const BASE64_DATA: usize = 5;
const TOKEN: usize = 6;
const RECOVER: usize = 7;
const KEY: usize = 8;
const TTL_MS: usize = 9;
const IDEMPOTENCY_KEY: usize = 10;
const JOIN_LEAVE: usize = 11;

/// The types of command, each with the fields it has besides `type` and `id`.
const TYPES: [(&str, &[usize]); 6] = [
    ("subscribe", &[CHANNEL, RECOVER, JOIN_LEAVE]),
    ("unsubscribe", &[CHANNEL]),
    ("publish", &[CHANNEL, DATA, TEXT, BASE64_DATA, KEY, TTL_MS, IDEMPOTENCY_KEY]),
    ("presence", &[CHANNEL]),
    ("refresh", &[TOKEN]),
    ("ping", &[]),
];

/// A code and what goes with it: an error that does not know the id yet.
type Fault = (ErrorCode, Cow<'static, str>);

/// Reads one command.
///
/// # Errors
/// [`CommandError`], fit to be sent to the client. It carries the command's id whenever that
/// could be read, also from an object that breaks off after it.
pub fn parse(text: &str) -> Result<Request, CommandError> {
    let mut fields = Fields::default();
    let read = read_object(text, &mut fields);
    let id = match (fields.duplicate, fields.values[ID]) {
        (Some(ID), _) | (_, None) => Ok(None),
        (_, Some(raw)) => Id::from_json(raw).map(Some).ok_or_else(|| {
            bad_request(format!(
                "\"id\" must be an integer from 0 to 2^53 - 1 or a string of at most \
                 {ID_BYTES_MAX} bytes"
            ))
        }),
    };
    let (id, command) = match id {
        Ok(id) => (id, read.and_then(|()| fields.command())),
        Err(fault) => (None, read.and(Err(fault))),
    };
    match command {
        Ok(command) => Ok(Request { id, command }),
        Err((code, message)) => Err(CommandError::new(id, code).with_message(message)),
    }
}

fn bad_request(message: impl Into<Cow<'static, str>>) -> Fault {
    (ErrorCode::BadRequest, message.into())
}

/// Reads the object as far as it is one; what was read stays in `fields` in any case.
fn read_object<'a>(text: &'a str, fields: &mut Fields<'a>) -> Result<(), Fault> {
    // Asked here because serde's own message about another kind of value would repeat the value.
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(bad_request("a command is one JSON object, as {\"type\":\"ping\"}"));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(Read(fields)).and_then(|()| json.end()).map_err(|error| {
        bad_request(format!(
            "the text is not one JSON object: it goes wrong at line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}

/// The object as it was read.
#[derive(Default)]
struct Fields<'a> {
    values: [Option<&'a str>; FIELDS.len()],
    /// A known field that came twice: `id` before others, else the first.
    duplicate: Option<usize>,
    /// The first field that is not known.
    unknown: Option<String>,
}

struct Read<'r, 'a>(&'r mut Fields<'a>);

impl<'a> Visitor<'a> for Read<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let fields = self.0;
        while let Some(Name(name)) = map.next_key()? {
            let value: &'a RawValue = map.next_value()?;
            match name {
                // An id that came twice is none, whatever else came twice before it.
                Ok(ID) if fields.values[ID].is_some() => fields.duplicate = Some(ID),
                Ok(at) if fields.values[at].is_some() => {
                    fields.duplicate.get_or_insert(at);
                }
                Ok(at) => fields.values[at] = Some(value.get()),
                Err(unknown) => {
                    fields.unknown.get_or_insert(unknown);
                }
            }
        }
        Ok(())
    }
}

/// A field's name: its place in [`FIELDS`], or the start of the name.
struct Name(Result<usize, String>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Known;
        impl Visitor<'_> for Known {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                let known = FIELDS.iter().position(|field| *field == name);
                Ok(Name(known.ok_or_else(|| name.chars().take(SHOWN_CHARS_MAX + 1).collect())))
            }
        }
        from.deserialize_str(Known)
    }
}

impl Fields<'_> {
    fn command(&self) -> Result<Command, Fault> {
        if let Some(at) = self.duplicate {
            return Err(bad_request(format!("\"{}\" is given twice; give it once", FIELDS[at])));
        }
        let (name, allowed) = self.type_row()?;
        self.check_names(name, allowed)?;
        match name {
            "subscribe" => Ok(Command::Subscribe {
                channel: self.channel(name)?,
                recover: self.recover()?,
                join_leave: self.switch(JOIN_LEAVE)?,
            }),
            "unsubscribe" => Ok(Command::Unsubscribe { channel: self.channel(name)? }),
            "publish" => Ok(Command::Publish {
                channel: self.channel(name)?,
                message: self.message()?,
                extras: Extras {
                    key: self.key(KEY)?,
                    ttl_ms: self.ttl_ms()?,
                    idempotency_key: self.key(IDEMPOTENCY_KEY)?,
                },
            }),
            "presence" => Ok(Command::Presence { channel: self.channel(name)? }),
            "refresh" => {
                let token = self.string(TOKEN)?.ok_or_else(|| missing(name, TOKEN))?;
                Ok(Command::Refresh { token: Token(token.into_owned()) })
            }
            _ => Ok(Command::Ping),
        }
    }

    fn type_row(&self) -> Result<(&'static str, &'static [usize]), Fault> {
        let known = || TYPES.map(|(name, _)| name).join(", ");
        let Some(given) = self.string(TYPE)? else {
            return Err(bad_request(format!("\"type\" is missing; it is one of {}", known())));
        };
        TYPES.into_iter().find(|(name, _)| **name == *given).ok_or_else(|| {
            let message = format!("\"type\" is \"{}\"; it must be one of {}", cut(&given), known());
            (ErrorCode::UnknownType, message.into())
        })
    }

    /// Refuses fields that the type has no use for.
    fn check_names(&self, name: &str, allowed: &[usize]) -> Result<(), Fault> {
        let mine = || [TYPE, ID].iter().chain(allowed).map(|&at| FIELDS[at]);
        if let Some(unknown) = &self.unknown {
            let hint = match mine().min_by_key(|field| distance(field, unknown)) {
                Some(near) if distance(near, unknown) <= 2 => format!("did you mean \"{near}\"?"),
                _ => format!("it has {}", mine().collect::<Vec<_>>().join(", ")),
            };
            let unknown = cut(unknown);
            return Err(bad_request(format!("\"{name}\" has no field \"{unknown}\"; {hint}")));
        }
        let other =
            (CHANNEL..FIELDS.len()).find(|at| self.values[*at].is_some() && !allowed.contains(at));
        match other {
            None => Ok(()),
            Some(at) => Err(bad_request(format!(
                "\"{name}\" has no field \"{}\"; it has {}",
                FIELDS[at],
                mine().collect::<Vec<_>>().join(", ")
            ))),
        }
    }

    /// A field that must be a string if it is there.
    fn string(&self, at: usize) -> Result<Option<Cow<'_, str>>, Fault> {
        let Some(raw) = self.values[at] else { return Ok(None) };
        if !raw.starts_with('"') {
            return Err(bad_request(format!("\"{}\" must be a string", FIELDS[at])));
        }
        let text = serde_json::from_str::<String>(raw);
        text.map(|text| Some(text.into())).map_err(|_| {
            // Raw values are checked for everything except that surrogates come in pairs.
            bad_request(format!("\"{}\" has a \\u escape that is no character", FIELDS[at]))
        })
    }

    fn channel(&self, name: &str) -> Result<ChannelName, Fault> {
        let channel = self.string(CHANNEL)?.ok_or_else(|| missing(name, CHANNEL))?;
        ChannelName::new(&channel)
            .map_err(|error| (ErrorCode::BadChannel, format!("\"channel\": {error}").into()))
    }

    /// An epoch that is none of ours is no error: the client may have been on another node.
    fn recover(&self) -> Result<Option<Recover>, Fault> {
        #[derive(serde::Deserialize)]
        struct Position {
            epoch: String,
            offset: u64,
        }
        let Some(raw) = self.values[RECOVER] else { return Ok(None) };
        let Position { epoch, offset } = serde_json::from_str(raw).map_err(|_| {
            bad_request(
                "\"recover\" is the last position that was seen: {\"epoch\":\"...\",\"offset\":1}",
            )
        })?;
        Ok(Some(Recover { epoch: epoch.parse().ok(), offset }))
    }

    fn switch(&self, at: usize) -> Result<bool, Fault> {
        match self.values[at] {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(bad_request(format!("\"{}\" must be true or false", FIELDS[at]))),
        }
    }

    fn key(&self, at: usize) -> Result<Option<Box<str>>, Fault> {
        let Some(key) = self.string(at)? else { return Ok(None) };
        match key.len() {
            1..=PUBLISH_KEY_BYTES_MAX => Ok(Some(key.into())),
            len => Err(bad_request(format!(
                "\"{}\" has {len} bytes; it may have 1 to {PUBLISH_KEY_BYTES_MAX}",
                FIELDS[at]
            ))),
        }
    }

    fn ttl_ms(&self) -> Result<Option<u64>, Fault> {
        let Some(raw) = self.values[TTL_MS] else { return Ok(None) };
        let ttl_ms = raw.parse().ok().filter(|ms| (1..=TTL_MS_MAX).contains(ms));
        ttl_ms.map(Some).ok_or_else(|| {
            bad_request(format!("\"ttl_ms\" must be an integer from 1 to {TTL_MS_MAX}"))
        })
    }

    fn message(&self) -> Result<Message, Fault> {
        let given = [DATA, TEXT, BASE64_DATA].iter().filter(|at| self.values[**at].is_some());
        if given.count() != 1 {
            return Err(bad_request(
                "\"publish\" needs exactly one of \"data\", \"text\" and \"base64\"",
            ));
        }
        if let Some(text) = self.string(TEXT)? {
            return Ok(Message::text(text));
        }
        if let Some(encoded) = self.string(BASE64_DATA)? {
            return BASE64.decode(&*encoded).map(Message::binary).map_err(base64_fault);
        }
        let raw = self.values[DATA].unwrap_or("null");
        if depth(raw) > DEPTH_MAX {
            return Err(bad_request(format!(
                "\"data\" nests deeper than {DEPTH_MAX}; flatten it, or send it as \"text\""
            )));
        }
        Message::json_from_text(raw).map_err(|_| bad_request("\"data\" is not a JSON value"))
    }
}

fn missing(name: &str, field: usize) -> Fault {
    bad_request(format!("\"{name}\" needs \"{}\"", FIELDS[field]))
}

fn base64_fault(error: DecodeError) -> Fault {
    let place = match error {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol { offset: at, .. } => {
            format!(" at byte {at}")
        }
        _ => String::from(" in its length or padding"),
    };
    bad_request(format!(
        "\"base64\" goes wrong{place}; the standard alphabet is used, with + and /"
    ))
}

/// At most [`SHOWN_CHARS_MAX`] characters of `text`.
fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => text.into(),
        Some((end, _)) => format!("{}...", &text[..end]).into(),
    }
}

/// How deep arrays and objects nest in `json`, which is known to be JSON.
pub(super) fn depth(json: &str) -> usize {
    let (mut open, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b']' | b'}' => open -= 1,
            _ => {}
        }
    }
    deepest
}

/// Levenshtein's distance; both names are short (see [`SHOWN_CHARS_MAX`]).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, r) in right.iter().enumerate() {
            let change = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
