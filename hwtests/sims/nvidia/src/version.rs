//! Which API versions a driver speaks, by its branch: NVIDIA's release notes for CUDA ("CUDA Toolkit and Corresponding
//! Driver Versions") and `READ_ME` of the Video Codec SDK's releases, as kept in nv-codec-headers' tags.

/// Branch, CUDA, PTX, NVENC: the versions of the first driver of a branch.
const DRIVERS: [(u32, [(u32, u32); 3]); 10] = [
    (470, [(11, 4), (7, 4), (11, 1)]),
    (520, [(11, 8), (7, 8), (12, 0)]),
    (525, [(12, 0), (8, 0), (12, 0)]),
    (530, [(12, 1), (8, 1), (12, 1)]),
    (535, [(12, 2), (8, 2), (12, 1)]),
    (550, [(12, 4), (8, 4), (12, 2)]),
    (560, [(12, 6), (8, 5), (12, 2)]),
    (570, [(12, 8), (8, 7), (13, 0)]),
    (580, [(13, 0), (9, 0), (13, 0)]),
    (610, [(13, 3), (9, 3), (13, 1)]),
];

/// The versions that one driver speaks, major and minor each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// CUDA's driver API.
    pub cuda: (u32, u32),
    /// The newest PTX it takes.
    pub ptx: (u32, u32),
    /// NVENC's API.
    pub nvenc: (u32, u32),
}

/// What a driver of `branch` speaks; one older than the oldest known, as that.
#[must_use]
pub fn of_branch(branch: u32) -> Versions {
    let known = DRIVERS.iter().rev().find(|(first, _)| *first <= branch).unwrap_or(&DRIVERS[0]);
    let [cuda, ptx, nvenc] = known.1;
    Versions { cuda, ptx, nvenc }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_speaks_what_the_one_before_it_speaks_at_least() {
        assert_eq!(of_branch(535).nvenc, (12, 1));
        assert_eq!(of_branch(545), of_branch(535));
        assert_eq!(of_branch(418), of_branch(470));
        for pair in DRIVERS.windows(2) {
            assert!(pair[0].0 < pair[1].0 && (0..3).all(|at| pair[0].1[at] <= pair[1].1[at]), "{pair:?}");
        }
    }
}
