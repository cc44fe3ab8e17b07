#!/bin/bash
# Starts the appliance and publishes a feed to it, as `make demo` says. What it starts it ends.
#
# From the Makefile: DEMO_SECONDS (until interrupted where empty), DEMO_PUBLISH (0: no feed), DEMO_CONFIG (another
# configuration), DEMO_KEEP (1: keep what the run before left), DEMO_DEVICE (what to transcode on). From tests: DEMO_PROGRAM
# (another rungd), DEMO_FOLDER (another place for what it writes) and, with a device, DEMO_PORTS (any: those that are free).
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=${DEMO_FOLDER:-target/demo}
# The configuration that this script knows: its ports, its feed, its key.
own_config=appliance/config/demo.toml
config=${DEMO_CONFIG:-$own_config}
key=demo-key-not-secret
seconds=${DEMO_SECONDS:-}
program=${DEMO_PROGRAM:-target/release/rungd}
# Longest time from the publisher's start to a picture.
play_deadline=60

say() { printf '%s\n' "$*"; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }

case "$seconds" in *[!0-9]*) die "SECONDS is a whole number of seconds, not \"$seconds\"" ;; esac
[ -f "$config" ] || die "there is no configuration $config"
[ -x "$program" ] && [ -x "$(dirname "$program")/rungd-worker" ] || die "nothing is built yet: run make demo"

# Who listens on a port of this machine, in words; nothing where it is free.
holder() {
  ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:((\(.*\)))$/\1/p; s/^LISTEN.*$/another program/p' | head -n 1 \
    | sed 's/"\([^"]*\)",pid=\([0-9]*\).*/\1, process \2/'
}
if [ "$config" = "$own_config" ] && [ "${DEMO_PORTS:-own}" = own ]; then
  for port in 8080 1935 1936; do
    by=$(holder "$port")
    [ -z "$by" ] || die "port $port is taken by $by; end it, or run another configuration with CONFIG=file"
  done
fi

[ "${DEMO_KEEP:-0}" = 1 ] || rm -rf "$folder"
mkdir -p "$folder/state"

device=${DEMO_DEVICE:-}
if [ -n "$device" ]; then
  [ "$config" = "$own_config" ] || die "DEVICE is for the demo's own configuration; write device = \"...\" into $config"
  # A file in conf.d adds to the demo's configuration, which is copied to stand beside it.
  mkdir -p "$folder/config/conf.d"
  sed 's#"\.\./\.\./target/demo/#"../#' "$own_config" >"$folder/config/demo.toml"
  config=$folder/config/demo.toml
  [ "${DEMO_PORTS:-own}" = own ] || sed -i 's#"127\.0\.0\.1:[0-9]*"#"127.0.0.1:0"#' "$config"
  sims=$PWD/target/sims
  case "$device" in
    sim-nvidia) engine=nvidia environment="LD_LIBRARY_PATH = \"$sims/nvidia\"" ;;
    sim-vaapi)
      engine=vaapi
      environment="LIBVA_DRIVERS_PATH = \"$sims/vaapi\", LIBVA_DRIVER_NAME = \"sim\", "
      environment="${environment}LD_PRELOAD = \"$sims/vaapi/libsim_drm.so\""
      ;;
    *) engine=$device environment= ;;
  esac
  {
    echo "[feed.demo]"
    echo "device = \"$engine\""
    if [ -n "$environment" ]; then
      echo "[worker]"
      echo "environment = { $environment, RUNGD_SIM_PLAN = \"$(realpath "$folder")/sim.toml\" }"
      echo "[devices]"
      echo "allow_simulated = true"
      [ "$engine" != vaapi ] || echo 'render_nodes = ["/dev/null"]'
      # One that runs as long as the demo, and is forgotten with it.
      printf 'state = "sim.state"\n' >"$folder/sim.toml"
    fi
  } >"$folder/config/conf.d/device.toml"
