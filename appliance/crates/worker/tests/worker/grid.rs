//! Every frame of the grid once on every rung, and segments where the grid has them.

use bytes::Bytes;
use media::ladder::RungRate;
use worker_protocol::{RungJob, ToWorker};

use crate::client::{job, rung};
use crate::clip::{Clip, natural};
use crate::{output, transcode};

#[test]
fn natural_pictures_keep_their_quality_on_every_rung() {
    let folder = tempfile::tempdir().unwrap();
    let mut half = rung("half", 640, 360, 800_000);
    half.rate = RungRate::Half;
    let rungs = vec![
        rung("720", 1280, 720, 3_000_000),
        half,
        rung("360", 640, 360, 1_200_000),
        rung("240", 426, 240, 500_000),
    ];
    let job = job("25", rungs);
    let clip = Clip::read(&natural());
    let outcome = transcode(&job, clip.script(0));
    assert_eq!(clip.units.len(), 132);
    output::check(folder.path(), &job, &outcome, 132);
    for (RungJob { rung, .. }, output) in job.rungs.iter().zip(&outcome.rungs) {
        let (w, h) = (usize::try_from(rung.size.width).unwrap(), usize::try_from(rung.size.height).unwrap());
        let mut reference = output::pictures(&natural(), &format!("scale={w}:{h}:flags=bicubic"), w, h);
        if rung.rate == RungRate::Half {
            reference = reference.into_iter().step_by(2).collect();
        }
        let worst = output::worst_psnr(folder.path(), rung, output, &reference);
        assert!(worst > 30.0, "{}: {worst:.1} dB", rung.name);
    }
    let report = outcome.last_report();
    assert_eq!((report.units_in, report.pictures_decoded, report.decode_errors), (132, 132, 0));
    assert_eq!((report.frames_repeated, report.pictures_dropped), (0, 0));
    assert_eq!(report.source_size, Some(job.rungs[0].rung.size));
}

#[test]
fn a_hole_is_filled_with_the_picture_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let job = job("25", vec![rung("180", 320, 180, 400_000)]);
    let clip = Clip::make(folder.path(), "-f lavfi -i testsrc2=s=320x180:r=25:d=2 -c:v libx264 -bf 2 -g 25");
    let mut script = clip.script(0);
    // Silence of a second, then the stream goes on where wall time has got to.
    script.push((ToWorker::FillTo { frame: 75, slate_from: u64::MAX }, Bytes::new()));
    script.extend(clip.script(75 * 3600).split_off(1));
    let outcome = transcode(&job, script);
    output::check(folder.path(), &job, &outcome, 125);
    let report = outcome.last_report();
    // What the decoder still held when the hole was filled came too late.
    assert!((25..=28).contains(&report.frames_repeated), "{report:?}");
    assert_eq!(report.frames_repeated - 25, report.pictures_dropped, "{report:?}");
}

#[test]
fn the_grid_is_filled_with_black_before_the_first_picture() {
    let folder = tempfile::tempdir().unwrap();
    let job = job("25", vec![rung("a", 320, 180, 400_000), rung("b", 160, 90, 200_000)]);
    let outcome = transcode(&job, vec![(ToWorker::FillTo { frame: 60, slate_from: u64::MAX }, Bytes::new())]);
    output::check(folder.path(), &job, &outcome, 60);
    let path = output::annex_b(folder.path(), "b", &outcome.rungs[1]);
    let pictures = output::pictures(&path, "null", 160, 90);
    assert!(pictures.iter().all(|p| p[..160 * 90].iter().all(|y| y.abs_diff(16) <= 1)));
}

#[test]
fn a_worker_starts_in_the_middle_of_a_presentation() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = job("30000/1001", vec![rung("180", 320, 180, 400_000)]);
    let first_frame = 60 * 1_000_000;
    job.rungs[0].first_frame = first_frame;
    let start = job.cadence.time_of(first_frame).ticks();
    let clip = Clip::make(
        folder.path(),
        "-f lavfi -i testsrc2=s=320x180:r=30000/1001 -frames:v 130 -c:v libx264 -bf 3 -g 60",
    );
    let outcome = transcode(&job, clip.script(start));
    output::check(folder.path(), &job, &outcome, first_frame + 130);
    assert_eq!(outcome.last_report().frames_repeated, 0);
}
