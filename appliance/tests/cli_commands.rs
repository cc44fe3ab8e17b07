//! The commands as an operator and a script meet them: output, and exit codes 0, 1 and 2.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use appliance::config::{Config, KeyHash, RuntimeFile};
use tempfile::TempDir;

/// What a command left behind.
struct Outcome {
    code: i32,
    out: String,
    err: String,
}

fn rungd(arguments: &[&str], input: &str) -> Outcome {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rungd"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder with a configuration that has no faults, if `more` has none.
fn folder(more: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let worker = folder.path().join("rungd-worker");
    std::fs::write(&worker, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&worker, PermissionsExt::from_mode(0o755)).unwrap();
    let config = folder.path().join("rungd.toml");
    let text = format!("state_dir = \"state\"\n[worker]\nprogram = \"rungd-worker\"\n{more}");
    std::fs::write(&config, text).unwrap();
    std::fs::create_dir(folder.path().join("state")).unwrap();
    let config = config.display().to_string();
    (folder, config)
}

fn feed(name: &str, key: &str) -> String {
    format!("[feed.{name}]\nkeys = [\"{}\"]\n", KeyHash::of(key.as_bytes()))
}

/// Answers one request with `response`, and gives the request back.
fn one_answer(response: String) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut request = Vec::new();
        let mut buffer = [0u8; 1024];
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            let read = stream.read(&mut buffer).unwrap();
            assert_ne!(read, 0, "the request broke off");
            request.extend_from_slice(&buffer[..read]);
        }
        stream.write_all(response.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (address, answering)
}

fn json_response(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn runs_at(folder: &TempDir, http: SocketAddr, http_tls: bool) {
    let file = RuntimeFile {
        application: "live".to_owned(),
        pid: 4711,
        started_unix_millis: 0,
        http: vec![http],
        http_tls,
        rtmp: vec![],
        rtmps: vec![],
    };
    file.write(&folder.path().join("state")).unwrap();
}

const FEEDS: &str = r#"[
  {"name":"studio-a","title":"A","state":"live","presentation":"p","dash_url":"/d","hls_url":"/h",
   "publisher":{"address":"192.0.2.7:5000","tls":true,"encoder":"OBS 31","since_unix_millis":1},
   "source":{"video_codec":"H.264","width":1920,"height":1080,"frame_rate":"30000/1001","audio_codec":"AAC",
             "bit_rate":6123456,"decode_errors":3},
   "rungs":[{"name":"720p","width":1280,"height":720,"frame_rate":"30000/1001","bit_rate":3000000,
             "measured_bit_rate":2950000,"real_time_ratio":0.875,"queue_depth":2,"new_field":[]}],
   "problem":null},
  {"name":"studio-b","state":"idle","rungs":[],"problem":"the worker was ended 3 times"}
]"#;

#[test]
fn check_config_says_what_would_run() {
    let (_folder, config) = folder(&feed("studio-a", "key-of-studio-a"));
    let done = rungd(&["check-config", "--config", &config], "");
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    for part in [
        "no faults",
        "rtmp     127.0.0.1:1935",
        "rtmps    off",
        "studio-a (studio-a): 1 key",
        "1280x720",
        "veryfast",
    ] {
        assert!(done.out.contains(part), "{part:?} is not in\n{}", done.out);
    }
}

#[test]
fn warnings_of_the_configuration_are_told_and_exit_with_0() {
    let (folder, config) = folder(&format!("{}slate = \"slate.gif\"\n", feed("studio-a", "key-of-studio-a")));
    std::fs::write(folder.path().join("slate.gif"), "GIF89a").unwrap();
    let done = rungd(&["check-config", "--config", &config], "");
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("no faults") && done.out.contains("studio-a"), "{}", done.out);
    let lines: Vec<&str> = done.err.lines().collect();
    assert_eq!(lines[0], "rungd: 1 warning in the configuration");
    assert!(
        lines[1].contains("rungd.toml:6: feed.studio-a.slate = \"slate.gif\": is neither"),
        "{}",
        done.err
    );
    assert_eq!(lines.len(), 2, "{}", done.err);
}

#[test]
fn faults_of_the_configuration_exit_with_2() {
    let (_folder, config) = folder("[htp]\n[feed.a]\nkeys = []\n");
    for command in ["check-config", "serve"] {
        let done = rungd(&[command, "--config", &config], "");
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{command}: {}", done.err);
        let lines: Vec<&str> = done.err.lines().collect();
        assert_eq!(lines.len(), 3, "{}", done.err);
        assert_eq!(lines[0], "rungd: 2 faults in the configuration");
        assert!(lines[1].contains("rungd.toml:4: htp: unknown key; did you mean \"http\"?"), "{}", done.err);
        assert!(lines[2].contains("rungd.toml:6: feed.a.keys = [0 items]: has 0 items"), "{}", done.err);
    }
    let absent = rungd(&["check-config", "--config", "/nonexistent.toml"], "");
    assert_eq!(absent.code, 2);
    assert!(absent.err.contains("/nonexistent.toml: cannot be read"), "{}", absent.err);
}

