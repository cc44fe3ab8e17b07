//! The chunk stream where it is used to the full.

use rtmp::{AudioTag, Event, Limits, VideoKind, VideoTag};

use crate::wire::{Peer, basic, header, message, set_chunk_size};

fn videos(peer: &Peer) -> Vec<&VideoTag> {
    let tags = peer.events.iter().filter_map(|event| match event {
        Event::Video(tag) => Some(tag),
        _ => None,
    });
    tags.collect()
}

fn audios(peer: &Peer) -> Vec<&AudioTag> {
    let tags = peer.events.iter().filter_map(|event| match event {
        Event::Audio(tag) => Some(tag),
        _ => None,
    });
    tags.collect()
}

/// A picture of `size` bytes that differ, in a tag.
fn picture(size: usize) -> Vec<u8> {
    let body = (0..size).map(|index| u8::try_from(index % 251).unwrap());
    [0x17, 1, 0, 0, 0].into_iter().chain(body).collect()
}

fn assert_picture(tag: &VideoTag, size: usize, time: u32) {
    assert_eq!(tag.timestamp_millis, time);
    let VideoKind::Picture(bytes) = &tag.kind else { panic!("{tag:?}") };
    assert_eq!(bytes.as_ref(), &picture(size)[5..]);
}

#[test]
fn messages_of_several_chunk_streams_interleave() {
    let mut peer = Peer::publishing();
    let video = picture(400);
    let audio = [&[0xAF, 1][..], &[9; 200]].concat();
    let bytes = [
        header(6, 40, video.len(), 9, 1),
        video[..128].to_vec(),
        header(5, 33, audio.len(), 8, 1),
        audio[..128].to_vec(),
        basic(3, 6),
        video[128..256].to_vec(),
        message(128, 7, 41, 9, 1, &picture(10)),
        basic(3, 5),
        audio[128..].to_vec(),
        basic(3, 6),
        video[256..384].to_vec(),
        basic(3, 6),
        video[384..].to_vec(),
    ];
    peer.send(&bytes.concat()).unwrap();
    let tags = videos(&peer);
    assert_picture(tags[0], 10, 41);
    assert_picture(tags[1], 400, 40);
    assert_eq!(audios(&peer)[0].timestamp_millis, 33);
    assert_eq!(peer.session.buffered(), 0);
}

#[test]
fn the_chunk_size_may_change_within_a_message() {
    let mut peer = Peer::publishing();
    let video = picture(1000);
    let bytes = [
        header(6, 0, video.len(), 9, 1),
        video[..128].to_vec(),
        set_chunk_size(500),
        basic(3, 6),
        video[128..628].to_vec(),
        set_chunk_size(1),
    ];
    peer.send(&bytes.concat()).unwrap();
    let rest: Vec<u8> = video[628..].iter().flat_map(|&byte| [0xC6, byte]).collect();
    peer.send(&rest).unwrap();
    assert_picture(videos(&peer)[0], 1000, 0);
}

#[test]
fn all_forms_of_chunk_stream_ids_are_read() {
    for chunk_stream in [2, 3, 63, 64, 319, 320, 65_599] {
        let mut peer = Peer::publishing();
        peer.send(&message(128, chunk_stream, 5, 9, 1, &picture(300))).unwrap();
        assert_picture(videos(&peer)[0], 300, 5);
    }
}

#[test]
fn chunk_streams_with_like_ids_are_kept_apart() {
    let mut peer = Peer::publishing();
    let ids = [65, 321, 574, 575, 65_599, 65_598];
    let tag = picture(200);
    for id in ids {
        peer.send(&[header(id, id, tag.len(), 9, 1), tag[..128].to_vec()].concat()).unwrap();
    }
    for id in ids {
        peer.send(&[basic(3, id), tag[128..].to_vec()].concat()).unwrap();
    }
    for (tag, id) in videos(&peer).into_iter().zip(ids) {
        assert_picture(tag, 200, id);
    }
    assert_eq!(videos(&peer).len(), ids.len());
}

