"""Pictures from the web: http and https, public addresses only, within a time and a size, kept on disk.

A dataset names addresses that somebody else wrote, so none may reach into the network that training runs in. Every
name is resolved here, every address it stands for must be public, and the connection goes to the address that was
judged, not to what the name may mean a moment later; the same for every redirect.
"""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from pagetune.errors import DataError
from pagetune.workspace import write_atomically

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAFE = "/%:=&?~#+!$,;'@()*[]"
_BLOCK = 1 << 16


def cache_folder() -> Path:
    """Where fetched pictures are kept: PAGETUNE_CACHE, else the user's cache folder."""
    given = os.environ.get("PAGETUNE_CACHE")
    if given:
        return Path(given) / "pictures"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pagetune" / "pictures"


def is_public(address: Address) -> bool:
    """Whether an address is of the open internet, an address inside an IPv6 one included."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if any(one is not None and not is_public(one) for one in inner):
            return False
        if address.ipv4_mapped is not None:
            return True
    return address.is_global and not address.is_multicast


def resolve(host: str, port: int) -> list[str]:
    """All addresses that a name stands for, as this machine sees it. Raises OSError."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True)
class Fetcher:
    """Gets pictures. `timeout` is in seconds and for the whole of one address; `allowed` judges each address."""

    cache: Path = field(default_factory=cache_folder)
    timeout: float = 20.0
    max_bytes: int = 32 << 20
    max_redirects: int = 5
    allowed: Callable[[Address], bool] = is_public
    resolve: Callable[[str, int], Sequence[str]] = resolve

    def fetch(self, url: str, where: str = "picture", check: Callable[[bytes], object] = bool) -> Path:
        """The file that holds what the address gave, from the cache where it was fetched before.

        `check` sees the bytes before they are kept, and may raise. Raises DataError, which begins with `where`.
        """
        digest = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
        path = self.cache / digest[:2] / digest
        if not path.exists():
            content = self._get(url, f"{where} {url!r}")
            check(content)
            write_atomically(path, content)
        return path

    def _get(self, url: str, label: str) -> bytes:
        target = url
        for _ in range(self.max_redirects + 1):
            found = self._once(target, label if target == url else f"{label} (redirected to {target!r})")
            if isinstance(found, bytes):
                return found
            target = urljoin(target, found)
        raise DataError(f"{label} redirects more than {self.max_redirects} times; give the last address")

    def _once(self, url: str, label: str) -> bytes | str:
        """One request: the content, or the address it redirects to."""
        parts, host, port = _parts(url, label)
        connection = _Pinned(host, port, self._address(host, port, label), self.timeout, parts.scheme == "https")
        # A socket's own timeout counts anew with every byte; this one ends a server that drips.
        watchdog = threading.Timer(self.timeout, connection.cut)
        watchdog.daemon = True
        watchdog.start()
        try:
            path = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
            connection.request("GET", path, headers={"User-Agent": "pagetune", "Accept-Encoding": "identity"})
            response = connection.getresponse()
            location = response.getheader("Location")
            if response.status in _REDIRECTS and location:
                return location
            if response.status != 200:
                raise DataError(f"{label} was answered with {response.status} {response.reason}; correct the address")
            return self._read(response, label)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if connection.was_cut or isinstance(error, TimeoutError):
                raise DataError(f"{label} took more than {self.timeout:g} s; try again or keep a copy") from None
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{label} cannot be fetched: {reason}; correct the address or try again") from None
        finally:
            watchdog.cancel()
            connection.close()

    def _read(self, response: http.client.HTTPResponse, label: str) -> bytes:
        announced = response.length
        parts: list[bytes] = []
        size = 0
        while size <= self.max_bytes and (announced or 0) <= self.max_bytes:
            block = response.read1(_BLOCK)
            if not block:
                if announced is not None and size < announced:
                    raise http.client.HTTPException(f"it ended after {size} of {announced} bytes")
                return b"".join(parts)
            parts.append(block)
            size += len(block)
        raise DataError(f"{label} is of {max(size, announced or 0)} bytes or more, above {self.max_bytes}; shrink it")

    def _address(self, host: str, port: int, label: str) -> str:
        try:
            found = list(self.resolve(host, port))
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise DataError(f"{label} cannot be fetched: {host!r}: {reason}; correct the address") from None
        for text in found:
            if not self.allowed(ipaddress.ip_address(text)):
                raise DataError(
                    f"{label} leads to {text}, which is not a public address; keep a copy and give its path"
                )
        if not found:
            raise DataError(f"{label} cannot be fetched: {host!r} has no address; correct it")
        return found[0]


class _Pinned(http.client.HTTPConnection):
    """A connection to a name at one given address."""

    def __init__(self, host: str, port: int, address: str, timeout: float, secure: bool) -> None:
        super().__init__(host, port, timeout=timeout)
        self.default_port = 443 if secure else 80
        self.was_cut = False
        self._address = address
        self._context = ssl.create_default_context() if secure else None
        self._open: socket.socket | None = None

    def connect(self) -> None:
        self.sock = self._open = socket.create_connection((self._address, self.port), self.timeout)
        if self._context is not None:
            self.sock = self._open = self._context.wrap_socket(self.sock, server_hostname=self.host)
        if self.was_cut:
            raise TimeoutError

    def cut(self) -> None:
        """End it from another thread."""
        self.was_cut = True
        if self._open is not None:
            with suppress(OSError):
                self._open.shutdown(socket.SHUT_RDWR)


def _parts(url: str, label: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode("ascii") if parts.hostname else ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except (ValueError, UnicodeError):
        raise DataError(f"{label} is not an address; correct it") from None
    if parts.scheme not in ("http", "https"):
        raise DataError(f"{label}: {parts.scheme!r} is not fetched, only http and https; give one of them or a path")
    if not host:
        raise DataError(f"{label} names no host; correct it")
    if parts.username is not None or parts.password is not None:
        raise DataError(f"{label} holds a user name; give an address that needs none")
    return parts, host, port
