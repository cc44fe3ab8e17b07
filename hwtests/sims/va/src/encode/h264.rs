//! H.264: the client's parameters checked, x264's slice data under the client's headers.

mod built;

use crate::bits::annex_b;
use crate::client::{Plain, bit, bits, plain, word};
use crate::context::Picture;
use crate::encode::flat::{self, Flat};
use crate::encode::h264::built::{
    built_pps, built_slice_header, built_sps, note_pps_differences, note_sps_differences,
};
use crate::encode::packed::{self, Kind, Packed};
use crate::encode::rate::{Method, Rate};
use crate::encode::x264::{PictureKind, Tools, X264};
use crate::encode::{
    Coded, Previous, check_reconstructed, check_reference, failed, missing, note, parameters,
};
use crate::ffi;
use crate::h264::{NAL_PPS, NAL_SPS, Pps, SLICE_I, SLICE_P, SliceHeader, Sps};
use crate::objects::{Config, Table};
use crate::status::{Answer, invalid, no};
use crate::surface::{Content, Pixels, Surface};

type Sequence = ffi::VAEncSequenceParameterBufferH264;
type PictureParameters = ffi::VAEncPictureParameterBufferH264;
type SliceParameters = ffi::VAEncSliceParameterBufferH264;

// SAFETY: numbers.
unsafe impl Plain for Sequence {}
// SAFETY: numbers.
unsafe impl Plain for PictureParameters {}
// SAFETY: numbers.
unsafe impl Plain for SliceParameters {}

/// An H.264 encoder.
pub(crate) struct H264Encoder {
    profile: ffi::VAProfile,
    /// Which headers the client writes.
    packed: u32,
    rate: Rate,
    /// The rate that x264 was told last.
    told: Option<Rate>,
    sequence: Option<Sequence>,
    /// The parameter sets of the stream: the client's, or built from its parameters.
    sps: Option<Sps>,
    pps: Option<Pps>,
    x264: Option<(Tools, X264)>,
    /// What was coded once, where pictures are flat.
    flat: Option<Flat>,
    previous: Option<Previous>,
    last_idr_pic_id: Option<u16>,
    serial: u64,
}

impl H264Encoder {
    pub(crate) fn new(config: &Config, flat: bool) -> Self {
        Self {
            flat: flat.then(Flat::default),
            profile: config.profile,
            packed: config.packed_headers,
            rate: Rate::new(config),
            told: None,
            sequence: None,
            sps: None,
            pps: None,
            x264: None,
            previous: None,
            last_idr_pic_id: None,
            serial: 0,
        }
    }

    pub(crate) fn encode(
        &mut self,
        own: u32,
        picture: &Picture,
        surfaces: &Table<Surface>,
        notes: &mut Vec<String>,
    ) -> Answer<Coded> {
        if let Some(sequence) = parameters::<Sequence>(picture, ffi::VAEncSequenceParameterBufferType)? {
            self.sequence = Some(sequence);
        }
        let sequence = self.sequence.ok_or_else(|| missing("VAEncSequenceParameterBufferH264, ever"))?;
        let parameters = parameters::<PictureParameters>(picture, ffi::VAEncPictureParameterBufferType)?
            .ok_or_else(|| missing("VAEncPictureParameterBufferH264"))?;
        let slice = only_slice(picture)?;
        self.rate.take(picture, Some(sequence.bits_per_second));
        let headers = packed::headers(picture, self.packed)?;
        let idr = bit(word(parameters.pic_fields), 0);
        self.take_parameter_sets(&headers, &sequence, &parameters, idr, notes)?;
        let (Some(sps), Some(pps)) = (self.sps.clone(), self.pps.clone()) else {
            return Err(missing("parameter sets: the first picture must be an IDR with its headers"));
        };
        self.check(own, picture, surfaces, &sequence, &parameters, &slice)?;
        let header = self.slice_header(&headers, &sps, &pps, &parameters, &slice, notes)?;
        let input = &surfaces.get(picture.target)?.pixels;
        self.code(own, input, &headers, Under { sps, pps, header }, &parameters, visible_size(&sequence))
    }

