"""Comparisons: the table and its stars, processes that end badly, what is kept, the plots, the pages' text."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from rich.console import Console

from pagetune.cli.compare import grid_table
from pagetune.errors import DataError, MissingExtra, ModelError, RecipeError, WorkspaceError
from pagetune.evaluation.canvas import LIGHT, Canvas
from pagetune.evaluation.comparison import compare as comparing
from pagetune.evaluation.comparison import page_texts as texts
from pagetune.evaluation.comparison.compare import Compared, compare_models
from pagetune.evaluation.comparison.entries import find_entries
from pagetune.evaluation.comparison.grid import Failure, Grid, Kind, Result, make_grid, short_name
from pagetune.evaluation.comparison.judging import Job, judge
from pagetune.evaluation.comparison.keeping import RUN, beside, write_answers
from pagetune.evaluation.comparison.labels import Label, place_labels
from pagetune.evaluation.comparison.plots import count_of, drawn
from pagetune.evaluation.comparison.report import write_comparison
from pagetune.evaluation.comparison.worker import reason_of
from pagetune.evaluation.metrics import MAIN_METRIC, METRICS, QueryScores
from pagetune.evaluation.ranking import ranking
from pagetune.evaluation.trec import read_quoted
from pagetune.examples.loading import load_eval_set
from pagetune.models.passages import PageText
from pagetune.models.presets import PRESETS, find_preset
from pagetune.progress import SILENT, Silent, Task
from pagetune.recipe import EvaluateRecipe, ModelRecipe, Recipe, load_recipe, shipped_recipes

FACTS = {"set": "a set", "queries": 40, "pages": 50, "judgements": 40, "machine": {"processor": "a machine"}}
FEW = EvaluateRecipe(resamples=500)


def result(label: str, values: Any, kind: Kind = "dense", **changes: Any) -> Result:
    """A result whose every metric has these values, one a query."""
    scores = np.asarray(values, dtype=np.float64)
    queries = tuple(f"q{number:03d}" for number in range(len(scores)))
    given: dict[str, Any] = {
        "label": label,
        "kind": kind,
        "about": "a model of the tests",
        "scores": QueryScores(queries, dict.fromkeys(METRICS, scores)),
        "by_dimension": {64: float(scores.mean()), 32: float(scores.mean()) * 0.9},
        "parameters": 2_000_000,
        "dimension": 64,
        "vectors_per_page": 1.0,
        "bytes_per_page": 256.0,
        "pages_per_second": 3.0,
        "ms_per_query": 1.5,
        "device": "a processor",
    }
    lexical = {"by_dimension": {}, "parameters": None, "dimension": None, "vectors_per_page": None}
    return Result(**{**given, **(lexical if kind == "lexical" else {}), **changes})


def scores(level: float, seed: int, count: int = 40) -> Any:
    return np.clip(level + np.random.default_rng(seed).normal(0, 0.1, count), 0, 1)


@pytest.fixture(scope="module")
def grid() -> Grid:
    """BM25 in front, a model that is no worse, one of late interaction that is, and one that failed."""
    best = scores(0.8, 1)
    results = [
        result("owner/late | odd", scores(0.5, 3), "late", vectors_per_page=90.0, by_dimension={64: 0.5}),
        result("equal", best[::-1]),
        result("BM25", best + 0.001, "lexical"),
    ]
    return make_grid(results, [Failure("broken", "it cannot be loaded")], FEW, FACTS)


def test_rows_are_sorted_and_starred_where_the_best_is_not_shown_to_be_better(grid: Grid) -> None:
    assert [row.result.label for row in grid.rows] == ["BM25", "equal", "owner/late | odd"]
    assert [row.starred for row in grid.rows] == [False, True, False]
    assert grid.rows[2].against_best is not None
    assert grid.rows[2].against_best.p < 0.05
    against = [row.against_best for row in grid.rows[1:]]
    assert {found.family for found in against if found is not None} == {3}  # Pairs of three.
    assert all(found is not None and found.holm is not None and found.holm >= found.p for found in against)
    assert "BM25 has the highest NDCG@10" in grid.verdict
    assert "1 of 2 others is not measurably worse" in grid.verdict


def test_few_queries_give_no_verdict() -> None:
    small = make_grid([result("a", [1.0] * 5), result("b", [0.0] * 5)], [], FEW, FACTS)
    assert "too few queries" in small.verdict
    assert small.rows[1].starred


def test_nothing_judged_is_said_and_written(tmp_path: Path) -> None:
    none = make_grid([], [Failure("a", "no")], FEW, {**FACTS, "queries": 0})
    assert none.verdict == "None of 1 models could be judged."
    write_comparison(none, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"compare.md", "compare.html", "compare.json"}


def test_a_result_comes_back_from_json() -> None:
    made = result("a", scores(0.5, 1), vectors_per_page=90.5)
    again = Result.from_json(json.loads(json.dumps(made.as_json())))
    assert {**again.as_json(), "label": "b"} == {**made.as_json(), "label": "b"}
    assert again.by_dimension == made.by_dimension


def test_the_report_has_every_model_and_needs_nothing_else(grid: Grid, tmp_path: Path) -> None:
    write_comparison(grid, tmp_path)
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    for name in ("BM25", "equal", "owner/late | odd", "broken", "it cannot be loaded", "90 × 64"):
        assert name in page
    assert page.count("<svg") == 2
    assert not [part for part in ("src=", "<link", "@import", "url(http") if part in page]
    table = (tmp_path / "compare.md").read_text(encoding="utf-8")
    assert "| owner/late \\| odd | 0." in table
    assert "| broken | it cannot be loaded |" in table
    found = json.loads((tmp_path / "compare.json").read_text(encoding="utf-8"))
    assert [row["model"] for row in found["rows"]] == ["BM25", "equal", "owner/late | odd"]
    assert found["rows"][1]["not_measurably_worse_than_best"] is True
    assert found["rows"][1]["by_dimension"].keys() == {"64", "32"}
    with Image.open(tmp_path / "size.png") as picture:
        assert picture.width > 1000


def test_the_colours_of_files_are_those_of_the_page() -> None:
    from pagetune.evaluation import canvas

    style = (Path(canvas.__file__).parent / "templates" / "house.css").read_text(encoding="utf-8")
    by_day = style[: style.index("@media")]
    assert [name for name, colour in LIGHT.items() if f"--{name}: {colour};" not in by_day] == []


def test_a_plot_of_nothing_is_not_drawn() -> None:
    assert drawn(make_grid([result("BM25", [1.0] * 30, "lexical")], [], FEW, FACTS), "size") == {}


@pytest.mark.parametrize("seed", range(3))
def test_no_name_stands_on_another_or_on_a_point(seed: int) -> None:
    draw = np.random.default_rng(seed)
    with Canvas("test", 5.0, 8.6, LIGHT) as canvas:
        axes = canvas.figure.subplots()
        axes.set_xscale("log")
        axes.set_xlim(1e6, 1e11)
        axes.set_ylim(0, 1)
        spots = [(10 ** draw.normal(9, 0.4), draw.normal(0.85, 0.04)) for _ in range(22)]
        labels = [Label(f"a-model-of-the-tests-{n}b", x, min(y, 0.95), "#000000") for n, (x, y) in enumerate(spots)]
        written = place_labels(axes, labels, size=9, leader="#888888")
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        renderer = FigureCanvasAgg(canvas.figure).get_renderer()
        canvas.figure.draw_without_rendering()
        boxes = [text.get_window_extent(renderer) for text in written]
        room = axes.get_window_extent(renderer).padded(1)
        points = [axes.transData.transform((label.x, label.y)) for label in labels]
    assert len(written) == 22
    for place, box in enumerate(boxes):
        assert room.contains(box.x0, box.y0)
        assert room.contains(box.x1, box.y1)
        assert not any(box.padded(-0.5).overlaps(other) for other in boxes[:place])
        assert not any(box.contains(*point) for point in points)


def test_a_name_is_neither_markup_nor_a_formula(tmp_path: Path) -> None:
    odd = "a[best]x, $5 to $6 [/v1]"
    made = make_grid([result(odd, [0.5] * 30), result("b", [0.4] * 30)], [], FEW, FACTS)
    out: Any = io.StringIO()
    Console(width=300, file=out).print(grid_table(made, None))
    assert odd in out.getvalue()
    assert odd in drawn(made, "size")["page"]


def test_the_verdict_and_every_table_name_the_gain(grid: Grid, tmp_path: Path) -> None:
    assert "has the highest NDCG@10 (linear gain)" in grid.verdict
    write_comparison(grid, tmp_path)
    assert '<th scope="col">NDCG@10 (linear gain)</th>' in (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "| model | NDCG@10 (linear gain) |" in (tmp_path / "compare.md").read_text(encoding="utf-8")


def test_names_and_counts_are_short() -> None:
    assert short_name("nvidia/omni-embed-nemotron-3b") == "omni-embed-nemotron-3b"
    assert short_name("Qwen/Qwen3-VL (dtype=float32)") == "Qwen3-VL (dtype=float32)"
    assert short_name("runs/fit/model") == "runs/fit/model"
    assert [count_of(n) for n in (384, 22_700_000, 2_128_000_000, 999_999)] == ["384", "22.7M", "2.13B", "1M"]


def test_the_best_is_compared_with_the_second_best_slice_by_slice(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    half = np.repeat([0.4, 0.0], 30)
    results = [
        result("best | one", 0.5 + half + rng.normal(0, 0.02, 60)),
        result("second", 0.5 + rng.normal(0, 0.02, 60)),
        result("third", np.full(60, 0.1)),
    ]
    kinds = {f"q{number:03d}": "tables" if number < 30 else "prose" for number in range(70)}
    facets = {"kind of query": kinds, "document": dict.fromkeys(kinds, "one")}
    found = make_grid(results, [], FEW, FACTS, facets)
    assert found.slices is not None
    assert (found.slices.new, found.slices.old) == ("best | one", "second")
    assert [(one.name, one.outcome) for one in found.slices.slices] == [
        ("prose", "no measurable gain"),
        ("tables", "gain"),
    ]
    write_comparison(found, tmp_path)
    told = json.loads((tmp_path / "compare.json").read_text(encoding="utf-8"))["slices"]
    assert told["facets"]["kind of query"][1]["outcome"] == "gain"
    for name in ("compare.md", "compare.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "best | one against second, 2 slices tested together" in text
        assert "tables" in text
    assert make_grid(results[:1], [], FEW, FACTS, facets).slices is None
    assert make_grid(results, [], FEW, FACTS).slices is None


def test_what_a_model_answered_lies_beside_its_result(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    job = job_of(reading_set(tmp_path / "set"), tmp_path, None, "words")
    found = judge(job)
    place = tmp_path / "models" / "BM2.5 x-0123.json"
    write_answers(found, job.chosen, place)
    again = read_quoted(beside(place, RUN))
    assert {query: [*pages] for query, pages in again.items()} == {q: ranking(p) for q, p in found.run.items()}
    rows = pq.read_table(tmp_path / "models" / "BM2.5 x-0123.parquet").to_pylist()
    assert [(row["query-id"], row["corpus-ids"], row["rank"], row["first"]) for row in rows] == [
        ("q", ["a"], 1, "a"),
        ("r", ["b"], 1, "b"),
    ]
    assert "run" not in found.as_json()


def test_words_that_were_read_are_used_for_slices_and_none_is_read_for_them(tmp_path: Path) -> None:
    place, cache = beir(tmp_path / "set"), tmp_path / "cache"
    dataset = recipe_of(place, ["light"]).dataset
    chosen = load_eval_set(dataset)
    assert texts.known_texts(chosen, dataset, None, cache) is None
    assert texts.known_texts(chosen, dataset, "prose", cache) is None
    cache.mkdir()
    kept = {chosen.page_key(page): f"words of {page}" for page in chosen.page_ids}
    (cache / "read.json").write_text(json.dumps(kept))
    assert texts.known_texts(chosen, dataset, None, cache) == {"a": "words of a", "b": "words of b"}


@pytest.mark.parametrize("width", [60, 80, 130, None])
def test_the_table_fits_the_screen(width: int | None) -> None:
    long = result("llama-nemotron-embed-vl", [0.5] * 30, bytes_per_page=12_345_678.0, vectors_per_page=742.0)
    grid = make_grid([long, result("b", [0.4] * 30)], [], FEW, {})
    out: Any = io.StringIO()
    Console(width=width or 200, file=out).print(grid_table(grid, width))
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    assert "(linear gain)" in lines[1]
    assert "…" not in out.getvalue()
    assert "NDCG@10" in lines[0]
    assert all(name in lines[1] for name in ("model", "parameters", "pages/s"))
    assert ("Recall@5" in lines[1]) == (width is None)


# The set, and a process that does as its model's name says.

WORKER = """
    import json, os, signal, sys, time
    job = json.load(open(sys.argv[1]))
    pipe = os.fdopen(int(sys.argv[2]), "w")
    name = job["label"].split(" ")[0]
    def say(**event):
        pipe.write(json.dumps(event) + "\\n")
        pipe.flush()
    with open(os.environ["STARTED"], "a") as started:
        started.write(name + "\\n")
    say(task="encode pages", total=3, unit="pages")
    say(advance=3)
    say(end=True)
    if name == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "aborts":
        os.abort()
    if name == "slow":
        time.sleep(float(os.environ.get("SLOW", 30)))
    if name == "leaves":
        print("something went wrong over there")
        sys.exit(3)
    if name == "refuses":
        say(failed="the model takes ['text'], not images")
        sys.exit(1)
    found = json.load(open(os.environ["RESULT"])) | {"label": job["label"]}
    with open(job["result"], "w") as file:
        json.dump(found, file)
