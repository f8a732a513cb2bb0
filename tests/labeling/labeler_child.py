"""A labeller to be killed: python labeler_child.py <folder> <address> <records> [in_doubt]"""

import sys
from pathlib import Path

from stillroom.files import write_json
from stillroom.labeling.batch.label_run import LabelSettings
from stillroom.labeling.batch.labeler import BatchLabeler, LabelTask
from stillroom.labeling.teachers.openai_http import RemoteTeacher

folder, address, count, *rest = sys.argv[1:]
settings = LabelSettings(
    concurrency=8, backoff_s=0.002, max_attempts=8, in_doubt=rest[0] if rest else "ask"
)
teacher = RemoteTeacher("tiny", base_url=address, timeout_s=0.25)
tasks = [LabelTask(str(n), f"record {n}") for n in range(int(count))]
run = BatchLabeler(teacher, folder, settings=settings).run(tasks)
write_json(
    Path(folder) / "outcome.json",
    [
        {
            "id": one.task.id,
            "text": one.answer and one.answer.text,
            "fault": one.fault and one.fault.kind,
        }
        for one in run.results
    ],
)
