//! The admin page, under a real load.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::driver::{Browser, Tab, wait_for};
use super::gateway::Gateway;
use super::{TURN, assert_no_complaints, show_as};

const KEYS: &str = "[admin]\nkeys = ['an-admin-key-for-tests']\n\
    read_only_keys = ['a-read-only-key-for-tests']\n[hub]\nping_interval_ms = 600000\n\
    outbox_age_max_ms = 600000\n[[channels.rules]]\nmatch = 'news*'\nhistory_publications_max = 9\n\
    [[channels.rules]]\nmatch = 'telemetry*'\npolicy = 'drop_oldest'\n";

const FULL: &str = "an-admin-key-for-tests";
const READ_ONLY: &str = "a-read-only-key-for-tests";

/// A load generator; killed with its value.
struct Load(Child);

impl Load {
    fn start(gateway: &Gateway, arguments: &[&str]) -> Self {
        let url = format!("ws://127.0.0.1:{}/ws?channel={{channel}}", gateway.port);
        let child = Command::new(env!("CARGO_BIN_EXE_fanfare"))
            .arg("bench")
            .args(arguments)
            .args(["--url", &url, "--duration", "10m", "--quiet"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("the load generator starts"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn await_text(tab: &Tab<'_>, css: &str, wanted: &str) {
    wait_for(&format!("{css} to say {wanted:?}"), || match tab.text(css) {
        text if text == wanted => Ok(()),
        text => Err(text),
    });
}

fn open(tab: &Tab<'_>, gateway: &Gateway) {
    tab.open(&format!("{}admin", gateway.url()));
    await_text(tab, ".door h1", "Who looks after this node?");
}

fn log_in(tab: &Tab<'_>, key: &str) {
    tab.write("#key", key);
    tab.click("[data-testid=enter]");
}

fn count(tab: &Tab<'_>, css: &str) -> f64 {
    tab.text(css).replace(',', "").parse().unwrap_or(-1.0)
}

fn await_count(tab: &Tab<'_>, css: &str, is_it: impl Fn(f64) -> bool) -> f64 {
    wait_for(&format!("{css} to get there"), || match count(tab, css) {
        now if is_it(now) => Ok(now),
        now => Err(now.to_string()),
    })
}

fn await_some(tab: &Tab<'_>, css: &str, wanted: &str) -> String {
    wait_for(&format!("{css} to have {wanted:?}"), || match tab.text(css) {
        text if text.contains(wanted) => Ok(text),
        text => Err(text),
    })
}

#[test]
#[ignore = "needs Chromium and ChromeDriver; .ci/run installs them"]
fn the_admin_page_lets_keys_in_and_nobody_else() {
    let _turn = TURN.lock();
    let gateway = Gateway::start(0, KEYS);
    let browser = Browser::start();
    let tab = browser.first_tab();
    open(&tab, &gateway);
    assert_no_complaints(&browser);
    log_in(&tab, "wrong-and-long-enough");
    await_text(&tab, "#wrong", "The key is not right.");
    // The browser itself tells of an answer 401, and that is all.
    assert!(browser.complaints().iter().all(|text| text.contains("401")));

    log_in(&tab, READ_ONLY);
    await_text(&tab, "#read-only", "read only");
    await_text(&tab, "#link-text", "live");
    await_text(&tab, "#verdict-head", "Quiet.");
    await_text(&tab, "#behind-none", "Nobody is behind.");
    let reload = "location.reload()";
    tab.script(reload);
    await_text(&tab, "#link-text", "live");
    tab.click("#leave");
    await_text(&tab, ".door h1", "Who looks after this node?");
    tab.script(reload);
    await_text(&tab, ".door h1", "Who looks after this node?");
    assert_no_complaints(&browser);

    log_in(&tab, FULL);
    await_text(&tab, "#link-text", "live");
    let port = gateway.kill();
    await_some(&tab, "#link-text", "no connection");
    assert_eq!(tab.script("return document.querySelector('#board').dataset.stale"), json!("true"));
    let _gateway = Gateway::start(port, KEYS);
    // It does not know the cookie of the one before it.
    await_some(&tab, "#wrong", "Your session is over.");
}

#[test]
#[ignore = "needs Chromium and ChromeDriver; .ci/run installs them"]
fn the_admin_page_is_live_under_load() {
    let _turn = TURN.lock();
    let gateway = Gateway::start(0, KEYS);
    let browser = Browser::start();
    let tab = browser.first_tab();
    open(&tab, &gateway);
    log_in(&tab, FULL);
    await_text(&tab, "#n-sessions", "0");
    let _fanout = Load::start(
        &gateway,
        &["fanout", "--subscribers", "200", "--rate", "15", "--channel-prefix", "prices."],
    );
    await_count(&tab, "#n-sessions", |sessions| sessions >= 200.0);
    await_count(&tab, "#n-publications", |publications| publications >= 8.0);
    let before = await_count(&tab, "#n-deliveries", |deliveries| deliveries >= 1_500.0);
    wait_for("the deliveries to move", || match count(&tab, "#n-deliveries") {
        now if now != before => Ok(()),
        now => Err(now.to_string()),
    });
    await_some(&tab, "#verdict-text", "of the messages reach their socket within");
    await_some(&tab, "#busy", "prices.0");
    let _stalled = Load::start(
        &gateway,
        &[
            "stalled",
            "--stalled-percent",
            "20",
            "--subscribers",
            "20",
            "--rate",
            "30",
            "--message-bytes",
            "16000",
            "--channel-prefix",
            "telemetry.",
        ],
    );
    await_some(&tab, "#n-behind", "4 sessions");
    await_some(&tab, "#verdict-text", "4 sessions are behind");
    await_some(&tab, "#drops", "drop oldest");
    let rows = tab.script("return document.querySelectorAll('#slow tr').length");
    assert_eq!(rows, json!(4));
    take_pictures(&tab);

    // The charts are drawn, and the keyboard reads them.
    let drawn = "return [...document.querySelectorAll('.plot .line')].map(line => \
                 (line.getAttribute('d').match(/L/g) ?? []).length)";
    let points = tab.script(drawn);
    let points: Vec<_> = points.as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    assert!(points.len() == 8 && points.iter().all(|points| *points > 2), "{points:?}");
    tab.script(
        "const plot = document.querySelector('#c-sessions'); plot.focus(); \
         plot.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft' }))",
    );
    await_some(&tab, "#c-sessions .tip", "2");
    assert_no_complaints(&browser);
}

#[test]
#[ignore = "needs Chromium and ChromeDriver; .ci/run installs them"]
fn the_admin_page_looks_closely_and_changes_what_it_may() {
    let _turn = TURN.lock();
    let gateway = Gateway::start(0, KEYS);
    let browser = Browser::start();
    let (page, admin) = (browser.first_tab(), browser.another_tab());
    let name = "news.<b>bold</b>\"'&";
    page.open(&format!("{}?channel=news.%3Cb%3Ebold%3C%2Fb%3E%22%27%26", gateway.url()));
    super::await_text(&page, "#state", "connected");
    open(&admin, &gateway);
    log_in(&admin, FULL);
    await_text(&admin, "#n-sessions", "1");

    admin.write("#wanted", name);
    admin.click("[data-testid=look]");
    await_text(&admin, "#look-head", name);
    await_some(&admin, "#facts", "9 publications");
    admin.write("#test-text", "a <i>test</i>");
    admin.click("[data-testid=test-send]");
    await_text(&admin, "#look-done", "Published to 1 session.");
    assert_eq!(super::await_messages(&page, 1), ["a <i>test</i>"]);
    await_some(&admin, "#busy", name);
    let markup = admin.script("return document.querySelectorAll('#busy b, #look b').length");
    assert_eq!(markup, json!(0), "a name is text, whatever is in it");

    let session = page.text("#detail").replace("session ", "");
    admin.script("document.querySelector('#look .chips button').click()");
    await_text(&admin, "#look-head", &session);
    await_some(&admin, "#facts", "127.0.0.1:");
    admin.click("#end-ask");
    admin.click("#end-yes");
    await_text(&admin, "#look-done", "It is disconnected.");
    super::await_text(&page, "#state", "closed");
    admin.script("document.querySelector('#look').close()");
    await_text(&admin, "#n-sessions", "0");
    await_some(&admin, "#ends", "kicked");
    assert_no_complaints(&browser);

    // Who may only look finds nothing to press, and is refused if it asks by other means.
    admin.click("#leave");
    log_in(&admin, READ_ONLY);
    await_text(&admin, "#read-only", "read only");
    admin.write("#wanted", name);
    admin.click("[data-testid=look]");
    await_some(&admin, "#facts", "9 publications");
    let hidden = "return ['#test', '#end'].every(css => document.querySelector(css).hidden)";
    assert_eq!(admin.script(hidden), json!(true));
    admin.script(
        "window.status = 0; fetch('/admin/do/publish', { method: 'POST', \
         body: '{\"channel\":\"a\",\"text\":\"b\"}' }).then(answer => { window.status = answer.status; })",
    );
    wait_for("an answer", || match admin.script("return window.status") {
        status if status == "403" || status == json!(403) => Ok(()),
        status => Err(status.to_string()),
    });
}

/// In light, in dark, as narrow as a phone, and with the dialog open.
fn take_pictures(tab: &Tab<'_>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/browser");
    fs::create_dir_all(&folder).expect("a folder for the pictures");
    for (ending, scheme, width, height) in [
        ("", "light", 1_360, 1_340),
        ("-dark", "dark", 1_360, 1_340),
        ("-phone", "light", 360, 780),
    ] {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        show_as(tab, scheme, size);
        fs::write(folder.join(format!("admin{ending}.png")), tab.picture()).expect("a picture");
    }
    tab.script("document.querySelector('#slow .open').click()");
    await_some(tab, "#facts", "Waiting");
    fs::write(folder.join("admin-phone-look.png"), tab.picture()).expect("a picture");
    tab.script("document.querySelector('#look').close()");
    tab.devtools("Emulation.clearDeviceMetricsOverride", json!({}));
}
