//! Values with units: lengths of time, bit rates, bytes, sizes of pictures, addresses. Each with its bounds.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use media::{FrameRate, Size};

use super::tree::{Broken, Value};

const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// The word for "no bound" where a bound may be left out.
const UNLIMITED: &str = "unlimited";

/// A length of time within `bounds`: `"2s"`, `"500ms"`, `"1m30s"`, `"7d"`.
pub(super) fn duration(bounds: RangeInclusive<Duration>) -> impl Fn(&Value) -> Result<Duration, Broken> {
    move |value| {
        let form = "a length of time with its unit (ms, s, m, h, d), such as \"500ms\" or \"2s\"";
        let text = string(value, form)?;
        let length = parse_duration(text).ok_or_else(|| format!("is not {form}"))?;
        within(length, &bounds, |bound| written(*bound))
    }
}

/// A bit rate within `bounds`, in bits per second: `"2500k"`, `"3M"`.
pub(super) fn bit_rate(bounds: RangeInclusive<u64>) -> impl Fn(&Value) -> Result<u64, Broken> {
    move |value| {
        let form = "a bit rate in bits per second with k or M, such as \"2500k\" or \"3M\"";
        let text = string(value, form)?;
        let (number, unit) = split_unit(text);
        let scale = match unit {
            "k" => 1_000,
            "M" => 1_000_000,
            "G" => 1_000_000_000,
            _ => return Err(format!("is not {form}").into()),
        };
        let rate = decimal(number, scale).and_then(|rate| u64::try_from(rate).ok());
        let rate = rate.ok_or_else(|| format!("is not {form}"))?;
        within(rate, &bounds, |bound| match bound % 1_000_000 {
            0 => format!("{}M", bound / 1_000_000),
            _ => format!("{}k", bound / 1_000),
        })
    }
}

/// A number of bytes of at least `least`, or none for `"unlimited"`: `"500M"`, `"100G"`, `"2T"`, `"64GiB"`.
pub(super) fn bytes_or_unlimited(least: u64) -> impl Fn(&Value) -> Result<Option<u64>, Broken> {
    move |value| {
        let form =
            "a number of bytes with its unit (M, G, T, or MiB, GiB, TiB), such as \"100G\", or \"unlimited\"";
        let text = string(value, form)?;
        if text == UNLIMITED {
            return Ok(None);
        }
        let (number, unit) = split_unit(text);
        let scale: u128 = match unit {
            "M" | "MB" => 1_000_000,
            "G" | "GB" => 1_000_000_000,
            "T" | "TB" => 1_000_000_000_000,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(format!("is not {form}").into()),
        };
        let bytes = decimal(number, scale).and_then(|bytes| u64::try_from(bytes).ok());
        let bytes = bytes.ok_or_else(|| format!("is not {form}"))?;
        within(bytes, &(least..=u64::MAX / 2), |bound| format!("{}M", bound / 1_000_000)).map(Some)
    }
}

/// A length of time within `bounds`, or none for `"unlimited"`.
pub(super) fn duration_or_unlimited(
    bounds: RangeInclusive<Duration>,
) -> impl Fn(&Value) -> Result<Option<Duration>, Broken> {
    let read = duration(bounds);
    move |value| match value {
        Value::String(text) if text == UNLIMITED => Ok(None),
        other => read(other).map(Some),
    }
}

