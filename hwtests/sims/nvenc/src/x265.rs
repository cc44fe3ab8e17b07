//! HEVC by x265 itself: libavcodec's wrapper cannot change the rate of a running encoder, and cannot be opened while its
//! caller holds libavcodec's lock for opening coders, as ffmpeg's `hevc_nvenc` does.
//!
//! x265 answers a new bit rate without an error (`x265_encoder_reconfig`) and goes on with the old one, so the simulators'
//! own rate control chooses the QP of every picture.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::OnceLock;

use sim_state::rate_control::{Choice, Glance, RateController, Target};

use crate::coder::{Coded, Failed, PictureType, Planes};
use crate::settings::{INFINITE, Mode, Rate, Settings};

/// Debian 12's x265: the library's name and `X265_BUILD`.
const LIBRARY: &CStr = c"libx265.so.199";
const BUILD: c_int = 199;
/// The client's preset is not x265's: even its fast ones take long, and tests wait for them.
const PRESET: &CStr = c"ultrafast";
/// `X265_TYPE_*`.
const AUTO: c_int = 0;
const IDR: c_int = 1;

/// The beginning of `x265_api` (x265.h of build 199).
#[repr(C)]
struct Api {
    major: c_int,
    build: c_int,
    sizes: [c_int; 5],
    bit_depth: c_int,
    version: *const c_char,
    build_info: *const c_char,
    param_alloc: unsafe extern "C" fn() -> *mut c_void,
    param_free: unsafe extern "C" fn(*mut c_void),
    param_default: unsafe extern "C" fn(*mut c_void),
    param_parse: unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char) -> c_int,
    param_apply_profile: unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int,
    param_default_preset: unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char) -> c_int,
    picture_alloc: unsafe extern "C" fn() -> *mut Picture,
    picture_free: unsafe extern "C" fn(*mut Picture),
    picture_init: unsafe extern "C" fn(*mut c_void, *mut Picture),
    encoder_open: unsafe extern "C" fn(*mut c_void) -> *mut c_void,
    encoder_parameters: unsafe extern "C" fn(*mut c_void, *mut c_void),
    encoder_reconfig: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
    encoder_reconfig_zone: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
    encoder_headers: unsafe extern "C" fn(*mut c_void, *mut *mut Nal, *mut u32) -> c_int,
    encoder_encode:
        unsafe extern "C" fn(*mut c_void, *mut *mut Nal, *mut u32, *mut Picture, *mut Picture) -> c_int,
    encoder_get_stats: unsafe extern "C" fn(*mut c_void, *mut c_void, u32),
    encoder_log: unsafe extern "C" fn(*mut c_void, c_int, *mut *mut c_char),
    encoder_close: unsafe extern "C" fn(*mut c_void),
}

/// The beginning of `x265_picture`; x265 allocates it, whatever its whole size.
#[repr(C)]
struct Picture {
    pts: i64,
    dts: i64,
    user_data: *mut c_void,
    planes: [*mut c_void; 3],
    stride: [c_int; 3],
    bit_depth: c_int,
    slice_type: c_int,
    poc: c_int,
    color_space: c_int,
    /// The QP, and one more; 0 leaves it to x265.
    force_qp: c_int,
}

/// `x265_nal`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Nal {
    kind: u32,
    bytes: u32,
    payload: *mut u8,
}

/// An open encoder.
pub(crate) struct X265 {
    api: &'static Api,
    param: *mut c_void,
    encoder: *mut c_void,
    input: *mut Picture,
    output: *mut Picture,
    settings: Settings,
    rate: Rate,
    controller: RateController,
    /// What was chosen for the pictures inside, by number.
    inside: BTreeMap<u64, Chosen>,
    since_idr: u32,
}

/// The QP of a picture.
#[derive(Clone, Copy)]
enum Chosen {
    Constant(i32),
    Controlled(Choice),
}

impl Chosen {
    const fn qp(self) -> i32 {
        match self {
            Self::Constant(qp) => qp,
            Self::Controlled(choice) => choice.qp,
        }
    }
}

