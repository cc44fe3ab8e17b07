//! Silent raw AAC-LC frames, written from the syntax of ISO/IEC 14496-3, 4.4.2.

use bytes::Bytes;

/// Writes bits, most significant first.
#[derive(Debug, Default)]
struct BitWriter {
    bytes: Vec<u8>,
    bits: usize,
}

impl BitWriter {
    fn put(&mut self, value: u8, count: u32) {
        for bit in (0..count).rev() {
            if self.bits.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= (value >> bit & 1) << (7 - self.bits % 8);
            }
            self.bits += 1;
        }
    }
}

/// Elements of a `raw_data_block` that carry sound (table 4.85).
#[derive(Debug, Clone, Copy)]
enum Element {
    Single,
    Pair,
    Lfe,
}

/// A frame of silence for a `channelConfiguration` of table 1.19; none for those that a program config element
/// defines (0) and those that the table reserves.
pub(super) fn frame(channel_configuration: u8) -> Option<Bytes> {
    use Element::{Lfe, Pair, Single};
    let elements: &[Element] = match channel_configuration {
        1 => &[Single],
        2 => &[Pair],
        3 => &[Single, Pair],
        4 => &[Single, Pair, Single],
        5 => &[Single, Pair, Pair],
        6 => &[Single, Pair, Pair, Lfe],
        7 | 12 => &[Single, Pair, Pair, Pair, Lfe],
        11 => &[Single, Pair, Pair, Single, Lfe],
        14 => &[Single, Pair, Pair, Lfe, Pair],
        _ => return None,
    };
    let mut out = BitWriter::default();
    let (mut singles, mut pairs) = (0, 0);
    for element in elements {
        match element {
            Single => {
                element_header(&mut out, 0, singles);
                singles += 1;
                channel_stream(&mut out, true);
            }
            Pair => {
                element_header(&mut out, 1, pairs);
                pairs += 1;
                out.put(1, 1); // common_window
                ics_info(&mut out);
                out.put(0, 2); // ms_mask_present
                channel_stream(&mut out, false);
                channel_stream(&mut out, false);
            }
            Lfe => {
                element_header(&mut out, 3, 0);
                channel_stream(&mut out, true);
            }
        }
    }
    out.put(7, 3); // ID_END; what is left of the byte is byte_alignment()
    Some(out.bytes.into())
}

fn element_header(out: &mut BitWriter, id_syn_ele: u8, element_instance_tag: u8) {
    out.put(id_syn_ele, 3);
    out.put(element_instance_tag, 4);
}

/// `ics_info()` (table 4.6) of a long sine window without any band.
fn ics_info(out: &mut BitWriter) {
    out.put(0, 1); // ics_reserved_bit
    out.put(0, 2); // window_sequence: ONLY_LONG_SEQUENCE
    out.put(0, 1); // window_shape
    out.put(0, 6); // max_sfb
    out.put(0, 1); // predictor_data_present
}

/// `individual_channel_stream()` (table 4.50): with no band there is no section, scale factor or spectral data.
fn channel_stream(out: &mut BitWriter, own_ics_info: bool) {
    out.put(0, 8); // global_gain
    if own_ics_info {
        ics_info(out);
    }
    out.put(0, 1); // pulse_data_present
    out.put(0, 1); // tns_data_present
    out.put(0, 1); // gain_control_data_present
}
