//! H.264: parameter sets, the order of pictures, references, and what the driver is told of them.

mod dpb;
#[cfg(test)]
pub(super) mod fuzz;
mod lists;
mod order;
mod parameters;
mod pps;
mod scaling;
mod slice;
mod sps;
mod timing;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bits::SyntaxError;
use super::nal::Payload;
use super::output::Shown;
use super::session::{Form, Session, Window};
use super::{DecodeError, Shape};
use crate::device::{Codec, Device};
use crate::ffi::{Buffer, Surface};
use crate::frame::{Colour, Size};
use dpb::{Bounds, Current, Dpb};
use lists::Reference;
use order::OrderCounter;
use pps::Pps;
use slice::{SliceHeader, SliceType, Structure};
use sps::Sps;

/// Bytes of a slice that are searched for its header: the longest there is, with all weights, is under 1 KiB.
const MAX_HEADER: usize = 2048;
/// Bytes of a parameter set that are read; the largest there is, with all lists and timing, is under 2 KiB.
const MAX_SET: usize = 8192;
/// Most slices of a picture: one for each row of macroblock pairs of the largest picture, and a lot of room.
const MAX_SLICES: usize = 1024;

/// NAL unit types (ITU-T H.264, table 7-1).
const SLICE: u8 = 1;
const PARTITION_A: u8 = 2;
const PARTITION_C: u8 = 4;
const IDR_SLICE: u8 = 5;
const SEI: u8 = 6;
const SPS: u8 = 7;
const PPS: u8 = 8;

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

/// The size shown of a sequence parameter set.
pub(super) fn shape(unit: &[u8]) -> Option<Shape> {
    let sps = Sps::parse(&Payload::new(unit, 1, MAX_SET).data).ok()?;
    Some(Shape { shown: sps.window().size, without_window: None, unsaid: sps.unsaid })
}

/// A sequence being decoded.
struct Active {
    sps: Arc<Sps>,
    session: Session,
    dpb: Dpb<Shown>,
    order: OrderCounter,
    /// `PrevRefFrameNum` (7.4.3)
    prev_ref_frame_num: u32,
}

/// A picture being decoded.
struct Coding {
    first: SliceHeader,
    current: Current<Shown>,
    surface: Arc<Surface>,
    buffers: Vec<Buffer>,
    slices: usize,
}