fi
if [ ! -f "$folder/certificate.pem" ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=localhost" \
    -addext "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1" \
    -keyout "$folder/key.pem" -out "$folder/certificate.pem" 2>"$folder/openssl.log" \
    || die "openssl made no certificate: $(tail -n 1 "$folder/openssl.log")"
fi

rungd_pid=
ffmpeg_pid=
timer_pid=
# Ends a child: first by asking, after some seconds by force.
end() {
  local pid=$1 tenths=$2
  kill -TERM "$pid" 2>/dev/null || return 0
  while [ "$tenths" -gt 0 ] && kill -0 "$pid" 2>/dev/null; do
    sleep 0.1
    tenths=$((tenths - 1))
  done
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}
finish() {
  local status=$?
  trap - EXIT INT TERM
  [ -z "$timer_pid" ] || kill "$timer_pid" 2>/dev/null || true
  [ -z "$ffmpeg_pid" ] || end "$ffmpeg_pid" 30
  if [ -n "$rungd_pid" ]; then
    say "Stopping; the last segments are being written."
    end "$rungd_pid" 300
  fi
  exit "$status"
}
trap finish EXIT
# Interrupted is how a demo ends: that is no failure.
trap 'exit 0' INT TERM

fail() {
  printf '\ndemo: %s\n' "$1" >&2
  local log
  for log in "$folder/rungd.log" "$folder/ffmpeg.log"; do
    if [ -s "$log" ]; then
      printf -- '--- last lines of %s\n' "$log" >&2
      tail -n 15 "$log" >&2
    fi
  done
  [ -z "${2:-}" ] || printf -- '--- what to do: %s\n' "$2" >&2
  exit 1
}
alive() { kill -0 "$1" 2>/dev/null; }

# Where the daemon says how it is reached, with the ports that it really got.
state_dir=$(sed -n 's/^state_dir *= *"\(.*\)".*/\1/p' "$config" | head -n 1)
state_dir=${state_dir:-/var/lib/rungd}
case "$state_dir" in /*) ;; *) state_dir="$(dirname "$config")/$state_dir" ;; esac
rm -f "$state_dir/rungd.json"
address() {
  tr -d ' \n' <"$state_dir/rungd.json" | sed -n "s/.*\"$1\":\[\"\([^\"]*\)\".*/\1/p"
}

"$program" serve --config "$config" >"$folder/rungd.log" 2>&1 </dev/null &
rungd_pid=$!
for _ in $(seq 100); do
  [ ! -s "$state_dir/rungd.json" ] || break
  alive "$rungd_pid" || fail "rungd did not start" "mend what the log names in $config; rungd check-config lists all faults"
  sleep 0.1
done
[ -s "$state_dir/rungd.json" ] || fail "rungd did not listen within 10 s"

scheme=http
! tr -d ' \n' <"$state_dir/rungd.json" | grep -q '"http_tls":true' || scheme=https
base="$scheme://$(address http)"
rtmps=$(address rtmps)
rtmp=$(address rtmp)
get() { curl -fsSk --max-time 5 "$base$1"; }

publish=${DEMO_PUBLISH:-1}
if [ "$publish" != 0 ] && ! get /api/v1/feeds | tr -d ' \n' | grep -q '"name":"demo"'; then
  say "$config has no feed called demo, so nothing is published to it."
  publish=0
fi
application=$(tr -d ' \n' <"$state_dir/rungd.json" | sed -n 's/.*"application":"\([^"]*\)".*/\1/p')
if [ -n "$rtmps" ]; then server="rtmps://$rtmps/$application"; else server="rtmp://$rtmp/$application"; fi
# Whether the first rung (the sound, where there is no picture) lists a segment. A low-latency MPD lists none, ever.
plays() {
  local playlist
  playlist=$(get /live/demo/master.m3u8 2>/dev/null | sed -n '/^[^#]/{p;q}')
  [ -n "$playlist" ] && get "/live/demo/$playlist" 2>/dev/null | grep '^#EXTINF' >/dev/null
}

