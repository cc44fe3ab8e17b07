//! HEVC: parameter sets, the order of pictures, references, and what the driver is told of them.

mod dpb;
#[cfg(test)]
pub(super) mod fuzz;
mod parameters;
mod pps;
mod references;
mod scaling;
mod slice;
mod sps;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bits::SyntaxError;
use super::nal::Payload;
use super::output::Shown;
use super::session::{Form, Session, Window};
use super::{DecodeError, Shape};
use crate::device::{Codec, Device};
use crate::ffi::va::VASliceParameterBufferHEVC;
use crate::ffi::words::HevcLongSliceFlags;
use crate::ffi::{Buffer, Surface};
use crate::frame::{Colour, Size};
use dpb::{Bounds, Dpb, ReferenceSet};
use pps::Pps;
use slice::{Shared, SliceHeader, SliceType};
use sps::Sps;

/// Bytes of a slice that are searched for its header: with the entry points of 8K wavefronts it is under 2 KiB.
const MAX_HEADER: usize = 16384;
/// Bytes of a parameter set that are read.
const MAX_SET: usize = 16384;
/// Most slice segments of a picture (table A.8 has 600).
const MAX_SLICES: usize = 600;

/// NAL unit types (ITU-T H.265, table 7-1).
const SPS: u8 = 33;
const PPS: u8 = 34;
const END_OF_SEQUENCE: u8 = 36;
const END_OF_BITSTREAM: u8 = 37;

/// Parameter sets by number.
#[derive(Default)]
struct Sets {
    sps: BTreeMap<u8, Arc<Sps>>,
    pps: BTreeMap<u8, Pps>,
}

impl slice::Sets for Sets {
    fn pps(&self, id: u8) -> Option<&Pps> {
        self.pps.get(&id)
    }

    fn sps(&self, id: u8) -> Option<&Sps> {
        self.sps.get(&id).map(Arc::as_ref)
    }
}

/// The size shown of a sequence parameter set; the coded size where no window is cut out, and where the flag that says
/// so stands in the payload.
pub(super) fn shape(unit: &[u8]) -> Option<Shape> {
    let sps = Sps::parse(&Payload::new(unit, 2, MAX_SET).data).ok()?;
    let without_window = (sps.window == [0; 4]).then_some(sps.window_flag_at);
    Some(Shape { shown: sps.display_window().size, without_window, unsaid: sps.unsaid })
}

/// A sequence being decoded.
struct Active {
    sps: Arc<Sps>,
    session: Session,
    dpb: Dpb<Shown>,
    /// Order count of the last picture that others may be counted from (8.3.1).
    prev_tid0_count: i32,
    /// Whether leading pictures that are not decodable follow (`NoRaslOutputFlag` of the last random access point).
    skip_rasl: bool,
}

/// A slice's buffers wait until it is known whether it is the picture's last.
struct Segment {
    parameters: VASliceParameterBufferHEVC,
    flags: HevcLongSliceFlags,
    data: Buffer,
}

/// A picture being decoded.
struct Coding {
    picture: Shown,
    surface: Arc<Surface>,
    count: i32,
    output: bool,
    set: ReferenceSet,
    shared: Shared,
    buffers: Vec<Buffer>,
    segments: Vec<Segment>,
}

/// Decodes HEVC.
pub(super) struct Decoder {
    device: Device,
    sets: Sets,
    active: Option<Active>,
    coding: Option<Coding>,
    /// The next picture begins a coded sequence: the stream's first, or one behind an end of sequence.
    sequence_begins: bool,
}

/// Why a unit is left out.
enum Fault {
    /// It is damaged.
    Damaged,
    /// The device or the stream's form does not allow to go on.
    Fatal(DecodeError),
}

impl From<SyntaxError> for Fault {
    fn from(_: SyntaxError) -> Self {
        Self::Damaged
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self::Fatal(error)
    }
}

impl Decoder {
    pub(super) fn new(device: &Device) -> Self {
        Self {
            device: device.clone(),
            sets: Sets::default(),
            active: None,
            coding: None,
            sequence_begins: true,
        }
    }

