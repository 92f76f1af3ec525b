"""An HTTP server that speaks OpenAI's protocol and misbehaves in the ways of real ones."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = ("429", "500", "hang", "html", "no choices", "half")


class LanguageModelServer:
    """Answers each prompt with a sentence that names its labels, unless a fault is due.

    `fault(number)` names the fault of a request, or is the body of its refusal; '' for none;
    `answer(prompt, number)` gives the text.
    """

    def __init__(self) -> None:
        self.fault: Callable[[int], str | dict[str, Any]] = lambda number: ""
        self.answer: Callable[[str, int], str] = sentence
        # Where it is set, the whole message and why it ended.
        self.message: Callable[[str, int], tuple[dict[str, Any], str]] | None = None
        self.reports_usage = True
        self.seconds = 0.0
        self.headers: dict[str, str] = {}
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.authorizations: list[str | None] = []
        self.answered: Counter[str] = Counter()
        self.most_in_flight = 0
        self._in_flight = 0
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Without it the small packets of header and body wait for each other.
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_POST(self) -> None:
                server.handle(self)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._lock:
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            number = len(self.requests)
            self.requests.append(body)
            self.paths.append(handler.path)
            self.authorizations.append(handler.headers["Authorization"])
        time.sleep(self.seconds)
        # Before the answer goes out, because the client's next request may be here before the next line.
        with self._lock:
            self._in_flight -= 1
        fault = self.fault(number)
        if fault:
            self._fail(handler, fault)
            return
        prompt = body["prompt"] if "prompt" in body else body["messages"][0]["content"]
        with self._lock:
            self.answered[prompt] += 1
        self.send(handler, 200, json.dumps(self._completion(body, prompt, number)))

    def send(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        body: str,
        kind: str = "application/json",
        **headers: str,
    ) -> None:
        handler.send_response(status)
        for name, value in (self.headers | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Type", kind)
        content = body.encode()
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def _completion(self, body: dict[str, Any], prompt: str, number: int) -> dict[str, Any]:
        if self.message is not None:
            message, reason = self.message(prompt, number)
            return {"choices": [{"message": message, "finish_reason": reason}], "usage": {"total_tokens": 30}}
        text = self.answer(prompt, number)
        message = {"text": text} if "prompt" in body else {"message": {"content": text}}
        completion = {"choices": [message | {"finish_reason": "stop"}]}
        if self.reports_usage:
            completion["usage"] = {"total_tokens": 30}
        return completion

    def _fail(self, handler: BaseHTTPRequestHandler, fault: str | dict[str, Any]) -> None:
        if isinstance(fault, dict):
            self.send(handler, fault["error"]["status"], json.dumps(fault))
            return
        # Servers like to repeat what they were sent.
        echo = f"You sent {handler.headers['Authorization']}"
        error = json.dumps({"error": {"message": echo}})
        if fault == "hang":
            handler.connection.recv(1)  # until the client gives up
            handler.close_connection = True
        elif fault == "html":
            self.send(handler, 200, f"<html><body>{echo}</body></html>", "text/html")
        elif fault == "no choices":
            self.send(handler, 200, json.dumps({"choices": [], "note": echo}))
        elif fault == "half":
            handler.send_response(200)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", "500")
            handler.end_headers()
            handler.wfile.write(f'{{"note": "{echo}", "choices": [{{"mess'.encode())
            handler.close_connection = True
        elif fault == "cut JSON":
            self.send(handler, 200, f'{{"note": "{echo}", "choices": [{{"mess')
        elif fault == "error in 200":
            self.send(handler, 200, error)
        elif fault in ("empty", "silent"):
            reason = "length" if fault == "empty" else "stop"
            completion = {"choices": [{"message": {"content": " "}, "finish_reason": reason}]}
            self.send(handler, 200, json.dumps(completion))
        elif fault == "broke":
            body = {"error": {"message": "No credit left", "code": "insufficient_quota"}}
            self.send(handler, 429, json.dumps(body))
        else:
            headers = {"Retry_After": "0"} if fault == "429" else {}
            self.send(handler, int(fault), error, **headers)


def sentence(prompt: str, number: int) -> str:
    """A sentence with the names that a prompt ends with, unlike any other."""
    return f"A photo of {prompt.rpartition('contains ')[2]} in room {number}."


@contextmanager
def running_server() -> Iterator[LanguageModelServer]:
    """Run a server on a port of its own."""
    server = LanguageModelServer()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()
