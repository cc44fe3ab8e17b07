//! A configuration with faults is refused with all of them at once, each with its line, key, value and what is allowed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use appliance::config::{
    Archive, BackupReturn, Config, ConfigChange, FeedChange, KeyHash, Latency, Takeover, reload,
};
use tempfile::TempDir;

/// A folder with a worker and a certificate in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write(&folder, "cert.pem", made.cert.pem());
    write(&folder, "key.pem", made.signing_key.serialize_pem());
    write(&folder, "other-key.pem", other.signing_key.serialize_pem());
    write(&folder, "rungd-worker", "#!/bin/sh\n");
    std::fs::set_permissions(folder.path().join("rungd-worker"), PermissionsExt::from_mode(0o755)).unwrap();
    // In a file of its own, so that the main file's lines count from its own first one.
    write(&folder, "conf.d/00-state.toml", "state_dir = \"../state\"\n");
    folder
}

fn write(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// The faults of `text`, without the folder's name.
fn faults_in(folder: &TempDir, text: &str) -> Vec<String> {
    write(folder, "rungd.toml", text);
    let here = format!("{}/", folder.path().display());
    match Config::load(&folder.path().join("rungd.toml")) {
        Ok(_) => Vec::new(),
        Err(error) => error.faults.iter().map(|fault| fault.to_string().replace(&here, "")).collect(),
    }
}

/// Like [`faults_in`], where the worker is not the point: it is named in the first line.
fn faults(text: &str) -> Vec<String> {
    faults_in(&folder(), &format!("worker.program = \"rungd-worker\"\n{text}"))
}

fn hash(key: &str) -> String {
    KeyHash::of(key.as_bytes()).to_string()
}

#[track_caller]
fn assert_one(text: &str, wanted: &[&str]) {
    let found = faults(text);
    assert_eq!(found.len(), 1, "of\n{text}\n{found:#?}");
    for part in wanted {
        assert!(found[0].contains(part), "{:?} is not in {:?}", part, found[0]);
    }
}

#[test]
fn all_faults_are_listed_at_once_in_the_order_of_lines() {
    let text = format!(
        r#"stat_dir = "x"
[ingest]
rtmp = ["0.0.0.0:1935", "nonsense"]
idle_timeout = 20
[ingest.limits]
max_width = 100000
max_timestamp_faults = 0
[ingest.limits.actions]
size = "reject"
colour = "warn"
[http]
listen = ["127.0.0.1:80", "127.0.0.1:80"]
[worker]
program = "rungd-worker"
[feed.demo]
keys = ["{}"]
ladder = [
  {{ name = "ok", size = "640x360", bit_rate = "1M" }},
  {{ name = "audio", size = "641x360", bit_rate = "3X", preset = "quick" }},
]
window = "3s"
[feed."No Way"]
keys = ["hunter2-in-the-clear"]
"#,
        hash("a key of the demo feed")
    );
    let found = faults_in(&folder(), &text);
    let wanted = [
        "rungd.toml:1: stat_dir: unknown key; did you mean \"state_dir\"? known here: state_dir, log, ingest, ",
        "rungd.toml:3: ingest.rtmp[1] = \"nonsense\": is not an IP address with a port",
        "rungd.toml:3: ingest.rtmp[0] = \"0.0.0.0:1935\": is not loopback: ",
        "rungd.toml:4: ingest.idle_timeout = 20: is an integer, not a length of time with its unit",
        "rungd.toml:6: ingest.limits.max_width = 100000: is out of bounds, allowed is 64 to 8192",
        "rungd.toml:7: ingest.limits.max_timestamp_faults = 0: is out of bounds, allowed is 1 to 100000",
        "rungd.toml:9: ingest.limits.actions.size = \"reject\": is none of accept, warn, refuse",
        "rungd.toml:10: ingest.limits.actions.colour: unknown key",
        "rungd.toml:12: http.listen[1] = \"127.0.0.1:80\": is taken by http.listen",
        "rungd.toml:19: feed.demo.ladder[1].name = \"audio\": is the name of the sound track",
        "rungd.toml:19: feed.demo.ladder[1].size = \"641x360\": is not even",
        "rungd.toml:19: feed.demo.ladder[1].bit_rate = \"3X\": is not a bit rate",
        "rungd.toml:19: feed.demo.ladder[1].preset = \"quick\": is none of ultrafast, ",
        "rungd.toml:21: feed.demo.window = \"3s\": is under 3 segments of 2s",
        "rungd.toml:22: feed.\"No Way\": the name must be 1 to 64 of a-z 0-9 - _",
        "rungd.toml:23: feed.\"No Way\".keys[0]: not a key hash",
    ];
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.starts_with(wanted), "{found:?}\n  is not {wanted:?}");
    }
    assert!(!found.concat().contains("hunter2"), "a key pasted by mistake is not repeated");
}