if [ "$publish" != 0 ]; then
  say "Publishing a moving picture with a clock, and sound, to $server ..."
  font=/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf
  clock="drawtext=fontfile=$font:text='%{localtime\\:%T}':fontsize=48:fontcolor=white:box=1:boxcolor=black@0.6"
  clock="$clock:boxborderw=12:x=(w-text_w)/2:y=h-text_h-30"
  # A note a second that fades.
  sound="aevalsrc='0.25*sin(2*PI*(330+110*mod(floor(t)\\,4))*t)*exp(-5*mod(t\\,1))':s=48000"
  ffmpeg -hide_banner -nostdin -nostats -loglevel info \
    -re -f lavfi -i "testsrc2=size=640x360:rate=25,$clock" -re -f lavfi -i "$sound" \
    -c:v libx264 -preset superfast -tune zerolatency -pix_fmt yuv420p -b:v 2M -maxrate 2M -bufsize 2M -g 50 \
    -keyint_min 50 -sc_threshold 0 -c:a aac -b:a 128k -ac 2 \
    -f flv -flvflags no_duration_filesize "$server/$key" >"$folder/ffmpeg.log" 2>&1 </dev/null &
  ffmpeg_pid=$!
  waited=0
  until plays; do
    alive "$rungd_pid" || fail "rungd has ended"
    alive "$ffmpeg_pid" || fail "the publisher was refused or has ended" "see the last lines above"
    [ "$waited" -lt $((play_deadline * 2)) ] || fail "nothing to play after $play_deadline s" \
      "see whether the machine keeps up: $program status --config $config"
    if [ $((waited % 4)) = 2 ]; then
      state=$(get /api/v1/feeds | tr -d ' \n' | sed -n 's/.*"name":"demo"[^}]*"state":"\([a-z]*\)".*/\1/p')
      say "  after $((waited / 2)) s the feed is ${state:-not known}"
    fi
    sleep 0.5
    waited=$((waited + 1))
  done
  say "It plays."
fi

say
say "  Watch it        $base/"
if [ -n "$device" ] || [ "$config" = "$own_config" ] || [ "$publish" != 0 ]; then
  say "  DASH            $base/live/demo/manifest.mpd"
  say "  HLS             $base/live/demo/master.m3u8"
  say
  say "  Your own encoder (OBS: Settings, Stream, Service \"Custom...\"):"
  say "    Server        $server"
  say "    Stream key    $key"
  if [ "$publish" != 0 ]; then
    say "    The feed has a publisher now; run make demo PUBLISH=0 to have it for yourself."
  fi
  if [ -n "$rtmps" ] && [ -n "$rtmp" ]; then
    say "    The certificate is self-signed. An encoder that insists on a known one can use rtmp://$rtmp/$application here."
  fi
fi
say
say "  Logs            $folder/rungd.log${ffmpeg_pid:+, $folder/ffmpeg.log}"
say "  Status          $program status --config $config"
say
"$program" status --config "$config" || true
say
if [ -n "$seconds" ]; then say "Running for $seconds s; Ctrl-C ends it sooner."; else say "Ctrl-C ends it."; fi

# `wait` with a timer, so that the end of a child is noticed and a signal is acted on at once.
if [ -n "$seconds" ]; then
  sleep "$seconds" &
  timer_pid=$!
fi
ended=
while :; do
  wait -n -p ended ${timer_pid:+"$timer_pid"} "$rungd_pid" ${ffmpeg_pid:+"$ffmpeg_pid"} || true
  if [ -n "$timer_pid" ] && [ "$ended" = "$timer_pid" ]; then
    timer_pid=
    exit 0
  fi
  # Ctrl-C reaches the children too; let it be known for what it is.
  sleep 0.2
  if [ "$ended" = "$rungd_pid" ]; then
    rungd_pid=
    fail "rungd has ended"
  fi
  if [ -n "$ffmpeg_pid" ] && [ "$ended" = "$ffmpeg_pid" ]; then
    ffmpeg_pid=
    fail "the publisher has ended"
  fi
done
