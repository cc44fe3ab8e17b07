//! x264, made to do what the parameters around its slices say.

use std::ffi::CStr;
use std::ptr::NonNull;

use crate::bits::{split_annex_b, unescape};
use crate::encode::rate::{Method, Rate};
use crate::ffi;
use crate::h264::{NAL_IDR, NAL_PPS, NAL_SLICE, NAL_SPS, Pps, Sps};
use crate::surface::{Layout, Pixels};

const PRESET: &CStr = c"veryfast";
const TUNE: &CStr = c"zerolatency";

/// What slice data depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tools {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) level_idc: u32,
    pub(crate) cabac: bool,
    pub(crate) transform_8x8: bool,
    pub(crate) constrained_intra: bool,
    pub(crate) chroma_qp_offset: i32,
    pub(crate) deblocking: bool,
    pub(crate) alpha_c0_offset_div2: i32,
    pub(crate) beta_offset_div2: i32,
    pub(crate) cabac_init_idc: u32,
}

/// What a picture is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PictureKind {
    Idr,
    Intra,
    Predicted,
}

/// A coded picture.
pub(crate) struct Slices {
    /// Slice NAL units, without emulation prevention bytes.
    pub(crate) units: Vec<Vec<u8>>,
    /// As every decoder sees it; none where nothing was coded.
    pub(crate) reconstructed: Option<Pixels>,
}

/// An encoder.
pub(crate) struct X264 {
    raw: NonNull<ffi::x264_t>,
    parameters: Box<ffi::x264_param_t>,
    pub(crate) sps: Sps,
    pub(crate) pps: Pps,
    pictures: i64,
}

// SAFETY: an x264_t has no tie to the thread that made it; `&mut self` keeps its use to one at a time.
unsafe impl Send for X264 {}

fn set_rate(parameters: &mut ffi::x264_param_t, rate: &Rate) {
    let method = match rate.method {
        Method::Cqp => ffi::X264_RC_CQP,
        Method::Cbr | Method::Vbr => ffi::X264_RC_ABR,
        Method::Qvbr | Method::Icq => ffi::X264_RC_CRF,
    };
    parameters.rc.i_rc_method = i32::try_from(method).unwrap_or(0);
    parameters.rc.f_rf_constant = rate.quality_factor();
    if rate.method == Method::Cqp {
        // Each picture brings its own.
        parameters.rc.i_qp_constant = 26;
        return;
    }
    parameters.rc.i_bitrate = rate.target_kbits();
    if rate.method != Method::Icq {
        parameters.rc.i_vbv_max_bitrate = rate.peak_kbits();
        parameters.rc.i_vbv_buffer_size = rate.buffer_kbits();
        parameters.rc.f_vbv_buffer_init = rate.initial_fullness();
    }
    parameters.rc.i_qp_min = i32::try_from(rate.min_qp).unwrap_or(0);
    if rate.max_qp > 0 {
        parameters.rc.i_qp_max = i32::try_from(rate.max_qp.max(rate.min_qp)).unwrap_or(51);
    }
}

impl X264 {
    /// `None` where x264 refuses.
    pub(crate) fn open(tools: &Tools, rate: &Rate) -> Option<Self> {
        let mut parameters = Box::new(ffi::x264_param_t::default());
        // SAFETY: room for the parameters, and two strings that end; both names exist in every x264.
        let known =
            unsafe { ffi::x264_param_default_preset(&raw mut *parameters, PRESET.as_ptr(), TUNE.as_ptr()) };
        if known != 0 {
            return None;
        }
        let flag = i32::from;
        parameters.i_width = i32::try_from(tools.width).ok()?;
        parameters.i_height = i32::try_from(tools.height).ok()?;
        parameters.i_csp = i32::try_from(ffi::X264_CSP_NV12).ok()?;
        parameters.i_threads = 1;
        parameters.b_sliced_threads = 0;
        parameters.i_level_idc = i32::try_from(tools.level_idc).ok()?;
        parameters.i_frame_reference = 1;
        parameters.i_bframe = 0;
        parameters.i_keyint_max = i32::try_from(ffi::X264_KEYINT_MAX_INFINITE).ok()?;
        parameters.i_scenecut_threshold = 0;
        parameters.b_cabac = flag(tools.cabac);
        parameters.i_cabac_init_idc = i32::try_from(tools.cabac_init_idc).ok()?;
        parameters.b_constrained_intra = flag(tools.constrained_intra);
        parameters.b_deblocking_filter = flag(tools.deblocking);
        parameters.i_deblocking_filter_alphac0 = tools.alpha_c0_offset_div2;
        parameters.i_deblocking_filter_beta = tools.beta_offset_div2;
        parameters.analyse.b_transform_8x8 = flag(tools.transform_8x8);
        parameters.analyse.i_weighted_pred = 0;
        // Psychovisual tuning would change the chroma offset under the picture parameter set.
        parameters.analyse.b_psy = 0;
        parameters.analyse.i_chroma_qp_offset = tools.chroma_qp_offset;
        parameters.rc.i_lookahead = 0;
        parameters.rc.b_mb_tree = 0;
        parameters.b_full_recon = 1;
        parameters.b_repeat_headers = 0;
        parameters.b_annexb = 1;
        parameters.b_vfr_input = 0;
        parameters.i_log_level = 0;
        (parameters.i_fps_num, parameters.i_fps_den) = rate.frame_rate;
        set_rate(&mut parameters, rate);
        // SAFETY: whole parameters, from the library's own defaults; it copies them.
        let raw = NonNull::new(unsafe { ffi::x264_encoder_open(&raw mut *parameters) })?;
        let mut encoder = Self { raw, parameters, sps: Sps::default(), pps: Pps::default(), pictures: 0 };
        for unit in encoder.headers()? {
            match u32::from(unit[0] & 31) {
                NAL_SPS => encoder.sps = Sps::parse(&unit).ok()?,
                NAL_PPS => encoder.pps = Pps::parse(&unit).ok()??,
                _ => {}
            }
        }
        Some(encoder)
    }

