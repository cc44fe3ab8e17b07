//! A configuration with faults is refused with all of them at once, each with its line, key, value and what is allowed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use appliance::config::{Config, ConfigChange, KeyHash, reload};
use tempfile::TempDir;

/// A folder with a worker and a certificate in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write(&folder, "cert.pem", &made.cert.pem());
    write(&folder, "key.pem", &made.signing_key.serialize_pem());
    write(&folder, "other-key.pem", &other.signing_key.serialize_pem());
    write(&folder, "rungd-worker", "#!/bin/sh\n");
    std::fs::set_permissions(folder.path().join("rungd-worker"), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

fn write(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
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
        "rungd.toml:8: http.listen[1] = \"127.0.0.1:80\": is taken by http.listen",
        "rungd.toml:15: feed.demo.ladder[1].name = \"audio\": is the name of the sound track",
        "rungd.toml:15: feed.demo.ladder[1].size = \"641x360\": is not even",
        "rungd.toml:15: feed.demo.ladder[1].bit_rate = \"3X\": is not a bit rate",
        "rungd.toml:15: feed.demo.ladder[1].preset = \"quick\": is none of ultrafast, ",
        "rungd.toml:17: feed.demo.window = \"3s\": is under 3 segments of 2s",
        "rungd.toml:18: feed.\"No Way\": the name must be 1 to 64 of a-z 0-9 - _",
        "rungd.toml:19: feed.\"No Way\".keys[0]: not a key hash",
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
        &["rungd.toml:5: feed.b.keys[1]:", "is the key of feed \"a\" already"],
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
        &format!("{}title = \"first\"\n[http]\nmax_connections = 5\n", feed("a")),
    );
    write(&folder, "conf.d/20-b.toml", &format!("{}[feed.a]\ntitle = \"second\"\n", feed("b")));
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
    let ConfigChange { feeds_added, feeds_removed, feeds_changed, live, restart } = change;
    assert_eq!((feeds_added, feeds_removed), (vec!["c".to_owned()], vec!["b".to_owned()]));
    assert_eq!(feeds_changed.len(), 1);
    assert!(feeds_changed[0].keys && feeds_changed[0].encoding && !feeds_changed[0].title);
    assert_eq!((live, restart), (vec!["ingest.idle_timeout"], vec!["log"]));

    write(&folder, "rungd.toml", &format!("{text}nonsense = 1\n"));
    assert_eq!(reload(&path, &running).unwrap_err().faults.len(), 1);
}
