//! Sound and picture stay together: a flash and a beep at the same time in the source are so in the output, at the
//! start and after two minutes.

use std::time::Duration;

use test_support::{FeedSetup, Ffmpeg, Manifest, Rungd, Setup, media_check};

/// The product's bound, in milliseconds.
const BOUND_MILLIS: f64 = 40.0;

/// White for 0.2 s and a beep of 0.2 s, every 2 s.
fn flash_and_beep(rate: &str) -> Ffmpeg {
    Ffmpeg::new()
        .picture(&format!(
            "color=c=black:size=160x90:rate={rate},drawbox=c=white:t=fill:enable='lt(mod(t,2),0.2)'"
        ))
        .sound("aevalsrc='if(lt(mod(t,2),0.2),0.6*sin(2*PI*1000*t),0)':s=48000")
        .video_encoder("-c:v libx264 -preset ultrafast -bf 2 -pix_fmt yuv420p -g 50")
}

fn offsets(rungd: &Rungd, manifest: &Manifest) -> Vec<f64> {
    let video = manifest.video().next().unwrap().fetch();
    let audio = manifest.audio().next().unwrap().fetch();
    let flashes = media_check::flashes(&video, &media_check::save(&video, rungd.folder(), "flash"));
    let beeps = media_check::beeps(&audio, &media_check::save(&audio, rungd.folder(), "beep"));
    let offsets = media_check::sound_after_picture(&flashes, &beeps);
    assert!(offsets.len() >= 3, "too few pairs: flashes at {flashes:?}, beeps at {beeps:?}");
    for offset in &offsets {
        assert!(offset.abs() < BOUND_MILLIS, "{offsets:?} ms; flashes at {flashes:?}, beeps at {beeps:?}");
    }
    offsets
}

#[test]
fn at_the_start_and_after_two_minutes() {
    let feed =
        FeedSetup::new("sync").rung("90p", "160x90", "80k").line("segment = \"2s\"").line("window = \"20s\"");
    let mut rungd = Setup::default().feed(feed).start();
    let _publisher = flash_and_beep("25").publish(&rungd.rtmp_url("sync"), rungd.folder());
    let start = rungd.wait_for_segments("sync", 5);
    let early = offsets(&rungd, &start);
    let two_minutes = Duration::from_secs(150);
    let late = test_support::wait_until(two_minutes, "segment 62 to be listed", || {
        let manifest = Manifest::fetch(&rungd.mpd_url("sync"))?;
        manifest.tracks.iter().all(|t| t.segments.last().is_some_and(|s| s.number >= 62)).then_some(manifest)
    });
    let late = offsets(&rungd, &late);
    let drift = late.first().unwrap() - early.first().unwrap();
    assert!(drift.abs() < 25.0, "{drift} ms of drift in two minutes: {early:?}, {late:?}");
    // A window of 20 s, and what segments it cuts across: what is older is neither listed nor kept in memory.
    let manifest = Manifest::fetch(&rungd.mpd_url("sync")).unwrap();
    for track in &manifest.tracks {
        assert!(track.listed() <= Duration::from_secs(24), "{} lists {:?}", track.id, track.listed());
    }
    let kept = rungd.metric("rungd_store_memory_segments", &[]).expect("the store counts its segments");
    assert!(kept <= 2.0 * 14.0, "{kept} segments of 2 tracks are in memory");
}

#[test]
fn at_29_97_frames_a_second() {
    let feed = FeedSetup::new("ntsc").rung("90p", "160x90", "80k");
    let mut rungd = Setup::default().feed(feed).start();
    let _publisher = flash_and_beep("30000/1001").publish(&rungd.rtmps_url("ntsc"), rungd.folder());
    let manifest = rungd.wait_for_segments("ntsc", 9);
    offsets(&rungd, &manifest);
}