    /// Takes a parameter set of the configuration record.
    pub(super) fn take_set(&mut self, unit: &[u8]) -> Result<(), SyntaxError> {
        let payload = Payload::new(unit, 2, MAX_SET).data;
        match unit.first().map(|header| header >> 1 & 0x3f) {
            Some(SPS) => {
                let sps = Sps::parse(&payload)?;
                self.sets.sps.insert(sps.sps_seq_parameter_set_id, Arc::new(sps));
            }
            Some(PPS) => {
                let pps = Pps::parse(&payload)?;
                self.sets.pps.insert(pps.pps_pic_parameter_set_id, pps);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether any sequence is known.
    pub(super) fn has_sets(&self) -> bool {
        !self.sets.sps.is_empty() && !self.sets.pps.is_empty()
    }

    /// Opens the driver's decoder for the sequence of the configuration record, so that what the device cannot do is
    /// known before the first picture.
    pub(super) fn prepare(&mut self) -> Result<(), DecodeError> {
        match self.sets.sps.values().next().map(Arc::clone) {
            Some(sps) => self.activate(sps, &mut Vec::new()),
            None => Ok(()),
        }
    }

    /// Takes a NAL unit; true where it is damaged.
    pub(super) fn take_unit(
        &mut self,
        unit: &[u8],
        tag: i64,
        shown: &mut Vec<Shown>,
    ) -> Result<bool, DecodeError> {
        let [first, second, ..] = *unit else { return Ok(true) };
        // Layers above the first are enhancements that a Main decoder leaves out.
        if (first & 1) << 5 | second >> 3 != 0 {
            return Ok(false);
        }
        let kind = first >> 1 & 0x3f;
        let result = match kind {
            0..=slice::RASL_R | slice::BLA_W_LP..=slice::RSV_IRAP_VCL23 => {
                self.take_slice([first, second], unit, tag, shown)
            }
            SPS | PPS => match self.end_picture(shown) {
                // What a set says holds for pictures behind it.
                Ok(damaged) => match self.take_set(unit) {
                    Ok(()) if !damaged => Ok(()),
                    Ok(()) | Err(_) => Err(Fault::Damaged),
                },
                Err(error) => Err(Fault::Fatal(error)),
            },
            END_OF_SEQUENCE | END_OF_BITSTREAM => {
                self.sequence_begins = true;
                Ok(())
            }
            _ => Ok(()),
        };
        match result {
            Ok(()) => Ok(false),
            Err(Fault::Damaged) => Ok(true),
            Err(Fault::Fatal(error)) => Err(error),
        }
    }

    /// The access unit is over; true where the picture is damaged.
    pub(super) fn end_unit(&mut self, shown: &mut Vec<Shown>) -> Result<bool, DecodeError> {
        self.end_picture(shown)
    }

    /// Nothing more comes: shows what is left.
    pub(super) fn finish(&mut self, shown: &mut Vec<Shown>) {
        if let Some(active) = &mut self.active {
            active.dpb.clear(shown);
        }
    }

    fn take_slice(
        &mut self,
        header: [u8; 2],
        unit: &[u8],
        tag: i64,
        shown: &mut Vec<Shown>,
    ) -> Result<(), Fault> {
        let payload = Payload::new(unit, 2, MAX_HEADER);
        let before = self.coding.as_ref().map(|coding| &coding.shared);
        let slice = SliceHeader::parse(header, &payload.data, &self.sets, before)?;
        let mut damaged = false;
        if slice.first_slice_segment_in_pic_flag {
            damaged = self.end_picture(shown)?;
            if !self.begin_picture(&slice, tag, shown)? {
                return Ok(());
            }
        }
        let (Some(coding), Some(active)) = (&mut self.coding, &mut self.active) else {
            // A leading picture that was skipped is no damage; a first slice that was lost is.
            return if slice.unit_type.is_rasl() { Ok(()) } else { Err(Fault::Damaged) };
        };
        let pps = self.sets.pps.get(&slice.slice_pic_parameter_set_id).ok_or(Fault::Damaged)?;
        if coding.segments.len() >= MAX_SLICES {
            return Err(Fault::Damaged);
        }
        coding.shared = slice.shared.clone();
        let mut lists = reference_lists(&coding.set, &slice.shared);
        damaged |= conceal(&active.dpb, &mut lists)?;
        let context = active.session.context();
        let failed = |e| Fault::Fatal(active.session.failed(e));
        if slice.first_slice_segment_in_pic_flag {
            let picture = parameters::picture(&active.sps, pps, &active.dpb, coding, &slice);
            coding.buffers.push(Buffer::parameter(context, &picture).map_err(failed)?);
            if let Some(matrix) = parameters::matrix(&active.sps, pps) {
                coding.buffers.push(Buffer::parameter(context, &matrix).map_err(failed)?);
            }
        }
        let removed = payload.removed_before(slice.header_bytes.saturating_sub(2));
        let (parameters, flags) = parameters::slice(&slice, &active.dpb, &lists, unit.len(), removed);
        let data = Buffer::slice_data(context, unit).map_err(failed)?;
        coding.segments.push(Segment { parameters, flags, data });
        if damaged { Err(Fault::Damaged) } else { Ok(()) }
    }

    /// False where the picture is one to be skipped.
    fn begin_picture(
        &mut self,
        slice: &SliceHeader,
        tag: i64,
        shown: &mut Vec<Shown>,
    ) -> Result<bool, Fault> {
        let kind = slice.unit_type;
        let pps = self.sets.pps.get(&slice.slice_pic_parameter_set_id).ok_or(Fault::Damaged)?;
        if pps.extended {
            let what = "extensions of range, layers or screen content";
            return Err(DecodeError::Form { codec: Codec::Hevc, what }.into());
        }
        let sps = self.sets.sps.get(&pps.pps_seq_parameter_set_id).map(Arc::clone).ok_or(Fault::Damaged)?;
        // NoRaslOutputFlag (8.1.3)
        let begins = kind.is_irap() && (kind.is_idr() || kind.is_bla() || self.sequence_begins);
        let known = self.active.as_ref().is_some_and(|active| *active.sps == *sps);
        if begins && !known {
            self.activate(sps, shown)?;
        } else if !begins && (!known || self.sequence_begins) {
            // Nothing to begin with yet, or a sequence that changed in its middle.
            return Err(Fault::Damaged);
        }
        let Some(active) = &mut self.active else { return Err(Fault::Damaged) };
        if begins {
            active.dpb.clear(shown);
            active.skip_rasl = true;
            self.sequence_begins = false;
        } else if kind.is_irap() {
            active.skip_rasl = false;
        }
        let count = active.count(slice, begins);
        if slice.temporal_id == 0 && !kind.is_leading() && !kind.is_sub_layer_non_reference() {
            active.prev_tid0_count = count;
        }
        if kind.is_rasl() && active.skip_rasl {
            return Ok(false);
        }
        let shared = &slice.shared;
        let mask = active.sps.max_lsb() - 1;
        let derive = |dpb: &mut Dpb<Shown>| {
            if kind.is_idr() {
                ReferenceSet::default()
            } else {
                dpb.derive(count, mask, &shared.short_term, &shared.long_term)
            }
        };
        // Once to know what is not referred to any more, and again for places behind what was taken out.
        derive(&mut active.dpb);
        active.dpb.make_room(shown);
        let set = derive(&mut active.dpb);
        let (frame, surface) = active.session.target(active.sps.display_window())?;
        self.coding = Some(Coding {
            picture: Shown { frame, tag, interlaced: None },
            surface,
            count,
            output: shared.pic_output_flag,
            set,
            shared: shared.clone(),
            buffers: Vec::new(),
            segments: Vec::new(),
        });
        Ok(true)
    }

    fn end_picture(&mut self, shown: &mut Vec<Shown>) -> Result<bool, DecodeError> {
        let (Some(coding), Some(active)) = (self.coding.take(), &mut self.active) else { return Ok(false) };
        let Coding { picture, surface, count, output, mut buffers, segments, .. } = coding;
        let Some(last) = segments.len().checked_sub(1) else { return Ok(true) };
        for (at, mut segment) in segments.into_iter().enumerate() {
            parameters::finish(&mut segment.parameters, segment.flags, at == last);
            let parameters = Buffer::parameter(active.session.context(), &segment.parameters);
            buffers.push(parameters.map_err(|e| active.session.failed(e))?);
            buffers.push(segment.data);
        }
        let damaged = active.session.submit(&surface, buffers)?;
        active.dpb.store(picture, count, output, shown);
        Ok(damaged)
    }

    fn activate(&mut self, sps: Arc<Sps>, shown: &mut Vec<Shown>) -> Result<(), DecodeError> {
        if let Some(active) = &mut self.active {
            active.dpb.clear(shown);
        }
        let form = sps.form()?;
        let session = match self.active.take() {
            Some(active) if active.session.fits(form) => active.session,
            _ => Session::open(&self.device, form)?,
        };
        let bounds = Bounds {
            frames: usize::from(sps.sps_max_dec_pic_buffering_minus1) + 1,
            reorder: usize::from(sps.sps_max_num_reorder_pics),
            latency: sps
                .sps_max_latency_increase_plus1
                .checked_sub(1)
                .map(|increase| increase.saturating_add(u32::from(sps.sps_max_num_reorder_pics))),
        };
        self.active =
            Some(Active { sps, session, dpb: Dpb::new(bounds), prev_tid0_count: 0, skip_rasl: true });
        Ok(())
    }
}

impl Active {
    /// 8.3.1
    fn count(&self, slice: &SliceHeader, begins: bool) -> i32 {
        let max = self.sps.max_lsb();
        let lsb = i32::try_from(slice.shared.slice_pic_order_cnt_lsb).unwrap_or(0);
        if begins {
            return lsb;
        }
        let prev_lsb = self.prev_tid0_count & (max - 1);
        let prev_msb = self.prev_tid0_count.wrapping_sub(prev_lsb);
        let msb = if lsb < prev_lsb && prev_lsb - lsb >= max / 2 {
            prev_msb.wrapping_add(max)
        } else if lsb > prev_lsb && lsb - prev_lsb > max / 2 {
            prev_msb.wrapping_sub(max)
        } else {
            prev_msb
        };
        msb.wrapping_add(lsb)
    }
}

/// `RefPicList0` and `RefPicList1` (8.3.4).
fn reference_lists(set: &ReferenceSet, slice: &Shared) -> [Vec<Option<usize>>; 2] {
    let active = |list: usize| usize::from(slice.num_ref_idx_active_minus1[list]) + 1;
    let [first, second] = &slice.list_entries;
    let (before, after, long) = (&set.before, &set.after, &set.long_term);
    match slice.slice_type {
        SliceType::I => [Vec::new(), Vec::new()],
        SliceType::P => [dpb::list(before, after, long, active(0), first.as_ref()), Vec::new()],
        SliceType::B => [
            dpb::list(before, after, long, active(0), first.as_ref()),
            dpb::list(after, before, long, active(1), second.as_ref()),
        ],
    }
}

/// Fills what a list refers to and is not there with what is; true where there was any.
fn conceal(dpb: &Dpb<Shown>, lists: &mut [Vec<Option<usize>>; 2]) -> Result<bool, Fault> {
    if lists.iter().flatten().all(Option::is_some) {
        return Ok(false);
    }
    let found = lists.iter().flatten().flatten().next().copied();
    let referred = |entry: &dpb::Entry<Shown>| entry.mark != dpb::Mark::Unused;
    let stand_in = found.or_else(|| dpb.entries().iter().rposition(referred)).ok_or(Fault::Damaged)?;
    for entry in lists.iter_mut().flatten() {
        entry.get_or_insert(stand_in);
    }
    Ok(true)
}

impl Sps {
    fn max_lsb(&self) -> i32 {
        1 << (self.log2_max_pic_order_cnt_lsb_minus4 + 4)
    }

    /// What a decoder must be opened for.
    fn form(&self) -> Result<Form, DecodeError> {
        let unsupported = |what| DecodeError::Form { codec: Codec::Hevc, what };
        let bit_depth = self.bit_depth_luma_minus8 + 8;
        match (self.chroma_format_idc, self.bit_depth_luma_minus8 == self.bit_depth_chroma_minus8, bit_depth)
        {
            _ if self.extended => Err(unsupported("extensions of range, layers or screen content")),
            (1, true, 8 | 10) => {
                let width = u32::from(self.pic_width_in_luma_samples);
                let height = u32::from(self.pic_height_in_luma_samples);
                let frames = usize::from(self.sps_max_dec_pic_buffering_minus1) + 1;
                Ok(Form { codec: Codec::Hevc, bit_depth, size: Size { width, height }, frames })
            }
            (0, ..) => Err(unsupported("no chroma")),
            (2, ..) => Err(unsupported("4:2:2 chroma")),
            (3, ..) => Err(unsupported("4:4:4 chroma")),
            _ => Err(unsupported("samples that have neither 8 nor 10 bits")),
        }
    }

    fn display_window(&self) -> Window {
        let (width, height) =
            (u32::from(self.pic_width_in_luma_samples), u32::from(self.pic_height_in_luma_samples));
        let [left, right, top, bottom] = self.window;
        Window {
            left,
            top,
            size: Size { width: width - left - right, height: height - top - bottom },
            sample_aspect_ratio: self.vui.sample_aspect_ratio,
            colour: Colour { matrix: self.vui.matrix_coeffs, full_range: self.vui.video_full_range_flag },
        }
    }
}
