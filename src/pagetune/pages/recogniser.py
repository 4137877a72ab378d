"""The models that read lines (PP-OCR on ONNX Runtime, through RapidOCR), and which scripts each of them knows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagetune.errors import ReadingError
from pagetune.pages.ocr_lines import TALL, Read, breadth_in_characters, lengths
from pagetune.pages.script_names import alphabet_of, features, load_script_names
from pagetune.pages.scripts import main_script, script_known, scripts_of_letters

Picture = NDArray[np.uint8]
"""Pixels [height, width, 3], blue first."""

LEAST_SHAPE = 320 / 48
"""Width by height, to which a shorter line is padded, as the models were trained."""


class Recogniser:
    """One model that reads lines; `path` None: the one in RapidOCR's wheel. One thread, because pages are read in
    parallel over processes; silent."""

    def __init__(self, path: Path | None = None) -> None:
        import logging

        from rapidocr import RapidOCR

        level = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            model = {} if path is None else {"Rec.model_path": str(path)}
            self._engine: Any = RapidOCR(
                params={
                    "Global.log_level": "critical",
                    # Lines of a batch are padded to its longest: one at a time takes a third less on one core.
                    "Rec.rec_batch_num": 1,
                    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                    **model,
                }
            )
        finally:
            logging.disable(level)

    def detect(self, picture: Picture) -> NDArray[np.float32]:
        """The corners of the lines on a picture (BGR), float32 [n, 4, 2], clockwise from the top left."""
        boxes = self._engine(picture, use_cls=False, use_rec=False).boxes
        return np.asarray([] if boxes is None else boxes, np.float32).reshape(-1, 4, 2)

    def cut(self, picture: Picture, quads: NDArray[np.float32], sideways: bool) -> list[Picture]:
        """The lines' own pictures, those of lines that run `sideways` turned by a quarter, their right side up."""
        across, down = (np.trunc(side) for side in lengths(quads))
        cuts = self._engine.crop_text_regions(picture, quads)
        # RapidOCR has turned what is tall, also a single figure that stands upright.
        done = (down >= TALL * np.maximum(across, 1)).tolist()
        return [np.ascontiguousarray(np.rot90(one, sideways - was)) for one, was in zip(cuts, done, strict=True)]

    def read(self, lines: Sequence[Picture], ems: NDArray[np.float32]) -> list[Read]:
        """Recognise lines of `ems` [n] heights of length."""
        found = self._engine.recognize_txt(list(lines))
        return [self._judge(*one) for one in zip(found.txts, found.scores, ems.tolist(), strict=True)]

    def _judge(self, text: str, confidence: float, ems: float) -> Read:
        # Of letters that it does not know the model drops most and is sure of the rest: a line of Russian comes as its
        # full stop. No print is so wide that a line has fewer characters than heights.
        filled = min(1.0, (breadth_in_characters(text) + 0.5) / max(ems, 1.0))
        known = script_known(main_script(text), self.scripts)
        return Read(text, float(confidence), float(confidence) * filled if known else 0.0)

    def name_script(self, lines: Sequence[Picture]) -> str:
        """The script of lines that are read badly; "" where it is one that the model knows, or that cannot be told."""
        names = load_script_names()
        if not lines or names.alphabet != alphabet_of(self.characters):
            return ""  # The weights were made with another model.
        name = names.name(self.nearly(lines))
        return "" if script_known(name.upper(), self.scripts) else name

    def nearly(self, lines: Sequence[Picture]) -> list[NDArray[np.float32]]:
        """What the lines come near to, as `script_names.features` has it."""
        characters, model = self.characters, self._engine.text_rec
        shapes = [max(line.shape[1] / line.shape[0], LEAST_SHAPE) for line in lines]
        inputs = [model.resize_norm_img(line, shape)[None] for line, shape in zip(lines, shapes, strict=True)]
        return [features(model.session(one)[0], characters) for one in inputs]

    @cached_property
    def characters(self) -> list[str]:
        """The characters that the model writes with."""
        self._engine.recognize_txt([np.full((48, 48, 3), 255, np.uint8)])  # Loads the model.
        return list(self._engine.text_rec.session.get_character_list())

    @cached_property
    def scripts(self) -> frozenset[str]:
        """The scripts whose letters are among the model's characters."""
        return scripts_of_letters(self.characters)


def list_models(folder: Path) -> list[Path]:
    """The recognition models (ONNX with its characters inside) of a folder. Raises ReadingError where there is none."""
    import onnxruntime

    if not folder.is_dir():
        raise ReadingError(f"read.ocr_models: {str(folder)!r} is not a folder; give one with PP-OCR recognition models")
    found = []
    for path in sorted(folder.glob("*.onnx")):
        try:
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # Whatever the runtime makes of a file that is not a model.
            line = " ".join(str(error).split())[:120]
            raise ReadingError(
                f"read.ocr_models: {path} is not a model that can be loaded ({line}); remove it"
            ) from None
        if "character" in session.get_modelmeta().custom_metadata_map:
            found.append(path)
    if not found:
        raise ReadingError(
            f"read.ocr_models: {str(folder)!r} holds no recognition model (*.onnx, its characters in its metadata); "
            "give a folder with such models, as RapidOCR publishes them"
        )
    return found
