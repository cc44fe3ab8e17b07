//! x265, made to do what the parameters around its slices say. Not written yet.
