use proptest::prelude::*;

use super::*;

fn faults_of(text: &str) -> Vec<String> {
    let sources = [Source { file: PathBuf::from("rungd.toml"), text: text.to_owned() }];
    match read(&sources, &ArchiveFolder::MustBeWritable) {
        Ok(_) => Vec::new(),
        Err(error) => error.faults.iter().map(ToString::to_string).collect(),
    }
}

/// TOML that is close enough to a configuration to get past the parser often.
fn near_toml() -> impl Strategy<Value = String> {
    let words = [
        "state_dir",
        "log",
        "ingest",
        "http",
        "worker",
        "archive",
        "feed",
        "ladder",
        "demo",
        "rungs",
        "keys",
        "segment",
        "memory",
        "grace",
        "backup_keys",
        "slate",
        "takeover",
        "\"never\"",
        "limits",
        "rtmp",
        "listen",
        "name",
        "size",
        "bit_rate",
        "frame_rate",
        "tls_key",
        "program",
        ".",
        "=",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        ",",
        "\n",
        "\n[",
        "]\n",
        " = ",
        "\"",
        "'",
        "\"2s\"",
        "\"3M\"",
        "\"1280x720\"",
        "1",
        "-1",
        "0x7fffffffffffffff",
        "99999999999999999999",
        "1e400",
        "nan",
        "true",
        "1979-05-27",
        "\"127.0.0.1:1\"",
        "\"sha256:\"",
        "\"é\"",
        "#",
        "\\",
        "\u{0}",
        "\r",
        "\"\"\"",
        "..",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..60)
        .prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn near_toml_never_panics_and_every_fault_has_a_line(text in near_toml()) {
        let lines = text.lines().count().max(1);
        let sources = [Source { file: PathBuf::from("rungd.toml"), text }];
        if let Err(error) = read(&sources, &ArchiveFolder::MustBeWritable) {
            prop_assert!(!error.faults.is_empty());
            for fault in &error.faults {
                prop_assert!(fault.line.is_some_and(|line| (1..=lines).contains(&line)), "{fault}");
                prop_assert!(!fault.to_string().contains('\n'), "{fault}");
            }
        }
    }

    #[test]
    fn garbage_never_panics(text in any::<String>()) {
        let _faults = faults_of(&text);
    }
}

#[test]
fn deep_nesting_is_a_fault_and_no_overflow() {
    for text in [
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{a=".repeat(100_000)),
        "a.".repeat(100_000),
    ] {
        assert!(!faults_of(&text).is_empty());
    }
}

#[test]
fn listeners_that_cannot_both_be() {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    for (a, b, wanted) in [
        ("127.0.0.1:1935", "127.0.0.1:1935", true),
        ("0.0.0.0:1935", "127.0.0.1:1935", true),
        ("[::]:1935", "192.0.2.1:1935", true),
        ("[::]:1935", "0.0.0.0:1935", true),
        ("0.0.0.0:1935", "[::1]:1935", false),
        ("127.0.0.1:1935", "127.0.0.1:1936", false),
        ("127.0.0.1:1935", "127.0.0.2:1935", false),
        ("127.0.0.1:0", "127.0.0.1:0", false),
    ] {
        assert_eq!((overlap(at(a), at(b)), overlap(at(b), at(a))), (wanted, wanted), "{a} {b}");
    }
}

#[test]
fn a_disk_that_hangs_is_not_waited_for() {
    let (_answers, waits) = mpsc::channel::<()>();
    assert!(answer(Duration::from_millis(20), move || waits.recv()).is_none());
    assert_eq!(answer(Duration::from_secs(20), || 7), Some(7));
    let fault = can_be_written(Path::new("/"), false).unwrap_err();
    assert_eq!(fault, "its disk does not answer within 2s");
}
