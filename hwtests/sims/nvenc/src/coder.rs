//! The software inside: x264 through libavcodec, x265 and libaom by themselves.

use std::collections::BTreeMap;

use ffmpeg_next::codec::packet::side_data::Type as SideData;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Dictionary, Packet, Rational, codec, encoder, frame, picture};
use sim_state::Codec;

use crate::aom::Aom;
use crate::caps::{IYUV, P010, YV12};
use crate::flat::Flat;
use crate::settings::{Headers, INFINITE, Mode, Rate, Settings};
use crate::x265::X265;

/// libavcodec's factor from a QP to its lambda (`FF_QP2LAMBDA`).
const QP_TO_LAMBDA: u32 = 118;
/// Added to the level of what the software logs, so that only its errors are seen (libavutil's levels are 8 apart).
const QUIETER: i32 = 8;

/// A picture to code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picture<'a> {
    /// `NV_ENC_BUFFER_FORMAT`.
    pub(crate) format: u32,
    /// Bytes from one row of luma to the next.
    pub(crate) pitch: usize,
    /// Rows of luma before chroma begins.
    pub(crate) rows: usize,
    pub(crate) bytes: &'a [u8],
}

/// A picture as the software takes it: its planes, their bytes a row, its number, and whether it is to be an IDR picture.
pub(crate) struct Planes<'a> {
    pub(crate) planes: &'a mut [Vec<u8>; 3],
    pub(crate) strides: [usize; 3],
    pub(crate) number: u64,
    pub(crate) idr: bool,
}

/// `NV_ENC_PIC_TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PictureType {
    P = 0,
    B = 1,
    I = 2,
    Idr = 3,
}

/// A coded picture.
#[derive(Debug)]
pub(crate) struct Coded {
    /// The number it was given with.
    pub(crate) number: u64,
    pub(crate) kind: PictureType,
    pub(crate) qp: u32,
    pub(crate) bytes: Vec<u8>,
}

/// The software does not do what is asked of it.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

/// A software encoder.
pub(crate) struct Coder {
    settings: Settings,
    software: Software,
    /// Pictures whose parameter sets were asked for by a flag.
    asked: BTreeMap<u64, ()>,
    first_out: bool,
}

/// What codes.
enum Software {
    X264(Box<encoder::video::Encoder>),
    X265(Box<X265>),
    Aom(Aom),
    Flat(Flat),
}

impl std::fmt::Debug for Coder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Coder {
    pub(crate) fn open(settings: &Settings) -> Result<Self, Failed> {
        let software = if settings.flat {
            Software::Flat(Flat::open(settings)?)
        } else {
            match settings.codec {
                Codec::H264 => Software::X264(Box::new(open(settings, false)?)),
                Codec::Hevc => Software::X265(Box::new(X265::open(settings)?)),
                Codec::Av1 => Software::Aom(Aom::open(settings)?),
            }
        };
        Ok(Self { settings: *settings, software, asked: BTreeMap::new(), first_out: true })
    }

    /// Codes a picture; what comes out is that of earlier ones, where pictures are reordered.
    pub(crate) fn send(
        &mut self,
        picture: Picture<'_>,
        number: u64,
        idr: bool,
        parameter_sets: bool,
    ) -> Result<Vec<Coded>, Failed> {
        if parameter_sets {
            self.asked.insert(number, ());
        }
        let settings = &self.settings;
        let size = (settings.width as usize, settings.height as usize);
        match &mut self.software {
            Software::Flat(inner) => {
                let coded = inner.send(number, idr)?;
                Ok(vec![self.dressed(coded)])
            }
            Software::X264(inner) => {
                let mut frame = frame::Video::new(Pixel::YUV420P, settings.width, settings.height);
                for plane in 0..3 {
                    let stride = frame.stride(plane);
                    fill(plane, (frame.data_mut(plane), stride), size, picture, settings.ten_bit);
                }
                frame.set_pts(i64::try_from(number).ok());
                frame.set_kind(if idr { picture::Type::I } else { picture::Type::None });
                inner.send_frame(&frame).map_err(|error| Failed(error.to_string()))?;
                self.receive()
            }
            Software::X265(_) | Software::Aom(_) => {
                let sample = if settings.ten_bit { 2 } else { 1 };
                let half = (size.0.div_ceil(2), size.1.div_ceil(2));
                let strides = [size.0 * sample, half.0 * sample, half.0 * sample];
                let rows = [size.1, half.1, half.1];
                let mut planes = [0, 1, 2].map(|plane: usize| vec![0; strides[plane] * rows[plane]]);
                for (plane, bytes) in planes.iter_mut().enumerate() {
                    fill(plane, (bytes, strides[plane]), size, picture, settings.ten_bit);
                }
                let planes = Some(Planes { planes: &mut planes, strides, number, idr });
                let coded = match &mut self.software {
                    Software::X265(inner) => inner.encode(planes)?.into_iter().collect(),
                    Software::Aom(inner) => inner.encode(planes)?,
                    Software::X264(_) | Software::Flat(_) => Vec::new(),
                };
                Ok(coded.into_iter().map(|coded| self.dressed(coded)).collect())
            }
        }
    }

