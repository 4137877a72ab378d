"""The stages in order: what each needs, whether it is finished, and running what is not.

A stage is finished when it recorded the same fingerprint that it would have now: what its inputs hold, its part of the
recipe, and the version of its code. What a stage made is known by content, so that a stage which ran again and made
the same thing sets off nothing after it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from pagetune.auto import as_noted, settle
from pagetune.changes import difference, judged_stamp, only
from pagetune.context import Context, Summary
from pagetune.errors import PagetuneError, RecipeError, WorkspaceError
from pagetune.progress import SILENT, Progress
from pagetune.recipe import GATE_KEYS, EvaluateRecipe, Recipe, RerankRecipe, left_open, load_recipe
from pagetune.recipe_training import OWN
from pagetune.workspace import Workspace, command, fingerprint, write_atomically

Parts = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """One step of the way: its name is the verb, the folder and the key in every record."""

    name: str
    version: int
    """Raised whenever the code makes something else from the same inputs, so that old work is done again."""
    needs: tuple[str, ...]
    """Every stage whose output it reads itself: what one made may stay the same while what an earlier made does not."""
    keys: tuple[str, ...]
    """What it reads of the recipe: whole sections, or single keys (`section.key`), so that no other sets it off."""
    outputs: tuple[str, ...]
    """What must lie in the workspace for the stage to count as finished."""


EVALUATE_KEYS = (
    *(f"evaluate.{key}" for key in EvaluateRecipe.model_fields if key not in GATE_KEYS),
    *("fit.matryoshka", "model"),
)
STAGES = (
    Stage("read", 2, (), ("read",), ("pages/pages.parquet", "pages/documents.parquet")),
    Stage("queries", 2, ("read",), ("queries", "splits"), ("data/queries",)),
    Stage("mine", 2, ("read", "queries"), ("model", "mine"), ("negatives/examples.parquet",)),
    Stage("fit", 2, ("read", "queries", "mine"), ("model", "lora", "fit"), ("model/modules.json",)),
    Stage(
        "evaluate",
        5,
        ("read", "queries", "fit"),
        EVALUATE_KEYS,
        ("runs/evaluate/metrics.json",),
    ),
    Stage("index", 2, ("read", "fit"), ("index", "evaluate.depth", "evaluate.fusion_weight", "model"), ("index",)),
)
NAMES = tuple(stage.name for stage in STAGES)

DATASET_STAGES = (
    Stage("fit", 2, (), ("dataset", "model", "lora", "fit"), ("model/modules.json",)),
    Stage("evaluate", 6, ("fit",), ("dataset", *EVALUATE_KEYS), ("runs/evaluate/metrics.json",)),
)
"""Where the recipe names a dataset of page images there are no documents: nothing to read, to write or to mine."""


RERANK_KEYS = (
    *(f"rerank.{key}" for key in RerankRecipe.model_fields if key not in ("depth", "weight", "deadline")),
    *("lora", "model", "mine", "splits.validation"),
    *(f"fit.{key}" for key in ("lifted_share", "freeze_vision", "best", "parity")),
    *(f"fit.{key}" for key in ("bf16", "dropout", "gradient_checkpointing", "max_grad_norm")),
)
USED_KEYS = (
    *(f"rerank.{key}" for key in ("name", "revision", "architecture", "dtype", "attention", "depth", "weight")),
    *(f"rerank.{key}" for key in ("prompts", "min_pixels", "max_pixels", "max_tokens")),
)
"""What decides the scores of a reranker in use, and what is made of them."""
RERANK_OUTPUTS = ("reranker/modules.json",)
FUSED = "evaluate.fusion_weight"
"""Of documents the shortlists that a reranker's checkpoints and its use are judged on are BM25's and the model's."""
RERANK = Stage("rerank", 2, ("read", "queries", "mine"), (*RERANK_KEYS, FUSED), RERANK_OUTPUTS)
DATASET_RERANK = Stage("rerank", 2, (), (*RERANK_KEYS, "dataset"), RERANK_OUTPUTS)
"""Where the recipe has a reranker; it comes after `fit`, and of documents needs what was mined, not the tuned model."""


TAUGHT_KEYS = tuple(
    f"rerank.{key}"
    for key in (
        "negatives",
        "random_share",
        "mask_probability",
        "max_tokens",
        "prompts",
        "min_pixels",
        "max_pixels",
        "dtype",
        "attention",
    )
)
"""What a fit with `fit.teacher` reads of the section `rerank`: its lists, and how the teacher is asked."""


