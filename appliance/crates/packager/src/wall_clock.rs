//! Wall time as manifests spell it.

use std::time::{Duration, SystemTime};

/// The last millisecond of the year 9999, the end of RFC 3339's four-digit years.
const LAST_UNIX_MILLIS: u64 = 253_402_300_799_999;

/// Milliseconds since 1970 as RFC 3339 and `xs:dateTime` have it, in UTC: `2026-11-21T03:15:00.250Z`. Times after the
/// year 9999 are written as its end.
#[must_use]
pub fn rfc3339(unix_millis: u64) -> String {
    let since_epoch = Duration::from_millis(unix_millis.min(LAST_UNIX_MILLIS));
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since_epoch).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_utc_with_milliseconds() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_230_900_250), "2026-11-21T03:15:00.250Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
