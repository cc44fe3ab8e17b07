//! Sound of one format in, sound of another out: the real binary with what the ffmpeg command line encodes and judges.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use media::AudioParams;
use worker_protocol::{Job, SoundJob, ToWorker, VERSION};

use crate::client::{Outcome, Script, Worker, job, opening, rung};
use crate::clip::ffmpeg;
use crate::program;

/// AAC-LC of 48 kHz stereo (ISO/IEC 14496-3, 1.6.2.1).
const STEREO_48K: &[u8] = &[0x11, 0x90];
/// Length of an ADTS header without a checksum (ISO/IEC 14496-3, 1.A.2.2).
const ADTS_BYTES: usize = 7;

/// Coded sound: its record and its raw frames.
struct Sound {
    record: Bytes,
    frames: Vec<Bytes>,
}

/// Makes sound with ffmpeg; its options are a source and an encoder.
fn sound(folder: &Path, arguments: &str) -> Sound {
    let file = ffmpeg(folder, arguments, "sound.aac");
    let mut left = Bytes::from(std::fs::read(file).unwrap());
    // profile_ObjectType, sampling_frequency_index and channel_configuration of the header (1.A.3.2).
    let (index, channels) = (u16::from(left[2] >> 2 & 15), u16::from((left[2] & 1) << 2 | left[3] >> 6));
    let record = (2 << 11 | index << 7 | channels << 3).to_be_bytes();
    let mut frames = Vec::new();
    while !left.is_empty() {
        assert_eq!(left[..2], [0xff, 0xf1], "frame {}", frames.len());
        let length = usize::from(left[3] & 3) << 11 | usize::from(left[4]) << 3 | usize::from(left[5] >> 5);
        frames.push(left.split_to(length).slice(ADTS_BYTES..));
    }
    Sound { record: Bytes::copy_from_slice(&record), frames }
}

/// The messages that convert it to 48 kHz stereo, begun at `start` seconds.
fn script(sound: &Sound, start: f64) -> Script {
    let params = AudioParams::parse(sound.record.clone()).unwrap();
    let job = SoundJob { feed: "test".to_owned(), bit_rate: 128_000 };
    let mut script = vec![
        (ToWorker::Hello { version: VERSION }, Bytes::new()),
        (ToWorker::StartSound(job), Bytes::from_static(STEREO_48K)),
        (ToWorker::SoundConfiguration, sound.record.clone()),
    ];
    for (index, frame) in sound.frames.iter().enumerate() {
        let seconds =
            start + f64::from(u32::try_from(index).unwrap()) * 1024.0 / f64::from(params.sample_rate);
        #[expect(clippy::cast_possible_truncation, reason = "clips of tests are short")]
        let pts_ticks = (seconds * 1000.0).round() as i64 * 90;
        script.push((ToWorker::Sound { pts_ticks }, frame.clone()));
    }
    script.push((ToWorker::Finish, Bytes::new()));
    script
}

fn run(script: Script) -> Outcome {
    Worker::start_as(program(), "sound").run(script)
}

/// Converts a clip, and gives the frames of the track.
fn convert(sound: &Sound, start: f64) -> Vec<(i64, Bytes)> {
    let outcome = run(script(sound, start));
    assert!(outcome.finished, "{:?} {:?} {}", outcome.failed, outcome.status, outcome.stderr);
    assert_eq!(outcome.status.unwrap().code(), Some(0));
    assert_eq!(outcome.stderr, "", "the worker has nothing to complain of");
    let report = outcome.sound_reports.last().expect("a report");
    assert_eq!(report.frames_in, u64::try_from(sound.frames.len()).unwrap());
    assert_eq!(report.decode_errors, 0);
    outcome.sound.expect("it opened")
}