#[test]
fn broken_syntax_is_listed_with_its_line_beside_other_faults() {
    let found = faults("[http]\nlisten = \"127.0.0.1:8080\n[archive]\nenabled = \"yes\"\nmax_age = 7 days\n");
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("rungd.toml:3: not TOML: "), "{found:#?}");
    assert!(found[1].starts_with("rungd.toml:5: archive.enabled = \"yes\": is a string"), "{found:#?}");
    assert!(found[2].starts_with("rungd.toml:6: not TOML: "), "{found:#?}");
}

#[test]
fn a_secret_under_a_misspelt_key_is_not_repeated() {
    for line in ["key = \"hunter2-hunter2\"", "keys = \"hunter2-hunter2\"", "keys = [\"hunter2-hunter2\", 7]"]
    {
        let found = faults(&format!("[feed.demo]\n{line}\n"));
        assert!(!found.is_empty());
        assert!(!found.concat().contains("hunter2"), "{found:#?}");
    }
}

#[test]
fn keys_belong_to_one_feed_and_are_unlike_names() {
    let (a, b) = (hash("first-key"), hash("second-key"));
    assert_one(
        &format!("[feed.a]\nkeys = [\"{a}\"]\n[feed.b]\nkeys = [\"{b}\", \"{a}\"]\n"),
        &["rungd.toml:5: feed.b.keys[1]:", "is the key of feed \"a\" at keys[0] already"],
    );
    assert_one(
        &format!("[feed.studio-a]\nkeys = [\"{}\"]\n[feed.b]\nkeys = [\"{b}\"]\n", hash("b")),
        &["rungd.toml:3: feed.studio-a.keys[0]:", "is the hash of the feed name \"b\""],
    );
    assert_one("[feed.a]\ntitle = \"A\"\n", &["rungd.toml:2: feed.a.keys: missing"]);
    assert_one("[feed.a]\nkeys = []\n", &["has 0 items, allowed are 1 to 16"]);
}

#[test]
fn plain_rtmp_beyond_loopback_needs_express_consent() {
    let plain = "[ingest]\nrtmp = [\"192.0.2.1:1935\"]\n";
    assert_one(plain, &["ingest.rtmp[0] = \"192.0.2.1:1935\"", "allow_plain_rtmp = true"]);
    assert_eq!(faults(&format!("{plain}allow_plain_rtmp = true\n")), [""; 0]);
    assert_eq!(faults("[ingest]\nrtmp = [\"[::1]:1935\", \"127.0.0.2:1935\"]\n"), [""; 0]);
}

#[test]
fn certificates_are_read_and_held_against_their_keys() {
    let with = |certificate: &str, key: &str| {
        format!(
            "[ingest]\nrtmps = [\"[::]:1936\"]\ntls_certificate = \"{certificate}\"\ntls_key = \"{key}\"\n"
        )
    };
    assert_eq!(faults(&with("cert.pem", "key.pem")), [""; 0]);
    assert_one(
        &with("cert.pem", "other-key.pem"),
        &["ingest.tls_certificate", "cannot be used with tls_key"],
    );
    assert_one(&with("gone.pem", "key.pem"), &["gone.pem", "cannot be read: No such file"]);
    assert_one(&with("rungd-worker", "key.pem"), &["holds no certificate in PEM"]);
    assert_one(&with("cert.pem", "cert.pem"), &["ingest.tls_key", "holds no private key in PEM"]);
    assert_one("[ingest]\nrtmps = [\"[::]:1936\"]\n", &["needs tls_certificate and tls_key"]);
    assert_one("[http]\ntls_key = \"key.pem\"\n", &["http.tls_key", "needs tls_certificate beside it"]);
}

