//! NVDEC: libnvcuvid, loaded at run time.

use std::ffi::{c_int, c_uint, c_ulong, c_void};
use std::mem::offset_of;
use std::ptr;

use libloading::Library;
use nvidia_video_codec_sdk::sys::cuviddec as dec;
use nvidia_video_codec_sdk::sys::nvcuvid as parse;

use super::cuda::{Context, Event, Memory, Rectangle};
use crate::device::Codec;
use crate::error::CudaError;
use crate::frame::{Format, Size, to_usize};

/// The driver's library.
const LIBRARY: &str = "libnvcuvid.so.1";

/// Bits of `CUVIDSOURCEDATAPACKET::flags` (nvcuvid.h, `CUvideopacketflags`).
const PKT_ENDOFSTREAM: c_ulong = 1;
const PKT_TIMESTAMP: c_ulong = 2;
const PKT_ENDOFPICTURE: c_ulong = 8;

/// `cuvidDecodeStatus_Error` and `cuvidDecodeStatus_Error_Concealed` of cuviddec.h.
const STATUS_ERROR: u32 = 8;
const STATUS_CONCEALED: u32 = 9;

type Create<H, I> = unsafe extern "C" fn(*mut H, *mut I) -> u32;
type Destroy = unsafe extern "C" fn(*mut c_void) -> u32;

/// The functions used, each returning a `CUresult` as a number.
#[expect(non_snake_case, reason = "the vendor's names")]
pub(crate) struct Cuvid {
    cuvidGetDecoderCaps: unsafe extern "C" fn(*mut dec::CUVIDDECODECAPS) -> u32,
    cuvidCreateDecoder: Create<dec::CUvideodecoder, dec::CUVIDDECODECREATEINFO>,
    cuvidDestroyDecoder: Destroy,
    cuvidDecodePicture: unsafe extern "C" fn(dec::CUvideodecoder, *mut dec::CUVIDPICPARAMS) -> u32,
    cuvidGetDecodeStatus:
        unsafe extern "C" fn(dec::CUvideodecoder, c_int, *mut dec::CUVIDGETDECODESTATUS) -> u32,
    cuvidReconfigureDecoder:
        unsafe extern "C" fn(dec::CUvideodecoder, *mut dec::CUVIDRECONFIGUREDECODERINFO) -> u32,
    cuvidMapVideoFrame64: unsafe extern "C" fn(
        dec::CUvideodecoder,
        c_int,
        *mut u64,
        *mut c_uint,
        *mut dec::CUVIDPROCPARAMS,
    ) -> u32,
    cuvidUnmapVideoFrame64: unsafe extern "C" fn(dec::CUvideodecoder, u64) -> u32,
    cuvidCreateVideoParser: Create<parse::CUvideoparser, parse::CUVIDPARSERPARAMS>,
    cuvidParseVideoData: unsafe extern "C" fn(parse::CUvideoparser, *mut parse::CUVIDSOURCEDATAPACKET) -> u32,
    cuvidDestroyVideoParser: Destroy,
    /// Last: the functions are gone with it.
    _library: Library,
}

fn check(status: u32) -> Result<(), CudaError> {
    if status == 0 { Ok(()) } else { Err(CudaError(status)) }
}

