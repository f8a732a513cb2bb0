"""API processes over a shared database: `python api_process.py URL BARRIER`.

Each line of its input starts a process, whose id and port it prints. They are forks, so that the
imports are paid for once; they end with the input.

A question with the word "wait" waits in a node while the file BARRIER is there.
"""

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import uvicorn
from served_workflows import FAST, application, scripted
from stillroom.agentic_workflow.threads.open_store import open_checkpointer


def serve(url, barrier):
    saver = open_checkpointer(url, lease_s=1.0)
    workflow = scripted(saver)

    def gate(state):
        while "wait" in state["query"] and Path(barrier).exists():
            time.sleep(0.02)
        return {"context": "passed"}

    workflow.add_node("gate", gate)
    settings = replace(FAST, lease_s=2.0)
    app = application({"qa": workflow}, settings)
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", 0, log_level="warning"))

    async def run():
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        print(os.getpid(), port, flush=True)
        await serving

    asyncio.run(run())


def main(url, barrier):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that were killed
    started = []
    while sys.stdin.readline():
        started.append(os.fork())
        if started[-1] == 0:
            try:
                serve(url, barrier)
            finally:
                os._exit(1)
    for child in started:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
