"""How does a rule stand behind the real wire? A small OpenAI-compatible server on this machine, in a thread of its own.

>>> with RuleServer(RuleExplainer().reply) as server:
...     ...  # autointerp run … --model openai/rule --base-url {server.url}
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Message = dict[str, Any]


class RuleServer:
    """Answers ``/v1/chat/completions``; ``url`` ends in /v1.

    Parameters
    ----------
    reply : from a request's body to the assistant's message; called from several threads
    count : tokens of a text, for ``usage``

    ``bodies`` holds all requests, in the order of arrival.
    """

    def __init__(self, reply: Callable[[dict[str, Any]], Message], count: Callable[[str], int] = len):
        self.bodies: list[dict[str, Any]] = []
        rules = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                rules.bodies.append(body)
                message = reply(body)
                called = bool(message.get("tool_calls"))
                usage = {
                    "prompt_tokens": count(read_by_model(body)),
                    "completion_tokens": count(str(message.get("content") or message.get("tool_calls"))),
                }
                choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if called else "stop"}
                said = {
                    "id": f"rule-{len(rules.bodies)}",
                    "object": "chat.completion",
                    "created": 0,
                    "model": body["model"],
                    "choices": [choice],
                    "usage": usage | {"total_tokens": sum(usage.values())},
                }
                data = json.dumps(said).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: requests are in ``bodies``."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> RuleServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def read_by_model(body: dict[str, Any]) -> str:
    """All that a model reads of a request: its messages, the form of the reply, the tools."""
    said = [str(one.get("content") or one.get("tool_calls") or "") for one in body["messages"]]
    return "\n".join([*said, json.dumps(body.get("response_format", {})), json.dumps(body.get("tools", []))])
