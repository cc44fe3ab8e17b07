//! The handshake (RTMP 1.0, section 5.2), and what else may knock on the port.
//!
//! The packets are `rml_rtmp`'s, which answers both the plain handshake and the digest one of Flash Player 9. It is
//! handed exactly the bytes of the handshake and never one more, so what it buffers is bounded by their number.

use rml_rtmp::handshake::{Handshake as Packets, HandshakeProcessResult, PeerType};

/// C0, C1 and C2: one byte and twice 1536 (RTMP 1.0, 5.2.2 to 5.2.4).
pub const HANDSHAKE_BYTES: usize = 1 + 2 * 1536;

/// The version in C0 (RTMP 1.0, 5.2.2).
const VERSION: u8 = 3;
/// The type of a TLS record that carries a handshake (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// Methods a browser, a probe or a misdirected player begins with (RFC 9110, 9.3), and the preface of HTTP/2.
const HTTP_METHODS: [&[u8]; 9] =
    [b"GET ", b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"DELETE ", b"CONNECT ", b"PATCH ", b"PRI * "];

/// A first byte that is no RTMP handshake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// TLS on the port for plain RTMP.
    #[error("this looks like TLS: publish with rtmps:// on the RTMPS port, or with rtmp:// on this one")]
    Tls,
    /// A browser, or a player, on the ingest port.
    #[error("this looks like HTTP: the RTMP port takes publishers only")]
    Http,
    /// RTMPE (6, 8) or something else altogether.
    #[error("handshake of version {version}, and only {VERSION} is spoken here")]
    Version {
        /// The first byte of the connection.
        version: u8,
    },
    /// The packets' own complaint.
    #[error("handshake packets refused: {0}")]
    Packets(String),
}

/// The server's side of the handshake.
pub(crate) struct Handshake {
    packets: Packets,
    received: usize,
}

impl Handshake {
    pub(crate) fn new() -> Self {
        Self { packets: Packets::new(PeerType::Server), received: 0 }
    }

    /// Takes the handshake's part of `input`; what is to be sent is appended to `output`. True once it is done.
    pub(crate) fn read(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Result<bool, HandshakeError> {
        if input.is_empty() {
            return Ok(false);
        }
        if self.received == 0 {
            check_first_bytes(input)?;
        }
        let (mine, rest) = input.split_at(input.len().min(HANDSHAKE_BYTES - self.received));
        *input = rest;
        self.received += mine.len();
        match self.packets.process_bytes(mine) {
            Ok(HandshakeProcessResult::InProgress { response_bytes }) => {
                output.extend_from_slice(&response_bytes);
                Ok(false)
            }
            Ok(HandshakeProcessResult::Completed { response_bytes, remaining_bytes: _ }) => {
                output.extend_from_slice(&response_bytes);
                Ok(true)
            }
            Err(error) => Err(HandshakeError::Packets(error.to_string())),
        }
    }

    /// Bytes taken so far.
    pub(crate) fn received(&self) -> usize {
        self.received
    }
}

/// Judges by as many bytes as the first read brought, be it one: a wrong first byte ends the session in any case.
fn check_first_bytes(input: &[u8]) -> Result<(), HandshakeError> {
    match input.first() {
        Some(&VERSION) | None => Ok(()),
        Some(&TLS_HANDSHAKE) => Err(HandshakeError::Tls),
        Some(_)
            if HTTP_METHODS.iter().any(|method| input.starts_with(method) || method.starts_with(input)) =>
        {
            Err(HandshakeError::Http)
        }
        Some(&version) => Err(HandshakeError::Version { version }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(bytes: &[u8]) -> HandshakeError {
        Handshake::new().read(&mut &*bytes, &mut Vec::new()).unwrap_err()
    }

    #[test]
    fn other_protocols_are_named() {
        assert_eq!(first(b"GET / HTTP/1.1\r\n"), HandshakeError::Http);
        assert_eq!(first(b"P"), HandshakeError::Http);
        assert_eq!(first(&[0x16, 0x03, 0x01]), HandshakeError::Tls);
        assert_eq!(first(&[6, 0, 0]), HandshakeError::Version { version: 6 });
        assert_eq!(first(b"Gopher"), HandshakeError::Version { version: b'G' });
    }

    #[test]
    fn takes_its_own_bytes_and_no_more() {
        let mut bytes = vec![0u8; HANDSHAKE_BYTES + 5];
        bytes[0] = 3;
        let (mut input, mut output) = (bytes.as_slice(), Vec::new());
        assert!(Handshake::new().read(&mut input, &mut output).unwrap());
        assert_eq!(input.len(), 5);
        assert_eq!(output.len(), HANDSHAKE_BYTES);
        assert_eq!(output[1 + 1536..], bytes[1..1 + 1536], "S2 echoes C1");
    }

    #[test]
    fn comes_about_byte_by_byte() {
        let mut handshake = Handshake::new();
        let mut output = Vec::new();
        for position in 0..HANDSHAKE_BYTES {
            let byte = [if position == 0 { 3 } else { 7 }];
            let done = handshake.read(&mut &byte[..], &mut output).unwrap();
            assert_eq!(done, position + 1 == HANDSHAKE_BYTES);
        }
        assert_eq!(output.len(), HANDSHAKE_BYTES);
    }
}
