//! The archive's disk hangs, as one does whose cable or storage network is gone: whatever writes to it waits, and cannot be
//! killed. Live goes on, and what was missed is written once the disk is back.
//!
//! A file system on a loop device is frozen, which takes root and a kernel that has loop devices: skipped where the machine
//! does not allow it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use test_support::asked::skipped;
use test_support::{FeedSetup, Ffmpeg, Rungd, Setup, Stopwatch, http, wait_until};

use crate::full_disk::archive;
use crate::low_latency::follow;
use crate::replay::ended_presentation;

/// Between two looks at what is listed.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const DEADLINE: Duration = Duration::from_secs(30);
/// How long the disk hangs: longer than the archive takes to be called behind.
const HANGS: Duration = Duration::from_secs(15);
/// Longest time from one part to the next, of half a second: as much again as a disk that does not answer may cost
/// (`LISTING_WAIT`), and what two busy cores cost.
const WORST_PART: Duration = Duration::from_millis(1500);
/// Likewise for segments of two seconds.
const WORST_SEGMENT: Duration = Duration::from_millis(3500);
/// Longest that a start takes: what it waits for the archive and for the state files, and what busy cores cost.
const START_WITHIN: Duration = Duration::from_secs(9);

/// A file system that can be made to hang.
struct Disk {
    folder: TempDir,
}

impl Disk {
    /// None where this machine does not let us, with the reason.
    fn mount() -> Result<Self, String> {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        let image = this.folder.path().join("image");
        File::create(&image).and_then(|file| file.set_len(256 << 20)).map_err(|error| error.to_string())?;
        fs::create_dir(this.root()).unwrap();
        let (image, root) = (image.to_str().unwrap().to_owned(), this.root().to_str().unwrap().to_owned());
        run("mkfs.ext4", &["-q", "-F", &image])?;
        run("mount", &["-o", "loop", &image, &root])?;
        drop(this.freeze()?);
        Ok(this)
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn freeze(&self) -> Result<Frozen, String> {
        let mut keeper = Command::new("sh")
            .args(["-c", FREEZE])
            .arg(self.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("sh: {error}"))?;
        let mut said = String::new();
        let heard = BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut said);
        let frozen = Frozen(keeper);
        let done = heard.is_ok() && said == "frozen\n";
        done.then_some(frozen).ok_or_else(|| format!("fsfreeze: {}", said.trim_end()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run("umount", &["--lazy", self.root().to_str().unwrap()]);
    }
}

/// Freezes the file system at `$0` until its input ends, which it does whatever becomes of the test: while a file system
/// is frozen, who writes to it cannot be ended, and nor can who waits for that one's end.
const FREEZE: &str = "trap '' INT TERM HUP; fsfreeze --freeze \"$0\" 2>&1 || exit; echo frozen; read -r _; fsfreeze \
                      --unfreeze \"$0\"";

/// A disk that hangs until this is dropped.
struct Frozen(Child);

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output =
        Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("{program}: {}: {said}", output.status))
}

/// The longest time between two things that came.
#[derive(Default)]
struct Gaps {
    count: usize,
    last: Duration,
    longest: Duration,
}

impl Gaps {
    fn seen(&mut self, count: usize, at: Duration) {
        if count > self.count {
            if self.count > 0 {
                self.longest = self.longest.max(at.saturating_sub(self.last));
            }
            (self.count, self.last) = (count, at);
        }
    }
}

fn last_segment(rungd: &Rungd, feed: &str) -> Option<usize> {
    let playlist = http::get(&rungd.url(&format!("/live/{feed}/180p/index.m3u8"))).text();
    let last = playlist.lines().rfind(|line| line.ends_with(".m4s"))?;
    last.rsplit('/').next()?.strip_suffix(".m4s")?.parse().ok()
}

/// Where there can be one.
fn disk() -> Option<Disk> {
    Disk::mount().map_err(|reason| skipped(&format!("no disk is frozen: {reason}"))).ok()
}

/// The same state, on that disk; of a daemon that has stopped.
fn move_onto(disk: &Disk, rungd: Rungd) -> Rungd {
    fs::remove_dir_all(rungd.state_dir()).unwrap();
    symlink(disk.root(), rungd.state_dir()).unwrap();
    rungd.start_again()
}

