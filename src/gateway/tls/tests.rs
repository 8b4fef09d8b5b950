use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair};

use super::*;

/// A directory of files, gone with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let name = format!("fanfare-tls-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn settings(&self, certificate: &str, key: &str) -> TlsSettings {
        TlsSettings {
            certificate_file: self.write("a.pem", certificate),
            key_file: self.write("a.key", key),
            client_ca_file: None,
            version_min: TlsVersion::V12,
        }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A certificate and its key, until that year.
fn pair(until: i32) -> (String, String) {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn what_is_wrong_is_told_with_its_file_and_nothing_of_a_key() {
    let dir = Dir::new("wrong");
    let ((good, key), (other, other_key)) = (pair(2099), pair(2099));
    let (expired, expired_key) = pair(2001);
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nY2FuYXJ5\n-----END ENCRYPTED PRIVATE KEY-----";
    let chain = format!("{good}{other}");
    let reversed = format!("{other}{good}");
    assert!(load(&dir.settings(&chain, &key)).is_ok());
    assert!(load(&dir.settings(&format!("{key}{good}"), &format!("{good}{key}"))).is_ok());
    let block = |name: &str| format!("-----BEGIN {name}-----\nY2FuYXJ5\n-----END {name}-----\n");
    let broken = "-----BEGIN PRIVATE KEY-----\nY2Fu!!!YXJ5canary\n-----END PRIVATE KEY-----\n";
    for (certificate, key, file, what) in [
        (&good[..], &other_key[..], "a.key", "does not belong to the first certificate in"),
        (&reversed, &key, "a.key", "does not belong"),
        ("", &key, "a.pem", "no certificate in it"),
        (&key, &key, "a.pem", "no certificate in it"),
        (&block("CERTIFICATE"), &key, "a.pem", "malformed"),
        (&good, "", "a.key", "no private key in it"),
        (&good, &good, "a.key", "no private key in it"),
        (&good, encrypted, "a.key", "openssl pkey"),
        (&good, broken, "a.key", "not PEM"),
        (&good, &block("PRIVATE KEY"), "a.key", "the key cannot be used"),
        (&expired, &expired_key, "a.pem", "expired"),
    ] {
        let error = load(&dir.settings(certificate, key)).err().expect(what).to_string();
        let file = dir.0.join(file).display().to_string();
        assert!(error.starts_with(&format!("{file}: ")) && error.contains(what), "{error}");
        assert!(!error.contains("canary") && !error.contains("Y2Fu"), "{error}");
    }
    let mut settings = dir.settings(&good, &key);
    settings.client_ca_file = Some(dir.write("ca.pem", ""));
    assert!(load(&settings).err().unwrap().to_string().contains("ca.pem: there is no cert"));
    settings.key_file = "/dev/zero".into();
    assert!(load(&settings).err().unwrap().to_string().contains("larger than 1 MiB"));
    settings.key_file = dir.0.join("none");
    assert!(load(&settings).err().unwrap().to_string().contains("none: cannot be read: No such"));
}

#[test]
fn no_early_data_http_1_only_and_nothing_kept_of_a_session() {
    let dir = Dir::new("config");
    let (good, key) = pair(2099);
    let loaded = load(&dir.settings(&good, &key)).unwrap();
    assert_eq!(loaded.config.max_early_data_size, 0);
    assert_eq!(loaded.config.alpn_protocols, [b"http/1.1"]);
    assert!(!loaded.config.session_storage.can_cache() && loaded.config.ticketer.enabled());
    // 1 January 2099.
    assert_eq!(loaded.not_after_unix_s, 4_070_908_800);
}

#[test]
fn a_change_is_seen_also_through_a_link_that_is_turned() {
    let dir = Dir::new("looks");
    let ((one, one_key), (two, _)) = (pair(2099), pair(2099));
    let mut settings = dir.settings(&one, &one_key);
    let before = looks(&settings);
    assert!(before == looks(&settings) && before.len() == 2);
    let link = dir.0.join("link");
    std::os::unix::fs::symlink(&settings.certificate_file, &link).unwrap();
    settings.certificate_file = link.clone();
    assert!(before == looks(&settings));
    let turned = dir.0.join("turned");
    std::os::unix::fs::symlink(dir.write("two.pem", two), &turned).unwrap();
    fs::rename(turned, link).unwrap();
    assert!(before != looks(&settings));
}