def stages_of(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages that a run with this recipe has."""
    documents = recipe.dataset.train is None
    stages = STAGES if documents else DATASET_STAGES if recipe.dataset.eval is not None else DATASET_STAGES[:1]
    trained = recipe.kind == "reranker"
    teaches = documents and trained and recipe.fit.teacher == OWN
    found = []
    for stage in stages:
        if stage.name == "fit" and recipe.fit.teacher is not None:
            stage = replace(stage, keys=(*stage.keys, *TAUGHT_KEYS, *(() if documents else ("mine",))))
        if stage.name == "fit" and teaches:
            found.append(RERANK)
            stage = replace(stage, needs=(*stage.needs, "rerank"))
        if stage.name == "evaluate" and recipe.evaluate.rerank:
            # One that was trained, or a published one: without a stage of its own it is an input, as a model is.
            needs = (*stage.needs, "rerank") if trained else stage.needs
            stage = replace(stage, needs=needs, keys=(*stage.keys, *USED_KEYS))
        found.append(stage)
        if stage.name == "fit" and trained and not teaches:
            found.append(RERANK if documents else DATASET_RERANK)
    return tuple(found)


def trained_by(verb: str, recipe: Recipe) -> str:
    """The stage that a verb runs: `fit` trains what the recipe's `kind` says."""
    return "rerank" if verb == "fit" and recipe.kind == "reranker" else verb


@dataclass(frozen=True)
class Step:
    """One line of a dry run."""

    stage: str
    action: str
    """`keep` what is there, or `run` the stage."""
    reason: str


class Pipeline:
    """The stages over one workspace; each method name is a verb.

    `recipe`: without one, the workspace's own, and the defaults where it has none yet. `documents` are files and
    folders to read; without them, the ones that the workspace was given before. Raises RecipeError where the
    workspace's recipe cannot be read.
    """

    def __init__(
        self,
        workspace: Path | str,
        recipe: Recipe | None = None,
        *,
        documents: Sequence[Path | str] = (),
        progress: Progress = SILENT,
    ) -> None:
        self.workspace = Workspace(Path(workspace))
        self.recipe = as_noted(self.workspace, recipe or _own_recipe(self.workspace))
        self.progress = progress
        self._documents = [Path(path).absolute() for path in documents]
        self._running = False

    def read(self) -> Summary:
        """Read the documents into pages."""
        return self.run(until="read")["read"]

    def queries(self) -> Summary:
        """Write queries and split them."""
        return self.run(until="queries")["queries"]

    def mine(self) -> Summary:
        """Find hard negatives."""
        return self.run(until="mine")["mine"]

    def fit(self) -> Summary:
        """Finetune what the recipe's `kind` says: the model, or a reranker."""
        stage = trained_by("fit", self.recipe)
        return self.run(until=stage)[stage]

    def evaluate(self) -> Summary:
        """Judge base, tuned, BM25 and fused."""
        return self.run(until="evaluate")["evaluate"]

    def index(self) -> Summary:
        """Build the search index."""
        return self.run(until="index")["index"]

    def run(self, until: str | None = None) -> dict[str, Summary]:
        """Run every stage, or those that `until` needs, where not finished; the summaries by stage.

        Raises WorkspaceError when the workspace is held by another run, and what the stages raise.
        """
        from pagetune import image_stages, rerank_stages, stages

        rooms: ModuleType = image_stages if self.recipe.dataset.train else stages
        wanted = _needed(until, self.recipe)
        self._check_documents()
        self._check_teacher(wanted)
        with self.workspace.lock():
            self.workspace.create()
            self._running = True
            self._remember()
            for stage in wanted:
                self._settle(stage)
                why = self._why(stage)
                if why is None:
                    continue
                self.progress.say(f"{stage.name}: {why}")
                room = rerank_stages if stage.name == "rerank" else rooms
                work: Callable[[Context], Summary] = getattr(room, f"do_{stage.name}")
                parts = self._parts(stage)
                # From here on its output may be replaced: the old record must not outlive what it was a record of.
                self.workspace.forget(stage.name)
                try:
                    summary = work(replace(self.context, judged=judged_stamp(parts)))
                except PagetuneError as error:
                    with suppress(OSError):
                        self.workspace.fail(stage.name, str(error))
                    raise
                self.workspace.finish(stage.name, parts, summary)
        return {stage.name: self._summary(stage.name) for stage in wanted}

    def plan(self, until: str | None = None) -> list[Step]:
        """What `run` would do, stage by stage, and why; nothing is written."""
        self._check_documents()
        self._check_teacher(_needed(until, self.recipe))
        steps: list[Step] = []
        redone: set[str] = set()
        for stage in _needed(until, self.recipe):
            upstream = [need for need in stage.needs if need in redone]
            why = self._why(stage) if not upstream else f"{upstream[0]} runs first and may give it something new"
            if why is None:
                steps.append(Step(stage.name, "keep", "its inputs, recipe and code are unchanged"))
            else:
                redone.add(stage.name)
                steps.append(Step(stage.name, "run", why))
        return steps

    @property
    def context(self) -> Context:
        """What its stages are given."""
        return Context(self.workspace, self.recipe, self.progress, tuple(self.documents))

    @property
    def documents(self) -> list[Path]:
        """The files and folders to read: as given, else as the workspace remembers them."""
        if self._documents or self.recipe.dataset.train:
            return self._documents
        try:
            return [Path(path) for path in json.loads(self._documents_file.read_text(encoding="utf-8"))]
        except FileNotFoundError:
            return []

    @property
    def _documents_file(self) -> Path:
        return self.workspace.root / "documents.json"

    def _check_documents(self) -> None:
        if self.recipe.dataset.train:
            if self._documents:
                given = f"dataset.train={self.recipe.dataset.train!r} and documents ({self._documents[0]})"
                raise RecipeError([f"{given}: give one of them"])
            return
        for path in self._documents:
            if not path.exists():
                raise WorkspaceError(f"{path} does not exist; give files or folders to read")
        root = self.workspace.root
        for path in self.documents:
            if not path.exists():
                raise WorkspaceError(
                    f"{path}, which {root} was made of, is not there; put it back, or say where its documents are now: "
                    f"pagetune run DOCUMENTS -w {root}"
                )
        if not self.documents:
            raise WorkspaceError(
                f"{root} has not been given documents yet; name them: pagetune run DOCUMENTS -w {root}"
            )

    def _check_teacher(self, wanted: Sequence[Stage]) -> None:
        """Before anything is computed: a fit that learns from the workspace's own reranker finds one."""
        if self.recipe.fit.teacher != OWN or "fit" not in [stage.name for stage in wanted]:
            return
        if self.recipe.kind == "retriever":
            from pagetune.distilling import check_teacher

            check_teacher(self.workspace, self.recipe)
        elif self.recipe.dataset.train is not None:
            raise RecipeError(
                [
                    f"fit.teacher={OWN} with kind=reranker: of a dataset the retriever mines for the reranker, so each "
                    "would wait for the other; fit kind=reranker without it, then kind=retriever with it"
                ]
            )

    def _settle(self, stage: Stage) -> None:
        """What is `auto` in the recipe becomes what the plan chooses, before the first stage that uses the model."""
        if "model" in stage.keys and left_open(self.recipe):
            self.recipe = settle(self.context)
            self._remember()

    def _remember(self) -> None:
        if self.recipe.dataset.train is None:
            write_atomically(self._documents_file, json.dumps([str(path) for path in self.documents]))
        write_atomically(self.workspace.recipe_file, self.recipe.to_yaml())

    def _summary(self, name: str) -> Summary:
        record = self.workspace.finished(name)
        if record is None:
            root = self.workspace.root
            raise WorkspaceError(f"{root}: stage {name} has not finished; run: pagetune {command(name)} -w {root}")
        summary: Summary = record["summary"]
        return summary

    def judged(self) -> str | None:
        """What tells the queries, judgements, pages and model that are judged now from any others; None before all are
        there. `pagetune grid` and the evaluation's report are about the same where it is equal."""
        stage = next((stage for stage in stages_of(self.recipe) if stage.name == "evaluate"), None)
        # A reranker that is trained anew, or not yet, changes none of it.
        needs = tuple(need for need in stage.needs if need != "rerank") if stage is not None else ()
        if stage is None or any(self.workspace.finished(need) is None for need in needs):
            return None
        return judged_stamp(self._parts(replace(stage, needs=needs)))

    def _parts(self, stage: Stage) -> Parts:
        recipe = only(self.recipe.model_dump(mode="json"), stage.keys)
        return {"inputs": self._inputs(stage), "recipe": recipe, "code": stage.version}

    def _inputs(self, stage: Stage) -> Parts:
        if stage.name == "read":
            from pagetune.pages.listing import list_documents
            from pagetune.pages.office import office_command
            from pagetune.pages.reading import can_ocr

            tools = {"OCR": can_ocr(), "LibreOffice": office_command() is not None}
            return {"documents": list_documents(self.documents, self.workspace, remember=self._running), "tools": tools}
        models = self._local_models(stage)
        if stage.name == "fit" and self.recipe.fit.teacher == OWN:
            models["rerank"] = self._content("rerank")
        made: Parts = {need: self._summary(need)["content"] for need in stage.needs}
        if stage.name == "evaluate":
            from pagetune.evaluation.guard import guard_stamp
            from pagetune.reviews import review_stamp

            made |= {"reviews": stamp} if (stamp := review_stamp(self.workspace)) else {}
            made |= {"guard": files} if (files := guard_stamp(self.recipe.evaluate.guard)) else {}
        if stage.name == "evaluate" and self.recipe.evaluate.rerank and "rerank" not in stage.needs:
            made |= {"reranker": self._content("rerank")}
        if self.recipe.dataset.train:
            from pagetune.image_stages import stamp as stamp_dataset

            unread = {"evaluate": "train", "rerank": "eval"}.get(stage.name)
            read = self.recipe.dataset.model_copy(update={unread: None} if unread else {})
            retriever = {"retriever": self._content("fit")} if stage.name == "rerank" else {}
            return {"dataset": stamp_dataset(read)} | made | models | retriever
        return made | models

    def _content(self, name: str) -> str | None:
        """Of what a stage made that is used where it is there: the model that mines a dataset, the reranker."""
        record = self.workspace.finished(name)
        return None if record is None else str(record["summary"]["content"])

    def _local_models(self, stage: Stage) -> Parts:
        """The files of models that are folders: another may lie there under the same name. Rerankers by themselves,
        since they change nothing of what is judged."""
        from pagetune.workspace import stamp_files

        models, rerankers = [], []
        if "model" in stage.keys:
            models += [self.recipe.model.name, self.recipe.model.image_model]
        if "rerank.name" in stage.keys:
            rerankers += [self.recipe.rerank.name, self.recipe.rerank.teacher if stage.name == "rerank" else None]
        if stage.name == "fit" and self.recipe.fit.teacher != OWN:
            rerankers.append(self.recipe.fit.teacher)
        named = {"models": models, "rerankers": rerankers}
        found = {
            kind: stamp_files(Path(name) for name in names if name and Path(name).is_dir())
            for kind, names in named.items()
        }
        return {kind: files for kind, files in found.items() if files}

    def _why(self, stage: Stage) -> str | None:
        """Why a stage has to run; None where its work is finished."""
        record = self.workspace.finished(stage.name)
        if record is None:
            reason = self.workspace.failed(stage.name)
            return "not done yet" if reason is None else f"it failed ({reason})"
        missing = [name for name in stage.outputs if not (self.workspace.root / name).exists()]
        if missing:
            return f"{missing[0]} is gone"
        if stage.name == "evaluate" and self.recipe.evaluate.rerank:
            from pagetune.evaluation.rerank_use import has_use

            if not has_use(self.workspace, self.recipe):
                return "the reranker's weight and calibration are gone"
        parts = self._parts(stage)
        # What was recorded by a version that read more of the recipe is compared by what is read now.
        had = record["parts"] | {"recipe": only(record["parts"].get("recipe", {}), stage.keys)}
        if fingerprint(had) == fingerprint(parts):
            return None
        return difference(had, parts)


def _own_recipe(workspace: Workspace) -> Recipe:
    return load_recipe(workspace.recipe_file) if workspace.recipe_file.exists() else Recipe()


def _needed(until: str | None, recipe: Recipe) -> list[Stage]:
    known = stages_of(recipe)
    if until is None:
        return list(known)
    if until not in [stage.name for stage in known]:
        why = " with dataset.train, and evaluate with dataset.eval too" if recipe.dataset.train else ""
        raise RecipeError([f"{until!r} is not a stage; the stages are {', '.join(s.name for s in known)}{why}"])
    wanted = {until}
    for stage in reversed(known):
        if stage.name in wanted:
            wanted.update(stage.needs)
    return [stage for stage in known if stage.name in wanted]
