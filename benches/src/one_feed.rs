//! One 1080p30 feed to four rungs, by the worker and by ffmpeg's command line.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use test_support::wait::poll;
use test_support::{FeedSetup, Manifest, Process, Setup, Stopwatch};

use crate::table::Table;
use crate::usage::{self, Usage};

/// Name, size, mean bit rate in kbit/s.
const RUNGS: [(&str, &str, u32); 4] = [
    ("1080p", "1920x1080", 5000),
    ("720p", "1280x720", 2800),
    ("480p", "854x480", 1200),
    ("360p", "640x360", 700),
];
/// Pictures a second of the source.
const FRAME_RATE: f64 = 30.0;
/// The segments aimed at, in seconds.
const SEGMENT_SECONDS: f64 = 2.0;
/// Pictures that the worker looks ahead with preset veryfast at 30 pictures a second, where ffmpeg's own takes 10: a
/// server has half a second at most, and three quarters of the preset's.
const LOOKAHEAD: u32 = 7;
/// How often a process is looked at; the last look before its end counts.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Measures both, and adds the figures.
pub(crate) fn measure(length: Duration, table: &mut Table) {
    let folder = tempfile::tempdir().unwrap();
    println!("Making a source of {length:?} in 1080p30 ...");
    let source = make_source(folder.path(), length);
    println!("Encoding it with ffmpeg's command line ...");
    let (ffmpeg, took) = ffmpeg_ladder(&source, folder.path(), None);
    println!("Encoding it with ffmpeg's command line, looking ahead as far as the worker ...");
    let (alike, _) = ffmpeg_ladder(&source, folder.path(), Some(LOOKAHEAD));
    let ffmpeg_frames = length.as_secs_f64() * FRAME_RATE;
    println!("Publishing it to rungd in real time ...");
    let run = rungd_ladder(&source, length);

    let per_1000 = |usage: Usage, frames: f64| usage.cpu_seconds / frames * 1000.0;
    let (ours, theirs) = (per_1000(run.worker, run.frames), per_1000(ffmpeg, ffmpeg_frames));
    table.note(
        "ffmpeg: processor time per 1000 frames of 4 rungs",
        format!("{theirs:.1} s ({:.2} times real time)", length.as_secs_f64() / took.as_secs_f64()),
    );
    table.note("worker: processor time per 1000 frames of 4 rungs", format!("{ours:.1} s"));
    table.at_most("worker / ffmpeg, processor time", ours / theirs, 1.0, "");
    let alike_per_1000 = per_1000(alike, ffmpeg_frames);
    table.note(
        "worker / ffmpeg that looks ahead as far (7 pictures, not 10), processor time",
        format!("{:.2} ({alike_per_1000:.1} s per 1000 frames)", ours / alike_per_1000),
    );
    let with_daemon = ours + run.daemon_cores / FRAME_RATE * 1000.0;
    table.note("(worker + daemon) / ffmpeg, processor time", format!("{:.2}", with_daemon / theirs));
    table.note(
        "worker, ffmpeg: most memory",
        format!("{:.0} MB, {:.0} MB", run.worker.peak_mb, ffmpeg.peak_mb),
    );
    table.at_most("worker / ffmpeg, most memory", run.worker.peak_mb / ffmpeg.peak_mb, 0.6, "");
    table.note(
        "worker / ffmpeg that looks ahead as far, most memory",
        format!("{:.2} ({:.0} MB)", run.worker.peak_mb / alike.peak_mb, alike.peak_mb),
    );
    table.note(
        "worker: frames out, repeated, shed",
        format!("{:.0} of {ffmpeg_frames:.0}, {:.0}, {:.0}", run.frames, run.repeated, run.shed),
    );
    let percent = run.daemon_cores * 100.0;
    table.at_most("daemon: processor time, one 1080p30 feed of 4 rungs", percent, 1.0, "% of a core");
    table.at_most(
        "publisher's start to a playable manifest",
        run.playable_seconds,
        SEGMENT_SECONDS + 1.0,
        "s",
    );
}

/// A picture with detail, motion and a little noise, as a camera has: what is easy for an encoder says little.
fn make_source(folder: &Path, length: Duration) -> PathBuf {
    let path = folder.join("source.flv");
    let seconds = length.as_secs().to_string();
    let status = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-nostdin",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=1920x1080:rate=30,noise=alls=6:allf=t",
        ])
        .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", &seconds])
        .args([
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p",
            "-b:v",
            "10M",
            "-maxrate",
            "12M",
        ])
        .args(["-bufsize", "12M", "-g", "60", "-c:a", "aac", "-b:a", "128k", "-ac", "2"])
        .arg(&path)
        .status()
        .expect("ffmpeg runs");
    assert!(status.success(), "ffmpeg could not make the source: {status}");
    path
}

