//! The card is there, in its place and its range, at every size and for every title.

use super::*;

const SIZES: [(u32, u32); 6] = [(256, 144), (426, 240), (640, 360), (1280, 720), (360, 640), (96, 54)];
/// Darker than any letter, lighter than any ground.
const LIT: u8 = 90;

fn drawn(title: &str, (width, height): (u32, u32)) -> Planes {
    let planes = card(title, Size { width, height }).unwrap();
    let length = usize::try_from(width * height).unwrap();
    assert_eq!(planes.samples.each_ref().map(Vec::len), [length, length / 4, length / 4]);
    planes
}

/// Columns and rows that hold letters, each with the first and the last.
fn lit(planes: &Planes) -> ([usize; 2], [usize; 2]) {
    let width = usize::try_from(planes.size.width).unwrap();
    let lit = planes.samples[0].iter().enumerate().filter(|(_, y)| **y > LIT).map(|(at, _)| at);
    let (mut columns, mut rows) = ([usize::MAX, 0], [usize::MAX, 0]);
    for at in lit {
        let (x, y) = (at % width, at / width);
        columns = [columns[0].min(x), columns[1].max(x)];
        rows = [rows[0].min(y), rows[1].max(y)];
    }
    (columns, rows)
}

#[test]
fn letters_stand_in_the_middle_and_within_the_safe_area() {
    let long = "Übertragung aus dem Großen Konzertsaal der Philharmonie";
    for size in SIZES {
        for title in ["A", "Studio A", long, "Ελληνικά и русский", &"W".repeat(500), &"wide ".repeat(80)]
        {
            let ([left, right], [top, bottom]) = lit(&drawn(title, size));
            let (width, height) = (usize::try_from(size.0).unwrap(), usize::try_from(size.1).unwrap());
            let place = format!("{title} at {size:?}: {left}..={right}, {top}..={bottom}");
            assert!(left * 20 >= width && (width - right) * 20 >= width, "{place}");
            assert!(left.abs_diff(width - 1 - right) * 50 <= width, "{place}");
            assert!(top * 10 >= height && (height - bottom) * 10 >= height, "{place}");
            assert!(right - left >= width / 4, "{place}");
        }
    }
}

#[test]
fn samples_stay_in_the_limited_range_and_the_ground_is_dark() {
    for size in SIZES {
        let planes = drawn("Studio A", size);
        let [luma, blue, red] = planes.samples.each_ref().map(|plane| {
            (plane.iter().copied().min().unwrap_or_default(), plane.iter().copied().max().unwrap_or_default())
        });
        assert!(luma.0 >= 16 && luma.1 <= 235 && luma.1 > 200, "{luma:?}");
        // A cool ground, and the rule in one colour.
        assert!((120..=180).contains(&blue.1) && blue.0 >= 120, "{blue:?}");
        assert!((80..=130).contains(&red.0) && red.1 <= 136, "{red:?}");
        let corner = planes.samples[0][0];
        assert!((16..40).contains(&corner), "{corner}");
    }
}

#[test]
fn a_title_is_read_and_what_the_font_lacks_is_replaced() {
    let size = (640, 360);
    assert_ne!(drawn("Studio A", size), drawn("Studio B", size));
    assert_ne!(drawn("ÀÉÎÕŪ", size), drawn("AEIOU", size));
    assert_eq!(drawn("中央 News", size), drawn("?? News", size));
    assert_eq!(drawn("Studio\u{7}  A\n", size), drawn("Studio A", size));
    // Without a title the second line stands alone.
    let (_, alone) = lit(&drawn(" ", size));
    let (_, both) = lit(&drawn("A", size));
    assert!(alone[1] - alone[0] < both[1] - both[0], "{alone:?} {both:?}");
}

#[test]
fn the_second_line_can_be_read_on_the_smallest_rung() {
    // Height of "l" on 256x144 at the least size, without its anti-aliased ends.
    let (_, rows) = lit(&drawn(" ", (256, 144)));
    assert!(rows[1] - rows[0] >= 9, "{rows:?}");
}

#[test]
fn any_size_of_a_picture_has_a_card() {
    for width in [2, 4, 16, 64, 4096] {
        for height in [2, 4, 16, 64] {
            drawn("Studio A", (width, height));
        }
    }
}

#[test]
fn a_slow_gradient_has_no_steps() {
    // Along a row of the ground, neighbouring runs of one value are mixed by dithering, never long and sharp.
    let planes = drawn("", (1280, 720));
    let row = &planes.samples[0][20 * 1280..21 * 1280];
    let longest = row.chunk_by(|a, b| a == b).map(<[u8]>::len).max().unwrap();
    assert!(longest < 100, "{longest} samples of one value");
}
