//! The page at `/`, and that at `/admin`, in a real browser, with a real gateway behind it.
//!
//! Ignored by default, because it needs Chromium and ChromeDriver:
//! `cargo test --test browser -- --ignored`. Pictures of the page are left in `target/browser`.

#[path = "browser/admin.rs"]
mod admin;
#[path = "browser/driver.rs"]
mod driver;
#[path = "browser/gateway.rs"]
mod gateway;

use std::fs;
use std::path::Path;

use driver::{Browser, Tab, wait_for};
use gateway::Gateway;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// One browser at a time: two of them starve each other on a small machine.
static TURN: Mutex<()> = Mutex::new(());

fn await_text(tab: &Tab<'_>, css: &str, wanted: &str) {
    wait_for(&format!("{css} to say {wanted:?}"), || match tab.text(css) {
        text if text == wanted => Ok(()),
        text => Err(format!("{text:?}, beside it {:?}", tab.text("#detail"))),
    });
}

/// On the page, connected.
fn open(tab: &Tab<'_>, gateway: &Gateway) {
    tab.open(&gateway.url());
    await_text(tab, "#state", "connected");
}

fn send(tab: &Tab<'_>, text: &str) {
    tab.write("#message", text);
    tab.click("#send");
}

/// The messages on the page, the oldest first.
fn messages(tab: &Tab<'_>) -> Vec<String> {
    let rows = tab.script(
        "return [...document.querySelectorAll('#messages li.message .text')].map(e => e.textContent)",
    );
    let rows = rows.as_array().expect("a list").iter();
    rows.map(|row| row.as_str().expect("a text").to_owned()).collect()
}

fn await_messages(tab: &Tab<'_>, count: usize) -> Vec<String> {
    wait_for(&format!("{count} messages on the page"), || match messages(tab) {
        rows if rows.len() >= count => Ok(rows),
        rows => Err(format!("{} of them: {rows:?}", rows.len())),
    })
}

fn assert_no_complaints(browser: &Browser) {
    assert_eq!(browser.complaints(), [""; 0], "the console of the browser");
}

#[test]
#[ignore = "needs Chromium and ChromeDriver; .ci/run installs them"]
fn two_tabs_see_each_message_once_and_in_one_order() {
    let _turn = TURN.lock();
    let gateway = Gateway::start(0, "");
    let browser = Browser::start();
    let tabs = [browser.first_tab(), browser.another_tab()];
    for tab in &tabs {
        open(tab, &gateway);
    }
    for tab in &tabs {
        await_text(tab, "#subscribers", "2");
    }

    send(&tabs[0], "the first <b>message</b>");
    for tab in &tabs {
        assert_eq!(await_messages(tab, 1), ["the first <b>message</b>"]);
    }

    for i in 0..20 {
        send(&tabs[i % 2], &format!("tab {} says {i}", i % 2));
    }
    let seen = tabs.each_ref().map(|tab| await_messages(tab, 21));
    assert_eq!(seen[0], seen[1], "both tabs have the same order");
    for (sender, rest) in [("tab 0", 0), ("tab 1", 1)] {
        let from: Vec<_> = seen[0].iter().filter(|text| text.starts_with(sender)).collect();
        let sent: Vec<_> =
            (0..20).filter(|i| i % 2 == rest).map(|i| format!("{sender} says {i}")).collect();
        assert_eq!(from, sent.iter().collect::<Vec<_>>(), "each once, in the order of its sender");
    }

    gateway.publish("lobby", "from outside");
    for tab in &tabs {
        let rows = await_messages(tab, 22);
        assert_eq!(rows.len(), 22, "nothing twice: {rows:?}");
        assert_eq!(rows[21], "from outside");
    }
    assert_no_complaints(&browser);
}

#[test]
#[ignore = "needs Chromium and ChromeDriver; .ci/run installs them"]
fn channels_do_not_cross() {
    let _turn = TURN.lock();
    let gateway = Gateway::start(0, "");
    let browser = Browser::start();
    let (here, there) = (browser.first_tab(), browser.another_tab());
    open(&here, &gateway);
    open(&there, &gateway);
    await_text(&here, "#subscribers", "2");

    there.write("#channel", "elsewhere");
    there.click("#go");
    await_text(&here, "#subscribers", "1");
    await_text(&there, "#state", "connected");
    await_text(&there, "#subscribers", "1");
    send(&there, "said elsewhere");
    send(&here, "said in the lobby");
    gateway.publish("elsewhere", "published elsewhere");
    gateway.publish("lobby", "published in the lobby");
    // Order within a channel makes the last of each the proof that nothing came before it.
    assert_eq!(await_messages(&there, 2), ["said elsewhere", "published elsewhere"]);
    assert_eq!(await_messages(&here, 2), ["said in the lobby", "published in the lobby"]);
    assert_no_complaints(&browser);
}

