//! libavcodec, made to hand over each picture at once: not when its turn to be shown has come, but when it is decoded.
//! Pictures are therefore taken where libavcodec asks for memory for them.

use std::ffi::c_int;

use ffmpeg_next::frame::Video;
use ffmpeg_next::{Packet, codec, decoder, ffi as sys};

use crate::device::Codec;
use crate::surface::{Layout, Pixels};

/// How the samples of a picture lie in libavcodec.
const PLANAR_8: i32 = sys::AVPixelFormat::AV_PIX_FMT_YUV420P as i32;
/// The same, by an old name for pictures of full range.
const PLANAR_8_FULL: i32 = sys::AVPixelFormat::AV_PIX_FMT_YUVJ420P as i32;
/// 10 bits in the low end of 16.
const PLANAR_10: i32 = sys::AVPixelFormat::AV_PIX_FMT_YUV420P10LE as i32;

/// The pictures that libavcodec asked memory for during one packet.
struct Asked {
    first: Video,
    last: Video,
    count: u32,
}

/// A decoder of libavcodec's.
pub(super) struct Software {
    codec: Codec,
    decoder: decoder::Opened,
    /// libavcodec's context points at it.
    asked: Box<Asked>,
}

// SAFETY: the context has no thread of its own (thread_count 1) and no tie to the one that made it; `&mut self` keeps its
// use to one at a time, and `asked` is reached only from within those uses.
unsafe impl Send for Software {}

/// What one packet gave.
pub(super) struct Decoded<'a> {
    /// Pictures that memory was asked for: 0 for a second field, more than 1 where references had to be made up.
    pub(super) pictures: u32,
    frame: &'a Video,
}

/// libavcodec's request for memory.
unsafe extern "C" fn get_buffer(
    context: *mut sys::AVCodecContext,
    frame: *mut sys::AVFrame,
    flags: c_int,
) -> c_int {
    // SAFETY: libavcodec passes its own context and a frame to be filled, as the default wants them.
    let result = unsafe { sys::avcodec_default_get_buffer2(context, frame, flags) };
    if result < 0 {
        return result;
    }
    // SAFETY: libavcodec passes its own context, valid during the call.
    let opaque = unsafe { (*context).opaque };
    // SAFETY: `open` had it point at the box that lives as long as the context; while a packet is decoded, nobody else
    // reaches it.
    let Some(asked) = (unsafe { opaque.cast::<Asked>().as_mut() }) else { return result };
    asked.count += 1;
    if asked.count == 1 {
        refer(&mut asked.first, frame);
    }
    refer(&mut asked.last, frame);
    result
}

/// Has `to` share the memory of `frame`.
fn refer(to: &mut Video, frame: *const sys::AVFrame) {
    // SAFETY: a Video owns an AVFrame, and `&mut` makes this the only pointer in use.
    let to = unsafe { to.as_mut_ptr() };
    // SAFETY: a valid frame; it forgets what it shared before.
    unsafe { sys::av_frame_unref(to) };
    // SAFETY: `to` is clean, and `frame` was just given its memory.
    unsafe { sys::av_frame_ref(to, frame) };
}

impl Software {
    pub(super) fn open(codec: Codec) -> Option<Self> {
        let id = match codec {
            Codec::H264 => codec::Id::H264,
            Codec::Hevc => codec::Id::HEVC,
        };
        let mut context = codec::Context::new_with_codec(decoder::find(id)?);
        let mut asked = Box::new(Asked { first: Video::empty(), last: Video::empty(), count: 0 });
        // SAFETY: the context owns its AVCodecContext, and `&mut` makes this the only pointer in use.
        let raw = unsafe { context.as_mut_ptr() };
        // SAFETY: as above; null without memory.
        let raw = unsafe { raw.as_mut() }?;
        raw.thread_count = 1;
        raw.opaque = (&raw mut *asked).cast();
        raw.get_buffer2 = Some(get_buffer);
        let decoder = context.decoder().open().ok()?;
        Some(Self { codec, decoder, asked })
    }

    /// `None` without memory.
    pub(super) fn decode(&mut self, stream: &[u8]) -> Option<Decoded<'_>> {
        self.asked.count = 0;
        let packet = Packet::copy(stream);
        // Damage in a stream is no fault of the client's; what could be decoded is in the picture.
        let _damaged = self.decoder.send_packet(&packet);
        let mut shown = Video::empty();
        while self.decoder.receive_frame(&mut shown).is_ok() {}
        let frame = if self.codec == Codec::Hevc { &self.asked.first } else { &self.asked.last };
        // SAFETY: a Video owns an AVFrame.
        let empty = unsafe { frame.is_empty() };
        (!empty || self.asked.count == 0).then_some(Decoded { pictures: self.asked.count, frame })
    }
}

impl Decoded<'_> {
    /// Interleaves chroma, as devices have it.
    pub(super) fn copy_to(&self, pixels: &mut Pixels) {
        // SAFETY: a Video owns an AVFrame.
        let raw = unsafe { self.frame.as_ptr() };
        // SAFETY: as above; plain fields.
        let Some(raw) = (unsafe { raw.as_ref() }) else { return };
        let wide = match (raw.format, pixels.layout) {
            (PLANAR_8 | PLANAR_8_FULL, Layout::Nv12) => false,
            (PLANAR_10, Layout::P010) => true,
            _ => return,
        };
        let size = if wide { 2 } else { 1 };
        let number = |value: c_int| usize::try_from(value).unwrap_or(0);
        let (width, height) = (number(raw.width).min(pixels.width), number(raw.height).min(pixels.height));
        let row_of = |plane: usize, row: usize, samples: usize| {
            let at = raw.data[plane].wrapping_add(row * number(raw.linesize[plane]));
            // SAFETY: libavcodec gave the plane at least the frame's height in rows (half of it for chroma), each of
            // linesize bytes, no less than its samples; `row` and `samples` are within the frame's size.
            unsafe { std::slice::from_raw_parts(at, samples * size) }
        };
        // 10 bits stand in the low end of libavcodec's words and in the high end of P010's.
        let raise = |sample: &[u8]| (u16::from_le_bytes([sample[0], sample[1]]) << 6).to_le_bytes();
        for row in 0..height {
            let from = row_of(0, row, width);
            let (to, _) = pixels.row(0, row);
            let to = &mut pixels.bytes[to..to + width * size];
            if wide {
                for (to, from) in to.chunks_exact_mut(2).zip(from.chunks_exact(2)) {
                    to.copy_from_slice(&raise(from));
                }
            } else {
                to.copy_from_slice(from);
            }
        }
        let chroma_width = width.div_ceil(2);
        for row in 0..height.div_ceil(2) {
            let (u, v) = (row_of(1, row, chroma_width), row_of(2, row, chroma_width));
            let (to, _) = pixels.row(1, row);
            let to = &mut pixels.bytes[to..to + 2 * chroma_width * size];
            let chroma = u.chunks_exact(size).zip(v.chunks_exact(size));
            for (to, (u, v)) in to.chunks_exact_mut(2 * size).zip(chroma) {
                if wide {
                    to[..2].copy_from_slice(&raise(u));
                    to[2..].copy_from_slice(&raise(v));
                } else {
                    (to[0], to[1]) = (u[0], v[0]);
                }
            }
        }
    }
}
