//! Coded clips as a publisher would send them, made with the ffmpeg command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use media::VideoCodec;
use worker_protocol::ToWorker;

use crate::client::Script;

/// Natural pictures: 132 frames of 1280x720 at 25 a second.
pub(crate) fn natural() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/media/bbb-720p25-5s.mp4")
}

/// One coded picture with its times in 90 kHz ticks.
#[derive(Clone)]
pub(crate) struct Unit {
    pub(crate) dts: i64,
    pub(crate) pts: i64,
    pub(crate) key: bool,
    pub(crate) payload: Bytes,
}

/// The video of a file.
#[derive(Clone)]
pub(crate) struct Clip {
    pub(crate) codec: VideoCodec,
    pub(crate) configuration: Bytes,
    pub(crate) units: Vec<Unit>,
}

/// Runs ffmpeg; its last argument is the file it makes in `folder`.
pub(crate) fn ffmpeg(folder: &Path, arguments: &str, file: &str) -> PathBuf {
    let path = folder.join(file);
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(arguments.split_whitespace())
        .arg(&path)
        .output()
        .expect("ffmpeg runs");
    assert!(done.status.success(), "ffmpeg {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    path
}

impl Clip {
    /// Reads an MP4.
    pub(crate) fn read(path: &Path) -> Self {
        let mut input = ffmpeg_next::format::input(path).expect("an MP4");
        let stream = input.streams().best(ffmpeg_next::media::Type::Video).expect("video");
        let (index, time_base) = (stream.index(), stream.time_base());
        let bytes = std::fs::read(path).expect("readable");
        let (codec, fourcc) = match stream.parameters().id() {
            ffmpeg_next::codec::Id::H264 => (VideoCodec::H264, b"avcC"),
            ffmpeg_next::codec::Id::HEVC => (VideoCodec::Hevc, b"hvcC"),
            ffmpeg_next::codec::Id::AV1 => (VideoCodec::Av1, b"av1C"),
            other => panic!("{other:?}"),
        };
        // The moov box is behind the media in what ffmpeg writes.
        let at = bytes.windows(4).rposition(|w| w == fourcc).expect("a configuration record");
        let length = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap());
        let end = at - 4 + usize::try_from(length).unwrap();
        let configuration = Bytes::copy_from_slice(&bytes[at + 4..end]);
        let mut units = Vec::new();
        for (stream, mut packet) in input.packets() {
            if stream.index() == index {
                packet.rescale_ts(time_base, ffmpeg_next::Rational::new(1, 90_000));
                units.push(Unit {
                    dts: packet.dts().expect("a time"),
                    pts: packet.pts().expect("a time"),
                    key: packet.is_key(),
                    payload: Bytes::copy_from_slice(packet.data().expect("bytes")),
                });
            }
        }
        Self { codec, configuration, units }
    }

    /// Makes a clip with ffmpeg and reads it.
    pub(crate) fn make(folder: &Path, arguments: &str) -> Self {
        Self::read(&ffmpeg(folder, arguments, "clip.mp4"))
    }

    /// The messages that send it, its times moved by `offset` ticks.
    pub(crate) fn script(&self, offset: i64) -> Script {
        let mut script =
            vec![(ToWorker::VideoConfiguration { codec: self.codec }, self.configuration.clone())];
        script.extend(self.units.iter().map(|unit| {
            let message =
                ToWorker::Video { dts_ticks: unit.dts + offset, pts_ticks: unit.pts + offset, key: unit.key };
            (message, unit.payload.clone())
        }));
        script
    }
}
