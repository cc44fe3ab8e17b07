#!/bin/bash
# The VA-API path on a real /dev/dri/renderD128: a virtual machine with Debian's full kernel and its vgem module, without
# KVM, that finds the simulated driver under the name that libva asks for.
#
#   render-node.sh          (make test-vm; needs root once, to install qemu)
#
# Nothing stands in for the kernel here: no preload, no LIBVA_DRIVER_NAME. The same programs run on the host's simulated
# device, and what comes out must be the same.
set -euo pipefail
cd "$(dirname "$0")/../.."

# shellcheck source=hwtests/vm/machine.sh
. hwtests/vm/machine.sh

work=target/vm/render-node
built=${CARGO_TARGET_DIR:-target}/debug/examples
drivers=target/sims/vaapi
limit_s=300

need qemu-system-x86 busybox-static cpio kmod vainfo ffmpeg
"${CARGO:-cargo}" build --quiet ${CARGO_FLAGS:---locked} -p vaapi --examples
bash hwtests/scripts/sims.sh

fetch_kernel
mkdir -p "$work"
begin_root "$work/root"
add_modules vgem

# Programs and drivers with all the libraries that they load.
cp "$built/decode" "$built/encode" /usr/bin/vainfo "$root/bin/"
mkdir -p "$root/drivers"
cp "$drivers/sim_drv_video.so" "$root/drivers/vgem_drv_video.so"
libva=$(ldconfig -p | awk '/libva.so.2 / { print $NF; exit }')
libva_drm=$(ldconfig -p | awk '/libva-drm.so.2 / { print $NF; exit }')
for library in "$libva" "$libva_drm"; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
add_libraries "$root/bin/decode" "$root/bin/vainfo" "$root/drivers/vgem_drv_video.so" "$libva" "$libva_drm"

# Natural pictures, coded in a way that is hard to decode, and as samples.
clip=appliance/tests/media/bbb-720p25-5s.mp4
ffmpeg -v error -nostdin -y -i "$clip" -an -frames:v 24 -s 426x240 -c:v libx264 -preset veryfast \
  -x264-params "bframes=3:ref=4:weightp=2" -bsf:v h264_metadata=aud=insert -f h264 "$work/in.h264"
ffmpeg -v error -nostdin -y -i "$work/in.h264" -fps_mode passthrough -f rawvideo "$work/in.yuv"
cp "$work/in.h264" "$work/in.yuv" "$root/tmp/"
printf '[[device]]\nmodel = "intel"\n' > "$root/tmp/plan.toml"

{
  begin_init
  cat <<'INIT'
export LIBVA_DRIVERS_PATH=/drivers LIBVA_MESSAGING_LEVEL=1 RUNGD_SIM_PLAN=/tmp/plan.toml HOME=/tmp
echo "vm-node $(/bin/busybox stat -c '%n %t:%T' /dev/dri/renderD128)"
echo "vm-vainfo $(/bin/vainfo --display drm --device /dev/dri/renderD128 2>/dev/null | /bin/busybox grep -c VAEntrypoint)"
echo "vm-decode $(/bin/decode /dev/dri/renderD128 h264 /tmp/in.h264 /tmp/out.yuv 2>/tmp/err; /bin/busybox tail -n 3 /tmp/err | /bin/busybox tr '\n' ' ')"
echo "vm-samples $(/bin/busybox md5sum < /tmp/out.yuv)"
echo "vm-encode $(/bin/encode /dev/dri/renderD128 h264 426x240 25 500 /tmp/in.yuv /tmp/out.h264 idr=12 2>/tmp/err; /bin/busybox tail -n 3 /tmp/err | /bin/busybox tr '\n' ' ')"
echo "vm-stream $(/bin/busybox md5sum < /tmp/out.h264)"
/bin/busybox poweroff -f
INIT
} > "$root/init"
pack "$work/initrd"

say "booting $release under TCG"
started=$SECONDS
timeout "$limit_s" "${machine[@]}" -m 1536 -serial stdio -initrd "$work/initrd" -append "console=ttyS0 quiet panic=-1" \
  </dev/null > "$work/console" 2>&1 || die "the machine did not end by itself within $limit_s s: $work/console"
say "ended after $((SECONDS - started)) s"

# The same on the host's simulated device.
plan=$root/tmp/plan.toml
on_host() {
  LIBVA_DRIVERS_PATH=$drivers LIBVA_DRIVER_NAME=sim LD_PRELOAD=$drivers/libsim_drm.so RUNGD_SIM_PLAN=$plan \
    "$built/$1" /dev/null "${@:2}" >/dev/null 2>&1
}
on_host encode h264 426x240 25 500 "$work/in.yuv" "$work/host.h264" idr=12

found() { tr -d '\r' < "$work/console" | sed -n "s/^vm-$1 //p"; }
expect() {
  case $(found "$1") in
    $2) say "$1: $(found "$1")" ;;
    *) tail -n 30 "$work/console" >&2; die "$1 is \"$(found "$1")\", not \"$2\"" ;;
  esac
}
expect node "/dev/dri/renderD128 e2:80"
expect vainfo "[1-9]*"
expect decode "pictures 24 errors 0 *"
expect samples "$(md5sum < "$work/in.yuv")"
expect encode "pictures 24 keys \[0, 12\] *"
expect stream "$(md5sum < "$work/host.h264")"
rm -rf "$root" "$work/initrd"
say "the VA-API path ran on a real render node, as on the host's simulated device"
