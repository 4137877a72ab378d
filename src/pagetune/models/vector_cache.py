"""Vectors on disk, by the digest of what they were made of.

A shard is one file with the vectors of some hundred pages, written beside its place and renamed into it: after a
kill it is there whole or not at all, and a damaged one counts as not there.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pagetune.workspace import write_atomically

Matrix = NDArray[np.float32]
KEY_BYTES = 32


class VectorCache:
    """Key (32 bytes) -> float32 [n, dimension], in the folder `folder`; None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def find(self, keys: set[bytes]) -> dict[bytes, Matrix]:
        """The vectors of those keys that are kept."""
        if self.folder is None or not self.folder.is_dir():
            return {}
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
