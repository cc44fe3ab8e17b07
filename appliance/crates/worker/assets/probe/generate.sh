#!/bin/bash
# Makes the pictures that the probe has decoders decode: one key frame of colour bars, 256x256, in each coding format and
# bit depth. NAME.record is the avcC, hvcC or av1C record, NAME.unit the unit behind it. Wants Debian's ffmpeg and xxd; the
# result is committed, and a test decodes it on the CPU.
set -euo pipefail
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# name  pixel format  encoder and its settings
pictures="
h264     yuv420p     libx264 -preset veryslow -profile:v high -bsf:v filter_units=remove_types=6
h264-10  yuv420p10le libx264 -preset veryslow -profile:v high10 -bsf:v filter_units=remove_types=6
hevc     yuv420p     libx265 -preset veryslow -x265-params info=0:log-level=none
hevc-10  yuv420p10le libx265 -preset veryslow -x265-params info=0:log-level=none
av1      yuv420p     libaom-av1 -cpu-used 4
av1-10   yuv420p10le libaom-av1 -cpu-used 4
"
while read -r name format encoder; do
  [ -n "$name" ] || continue
  # shellcheck disable=SC2086
  ffmpeg -nostdin -v error -f lavfi -i smptebars=size=256x256:rate=25 -frames:v 1 -pix_fmt "$format" -c:v $encoder \
    "$folder/$name.mp4"
  ffprobe -v error -show_entries stream=extradata -show_data -of default=nw=1:nk=1 "$folder/$name.mp4" \
    | xxd -r >"$name.record"
  ffmpeg -nostdin -v error -i "$folder/$name.mp4" -map 0:v -c copy -f data -y "$name.unit"
done <<<"$pictures"
