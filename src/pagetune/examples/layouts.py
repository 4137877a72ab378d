"""Which files of a local dataset hold a configuration and a split.

Recognised: one file; a folder of SPLIT.parquet or SPLIT-00000-of-00002.parquet, perhaps in `data/`; folders SPLIT/;
and any of these inside folders CONFIG/, or CONFIG.parquet. A table `metadata` beside pictures (an imagefolder) is the
table of its folder. JSONL, JSON, CSV and TSV files serve as parquet does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pagetune.errors import DataError

SUFFIXES = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")
BEIR = ("corpus", "queries", "qrels")
"""The three tables of an evaluation set with judgements of its own."""

_SPLITS = ("test", "validation", "eval", "dev", "val", "valid", "train")
"""Known names, in the order in which they are taken where none is asked for."""

_SHARD = re.compile(r"[-_.]\d+([-_]of[-_]\d+)?$")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
_IGNORED = ("dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json")


def choose_split(names: Sequence[str], split: str | None, where: str, lenient: bool = False) -> str:
    """The split to read, of those there are: the one asked for; else the only one, else test, validation …

    `lenient` takes the only one whatever it is called. Raises DataError, naming those there are.
    """
    if split in names:
        return str(split)
    only = names[0] if len(names) == 1 else None
    if only is not None and (split is None or lenient or only not in _SPLITS):
        return only
    if split is None:
        for name in _SPLITS:
            if name in names:
                return name
        raise DataError(f"{where} has the splits {', '.join(sorted(names))}; choose one")
    raise DataError(f"{where} has no split {split!r} (there are {', '.join(sorted(names))}); choose one of them")


def find_files(
    root: Path, config: str | None = None, split: str | None = None, lenient: bool = False
) -> tuple[list[Path], str]:
    """The files of one configuration and split, in order, and the split's name.

    Raises DataError where there are none, or where it is not clear which.
    """
    if root.is_file():
        if root.suffix not in SUFFIXES:
            raise DataError(f"{root}: {root.suffix or 'no suffix'!r} is not read; give one of {', '.join(SUFFIXES)}")
        return [root], split or "train"
    place = root
    if config is not None:
        alone = [root / f"{config}{suffix}" for suffix in SUFFIXES if (root / f"{config}{suffix}").is_file()]
        if alone:
            return alone[:1], split or "train"
        place = root / config
        if not place.is_dir():
            raise DataError(f"{root} has no configuration {config!r} (there are {_names(_folders(root))}); choose one")
    return _in_folder(place, split, lenient)


def is_beir(root: Path) -> bool:
    """Whether a folder has corpus, queries and qrels, as folders or as files."""
    stems = {path.name if path.is_dir() else path.stem for path in root.iterdir()} if root.is_dir() else set()
    return stems >= set(BEIR)


def _in_folder(place: Path, split: str | None, lenient: bool) -> tuple[list[Path], str]:
    groups = _groups(place) or _groups(place / "data")
    if list(groups) == ["metadata"]:
        return _same_kind(groups["metadata"], place), split or "train"
    if groups:
        known = set(groups) & {*_SPLITS, *BEIR}
        if split in (None, "train") and not known:
            return _same_kind([path for name in sorted(groups) for path in groups[name]], place), "train"
        chosen = choose_split([*groups], split, str(place), lenient)
        return _same_kind(groups[chosen], place), chosen
    inside = {folder.name: folder for folder in _folders(place) if _groups(folder) or _groups(folder / "data")}
    if split in inside or (inside and set(inside) <= set(_SPLITS)):
        chosen = choose_split([*inside], split, str(place), lenient)
        return _in_folder(inside[chosen], chosen, lenient=True)[0], chosen
    if inside:
        raise DataError(f"{place} has the configurations {_names(inside.values())}; choose one")
    if any(path.suffix.lower() in _PICTURES for path in place.iterdir()):
        raise DataError(
            f"{place} has pictures but no metadata.csv or metadata.jsonl; add one with the columns file_name and query"
        )
    raise DataError(f"{place} has no files to read; give a folder with {', '.join(SUFFIXES)}")


def _groups(place: Path) -> dict[str, list[Path]]:
    """The tables right in a folder, by the name of their split."""
    found: dict[str, list[Path]] = {}
    if place.is_dir():
        for path in sorted(place.iterdir()):
            hidden = path.name.startswith((".", "_"))
            if path.suffix in SUFFIXES and path.is_file() and not hidden and path.name not in _IGNORED:
                found.setdefault(_SHARD.sub("", path.stem), []).append(path)
    return {"metadata": found["metadata"]} if "metadata" in found else found


def _same_kind(files: Sequence[Path], place: Path) -> list[Path]:
    kinds = {path.suffix for path in files}
    if len(kinds) > 1:
        raise DataError(f"{place} has {' and '.join(sorted(kinds))} files for one split; keep one kind")
    return [*files]


def _folders(place: Path) -> list[Path]:
    return [path for path in sorted(place.iterdir()) if path.is_dir() and not path.name.startswith(".")]


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(path.name for path in paths) or "none"
