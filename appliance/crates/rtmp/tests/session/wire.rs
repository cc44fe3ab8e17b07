//! The peer's side: bytes as an encoder sends them, and its reading of what comes back (with `rml_rtmp`'s reader, which
//! suffices for a server's answers).

use rml_rtmp::chunk_io::ChunkDeserializer;
use rml_rtmp::messages::RtmpMessage;
use rml_rtmp::rml_amf0::Amf0Value;
use rtmp::{Event, Limits, ServerSession, SessionError};

pub(crate) const HANDSHAKE: usize = 3073;

pub(crate) fn handshake() -> Vec<u8> {
    let mut bytes = vec![0x5A; HANDSHAKE];
    bytes[0] = 3;
    bytes[1..9].fill(0);
    bytes
}

pub(crate) fn number(value: f64) -> Vec<u8> {
    [&[0][..], &value.to_be_bytes()].concat()
}

pub(crate) fn boolean(value: bool) -> Vec<u8> {
    vec![1, u8::from(value)]
}

pub(crate) fn name(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

pub(crate) fn string(text: &str) -> Vec<u8> {
    [&[2][..], &name(text)].concat()
}

pub(crate) const NULL: &[u8] = &[5];

pub(crate) fn object(properties: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![3];
    for (key, value) in properties {
        bytes.extend(name(key));
        bytes.extend(value);
    }
    bytes.extend([0, 0, 9]);
    bytes
}

pub(crate) fn ecma_array(properties: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let count = u32::try_from(properties.len()).unwrap();
    [&[8][..], &count.to_be_bytes(), &object(properties)[1..]].concat()
}

pub(crate) fn command(name: &str, transaction: f64, arguments: &[&[u8]]) -> Vec<u8> {
    [string(name), number(transaction), arguments.concat()].concat()
}

/// The header of a chunk of type 0 with its basic header in the shortest form.
pub(crate) fn header(chunk_stream: u32, time: u32, length: usize, kind: u8, message_stream: u32) -> Vec<u8> {
    let mut bytes = basic(0, chunk_stream);
    bytes.extend(&time.min(0xFF_FFFF).to_be_bytes()[1..]);
    bytes.extend(&u32::try_from(length).unwrap().to_be_bytes()[1..]);
    bytes.push(kind);
    bytes.extend(message_stream.to_le_bytes());
    if time >= 0xFF_FFFF {
        bytes.extend(time.to_be_bytes());
    }
    bytes
}

pub(crate) fn basic(format: u8, chunk_stream: u32) -> Vec<u8> {
    match chunk_stream {
        0..2 => panic!("chunk stream {chunk_stream}"),
        2..64 => vec![format << 6 | u8::try_from(chunk_stream).unwrap()],
        64..320 => vec![format << 6, u8::try_from(chunk_stream - 64).unwrap()],
        _ => {
            let id = u16::try_from(chunk_stream - 64).unwrap();
            [&[format << 6 | 1][..], &id.to_le_bytes()].concat()
        }
    }
}

/// A message as a chunk of type 0 and as many of type 3 as it takes.
pub(crate) fn message(
    chunk: usize,
    chunk_stream: u32,
    time: u32,
    kind: u8,
    stream: u32,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = header(chunk_stream, time, payload.len(), kind, stream);
    for (index, piece) in payload.chunks(chunk).enumerate() {
        if index > 0 {
            bytes.extend(basic(3, chunk_stream));
            if time >= 0xFF_FFFF {
                bytes.extend(time.to_be_bytes());
            }
        }
        bytes.extend(piece);
    }
    bytes
}

pub(crate) fn connect(app: &str) -> Vec<u8> {
    let properties = [
        ("app", string(app)),
        ("type", string("nonprivate")),
        ("flashVer", string("FMLE/3.0 (compatible; test)")),
        ("tcUrl", string(&format!("rtmp://127.0.0.1/{app}"))),
        ("capsEx", number(1.0)),
    ];
    message(128, 3, 0, 20, 0, &command("connect", 1.0, &[&object(&properties)]))
}

pub(crate) fn publish(key: &str) -> Vec<u8> {
    let publish = command("publish", 5.0, &[NULL, &string(key), &string("live")]);
    [
        message(128, 3, 0, 20, 0, &command("releaseStream", 2.0, &[NULL, &string(key)])),
        message(128, 3, 0, 20, 0, &command("FCPublish", 3.0, &[NULL, &string(key)])),
        message(128, 3, 0, 20, 0, &command("createStream", 4.0, &[NULL])),
        message(128, 3, 0, 20, 1, &publish),
    ]
    .concat()
}

pub(crate) fn metadata() -> Vec<u8> {
    let properties = [
        ("width", number(1280.0)),
        ("height", number(720.0)),
        ("framerate", number(29.97)),
        ("videocodecid", number(7.0)),
        ("audiocodecid", number(10.0)),
        ("audiosamplerate", number(48_000.0)),
        ("stereo", boolean(true)),
        ("encoder", string("by hand")),
    ];
    [string("@setDataFrame"), string("onMetaData"), ecma_array(&properties)].concat()
}

/// A whole session: handshake, connect, publish, metadata, both configurations, a second of media, the orderly end.
pub(crate) fn whole_session() -> Vec<u8> {
    let mut bytes = [handshake(), connect("live"), publish("key"), set_chunk_size(4096)].concat();
    bytes.extend(message(4096, 4, 0, 18, 1, &metadata()));
    bytes.extend(message(4096, 6, 0, 9, 1, &[0x17, 0, 0, 0, 0, 1, 66, 0, 30]));
    bytes.extend(message(4096, 5, 0, 8, 1, &[0xAF, 0, 0x12, 0x10]));
    for frame in 0..25u8 {
        let time = u32::from(frame) * 40;
        let mut picture = vec![if frame == 0 { 0x17 } else { 0x27 }, 1, 0, 0, 40];
        picture.resize(5 + 600 * usize::from(frame % 9), frame);
        bytes.extend(message(4096, 6, time, 9, 1, &picture));
        bytes.extend(message(4096, 5, time, 8, 1, &[0xAF, 1, frame, frame]));
    }
    bytes.extend(message(4096, 3, 0, 20, 0, &command("FCUnpublish", 6.0, &[NULL, &string("key")])));
    bytes.extend(message(4096, 3, 0, 20, 0, &command("deleteStream", 7.0, &[NULL, &number(1.0)])));
    bytes
}

pub(crate) fn set_chunk_size(bytes: u32) -> Vec<u8> {
    message(128, 2, 0, 1, 0, &bytes.to_be_bytes())
}

/// A session with its peer: decisions are made as soon as they are asked for, and answers are read.
pub(crate) struct Peer {
    pub(crate) session: ServerSession,
    pub(crate) events: Vec<Event>,
    pub(crate) answers: Vec<RtmpMessage>,
    /// What to say to `publish`.
    pub(crate) accept: bool,
    reader: ChunkDeserializer,
    received: usize,
}

impl Peer {
    pub(crate) fn new(limits: Limits) -> Self {
        let session = ServerSession::new(limits);
        let reader = ChunkDeserializer::new();
        Self { session, events: Vec::new(), answers: Vec::new(), accept: true, reader, received: 0 }
    }

    /// A peer that is publishing, with what led there forgotten.
    pub(crate) fn publishing() -> Self {
        let mut peer = Self::new(Limits::default());
        peer.send(&[handshake(), connect("live"), publish("key")].concat()).unwrap();
        assert!(matches!(peer.events.last(), Some(Event::Publish { .. })), "{:?}", peer.events);
        peer.events.clear();
        peer.answers.clear();
        peer
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let mut result = self.session.input(bytes);
        while let Some(event) = self.session.poll_event() {
            let decided = match &event {
                Event::Connect(request) if request.app == "live" => self.session.accept_connect(),
                Event::Connect(_) => {
                    self.session.refuse_connect("no such application");
                    Ok(())
                }
                Event::Publish { .. } if self.accept => self.session.accept_publish(),
                Event::Publish { .. } => {
                    self.session.refuse_publish(rtmp::RefusalCode::BadName, "the key is not known");
                    Ok(())
                }
                _ => Ok(()),
            };
            result = result.and(decided);
            self.events.push(event);
        }
        self.read_answers();
        result
    }

    pub(crate) fn read_answers(&mut self) {
        while let Some(bytes) = self.session.poll_output() {
            let handshake = bytes.len().min(HANDSHAKE - self.received.min(HANDSHAKE));
            self.received += bytes.len();
            let mut chunks = &bytes[handshake..];
            while let Some(payload) = self.reader.get_next_message(chunks).unwrap() {
                chunks = &[];
                let message = payload.to_rtmp_message().unwrap();
                if let RtmpMessage::SetChunkSize { size } = message {
                    self.reader.set_max_chunk_size(usize::try_from(size).unwrap()).unwrap();
                }
                self.answers.push(message);
            }
        }
    }

    /// The command answers, as name, transaction and the first object's level, code and description.
    pub(crate) fn commands(&self) -> Vec<(String, f64, String, String, String)> {
        let commands = self.answers.iter().filter_map(|message| match message {
            RtmpMessage::Amf0Command { command_name, transaction_id, additional_arguments, .. } => {
                let info = additional_arguments.first().cloned().and_then(Amf0Value::get_object_properties);
                let info = info.unwrap_or_default();
                let text =
                    |name: &str| info.get(name).cloned().and_then(Amf0Value::get_string).unwrap_or_default();
                Some((
                    command_name.clone(),
                    *transaction_id,
                    text("level"),
                    text("code"),
                    text("description"),
                ))
            }
            _ => None,
        });
        commands.collect()
    }

    pub(crate) fn codes(&self) -> Vec<String> {
        self.commands().into_iter().map(|command| command.3).filter(|code| !code.is_empty()).collect()
    }
}
