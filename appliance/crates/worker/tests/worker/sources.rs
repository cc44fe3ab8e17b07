//! Whatever comes in, 8-bit 4:2:0 goes out, upright and in its own shape.

use std::path::Path;

use media::{Rung, Size};
use worker_protocol::Report;

use crate::client::{Outcome, job, rung};
use crate::clip::{Clip, ffmpeg};
use crate::{output, transcode};

/// Encodes the test picture with `encoder`, sends it, checks the output, and gives the worst PSNR of the first rung
/// against the same picture through `filters`.
fn quality(folder: &Path, source: &str, filters: &str, first: Rung) -> (f64, Report) {
    let job = job("25", vec![first, rung("small", 160, 90, 200_000)]);
    let path = ffmpeg(folder, source, "source.mp4");
    let outcome = transcode(&job, Clip::read(&path).script(0));
    output::check(folder, &job, &outcome, 50);
    let (w, h) = (
        usize::try_from(job.rungs[0].rung.size.width).unwrap(),
        usize::try_from(job.rungs[0].rung.size.height).unwrap(),
    );
    let reference = output::pictures(&path, filters, w, h);
    let worst = output::worst_psnr(folder, &job.rungs[0].rung, &outcome.rungs[0], &reference);
    (worst, outcome.last_report().clone())
}

fn assert_quality(source: &str, filters: &str, first: Rung) {
    let folder = tempfile::tempdir().unwrap();
    let (worst, report) = quality(folder.path(), source, filters, first);
    assert!(worst > 30.0, "{source}: {worst:.1} dB");
    assert_eq!(report.decode_errors, 0, "{source}");
}

const PICTURE: &str = "-f lavfi -i testsrc=s=640x360:r=25:d=2,format=yuv444p -vf";
const TO_709: &str = "scale=in_color_matrix=bt601:out_color_matrix=bt709:in_range=pc:out_range=tv";

fn big() -> Rung {
    rung("big", 640, 360, 3_000_000)
}

#[test]
fn ten_bits_and_4_2_2_become_eight_and_4_2_0() {
    let tags = "setparams=colorspace=bt709:range=tv";
    let source = format!("{PICTURE} format=yuv422p10,{tags} -c:v libx264 -profile:v high422 -crf 10");
    assert_quality(&source, "null", big());
}

#[test]
fn hevc_is_decoded() {
    let source = format!(
        "{PICTURE} format=yuv420p10 -c:v libx265 -x265-params log-level=none:crf=10 -colorspace bt709"
    );
    assert_quality(&source, "null", big());
}

#[test]
fn av1_is_decoded() {
    let source = format!(
        "{PICTURE} format=yuv420p -c:v libaom-av1 -cpu-used 8 -row-mt 1 -crf 10 -b:v 0 -colorspace bt709"
    );
    assert_quality(&source, "null", big());
}

#[test]
fn full_range_601_becomes_limited_range_709() {
    let tags = "scale=out_range=pc,format=yuv420p,setparams=colorspace=smpte170m:range=pc";
    let source = format!("{PICTURE} {tags} -c:v libx264 -crf 10 -color_range pc -colorspace smpte170m");
    assert_quality(&source, TO_709, big());
}

#[test]
fn a_small_picture_that_does_not_say_is_601() {
    let source = format!("{PICTURE} format=yuv420p -c:v libx264 -crf 10");
    assert_quality(&source, "scale=in_color_matrix=bt601:out_color_matrix=bt709", big());
}

#[test]
fn odd_sizes_are_scaled() {
    let folder = tempfile::tempdir().unwrap();
    let source =
        "-f lavfi -i testsrc=s=637x359:r=25:d=2 -pix_fmt yuv444p -c:v libx264 -crf 10 -colorspace bt709";
    let filters = "scale=640:360:flags=bicubic";
    let (worst, _) = quality(folder.path(), source, filters, big());
    assert!(worst > 28.0, "{worst:.1} dB");
}

#[test]
fn a_picture_of_another_shape_gets_bars() {
    let folder = tempfile::tempdir().unwrap();
    let source =
        "-f lavfi -i testsrc=s=480x360:r=25:d=2 -pix_fmt yuv420p -c:v libx264 -crf 10 -colorspace bt709";
    let (worst, _) = quality(folder.path(), source, "pad=640:360:80:0", big());
    assert!(worst > 30.0, "{worst:.1} dB");
}