/// A whole number within `bounds`.
pub(super) fn integer<T>(bounds: RangeInclusive<T>) -> impl Fn(&Value) -> Result<T, Broken>
where
    T: TryFrom<i64> + PartialOrd + Display,
{
    move |value| {
        let number = match value {
            Value::Integer(number) => number,
            other => return Err(format!("is {}, not a whole number", other.kind()).into()),
        };
        let fit = number.as_ref().ok().and_then(|number| T::try_from(*number).ok());
        fit.filter(|number| bounds.contains(number)).ok_or_else(|| out_of(&bounds, T::to_string))
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &Value) -> Result<bool, Broken> {
    match value {
        Value::Boolean(value) => Ok(*value),
        other => Err(format!("is {}, not true or false", other.kind()).into()),
    }
}

/// Any text, without control characters.
pub(super) fn text(longest: usize) -> impl Fn(&Value) -> Result<String, Broken> {
    move |value| {
        let text = string(value, "a text")?;
        if text.is_empty() || text.chars().count() > longest || text.chars().any(char::is_control) {
            return Err(
                format!("is not a text of 1 to {longest} characters without control characters").into()
            );
        }
        Ok(text.to_owned())
    }
}

/// What one of a closed list of words stands for.
pub(super) fn choice<T: Copy>(choices: &'static [(&'static str, T)]) -> impl Fn(&Value) -> Result<T, Broken> {
    move |value| {
        let text = string(value, "a word")?;
        choices.iter().find(|(word, _)| *word == text).map(|(_, meant)| *meant).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            format!("is none of {}", words.join(", ")).into()
        })
    }
}

/// One of a closed list of words.
pub(super) fn word(allowed: &'static [&'static str]) -> impl Fn(&Value) -> Result<String, Broken> {
    move |value| {
        let text = string(value, "a word")?;
        match allowed.contains(&text) {
            true => Ok(text.to_owned()),
            false => Err(format!("is none of {}", allowed.join(", ")).into()),
        }
    }
}

/// An address and port: `"127.0.0.1:1935"`, `"[::]:1936"`.
pub(super) fn address(value: &Value) -> Result<SocketAddr, Broken> {
    let form = "an IP address with a port, such as \"127.0.0.1:1935\" or \"[::]:1936\"";
    string(value, form)?.parse().map_err(|_| format!("is not {form}").into())
}

/// A frame rate, as text or number: `"29.97"`, `"30000/1001"`, `25`.
pub(super) fn frame_rate(value: &Value) -> Result<FrameRate, Broken> {
    let text = match value {
        Value::String(text) | Value::Float(text) => text.clone(),
        Value::Integer(Ok(number)) => number.to_string(),
        other => {
            return Err(format!("is {}, not a frame rate such as 25 or \"30000/1001\"", other.kind()).into());
        }
    };
    text.parse().map_err(|error: media::frame_rate::InvalidFrameRate| error.to_string().into())
}

/// A picture size within `width` and `height`, both even as 4:2:0 sampling wants them: `"1280x720"`.
pub(super) fn size(
    width: RangeInclusive<u32>,
    height: RangeInclusive<u32>,
) -> impl Fn(&Value) -> Result<Size, Broken> {
    move |value| {
        let form = "a size such as \"1280x720\"";
        let parsed = string(value, form)?.split_once('x').and_then(|(width, height)| {
            Some(Size { width: width.parse().ok()?, height: height.parse().ok()? })
        });
        let size = parsed.ok_or_else(|| format!("is not {form}"))?;
        if !width.contains(&size.width) || !height.contains(&size.height) {
            let (least, most) =
                (format!("{}x{}", width.start(), height.start()), (width.end(), height.end()));
            return Err(format!("is out of bounds, allowed is {least} to {}x{}", most.0, most.1).into());
        }
        if size.width % 2 != 0 || size.height % 2 != 0 {
            return Err("is not even: 4:2:0 pictures have even widths and heights".into());
        }
        Ok(size)
    }
}

/// The text of a value; `form` says what it ought to be.
pub(super) fn string<'v>(value: &'v Value, form: &str) -> Result<&'v str, Broken> {
    match value {
        Value::String(text) => Ok(text),
        other => {
            // Forms with an example show the quotes already.
            let quotes = if form.contains('"') { "" } else { " in quotes" };
            Err(format!("is {}, not {form}{quotes}", other.kind()).into())
        }
    }
}

