"""Reading a picture of a page by OCR: when it reads badly, what else is tried, and what is said about it.

RapidOCR's detector finds the lines; its recognisers are called here line by line, since their confidence tells whether
the picture is upright and of a script that they know. (Its classifier of upside-down lines is left out: it turned
lines of capitals and digits on pages that stood upright.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagetune.layout.words import script_of
from pagetune.pages.hidden import Run, layer_agrees, sample_runs
from pagetune.pages.ocr_lines import TALL, Block, Read, ems, lay_out, run_sideways
from pagetune.pages.recogniser import Picture, Recogniser, list_models
from pagetune.pages.scripts import main_script, mixes_scripts, script_known
from pagetune.pages.text import FEW_WORDS
from pagetune.pages.unread import Reason
from pagetune.pages.words import Words, no_words

if TYPE_CHECKING:
    from PIL.Image import Image

GOOD = 0.87
"""Lines of a script that the model knows are read at 0.95 and more even from poor scans, Greek at 0.81, Korean at 0.44,
and lines that stand on their head below 0.75."""
LEAST_CONFIDENCE = 0.5
"""A line read with less is noise: RapidOCR's own bound."""
MOSTLY_BAD, PARTLY_BAD = 0.5, 0.2
"""The shares of a page's text, by length, that are read badly: above the first nothing of it is kept, above the second
only the lines that are read well."""
MIXED = 0.1
"""Of a page's longer words, so many have letters of two alphabets only where the model does not know one of them."""
SAMPLE = 6
"""Lines that are read again, turned or by another model, to see whether that is better."""
BETTER, READABLE = 0.05, 0.7
"""By so much a turn or another model has to read the sample better than what was tried first, and at least so well:
print in an unknown script makes no sense either way up."""


class Found(NamedTuple):
    """What OCR made of a page; `trouble` says why it has not read all of it, with the script as `detail` if known."""

    words: Words
    trouble: Reason | None = None
    detail: str = ""


class Ocr:
    """Reads pictures of pages. `models`: a folder of further recognition models, tried where the first reads badly."""

    def __init__(self, models: Path | None = None) -> None:
        self._first = Recogniser()
        self._paths = [] if models is None else list_models(models)

    @cached_property
    def _others(self) -> list[Recogniser]:
        return [Recogniser(path) for path in self._paths]

    @cached_property
    def _scripts(self) -> frozenset[str]:
        return self._first.scripts.union(*(other.scripts for other in self._others))

    def read(self, picture: Image, width: float, height: float) -> Found:
        """Read a picture of a page of `width` x `height` points: words in reading order, their boxes in points."""
        image = _bgr(picture)
        quads = self._first.detect(image)
        if not len(quads):
            return Found(no_words())
        sideways = run_sideways(quads)
        groups = ((~sideways, 0), (sideways, 1))
        blocks = [self._block(image, quads[chosen], turns) for chosen, turns in groups if chosen.any()]
        blocks.sort(key=lambda block: -float(ems(block.quads).sum()))
        kept, trouble, detail = _judge(blocks)
        if trouble is not None and (detail := self._name_script(image, blocks) or detail):
            trouble = Reason.SCRIPT
        return Found(lay_out(kept, (width / picture.width, height / picture.height), height), trouble, detail)

    def _name_script(self, image: Picture, blocks: Sequence[Block]) -> str:
        """The script of the longest lines that are read badly; "" where it is one that the model knows."""
        block = blocks[0]
        bad = _only(block, lambda read: read.quality < GOOD).quads
        quads = bad[np.argsort(-ems(bad), kind="stable")[:SAMPLE]]
        cuts = self._first.cut(image, quads, block.turns % 2 == 1)
        return self._first.name_script([_turned(cut, block.turns >= 2) for cut in cuts])

    def agrees(self, picture: Image, width: float, height: float, layer: Words) -> bool:
        """Whether the words of an invisible layer are those of the picture behind them, as a few samples tell.

        Where the layer has so few words that it might be a part of what is printed, most lines found on the picture
        have to be covered by its words too.
        """
        image, runs = _bgr(picture), sample_runs(layer)
        scale = picture.width / width, picture.height / height
        reads = [self._look_up(image, run, scale, height) for run in runs]
        if not layer_agrees(runs, reads, self._scripts):
            return False
        if len(layer.words) >= FEW_WORDS:
            return True
        quads = self._first.detect(image)
        middles = quads.mean(axis=1) / np.asarray(scale, np.float32)
        x, y = middles[:, :1], height - middles[:, 1:]
        left, bottom, right, top = layer.boxes.T
        covered = ((x >= left) & (x <= right) & (y >= bottom) & (y <= top)).any(axis=1)
        return bool(covered.mean() >= 0.5) if len(quads) else True

    def _look_up(self, image: Picture, run: Run, scale: tuple[float, float], height: float) -> Read:
        """What is read at the place of a run of words, the right way up."""
        left, bottom, right, top = run.box
        margin = 0.1 * min(right - left, top - bottom)
        x0, x1 = sorted(round(x * scale[0]) for x in (left - margin, right + margin))
        y0, y1 = sorted(round((height - y) * scale[1]) for y in (bottom - margin, top + margin))
        part = image[max(0, y0) : max(1, y1), max(0, x0) : max(1, x1)]
        if min(part.shape[:2]) < 2:
            return Read("", 0.0, 0.0)
        tall = len(run.text) > 1 and part.shape[0] >= TALL * part.shape[1]
        part = np.ascontiguousarray(np.rot90(part)) if tall else part
        long = np.asarray([max(part.shape[:2]) / min(part.shape[:2])], np.float32)
        script = main_script(run.text)
        model = next((one for one in (self._first, *self._others) if script_known(script, one.scripts)), self._first)
        (read,) = model.read([part], long)
        if read.quality >= GOOD or not script_known(script, model.scripts):
            return read
        (over,) = model.read([_turned(part, True)], long)
        return max(read, over, key=lambda one: one.quality)

    def _block(self, image: Picture, quads: NDArray[np.float32], turns: int) -> Block:
        """Lines that run in one direction, read the right way up, each by the model that reads it best."""
        cuts, long = self._first.cut(image, quads, turns == 1), ems(quads)
        order = np.argsort(-long, kind="stable")
        sample, rest = order[:SAMPLE], order[SAMPLE:]

        def read(model: Recogniser, over: bool, places: NDArray[np.intp]) -> dict[int, Read]:
            found = model.read([_turned(cuts[place], over) for place in places], long[places]) if len(places) else []
            return dict(zip(places.tolist(), found, strict=True))

        model, over, reads = self._first, False, read(self._first, False, sample)
        if (best := _quality(reads, long)) < GOOD:
            # Only where the first try reads badly: on their head, and by the other models.
            best = max(best + BETTER, READABLE)
            trials = [(self._first, True), *((other, way) for other in self._others for way in (False, True))]
            for trial in trials:
                again = read(*trial, sample)
                if (quality := _quality(again, long)) > best:
                    best, reads, (model, over) = quality, again, trial
        reads |= read(model, over, rest)
        for other in self._others:
            bad = np.asarray([place for place in order if reads[place].quality < GOOD], np.intp)
            reads |= {place: one for place, one in read(other, over, bad).items() if one.quality > reads[place].quality}
        return Block(quads, [reads[place] for place in range(len(quads))], turns + 2 * over)


