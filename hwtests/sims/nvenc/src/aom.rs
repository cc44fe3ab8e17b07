//! AV1 by libaom itself: libavcodec's wrapper cannot change the rate of a running encoder.

use std::ffi::{CStr, c_int};

use crate::coder::{Coded, Failed, PictureType, Planes};
use crate::ffi;
use crate::settings::{INFINITE, Mode, Rate, Settings};

/// `cpu-used`: quick, since tests wait for it.
const SPEED: c_int = 8;
/// libaom settles to a new rate over about two buffers, devices within a second.
const LONGEST_BUFFER_MS: u64 = 400;

/// An open encoder.
pub(crate) struct Aom {
    context: Box<ffi::aom_codec_ctx_t>,
    config: Box<ffi::aom_codec_enc_cfg_t>,
    ten_bit: bool,
}

// SAFETY: libaom's encoder has no ties to the thread that made it; it is used by one at a time, as it needs `&mut`.
unsafe impl Send for Aom {}

impl Aom {
    pub(crate) fn open(settings: &Settings) -> Result<Self, Failed> {
        // SAFETY: takes nothing; the interface is static.
        let interface = unsafe { ffi::aom_codec_av1_cx() };
        let mut config = Box::new(ffi::aom_codec_enc_cfg_t::default());
        // SAFETY: libaom's own interface, and room for a configuration.
        let filled = unsafe {
            ffi::aom_codec_enc_config_default(interface, &raw mut *config, ffi::AOM_USAGE_REALTIME)
        };
        if filled != ffi::AOM_CODEC_OK {
            return Err(Failed(format!("libaom has no configuration for live video ({filled})")));
        }
        let int = |value: u32| c_int::try_from(value).unwrap_or(c_int::MAX);
        (config.g_w, config.g_h) = (settings.width, settings.height);
        config.g_threads = 1;
        config.g_timebase =
            ffi::aom_rational { num: int(settings.frame_rate.1), den: int(settings.frame_rate.0) };
        config.g_pass = ffi::AOM_RC_ONE_PASS;
        config.g_lag_in_frames = 0;
        let depth = if settings.ten_bit { 10 } else { 8 };
        (config.g_bit_depth, config.g_input_bit_depth) = (depth, depth);
        config.kf_mode = ffi::AOM_KF_AUTO;
        config.kf_min_dist = 0;
        config.kf_max_dist = if settings.gop == INFINITE { i32::MAX.unsigned_abs() } else { settings.gop };
        set_rate(&mut config, settings.rate);
        let flags = if settings.ten_bit { ffi::AOM_CODEC_USE_HIGHBITDEPTH } else { 0 };
        let mut context = Box::new(ffi::aom_codec_ctx_t::default());
        // SAFETY: room for a context, libaom's interface, and a configuration that it made, which it copies.
        let opened = unsafe {
            ffi::aom_codec_enc_init_ver(
                &raw mut *context,
                interface,
                &raw const *config,
                flags.into(),
                int(ffi::ENCODER_ABI),
            )
        };
        let mut encoder = Self { context, config, ten_bit: settings.ten_bit };
        encoder.check(opened)?;
        encoder.control(ffi::AOME_SET_CPUUSED, SPEED)?;
        encoder.control(ffi::AV1E_SET_ROW_MT, 0)?;
        encoder.set_quality(settings.rate)?;
        if let Some(colours) = settings.colours {
            for (control, value) in [
                (ffi::AV1E_SET_COLOR_PRIMARIES, int(colours.primaries)),
                (ffi::AV1E_SET_TRANSFER_CHARACTERISTICS, int(colours.transfer)),
                (ffi::AV1E_SET_MATRIX_COEFFICIENTS, int(colours.matrix)),
                (ffi::AV1E_SET_COLOR_RANGE, c_int::from(colours.full_range)),
            ] {
                // What libaom has no word for, the reserved ones, stays unspecified.
                let _refused = encoder.control(control, value);
            }
        }
        Ok(encoder)
    }

    /// Changes the rate from the next picture on.
    pub(crate) fn set_rate(&mut self, rate: Rate) -> bool {
        set_rate(&mut self.config, rate);
        // SAFETY: an open encoder, and a whole configuration that it copies.
        let set = unsafe { ffi::aom_codec_enc_config_set(&raw mut *self.context, &raw const *self.config) };
        set == ffi::AOM_CODEC_OK && self.set_quality(rate).is_ok()
    }

