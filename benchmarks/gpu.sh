#!/usr/bin/env bash
# What needs a GPU, step by step; each step ends by itself within LIMIT seconds and goes on when called again.
#
#   DATA=dsb2018 OUT=results bash benchmarks/gpu.sh STEP...
#
# STEP: machine        what there is, and what a process takes of the GPU before its first tile
#       tests          the tests marked gpu
#       throughput     the bare forward of the presets and the shipped model, as it is and recorded as a graph
#       share          what sixteen processes get out of the GPU together, and what one does
#       compiled       the same by torch.compile, in fp16
#       cuda           a synthetic plate by nucbatch run --scheduler cuda, beside the same on the CPU
#       plates         fields of 1080 and 2160 px and a large image, for the next step
#       end-to-end     the whole run against the bare forward, on the GPU, of MODELS in PRECISIONS
#       rivals         others' ways with the same weights, on the GPU
#       feed           what the processor can do for a GPU, alone
#       precision      scores of the default model in each arithmetic of this machine, on a copy of its card
#       measure        machine, throughput, plates, end-to-end, feed, rivals, and with DATA precision: 15 minutes
#       train-default  nucbatch train --preset default
#       train-base     nucbatch train --preset base
#       train-paper    nucbatch train --preset paper --test, whole: 31 M parameters, 35 epochs
#       setup          installs and compiles alone (every other step does so first)
#
# DATA    the data set, for training            OUT     small results: weights, curves, cards, logs
# WORK    scratch that outlasts a call           LIMIT   seconds of a training step (540)
# WHEELS  a folder of wheels, nucbatch's own among them, for a machine without a package index: they are
#         installed without dependencies, beside what the machine has
# DEVICE  cuda, or cpu to try the script, local  EXTRA   more options of nucbatch train, such as --steps 20
# PROCESSES  GPUs of this machine to train on, by torchrun (1)
# MODELS  of end-to-end: default, paper (before any training), weight files (the first two)
# SOURCES of end-to-end: fields1080, fields2160, large (all)
# PRECISIONS  of end-to-end (fp16; with DEVICE=cpu fp32)
set -euo pipefail
cd "$(dirname "$0")/.."

OUT=${OUT:-gpu-results}
WORK=${WORK:-${TMPDIR:-/tmp}/nucbatch-gpu}
LIMIT=${LIMIT:-540}
DEVICE=${DEVICE:-cuda}
if [[ "$DEVICE" == cuda ]]; then SCHEDULER=cuda HALF=fp16 WAYS="eager graph"; else SCHEDULER=local HALF=fp32 WAYS=eager; fi
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
    if [[ ! -e "$WORK/.kernels" ]]; then # compiling takes half a minute, which no step should be timed with
        "$PYTHON" -c "import nucbatch.execution.preloaded"
        touch "$WORK/.kernels"
    fi
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

machine() {
    if [[ "$DEVICE" == cuda ]]; then nvidia-smi; fi
    lscpu | grep -E "Model name|^CPU\(s\)|Thread|MHz" || true
    "$PYTHON" -c 'from nucbatch.inference.device import offer_here; print("arithmetic:", ", ".join(offer_here().kinds))'
    if [[ "$DEVICE" != cuda ]]; then return; fi
    command -v nvidia-cuda-mps-control || echo "no MPS here"
    "$PYTHON" - <<'PYTHON'
import numpy as np
import torch
from nucbatch.inference.device import CudaDevice
from nucbatch.networks.contract import build
from nucbatch.training.recipe import preset
every = torch.cuda.get_device_properties(0).total_memory
for name, side in (("default", 16), ("default", 1088), ("default", 2160), ("paper", 1088), ("paper", 2160)):
    for precision in ("fp32", "fp16"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        device = CudaDevice(build(preset(name).architecture, preset(name).config), precision)
        device.begin([np.zeros((3, side, side), np.float32)] * device.batch_of(side, side)).wait()
        taken, maps = every - torch.cuda.mem_get_info()[0], torch.cuda.max_memory_reserved()
        print(f"{name}, {side} px, {precision}: a process takes {taken / 2**20:.0f} MiB, {maps / 2**20:.0f} for maps")
        del device
PYTHON
}

source_of() {
    case $1 in
        large) echo "$WORK/large.tif" ;;
        *) echo "$WORK/$1/plate" ;;
    esac
}