/// What ffmpeg hears of the track's frames: it decodes without a complaint, and is so loud at the mean, in dB of full scale.
fn loudness(folder: &Path, frames: &[(i64, Bytes)]) -> f64 {
    let mut file = Vec::new();
    for (_, frame) in frames {
        let length = u16::try_from(frame.len() + ADTS_BYTES).unwrap();
        // AAC-LC, index 3, two channels, as `STEREO_48K` has it.
        file.extend([0xff, 0xf1, 1 << 6 | 3 << 2, 2 << 6 | u8::try_from(length >> 11).unwrap()]);
        file.extend([
            u8::try_from(length >> 3 & 255).unwrap(),
            u8::try_from((length & 7) << 5).unwrap() | 31,
            0xfc,
        ]);
        file.extend(frame);
    }
    let path = folder.join("converted.aac");
    std::fs::write(&path, file).unwrap();
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-v", "info", "-xerror", "-err_detect", "explode", "-i"])
        .arg(&path)
        .args(["-af", "volumedetect", "-f", "null", "-"])
        .output()
        .expect("ffmpeg runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !text.contains("rror"), "{text}");
    assert!(text.contains("48000 Hz, stereo"), "{text}");
    let mean =
        text.split("mean_volume: ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a loudness");
    mean.parse().unwrap()
}

#[test]
fn mono_of_44_100_and_surround_become_stereo_of_48_000() {
    let folder = tempfile::tempdir().unwrap();
    // A sine of lavfi has an eighth of full scale: -21 dB; on two speakers ffmpeg puts it at -3 dB each.
    for (arguments, level) in [
        ("-f lavfi -i sine=frequency=440:sample_rate=44100:duration=4 -c:a aac -ac 1 -b:a 64k", -21.1),
        (
            "-f lavfi -i sine=frequency=440:sample_rate=48000:duration=4,pan=5.1|c0=c0|c1=c0 -c:a aac -b:a 256k",
            -21.1,
        ),
        ("-f lavfi -i sine=frequency=440:sample_rate=22050:duration=4 -c:a aac -ac 2 -b:a 64k", -24.1),
    ] {
        let sound = sound(folder.path(), arguments);
        let frames = convert(&sound, 7.3);
        let first = frames[0].0;
        assert_eq!(first, 350_208, "the frame of 48 kHz within which 7.3 s are");
        for (index, (position, _)) in frames.iter().enumerate() {
            let due = first + i64::try_from(index).unwrap() * 1024;
            assert!((position - due).abs() <= 96, "{arguments}: frame {index} at {position}, not {due}");
        }
        assert!((186..=192).contains(&frames.len()), "{arguments}: {} frames of 4 s", frames.len());
        let got = loudness(folder.path(), &frames);
        assert!((got - level).abs() < 0.5, "{arguments}: {got} dB, not {level}");
    }
}

#[test]
fn damaged_frames_are_silence_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut sound = sound(
        folder.path(),
        "-f lavfi -i sine=frequency=440:sample_rate=44100:duration=4 -c:a aac -ac 1 -b:a 64k",
    );
    for (index, frame) in sound.frames.iter_mut().enumerate() {
        match index % 12 {
            5 => *frame = Bytes::new(),
            8 => *frame = frame.iter().map(|byte| !byte).collect(),
            11 => *frame = Bytes::from(vec![0xff; 100_000]),
            _ => {}
        }
    }
    let outcome = run(script(&sound, 0.0));
    assert!(outcome.finished, "{:?} {}", outcome.failed, outcome.stderr);
    assert_eq!(outcome.stderr, "", "what a stranger can cause is not logged by the libraries");
    let errors = outcome.sound_reports.last().unwrap().decode_errors;
    assert!((40..=60).contains(&errors), "{errors} of {} frames", sound.frames.len());
    let frames = outcome.sound.unwrap();
    assert!((186..=192).contains(&frames.len()), "{} frames", frames.len());
    let level = loudness(folder.path(), &frames);
    assert!((-25.0..-21.0).contains(&level), "{level} dB");
}

#[test]
fn what_it_cannot_do_is_a_sentence() {
    let failed = |script: Script, words: &str, code: i32| {
        let outcome = run(script);
        let reason = outcome.failed.as_deref().unwrap_or_default();
        assert!(reason.contains(words), "{reason:?}; {}", outcome.stderr);
        assert_eq!(outcome.status.unwrap().code(), Some(code), "{reason}");
    };
    let hello = || (ToWorker::Hello { version: VERSION }, Bytes::new());
    let job = || ToWorker::StartSound(SoundJob { feed: "test".to_owned(), bit_rate: 128_000 });
    failed(vec![(ToWorker::Hello { version: 1 }, Bytes::new())], "version 1", 3);
    failed(
        vec![hello(), (job(), Bytes::from_static(b"\0"))],
        "track's AudioSpecificConfig cannot be read",
        1,
    );
    // HE-AAC.
    failed(vec![hello(), (job(), Bytes::from_static(&[0x2b, 0x11, 0x88, 0]))], "object type 5", 1);
    let start = || vec![hello(), (job(), Bytes::from_static(STEREO_48K))];
    let with = |message: (ToWorker, Bytes)| start().into_iter().chain([message]).collect::<Script>();
    failed(
        with((ToWorker::SoundConfiguration, Bytes::from_static(b"\xff\xff"))),
        "source's AudioSpecific",
        1,
    );
    failed(
        with((ToWorker::Sound { pts_ticks: 0 }, Bytes::new())),
        "Sound came where SoundConfiguration was due",
        3,
    );
    failed(with((ToWorker::FillTo { frame: 1, slate_from: 1 }, Bytes::new())), "FillTo came where sound", 3);

    // Nor does a worker for pictures take sound.
    let pictures: Job = self::job("25", vec![rung("180", 320, 180, 400_000)]);
    let mut script = opening(&pictures);
    script.push((ToWorker::SoundConfiguration, Bytes::new()));
    let outcome = Worker::start(program()).run(script);
    assert!(outcome.failed.unwrap().contains("SoundConfiguration came where media was due"));
}