    /// Codes what is left. Nothing can be sent afterwards.
    pub(crate) fn finish(&mut self) -> Result<Vec<Coded>, Failed> {
        match &mut self.software {
            Software::Flat(_) => Ok(Vec::new()),
            Software::X264(inner) => {
                inner.send_eof().map_err(|error| Failed(error.to_string()))?;
                self.receive()
            }
            Software::Aom(inner) => {
                let left = inner.encode(None)?;
                Ok(left.into_iter().map(|coded| self.dressed(coded)).collect())
            }
            Software::X265(inner) => {
                let mut left = Vec::new();
                while let Some(coded) = inner.encode(None)? {
                    left.push(coded);
                }
                Ok(left.into_iter().map(|coded| self.dressed(coded)).collect())
            }
        }
    }

    /// Changes the rate from the next picture on; false where the software cannot.
    pub(crate) fn set_rate(&mut self, rate: Rate) -> bool {
        if std::mem::discriminant(&rate.mode) != std::mem::discriminant(&self.settings.rate.mode) {
            return false;
        }
        match &mut self.software {
            // libavcodec compares these fields with x264's before each picture.
            Software::X264(inner) => set_rate(inner, rate),
            Software::Flat(_) => {}
            Software::X265(inner) => inner.set_rate(rate),
            Software::Aom(inner) => {
                if !inner.set_rate(rate) {
                    return false;
                }
            }
        }
        self.settings.rate = rate;
        true
    }

    /// The parameter sets, as a client may ask for them.
    pub(crate) fn parameter_sets(settings: &Settings) -> Result<Vec<u8>, Failed> {
        if settings.flat {
            let first = Flat::open(settings)?.send(0, true)?;
            return Ok(match settings.codec {
                Codec::Av1 => crate::nal::sequence_header(&first.bytes),
                codec => crate::nal::only_parameter_sets(codec, &first.bytes),
            });
        }
        if settings.codec == Codec::Hevc {
            return Ok(crate::nal::only_parameter_sets(settings.codec, &X265::open(settings)?.headers()));
        }
        if settings.codec == Codec::Av1 {
            // libaom's stand in its stream alone: that of one picture tells.
            let mut coder = Self::open(&Settings { headers: Headers::EachIdr, flat: false, ..*settings })?;
            let sample = if settings.ten_bit { 2 } else { 1 };
            let (pitch, rows) = (settings.width as usize * sample, settings.height as usize);
            let grey = vec![0x80; pitch * rows + pitch * rows.div_ceil(2)];
            let format = if settings.ten_bit { P010 } else { crate::caps::NV12 };
            let mut coded = coder.send(Picture { format, pitch, rows, bytes: &grey }, 0, true, true)?;
            coded.extend(coder.finish()?);
            return Ok(coded
                .first()
                .map(|coded| crate::nal::sequence_header(&coded.bytes))
                .unwrap_or_default());
        }
        let inner = open(settings, true)?;
        // SAFETY: the encoder is open and owns its AVCodecContext.
        let raw = unsafe { inner.as_ptr() };
        // SAFETY: as above; nothing writes to it meanwhile.
        let fields = unsafe { &*raw };
        let length = usize::try_from(fields.extradata_size).unwrap_or(0);
        if fields.extradata.is_null() {
            return Err(Failed("the software gives no parameter sets".into()));
        }
        // SAFETY: libavcodec promises extradata_size bytes at extradata.
        let bytes = unsafe { std::slice::from_raw_parts(fields.extradata, length) };
        Ok(crate::nal::only_parameter_sets(settings.codec, bytes))
    }

