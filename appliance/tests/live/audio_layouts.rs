//! Sound passes through as it came, whatever it is; and feeds without sound, or without a picture, work.

use test_support::mpd::Track;
use test_support::{Ffmpeg, Setup};

use crate::output;

/// AAC frames of this many samples (ISO/IEC 14496-3, 4.5.1.1).
const AAC_FRAME: u32 = 1024;

fn audio(feed: &str, sound: &str, encoder: &str) -> Track {
    let mut rungd = Setup::one_feed(feed).start();
    let _publisher = Ffmpeg::new()
        .picture("testsrc2=size=160x90:rate=15")
        .sound(sound)
        .audio_encoder(encoder)
        .publish(&rungd.rtmp_url(feed), rungd.folder());
    let manifest = rungd.wait_for_segments(feed, 4);
    let tracks = output::check(&rungd, &manifest);
    let track = manifest.audio().next().expect("a track of sound").clone();
    let got = &tracks[&track.id];
    assert_eq!(got.init.coding, "mp4a");
    for (listed, segment) in &got.segments {
        for sample in segment.samples() {
            assert_eq!(sample.duration, AAC_FRAME, "segment {}", listed.number);
        }
    }
    track
}

/// `AudioChannelConfiguration@value` of the manifest's sound.
fn channels(track: &Track, manifest: &str) -> String {
    let set = manifest.find(&format!("id=\"{}\"", track.id)).map_or(0, |at| at);
    let near =
        manifest.find("AudioChannelConfiguration").expect("the manifest says how many channels there are");
    assert!(near.abs_diff(set) < 2000);
    manifest[near..].split("value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned()
}

#[test]
fn mono_at_44_100() {
    let track = audio("mono", "sine=frequency=440:sample_rate=44100", "-c:a aac -b:a 48k -ac 1");
    assert_eq!(track.timescale, 44_100);
    assert_eq!(track.codecs, "mp4a.40.2");
}

#[test]
fn stereo_at_48_000() {
    let track = audio("stereo", "sine=frequency=440:sample_rate=48000", "-c:a aac -b:a 64k -ac 2");
    assert_eq!(track.timescale, 48_000);
}

#[test]
fn five_point_one() {
    let mut rungd = Setup::one_feed("surround").start();
    let _publisher = Ffmpeg::new()
        .picture("testsrc2=size=160x90:rate=15")
        .sound("anoisesrc=amplitude=0.2:sample_rate=48000,pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0")
        .audio_encoder("-c:a aac -b:a 256k")
        .publish(&rungd.rtmp_url("surround"), rungd.folder());
    let manifest = rungd.wait_for_segments("surround", 3);
    output::check(&rungd, &manifest);
    let track = manifest.audio().next().expect("a track of sound");
    assert_eq!(channels(track, &manifest.text), "6");
    assert_eq!(rungd.feed("surround")["source"]["channels"], 6);
}

#[test]
fn sound_alone() {
    let mut rungd = Setup::one_feed("radio").start();
    let _publisher = Ffmpeg::new().without_picture().publish(&rungd.rtmp_url("radio"), rungd.folder());
    let manifest = rungd.wait_for_segments("radio", 4);
    output::check(&rungd, &manifest);
    assert_eq!(manifest.video().count(), 0, "{}", manifest.text);
    assert_eq!(manifest.audio().count(), 1, "{}", manifest.text);
}

#[test]
fn picture_alone() {
    let mut rungd = Setup::one_feed("silent").start();
    let _publisher = Ffmpeg::new().without_sound().publish(&rungd.rtmp_url("silent"), rungd.folder());
    let manifest = rungd.wait_for_segments("silent", 4);
    output::check(&rungd, &manifest);
    assert_eq!(manifest.audio().count(), 0, "{}", manifest.text);
    assert_eq!(manifest.video().count(), 2, "{}", manifest.text);
}