#[test]
fn short_headers_take_over_what_they_leave_out() {
    let mut peer = Peer::publishing();
    let tag = picture(3);
    let bytes = [
        message(128, 6, 1000, 9, 1, &tag),
        // Type 1: delta, length, type.
        basic(1, 6),
        vec![0, 0, 40, 0, 0, 9, 9],
        picture(4),
        // Type 2: delta alone.
        basic(2, 6),
        vec![0, 0, 33],
        picture(4),
        // Type 3: nothing; the delta again.
        basic(3, 6),
        picture(4),
    ];
    peer.send(&bytes.concat()).unwrap();
    let times: Vec<_> = videos(&peer).iter().map(|tag| tag.timestamp_millis).collect();
    assert_eq!(times, [1000, 1040, 1073, 1106]);
}

#[test]
fn type_3_after_type_0_repeats_its_time_as_a_delta_unless_that_is_absurd() {
    for (first, second) in [(40, 80), (0, 0), (5_000_000, 5_000_000)] {
        let mut peer = Peer::publishing();
        peer.send(&[message(128, 6, first, 9, 1, &picture(3)), basic(3, 6), picture(3)].concat()).unwrap();
        let times: Vec<_> = videos(&peer).iter().map(|tag| tag.timestamp_millis).collect();
        assert_eq!(times, [first, second]);
    }
}

#[test]
fn extended_time_stamps_are_read_in_every_type() {
    let mut peer = Peer::publishing();
    let long = picture(300);
    let bytes = [
        // Type 0, with continuations that repeat it.
        message(128, 6, 0xFFFF_FFF0, 9, 1, &long),
        // Type 1 with an extended delta, over the wrap.
        basic(1, 6),
        vec![0xFF, 0xFF, 0xFF, 0, 0, 9, 9],
        0x0100_0000u32.to_be_bytes().to_vec(),
        picture(4),
        // Type 3 that begins a message repeats the delta.
        basic(3, 6),
        0x0100_0000u32.to_be_bytes().to_vec(),
        picture(4),
        // Type 2 without.
        basic(2, 6),
        vec![0, 0, 1],
        picture(4),
        basic(3, 6),
        picture(4),
    ];
    for piece in [1, 5, 4096] {
        let mut cut = Peer::publishing();
        for bytes in bytes.concat().chunks(piece) {
            cut.send(bytes).unwrap();
        }
        let times: Vec<_> = videos(&cut).iter().map(|tag| tag.timestamp_millis).collect();
        assert_eq!(times, [0xFFFF_FFF0, 0x00FF_FFF0, 0x01FF_FFF0, 0x01FF_FFF1, 0x01FF_FFF2]);
        assert_picture(videos(&cut)[0], 300, 0xFFFF_FFF0);
    }
    peer.send(&bytes.concat()).unwrap();
    assert_eq!(peer.session.buffered(), 0);
}

/// Some repeat the message's time where they sent a delta.
#[test]
fn extended_time_stamps_of_continuations_may_be_absolute() {
    let mut peer = Peer::publishing();
    let tag = picture(200);
    let bytes = [
        message(128, 6, 1000, 9, 1, &picture(3)),
        basic(1, 6),
        vec![0xFF, 0xFF, 0xFF, 0, 0, 205, 9],
        0x0100_0000u32.to_be_bytes().to_vec(),
        tag[..128].to_vec(),
        basic(3, 6),
        (0x0100_0000u32 + 1000).to_be_bytes().to_vec(),
        tag[128..].to_vec(),
    ];
    peer.send(&bytes.concat()).unwrap();
    assert_picture(videos(&peer)[1], 200, 0x0100_0000 + 1000);
}

#[test]
fn extended_time_stamps_left_out_of_continuations_are_not_missed() {
    // Lengths around the place where the four bytes that are no time stamp run over the end of the message.
    for size in [124, 125, 126, 127, 128, 129, 250, 251, 252, 600] {
        for piece in [1, 3, 4096] {
            let mut peer = Peer::publishing();
            let mut bytes = Vec::new();
            for time in [0x0200_0000, 0x0200_0028] {
                let tag = picture(size);
                bytes.extend(header(6, time, tag.len(), 9, 1));
                for (index, piece) in tag.chunks(128).enumerate() {
                    bytes.extend(if index > 0 { basic(3, 6) } else { Vec::new() });
                    bytes.extend(piece);
                }
            }
            for bytes in bytes.chunks(piece) {
                peer.send(bytes).unwrap();
            }
            assert_picture(videos(&peer)[0], size, 0x0200_0000);
            assert_picture(videos(&peer)[1], size, 0x0200_0028);
        }
    }
}

