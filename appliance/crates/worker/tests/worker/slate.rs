//! What viewers see while the source is away.

use bytes::Bytes;
use worker_protocol::{Job, ToWorker, VERSION};

use crate::client::{Outcome, Worker, job, rung};
use crate::clip::{Clip, ffmpeg};
use crate::{output, program};

const SIZE: (usize, usize) = (640, 360);

fn small_job() -> Job {
    job("25", vec![rung("360", 640, 360, 1_500_000), rung("144", 256, 144, 200_000)])
}

/// Runs a job with a slate file.
fn run(mut job: Job, file: &[u8], media: Vec<(ToWorker, Bytes)>) -> Outcome {
    job.slate = true;
    let mut script = vec![
        (ToWorker::Hello { version: VERSION }, Bytes::new()),
        (ToWorker::Start(job), Bytes::copy_from_slice(file)),
    ];
    script.extend(media);
    script.push((ToWorker::Finish, Bytes::new()));
    let outcome = Worker::start(program()).run(script);
    assert!(outcome.finished, "{:?} {}", outcome.failed, outcome.stderr);
    assert_eq!(outcome.stderr, "");
    outcome
}

fn fill(frame: u64, slate_from: u64) -> (ToWorker, Bytes) {
    (ToWorker::FillTo { frame, slate_from }, Bytes::new())
}

/// Decoded pictures of the first rung, in order.
fn shown(folder: &std::path::Path, outcome: &Outcome) -> Vec<Vec<u8>> {
    let path = output::annex_b(folder, "360", &outcome.rungs[0]);
    output::pictures(&path, "null", SIZE.0, SIZE.1)
}

/// Luma and chroma at a place given in hundredths of the picture.
fn at(picture: &[u8], x: usize, y: usize) -> [u8; 3] {
    let (width, height) = SIZE;
    let (column, row) = (width * x / 100, height * y / 100);
    let chroma = row / 2 * (width / 2) + column / 2;
    let (blue, red) = (width * height, width * height * 5 / 4);
    [picture[row * width + column], picture[blue + chroma], picture[red + chroma]]
}

fn near(got: [u8; 3], wanted: [u8; 3]) -> bool {
    got.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 6)
}

/// A dark ground with bright letters in the middle of it.
fn is_card(picture: &[u8]) -> bool {
    let luma = &picture[..SIZE.0 * SIZE.1];
    let bright = luma.iter().filter(|y| **y > 180).count();
    at(picture, 1, 1)[0] < 40 && (500..20_000).contains(&bright)
}

fn is_black(picture: &[u8]) -> bool {
    picture[..SIZE.0 * SIZE.1].iter().all(|y| y.abs_diff(16) <= 2)
}

#[test]
fn a_source_that_is_away_shows_its_last_picture_then_the_card_and_then_returns() {
    let folder = tempfile::tempdir().unwrap();
    let clip = Clip::make(
        folder.path(),
        "-f lavfi -i testsrc2=s=640x360:r=25:d=1 -c:v libx264 -bf 0 -crf 10 -colorspace bt709",
    );
    let mut media = vec![fill(10, 5)];
    media.extend(clip.script(10 * 3600));
    media.push(fill(70, 60));
    media.extend(clip.script(70 * 3600));
    let outcome = run(small_job(), b"", media);
    output::check(folder.path(), &small_job(), &outcome, 95);
    assert!(outcome.warnings.is_empty(), "{:?}", outcome.warnings);
    let pictures = shown(folder.path(), &outcome);
    for (frame, picture) in pictures.iter().enumerate() {
        let card = (5..10).contains(&frame) || (60..70).contains(&frame);
        assert_eq!((is_black(picture), is_card(picture)), (frame < 5, card), "frame {frame}");
    }
    // Silence shows the last picture, and the first picture of the return is shown on its frame.
    assert!(output::psnr(&pictures[34], &pictures[59]) > 35.0);
    assert!(output::psnr(&pictures[10], &pictures[70]) > 30.0);
}

#[test]
fn the_operators_picture_is_fitted_in() {
    let folder = tempfile::tempdir().unwrap();
    // Blue and yellow halves of a square; BT.709 in limited range has them at these samples.
    let halves = "-f lavfi -i color=blue:s=700x700,format=rgb24,drawbox=0:0:350:700:yellow:fill -frames:v 1";
    let (blue, yellow, black) = ([32, 240, 118], [219, 16, 138], [16, 128, 128]);
    for (name, more) in [("slate.png", ""), ("slate.jpg", " -q:v 2 -pix_fmt yuvj444p")] {
        let file = std::fs::read(ffmpeg(folder.path(), &format!("{halves}{more}"), name)).unwrap();
        let outcome = run(small_job(), &file, vec![fill(30, 0)]);
        output::check(folder.path(), &small_job(), &outcome, 30);
        assert!(outcome.warnings.is_empty(), "{:?}", outcome.warnings);
        for picture in shown(folder.path(), &outcome) {
            let got =
                [at(&picture, 40, 50), at(&picture, 60, 50), at(&picture, 10, 50), at(&picture, 90, 50)];
            let as_wanted = got.iter().zip([yellow, blue, black, black]).all(|(g, w)| near(*g, w));
            assert!(as_wanted, "{name}: {got:?}");
        }
    }
}

#[test]
fn a_picture_that_cannot_be_used_gives_a_warning_and_the_card() {
    let folder = tempfile::tempdir().unwrap();
    let png = ffmpeg(folder.path(), "-f lavfi -i testsrc2=s=640x360 -frames:v 1", "slate.png");
    let png = std::fs::read(png).unwrap();
    let mut huge = png.clone();
    huge[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    for (file, words) in [
        (&b"<svg xmlns='http://www.w3.org/2000/svg'/>"[..], "neither PNG nor JPEG"),
        (&png[..png.len() / 2], "PNG file of"),
        (&huge, "picture of 65535x65535"),
        (b"\xff\xd8\xff\xe0", "does not say the size"),
    ] {
        let outcome = run(small_job(), file, vec![fill(30, 0)]);
        assert!(matches!(&outcome.warnings[..], [text] if text.contains(words)), "{:?}", outcome.warnings);
        assert!(shown(folder.path(), &outcome).iter().all(|picture| is_card(picture)), "{words}");
    }
}
