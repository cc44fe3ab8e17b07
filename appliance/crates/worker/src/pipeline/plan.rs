//! Which rung is scaled from which: the nearest larger one of the same shape, which costs far less than the source.

use media::Rung;
use media::ladder::RungRate;

/// Shapes count as the same when they differ by less than this many thousandths; 854x480 is off 16:9 by 0.4.
const SAME_SHAPE_THOUSANDTHS: u64 = 15;

/// For each rung the one it is scaled from; none for the source. A rung is never its own ancestor.
pub(super) fn parents(rungs: &[Rung]) -> Vec<Option<usize>> {
    let nearest = |index: usize, rung: &Rung| {
        let candidates = rungs.iter().enumerate().filter(|(other, parent)| {
            let (from, to) = (parent.size, rung.size);
            // Equal sizes share one frame; the index breaks the tie.
            let larger = from.width >= to.width && from.height >= to.height && (from != to || *other < index);
            let (a, b) =
                (u64::from(from.width) * u64::from(to.height), u64::from(from.height) * u64::from(to.width));
            // A half-rate rung has no picture of every second frame.
            larger
                && a.abs_diff(b) * 1000 <= SAME_SHAPE_THOUSANDTHS * a.max(b)
                && (parent.rate == RungRate::Full || rung.rate == RungRate::Half)
        });
        candidates
            .min_by_key(|(other, p)| (u64::from(p.size.width) * u64::from(p.size.height), *other))
            .map(|c| c.0)
    };
    rungs.iter().enumerate().map(|(index, rung)| nearest(index, rung)).collect()
}

#[cfg(test)]
mod tests {
    use media::Size;

    use super::*;

    fn rung(width: u32, height: u32, rate: RungRate) -> Rung {
        Rung {
            name: format!("{height}p"),
            size: Size { width, height },
            rate,
            bit_rate: 1,
            max_bit_rate: 1,
            buffer_bits: 1,
            preset: String::new(),
            tune: None,
            profile: String::new(),
            upscale: false,
        }
    }

    #[test]
    fn each_rung_comes_from_the_nearest_larger_one() {
        let full = |w, h| rung(w, h, RungRate::Full);
        let ladder = [full(854, 480), full(1920, 1080), full(640, 360), full(1280, 720), full(640, 360)];
        assert_eq!(parents(&ladder), [Some(3), None, Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn other_shapes_and_full_rates_come_from_the_source() {
        let ladder = [
            rung(1280, 720, RungRate::Half),
            rung(640, 360, RungRate::Full),
            rung(480, 480, RungRate::Full),
            rung(426, 240, RungRate::Half),
        ];
        assert_eq!(parents(&ladder), [None, None, None, Some(1)]);
    }
}
