"""Put hostile bytes where a thread's state lies and read it; print what was imported or called.

python tests/agentic_workflow/hostile_payloads.py
"""

import json
import os
import pickle
import sqlite3
import sys
import tempfile
import warnings

import ormsgpack
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from stillroom.agentic_workflow.agent import AgenticWorkflow
from stillroom.agentic_workflow.threads.open_store import open_checkpointer
from stillroom.agentic_workflow.threads.serializer import HEADER, StrictSerializer
from stillroom.errors import StoredStateError
from stillroom.inference.chat.scripted_model import ScriptedModel

CONFIG = {"configurable": {"thread_id": "one"}}
WATCHED = (
    "import",
    "exec",
    "compile",
    "open",
    "os.",
    "subprocess.",
    "socket.",
    "pickle.",
    "shutil.",
)
MARK = os.path.join(tempfile.gettempdir(), "stillroom-hostile-mark")
CALLS = [
    ("os", "system", f"touch {MARK}"),
    ("subprocess", "Popen", ["touch", MARK]),
    ("builtins", "eval", "__import__('antigravity')"),
    ("builtins", "exec", "import this"),
    ("builtins", "open", MARK),
    ("importlib", "import_module", "antigravity"),
    ("pickle", "loads", pickle.dumps(print)),
    ("antigravity", "fly", ""),
    ("shutil", "rmtree", MARK),
    ("langchain_core.load.load", "loads", "{}"),
]


class Calls:
    def __reduce__(self):
        return os.system, (f"touch {MARK}",)


def ext(code, *content):
    return ormsgpack.packb(ormsgpack.Ext(code, ormsgpack.packb(list(content))))


def payloads():
    for module, name, argument in CALLS:
        yield ext(0, module, name, argument)
        yield ext(1, module, name, [argument])
        yield ext(2, module, name, {"x": argument})
        yield ext(3, module, name, argument, "__call__")
        yield ext(4, module, name, {"x": argument})
        yield ext(5, module, name, {"x": argument}, "model_validate_json")
        yield ext(1, f"{module}:{name}", argument)  # the form of our own tags
        yield ormsgpack.packb({"lc": 2, "type": "constructor", "id": [module, name]})
        lc1 = {"lc": 1, "type": "constructor", "id": [module, name], "kwargs": {"x": argument}}
        yield json.dumps(lc1, default=repr).encode()
    yield ext(6, "|O", [1], "C", b"12345678")
    yield ext(7, ["os", "system"])
    yield ext(1, "HumanMessage", {"content": {"not": ["a", "text"]}})
    yield ext(1, "HumanMessage", ["content"])
    yield ext(1, "Send", "one")
    yield ext(1, "timedelta", ["x"])
    yield ext(1, "Decimal", "1" * 10 + "x")
    yield ext(1, ["HumanMessage"], {})
    yield ext(1, "deque", [])
    yield ext(1, "int", "9" * 10_000)
    nested = ormsgpack.packb(1)
    for _ in range(3000):
        nested = ormsgpack.packb(ormsgpack.Ext(1, nested))
    yield nested
    yield pickle.dumps(Calls())
    yield b"\xdd\xff\xff\xff\xff"
    yield b"\x91" * 5000
    yield b""
    yield b"\xc1"
    yield ormsgpack.packb([1, 2])
    yield ormsgpack.packb({"id": 1})


def is_plain(payload):
    """Tell whether bytes are of our form and hold only texts, numbers, lists and dicts."""
    try:
        ormsgpack.unpackb(payload.removeprefix(HEADER))
    except ValueError:
        return False
    return payload.startswith(HEADER)


def main():
    warnings.simplefilter("ignore")
    events, watching = [], []

    def hook(event, arguments):
        if watching and event.startswith(WATCHED):
            events.append([event, repr(arguments)[:80]])

    folder = tempfile.mkdtemp()
    workflow = AgenticWorkflow(
        None,
        chat_model=ScriptedModel(lambda prompt: "Au"),
        checkpointer=open_checkpointer(f"sqlite:///{folder}/threads.db"),
    )
    workflow.run("q", thread_id="one")
    workflow.run("q", thread_id="one")
    workflow.graph.get_state(CONFIG)
    list(workflow.checkpointer.list(CONFIG, filter={"source": "loop"}))
    codec = StrictSerializer()
    codec.loads(codec.dumps([HumanMessage("x")]))
    database = sqlite3.connect(f"{folder}/threads.db", isolation_level=None)
    database.execute("PRAGMA synchronous=OFF")
    sys.addaudithook(hook)
    not_refused, tried = [], 0
    for payload in [form + payload for payload in payloads() for form in (b"", HEADER)]:
        for table, column in (
            ("checkpoints", "body"),
            ("checkpoints", "metadata"),
            ("writes", "body"),
        ):
            saved = database.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
            database.execute(f"UPDATE {table} SET {column} = ?", [payload])
            tried += 1
            watching.append(True)
            try:
                list(workflow.checkpointer.list(CONFIG, filter={"source": "loop"}))
                workflow.graph.get_state(CONFIG)
                if not is_plain(payload):
                    not_refused.append([table, column, repr(payload)[:80]])
            except StoredStateError:
                pass
            except (ValueError, NotImplementedError):  # LangChain's own: plain, but no message
                if not is_plain(payload):
                    raise
            finally:
                watching.clear()
            for rowid, value in saved:
                database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", [value, rowid])
    seen, events = events, []
    watching.append(True)
    JsonPlusSerializer().loads_typed(("msgpack", ext(0, "antigravity", "fly", "")))
    watching.clear()
    report = {
        "tried": tried,
        "events": seen,
        "not_refused": not_refused,
        "seen_by_langgraph": len(events),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