def _bgr(picture: Image) -> Picture:
    return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[:, :, ::-1])


def _turned(line: Picture, over: bool) -> Picture:
    return np.ascontiguousarray(line[::-1, ::-1]) if over else line


def _quality(reads: Mapping[int, Read], long: NDArray[np.float32]) -> float:
    return float(np.average([read.quality for read in reads.values()], weights=long[list(reads)]))


def _judge(blocks: Sequence[Block]) -> tuple[list[Block], Reason | None, str]:
    """What is kept of the blocks, and what to say about the rest: the script only where its letters tell it."""
    reads = [read for block in blocks for read in block.reads]
    if mixed := _mixed_script(reads):
        return [], Reason.SCRIPT, mixed.capitalize()
    long = np.concatenate([ems(block.quads) for block in blocks])
    bad = np.asarray([read.quality < GOOD for read in reads])
    share = float(long[bad].sum() / long.sum())
    if share <= PARTLY_BAD:
        return [_only(block, lambda read: read.confidence >= LEAST_CONFIDENCE) for block in blocks], None, ""
    kept = [_only(block, lambda read: read.quality >= GOOD) for block in blocks] if share <= MOSTLY_BAD else []
    lost = [read for read in reads if read.quality < GOOD]
    script = main_script(" ".join(read.text for read in lost if read.quality == 0.0))
    return kept, Reason.SCRIPT if script else Reason.BADLY, script.capitalize()


def _mixed_script(reads: Sequence[Read]) -> str:
    """The script that the model has read with Latin letters among its own, as Greek capitals; "": none."""
    words = [word for read in reads for word in read.text.split() if len(word) >= 4 and word.isalpha()]
    mixed = [word for word in words if mixes_scripts(word)]
    if len(mixed) <= max(2, MIXED * len(words)):
        return ""
    return main_script("".join(c for word in mixed for c in word if script_of(c) != "LATIN"))


def _only(block: Block, wanted: Callable[[Read], bool]) -> Block:
    chosen = np.asarray([wanted(read) for read in block.reads], bool)
    return Block(block.quads[chosen], [read for read in block.reads if wanted(read)], block.turns)
