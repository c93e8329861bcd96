from __future__ import annotations

import http.server
import threading
from typing import Any

from components.check import find_differences
from tests.unit.shipped import shipped_program


def test_nodes_with_the_same_messaging_options_are_equal() -> None:
    assert find_differences({"a": {"x.y": "1", "x.z": "2"}, "b": {"x.z": "2", "x.y": "1"}}) == []


def test_the_node_that_differs_from_most_is_named_with_the_option() -> None:
    nodes = {"a": {"x.y": "1"}, "b": {"x.y": "2"}, "c": {"x.y": "1"}}
    assert find_differences(nodes) == ["x.y on b differs from the other nodes"]


def test_an_option_that_one_node_does_not_have_differs() -> None:
    assert find_differences({"a": {"x.y": "1"}, "b": {"x.y": "1"}, "c": {}}) == [
        "x.y on c differs from the other nodes"
    ]


class LowerCase(http.server.BaseHTTPRequestHandler):
    """Keystone behind a proxy that writes headers in lower case, as HAProxy does."""

    def do_POST(self) -> None:
        self.send_response(201)
        self.send_header("x-subject-token", "a-token")
        self.end_headers()
        self.wfile.write(b'{"token": {"project": {"id": "a-project"}}}')

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def test_a_token_is_found_however_keystones_proxy_writes_its_header() -> None:
    program = shipped_program("proxy/check_proxy.py")
    login = dict.fromkeys(("user", "password", "project", "domain", "domain_id", "project_domain"), "")
    with http.server.HTTPServer(("127.0.0.1", 0), LowerCase) as keystone:
        threading.Thread(target=keystone.handle_request, daemon=True).start()
        received = program.token(f"http://127.0.0.1:{keystone.server_port}", "", {**login, "project_domain_id": ""})
    assert received == ("a-token", "a-project")
