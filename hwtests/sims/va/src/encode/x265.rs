//! x265, made to do what the parameters around its slices say.

use std::ffi::{CStr, c_int};
use std::ptr::NonNull;

use sim_state::rate_control::{Glance, RateController};

use crate::bits::{split_annex_b, unescape};
use crate::encode::rate::{Method, Rate};
use crate::encode::x264::{PictureKind, Slices};
use crate::ffi;
use crate::hevc::{NAL_LAST_SLICE, NAL_PPS, NAL_SPS, Pps, Sps, unit_type};
use crate::surface::{Layout, Pixels};

const PRESET: &CStr = c"ultrafast";
const TUNE: &CStr = c"zerolatency";
const NO_POOLS: &CStr = c"none";

/// What slice data depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tools {
    pub(crate) layout: Layout,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) coding_tree: u32,
    pub(crate) min_coding_block: u32,
    pub(crate) max_transform_block: u32,
    pub(crate) depth_inter: u32,
    pub(crate) depth_intra: u32,
    pub(crate) amp: bool,
    pub(crate) sao: bool,
    pub(crate) strong_intra_smoothing: bool,
    pub(crate) temporal_mvp: bool,
    pub(crate) sign_data_hiding: bool,
    pub(crate) transform_skip: bool,
    pub(crate) constrained_intra: bool,
    /// diff_cu_qp_delta_depth, where QP varies within pictures.
    pub(crate) cu_qp_delta_depth: Option<u32>,
    /// The client gives each picture's QP, and wants it everywhere in it.
    pub(crate) constant_qp: bool,
    pub(crate) cb_qp_offset: i32,
    pub(crate) cr_qp_offset: i32,
    pub(crate) max_num_merge_cand: u32,
    pub(crate) deblocking: bool,
    pub(crate) beta_offset_div2: i32,
    pub(crate) tc_offset_div2: i32,
}

/// An encoder.
pub(crate) struct X265 {
    api: &'static ffi::x265_api,
    raw: NonNull<ffi::x265_encoder>,
    parameters: NonNull<ffi::x265_param>,
    tools: Tools,
    pub(crate) sps: Sps,
    pub(crate) pps: Pps,
    pictures: i64,
    controller: RateController,
}

// SAFETY: an encoder has no tie to the thread that made it; `&mut self` keeps its use to one at a time.
unsafe impl Send for X265 {}

/// The QP of every picture is forced; which method x265 has decides only whether QP may vary within one.
fn set_method(parameters: &mut ffi::x265_param, tools: &Tools) {
    let varies = tools.cu_qp_delta_depth.is_some();
    let method = if varies { ffi::X265_RC_CRF } else { ffi::X265_RC_CQP };
    parameters.rc.rateControlMode = c_int::try_from(method).unwrap_or(0);
    parameters.rc.cuTree = 0;
    parameters.rc.aqMode = c_int::from(varies);
    parameters.rc.aqStrength = if tools.constant_qp { 0.0 } else { 0.5 };
}