#[test]
fn the_worker_must_be_there_and_run() {
    let folder = folder();
    write(&folder, "plain", "");
    for (line, wanted) in [
        ("program = \"gone\"", "gone: No such file"),
        ("program = \"plain\"", "is not executable"),
        ("program = \".\"", "is no file"),
    ] {
        let found = faults_in(&folder, &format!("[worker]\n{line}\n"));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(
            found[0].starts_with("rungd.toml:2: worker.program = ") && found[0].contains(wanted),
            "{found:?}"
        );
    }
}

#[test]
fn devices_and_what_drivers_are_told() {
    let feed =
        |device: &str| format!("[feed.a]\nkeys = [\"{}\"]\ndevice = \"{device}\"\n", hash("first-key"));
    assert_one(&feed("gpu"), &["feed.a.device = \"gpu\"", "is not auto, the name of an engine"]);
    assert_one(&feed("vaapi:"), &["is not auto"]);
    assert_one(
        "[devices]\nrender_nodes = [\"renderD128\"]\n",
        &["devices.render_nodes[0]", "is no absolute path"],
    );
    assert_one("[devices]\nallow_simulated = 1\n", &["is an integer"]);
    let folder = folder();
    for (variables, rule) in [
        ("{ path = \"/\" }", "has the name \"path\": names are of A-Z 0-9 _"),
        ("{ PATH = 1 }", "has for PATH an integer, not a string"),
        ("7", "is an integer, not a table"),
    ] {
        let text = format!("[worker]\nprogram = \"rungd-worker\"\nenvironment = {variables}\n");
        let found = faults_in(&folder, &text);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains("worker.environment = ") && found[0].contains(rule), "{found:?}");
    }
}

#[test]
fn ladders_by_name_and_written_out() {
    let rung = "{ name = \"r\", size = \"640x360\", bit_rate = \"1M\" }";
    let feed = |ladder: &str| format!("[feed.a]\nkeys = [\"{}\"]\nladder = {ladder}\n", hash("first-key"));
    assert_one(&feed("\"sport\""), &["feed.a.ladder = \"sport\"", "which has default"]);
    assert_one(&feed(&format!("[{rung}, {rung}]")), &["feed.a.ladder[1].name", "another rung"]);
    assert_one(&feed("[]"), &["has 0 items, allowed are 1 to 16"]);
    assert_one(
        &feed(&format!("[{rung}, {{ name = \"s\" }}, 7]")).replace("{ name = \"s\" }, ", ""),
        &["feed.a.ladder[1] = 7: is an integer, not a table"],
    );
    assert_one(&feed("[{ name = \"s\", bit_rate = \"1M\" }]"), &["feed.a.ladder[0].size: missing"]);
    assert_one(
        &feed(&format!("[{}]", rung.replace(" }", ", max_bit_rate = \"900k\" }"))),
        &["max_bit_rate = \"900k\": is out of bounds, allowed is 1M to 200M"],
    );
    // A faulty ladder is one fault, not one more for each feed that names it.
    assert_one(
        &format!("{}[ladder.sport]\nrungs = [{}]\n", feed("\"sport\""), rung.replace("1M", "1Z")),
        &["ladder.sport.rungs[0].bit_rate = \"1Z\""],
    );

    let folder = folder();
    let text = format!(
        "worker.program = \"rungd-worker\"\n{}[ladder.sport]\npreset = \"fast\"\ntune = \"film\"\nrungs = [{rung}, {}]\n",
        feed("\"sport\""),
        rung.replace("\"r\"", "\"s\"")
            .replace(" }", ", tune = \"none\", buffer = \"1s\", frame_rate = \"half\" }")
    );
    assert_eq!(faults_in(&folder, &text), [""; 0]);
    let config = Config::load(&folder.path().join("rungd.toml")).unwrap();
    let [first, second] = config.feeds[0].ladder.rungs.as_slice() else { panic!("two rungs") };
    assert_eq!((first.max_bit_rate, first.buffer_bits), (1_200_000, 1_800_000));
    assert_eq!((first.preset.as_str(), first.tune.as_deref()), ("fast", Some("film")));
    assert_eq!((second.tune.as_deref(), second.buffer_bits), (None, 1_200_000));
    assert_eq!(second.rate, media::ladder::RungRate::Half);
}

