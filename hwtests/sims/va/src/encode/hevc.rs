//! HEVC: the client's parameters checked, x265's slice data under the client's headers.

mod built;

use crate::bits::annex_b;
use crate::client::{Plain, bit, plain, word};
use crate::context::Picture;
use crate::encode::flat::{self, Flat};
use crate::encode::hevc::built::{
    built_pps, built_slice_header, built_sps, note_pps_differences, note_sps_differences,
};
use crate::encode::packed::{self, Kind, Packed};
use crate::encode::rate::{Method, Rate};
use crate::encode::x264::PictureKind;
use crate::encode::x265::{Tools, X265};
use crate::encode::{
    Coded, Previous, check_reconstructed, check_reference, failed, missing, note, parameters,
};
use crate::ffi;
use crate::hevc::{NAL_IDR, NAL_PPS, NAL_SPS, Pps, SLICE_I, SLICE_P, SliceHeader, Sps, unit_type, write_vps};
use crate::objects::{Config, Table};
use crate::status::{Answer, invalid, no};
use crate::surface::{Content, Pixels, Surface};

type Sequence = ffi::VAEncSequenceParameterBufferHEVC;
type PictureParameters = ffi::VAEncPictureParameterBufferHEVC;
type SliceParameters = ffi::VAEncSliceParameterBufferHEVC;

// SAFETY: numbers.
unsafe impl Plain for Sequence {}
// SAFETY: numbers.
unsafe impl Plain for PictureParameters {}
// SAFETY: numbers.
unsafe impl Plain for SliceParameters {}

/// An HEVC encoder.
pub(crate) struct HevcEncoder {
    profile: ffi::VAProfile,
    /// Which headers the client writes.
    packed: u32,
    rate: Rate,
    /// The rate that x265 was told last.
    told: Option<Rate>,
    sequence: Option<Sequence>,
    /// The parameter sets of the stream: the client's, or built from its parameters.
    sps: Option<Sps>,
    pps: Option<Pps>,
    x265: Option<(Tools, X265)>,
    /// What was coded once, where pictures are flat.
    flat: Option<Flat>,
    previous: Option<Previous>,
    serial: u64,
}

/// What slice data is put under.
struct Under {
    sps: Sps,
    pps: Pps,
    header: SliceHeader,
}

