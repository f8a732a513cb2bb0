"""A pipeline to be killed: python pipeline_child.py ARTIFACTS CACHE ADDRESS ROWS MIN_CHARS

Loads rows, asks the model, filters by length; the run is called `run`.
"""

import sys

from stillroom.errors import LabelingStoppedError
from stillroom.pipeline.records import (
    FilterByBool,
    LoadDataFromDicts,
    OpenAILLM,
    Pipeline,
    RuleFilter,
    TextGeneration,
    WriteManifest,
)


def build(cache, address, rows, min_chars, **gateway):
    data = [{"task_id": f"t{n}", "instruction": f"ask {n}"} for n in range(rows)]
    chosen = {"max_attempts": 8, "request_timeout_s": 2.0, "honours_idempotency": True, **gateway}
    llm = OpenAILLM(model="tiny", base_url=address, gateway=chosen)
    with Pipeline(name="taught", cache_dir=cache) as pipeline:
        load = LoadDataFromDicts(data=data)
        teacher = TextGeneration(name="teacher", llm=llm, input_batch_size=20)
        rules = RuleFilter(name="rules", min_chars=min_chars)
        (
            load
            >> teacher
            >> rules
            >> FilterByBool(name="kept")
            >> WriteManifest(stage="distilled", sample_id_field="task_id")
        )
    return pipeline


if __name__ == "__main__":
    artifacts, cache, address, rows, min_chars = sys.argv[1:]
    pipeline = build(cache, address, int(rows), int(min_chars))
    try:
        pipeline.run(artifacts_dir=artifacts, run_id="run", rows_per_shard=50)
    except LabelingStoppedError as fault:
        sys.exit(f"stopped: {fault}")
