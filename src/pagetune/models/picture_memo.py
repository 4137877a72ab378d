"""Pictures preprocessed once, and looked at once a batch, however many inputs they stand in: a page is in the
shortlists of many queries."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pagetune.models.pixels import has_bounds, image_processor

KEPT = 64
"""Pictures whose patches are kept, those used last."""


@contextmanager
def pictures_once(model: Any, kept: int = KEPT) -> Iterator[None]:
    """Inside, the model's image processor makes the patches of equal pictures once, and its vision tower goes once over
    those that stand side by side in a batch. For scoring, not for training.

    Only a processor of pictures of any size (Qwen-VL's kind) lays their patches end to end, so that they can be put
    together anew; another works as it always does.
    """
    found = image_processor(model)
    if not has_bounds(found):
        yield
        return
    processor = model[0].processor
    processor.image_processor = PictureMemo(found, kept)
    try:
        with seen_once(model[0].model):
            yield
    finally:
        processor.image_processor = found


@contextmanager
def seen_once(model: Any) -> Iterator[None]:
    """Inside, the vision tower of a Qwen-VL (of transformers) goes once over equal pictures that are neighbours."""
    towers = [module for name, module in model.named_modules() if name.rpartition(".")[2] == "visual"]
    if len(towers) != 1 or not hasattr(towers[0], "spatial_merge_size"):
        yield
        return
    tower = towers[0]
    own = tower.__dict__.get("forward")
    whole = tower.forward

    def forward(hidden_states: Any, grid_thw: Any, **options: Any) -> Any:
        places = _first_places(hidden_states, grid_thw)
        first = sorted(set(places))
        if len(first) == len(places):
            return whole(hidden_states, grid_thw=grid_thw, **options)
        patches = hidden_states.split(grid_thw.prod(dim=1).tolist())
        found = whole(torch.cat([patches[place] for place in first]), grid_thw=grid_thw[first], **options)
        rows = _rows(grid_thw[first].prod(dim=1) // tower.spatial_merge_size**2, [first.index(at) for at in places])
        found.pooler_output = found.pooler_output[rows]
        if getattr(found, "deepstack_features", None) is not None:
            found.deepstack_features = [features[rows] for features in found.deepstack_features]
        return found

    import torch

    tower.forward = forward
    try:
        yield
    finally:
        del tower.forward
        if own is not None:
            tower.forward = own


def _first_places(patches: Any, grids: Any) -> list[int]:
    """For each picture the place of the first of the equal ones that it stands next to."""
    import torch

    parts = patches.split(grids.prod(dim=1).tolist())
    places: list[int] = []
    for place, part in enumerate(parts):
        before = places[-1] if places else place
        same = place and torch.equal(grids[place], grids[before]) and torch.equal(part, parts[before])
        places.append(before if same else place)
    return places


def _rows(counts: Any, order: list[int]) -> Any:
    """The rows of parts of so many rows, in another order, some of them twice."""
    import torch

    stops = counts.cumsum(0).tolist()
    return torch.cat(
        [torch.arange(stops[place] - int(counts[place]), stops[place], device=counts.device) for place in order]
    )


class PictureMemo:
    """An image processor that remembers what it made of the last pictures."""

    def __init__(self, processor: Any, kept: int = KEPT) -> None:
        self._processor = processor
        self._kept = kept
        self._made: OrderedDict[bytes, tuple[Any, Any]] = OrderedDict()
        self.made = 0
        """Pictures preprocessed."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)

    def __call__(self, images: Any, **options: Any) -> Any:
        """The features of the pictures, in their order: `pixel_values` end to end, `image_grid_thw` a row each."""
        import torch
        from transformers import BatchFeature
        from transformers.image_utils import make_flat_list_of_images

        pictures: Any = make_flat_list_of_images(images)
        keys = [_key(picture, options) for picture in pictures]
        new = {key: picture for key, picture in zip(keys, pictures, strict=True) if key not in self._made}
        if new:
            self._make(new, options)
        parts = [self._made[key] for key in keys]
        for key in keys:
            self._made.move_to_end(key)
        while len(self._made) > self._kept:
            self._made.popitem(last=False)
        patches, grids = zip(*parts, strict=True)
        return BatchFeature({"pixel_values": torch.cat(patches), "image_grid_thw": torch.stack(grids)})

    def _make(self, pictures: dict[bytes, Any], options: dict[str, Any]) -> None:
        made = self._processor(images=list(pictures.values()), **options | {"return_tensors": "pt"})
        grids = made["image_grid_thw"]
        patches = made["pixel_values"].split(grids.prod(dim=1).tolist())
        self._made.update(zip(pictures, zip(patches, grids, strict=True), strict=True))
        self.made += len(pictures)


def _key(picture: Any, options: dict[str, Any]) -> bytes:
    """By content: what loads a picture hands on a copy of it."""
    digest = hashlib.blake2b(f"{picture.size}{picture.mode}{sorted(options.items(), key=str)}".encode(), digest_size=16)
    digest.update(picture.tobytes())
    return digest.digest()
