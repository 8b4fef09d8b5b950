//! `fanfare token`: makes a token.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::SystemTime;

use super::args::TokenArgs;
use super::exit::Failure;
use crate::auth::jwt::AuthSettings;
use crate::auth::keys::{Algorithm, KeySettings, Material, SigningKey};
use crate::auth::mint::{TokenClaims, mint};
use crate::base::clock::since_1970;
use crate::config::{self, Environment as _, Process};

pub(crate) fn run(args: TokenArgs) -> Result<(), Failure> {
    let configured = config::load_auth(&args.source.into(), &Process)?;
    let key = match (args.private_key_file, &args.algorithm) {
        (Some(path), Some(algorithm)) => private_key(&path, algorithm, args.kid)?,
        _ => configured_secret(configured.as_ref(), args.kid.as_deref())?,
    };
    let key = SigningKey::new(key).map_err(|fault| Failure::Key(format!("the key: {fault}")))?;
    let configured = configured.unwrap_or_default();
    if args.subscribe.is_empty() && args.publish.is_empty() {
        let _ = writeln!(
            io::stderr(),
            "note: the token names no channels, so it allows what the gateway allows by default; \
             add --subscribe and --publish"
        );
    }
    let some = |patterns: Vec<String>| (!patterns.is_empty()).then_some(patterns);
    let now_s = since_1970(SystemTime::now()).as_secs();
    let claims = TokenClaims {
        user: args.user,
        expires_unix_s: Some(now_s + args.expires_in),
        not_before_unix_s: None,
        issuer: args.issuer.or(configured.issuer),
        audience: args.audience.or(configured.audience),
        subscribe: some(args.subscribe),
        publish: some(args.publish),
    };
    let token = mint(&key, &claims).map_err(|error| Failure::Usage(error.to_string()))?;
    super::print(&format!("{token}\n"))
}

fn private_key(path: &Path, algorithm: &str, kid: Option<String>) -> Result<KeySettings, Failure> {
    let algorithm = Algorithm::from_name(algorithm)
        .ok_or_else(|| Failure::Usage("--algorithm is not known".into()))?;
    let pem = Process.read_file(path).map_err(|error| {
        Failure::Config(format!("--private-key-file: cannot read {}: {error}", path.display()))
    })?;
    Ok(KeySettings { algorithm, kid, material: Material::Pem(pem) })
}

/// The first secret, or the one with this id. What has a public key is signed for elsewhere.
fn configured_secret(
    configured: Option<&AuthSettings>,
    kid: Option<&str>,
) -> Result<KeySettings, Failure> {
    let keys = configured.map(|auth| auth.keys.as_slice()).unwrap_or_default();
    let is_wanted = |key: &&KeySettings| kid.is_none() || key.kid.as_deref() == kid;
    let secrets = keys.iter().filter(|key| matches!(key.material, Material::Secret(_)));
    secrets.clone().find(is_wanted).cloned().ok_or_else(|| {
        let what = match (keys.len(), secrets.count()) {
            (0, _) => {
                "there is no key to sign with; give the gateway's secret in \
                       FANFARE_AUTH_SECRET or its configuration with --config, or a private key \
                       with --private-key-file and --algorithm"
            }
            (_, 0) => {
                "the configuration has public keys only, which do not sign; give the private \
                       key with --private-key-file and --algorithm"
            }
            _ => "no secret of the configuration has this --kid; leave it out to take the first",
        };
        Failure::Config(what.into())
    })
}