impl HevcEncoder {
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
            x265: None,
            previous: None,
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
        let sequence = self.sequence.ok_or_else(|| missing("VAEncSequenceParameterBufferHEVC, ever"))?;
        let parameters = parameters::<PictureParameters>(picture, ffi::VAEncPictureParameterBufferType)?
            .ok_or_else(|| missing("VAEncPictureParameterBufferHEVC"))?;
        let slice = only_slice(picture)?;
        self.rate.take(picture, Some(sequence.bits_per_second));
        let headers = packed::headers(picture, self.packed)?;
        let idr = bit(word(parameters.pic_fields), 0);
        self.take_parameter_sets(&headers, &sequence, &parameters, idr, notes)?;
        let (Some(sps), Some(pps)) = (self.sps.clone(), self.pps.clone()) else {
            return Err(missing("parameter sets: the first picture must be an IDR with its headers"));
        };
        self.check(own, picture, surfaces, &sps, &parameters, &slice)?;
        let header = self.slice_header(&headers, &sps, &pps, &parameters, &slice, notes)?;
        let input = &surfaces.get(picture.target)?.pixels;
        self.code(own, input, &headers, Under { sps, pps, header }, &parameters)
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
        let (built_sps, built_pps) = (built_sps(self.profile, sequence)?, built_pps(parameters));
        let units = || headers.iter().flat_map(|header| &header.units);
        let unit = |kind: u32| units().find(|unit| unit_type(unit) == kind);
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
        sps: &Sps,
        parameters: &PictureParameters,
        slice: &SliceParameters,
    ) -> Answer<()> {
        let fields = word(parameters.pic_fields);
        let (idr, reference) = (bit(fields, 0), bit(fields, 4));
        let poc = parameters.decoded_curr_pic.pic_order_cnt;
        check_reconstructed(parameters.decoded_curr_pic.picture_id, picture, surfaces)?;
        let trees = sps.coding_trees();
        if slice.slice_segment_address != 0 || slice.num_ctu_in_slice != trees {
            return Err(invalid(format!(
                "a slice of {} coding tree units from {}, and pictures have {trees} in one slice",
                slice.num_ctu_in_slice, slice.slice_segment_address
            )));
        }
        if !reference {
            return Err(no(ffi::VA_STATUS_ERROR_UNIMPLEMENTED));
        }
        if idr != NAL_IDR.contains(&u32::from(parameters.nal_unit_type)) {
            return Err(invalid(format!(
                "nal_unit_type {} in a picture with idr_pic_flag {idr}",
                parameters.nal_unit_type
            )));
        }
        match (u32::from(slice.slice_type), idr) {
            (SLICE_I, _) => {}
            (SLICE_P, false) => self.check_prediction(own, surfaces, parameters, slice)?,
            _ => {
                return Err(invalid(format!(
                    "slice_type {} in a picture with idr_pic_flag {idr}: this device codes IDR, I and P",
                    slice.slice_type
                )));
            }
        }
        match self.previous {
            _ if idr && poc == 0 => Ok(()),
            _ if idr => Err(invalid(format!("an IDR picture with POC {poc}"))),
            None => Err(invalid("the first picture is no IDR")),
            Some(previous) if poc <= previous.poc => Err(invalid(format!(
                "POC {poc} after POC {}: this device codes in the order of display",
                previous.poc
            ))),
            Some(_) => Ok(()),
        }
    }

    fn check_prediction(
        &self,
        own: u32,
        surfaces: &Table<Surface>,
        parameters: &PictureParameters,
        slice: &SliceParameters,
    ) -> Answer<()> {
        if slice.num_ref_idx_l0_active_minus1 != 0 {
            return Err(invalid(format!(
                "num_ref_idx_l0_active_minus1 {}, and the device takes one reference",
                slice.num_ref_idx_l0_active_minus1
            )));
        }
        let named = slice.ref_pic_list0[0];
        if named.flags & ffi::VA_PICTURE_HEVC_INVALID != 0 || named.picture_id == ffi::VA_INVALID_SURFACE {
            return Err(invalid("a P slice whose ref_pic_list0 is empty"));
        }
        let is_named = |entry: &ffi::VAPictureHEVC| {
            entry.picture_id == named.picture_id && entry.flags & ffi::VA_PICTURE_HEVC_INVALID == 0
        };
        if !parameters.reference_frames.iter().any(is_named) {
            return Err(invalid(format!(
                "surface {:#x} is in ref_pic_list0 and not in reference_frames",
                named.picture_id
            )));
        }
        check_reference(own, named.picture_id, named.pic_order_cnt, self.previous, surfaces)
    }

    /// The slice header to be written: the client's own, or one made of its parameters. QP and SAO come later.
    fn slice_header(
        &self,
        headers: &[Packed],
        sps: &Sps,
        pps: &Pps,
        parameters: &PictureParameters,
        slice: &SliceParameters,
        notes: &mut Vec<String>,
    ) -> Answer<SliceHeader> {
        let built = built_slice_header(sps, parameters, slice, self.previous);
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
        // Some clients end theirs with its byte_alignment.
        if ![own.bits, (own.bits + 1).next_multiple_of(8)].contains(&packed.last_bits) {
            notes.push(format!(
                "the packed slice header has {} bits, and its syntax is {} bits long",
                packed.last_bits, own.bits
            ));
        }
        let flag = u32::from;
        let mut pairs = vec![
            ("nal_unit_type", own.nal_unit_type, built.nal_unit_type),
            ("slice_type", own.slice_type, built.slice_type),
            ("slice_pic_order_cnt_lsb", own.poc_lsb, built.poc_lsb),
            ("slice_pic_parameter_set_id", own.pps_id, built.pps_id),
            (
                "slice_deblocking_filter_disabled_flag",
                flag(own.deblocking_disabled),
                flag(built.deblocking_disabled),
            ),
        ];
        if own.slice_type == SLICE_P {
            pairs.push(("MaxNumMergeCand", own.max_num_merge_cand, built.max_num_merge_cand));
            pairs.push(("slice_temporal_mvp_enabled_flag", flag(own.temporal_mvp), flag(built.temporal_mvp)));
        }
        note("slice header", &pairs, notes);
        if own.slice_type == SLICE_P {
            let used: Vec<i32> =
                own.short_term.before.iter().filter(|(_, used)| *used).map(|(delta, _)| *delta).collect();
            let wanted =
                self.previous.map(|previous| previous.poc - parameters.decoded_curr_pic.pic_order_cnt);
            if used.len() != 1 || used.first().copied() != wanted || own.num_ref_idx_active[0] != 1 {
                return Err(invalid(format!(
                    "the packed slice header refers to {used:?} with {} entries, and the device refers to {wanted:?} alone",
                    own.num_ref_idx_active[0]
                )));
            }
        }
        if own.weights.is_some() || own.cabac_init || own.entry_points > 0 {
            return Err(no(ffi::VA_STATUS_ERROR_UNIMPLEMENTED));
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
    ) -> Answer<Coded> {
        let Under { sps, pps, header } = &under;
        let idr = header.is_idr();
        let constant = self.rate.method == Method::Cqp;
        let tools = tools(input, &under, constant, self.x265.as_ref().map(|(tools, _)| tools))?;
        let rate_changed = self.prepare(tools, idr)?;
        let Some((_, x265)) = &mut self.x265 else { return Err(failed("x265")) };
        check_coder(x265, sps, pps)?;
        let kind = match (idr, header.slice_type) {
            (true, _) => PictureKind::Idr,
            (false, SLICE_I) => PictureKind::Intra,
            _ => PictureKind::Predicted,
        };
        let client_qp = 26 + pps.init_qp_minus26 + header.slice_qp_delta;
        if constant && !(0..=51).contains(&client_qp) {
            return Err(invalid(format!("a QP of {client_qp}")));
        }
        let slices = match &mut self.flat {
            Some(made) => made.slices(kind, (tools.layout, tools.width, tools.height), |grey| {
                x265.encode(grey, kind, &Rate { method: Method::Cqp, ..self.rate }, flat::QP)
            }),
            None => x265.encode(input, kind, &self.rate, client_qp),
        };
        let slices = slices.ok_or_else(|| failed("x265"))?;
        let mut bytes = Vec::new();
        for unit in
            headers.iter().filter(|header| header.kind != Kind::Slice).flat_map(|header| &header.units)
        {
            annex_b(unit, &mut bytes);
        }
        if idr && self.packed & ffi::VA_ENC_PACKED_HEADER_SEQUENCE == 0 {
            annex_b(
                &write_vps(sps.profile, sps.max_dec_pic_buffering_minus1, sps.max_num_reorder),
                &mut bytes,
            );
            annex_b(&sps.write(), &mut bytes);
            annex_b(&pps.write(), &mut bytes);
        }
        let slices_at = bytes.len();
        let mut qp = 0;
        for unit in &slices.units {
            qp = rewrite(unit, x265, &under, &mut bytes).ok_or_else(|| failed("x265"))?;
        }
        self.serial += 1;
        let poc = parameters.decoded_curr_pic.pic_order_cnt;
        let surface = parameters.decoded_curr_pic.picture_id;
        self.previous = Some(Previous { surface, serial: self.serial, poc, frame_num: 0 });
        let content = Content::Reference { context: own, serial: self.serial, poc, frame_num: 0 };
        Ok(Coded {
            bytes,
            slices_at,
            reconstructed: (surface, slices.reconstructed, content),
            coded_buffer: parameters.coded_buf,
            average_qp: u32::try_from(qp.max(0)).unwrap_or(0),
            idr,
            rate_changed,
        })
    }

    /// Has x265 ready for these tools and this rate; answers whether that rate is new to it.
    fn prepare(&mut self, tools: Tools, idr: bool) -> Answer<bool> {
        match &mut self.x265 {
            Some((of, _)) if *of == tools => {}
            Some(_) if !idr => {
                return Err(invalid(format!("the tools change to {tools:?} with a picture that is no IDR")));
            }
            _ => {
                self.x265 = Some((tools, X265::open(&tools, &self.rate).ok_or_else(|| failed("x265"))?));
                self.flat = self.flat.take().map(|_| Flat::default());
            }
        }
        let told = self.told.replace(self.rate);
        Ok(told.is_some_and(|told| told != self.rate))
    }
}

