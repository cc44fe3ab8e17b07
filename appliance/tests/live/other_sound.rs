//! An encoder comes back with sound of another format than the programme's: it is heard, and where it was.

use std::ops::Range;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_support::mpd::Fetched;
use test_support::{FeedSetup, Ffmpeg, Manifest, Rungd, Setup, media_check, wait_until};

use crate::output;

const DEADLINE: Duration = Duration::from_secs(40);
const FEED: &str = "studio-s";
/// The product's bound, in milliseconds.
const BOUND_MILLIS: f64 = 40.0;

/// White for 0.2 s and a beep of 0.2 s, every second.
fn flash_and_beep(sample_rate: u32, encoder: &str) -> Ffmpeg {
    Ffmpeg::new()
        .picture("color=c=black:size=160x90:rate=25,drawbox=c=white:t=fill:enable='lt(mod(t,1),0.2)'")
        .sound(&format!("aevalsrc='if(lt(mod(t,1),0.2),0.6*sin(2*PI*1000*t),0)':s={sample_rate}"))
        .video_encoder("-c:v libx264 -preset ultrafast -bf 2 -pix_fmt yuv420p -g 50")
        .audio_encoder(encoder)
}

/// How far every track of the programme has come by now, in seconds.
fn end(manifest: &Manifest) -> f64 {
    let ends = manifest.tracks.iter().filter_map(|track| {
        let last = track.segments.last()?;
        let ticks = u32::try_from(last.start + last.duration).ok()?;
        Some(f64::from(ticks) / f64::from(u32::try_from(track.timescale).ok()?))
    });
    ends.fold(f64::MAX, f64::min)
}

/// Waits for so many seconds more of the programme.
fn play(rungd: &Rungd, seconds: f64) -> f64 {
    let fetch = || Manifest::fetch(&rungd.mpd_url(FEED));
    let before = fetch().map_or(0.0, |manifest| end(&manifest));
    wait_until(DEADLINE, "the programme to go on", || {
        fetch().map(|manifest| end(&manifest)).filter(|end| *end >= before + seconds)
    })
}

fn wait_for_conversion(rungd: &Rungd, converted: bool) {
    wait_until(DEADLINE, "the feed to say how its sound is", || {
        let feed = rungd.feed(FEED);
        (feed["state"] == "live" && feed["source"]["sound_converted"] == converted).then_some(())
    });
}

/// The process that converts sound.
fn sound_worker(rungd: &Rungd) -> Option<Pid> {
    // Each thread names its own children.
    let threads = std::fs::read_dir(format!("/proc/{}/task", rungd.pid())).ok()?;
    let all: String = threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .collect();
    all.split_whitespace().find_map(|pid| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        line.contains("\0sound\0").then(|| Pid::from_raw(pid.parse().ok()?).into())?
    })
}

/// Offsets of the beeps from their flashes within a part of the programme, in milliseconds. A beep may be just outside of it.
fn offsets(rungd: &Rungd, tracks: (&Fetched, &Fetched), part: &Range<f64>) -> Vec<f64> {
    let (video, audio) = tracks;
    let mut flashes = media_check::flashes(video, &media_check::save(video, rungd.folder(), "flash"));
    flashes.retain(|time| part.contains(time));
    let beeps = media_check::beeps(audio, &media_check::save(audio, rungd.folder(), "beep"));
    let offsets = media_check::sound_after_picture(&flashes, &beeps);
    println!("{part:?}: {} flashes, {offsets:.1?} ms", flashes.len());
    for offset in &offsets {
        assert!(offset.abs() < BOUND_MILLIS, "{offsets:?} ms; flashes at {flashes:?}, beeps at {beeps:?}");
    }
    offsets
}

#[test]
fn it_is_heard_in_time_and_the_own_sound_comes_back() {
    let feed = FeedSetup::new(FEED)
        .rung("90p", "160x90", "80k")
        .line("grace = \"30s\"")
        .line("takeover = \"same-key\"")
        .line("window = \"5m\"");
    let mut rungd = Setup::default().feed(feed).start();
    let publish = |rungd: &Rungd, sound: Ffmpeg| sound.publish(&rungd.rtmp_url(FEED), rungd.folder());
    let stereo = || flash_and_beep(48_000, "-c:a aac -b:a 64k -ac 2");
    let first = publish(&rungd, stereo());
    let published = end(&rungd.wait_for_segments(FEED, 4));
    first.signal(Signal::SIGKILL);
    let _ = rungd.wait_for_state(FEED, DEADLINE, &["slate"]);

    let mut mono = publish(&rungd, flash_and_beep(44_100, "-c:a aac -b:a 64k -ac 1"));
    wait_for_conversion(&rungd, true);
    let begun = play(&rungd, 0.1);
    let problem = rungd.feed(FEED)["problem"].as_str().unwrap_or_default().to_owned();
    let said = "the encoder's sound is AAC-LC of 44100 Hz and 1 channel where the programme's is AAC-LC of 48000 Hz and 2 \
                channels: it is converted";
    assert_eq!(problem, said);
    assert_eq!(rungd.metric("rungd_feed_sound_converted", &[]), Some(1.0));
    assert_eq!(
        rungd.metric("rungd_feed_source_warnings_total", &["rule=\"audio_converted\""]),
        Some(1.0),
        "the operator is told once"
    );
    let struck = play(&rungd, 5.0);
    let worker = wait_until(DEADLINE, "a worker for sound", || sound_worker(&rungd));
    kill(worker, Signal::SIGKILL).unwrap();
    let again = wait_until(DEADLINE, "another worker for sound", || {
        sound_worker(&rungd).filter(|next| *next != worker)
    });
    let mended = play(&rungd, 2.5);
    let converted = play(&rungd, 3.0);
    assert_eq!(sound_worker(&rungd), Some(again));
    assert!(mono.is_running(), "{}", mono.log());

    // The first encoder takes over, as its operator has it connect again.
    let mut own = publish(&rungd, stereo());
    wait_for_conversion(&rungd, false);
    let own_from = play(&rungd, 2.0);
    let own_to = play(&rungd, 3.0);
    assert!(own.is_running(), "{}", own.log());
    assert_eq!(sound_worker(&rungd), None);
    own.terminate(DEADLINE);

    let manifest = Manifest::fetch(&rungd.mpd_url(FEED)).unwrap();
    let tracks = output::check(&rungd, &manifest);
    let video = manifest.video().next().unwrap();
    let (video, audio) = (&tracks[&video.id], &tracks["audio"]);
    assert_eq!(audio.init.timescale, 48_000);
    for (part, least) in [
        (0.0..published, 2),
        // Of what is converted: before its worker's death, and behind it.
        (begun + 0.5..struck, 4),
        (mended..converted - 1.0, 2),
        (own_from..own_to, 2),
    ] {
        let offsets = offsets(&rungd, (video, audio), &part);
        assert!(offsets.len() >= least, "{} pairs within {part:?}", offsets.len());
    }
    assert_eq!(rungd.metric("rungd_worker_ends_total", &["reason=\"signalled\""]), Some(1.0));
    assert_eq!(rungd.metric("rungd_feed_sound_decode_errors_total", &[]), Some(0.0));
}
