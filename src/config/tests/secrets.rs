//! Keys: every way to give one, everything that is wrong with one, and that none is ever shown.

use super::*;
use crate::auth::keys::{Algorithm, Material};

const RSA: &str = include_str!("../../auth/testdata/rsa_public.pem");
const RSA_PRIVATE: &str = include_str!("../../auth/testdata/rsa_private.pem");

fn single(world: &World) -> (Algorithm, Material) {
    let key = world.load().unwrap().auth.unwrap().keys.remove(0);
    (key.algorithm, key.material)
}

#[test]
fn the_short_way_takes_every_form() {
    let secret = World::new().variable("FANFARE_AUTH_SECRET", &canary());
    let material = Material::Secret(canary().into());
    assert_eq!(single(&secret), (Algorithm::Hs256, material.clone()));
    let named = secret.variable("FANFARE_AUTH_ALGORITHM", "HS512");
    assert_eq!(single(&named), (Algorithm::Hs512, material));
    let algorithm = || World::new().variable("FANFARE_AUTH_ALGORITHM", "RS256");
    let pem = (Algorithm::Rs256, Material::Pem(RSA.into()));
    assert_eq!(single(&algorithm().variable("FANFARE_AUTH_PUBLIC_KEY", RSA)), pem);
    let by_file = algorithm().variable("FANFARE_AUTH_PUBLIC_KEY_FILE", "k.pem").file("k.pem", RSA);
    assert_eq!(single(&by_file), pem);
}

#[test]
fn key_files_are_read_beside_the_configuration() {
    let world = World::new()
        .config("[auth]\nsecret_file = 'secret'\n[api]\nkeys_file = '/abs/keys'")
        .file("conf/secret", &format!("{}\r\n", canary()))
        .file("/abs/keys", "\nfirst-key-of-the-file\n\n  second-key-of-the-file \n");
    let settings = world.load().unwrap();
    assert_eq!(single(&world).1, Material::Secret(canary().into()));
    assert_eq!(settings.api.keys_count, 2);
    assert!(settings.api.keys.accept(b"second-key-of-the-file"));
    // From the environment it counts from where the program was started.
    let world = World::new().variable("FANFARE_AUTH_SECRET_FILE", "s").file("s", &canary());
    assert_eq!(single(&world).1, Material::Secret(canary().into()));
}

#[test]
fn several_keys_are_taken_from_the_file() {
    let canary = canary();
    let world = World::new()
        .config(&format!(
            "[[auth.keys]]\nkid = 'a'\nsecret = '{canary}'\n\
             [[auth.keys]]\nkid = 'b'\nalgorithm = 'RS256'\npublic_key_file = 'b.pem'\n"
        ))
        .file("conf/b.pem", RSA);
    let keys = world.load().unwrap().auth.unwrap().keys;
    assert_eq!(keys.len(), 2);
    assert_eq!((keys[0].algorithm, keys[0].kid.as_deref()), (Algorithm::Hs256, Some("a")));
    assert_eq!((keys[1].algorithm, keys[1].kid.as_deref()), (Algorithm::Rs256, Some("b")));
}

#[test]
fn keys_that_are_no_good_are_refused_as_keys() {
    let short = "canary-canary-canary-canary-31b";
    let pem = RSA_PRIVATE.replace('\n', "\\n");
    for (text, line, advice) in [
        (
            format!("[api]\nkeys = [\n'{}',\n'canary-too-shor'\n]", canary()),
            4,
            "API key 1 has 15 char",
        ),
        (format!("[api]\nkeys = ['{} x']", canary()), 2, "not printable ASCII, or a space"),
        (format!("[api]\nkeys = ['{}']", "canary".repeat(50)), 2, "API key 0 has 300 bytes"),
        (format!("[auth]\nsecret = '{short}'"), 2, "auth.secret: the secret has 31 bytes"),
        (
            format!("[auth]\nkeys = [\n{{secret='{}'}},\n{{secret='{short}'}}]", canary()),
            4,
            "31 bytes",
        ),
        (format!("[auth]\nalgorithm='RS256'\npublic_key = \"{pem}\""), 3, "this is a private key"),
        (format!("[auth]\nalgorithm='HS256'\npublic_key = \"{pem}\""), 3, "HS256 takes a secret"),
        (
            format!("[auth]\nalgorithm='RS256'\nsecret = '{}'", canary()),
            3,
            "RS256 takes a key in PEM",
        ),
    ] {
        let error = World::new().config(&text).load().unwrap_err();
        let shown = error.to_string();
        assert!(error.is_key(), "{shown}");
        assert!(shown.starts_with(&format!("{FILE}:{line}: ")), "{shown}");
        assert!(shown.contains(advice), "{advice:?} is not in: {shown}");
        let line = shown.contains('\n') || shown.contains("canary") || shown.contains("BEGIN PRIV");
        assert!(!line, "{shown}");
    }
}

