//! The keys of the API and of tokens: from texts and files to what checks them.

use super::Places;
use super::environment::Environment;
use super::error::{ConfigError, Place, shown};
use super::jwks;
use super::raw::{RawAdmin, RawApi, RawAuth, RawKey};
use super::secret::Secret;
use super::settings::ApiSettings;
use crate::auth::KeySetError;
use crate::auth::api_key::{ApiKeyError, ApiKeys};
use crate::auth::jwt::{AuthSettings, PATTERN_BYTES_MAX, PATTERNS_MAX};
use crate::auth::keys::{Algorithm, KeySet, KeySettings, Material};
use crate::base::access::Rules;
use crate::http::AdminSettings;

/// The shortest API key, in characters: what 64 random bits have in hexadecimal.
const API_KEY_CHARACTERS_MIN: usize = 16;

/// Reads the files that keys name.
pub(crate) struct Files<'a> {
    pub(crate) places: &'a Places,
    pub(crate) environment: &'a dyn Environment,
}

impl Files<'_> {
    /// The text of the file that `path` named at `place`.
    pub(crate) fn read(&self, key: &str, path: &str, place: &Place) -> Result<String, ConfigError> {
        let resolved = place.resolve(path);
        self.environment.read_file(&resolved).map_err(|error| {
            let resolved = shown(&resolved.to_string_lossy());
            let what =
                format!("{key}: cannot read {resolved}: {error}; correct the path or the file");
            ConfigError::new(place.clone(), what)
        })
    }
}

/// The keys of the API.
pub(crate) fn api(raw: RawApi, files: &Files<'_>) -> Result<ApiSettings, ConfigError> {
    let (keys, keys_count) = keys("API", "api.keys", raw.keys, raw.keys_file, files)?;
    Ok(ApiSettings { keys, keys_count })
}

/// The keys of the admin page, and its bounds.
pub(crate) fn admin(raw: RawAdmin, files: &Files<'_>) -> Result<AdminSettings, ConfigError> {
    let default = AdminSettings::default();
    let (all, _) = keys("admin", "admin.keys", raw.keys, raw.keys_file, files)?;
    let name = "read-only admin";
    let path = "admin.read_only_keys";
    let (read_only, _) = keys(name, path, raw.read_only_keys, raw.read_only_keys_file, files)?;
    Ok(AdminSettings {
        keys: all,
        read_only_keys: read_only,
        viewers_max: raw.viewers_max.unwrap_or(default.viewers_max),
        logins_max: raw.logins_max.unwrap_or(default.logins_max),
        login_timeout_ms: raw.login_timeout_ms.unwrap_or(default.login_timeout_ms),
        wrong_keys_per_min_max: raw
            .wrong_keys_per_min_max
            .unwrap_or(default.wrong_keys_per_min_max),
    })
}

/// Keys of one kind, from the list at `path` and from the file, and how many there are.
fn keys(
    name: &str,
    path: &str,
    listed: Option<Vec<Secret>>,
    file: Option<String>,
    files: &Files<'_>,
) -> Result<(ApiKeys, usize), ConfigError> {
    let mut keys: Vec<(Secret, Place)> = Vec::new();
    for (index, key) in listed.unwrap_or_default().into_iter().enumerate() {
        keys.push((key, files.places.of_item(path, index)));
    }
    if let Some(file) = file {
        let path = format!("{path}_file");
        let place = files.places.of(&path);
        let text = files.read(&path, &file, &place)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let before = keys.len();
        keys.extend(lines.map(|line| (Secret::new(line), place.clone())));
        if keys.len() == before {
            let what = format!(
                "the file of {path} holds no key; write one a line, made with: openssl rand -hex 32"
            );
            return Err(ConfigError::key(place, what));
        }
    }
    for (index, (key, place)) in keys.iter().enumerate() {
        let characters = key.expose().chars().count();
        if characters < API_KEY_CHARACTERS_MIN {
            let what = format!(
                "{name} key {index} has {characters} characters; at least {API_KEY_CHARACTERS_MIN} \
                 are needed; make one with: openssl rand -hex 32"
            );
            return Err(ConfigError::key(place.clone(), what));
        }
    }
    let checked = ApiKeys::new(keys.iter().map(|(key, _)| key.expose())).map_err(|error| {
        let (index, advice) = match error {
            ApiKeyError::Length { index, .. } | ApiKeyError::Character { index, .. } => (index, ""),
            _ => (0, "; remove those that are out of use"),
        };
        ConfigError::key(keys[index].1.clone(), format!("{name} {error}{advice}"))
    })?;
    Ok((checked, keys.len()))
}

/// How tokens are checked; `None` if there is no key.
pub(crate) fn auth(
    mut raw: RawAuth,
    files: &Files<'_>,
) -> Result<Option<AuthSettings>, ConfigError> {
    let several = raw.keys.take().unwrap_or_default();
    let keys = match (several.is_empty(), single(&mut raw, files.places)) {
        (false, Some((path, _))) => {
            return Err(ConfigError::new(
                files.places.of(path),
                format!(
                    "{path} is the short way for a single key, and there is auth.keys too; \
                         keep one of them"
                ),
            ));
        }
        (true, None) if raw.jwks_file.is_some() || raw.jwks_url.is_some() => {
            algorithm_of_nothing(&raw, files.places)?;
            Vec::new()
        }
        (true, None) => {
            needs_key(&raw, files.places)?;
            return Ok(None);
        }
        (true, Some((path, key))) => {
            let place = files.places.of(path);
            let settings = key_settings(key, "auth", &place, files)?;
            KeySet::new(vec![settings.clone()]).map_err(|error| match error {
                KeySetError::Key { fault, .. } => {
                    ConfigError::key(place, format!("{path}: {fault}"))
                }
                error => ConfigError::key(place, error.to_string()),
            })?;
            vec![settings]
        }
        (false, None) => list(several, files)?,
    };
    let default = AuthSettings::default();
    Ok(Some(AuthSettings {
        keys,
        jwks: jwks::of_file(raw.jwks_file.as_deref(), files)?,
        source: None,
        require_exp: raw.require_exp.unwrap_or(default.require_exp),
        leeway_s: raw.leeway_s.unwrap_or(default.leeway_s),
        issuer: raw.issuer,
        audience: raw.audience,
        default_subscribe: rules("auth.default_subscribe", raw.default_subscribe, files.places)?,
        default_publish: rules("auth.default_publish", raw.default_publish, files.places)?,
    }))
}

