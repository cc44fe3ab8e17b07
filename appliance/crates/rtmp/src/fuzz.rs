//! Bodies of the fuzz targets, compiled and run in every test run over mutated and random input.
//!
//! Each takes any bytes and asserts what must hold of them; the shells for `cargo fuzz` are in `appliance/fuzz`.

use bytes::Bytes;

use crate::chunk::ChunkError;
use crate::command::CommandError;
use crate::{Event, Limits, RefusalCode, Rule, ServerSession, SessionError, amf, flv};

/// Bounds low enough to be met by short inputs.
fn tight_limits() -> Limits {
    Limits {
        media_message_bytes: 64 * 1024,
        command_message_bytes: 8 * 1024,
        chunk_streams: 8,
        buffered_bytes: 128 * 1024,
        held_bytes: 64 * 1024,
        ..Limits::default()
    }
}

/// A session fed with `data`, whole and cut in pieces: it holds no more than its bounds, and what comes of it does not
/// depend on the cuts. The first byte chooses the cuts and whether a handshake goes before the rest.
pub fn session(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    let mut input = Vec::new();
    if choice & 1 != 0 {
        input.resize(crate::handshake::HANDSHAKE_BYTES, 0);
        input[0] = 3;
    }
    input.extend_from_slice(data);
    let whole = run(&input, input.len().max(1), choice);
    let pieces = run(&input, usize::from(choice >> 1) + 1, choice);
    match (&whole.1, &pieces.1) {
        // What piles up, and how much of a first line is seen at once, are matters of the cuts.
        (
            Some(SessionError {
                rule: Rule::Handshake(_) | Rule::Command(CommandError::TooMuchQueued { .. }),
                ..
            }),
            _,
        )
        | (Some(SessionError { rule: Rule::Command(CommandError::TooMuchHeld { .. }), .. }), _)
        | (_, Some(SessionError { rule: Rule::Handshake(_), .. })) => {}
        _ => assert!(whole == pieces, "cuts make a difference: {whole:?} and {pieces:?}"),
    }
}

fn run(input: &[u8], piece: usize, choice: u8) -> (Vec<Event>, Option<SessionError>) {
    let limits = tight_limits();
    let mut session = ServerSession::new(limits);
    let mut events = Vec::new();
    for piece in input.chunks(piece) {
        let mut result = session.input(piece);
        assert!(
            session.buffered() <= limits.buffered_bytes + limits.held_bytes,
            "holds {}",
            session.buffered()
        );
        while let Some(event) = session.poll_event() {
            let decided = match &event {
                Event::Connect(_) => session.accept_connect(),
                Event::Publish { .. } if choice & 2 == 0 => session.accept_publish(),
                Event::Publish { .. } => {
                    session.refuse_publish(RefusalCode::BadName, "no");
                    Ok(())
                }
                _ => Ok(()),
            };
            result = result.and(decided);
            events.push(event);
        }
        while session.poll_output().is_some() {}
        if let Err(error) = result {
            let received = u64::try_from(input.len()).unwrap_or(u64::MAX);
            assert!(error.offset <= received, "error at {} of {received} bytes", error.offset);
            assert!(session.is_closing(), "goes on after {error}");
            if let Rule::Chunk(ChunkError::TooMuchBuffered { bytes, bound }) = error.rule {
                assert!(bytes > bound, "{bytes} refused under a bound of {bound}");
            }
            return (events, Some(error));
        }
    }
    (events, None)
}

/// Both parsers of media messages: what they give is no longer than what they got.
pub fn media(data: &[u8]) {
    let payload = Bytes::copy_from_slice(data);
    if let Ok(flv::Parsed::Tag(tag)) = flv::video::parse(0, &payload) {
        let length = match &tag.kind {
            flv::VideoKind::Configuration(bytes) | flv::VideoKind::Picture(bytes) => bytes.len(),
            flv::VideoKind::End => 0,
        };
        assert!(length < data.len() && tag.nanos < 1_000_000, "{tag:?}");
        assert!((-0x80_0000..0x80_0000).contains(&tag.composition_millis), "{tag:?}");
    }
    if let Ok(flv::Parsed::Tag(tag)) = flv::audio::parse(0, &payload) {
        let (flv::AudioKind::Configuration(bytes) | flv::AudioKind::Frame(bytes)) = &tag.kind;
        assert!(!bytes.is_empty() && bytes.len() < data.len() && tag.nanos < 1_000_000, "{tag:?}");
    }
}

/// The AMF0 reader: what it takes, `rml_amf0` can write, and reads back as the same values.
pub fn amf(data: &[u8]) {
    let limits = Limits::default();
    let Ok(values) = amf::decode(data, &limits) else { return };
    assert!(values.len() <= limits.amf_values, "{} values", values.len());
    // Strings of 64 KiB and longer are beyond its writer.
    let Ok(written) = rml_amf0::serialize(&values) else { return };
    let Ok(again) = amf::decode(&written, &limits) else { return };
    // Not-a-number is no number's equal, so bytes are compared; objects have no order, so only their length.
    assert_eq!(rml_amf0::serialize(&again).map(|bytes| bytes.len()).ok(), Some(written.len()));
}