# The channel to name for one of the sources of end-to-end: a large image has one only.
channel() {
    case $1 in
        large) ;;
        *) echo DAPI ;;
    esac
}

# Scores of the default model in each arithmetic of this machine, written into the card of a copy of its weights.
precisions() {
    : "${DATA:?DATA must name the data set}"
    "$PYTHON" -c 'import shutil, sys
from nucbatch.networks.checkpoint import locate
shutil.copy(locate("default"), sys.argv[1])' "$OUT/default.safetensors"
    "$PYTHON" -m nucbatch models check "$OUT/default.safetensors" "$DATA" --where split=test \
        --group modality=fluorescence 2>&1 | tee "$OUT/precision.log"
}

step() {
    case $1 in
        setup) ;;
        machine) machine 2>&1 | tee "$OUT/machine.log" ;;
        tests)
            # Warnings of other versions of libraries are no failures here.
            "$PYTHON" -m pytest -q -rA -m gpu -W default -p no:cacheprovider --continue-on-collection-errors \
                $(grep -rl "mark.gpu" tests/unit tests/contracts tests/integration) 2>&1 | tee "$OUT/tests.log"
            ;;
        throughput)
            "$PYTHON" -m benchmarks.bench_forward --device "$DEVICE" --preset base --size 1088 \
                --way $WAYS 2>&1 | tee "$OUT/throughput.log"
            "$PYTHON" -m benchmarks.bench_forward --device "$DEVICE" --preset base --size 1088 \
                --precision fp32 --no-tf32 --rounds 2 2>&1 | tee -a "$OUT/throughput.log"
            ;;
        share)
            for model in default paper; do
                "$PYTHON" -m benchmarks.bench_share --model "$model" 2>&1 | tee -a "$OUT/share.log"
            done
            ;;
        compiled)
            "$PYTHON" -m benchmarks.bench_forward --device "$DEVICE" --size 1088 --precision "$HALF" \
                --way eager compiled 2>&1 | tee "$OUT/compiled.log"
            ;;
        cuda)
            if [[ ! -d "$WORK/plate" ]]; then
                "$PYTHON" -c 'from pathlib import Path; import sys; from nucbatch.synthetic import make_plate
make_plate(Path(sys.argv[1]), size_px=1080)' "$WORK/plate"
            fi
            for scheduler in "$SCHEDULER" local; do
                "$PYTHON" -m nucbatch run "$WORK/plate" --channel DAPI -o "$WORK/run-$scheduler" --restart \
                    --scheduler "$scheduler" 2>&1 | tee "$OUT/run-$scheduler.log" || [[ ${PIPESTATUS[0]} == 3 ]]
            done
            "$PYTHON" -m nucbatch score "$WORK/run-$SCHEDULER" --gt "$WORK/run-local" 2>&1 | tee "$OUT/cuda-local.log"
            ;;
        plates)
            "$PYTHON" -m benchmarks.fields "$WORK" 2>&1 | tee "$OUT/plates.log"
            ;;
        end-to-end)
            local source model precision
            for source in ${SOURCES:-fields1080 fields2160 large}; do
                for model in ${MODELS:-default paper}; do
                    for precision in ${PRECISIONS:-$HALF}; do
                        "$PYTHON" -m benchmarks.bench_throughput "$(source_of "$source")" --channel "$(channel "$source")" \
                            --scheduler "$SCHEDULER" --precision "$precision" --model "$model" --rounds "${ROUNDS:-1}" \
                            2>&1 | tee -a "$OUT/end-to-end.log"
                    done
                done
            done
            ;;
        rivals)
            "$PYTHON" -m benchmarks.bench_rivals --device "$DEVICE" --precision "$HALF" --size "${RIVALS_PX:-4096}" --rounds 2 2>&1 |
                tee "$OUT/rivals.log"
            ;;
        feed)
            local what
            for what in bench_feed bench_stages; do
                "$PYTHON" -m "benchmarks.$what" --rounds 1 2>&1 | tee "$OUT/$what.log"
            done
            ;;
        precision) precisions ;;
        measure)
            local part
            for part in machine throughput plates end-to-end feed rivals ${DATA:+precision}; do
                echo "== $part"
                step "$part"
            done
            ;;
        train-default) training default ;;
        train-base) training base ;;
        train-paper) training paper --test ;;
        *)
            echo "no step $1; without one, all are listed" >&2
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
