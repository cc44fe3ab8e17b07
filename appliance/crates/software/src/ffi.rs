//! What `ffmpeg-next` has no safe face for, one C call or field a function.

use std::ptr;

use ffmpeg_next::ffi as sys;
use ffmpeg_next::format::{self, Pixel};
use ffmpeg_next::frame::{Audio, Video, side_data};
use ffmpeg_next::software::scaling;
use ffmpeg_next::{ChannelLayout, Error, codec, filter};

use crate::error::LibraryError;
use crate::frame::Size;

/// `AV_FRAME_CROP_UNALIGNED` of libavutil/frame.h: crop to the sample, whatever that does to alignment.
const CROP_UNALIGNED: i32 = 1;

/// Gives a context that is not open yet its configuration record.
pub(crate) fn set_extradata(context: &mut codec::Context, record: &[u8]) -> Result<(), LibraryError> {
    let size = i32::try_from(record.len()).map_err(|_| LibraryError::OUT_OF_MEMORY)?;
    let padding =
        usize::try_from(sys::AV_INPUT_BUFFER_PADDING_SIZE).map_err(|_| LibraryError::OUT_OF_MEMORY)?;
    // SAFETY: av_mallocz takes any size and gives null or that many zeroed bytes.
    let copy = unsafe { sys::av_mallocz(record.len() + padding) }.cast::<u8>();
    if copy.is_null() {
        return Err(LibraryError::OUT_OF_MEMORY);
    }
    // SAFETY: `copy` is fresh, so it does not overlap `record`, and it has room for all of it (allocated above).
    unsafe { ptr::copy_nonoverlapping(record.as_ptr(), copy, record.len()) };
    // SAFETY: the context owns its AVCodecContext, and `&mut` makes this the only pointer in use.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: `raw` is not null, since Context::new_with_codec is only followed by opening where it allocated; the
    // field takes over an av_malloc allocation with AV_INPUT_BUFFER_PADDING_SIZE zero bytes behind its content.
    let fields = unsafe { &mut *raw };
    fields.extradata = copy;
    fields.extradata_size = size;
    Ok(())
}

/// The global headers of an open encoder.
pub(crate) fn extradata(context: &codec::Context) -> Vec<u8> {
    // SAFETY: the context owns its AVCodecContext, which lives as long as the borrow.
    let raw = unsafe { context.as_ptr() };
    // SAFETY: `raw` is not null, the encoder is open; nobody writes to it while `context` is borrowed.
    let fields = unsafe { &*raw };
    match usize::try_from(fields.extradata_size) {
        Ok(size) if !fields.extradata.is_null() => {
            // SAFETY: libavcodec promises extradata_size bytes at extradata; they are only written while opening.
            unsafe { std::slice::from_raw_parts(fields.extradata, size) }.to_vec()
        }
        _ => Vec::new(),
    }
}

/// Sets the VBV buffer, in bits, before or after opening.
pub(crate) fn set_buffer_bits(context: &mut codec::Context, bits: i32) {
    // SAFETY: the context owns its AVCodecContext, and `&mut` makes this the only pointer in use.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: `raw` is not null (the context was allocated for a codec that was found); a plain field.
    unsafe { (*raw).rc_buffer_size = bits };
}

/// A second, writable-by-field reference to the same planes. None without memory.
pub(crate) fn new_reference(video: &Video) -> Option<Video> {
    let mut reference = Video::empty();
    // SAFETY: Video::empty owns what av_frame_alloc gave, which may be null; it is checked before use.
    let target = unsafe { reference.as_mut_ptr() };
    if target.is_null() {
        return None;
    }
    // SAFETY: a Video always wraps a frame it owns; the pointer lives as long as the borrow.
    let source = unsafe { video.as_ptr() };
    // SAFETY: av_frame_ref wants a clean target (just allocated) and a valid source (above); it only counts up the
    // source's buffers, which is atomic.
    let done = unsafe { sys::av_frame_ref(target, source) };
    (done >= 0).then_some(reference)
}

/// A picture with planes of its own. None without memory, or for a size that libavutil refuses.
pub(crate) fn allocate(format: Pixel, size: Size) -> Option<Video> {
    i32::try_from(size.width).ok()?;
    i32::try_from(size.height).ok()?;
    let video = Video::new(format, size.width, size.height);
    // SAFETY: a Video wraps what av_frame_alloc gave; Video::new has already written to it, so it is not null.
    let empty = unsafe { video.is_empty() };
    (!empty).then_some(video)
}

/// Planar samples with memory of their own. None without memory, or for a length that libavutil refuses.
pub(crate) fn allocate_sound(samples: usize, layout: ChannelLayout) -> Option<Audio> {
    i32::try_from(samples).ok().filter(|samples| *samples > 0)?;
    let sound = Audio::new(format::Sample::F32(format::sample::Type::Planar), samples, layout);
    // SAFETY: an Audio wraps what av_frame_alloc gave; Audio::new has already written to it, so it is not null.
    let empty = unsafe { sound.is_empty() };
    (!empty).then_some(sound)
}

