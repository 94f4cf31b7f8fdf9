"""A real HTTP server of the OpenAI chat form that writes what a test tells it to, well or badly."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Chat:
    """What the server does: `says` it whole or streamed; or fails with each of `statuses` in turn before that."""

    says: str = ""
    streamed: bool = True
    statuses: list[int] = field(default_factory=list[int])
    ends: bool = True
    """Whether the stream is brought to its end."""
    slow: threading.Event | None = None
    """What it waits for before it answers."""
    raw: bytes | None = None
    heard: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    keys: list[str | None] = field(default_factory=list[str | None])
    url: str = ""


@contextmanager
def running_chat(chat: Chat) -> Generator[Chat]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            chat.heard.append(json.loads(body))
            chat.keys.append(self.headers.get("authorization"))
            if chat.slow is not None:
                chat.slow.wait(30)
            try:
                self._answer()
            except (BrokenPipeError, ConnectionResetError):
                return

        def _answer(self) -> None:
            status = chat.statuses.pop(0) if chat.statuses else 200
            self.send_response(status)
            if chat.streamed and status == 200 and chat.raw is None:
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                for start in range(0, len(chat.says), 7):
                    self._send({"choices": [{"delta": {"content": chat.says[start : start + 7]}}]})
                if chat.ends:
                    self.wfile.write(b": comment\n\ndata: [DONE]\n\n")
                return
            whole = json.dumps({"choices": [{"message": {"content": chat.says}, "finish_reason": "stop"}]}).encode()
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(whole if chat.raw is None else chat.raw)

        def _send(self, data: Any) -> None:
            self.wfile.write(f"data: {json.dumps(data)}\n\n".encode())
            self.wfile.flush()

        def log_message(self, format: str, *arguments: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever, args=(0.05,))
    serving.start()
    chat.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield chat
    finally:
        if chat.slow is not None:
            chat.slow.set()
        server.shutdown()
        serving.join()
        server.server_close()
