"""Vectors on disk, by the digest of what they were made of.

A shard is one file with the vectors of some hundred pages, written beside its place and renamed into it: after a
kill it is there whole or not at all, and a damaged one counts as not there. A folder of shards is one model's, named
by the digest of what decides its vectors; its time of change says when it was last used.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import time
import zipfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pagetune.workspace import write_atomically

Matrix = NDArray[np.float32]
KEY_BYTES = 32
UNUSED_DAYS = 14.0
"""Vectors that nobody has asked for in so many days are those of a model that is gone; they can be made again."""

_CACHE = re.compile(r"[0-9a-f]{32}-[\w-]+$")
"""The name of one model's folder: the digest, and how it encodes."""


class VectorCache:
    """Key (32 bytes) -> float32 [n, dimension], in the folder `folder`; None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def find(self, keys: set[bytes]) -> dict[bytes, Matrix]:
        """The vectors of those keys that are kept."""
        if self.folder is None or not self.folder.is_dir():
            return {}
        self._touch()
        found: dict[bytes, Matrix] = {}
        for shard in sorted(self.folder.glob("*.npz")):
            found.update(_read(shard, keys))
        return found

    def add(self, vectors: Mapping[bytes, Matrix]) -> None:
        """Keep these, as one shard."""
        if self.folder is None or not vectors:
            return
        keys = b"".join(vectors)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            keys=np.frombuffer(keys, dtype=np.uint8).reshape(-1, KEY_BYTES),
            counts=np.array([len(part) for part in vectors.values()], dtype=np.int64),
            vectors=np.concatenate(list(vectors.values())),
        )
        write_atomically(self.folder / f"{hashlib.sha256(keys).hexdigest()[:32]}.npz", buffer.getvalue())

    def _touch(self) -> None:
        if self.folder is not None:
            with suppress(OSError):  # A workspace that may only be read is read.
                os.utime(self.folder)


def prune(folder: Path, keep: Collection[str] = (), older_than_days: float = UNUSED_DAYS) -> list[str]:
    """Remove the vectors of models that were not used for so many days; the names of the folders that went.

    `folder` holds the folders of many caches. `keep` are the beginnings of names (`fingerprint_model`,
    `pictures.identity`) that stay whatever their age. Whatever does not look like a cache is left alone, and what a
    kill leaves of one is filled up again.
    """
    if not folder.is_dir():
        return []
    latest = time.time() - older_than_days * 86400
    gone = []
    for place in sorted(folder.iterdir()):
        ours = _CACHE.match(place.name) and place.is_dir() and not place.is_symlink()
        if ours and place.stat().st_mtime < latest and not place.name.startswith(tuple(keep)):
            shutil.rmtree(place, ignore_errors=True)
            gone.append(place.name)
    return gone


def _read(shard: Path, wanted: set[bytes]) -> dict[bytes, Matrix]:
    try:
        with np.load(shard) as content:
            keys = [row.tobytes() for row in content["keys"]]
            if wanted.isdisjoint(keys):
                return {}
            stops = np.cumsum(content["counts"])
            vectors = content["vectors"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}
    starts = np.concatenate([[0], stops[:-1]])
    return {key: vectors[start:stop] for key, start, stop in zip(keys, starts, stops, strict=True) if key in wanted}