#[test]
fn wide_samples_become_square() {
    let folder = tempfile::tempdir().unwrap();
    // As anamorphic SD comes: it does not say its matrix either.
    let source =
        "-f lavfi -i testsrc=s=360x360:r=25:d=2 -vf setsar=16/9 -pix_fmt yuv420p -c:v libx264 -crf 10";
    let (worst, _) = quality(
        folder.path(),
        source,
        "scale=640:360:flags=bicubic:in_color_matrix=bt601:out_color_matrix=bt709",
        big(),
    );
    assert!(worst > 28.0, "{worst:.1} dB");
}

fn joined(folder: &Path, clips: &[Clip]) -> Outcome {
    let job = job("25", vec![rung("big", 640, 360, 2_000_000), rung("small", 320, 180, 500_000)]);
    let mut script = Vec::new();
    let mut frames = 0;
    for clip in clips {
        script.extend(clip.script(i64::try_from(frames).unwrap() * 3600));
        frames += u64::try_from(clip.units.len()).unwrap();
    }
    let outcome = transcode(&job, script);
    output::check(folder, &job, &outcome, frames);
    assert_eq!(outcome.last_report().decode_errors, 0);
    assert_eq!(outcome.last_report().pictures_decoded, frames);
    outcome
}

#[test]
fn size_and_format_may_change_in_mid_stream() {
    let folder = tempfile::tempdir().unwrap();
    let make = |size: &str, more: &str| {
        let source = format!("-f lavfi -i testsrc2=s={size}:r=25:d=1 -bf 2 {more}");
        Clip::make(folder.path(), &source)
    };
    let outcome = joined(
        folder.path(),
        &[
            make("640x360", "-c:v libx264"),
            make("1280x720", "-c:v libx264 -pix_fmt yuv422p10"),
            make("362x640", "-c:v libx264"),
            make("320x180", "-c:v libx265 -x265-params log-level=none"),
            make("640x360", "-c:v libx264"),
        ],
    );
    assert_eq!(outcome.last_report().source_size, Some(Size { width: 640, height: 360 }));
    assert_eq!(outcome.last_report().frames_repeated, 0);
}

#[test]
fn interlaced_pictures_are_deinterlaced_until_the_source_is_progressive() {
    let folder = tempfile::tempdir().unwrap();
    // Two fields of a moving picture at twice the rate in each frame.
    let interlaced = Clip::make(
        folder.path(),
        "-f lavfi -i testsrc2=s=640x360:r=50:d=2 -vf tinterlace=interleave_top,setfield=tff \
         -c:v libx264 -flags +ilme+ildct -x264-params tff=1 -crf 10 -colorspace bt709",
    );
    let job = job("25", vec![rung("big", 640, 360, 4_000_000)]);
    let outcome = transcode(&job, interlaced.script(0));
    output::check(folder.path(), &job, &outcome, 50);
    assert!(outcome.last_report().deinterlacing);
    assert_eq!(outcome.last_report().pictures_decoded, 50);
    // Combs are differences of neighbouring lines; fields of a moving picture have far more of them.
    let combs = |path: &Path| -> u64 {
        let pictures = output::pictures(path, "null", 640, 360);
        let rows = pictures.iter().flat_map(|p| {
            p[..640 * 360]
                .chunks_exact(640)
                .collect::<Vec<_>>()
                .windows(3)
                .map(|r| {
                    r[0].iter()
                        .zip(r[1])
                        .zip(r[2])
                        .filter(|((a, b), c)| b.abs_diff(**a).min(b.abs_diff(**c)) > 40)
                        .count()
                })
                .collect::<Vec<_>>()
        });
        u64::try_from(rows.sum::<usize>()).unwrap()
    };
    let before = combs(&folder.path().join("clip.mp4"));
    let after = combs(&output::annex_b(folder.path(), "big", &outcome.rungs[0]));
    assert!(after * 3 < before, "{after} combs after, {before} before");

    let progressive = Clip::make(folder.path(), "-f lavfi -i testsrc2=s=640x360:r=25:d=6 -c:v libx264 -bf 2");
    let outcome = joined(folder.path(), &[interlaced, progressive]);
    assert!(!outcome.last_report().deinterlacing);
}
