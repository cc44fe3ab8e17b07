//! What a driver is told of a picture: the buffers that go with it, and those of the rate.

use super::bits::escaped;
use super::syntax::Step;
use super::{Encoder, rate};
use crate::caps::RateMode;
use crate::error::CallError;
use crate::ffi::{Buffer, Context, va};

impl Encoder {
    /// What the driver is told of a picture, in the order that it wants it.
    pub(super) fn buffers(&self, step: &Step) -> Result<Vec<Buffer>, CallError> {
        let context = &self.context;
        let mut buffers = Vec::new();
        if step.idr {
            buffers.push(self.syntax.sequence(context, self.idr_period())?);
        }
        if step.idr || self.rate_changed {
            self.push_misc(&mut buffers)?;
        }
        if step.idr && self.packed_sequence {
            let mut headers = Vec::new();
            for set in self.syntax.parameter_sets() {
                headers.extend_from_slice(&[0, 0, 0, 1]);
                headers.extend_from_slice(&set);
            }
            let bits = headers.len() * 8;
            push_header(context, va::VAEncPackedHeaderSequence, &headers, bits, &mut buffers)?;
        }
        buffers.push(self.syntax.picture(context, step)?);
        if self.packed_slice {
            let (header, bits) = self.syntax.slice_header(step);
            // Escaped here and not by the driver, as parameter sets are; the bits grow by whole bytes.
            let escaped = escaped(&header);
            let added = (escaped.len() - header.len()) * 8;
            let with_start = [&[0, 0, 0, 1][..], &escaped].concat();
            push_header(context, va::VAEncPackedHeaderSlice, &with_start, bits + added + 32, &mut buffers)?;
        }
        buffers.push(self.syntax.slice(context, step)?);
        Ok(buffers)
    }

    fn push_misc(&self, buffers: &mut Vec<Buffer>) -> Result<(), CallError> {
        let context = &self.context;
        if self.rate_mode != RateMode::Cqp {
            let (control, buffer) = rate::parameters(self.rate_mode, self.config.rate);
            buffers.push(Buffer::misc(context, control)?);
            buffers.push(Buffer::misc(context, buffer)?);
        }
        let (frames, seconds) = self.config.frame_rate;
        // Two halves of a word: the lower one divided by the upper one.
        let framerate = match (u16::try_from(frames), u16::try_from(seconds)) {
            (Ok(frames), Ok(seconds)) => u32::from(seconds) << 16 | u32::from(frames),
            _ => (frames / seconds.max(1)).clamp(1, 1000) | 1 << 16,
        };
        buffers.push(Buffer::misc(
            context,
            va::VAEncMiscParameterFrameRate { framerate, ..Default::default() },
        )?);
        if let Some(quality_level) = self.quality_level {
            let parameter = va::VAEncMiscParameterBufferQualityLevel { quality_level, ..Default::default() };
            buffers.push(Buffer::misc(context, parameter)?);
        }
        Ok(())
    }

    /// Where drivers expect the next IDR picture, for their rate control: about where segments end.
    fn idr_period(&self) -> u32 {
        let (frames, seconds) = self.config.frame_rate;
        (frames.saturating_mul(2) / seconds.max(1)).clamp(1, 1000)
    }
}

fn push_header(
    context: &Context,
    kind: va::VAEncPackedHeaderType,
    data: &[u8],
    bits: usize,
    buffers: &mut Vec<Buffer>,
) -> Result<(), CallError> {
    let parameter = va::VAEncPackedHeaderParameterBuffer {
        type_: kind,
        bit_length: u32::try_from(bits).unwrap_or(0),
        has_emulation_bytes: 1,
        ..Default::default()
    };
    buffers.push(Buffer::parameter(context, &parameter)?);
    buffers.push(Buffer::packed_header(context, data)?);
    Ok(())
}