"""


def png(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 50), (40 * number % 255, 90, 130)).save(stream, "PNG")
    return stream.getvalue()


def write_rows(folder: Path, count: int = 3) -> Path:
    """Rows of a query, a page and its text."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        (folder / f"{number}.png").write_bytes(png(number))
        rows.append({"query": f"page {number}", "image": f"{number}.png", "words": f"this is page {number}"})
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def recipe_of(place: Path, models: list[Any], **changes: Any) -> Recipe:
    given = {"models": models, "bm25": False, "timeout": 20, **changes}
    return Recipe.model_validate({"dataset": {"eval": str(place)}, "compare": given, "evaluate": {"resamples": 200}})


class Bench:
    """Comparisons with the process above: what was started, what came out."""

    def __init__(self, folder: Path) -> None:
        self.place = write_rows(folder / "set")
        self.output = folder / "out"
        self.log = folder / "started"

    def __call__(self, *models: Any, progress: Any = SILENT, retry: bool = False, **changes: Any) -> Compared:
        recipe = recipe_of(self.place, list(models), **changes)
        return compare_models(recipe, self.output, progress, retry=retry, worker="worker_of_the_tests")

    @property
    def started(self) -> list[str]:
        """The models whose process was started since this was last asked."""
        found = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return found


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "worker_of_the_tests.py").write_text(textwrap.dedent(WORKER))
    (tmp_path / "result.json").write_text(json.dumps(result("x", [1.0, 0.5, 0.0]).as_json()))
    monkeypatch.setattr("pagetune.evaluation.comparison.report.PLOTS", {})  # Drawing them is half a second each time.
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"))
    monkeypatch.setenv("RESULT", str(tmp_path / "result.json"))
    monkeypatch.setenv("STARTED", str(tmp_path / "started"))
    return Bench(tmp_path)