/// The one slice that a picture has.
fn only_slice(picture: &Picture) -> Answer<SliceParameters> {
    let mut slices = picture
        .all(ffi::VAEncSliceParameterBufferType)
        .flat_map(|part| part.elements())
        .filter_map(plain::<SliceParameters>);
    let slice = slices.next().ok_or_else(|| missing("VAEncSliceParameterBufferHEVC"))?;
    match slices.count() {
        0 => Ok(slice),
        more => Err(invalid(format!("{} slices, and the device codes one a picture", more + 1))),
    }
}

/// What x265 is to be opened with. What only inter slices say stays as it was in intra ones.
fn tools(input: &Pixels, under: &Under, constant_qp: bool, before: Option<&Tools>) -> Answer<Tools> {
    let Under { sps, pps, header } = under;
    let (width, height) = visible_size(sps, input)?;
    let inter = header.slice_type == SLICE_P;
    let merge = match before {
        Some(before) if !inter => before.max_num_merge_cand,
        _ if inter => header.max_num_merge_cand,
        // An IDR picture comes first, and does not say; what all clients have is the most there can be.
        _ => 5,
    };
    Ok(Tools {
        layout: input.layout,
        width,
        height,
        coding_tree: 1 << (sps.log2_min_coding_block + sps.log2_diff_coding_block),
        min_coding_block: 1 << sps.log2_min_coding_block,
        max_transform_block: 1 << (sps.log2_min_transform_block + sps.log2_diff_transform_block),
        depth_inter: sps.depth_inter,
        depth_intra: sps.depth_intra,
        amp: sps.amp,
        sao: sps.sao,
        strong_intra_smoothing: sps.strong_intra_smoothing,
        temporal_mvp: sps.temporal_mvp,
        sign_data_hiding: pps.sign_data_hiding,
        transform_skip: pps.transform_skip,
        constrained_intra: pps.constrained_intra_pred,
        cu_qp_delta_depth: pps.cu_qp_delta_depth,
        constant_qp,
        cb_qp_offset: pps.cb_qp_offset + header.cb_qp_offset,
        cr_qp_offset: pps.cr_qp_offset + header.cr_qp_offset,
        max_num_merge_cand: merge,
        deblocking: !header.deblocking_disabled,
        beta_offset_div2: header.beta_offset_div2,
        tc_offset_div2: header.tc_offset_div2,
    })
}

