"""Claim: the parity gate catches every seeded fault at the right step and by its right name, and no clean export.

Small random checkpoints of the real classes, "trained" by moving their weights, are saved by `save_finished`; then a
copy of the folder, the merge or the index is damaged in one way that users of such tools report. A row holds where the
gate names the cause (or both causes), and for a clean export where it says nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch

import _drawn
import _tiny
from pagetune.errors import ParityError
from pagetune.models.adapters import add_adapters, merge_adapters
from pagetune.models.answers import Remembered, Stored
from pagetune.models.encoding import PageVectors
from pagetune.models.loading import load_model, save_model
from pagetune.models.parity import Store, check_parity, remember
from pagetune.models.saving import save_finished
from pagetune.models.scoring import Matrix, truncate
from pagetune.recipe import FitRecipe, IndexRecipe, LoraRecipe, ModelRecipe, Recipe
from pagetune.search.stored import through_index

PAIRS, SIDE, WIDTH, SEED = 8, 96, 64, 0
KEPT, INDEXED = 48, 32
"""Dimensions of the saved dense model, and of its index."""
PROMPTS = {"query": "Find the page that answers: ", "document": "Represent this page. "}
CONFIG = "config_sentence_transformers.json"


@dataclass(frozen=True)
class Export:
    """A clean export: what is in memory, how it answered, and where it lies."""

    model: Any
    trained: Remembered
    folder: Path
    recipe: Recipe
    dimension: int | None
    base: Path
    """The weights that training began with."""
    unmerged: Path | None = None
    """The same model saved before its adapter was merged."""

    def check(self, folder: Path, *, store: Store | None = None, model: ModelRecipe | None = None) -> None:
        """The gate over a folder, by default without the index."""
        check_parity(
            self.model,
            self.trained.pairs,
            folder,
            recipe=model or self.recipe.model,
            dimension=self.dimension,
            trained=self.trained,
            store=store,
            index_dimension=INDEXED,
        )


@dataclass
class Row:
    """One case: what is expected, and what came."""

    model: str
    case: str
    step: str
    causes: tuple[str, ...]
    found: ParityError | None = None
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        if self.found is None:
            return not self.causes
        return self.found.step == self.step and self.found.causes == self.causes

    def line(self) -> str:
        """Fixed widths."""
        said = "passes" if self.found is None else f"{self.found.step}: {' + '.join(self.found.causes)}"
        sizes = [] if self.found is None else [value for value in self.found.figures.values() if np.isfinite(value)]
        size = "" if self.found is None else f"{max(sizes):.2g}" if sizes else "shape"
        mark = "yes" if self.holds else "NO"
        return f"{self.model:12} {self.case:44} {said:42} {size:>6} {self.seconds:5.1f} s  {mark}"


def pairs() -> list[tuple[str, Any]]:
    """Queries and the small drawn pages that answer them."""
    pages, _ = _drawn.choose_pages(PAIRS, 0, 0)
    return [(page.query, _drawn.draw(page, 1).resize((SIDE, SIDE))) for page in pages]


def move(model: Any, pattern: str, size: float) -> None:
    """What training would do: other weights where `pattern` stands in the name."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if pattern in name:
                noise = torch.randn(parameter.shape, generator=draw) * size
                parameter.add_(noise.to(parameter.dtype))


def export(place: Path, name: str, recipe: Recipe, base: Path, *, moved: str, size: float = 0.05) -> Export:
    """Load, train, save; raises ParityError where the clean export fails."""
    torch.manual_seed(SEED)  # Of new projections and adapters.
    model = load_model(recipe.model)
    # As a published checkpoint has them: of its own, so that the recipe need not say them.
    model.prompts.update(PROMPTS)
    begun, unmerged = place / f"{name}-base", None
    save_model(model, begun)
    if recipe.lora.rank:
        add_adapters(model, recipe.lora)
    move(model, moved, size)
    if recipe.lora.rank:
        unmerged = place / f"{name}-unmerged"
        save_model(model, unmerged)
    before = remember(model, pairs())
    folder = place / f"{name}-saved"
    save_finished(model, folder, recipe, pairs(), store=through_index(recipe.index))
    # Afterwards only the folders are damaged: the merged model in memory is what they are held against.
    trained = replace(remember(model, pairs()), base=before.base)
    return Export(model, trained, folder, recipe, recipe.fit.truncate_dim, begun, unmerged)


