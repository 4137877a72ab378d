"""How many tokens a reranker will see of a pair, before it is preprocessed."""

from __future__ import annotations

from typing import Any

from pagetune.errors import ModelError
from pagetune.training.feeding import Features, Route
from pagetune.training.lengths import Lengths, tokens


class PairLengths(Lengths):
    """Tokens of pairs under one task prompt: those of both sides, and what the template or the tokenizer puts around.

    The sides are counted once each: texts by the tokenizer, pictures by their size. What the tokenizer makes of the
    seams may be a token off.
    """

    def __init__(self, model: Any, prompt: str | None = None) -> None:
        super().__init__(model)
        self._route = Route(prompt=prompt)
        self._words: dict[str, int] = {}
        self._limit = model.max_seq_length
        self._frame = 0
        self._frame = tokens(self._features("", self._route))

    def pair(self, pair: tuple[Any, Any], place: int = 0) -> int:
        """Of the pair at `place` of a list. Raises ModelError for what is neither a text nor an image."""
        found = self._frame + sum(self._side(side, place) for side in pair)
        return min(found, self._limit) if self._limit and all(isinstance(side, str) for side in pair) else found

    def texts(self, first: str, second: str) -> int:
        """Of a pair of texts."""
        return self.pair((first, second))

    def shown(self, text: str, width: int, height: int) -> int:
        """Of a text and a picture of this size; what stands on it makes no difference."""
        return self._text(text) + self.picture(width, height, self._route)

    def _side(self, side: Any, place: int) -> int:
        from PIL.Image import Image

        if isinstance(side, str):
            return self._text(side)
        if isinstance(side, Image):
            return self.picture(*side.size, self._route) - self._frame
        if isinstance(side, dict) and side and side.keys() <= {"text", "image"}:
            return sum(self._side(part, place) for part in side.values())
        raise ModelError(f"pair {place}: {type(side).__name__} is neither a text, a PIL image nor a mapping of both")

    def _text(self, text: str) -> int:
        if text not in self._words:
            ids = self._model.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
            self._words[text] = len(ids)
        return self._words[text]

    def _features(self, content: Any, route: Route) -> Features:
        return self._model.preprocess([("", content)], prompt=route.prompt)
