#!/bin/bash
# Builds the parts of FFmpeg that the worker needs, and no others, into target/libav, to be linked statically: two minutes,
# once. The source is Debian's, with Debian's security patches, as apt fetches and verifies it.
#
# The libraries that Debian builds have every part, and need some 150 other libraries, libva among them. A worker that links
# these takes ten times as long to start and four times the memory, and whoever feeds it speaks to all of that code.
#
# target/libav/version says which it was. To have Debian's latest: rm -r target/libav, and build again.
set -euo pipefail
cd "$(dirname "$0")/../.."

out=$PWD/target/libav
work=$PWD/target/libav.work

# What decoders, encoders, filters and demuxers are for is said where they are named in the source: software/src, the
# simulators under hwtests/sims (libx265 and libaom, which also make the streams that `calibrate` measures with), and tests
# (the encoders of stills, MP4).
components=(
  --enable-decoder=h264,hevc,libdav1d,aac,png,mjpeg
  --enable-encoder=libx264,libx265,libaom_av1,aac,png,mjpeg
  --enable-parser=h264,hevc,av1,aac
  --enable-filter=bwdif,colorspace,format,null
  --enable-demuxer=mov
  --enable-protocol=file
)

say() { echo "libav: $*"; }
die() { echo "libav: $*" >&2; exit 1; }
# Runs a step, which says nothing unless it fails.
step() {
  local what=$1
  shift
  "$@" >"$work/log" 2>&1 </dev/null || { tail -n 20 "$work/log" >&2; die "$what failed"; }
}

recipe=$(cksum <appliance/scripts/libav.sh)
[ "$(cat "$out/recipe" 2>/dev/null)" != "$recipe" ] || exit 0

# Fetches the newest source that the machine's own mirrors of Debian have. They are asked for source in an index of our own:
# what the machine is set up for stays as it is.
fetch() {
  command -v apt-get >/dev/null || { echo "this is not Debian" >"$work/log"; return 1; }
  mkdir -p "$work"/apt/{parts,lists/partial,cache/archives/partial}
  local file
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] && sed 's/^Types:.*/Types: deb-src/' "$file" >"$work/apt/parts/${file##*/}"
  done
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -f "$file" ] && sed -n 's/^deb[[:space:]]/deb-src /p' "$file" >"$work/apt/parts/$(basename "$file" .list).list"
  done
  local apt=(apt-get -q -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$work/apt/parts"
    -o "Dir::State::lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache" -o Acquire::Retries=3)
  { "${apt[@]}" update && cd "$work" && "${apt[@]}" source ffmpeg; } >"$work/log" 2>&1 </dev/null
}

rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
if ! (fetch); then
  say "FFmpeg's source is not to be had: $(grep -m 1 -E '^E:|^W: Failed|^this' "$work/log" || tail -n 1 "$work/log")"
  pkg-config --exists libavcodec libavfilter libavformat libswscale libswresample \
    || die "nor are its libraries installed: on Debian, apt-get install libavcodec-dev libavfilter-dev libavformat-dev" \
      "libavutil-dev libswscale-dev libswresample-dev"
  say "linking the system's libraries instead; the worker then needs whatever they need"
  exit 0
fi

source=$(echo "$work"/ffmpeg-*/)
[ -x "$source/configure" ] || die "apt unpacked no FFmpeg: $(ls "$work")"
version=$(sed -n '1s/.*(\(.*\)).*/\1/p' "$source/debian/changelog")
say "building FFmpeg $version into target/libav, two minutes on two cores, this once"
# Hardened as Debian's packages are.
hardening=$(dpkg-buildflags --get CFLAGS | sed 's/-ffile-prefix-map=[^ ]*//; s/-g //; s/-O2//')
hardening="$hardening $(dpkg-buildflags --get CPPFLAGS) -ffile-prefix-map=$work=."
cd "$source"
step "configuring FFmpeg" ./configure --prefix="$out" --extra-cflags="$hardening" \
  --disable-everything --disable-autodetect --disable-programs --disable-doc --disable-network --disable-avdevice \
  --disable-postproc --disable-debug --enable-pic --enable-pthreads --enable-zlib \
  --enable-gpl --enable-libx264 --enable-libx265 --enable-libaom --enable-libdav1d "${components[@]}"
step "compiling FFmpeg" make -j"$(nproc)"
rm -rf "$out"
step "installing FFmpeg" make install
cd "$OLDPWD"
# A checkout may move.
sed -i 's|^prefix=.*|prefix=${pcfiledir}/../..|; s|^libdir=.*|libdir=${prefix}/lib|; s|^includedir=.*|includedir=${prefix}/include|' \
  "$out"/lib/pkgconfig/*.pc
# Cargo does not see that what it linked before is another one now.
for profile in dev release; do cargo clean -q --locked --profile "$profile" -p ffmpeg-sys-next || true; done
echo "$version" >"$out/version"
echo "$recipe" >"$out/recipe"
say "FFmpeg $version is in target/libav"
