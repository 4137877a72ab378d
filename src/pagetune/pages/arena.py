"""Where a worker leaves pictures for its parent: memory that both see, since through a socket a page of 1280 pixels
takes longer than to render it."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress

ARENA_BYTES = 64 << 20
"""Room for the pictures of one request; what does not fit goes through the socket. Only what was ever used takes
memory, as long as the worker lives."""


class Arena:
    """A shared block; the worker takes parts of it, the parent looks at them."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self._memory = mmap.mmap(handle, ARENA_BYTES)
        self._taken = 0

    @classmethod
    def create(cls) -> Arena | None:
        """A new block, for a child to open by its handle; None where the system has none or refuses it.

        Its size is sealed: a worker that somebody has taken over must not pull it from under the parent.
        """
        try:
            import fcntl

            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            handle = os.memfd_create("pagetune-pictures", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except (ImportError, AttributeError, OSError):  # Not Linux, a Python built for an old one, a sandbox.
            return None
        try:
            os.ftruncate(handle, ARENA_BYTES)
            fcntl.fcntl(handle, fcntl.F_ADD_SEALS, seals)
            return cls(handle)
        except OSError:
            os.close(handle)
            return None

    def clear(self) -> None:
        """Take from the start again: what was taken before has been looked at."""
        self._taken = 0

    def take(self, size: int) -> tuple[int, memoryview] | None:
        """The next `size` bytes: where they are, and they; None if they do not fit."""
        at = self._taken
        if at + size > ARENA_BYTES:
            return None
        # On whole pages of memory, for the renderer's sake.
        self._taken += -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        return at, memoryview(self._memory)[at : at + size]

    def look(self, at: int, size: int) -> memoryview:
        """The `size` bytes from `at`, for reading. Raises ValueError if they are not all inside."""
        if not (0 <= at <= at + size <= ARENA_BYTES):
            raise ValueError(f"bytes {at} to {at + size} of {ARENA_BYTES}")
        return memoryview(self._memory)[at : at + size].toreadonly()

    def close_handle(self) -> None:
        """Let go of the handle that the child has been given by now; the memory stays."""
        if self.handle >= 0:
            os.close(self.handle)
        self.handle = -1

    def close(self) -> None:
        """Let go of handle and memory, which goes with its last reader."""
        self.close_handle()
        with suppress(BufferError):  # Somebody still looks at a part.
            self._memory.close()