    /// The client's parameter sets, checked against its parameters; or sets made of them.
    fn take_parameter_sets(
        &mut self,
        headers: &[Packed],
        sequence: &Sequence,
        parameters: &PictureParameters,
        idr: bool,
        notes: &mut Vec<String>,
    ) -> Answer<()> {
        let built_sps = built_sps(self.profile, sequence);
        let built_pps = built_pps(parameters);
        let units = || headers.iter().flat_map(|header| &header.units);
        let unit =
            |kind: u32| units().find(|unit| unit.first().is_some_and(|&byte| u32::from(byte & 31) == kind));
        if self.packed & ffi::VA_ENC_PACKED_HEADER_SEQUENCE == 0 {
            self.sps = Some(built_sps);
        } else if let Some(unit) = unit(NAL_SPS) {
            let sps =
                Sps::parse(unit).map_err(|_| invalid("the packed sequence parameter set is cut short"))?;
            note_sps_differences(&sps, &built_sps, notes);
            self.sps = Some(sps);
        } else if idr {
            notes.push("an IDR picture without a packed SPS, which the config says the client writes".into());
            self.sps.get_or_insert(built_sps);
        }
        if self.packed & (ffi::VA_ENC_PACKED_HEADER_PICTURE | ffi::VA_ENC_PACKED_HEADER_SEQUENCE) == 0 {
            self.pps = Some(built_pps);
        } else if let Some(unit) = unit(NAL_PPS) {
            let pps = Pps::parse(unit)
                .map_err(|_| invalid("the packed picture parameter set is cut short"))?
                .ok_or(no(ffi::VA_STATUS_ERROR_UNIMPLEMENTED))?;
            note_pps_differences(&pps, &built_pps, notes);
            self.pps = Some(pps);
        } else if idr {
            notes.push("an IDR picture without a packed PPS, which the config says the client writes".into());
            self.pps.get_or_insert(built_pps);
        }
        Ok(())
    }

    /// What holds between parameters, whatever the headers say.
    fn check(
        &self,
        own: u32,
        picture: &Picture,
        surfaces: &Table<Surface>,
        sequence: &Sequence,
        parameters: &PictureParameters,
        slice: &SliceParameters,
    ) -> Answer<()> {
        let fields = word(parameters.pic_fields);
        let (idr, reference) = (bit(fields, 0), bits(fields, 1, 2));
        let kind = u32::from(slice.slice_type) % 5;
        check_reconstructed(parameters.CurrPic.picture_id, picture, surfaces)?;
        let macroblocks =
            u32::from(sequence.picture_width_in_mbs) * u32::from(sequence.picture_height_in_mbs);
        if slice.macroblock_address != 0 || slice.num_macroblocks != macroblocks {
            return Err(invalid(format!(
                "a slice of {} macroblocks from {}, and pictures have {macroblocks} in one slice",
                slice.num_macroblocks, slice.macroblock_address
            )));
        }
        let input = &surfaces.get(picture.target)?.pixels;
        let (width, height) = visible_size(sequence);
        if width > input.width || height > input.height || width == 0 || height == 0 {
            return Err(invalid(format!(
                "the sequence's pictures are {width}x{height}, and the input's {}x{}",
                input.width, input.height
            )));
        }
        if reference == 0 {
            return Err(no(ffi::VA_STATUS_ERROR_UNIMPLEMENTED));
        }
        match (kind, idr) {
            (SLICE_I, _) => {}
            (SLICE_P, false) => self.check_prediction(own, surfaces, parameters, slice)?,
            _ => {
                return Err(invalid(format!(
                    "slice_type {} in a picture with idr_pic_flag {idr}: this device codes IDR, I and P",
                    slice.slice_type
                )));
            }
        }
        if idr {
            if parameters.frame_num != 0 || parameters.CurrPic.TopFieldOrderCnt != 0 {
                return Err(invalid(format!(
                    "an IDR picture with frame_num {} and POC {}",
                    parameters.frame_num, parameters.CurrPic.TopFieldOrderCnt
                )));
            }
            let follows_idr = self.previous.is_some_and(|previous| previous.frame_num == 0);
            if follows_idr && self.last_idr_pic_id == Some(slice.idr_pic_id) {
                return Err(invalid(format!(
                    "two IDR pictures in a row with idr_pic_id {}",
                    slice.idr_pic_id
                )));
            }
        } else {
            let Some(previous) = self.previous else {
                return Err(invalid("the first picture is no IDR"));
            };
            let modulus = 1 << (bits(word(sequence.seq_fields), 6, 4) + 4);
            let wanted = (previous.frame_num + 1) % modulus;
            if u32::from(parameters.frame_num) != wanted {
                return Err(invalid(format!("frame_num {}, and {wanted} comes next", parameters.frame_num)));
            }
        }
        Ok(())
    }

    fn check_prediction(
        &self,
        own: u32,
        surfaces: &Table<Surface>,
        parameters: &PictureParameters,
        slice: &SliceParameters,
    ) -> Answer<()> {
        let active = if slice.num_ref_idx_active_override_flag != 0 {
            slice.num_ref_idx_l0_active_minus1
        } else {
            parameters.num_ref_idx_l0_active_minus1
        };
        if active != 0 {
            return Err(invalid(format!(
                "num_ref_idx_l0_active_minus1 {active}, and the device takes one reference"
            )));
        }
        let named = slice.RefPicList0[0];
        if named.flags & ffi::VA_PICTURE_H264_INVALID != 0 || named.picture_id == ffi::VA_INVALID_SURFACE {
            return Err(invalid("a P slice whose RefPicList0 is empty"));
        }
        let is_named = |entry: &ffi::VAPictureH264| {
            entry.picture_id == named.picture_id && entry.flags & ffi::VA_PICTURE_H264_INVALID == 0
        };
        if !parameters.ReferenceFrames.iter().any(is_named) {
            return Err(invalid(format!(
                "surface {:#x} is in RefPicList0 and not in ReferenceFrames",
                named.picture_id
            )));
        }
        check_reference(own, named.picture_id, named.TopFieldOrderCnt, self.previous, surfaces)
    }

