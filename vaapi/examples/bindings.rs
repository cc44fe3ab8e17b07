//! Writes the committed bindings of libva's headers: `cargo run -p vaapi --example bindings`.
#![allow(clippy::expect_used, reason = "a tool for developers")]

#[path = "support/generated.rs"]
mod generated;

fn main() -> std::io::Result<()> {
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/ffi/bindings.rs"), generated::generated())
}
