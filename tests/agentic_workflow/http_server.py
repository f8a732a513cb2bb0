"""A running server on a port of its own, for clients that open connections."""

import asyncio
import threading
import time
from contextlib import contextmanager

from stillroom.agentic_workflow.http.server import make_server
from stillroom.agentic_workflow.serve_app import server_app


@contextmanager
def running_server(service, settings=None, app=None):
    """Serve in a thread; give the address."""
    from dataclasses import replace

    settings = replace(settings or service.settings, port=0)
    server = make_server(app or server_app(service, settings), service, settings)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
