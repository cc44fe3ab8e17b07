//! HEVC's parameter sets and slice headers. Not written yet.