def edit(file: str, *keys: str, value: Any) -> Callable[[Path, Export], None]:
    """Set one value in a JSON file of the folder."""

    def act(folder: Path, clean: Export) -> None:
        content = json.loads((folder / file).read_text())
        inner = content
        for key in keys[:-1]:
            inner = inner[key]
        if value is None:
            del inner[keys[-1]]
        else:
            inner[keys[-1]] = value
        (folder / file).write_text(json.dumps(content))

    return act


def base_file(name: str) -> Callable[[Path, Export], None]:
    """Put one of the base model's files in the place of the trained one's."""

    def act(folder: Path, clean: Export) -> None:
        shutil.copy(clean.base / name, folder / name)

    return act


def not_merged(folder: Path, clean: Export) -> None:
    assert clean.unmerged is not None
    shutil.copy(clean.unmerged / "model.safetensors", folder / "model.safetensors")


def halved(folder: Path, clean: Export) -> None:
    """The weights in the file rounded to bfloat16."""
    from safetensors.torch import load_file, save_file

    for file in folder.rglob("model.safetensors"):
        tensors = {name: tensor.bfloat16().float() for name, tensor in load_file(file).items()}
        save_file(tensors, file, metadata={"format": "pt"})


def without_module(kind: str) -> Callable[[Path, Export], None]:
    """Leave a module out of the folder's list."""

    def act(folder: Path, clean: Export) -> None:
        listed = json.loads((folder / "modules.json").read_text())
        kept = [entry for entry in listed if not entry["type"].endswith(kind)]
        (folder / "modules.json").write_text(json.dumps(kept))

    return act


def other_template(folder: Path, clean: Export) -> None:
    file = folder / "chat_template.jinja"
    file.write_text(file.read_text().replace("{{ message.role }}", "{{ message.role }}:"))


def both(*acts: Callable[[Path, Export], None]) -> Callable[[Path, Export], None]:
    """Several faults at once."""

    def act(folder: Path, clean: Export) -> None:
        for each in acts:
            each(folder, clean)

    return act


def spoilt(change: Callable[[Matrix], Matrix], width: int = INDEXED, order: bool = False) -> Store:
    """An index that changes vectors on their way in."""

    def store(vectors: PageVectors, queries: Sequence[Matrix]) -> Stored:
        clean = through_index(IndexRecipe(dimension=width))(vectors, queries)
        rows = vectors.vectors[::-1] if order else vectors.vectors
        changed = PageVectors(vectors.ids, np.asarray(change(rows), np.float32), vectors.owner)
        return Stored(changed, clean.scores)

    return store


def case(row: Row, work: Callable[[], Any]) -> Row:
    """Run one case and print its line."""
    began = time.monotonic()
    try:
        work()
    except ParityError as error:
        row.found = error
    row.seconds = time.monotonic() - began
    print(row.line(), flush=True)
    if not row.holds:
        print(f"    expected {row.step}: {' + '.join(row.causes) or 'nothing'}; said: {row.found}", flush=True)
    return row


def damaged(
    clean: Export, name: str, faults: Sequence[tuple[str, str, tuple[str, ...], Any]], place: Path
) -> list[Row]:
    """Every fault on a copy of the folder of its own."""
    rows = []
    for number, (label, step, causes, act) in enumerate(faults):
        folder = place / f"{name}-{number}"
        shutil.copytree(clean.folder, folder)
        act(folder, clean)
        rows.append(case(Row(name, label, step, causes), lambda folder=folder: clean.check(folder)))
        shutil.rmtree(folder)
    return rows


