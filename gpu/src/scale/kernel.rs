//! The kernels as the driver is given them: their code, names and argument lists.

/// PTX of all kernels, made of `kernels/scale.cu` by `kernels/generate.sh`.
pub const PTX: &str = include_str!("../../kernels/scale.ptx");

/// Threads of a block across and down; the grid covers the elements of the target.
pub const BLOCK: (u32, u32) = (32, 8);

/// A kernel; its twin on the CPU is in [`super::reference`].
///
/// Arguments are given to `cuLaunchKernel` in the order listed, each 8 bytes (device addresses) or 4 bytes (all others),
/// in device byte order. Pitches are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// `src: u8*, dst: i16*, weights: i16*, starts: u32*,` then the `u32`s of [`super::reference::Resample`] in order.
    ResampleH8,
    /// `src: u16*, dst: i16*, weights: i16*, starts: u32*,` then as above.
    ResampleH16,
    /// `src: i16*, dst: u8*, weights: i16*, starts: u32*,` then as above.
    ResampleV8,
    /// `src: i16*, dst: i16*, weights: i16*, starts: u32*,` then as above.
    ResampleV16,
    /// `luma: i16*, chroma: i16*, dst: u8*,` then the fields of [`super::reference::ConvertLuma`] in order.
    ConvertLuma,
    /// `chroma: i16*, dst: u8*,` then the fields of [`super::reference::ConvertChroma`] in order.
    ConvertChroma,
}

impl Kernel {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ResampleH8,
        Self::ResampleH16,
        Self::ResampleV8,
        Self::ResampleV16,
        Self::ConvertLuma,
        Self::ConvertChroma,
    ];

    /// Its entry in [`PTX`].
    #[must_use]
    pub const fn entry(self) -> &'static str {
        match self {
            Self::ResampleH8 => "resample_h8",
            Self::ResampleH16 => "resample_h16",
            Self::ResampleV8 => "resample_v8",
            Self::ResampleV16 => "resample_v16",
            Self::ConvertLuma => "convert_luma",
            Self::ConvertChroma => "convert_chroma",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_in_the_code() {
        for kernel in Kernel::ALL {
            assert!(PTX.contains(&format!(".visible .entry {}(", kernel.entry())), "{kernel:?}");
        }
        assert_eq!(PTX.matches(".visible .entry").count(), Kernel::ALL.len());
        // A newer one would lock out drivers that this crate supports.
        assert!(PTX.contains(".version 4.0\n.target sm_50\n"));
        assert!(!PTX.contains('\0'));
    }
}