/// A length of time as it is written in the file: `1m30s`.
pub(crate) fn written(length: Duration) -> String {
    let mut millis = length.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if millis >= size {
            text.push_str(&format!("{}{unit}", millis / size));
            millis %= size;
        }
    }
    text
}

fn within<T: PartialOrd>(
    value: T,
    bounds: &RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Result<T, Broken> {
    if bounds.contains(&value) { Ok(value) } else { Err(out_of(bounds, show)) }
}

fn out_of<T>(bounds: &RangeInclusive<T>, show: impl Fn(&T) -> String) -> Broken {
    format!("is out of bounds, allowed is {} to {}", show(bounds.start()), show(bounds.end())).into()
}

/// The number in front and the unit behind it.
fn split_unit(text: &str) -> (&str, &str) {
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    (number, unit.trim_start_matches(' '))
}

/// `number * scale` for a decimal of at most 9 places each side, exactly; the rest below one is cut off.
fn decimal(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || whole.len() > 9 || fraction.len() > 9 {
        return None;
    }
    let places = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let (whole, fraction): (u128, u128) = (whole.parse().ok()?, fraction.parse().ok()?);
    Some((whole * places + fraction) * scale / places)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut nanos = 0u128;
    let mut longest_unit = u128::MAX;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale = match unit {
            "ms" => NANOS_PER_SECOND / 1_000,
            "s" => NANOS_PER_SECOND,
            "m" => 60 * NANOS_PER_SECOND,
            "h" => 3_600 * NANOS_PER_SECOND,
            "d" => 86_400 * NANOS_PER_SECOND,
            _ => return None,
        };
        // Units go down and come once, as people write them; `1s1s` is a slip.
        if scale >= longest_unit {
            return None;
        }
        longest_unit = scale;
        nanos += decimal(number, scale)?;
        rest = tail;
    }
    if text.is_empty() { None } else { u64::try_from(nanos).ok().map(Duration::from_nanos) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(text: &str, read: impl Fn(&Value) -> Result<T, Broken>) -> Option<T> {
        read(&Value::String(text.to_owned())).ok()
    }

    #[test]
    fn lengths_of_time() {
        let any = || duration(Duration::ZERO..=Duration::MAX);
        for (text, millis) in
            [("2s", 2_000), ("500ms", 500), ("1.5s", 1_500), ("1m30s", 90_000), ("7d", 604_800_000)]
        {
            assert_eq!(read(text, any()), Some(Duration::from_millis(millis)), "{text}");
            assert_eq!(
                read(&written(Duration::from_millis(millis)), any()),
                Some(Duration::from_millis(millis))
            );
        }
        for text in
            ["", "2", "s", "2 s", "-2s", "1s1s", "30s1m", ".5s", "1e3s", "99999999999d", "999999999d", "2µs"]
        {
            assert_eq!(read(text, any()), None, "{text}");
        }
    }

    #[test]
    fn bit_rates_and_bytes() {
        let any = || bit_rate(0..=u64::MAX);
        assert_eq!(read("2500k", any()), Some(2_500_000));
        assert_eq!(read("2.5M", any()), Some(2_500_000));
        for text in ["2500", "3Mbit", "3m", "M", "1.M"] {
            assert_eq!(read(text, any()), None, "{text}");
        }
        assert_eq!(read("100G", bytes_or_unlimited(0)), Some(Some(100_000_000_000)));
        assert_eq!(read("64GiB", bytes_or_unlimited(0)), Some(Some(64 << 30)));
        assert_eq!(read("unlimited", bytes_or_unlimited(0)), Some(None));
        assert_eq!(read("999999999T", bytes_or_unlimited(0)), None);
    }

    #[test]
    fn sizes() {
        let any = || size(16..=8192, 16..=4320);
        assert_eq!(read("1280x720", any()), Some(Size { width: 1280, height: 720 }));
        for text in ["1280", "1280x", "1280X720", "1281x720", "8x8", "-2x2", "99999999999x2"] {
            assert_eq!(read(text, any()), None, "{text}");
        }
    }
}
