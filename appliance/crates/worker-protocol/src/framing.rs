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
/// Fill [`Self::buffer`] from the socket, then call [`Self::next_message`] until it gives `None`. Payloads are slices of that
/// buffer, not copies.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: BytesMut,
}

impl FrameDecoder {
    /// Where the next bytes from the socket go.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next message with its payload, or `None` while it is not whole.
    ///
    /// # Errors
    /// Where the stream breaks the framing; the decoder is of no use then.
    pub fn next_message<M: DeserializeOwned>(&mut self) -> Result<Option<(M, Bytes)>, FrameError> {
        let Some(prefix) = self.buffer.get(..LENGTH_BYTES) else { return Ok(None) };
        let length = usize::try_from(prefix.as_ref().get_u32_le()).unwrap_or(usize::MAX);
        if length > HEADER_LENGTH_BYTES + MAX_HEADER_BYTES + MAX_PAYLOAD_BYTES {
            return Err(FrameError::FrameTooLong { bytes: length });
        }
        if length < HEADER_LENGTH_BYTES {
            return Err(FrameError::HeaderBeyondFrame { frame: length, header: HEADER_LENGTH_BYTES });
        }
        if self.buffer.len() < LENGTH_BYTES + length {
            self.buffer.reserve(LENGTH_BYTES + length - self.buffer.len());
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

    #[test]
    fn a_message_arrives_whole_however_the_bytes_are_cut() {
        let message = ToWorker::Video { dts_ticks: -3600, pts_ticks: 90, key: true };
        let payload = [7u8; 300];
        let mut wire = encode(&message, payload.len()).unwrap().to_vec();
        wire.extend_from_slice(&payload);
        let mut decoder = FrameDecoder::default();
        for (i, byte) in wire.iter().enumerate() {
            decoder.buffer().put_u8(*byte);
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
        decoder.buffer().put_u32_le(u32::MAX);
        assert!(matches!(decoder.next_message::<ToWorker>(), Err(FrameError::FrameTooLong { .. })));
        assert!(decoder.buffer().capacity() < 1024);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = FrameDecoder::default();
            decoder.buffer().extend_from_slice(&bytes);
            while let Ok(Some(_)) = decoder.next_message::<ToWorker>() {}
        }
    }
}