#[test]
#[ignore = "needs Chromium and ChromeDriver; .ci/run installs them"]
fn the_page_says_that_the_gateway_is_gone_and_comes_back_with_it() {
    let _turn = TURN.lock();
    let gateway = Gateway::start(0, "");
    let browser = Browser::start();
    let tab = browser.first_tab();
    open(&tab, &gateway);
    send(&tab, "before");
    assert_eq!(await_messages(&tab, 1), ["before"]);
    assert_no_complaints(&browser);

    let port = gateway.kill();
    await_text(&tab, "#state", "reconnecting");
    wait_for("the page to say why", || match tab.text("#detail") {
        text if text.contains("is the server running?") => Ok(()),
        text => Err(text),
    });
    let is_disabled = tab.script("return document.querySelector('#send').disabled");
    assert_eq!(is_disabled, json!(true), "nothing can be sent meanwhile");

    let gateway = Gateway::start(port, "");
    await_text(&tab, "#state", "connected");
    assert_eq!(await_notes(&tab, 1), ["Messages may be missing here."]);
    send(&tab, "after");
    assert_eq!(await_messages(&tab, 2), ["before", "after"]);
    gateway.publish("lobby", "and from outside");
    assert_eq!(await_messages(&tab, 3)[2], "and from outside");
    // What the browser itself says of a server that is gone, and nothing else.
    let provoked =
        ["net::ERR_CONNECTION_REFUSED", "net::ERR_CONNECTION_RESET", "WebSocket connection to"];
    for complaint in browser.complaints() {
        assert!(provoked.iter().any(|words| complaint.contains(words)), "{complaint}");
    }
}

/// The notes on the page about what was missed, the oldest first.
fn notes(tab: &Tab<'_>) -> Vec<String> {
    let rows = tab
        .script("return [...document.querySelectorAll('li.told strong')].map(e => e.textContent)");
    let rows = rows.as_array().expect("a list").iter();
    rows.map(|row| row.as_str().expect("a text").to_owned()).collect()
}

fn await_notes(tab: &Tab<'_>, count: usize) -> Vec<String> {
    wait_for(&format!("{count} notes on the page"), || match notes(tab) {
        rows if rows.len() >= count => Ok(rows),
        rows => Err(format!("{rows:?}")),
    })
}

/// Cuts the only session off, with a code after which it comes back, but not before it is told to.
fn cut_off(tab: &Tab<'_>, gateway: &Gateway) {
    tab.script("window.random ??= Math.random; Math.random = () => 100");
    let session = tab.text("#detail").replace("session ", "");
    let advice = json!({ "code": 4000, "reason": "try again" });
    gateway.api("disconnect", &json!({ "client": session, "disconnect": advice }));
}

/// The network is back, as the browser tells it.
fn come_back(tab: &Tab<'_>) {
    tab.script("Math.random = window.random; dispatchEvent(new Event('online'))");
    await_text(tab, "#state", "connected");
}

#[test]
#[ignore = "needs Chromium and ChromeDriver; .ci/run installs them"]
fn the_page_recovers_what_it_missed_and_says_what_is_missing() {
    let _turn = TURN.lock();
    let rules = "[[channels.rules]]\nmatch = 'news'\nhistory_publications_max = 5\n";
    let gateway = Gateway::start(0, rules);
    let browser = Browser::start();
    let tab = browser.first_tab();
    tab.open(&format!("{}?channel=news", gateway.url()));
    await_text(&tab, "#state", "connected");
    send(&tab, "before the break");
    assert_eq!(await_messages(&tab, 1).len(), 1);

    cut_off(&tab, &gateway);
    await_text(&tab, "#state", "reconnecting");
    for text in ["said during the break", "and another"] {
        gateway.publish("news", text);
    }
    come_back(&tab);
    let expected = ["before the break", "said during the break", "and another"];
    assert_eq!(await_messages(&tab, 3), expected, "each once and in order");
    assert_eq!(await_notes(&tab, 1), ["Nothing is missing."]);

    // More than the channel keeps.
    cut_off(&tab, &gateway);
    await_text(&tab, "#state", "reconnecting");
    for _ in 0..6 {
        gateway.publish("news", "too much to keep");
    }
    come_back(&tab);
    assert_eq!(await_notes(&tab, 2)[1], "6 messages are missing here (4 to 9).");
    send(&tab, "after the gap");
    assert_eq!(await_messages(&tab, 4)[3], "after the gap");
    take_pictures(&tab, "recovery");

    // Where nothing is kept, the page does not pretend.
    tab.write("#channel", "lobby");
    tab.click("#go");
    await_text(&tab, "#state", "connected");
    assert_eq!(notes(&tab), [""; 0], "who comes for the first time misses nothing");
    cut_off(&tab, &gateway);
    await_text(&tab, "#state", "reconnecting");
    come_back(&tab);
    assert_eq!(await_notes(&tab, 1), ["Messages may be missing here."]);
    assert_no_complaints(&browser);
}