impl Cuvid {
    /// Loads the library; none where it, or one of the functions, is not there.
    pub(crate) fn load() -> Option<Self> {
        // SAFETY: the initialisers of the driver's library have no demands.
        let library = unsafe { Library::new(LIBRARY) }.ok()?;
        macro_rules! load {
            ($($name:ident),* $(,)?) => {
                Self {
                    $($name: {
                        // SAFETY: the field's type is the function's of cuviddec.h and nvcuvid.h, with its enum
                        // results as the numbers they are in C.
                        let symbol = unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) };
                        *symbol.ok()?
                    },)*
                    _library: library,
                }
            };
        }
        Some(load!(
            cuvidGetDecoderCaps,
            cuvidCreateDecoder,
            cuvidDestroyDecoder,
            cuvidDecodePicture,
            cuvidGetDecodeStatus,
            cuvidReconfigureDecoder,
            cuvidMapVideoFrame64,
            cuvidUnmapVideoFrame64,
            cuvidCreateVideoParser,
            cuvidParseVideoData,
            cuvidDestroyVideoParser,
        ))
    }

    /// What the context's device does with 4:2:0 pictures of a format and depth.
    pub(crate) fn caps(&self, context: &Context, codec: Codec, depth: u8) -> Result<RawCaps, CudaError> {
        context.bind()?;
        let mut caps = dec::CUVIDDECODECAPS {
            eCodecType: number(codec),
            eChromaFormat: dec::cudaVideoChromaFormat::cudaVideoChromaFormat_420,
            nBitDepthMinus8: c_uint::from(depth.saturating_sub(8)),
            ..Default::default()
        };
        // SAFETY: a context is bound (above); the struct's inputs are set and its reserved fields zero; the driver writes
        // only numbers to it.
        check(unsafe { (self.cuvidGetDecoderCaps)(&raw mut caps) })?;
        Ok(RawCaps {
            supported: caps.bIsSupported != 0,
            engines: caps.nNumNVDECs,
            max: Size { width: caps.nMaxWidth, height: caps.nMaxHeight },
            min: Size { width: caps.nMinWidth.into(), height: caps.nMinHeight.into() },
            max_macroblocks: caps.nMaxMBCount,
        })
    }
}

/// `CUVIDDECODECAPS`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawCaps {
    pub(crate) supported: bool,
    pub(crate) engines: u8,
    pub(crate) max: Size,
    pub(crate) min: Size,
    pub(crate) max_macroblocks: u32,
}

const fn number(codec: Codec) -> dec::cudaVideoCodec {
    match codec {
        Codec::H264 => dec::cudaVideoCodec::cudaVideoCodec_H264,
        Codec::Hevc => dec::cudaVideoCodec::cudaVideoCodec_HEVC,
        Codec::Av1 => dec::cudaVideoCodec::cudaVideoCodec_AV1,
    }
}

/// What the parser read in a sequence header: `CUVIDEOFORMAT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// `cudaVideoChromaFormat`: 1 is 4:2:0.
    pub(crate) chroma: u32,
    pub(crate) depth: u8,
    pub(crate) progressive: bool,
    pub(crate) surfaces: u8,
    pub(crate) coded: Size,
    /// Left, top, right, bottom.
    pub(crate) display: [i32; 4],
    /// Display aspect ratio.
    pub(crate) aspect: (i32, i32),
    pub(crate) matrix: u8,
    pub(crate) full_range: bool,
}

/// A picture that is to be shown: `CUVIDPARSERDISPINFO`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) index: i32,
    pub(crate) progressive: bool,
    pub(crate) top_first: bool,
    pub(crate) timestamp: i64,
}

/// The parameters of a picture to decode, as the parser gave them; passed on unread.
pub(crate) struct Picture(*mut dec::CUVIDPICPARAMS);

impl Picture {
    /// Where it is decoded to: `CurrPicIdx`.
    pub(crate) fn index(&self) -> i32 {
        // SAFETY: the parser's pointer is valid during its callback, which a Picture does not outlive; a plain field.
        unsafe { (*self.0).CurrPicIdx }
    }
}

/// Whoever takes what a parser finds. Each gives whether to go on.
pub(crate) trait Sink {
    /// A sequence header; gives the number of surfaces, or 0 to stop.
    fn sequence(&mut self, sequence: &Sequence) -> c_int;
    /// A picture is to be decoded.
    fn decode(&mut self, picture: &Picture) -> bool;
    /// A picture is to be shown.
    fn show(&mut self, shown: &Shown) -> bool;
}