def dense(place: Path, words: list[str]) -> list[Row]:
    """Qwen3-VL with LoRA, truncated, its prompts of its own."""
    base = _tiny.tiny_qwen3_vl(place / "qwen", hidden=WIDTH, vision_hidden=WIDTH, words=words)
    recipe = Recipe(
        model=ModelRecipe(name=str(base)),
        lora=LoraRecipe(rank=4, keep_adapter=True),
        fit=FitRecipe(truncate_dim=KEPT),
        index=IndexRecipe(dimension=INDEXED),
    )
    made: list[Export] = []
    rows = [
        case(
            Row("dense LoRA", "clean, through the index", "", ()),
            lambda: made.append(export(place, "dense", recipe, base, moved="lora_B")),
        )
    ]
    clean = made[0]
    size = ("image_processor", "size", "longest_edge")
    query, document = (edit(CONFIG, "prompts", role, value="") for role in PROMPTS)
    swapped = edit(CONFIG, "prompts", value={"query": PROMPTS["document"], "document": PROMPTS["query"]})
    pooling = edit("1_Pooling/config.json", "pooling_mode", value="mean")
    shorter = edit(CONFIG, "truncate_dim", value=INDEXED)
    rows += damaged(
        clean,
        "dense LoRA",
        [
            ("query prompt dropped", "saved", ("query prompt",), query),
            ("document prompt dropped", "saved", ("document prompt",), document),
            ("prompts swapped", "saved", ("query prompt", "document prompt"), swapped),
            ("adapter saved beside the weights", "saved", ("unmerged adapter",), not_merged),
            ("adapter missing, the base's weights", "saved", ("unmerged adapter",), base_file("model.safetensors")),
            ("truncated too short", "saved", ("wrong truncation",), shorter),
            ("not truncated", "saved", ("wrong truncation",), edit(CONFIG, "truncate_dim", value=None)),
            ("pooling mean instead of last token", "saved", ("pooling",), pooling),
            ("pixel bounds", "saved", ("pixel bounds",), edit("processor_config.json", *size, value=5000)),
            ("chat template", "saved", ("chat template",), other_template),
            ("Normalize left out", "saved", ("un-normalised vectors",), without_module("Normalize")),
            ("weights rounded to bfloat16", "saved", ("other precision",), halved),
            ("pooling and query prompt", "saved", ("pooling", "query prompt"), both(pooling, query)),
        ],
        place,
    )
    rows += dense_by_recipe(clean, place)
    return rows + index(clean)


def dense_by_recipe(clean: Export, place: Path) -> list[Row]:
    """Faults that Pagetune's loading hides, because the recipe says it again; a wrong recipe; a wrong merge."""
    lacking = place / "lacking"
    shutil.copytree(clean.folder, lacking)
    edit(CONFIG, "prompts", "query", value="")(lacking, clean)
    told = clean.recipe.model.model_copy(update={"query_prompt": PROMPTS["query"]})
    half = clean.recipe.model.model_copy(update={"dtype": "bfloat16"})
    rows = [
        case(
            Row("dense LoRA", "query prompt in the recipe only", "plain", ("query prompt",)),
            lambda: clean.check(lacking, model=told),
        ),
        case(
            Row("dense LoRA", "loaded in bfloat16", "saved", ("other precision",)),
            lambda: clean.check(clean.folder, model=half),
        ),
    ]
    model = load_model(clean.recipe.model)
    add_adapters(model, clean.recipe.lora)
    move(model, "lora_B", 0.05)
    target = place / "refused"

    def taken_off(model: Any) -> int:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.zero_()
        return merge_adapters(model)

    def refuse() -> None:
        with mock.patch("pagetune.models.saving.merge_adapters", taken_off):
            save_finished(model, target, clean.recipe, pairs())

    rows.append(case(Row("dense LoRA", "adapter taken off, not merged", "merged", ("unmerged adapter",)), refuse))
    left = [entry.name for entry in place.iterdir() if entry.name.strip(".").startswith("refused")]
    print(f"    left at the target of that export: {left or 'nothing'}")
    if left:
        rows[-1].found = None
    return rows