fn set_tools(parameters: &mut ffi::x265_param, tools: &Tools, rate: &Rate) -> Option<()> {
    let flag = c_int::from;
    parameters.sourceWidth = c_int::try_from(tools.width).ok()?;
    parameters.sourceHeight = c_int::try_from(tools.height).ok()?;
    parameters.internalCsp = c_int::try_from(ffi::X265_CSP_I420).ok()?;
    (parameters.fpsNum, parameters.fpsDenom) = rate.frame_rate;
    parameters.logLevel = c_int::try_from(ffi::X265_LOG_ERROR).ok()?;
    parameters.numaPools = NO_POOLS.as_ptr();
    parameters.frameNumThreads = 1;
    parameters.bEnableWavefront = 0;
    parameters.maxNumReferences = 1;
    parameters.bframes = 0;
    parameters.lookaheadDepth = 0;
    parameters.scenecutThreshold = 0;
    parameters.bOpenGOP = 0;
    // Key frames are the client's alone; an intra picture that is none must not become one.
    parameters.keyframeMax = c_int::MAX;
    parameters.keyframeMin = c_int::MAX / 4;
    parameters.bRepeatHeaders = 0;
    parameters.bAnnexB = 1;
    parameters.bEmitInfoSEI = 0;
    parameters.maxCUSize = tools.coding_tree;
    parameters.minCUSize = tools.min_coding_block;
    parameters.maxTUSize = tools.max_transform_block;
    parameters.tuQTMaxInterDepth = tools.depth_inter + 1;
    parameters.tuQTMaxIntraDepth = tools.depth_intra + 1;
    // Asymmetric partitions come only with rectangular ones.
    parameters.bEnableRectInter = flag(tools.amp);
    parameters.bEnableAMP = flag(tools.amp);
    // Decided by what the larger blocks came to.
    parameters.limitModes = u32::from(tools.amp);
    parameters.bEnableSAO = flag(tools.sao);
    parameters.bEnableStrongIntraSmoothing = flag(tools.strong_intra_smoothing);
    parameters.bEnableTemporalMvp = flag(tools.temporal_mvp);
    parameters.bEnableSignHiding = flag(tools.sign_data_hiding);
    parameters.bEnableTransformSkip = flag(tools.transform_skip);
    parameters.bEnableConstrainedIntra = flag(tools.constrained_intra);
    parameters.bEnableWeightedPred = 0;
    parameters.maxNumMergeCand = tools.max_num_merge_cand;
    parameters.cbQpOffset = tools.cb_qp_offset;
    parameters.crQpOffset = tools.cr_qp_offset;
    parameters.bEnableLoopFilter = flag(tools.deblocking);
    parameters.deblockingFilterBetaOffset = tools.beta_offset_div2;
    parameters.deblockingFilterTCOffset = tools.tc_offset_div2;
    parameters.psyRd = 0.0;
    parameters.psyRdoq = 0.0;
    parameters.rc.qgSize = tools.coding_tree >> tools.cu_qp_delta_depth.unwrap_or(0).min(3);
    Some(())
}

impl X265 {
    /// `None` where x265 refuses.
    pub(crate) fn open(tools: &Tools, rate: &Rate) -> Option<Self> {
        let depth = if tools.layout == Layout::P010 { 10 } else { 8 };
        // SAFETY: takes any depth; the table that it gives is static, or null where the depth is not built in.
        let api = unsafe { ffi::x265_api_get(depth) };
        // SAFETY: as above.
        let api: &'static ffi::x265_api = unsafe { api.as_ref() }?;
        // SAFETY: takes nothing, gives parameters to be freed, or null.
        let parameters = NonNull::new(unsafe { api.param_alloc?() })?;
        // SAFETY: parameters of its own making, and two strings that end; both names exist in every x265.
        unsafe { api.param_default_preset?(parameters.as_ptr(), PRESET.as_ptr(), TUNE.as_ptr()) };
        // SAFETY: allocated above, and used by nobody else.
        let fields = unsafe { &mut *parameters.as_ptr() };
        set_tools(fields, tools, rate)?;
        set_method(fields, tools);
        // SAFETY: whole parameters, from the library's own defaults; it copies them.
        let raw = NonNull::new(unsafe { api.encoder_open?(parameters.as_ptr()) })?;
        let (sps, pps) = (Sps::default(), Pps::default());
        let mut encoder = Self {
            api,
            raw,
            parameters,
            tools: *tools,
            sps,
            pps,
            pictures: 0,
            controller: RateController::default(),
        };
        for unit in encoder.headers()? {
            match unit_type(&unit) {
                NAL_SPS => encoder.sps = Sps::parse(&unit).ok()?,
                NAL_PPS => encoder.pps = Pps::parse(&unit).ok()??,
                _ => {}
            }
        }
        Some(encoder)
    }

    fn headers(&mut self) -> Option<Vec<Vec<u8>>> {
        let mut units: *mut ffi::x265_nal = std::ptr::null_mut();
        let mut count = 0;
        // SAFETY: an open encoder, and room for both answers.
        let size = unsafe { self.api.encoder_headers?(self.raw.as_ptr(), &raw mut units, &raw mut count) };
        collect(units, count, size)
    }

