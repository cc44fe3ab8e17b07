//! Length-prefixed frames: a small header in postcard, and a payload that is never copied into it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest header: a [`crate::Job`] with 16 rungs is under 4 KiB.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Largest payload: twice a 4:2:2 10-bit 2160p intra picture at 240 Mbit/s and 25 fps.
pub const MAX_PAYLOAD_BYTES: usize = 16 * 1024 * 1024;

const LENGTH_BYTES: usize = 4;
const HEADER_LENGTH_BYTES: usize = 2;
const MAX_FRAME_BYTES: usize = LENGTH_BYTES + HEADER_LENGTH_BYTES + MAX_HEADER_BYTES + MAX_PAYLOAD_BYTES;

/// Memory that payloads lie in, taken at once: a fifth of a second of a usual ladder. A block is free again once its last
/// payload is, so it is small against what a window holds.
const BLOCK_BYTES: usize = 256 * 1024;
/// What is read at once at least. The rest of a block that has less is given up.
const LEAST_ROOM_BYTES: usize = 16 * 1024;

/// A frame that breaks the framing.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The header does not fit.
    #[error("header of {bytes} bytes is over the bound of {MAX_HEADER_BYTES}")]
    HeaderTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The frame does not fit.
    #[error("frame of {bytes} bytes is over the bound of {}", MAX_HEADER_BYTES + MAX_PAYLOAD_BYTES)]
    FrameTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The lengths contradict each other.
    #[error("frame of {frame} bytes cannot hold a header of {header}")]
    HeaderBeyondFrame {
        /// Bytes behind the length.
        frame: usize,
        /// Bytes the header claims.
        header: usize,
    },
    /// The header is no message.
    #[error("header is not a message of protocol version {}", crate::VERSION)]
    Header(#[source] postcard::Error),
}

/// The bytes that go before `payload_bytes` bytes of payload on the wire.
///
/// # Errors
/// Where header or payload are over their bounds.
pub fn encode<M: Serialize>(message: &M, payload_bytes: usize) -> Result<Bytes, FrameError> {
    let header = postcard::to_stdvec(message).map_err(FrameError::Header)?;
    if header.len() > MAX_HEADER_BYTES {
        return Err(FrameError::HeaderTooLong { bytes: header.len() });
    }
    let length = HEADER_LENGTH_BYTES + header.len() + payload_bytes;
    if payload_bytes > MAX_PAYLOAD_BYTES {
        return Err(FrameError::FrameTooLong { bytes: length });
    }
    let too_long = |_| FrameError::FrameTooLong { bytes: length };
    let mut out = BytesMut::with_capacity(LENGTH_BYTES + HEADER_LENGTH_BYTES + header.len());
    out.put_u32_le(u32::try_from(length).map_err(too_long)?);
    out.put_u16_le(u16::try_from(header.len()).map_err(too_long)?);
    out.extend_from_slice(&header);
    Ok(out.freeze())
}

/// Cuts a byte stream into messages.
///
/// Fill [`Self::room`] from the socket and say how far with [`Self::filled`], then call [`Self::next_message`] until it
/// gives `None`. Payloads are slices of the blocks that were filled, not copies.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    /// What has come and is not cut yet.
    buffer: BytesMut,
    /// What of the same block is free behind it.
    free: BytesMut,
}

impl FrameDecoder {
    /// Where the next bytes from the socket go: [`LEAST_ROOM_BYTES`] or more, and as much as the begun frame lacks.
    pub fn room(&mut self) -> &mut [u8] {
        let lacking = match self.frame_bytes() {
            Some(whole) => whole.min(MAX_FRAME_BYTES).saturating_sub(self.buffer.len()),
            None => 0,
        };
        let least = lacking.max(LEAST_ROOM_BYTES);
        if self.free.len() < least {
            let begun = self.buffer.len();
            let mut block = BytesMut::zeroed(BLOCK_BYTES.max(begun + least));
            self.free = block.split_off(begun);
            block.copy_from_slice(&self.buffer);
            self.buffer = block;
        }
        &mut self.free
    }

    /// So many bytes at the front of [`Self::room`] were filled.
    pub fn filled(&mut self, bytes: usize) {
        let filled = self.free.split_to(bytes.min(self.free.len()));
        self.buffer.unsplit(filled);
    }

    /// How long the begun frame says it is, its length field included.
    fn frame_bytes(&self) -> Option<usize> {
        let prefix = self.buffer.get(..LENGTH_BYTES)?;
        let length = usize::try_from(prefix.as_ref().get_u32_le()).unwrap_or(usize::MAX);
        Some(length.saturating_add(LENGTH_BYTES))
    }