    fn receive(&mut self) -> Result<Vec<Coded>, Failed> {
        let mut coded = Vec::new();
        if let Software::X264(inner) = &mut self.software {
            loop {
                let mut packet = Packet::empty();
                match inner.receive_packet(&mut packet) {
                    Ok(()) => coded.push(plain(&packet)),
                    Err(ffmpeg_next::Error::Eof) => break,
                    Err(ffmpeg_next::Error::Other { errno }) if errno == ffmpeg_next::util::error::EAGAIN => {
                        break;
                    }
                    Err(error) => return Err(Failed(error.to_string())),
                }
            }
        }
        Ok(coded.into_iter().map(|coded| self.dressed(coded)).collect())
    }

    /// A coded picture with parameter sets where the settings want them, and nowhere else.
    fn dressed(&mut self, mut coded: Coded) -> Coded {
        let first = std::mem::take(&mut self.first_out);
        let with = match self.settings.headers {
            Headers::EachIdr => true,
            Headers::First => first || self.asked.remove(&coded.number).is_some(),
            Headers::Never => self.asked.remove(&coded.number).is_some(),
        };
        if !with {
            coded.bytes = crate::nal::without_parameter_sets(self.settings.codec, &coded.bytes);
        }
        coded
    }
}

/// A coded picture as libavcodec gives it.
fn plain(packet: &Packet) -> Coded {
    let number = packet.pts().and_then(|pts| u64::try_from(pts).ok()).unwrap_or(u64::MAX);
    let statistics = packet.side_data().find(|data| data.kind() == SideData::QualityStats);
    let statistics = statistics.map(|data| data.data().to_vec()).unwrap_or_default();
    let lambda = statistics.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let kind = match (packet.is_key(), statistics.get(4)) {
        (true, _) => PictureType::Idr,
        // AV_PICTURE_TYPE_I and AV_PICTURE_TYPE_B.
        (false, Some(1)) => PictureType::I,
        (false, Some(3)) => PictureType::B,
        (false, _) => PictureType::P,
    };
    Coded { number, kind, qp: lambda / QP_TO_LAMBDA, bytes: packet.data().unwrap_or_default().to_vec() }
}

fn open(settings: &Settings, global_headers: bool) -> Result<encoder::video::Encoder, Failed> {
    let name = "libx264";
    let failed = |error: ffmpeg_next::Error| Failed(format!("{name}: {error}"));
    let found = encoder::find_by_name(name).ok_or_else(|| Failed(format!("libavcodec has no {name}")))?;
    let int = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let mut context = codec::Context::new_with_codec(found);
    if global_headers {
        context.set_flags(codec::Flags::GLOBAL_HEADER);
    }
    context.set_time_base(Rational::new(int(settings.frame_rate.1), int(settings.frame_rate.0)));
    context.set_frame_rate(Some(Rational::new(int(settings.frame_rate.0), int(settings.frame_rate.1))));
    context.set_threading(codec::threading::Config { count: 1, ..codec::threading::Config::default() });
    let mut video = context.encoder().video().map_err(failed)?;
    video.set_width(settings.width);
    video.set_height(settings.height);
    video.set_format(Pixel::YUV420P);
    set_fields(&mut video, settings);
    set_rate(&mut video, settings.rate);
    let options = x264(settings);
    let options: Dictionary<'_> = options.iter().map(|(name, value)| (*name, value.as_str())).collect();
    video.open_as_with(found, options).map_err(failed)
}

fn x264(settings: &Settings) -> Vec<(&'static str, String)> {
    let gop = if settings.gop == INFINITE { "infinite".into() } else { settings.gop.to_string() };
    let mut params = format!(
        "keyint={gop}:min-keyint=1:scenecut=0:open-gop=0:force-cfr=1:bframes={}:b-adapt=0:b-pyramid=none:rc-lookahead=0:\
         sync-lookahead=0:mbtree=0:sliced-threads=0",
        settings.b_frames
    );
    if settings.delimiters {
        params.push_str(":aud=1");
    }
    let mut options = vec![
        ("preset", settings.preset.software().to_owned()),
        ("forced-idr", "1".into()),
        ("x264-params", params),
    ];
    if let Some(profile) = settings.profile {
        options.push(("profile", profile.into()));
    }
    match settings.rate.mode {
        Mode::ConstQp { p } => options.push(("qp", p.to_string())),
        Mode::Variable { quality: Some(quality) } => options.push(("crf", quality.to_string())),
        Mode::Constant | Mode::Variable { quality: None } => {}
    }
    options
}

/// What `ffmpeg-next` has no safe face for.
fn set_fields(video: &mut encoder::video::Video, settings: &Settings) {
    // SAFETY: `&mut` makes this the only pointer to the context in use.
    let raw = unsafe { video.as_mut_ptr() };
    // SAFETY: the context was allocated, and is not open; plain fields.
    let fields = unsafe { &mut *raw };
    fields.log_level_offset = QUIETER;
    if let Some(colours) = settings.colours {
        set_colours(fields, colours);
    }
}