    /// Codes a picture that is no smaller than the encoder's size.
    pub(crate) fn encode(
        &mut self,
        picture: &Pixels,
        kind: PictureKind,
        rate: &Rate,
        client_qp: i32,
    ) -> Option<Slices> {
        let samples = u32::try_from(self.tools.width * self.tools.height).unwrap_or(u32::MAX);
        let inter = kind == PictureKind::Predicted;
        let target = rate.target();
        let chosen = matches!(rate.method, Method::Cbr | Method::Vbr | Method::Qvbr)
            .then(|| self.controller.next(inter, &target, glance(picture, &self.tools), samples));
        let qp = match (rate.method, chosen) {
            (_, Some(chosen)) => chosen.qp,
            (Method::Icq, None) => i32::try_from(rate.quality).unwrap_or(23),
            (_, None) => client_qp,
        };
        let slice_type = match kind {
            PictureKind::Idr => ffi::X265_TYPE_IDR,
            PictureKind::Intra => ffi::X265_TYPE_I,
            PictureKind::Predicted => ffi::X265_TYPE_P,
        };
        let planes = self.planar(picture);
        let mut input = ffi::x265_picture::default();
        // SAFETY: the encoder's parameters, and room for one picture.
        unsafe { self.api.picture_init?(self.parameters.as_ptr(), &raw mut input) };
        input.sliceType = c_int::try_from(slice_type).ok()?;
        input.forceqp = qp + 1;
        input.pts = self.pictures;
        self.pictures += 1;
        input.bitDepth = if picture.layout == Layout::P010 { 10 } else { 8 };
        input.colorSpace = c_int::try_from(ffi::X265_CSP_I420).ok()?;
        for (plane, (bytes, stride)) in planes.iter().enumerate() {
            input.planes[plane] = bytes.as_ptr().cast_mut().cast();
            input.stride[plane] = c_int::try_from(*stride).ok()?;
        }
        let mut output = ffi::x265_picture::default();
        let mut units: *mut ffi::x265_nal = std::ptr::null_mut();
        let mut count = 0;
        // SAFETY: an open encoder; the input's planes are of its size, and x265 copies them during the call.
        let pictures = unsafe {
            self.api.encoder_encode?(
                self.raw.as_ptr(),
                &raw mut units,
                &raw mut count,
                &raw mut input,
                &raw mut output,
            )
        };
        let is_slice = |unit: &Vec<u8>| unit_type(unit) <= NAL_LAST_SLICE;
        let units: Vec<Vec<u8>> = collect(units, count, pictures)?.into_iter().filter(is_slice).collect();
        let bytes = units.iter().map(Vec::len).sum::<usize>();
        if let Some(chosen) = chosen {
            self.controller.learn(chosen, &target, u32::try_from(bytes * 8).unwrap_or(u32::MAX));
        }
        Some(Slices { units, reconstructed: Some(self.reconstructed(&output)?) })
    }

    /// Three planes of the encoder's size, each with the bytes from row to row.
    fn planar(&self, picture: &Pixels) -> [(Vec<u8>, usize); 3] {
        let size = picture.layout.sample_bytes();
        // 10 bits stand in the high end of P010's words and in the low end of x265's.
        let lower = |sample: &[u8]| (u16::from_le_bytes([sample[0], sample[1]]) >> 6).to_le_bytes();
        let (width, height) = (self.tools.width, self.tools.height);
        let chroma = (width.div_ceil(2), height.div_ceil(2));
        let mut luma = Vec::with_capacity(width * height * size);
        for row in 0..height {
            let (at, _) = picture.row(0, row);
            let row = &picture.bytes[at..at + width * size];
            if size == 1 {
                luma.extend_from_slice(row);
            } else {
                row.chunks_exact(2).for_each(|sample| luma.extend_from_slice(&lower(sample)));
            }
        }
        let mut planes = [Vec::new(), Vec::new()];
        for row in 0..chroma.1 {
            let (at, _) = picture.row(1, row);
            for pair in picture.bytes[at..at + 2 * chroma.0 * size].chunks_exact(2 * size) {
                for (plane, sample) in planes.iter_mut().zip(pair.chunks_exact(size)) {
                    if size == 1 { plane.push(sample[0]) } else { plane.extend_from_slice(&lower(sample)) }
                }
            }
        }
        let [u, v] = planes;
        [(luma, width * size), (u, chroma.0 * size), (v, chroma.0 * size)]
    }

