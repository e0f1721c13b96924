#!/usr/bin/env bash
# What needs a GPU, step by step; each step ends by itself within LIMIT seconds and goes on when called again.
#
#   DATA=dsb2018 OUT=results bash benchmarks/gpu.sh STEP...
#
# STEP: tests          the tests marked gpu
#       throughput     the bare forward of the presets and the shipped model
#       cuda           a synthetic plate by nucbatch run --scheduler cuda, beside the same on the CPU
#       end-to-end     the whole run against the bare forward, on the GPU: fields of 1080 and 2160 px, fp16;
#                      and what the processor can do for it, alone
#       train-default  nucbatch train --preset default
#       train-base     nucbatch train --preset base
#       train-paper    nucbatch train --preset paper --test, whole: 31 M parameters, 35 epochs
#       setup          installs alone (every other step does so first)
#
# DATA    the data set, for training            OUT     small results: weights, curves, cards, logs
# WORK    scratch that outlasts a call           LIMIT   seconds of a training step (540)
# WHEELS  a folder of wheels, nucbatch's own among them, for a machine without a package index: they are
#         installed without dependencies, beside what the machine has
# DEVICE  cuda, or cpu to try the script         EXTRA   more options of nucbatch train, such as --steps 20
# PROCESSES  GPUs of this machine to train on, by torchrun (1)
set -euo pipefail
cd "$(dirname "$0")/.."

OUT=${OUT:-gpu-results}
WORK=${WORK:-${TMPDIR:-/tmp}/nucbatch-gpu}
LIMIT=${LIMIT:-540}
DEVICE=${DEVICE:-cuda}
PROCESSES=${PROCESSES:-1}
PYTHON=${PYTHON:-python3}
read -r -a extra <<<"${EXTRA:-}"
mkdir -p "$OUT" "$WORK"
export PYTHONUNBUFFERED=1 MPLCONFIGDIR="$WORK/matplotlib" NUMBA_CACHE_DIR="$WORK/numba"

setup() {
    if [[ -n "${WHEELS:-}" ]]; then
        if [[ ! -e "$WORK/site/.done" ]]; then
            "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --upgrade \
                --target "$WORK/site" "$WHEELS"/*.whl
            touch "$WORK/site/.done"
        fi
        export PYTHONPATH="$WORK/site${PYTHONPATH:+:$PYTHONPATH}"
    fi
    "$PYTHON" - "$DEVICE" <<'PYTHON'
import sys
import torch
import nucbatch.networks.contract as contract
if sys.argv[1] == "cuda" and not torch.cuda.is_available():
    sys.exit("no CUDA device: set DEVICE=cpu to try the script without one")
name = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
print(f"torch {torch.__version__}, {name}, networks: {', '.join(contract.architectures())}")
PYTHON
}

# Trains as far as LIMIT goes. SIGTERM saves the state; the next call resumes it. Only small files go to OUT.
training() {
    local preset=$1 code=0
    shift
    local folder="$WORK/$preset" launch=("$PYTHON" -m nucbatch)
    : "${DATA:?DATA must name the data set}"
    if ((PROCESSES > 1)); then
        launch=("$PYTHON" -m torch.distributed.run --standalone --nproc-per-node "$PROCESSES" -m nucbatch)
    fi
    timeout --signal=TERM --kill-after=60 "$LIMIT" "${launch[@]}" train "$DATA" -o "$folder" \
        --preset "$preset" --device "$DEVICE" --resume "$@" "${extra[@]}" 2>&1 |
        tee -a "$OUT/$preset.log" || code=${PIPESTATUS[0]}
    mkdir -p "$OUT/$preset"
    local name
    for name in history.csv history.png preprocessing.png train.json best.safetensors weights.safetensors; do
        if [[ -e "$folder/$name" ]]; then cp "$folder/$name" "$OUT/$preset/"; fi
    done
    case $code in
        0) echo "$preset: done" ;;
        124 | 137 | 143) echo "$preset: out of time after $LIMIT s; call again to go on" ;;
        *) return "$code" ;;
    esac
}

step() {
    case $1 in
        setup) ;;
        tests) "$PYTHON" -m pytest -q -m gpu -p no:cacheprovider tests/unit 2>&1 | tee "$OUT/tests.log" ;;
        throughput)
            "$PYTHON" -m benchmarks.bench_forward --device "$DEVICE" --preset base --batch 8 2>&1 |
                tee "$OUT/throughput.log"
            ;;
        cuda)
            if [[ ! -d "$WORK/plate" ]]; then
                "$PYTHON" -c 'from pathlib import Path; import sys; from nucbatch.synthetic import make_plate
make_plate(Path(sys.argv[1]), size_px=1080)' "$WORK/plate"
            fi
            for scheduler in cuda local; do
                "$PYTHON" -m nucbatch run "$WORK/plate" --channel DAPI -o "$WORK/run-$scheduler" --restart \
                    --scheduler "$scheduler" 2>&1 | tee "$OUT/run-$scheduler.log" || [[ ${PIPESTATUS[0]} == 3 ]]
            done
            "$PYTHON" -m nucbatch score "$WORK/run-cuda" --gt "$WORK/run-local" 2>&1 | tee "$OUT/cuda-local.log"
            ;;
        end-to-end)
            for side in 1080 2160; do
                "$PYTHON" -m benchmarks.bench_throughput --scheduler cuda --workers 1 --precision fp16 \
                    --side "$side" --rounds 1 2>&1 | tee -a "$OUT/end-to-end.log"
            done
            "$PYTHON" -m benchmarks.bench_feed --rounds 1 2>&1 | tee "$OUT/feed.log"
            ;;
        train-default) training default ;;
        train-base) training base ;;
        train-paper) training paper --test ;;
        *)
            echo "no step $1: setup, tests, throughput, cuda, end-to-end, train-default, train-base, train-paper" >&2
            return 2
            ;;
    esac
}

if (($# == 0)); then
    sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0"
    exit 2
fi
setup
for name in "$@"; do
    echo "== $name"
    step "$name"
done
