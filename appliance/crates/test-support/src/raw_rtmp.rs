//! The few RTMP bytes needed to be impolite with, or to read what a refusal says (RTMP 1.0, sections 5 and 7).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Both parts of the handshake after the version byte (5.2.3).
const HANDSHAKE_BYTES: usize = 1536;
/// Chunk size before `Set Chunk Size` (5.4.1).
const FIRST_CHUNK_SIZE: usize = 128;
/// And for media.
const MEDIA_CHUNK_SIZE: usize = 65_536;
/// Longest wait for bytes.
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// One message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// 20 is an AMF0 command.
    pub kind: u8,
    /// Its body.
    pub body: Vec<u8>,
}

impl Message {
    /// The printable text in the body: enough to see codes and sentences.
    #[must_use]
    pub fn text(&self) -> String {
        self.body.iter().map(|b| if (b' '..=b'~').contains(b) { char::from(*b) } else { '\u{b7}' }).collect()
    }
}

/// A connection past its handshake.
#[derive(Debug)]
pub struct RawRtmp {
    stream: TcpStream,
    chunk_size_in: usize,
    /// Of each chunk stream: length and type of the message, and what there is of it.
    partial: std::collections::BTreeMap<u8, (usize, u8, Vec<u8>)>,
}

/// One AMF0 value (AMF0, section 2), as far as commands have them.
#[derive(Debug, Clone)]
pub enum Amf<'a> {
    /// Marker 0.
    Number(f64),
    /// Marker 2.
    String(&'a str),
    /// Marker 3.
    Object(&'a [(&'a str, Amf<'a>)]),
    /// Marker 5.
    Null,
}

fn encode(values: &[Amf<'_>]) -> Vec<u8> {
    fn short(out: &mut Vec<u8>, text: &str) {
        out.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    let mut out = Vec::new();
    for value in values {
        match value {
            Amf::Number(number) => {
                out.push(0);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Amf::String(text) => {
                out.push(2);
                short(&mut out, text);
            }
            Amf::Object(fields) => {
                out.push(3);
                for (name, value) in *fields {
                    short(&mut out, name);
                    out.extend_from_slice(&encode(std::slice::from_ref(value)));
                }
                out.extend_from_slice(&[0, 0, 9]);
            }
            Amf::Null => out.push(5),
        }
    }
    out
}

impl RawRtmp {
    /// Connects and shakes hands.
    ///
    /// # Errors
    /// Where the server does not.
    pub fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        stream.write_all(&[3])?;
        stream.write_all(&[0; HANDSHAKE_BYTES])?;
        let mut answer = vec![0; 1 + 2 * HANDSHAKE_BYTES];
        stream.read_exact(&mut answer)?;
        stream.write_all(&answer[1..=HANDSHAKE_BYTES])?;
        Ok(Self { stream, chunk_size_in: FIRST_CHUNK_SIZE, partial: std::collections::BTreeMap::new() })
    }

    /// The socket, for bytes of the test's own.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends an AMF0 command on a message stream.
    ///
    /// # Errors
    /// Where the socket does.
    pub fn command(&mut self, message_stream: u32, values: &[Amf<'_>]) -> std::io::Result<()> {
        let body = encode(values);
        let mut out = vec![3, 0, 0, 0];
        out.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
        out.push(20);
        out.extend_from_slice(&message_stream.to_le_bytes());
        for (index, part) in body.chunks(FIRST_CHUNK_SIZE).enumerate() {
            if index > 0 {
                out.push(0xc3);
            }
            out.extend_from_slice(part);
        }
        self.stream.write_all(&out)
    }

    /// `connect`, `createStream` and `publish`, as encoders do.
    ///
    /// # Errors
    /// Where the server closes before the last of them.
    pub fn publish(&mut self, application: &str, key: &str) -> std::io::Result<()> {
        self.publish_as(application, key, &[])
    }

    /// The same, with further properties of `connect`.
    ///
    /// # Errors
    /// Where the server closes before the last of them.
    pub fn publish_as(
        &mut self,
        application: &str,
        key: &str,
        properties: &[(&str, Amf<'_>)],
    ) -> std::io::Result<()> {
        self.call_connect(application, properties)?;
        self.command(0, &[Amf::String("createStream"), Amf::Number(2.0), Amf::Null])?;
        self.command(
            1,
            &[Amf::String("publish"), Amf::Number(3.0), Amf::Null, Amf::String(key), Amf::String("live")],
        )
    }

    /// `connect` alone, with further properties.
    ///
    /// # Errors
    /// Where the socket does.
    pub fn call_connect(&mut self, application: &str, properties: &[(&str, Amf<'_>)]) -> std::io::Result<()> {
        let mut fields = vec![
            ("app", Amf::String(application)),
            ("type", Amf::String("nonprivate")),
            ("flashVer", Amf::String("FMLE/3.0 (compatible; rungd-test)")),
        ];
        fields.extend_from_slice(properties);
        self.command(0, &[Amf::String("connect"), Amf::Number(1.0), Amf::Object(&fields)])
    }

    /// The text of commands up to one that has `wanted` in it.
    ///
    /// # Panics
    /// Where the server closes or falls silent before.
    pub fn commands_until(&mut self, wanted: &str) -> Vec<String> {
        let mut commands = Vec::new();
        while !commands.last().is_some_and(|text: &String| text.contains(wanted)) {
            match self.receive() {
                Ok(Some(message)) if message.kind == 20 => commands.push(message.text()),
                Ok(Some(_)) => {}
                other => panic!("no {wanted}, but {other:?} after {commands:#?}"),
            }
        }
        commands
    }

    /// Makes what follows go out in few chunks (5.4.1).
    ///
    /// # Errors
    /// Where the socket does.
    pub fn set_chunk_size(&mut self) -> std::io::Result<()> {
        let mut out = vec![2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0];
        out.extend_from_slice(&u32::try_from(MEDIA_CHUNK_SIZE).unwrap().to_be_bytes());
        self.stream.write_all(&out)
    }

    /// Sends sound (8) or a picture (9), as FLV has it, after [`Self::set_chunk_size`].
    ///
    /// # Errors
    /// Where the socket does.
    ///
    /// # Panics
    /// For stamps past four hours, which would need another header.
    pub fn media(&mut self, kind: u8, millis: u32, body: &[u8]) -> std::io::Result<()> {
        assert!(millis < 0xff_ffff, "{millis} ms need an extended time stamp");
        let mut out = vec![4];
        out.extend_from_slice(&millis.to_be_bytes()[1..]);
        out.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
        out.push(kind);
        out.extend_from_slice(&1u32.to_le_bytes());
        for (index, part) in body.chunks(MEDIA_CHUNK_SIZE).enumerate() {
            if index > 0 {
                out.push(0xc4);
            }
            out.extend_from_slice(part);
        }
        self.stream.write_all(&out)
    }

    /// The next message; none at the end of the connection.
    ///
    /// # Errors
    /// Where the socket fails, or is silent too long.
    ///
    /// # Panics
    /// Where the server breaks the chunk format.
    pub fn receive(&mut self) -> std::io::Result<Option<Message>> {
        loop {
            let mut first = [0];
            match self.stream.read(&mut first) {
                Ok(0) => return Ok(None),
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
                read => read?,
            };
            let (format, id) = (first[0] >> 6, first[0] & 0x3f);
            assert!(id >= 2, "a server of ours uses chunk streams 2 to 63");
            let header_bytes = [11, 7, 3, 0][usize::from(format)];
            let mut header = vec![0; header_bytes];
            self.stream.read_exact(&mut header)?;
            let extended = header.get(..3) == Some(&[0xff; 3]);
            if extended {
                self.stream.read_exact(&mut [0; 4])?;
            }
            let entry = self.partial.entry(id).or_default();
            if header_bytes >= 7 {
                let length = [0, header[3], header[4], header[5]];
                (entry.0, entry.1) = (usize::try_from(u32::from_be_bytes(length)).unwrap(), header[6]);
            }
            let wanted = self.chunk_size_in.min(entry.0 - entry.2.len());
            let mut part = vec![0; wanted];
            self.stream.read_exact(&mut part)?;
            entry.2.extend_from_slice(&part);
            if entry.2.len() < entry.0 {
                continue;
            }
            let message = Message { kind: entry.1, body: std::mem::take(&mut entry.2) };
            if message.kind == 1 {
                let size = message.body.get(..4).expect("Set Chunk Size has four bytes").try_into().unwrap();
                self.chunk_size_in = usize::try_from(u32::from_be_bytes(size)).unwrap();
            }
            return Ok(Some(message));
        }
    }

    /// The text of all commands until the server closes.
    ///
    /// # Panics
    /// Where it does not close in time.
    pub fn commands_to_the_end(&mut self) -> Vec<String> {
        let mut commands = Vec::new();
        loop {
            match self.receive() {
                Ok(Some(message)) if message.kind == 20 => commands.push(message.text()),
                Ok(Some(_)) => {}
                Ok(None) => return commands,
                Err(e) => panic!("the server neither spoke nor closed ({e}); commands so far: {commands:#?}"),
            }
        }
    }
}