    /// The slice header to be written: the client's own, or one made of its parameters. QP comes later.
    fn slice_header(
        &self,
        headers: &[Packed],
        sps: &Sps,
        pps: &Pps,
        parameters: &PictureParameters,
        slice: &SliceParameters,
        notes: &mut Vec<String>,
    ) -> Answer<SliceHeader> {
        let built = built_slice_header(sps, pps, parameters, slice);
        let Some(packed) = headers.iter().find(|header| header.kind == Kind::Slice) else {
            if self.packed & ffi::VA_ENC_PACKED_HEADER_SLICE != 0 {
                notes.push("a slice without a packed header, which the config says the client writes".into());
            }
            return Ok(built);
        };
        let unit = packed.units.last().ok_or_else(|| invalid("an empty packed slice header"))?;
        let own = SliceHeader::parse(unit, sps, pps).map_err(|_| {
            invalid("the packed slice header is cut short, read with the stream's own parameter sets")
        })?;
        // Some clients end theirs on a byte.
        if ![own.bits, own.bits.next_multiple_of(8)].contains(&packed.last_bits) {
            notes.push(format!(
                "the packed slice header has {} bits, and its syntax is {} bits long",
                packed.last_bits, own.bits
            ));
        }
        let pairs = [
            ("nal_unit_type", own.nal_unit_type, built.nal_unit_type),
            ("first_mb_in_slice", own.first_mb, built.first_mb),
            ("slice_type modulo 5", own.kind(), built.kind()),
            ("frame_num", own.frame_num, built.frame_num),
            ("idr_pic_id", own.idr_pic_id, built.idr_pic_id),
            ("pic_order_cnt_lsb", own.pic_order_cnt_lsb, built.pic_order_cnt_lsb),
            ("pic_parameter_set_id", own.pps_id, built.pps_id),
            ("cabac_init_idc", own.cabac_init_idc, built.cabac_init_idc),
            (
                "disable_deblocking_filter_idc",
                own.disable_deblocking_filter_idc,
                built.disable_deblocking_filter_idc,
            ),
        ];
        note("slice header", &pairs, notes);
        if own.num_ref_idx_active[0] > 1 {
            return Err(invalid(format!(
                "the packed slice header has {} references, and the device takes one",
                own.num_ref_idx_active[0]
            )));
        }
        Ok(own)
    }

    fn code(
        &mut self,
        own: u32,
        input: &Pixels,
        headers: &[Packed],
        under: Under,
        parameters: &PictureParameters,
        (width, height): (usize, usize),
    ) -> Answer<Coded> {
        let Under { sps, pps, header } = &under;
        let idr = header.is_idr();
        let tools = Tools {
            width,
            height,
            level_idc: sps.level_idc,
            cabac: pps.entropy_coding_mode,
            transform_8x8: pps.transform_8x8_mode,
            constrained_intra: pps.constrained_intra_pred,
            chroma_qp_offset: pps.chroma_qp_index_offset,
            deblocking: header.disable_deblocking_filter_idc != 1,
            alpha_c0_offset_div2: header.alpha_c0_offset_div2,
            beta_offset_div2: header.beta_offset_div2,
            cabac_init_idc: header.cabac_init_idc,
        };
        let rate_changed = self.prepare(tools, idr)?;
        let Some((_, x264)) = &mut self.x264 else { return Err(failed("x264")) };
        let kind = match (idr, header.kind()) {
            (true, _) => PictureKind::Idr,
            (false, SLICE_I) => PictureKind::Intra,
            _ => PictureKind::Predicted,
        };
        let client_qp = 26 + pps.pic_init_qp_minus26 + header.slice_qp_delta;
        let constant = self.rate.method == Method::Cqp;
        if constant && !(0..=51).contains(&client_qp) {
            return Err(invalid(format!("a QP of {client_qp}")));
        }
        let slices = match &mut self.flat {
            Some(made) => made
                .slices(kind, (input.layout, width, height), |grey| x264.encode(grey, kind, Some(flat::QP))),
            None => x264.encode(input, kind, constant.then_some(client_qp)),
        };
        let slices = slices.ok_or_else(|| failed("x264"))?;
        let mut bytes = Vec::new();
        for unit in
            headers.iter().filter(|header| header.kind != Kind::Slice).flat_map(|header| &header.units)
        {
            annex_b(unit, &mut bytes);
        }
        if idr && self.packed & ffi::VA_ENC_PACKED_HEADER_SEQUENCE == 0 {
            annex_b(&sps.write(), &mut bytes);
            annex_b(&pps.write(), &mut bytes);
        }
        let slices_at = bytes.len();
        let mut qp = 0;
        for unit in &slices.units {
            qp = rewrite(unit, x264, &under, &mut bytes).ok_or_else(|| failed("x264"))?;
        }
        self.serial += 1;
        let poc = parameters.CurrPic.TopFieldOrderCnt;
        let previous = Previous {
            surface: parameters.CurrPic.picture_id,
            serial: self.serial,
            poc,
            frame_num: parameters.frame_num.into(),
        };
        self.previous = Some(previous);
        if idr {
            self.last_idr_pic_id = u16::try_from(header.idr_pic_id).ok();
        }
        let content =
            Content::Reference { context: own, serial: self.serial, poc, frame_num: previous.frame_num };
        Ok(Coded {
            bytes,
            slices_at,
            reconstructed: (previous.surface, slices.reconstructed, content),
            coded_buffer: parameters.coded_buf,
            average_qp: u32::try_from(qp.max(0)).unwrap_or(0),
            idr,
            rate_changed,
        })
    }

