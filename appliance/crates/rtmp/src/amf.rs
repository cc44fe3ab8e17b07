//! AMF0 (Action Message Format, AMF 0, Adobe 2007): bounded reading into `rml_amf0`'s values.
//!
//! `rml_amf0` reads nested objects by recursion without a bound, takes a string that runs past the end for one padded
//! with zeros, and refuses the markers for dates and long strings, which some encoders put into `onMetaData`. So the
//! reading is done here, with every length held against the bytes there are and depth and count held against
//! [`Limits`]; writing, where we choose the values, is its own.

use rml_amf0::Amf0Value;

use crate::Limits;

/// AMF0 that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmfError {
    /// A value runs past the end of its message.
    #[error("amf0 {what} at byte {at} of the message needs {needed} bytes, {left} left")]
    Truncated {
        /// The kind of value.
        what: &'static str,
        /// Where it was to be read, from the start of the message.
        at: usize,
        /// Bytes it needs.
        needed: usize,
        /// Bytes there are.
        left: usize,
    },
    /// A marker of no AMF0 type that may stand here.
    #[error("amf0 marker 0x{marker:02x} at byte {at} of the message is not a value")]
    Marker {
        /// The marker.
        marker: u8,
        /// Where it stands.
        at: usize,
    },
    /// Objects within objects within objects.
    #[error("amf0 objects nest deeper than the bound of {bound} at byte {at} of the message")]
    Depth {
        /// The bound.
        bound: usize,
        /// Where the bound is crossed.
        at: usize,
    },
    /// More values than any encoder sends.
    #[error("amf0 message of more than {bound} values")]
    Values {
        /// The bound.
        bound: usize,
    },
}

// Markers: AMF 0 specification, 2.1.
const NUMBER: u8 = 0x00;
const BOOLEAN: u8 = 0x01;
const STRING: u8 = 0x02;
const OBJECT: u8 = 0x03;
const NULL: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const REFERENCE: u8 = 0x07;
const ECMA_ARRAY: u8 = 0x08;
const OBJECT_END: u8 = 0x09;
const STRICT_ARRAY: u8 = 0x0A;
const DATE: u8 = 0x0B;
const LONG_STRING: u8 = 0x0C;
const UNSUPPORTED: u8 = 0x0D;
const XML_DOCUMENT: u8 = 0x0F;
const TYPED_OBJECT: u8 = 0x10;

/// The values of a command or data message.
///
/// A date becomes its number of milliseconds since 1970, a long string and an XML document a string, an object of a
/// class an object, a reference `Undefined`. Text that is not UTF-8 keeps its readable part.
///
/// # Errors
/// Where a value is cut short, is of an unknown type, or depth or count are over the bounds.
pub fn decode(data: &[u8], limits: &Limits) -> Result<Vec<Amf0Value>, AmfError> {
    let mut reader = Reader { data, at: 0, values: 0, limits };
    let mut values = Vec::new();
    while reader.at < data.len() {
        // A stray end marker between values: some encoders close an array twice.
        if data.get(reader.at..) == Some(&[0, 0, OBJECT_END]) {
            break;
        }
        values.push(reader.value(0)?);
    }
    Ok(values)
}

struct Reader<'a> {
    data: &'a [u8],
    at: usize,
    values: usize,
    limits: &'a Limits,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], AmfError> {
        let left = self.data.len() - self.at;
        let truncated = AmfError::Truncated { what, at: self.at, needed: count, left };
        let end = self.at.checked_add(count).filter(|&end| end <= self.data.len()).ok_or(truncated)?;
        let bytes = self.data.get(self.at..end).unwrap_or_default();
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], AmfError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N, what)?);
        Ok(bytes)
    }

    fn text(&mut self, length: usize, what: &'static str) -> Result<String, AmfError> {
        Ok(String::from_utf8_lossy(self.take(length, what)?).into_owned())
    }

    fn short_text(&mut self, what: &'static str) -> Result<String, AmfError> {
        let length = u16::from_be_bytes(self.array(what)?);
        self.text(usize::from(length), what)
    }

    fn value(&mut self, depth: usize) -> Result<Amf0Value, AmfError> {
        if depth > self.limits.amf_depth {
            return Err(AmfError::Depth { bound: self.limits.amf_depth, at: self.at });
        }
        if self.values >= self.limits.amf_values {
            return Err(AmfError::Values { bound: self.limits.amf_values });
        }
        self.values += 1;
        let at = self.at;
        let [marker] = self.array("marker")?;
        match marker {
            NUMBER => Ok(Amf0Value::Number(f64::from_be_bytes(self.array("number")?))),
            BOOLEAN => Ok(Amf0Value::Boolean(self.array::<1>("boolean")? != [0])),
            STRING => Ok(Amf0Value::Utf8String(self.short_text("string")?)),
            LONG_STRING | XML_DOCUMENT => {
                let length = u32::from_be_bytes(self.array("long string")?);
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                Ok(Amf0Value::Utf8String(self.text(length, "long string")?))
            }
            OBJECT => self.properties(depth, false),
            TYPED_OBJECT => {
                self.short_text("class name")?;
                self.properties(depth, false)
            }
            ECMA_ARRAY => {
                // The count is a hint that encoders get wrong; the end marker rules (2.10).
                self.take(4, "array count")?;
                self.properties(depth, true)
            }
            STRICT_ARRAY => {
                let count = u32::from_be_bytes(self.array("array count")?);
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(self.value(depth + 1)?);
                }
                Ok(Amf0Value::StrictArray(values))
            }
            DATE => {
                let millis = f64::from_be_bytes(self.array("date")?);
                self.take(2, "time zone")?;
                Ok(Amf0Value::Number(millis))
            }
            REFERENCE => {
                self.take(2, "reference")?;
                Ok(Amf0Value::Undefined)
            }
            NULL => Ok(Amf0Value::Null),
            UNDEFINED | UNSUPPORTED => Ok(Amf0Value::Undefined),
            _ => Err(AmfError::Marker { marker, at }),
        }
    }

    /// Name and value pairs up to the end marker. An ECMA array may also end with its message: some encoders leave
    /// the marker out there.
    fn properties(&mut self, depth: usize, may_end_with_message: bool) -> Result<Amf0Value, AmfError> {
        let mut properties = std::collections::HashMap::new();
        loop {
            if may_end_with_message && self.at == self.data.len() {
                break;
            }
            let name = self.short_text("property name")?;
            if name.is_empty() && self.data.get(self.at) == Some(&OBJECT_END) {
                self.at += 1;
                break;
            }
            let value = self.value(depth + 1)?;
            properties.insert(name, value);
        }
        Ok(Amf0Value::Object(properties))
    }
}
