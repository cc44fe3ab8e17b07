#!/bin/bash
# Makes scale.ptx of scale.cu with clang 14, whose PTX version (4.0) every driver takes that this crate supports.
#
#   generate.sh [output]
set -euo pipefail
out=$(realpath "${1:-$(dirname "$0")/scale.ptx}")
cd "$(dirname "$0")"
exec clang-14 -x cuda -nocudainc -nocudalib --cuda-device-only --cuda-gpu-arch=sm_50 -O2 -S scale.cu -o "$out"