#[test]
fn keys_that_contradict_each_other_or_are_not_there_are_refused() {
    let secret = canary();
    for (text, advice) in [
        (format!("auth.secret = '{secret}'\nauth.keys = [{{secret = '{secret}'}}]"), "keep one"),
        (format!("auth.secret = '{secret}'\nauth.secret_file = 'x'"), "exactly one of"),
        (
            format!("auth.keys = [{{kid = 'a', secret = '{secret}', public_key = 'x'}}]"),
            "exactly one",
        ),
        ("auth.keys = [{kid = 'a'}]".into(), "auth.keys[0] needs exactly one of"),
        ("auth.issuer = 'i'".into(), "no key to check tokens with"),
        ("auth.default_subscribe = ['*']".into(), "no key to check tokens with"),
        ("auth.public_key = 'x'".into(), "auth.algorithm must say"),
        ("auth.secret_file = 'gone'".into(), "auth.secret_file: cannot read conf/gone"),
        (format!("auth.keys = [{{secret = '{secret}', algorithm = 'hs256'}}]"), "must say what"),
        (format!("auth.secret = '{secret}'\nauth.default_publish = ['a b']"), "printable ASCII"),
        (format!("auth.secret = '{secret}'\nauth.algorithm = 'HS999'"), "one of HS256"),
    ] {
        let error = World::new().config(&text).load().unwrap_err();
        let shown = error.to_string();
        assert!(!error.is_key() && shown.contains(advice), "{advice:?} is not in: {shown}");
        assert!(!shown.contains("canary"), "{shown}");
    }
    let error =
        World::new().config("api.keys_file = 'k'").file("conf/k", "\n\n").load().unwrap_err();
    assert!(error.is_key() && error.to_string().contains("holds no key"), "{error}");
}

#[test]
fn arguments_do_not_take_secrets() {
    for (path, instead) in [
        ("api.keys", "FANFARE_API_KEYS"),
        ("auth.secret", "FANFARE_AUTH_SECRET"),
        ("auth.keys", "FANFARE_AUTH_SECRET"),
    ] {
        let text = World::new().set(&format!("{path}={}", canary())).refused();
        assert!(text.contains("can be read by others") && text.contains(instead), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
}

/// Every place that a secret can stand in, right or wrong: no error repeats it.
#[test]
fn no_error_and_no_debug_shows_a_secret() {
    let secret = canary();
    let mut worlds = vec![
        World::new().variable("FANFARE_LISTEN", &secret),
        World::new().variable("FANFARE_HUB_LANES", &secret),
        World::new().variable("FANFARE_LOG_FILTER", &format!("a={secret}")),
        World::new().variable("FANFARE_LOG_FORMAT", &secret),
        World::new().variable("FANFARE_AUTH_ALGORITHM", &secret),
        World::new().variable("FANFARE_ORIGINS_ALLOW", &secret),
        World::new().variable("FANFARE_AUTH_COOKIE", &format!("{secret} ")),
        World::new().variable("FANFARE_AUTH_SECRT", &secret),
        World::new().variable("FANFARE_API_KEYS", &secret),
        World::new().set(&secret),
        World::new().set(&format!("auth.secrt={secret}")),
        World::new().config(&format!("auth.public_key = '{secret}'\nauth.algorithm = 'ES256'")),
    ];
    for text in [
        "[auth]\nsecret = SECRET",
        "[auth]\nsecret = 'SECRET",
        "[auth]\nsecret = \"SECRET\\q\"",
        "[auth]\nsecret = ['SECRET']",
        "[auth]\nsecret = 'a' SECRET",
        "[auth]\nkeys = 'SECRET'",
        "[auth]\nkeys = [{ secrets = 'SECRET' }]",
        "[auth]\nkeys = [{ secret = ['SECRET'] }]",
        "[auth]\nkeys = [{ secret = SECRET }]",
        "[api]\nkeys = 'SECRET'",
        "[api]\nkeys = [1, 'SECRET']",
        "[api]\nkey = 'SECRET'",
        "hub.lanes = 'SECRET'",
    ] {
        worlds.push(World::new().config(&text.replace("SECRET", &secret)));
    }
    for world in worlds {
        let error = world.load().unwrap_err();
        let (shown, debugged) = (error.to_string(), format!("{error:?}"));
        assert!(!shown.contains("canary") && !debugged.contains("canary"), "{shown}");
    }
    let world =
        World::new().variable("FANFARE_AUTH_SECRET", &secret).variable("FANFARE_API_KEYS", &secret);
    let settings = world.load().unwrap();
    let (raw, places) = collect(&world.flags, &world).unwrap();
    let debugged = format!("{settings:?} {settings:#?} {raw:?} {places:?}");
    assert!(debugged.contains("Secret(..)") && !debugged.contains("canary"), "{debugged}");
    assert!(!debugged.contains(&format!("{:?}", secret.as_bytes())[1..20]), "{debugged}");
}