def index(clean: Export) -> list[Row]:
    """Faults on the way into the index."""
    name = "dense LoRA"
    faults = [
        ("index: not renormalised after truncating", "un-normalised vectors", spoilt(lambda rows: rows[:, :INDEXED])),
        ("index: another dimension", "wrong truncation", spoilt(lambda rows: truncate(rows, 16), 16)),
        ("index: the last numbers", "wrong truncation", spoilt(lambda rows: truncate(rows[:, -INDEXED:], None))),
        ("index: pages in another order", "index rows", spoilt(lambda rows: truncate(rows, INDEXED), order=True)),
        (
            "index: 8-bit numbers",
            "other precision",
            spoilt(lambda rows: np.round(truncate(rows, INDEXED) * 127) / 127),
        ),
    ]
    return [
        case(Row(name, label, "index", (cause,)), lambda store=store: clean.check(clean.folder, store=store))
        for label, cause, store in faults
    ]


def late(place: Path, words: list[str]) -> list[Row]:
    """Late interaction: a backbone with a new projection, and a published class."""
    base = _tiny.tiny_qwen3_vl(place / "backbone", hidden=WIDTH, vision_hidden=WIDTH, words=words)
    recipe = Recipe(
        model=ModelRecipe(name=str(base), kind="late", projection=48, token_pooling=2, max_pixels=SIDE * SIDE),
        lora=LoraRecipe(rank=4),
        index=IndexRecipe(dimension=INDEXED),
    )
    made: list[Export] = []
    rows = [
        case(
            Row("late", "clean, LoRA and a new projection", "", ()),
            lambda: made.append(export(place, "late", recipe, base, moved="lora_B")),
        )
    ]
    clean = made[0]
    # The projection is trained besides: another than the base's file holds.
    move(clean.model, "1.linear", 0.05)
    save_finished(clean.model, clean.folder, recipe, pairs())
    clean = replace(clean, trained=replace(remember(clean.model, pairs()), base=clean.trained.base))
    query, document = (edit(CONFIG, "prompts", role, value="") for role in PROMPTS)
    size = ("image_processor", "size", "longest_edge")
    small = edit("processor_config.json", *size, value=5000)
    dense_folder = next(entry.name for entry in clean.folder.iterdir() if entry.name.endswith("_Dense"))
    stale = base_file(f"{dense_folder}/model.safetensors")
    rows += damaged(
        clean,
        "late",
        [
            ("query prompt dropped", "saved", ("query prompt",), query),
            ("document prompt dropped", "saved", ("document prompt",), document),
            ("adapter saved beside the weights", "saved", ("unmerged adapter",), not_merged),
            ("stale projection", "saved", ("stale projection",), stale),
            ("projection left out", "saved", ("missing projection",), without_module("Dense")),
            ("pixel bounds, the recipe's hide it", "plain", ("pixel bounds",), small),
            ("weights rounded to bfloat16", "saved", ("other precision",), halved),
            ("stale projection and query prompt", "saved", ("query prompt", "stale projection"), both(stale, query)),
        ],
        place,
    )
    rows.append(
        case(
            Row("late", "index: tokens truncated", "index", ("wrong truncation",)),
            lambda: clean.check(clean.folder, store=spoilt(lambda rows: rows[:, :INDEXED])),
        )
    )
    published = _tiny.tiny_colqwen2(place / "colqwen", hidden=WIDTH, vision_hidden=WIDTH, embedding=32, words=words)
    whole = Recipe(model=ModelRecipe(name=str(published)), index=IndexRecipe(dimension=INDEXED))
    return [
        *rows,
        case(
            Row("late", "clean, ColQwen2, all weights", "", ()),
            lambda: export(place, "colqwen", whole, published, moved="embedding_proj"),
        ),
    ]


