"""mteb's runner over our models and our sets: a model that it can run, and a local set as one of its tasks.

    import mteb
    from pagetune.evaluation.mteb import MtebModel, image_task

    task = image_task(make_eval_set("my-pages"), "MyPages")
    mteb.evaluate(MtebModel(load_model(recipe), "me/my-model"), task, cache=None)

(Muennighoff et al., 2023; Enevoldsen et al., 2025.) The model is given to mteb as one that searches: pages and queries
are encoded and ranked here, as everywhere in Pagetune, and mteb judges the run with trec_eval's code as well.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import MissingExtra, ModelError
from pagetune.evaluation.ranking import untied
from pagetune.evaluation.retrieval import rank_pages
from pagetune.models.encoding import PageVectors, encode_readings
from pagetune.models.inspect import is_late
from pagetune.models.pictures import encode_texts
from pagetune.progress import SILENT, Progress
from pagetune.recipe import ModelRecipe

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image

    from pagetune.examples.visual import ImageEvalSet


class MtebModel:
    """A Sentence Transformers model as mteb's SearchProtocol: `index` encodes a task's pages, `search` its queries.

    Page images go to a model that takes them, texts to one that reads; late interaction is scored by MaxSim. `name` is
    of the form OWNER/MODEL. mteb's own prompts are not used: the model's are. `cache` keeps page vectors.
    """

    def __init__(
        self,
        model: Any,
        name: str,
        *,
        revision: str = "local",
        recipe: ModelRecipe | None = None,
        dimension: int | None = None,
        cache: Path | None = None,
        progress: Progress = SILENT,
    ) -> None:
        _require()
        if name.count("/") != 1:
            raise ModelError(f"mteb model name {name!r} is not of the form OWNER/MODEL; write one, such as me/{name}")
        self.model = model
        self.name, self.revision = name, revision
        self.recipe = recipe or ModelRecipe()
        self.dimension = dimension
        self.cache = cache
        self.progress = progress
        self._pages: PageVectors | None = None

    @property
    def mteb_model_meta(self) -> Any:
        """What mteb files the results under."""
        from mteb.models import ModelMeta

        kind = "late-interaction" if is_late(self.model) else "dense"
        known = [modality for modality in ("text", "image") if self.model.supports(modality)]
        return ModelMeta.create_empty(
            {
                "name": self.name,
                "revision": self.revision,
                "modalities": known,
                "model_type": [kind],
                "framework": ["Sentence Transformers", "PyTorch"],
                "similarity_fn_name": "MaxSim" if kind == "late-interaction" else "cosine",
            }
        )

    def index(self, corpus: Dataset, **settings: Any) -> None:
        """Encode a task's documents: their images where there are some and the model takes images, else their texts."""
        ids = [str(name) for name in corpus["id"]]
        if "image" in corpus.column_names and self.model.supports("image"):
            self._pages = self._of_images(corpus, ids, settings.get("encode_kwargs") or {})
        elif "text" in corpus.column_names and not is_late(self.model):
            titles = corpus["title"] if "title" in corpus.column_names else [""] * len(ids)
            texts = [f"{title} {text}".strip() for title, text in zip(titles, corpus["text"], strict=True)]
            readings = dict(zip(ids, texts, strict=True))
            self._pages = encode_readings(self.model, readings, self.recipe, self.cache, self.progress)
        else:
            raise ModelError(
                f"{self.name} takes {', '.join(self.model.modalities)}, the task's documents are "
                f"{', '.join(corpus.column_names)}; choose a task of images or a model that reads"
            )

    def search(
        self, queries: Dataset, *, top_k: int, top_ranked: Mapping[str, Sequence[str]] | None = None, **settings: Any
    ) -> dict[str, dict[str, float]]:
        """The `top_k` nearest documents of each query, of `top_ranked` only where a task names those that may answer.

        A query that `top_ranked` does not name gets none, as mteb has it for its own models. No two scores are equal,
        so that mteb breaks no tie its own way.
        """
        if self._pages is None:
            raise ModelError("nothing is indexed: mteb calls index before search")
        ids, texts = [str(name) for name in queries["id"]], list(queries["text"])
        asked = encode_texts(self.model, texts)
        out: dict[str, _AllBut] = {}
        if top_ranked is not None:
            known = frozenset(self._pages.ids)
            out = {query: _AllBut(known, top_ranked.get(query, ())) for query in ids}
        run = rank_pages(ids, asked, self._pages, dimension=self.dimension, depth=top_k, exclude=out)
        return {query: untied(own) for query, own in run.items()}

    def _of_images(self, corpus: Dataset, ids: Sequence[str], given: Mapping[str, Any]) -> PageVectors:
        from datasets import Image as Picture

        from pagetune.training.page_encoding import PageImages, encode_pictures

        place = {page: row for row, page in enumerate(ids)}
        encoded = corpus.cast_column("image", Picture(decode=False))

        def image(page: str) -> Image:
            return corpus[place[page]]["image"].convert("RGB")

        def size(page: str) -> tuple[int, int]:
            return _size(encoded[place[page]]["image"])

        keys = {page: _digest(encoded[row]["image"]) for page, row in place.items()}
        batch = {"encode_batch": int(given["batch_size"])} if given.get("batch_size") else {}
        recipe, pages = self.recipe.model_copy(update=batch), PageImages(keys, image, size)
        return encode_pictures(self.model, pages, recipe, cache=self.cache, progress=self.progress)