#[test]
fn the_command_line_is_held_to_its_form() {
    assert_eq!(rungd(&["--version"], "").out.trim(), format!("rungd {}", env!("CARGO_PKG_VERSION")));
    for arguments in [&["sing"][..], &["serve", "--port", "1"], &["keys", "hash", "my-secret-key"], &[]] {
        let done = rungd(arguments, "");
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{arguments:?}");
    }
    assert_eq!(rungd(&["help"], "").code, 0);
}

#[test]
fn a_new_key_opens_the_feed_that_its_line_is_put_in() {
    let made = rungd(&["keys", "--feed", "studio-a"], "");
    assert_eq!(made.code, 0, "{}", made.err);
    let indented: Vec<&str> = made.out.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let (key, line) = (indented[0], indented[1]);
    assert!(made.out.contains("[feed.studio-a]") && made.out.contains("rtmps://"), "{}", made.out);
    assert_eq!(made.out.matches(key).count(), 1, "the key is shown once");

    let (_folder, config) = folder(&format!("[feed.studio-a]\n{line}\n"));
    let config = Config::load(config.as_ref()).unwrap();
    assert!(config.feeds[0].key_hashes[0].matches(&KeyHash::of(key.as_bytes())));

    for ending in ["", "\n", "\r\n"] {
        let hashed = rungd(&["keys", "hash"], &format!("{key}{ending}"));
        assert_eq!((hashed.code, hashed.err.as_str()), (0, ""));
        assert!(line.contains(hashed.out.trim()), "{line} does not have {}", hashed.out);
    }
    assert_ne!(rungd(&["keys"], "").out, rungd(&["keys"], "").out);
}

#[test]
fn weak_keys_are_refused_without_being_repeated() {
    for (input, feed, wanted) in [
        ("hunter2", "a", "stream key of 7 bytes is under the bound of 8"),
        ("", "a", "stream key of 0 bytes"),
        ("studio-a", "studio-a", "equals the name of feed \"studio-a\""),
        ("with a blank", "a", "at byte 4"),
    ] {
        let done = rungd(&["keys", "hash", "--feed", feed], input);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{input}");
        assert!(done.err.contains(wanted), "{}", done.err);
        assert!(input.is_empty() || input == feed || !done.err.contains(input), "{}", done.err);
    }
}

#[test]
fn status_shows_feeds_and_rungs() {
    // Faults elsewhere in the file are no reason not to look at what runs.
    let (folder, config) = folder("[htp]\n");
    let (address, answering) = one_answer(json_response(FEEDS));
    runs_at(&folder, address, false);
    let done = rungd(&["status", "--config", &config], "");
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    let request = answering.join().unwrap();
    assert!(request.starts_with("GET /api/v1/feeds HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains(&format!("host: {address}")), "{request}");
    let lines: Vec<&str> = done.out.lines().collect();
    assert!(lines[0].starts_with("rungd, process 4711, up "), "{}", done.out);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let line = |name: &str| words(lines.iter().find(|line| line.trim_start().starts_with(name)).unwrap());
    assert_eq!(line("studio-a"), ["studio-a", "live", "1920x1080", "30000/1001", "6123"]);
    assert_eq!(line("720p"), ["720p", "1280x720", "30000/1001", "2950", "3000", "0.88", "slow", "2"]);
    assert_eq!(line("studio-b"), ["studio-b", "idle"]);
    for part in [
        "RTMPS from 192.0.2.7:5000, OBS 31, H.264 and AAC",
        "3 decoder errors",
        "! the worker was ended 3 times",
    ] {
        assert!(done.out.contains(part), "{part:?} is not in\n{}", done.out);
    }
}

#[test]
fn status_by_url_and_as_json() {
    let (address, answering) = one_answer(json_response(&format!("{{\"feeds\":{FEEDS}}}")));
    let done = rungd(&["status", "--json", "--url", &format!("http://{address}")], "");
    answering.join().unwrap();
    assert_eq!(done.code, 0, "{}", done.err);
    let answer: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(answer["feeds"][1]["name"], "studio-b");
}

#[test]
fn status_without_a_daemon_is_a_sentence_and_exit_1() {
    let (folder, config) = folder("");
    let ask = || {
        let done = rungd(&["status", "--config", &config], "");
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{}", done.err);
        assert_eq!(done.err.lines().count(), 1, "{}", done.err);
        done.err
    };
    assert!(ask().starts_with("rungd: rungd is not running: there is no "));

    // Held, and not listened at: nobody else comes by it meanwhile.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let gone = held.local_addr().unwrap();
    runs_at(&folder, gone, false);
    assert!(ask().starts_with(&format!("rungd: rungd is not running, or cannot be reached at {gone}: ")));

    runs_at(&folder, gone, true);
    assert!(ask().contains("serves HTTPS only"));

    std::fs::write(folder.path().join("state/rungd.json"), "{").unwrap();
    assert!(ask().contains("is not what a running rungd writes"));

    for (response, wanted) in [
        ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_owned(), "answered 503"),
        (json_response("{\"x\":1}"), "did not answer with a list of feeds"),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), "no answer in HTTP"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n[]".to_owned(), "broke off"),
    ] {
        let (address, answering) = one_answer(response);
        runs_at(&folder, address, false);
        let error = ask();
        assert!(error.contains(wanted), "{error}");
        answering.join().unwrap();
    }
}