    /// The next message with its payload, or `None` while it is not whole.
    ///
    /// # Errors
    /// Where the stream breaks the framing; the decoder is of no use then.
    pub fn next_message<M: DeserializeOwned>(&mut self) -> Result<Option<(M, Bytes)>, FrameError> {
        let Some(whole) = self.frame_bytes() else { return Ok(None) };
        let length = whole - LENGTH_BYTES;
        if whole > MAX_FRAME_BYTES {
            return Err(FrameError::FrameTooLong { bytes: length });
        }
        if length < HEADER_LENGTH_BYTES {
            return Err(FrameError::HeaderBeyondFrame { frame: length, header: HEADER_LENGTH_BYTES });
        }
        if self.buffer.len() < whole {
            return Ok(None);
        }
        self.buffer.advance(LENGTH_BYTES);
        let mut frame = self.buffer.split_to(length).freeze();
        let header_length = usize::from(frame.get_u16_le());
        if header_length > frame.len() {
            return Err(FrameError::HeaderBeyondFrame { frame: length, header: header_length });
        }
        let header = frame.split_to(header_length);
        let message = postcard::from_bytes(&header).map_err(FrameError::Header)?;
        Ok(Some((message, frame)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ToWorker;

    fn fill(decoder: &mut FrameDecoder, bytes: &[u8]) {
        decoder.room()[..bytes.len()].copy_from_slice(bytes);
        decoder.filled(bytes.len());
    }

    #[test]
    fn payloads_of_one_block_share_it_and_frames_across_blocks_are_whole() {
        let payloads: Vec<Vec<u8>> = (0..60u8).map(|i| vec![i; 9_000 + 100 * usize::from(i)]).collect();
        let large = vec![200u8; 3 * BLOCK_BYTES];
        let mut wire = Vec::new();
        for payload in payloads.iter().chain([&large]).chain(&payloads) {
            let message = ToWorker::Video { dts_ticks: 1, pts_ticks: 2, key: false };
            wire.extend_from_slice(&encode(&message, payload.len()).unwrap());
            wire.extend_from_slice(payload);
        }
        let mut decoder = FrameDecoder::default();
        let mut got = Vec::new();
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            let room = decoder.room();
            let take = room.len().min(rest.len()).min(70_001);
            room[..take].copy_from_slice(&rest[..take]);
            decoder.filled(take);
            rest = &rest[take..];
            while let Some((_, payload)) = decoder.next_message::<ToWorker>().unwrap() {
                got.push(payload);
            }
        }
        let sent: Vec<&Vec<u8>> = payloads.iter().chain([&large]).chain(&payloads).collect();
        assert_eq!(got.len(), sent.len());
        assert!(got.iter().zip(sent).all(|(got, sent)| got == sent));
        let neighbours = got.windows(2).filter(|pair| {
            let end = pair[0].as_ptr_range().end;
            (end..end.wrapping_add(64)).contains(&pair[1].as_ptr())
        });
        assert!(neighbours.count() > 80, "payloads lie behind each other, as they came");
    }

    #[test]
    fn a_message_arrives_whole_however_the_bytes_are_cut() {
        let message = ToWorker::Video { dts_ticks: -3600, pts_ticks: 90, key: true };
        let payload = [7u8; 300];
        let mut wire = encode(&message, payload.len()).unwrap().to_vec();
        wire.extend_from_slice(&payload);
        let mut decoder = FrameDecoder::default();
        for (i, byte) in wire.iter().enumerate() {
            fill(&mut decoder, &[*byte]);
            let got = decoder.next_message::<ToWorker>().unwrap();
            assert_eq!(got.is_some(), i + 1 == wire.len(), "at byte {i}");
            if let Some((m, p)) = got {
                assert_eq!((m, &p[..]), (message.clone(), &payload[..]));
            }
        }
    }

    #[test]
    fn a_frame_over_the_bound_is_refused_before_it_is_buffered() {
        let mut decoder = FrameDecoder::default();
        fill(&mut decoder, &u32::MAX.to_le_bytes());
        assert!(matches!(decoder.next_message::<ToWorker>(), Err(FrameError::FrameTooLong { .. })));
        assert!(decoder.room().len() <= MAX_FRAME_BYTES);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = FrameDecoder::default();
            fill(&mut decoder, &bytes);
            while let Ok(Some(_)) = decoder.next_message::<ToWorker>() {}
        }
    }
}
