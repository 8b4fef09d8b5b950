//! Certificates, made as they are needed, in a directory that goes with the test.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Self {
        static DIRS: AtomicU32 = AtomicU32::new(0);
        let number = DIRS.fetch_add(1, Ordering::Relaxed);
        let name = format!("tls-{}-{number}", std::process::id());
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        // In one step, as a careful operator does.
        fs::write(self.0.join("new"), text).unwrap();
        fs::rename(self.0.join("new"), self.0.join(name)).unwrap();
        self.path(name)
    }

    /// Puts a pair at `server.pem` and `server.key`.
    pub fn install(&self, pair: &Pair) {
        self.write("server.key", &pair.key);
        self.write("server.pem", &pair.certificate);
    }

    /// A listener with what is installed, and more entries of its `tls`.
    pub fn listener(&self, more_tls: &str, more: &str) -> String {
        format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate_file = \"{}\", \
             key_file = \"{}\"{more_tls} }}\n{more}\n",
            self.path("server.pem"),
            self.path("server.key")
        )
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// In PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// For `localhost` and 127.0.0.1, until 2099.
    pub fn pair(&self) -> Pair {
        self.pair_until(2099)
    }

    pub fn pair_until(&self, year: i32) -> Pair {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }
}