/// The picture within the conformance window; without one, the input's, where that is the same but for padding.
fn visible_size(sps: &Sps, input: &Pixels) -> Answer<(usize, usize)> {
    let [left, right, top, bottom] = sps.window.unwrap_or_default();
    let mut size = [
        sps.width.saturating_sub(2 * (left + right)) as usize,
        sps.height.saturating_sub(2 * (top + bottom)) as usize,
    ];
    let block = 1 << sps.log2_min_coding_block;
    for (size, (input, coded)) in
        size.iter_mut().zip([(input.width, sps.width as usize), (input.height, sps.height as usize)])
    {
        if sps.window.is_none() && *size > input && input.next_multiple_of(block) == coded {
            *size = input;
        }
        if *size > input || *size == 0 {
            return Err(invalid(format!(
                "the sequence's pictures are {size} samples across, and the input's {input}"
            )));
        }
    }
    Ok((size[0], size[1]))
}

/// What x265 made of it must be what the stream's parameter sets say.
fn check_coder(x265: &X265, sps: &Sps, pps: &Pps) -> Answer<()> {
    let coder = (&x265.sps, &x265.pps);
    let data_of_sps = |sps: &Sps| {
        (
            (sps.width, sps.height, sps.bit_depth_luma, sps.bit_depth_chroma),
            (sps.log2_min_coding_block, sps.log2_diff_coding_block),
            (sps.log2_min_transform_block, sps.log2_diff_transform_block, sps.depth_inter, sps.depth_intra),
            (
                sps.scaling_list_enabled,
                sps.amp,
                sps.sao,
                sps.pcm,
                sps.strong_intra_smoothing,
                sps.temporal_mvp,
            ),
        )
    };
    let data_of_pps = |pps: &Pps| {
        (
            (pps.sign_data_hiding, pps.constrained_intra_pred, pps.transform_skip, pps.cu_qp_delta_depth),
            (
                pps.weighted_pred,
                pps.transquant_bypass,
                pps.entropy_coding_sync,
                pps.log2_parallel_merge_level,
            ),
        )
    };
    if data_of_sps(coder.0) != data_of_sps(sps) || data_of_pps(coder.1) != data_of_pps(pps) {
        eprintln!("simulated driver: asked {:?} {:?}", data_of_sps(sps), data_of_pps(pps));
        eprintln!("simulated driver: x265  {:?} {:?}", data_of_sps(coder.0), data_of_pps(coder.1));
        return Err(invalid(
            "tools that the device does not have (see VAConfigAttribEncHEVCFeatures and BlockSizes)",
        ));
    }
    Ok(())
}

/// Puts a slice of x265's under the stream's own header; answers its QP.
fn rewrite(unit: &[u8], x265: &X265, Under { sps, pps, header }: &Under, bytes: &mut Vec<u8>) -> Option<i32> {
    let own = SliceHeader::parse(unit, &x265.sps, &x265.pps).ok()?;
    let qp = 26 + x265.pps.init_qp_minus26 + own.slice_qp_delta;
    let header = SliceHeader {
        slice_qp_delta: qp - 26 - pps.init_qp_minus26,
        // What the coder decided picture by picture.
        sao_luma: own.sao_luma,
        sao_chroma: own.sao_chroma,
        ..header.clone()
    };
    if header.slice_type == SLICE_P {
        let same = (own.temporal_mvp, own.max_num_merge_cand, own.num_ref_idx_active[0], own.slice_type)
            == (header.temporal_mvp, header.max_num_merge_cand, 1, SLICE_P);
        if !same {
            eprintln!("simulated driver: x265's slice {own:?} under {header:?}");
            return None;
        }
    }
    let mut writer = header.write(sps, pps);
    writer.trail();
    // byte_alignment is a one and zeros: at least one bit.
    writer.bytes(unit.get((own.bits + 1).div_ceil(8)..)?);
    annex_b(&writer.finish(), bytes);
    Some(qp)
}
