//! What the parser's callbacks drive: the decoder on the device and the pictures that come out of it.

use std::collections::VecDeque;
use std::ffi::c_int;

use super::{DecodeError, Decoded};
use crate::captions::Captions;
use crate::device::{Codec, Device};
use crate::error::CudaError;
use crate::ffi::cuvid::{Cuvid, DecoderShape, Picture, RawDecoder, Sequence, Shown, Sink};
use crate::frame::{Colour, Frame, Layout, Pool, Size};

/// Progressive pictures in a row after which an interlaced stream is taken to have become progressive: 2 s at 50
/// pictures a second. Streams that are coded picture-adaptively flag single still pictures as progressive.
const PROGRESSIVE_RUN: u32 = 100;
/// Units that wait for their pictures: more than any stream holds back (16 pictures, Rec. ITU-T H.264, A.3.1, and as
/// many fields), so that what never comes out is forgotten.
const MAX_UNITS: usize = 128;
/// `ulNumDecodeSurfaces` at most (Video Decoder programming guide, 4.4).
const MAX_SURFACES: u32 = 32;
/// Surfaces where a parser does not say how many it needs: H.264's largest number of pictures, and one.
const UNKNOWN_SURFACES: u32 = 17;
/// Pictures that may be mapped at once; we map one.
const OUTPUTS: u32 = 2;

struct Open {
    decoder: RawDecoder,
    shape: DecoderShape,
    /// Surfaces that it was created with.
    surfaces: u32,
    pool: Pool,
    colour: Colour,
    aspect: (u32, u32),
}

/// A unit that was parsed.
struct Unit {
    /// What the parser was given for it.
    timestamp: i64,
    tag: i64,
    captions: Option<Captions>,
}

/// One stream's decoder.
pub(super) struct Session {
    device: Device,
    cuvid: &'static Cuvid,
    codec: Codec,
    /// Pictures held back for pipelining.
    delay: u32,
    open: Option<Open>,
    /// Units whose pictures did not come out yet, in the order given.
    units: VecDeque<Unit>,
    next_timestamp: i64,
    ready: VecDeque<Decoded>,
    /// Places whose picture could not be decoded.
    failed: Vec<i32>,
    /// Progressive pictures since the last interlaced one; none before the first of those.
    progressive_run: Option<u32>,
    errors: u64,
    fault: Option<DecodeError>,
}

impl Session {
    pub(super) fn new(device: &Device, cuvid: &'static Cuvid, codec: Codec, delay: u32) -> Self {
        Self {
            device: device.clone(),
            cuvid,
            codec,
            delay,
            open: None,
            units: VecDeque::new(),
            next_timestamp: 1,
            ready: VecDeque::new(),
            failed: Vec::new(),
            progressive_run: None,
            errors: 0,
            fault: None,
        }
    }

    /// A unit with this tag and these captions is about to be parsed; gives its time stamp.
    pub(super) fn begin(&mut self, tag: i64, captions: Option<Captions>) -> i64 {
        if self.units.len() >= MAX_UNITS {
            self.units.pop_front();
        }
        let timestamp = self.next_timestamp;
        self.units.push_back(Unit { timestamp, tag, captions });
        self.next_timestamp += 1;
        timestamp
    }

    pub(super) fn take(&mut self) -> Option<Decoded> {
        self.ready.pop_front()
    }

    pub(super) fn take_fault(&mut self) -> Result<(), DecodeError> {
        self.fault.take().map_or(Ok(()), Err)
    }

    pub(super) fn count_error(&mut self) {
        self.errors += 1;
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors
    }

    pub(super) fn is_deinterlacing(&self) -> bool {
        self.progressive_run.is_some_and(|run| run < PROGRESSIVE_RUN)
            && self.open.as_ref().is_some_and(|open| open.shape.deinterlace)
    }

    /// Takes note of a failing call: one of a lost device ends the stream, others are damage.
    fn note(&mut self, error: CudaError) -> bool {
        self.errors += 1;
        if error.is_device_lost() || error.is_out_of_memory() {
            self.fault = Some(DecodeError::Device(error));
        }
        self.fault.is_none()
    }

