from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pagetune.errors import DataError
from pagetune.evaluation.excluded import read_excluded
from pagetune.evaluation.ranking import write_trec
from pagetune.evaluation.trec import evaluate_files, read_qrels, read_run, trec_order, write_qrels

QRELS = {f"q{number:02d}": {f"p{number:02d}": 2, "p99": 0} for number in range(30)}


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def run_with(first: int) -> dict[str, dict[str, float]]:
    """The page stands first for `first` of the queries, else third."""
    return {
        query: {f"p{number:02d}": 3.0 if number < first else 0.5, "x": 2.0, "y": 1.0}
        for number, query in enumerate(QRELS)
    }


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    run = {"q1": {"a": 2.5, "b": 1.25}, "q2": {"c": -1.0}}
    assert read_run(write(tmp_path, "run", write_trec(run, "tag"))) == run
    assert read_qrels(write(tmp_path, "qrels", write_qrels(QRELS))) == QRELS
    assert write_qrels({}) == ""
    with pytest.raises(ValueError, match="without spaces"):
        write_qrels({"q": {"a b": 1}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q1 Q0 a 1 0.5", r"line 1: 'q1 Q0 a 1 0.5' has 5 columns; write query, Q0, page, rank, score, tag"),
        ("q1 Q0 a 1 0.5 t\n\nq1 Q0 a 2 0.4 t", "line 3: query 'q1' has page 'a' twice"),
        ("q1 Q0 a 1 high t", "line 1: score 'high' is not a number"),
        ("q1 Q0 a 1 nan t", "line 1: score 'nan' is not a number"),
    ],
)
def test_a_line_that_is_no_run_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_run(write(tmp_path, "run", text))


def test_judgements_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"grade '1.5' is not a whole number"):
        read_qrels(write(tmp_path, "qrels", "q1 0 a 1.5"))
    with pytest.raises(DataError, match="page 'a' with grade 2 and 1"):
        read_qrels(write(tmp_path, "qrels", "q1 0 a 1\nq1 0 a 2"))
    with pytest.raises(DataError, match="not readable"):
        read_qrels(tmp_path / "absent")


def test_one_run_is_judged(tmp_path: Path) -> None:
    files = write(tmp_path, "mine.trec", write_trec(run_with(30), "t")), write(tmp_path, "qrels", write_qrels(QRELS))
    report = evaluate_files(*files)
    assert report.verdict == "mine: NDCG@10 1.000 (1.000 to 1.000), 30 queries."
    assert report.comparisons == {}
    assert "| NDCG@10 (linear gain) | 1.0000 |" in report.to_markdown()


def test_two_runs_are_compared_and_what_is_missing_is_said(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "old").mkdir()
    better = write(tmp_path / "new", "run.trec", write_trec(run_with(30), "t"))
    worse = write(tmp_path / "old", "run.trec", write_trec({**run_with(10), "q00": {}}, "t"))
    qrels = write(tmp_path, "qrels", write_qrels({**QRELS, "q-none": {"p00": 0}}))
    report = evaluate_files(better, qrels, worse)
    assert report.verdict.startswith("new/run against old/run: NDCG@10 ")
    assert "measurably better" in report.verdict
    assert report.notes == (
        "Left out: 1 queries without a relevant page.",
        "old/run does not answer 1 judged queries: they count as 0.",
    )
    found = report.to_json()
    assert found["comparisons"]["NDCG@10"]["outcome"] == "gain"
    assert found["metrics"]["Recall@1"] == 1
    assert found["queries"] == 30
    # The question stays as it is; the others are one family, and the other gain says the same where no grade is lesser.
    assert report.comparisons["NDCG@10"].holm is None
    others = [each for name, each in report.comparisons.items() if name != "NDCG@10"]
    assert {each.family for each in others} == {len(others)} != {1}
    assert all(each.holm is not None and each.holm >= each.p for each in others)
    heads, *rows = report.rows()
    assert heads[-2:] == ["p", "p, Holm"]
    assert {len(row) for row in rows} == {len(heads)}
    alike = next(row for row in rows if row[0] == "NDCG@10 (exponential gain)")
    assert alike[-5:] == ["–"] * 5
    assert np.isclose(report.comparisons["Recall@1"].difference, 21 / 30)


