//! The committed PTX is what its source gives, and the source does what the reference on the CPU does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use gpu::frame::Colour;
use gpu::scale::plan::conversion;
use gpu::scale::reference::{self, ConvertChroma, ConvertLuma, Resample, Table};
use gpu::scale::taps::{Siting, Taps};
use libloading::{Library, Symbol};

fn kernels() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels")
}

#[test]
fn the_committed_ptx_is_what_clang_makes_of_the_source() {
    let clang = Command::new("clang-14").arg("--version").output();
    assert!(clang.is_ok(), "clang-14 is not installed: `make deps` installs it on Debian 12");
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("scale.ptx");
    let output = Command::new("bash").arg(kernels().join("generate.sh")).arg(&made).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made = std::fs::read_to_string(made).unwrap();
    let committed = std::fs::read_to_string(kernels().join("scale.ptx")).unwrap();
    assert!(
        made == committed,
        "gpu/kernels/scale.ptx is not what scale.cu gives: run gpu/kernels/generate.sh"
    );
}

/// The kernels' source as functions of the host.
struct Host {
    library: Library,
    _folder: tempfile::TempDir,
}

type Resampling<S, D> =
    unsafe extern "C" fn(*const S, *mut D, *const i16, *const u32, u32, u32, u32, u32, u32, u32);

impl Host {
    fn compile() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("libkernels.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels/host.cpp");
        let output = Command::new("c++")
            .args(["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined"])
            .args(["-fno-sanitize-recover=all", "-static-libubsan", "-shared", "-fPIC", "-o"])
            .arg(&made)
            .arg(source)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // SAFETY: the library was just made, and has no initialisers.
        let library = unsafe { Library::new(&made) }.unwrap();
        Self { library, _folder: folder }
    }

    fn get<F>(&self, name: &str) -> Symbol<'_, F> {
        // SAFETY: every caller names a function of host.cpp with the type that it has there.
        unsafe { self.library.get(name.as_bytes()) }.unwrap()
    }

    fn resample<S, D>(&self, name: &str, src: &[S], dst: &mut [D], table: Table<'_>, a: &Resample) {
        let function = self.get::<Resampling<S, D>>(name);
        let (weights, starts) = (table.weights.as_ptr(), table.starts.as_ptr());
        // SAFETY: the reference was run with the same arguments before, and found all of it within the slices.
        unsafe {
            function(
                src.as_ptr(),
                dst.as_mut_ptr(),
                weights,
                starts,
                a.src_pitch,
                a.dst_pitch,
                a.width,
                a.height,
                a.channels,
                a.taps,
            );
        }
    }
}

/// Numbers without meaning, the same each time.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0 >> 8
    }

    fn within(&mut self, from: u32, to: u32) -> u32 {
        from + self.next() % (to - from)
    }

    fn samples<T: TryFrom<u32>>(&mut self, count: u32, bits: u32) -> Vec<T> {
        (0..count).map(|_| T::try_from(self.next() % (1 << bits)).ok().unwrap()).collect()
    }
}