    fn shape(&self, sequence: &Sequence) -> Result<DecoderShape, DecodeError> {
        let (codec, depth, size) = (self.codec, sequence.depth, sequence.coded);
        let format = DecodeError::Format { codec, chroma: sequence.chroma, depth };
        if sequence.chroma != 1 {
            return Err(format);
        }
        let caps = self.cuvid.caps(self.device.context(), codec, depth).map_err(|_| format)?;
        if !caps.supported {
            return Err(format);
        }
        let macroblocks = size.width.div_ceil(16).saturating_mul(size.height.div_ceil(16));
        if size.width < caps.min.width
            || size.height < caps.min.height
            || size.width > caps.max.width
            || size.height > caps.max.height
            || macroblocks > caps.max_macroblocks
        {
            let (min, max, max_macroblocks) = (caps.min, caps.max, caps.max_macroblocks);
            return Err(DecodeError::Size { codec, size, min, max, max_macroblocks });
        }
        let display = display(sequence);
        let [left, top, right, bottom] = display;
        let even = |from: i16, to: i16| u32::from(from.abs_diff(to)).next_multiple_of(2);
        let least = match u32::from(sequence.surfaces) {
            0 => UNKNOWN_SURFACES,
            surfaces => surfaces,
        };
        Ok(DecoderShape {
            codec,
            depth,
            coded: size,
            max: size,
            display,
            target: Size { width: even(left, right), height: even(top, bottom) },
            // One more, for the picture that is being taken.
            surfaces: least.saturating_add(self.delay).saturating_add(1).min(MAX_SURFACES),
            outputs: OUTPUTS,
            deinterlace: !sequence.progressive,
        })
    }

    /// A decoder for the sequence: the one there is where it can take it, or a new one.
    fn configure(&mut self, sequence: &Sequence) -> Result<u32, DecodeError> {
        let mut shape = self.shape(sequence)?;
        let (codec, size) = (self.codec, shape.coded);
        let failed = |source| DecodeError::Open { codec, size, source };
        let layout = Layout::new(shape.target, shape.format()).ok_or(failed(CudaError::INVALID_VALUE))?;
        let colour = Colour { matrix: sequence.matrix, full_range: sequence.full_range };
        let aspect = sample_aspect(sequence.aspect, shape.target);
        self.failed.clear();
        let reused = match self.open.take() {
            Some(mut open) if can_reuse(&open, &shape) => {
                shape.max = open.shape.max;
                let done = if open.shape == shape { Ok(()) } else { open.decoder.reconfigure(&shape) };
                // One that does not take the change is made again.
                done.is_ok().then_some((open.decoder, open.surfaces, open.pool))
            }
            // What is not reused gives its engine's memory back before a new one takes some.
            _ => None,
        };
        let (decoder, surfaces, pool) = match reused {
            Some((decoder, surfaces, pool)) => (decoder, surfaces, Some(pool)),
            None => {
                shape.max = shape.coded;
                let decoder =
                    RawDecoder::create(self.cuvid, self.device.context(), &shape).map_err(failed)?;
                (decoder, shape.surfaces, None)
            }
        };
        let pool = match pool {
            Some(pool) if pool.layout() == layout => pool,
            _ => Pool::new(&self.device, layout, false),
        };
        self.open = Some(Open { decoder, shape, surfaces, pool, colour, aspect });
        Ok(shape.surfaces)
    }

    fn show_picture(&mut self, shown: &Shown) -> bool {
        let unit = self.unit(shown.timestamp);
        if let Some(at) = self.failed.iter().position(|index| *index == shown.index) {
            self.failed.swap_remove(at);
            return true;
        }
        self.progressive_run = match (shown.progressive, self.progressive_run) {
            (false, _) => Some(0),
            (true, run) => run.map(|run| run.saturating_add(1)),
        };
        let interlaced = self.is_deinterlacing();
        let (Some(open), Some(unit)) = (&mut self.open, unit) else {
            self.errors += 1;
            return true;
        };
        let (device, pool) = (&self.device, &open.pool);
        let (colour, aspect) = (open.colour, open.aspect);
        let mapped = open.decoder.with_mapped(shown, interlaced, |mapped| {
            let lease = pool.take()?;
            let (memory, layout) = (&lease.storage.memory, lease.storage.layout);
            mapped.copy(0, memory, layout.whole(0))?;
            mapped.copy(1, memory, layout.whole(1))?;
            Frame::written(device, lease, colour, aspect, unit.captions)
        });
        if open.decoder.is_damaged(shown.index) == Some(true) {
            self.errors += 1;
        }
        match mapped {
            Ok(frame) => {
                self.ready.push_back(Decoded { frame, tag: unit.tag, deinterlaced: interlaced });
                true
            }
            Err(error) => self.note(error),
        }
    }

