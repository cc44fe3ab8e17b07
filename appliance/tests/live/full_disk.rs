//! A disk that filled up, or turned read-only: a daemon that is killed then comes back on air.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use test_support::{Ffmpeg, Manifest, Rungd, Setup, SmallDisk, http, wait_until};

const DEADLINE: Duration = Duration::from_secs(40);

/// What `/readyz` says of the archive: whether all is well, and how it is.
pub(crate) fn archive(rungd: &Rungd) -> (bool, String) {
    let answer = http::request("GET", &rungd.url("/readyz"), &[]).unwrap();
    assert_eq!(answer.status, 200, "live goes on, so nobody is to be sent elsewhere: {}", answer.text());
    let checks = answer.json()["checks"].clone();
    let checks = checks.as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "archive");
    let check = check.unwrap_or_else(|| panic!("nothing of the archive in {checks:?}"));
    (check["ok"] == true, check["detail"].as_str().unwrap().to_owned())
}

#[test]
fn a_daemon_that_is_killed_on_a_full_disk_comes_back_on_air_and_heals() {
    let mut rungd = Setup::one_feed("studio").on_fixed_ports().start();
    let publisher = Ffmpeg::new().publish(&rungd.rtmp_url("studio"), rungd.folder());
    let before = rungd.wait_for_segments("studio", 2);
    // One that was slow for a moment lists segments that it does not have yet.
    wait_until(DEADLINE, "the archive to have all", || {
        (archive(&rungd) == (true, "segments are written".to_owned())).then_some(())
    });
    rungd.kill();
    drop(publisher);

    // The same state, on a disk that has no room for anything more.
    let (state, kept) = (rungd.state_dir(), rungd.folder().join("kept"));
    fs::rename(&state, &kept).unwrap();
    fs::create_dir(&state).unwrap();
    let Some(disk) = SmallDisk::mount(&state, 64) else { return };
    let copied = Command::new("cp").arg("-a").arg(kept.join(".")).arg(&state).status();
    assert!(copied.unwrap().success());
    let filling = disk.fill();
    let mut rungd = rungd.start_again();
    let publisher = Ffmpeg::new().publish(&rungd.rtmp_url("studio"), rungd.folder());
    wait_until(DEADLINE, "it to be on air again", || {
        let manifest = Manifest::fetch(&rungd.mpd_url("studio"))?;
        let again = manifest.availability_start != before.availability_start;
        (again && manifest.dynamic && manifest.fewest_segments() >= 2).then_some(())
    });
    let (ok, detail) = archive(&rungd);
    assert!(!ok && (detail.contains("full") || detail.contains("No space left")), "{detail}");
    let degraded = rungd.metric("rungd_store_archive_degraded", &[]);
    assert_eq!(degraded, Some(1.0));

    fs::remove_file(filling).unwrap();
    wait_until(DEADLINE, "the state files to be written", || {
        let written: Value = serde_json::from_slice(&fs::read(state.join("rungd.json")).ok()?).ok()?;
        (written["pid"].as_u64() == Some(rungd.pid().into())).then_some(())
    });
    wait_until(DEADLINE, "the archive to have all that is on air", || archive(&rungd).0.then_some(()));
    drop(publisher);
    assert!(rungd.stop().success());
    drop(disk);
}
