#!/usr/bin/env bash
# What one card does with a distillation step, the pretrained main job and serving, in at most eight minutes.
#
#     benchmarks/gpu.sh [OUTPUT]           needs CUDA and pip install -e '.[bench]'; default outputs/gpu
#     TINY=1 benchmarks/gpu.sh [OUTPUT]    the same way through on a CPU with toys, as the tests take it
#
# TEACHER names the pretrained model (default smollm2: stillroom models add smollm2), PYTHON the interpreter.
# Each part has its own limit and leaves PART.log, its results and a line in parts.tsv. A part that is cut off keeps
# what it had measured, and the next one starts; called again with the same OUTPUT, it goes on from there. The exit
# status is 1 where a part failed.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
out=${1:-outputs/gpu}
tiny=${TINY:-}
teacher=${TEACHER:-smollm2}
device=${tiny:+cpu}
device=${device:-cuda}
slack=$([ -n "$tiny" ] && echo 4 || echo 1) # a busy machine of two cores
mkdir -p "$out"
: >"$out/parts.tsv"
failed=0

part() { # NAME LIMIT_S COMMAND...
    local name=$1 limit=$(($2 * slack)) began=$SECONDS status word
    shift 2
    timeout --kill-after=5 "$limit" "$@" >"$out/$name.log" 2>&1
    status=$?
    case $status in 0) word=ok ;; 124 | 137) word="cut off at $limit s" ;; *) word="failed with $status" ;; esac
    [ "$status" -eq 0 ] || failed=1
    printf '%s\t%s\t%s\n' "$name" "$word" "$((SECONDS - began))" | tee -a "$out/parts.tsv"
}

machine() {
    if [ "$device" = cuda ]; then nvidia-smi || return 1; fi
    "$python" -c 'import sys, torch, transformers; print("torch", torch.__version__, "transformers", transformers.__version__)
sys.exit(sys.argv[1] == "cuda" and not torch.cuda.is_available())' "$device"
}
export -f machine
export python device

part machine 20 bash -c machine
[ "$failed" -eq 0 ] || { echo "no usable card; TINY=1 goes the same way on a CPU" >&2; exit 1; }

# The step against TRL: bf16, 8,192 supervised rows, a vocabulary of 151,936.
systems=(ce_rows cached online trl_gkd)
if [ -n "$tiny" ]; then
    part step 90 "$python" benchmarks/kd_peer --tiny --systems cached trl_gkd --threads 1 --resume --output "$out/step"
else
    "$python" -c 'import liger_kernel' 2>/dev/null && systems+=(liger_triton)
    part step 190 "$python" benchmarks/kd_peer --device cuda --few-gates --runs 1 --systems "${systems[@]}" \
        --resume --output "$out/step"
fi

# The pretrained main job: a teacher that is taught the table, its student, measured in people's own words.
data=examples/data/cheeses.csv
job=(--yes --no-controls --device "$device" --asked examples/data/cheeses_asked.csv)
if [ -n "$tiny" ]; then
    part starter 60 "$python" -m stillroom run --rows 12 --effort 0.01 --yes --no-controls --device cpu \
        --output-dir "$out/starter"
    teacher=$out/starter/teacher
    job+=(--rows 10 --effort 0.02 --teacher-least 0)
fi
part main_job 160 "$python" -m stillroom run --data "$data" --teacher "$teacher" "${job[@]}" --output-dir "$out/main_job"

# Serving: this project's engine, transformers, and vLLM where it is installed.
served=("$teacher")
[ -f "$out/main_job/student/config.json" ] && served=("$out/main_job/student" "$teacher")
sizes=(--callers 1 16 64)
[ -n "$tiny" ] && sizes=(--callers 1 2 --prompt-tokens 16 --tokens 4 --rounds 1)
part serving 100 "$python" benchmarks/serving_engines.py "${served[@]}" --device "$device" "${sizes[@]}" \
    --output "$out/serving.json"
exit "$failed"
