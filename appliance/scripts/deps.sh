#!/bin/bash
# Installs what a target needs from the system, and nothing that is there already.
#
#   deps.sh build|demo|test
#
# build: to compile.  demo: and to publish a feed.  test: and every client that the tests play and publish with.
# Needs root only where something is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

purpose=${1:-test}
# Oldest Rust that builds this: `rust-version` in Cargo.toml.
rust_wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
# Carries a present-day ffmpeg; Debian 12's (5.1) cannot publish HEVC or AV1 over RTMP.
imageio_ffmpeg=0.8.1
# NVIDIA's own client of NVML, which the simulated one must satisfy.
nvidia_ml_py=13.615.71

say() { echo "deps: $*"; }
die() { echo "deps: $*" >&2; exit 1; }

# A C compiler and assembler, clang's library for the crates that read C headers, and the C libraries that are linked: by
# FFmpeg, which libav.sh builds, and by the simulated drivers, libva's among them.
build_packages="build-essential pkg-config nasm clang libclang-dev libx264-dev libx265-dev libaom-dev libdav1d-dev
  zlib1g-dev libva-dev"
# A publisher with a drawn clock, a certificate, a look at who holds a port.
demo_packages="ffmpeg openssl curl fonts-dejavu-core iproute2 procps ca-certificates"
# Independent clients: GStreamer publishes, Chromium plays. Python carries one more ffmpeg. Headers that bindings are
# checked against, and the very clang that makes the committed kernels.
test_packages="chromium gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav glib-networking libffmpeg-nvenc-dev vainfo
  clang-14"

case "$purpose" in
  build) wanted="$build_packages" ;;
  demo) wanted="$build_packages $demo_packages" ;;
  test) wanted="$build_packages $demo_packages $test_packages" ;;
  *) die "unknown purpose \"$purpose\": build, demo or test" ;;
esac
if [ "$purpose" = test ]; then
  # Other sources of Node than Debian's put npm in the same package.
  command -v node >/dev/null || wanted="$wanted nodejs"
  command -v npm >/dev/null || wanted="$wanted npm"
  python3 -c 'import venv, ensurepip' 2>/dev/null || wanted="$wanted python3 python3-venv"
fi

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

if command -v dpkg-query >/dev/null; then
  missing=""
  for package in $wanted; do installed "$package" || missing="$missing $package"; done
  if [ -n "$missing" ]; then
    [ "$(id -u)" = 0 ] || die "needs root once, to install:$missing"
    say "installing with apt:$missing"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    # An index from the image's making may name versions that are gone.
    { apt-get update -q && apt-get install -q -y --no-install-recommends $missing; } >"$log" 2>&1 </dev/null \
      || { tail -n 20 "$log" >&2; rm -f "$log"; die "apt could not install:$missing"; }
    rm -f "$log"
  fi
else
  say "this is not Debian; needed for \"$purpose\":" $wanted
fi

command -v cargo >/dev/null || die "no Rust toolchain: install Rust $rust_wanted or later from https://rustup.rs"
rust_found=$(rustc --version | cut -d' ' -f2)
[ "$(printf '%s\n%s\n' "$rust_wanted" "$rust_found" | sort -V | head -n 1)" = "$rust_wanted" ] \
  || die "Rust $rust_found is too old; $rust_wanted or later is needed: rustup update"

bash appliance/scripts/libav.sh

if [ "$purpose" = test ]; then
  if [ -f appliance/tests/browser/package-lock.json ] \
    && ! cmp -s appliance/tests/browser/package-lock.json appliance/tests/browser/node_modules/.installed-from; then
    say "installing the players that the browser tests drive, with npm"
    (cd appliance/tests/browser && npm ci --no-audit --no-fund --loglevel=error </dev/null \
      && cp package-lock.json node_modules/.installed-from) || die "npm ci failed in appliance/tests/browser"
  fi
  if [ "$(cat target/ffmpeg-present-day/version 2>/dev/null)" != "$imageio_ffmpeg" ]; then
    say "installing a present-day ffmpeg into target/ffmpeg-present-day, with pip"
    rm -rf target/ffmpeg-present-day
    mkdir -p target
    { python3 -m venv target/ffmpeg-present-day \
      && target/ffmpeg-present-day/bin/pip install -q --disable-pip-version-check --no-deps \
           "imageio-ffmpeg==$imageio_ffmpeg" </dev/null; } || die "pip could not install imageio-ffmpeg $imageio_ffmpeg"
    binary=$(echo "$PWD"/target/ffmpeg-present-day/lib/python3*/site-packages/imageio_ffmpeg/binaries/ffmpeg-*)
    [ -x "$binary" ] || chmod +x "$binary"
    ln -sf "$binary" target/ffmpeg-present-day/ffmpeg
    target/ffmpeg-present-day/ffmpeg -version >/dev/null || die "$binary does not run"
    echo "$imageio_ffmpeg" > target/ffmpeg-present-day/version
  fi
  if [ "$(cat target/nvidia-ml-py/version 2>/dev/null)" != "$nvidia_ml_py" ]; then
    say "installing nvidia-ml-py into target/nvidia-ml-py, with pip"
    rm -rf target/nvidia-ml-py
    mkdir -p target
    { python3 -m venv target/nvidia-ml-py \
      && target/nvidia-ml-py/bin/pip install -q --disable-pip-version-check --no-deps \
           "nvidia-ml-py==$nvidia_ml_py" </dev/null; } || die "pip could not install nvidia-ml-py $nvidia_ml_py"
    echo "$nvidia_ml_py" > target/nvidia-ml-py/version
  fi
fi
