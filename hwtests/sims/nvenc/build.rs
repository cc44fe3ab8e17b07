//! libaom's types, from its headers; and keeps the library loaded: its functions may be called until the process ends.
#![allow(clippy::expect_used, reason = "a build script fails by panicking")]

use std::path::PathBuf;

const HEADERS: &str = "
#include <aom/aom_encoder.h>
#include <aom/aomcx.h>
enum { ENCODER_ABI = AOM_ENCODER_ABI_VERSION };
";

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    bindgen::Builder::default()
        .header_contents("libaom.h", HEADERS)
        .allowlist_item("aom_codec_(av1_cx|control|destroy|encode|enc_.*|err.*|get_cx_data)|aom_img_wrap")
        .allowlist_item("ENCODER_ABI|AOM_.*|aome_enc_control_id")
        .derive_default(true)
        .derive_debug(false)
        .layout_tests(false)
        .generate_comments(false)
        .prepend_enum_name(false)
        .wrap_unsafe_ops(true)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .generate()
        .expect("headers of libaom-dev (make deps)")
        .write_to_file(out.join("aom.rs"))
        .expect("OUT_DIR can be written");
    println!("cargo::rustc-link-lib=aom");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=/usr/include/aom/aom_encoder.h");
}
