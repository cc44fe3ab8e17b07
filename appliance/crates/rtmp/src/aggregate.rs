//! Aggregate messages (RTMP 1.0, 7.1.6): several messages in one, as in an FLV file.

use crate::chunk::Message;
use crate::flv::{Cursor, FlvError};

/// Type, length, time stamp with its upper byte last, stream id.
const HEADER_BYTES: usize = 11;
/// The length of the part before, which FLV files are read backwards by.
const BACK_POINTER_BYTES: usize = 4;

/// Takes the parts of an aggregate message one by one; payloads are slices of it.
pub(crate) struct Parts {
    cursor: Cursor,
    whole: Message,
    /// What is to be added to the parts' times, so that the first has the aggregate's (7.1.6).
    shift: Option<u32>,
}

impl Parts {
    pub(crate) fn new(whole: Message) -> Self {
        Self { cursor: Cursor::new(whole.payload.clone()), whole, shift: None }
    }

    /// The next part, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, FlvError> {
        let left = self.cursor.left();
        if left == 0 {
            return Ok(None);
        }
        let at = self.whole.payload.len() - left;
        let short = |needed| FlvError::Aggregate { at, needed, left };
        let [type_id, l0, l1, l2, t0, t1, t2, t3, ..] =
            self.cursor.array::<HEADER_BYTES>("part of an aggregate").map_err(|_| short(HEADER_BYTES))?;
        let length = usize::try_from(u32::from_be_bytes([0, l0, l1, l2])).unwrap_or(usize::MAX);
        let timestamp = u32::from_be_bytes([t3, t0, t1, t2]);
        let payload =
            self.cursor.take(length, "part of an aggregate").map_err(|_| short(HEADER_BYTES + length))?;
        // The last back pointer may be missing.
        let _ = self.cursor.take(BACK_POINTER_BYTES.min(self.cursor.left()), "back pointer")?;
        let shift = *self.shift.get_or_insert(self.whole.timestamp_millis.wrapping_sub(timestamp));
        Ok(Some(Message {
            type_id,
            timestamp_millis: timestamp.wrapping_add(shift),
            message_stream: self.whole.message_stream,
            offset: self.whole.offset,
            payload,
        }))
    }
}