// SAFETY: x265's encoder has no ties to the thread that made it; it is used by one at a time, as it needs `&mut`.
unsafe impl Send for X265 {}

type Query = unsafe extern "C" fn(c_int, c_int, *mut c_int) -> *const Api;

/// x265 of a bit depth.
fn api(ten_bit: bool) -> Result<&'static Api, Failed> {
    static QUERY: OnceLock<Option<Query>> = OnceLock::new();
    let query = *QUERY.get_or_init(|| {
        // SAFETY: libavcodec has loaded it already; its constructors ran.
        let library = unsafe { libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_LAZY) };
        if library.is_null() {
            return None;
        }
        // SAFETY: a handle that was just opened, and never closed.
        let symbol = unsafe { libc::dlsym(library, c"x265_api_query".as_ptr()) };
        // SAFETY: x265.h declares the function with this type; a null symbol becomes none.
        unsafe { std::mem::transmute::<*mut c_void, Option<Query>>(symbol) }
    });
    let query = query.ok_or_else(|| Failed(format!("{} is not there", LIBRARY.to_string_lossy())))?;
    let mut error = 0;
    // SAFETY: as x265.h has it; the library stays loaded.
    let api = unsafe { query(if ten_bit { 10 } else { 8 }, BUILD, &raw mut error) };
    // SAFETY: null, or a static structure of the build that was asked for.
    let api = unsafe { api.as_ref() }.ok_or_else(|| Failed(format!("x265 answers {error}")))?;
    if (api.major, api.build) == (1, BUILD) {
        Ok(api)
    } else {
        Err(Failed(format!("x265 has the interface {}.{}", api.major, api.build)))
    }
}

