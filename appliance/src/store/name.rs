//! Names that stand in URLs and in paths. Nothing reaches the file system that is not one of these.

use std::fmt;

/// Longest name of a feed; the configuration holds feeds to the same.
const MAX_FEED: usize = 64;
/// Longest name of a track; ladders hold rungs to the same.
const MAX_TRACK: usize = 32;
/// Longest presentation id; `20261121T031500.123Z` has 20.
const MAX_PRESENTATION: usize = 40;

/// A name that has characters it must not have, or is too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} \"{}\" is not 1 to {longest} characters of {allowed}", value.escape_debug())]
pub struct InvalidName {
    what: &'static str,
    value: String,
    longest: usize,
    allowed: &'static str,
}

impl InvalidName {
    fn new(what: &'static str, value: &str, longest: usize, allowed: &'static str) -> Self {
        // What a stranger sent is echoed in part only.
        Self { what, value: value.chars().take(longest).collect(), longest, allowed }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $longest:expr, $allowed:literal, $first:pat, $other:pat) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// Checks `text`.
            ///
            /// # Errors
            ///
            /// Where it is empty, too long, or has other characters.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                let mut bytes = text.bytes();
                let valid = text.len() <= $longest
                    && matches!(bytes.next(), Some($first))
                    && bytes.all(|byte| matches!(byte, $other));
                match valid {
                    true => Ok(Self(text.to_owned())),
                    false => Err(InvalidName::new($what, text, $longest, $allowed)),
                }
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of a feed: `a-z 0-9 -`.
    FeedName,
    "feed name",
    MAX_FEED,
    "a-z 0-9 -",
    b'a'..=b'z' | b'0'..=b'9' | b'-',
    b'a'..=b'z' | b'0'..=b'9' | b'-'
);

name!(
    /// The name of a track: a rung's, or `audio`. `a-z 0-9 - _`.
    TrackName,
    "track name",
    MAX_TRACK,
    "a-z 0-9 - _",
    b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_',
    b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'
);

name!(
    /// The id of a presentation, unique in its feed: `20261121T031500.123Z`. It begins with a digit, so it is neither
    /// `..` nor hidden.
    PresentationId,
    "presentation id",
    MAX_PRESENTATION,
    "0-9 T Z . -, beginning with a digit",
    b'0'..=b'9',
    b'0'..=b'9' | b'T' | b'Z' | b'.' | b'-'
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_names_pass() {
        assert!(FeedName::new("studio-a").is_ok());
        assert!(TrackName::new("360p_low").is_ok());
        assert!(PresentationId::new("20261121T031500.123Z").is_ok());
        for hostile in ["", ".", "..", "../a", "a/b", "a\0", "%2e", "Ä", " ", &"a".repeat(65)] {
            assert!(FeedName::new(hostile).is_err(), "{hostile:?}");
            assert!(TrackName::new(hostile).is_err(), "{hostile:?}");
            assert!(PresentationId::new(hostile).is_err(), "{hostile:?}");
        }
    }
}