#[test]
fn times_of_a_feed_fit_each_other() {
    let feed = |lines: &str| format!("[feed.a]\nkeys = [\"{}\"]\n{lines}\n", hash("first-key"));
    assert_one(
        &feed("segment = \"1s\"\nchunk = \"1.5s\""),
        &["feed.a.chunk", "longer than a segment, which is 1s"],
    );
    assert_one(&feed("segment = \"4s\"\nwindow = \"10s\""), &["feed.a.window", "under 3 segments of 4s"]);
    // The default is held against what is set: the fault stands at the section.
    assert_one(
        &feed("segment = \"50s\""),
        &["feed.a.segment = \"50s\": is out of bounds, allowed is 1s to 10s"],
    );
    assert_one(&feed("frame_rate = \"239999/10007\""), &["feed.a.frame_rate", "makes segments of"]);
    assert_one(&feed("frame_rate = \"1000\""), &["frame rate \"1000\" is not"]);
    for rate in ["25", "\"29.97\"", "29.97", "\"30000/1001\"", "\"59.94\"", "17"] {
        assert_eq!(faults(&feed(&format!("frame_rate = {rate}"))), [""; 0], "{rate}");
    }
}

#[test]
fn a_backup_key_is_unlike_every_key_and_feed_name() {
    let (a, b, spare) = (hash("first-key"), hash("second-key"), hash("spare-key"));
    let (own, backup, again) = (
        format!("keys = [\"{a}\"]"),
        format!("backup_keys = [\"{spare}\"]"),
        format!("\"{spare}\", \"{a}\""),
    );
    assert_one(
        &format!("[feed.a]\n{own}\nbackup_keys = [{again}]\n"),
        &["rungd.toml:4: feed.a.backup_keys[1]:", "is the key of feed \"a\" at keys[0] already"],
    );
    assert_one(
        &format!("[feed.a]\n{own}\nbackup_keys = [\"{spare}\", \"{spare}\"]\n"),
        &["feed.a.backup_keys[1]:", "is the backup key of feed \"a\" at backup_keys[0] already"],
    );
    assert_one(
        &format!("[feed.a]\n{own}\n{backup}\n[feed.b]\nkeys = [\"{b}\"]\n{backup}\n"),
        &[
            "rungd.toml:7: feed.b.backup_keys[0]:",
            "is the backup key of feed \"a\" at backup_keys[0] already",
        ],
    );
    assert_one(
        &format!("[feed.a]\n{own}\n{backup}\n[feed.b]\nkeys = [\"{spare}\"]\n"),
        &["rungd.toml:6: feed.b.keys[0]:", "is the backup key of feed \"a\" at backup_keys[0] already"],
    );
    assert_one(
        &format!("[feed.studio-a]\n{own}\nbackup_keys = [\"{}\"]\n", hash("studio-a")),
        &["feed.studio-a.backup_keys[0]:", "is the hash of the feed name \"studio-a\""],
    );
    let found = faults(&format!("[feed.a]\n{own}\nbackup_keys = [\"hunter2-in-the-clear\"]\n"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("feed.a.backup_keys[0]: not a key hash") && !found[0].contains("hunter2"));
    assert_one(
        &format!("[feed.a]\n{own}\nbackup_keys = [{}]\n", vec!["\"x\""; 17].join(", ")),
        &["feed.a.backup_keys", "has 17 items, allowed are 0 to 16"],
    );
}

#[test]
fn how_a_feed_goes_on_is_read() {
    let folder = folder();
    let (key, backup) = (hash("first-key"), hash("spare-key"));
    let read = |lines: &str| {
        let text = format!("worker.program = \"rungd-worker\"\n[feed.a]\nkeys = [\"{key}\"]\n{lines}");
        assert_eq!(faults_in(&folder, &text), [""; 0], "{lines}");
        Config::load(&folder.path().join("rungd.toml")).unwrap()
    };
    let config = read("");
    let feed = &config.feeds[0];
    assert_eq!((feed.takeover, feed.backup_return), (Takeover::SameKey, BackupReturn::AtOnce));
    assert_eq!((feed.latency, feed.slate.as_ref()), (Latency::Standard, None));
    assert_eq!(feed.backup_key_hashes, []);
    assert_eq!(config.worker.hang_timeout, Duration::from_secs(4));

    let config = read(&format!(
        "backup_keys = [\"{backup}\"]\ntakeover = \"never\"\nbackup_return = \"when-backup-ends\"\nlatency = \"low\"\n"
    ));
    let feed = &config.feeds[0];
    assert_eq!((feed.takeover, feed.backup_return), (Takeover::Never, BackupReturn::WhenBackupEnds));
    assert_eq!(feed.latency, Latency::Low);
    assert_eq!(feed.backup_key_hashes, [KeyHash::of(b"spare-key")]);
    assert_eq!(feed.key_hashes, [KeyHash::of(b"first-key")]);

    let feed = format!("[feed.a]\nkeys = [\"{key}\"]\n");
    for (line, wanted) in [
        ("takeover = \"always\"", "feed.a.takeover = \"always\": is none of same-key, never"),
        ("takeover = true", "feed.a.takeover = true: is a boolean, not a word"),
        (
            "backup_return = \"never\"",
            "feed.a.backup_return = \"never\": is none of at-once, when-backup-ends",
        ),
        (
            "target_latency = \"900ms\"",
            "feed.a.target_latency = \"900ms\": is under 2 chunks of 500ms: players would run dry between two of them",
        ),
        (
            "target_latency = \"11s\"",
            "feed.a.target_latency = \"11s\": is out of bounds, allowed is 200ms to 10s",
        ),
        ("latency = \"lowest\"", "feed.a.latency = \"lowest\": is none of standard, low"),
        ("grace = \"61m\"", "feed.a.grace = \"61m\": is out of bounds, allowed is 0s to 1h"),
        ("memory = \"2h\"", "feed.a.memory = \"2h\": is out of bounds, allowed is 3s to 1h"),
        ("window = \"25h\"", "feed.a.window = \"25h\": is out of bounds, allowed is 3s to 1d"),
    ] {
        assert_one(&format!("{feed}{line}\n"), &[wanted]);
    }
}

#[test]
fn window_memory_and_grace_fit_each_other_and_the_archive() {
    let folder = folder();
    let text = |archive: bool, lines: &str| {
        let key = hash("first-key");
        format!(
            "worker.program = \"rungd-worker\"\narchive.enabled = {archive}\n[feed.a]\nkeys = [\"{key}\"]\n{lines}\n"
        )
    };
    for (archive, lines, window, memory, grace) in [
        (true, "", 60, 60, 30),
        (true, "window = \"24h\"", 86_400, 60, 30),
        (true, "window = \"24h\"\nmemory = \"1h\"", 86_400, 3600, 30),
        (true, "window = \"20s\"", 20, 20, 30),
        (true, "window = \"20s\"\ngrace = \"1h\"", 20, 20, 3600),
        (true, "grace = \"0s\"", 60, 60, 0),
        (false, "", 60, 60, 30),
        (false, "window = \"1h\"\nmemory = \"60s\"", 3600, 3600, 30),
        (false, "window = \"20s\"", 20, 20, 20),
        (false, "window = \"20s\"\ngrace = \"20s\"", 20, 20, 20),
    ] {
        assert_eq!(faults_in(&folder, &text(archive, lines)), [""; 0], "{archive} {lines}");
        let feed = Config::load(&folder.path().join("rungd.toml")).unwrap().feeds.remove(0);
        let wanted = (window, memory, grace);
        let read = (feed.window.as_secs(), feed.memory.as_secs(), feed.grace.as_secs());
        assert_eq!(read, wanted, "{archive} {lines}");
    }
    for (archive, lines, wanted) in [
        (
            false,
            "grace = \"61s\"",
            "feed.a.grace = \"61s\": is longer than the window of 1m, and there is no archive",
        ),
        (false, "window = \"61m\"", "feed.a.window = \"61m\": is over 1h, the most without an archive"),
        (true, "memory = \"61s\"", "feed.a.memory = \"61s\": is longer than the window, which is 1m"),
        (true, "memory = \"5s\"", "feed.a.memory = \"5s\": is under 3 segments of 2s"),
    ] {
        let found = faults_in(&folder, &text(archive, lines));
        assert!(
            matches!(found.as_slice(), [fault] if fault.contains(wanted)),
            "{archive} {lines}: {found:#?}"
        );
    }
}

#[test]
fn a_slate_that_is_no_picture_is_a_warning_and_one_that_cannot_be_read_a_fault() {
    let folder = folder();
    write(&folder, "slate.png", b"\x89PNG\r\n\x1a\nand so on");
    write(&folder, "slate.jpg", b"\xff\xd8\xff\xe0");
    write(&folder, "slate.webp", b"RIFF\x00\x00\x00\x00WEBP");
    write(&folder, "empty.png", "");
    write(&folder, "large.png", b"\x89PNG\r\n\x1a\n");
    let large = std::fs::OpenOptions::new().write(true).open(folder.path().join("large.png")).unwrap();
    large.set_len(16_000_001).unwrap();
    nix::unistd::mkfifo(&folder.path().join("pipe.png"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let text = |slate: &str| {
        let key = hash("first-key");
        format!("worker.program = \"rungd-worker\"\n[feed.a]\nkeys = [\"{key}\"]\nslate = \"{slate}\"\n")
    };
    for slate in ["slate.png", "slate.jpg"] {
        assert_eq!(faults_in(&folder, &text(slate)), [""; 0]);
        let config = Config::load(&folder.path().join("rungd.toml")).unwrap();
        assert_eq!(config.feeds[0].slate.as_deref(), Some(folder.path().join(slate).as_path()));
        assert_eq!(config.warnings, []);
    }
    for (slate, wanted) in [
        ("slate.webp", "is neither PNG nor JPEG; the built-in card"),
        ("empty.png", "is neither PNG nor JPEG; the built-in card"),
        ("large.png", "has 16000001 bytes, allowed are up to 16000000; the built-in card"),
    ] {
        assert_eq!(faults_in(&folder, &text(slate)), [""; 0]);
        let config = Config::load(&folder.path().join("rungd.toml")).unwrap();
        assert_eq!(config.feeds[0].slate, None, "{slate}");
        let [warning] = config.warnings.as_slice() else { panic!("{:?}", config.warnings) };
        let wanted = format!("rungd.toml:4: feed.a.slate = \"{slate}\": {wanted}");
        assert!(warning.to_string().contains(&wanted), "{warning}");
    }
    for (slate, wanted) in [
        ("gone.png", "gone.png: No such file"),
        ("pipe.png", "pipe.png is no file"),
        ("conf.d", "conf.d is no file"),
        ("", "is no path"),
    ] {
        let found = faults_in(&folder, &text(slate));
        assert!(matches!(found.as_slice(), [fault] if fault.contains(wanted)), "{slate}: {found:#?}");
    }
}

#[test]
fn an_archive_folder_that_cannot_be_written_is_a_fault_unless_it_is_not_wanted() {
    let folder = folder();
    let here = folder.path();
    write(&folder, "plain", "");
    write(&folder, "kept/archive/old.m4s", "");
    for locked in ["kept/archive", "locked"] {
        std::fs::create_dir_all(here.join(locked)).unwrap();
        std::fs::set_permissions(here.join(locked), PermissionsExt::from_mode(0o555)).unwrap();
    }
    for passed in ["", "kept"] {
        std::fs::set_permissions(here.join(passed), PermissionsExt::from_mode(0o777)).unwrap();
    }
    let faults = |state_dir: &str, enabled: bool| {
        write(&folder, "conf.d/00-state.toml", format!("state_dir = \"../{state_dir}\"\n"));
        let text = format!("worker.program = \"rungd-worker\"\narchive.enabled = {enabled}\n");
        // As somebody without root's rights, in a thread of its own: setfsuid(2) changes one thread, and where the test
        // does not run as root, nothing.
        std::thread::scope(|scope| {
            let load = || {
                write(&folder, "rungd.toml", &text);
                let _root = nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65_534));
                Config::load(&here.join("rungd.toml")).map_or_else(|error| error.faults, |_| Vec::new())
            };
            scope.spawn(load).join().unwrap()
        })
    };
    let at = |name: &str| here.join("conf.d/..").join(name).display().to_string();
    for (state_dir, wanted) in [
        ("kept", format!("{} cannot be written: Permission denied", at("kept/archive"))),
        ("locked", format!("{} cannot be written: Permission denied", at("locked"))),
        ("locked/a/b", format!("{} cannot be made in {}: Permission denied", at("locked/a/b"), at("locked"))),
        ("plain/a", format!("{} cannot be made in {}: Not a directory", at("plain/a"), at("plain"))),
    ] {
        let found = faults(state_dir, true);
        let [fault] = found.as_slice() else { panic!("of {state_dir}: {found:#?}") };
        assert_eq!((fault.key.as_str(), fault.line), ("state_dir", Some(1)));
        assert_eq!(fault.rule, format!("cannot hold the archive: {wanted}"));
        assert_eq!(faults(state_dir, false), [], "without an archive, {state_dir}");
    }
    assert_eq!(faults("new/and/deep", true), []);
    assert!(!here.join("new").exists(), "checking makes nothing");
    // A daemon comes on air all the same: its disk may have turned read-only under a sound configuration.
    std::fs::remove_dir_all(here.join("conf.d")).unwrap();
    write(&folder, "rungd.toml", "state_dir = \"plain/a\"\nworker.program = \"rungd-worker\"\n");
    let config = Config::load_to_serve(&here.join("rungd.toml")).unwrap();
    let [warning] = config.warnings.as_slice() else { panic!("{:#?}", config.warnings) };
    assert!(warning.rule.starts_with("cannot hold the archive: "), "{warning:?}");
}

#[test]
fn a_reload_does_not_try_the_archive_in_use() {
    let folder = folder();
    let path = folder.path().join("rungd.toml");
    let head = "worker.program = \"rungd-worker\"\n";
    write(&folder, "rungd.toml", head);
    let running = Config::load(&path).unwrap();
    // What stands for any disk that failed after the start, and is refused to root as well.
    write(&folder, "state/archive", "a file, no folder");
    assert_eq!(Config::load(&path).unwrap_err().faults.len(), 1);
    write(&folder, "rungd.toml", format!("{head}[feed.a]\nkeys = [\"{}\"]\n", hash("first-key")));
    let (_, change) = reload(&path, &running).unwrap();
    assert_eq!(change.feeds_added, ["a"]);

    let without = Config { archive: Archive { enabled: false, ..running.archive.clone() }, ..running };
    assert_eq!(reload(&path, &without).unwrap_err().faults.len(), 1, "an archive that is new is tried");
}

#[test]
fn a_reload_says_when_each_key_of_a_feed_comes_into_force() {
    let folder = folder();
    let path = folder.path().join("rungd.toml");
    let text = format!("worker.program = \"rungd-worker\"\n[feed.a]\nkeys = [\"{}\"]\n", hash("key-of-a"));
    write(&folder, "rungd.toml", &text);
    write(&folder, "slate.png", b"\x89PNG\r\n\x1a\n");
    let running = Config::load(&path).unwrap();
    let unchanged = FeedChange {
        name: "a".to_owned(),
        keys: false,
        precedence: false,
        title: false,
        presentation: false,
    };
    let backup = format!("backup_keys = [\"{}\"]", hash("spare-key"));
    for (line, wanted) in [
        (backup.as_str(), FeedChange { keys: true, ..unchanged.clone() }),
        ("takeover = \"never\"", FeedChange { precedence: true, ..unchanged.clone() }),
        ("backup_return = \"when-backup-ends\"", FeedChange { precedence: true, ..unchanged.clone() }),
        ("title = \"A\"", FeedChange { title: true, ..unchanged.clone() }),
        ("grace = \"5s\"", FeedChange { presentation: true, ..unchanged.clone() }),
        ("memory = \"20s\"", FeedChange { presentation: true, ..unchanged.clone() }),
        ("latency = \"low\"", FeedChange { presentation: true, ..unchanged.clone() }),
        ("target_latency = \"2s\"", FeedChange { presentation: true, ..unchanged.clone() }),
        ("slate = \"slate.png\"", FeedChange { presentation: true, ..unchanged.clone() }),
    ] {
        write(&folder, "rungd.toml", format!("{text}{line}\n"));
        let (_, change) = reload(&path, &running).unwrap();
        assert_eq!(change, ConfigChange { feeds_changed: vec![wanted], ..ConfigChange::default() }, "{line}");
    }
}

#[test]
fn too_many_feeds_is_one_fault() {
    let feeds: String = (0..65)
        .map(|n| format!("[feed.f{n}]\nkeys = [\"{}\"]\n", hash(&format!("key-number-{n}"))))
        .collect();
    assert_one(&feeds, &["has 65 feeds, allowed are up to 64"]);
}

#[test]
fn files_of_conf_d_are_laid_over_in_order_and_faults_name_them() {
    let folder = folder();
    let feed = |name: &str| format!("[feed.{name}]\nkeys = [\"{}\"]\n", hash(&format!("key of {name}")));
    write(
        &folder,
        "conf.d/10-a.toml",
        format!("{}title = \"first\"\n[http]\nmax_connections = 5\n", feed("a")),
    );
    write(&folder, "conf.d/20-b.toml", format!("{}[feed.a]\ntitle = \"second\"\n", feed("b")));
    write(&folder, "conf.d/30-not.txt", "nonsense");
    write(&folder, "conf.d/.hidden.toml", "nonsense");
    // Relative to the file it stands in.
    write(&folder, "conf.d/40-worker.toml", "[worker]\nprogram = \"../rungd-worker\"\n");
    assert_eq!(
        faults_in(&folder, "[http]\nmax_connections = 7\nallow_origin = \"https://tv.example\"\n"),
        [""; 0]
    );
    let config = Config::load(&folder.path().join("rungd.toml")).unwrap();
    assert_eq!(config.feeds.iter().map(|feed| feed.title.as_str()).collect::<Vec<_>>(), ["second", "b"]);
    assert_eq!((config.http.max_connections, config.http.allow_origin.as_str()), (5, "https://tv.example"));

    write(&folder, "conf.d/50-c.toml", "\n[feed.c]\nkeys = []\nkey = 1\n");
    std::fs::write(folder.path().join("conf.d/60-d.toml"), b"a = \"\xff\"").unwrap();
    let found = faults_in(&folder, "").join("\n");
    assert!(found.contains("conf.d/50-c.toml:3: feed.c.keys"), "{found}");
    assert!(found.contains("conf.d/50-c.toml:4: feed.c.key: unknown key; did you mean \"keys\"?"), "{found}");
    assert!(found.contains("conf.d/60-d.toml: is not UTF-8 from byte 5 on"), "{found}");
}

#[test]
fn a_file_that_is_not_there_is_a_fault() {
    let error = Config::load(Path::new("/nonexistent/rungd.toml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "1 fault in the configuration\n  /nonexistent/rungd.toml: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn a_reload_says_what_differs_or_changes_nothing() {
    let folder = folder();
    let feed = |name: &str, key: &str| format!("[feed.{name}]\nkeys = [\"{}\"]\n", hash(key));
    let path = folder.path().join("rungd.toml");
    let head = "worker.program = \"rungd-worker\"\n";
    let text = format!("{head}{}{}", feed("a", "key-of-a"), feed("b", "key-of-b"));
    write(&folder, "rungd.toml", &text);
    let running = Config::load(&path).unwrap();
    let (same, change) = reload(&path, &running).unwrap();
    assert!(change.is_empty());
    assert_eq!(same, running);

    let text = format!(
        "{head}log.level = \"debug\"\n{}window = \"2m\"\n{}[ingest]\nidle_timeout = \"5s\"\n",
        feed("a", "another-key-of-a"),
        feed("c", "key-of-c")
    );
    write(&folder, "rungd.toml", &text);
    let (_, change) = reload(&path, &running).unwrap();
    let ConfigChange { feeds_added, feeds_removed, feeds_changed, restart } = change;
    assert_eq!((feeds_added, feeds_removed), (vec!["c".to_owned()], vec!["b".to_owned()]));
    assert_eq!(feeds_changed.len(), 1);
    let FeedChange { name, keys, precedence, title, presentation } = &feeds_changed[0];
    assert_eq!(name, "a");
    assert_eq!((*keys, *precedence, *title, *presentation), (true, false, false, true));
    assert_eq!(restart, ["ingest.idle_timeout", "log"]);

    write(&folder, "rungd.toml", format!("{text}nonsense = 1\n"));
    assert_eq!(reload(&path, &running).unwrap_err().faults.len(), 1);
}