fn set_colours(fields: &mut ffmpeg_next::ffi::AVCodecContext, colours: crate::settings::Colours) {
    use ffmpeg_next::ffi::{AVColorPrimaries, AVColorRange, AVColorSpace, AVColorTransferCharacteristic};
    // The numbers of libavutil's enums are those of H.273; only those of its own version may become one.
    let known = |value: u32, most: u32| if value <= most { value } else { 2 };
    let primaries = known(colours.primaries, 12);
    let transfer = known(colours.transfer, 18);
    let matrix = known(colours.matrix, 14);
    // SAFETY: libavutil has a primaries' value for every number to 12 (3 is reserved and has one, too).
    fields.color_primaries = unsafe { std::mem::transmute::<u32, AVColorPrimaries>(primaries) };
    // SAFETY: libavutil has a transfer's value for every number to 18.
    fields.color_trc = unsafe { std::mem::transmute::<u32, AVColorTransferCharacteristic>(transfer) };
    // SAFETY: libavutil has a matrix' value for every number to 14.
    fields.colorspace = unsafe { std::mem::transmute::<u32, AVColorSpace>(matrix) };
    fields.color_range =
        if colours.full_range { AVColorRange::AVCOL_RANGE_JPEG } else { AVColorRange::AVCOL_RANGE_MPEG };
}

fn set_rate(video: &mut encoder::video::Video, rate: Rate) {
    // SAFETY: `&mut` makes this the only pointer to the context in use.
    let raw = unsafe { video.as_mut_ptr() };
    // SAFETY: the context was allocated; plain fields.
    let fields = unsafe { &mut *raw };
    let constant_qp = matches!(rate.mode, Mode::ConstQp { .. });
    let int = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    fields.bit_rate = match rate.mode {
        Mode::ConstQp { .. } | Mode::Variable { quality: Some(_) } => 0,
        _ => i64::from(rate.average),
    };
    fields.rc_max_rate = if constant_qp { 0 } else { i64::from(rate.highest) };
    fields.rc_min_rate = if rate.mode == Mode::Constant { i64::from(rate.average) } else { 0 };
    fields.rc_buffer_size = if constant_qp { 0 } else { int(rate.buffer) };
}

/// Copies one plane of a picture (0 luma, 1 and 2 chroma) into a plane of the software's, with its bytes a row.
fn fill(
    plane: usize,
    (target, stride): (&mut [u8], usize),
    (width, height): (usize, usize),
    picture: Picture<'_>,
    ten_bit: bool,
) {
    let (width, height) = if plane == 0 { (width, height) } else { (width.div_ceil(2), height.div_ceil(2)) };
    let planar = picture.format == IYUV || picture.format == YV12;
    // Which of the planes behind luma it is, and where its first row begins.
    let second = (plane == 2) == (picture.format == IYUV);
    let chroma = picture.pitch * picture.rows;
    let (start, pitch, first, step) = match plane {
        0 => (0, picture.pitch, 0, 1),
        _ if planar && second => {
            (chroma + picture.pitch / 2 * picture.rows.div_ceil(2), picture.pitch / 2, 0, 1)
        }
        _ if planar => (chroma, picture.pitch / 2, 0, 1),
        _ => (chroma, picture.pitch, plane - 1, 2),
    };
    let wide = picture.format == P010;
    for (y, to) in target.chunks_mut(stride).take(height).enumerate() {
        let from = picture.bytes.get(start + y * pitch..).unwrap_or_default();
        if !wide && !ten_bit && step == 1 {
            to[..width].copy_from_slice(&from[..width]);
            continue;
        }
        if !wide && !ten_bit {
            to.iter_mut().zip(from.as_chunks::<2>().0).take(width).for_each(|(to, pair)| *to = pair[first]);
            continue;
        }
        // By samples of 10 bits, which P010 has in the high ones.
        let sample = |x: usize| {
            let at = first + x * step;
            if wide {
                u16::from_le_bytes([from[at * 2], from[at * 2 + 1]]) >> 6
            } else {
                u16::from(from[at]) << 2
            }
        };
        for x in 0..width {
            if ten_bit {
                to[x * 2..x * 2 + 2].copy_from_slice(&sample(x).to_le_bytes());
            } else {
                to[x] = u8::try_from(sample(x) >> 2).unwrap_or(u8::MAX);
            }
        }
    }
}
