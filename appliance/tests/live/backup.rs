//! A backup encoder stands in for a primary within a second, and gives back by policy.

use std::time::Duration;

use nix::sys::signal::Signal;
use test_support::rungd::key_hash;
use test_support::{FeedSetup, Ffmpeg, Manifest, Process, Rungd, Setup, Stopwatch, wait_until};

use crate::output;

const DEADLINE: Duration = Duration::from_secs(40);
/// From the primary's last picture to the backup's first, as the issue has it; and what it takes to see that from outside.
const TAKEOVER: Duration = Duration::from_secs(1);
const LOOKING: Duration = Duration::from_millis(600);
const BACKUP_KEY: &str = "secret-of-the-backup-0123456789";

fn setup(policy: &str) -> Setup {
    let hash = key_hash(BACKUP_KEY);
    let feed = FeedSetup::new("studio-b")
        .line("grace = \"30s\"")
        .line("takeover = \"same-key\"")
        .line(&format!("backup_keys = [\"{hash}\"]"))
        .line(&format!("backup_return = \"{policy}\""));
    Setup::default().feed(feed)
}

/// Grounds that differ from each other, so that it can be told whose is seen, and from black and the slate, which is dark
/// (`GROUND` in the worker's `slate.rs`).
fn primary(rungd: &Rungd) -> Process {
    Ffmpeg::new()
        .picture("color=0xB0B0B0:size=320x180:rate=15")
        .publish(&rungd.rtmp_url("studio-b"), rungd.folder())
}

fn backup(rungd: &Rungd) -> Process {
    let url = format!("rtmp://{}/live/{BACKUP_KEY}", rungd.rtmp);
    // Another size and rate, as of a spare.
    Ffmpeg::new().picture("color=white:size=426x240:rate=25").publish(&url, rungd.folder())
}

/// Who is on air, by its address.
fn on_air(rungd: &Rungd) -> String {
    rungd.feed("studio-b")["publisher"]["address"].as_str().unwrap_or_default().to_owned()
}

/// The programme goes on by so many segments.
fn goes_on(rungd: &Rungd, more: usize) {
    let before = Manifest::fetch(&rungd.mpd_url("studio-b")).unwrap();
    let _ = rungd.wait_for_more("studio-b", &before, more);
}

#[test]
fn the_backup_takes_over_within_a_second_and_gives_back() {
    let mut takeovers = Vec::new();
    for (policy, gives_back) in [("at-once", true), ("when-backup-ends", false)] {
        let mut rungd = setup(policy).start();
        let mut first = primary(&rungd);
        let before = rungd.wait_for_segments("studio-b", 2);
        let first_address = on_air(&rungd);
        let mut spare = backup(&rungd);
        // It is admitted beside the primary, and not on air.
        wait_until(DEADLINE, "the backup to be there", || rungd.log().contains("role=Backup").then_some(()));
        goes_on(&rungd, 2);
        assert_eq!(on_air(&rungd), first_address, "{policy}");

        // Silent without a word, as when its network goes; its socket stays open.
        first.signal(Signal::SIGSTOP);
        let since = Stopwatch::start();
        wait_until(DEADLINE, "the backup to be on air", || {
            let now = on_air(&rungd);
            (!now.is_empty() && now != first_address).then_some(())
        });
        let took = since.elapsed();
        println!("{policy}: the backup was seen on air after {took:?}");
        takeovers.push(took);
        let backup_address = on_air(&rungd);
        goes_on(&rungd, 3);
        first.signal(Signal::SIGKILL);
        let _ = first.wait(DEADLINE);

        let mut second = primary(&rungd);
        wait_until(DEADLINE, "the primary to be there again", || {
            (rungd.log().matches("role=Primary").count() == 2).then_some(())
        });
        if !gives_back {
            goes_on(&rungd, 4);
            assert_eq!(on_air(&rungd), backup_address, "{policy}");
            assert!(spare.is_running(), "{policy}: {}", rungd.log());
            spare.signal(Signal::SIGKILL);
        }
        wait_until(DEADLINE, "the primary to be on air again", || {
            let now = on_air(&rungd);
            (!now.is_empty() && now != backup_address).then_some(())
        });
        goes_on(&rungd, 3);
        assert!(second.is_running(), "{policy}: {}", rungd.log());
        assert!(!gives_back || spare.is_running(), "{policy}: {}", rungd.log());
        let after = Manifest::fetch(&rungd.mpd_url("studio-b")).unwrap();
        assert_eq!(before.availability_start, after.availability_start, "{policy}");
        let tracks = output::check(&rungd, &after);

        // What was seen: the primary, the backup and the primary again, and no slate in between: the stand-in comes before
        // the slate does.
        let video = &tracks["180p"];
        let file = test_support::media_check::save(video, rungd.folder(), "seen");
        let seen = test_support::media_check::brightness(video, &file);
        let dark = seen.iter().filter(|(_, level)| *level < 120).count();
        assert_eq!(dark, 0, "{policy}: pictures of the slate, or of nobody: {seen:?}");
        let mut scenes: Vec<u8> = seen.iter().map(|(_, level)| u8::from(*level > 215)).collect();
        scenes.dedup();
        assert_eq!(scenes, [0, 1, 0], "{policy}: {seen:?}");
        let neither = |level: &u8| !(160..=192).contains(level) && *level < 240;
        let neither = seen.iter().filter(|(_, level)| neither(level)).count();
        assert!(neither <= 2, "{policy}: {neither} pictures are neither: {seen:?}");
    }
    // A busy machine looks late, which the pictures above do not: after a second of silence comes the slate.
    let quickest = takeovers.iter().min().unwrap();
    assert!(*quickest <= TAKEOVER + LOOKING, "it took over after {takeovers:?}");
}