def router(place: Path, words: list[str]) -> list[Row]:
    """Two towers."""
    text = _tiny.tiny_text_encoder(place / "text", hidden=WIDTH, words=words)
    image = _tiny.tiny_siglip(place / "image", hidden=WIDTH, image_size=SIDE, words=words)
    recipe = Recipe(
        model=ModelRecipe(name=str(text), kind="router", image_model=str(image)), index=IndexRecipe(dimension=INDEXED)
    )
    made: list[Export] = []
    rows = [
        case(
            Row("router", "clean, all weights", "", ()),
            lambda: made.append(export(place, "router", recipe, text, moved="linear.weight", size=0.05)),
        )
    ]
    projections = {
        entry.name.partition("_")[0]: entry.relative_to(made[0].folder) for entry in made[0].folder.rglob("*_Dense")
    }
    pooling = next(entry.relative_to(made[0].folder) for entry in made[0].folder.rglob("text_*_Pooling"))
    faults = [
        ("query prompt dropped", "saved", ("query prompt",), edit(CONFIG, "prompts", "query", value="")),
        (
            "pooling of the text tower",
            "saved",
            ("pooling",),
            edit(f"{pooling}/config.json", "pooling_mode", value="cls"),
        ),
        ("Normalize left out", "saved", ("un-normalised vectors",), without_module("Normalize")),
        ("weights rounded to bfloat16", "saved", ("other precision",), halved),
    ]
    for tower in ("text", "image"):
        stale = base_file(f"{projections[tower]}/model.safetensors")
        faults.append((f"stale projection of the {tower} tower", "saved", ("stale projection",), stale))
    return rows + damaged(made[0], "router", faults, place)


def half(place: Path, words: list[str]) -> list[Row]:
    """bfloat16: a merge that keeps what was learnt, and an adapter that is too small for its 8 bits."""
    base = _tiny.tiny_qwen3_vl(place / "half", hidden=WIDTH, vision_hidden=WIDTH, words=words)
    recipe = Recipe(
        model=ModelRecipe(name=str(base), dtype="bfloat16"),
        lora=LoraRecipe(rank=4),
        index=IndexRecipe(dimension=INDEXED),
    )
    return [
        case(
            Row("bfloat16", "clean, LoRA", "", ()),
            lambda: export(place, "half-clean", recipe, base, moved="lora_B", size=0.1),
        ),
        case(
            Row("bfloat16", "an adapter smaller than the rounding", "merged", ("merge precision",)),
            lambda: export(place, "half-lost", recipe, base, moved="lora_B", size=0.001),
        ),
    ]


def others(place: Path, words: list[str]) -> list[Row]:
    """Clean exports of the other classes."""
    rows = []
    for build, moved in (("tiny_siglip", "text_model.head"), ("tiny_clip", "projection"), ("tiny_modernvbert", "norm")):
        more = {} if build == "tiny_modernvbert" else {"image_size": SIDE}
        base = getattr(_tiny, build)(place / build, hidden=WIDTH, words=words, **more)
        recipe = Recipe(model=ModelRecipe(name=str(base)), index=IndexRecipe(dimension=INDEXED))
        rows.append(
            case(
                Row(build.removeprefix("tiny_"), "clean, all weights", "", ()),
                lambda build=build, recipe=recipe, base=base, moved=moved: export(
                    place, build, recipe, base, moved=moved
                ),
            )
        )
    return rows


def main() -> int:
    began = time.monotonic()
    words = _drawn.vocabulary()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for part in (dense, late, router, half, others):
            rows += part(Path(folder), words)
    faults, clean = [row for row in rows if row.causes], [row for row in rows if not row.causes]
    caught, passed = sum(row.holds for row in faults), sum(row.holds for row in clean)
    holds = caught == len(faults) and passed == len(clean)
    print(f"{time.monotonic() - began:.0f} s")
    print(
        "claim: every seeded fault is caught at its step and named, every clean export passes: "
        f"{caught} of {len(faults)} faults, {passed} of {len(clean)} clean exports: {'holds' if holds else 'FAILS'}"
    )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