    /// The unit with this time stamp; the oldest where the parser has changed it.
    fn unit(&mut self, timestamp: i64) -> Option<Unit> {
        let at = self.units.iter().position(|unit| unit.timestamp == timestamp).unwrap_or(0);
        self.units.remove(at)
    }
}

impl Sink for Session {
    fn sequence(&mut self, sequence: &Sequence) -> c_int {
        match self.configure(sequence) {
            // One would mean "as many as before" to the parser.
            Ok(surfaces) => c_int::try_from(surfaces.max(2)).unwrap_or(2),
            Err(fault) => {
                self.fault = Some(fault);
                0
            }
        }
    }

    fn decode(&mut self, picture: &Picture) -> bool {
        let Some(open) = &mut self.open else { return false };
        let index = picture.index();
        self.failed.retain(|failed| *failed != index);
        match open.decoder.decode(picture) {
            Ok(()) => true,
            Err(error) => {
                self.failed.push(index);
                self.note(error)
            }
        }
    }

    fn show(&mut self, shown: &Shown) -> bool {
        self.show_picture(shown)
    }
}

fn can_reuse(open: &Open, shape: &DecoderShape) -> bool {
    let now = &open.shape;
    now.depth == shape.depth
        && now.deinterlace == shape.deinterlace
        && shape.surfaces <= open.surfaces
        && shape.coded.width <= now.max.width
        && shape.coded.height <= now.max.height
}

/// The part that is shown; all of it where what the stream says is nonsense.
fn display(sequence: &Sequence) -> [i16; 4] {
    let side = |length: u32| i16::try_from(length).unwrap_or(i16::MAX);
    let whole = [0, 0, side(sequence.coded.width), side(sequence.coded.height)];
    let [left, top, right, bottom] = sequence.display.map(|edge| i16::try_from(edge).unwrap_or(-1));
    let within =
        0 <= left && left < right && right <= whole[2] && 0 <= top && top < bottom && bottom <= whole[3];
    if within { [left, top, right, bottom] } else { whole }
}

/// The sample aspect ratio that gives pictures of this size this shape.
fn sample_aspect((x, y): (i32, i32), size: Size) -> (u32, u32) {
    let (Ok(x), Ok(y)) = (u64::try_from(x), u64::try_from(y)) else { return (1, 1) };
    let (n, d) = (x * u64::from(size.height), y * u64::from(size.width));
    let divisor = common_divisor(n, d);
    if n == 0 || d == 0 {
        return (1, 1);
    }
    match (u32::try_from(n / divisor), u32::try_from(d / divisor)) {
        (Ok(n), Ok(d)) => (n, d),
        _ => (1, 1),
    }
}

fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(coded: (u32, u32), display: [i32; 4]) -> Sequence {
        Sequence {
            chroma: 1,
            depth: 8,
            progressive: true,
            surfaces: 4,
            coded: Size { width: coded.0, height: coded.1 },
            display,
            aspect: (16, 9),
            matrix: 1,
            full_range: false,
        }
    }

    #[test]
    fn nonsense_is_shown_whole() {
        assert_eq!(display(&sequence((1920, 1088), [0, 0, 1920, 1080])), [0, 0, 1920, 1080]);
        for wrong in [[0, 0, 1921, 1080], [8, 0, 8, 1080], [-2, 0, 8, 8], [0, 0, i32::MAX, 8], [0, 9, 8, 8]] {
            assert_eq!(display(&sequence((1920, 1088), wrong)), [0, 0, 1920, 1088]);
        }
    }

    #[test]
    fn shapes_of_samples_come_from_the_shape_of_pictures() {
        let of = |aspect, width, height| sample_aspect(aspect, Size { width, height });
        assert_eq!(of((16, 9), 1920, 1080), (1, 1));
        assert_eq!(of((16, 9), 720, 576), (64, 45));
        assert_eq!(of((4, 3), 720, 576), (16, 15));
        assert_eq!(of((0, 0), 720, 576), (1, 1));
        assert_eq!(of((-1, 3), 720, 576), (1, 1));
        assert_eq!(of((i32::MAX, 1), 2, 16384), (1, 1));
    }
}
