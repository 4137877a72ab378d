"""Cutting a batch into mini-batches: by a budget of padded tokens, alike lengths together, or by a fixed number."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Budget:
    """What one mini-batch may hold: `tokens`, padding included, or so many `items`; both: whichever ends it first.

    `keep_bytes` is what the autograd graphs of the first pass may hold together until the loss is known.
    """

    tokens: int | None = None
    items: int | None = None
    keep_bytes: int = 0

    def __post_init__(self) -> None:
        for name, value in (("tokens", self.tokens), ("items", self.items)):
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        if self.tokens is None and self.items is None:
            raise ValueError("a budget needs tokens or items")

    def halved(self, lengths: Sequence[int], groups: Sequence[Sequence[int]], kept: int) -> Budget | None:
        """Half of what there was when memory ran out: of the largest mini-batch of several items, and of the `kept`
        graphs, or of all of these where every item is alone already. None: there is nothing left to halve."""
        several = [group for group in groups if len(group) > 1]
        if not several:
            return replace(self, keep_bytes=0) if kept else None
        tokens, items = max(padded(lengths, group) for group in several), max(map(len, several))
        return replace(
            self,
            tokens=None if self.tokens is None else max(1, min(self.tokens, tokens) // 2),
            items=None if self.items is None else max(1, min(self.items, items) // 2),
            keep_bytes=min(self.keep_bytes, kept or self.keep_bytes) // 2,
        )


def cut(
    lengths: Sequence[int], kinds: Sequence[Hashable], budget: Budget, *, in_order: bool = False
) -> list[list[int]]:
    """The places 0 … n-1 in groups of one kind each; an item longer than the budget is alone.

    With a budget of tokens the longest come first, so that lengths in a group are alike and a device too small for the
    batch says so at once. Without one, or `in_order`, the order stays as it is.
    """
    by_kind: dict[Hashable, list[int]] = {}
    for place, kind in enumerate(kinds):
        by_kind.setdefault(kind, []).append(place)
    groups: list[list[int]] = []
    for places in by_kind.values():
        if budget.tokens is not None and not in_order:
            places.sort(key=lambda place: -lengths[place])
        group: list[int] = []
        longest = 0
        for place in places:
            longest = max(longest, lengths[place])
            if group and _is_full(len(group) + 1, longest, budget):
                groups.append(group)
                group, longest = [], lengths[place]
            group.append(place)
        groups.append(group)
    return groups


def _is_full(items: int, longest: int, budget: Budget) -> bool:
    if budget.items is not None and items > budget.items:
        return True
    return budget.tokens is not None and items * longest > budget.tokens


def padded(lengths: Sequence[int], group: Sequence[int]) -> int:
    """Tokens of a group once every item is as long as its longest."""
    return len(group) * max(lengths[place] for place in group)


def waste(lengths: Sequence[int], groups: Sequence[Sequence[int]]) -> float:
    """The share of all tokens that is padding."""
    total = sum(padded(lengths, group) for group in groups)
    return 1 - sum(lengths) / total if total else 0.0
