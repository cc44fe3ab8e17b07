//! Anything at all: nothing panics, nothing grows, and how bytes are cut never matters.

use proptest::prelude::*;
use rtmp::fuzz;

use crate::wire;

/// A small generator, so that a failure names a seed and is the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        // Half of them values at which something is decided.
        const EDGES: [u8; 12] = [0, 1, 2, 3, 8, 9, 0x0A, 0x14, 0x7F, 0x80, 0xC3, 0xFF];
        if self.next() & 1 == 0 { EDGES[self.below(EDGES.len())] } else { self.next().to_le_bytes()[3] }
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => {
                bytes.remove(at);
            }
            2 => bytes.insert(at, random.byte()),
            3 => {
                let end = (at + random.below(64)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => bytes[at] = random.byte(),
        }
        if bytes.is_empty() {
            return;
        }
    }
}

/// Mutations of a whole session, most of them behind its handshake.
#[test]
fn mutated_sessions() {
    let whole = wire::whole_session();
    for seed in 1..=1500u64 {
        let mut random = Random(seed);
        let mut bytes = if seed % 8 == 0 { whole.clone() } else { whole[wire::HANDSHAKE..].to_vec() };
        mutate(&mut bytes, &mut random);
        let choice = random.byte() & !1 | u8::from(seed % 8 != 0);
        bytes.insert(0, choice);
        fuzz::session(&bytes);
    }
}

/// Every byte of the commands in turn, set to each edge: the part of a session that a stranger can reach.
#[test]
fn swept_sessions() {
    let commands = [wire::connect("live"), wire::publish("key")].concat();
    for at in 0..commands.len() {
        for value in [0x00, 0xFF, commands[at] ^ 0x80, commands[at].wrapping_add(1)] {
            let mut bytes = [&[0x61][..], &commands].concat();
            bytes[at + 1] = value;
            fuzz::session(&bytes);
        }
    }
}

#[test]
fn mutated_media_and_amf() {
    let tags: [&[u8]; 6] = [
        &[0x17, 1, 0, 0, 40, 1, 2, 3, 4],
        b"\x97\x02\x00\x42\x3F\x01hvc1\0\0\x28data",
        b"\x96\x11avc1\x01\0\0\x05\0\0\0no\x00\0\0\x07\0\0\x09yeah",
        b"\x96\x20vp09\x01\0\0\x01xav01\x00\0\0\x04conf",
        b"\x95\x11mp4a\x00\0\0\x02ab\x01\0\0\x02cd",
        &[0xAF, 1, 5, 6],
    ];
    let metadata = wire::metadata();
    for seed in 1..=20_000u64 {
        let mut random = Random(seed);
        let mut bytes = tags[random.below(tags.len())].to_vec();
        mutate(&mut bytes, &mut random);
        fuzz::media(&bytes);
        let mut bytes = metadata.clone();
        mutate(&mut bytes, &mut random);
        fuzz::amf(&bytes);
    }
}

proptest! {
    #[test]
    fn garbage(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        fuzz::session(&bytes);
        fuzz::media(&bytes);
        fuzz::amf(&bytes);
    }

    /// What is chunked by hand in any sizes and interleaved in any order comes out whole.
    #[test]
    fn interleaving(sizes in proptest::collection::vec(1usize..700, 1..6), order in any::<u64>()) {
        let mut peer = wire::Peer::publishing();
        let tags: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(index, &size)| {
            let mut tag = vec![0x27, 1, 0, 0, 0];
            tag.resize(5 + size, u8::try_from(index).unwrap());
            tag
        }).collect();
        let mut chunks: Vec<Vec<Vec<u8>>> = tags.iter().enumerate().map(|(index, tag)| {
            let id = u32::try_from(index).unwrap() + 10;
            tag.chunks(128).enumerate().map(|(at, piece)| {
                let header = if at == 0 { wire::header(id, id, tag.len(), 9, 1) } else { wire::basic(3, id) };
                [header, piece.to_vec()].concat()
            }).collect()
        }).collect();
        let mut random = Random(order | 1);
        while chunks.iter().any(|chunks| !chunks.is_empty()) {
            let at = random.below(chunks.len());
            if !chunks[at].is_empty() {
                let chunk = chunks[at].remove(0);
                peer.send(&chunk).unwrap();
            }
        }
        prop_assert_eq!(peer.events.len(), tags.len());
        for event in &peer.events {
            let rtmp::Event::Video(tag) = event else { panic!("{event:?}") };
            let index = usize::try_from(tag.timestamp_millis).unwrap() - 10;
            prop_assert_eq!(&tag.kind, &rtmp::VideoKind::Picture(tags[index][5..].to_vec().into()));
        }
    }
}
