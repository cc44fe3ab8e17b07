//! A rate control's task, and what became of it: noise, and the sizes of coded pictures, 25 of them a second.

/// Frames a second.
pub const FPS: usize = 25;

/// Noise that no picture of another number has: samples of 96 to 159.
#[must_use]
pub fn noise(count: usize, number: usize) -> Vec<u8> {
    let mut state = u32::try_from(number).unwrap() * 7919 + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        96 + u8::try_from(state >> 26).unwrap()
    };
    (0..count).map(|_| next()).collect()
}

/// What is coded in each second, in kbit, of pictures of so many bits.
#[must_use]
pub fn kbits(bits: &[usize]) -> Vec<usize> {
    bits.chunks(FPS).map(|second| second.iter().sum::<usize>() / 1000).collect()
}

/// The highest level of a bucket that leaks at this rate, in bits: what a decoder's buffer must hold.
#[must_use]
pub fn highest_level(bits: &[usize], rate: u32) -> usize {
    let leak = usize::try_from(rate).unwrap() / FPS;
    let (mut level, mut highest) = (0_usize, 0);
    for picture in bits {
        level += picture;
        highest = highest.max(level);
        level = level.saturating_sub(leak);
    }
    highest
}