def test_a_run_of_another_set_is_refused(tmp_path: Path) -> None:
    run = write(tmp_path, "run", write_trec({"other": {"a": 1.0}}, "t"))
    with pytest.raises(DataError, match="answers none of the 30 queries"):
        evaluate_files(run, write(tmp_path, "qrels", write_qrels(QRELS)))
    with pytest.raises(DataError, match="no judged queries"):
        evaluate_files(run, write(tmp_path, "empty", ""))


def test_ties_of_foreign_files_go_trec_evals_way(tmp_path: Path) -> None:
    import pytrec_eval

    rng = np.random.default_rng(5)
    qrels = {f"q{n}": {f"p{m}": int(rng.integers(0, 3)) for m in range(9)} | {"p9": 1} for n in range(25)}
    # Every score of three values, ids of different lengths and letters, some apart by less than single precision.
    run = {
        query: {f"{'pä'[m % 2]}{m}": float(rng.choice([17.0, 17.0000001, 2e39, -1.0])) for m in range(20)}
        for query in qrels
    }
    lines = "".join(f"{q} Q0 {p} 1 {score!r} t\n" for q, own in run.items() for p, score in own.items())
    report = evaluate_files(write(tmp_path, "run", lines), write(tmp_path, "qrels", write_qrels(qrels)))
    theirs = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut_10", "map"}).evaluate(run)
    for place, query in enumerate(report.scores.queries):
        assert report.scores.values["NDCG@10"][place] == theirs[query]["ndcg_cut_10"]
        assert report.scores.values["MAP"][place] == theirs[query]["map"]
    assert trec_order({"a": 1.0, "b": 1.0, "c": 1.00000001, "d": 2.0}) == ["d", "c", "b", "a"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("gap", [" ", "\t", "  \t "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_marks_tabs_and_line_ends_change_nothing(tmp_path: Path, encoding: str, gap: str, end: str) -> None:
    files = {
        "run": ["q1 Q0 d2 1 3 t", "q1 Q0 d3 2 2.5e0 t", "q2 Q0 d4 1 1 t", ""],
        "qrels": ["q1 0 d3 1", "", "q2 0 d4 1", " "],
    }
    (tmp_path / "excluded").write_bytes(f"q1\td2{end}{end}".encode(encoding))
    for name, lines in files.items():
        (tmp_path / name).write_bytes(end.join(line.replace(" ", gap) for line in lines).encode(encoding))
    assert read_run(tmp_path / "run") == {"q1": {"d2": 3.0, "d3": 2.5}, "q2": {"d4": 1.0}}
    assert read_qrels(tmp_path / "qrels") == {"q1": {"d3": 1}, "q2": {"d4": 1}}
    assert read_excluded(tmp_path / "excluded", ["q1"]) == {"q1": {"d2"}}
    found = evaluate_files(tmp_path / "run", tmp_path / "qrels", exclude=tmp_path / "excluded")
    assert found.scores.means()["NDCG@10"] == 1


def test_only_the_white_space_of_the_format_parts_names(tmp_path: Path) -> None:
    names = "第\u3000一页", "a\u00a0b", "a\u2028b", "a\x85b"
    run = write(tmp_path, "run", "".join(f"q Q0 {page} 1 {score} t\n" for score, page in enumerate(names)))
    assert read_run(run) == {"q": {page: float(score) for score, page in enumerate(names)}}
    excluded = write(tmp_path, "excluded", "q\tmy page\r\nq\tother page")
    assert read_excluded(excluded, ["q"]) == {"q": {"my page", "other page"}}


def test_files_in_another_encoding_are_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes("q1 Q0 grün 1 1 t".encode("cp1252"))
    with pytest.raises(DataError, match=r"run: not readable \(byte 8 is not UTF-8\); give a TREC file of lines"):
        read_run(tmp_path / "run")
    (tmp_path / "qrels").write_bytes("q1 0 d3 1".encode("utf-16-le"))
    with pytest.raises(DataError, match=r"qrels: not readable \(line 1 has a NUL character, as UTF-16 has\)"):
        read_qrels(tmp_path / "qrels")
    for text in ("q1", "q1 a b", "q1\ta\tb", "q1\t"):
        with pytest.raises(DataError, match=r"line 2: '.*' is not query, tab, page; write one pair a line"):
            read_excluded(write(tmp_path, "excluded", f"q1\td1\n{text}"), ["q1"])