/// The key given the short way, and the path that gave it.
fn single(raw: &mut RawAuth, places: &Places) -> Option<(&'static str, RawKey)> {
    let key = RawKey {
        kid: None,
        // With `auth.keys` it is left over, and found by `needs_key` or not needed.
        algorithm: raw.algorithm.clone(),
        secret: raw.secret.take(),
        secret_file: raw.secret_file.take(),
        public_key: raw.public_key.take(),
        public_key_file: raw.public_key_file.take(),
    };
    ["auth.secret", "auth.secret_file", "auth.public_key", "auth.public_key_file"]
        .into_iter()
        .find(|path| !places.of(path).is_default())
        .map(|path| (path, key))
}

/// Keys of a set say what they are for.
fn algorithm_of_nothing(raw: &RawAuth, places: &Places) -> Result<(), ConfigError> {
    match raw.algorithm {
        None => Ok(()),
        Some(_) => Err(ConfigError::new(
            places.of("auth.algorithm"),
            "auth.algorithm is the short way for a single key, and the keys of a JWK set say \
             themselves what they are for; remove it",
        )),
    }
}

/// Whoever says how tokens are checked wants them checked.
fn needs_key(raw: &RawAuth, places: &Places) -> Result<(), ConfigError> {
    let given = [
        ("auth.algorithm", raw.algorithm.is_some()),
        ("auth.issuer", raw.issuer.is_some()),
        ("auth.audience", raw.audience.is_some()),
        ("auth.default_subscribe", raw.default_subscribe.is_some()),
        ("auth.default_publish", raw.default_publish.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((path, _)) => Err(ConfigError::new(
            places.of(path),
            format!(
                "{path} is given, and there is no key to check tokens with; make one with: export \
                 FANFARE_AUTH_SECRET=$(openssl rand -hex 32), or remove it"
            ),
        )),
    }
}

/// The keys of `auth.keys`.
fn list(keys: Vec<RawKey>, files: &Files<'_>) -> Result<Vec<KeySettings>, ConfigError> {
    let mut settings = Vec::with_capacity(keys.len());
    for (index, key) in keys.into_iter().enumerate() {
        let place = files.places.of_item("auth.keys", index);
        settings.push(key_settings(key, &format!("auth.keys[{index}]"), &place, files)?);
    }
    KeySet::new(settings.clone()).map_err(|error| {
        let index = match error {
            KeySetError::Key { index, .. } => index,
            _ => 0,
        };
        ConfigError::key(files.places.of_item("auth.keys", index), format!("auth.keys: {error}"))
    })?;
    Ok(settings)
}

/// One key, from whichever of its forms was given.
fn key_settings(
    raw: RawKey,
    name: &str,
    place: &Place,
    files: &Files<'_>,
) -> Result<KeySettings, ConfigError> {
    let material = match (raw.secret, raw.secret_file, raw.public_key, raw.public_key_file) {
        (Some(secret), None, None, None) => Material::Secret(secret.expose().into()),
        (None, Some(path), None, None) => {
            let text = files.read(&format!("{name}.secret_file"), &path, place)?;
            Material::Secret(text.trim_end_matches(['\r', '\n']).into())
        }
        (None, None, Some(pem), None) => Material::Pem(pem),
        (None, None, None, Some(path)) => {
            Material::Pem(files.read(&format!("{name}.public_key_file"), &path, place)?)
        }
        _ => {
            let what = format!(
                "{name} needs exactly one of secret, secret_file, public_key and public_key_file; \
                 give one"
            );
            return Err(ConfigError::new(place.clone(), what));
        }
    };
    let algorithm = match (raw.algorithm.as_deref(), &material) {
        (Some(algorithm), _) => Algorithm::from_name(algorithm),
        (None, Material::Secret(_)) => Some(Algorithm::Hs256),
        (None, Material::Pem(_)) => None,
    };
    let algorithm = algorithm.ok_or_else(|| {
        let what = format!(
            "{name}.algorithm must say what the key is for; write one of {}",
            super::keys::ALGORITHMS.join(", ")
        );
        ConfigError::new(place.clone(), what)
    })?;
    Ok(KeySettings { algorithm, kid: raw.kid, material })
}

/// Patterns of channels.
fn rules(path: &str, patterns: Option<Vec<String>>, places: &Places) -> Result<Rules, ConfigError> {
    let patterns = patterns.unwrap_or_default();
    let is_pattern = |pattern: &String| {
        (1..=PATTERN_BYTES_MAX).contains(&pattern.len())
            && pattern.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let bad = patterns.iter().position(|pattern| !is_pattern(pattern));
    if bad.is_some() || patterns.len() > PATTERNS_MAX {
        return Err(ConfigError::new(
            places.of_item(path, bad.unwrap_or(0)),
            format!(
                "{path} takes at most {PATTERNS_MAX} patterns of 1 to {PATTERN_BYTES_MAX} printable \
                 ASCII characters without the space; write names, prefixes as in news.*, or *"
            ),
        ));
    }
    Ok(Rules::from_patterns(patterns))
}
