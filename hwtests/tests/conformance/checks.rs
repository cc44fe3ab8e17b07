//! What every engine must do.

use std::fs;

use hwtests::conformance::stream::write;
use hwtests::conformance::{Codec, Coded, Job, decode_all, encode_all};
use hwtests::natural_clip;
use hwtests::pictures::{key_frames, psnr, stream_fact};
use test_support::media_check::decode_errors;

use crate::devices::on_each;

/// The size of most checks.
const SIZE: (u32, u32) = (640, 360);

fn job(codec: Codec, bit_rate: u32) -> Job {
    Job { codec, width: SIZE.0, height: SIZE.1, bit_rate }
}

/// Fails with a sentence.
macro_rules! ensure {
    ($condition:expr, $($sentence:tt)+) => {
        let holds: bool = $condition;
        if !holds {
            return Err(format!($($sentence)+).into());
        }
    };
}

#[test]
fn what_it_encodes_is_close_to_what_it_was_given() {
    on_each("checks::what_it_encodes_is_close_to_what_it_was_given", |engine, fixtures| {
        let pictures = fixtures.natural(8, SIZE.0, SIZE.1, 50);
        for codec in engine.encodes() {
            let mut encoder = engine.encoder(job(codec, 1_000_000))?;
            let coded = encode_all(&mut *encoder, &pictures, |index| index == 0)?;
            ensure!(coded.len() == 50, "{codec:?}: {} pictures of 50 came out", coded.len());
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("coded").with_extension(codec.ending());
            write(&file, codec, &encoder.configuration(), &coded);
            let db = psnr(&file, &natural_clip());
            ensure!(db > 35.0, "{codec:?}: {db} dB");
            let bytes = fs::metadata(&file)?.len();
            let kbits = bytes * 8 / 1000 * 25 / 50;
            ensure!((700..1300).contains(&kbits), "{codec:?}: {kbits} kbit/s, 1000 were asked for");
        }
        Ok(())
    });
}

#[test]
fn colours_and_range_are_told() {
    on_each("checks::colours_and_range_are_told", |engine, fixtures| {
        let pictures = fixtures.natural(8, SIZE.0, SIZE.1, 2);
        for codec in engine.encodes() {
            let mut encoder = engine.encoder(job(codec, 1_000_000))?;
            let coded = encode_all(&mut *encoder, &pictures, |index| index == 0)?;
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("coded").with_extension(codec.ending());
            write(&file, codec, &encoder.configuration(), &coded);
            for (fact, wanted) in [
                ("color_space", "bt709"),
                ("color_transfer", "bt709"),
                ("color_primaries", "bt709"),
                ("color_range", "tv"),
            ] {
                let found = stream_fact(&file, fact);
                ensure!(found == wanted, "{codec:?}: {fact} is {found}, and {wanted} is right");
            }
        }
        Ok(())
    });
}

#[test]
fn idr_pictures_stand_where_they_are_asked_for_and_nowhere_else() {
    on_each("checks::idr_pictures_stand_where_they_are_asked_for_and_nowhere_else", |engine, fixtures| {
        let pictures = fixtures.natural(8, 320, 180, 60);
        for codec in engine.encodes() {
            let mut encoder = engine.encoder(Job { codec, width: 320, height: 180, bit_rate: 400_000 })?;
            let on_grid = |index: usize| [0, 1, 12, 13, 40].contains(&index);
            let coded = encode_all(&mut *encoder, &pictures, on_grid)?;
            for (index, picture) in coded.iter().enumerate() {
                ensure!(picture.key == on_grid(index), "{codec:?}: picture {index} has key {}", picture.key);
            }
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("coded").with_extension(codec.ending());
            write(&file, codec, &encoder.configuration(), &coded);
            let keys: Vec<bool> = (0..60).map(on_grid).collect();
            ensure!(key_frames(&file) == keys, "{codec:?}: ffprobe sees other key frames");
        }
        Ok(())
    });
}