/// A parser and who takes what it finds.
pub(crate) struct Parser<S: Sink> {
    cuvid: &'static Cuvid,
    handle: parse::CUvideoparser,
    /// From Box::into_raw; the parser's callbacks use it too, but only during the calls that this makes, which borrow
    /// the parser mutably and do not touch the sink meanwhile.
    sink: *mut S,
}

// SAFETY: the parser has no thread of its own, and nothing in nvcuvid.h ties it to one; the context is bound by the sink
// on each use.
unsafe impl<S: Sink + Send> Send for Parser<S> {}

unsafe extern "C" fn on_sequence<S: Sink>(user: *mut c_void, format: *mut parse::CUVIDEOFORMAT) -> c_int {
    if user.is_null() || format.is_null() {
        return 0;
    }
    let chroma = format.wrapping_byte_add(offset_of!(parse::CUVIDEOFORMAT, chroma_format)).cast::<u32>();
    // Fields are read one by one: a newer driver may have written an enum value that Rust's type does not have.
    // SAFETY: the parser gives a pointer to a CUVIDEOFORMAT that is valid during the call; the enum has 32 bits.
    let chroma = unsafe { chroma.read() };
    // SAFETY: as above; these are numbers.
    let signal = unsafe { (*format).video_signal_description };
    // SAFETY: as above.
    let display = unsafe { (*format).display_area };
    // SAFETY: as above.
    let aspect = unsafe { (*format).display_aspect_ratio };
    // SAFETY: as above.
    let depth = unsafe { (*format).bit_depth_luma_minus8 };
    // SAFETY: as above.
    let progressive = unsafe { (*format).progressive_sequence };
    // SAFETY: as above.
    let surfaces = unsafe { (*format).min_num_decode_surfaces };
    // SAFETY: as above.
    let width = unsafe { (*format).coded_width };
    // SAFETY: as above.
    let height = unsafe { (*format).coded_height };
    let sequence = Sequence {
        chroma,
        depth: depth.saturating_add(8),
        progressive: progressive != 0,
        surfaces,
        coded: Size { width, height },
        display: [display.left, display.top, display.right, display.bottom],
        aspect: (aspect.x, aspect.y),
        matrix: signal.matrix_coefficients,
        full_range: signal.video_full_range_flag() != 0,
    };
    // SAFETY: `user` is the Parser's sink, which lives as long as the parser, and nobody else uses it during the call.
    let sink = unsafe { &mut *user.cast::<S>() };
    sink.sequence(&sequence)
}

unsafe extern "C" fn on_decode<S: Sink>(user: *mut c_void, picture: *mut dec::CUVIDPICPARAMS) -> c_int {
    if user.is_null() || picture.is_null() {
        return 0;
    }
    // SAFETY: as in on_sequence.
    let sink = unsafe { &mut *user.cast::<S>() };
    c_int::from(sink.decode(&Picture(picture)))
}

unsafe extern "C" fn on_show<S: Sink>(user: *mut c_void, shown: *mut parse::CUVIDPARSERDISPINFO) -> c_int {
    // Null at the end of a stream, where that was asked for.
    if user.is_null() || shown.is_null() {
        return 1;
    }
    // SAFETY: the parser gives a pointer to a CUVIDPARSERDISPINFO, all numbers, that is valid during the call.
    let raw = unsafe { shown.read() };
    // SAFETY: as in on_sequence.
    let sink = unsafe { &mut *user.cast::<S>() };
    c_int::from(sink.show(&Shown {
        index: raw.picture_index,
        progressive: raw.progressive_frame != 0,
        top_first: raw.top_field_first != 0,
        timestamp: raw.timestamp,
    }))
}