#[test]
fn the_source_does_what_the_reference_does() {
    let host = Host::compile();
    let mut noise = Noise(7);
    for case in 0..60 {
        let channels = noise.within(1, 3);
        let (from, to) =
            ((noise.within(2, 90), noise.within(2, 60)), (noise.within(1, 90), noise.within(1, 60)));
        let pad = noise.within(0, 4) * 2;
        let siting = if channels == 2 { Siting::Left } else { Siting::Centre };
        let across = Taps::new(from.0, to.0, siting).unwrap();
        let down = Taps::new(from.1, to.1, Siting::Centre).unwrap();
        let table = |taps| {
            let Taps { weights, starts, .. }: &Taps = taps;
            Table { weights, starts }
        };
        let h = Resample {
            src_pitch: from.0 * channels + pad,
            dst_pitch: (to.0 * channels + pad) * 2,
            width: to.0,
            height: from.1,
            channels,
            taps: across.count,
        };
        let codes = usize::try_from(h.dst_pitch / 2 * from.1).unwrap();
        let src: Vec<u8> = noise.samples(h.src_pitch * from.1, 8);
        let (mut want, mut got) = (vec![1i16; codes], vec![1i16; codes]);
        reference::resample_h8(&src, &mut want, table(&across), &h).unwrap();
        host.resample("host_resample_h8", &src, &mut got, table(&across), &h);
        assert_eq!(got, want, "case {case}, across");

        let wide: Vec<u16> = noise.samples(h.src_pitch * from.1, 16);
        let h16 = Resample { src_pitch: h.src_pitch * 2, ..h };
        let (mut want, mut got) = (vec![1i16; codes], vec![1i16; codes]);
        reference::resample_h16(&wide, &mut want, table(&across), &h16).unwrap();
        host.resample("host_resample_h16", &wide, &mut got, table(&across), &h16);
        assert_eq!(got, want, "case {case}, across from 16 bits");

        let elements = to.0 * channels;
        let v = Resample {
            src_pitch: h.dst_pitch,
            dst_pitch: elements + pad,
            width: elements,
            height: to.1,
            channels: 1,
            taps: down.count,
        };
        let samples = usize::try_from(v.dst_pitch * to.1).unwrap();
        let (mut want8, mut got8) = (vec![1u8; samples], vec![1u8; samples]);
        reference::resample_v8(&want, &mut want8, table(&down), &v).unwrap();
        host.resample("host_resample_v8", &want, &mut got8, table(&down), &v);
        assert_eq!(got8, want8, "case {case}, down");

        let v16 = Resample { dst_pitch: v.dst_pitch * 2, ..v };
        let (mut want16, mut got16) = (vec![1i16; samples], vec![1i16; samples]);
        reference::resample_v16(&want, &mut want16, table(&down), &v16).unwrap();
        host.resample("host_resample_v16", &want, &mut got16, table(&down), &v16);
        assert_eq!(got16, want16, "case {case}, down to codes");
    }
}

type ConvertingLuma =
    unsafe extern "C" fn(*const i16, *const i16, *mut u8, u32, u32, u32, u32, u32, i32, i32, i32, i32);
type ConvertingChroma = unsafe extern "C" fn(*const i16, *mut u8, u32, u32, u32, u32, i32, i32, i32, i32);

#[test]
fn the_source_converts_as_the_reference_does() {
    let host = Host::compile();
    let luma_function = host.get::<ConvertingLuma>("host_convert_luma");
    let chroma_function = host.get::<ConvertingChroma>("host_convert_chroma");
    let mut noise = Noise(9);
    for matrix in [1, 4, 6, 7, 9] {
        for full_range in [false, true] {
            let Some(c) = conversion(Colour { matrix, full_range }) else { continue };
            let (width, height) = (noise.within(1, 40) * 2, noise.within(1, 40) * 2);
            let luma: Vec<i16> = noise.samples(width * height, 14);
            let chroma: Vec<i16> = noise.samples(width * height / 2, 14);
            let a = ConvertLuma {
                luma_pitch: width * 2,
                chroma_pitch: width * 2,
                dst_pitch: width,
                width,
                height,
                black: c.black,
                of_y: c.y_of_y,
                of_cb: c.y_of_cb,
                of_cr: c.y_of_cr,
            };
            let (mut want, mut got) = (vec![0u8; luma.len()], vec![0u8; luma.len()]);
            reference::convert_luma(&luma, &chroma, &mut want, &a).unwrap();
            // SAFETY: the reference has found the same to be within the slices.
            unsafe {
                luma_function(
                    luma.as_ptr(),
                    chroma.as_ptr(),
                    got.as_mut_ptr(),
                    a.luma_pitch,
                    a.chroma_pitch,
                    a.dst_pitch,
                    width,
                    height,
                    a.black,
                    a.of_y,
                    a.of_cb,
                    a.of_cr,
                );
            }
            assert_eq!(got, want, "{matrix} {full_range}: luma");
            let a = ConvertChroma {
                chroma_pitch: width * 2,
                dst_pitch: width,
                width: width / 2,
                height: height / 2,
                cb_of_cb: c.cb_of_cb,
                cb_of_cr: c.cb_of_cr,
                cr_of_cb: c.cr_of_cb,
                cr_of_cr: c.cr_of_cr,
            };
            let (mut want, mut got) = (vec![0u8; chroma.len()], vec![0u8; chroma.len()]);
            reference::convert_chroma(&chroma, &mut want, &a).unwrap();
            // SAFETY: as above.
            unsafe {
                chroma_function(
                    chroma.as_ptr(),
                    got.as_mut_ptr(),
                    a.chroma_pitch,
                    a.dst_pitch,
                    a.width,
                    a.height,
                    a.cb_of_cb,
                    a.cb_of_cr,
                    a.cr_of_cb,
                    a.cr_of_cr,
                );
            }
            assert_eq!(got, want, "{matrix} {full_range}: chroma");
        }
    }
}
