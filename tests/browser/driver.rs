//! Chromium, driven through ChromeDriver: as much of WebDriver (W3C) as the tests need.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

/// How long anything may take before a test says what it waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The name under which WebDriver hands out an element (section 12 of the standard).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The rest are for a machine without a display, a sandbox and a network.
const FLAGS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,860",
];

/// Asks until there is an answer. What was seen instead is the error.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(seen) if Instant::now() > deadline => {
                panic!("waited {} s for {what}; last seen: {seen}", PATIENCE.as_secs())
            }
            Err(_) => pause(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test on a thread of its own, with no runtime")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

/// What a program writes, kept while it runs.
#[derive(Clone, Default)]
pub struct Output(Arc<Mutex<String>>);

impl Output {
    pub fn of(stream: impl Read + Send + 'static) -> Self {
        let output = Self::default();
        let kept = output.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                kept.0.lock().push_str(&(line + "\n"));
            }
        });
        output
    }

    /// The digits behind the last `mark` of a whole line that has one.
    pub fn port_behind(&self, mark: &str) -> Result<u16, String> {
        let text = self.0.lock();
        let rest = text.lines().find_map(|line| line.rsplit_once(mark)).map(|(_, rest)| rest);
        let digits = rest.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
        digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| text.clone())
    }
}

/// One request over a connection of its own, with these headers besides.
pub fn request(
    port: u16,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Result<(u16, String), String> {
    let told = |error: std::io::Error| format!("{method} {path} on port {port}: {error}");
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE).map_err(told)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(told)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Content-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).map_err(told)?;
    let mut reader = BufReader::new(stream);
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).map_err(told)?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(rest) = line.strip_prefix("http/1.1 ") {
            status = rest.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0);
        } else if let Some(rest) = line.strip_prefix("content-length:") {
            length = rest.trim().parse().unwrap_or(0);
        } else if line.is_empty() {
            break;
        }
    }
    let mut answer = vec![0; length];
    reader.read_exact(&mut answer).map_err(told)?;
    Ok((status, String::from_utf8_lossy(&answer).into_owned()))
}

/// A browser. It ends with its value.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    pub fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver: {error}; .ci/run installs it"));
        let output = Output::of(driver.stdout.take().unwrap());
        // From here on a panic ends the driver as well.
        let mut browser = Self { driver, port: 0, session: String::new() };
        browser.port =
            wait_for("the port of ChromeDriver", || output.port_behind("successfully on port "));
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": FLAGS },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "pageLoad": 20_000, "script": 20_000 },
        } } });
        let made = browser.ask("POST", "/session", &wanted).expect("a session of Chromium");
        browser.session = made["sessionId"].as_str().expect("its id").to_owned();
        browser
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let (status, text) =
            request(self.port, method, path, "Content-Type: application/json\r\n", &body)?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
        match status {
            200 => Ok(answer["value"].take()),
            _ => {
                Err(format!("{path}: {}: {}", answer["value"]["error"], answer["value"]["message"]))
            }
        }
    }

    /// A command of the session.
    fn tell(&self, path: &str, body: Value) -> Value {
        let path = format!("/session/{}/{path}", self.session);
        self.ask("POST", &path, &body).unwrap_or_else(|error| panic!("{error}"))
    }

    fn get(&self, path: &str) -> Value {
        let path = format!("/session/{}/{path}", self.session);
        self.ask("GET", &path, &Value::Null).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The tab that was there at the start.
    pub fn first_tab(&self) -> Tab<'_> {
        let handle = self.get("window").as_str().expect("a window").to_owned();
        Tab { browser: self, handle }
    }

    /// In a window of its own, so that none hides the other: a hidden page does less.
    pub fn another_tab(&self) -> Tab<'_> {
        let made = self.tell("window/new", json!({ "type": "window" }));
        Tab { browser: self, handle: made["handle"].as_str().expect("a window").to_owned() }
    }

    /// What the browser's console got since the last look, except for plain information.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.tell("se/log", json!({ "type": "browser" }));
        let entries = entries.as_array().expect("a list of entries").iter();
        let told =
            entries.filter(|entry| !["INFO", "DEBUG"].map(Value::from).contains(&entry["level"]));
        told.map(|entry| format!("{} {}", entry["level"], entry["message"])).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.ask("DELETE", &format!("/session/{}", self.session), &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// One page.
pub struct Tab<'b> {
    browser: &'b Browser,
    handle: String,
}

impl Tab<'_> {
    fn tell(&self, path: &str, body: Value) -> Value {
        self.browser.tell("window", json!({ "handle": self.handle }));
        self.browser.tell(path, body)
    }

    pub fn open(&self, url: &str) {
        self.tell("url", json!({ "url": url }));
    }

    pub fn script(&self, script: &str) -> Value {
        self.tell("execute/sync", json!({ "script": script, "args": [] }))
    }

    fn element(&self, css: &str) -> String {
        let found = self.tell("element", json!({ "using": "css selector", "value": css }));
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    /// Types as a person does; over what is there already.
    pub fn write(&self, css: &str, text: &str) {
        let element = self.element(css);
        self.tell(&format!("element/{element}/clear"), json!({}));
        self.tell(&format!("element/{element}/value"), json!({ "text": text }));
    }

    pub fn click(&self, css: &str) {
        let element = self.element(css);
        self.tell(&format!("element/{element}/click"), json!({}));
    }

    /// The text as it is shown: empty where it is hidden.
    pub fn text(&self, css: &str) -> String {
        let element = self.element(css);
        let shown = self.browser.get(&format!("element/{element}/text"));
        shown.as_str().expect("a text").to_owned()
    }

    /// A command of the DevTools protocol.
    pub fn devtools(&self, command: &str, params: Value) {
        self.tell("goog/cdp/execute", json!({ "cmd": command, "params": params }));
    }

    /// A PNG of what is shown.
    pub fn picture(&self) -> Vec<u8> {
        use base64::Engine as _;
        self.tell("window", json!({ "handle": self.handle }));
        let encoded = self.browser.get("screenshot");
        let encoded = encoded.as_str().expect("a picture");
        base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64")
    }
}