impl<S: Sink> Parser<S> {
    /// A parser that holds pictures back for `delay` pictures at most beyond what their order asks for.
    pub(crate) fn open(cuvid: &'static Cuvid, codec: Codec, delay: u32, sink: S) -> Result<Self, CudaError> {
        let mut parser = Self { cuvid, handle: ptr::null_mut(), sink: Box::into_raw(Box::new(sink)) };
        let mut parameters = parse::CUVIDPARSERPARAMS {
            CodecType: number(codec),
            // The sequence callback says how many there are.
            ulMaxNumDecodeSurfaces: 1,
            ulMaxDisplayDelay: delay,
            pUserData: parser.sink.cast(),
            pfnSequenceCallback: Some(on_sequence::<S>),
            pfnDecodePicture: Some(on_decode::<S>),
            pfnDisplayPicture: Some(on_show::<S>),
            ..Default::default()
        };
        // SAFETY: the struct is copied; all else in it is zero, which is each field's default; callbacks and their user
        // data outlive the parser (drop destroys it before the sink).
        check(unsafe { (cuvid.cuvidCreateVideoParser)(&raw mut parser.handle, &raw mut parameters) })?;
        Ok(parser)
    }

    /// Gives it one whole coded picture in Annex B form, or a temporal unit; callbacks run within.
    pub(crate) fn parse(&mut self, unit: &[u8], timestamp: i64) -> Result<(), CudaError> {
        let mut packet = parse::CUVIDSOURCEDATAPACKET {
            flags: PKT_TIMESTAMP | PKT_ENDOFPICTURE,
            payload_size: c_ulong::try_from(unit.len()).map_err(|_| CudaError::INVALID_VALUE)?,
            payload: unit.as_ptr(),
            timestamp,
        };
        // SAFETY: the handle is of a parser that was created; the payload is valid for the call, which copies it.
        check(unsafe { (self.cuvid.cuvidParseVideoData)(self.handle, &raw mut packet) })
    }

    /// Nothing more will come: what is held back is shown.
    pub(crate) fn finish(&mut self) -> Result<(), CudaError> {
        let mut packet = parse::CUVIDSOURCEDATAPACKET { flags: PKT_ENDOFSTREAM, ..Default::default() };
        // SAFETY: as in parse; an empty payload is what the end of a stream has.
        check(unsafe { (self.cuvid.cuvidParseVideoData)(self.handle, &raw mut packet) })
    }

    /// Who takes what it finds.
    pub(crate) fn sink(&mut self) -> &mut S {
        // SAFETY: the pointer is of a Box that only drop takes back; callbacks run only during parse and finish, which
        // cannot be under way while `self` is borrowed here.
        unsafe { &mut *self.sink }
    }

    /// As [`Self::sink`].
    pub(crate) fn sink_ref(&self) -> &S {
        // SAFETY: as in sink.
        unsafe { &*self.sink }
    }
}

impl<S: Sink> Drop for Parser<S> {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: created by open, destroyed here alone. What it says changes nothing.
            let _ = unsafe { (self.cuvid.cuvidDestroyVideoParser)(self.handle) };
        }
        // SAFETY: from Box::into_raw in open, taken back here alone, after the parser that used it is gone.
        drop(unsafe { Box::from_raw(self.sink) });
    }
}

/// What a decoder is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DecoderShape {
    pub(crate) codec: Codec,
    pub(crate) depth: u8,
    pub(crate) coded: Size,
    /// Largest coded size without being made again.
    pub(crate) max: Size,
    /// The part that is shown, in 16-bit coordinates: left, top, right, bottom.
    pub(crate) display: [i16; 4],
    /// Size of what comes out.
    pub(crate) target: Size,
    pub(crate) surfaces: u32,
    pub(crate) outputs: u32,
    pub(crate) deinterlace: bool,
}

impl DecoderShape {
    pub(crate) const fn format(&self) -> Format {
        if self.depth > 8 { Format::P016 } else { Format::Nv12 }
    }
}

/// A decoder on the device.
pub(crate) struct RawDecoder {
    cuvid: &'static Cuvid,
    handle: dec::CUvideodecoder,
    context: Context,
    /// Size of what comes out, and bytes of a sample.
    target: Size,
    bytes: u32,
    /// After what was done with the last mapped picture.
    taken: Event,
}

