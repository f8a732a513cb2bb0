#!/usr/bin/env bash
# From articles to a student with a report, in one file of commands: the requests of banking77
# (../shared/data/banking77) as a filter of three dimensions and four tiers, labelled by a scripted
# oracle with a noise of one point (benchmarks/filters/banking77_filter.py says how).
#
#     examples/filter_banking77.sh [WORK_FOLDER [LABELS]]        # 2500 labels: minutes on two cores
set -euo pipefail
work=${1:-banking77_filter}
labels=${2:-2500}
here=$(dirname "$0")
filter=$work/request_triage/v1
data=$work/labels/request_triage

python "$here/../benchmarks/filters/banking77_filter.py" write --folder "$work"
python "$here/../benchmarks/filters/banking77_filter.py" serve --port 8123 &
trap 'kill %1' EXIT
until curl --silent --output /dev/null http://127.0.0.1:8123/v1/models; do sleep 0.2; done

stillroom filter verify "$filter"
stillroom filter label "$filter" --source "$work/articles.jsonl" --output-dir "$work/labels" \
    --teacher http://127.0.0.1:8123/v1 --model scripted --target-count "$labels" --random-sample
stillroom filter merge "$filter" --input "$data/*_batch_*.jsonl" --output "$work/all.jsonl"
stillroom filter analyze "$filter" --input "$work/all.jsonl" --plot "$work/tiers.png"
stillroom filter split "$filter" --input "$work/all.jsonl" --output-dir "$work/splits" \
    --train-ratio 0.6 --val-ratio 0.1 --test-ratio 0.3

stillroom filter train --filter "$filter" --data-dir "$work/splits" --output-dir "$work/students" \
    --student tfidf,frozen
for student in tfidf frozen; do
    stillroom filter evaluate "$filter" --labels "$work/splits/test.jsonl" \
        --train "$work/splits/train.jsonl" --model "$work/students/$student" \
        --report "$work/report_$student"
done

stillroom filter probe --filter "$filter" --data-dir "$work/splits" --objective recall \
    --target-fn 0.02 --recall-check-file "$work/splits/test.jsonl"
stillroom filter score --filter "$filter" --student "$work/students/frozen" --compare \
    --input "$work/splits/test.jsonl" --output "$work/scored.jsonl"
