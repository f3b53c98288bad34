#!/bin/sh
# Measures and proves, on a machine with a GPU, what runs there: training steps of DSANet and VadCLIP at official size, how
# near they come to the card's limits and how much faster they are than the plain order of computation; that no step
# waits for the device; that all parity cases hold on it. Needs torch, transformers and this checkout.
#
#   tests/benchmarks/gpu.sh                          # writes .benchmarks/gpu/gpu.json and gpu.md
#   DEVICE=cpu SIZE=tiny tests/benchmarks/gpu.sh     # tries itself out on any machine
#
# DEVICE  cuda (default) or cpu            SIZE    official (default) or tiny
# OUT     where the results go             CASES   folders of parity cases, default: all that lie about
# PYTHON  the interpreter, default python  METHODS  default dsanet,vadclip
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
cases=${CASES:-$(ls -d "$root"/tests/parity "$root"/../shared/parity "$root"/../shared/parity-train "$root"/../shared/parity-next 2>/dev/null || true)}
# Without it cuBLAS may choose other sums from run to run.
export CUBLAS_WORKSPACE_CONFIG="${CUBLAS_WORKSPACE_CONFIG:-:4096:8}"
export HF_HUB_OFFLINE=1 PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
# shellcheck disable=SC2086  # folders are words
exec "${PYTHON:-python}" -m tests.benchmarks.gpu --device "${DEVICE:-cuda}" --size "${SIZE:-official}" \
    --methods "${METHODS:-dsanet,vadclip}" --out "${OUT:-$root/.benchmarks/gpu}" $cases