// SAFETY: a handle that any thread may use which has the context bound (Video Decoder programming guide: decoding and
// mapping may be on different threads); every use binds it.
unsafe impl Send for RawDecoder {}

impl RawDecoder {
    pub(crate) fn create(
        cuvid: &'static Cuvid,
        context: &Context,
        shape: &DecoderShape,
    ) -> Result<Self, CudaError> {
        context.bind()?;
        let mut decoder = Self {
            cuvid,
            handle: ptr::null_mut(),
            context: context.clone(),
            target: shape.target,
            bytes: shape.format().bytes(),
            taken: context.event()?,
        };
        let [left, top, right, bottom] = shape.display;
        let mut info = dec::CUVIDDECODECREATEINFO {
            ulWidth: shape.coded.width.into(),
            ulHeight: shape.coded.height.into(),
            ulNumDecodeSurfaces: shape.surfaces.into(),
            CodecType: number(shape.codec),
            ChromaFormat: dec::cudaVideoChromaFormat::cudaVideoChromaFormat_420,
            // cudaVideoCreate_PreferCUVID: the dedicated engine.
            ulCreationFlags: 4,
            bitDepthMinus8: shape.depth.saturating_sub(8).into(),
            ulMaxWidth: shape.max.width.into(),
            ulMaxHeight: shape.max.height.into(),
            OutputFormat: match shape.format() {
                Format::Nv12 => dec::cudaVideoSurfaceFormat::cudaVideoSurfaceFormat_NV12,
                Format::P016 => dec::cudaVideoSurfaceFormat::cudaVideoSurfaceFormat_P016,
            },
            DeinterlaceMode: if shape.deinterlace {
                dec::cudaVideoDeinterlaceMode::cudaVideoDeinterlaceMode_Adaptive
            } else {
                dec::cudaVideoDeinterlaceMode::cudaVideoDeinterlaceMode_Weave
            },
            ulTargetWidth: shape.target.width.into(),
            ulTargetHeight: shape.target.height.into(),
            ulNumOutputSurfaces: shape.outputs.into(),
            ..Default::default()
        };
        info.display_area.left = left;
        info.display_area.top = top;
        info.display_area.right = right;
        info.display_area.bottom = bottom;
        // SAFETY: a context is bound (above); the struct is copied, its reserved fields are zero.
        check(unsafe { (cuvid.cuvidCreateDecoder)(&raw mut decoder.handle, &raw mut info) })?;
        Ok(decoder)
    }

    /// Makes it ready for another size, within `max`. Only during a sequence callback.
    pub(crate) fn reconfigure(&mut self, shape: &DecoderShape) -> Result<(), CudaError> {
        self.context.bind()?;
        let [left, top, right, bottom] = shape.display;
        let mut info = dec::CUVIDRECONFIGUREDECODERINFO {
            ulWidth: shape.coded.width,
            ulHeight: shape.coded.height,
            ulTargetWidth: shape.target.width,
            ulTargetHeight: shape.target.height,
            ulNumDecodeSurfaces: shape.surfaces,
            ..Default::default()
        };
        info.display_area.left = left;
        info.display_area.top = top;
        info.display_area.right = right;
        info.display_area.bottom = bottom;
        // SAFETY: a context is bound (above), the handle is of a decoder that was created; the struct is only read.
        check(unsafe { (self.cuvid.cuvidReconfigureDecoder)(self.handle, &raw mut info) })?;
        self.target = shape.target;
        Ok(())
    }

    pub(crate) fn decode(&mut self, picture: &Picture) -> Result<(), CudaError> {
        self.context.bind()?;
        // SAFETY: as above; the parameters are the parser's own, still within its callback.
        check(unsafe { (self.cuvid.cuvidDecodePicture)(self.handle, picture.0) })
    }