#[test]
fn an_aborted_message_is_forgotten() {
    let mut peer = Peer::publishing();
    let video = picture(400);
    let abort = message(128, 2, 0, 2, 0, &6u32.to_be_bytes());
    let bytes = [
        header(6, 40, video.len(), 9, 1),
        video[..128].to_vec(),
        abort.clone(),
        message(128, 6, 80, 9, 1, &picture(50)),
        // Nothing to abort: no harm.
        abort,
        message(128, 2, 0, 2, 0, &999u32.to_be_bytes()),
        message(128, 6, 120, 9, 1, &picture(60)),
    ];
    peer.send(&bytes.concat()).unwrap();
    let tags = videos(&peer);
    assert_eq!(tags.len(), 2);
    assert_picture(tags[0], 50, 80);
    assert_picture(tags[1], 60, 120);
    assert_eq!(peer.session.buffered(), 0);
}

#[test]
fn encoders_that_stray_from_the_letter_are_understood() {
    // A chunk stream that opens with type 1, as librtmp's pings do.
    let mut peer = Peer::publishing();
    peer.send(&[basic(1, 9), vec![0, 0, 0, 0, 0, 6, 4, 0, 6, 0, 0, 0, 1]].concat()).unwrap();
    assert_eq!(peer.answers.len(), 1);
    // A continuation with a full header.
    let tag = picture(200);
    let full = header(6, 7, tag.len(), 9, 1);
    peer.send(&[full.clone(), tag[..128].to_vec(), full, tag[128..].to_vec()].concat()).unwrap();
    assert_picture(videos(&peer)[0], 200, 7);
}

#[test]
fn empty_messages_do_no_harm() {
    let mut peer = Peer::publishing();
    for kind in [8, 9, 18, 22, 99] {
        peer.send(&header(6, 0, 0, kind, 1)).unwrap();
    }
    assert!(peer.events.iter().all(|event| matches!(event, Event::Warning(_))), "{:?}", peer.events);
    peer.send(&message(128, 6, 0, 9, 1, &picture(5))).unwrap();
    assert_picture(videos(&peer)[0], 5, 0);
}

#[test]
fn aggregates_are_taken_apart() {
    let part = |kind: u8, time: u32, payload: &[u8]| {
        let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let [high, low @ ..] = time.to_be_bytes();
        let back = u32::try_from(payload.len() + 11).unwrap().to_be_bytes();
        [&[kind][..], &length, &low, &[high], &[0; 3], payload, &back].concat()
    };
    let mut peer = Peer::publishing();
    let parts = [part(9, 5000, &picture(20)), part(8, 5010, &[0xAF, 1, 3]), part(9, 5040, &picture(30))];
    peer.send(&message(128, 6, 1000, 22, 1, &parts.concat())).unwrap();
    assert_picture(videos(&peer)[0], 20, 1000);
    assert_picture(videos(&peer)[1], 30, 1040);
    assert_eq!(audios(&peer)[0].timestamp_millis, 1010);
}

#[test]
fn a_picture_of_megabytes_comes_through() {
    let mut peer = Peer::publishing();
    let size = 5_000_000;
    peer.send(&[set_chunk_size(65_536), message(65_536, 6, 0, 9, 1, &picture(size))].concat()).unwrap();
    assert_picture(videos(&peer)[0], size, 0);
}

#[test]
fn many_small_messages_at_once_are_bounded() {
    let limits = Limits { queued: 100, ..Limits::default() };
    let mut peer = Peer::new(limits);
    peer.send(
        &[crate::wire::handshake(), crate::wire::connect("live"), crate::wire::publish("key")].concat(),
    )
    .unwrap();
    let mut bytes = message(128, 5, 0, 8, 1, &[0xAF, 1, 0]);
    for _ in 0..200 {
        bytes.extend([0xC5, 0xAF, 1, 0]);
    }
    let error = peer.send(&bytes).unwrap_err();
    assert!(error.to_string().contains("over the bound of 100"), "{error}");
}
