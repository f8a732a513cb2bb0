"""Kill a process at random points of its turns, again and again, and count what is left.

    python tests/agentic_workflow/thread_killed_run.py sqlite:////tmp/threads.db 200 0

Each point is a child process that takes turns in a thread and acknowledges each one on a pipe once
`run` has returned. Half of the children are killed a random time after a random turn; the other
half kill themselves before a statement reaches the database, one statement later each time, so that
every place within a commit gets its share. The next child goes on with the same thread. Prints one
line of JSON.
"""

import json
import os
import random
import signal
import sys
import time

from stillroom.agentic_workflow.agent import AgenticWorkflow
from stillroom.agentic_workflow.threads.open_store import open_checkpointer
from stillroom.inference.chat.scripted_model import ScriptedModel

TURNS_EACH = 6
POINTS_PER_THREAD = 10
STATEMENTS_PER_TURN = 16


def answer(prompt):
    return f"answer to {prompt.split('Question: ')[1].split()[0]}"


def open_workflow(url):
    # A short lease: what a killed child leaves behind must run out before the next one goes on.
    saver = open_checkpointer(url, lease_s=0.15, wait_s=60)
    workflow = AgenticWorkflow(None, chat_model=ScriptedModel(answer), checkpointer=saver)
    workflow.add_node("pause", lambda state: time.sleep(0.002))
    return workflow, saver


def take_turns(url, thread_id, first, kill_at, acknowledge):
    workflow, saver = open_workflow(url)
    if kill_at is not None:
        count_down = iter(range(kill_at, -1, -1))

        def trace(statement):
            if next(count_down) == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        saver.store.database._connection.set_trace_callback(trace)
    for number in range(first, first + TURNS_EACH):
        workflow.run(f"q{number}", thread_id=thread_id)
        os.write(acknowledge, f"{number}\n".encode())


def run_point(url, thread_id, first, rng, kill_at):
    """Run one child to its end; give the turns it acknowledged."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        status = 1
        try:
            take_turns(url, thread_id, first, kill_at, write)
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as pipe:
        lines = []
        if kill_at is None:
            lines = [pipe.readline() for _ in range(rng.randrange(TURNS_EACH))]
            # A turn takes some 0.02 s; the first one comes after the child has connected.
            time.sleep(rng.uniform(0, 0.02 if lines else 0.3))
            os.kill(child, signal.SIGKILL)
        acknowledged = [int(line) for line in [*lines, *pipe] if line.strip()]
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL), "a child failed by itself"
    return acknowledged, os.WIFSIGNALED(status)


def stored_turns(url, thread_id):
    """Read the thread back; give its turns, and what is not as it should be."""
    workflow, saver = open_workflow(url)
    state = workflow.graph.get_state({"configurable": {"thread_id": thread_id}})
    texts = [message.text for message in state.values.get("messages", [])]
    saver.close()
    turns, faults = [], []
    for question, reply in zip(texts[::2], texts[1::2], strict=False):
        if reply != f"answer to {question}":
            faults.append(f"half a turn: {question!r}, {reply!r}")
        turns.append(int(question[1:]))
    if len(texts) % 2:
        faults.append(f"half a turn at the end: {texts[-1]!r}")
    if turns != sorted(set(turns)):
        faults.append(f"turns out of order or twice: {turns}")
    if texts and (state.values["query"], state.values["results"]) != (texts[-2], texts[-1:]):
        faults.append(f"half a turn: {state.values['query']!r} beside {texts[-2:]}")
    if state.next:
        faults.append(f"a turn is half way, at {state.next}")
    return turns, faults


def main():
    url, points, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    total = {"points": 0, "killed": 0, "acknowledged": 0, "stored": 0, "lost": [], "faults": []}
    for point in range(points):
        if point % POINTS_PER_THREAD == 0:
            thread_id, first, acknowledged = f"thread {point}", 0, []
        by_statement = url.startswith("sqlite") and (points < 100 or point % 2 == 1)
        step = point if points < 100 else point // 2
        kill_at = step % (3 * STATEMENTS_PER_TURN) + 1 if by_statement else None
        new, killed = run_point(url, thread_id, first, rng, kill_at)
        acknowledged += new
        first += TURNS_EACH
        turns, faults = stored_turns(url, thread_id)
        total["points"] += 1
        total["killed"] += killed
        total["acknowledged"] += len(new)
        total["lost"] += sorted(set(acknowledged) - set(turns))
        total["faults"] += faults
        total["stored"] += sum(turn >= first - TURNS_EACH for turn in turns)
    print(json.dumps(total))


if __name__ == "__main__":
    main()
