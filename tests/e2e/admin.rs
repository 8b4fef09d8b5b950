//! The admin page's endpoints: off by default, who gets in, what a read-only key may not, and bounds.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;

use crate::support::{Gateway, Response, within};

const KEY: &str = "admin-key-canary-1";
const READ_ONLY: &str = "read-only-key-canary-1";

fn config(more: &str) -> String {
    format!("[admin]\nkeys = ['{KEY}']\nread_only_keys = ['{READ_ONLY}']\n{more}")
}

async fn keyed() -> Gateway {
    Gateway::configured(&config("")).await
}

async fn with_key(gateway: &Gateway, method: &str, path: &str, key: &str, body: &str) -> Response {
    let bearer = format!("Bearer {key}");
    gateway.request(method, path, &[("Authorization", &bearer)], body.as_bytes()).await
}

/// Logs in as the page does; the cookie.
async fn log_in(gateway: &Gateway, key: &str) -> Result<(String, Response), Response> {
    let origin = format!("http://{}", gateway.addr);
    let body = format!("key={key}");
    let headers = [("Origin", origin.as_str())];
    let answer = gateway.request("POST", "/admin/do/login", &headers, body.as_bytes()).await;
    match answer.headers.get("set-cookie") {
        Some(cookie) if answer.status == 200 => {
            Ok((cookie.split(';').next().unwrap().to_owned(), answer))
        }
        _ => Err(answer),
    }
}

/// The stream of samples.
struct Samples(Lines<BufReader<TcpStream>>, String);

impl Samples {
    async fn open(gateway: &Gateway, headers: &str) -> Self {
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        let head = format!("GET /admin/events HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", gateway.addr);
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        let status = within("a status", lines.next_line()).await.unwrap().unwrap();
        Self(lines, status)
    }

    async fn of(gateway: &Gateway, key: &str) -> Self {
        let samples = Self::open(gateway, &format!("Authorization: Bearer {key}\r\n")).await;
        assert_eq!(samples.1, "HTTP/1.1 200 OK");
        samples
    }

