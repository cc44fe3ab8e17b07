//! Stream keys: how they are made, what they may be, and the hash that stands in the configuration.
//!
//! A key is a bearer secret: who has it may publish. The configuration holds only its hash, so that a leaked file or
//! backup gives nobody the air. A plain SHA-256 is enough, and a slow password hash would be wrong: keys that `rungd
//! keys` makes have 160 random bits, which no dictionary reaches, and a stranger can make the daemon hash at will.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Goes before the key, so that a hash made for another purpose never opens a feed.
const DOMAIN: &[u8] = b"rungd stream key v1\0";
/// What a hash begins with in the configuration.
const HASH_PREFIX: &str = "sha256:";
/// Shortest key accepted, in bytes: what an operator may choose by hand for a rehearsal.
pub const MIN_KEY_BYTES: usize = 8;
/// Longest key accepted, in bytes. RTMP itself allows 65,535 in `publish`; encoders' text boxes hold far less.
pub const MAX_KEY_BYTES: usize = 256;
/// RFC 4648 section 6, in lower case: no `0 1 8 9`, nothing that a URL or a shell would change.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// 32 characters of 5 bits: 160 bits.
const GENERATED_CHARACTERS: usize = 32;

/// The hash of a stream key. Its `Debug` shows nothing of it; comparing takes the same time wherever two differ.
#[derive(Clone, Eq)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// The hash of `key`: SHA-256 over `rungd stream key v1`, a zero byte, and the key.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::new().chain_update(DOMAIN).chain_update(key).finalize().into())
    }

    /// Whether the key behind `other` is the key of this hash, in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// As it stands in the configuration: `sha256:` and 64 hexadecimal digits.
impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HASH_PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is no key hash. It does not repeat the text, which may be a key pasted by mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a key hash: \"sha256:\" and 64 hexadecimal digits, as \"rungd keys\" prints it; never the key itself"
)]
pub struct InvalidKeyHash;

impl FromStr for KeyHash {
    type Err = InvalidKeyHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix(HASH_PREFIX).ok_or(InvalidKeyHash)?.as_bytes();
        let mut hash = [0u8; 32];
        if digits.len() != 2 * hash.len() {
            return Err(InvalidKeyHash);
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair.iter().try_fold(0u8, |value, digit| match digit {
                b'0'..=b'9' => Ok(value << 4 | (digit - b'0')),
                b'a'..=b'f' => Ok(value << 4 | (digit - b'a' + 10)),
                b'A'..=b'F' => Ok(value << 4 | (digit - b'A' + 10)),
                _ => Err(InvalidKeyHash),
            })?;
        }
        Ok(Self(hash))
    }
}

/// Why a stream key is refused, or could not be made.
#[derive(Debug, thiserror::Error)]
pub enum StreamKeyError {
    /// Too easy to guess.
    #[error("stream key of {bytes} bytes is under the bound of {MIN_KEY_BYTES}")]
    TooShort {
        /// Its length.
        bytes: usize,
    },
    /// More than an encoder can be relied on to send.
    #[error("stream key of {bytes} bytes is over the bound of {MAX_KEY_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Something that an encoder or a URL would change on the way.
    #[error(
        "stream key holds a character at byte {at} that encoders change or cut at: allowed are visible ASCII characters \
         other than / ? # & % and quotes"
    )]
    Character {
        /// Where, counted from zero.
        at: usize,
    },
    /// The feed's name is public.
    #[error("stream key equals the name of feed \"{feed}\", which stands in every viewer's URL")]
    EqualsFeed {
        /// Which feed.
        feed: String,
    },
    /// The operating system has no randomness.
    #[error("no random bytes from the operating system")]
    Random(#[source] getrandom::Error),
}

/// A stream key in the clear: made or read once, shown once, never kept. Its `Debug` shows nothing of it.
pub struct StreamKey(String);

impl StreamKey {
    /// A new key of 160 random bits.
    ///
    /// # Errors
    /// Where the operating system gives no random bytes.
    pub fn generate() -> Result<Self, StreamKeyError> {
        let mut random = [0u8; GENERATED_CHARACTERS];
        getrandom::fill(&mut random).map_err(StreamKeyError::Random)?;
        Ok(Self(random.iter().map(|byte| char::from(BASE32[usize::from(byte & 31)])).collect()))
    }

    /// A key that someone chose, for `feed` where it is known.
    ///
    /// # Errors
    /// Where it is too short or too long, holds what would not arrive, or equals the feed's name.
    pub fn parse(text: &str, feed: Option<&str>) -> Result<Self, StreamKeyError> {
        let bytes = text.len();
        if bytes < MIN_KEY_BYTES {
            return Err(StreamKeyError::TooShort { bytes });
        }
        if bytes > MAX_KEY_BYTES {
            return Err(StreamKeyError::TooLong { bytes });
        }
        let unfit = |byte: u8| !byte.is_ascii_graphic() || b"/?#&%\"'".contains(&byte);
        if let Some(at) = text.bytes().position(unfit) {
            return Err(StreamKeyError::Character { at });
        }
        match feed {
            Some(feed) if feed == text => Err(StreamKeyError::EqualsFeed { feed: feed.to_owned() }),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// The key itself, for showing it to its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What stands in the configuration.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.0.as_bytes())
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_what_sha256sum_says() {
        // printf 'rungd stream key v1\0demo-key-not-secret' | sha256sum
        let hash = KeyHash::of(b"demo-key-not-secret");
        assert_eq!(
            hash.to_string(),
            "sha256:e38e0619bdb707887ef0edcfd6d698192d6cbb11cf24175198d757ed2efc044b"
        );
        assert!(hash.matches(&KeyHash::of(b"demo-key-not-secret")));
        assert!(!hash.matches(&KeyHash::of(b"demo-key-not-secret ")));
        assert_eq!(hash.to_string().parse::<KeyHash>().unwrap(), hash);
        assert_eq!(hash.to_string().replace("sha256:", "SHA256:").parse::<KeyHash>(), Err(InvalidKeyHash));
        assert_eq!(format!("{hash:?}"), "KeyHash(…)");
    }

    #[test]
    fn generated_keys_pass_the_rules_for_chosen_ones_and_differ() {
        let (a, b) = (StreamKey::generate().unwrap(), StreamKey::generate().unwrap());
        assert_ne!(a.reveal(), b.reveal());
        assert_eq!(a.reveal().len(), 32);
        StreamKey::parse(a.reveal(), Some("demo")).unwrap();
    }

    #[test]
    fn weak_keys_are_refused_with_the_bound() {
        let refusal = |key: &str| StreamKey::parse(key, Some("studio-a")).unwrap_err().to_string();
        assert_eq!(refusal("short"), "stream key of 5 bytes is under the bound of 8");
        assert_eq!(refusal(&"k".repeat(257)), "stream key of 257 bytes is over the bound of 256");
        assert!(refusal("studio-a").contains("equals the name of feed"));
        assert!(refusal("live/key?token").contains("at byte 4"));
    }
}
