#!/bin/bash
# Compiles every test of the workspace once, and runs them all: the fault tests, which wait for real time and hardly
# compute, beside those that compute; then the live tests, which wait for most of their time, four at once, and beside them,
# behind them in the scheduler, those of the simulated drivers that compute and do not care when. What each says is in
# target/tests/NAME.log, and shown where it fails. What was not run is named at the end.
#
# RUNGD_NO_SKIPS=1: a test that cannot be run on this machine is a failure.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Word splitting is meant: CARGO_FLAGS is a list of options.
# shellcheck disable=SC2206
flags=(${CARGO_FLAGS:---locked} --workspace)
# As many live tests as two cores serve in real time; more cores serve more.
live_threads=$(($(nproc) * 2))
logs=$PWD/target/tests
rm -rf "$logs"
mkdir -p "$logs"

say() { echo "test: $(date -u +%H:%M:%S) $*"; }

# Whatever runs is a job in a process group of its own, so that it ends with all that it has started where this script is
# interrupted, or fails.
groups=()
beside() {
  set -m
  "$@" </dev/null &
  set +m
  groups+=($!)
}
# Of what has ended with all that it started, the number may be another's soon.
forget_gone() {
  local group left=()
  for group in "${groups[@]}"; do
    if kill -0 -- "-$group" 2>/dev/null; then left+=("$group"); fi
  done
  groups=("${left[@]}")
}
alone() {
  beside "$@"
  wait "$!"
  forget_gone
}
signal_groups() {
  local group
  for group in "${groups[@]}"; do kill "-$1" -- "-$group" 2>/dev/null && found=1; done
  return 0
}
end_groups() {
  trap '' INT TERM HUP
  signal_groups TERM
  # rungd and browsers end what they have started; who has not by then is ended.
  for _ in {1..50}; do
    found=0
    signal_groups 0
    [ "$found" = 1 ] || return 0
    sleep 0.1
  done
  signal_groups KILL
}
trap end_groups EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

say "compiling"
# One build of everything: parts of it alone would be compiled again, since their dependencies have other features.
alone cargo build "${flags[@]}" --all-targets
# Tests that see to it themselves take these too: a build of the drivers alone has other features, and would compile them
# anew in the middle of everything.
export RUNGD_SIMS_BUILT=1
alone bash hwtests/scripts/sims.sh

# Each test program: a name for its log, the folder that cargo would run it in, the program.
mapfile -t programs < <(cargo build "${flags[@]}" --all-targets --quiet --message-format=json | python3 -c '
import json, os, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["profile"]["test"]:
        folder = os.path.dirname(message["manifest_path"])
        package = "".join(open(message["manifest_path"])).split("name = \"", 1)[1].split("\"", 1)[0]
        print(package + "-" + message["target"]["name"], folder, message["executable"], sep="\t")' | sort)
[ "${#programs[@]}" -gt 20 ] || { say "cargo names ${#programs[@]} test programs only" >&2; exit 1; }

# Runs a program with what it is given; says how it went.
run() {
  local name folder program start=$SECONDS
  IFS=$'\t' read -r name folder program <<<"$1"
  shift
  if (cd "$folder" && CARGO_MANIFEST_DIR="$folder" "$program" "$@") >"$logs/$name.log" 2>&1; then
    local ok skipped
    ok=$(grep -c ' \.\.\. ok$' "$logs/$name.log" || true)
    skipped=$(grep -c 'SKIPPED [a-z]' "$logs/$name.log" || true)
    say "$name: $((ok - skipped)) passed$([ "$skipped" = 0 ] || echo ", $skipped SKIPPED") in $((SECONDS - start)) s"
  else
    cat "$logs/$name.log"
    say "$name: FAILED after $((SECONDS - start)) s"
    echo "$name" >>"$logs/failed"
  fi
}

faults=() live=() drivers=() others=()
for program in "${programs[@]}"; do
  case "${program%%$'\t'*}" in
    appliance-faults) faults+=("$program") ;;
    appliance-live) live+=("$program") ;;
    hwtests-conformance | hwtests-va) drivers+=("$program") ;;
    *) others+=("$program") ;;
  esac
done

say "${#others[@]} programs, with the fault tests and the examples of the documentation beside them"
run_faults() { for program in "${faults[@]}"; do run "$program"; done; }
run_doc() {
  # Compiling takes from those that measure, and nobody waits for it.
  renice -n 10 "$BASHPID" >/dev/null
  cargo test "${flags[@]}" --doc >"$logs/doc.log" 2>&1 || { cat "$logs/doc.log"; echo doc >>"$logs/failed"; }
}
beside run_faults
beside run_doc
for program in "${others[@]}"; do alone run "$program"; done
say "waiting for the fault tests"
wait
say "live, $live_threads at once, with the simulated drivers' tests behind them"
run_drivers() {
  renice -n 10 "$BASHPID" >/dev/null
  for program in "${drivers[@]}"; do run "$program"; done
}
beside run_drivers
for program in "${live[@]}"; do alone run "$program" --test-threads="$live_threads"; done
say "waiting for the simulated drivers' tests"
wait
forget_gone

while read -r line; do say "not run: $line"; done < <(
  { grep -ho 'SKIPPED [a-z].*' "$logs"/*.log || true; } | cut -d' ' -f2- | sort -u
  sed -n 's/^test \(.*\) \.\.\. ignored, /\1: /p' "$logs"/*.log
)
if [ -e "$logs/failed" ]; then
  say "FAILED: $(tr '\n' ' ' <"$logs/failed")" >&2
  exit 1
fi
say "all passed"
