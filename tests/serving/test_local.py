"""Which requests a page of this machine answers."""

from __future__ import annotations

import socket

import pytest

from pagetune.errors import PagetuneError
from pagetune.serving.local import open_socket, refusal

OWN = {"host": "127.0.0.1:8765"}


@pytest.mark.parametrize(
    "headers",
    [
        OWN,
        {"host": "localhost:9000"},
        {"host": "[::1]:8765"},
        OWN | {"origin": "http://127.0.0.1:8765", "sec-fetch-site": "same-origin"},
        OWN | {"sec-fetch-site": "none"},
    ],
)
def test_its_own_page_is_answered(headers: dict[str, str]) -> None:
    assert refusal(headers) is None


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "Host ''"),
        ({"host": "evil.example:8765"}, "Host 'evil.example:8765'"),
        ({"host": "127.0.0.1.evil.example"}, "Host"),
        ({"host": "[::1"}, "Host"),
        (OWN | {"origin": "http://evil.example"}, "Origin 'http://evil.example'"),
        (OWN | {"origin": "null"}, "Origin 'null'"),
        (OWN | {"origin": "http://127.0.0.1:9999"}, "Origin"),
        (OWN | {"origin": "https://127.0.0.1:8765"}, "Origin"),
        (OWN | {"sec-fetch-site": "cross-site"}, "Sec-Fetch-Site"),
        (OWN | {"sec-fetch-site": "same-site"}, "Sec-Fetch-Site"),
    ],
)
def test_others_are_refused(headers: dict[str, str], says: str) -> None:
    assert says in (refusal(headers) or "")


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PagetuneError, match="--port 0") as caught:
        open_socket(taken.getsockname()[1])
    assert "\n" not in str(caught.value)
    with open_socket(0) as free:
        assert free.getsockname()[0] == "127.0.0.1"
