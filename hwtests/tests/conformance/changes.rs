//! Streams that change in the middle, in one decoder: a publisher that turns its camera, or switches to another one.

use hwtests::conformance::stream::Fixtures;
use hwtests::conformance::{Codec, Engine, Failure, decode_all};

use crate::devices::on_each;

/// Pictures of each part; a group of pictures, and some of another one.
const COUNT: usize = 10;

/// A part of a stream: its bits a sample, width and height.
type Part = (u8, u32, u32);

/// Decodes the parts as one stream, and looks at what comes out of each.
fn check(engine: &dyn Engine, fixtures: &Fixtures, codec: Codec, parts: &[Part]) -> Result<(), Failure> {
    let streams: Vec<_> = parts
        .iter()
        .map(|(depth, width, height)| fixtures.stream(codec, *depth, *width, *height, COUNT))
        .collect();
    let units: Vec<_> = streams.iter().flat_map(|stream| stream.units_with_parameter_sets()).collect();
    let first = streams.first().ok_or("a stream has a first part")?;
    let mut decoder = engine.decoder(codec, &first.configuration)?;
    let pictures = decode_all(&mut *decoder, &units)?;
    let of_all = COUNT * parts.len();
    if pictures.len() != of_all {
        return Err(format!("{codec:?} {parts:?}: {} pictures of {of_all}", pictures.len()).into());
    }
    for (number, (pictures, stream)) in pictures.chunks(COUNT).zip(&streams).enumerate() {
        let wanted = parts[number];
        let shape =
            |picture: &hwtests::conformance::Picture| (picture.depth(), picture.width, picture.height);
        if let Some(other) = pictures.iter().map(shape).find(|found| *found != wanted) {
            return Err(format!("{codec:?} {parts:?}: part {number} has pictures of {other:?}").into());
        }
        let right = stream.decoded();
        let first = pictures.iter().zip(&right).position(|(own, right)| own != right);
        if right.len() != COUNT || first.is_some() {
            let of = right.len();
            return Err(
                format!("{codec:?} {parts:?}: part {number}: picture {first:?} of {of} differs").into()
            );
        }
    }
    Ok(())
}

#[test]
fn a_change_of_size_is_followed() {
    on_each("changes::a_change_of_size_is_followed", |engine, fixtures| {
        for (codec, depth) in engine.decodes() {
            // Down within what the decoder was made for, up beyond it, and back.
            let sizes = [(426, 240), (320, 180), (640, 360), (426, 240)];
            check(engine, fixtures, codec, &sizes.map(|(width, height)| (depth, width, height)))?;
        }
        Ok(())
    });
}

#[test]
fn a_change_of_bit_depth_is_followed() {
    on_each("changes::a_change_of_bit_depth_is_followed", |engine, fixtures| {
        for codec in Codec::ALL {
            let depths =
                engine.decodes().into_iter().filter(|(own, _)| *own == codec).map(|(_, depth)| depth);
            if depths.eq([8, 10]) {
                check(engine, fixtures, codec, &[(8, 426, 240), (10, 426, 240), (8, 426, 240)])?;
                // With the size, as from one camera to another.
                check(engine, fixtures, codec, &[(10, 320, 180), (8, 426, 240), (10, 320, 180)])?;
            } else {
                println!("{codec:?} of 8 and of 10 bits is not what {} decodes", engine.name());
            }
        }
        Ok(())
    });
}