#[test]
fn a_new_bit_rate_is_there_within_a_second() {
    /// Of each second, in kbit/s: a step up, and one down.
    const RATES: [u32; 7] = [300, 300, 1200, 1200, 1200, 300, 300];
    on_each("checks::a_new_bit_rate_is_there_within_a_second", |engine, fixtures| {
        // To the end of the clip, and back.
        let clip = fixtures.natural(8, SIZE.0, SIZE.1, 125);
        let pictures: Vec<_> = clip.iter().chain(clip.iter().rev()).take(RATES.len() * 25).collect();
        for codec in engine.encodes() {
            let mut encoder = engine.encoder(job(codec, RATES[0] * 1000))?;
            let mut coded = Vec::new();
            for (index, picture) in pictures.iter().enumerate() {
                if index % 25 == 0 && index > 0 && RATES[index / 25] != RATES[index / 25 - 1] {
                    encoder.set_bit_rate(RATES[index / 25] * 1000)?;
                }
                encoder.send(picture, index == 0)?;
                coded.extend(
                    std::iter::from_fn(|| encoder.receive().transpose()).collect::<Result<Vec<_>, _>>()?,
                );
            }
            encoder.finish();
            coded
                .extend(std::iter::from_fn(|| encoder.receive().transpose()).collect::<Result<Vec<_>, _>>()?);
            let kbits = |second: &[Coded]| second.iter().map(|coded| coded.data.len() * 8 / 1000).sum();
            let seconds: Vec<usize> = coded.chunks(25).map(kbits).collect();
            let what = format!("{codec:?}: {seconds:?} kbit in each second, {RATES:?} were asked for");
            println!("{what}");
            ensure!(seconds[1] < 450 && seconds[6] < 450, "{what}");
            ensure!(seconds[3..5].iter().all(|kbits| (900..1500).contains(kbits)), "{what}");
            // It is one stream still: nothing begins anew, and each picture has what it refers to.
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("coded").with_extension(codec.ending());
            write(&file, codec, &encoder.configuration(), &coded);
            let keys: Vec<bool> = (0..pictures.len()).map(|index| index == 0).collect();
            ensure!(key_frames(&file) == keys, "{codec:?}: ffprobe sees key frames at a step");
            let errors = decode_errors(&file.to_string_lossy());
            ensure!(errors.is_empty(), "{codec:?}: {errors}");
        }
        Ok(())
    });
}

#[test]
fn streams_of_others_are_decoded_bit_by_bit() {
    /// Two groups of pictures, and a few.
    const COUNT: usize = 20;
    on_each("checks::streams_of_others_are_decoded_bit_by_bit", |engine, fixtures| {
        for (codec, depth) in engine.decodes() {
            // Sizes and depths change from stream to stream, as publishers' do.
            for (width, height) in [(640, 360), (426, 240), (562, 316)] {
                let stream = fixtures.stream(codec, depth, width, height, COUNT);
                let mut decoder = engine.decoder(codec, &stream.configuration)?;
                let pictures = decode_all(&mut *decoder, &stream.units)?;
                let what = format!("{codec:?} of {depth} bits, {width}x{height}");
                ensure!(pictures.len() == COUNT, "{what}: {} pictures of {COUNT}", pictures.len());
                let right = stream.decoded();
                ensure!(right.len() == COUNT, "{what}: ffmpeg decodes {}", right.len());
                let first = pictures.iter().zip(&right).position(|(own, right)| own != right);
                ensure!(first.is_none(), "{what}: picture {first:?} differs");
            }
        }
        Ok(())
    });
}

#[test]
fn pictures_are_scaled() {
    on_each("checks::pictures_are_scaled", |engine, fixtures| {
        let large = fixtures.natural(8, 1280, 720, 1);
        let scaled = engine.scale(&large[0], 640, 360)?;
        let wanted = &fixtures.natural(8, 640, 360, 1)[0];
        ensure!((scaled.width, scaled.height) == (640, 360), "it is {}x{}", scaled.width, scaled.height);
        for (plane, (own, right)) in scaled.planes.iter().zip(&wanted.planes).enumerate() {
            ensure!(own.len() == right.len(), "plane {plane} has {} samples of {}", own.len(), right.len());
            let square = |(own, right): (&u8, &u8)| u64::from(own.abs_diff(*right)).pow(2);
            let squares = own.iter().zip(right).map(square).sum::<u64>();
            // 33 dB: filters differ in how sharp they are.
            let mean = squares / own.len() as u64;
            ensure!(mean < 33, "plane {plane}: mean square difference {mean}");
        }
        Ok(())
    });
}

#[test]
fn sixteen_sessions_go_on_at_once() {
    on_each("checks::sixteen_sessions_go_on_at_once", |engine, fixtures| {
        let pictures = fixtures.natural(8, 320, 180, 8);
        for codec in engine.encodes() {
            let open = || engine.encoder(Job { codec, width: 320, height: 180, bit_rate: 400_000 });
            let mut encoders = (0..16).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
            let mut coded = vec![0; 16];
            for (index, picture) in pictures.iter().enumerate() {
                for (encoder, coded) in encoders.iter_mut().zip(&mut coded) {
                    encoder.send(picture, index == 0)?;
                    while encoder.receive()?.is_some() {
                        *coded += 1;
                    }
                }
            }
            for (encoder, coded) in encoders.iter_mut().zip(&mut coded) {
                encoder.finish();
                while encoder.receive()?.is_some() {
                    *coded += 1;
                }
            }
            ensure!(coded.iter().all(|&count| count == 8), "{codec:?}: {coded:?} pictures of 8 each");
        }
        Ok(())
    });
}
