//! [`Encode`] and [`Decode`] over an engine's own coders: the crates have the same calls, and no trait in common.
//!
//! [`Encode`]: super::Encode
//! [`Decode`]: super::Decode

/// For the crate `$engine`, where `$frame` makes a picture the device's and `$picture` is the way back.
macro_rules! coders {
    ($engine:ident, $frame:ident, $picture:ident) => {
        /// An encoder of pictures in memory.
        struct Coder {
            device: $engine::Device,
            encoder: $engine::Encoder,
            tag: u64,
        }

        impl $crate::conformance::Encode for Coder {
            fn configuration(&self) -> Vec<u8> {
                self.encoder.configuration().to_vec()
            }

            fn send(&mut self, picture: &Picture, idr: bool) -> Result<(), Failure> {
                self.tag += 1;
                let kind = if idr { $engine::FrameKind::Idr } else { $engine::FrameKind::Any };
                Ok(self.encoder.send(&$frame(&self.device, picture)?, self.tag, kind)?)
            }

            fn receive(&mut self) -> Result<Option<$crate::conformance::Coded>, Failure> {
                let Some(coded) = self.encoder.receive()? else { return Ok(None) };
                let data = AsRef::<[u8]>::as_ref(&coded.data).to_vec();
                Ok(Some($crate::conformance::Coded { key: coded.key, data }))
            }

            fn finish(&mut self) {
                self.encoder.finish();
            }

            fn set_bit_rate(&mut self, bit_rate: u32) -> Result<(), Failure> {
                Ok(self.encoder.set_rate(rate(bit_rate))?)
            }
        }

        /// A constant rate, with a buffer of half a second.
        fn rate(bit_rate: u32) -> $engine::RateControl {
            $engine::RateControl { bit_rate, max_bit_rate: bit_rate, buffer_bits: bit_rate / 2 }
        }

        impl $crate::conformance::Decode for $engine::Decoder {
            fn send(&mut self, unit: &[u8]) -> Result<(), Failure> {
                Ok($engine::Decoder::send(self, unit, 0)?)
            }

            fn receive(&mut self) -> Result<Option<Picture>, Failure> {
                $engine::Decoder::receive(self)?.map(|decoded| $picture(&decoded.frame)).transpose()
            }

            fn finish(&mut self) {
                $engine::Decoder::finish(self);
            }
        }
    };
}

pub(super) use coders;