    /// Has x264 ready for these tools and this rate; answers whether that rate is new to it.
    fn prepare(&mut self, tools: Tools, idr: bool) -> Answer<bool> {
        match &mut self.x264 {
            Some((of, x264)) if *of == tools => {
                if self.told != Some(self.rate) && self.flat.is_none() && !x264.set_rate(&self.rate) {
                    return Err(failed("x264"));
                }
            }
            Some(_) if !idr => {
                return Err(invalid(format!("the tools change to {tools:?} with a picture that is no IDR")));
            }
            _ => {
                self.x264 = Some((tools, X264::open(&tools, &self.rate).ok_or_else(|| failed("x264"))?));
                self.flat = self.flat.take().map(|_| Flat::default());
            }
        }
        let told = self.told.replace(self.rate);
        Ok(told.is_some_and(|told| told != self.rate))
    }
}

/// What slice data is put under.
struct Under {
    sps: Sps,
    pps: Pps,
    header: SliceHeader,
}

/// The one slice that a picture has.
fn only_slice(picture: &Picture) -> Answer<SliceParameters> {
    let mut slices = picture
        .all(ffi::VAEncSliceParameterBufferType)
        .flat_map(|part| part.elements())
        .filter_map(plain::<SliceParameters>);
    let slice = slices.next().ok_or_else(|| missing("VAEncSliceParameterBufferH264"))?;
    match slices.count() {
        0 => Ok(slice),
        more => Err(invalid(format!("{} slices, and the device codes one a picture", more + 1))),
    }
}

/// Width and height within the cropping rectangle.
fn visible_size(sequence: &Sequence) -> (usize, usize) {
    let full =
        (usize::from(sequence.picture_width_in_mbs) * 16, usize::from(sequence.picture_height_in_mbs) * 16);
    if sequence.frame_cropping_flag == 0 {
        return full;
    }
    // Crop units of 4:2:0 frames are two samples each way (7.4.2.1.1).
    let cut = |a: u32, b: u32| 2 * (a as usize + b as usize);
    (
        full.0.saturating_sub(cut(sequence.frame_crop_left_offset, sequence.frame_crop_right_offset)),
        full.1.saturating_sub(cut(sequence.frame_crop_top_offset, sequence.frame_crop_bottom_offset)),
    )
}

/// Puts a slice of x264's under the stream's own header; answers its QP.
fn rewrite(unit: &[u8], x264: &X264, Under { sps, pps, header }: &Under, bytes: &mut Vec<u8>) -> Option<i32> {
    let own = SliceHeader::parse(unit, &x264.sps, &x264.pps).ok()?;
    let qp = 26 + x264.pps.pic_init_qp_minus26 + own.slice_qp_delta;
    let header = SliceHeader { slice_qp_delta: qp - 26 - pps.pic_init_qp_minus26, ..header.clone() };
    let mut writer = header.write(sps, pps);
    if pps.entropy_coding_mode {
        // cabac_alignment_one_bit (7.3.4), on both sides.
        while !writer.is_aligned() {
            writer.bit(true);
        }
        writer.bytes(&unit[own.bits.div_ceil(8)..]);
    } else {
        let end = unit.len() * 8 - usize::try_from(unit.last()?.trailing_zeros()).ok()?;
        writer.copy(unit, own.bits, end);
        while !writer.is_aligned() {
            writer.bit(false);
        }
    }
    annex_b(&writer.finish(), bytes);
    Some(qp)
}