def reasons(done: Compared) -> dict[str, str]:
    return {failure.label: failure.reason for failure in done.grid.failures}


def test_whatever_a_process_does_is_its_models_line(bench: Bench) -> None:
    done = bench("good", "killed", "aborts", "leaves", "refuses", bm25=True)
    assert [row.result.label for row in done.grid.rows] == ["BM25", "good"]
    found = reasons(done)
    assert "SIGKILL" in found["killed"]
    assert "memory" in found["killed"]
    assert "SIGABRT" in found["aborts"]
    assert found["leaves"] == "ended with code 3: something went wrong over there"
    assert found["refuses"] == "the model takes ['text'], not images"
    assert not any("\n" in reason for reason in found.values())
    assert (bench.output / "compare.html").is_file()


def test_finished_work_is_not_done_again(bench: Bench) -> None:
    first = bench("good", "killed", "better")
    assert bench.started == ["good", "killed", "better"]
    page = (bench.output / "compare.json").read_bytes()
    again = bench("good", "killed", "better")
    assert (bench.started, again.ran) == ([], ())
    assert (bench.output / "compare.json").read_bytes() == page
    assert reasons(again) == reasons(first)
    assert bench("good", "killed", "better", "new").ran == ("new",)
    assert bench("good", "killed", retry=True).ran == ("killed",)


