//! Any text as the file, as variables and as flags: loading never panics, and an error is one line
//! that shows no secret and can be printed.
//!
//! Input: raw text as the file; or lines and variables made of known and unknown names and of values
//! with a secret in them, so that every key meets a secret in every wrong form.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use fanfare::config::{Environment, Flags, load, load_auth, reference};

const FILE: &str = "fanfare.toml";

/// Good as an API key and as a secret of every algorithm, and found again wherever it is shown.
const CANARY: &str = "canarycanarycanarycanarycanarycanarycanarycanarycanarycanarycanary";

/// The paths of all keys but those whose value is a path, which an error may repeat.
static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let (mut section, mut keys) = (String::new(), Vec::new());
    for line in reference().lines() {
        let line = line.trim_start_matches("# Example: ").trim_start_matches("#");
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = format!("{name}.");
        } else if let Some((name, _)) = line.split_once(" = ") {
            let is_name = name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte));
            if is_name && !name.ends_with("_file") {
                keys.push(format!("{section}{name}"));
            }
        }
    }
    assert!(keys.len() > 30 && keys.iter().any(|key| key == "auth.secret"), "{keys:?}");
    keys
});

/// Those of which nothing may be shown.
const SECRETS: [&str; 4] = ["api.keys", "auth.keys", "auth.secret", "auth.public_key"];

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Raw { file: &'a str, variables: Vec<(&'a str, &'a str)>, set: Vec<&'a str> },
    Made { lines: Vec<Line<'a>>, variables: Vec<Line<'a>>, set: Vec<Line<'a>> },
}

#[derive(Arbitrary, Debug)]
struct Line<'a> {
    key: u8,
    /// Put behind the key's name, so that it is an unknown one.
    typo: Option<char>,
    form: u8,
    before: &'a str,
    after: &'a str,
}

/// How a value is spelt; S is the secret, A and B what the input puts around it.
const FORMS: [&str; 20] = [
    "'ASB'",
    "\"ASB\"",
    "\"A\\qSB\"",
    "'ASB",
    "\"ASB",
    "ASB",
    "S",
    "'A' SB",
    "['ASB']",
    "['A', 'SB']",
    "[1, 'ASB']",
    "[ASB]",
    "[{ secret = 'ASB' }]",
    "[{ kid = 'A', secret = ['S'] }]",
    "[{ secrets = 'ASB' }]",
    "[{ algorithm = 'A', public_key = 'ASB' }]",
    "{ a = 'ASB' }",
    "0xSB",
    "1979-05-27T07:32:00S",
    "'A' # SB",
];

struct World {
    variables: Vec<(OsString, OsString)>,
    file: String,
}

impl Environment for World {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        self.variables.clone()
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        match path == Path::new(FILE) {
            true => Ok(self.file.clone()),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn cores(&self) -> usize {
        2
    }
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let (world, flags) = match &input {
        Input::Raw { file, variables, set } => raw(file, variables, set),
        Input::Made { lines, variables, set } => made(lines, variables, set),
    };
    let errors = [load(&flags, &world).err(), load_auth(&flags, &world).err()];
    for error in errors.into_iter().flatten() {
        let shown = error.to_string();
        assert!(!shown.contains(['\n', '\r']), "more than one line: {shown:?}");
        assert!(!shown.contains(char::is_control), "turns a terminal's text: {shown:?}");
        assert!(shown.len() < 2_000, "too long to read: {shown}");
        assert!(!shown.contains("canary"), "shows a secret: {shown}");
        assert!(!format!("{error:?}").contains("canary"), "shows a secret: {error:?}");
    }
    // An issuer or a cookie's name is no secret, whatever was typed there.
    let has_only_secrets = match &input {
        Input::Raw { .. } => false,
        Input::Made { lines, variables, set } => {
            lines.iter().chain(variables).chain(set).all(|line| SECRETS.contains(&&*line.name()))
        }
    };
    if has_only_secrets && let Ok(settings) = load(&flags, &world) {
        assert!(!format!("{settings:?}").contains("canarycanary"), "shows a secret");
    }
}

fn raw(file: &str, variables: &[(&str, &str)], set: &[&str]) -> (World, Flags) {
    let variables = variables.iter().take(8).map(|(name, value)| {
        // A NUL or a `=` cannot be in the name of one.
        let name = name.replace(['\0', '='], "_");
        (OsString::from(format!("FANFARE_{name}")), OsString::from(value.replace('\0', "_")))
    });
    let set = set.iter().take(8).map(|text| (*text).to_owned()).collect();
    let flags = Flags { config: Some(FILE.into()), set, ..Flags::default() };
    (World { variables: variables.collect(), file: file.to_owned() }, flags)
}

fn made(lines: &[Line<'_>], variables: &[Line<'_>], set: &[Line<'_>]) -> (World, Flags) {
    let mut file = String::new();
    for line in lines.iter().take(8) {
        file.push_str(&format!("{} = {}\n", line.name(), line.value()));
    }
    let variables = variables.iter().take(8).map(|line| {
        let name = line.name().replace('.', "_").to_ascii_uppercase();
        let value = format!("{}{CANARY}{}", line.before(), line.after());
        (OsString::from(format!("FANFARE_{name}")), OsString::from(value))
    });
    let variables = variables.collect();
    let set = set.iter().take(4).map(|line| format!("{}={}", line.name(), line.value())).collect();
    let flags = Flags { config: Some(FILE.into()), set, ..Flags::default() };
    (World { variables, file }, flags)
}

impl Line<'_> {
    fn name(&self) -> String {
        let mut name = KEYS[usize::from(self.key) % KEYS.len()].clone();
        name.extend(self.typo.filter(|typo| typo.is_ascii_alphanumeric()));
        name
    }

    fn value(&self) -> String {
        let form = FORMS[usize::from(self.form) % FORMS.len()];
        let mut value = String::new();
        for character in form.chars() {
            match character {
                'S' => value.push_str(CANARY),
                'A' => value.push_str(&self.before()),
                'B' => value.push_str(&self.after()),
                other => value.push(other),
            }
        }
        value
    }

    fn before(&self) -> String {
        plain(self.before)
    }

    fn after(&self) -> String {
        plain(self.after)
    }
}

/// Without what could make a name of the secret: names are shown.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !"\n\r\0{},=.[]".contains(*c)).take(40).collect()
}