    fn headers(&mut self) -> Option<Vec<Vec<u8>>> {
        let mut units: *mut ffi::x264_nal_t = std::ptr::null_mut();
        let mut count = 0;
        // SAFETY: an open encoder, and room for both answers.
        let size = unsafe { ffi::x264_encoder_headers(self.raw.as_ptr(), &raw mut units, &raw mut count) };
        collect(units, size)
    }

    /// A new rate, from the next picture on.
    pub(crate) fn set_rate(&mut self, rate: &Rate) -> bool {
        set_rate(&mut self.parameters, rate);
        // SAFETY: an open encoder, and whole parameters that it copies from.
        unsafe { ffi::x264_encoder_reconfig(self.raw.as_ptr(), &raw mut *self.parameters) == 0 }
    }

    /// Codes a picture of the size that the encoder was opened with.
    pub(crate) fn encode(&mut self, picture: &Pixels, kind: PictureKind, qp: Option<i32>) -> Option<Slices> {
        let kind = match kind {
            PictureKind::Idr => ffi::X264_TYPE_IDR,
            PictureKind::Intra => ffi::X264_TYPE_I,
            PictureKind::Predicted => ffi::X264_TYPE_P,
        };
        let mut input = ffi::x264_picture_t::default();
        // SAFETY: room for one picture.
        unsafe { ffi::x264_picture_init(&raw mut input) };
        input.i_type = i32::try_from(kind).ok()?;
        input.i_qpplus1 = qp.map_or(0, |qp| qp + 1);
        input.i_pts = self.pictures;
        self.pictures += 1;
        input.img.i_csp = i32::try_from(ffi::X264_CSP_NV12).ok()?;
        input.img.i_plane = 2;
        input.img.i_stride = [i32::try_from(picture.pitch).ok()?; 4];
        let luma = picture.bytes.as_ptr().cast_mut();
        input.img.plane = [
            luma,
            picture.bytes.get(picture.chroma..)?.as_ptr().cast_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        ];
        let mut output = ffi::x264_picture_t::default();
        let mut units: *mut ffi::x264_nal_t = std::ptr::null_mut();
        let mut count = 0;
        // SAFETY: an open encoder; the input's two planes hold rows of `pitch` bytes for the picture's whole height, which
        // is no less than the encoder's (the caller checks), and x264 only reads them, during the call.
        let size = unsafe {
            ffi::x264_encoder_encode(
                self.raw.as_ptr(),
                &raw mut units,
                &raw mut count,
                &raw mut input,
                &raw mut output,
            )
        };
        let is_slice = |unit: &Vec<u8>| [NAL_SLICE, NAL_IDR].contains(&u32::from(unit[0] & 31));
        let units = collect(units, size)?.into_iter().filter(is_slice).collect();
        Some(Slices { units, reconstructed: Some(self.reconstructed(&output)?) })
    }

    /// The picture as every decoder sees it.
    fn reconstructed(&self, output: &ffi::x264_picture_t) -> Option<Pixels> {
        let width = usize::try_from(self.parameters.i_width).ok()?;
        let height = usize::try_from(self.parameters.i_height).ok()?;
        let mut pixels = Pixels::new(Layout::Nv12, width, height);
        for plane in 0..2 {
            let stride = usize::try_from(output.img.i_stride[plane]).ok()?;
            let from = output.img.plane[plane];
            if from.is_null() {
                return None;
            }
            for row in 0..pixels.rows(plane) {
                let (to, length) = pixels.row(plane, row);
                let at = from.wrapping_add(row * stride);
                // SAFETY: x264 gives the reconstructed picture back with b_full_recon, NV12 inside as outside, padded
                // beyond its width on every row, valid until the next call on the encoder.
                let row = unsafe { std::slice::from_raw_parts(at, length) };
                pixels.bytes[to..to + length].copy_from_slice(row);
            }
        }
        Some(pixels)
    }
}

/// NAL units of an answer, without emulation prevention bytes.
fn collect(units: *mut ffi::x264_nal_t, size: i32) -> Option<Vec<Vec<u8>>> {
    let size = usize::try_from(size).ok().filter(|&size| size > 0)?;
    // SAFETY: x264 answered with bytes, so there is at least one unit.
    let first = unsafe { units.as_ref() }?;
    // SAFETY: the payloads of all units of a call lie one after the other, `size` bytes together (x264.h), until the next
    // call.
    let bytes = unsafe { std::slice::from_raw_parts(first.p_payload, size) };
    Some(split_annex_b(bytes).into_iter().map(unescape).collect())
}

impl Drop for X264 {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, and closed only here.
        unsafe { ffi::x264_encoder_close(self.raw.as_ptr()) };
    }
}
