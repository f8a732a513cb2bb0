"""A labeller in batches, to be killed: python batch_child.py <folder> <address> <records>"""

import sys
from pathlib import Path

from stillroom.files import write_json
from stillroom.labeling.batch.batch_loop import BatchEndpoint
from stillroom.labeling.batch.label_run import LabelSettings
from stillroom.labeling.batch.labeler import BatchLabeler, LabelTask
from stillroom.labeling.teachers.openai_http import RemoteTeacher

folder, address, count = sys.argv[1:]
labeler = BatchLabeler(
    RemoteTeacher("tiny", base_url=address),
    folder,
    settings=LabelSettings(backoff_s=0.002),
    batch_endpoint=BatchEndpoint(poll_s=0.01, most_requests=7),
)
run = labeler.run([LabelTask(str(n), f"record {n}") for n in range(int(count))])
write_json(
    Path(folder) / "outcome.json",
    [{"id": one.task.id, "text": one.answer and one.answer.text} for one in run.results],
)