/// The same ladder by ffmpeg's command line: one decoder, four scalers, four encoders, sound copied. They look ahead as
/// far as their preset does, or so many pictures.
fn ffmpeg_ladder(source: &Path, folder: &Path, lookahead: Option<u32>) -> (Usage, Duration) {
    let mut graph = String::from("[0:v]split=4[v0][v1][v2][v3]");
    for (index, (_, size, _)) in RUNGS.iter().enumerate() {
        let (width, height) = size.split_once('x').unwrap();
        graph.push_str(&format!(";[v{index}]scale={width}:{height}[o{index}]"));
    }
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(source).args(["-filter_complex", &graph]);
    for (index, (name, _, kilobits)) in RUNGS.iter().enumerate() {
        // As rungd's defaults: highest rate 1.2 times the mean, buffer of 1.5 s of it.
        let (mean, max) = (format!("{kilobits}k"), format!("{}k", kilobits * 6 / 5));
        let buffer = format!("{}k", kilobits * 6 / 5 * 3 / 2);
        command.args(["-map", &format!("[o{index}]"), "-map", "0:a", "-c:a", "copy", "-c:v", "libx264"]);
        command.args(["-preset", "veryfast", "-profile:v", "high", "-b:v", &mean, "-maxrate", &max]);
        command.args([
            "-bufsize",
            &buffer,
            "-g",
            "60",
            "-keyint_min",
            "60",
            "-sc_threshold",
            "0",
            "-f",
            "mp4",
            "-y",
        ]);
        if let Some(pictures) = lookahead {
            command.args(["-rc-lookahead", &pictures.to_string()]);
        }
        command.arg(folder.join(format!("{name}.mp4")));
    }
    let mut process = Process::start("ffmpeg", &mut command, &folder.join("ffmpeg.log"));
    let since = Stopwatch::start();
    let mut last = Usage::default();
    loop {
        last = usage::of(process.pid()).filter(|usage| usage.peak_mb > 0.0).unwrap_or(last);
        if let Some(status) = process.exited() {
            assert!(status.success(), "ffmpeg: {status}\n{}", process.log());
            return (last, since.elapsed());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

struct Run {
    worker: Usage,
    /// Processor time of the daemon over wall time, while the feed was on.
    daemon_cores: f64,
    frames: f64,
    repeated: f64,
    shed: f64,
    playable_seconds: f64,
}

fn rungd_ladder(source: &Path, length: Duration) -> Run {
    let feed = RUNGS.iter().fold(
        FeedSetup::new("bench").line("segment = \"2s\"").line("window = \"1h\""),
        |feed, (name, size, kilobits)| feed.rung(name, size, &format!("{kilobits}k")),
    );
    let rungd = Setup::default().feed(feed).start();
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-re", "-i"]).arg(source).args(["-c", "copy", "-f", "flv"]);
    command.args(["-flvflags", "no_duration_filesize", &rungd.rtmp_url("bench")]).stdin(Stdio::null());
    let since = Stopwatch::start();
    let mut publisher = Process::start("ffmpeg", &mut command, &rungd.folder().join("publisher.log"));
    let url = rungd.mpd_url("bench");
    let found = poll(Duration::from_secs(30), || {
        let manifest = Manifest::fetch(&url)?;
        (manifest.fewest_segments() >= 1 && manifest.video().count() == RUNGS.len()).then(|| since.elapsed())
    });
    let playable_seconds = found.expect("the feed did not play within 30 s").as_secs_f64();
    let pid = rungd.feed("bench")["worker"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    let pid = pid.expect("a feed on air has a worker");

    // From here on nothing is asked of the daemon, so that what it uses is for the feed alone.
    let daemon_before = usage::of(rungd.pid()).expect("rungd runs");
    let mut worker = Usage::default();
    // Until the worker has put out everything and ended.
    poll(length + Duration::from_secs(90), || {
        let now = usage::of(pid).filter(|usage| usage.peak_mb > 0.0);
        worker = now.unwrap_or(worker);
        now.is_none().then_some(())
    })
    .expect("the worker did not end after its feed");
    let daemon_after = usage::of(rungd.pid()).expect("rungd runs");
    assert!(publisher.exited().is_some_and(|s| s.success()), "the publisher failed:\n{}", publisher.log());
    rungd.wait_for_state("bench", Duration::from_secs(30), &["idle"]);
    // The window is longer than the programme, so that the manifest lists all that was put out.
    let manifest = Manifest::fetch(&url).expect("what was on air is still there");
    let frames = manifest.video().next().expect("a rung").listed().as_secs_f64() * FRAME_RATE;
    let metric = |name: &str| rungd.metric(name, &[]).unwrap_or(0.0);
    let watched = since.elapsed().as_secs_f64() - playable_seconds;
    Run {
        worker,
        daemon_cores: (daemon_after.cpu_seconds - daemon_before.cpu_seconds) / watched,
        frames,
        repeated: metric("rungd_feed_frames_repeated_total"),
        shed: metric("rungd_feed_pictures_shed_total"),
        playable_seconds,
    }
}
