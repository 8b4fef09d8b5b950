//! The gateway, running.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::driver::{Output, request, wait_for};

/// Killed with its value.
pub struct Gateway {
    child: Child,
    pub port: u16,
}

impl Gateway {
    /// In open mode, with this configuration; port 0 is a free one.
    pub fn start(port: u16, configuration: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser.toml");
        fs::write(&path, configuration).expect("a file for the configuration");
        let mut child = Command::new(env!("CARGO_BIN_EXE_fanfare"))
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--config"])
            .arg(path)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = Output::of(child.stderr.take().unwrap());
        let mut gateway = Self { child, port };
        let address = "listening on http://127.0.0.1:";
        gateway.port = wait_for("the address of the gateway", || output.port_behind(address));
        gateway
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Publishes as `curl -d` does, the wrong type of content included.
    pub fn publish(&self, channel: &str, text: &str) {
        let path = format!("/publish?channel={channel}");
        let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
        let answer = request(self.port, "POST", &path, headers, text).expect("an answer");
        assert_eq!(answer.0, 200, "POST {path}: {}", answer.1);
    }

    /// A call of the API.
    pub fn api(&self, method: &str, body: &Value) {
        let headers = "Content-Type: application/json\r\n";
        let path = format!("/api/{method}");
        let answer = request(self.port, "POST", &path, headers, &body.to_string());
        let (status, text) = answer.expect("an answer");
        assert!(status == 200 && text.contains("result"), "POST {path}: {text}");
    }

    /// Without a drain: as a machine that loses its power.
    pub fn kill(mut self) -> u16 {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        self.port
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
