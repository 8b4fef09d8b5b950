//! Start, signals, drain, exit codes.

use std::time::{Duration, Instant};

use tokio::process::Command;

use crate::support::{Gateway, within};

#[tokio::test]
async fn a_signal_closes_everybody_with_1001_and_the_exit_is_clean() {
    for signal in ["TERM", "INT"] {
        let mut gateway = Gateway::open().await;
        let mut clients = Vec::new();
        for _ in 0..50 {
            clients.push(gateway.connect("/ws?channel=a").await);
        }
        // Acknowledged before the signal: everybody gets it before the close.
        gateway.post("/publish?channel=a", b"last").await;
        gateway.signal(signal);
        for client in &mut clients {
            assert_eq!(client.next_text().await, "last");
            assert_eq!(client.close_code().await.0, 1001);
        }
        assert_eq!(gateway.exit_code().await, 0, "{}", gateway.log());
    }
}

#[tokio::test]
async fn clients_that_do_not_answer_do_not_hold_the_exit_up() {
    let mut gateway = Gateway::start(&[], &[("FANFARE_DRAIN_TIMEOUT_MS", "1000")]).await;
    let client = gateway.connect("/ws").await;
    gateway.signal("TERM");
    let began = Instant::now();
    assert_eq!(gateway.exit_code().await, 0);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(client);
}

#[tokio::test]
async fn open_mode_is_said_loudly_and_kept_to_this_machine() {
    let gateway = Gateway::open().await;
    assert!(gateway.log().to_lowercase().contains("anyone"), "{}", gateway.log());
    let refused = run(&["serve", "--listen", "0.0.0.0:0"], &[]).await;
    assert_eq!(refused.0, 3, "{}", refused.1);
    assert!(refused.1.contains("openssl rand"), "how to make keys: {}", refused.1);
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_line() {
    let gateway = Gateway::open().await;
    let addr = gateway.addr.to_string();
    let (code, text) = run(&["serve", "--listen", &addr], &[]).await;
    assert_eq!(code, 5, "{text}");
    assert!(text.lines().last().unwrap().contains(&addr), "{text}");
}

#[tokio::test]
async fn a_bad_file_or_key_has_an_exit_code_of_its_own() {
    let dir = std::env::temp_dir().join(format!("fanfare-test-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("fanfare.toml");
    std::fs::write(&file, "[hub]\noutbox_byte_max = 1\n").unwrap();
    let (code, text) = run(&["check", "--config", file.to_str().unwrap()], &[]).await;
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("outbox_bytes_max"), "the nearest key: {text}");
    let (code, text) = run(&["serve"], &[("FANFARE_AUTH_SECRET", "too short")]).await;
    assert_eq!(code, 4, "{text}");
    assert!(!text.contains("too short"), "the key is in the error");
    std::fs::remove_dir_all(&dir).unwrap();
}

async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanfare"));
    command.args(arguments).env_clear().envs(variables.iter().copied()).kill_on_drop(true);
    let output = within("the exit", command.output()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), text)
}