    /// Whether a picture, once decoded, was found to be damaged; none where the device does not tell.
    pub(crate) fn is_damaged(&self, index: i32) -> Option<bool> {
        self.context.bind().ok()?;
        let mut status = dec::CUVIDGETDECODESTATUS::default();
        // SAFETY: as above; the driver writes a number where the struct has an enum, which is read as one (below).
        let done = unsafe { (self.cuvid.cuvidGetDecodeStatus)(self.handle, index, &raw mut status) };
        // SAFETY: the enum has 32 bits, and was zero before.
        let status = unsafe { (&raw const status.decodeStatus).cast::<u32>().read() };
        check(done).ok().map(|()| matches!(status, STATUS_ERROR | STATUS_CONCEALED))
    }

    /// Gives a decoded picture to `take` where the device has it. What `take` gives the stream to do is done when this
    /// returns.
    pub(crate) fn with_mapped<T>(
        &mut self,
        shown: &Shown,
        interlaced: bool,
        take: impl FnOnce(&Mapped) -> Result<T, CudaError>,
    ) -> Result<T, CudaError> {
        self.context.bind()?;
        let (mut address, mut pitch) = (0, 0);
        let mut parameters = dec::CUVIDPROCPARAMS {
            progressive_frame: c_int::from(!interlaced),
            top_field_first: c_int::from(shown.top_first),
            output_stream: self.context.stream().cast(),
            ..Default::default()
        };
        // SAFETY: a context is bound, the handle is of a decoder that was created, the index is the parser's; the driver
        // writes two numbers.
        check(unsafe {
            (self.cuvid.cuvidMapVideoFrame64)(
                self.handle,
                shown.index,
                &raw mut address,
                &raw mut pitch,
                &raw mut parameters,
            )
        })?;
        let taken = take(&Mapped { address, pitch: to_usize(pitch), target: self.target, bytes: self.bytes });
        let done = self.taken.record(&self.context).and_then(|()| self.taken.wait());
        // SAFETY: mapped above, unmapped here alone, with no work on it under way (above).
        let unmapped = check(unsafe { (self.cuvid.cuvidUnmapVideoFrame64)(self.handle, address) });
        let taken = taken?;
        done?;
        unmapped?;
        Ok(taken)
    }
}

/// A decoded picture where the decoder has it.
pub(crate) struct Mapped {
    address: u64,
    pitch: usize,
    target: Size,
    bytes: u32,
}

impl Mapped {
    /// Copies a plane, luma (0) or chroma (1), to a rectangle of its size, in the stream's order.
    pub(crate) fn copy(&self, plane: u32, memory: &Memory, to: Rectangle) -> Result<(), CudaError> {
        let width = to_usize(self.target.width.saturating_mul(self.bytes));
        let (first, rows) = match plane {
            0 => (0, to_usize(self.target.height)),
            _ => (to_usize(self.target.height), to_usize(self.target.height / 2)),
        };
        if to.width > width || width > self.pitch || to.height > rows {
            return Err(CudaError::INVALID_VALUE);
        }
        let offset = first.checked_mul(self.pitch).and_then(|offset| u64::try_from(offset).ok());
        let from = offset.and_then(|offset| self.address.checked_add(offset));
        let from = from.ok_or(CudaError::INVALID_VALUE)?;
        // SAFETY: the mapped picture has the target's height in rows of luma, `pitch` apart, and behind them half as many
        // of chroma (Video Decoder programming guide, 4.6); it stays until with_mapped has waited for the stream.
        unsafe { memory.copy_in(to, from, self.pitch) }
    }
}

impl Drop for RawDecoder {
    fn drop(&mut self) {
        if !self.handle.is_null() && self.context.bind().is_ok() {
            // SAFETY: created by create, destroyed here alone, with nothing mapped. What it says changes nothing.
            let _ = unsafe { (self.cuvid.cuvidDestroyDecoder)(self.handle) };
        }
    }
}