impl X265 {
    pub(crate) fn open(settings: &Settings) -> Result<Self, Failed> {
        let api = api(settings.ten_bit)?;
        // SAFETY: as x265.h has it.
        let param = unsafe { (api.param_alloc)() };
        let mut opened = Self {
            api,
            param,
            encoder: std::ptr::null_mut(),
            input: std::ptr::null_mut(),
            output: std::ptr::null_mut(),
            settings: *settings,
            rate: settings.rate,
            controller: RateController::default(),
            inside: BTreeMap::new(),
            since_idr: 0,
        };
        if param.is_null() {
            return Err(Failed("x265 has no memory".into()));
        }
        // SAFETY: `param` was allocated by x265; the texts end with a zero, the tune may be null.
        unsafe { (api.param_default_preset)(param, PRESET.as_ptr(), std::ptr::null()) };
        let gop = if settings.gop == INFINITE { "-1".to_owned() } else { settings.gop.to_string() };
        let b_frames = settings.b_frames.to_string();
        // x265 wants more than it has B-frames.
        let lookahead =
            if settings.b_frames == 0 { "0".to_owned() } else { (settings.b_frames + 1).to_string() };
        let (numerator, denominator) = settings.frame_rate;
        for (name, value) in [
            ("input-res", format!("{}x{}", settings.width, settings.height)),
            ("fps", format!("{numerator}/{denominator}")),
            ("keyint", gop),
            ("min-keyint", "1".into()),
            ("scenecut", "0".into()),
            ("open-gop", "0".into()),
            ("bframes", b_frames),
            ("b-adapt", "0".into()),
            ("b-pyramid", "0".into()),
            ("rc-lookahead", lookahead),
            ("lookahead-slices", "0".into()),
            ("cutree", "0".into()),
            ("frame-threads", "1".into()),
            ("pools", "none".into()),
            ("wpp", "0".into()),
            ("slices", "1".into()),
            ("repeat-headers", "1".into()),
            ("annexb", "1".into()),
            ("info", "0".into()),
            // Every picture is given its own.
            ("qp", "26".into()),
            ("aud", u8::from(settings.delimiters).to_string()),
            ("log-level", "error".into()),
        ] {
            opened.set(name, &value)?;
        }
        if let Some(colours) = settings.colours {
            for (name, value) in [
                ("colorprim", colours.primaries),
                ("transfer", colours.transfer),
                ("colormatrix", colours.matrix),
            ] {
                opened.set(name, &value.to_string())?;
            }
            opened.set("range", if colours.full_range { "full" } else { "limited" })?;
        }
        if let Some(profile) = settings.profile {
            let profile = CString::new(profile).unwrap_or_default();
            // SAFETY: `param` was allocated by x265; the text ends with a zero.
            if unsafe { (api.param_apply_profile)(param, profile.as_ptr()) } != 0 {
                return Err(Failed(format!("x265 has no profile {}", profile.to_string_lossy())));
            }
        }
        // SAFETY: `param` is a sound set of parameters.
        opened.encoder = unsafe { (api.encoder_open)(param) };
        // SAFETY: as x265.h has it.
        opened.input = unsafe { (api.picture_alloc)() };
        // SAFETY: as x265.h has it.
        opened.output = unsafe { (api.picture_alloc)() };
        if opened.encoder.is_null() || opened.input.is_null() || opened.output.is_null() {
            return Err(Failed("x265 does not open".into()));
        }
        Ok(opened)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Failed> {
        let (name_text, value_text) =
            (CString::new(name).unwrap_or_default(), CString::new(value).unwrap_or_default());
        // SAFETY: `param` was allocated by x265; the texts end with a zero.
        match unsafe { (self.api.param_parse)(self.param, name_text.as_ptr(), value_text.as_ptr()) } {
            0 => Ok(()),
            error => Err(Failed(format!("x265 takes no {name}={value} ({error})"))),
        }
    }

    /// Changes the rate from the next picture on.
    pub(crate) fn set_rate(&mut self, rate: Rate) {
        self.rate = rate;
    }

    /// What the pictures are to take; none where the client says their QP.
    fn target(&self) -> Option<Target> {
        let rate = &self.rate;
        let (bit_rate, least) = match rate.mode {
            Mode::ConstQp { .. } => return None,
            Mode::Constant | Mode::Variable { quality: None } => (rate.average, 1),
            Mode::Variable { quality: Some(quality) } => (rate.highest, i32::from(quality)),
        };
        let frame_rate = self.settings.frame_rate;
        Some(Target { bit_rate, peak: rate.highest, buffer: rate.buffer, frame_rate, qp: (least, 51) })
    }

    fn choose(&mut self, planes: &Planes<'_>) -> Chosen {
        let (width, height) = (self.settings.width, self.settings.height);
        // x265 begins a group there by itself.
        let idr = planes.idr
            || self.inside.is_empty() && self.since_idr == 0
            || self.since_idr >= self.settings.gop;
        self.since_idr = if idr { 1 } else { self.since_idr.saturating_add(1) };
        let Some(target) = self.target() else {
            let Mode::ConstQp { p } = self.rate.mode else { return Chosen::Constant(26) };
            return Chosen::Constant(i32::try_from(p).unwrap_or(51));
        };
        let (luma, pitch) = (&planes.planes[0], planes.strides[0]);
        let size = (usize::try_from(width).unwrap_or(0), usize::try_from(height).unwrap_or(0));
        let glance = if self.settings.ten_bit {
            let wide = |x: usize, y: usize| {
                let at = y * pitch + x * 2;
                luma[at] >> 2 | luma[at + 1] << 6
            };
            Glance::of(size.0, size.1, wide)
        } else {
            Glance::of(size.0, size.1, |x, y| luma[y * pitch + x])
        };
        Chosen::Controlled(self.controller.next(!idr, &target, glance, width.saturating_mul(height)))
    }

    /// Learns what a picture took, and gives its QP.
    fn learn(&mut self, number: u64, bytes: usize) -> u32 {
        let Some(chosen) = self.inside.remove(&number) else { return 0 };
        if let (Chosen::Controlled(choice), Some(target)) = (chosen, self.target()) {
            self.controller.learn(choice, &target, u32::try_from(bytes * 8).unwrap_or(u32::MAX));
        }
        u32::try_from(chosen.qp()).unwrap_or(0)
    }

    /// The parameter sets.
    pub(crate) fn headers(&mut self) -> Vec<u8> {
        let (mut nals, mut count) = (std::ptr::null_mut(), 0);
        // SAFETY: the encoder is open; both variables are ours.
        unsafe { (self.api.encoder_headers)(self.encoder, &raw mut nals, &raw mut count) };
        payload(nals, count)
    }

    /// Codes a picture of three planes with these strides, or none at the end of the stream.
    pub(crate) fn encode(&mut self, picture: Option<Planes<'_>>) -> Result<Option<Coded>, Failed> {
        let input = match picture {
            Some(given) => {
                let chosen = self.choose(&given);
                let Planes { planes, strides, number, idr } = given;
                self.inside.insert(number, chosen);
                // SAFETY: both were allocated by x265.
                unsafe { (self.api.picture_init)(self.param, self.input) };
                // SAFETY: allocated by x265, and used by nobody else.
                let fields = unsafe { &mut *self.input };
                for (plane, (to, stride)) in fields.planes.iter_mut().zip(&mut fields.stride).enumerate() {
                    *to = planes[plane].as_mut_ptr().cast();
                    *stride = c_int::try_from(strides[plane]).unwrap_or(0);
                }
                fields.bit_depth = if self.settings.ten_bit { 10 } else { 8 };
                fields.pts = i64::try_from(number).unwrap_or(0);
                fields.slice_type = if idr { IDR } else { AUTO };
                fields.force_qp = chosen.qp() + 1;
                self.input
            }
            None => std::ptr::null_mut(),
        };
        let (mut nals, mut count) = (std::ptr::null_mut(), 0);
        // SAFETY: the encoder is open; the picture's planes are as long as its size wants, by the caller; x265 copies
        // them before it returns.
        let answer = unsafe {
            (self.api.encoder_encode)(self.encoder, &raw mut nals, &raw mut count, input, self.output)
        };
        match answer {
            0 => Ok(None),
            1.. => {
                // SAFETY: allocated by x265, and filled with this answer.
                let fields = unsafe { &*self.output };
                let kind = match fields.slice_type {
                    1 => PictureType::Idr,
                    2 => PictureType::I,
                    3 => PictureType::P,
                    _ => PictureType::B,
                };
                let number = u64::try_from(fields.pts).unwrap_or(u64::MAX);
                let bytes = payload(nals, count);
                let qp = self.learn(number, bytes.len());
                Ok(Some(Coded { number, kind, qp, bytes }))
            }
            _ => Err(Failed("x265 fails".into())),
        }
    }
}

/// The bytes of x265's NAL units.
fn payload(nals: *mut Nal, count: u32) -> Vec<u8> {
    let count = if nals.is_null() { 0 } else { usize::try_from(count).unwrap_or(0) };
    let mut bytes = Vec::new();
    for at in 0..count {
        // SAFETY: x265 answered so many units, which stay until its next call.
        let nal = unsafe { nals.wrapping_add(at).read() };
        let length = usize::try_from(nal.bytes).unwrap_or(0);
        // SAFETY: the unit's payload has that length.
        bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(nal.payload, length) });
    }
    bytes
}

impl Drop for X265 {
    fn drop(&mut self) {
        if !self.encoder.is_null() {
            // SAFETY: opened by `open`, closed once.
            unsafe { (self.api.encoder_close)(self.encoder) };
        }
        for picture in [self.input, self.output] {
            if !picture.is_null() {
                // SAFETY: allocated by `open`, freed once.
                unsafe { (self.api.picture_free)(picture) };
            }
        }
        if !self.param.is_null() {
            // SAFETY: allocated by `open`, freed once.
            unsafe { (self.api.param_free)(self.param) };
        }
    }
}