/// Whether nobody else holds the planes.
pub(crate) fn is_writable(video: &mut Video) -> bool {
    // SAFETY: a Video always wraps a frame it owns, and `&mut` makes this the only pointer in use.
    let raw = unsafe { video.as_mut_ptr() };
    // SAFETY: av_frame_is_writable wants a valid frame; it only reads reference counts, atomically.
    unsafe { sys::av_frame_is_writable(raw) > 0 }
}

/// Narrows a reference to a part of its picture.
pub(crate) fn crop(video: &mut Video, left: u32, top: u32, size: Size) -> Result<(), LibraryError> {
    let (width, height) = (video.width(), video.height());
    let rest = |whole: u32, from: u32, length: u32| {
        whole.checked_sub(from).and_then(|r| r.checked_sub(length)).and_then(|r| usize::try_from(r).ok())
    };
    let (Some(right), Some(bottom)) = (rest(width, left, size.width), rest(height, top, size.height)) else {
        return Err(LibraryError::from(Error::InvalidData));
    };
    // SAFETY: a Video always wraps a frame it owns, and `&mut` makes this the only pointer in use.
    let raw = unsafe { video.as_mut_ptr() };
    // SAFETY: `raw` is not null, the frame has planes and a size; plain fields.
    let fields = unsafe { &mut *raw };
    fields.crop_left = usize::try_from(left).unwrap_or(usize::MAX);
    fields.crop_top = usize::try_from(top).unwrap_or(usize::MAX);
    fields.crop_right = right;
    fields.crop_bottom = bottom;
    // SAFETY: av_frame_apply_cropping wants a valid frame with format and size set; it checks the crop itself.
    let done = unsafe { sys::av_frame_apply_cropping(raw, CROP_UNALIGNED) };
    if done < 0 { Err(LibraryError::from(Error::from(done))) } else { Ok(()) }
}

/// Says that samples are square.
pub(crate) fn set_square_samples(video: &mut Video) {
    // SAFETY: a Video always wraps a frame it owns, and `&mut` makes this the only pointer in use.
    let raw = unsafe { video.as_mut_ptr() };
    // SAFETY: `raw` is not null, the frame has been given a size before; a plain field.
    unsafe { (*raw).sample_aspect_ratio = sys::AVRational { num: 1, den: 1 } };
}

/// Replaces the closed captions of `target` by those of `source`, if it has any. Without memory they are lost.
pub(crate) fn copy_captions(target: &mut Video, source: &Video) {
    target.remove_side_data(side_data::Type::A53CC);
    let Some(captions) = source.side_data(side_data::Type::A53CC) else { return };
    let bytes = captions.data();
    let Some(mut copy) = target.new_side_data(side_data::Type::A53CC, bytes.len()) else { return };
    // SAFETY: SideData wraps a pointer that lives as long as its frame, which is borrowed mutably.
    let raw = unsafe { copy.as_mut_ptr() };
    // SAFETY: `raw` was checked for null by new_side_data.
    let data = unsafe { (*raw).data };
    // SAFETY: new_side_data gave bytes.len() bytes at `data`; they are another frame's, so they do not overlap.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len()) };
}

/// How samples of one end of a conversion are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Colour {
    /// One of the `SWS_CS_` numbers.
    pub(crate) matrix: i32,
    /// Whether samples use all of their bits' range.
    pub(crate) full_range: bool,
}

/// Sets matrices and ranges of both ends.
pub(crate) fn set_colours(
    scaler: &mut scaling::Context,
    from: Colour,
    to: Colour,
) -> Result<(), LibraryError> {
    // SAFETY: sws_getCoefficients takes any number (unknown ones give the default) and gives a static table.
    let from_table = unsafe { sys::sws_getCoefficients(from.matrix) };
    // SAFETY: as above.
    let to_table = unsafe { sys::sws_getCoefficients(to.matrix) };
    // SAFETY: the scaling context owns its SwsContext, and `&mut` makes this the only pointer in use.
    let raw = unsafe { scaler.as_mut_ptr() };
    let (from_range, to_range) = (i32::from(from.full_range), i32::from(to.full_range));
    // SAFETY: sws_setColorspaceDetails wants an initialised context (scaling::Context::get checked it) and two tables
    // of four (above); brightness, contrast and saturation are 16.16 fixed point: 0, 1 and 1.
    let done = unsafe {
        sys::sws_setColorspaceDetails(raw, from_table, from_range, to_table, to_range, 0, 1 << 16, 1 << 16)
    };
    if done < 0 { Err(LibraryError::from(Error::InvalidData)) } else { Ok(()) }
}

/// Keeps a graph that has no filters yet from starting threads.
pub(crate) fn use_calling_thread(graph: &mut filter::Graph) {
    // SAFETY: the graph owns its AVFilterGraph (Graph::new panics rather than hold null), and `&mut` makes this the
    // only pointer in use.
    let raw = unsafe { graph.as_mut_ptr() };
    // SAFETY: `raw` is not null; a plain field that is read when the first filter is made.
    unsafe { (*raw).nb_threads = 1 };
}
