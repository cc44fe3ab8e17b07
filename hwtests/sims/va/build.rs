//! Types of libva's driver interface, x264 and x265, from the headers that are installed: the driver can never
//! disagree with the libva that loads it.
#![allow(clippy::expect_used, reason = "a build script fails by panicking")]

use std::path::PathBuf;

const HEADERS: &str = "
#include <stdint.h>
#include <stdarg.h>
#include <va/va_backend.h>
#include <va/va_backend_vpp.h>
#include <va/va_enc_h264.h>
#include <va/va_enc_hevc.h>
#include <va/va_dec_hevc.h>
#include <va/va_vpp.h>
#include <va/va_drmcommon.h>
#include <x264.h>
#include <x265.h>
";

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let mut generated = bindgen::Builder::default()
        .header_contents("driver.h", HEADERS)
        .allowlist_item("VA.*|x264_(encoder|param|picture|nal|nal_type).*|X264_.*|x265_(encoder|param|picture|nal|api).*|X265_.*|NAL_UNIT_.*|RC_.*|X265_RC.*|slice_type_e")
        // Words of flags stay words: they are taken apart by number, with no union to be read.
        .opaque_type("_VA(Enc)?(Picture|Slice|Sequence|Misc)Parameter.*__bindgen_ty_.*")
        .derive_default(true)
        .derive_debug(false)
        .layout_tests(false)
        .generate_comments(false)
        .prepend_enum_name(false)
        .wrap_unsafe_ops(true)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .generate()
        .expect("headers of libva-dev, libx264-dev and libx265-dev (make deps)")
        .to_string();
    // Both libraries put their build number into the name of the function that opens them.
    for name in ["x264_encoder_open", "x265_api_get"] {
        let stem = format!("pub fn {name}_");
        let number =
            generated.split(&stem).nth(1).and_then(|rest| rest.split('(').next()).expect("the header's own");
        generated += &format!("pub use self::{name}_{number} as {name};\n");
    }
    std::fs::write(out.join("va.rs"), generated).expect("OUT_DIR can be written");
    println!("cargo::rustc-link-lib=x264");
    println!("cargo::rustc-link-lib=x265");
    println!("cargo::rerun-if-changed=build.rs");
    for header in ["va/va_backend.h", "va/va.h", "x264.h", "x265.h"] {
        println!("cargo::rerun-if-changed=/usr/include/{header}");
    }
}
