#!/bin/bash
# Builds the simulated drivers and puts them where loaders find them:
#
#   target/sims/nvidia/  libcuda.so.1, libnvidia-encode.so.1, libnvcuvid.so.1, libnvidia-ml.so.1
#   target/sims/vaapi/   sim_drv_video.so, and libsim_drm.so, to be preloaded, which lets /dev/null pass as its node
#   target/sims/         sim-report
#
# Use: LD_LIBRARY_PATH=target/sims/nvidia RUNGD_SIM_PLAN=plan.toml ffmpeg ... -c:v h264_nvenc ...
#      LIBVA_DRIVERS_PATH=target/sims/vaapi LIBVA_DRIVER_NAME=sim LD_PRELOAD=target/sims/vaapi/libsim_drm.so \
#        RUNGD_SIM_PLAN=plan.toml ffmpeg -vaapi_device /dev/null ... -c:v h264_vaapi ...
# CARGO_TARGET_DIR says where cargo builds, not where the drivers are put. RUNGD_SIMS_BUILT=1 takes what a build of the
# whole workspace has left there.
set -euo pipefail
cd "$(dirname "$0")/../.."

# package  library as cargo names it  folder/name as loaders know it
drivers="
sim-va libsim_va.so vaapi/sim_drv_video.so
sim-drm libsim_drm.so vaapi/libsim_drm.so
sim-cuda libsim_cuda.so nvidia/libcuda.so.1
sim-front libsim_front.so nvidia/libnvidia-encode.so.1
sim-front libsim_front.so nvidia/libnvcuvid.so.1
sim-nvenc libsim_nvenc.so nvidia/libsim-nvenc.so
sim-cuvid libsim_cuvid.so nvidia/libsim-cuvid.so
sim-nvml libsim_nvml.so nvidia/libnvidia-ml.so.1
"

packages="-p sim-state"
while read -r package _; do [ -z "$package" ] || packages="$packages -p $package"; done <<<"$drivers"
# shellcheck disable=SC2086
[ -n "${RUNGD_SIMS_BUILT:-}" ] || "${CARGO:-cargo}" build --quiet ${CARGO_FLAGS:---locked} $packages
built=${CARGO_TARGET_DIR:-target}/debug

# Renamed into place: whoever has the old one mapped keeps it.
put() {
  cmp -s "$1" "$2" && return
  mkdir -p "$(dirname "$2")"
  cp "$1" "$2.$$" && mv -f "$2.$$" "$2"
}
put "$built/sim-report" target/sims/sim-report
while read -r package library place; do
  [ -z "$package" ] || put "$built/$library" "target/sims/$place"
done <<<"$drivers"