#[test]
#[ignore = "needs Chromium and ChromeDriver; .ci/run installs them"]
fn an_event_source_comes_back_by_itself_and_sees_the_restart() {
    let _turn = TURN.lock();
    let rules = "[[channels.rules]]\nmatch = 'news'\nhistory_publications_max = 50\n";
    let gateway = Gateway::start(0, rules);
    let browser = Browser::start();
    let tab = browser.first_tab();
    open(&tab, &gateway);
    tab.script(
        "window.events = []; window.source = new EventSource('/sse?channel=news'); \
         source.onmessage = e => events.push([e.lastEventId, JSON.parse(e.data)]); \
         source.addEventListener('disconnect', e => events.push(['', {type: 'disconnect', \
         ...JSON.parse(e.data)}]))",
    );
    let of = |kind: &str| {
        let all = tab.script("return events").as_array().expect("a list").clone();
        all.into_iter().filter(|event| event[1]["type"] == kind).collect::<Vec<_>>()
    };
    let await_count = |kind: &str, count: usize| {
        wait_for(&format!("{count} events of the type {kind}"), || match of(kind) {
            found if found.len() >= count => Ok(found),
            found => Err(format!("{found:?}")),
        })
    };
    let first = await_count("subscribed", 1).remove(0);
    gateway.publish("news", "one");
    let message = await_count("message", 1).remove(0);
    let epoch = first[1]["position"]["epoch"].as_str().expect("an epoch").to_owned();
    assert_eq!(message[0], format!("{epoch}:1"), "the browser keeps the position");

    // Cut off: the browser comes back by itself, with the position, and misses nothing.
    let session = of("welcome")[0][1]["session"].as_str().expect("an id").to_owned();
    let advice = json!({ "code": 4000, "reason": "try again" });
    gateway.api("disconnect", &json!({ "client": session, "disconnect": advice }));
    await_count("disconnect", 1);
    for text in ["two", "three"] {
        gateway.publish("news", text);
    }
    let texts: Vec<_> =
        await_count("message", 3).iter().map(|event| event[1]["text"].clone()).collect();
    assert_eq!(texts, ["one", "two", "three"], "each once and in order");
    assert_eq!(of("subscribed")[1][1]["recovered"], json!(true));

    // Killed and started again: another epoch, and it is told that something may be missing.
    let port = gateway.kill();
    let gateway = Gateway::start(port, rules);
    let again = await_count("subscribed", 3).remove(2);
    assert_eq!(again[1]["recovered"], json!(false));
    assert_ne!(again[1]["position"]["epoch"], json!(epoch));
    gateway.publish("news", "after the restart");
    assert_eq!(await_count("message", 4)[3][1]["text"], "after the restart");
    tab.script("source.close()");
}

/// Shows the page in this scheme and size, in which nothing may stick out and its own style has to be in use.
fn show_as(tab: &Tab<'_>, scheme: &str, size: Value) {
    let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
    tab.devtools("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
    tab.devtools("Emulation.setDeviceMetricsOverride", size);
    let is_wide = "return document.documentElement.scrollWidth > innerWidth";
    assert_eq!(tab.script(is_wide), json!(false), "nothing sticks out to the side");
    let ground = tab.script("return getComputedStyle(document.body).backgroundColor");
    let expected = if scheme == "light" { "rgb(246, 246, 243)" } else { "rgb(15, 17, 21)" };
    assert_eq!(ground, json!(expected), "the style is in use, in {scheme}");
}

/// In light, in dark, and as wide as a phone.
fn take_pictures(tab: &Tab<'_>, name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/browser");
    fs::create_dir_all(&folder).expect("a folder for the pictures");
    for (ending, scheme, width) in
        [("", "light", 0), ("-dark", "dark", 0), ("-phone", "light", 390)]
    {
        let height = if width == 0 { 0 } else { 844 };
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 0, "mobile": width > 0 });
        show_as(tab, scheme, size);
        if width > 0 {
            tab.script("document.querySelector('.console').scrollIntoView()");
        }
        fs::write(folder.join(format!("{name}{ending}.png")), tab.picture()).expect("a picture");
    }
    tab.devtools("Emulation.clearDeviceMetricsOverride", json!({}));
}

#[test]
#[ignore = "needs Chromium and ChromeDriver; .ci/run installs them"]
fn the_page_is_whole_in_light_and_dark_and_runs_no_other_script() {
    let _turn = TURN.lock();
    let gateway = Gateway::start(0, "");
    let browser = Browser::start();
    let tabs = [browser.first_tab(), browser.another_tab()];
    for tab in &tabs {
        open(tab, &gateway);
    }
    for (i, text) in ["hello", "hello yourself", "{\"any\": [\"json\", 1]}"].iter().enumerate() {
        send(&tabs[i % 2], text);
        await_messages(&tabs[0], i + 1);
    }
    let tab = &tabs[0];
    await_text(tab, "#subscribers", "2");
    take_pictures(tab, "page");
    assert_no_complaints(&browser);

    // The same look at the console sees what the policy does block.
    tab.script(
        "const s = document.createElement('script'); s.textContent = 'window.ran = true'; \
         document.body.append(s)",
    );
    assert_eq!(tab.script("return window.ran === true"), json!(false), "a script that came in");
    wait_for("the console to tell of the policy", || {
        let complaints = browser.complaints();
        let is_told = complaints.iter().any(|text| text.contains("Content Security Policy"));
        if is_told { Ok(()) } else { Err(format!("{complaints:?}")) }
    });
}
