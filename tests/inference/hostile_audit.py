"""Load every hostile folder under Python's own audit and print what was done while refusing.

    python tests/inference/hostile_audit.py GOOD_FOLDER WORK_FOLDER

A process of its own, because an audit hook cannot be taken out again.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import sys
import time
from pathlib import Path

from hostile_cases import CASES, IGNORED
from hostile_changes import Bomb
from stillroom.errors import CheckpointError
from stillroom.inference.checkpoints.load_student import load_checkpoint

WATCHED = (
    "socket.", "subprocess.", "os.", "shutil.", "pty.", "pickle.", "marshal.", "ctypes.",
    "urllib.", "http.", "exec", "compile", "import", "open", "tempfile.", "webbrowser.",
)  # fmt: skip
HARMLESS = ("os.scandir", "os.listdir", "os.walk", "os.fwalk")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC

events: list[str] = []
watching = False


def audit(event, args):
    if not watching or not event.startswith(WATCHED) or event in HARMLESS:
        return
    if event == "open" and not (isinstance(args[2], int) and args[2] & WRITING):
        return
    events.append(f"{event} {args[0] if args else ''}"[:200])


def under_audit(action):
    """Do something; give what it did, its error and the CPU seconds it took."""
    global watching
    events.clear()
    fault = None
    start = time.process_time()
    watching = True
    try:
        action()
    except CheckpointError as error:
        fault = str(error)
    finally:
        watching = False
    return {"events": list(events), "fault": fault, "cpu_s": time.process_time() - start}


def control(folder):
    """Do what no folder may: proof that the hook sees it."""
    import socket

    pickle.loads(pickle.dumps(Bomb(folder / "control")))
    socket.socket().close()
    exec("1 + 1")


def main(good: Path, work: Path) -> None:
    ready = shutil.copytree(good, work / "ready")  # everything that is imported late is in by now
    load_checkpoint(ready)
    for name in ("run.json", "tokenizer_check.json"):
        (ready / name).unlink()
    (ready / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.role + '\\n' }}{% endfor %}"
    )
    load_checkpoint(ready)
    folders = {}
    changes = {**{case: change for case, (change, _) in CASES.items()}, **IGNORED}
    for number, (case, change) in enumerate(changes.items()):
        folders[case] = shutil.copytree(good, work / str(number) / "model")
        change(folders[case])
    sys.addaudithook(audit)
    seen = {"control": under_audit(lambda: control(work))}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for case, folder in folders.items():
        seen[case] = {**under_audit(lambda f=folder: load_checkpoint(f)), "folder": str(folder)}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"cases": seen, "grown_kib": grown}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