class _AllBut(Collection[str]):
    """All pages but some, without a list of them: those may be nearly all, or hardly any."""

    def __init__(self, pages: frozenset[str], kept: Sequence[str]) -> None:
        self._pages, self._kept = pages, pages.intersection(kept)

    def __contains__(self, page: object) -> bool:
        return page not in self._kept

    def __iter__(self) -> Iterator[str]:
        return iter(self._pages - self._kept)

    def __len__(self) -> int:
        return len(self._pages) - len(self._kept)


def image_task(chosen: ImageEvalSet, name: str, languages: Sequence[str] = ("eng-Latn",)) -> Any:
    """A set of page images as a retrieval task of mteb, nothing of it fetched: queries, pages and judgements in memory.

    Pages that the set excludes from a query's answers are given to mteb as it has them in its own tasks (BRIGHT): for
    every query the pages that may answer it, as if they were to be reranked. Any model of mteb's keeps to that.
    `languages` are mteb's codes of the queries' languages.
    """
    _require()
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    class LocalTask(AbsTaskRetrieval):
        """Queries over page images, as they were given."""

        metadata = TaskMetadata(
            name=name,
            description=f"Page images and queries of {chosen.name}",
            dataset={"path": chosen.name, "revision": chosen.fingerprint},
            type="DocumentUnderstanding",
            category="t2i",
            modalities=["text", "image"],
            eval_splits=["test"],
            eval_langs=list(languages),
            main_score="ndcg_at_10",
        )

        def load_data(self, num_proc: int | None = None, **given: Any) -> None:
            """Everything is here already."""
            if not self.data_loaded:
                self.dataset = {"default": {"test": _split(chosen)}}
                self.data_loaded = True

    return LocalTask()


def _split(chosen: ImageEvalSet) -> Any:
    from datasets import Dataset, Features, Image, Value
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData

    cells = [chosen.pages.cell(page) for page in chosen.page_ids]
    features = Features({"id": Value("string"), "image": Image()})
    return RetrievalSplitData(
        corpus=Dataset.from_dict({"id": list(chosen.page_ids), "image": cells}, features=features),
        queries=Dataset.from_dict({"id": list(chosen.queries), "text": list(chosen.queries.values())}),
        relevant_docs={query: dict(grades) for query, grades in chosen.qrels.items()},
        top_ranked=_may_answer(chosen) if chosen.excluded else None,
    )


def _may_answer(chosen: ImageEvalSet) -> dict[str, list[str]]:
    """The pages that may answer each query; those of which nothing is excluded share one list."""
    every = list(chosen.page_ids)
    found = dict.fromkeys(chosen.queries, every)
    for query, pages in chosen.excluded.items():
        out = frozenset(pages)
        found[query] = [page for page in every if page not in out]
    return found


def _digest(cell: Mapping[str, Any]) -> str:
    return hashlib.sha256(_content(cell)).hexdigest()


def _size(cell: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height; nothing is decoded but the header."""
    from PIL import Image as Pictures

    with Pictures.open(io.BytesIO(_content(cell))) as picture:
        return picture.size


def _content(cell: Mapping[str, Any]) -> bytes:
    return cell["bytes"] if cell["bytes"] is not None else Path(cell["path"]).read_bytes()


def _require() -> None:
    try:
        import mteb  # noqa: F401
    except ImportError:
        raise MissingExtra("mteb", "mteb", "running under mteb") from None