#[test]
#[ignore = "half a minute: make test-faults"]
fn a_daemon_that_starts_on_a_disk_that_hangs_is_on_air_and_takes_it_in_later() {
    let Some(disk) = disk() else { return };
    let mut rungd = Setup::one_feed("studio").on_fixed_ports().start();
    assert!(rungd.stop().success());
    let mut rungd = move_onto(&disk, rungd);
    let publisher = Ffmpeg::new().publish(&rungd.rtmp_url("studio"), rungd.folder());
    let _ = rungd.wait_for_segments("studio", 3);
    let before = rungd.feed("studio")["presentation"].as_str().unwrap().to_owned();
    rungd.kill();
    drop(publisher);

    let frozen = disk.freeze().unwrap();
    let since = Stopwatch::start();
    rungd = rungd.start_again();
    println!("serves {:?} after its start, on a frozen disk", since.elapsed());
    assert!(since.elapsed() < START_WITHIN, "{:?}", since.elapsed());
    let (ok, detail) = archive(&rungd);
    assert!(!ok && detail.contains("did not answer"), "{detail}");
    let publisher = Ffmpeg::new().publish(&rungd.rtmp_url("studio"), rungd.folder());
    let _ = rungd.wait_for_segments("studio", 2);
    drop(publisher);
    rungd.wait_for_state("studio", DEADLINE, &["idle"]);
    drop(frozen);
    wait_until(DEADLINE, "the archive to be used", || archive(&rungd).0.then_some(()));
    let recording = rungd.url(&format!("/replay/studio/{before}/master.m3u8"));
    assert_eq!(http::get(&recording).status, 200, "what was on air is a recording");
    wait_until(DEADLINE, "the state files to be written", || {
        let written = fs::read_to_string(rungd.state_dir().join("rungd.json")).ok()?;
        written.contains(&rungd.pid().to_string()).then_some(())
    });

    // A stop does what it can without the disk; the process itself is gone when the kernel lets its threads go.
    let frozen = disk.freeze().unwrap();
    let since = Stopwatch::start();
    rungd.signal(Signal::SIGTERM);
    let stopped = || rungd.log().lines().any(|line| line.ends_with(": stopped")).then_some(());
    wait_until(DEADLINE, "the daemon to have stopped", stopped);
    println!("stopped after {:?}, on a frozen disk", since.elapsed());
    drop(frozen);
    assert!(rungd.stop().success());
}

#[test]
#[ignore = "half a minute: make test-faults"]
fn a_disk_that_hangs_stalls_no_feed_and_is_caught_up_with() {
    let Some(disk) = disk() else { return };
    let feed = |name: &str| {
        FeedSetup::new(name).rung("180p", "320x180", "200k").line("segment = \"2s\"").line("grace = \"0s\"")
    };
    let setup =
        Setup::default().feed(feed("calm")).feed(feed("low").line("latency = \"low\"")).feed(feed("late"));
    let mut rungd = setup.start();
    assert!(rungd.stop().success());
    let rungd = move_onto(&disk, rungd);
    let publish = |feed: &str| Ffmpeg::new().publish(&rungd.rtmp_url(feed), rungd.folder());
    let mut publishers = vec![publish("calm"), publish("low")];
    for feed in ["calm", "low"] {
        wait_until(DEADLINE, "two segments", || last_segment(&rungd, feed).filter(|last| *last >= 2));
    }
    let clock = Stopwatch::start();
    let (froze, thawed) = (Duration::from_secs(3), Duration::from_secs(3) + HANGS);
    let ends = thawed + Duration::from_secs(5);
    let (parts, segments) = std::thread::scope(|scope| {
        let parts = scope.spawn(|| {
            let mut gaps = Gaps::default();
            let _ = follow(&rungd, "low", "180p", |parts| {
                gaps.seen(parts.len(), clock.elapsed());
                clock.elapsed() < ends
            });
            gaps
        });
        let segments = scope.spawn(|| {
            let mut gaps = Gaps::default();
            while clock.elapsed() < ends {
                let last = last_segment(&rungd, "calm").expect("a playlist that lists something");
                gaps.seen(last, clock.elapsed());
                assert_eq!(
                    http::get(&rungd.url(&format!("/live/calm/180p/{last}.m4s"))).status,
                    200,
                    "{last}"
                );
                Stopwatch::start().reach(LOOK_EVERY);
            }
            gaps
        });
        clock.reach(froze);
        assert_eq!(rungd.metric("rungd_store_archive_degraded", &[]), Some(0.0));
        let frozen = disk.freeze().unwrap();
        let degraded = || (rungd.metric("rungd_store_archive_degraded", &[]) == Some(1.0)).then_some(());
        wait_until(HANGS, "the archive to be degraded", degraded);
        // A programme that begins meanwhile waits for nothing either.
        publishers.push(publish("late"));
        let began = Stopwatch::start();
        wait_until(HANGS, "a segment of the new programme", || last_segment(&rungd, "late"));
        println!("listed {:?} after its encoder came, on a frozen disk", began.elapsed());
        clock.reach(thawed);
        let waiting = rungd.metric("rungd_store_archive_queue_segments", &[]);
        drop(frozen);
        let since = Stopwatch::start();
        let healed = || (rungd.metric("rungd_store_archive_degraded", &[]) == Some(0.0)).then_some(());
        wait_until(DEADLINE, "the archive to be well again", healed);
        println!("{waiting:?} segments waited, and it was well again {:?} after the disk", since.elapsed());
        (parts.join().unwrap(), segments.join().unwrap())
    });
    println!("longest between parts {:?}, between segments {:?}", parts.longest, segments.longest);
    assert!(parts.count >= 40 && parts.longest <= WORST_PART, "{} parts, {:?}", parts.count, parts.longest);
    assert!(segments.longest <= WORST_SEGMENT, "{:?}", segments.longest);
    // Nothing of it is missing.
    let last = ["calm", "low", "late"].map(|feed| last_segment(&rungd, feed).unwrap());
    drop(publishers);
    let lost = rungd.metric("rungd_store_archive_segments_lost_total", &[]);
    assert!(lost.is_none_or(|lost| lost == 0.0), "{lost:?}");
    for (feed, last) in ["calm", "low", "late"].into_iter().zip(last) {
        let id = ended_presentation(&rungd, feed);
        for number in 1..=last {
            let url = rungd.url(&format!("/replay/{feed}/{id}/180p/{number}.m4s"));
            assert_eq!(http::get(&url).status, 200, "{url}");
        }
    }
}