def test_other_pages_and_other_settings_are_other_work(bench: Bench) -> None:
    bench("good")
    assert bench({"name": "good", "max_pixels": 1000}).ran == ("good",)
    assert bench("good", dimensions=[16]).ran == ("good",)
    assert bench("good").ran == ()
    write_rows(bench.place, 4)
    assert bench("good").ran == ("good",)


def test_a_model_trained_anew_in_its_folder_is_judged_anew(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "good"
    folder.mkdir()
    (folder / "weights").write_text("1")
    assert bench(str(folder)).ran == ("good",)
    assert bench(str(folder)).ran == ()
    (folder / "weights").write_text("22")
    assert bench(str(folder)).ran == ("good",)


def test_a_model_that_takes_too_long_is_a_line_and_gets_more_time_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = bench("slow", "good", timeout=1)
    assert reasons(done) == {"slow": "took more than 1 s; raise compare.timeout, or leave it out"}
    assert bench("slow", "good", timeout=1).ran == ()
    monkeypatch.setenv("SLOW", "0")
    assert bench("slow", "good", timeout=20).ran == ("slow",)


def test_a_comparison_that_was_stopped_goes_on(bench: Bench) -> None:
    class Stop(Silent):
        def say(self, line: str) -> None:
            if line.startswith("compare: 2"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench("good", "better", progress=Stop())
    assert bench.started == ["good"]
    assert bench("good", "better").ran == ("better",)


def test_progress_comes_through(bench: Bench) -> None:
    seen: list[Any] = []

    class Watch(Silent):
        @contextmanager
        def task(self, name: str, total: int | None, unit: str) -> Iterator[Task]:
            class Seen:
                def advance(self, steps: int = 1) -> None:
                    seen.append((name, total, unit, steps))

                def expect(self, total: int) -> None:
                    pass

            yield Seen()

        def say(self, line: str) -> None:
            seen.append(line)

    bench("good", progress=Watch())
    assert seen == ["compare: 1 of 1, good", ("encode pages", 3, "pages", 3), "  NDCG@10 0.500, 3 pages/s"]


def test_a_folder_is_written_by_one_comparison(bench: Bench) -> None:
    with comparing._held(bench.output), pytest.raises(WorkspaceError, match="written by another"):
        bench("good")


def test_the_process_ends_with_its_parent() -> None:
    code = "from pagetune.evaluation.comparison.worker import _end_with_the_parent as end; end()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    assert process.stdin
    process.stdin.close()
    assert process.wait(30) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModelError("it is no model; give one"), "it is no model; give one"),
        (ValueError("two\nlines"), "ValueError: two lines"),
        (MemoryError(), "out of memory: MemoryError; lower encode_batch or max_pixels"),
        (RuntimeError("CUDA out of memory. Tried"), "out of memory: CUDA out of memory. Tried; lower"),
        (ModuleNotFoundError("no", name="flash_attn.ops"), "needs the package flash_attn, which is not installed: pip"),
    ],
)
def test_reasons_are_one_line(error: Exception, reason: str) -> None:
    assert reason_of(error).startswith(reason)


