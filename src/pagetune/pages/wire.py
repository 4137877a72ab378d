"""How the parent and its workers talk: JSON and raw bytes over a socket, and nothing that could run code.

A worker has opened a file that nobody trusts; pickles from it would hand the parent to whoever took the worker over.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

MAX_FRAME = 2 << 30
"""Bytes; a frame that claims to be larger is a broken worker."""

_HEAD = struct.Struct("<I")


class BrokenWire(Exception):
    """The other side has gone, or does not speak the protocol."""


def send(wire: socket.socket, message: dict[str, Any], blobs: Sequence[bytes | memoryview] = ()) -> None:
    """Send one message with its raw parts."""
    head = json.dumps({**message, "blobs": [len(blob) for blob in blobs]}).encode("ascii")
    wire.sendall(_HEAD.pack(len(head)) + head)
    for blob in blobs:
        wire.sendall(blob)


def receive(wire: socket.socket) -> tuple[dict[str, Any], list[bytearray]]:
    """Receive one message with its raw parts. Raises BrokenWire, and TimeoutError if the socket has a timeout."""
    (length,) = _HEAD.unpack(_read(wire, _HEAD.size))
    if length > MAX_FRAME:
        raise BrokenWire(f"a message of {length} bytes")
    try:
        message = json.loads(bytes(_read(wire, length)))
        sizes = message.pop("blobs")
        if sum(sizes) > MAX_FRAME or min(sizes, default=0) < 0:
            raise BrokenWire(f"parts of {sizes} bytes")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenWire(f"not a message: {error}") from None
    return message, [_read(wire, size) for size in sizes]


def _read(wire: socket.socket, size: int) -> bytearray:
    buffer = bytearray(size)
    view = memoryview(buffer)
    done = 0
    while done < size:
        try:
            got = wire.recv_into(view[done:])
        except TimeoutError:
            raise
        except OSError as error:
            raise BrokenWire(str(error)) from None
        if not got:
            raise BrokenWire("closed")
        done += got
    return buffer
