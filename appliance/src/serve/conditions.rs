//! Conditional and range requests (RFC 9110, 13 and 14), as far as a cache or a player needs them.

use std::ops::Range;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// What a `Range` header comes to for a body of known length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RangeAnswer {
    /// All of it, with 200: there is no range, or one that may be ignored.
    Whole,
    /// This part, with 206.
    Part(Range<u64>),
    /// Nothing of it, with 416.
    Unsatisfiable,
}

/// Reads `Range`. Several ranges are answered with the whole (14.2 allows it): no player asks for them, and they
/// multiply work for whoever means harm. `If-Range` must name `etag`, else the range is void (13.1.5).
pub(super) fn range(headers: &HeaderMap, etag: Option<&HeaderValue>, length: u64) -> RangeAnswer {
    let Some(value) = single(headers, &header::RANGE) else { return RangeAnswer::Whole };
    if headers.get(header::IF_RANGE).is_some_and(|wanted| Some(wanted) != etag) {
        return RangeAnswer::Whole;
    }
    let Some((unit, set)) = value.split_once('=') else { return RangeAnswer::Whole };
    if !unit.eq_ignore_ascii_case("bytes") || set.contains(',') {
        return RangeAnswer::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else { return RangeAnswer::Whole };
    match (position(first), position(last)) {
        (Position::At(first), Position::At(last)) if first > last => RangeAnswer::Whole,
        (Position::At(first), Position::At(_) | Position::Absent) if first >= length => {
            RangeAnswer::Unsatisfiable
        }
        (Position::At(first), Position::At(last)) => {
            RangeAnswer::Part(first..last.saturating_add(1).min(length))
        }
        (Position::At(first), Position::Absent) => RangeAnswer::Part(first..length),
        (Position::Absent, Position::At(0)) => RangeAnswer::Unsatisfiable,
        (Position::Absent, Position::At(_)) if length == 0 => RangeAnswer::Unsatisfiable,
        (Position::Absent, Position::At(suffix)) => RangeAnswer::Part(length.saturating_sub(suffix)..length),
        (Position::Absent, Position::Absent) | (Position::Bad, _) | (_, Position::Bad) => RangeAnswer::Whole,
    }
}

/// Whether the client has this representation already: `If-None-Match` names it, or is `*` (13.1.2). The weak
/// comparison is the one to use there.
pub(super) fn not_modified(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let Ok(etag) = etag.to_str() else { return false };
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|candidate| candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate) == etag)
}

enum Position {
    Absent,
    At(u64),
    Bad,
}

fn position(text: &str) -> Position {
    match text {
        "" => Position::Absent,
        _ if !text.bytes().all(|byte| byte.is_ascii_digit()) => Position::Bad,
        // More digits than a u64 has is past any end.
        _ => Position::At(text.parse().unwrap_or(u64::MAX)),
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(value: &str) -> RangeAnswer {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, value.parse().unwrap());
        range(&headers, None, 100)
    }

    #[test]
    fn ranges() {
        assert_eq!(answer("bytes=0-9"), RangeAnswer::Part(0..10));
        assert_eq!(answer("bytes=90-"), RangeAnswer::Part(90..100));
        assert_eq!(answer("bytes=90-1000"), RangeAnswer::Part(90..100));
        assert_eq!(answer("bytes=-10"), RangeAnswer::Part(90..100));
        assert_eq!(answer("bytes=-1000"), RangeAnswer::Part(0..100));
        assert_eq!(answer("bytes=0-99999999999999999999999999"), RangeAnswer::Part(0..100));
        assert_eq!(answer("bytes=100-"), RangeAnswer::Unsatisfiable);
        assert_eq!(answer("bytes=99999999999999999999999999-"), RangeAnswer::Unsatisfiable);
        assert_eq!(answer("bytes=-0"), RangeAnswer::Unsatisfiable);
        for ignored in
            ["bytes=5-1", "bytes=0-1,5-6", "lines=0-1", "bytes=-", "bytes=a-b", "bytes", "bytes=+1-2", ""]
        {
            assert_eq!(answer(ignored), RangeAnswer::Whole, "{ignored}");
        }
    }

    #[test]
    fn a_range_of_something_else_is_void() {
        let etag = HeaderValue::from_static("\"a\"");
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-0"));
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"b\""));
        assert_eq!(range(&headers, Some(&etag), 10), RangeAnswer::Whole);
        headers.insert(header::IF_RANGE, etag.clone());
        assert_eq!(range(&headers, Some(&etag), 10), RangeAnswer::Part(0..1));
    }

    #[test]
    fn what_the_client_has_is_not_sent() {
        let etag = HeaderValue::from_static("\"a\"");
        let mut headers = HeaderMap::new();
        assert!(!not_modified(&headers, &etag));
        for (value, expected) in
            [("\"a\"", true), ("\"x\", W/\"a\"", true), ("*", true), ("\"b\"", false), ("a", false)]
        {
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(value));
            assert_eq!(not_modified(&headers, &etag), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_in_the_body(value in "(bytes=)?[0-9,a-z -]{0,30}", length in 0u64..1000) {
            let headers = HeaderMap::from_iter([(header::RANGE, value.parse().unwrap())]);
            if let RangeAnswer::Part(part) = range(&headers, None, length) {
                prop_assert!(part.start < part.end && part.end <= length, "{part:?} of {length}");
            }
        }
    }
}