def test_the_reason_under_the_reason_is_found() -> None:
    error = ModelError("model 'x' cannot be loaded: something")
    error.__cause__ = ModuleNotFoundError("No module named 'peft'", name="peft")
    assert reason_of(error) == "needs the package peft, which is not installed: pip install peft"


# The recipe.


def test_labels_tell_entries_apart(tmp_path: Path) -> None:
    for name in ("a/model", "b/model", "c/other"):
        (tmp_path / name).mkdir(parents=True)
    models = [*(str(tmp_path / name) for name in ("a/model", "b/model", "c/other")), "light"]
    recipe = recipe_of(tmp_path, [*models, {"name": "light", "chunk_tokens": 64}], bm25=True)
    labels = [entry.label for entry in find_entries(recipe, "set")]
    assert labels == ["a/model", "b/model", "other", "light", "light (chunk_tokens=64)", "BM25"]


def test_settings_of_the_machine_hold_for_every_model() -> None:
    recipe = load_recipe(None, ["compare.models=[light, {name: clip-b32, dtype: float16}]", "model.dtype=bfloat16"])
    first, second, _ = find_entries(recipe, "set")
    assert first.model is not None
    assert second.model is not None
    assert (first.model.dtype, second.model.dtype) == ("bfloat16", "float16")


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ("[light, light]", "'light' is there twice"),
        ("[]", "compare.models is empty"),
        ("[BM25]", "set compare.bm25=true"),
        ("[{dtype: float32}]", "with a name"),
        ("[{name: light, dtyp: float32}]", "did you mean 'dtype'?"),
        ("[{name: light, chunk_tokens: 1}]", "chunk_tokens"),
        ("[3]", "compare.models.0"),
    ],
)
def test_wrong_entries_are_one_line(models: str, says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        find_entries(load_recipe(None, [f"compare.models={models}"]), "set")
    assert len(caught.value.problems) == 1
    assert says in caught.value.problems[0]


def test_the_shipped_leaderboard_is_of_presets_that_are_trusted_where_they_must_be() -> None:
    recipe = load_recipe("vdr-leaderboard")
    assert recipe.compare.bm25
    assert recipe.dataset.max_eval_queries == 300
    names = [entry["name"] if isinstance(entry, dict) else entry for entry in recipe.compare.models]
    assert len(names) == 22
    assert names[-2:] == ["router", "light"]
    chosen = [preset for preset in PRESETS if preset.name in names]
    assert len(chosen) == 22
    trusted = [entry["name"] for entry in recipe.compare.models if isinstance(entry, dict)]
    assert sorted(trusted) == sorted(preset.name for preset in chosen if preset.trust_remote_code)
    doubtful = [preset.name for preset in chosen if "not verified" in preset.note]
    assert doubtful == ["omni-embed-nemotron-3b"]
    assert all(find_preset(name) for name in names)
    head = shipped_recipes()["vdr-leaderboard"].read_text(encoding="utf-8").split("\ndataset:")[0]
    assert "pagetune compare recipe=vdr-leaderboard" in head
    assert all(name in head for name in doubtful)


# The pages' text.


def beir(folder: Path, **corpus: list[Any]) -> Path:
    """Two pages, a query of each; `corpus` are further columns of the pages."""
    tables: dict[str, Mapping[str, list[Any]]] = {
        "corpus": {"corpus-id": ["a", "b"], "image": ["0.png", "1.png"], **corpus},
        "queries": {"query-id": ["q", "r"], "query": ["first", "second"]},
        "qrels": {"query-id": ["q", "r"], "corpus-id": ["a", "b"], "score": [1, 1]},
    }
    for name, columns in tables.items():
        (folder / name).mkdir(parents=True)
        rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
        (folder / name / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for number in range(2):
        (folder / "corpus" / f"{number}.png").write_bytes(png(number))
    return folder


def texts_of(place: Path, cache: Path, column: str | None = None) -> tuple[dict[str, str], str]:
    dataset = recipe_of(place, ["light"]).dataset
    return texts.page_texts(load_eval_set(dataset), dataset, column, cache)


def test_the_text_of_a_corpus_is_taken_where_there_is_one(tmp_path: Path) -> None:
    place = beir(tmp_path / "set", markdown=["# one", None], words=["one", "two"])
    assert texts_of(place, tmp_path) == ({"a": "# one", "b": ""}, "column 'markdown' (1 of 2 empty)")
    assert texts_of(place, tmp_path, "words") == ({"a": "one", "b": "two"}, "column 'words'")
    with pytest.raises(DataError, match="text_column='prose' is missing"):
        texts_of(place, tmp_path, "prose")


def test_a_row_may_hold_the_text_of_its_page(tmp_path: Path) -> None:
    place = write_rows(tmp_path / "set")
    found, origin = texts_of(place, tmp_path, "words")
    assert sorted(found.values()) == [f"this is page {number}" for number in range(3)]
    assert origin == "column 'words'"


def test_rows_have_no_text_of_their_negatives(tmp_path: Path) -> None:
    place = write_rows(tmp_path / "set")
    rows = [json.loads(line) for line in (place / "test.jsonl").read_text().splitlines()]
    (place / "other.png").write_bytes(png(9))
    (place / "test.jsonl").write_text("".join(json.dumps({**row, "negative_0": "other.png"}) + "\n" for row in rows))
    with pytest.raises(DataError, match="pages in negative columns"):
        texts_of(place, tmp_path, "words")


def test_a_page_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    reader = ModuleType("the page reader, without torch")
    reader.text_of_picture = lambda picture: read.append(picture) or "words"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pagetune.models.page_reader", reader)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    place = beir(tmp_path / "set")
    assert texts_of(place, tmp_path / "cache") == ({"a": "words", "b": "words"}, "the pages' text by OCR")
    assert texts_of(place, tmp_path / "cache")[0] == {"a": "words", "b": "words"}
    assert len(read) == 2


def test_without_ocr_and_without_text_bm25_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"rapidocr.*pagetune\[light\]"):
        texts_of(beir(tmp_path / "set"), tmp_path)


# Models that read.

PAGES = {"a": "lawn hedge lawn hedge\n" * 12 + "oboe violin oboe violin", "b": "\n".join(["engine piston gasket"] * 9)}
"""Two pages of some passages; the one that answers `oboe violin` is of something else but for its end."""


def job_of(place: Path, folder: Path, settings: ModelRecipe | None, column: str | None = None, **changes: Any) -> Job:
    recipe = recipe_of(place, ["light"], text_column=column, dimensions=[16])
    chosen = load_eval_set(recipe.dataset)
    given = {"cache": folder / "model", "texts": folder / "text", "progress": SILENT, **changes}
    return Job("light", settings, recipe, chosen, **given)


def reading_set(folder: Path) -> Path:
    place = beir(folder, words=list(PAGES.values()))
    (place / "queries" / "test.jsonl").write_text(
        '{"query-id": "q", "query": "oboe violin"}\n{"query-id": "r", "query": "engine piston"}\n'
    )
    return place


@pytest.fixture
def reads(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The tiny model that reads, wherever a model is loaded."""
    monkeypatch.setattr("pagetune.models.loading.load_model", lambda settings: tiny_model)
    return tiny_model


def test_a_model_that_reads_has_a_vector_a_passage_as_in_the_product(reads: Any, tmp_path: Path) -> None:
    found = judge(job_of(reading_set(tmp_path / "set"), tmp_path, ModelRecipe(), "words"))
    passages = [len(page) for page in reads[0].passages(list(PAGES.values()))]
    assert (found.kind, found.dimension, found.by_dimension.keys()) == ("reads", 32, {32, 16})
    assert found.vectors_per_page == sum(passages) / 2 > 2
    assert found.bytes_per_page == 4 * 32 * found.vectors_per_page
    assert found.about.endswith("; a vector a passage; column 'words'")
    assert found.pages_per_second is not None

    def nearest(query: str, page: str) -> float:
        vectors = reads.encode(PageText(PAGES[page]), output_value="token_embeddings").numpy()
        return float((vectors @ reads.encode(query)).max())

    for query, text, page in (("q", "oboe violin", "a"), ("r", "engine piston", "b")):
        first = max(PAGES, key=lambda name: nearest(text, name))
        place = found.scores.queries.index(query)
        assert found.scores.values["Recall@1"][place] == (first == page)


@pytest.mark.parametrize("settings", [ModelRecipe(), None], ids=["reads", "BM25"])
def test_pages_that_the_set_excludes_are_in_no_answer(reads: Any, tmp_path: Path, settings: ModelRecipe | None) -> None:
    place = reading_set(tmp_path / "set")
    (place / "queries" / "test.jsonl").write_text(
        '{"query-id": "q", "query": "oboe violin piston", "excluded": ["b"]}\n'
        '{"query-id": "r", "query": "engine piston oboe", "excluded": []}\n'
    )
    found = judge(job_of(place, tmp_path, settings, "words"))
    assert set(found.run["q"]) == {"a"}
    assert set(found.run["r"]) == {"a", "b"}
    assert found.scores.values[MAIN_METRIC][found.scores.queries.index("q")] == 1


def test_pooled_is_a_vector_a_page(reads: Any, tmp_path: Path) -> None:
    settings = ModelRecipe(page_vectors="pooled")
    found = judge(job_of(reading_set(tmp_path / "set"), tmp_path, settings, "words"))
    assert (found.vectors_per_page, found.bytes_per_page) == (1, 4 * 32)
    assert "; a vector a page; " in found.about


def test_what_one_has_read_the_others_do_not_read_again(
    reads: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []

    def read_one(picture: Any) -> str:
        read.append(picture)
        return PAGES["ab"[len(read) - 1]]

    monkeypatch.setattr("pagetune.models.page_reader.text_of_picture", read_one)
    place = beir(tmp_path / "set")
    reader = judge(job_of(place, tmp_path, ModelRecipe()))
    assert len(read) == 2
    lexical = judge(job_of(place, tmp_path, None))
    judge(job_of(place, tmp_path, ModelRecipe(page_vectors="pooled"), cache=tmp_path / "other"))
    assert len(read) == 2
    assert reader.about.endswith(texts.BY_OCR)
    assert lexical.about.endswith(texts.BY_OCR)
    # Reading is in the time of each of them, whoever did it; of a column it is in nobody's.
    rate = json.loads((tmp_path / "text" / "pages.json").read_text())
    assert rate["pages"] == 1
    for found in (reader, lexical):
        assert found.pages_per_second is not None
        assert found.pages_per_second < rate["pages"] / rate["seconds"]
    assert job_of(reading_set(tmp_path / "words"), tmp_path, None, "words").read()[1:] == ("column 'words'", None)


def test_another_text_column_is_other_work_for_who_reads(tmp_path: Path) -> None:
    entries = [find_entries(recipe_of(tmp_path, ["light", "clip-b32"], text_column=name), "set") for name in ("a", "b")]
    (light, clip), (other_light, other_clip) = entries
    assert light.fingerprint != other_light.fingerprint
    assert clip.fingerprint == other_clip.fingerprint


def test_metrics_of_the_table_are_those_of_the_library(grid: Grid) -> None:
    assert [*grid.rows[0].metrics] == [*METRICS]
    assert grid.rows[0].metrics[MAIN_METRIC] == pytest.approx(grid.rows[0].result.scores.means()[MAIN_METRIC])
    assert yaml.safe_load(Recipe().to_yaml())["compare"]["models"] == []