/// Decodes H.264.
pub(super) struct Decoder {
    device: Device,
    sets: Sets,
    active: Option<Active>,
    coding: Option<Coding>,
    /// The picture timing message of the access unit.
    timing: Option<Vec<u8>>,
    /// Whether there was a picture that decoding can begin with.
    started: bool,
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
            timing: None,
            started: false,
        }
    }

    /// Takes a parameter set of the configuration record.
    pub(super) fn take_set(&mut self, unit: &[u8]) -> Result<(), SyntaxError> {
        let payload = Payload::new(unit, 1, MAX_SET).data;
        match unit.first().map(|header| header & 0x1f) {
            Some(SPS) => {
                let sps = Sps::parse(&payload)?;
                self.sets.sps.insert(sps.seq_parameter_set_id, Arc::new(sps));
            }
            Some(PPS) => {
                let pps = Pps::parse(&payload)?;
                self.sets.pps.insert(pps.pic_parameter_set_id, pps);
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
        let header = unit.first().copied().unwrap_or(0);
        let result = match header & 0x1f {
            SLICE | IDR_SLICE => self.take_slice(header, unit, tag, shown),
            PARTITION_A..=PARTITION_C => Err(Fault::Damaged),
            SEI => {
                let found = timing::find(&Payload::new(unit, 1, MAX_SET).data);
                self.timing = found.or(self.timing.take());
                Ok(())
            }
            SPS | PPS => match self.end_picture(shown) {
                // What a set says holds for pictures behind it.
                Ok(damaged) => match self.take_set(unit) {
                    Ok(()) if !damaged => Ok(()),
                    Ok(()) | Err(_) => Err(Fault::Damaged),
                },
                Err(error) => Err(Fault::Fatal(error)),
            },
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
        self.timing = None;
        self.end_picture(shown)
    }

    /// Nothing more comes: shows what is left.
    pub(super) fn finish(&mut self, shown: &mut Vec<Shown>) {
        if let Some(active) = &mut self.active {
            active.dpb.flush(shown);
        }
    }

    fn take_slice(&mut self, header: u8, unit: &[u8], tag: i64, shown: &mut Vec<Shown>) -> Result<(), Fault> {
        let payload = Payload::new(unit, 1, MAX_HEADER);
        let slice = SliceHeader::parse(header, &payload.data, &self.sets)?;
        if slice.redundant_pic_cnt > 0 {
            return Ok(());
        }
        let mut damaged = false;
        if self.coding.as_ref().is_some_and(|coding| coding.first.begins_new_picture(&slice)) {
            damaged = self.end_picture(shown)?;
        }
        if self.coding.is_none() {
            damaged |= self.begin_picture(&slice, tag, shown)?;
        }
        let (Some(coding), Some(active)) = (&mut self.coding, &mut self.active) else {
            return Err(Fault::Damaged);
        };
        let pps = self.sets.pps.get(&slice.pic_parameter_set_id).ok_or(Fault::Damaged)?;
        if coding.slices >= MAX_SLICES {
            return Err(Fault::Damaged);
        }
        let count = match slice.structure {
            Structure::Frame => coding.current.counts[0].min(coding.current.counts[1]),
            Structure::TopField => coding.current.counts[0],
            Structure::BottomField => coding.current.counts[1],
        };
        let mut lists = lists::lists(&active.dpb, &slice, count);
        if slice.slice_type != SliceType::I {
            damaged |= conceal(&active.dpb, &slice, &mut lists)?;
        }
        let context = active.session.context();
        let failed = |e| Fault::Fatal(active.session.failed(e));
        if coding.slices == 0 {
            let picture = parameters::picture(&active.sps, pps, &active.dpb, coding);
            coding.buffers.push(Buffer::parameter(context, &picture).map_err(failed)?);
            let matrix = parameters::matrix(&active.sps, pps);
            coding.buffers.push(Buffer::parameter(context, &matrix).map_err(failed)?);
        }
        let parameter = parameters::slice(&slice, &active.dpb, &lists, unit.len());
        coding.buffers.push(Buffer::parameter(context, &parameter).map_err(failed)?);
        coding.buffers.push(Buffer::slice_data(context, unit).map_err(failed)?);
        coding.slices += 1;
        if damaged { Err(Fault::Damaged) } else { Ok(()) }
    }

    /// True where pictures before it are missing.
    fn begin_picture(
        &mut self,
        slice: &SliceHeader,
        tag: i64,
        shown: &mut Vec<Shown>,
    ) -> Result<bool, Fault> {
        let pps = self.sets.pps.get(&slice.pic_parameter_set_id).ok_or(Fault::Damaged)?;
        let sps = self.sets.sps.get(&pps.seq_parameter_set_id).map(Arc::clone).ok_or(Fault::Damaged)?;
        let same = self.active.as_ref().is_some_and(|active| *active.sps == *sps);
        if !same {
            // A sequence begins with an IDR picture; or the stream was joined in its middle.
            if !slice.idr && self.started {
                return Err(Fault::Damaged);
            }
            self.activate(sps, shown)?;
        }
        let joined = slice.idr || slice.slice_type == SliceType::I;
        if !self.started && !joined {
            return Err(Fault::Damaged);
        }
        let first = !self.started;
        self.started = true;
        let Some(active) = &mut self.active else { return Err(Fault::Damaged) };
        let pair = active.dpb.pair_of(slice.structure, slice.frame_num, slice.idr);
        let pair = pair.map(|entry| (entry.picture.clone(), entry.counts));
        let mut damaged = false;
        if pair.is_none() {
            active.dpb.end_field_pair(shown);
            if slice.idr {
                active.dpb.clear(shown);
                active.prev_ref_frame_num = 0;
            } else if first {
                active.prev_ref_frame_num = slice.frame_num;
            } else {
                damaged = active.fill_gap(slice, shown);
            }
        }
        active.dpb.number(slice.frame_num);
        let counted = active.order.count(&active.sps, slice);
        let (picture, counts) = match pair {
            Some((picture, mut counts)) => {
                let own = usize::from(slice.structure == Structure::BottomField);
                counts[own] = counted[own];
                (picture, counts)
            }
            None => {
                let (frame, _) = active.session.target(active.sps.window())?;
                let timing = self.timing.as_deref();
                let interlaced = timing::interlaced(&active.sps, slice.structure, counted, timing);
                (Shown { frame, tag, interlaced }, counted)
            }
        };
        let surface = Arc::clone(&picture.frame.0.surface);
        self.coding = Some(Coding {
            first: slice.clone(),
            current: Current {
                picture,
                structure: slice.structure,
                frame_num: slice.frame_num,
                counts,
                reference: slice.nal_ref_idc != 0,
            },
            surface,
            buffers: Vec::new(),
            slices: 0,
        });
        Ok(damaged)
    }

    fn end_picture(&mut self, shown: &mut Vec<Shown>) -> Result<bool, DecodeError> {
        let (Some(coding), Some(active)) = (self.coding.take(), &mut self.active) else { return Ok(false) };
        if coding.slices == 0 {
            return Ok(true);
        }
        let damaged = active.session.submit(&coding.surface, coding.buffers)?;
        let Coding { first, current, .. } = coding;
        let restarted = order::restarts(&first);
        let counts = restarted.then(|| active.order.restart(current.counts, current.structure));
        if current.reference {
            active.prev_ref_frame_num = if restarted { 0 } else { first.frame_num };
        }
        active.dpb.store(current, &first.marking, counts, shown);
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
            frames: sps.max_dec_frame_buffering(),
            reorder: sps.max_num_reorder_frames(),
            references: usize::from(sps.max_num_ref_frames),
            max_frame_num: sps.max_frame_num(),
        };
        self.active = Some(Active {
            sps,
            session,
            dpb: Dpb::new(bounds),
            order: OrderCounter::default(),
            prev_ref_frame_num: 0,
        });
        Ok(())
    }
}

impl Active {
    /// Infers frames where `frame_num` has a gap (8.2.5.2); true where the stream may not have one.
    fn fill_gap(&mut self, slice: &SliceHeader, shown: &mut Vec<Shown>) -> bool {
        let max = self.sps.max_frame_num();
        let previous = self.prev_ref_frame_num;
        if slice.frame_num == previous || slice.frame_num == (previous + 1) % max {
            return false;
        }
        let missing = (slice.frame_num + max - previous - 1) % max;
        // Those before would have left the window again.
        let references = u32::from(self.sps.max_num_ref_frames).max(1);
        if let Some(picture) = self.dpb.newest_reference().cloned() {
            for before in (1..=missing.min(references)).rev() {
                let frame_num = (slice.frame_num + max - before) % max;
                self.dpb.infer(picture.clone(), frame_num, shown);
                self.prev_ref_frame_num = frame_num;
            }
        }
        !self.sps.gaps_in_frame_num_value_allowed_flag
    }
}

/// Fills what a list refers to and is not there with what is; true where there was any.
fn conceal(
    dpb: &Dpb<Shown>,
    slice: &SliceHeader,
    lists: &mut [Vec<Option<Reference>>; 2],
) -> Result<bool, Fault> {
    let missing = lists.iter().flatten().any(Option::is_none);
    if !missing {
        return Ok(false);
    }
    let entries = dpb.entries();
    let stand_in = lists.iter().flatten().flatten().next().copied().or_else(|| {
        let at = entries.iter().rposition(|entry| entry.is_reference())?;
        let marked = entries.get(at).map_or(3, |entry| entry.short | entry.long);
        let fields = match slice.structure {
            Structure::Frame => 3,
            structure if marked & structure.fields() != 0 => structure.fields(),
            structure => 3 ^ structure.fields(),
        };
        Some(Reference { at, fields })
    });
    let stand_in = stand_in.ok_or(Fault::Damaged)?;
    for entry in lists.iter_mut().flatten() {
        entry.get_or_insert(stand_in);
    }
    Ok(true)
}

impl Sps {
    /// What a decoder must be opened for.
    fn form(&self) -> Result<Form, DecodeError> {
        let unsupported = |what| DecodeError::Form { codec: Codec::H264, what };
        match (self.chroma_format_idc, self.bit_depth_luma_minus8, self.bit_depth_chroma_minus8) {
            (1, 0, 0) if self.qpprime_y_zero_transform_bypass_flag => Err(unsupported("lossless coding")),
            (1, 0, 0) => {
                let (width, height) = self.coded_size();
                let frames = self.max_dec_frame_buffering();
                Ok(Form { codec: Codec::H264, bit_depth: 8, size: Size { width, height }, frames })
            }
            (0, ..) => Err(unsupported("no chroma")),
            (2, ..) => Err(unsupported("4:2:2 chroma")),
            (3, ..) => Err(unsupported("4:4:4 chroma")),
            _ => Err(unsupported("more than 8 bits a sample")),
        }
    }

    fn window(&self) -> Window {
        let (width, height) = self.coded_size();
        let [left, right, top, bottom] = self.crop;
        Window {
            left,
            top,
            size: Size { width: width - left - right, height: height - top - bottom },
            sample_aspect_ratio: self.vui.sample_aspect_ratio,
            colour: Colour {
                matrix: self.vui.matrix_coefficients,
                full_range: self.vui.video_full_range_flag,
            },
        }
    }
}
