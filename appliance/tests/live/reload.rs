//! SIGHUP: what may change while the daemon runs comes into force, all of it or nothing; and what an operator is told.

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use test_support::rungd::make_certificate;
use test_support::{FeedSetup, Rungd, Setup, http, wait_until};

const DEADLINE: Duration = Duration::from_secs(10);

fn feeds(rungd: &Rungd) -> Vec<String> {
    let answer = http::get(&rungd.url("/api/v1/feeds")).json();
    answer.as_array().unwrap().iter().map(|feed| feed["name"].as_str().unwrap().to_owned()).collect()
}

/// The log's lines, each of which is an object.
fn lines(rungd: &Rungd) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON ({e}): {line}"));
    rungd.log().lines().map(parse).collect()
}

fn logged(rungd: &Rungd, message: &str) -> Vec<Value> {
    lines(rungd).into_iter().filter(|line| line["message"] == message).collect()
}

#[test]
fn a_good_file_comes_into_force_and_a_faulty_one_changes_nothing() {
    let rungd = Setup::one_feed("studio-a")
        .feed(FeedSetup::new("studio-b"))
        .section("[log]\nformat = \"json\"")
        .start();
    let path = rungd.folder().join("rungd.toml");
    let before = fs::read_to_string(&path).unwrap();
    let (kept, removed) = before.split_at(before.find("[ladder.for-studio-b]").unwrap());
    let reload = |text: &str| {
        fs::write(&path, text).unwrap();
        rungd.signal(Signal::SIGHUP);
    };

    let shown = |feed: &str| rungd.metric("rungd_feed_on_air", &[&format!("feed=\"{feed}\"")]).is_some();
    wait_until(DEADLINE, "both feeds' series", || (shown("studio-a") && shown("studio-b")).then_some(()));

    // A feed is taken out, and another one put in.
    reload(&format!("{kept}{}", removed.replace("studio-b", "studio-c")));
    wait_until(DEADLINE, "the feeds of the new file", || {
        (feeds(&rungd) == ["studio-a", "studio-c"]).then_some(())
    });
    wait_until(DEADLINE, "a line that says so", || {
        (logged(&rungd, "configuration reloaded").len() == 1).then_some(())
    });
    // What is counted of a feed goes with it.
    wait_until(DEADLINE, "the removed feed's series to go", || {
        (shown("studio-a") && !shown("studio-b") && shown("studio-c")).then_some(())
    });

    // Two faults, and a feed less.
    let refused = "configuration not reloaded; the one in force stays";
    reload(&kept.replace("segment = \"1s\"", "segment = \"1 fortnight\"\nsnooze = true"));
    let told =
        wait_until(DEADLINE, "the faulty file to be refused", || logged(&rungd, refused).into_iter().next());
    assert_eq!(told["faults"], 2, "{told}");
    let faults = logged(&rungd, "fault in the configuration");
    let text: Vec<&str> = faults.iter().map(|line| line["fault"].as_str().unwrap()).collect();
    assert_eq!(text.len(), 2, "{text:#?}");
    assert!(text[0].contains("feed.studio-a.segment") && text[0].contains("fortnight"), "{text:#?}");
    assert!(text[1].contains("feed.studio-a.snooze"), "{text:#?}");
    reload("this is = = no TOML\n");
    wait_until(DEADLINE, "what is no TOML to be refused", || {
        (logged(&rungd, refused).len() == 2).then_some(())
    });
    assert_eq!(feeds(&rungd), ["studio-a", "studio-c"]);
    let levels: Vec<_> = logged(&rungd, refused).iter().map(|line| line["level"].clone()).collect();
    assert_eq!(levels, ["ERROR", "ERROR"]);
}

#[test]
fn https_is_served_by_the_certificate_of_the_moment() {
    // What follows the section of the test's own stands in [http].
    let files = "tls_certificate = \"certificate.pem\"\ntls_key = \"key.pem\"";
    let rungd = Setup::one_feed("studio-a").section(files).start();
    let ask = |certificate: &str| -> Output {
        Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "5", "--write-out", "%{http_version}"])
            .arg("--cacert")
            .arg(rungd.folder().join(certificate))
            .arg(format!("https://localhost:{}/healthz", rungd.http.port()))
            .args(["--resolve", &format!("localhost:{}:127.0.0.1", rungd.http.port())])
            .output()
            .expect("curl runs; make deps installs it")
    };
    let first = ask("certificate.pem");
    let text = String::from_utf8_lossy(&first.stdout);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    assert!(text.ends_with('2'), "HTTP/2 is agreed on: {text}");

    fs::copy(rungd.folder().join("certificate.pem"), rungd.folder().join("old.pem")).unwrap();
    make_certificate(rungd.folder());
    rungd.signal(Signal::SIGHUP);
    wait_until(DEADLINE, "the new certificate to be served", || {
        ask("certificate.pem").status.success().then_some(())
    });
    assert!(!ask("old.pem").status.success(), "the old certificate is served still");
    // One for publishers, one for viewers.
    wait_until(DEADLINE, "both to be told", || {
        (rungd.log().matches("certificate reloaded").count() == 2).then_some(())
    });
}
