#!/bin/bash
# Runs every test of the workspace. The fault tests wait for real time and hardly compute, the others of this half compute
# and hardly wait: they run beside each other. The live tests do both, and have the machine to themselves.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Word splitting is meant: CARGO_FLAGS is a list of options.
# shellcheck disable=SC2206
flags=(${CARGO_FLAGS:---locked} --workspace)
log=target/test-faults.log

say() { echo "test: $(date -u +%H:%M:%S) $*"; }

# Every integration test but the two that have a place of their own.
mapfile -t others < <(cargo metadata --format-version 1 --no-deps --offline | python3 -c '
import json, sys
targets = (t for p in json.load(sys.stdin)["packages"] for t in p["targets"] if "test" in t["kind"])
print("\n".join(sorted({t["name"] for t in targets} - {"faults", "live"})))')
[ "${#others[@]}" -gt 0 ] || { say "cargo metadata names no tests" >&2; exit 1; }

say "compiling"
cargo test "${flags[@]}" --no-run
mkdir -p target

say "faults, into $log, beside everything that is not live"
cargo test "${flags[@]}" --test faults >"$log" 2>&1 &
faults=$!
trap 'kill "$faults" 2>/dev/null || true' EXIT
failed=""
cargo test "${flags[@]}" --no-fail-fast --lib --bins "${others[@]/#/--test=}" || failed="$failed others"
say "waiting for faults"
wait "$faults" || failed="$failed faults"
trap - EXIT
cat "$log"

say "live"
cargo test "${flags[@]}" --test live || failed="$failed live"
say "examples in the documentation"
cargo test "${flags[@]}" --doc || failed="$failed doc"

[ -z "$failed" ] || { say "FAILED:$failed" >&2; exit 1; }
say "all passed"