    /// The picture as every decoder sees it.
    fn reconstructed(&self, output: &ffi::x265_picture) -> Option<Pixels> {
        let mut pixels = Pixels::new(self.tools.layout, self.tools.width, self.tools.height);
        let size = pixels.layout.sample_bytes();
        let raise = |sample: &[u8]| (u16::from_le_bytes([sample[0], sample[1]]) << 6).to_le_bytes();
        let row_of = |plane: usize, row: usize, samples: usize| {
            let from = output.planes[plane].cast::<u8>().cast_const();
            let stride = usize::try_from(output.stride[plane]).ok()?;
            if from.is_null() {
                return None;
            }
            let at = from.wrapping_add(row * stride);
            // SAFETY: x265 gives the reconstructed picture back, of the encoder's size and depth, valid until the next
            // call on the encoder; `row` and `samples` are within that size.
            Some(unsafe { std::slice::from_raw_parts(at, samples * size) })
        };
        for row in 0..pixels.height {
            let from = row_of(0, row, pixels.width)?;
            let (to, length) = pixels.row(0, row);
            for (to, from) in
                pixels.bytes[to..to + length].chunks_exact_mut(size).zip(from.chunks_exact(size))
            {
                if size == 1 { to[0] = from[0] } else { to.copy_from_slice(&raise(from)) }
            }
        }
        let width = pixels.width.div_ceil(2);
        for row in 0..pixels.rows(1) {
            let (u, v) = (row_of(1, row, width)?, row_of(2, row, width)?);
            let (to, length) = pixels.row(1, row);
            let chroma = u.chunks_exact(size).zip(v.chunks_exact(size));
            for (to, (u, v)) in pixels.bytes[to..to + length].chunks_exact_mut(2 * size).zip(chroma) {
                if size == 1 {
                    (to[0], to[1]) = (u[0], v[0]);
                } else {
                    to[..2].copy_from_slice(&raise(u));
                    to[2..].copy_from_slice(&raise(v));
                }
            }
        }
        Some(pixels)
    }
}

/// A look at a picture's luma. P010 has the upper 8 bits of a sample in its second byte.
fn glance(picture: &Pixels, tools: &Tools) -> Glance {
    let size = picture.layout.sample_bytes();
    let sample = |x: usize, y: usize| picture.bytes[picture.row(0, y).0 + x * size + size - 1];
    Glance::of(tools.width, tools.height, sample)
}

/// NAL units of an answer, without emulation prevention bytes.
fn collect(units: *mut ffi::x265_nal, count: u32, answer: c_int) -> Option<Vec<Vec<u8>>> {
    if answer <= 0 || units.is_null() {
        return None;
    }
    // SAFETY: x265 answered, so `units` has `count` entries until the next call.
    let units = unsafe { std::slice::from_raw_parts(units, usize::try_from(count).ok()?) };
    let mut out = Vec::new();
    for unit in units {
        // SAFETY: each entry has its payload's size, valid until the next call.
        let bytes =
            unsafe { std::slice::from_raw_parts(unit.payload, usize::try_from(unit.sizeBytes).ok()?) };
        out.extend(split_annex_b(bytes).into_iter().map(unescape));
    }
    Some(out)
}

impl Drop for X265 {
    fn drop(&mut self) {
        if let Some(close) = self.api.encoder_close {
            // SAFETY: opened by `open`, and closed only here.
            unsafe { close(self.raw.as_ptr()) };
        }
        if let Some(free) = self.api.param_free {
            // SAFETY: allocated by `open`, and freed only here.
            unsafe { free(self.parameters.as_ptr()) };
        }
    }
}
