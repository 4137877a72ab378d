"""Pages for this machine's own user: bound to 127.0.0.1, and deaf to what other sites make a browser ask."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pagetune.errors import MissingExtra, PagetuneError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost", "::1")
"""What this machine may be called; at any port, since a tunnel (ssh -L) has its own."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
"""With every answer: nothing from elsewhere, and shown inside no other page."""


def refusal(headers: Mapping[str, str]) -> str | None:
    """Why a request with these headers (their names in lower case) is not answered; None where it is.

    Host: another name that leads here belongs to somebody else's page (DNS rebinding). Origin and Sec-Fetch-Site: what
    a browser says of a request that another site's page made.
    """
    host = headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        name = None
    if name not in NAMES:
        return f"Host {host!r} is not this machine; open http://{HOST}"
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return f"Origin {origin!r} is another site"
    site = headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none"):
        return f"Sec-Fetch-Site {site!r} is another site"
    return None


class LocalOnly:
    """ASGI: `app` behind `refusal`, its answers with `HEADERS`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.datastructures import Headers, MutableHeaders
        from starlette.responses import JSONResponse

        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        why = refusal(Headers(scope=scope))
        answer = self.app if why is None else JSONResponse({"error": why}, 403)
        await answer(scope, receive, with_headers)


def open_socket(port: int) -> socket.socket:
    """A socket on 127.0.0.1; port 0: any free one. Raises PagetuneError where the port is taken."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        # Who is told the address is not turned away while the server starts.
        found.listen()
    except OSError as error:
        found.close()
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise PagetuneError(
            f"port {port} of {HOST} is not to be had ({error.strerror}); give another, or --port 0 for any free one"
        ) from None
    return found


def serve(app: Any, listening: socket.socket) -> None:
    """Answer until Ctrl-C."""
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", lifespan="off", server_header=False)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        listening.close()


def require() -> None:
    """Raise MissingExtra where the libraries of the server are not installed."""
    from importlib.util import find_spec

    for library in ("starlette", "uvicorn"):
        if find_spec(library) is None:
            raise MissingExtra(library, "serve", "a page in the browser")
