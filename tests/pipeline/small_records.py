"""Twenty instructions, files of JSON, and a server that answers as each job's teacher should."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = ("gold", "iron", "zinc", "lead", "neon", "tin", "salt", "coal", "milk", "snow")
SECRET = "sk-never-written-42"


def instructions(count=20):
    """Two kinds of instruction, one of them with an input."""
    made = [
        {"instruction": "Say it twice.", "input": word, "output": f"{word} {word}"}
        for word in WORDS
    ]
    made += [
        {"instruction": f"Name {n} things.", "input": "", "output": " ".join(WORDS[:n])}
        for n in range(1, 11)
    ]
    return made[:count]


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return str(path)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._send({"data": [{"id": "judge"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append(body["messages"])
            self.server.keys.add(self.headers.get("Authorization"))
        said = self.server.reply(body["messages"][-1]["content"])
        message = {"role": "assistant", "content": said}
        self._send({"model": "judge", "choices": [{"message": message, "finish_reason": "stop"}]})

    def _send(self, value):
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def teacher_server(reply):
    """Serve `reply(last user turn)`; `asked` holds the messages, `keys` the keys that were sent."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.reply, server.asked, server.keys, server.lock = reply, [], set(), threading.Lock()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