    /// Codes a picture, or what is left at the end of the stream.
    pub(crate) fn encode(&mut self, picture: Option<Planes<'_>>) -> Result<Vec<Coded>, Failed> {
        let context = &raw mut *self.context;
        let answer = match picture {
            Some(Planes { planes, strides, number, idr }) => {
                let format = if self.ten_bit { ffi::AOM_IMG_FMT_I42016 } else { ffi::AOM_IMG_FMT_I420 };
                let mut image = ffi::aom_image_t::default();
                let bytes = planes[0].as_mut_ptr();
                // SAFETY: room for a picture's description; its planes follow.
                unsafe {
                    ffi::aom_img_wrap(&raw mut image, format, self.config.g_w, self.config.g_h, 1, bytes)
                };
                for (plane, (to, stride)) in image.planes.iter_mut().zip(&mut image.stride).enumerate() {
                    *to = planes[plane].as_mut_ptr();
                    *stride = c_int::try_from(strides[plane]).unwrap_or(0);
                }
                let flags = if idr { ffi::AOM_EFLAG_FORCE_KF } else { 0 };
                let pts = i64::try_from(number).unwrap_or(0);
                // SAFETY: an open encoder; the planes are as long as its size wants, by the caller; libaom copies them
                // before it returns.
                unsafe { ffi::aom_codec_encode(context, &raw const image, pts, 1, flags.into()) }
            }
            // SAFETY: an open encoder.
            None => unsafe { ffi::aom_codec_encode(context, std::ptr::null(), 0, 0, 0) },
        };
        self.check(answer)?;
        let mut coded = Vec::new();
        let mut at = std::ptr::null();
        loop {
            // SAFETY: an open encoder, and its own place in what it put out.
            let packet = unsafe { ffi::aom_codec_get_cx_data(context, &raw mut at) };
            // SAFETY: null at the end, or a packet that stays until the next picture.
            let Some(packet) = (unsafe { packet.as_ref() }) else { return Ok(coded) };
            if packet.kind != ffi::AOM_CODEC_CX_FRAME_PKT {
                continue;
            }
            // SAFETY: a packet of this kind has a frame.
            let frame = unsafe { packet.data.frame };
            // SAFETY: libaom gives so many bytes.
            let bytes = unsafe { std::slice::from_raw_parts(frame.buf.cast::<u8>().cast_const(), frame.sz) };
            let key = frame.flags & ffi::AOM_FRAME_IS_KEY != 0;
            coded.push(Coded {
                number: u64::try_from(frame.pts).unwrap_or(u64::MAX),
                kind: if key { PictureType::Idr } else { PictureType::P },
                qp: self.quantizer(),
                bytes: bytes.to_vec(),
            });
        }
    }

    /// The last picture's `base_q_idx`, 0 to 255.
    fn quantizer(&mut self) -> u32 {
        let mut quantizer: c_int = 0;
        let control = c_int::try_from(ffi::AOME_GET_LAST_QUANTIZER).unwrap_or(0);
        // SAFETY: an open encoder; this control takes the place of an int.
        unsafe { ffi::aom_codec_control(&raw mut *self.context, control, &raw mut quantizer) };
        u32::try_from(quantizer).unwrap_or(0)
    }

    /// Only where a quality is asked for.
    fn set_quality(&mut self, rate: Rate) -> Result<(), Failed> {
        match rate.mode {
            Mode::ConstQp { p: quality } => {
                self.control(ffi::AOME_SET_CQ_LEVEL, quality.min(63).cast_signed())
            }
            Mode::Variable { quality: Some(quality) } => {
                self.control(ffi::AOME_SET_CQ_LEVEL, c_int::from(quality.min(63)))
            }
            Mode::Constant | Mode::Variable { quality: None } => Ok(()),
        }
    }

    fn control(&mut self, control: u32, value: c_int) -> Result<(), Failed> {
        let control = c_int::try_from(control).unwrap_or(0);
        // SAFETY: an open encoder; all controls that are set here take an int, or an unsigned one.
        let answer = unsafe { ffi::aom_codec_control(&raw mut *self.context, control, value) };
        self.check(answer)
    }

    fn check(&self, answer: ffi::aom_codec_err_t) -> Result<(), Failed> {
        if answer == ffi::AOM_CODEC_OK {
            return Ok(());
        }
        // SAFETY: takes any error; the text is static.
        let text = unsafe { ffi::aom_codec_err_to_string(answer) };
        // SAFETY: as above, and it ends.
        let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
        Err(Failed(format!("libaom: {text}")))
    }
}

/// A variable rate has no peak here, and is a constant one.
fn set_rate(config: &mut ffi::aom_codec_enc_cfg_t, rate: Rate) {
    let (mode, bits) = match rate.mode {
        Mode::ConstQp { .. } => (ffi::AOM_Q, rate.average),
        Mode::Variable { quality: Some(_) } => (ffi::AOM_CQ, rate.highest),
        Mode::Constant | Mode::Variable { quality: None } => (ffi::AOM_CBR, rate.average),
    };
    config.rc_end_usage = mode;
    config.rc_target_bitrate = (bits / 1000).max(1);
    let buffer = u64::from(rate.buffer) * 1000 / u64::from(bits.max(1));
    let buffer = u32::try_from(buffer.min(LONGEST_BUFFER_MS)).unwrap_or(0);
    config.rc_buf_sz = buffer;
    (config.rc_buf_initial_sz, config.rc_buf_optimal_sz) = (buffer * 5 / 6, buffer * 5 / 6);
}

impl Drop for Aom {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, or refused, which libaom tells by itself; destroyed once.
        unsafe { ffi::aom_codec_destroy(&raw mut *self.context) };
    }
}
