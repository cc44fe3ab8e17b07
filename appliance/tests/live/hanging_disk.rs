//! The disk hangs when the daemon starts, and when it stops: live waits for it no longer than a moment, and a stop not at
//! all. What came on air meanwhile is archived once the disk answers, and outlives the daemon from then on.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use nix::sys::stat::Mode;
use test_support::mpd::ListedSegment;
use test_support::{FeedSetup, Ffmpeg, Manifest, Rungd, Setup, Stopwatch, http, wait_until};

use crate::full_disk::archive;
use crate::operator_end::end;
use crate::output;
use crate::replay::ended_presentation;

const DEADLINE: Duration = Duration::from_secs(20);
/// Longest that a start takes: what it waits for the disk, and what a busy machine costs.
const START_WITHIN: Duration = Duration::from_secs(9);
/// Longest that a stop takes with nothing on air.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Who opens a pipe waits for its other end, as who opens a file on a disk that hangs waits for the disk.
fn hang(path: &Path) {
    let _ = fs::remove_file(path);
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
}

fn status(rungd: &Rungd, path: &str) -> u16 {
    http::request("GET", &rungd.url(path), &[]).unwrap().status
}

fn stop_in_time(rungd: &mut Rungd) {
    let since = Stopwatch::start();
    assert!(rungd.stop().success());
    assert!(since.elapsed() < STOP_WITHIN, "stopped after {:?}", since.elapsed());
}

#[test]
fn a_daemon_starts_and_stops_on_a_disk_that_hangs_and_takes_it_in_when_it_answers() {
    let feed = FeedSetup::new("studio").line("grace = \"30s\"");
    let mut rungd = Setup::default().feed(feed).start();
    let publisher = Ffmpeg::new().publish(&rungd.rtmp_url("studio"), rungd.folder());
    let _ = rungd.wait_for_segments("studio", 2);
    assert!(end(&rungd, "studio").status.success());
    drop(publisher);
    let id = ended_presentation(&rungd, "studio");
    let recording = format!("/replay/studio/{id}/manifest.mpd");
    stop_in_time(&mut rungd);

    let lock = rungd.state_dir().join("catalogue.lock");
    hang(&lock);
    let since = Stopwatch::start();
    let mut rungd = rungd.start_again();
    assert!(since.elapsed() < START_WITHIN, "serves after {:?}", since.elapsed());
    stop_in_time(&mut rungd);

    let mut rungd = rungd.start_again();
    let (ok, detail) = archive(&rungd);
    assert!(!ok && detail.contains("did not answer"), "{detail}");
    assert_eq!(rungd.metric("rungd_store_archive_degraded", &[]), Some(1.0));
    assert_eq!(status(&rungd, &recording), 503, "nobody knows yet whether there is one");
    let publisher = Ffmpeg::new().publish(&rungd.rtmp_url("studio"), rungd.folder());
    let unkept = rungd.wait_for_segments("studio", 1);

    drop(File::open(&lock).unwrap());
    wait_until(DEADLINE, "the archive to be used", || archive(&rungd).0.then_some(()));
    assert_eq!(rungd.metric("rungd_store_archive_degraded", &[]), Some(0.0));
    assert_eq!(status(&rungd, &recording), 200);
    // What is on air is in it, and whoever starts next goes on with it.
    let listed = rungd.wait_for_more("studio", &Manifest::fetch(&rungd.mpd_url("studio")).unwrap(), 1);
    let on_air = rungd.feed("studio")["presentation"].as_str().unwrap().to_owned();
    rungd.kill();
    drop(publisher);
    fs::remove_file(&lock).unwrap();
    let mut rungd = rungd.start_again();
    let publisher = Ffmpeg::new().publish(&rungd.rtmp_url("studio"), rungd.folder());
    rungd.wait_for_state("studio", DEADLINE, &["live"]);
    assert_eq!(rungd.feed("studio")["presentation"], on_air);
    let again = rungd.wait_for_segments("studio", 1);
    assert_eq!(again.availability_start, unkept.availability_start);
    let _ = rungd.wait_for_more("studio", &again, 1);
    assert!(end(&rungd, "studio").status.success());
    drop(publisher);
    let replay = wait_until(DEADLINE, "the replay", || {
        Manifest::fetch(&rungd.url(&format!("/replay/studio/{on_air}/manifest.mpd"))).filter(|it| !it.dynamic)
    });
    output::check(&rungd, &replay);
    for track in &listed.tracks {
        let kept = &replay.tracks.iter().find(|kept| kept.id == track.id).unwrap().segments;
        assert_eq!(kept[0].number, 1, "{}: all of it was in memory", track.id);
        assert!(kept.len() > track.segments.len(), "{}: the next daemon went on", track.id);
        for (kept, listed) in kept.iter().zip(&track.segments) {
            let times = |segment: &ListedSegment| (segment.number, segment.start, segment.duration);
            assert_eq!(times(kept), times(listed), "{}: what viewers saw listed", track.id);
        }
    }
    // A viewer's read of a disk that hangs: it is given up, but never comes back.
    hang(&rungd.state_dir().join(format!("archive/studio/{id}/180p/00000001.m4s")));
    let read = http::request("GET", &rungd.url(&format!("/replay/studio/{id}/180p/1.m4s")), &[]);
    assert!(!read.is_ok_and(|answer| answer.status == 200 && !answer.body.is_empty()));
    stop_in_time(&mut rungd);
}
