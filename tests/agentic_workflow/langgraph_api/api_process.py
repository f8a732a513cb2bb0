"""One API process over a shared database: `python api_process.py URL BARRIER`; prints its port.

A question with the word "wait" waits in a node while the file BARRIER is there.
"""

import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

import uvicorn
from served_workflows import FAST, application, scripted
from stillroom.agentic_workflow.threads.open_store import open_checkpointer


def main(url, barrier):
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
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)
        await serving

    asyncio.run(run())


if __name__ == "__main__":
    main(*sys.argv[1:])
