"""A server on this machine that speaks as much of OpenAI's HTTP as the tests need."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FakeServer(ThreadingHTTPServer):
    """Answers the n-th request with the n-th reply; the last reply serves the rest."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, replies):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies = list(replies)
        self.requests, self.open, self.most_open = [], 0, 0
        self.lock = threading.Lock()

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request, client_address):
        """Say nothing: clients leave in the middle on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            number = len(server.requests)
            server.requests.append((self.path, dict(self.headers), body))
            server.open += 1
            server.most_open = max(server.most_open, server.open)
        try:
            server.replies[min(number, len(server.replies) - 1)](self)
        finally:
            with server.lock:
                server.open -= 1

    def start(self, status=200, kind="text/event-stream", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.close_connection = True

    def send(self, text):
        self.wfile.write(text.encode() if isinstance(text, str) else text)
        self.wfile.flush()

    def event(self, data):
        self.send(f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n")


@contextmanager
def serving(*replies):
    """Run a server in a thread."""
    server = FakeServer(replies)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def chat_chunk(text, logprob=None, reason=None, top=()):
    logprobs = None
    if logprob is not None:
        best = [{"token": name, "logprob": value} for name, value in top]
        logprobs = {"content": [{"token": text, "logprob": logprob, "top_logprobs": best}]}
    delta = {} if reason else {"role": "assistant", "content": text}
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
    return {"choices": [choice]}


def says(*texts, reason="stop", usage=(7, None), pause_s=0.0, done=True, logprob=-0.5):
    """Stream a chat answer."""

    def reply(handler):
        handler.start()
        handler.send(": a comment\n\n")
        for text in texts:
            handler.event(chat_chunk(text, logprob))
            time.sleep(pause_s)
        if reason:
            handler.event(chat_chunk("", reason=reason))
        if usage:
            asked, made = usage
            made = len(texts) if made is None else made
            counts = {"prompt_tokens": asked, "completion_tokens": made}
            handler.event({"choices": [], "usage": counts})
        if done:
            handler.event("[DONE]")

    return reply


def calls(*pieces, text="", reason="tool_calls"):
    """Stream tool calls: pairs of a name, mostly None, and a piece of arguments."""

    def reply(handler):
        handler.start()
        if text:
            handler.event(chat_chunk(text))
        number = -1
        for name, arguments in pieces:
            number += name is not None
            call = {"index": number, "function": {"name": name, "arguments": arguments}}
            handler.event({"choices": [{"delta": {"tool_calls": [call]}}]})
        handler.event({"choices": [{"delta": {}, "finish_reason": reason}]})
        handler.event("[DONE]")

    return reply


def refuses(status, message="no", **headers):
    """Answer with an error."""

    def reply(handler):
        handler.start(status, "application/json", **headers)
        handler.send(json.dumps({"error": {"message": message}}))

    return reply


def hangs(handler):
    """Begin an answer and go on until the client leaves."""
    handler.start()
    while True:
        handler.event(chat_chunk("x", -0.1))
        time.sleep(0.005)