    /// The next event of this name; `None` at the end.
    async fn next(&mut self, name: &str) -> Option<Value> {
        let mut is_it = false;
        loop {
            let line = within("a sample", self.0.next_line()).await.unwrap()?;
            if let Some(event) = line.strip_prefix("event: ") {
                is_it = event == name;
            } else if let Some(data) = line.strip_prefix("data: ").filter(|_| is_it) {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }
}

#[tokio::test]
async fn without_keys_of_its_own_there_is_no_admin_page() {
    let gateway =
        Gateway::configured("insecure = true\n[api]\nkeys = ['an-api-key-of-16-bytes']").await;
    for (method, path) in [
        ("GET", "/admin"),
        ("GET", "/admin/admin.js"),
        ("GET", "/admin/node"),
        ("GET", "/admin/events"),
        ("POST", "/admin/do/login"),
        ("DELETE", "/admin"),
    ] {
        let answer = with_key(&gateway, method, path, "an-api-key-of-16-bytes", "").await;
        assert_eq!(answer.status, 404, "{method} {path}");
    }
}

#[tokio::test]
async fn a_listener_serves_it_or_does_not() {
    for (serves, expected) in [("'clients', 'api', 'metrics'", 404), ("'admin'", 200)] {
        let listener = format!("[[listeners]]\naddress = '127.0.0.1:0'\nserves = [{serves}]\n");
        let mut gateway = Gateway::configured(&(config("") + &listener)).await;
        assert_eq!(gateway.get("/admin").await.status, 200, "the one of --listen serves all");
        let log = gateway.log_with_many("listening on http://", 2).await;
        let (_, last) = log.rsplit_once("listening on http://").unwrap();
        gateway.addr = last.split_whitespace().next().unwrap().parse().unwrap();
        assert_eq!(gateway.get("/admin").await.status, expected, "{serves}");
        let is_alone = expected == 200;
        assert_eq!(gateway.get("/").await.status == 404, is_alone, "{serves}");
    }
}

#[tokio::test]
async fn the_page_is_open_and_everything_it_shows_is_not() {
    let gateway = keyed().await;
    let page = gateway.get("/admin").await;
    assert_eq!(page.status, 200);
    let policy = &page.headers["content-security-policy"];
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for (method, path) in [
        ("GET", "/admin/events"),
        ("GET", "/admin/channel?name=a"),
        ("GET", "/admin/session?id=0000000000000001"),
        ("POST", "/admin/do/disconnect"),
        ("POST", "/admin/do/publish"),
        ("POST", "/admin/do/anything"),
    ] {
        let nobody = gateway.request(method, path, &[], b"").await;
        assert_eq!(nobody.status, 401, "{method} {path}");
        assert_eq!(nobody.headers["www-authenticate"], "Bearer realm=\"fanfare admin\"");
        for key in ["wrong", "", "admin-key-canary", "admin-key-canary-12"] {
            let gateway = keyed().await;
            let wrong = with_key(&gateway, method, path, key, "").await;
            assert_eq!(wrong.status, 401, "{method} {path} {key}");
        }
    }
    assert_eq!(gateway.get("/admin/node").await.json(), json!({ "access": null }));
    let node = with_key(&gateway, "GET", "/admin/node", READ_ONLY, "").await.json();
    assert_eq!(node["access"], "read_only");
}

#[tokio::test]
async fn a_cookie_stands_for_a_key_until_it_is_given_back() {
    let gateway = keyed().await;
    let refused = log_in(&gateway, "not-the-key").await.unwrap_err();
    assert_eq!(refused.status, 401);
    let (cookie, answer) = log_in(&gateway, KEY).await.unwrap();
    let whole = &answer.headers["set-cookie"];
    for part in ["Path=/admin", "HttpOnly", "SameSite=Strict", "Max-Age=43200"] {
        assert!(whole.contains(part), "{part} in {whole}");
    }
    assert!(!whole.contains("Secure"), "{whole}");
    assert!(!whole.contains("canary") && !answer.text().contains("canary"));
    let with = |cookie: &str| [("Cookie", cookie.to_owned())];
    let node = async |cookie: &str| {
        let headers = with(cookie);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        gateway.request("GET", "/admin/node", &headers, b"").await.json()["access"].clone()
    };
    assert_eq!(node(&cookie).await, "full");
    let (most, last) = cookie.split_at(cookie.len() - 1);
    let other = if last == "0" { "1" } else { "0" };
    assert_eq!(node(&format!("{most}{other}")).await, Value::Null);
    let mut samples = Samples::open(&gateway, &format!("Cookie: {cookie}\r\n")).await;
    assert_eq!(samples.1, "HTTP/1.1 200 OK");
    samples.next("sample").await.unwrap();

    let origin = format!("http://{}", gateway.addr);
    let headers = [("Cookie", cookie.as_str()), ("Origin", origin.as_str())];
    let over = gateway.request("POST", "/admin/do/logout", &headers, b"").await;
    assert!(over.headers["set-cookie"].contains("Max-Age=0"));
    assert_eq!(node(&cookie).await, Value::Null);
    samples.next("over").await.expect("the page is told");
    assert_eq!(samples.next("sample").await, None, "and gets nothing more");
}

#[tokio::test]
async fn behind_tls_the_cookie_is_for_tls_alone() {
    let gateway = keyed().await;
    let headers = [("Origin", "https://fanfare.localhost"), ("Host", "fanfare.localhost")];
    // A second Host is refused, so the request is written out.
    let body = format!("key={KEY}");
    let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
    let head = format!(
        "POST /admin/do/login HTTP/1.1\r\nHost: {}\r\nOrigin: {}\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        headers[1].1,
        headers[0].1,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut cookie = String::new();
    while let Some(line) = within("a line", lines.next_line()).await.unwrap() {
        if line.to_lowercase().starts_with("set-cookie") {
            cookie = line;
        }
    }
    assert!(cookie.ends_with("; Secure"), "{cookie}");
}

#[tokio::test]
async fn another_page_can_do_nothing_in_the_name_of_its_visitor() {
    let gateway =
        Gateway::configured(&config("[origins]\nallow = ['*', 'https://evil.example']")).await;
    let (cookie, _) = log_in(&gateway, KEY).await.unwrap();
    let body = json!({ "channel": "a", "text": "x" }).to_string();
    let post = async |origin: Option<&str>| {
        let mut headers = vec![("Cookie", cookie.as_str())];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        gateway.request("POST", "/admin/do/publish", &headers, body.as_bytes()).await.status
    };
    let own = format!("http://{}", gateway.addr);
    assert_eq!(post(Some(&own)).await, 200);
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        assert_eq!(post(Some(origin)).await, 403, "{origin}");
    }
    assert_eq!(post(None).await, 403, "a cookie without an origin");
    let elsewhere = [("Origin", "https://evil.example")];
    let login = format!("key={KEY}");
    let answer = gateway.request("POST", "/admin/do/login", &elsewhere, login.as_bytes()).await;
    assert_eq!((answer.status, answer.headers.get("set-cookie")), (403, None));
}

#[tokio::test]
async fn wrong_keys_are_counted_and_then_none_is_looked_at() {
    let more = "wrong_keys_per_min_max = 3\n";
    let gateway = Gateway::configured(&config(more)).await;
    for _ in 0..3 {
        assert_eq!(log_in(&gateway, "wrong-canary").await.unwrap_err().status, 401);
    }
    let late = log_in(&gateway, KEY).await.unwrap_err();
    assert_eq!((late.status, late.headers["retry-after"].as_str()), (429, "60"));
    assert_eq!(with_key(&gateway, "GET", "/admin/node", KEY, "").await.status, 429);
    assert_eq!(gateway.metric("fanfare_admin_wrong_keys_total").await, 3.0);
    let log = gateway.log_with("admin: a wrong key").await;
    assert!(!log.contains("canary"), "{log}");
}

#[tokio::test]
async fn a_full_key_changes_things_and_a_read_only_one_does_not() {
    let gateway = keyed().await;
    let mut client = gateway.connect("/ws?format=json&channel=news").await;
    let welcome = client.next_json().await;
    let session = welcome["session"].as_str().unwrap().to_owned();
    let end = json!({ "session": session }).to_string();
    let test = |text: &str, json: bool| {
        json!({ "channel": "news", "text": text, "json": json }).to_string()
    };
    for (action, body) in [("disconnect", end.clone()), ("publish", test("no", false))] {
        let path = format!("/admin/do/{action}");
        let refused = with_key(&gateway, "POST", &path, READ_ONLY, &body).await;
        assert_eq!(refused.status, 403, "{action}");
    }
    let publish =
        async |body: String| with_key(&gateway, "POST", "/admin/do/publish", KEY, &body).await;
    assert_eq!(publish(test("yes", false)).await.json()["subscribers"], 1);
    assert_eq!(client.next_json().await["text"], "yes");
    assert_eq!(publish(test("{\"a\": 1}", true)).await.status, 200);
    assert_eq!(client.next_json().await["data"], json!({ "a": 1 }));
    for bad in [test("{", true), test("", false), "[".repeat(1_000), "{}".into()] {
        assert_eq!(publish(bad).await.status, 400);
    }
    assert_eq!(publish("x".repeat(200 << 10)).await.status, 413);

    let look = with_key(&gateway, "GET", "/admin/session?id=".to_owned().as_str(), KEY, "").await;
    assert_eq!(look.status, 400);
    let path = format!("/admin/session?id={session}");
    let seen = with_key(&gateway, "GET", &path, READ_ONLY, "").await.json();
    assert_eq!((&seen["channels"], &seen["bytes"]), (&json!(["news"]), &json!(0)));
    assert!(seen["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    let seen = with_key(&gateway, "GET", "/admin/channel?name=news", READ_ONLY, "").await.json();
    assert_eq!(seen["sessions"][0]["session"], json!(session));
    assert_eq!(seen["publications"], 2);
    let none = with_key(&gateway, "GET", "/admin/channel?name=nobody", KEY, "").await;
    assert_eq!(none.status, 404);

    let ended = with_key(&gateway, "POST", "/admin/do/disconnect", KEY, &end).await;
    assert_eq!(ended.status, 200, "{}", ended.text());
    assert_eq!(client.close_code().await.0, 4403);
    let gone = with_key(&gateway, "POST", "/admin/do/disconnect", KEY, &end).await;
    assert_eq!(gone.status, 404);
    gateway.log_with("admin: disconnected a session").await;
}

#[tokio::test]
async fn a_sample_a_second_shows_what_happens_and_only_to_so_many() {
    let gateway = Gateway::configured(&config("viewers_max = 2\n")).await;
    let mut client = gateway.connect("/ws?channel=busy").await;
    let (mut first, mut second) =
        (Samples::of(&gateway, KEY).await, Samples::of(&gateway, READ_ONLY).await);
    let third = Samples::open(&gateway, &format!("Authorization: Bearer {KEY}\r\n")).await;
    assert_eq!(third.1, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(gateway.metric("fanfare_admin_viewers").await, 2.0);
    assert_eq!(gateway.metric("fanfare_sessions").await, 1.0, "a viewer is no session");
    assert_eq!(first.next("history").await.unwrap()["rows"], json!([]));
    for _ in 0..20 {
        client.send_text("x").await;
        client.next_text().await;
    }
    let mut sample = first.next("sample").await.unwrap();
    while sample["busy"]["rows"].as_array().unwrap().is_empty() {
        sample = first.next("sample").await.unwrap();
    }
    let busy = &sample["busy"]["rows"][0];
    assert_eq!((&busy["channel"], &busy["sessions"]), (&json!("busy"), &json!(1)));
    assert_eq!((&sample["row"][1], &sample["viewers"]), (&json!(1), &json!(2)));
    assert!(second.next("sample").await.is_some());

    // Nobody looks: nothing is computed; whoever comes back sees what was there while somebody looked.
    drop((first, second));
    gateway.until_metric("fanfare_admin_viewers", |viewers| viewers == 0.0).await;
    let mut again = Samples::of(&gateway, KEY).await;
    let rows = again.next("history").await.unwrap()["rows"].as_array().unwrap().len();
    assert!(rows >= 1);
    again.next("sample").await.unwrap();
}

#[tokio::test]
async fn no_secret_and_no_message_is_ever_shown() {
    let more = "[auth]\nsecret = 'auth-canary-auth-canary-auth-canary'\n[api]\n\
                keys = ['api-canary-api-canary']\n[[channels.rules]]\nmatch = '*'\n\
                history_publications_max = 5\n";
    let gateway = Gateway::configured(&config(more)).await;
    let test = json!({ "channel": "a<b>\"'", "text": "message-canary" }).to_string();
    let answer = with_key(&gateway, "POST", "/admin/do/publish", KEY, &test).await;
    let mut shown = answer.text();
    for path in ["/admin/node", "/admin/channel?name=a%3Cb%3E%22'", "/admin", "/metrics"] {
        shown += &with_key(&gateway, "GET", path, KEY, "").await.text();
    }
    let mut samples = Samples::of(&gateway, KEY).await;
    shown += &samples.next("sample").await.unwrap().to_string();
    let (cookie, _) = log_in(&gateway, KEY).await.unwrap();
    shown += &gateway.log();
    assert!(shown.contains("a<b>") && !shown.contains("canary"), "{shown}");
    assert!(!gateway.log().contains(cookie.split_once('=').unwrap().1));
}

#[tokio::test]
async fn a_key_that_is_taken_out_ends_its_logins() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("admin-reload-{}.toml", std::process::id()));
    std::fs::write(&path, config("")).unwrap();
    let gateway = Gateway::start(&["--config", path.to_str().unwrap()], &[]).await;
    let (cookie, _) = log_in(&gateway, KEY).await.unwrap();
    let mut samples = Samples::open(&gateway, &format!("Cookie: {cookie}\r\n")).await;
    samples.next("sample").await.unwrap();
    std::fs::write(&path, "[admin]\nkeys = ['another-admin-key-1']\n").unwrap();
    gateway.signal("HUP");
    samples.next("over").await.expect("the page is told");
    let node = gateway.request("GET", "/admin/node", &[("Cookie", &cookie)], b"").await;
    assert_eq!(node.json(), json!({ "access": null }));
}
