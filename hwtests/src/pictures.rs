//! What ffmpeg makes of coded pictures.

use std::path::Path;
use std::process::Command;

use crate::simulation::run;

/// Debian's: the one whose libva is the system's.
pub const FFMPEG: &str = "/usr/bin/ffmpeg";

/// A present-day one, static, with a libavcodec of its own; `make deps` fetches it.
///
/// # Panics
/// Where it is not there.
#[must_use]
pub fn present_day_ffmpeg() -> String {
    let path = crate::root().join("target/ffmpeg-present-day/ffmpeg");
    assert!(path.exists(), "{} is not there: make deps", path.display());
    path.to_str().expect("a path of text").to_owned()
}

/// A checksum of every picture of a file, decoded in software to a pixel format.
#[must_use]
pub fn checksums(file: &Path, format: &str) -> Vec<String> {
    let mut command = Command::new(FFMPEG);
    command.args(["-v", "error", "-i"]).arg(file).args(["-an", "-vf", &format!("format={format}")]);
    checksums_of(&mut command)
}

/// As [`checksums`], of what a command line of ffmpeg's puts out.
///
/// # Panics
/// Where ffmpeg fails.
#[must_use]
pub fn checksums_of(command: &mut Command) -> Vec<String> {
    let output = run(command.args(["-f", "framemd5", "-"]));
    let text = String::from_utf8(output.stdout).expect("ffmpeg writes text");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    // The last column; times before it differ with the way that pictures came.
    lines.filter_map(|line| line.rsplit(',').next().map(|sum| sum.trim().to_owned())).collect()
}

/// Mean PSNR over all planes, in dB, between a file and as many pictures of the original. The original is scaled to the
/// file's size.
///
/// # Panics
/// Where ffmpeg fails, or the file does not decode without a fault.
#[must_use]
pub fn psnr(file: &Path, original: &Path) -> f64 {
    let (width, height) = size(file);
    let count = key_frames(file).len();
    let graph = format!(
        "[0:v]settb=1/25,setpts=N,format=yuv420p[a];[1:v]settb=1/25,setpts=N,trim=end_frame={count},\
         scale={width}:{height}:flags=bicubic,format=yuv420p[b];[a][b]psnr=shortest=1"
    );
    let mut command = Command::new(FFMPEG);
    command.args(["-v", "info", "-xerror", "-err_detect", "explode", "-i"]).arg(file);
    command.arg("-i").arg(original).args(["-lavfi", &graph, "-f", "null", "-"]);
    let output = run(&mut command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let average = said.split("average:").nth(1).and_then(|rest| rest.split_whitespace().next());
    average.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no PSNR in: {said}"))
}

fn probe(file: &Path, entries: &str) -> String {
    let mut command = Command::new("/usr/bin/ffprobe");
    command
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", entries, "-of", "csv=p=0"])
        .arg(file);
    String::from_utf8(run(&mut command).stdout).expect("ffprobe writes text")
}

/// Width and height.
///
/// # Panics
/// Where there is no video.
#[must_use]
pub fn size(file: &Path) -> (u32, u32) {
    let text = probe(file, "stream=width,height");
    let mut numbers = text.trim().split(',').map(|number| number.parse().expect("a number"));
    (numbers.next().expect("a width"), numbers.next().expect("a height"))
}

/// A fact of the video stream, by ffprobe's name.
#[must_use]
pub fn stream_fact(file: &Path, name: &str) -> String {
    probe(file, &format!("stream={name}")).trim().to_owned()
}

/// Whether each picture is a key frame, in order of presentation.
#[must_use]
pub fn key_frames(file: &Path) -> Vec<bool> {
    // Pictures with messages beside them bring lines of their own, empty ones.
    let text = probe(file, "frame=key_frame");
    text.lines().filter(|line| !line.is_empty()).map(|line| line.starts_with('1')).collect()
}
