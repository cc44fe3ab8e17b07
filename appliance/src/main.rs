//! The `rungd` command.
fn main() {}
