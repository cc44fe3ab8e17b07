//! The software inside: libavcodec's decoders.

use std::collections::BTreeMap;

use ffmpeg_next::codec::{self, decoder};
use ffmpeg_next::{Packet, Rational, color, format, frame};
use sim_state::Codec;

/// What decodes.
pub(crate) enum Software {
    Avcodec(Avcodec),
    Flat(Flat),
}

/// libavcodec.
pub(crate) struct Avcodec {
    inner: decoder::Video,
}

/// Nothing: pictures come out in their order, empty. For measuring what stands around the driver.
pub(crate) struct Flat {
    sequence: Sequence,
    /// By their timestamps.
    waiting: BTreeMap<(i64, i64), i64>,
    ended: bool,
}

/// What a sequence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// `cudaVideoChromaFormat`: 1 is 4:2:0, the one that is decoded; others are told of.
    pub(crate) chroma: u32,
    pub(crate) depth: u8,
    pub(crate) frame_rate: (u32, u32),
    pub(crate) progressive: bool,
    /// Pictures that are held back for their order, and for reference.
    pub(crate) held: u32,
    /// Pictures that are held back for their order alone.
    pub(crate) reordered: usize,
    pub(crate) aspect: (u32, u32),
    pub(crate) primaries: u8,
    pub(crate) transfer: u8,
    pub(crate) matrix: u8,
    pub(crate) full_range: bool,
}

impl Software {
    /// What decodes from `unit` on, which begins a sequence.
    pub(crate) fn begin(codec: Codec, unit: &[u8], flat: bool) -> Option<Self> {
        let mut real = Avcodec::open(codec)?;
        if !flat {
            return Some(Self::Avcodec(real));
        }
        real.send(unit, 0);
        Some(Self::Flat(Flat { sequence: real.sequence()?, waiting: BTreeMap::new(), ended: false }))
    }

    /// Decodes an access unit; its pictures carry `number`. What is wrong in a stream is no error here, as the hardware
    /// conceals.
    pub(crate) fn send(&mut self, unit: &[u8], number: i64, timestamp: i64) {
        match self {
            Self::Avcodec(real) => real.send(unit, number),
            Self::Flat(flat) => {
                flat.waiting.insert((timestamp, number), number);
            }
        }
    }

    /// The end of the stream.
    pub(crate) fn finish(&mut self) {
        match self {
            Self::Avcodec(real) => real.finish(),
            Self::Flat(flat) => flat.ended = true,
        }
    }

    /// The next picture in output order, by its number; empty where nothing decodes.
    pub(crate) fn receive(&mut self) -> Option<(i64, Option<frame::Video>)> {
        match self {
            Self::Avcodec(real) => real.receive().map(|(number, frame)| (number, Some(frame))),
            Self::Flat(flat) if flat.ended || flat.waiting.len() > flat.sequence.reordered => {
                flat.waiting.pop_first().map(|(_, number)| (number, None))
            }
            Self::Flat(_) => None,
        }
    }

    /// What was found in the sequence's headers; none before there were any.
    pub(crate) fn sequence(&self) -> Option<Sequence> {
        match self {
            Self::Avcodec(real) => real.sequence(),
            Self::Flat(flat) => Some(flat.sequence),
        }
    }
}

impl Avcodec {
    pub(crate) fn open(codec: Codec) -> Option<Self> {
        let id = match codec {
            Codec::H264 => codec::Id::H264,
            Codec::Hevc => codec::Id::HEVC,
            Codec::Av1 => codec::Id::AV1,
        };
        let found = match codec {
            Codec::Av1 => decoder::find_by_name("libdav1d"),
            _ => decoder::find(id),
        }?;
        let mut context = codec::Context::new_with_codec(found);
        context.set_threading(codec::threading::Config { count: 1, ..codec::threading::Config::default() });
        // SAFETY: `&mut` makes this the only pointer to the context in use.
        let raw = unsafe { context.as_mut_ptr() };
        // SAFETY: the context was allocated, and is not open; a plain field: what it logs is lowered by three levels.
        unsafe { (*raw).log_level_offset = 24 };
        let inner = context.decoder().open_as(found).ok()?.video().ok()?;
        Some(Self { inner })
    }

    /// Whether the first picture of a sequence is interlaced.
    pub(crate) fn begins_interlaced(codec: Codec, unit: &[u8]) -> bool {
        let Some(mut probe) = Self::open(codec) else { return false };
        probe.send(unit, 0);
        probe.finish();
        probe.receive().is_some_and(|(_, picture)| picture.is_interlaced())
    }

    pub(crate) fn send(&mut self, unit: &[u8], number: i64) {
        let mut packet = Packet::copy(unit);
        packet.set_pts(Some(number));
        let _ = self.inner.send_packet(&packet);
    }

    fn finish(&mut self) {
        let _ = self.inner.send_eof();
    }

    fn receive(&mut self) -> Option<(i64, frame::Video)> {
        let mut frame = frame::Video::empty();
        self.inner.receive_frame(&mut frame).ok()?;
        Some((frame.pts().unwrap_or(-1), frame))
    }

    /// What the decoder found in the sequence's headers; none before it found any.
    pub(crate) fn sequence(&self) -> Option<Sequence> {
        let inner = &self.inner;
        let (chroma, depth) = match inner.format() {
            format::Pixel::YUV420P | format::Pixel::YUVJ420P => (1, 8),
            format::Pixel::YUV420P10LE => (1, 10),
            format::Pixel::YUV422P | format::Pixel::YUVJ422P => (2, 8),
            format::Pixel::YUV422P10LE => (2, 10),
            format::Pixel::YUV444P | format::Pixel::YUVJ444P => (3, 8),
            format::Pixel::YUV444P10LE => (3, 10),
            _ => return None,
        };
        let ratio = |value: Rational| {
            let part = |n: i32| u32::try_from(n).unwrap_or(0);
            (part(value.numerator()), part(value.denominator()))
        };
        // SAFETY: the context is open and lives as long as the borrow.
        let raw = unsafe { inner.as_ptr() };
        // SAFETY: as above; nothing writes to it meanwhile.
        let fields = unsafe { &*raw };
        let code = |value: u32| u8::try_from(value).unwrap_or(2);
        let held = u32::try_from(fields.has_b_frames.max(0)).unwrap_or(0)
            + u32::try_from(fields.refs.max(1)).unwrap_or(1);
        let (width, height) = (inner.width(), inner.height());
        (width > 0 && height > 0).then(|| Sequence {
            width,
            height,
            chroma,
            depth,
            frame_rate: inner.frame_rate().map_or((0, 0), ratio),
            // Known once a picture came out: see `begins_interlaced`.
            progressive: true,
            held,
            reordered: usize::try_from(fields.has_b_frames).unwrap_or(0),
            aspect: ratio(inner.aspect_ratio()),
            primaries: code(fields.color_primaries as u32),
            transfer: code(fields.color_trc as u32),
            matrix: code(fields.colorspace as u32),
            full_range: inner.color_range() == color::Range::JPEG,
        })
    }
}
