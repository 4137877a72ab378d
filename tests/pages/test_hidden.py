"""Invisible layers over scans: kept word by word where the picture shows the same, else read by OCR."""

import numpy as np
import pytest
from scans import ENGLISH, GERMAN, RUSSIAN, STEP, sandwich, words_of

from pagetune.pages.hidden import layer_agrees, sample_runs
from pagetune.pages.ocr_lines import Read
from pagetune.pages.store import PageStore
from pagetune.pages.words import Words

LOREM = (
    "Lorem ipsum dolor sit amet consectetur elit",
    "sed do eiusmod tempor incididunt ut labore",
    "magna aliqua enim minim veniam quis nostrud",
    "ullamco laboris nisi aliquip commodo velit",
)


def layer(lines: list[str]) -> Words:
    words = [(word, number) for number, line in enumerate(lines) for word in line.split()]
    boxes = np.asarray([[40 * place, 10, 40 * place + 38, 20] for place in range(len(words))], np.float32)
    return Words(
        [word for word, _ in words],
        boxes,
        np.full(len(words), 10, np.float32),
        np.asarray([number for _, number in words], np.int32),
        np.zeros(len(words), np.uint8),
    )


def test_samples_are_spread_over_the_page_and_stay_within_a_line():
    runs = sample_runs(layer(["the journal keeps it"] * 30))
    assert len(runs) == 8
    assert all(run.text in "the journal keeps it" for run in runs)
    assert len({run.box[0] for run in runs}) == 8
    assert max(run.box[2] - run.box[0] for run in runs) <= 80
    assert sample_runs(layer(["1 2", "of"])) == []


def test_what_is_read_at_the_samples_decides():
    runs = sample_runs(layer(["reversal journal"]))
    assert layer_agrees(runs, [Read("Reversa1 journal,", 0.9, 0.9)], frozenset({"LATIN"}))
    assert not layer_agrees(runs, [Read("nothing of this kind", 0.9, 0.9)], frozenset({"LATIN"}))
    russian = sample_runs(layer(["операцию журнал"]))
    assert layer_agrees(russian, [Read(".", 0.9, 0.05)], frozenset({"LATIN"}))
    assert not layer_agrees(russian, [Read("reversal of it", 0.99, 0.99)], frozenset({"LATIN"}))
    assert not layer_agrees(russian, [Read(".", 0.9, 0.05)], frozenset({"CYRILLIC"}))


@pytest.mark.integration
def test_a_hidden_layer_that_the_picture_shows_is_kept_whatever_its_script(read, tmp_path):
    pytest.importorskip("rapidocr")
    pages = [(GERMAN, GERMAN), (RUSSIAN, RUSSIAN), (GERMAN * 3, GERMAN * 3), (ENGLISH[:1], ENGLISH[:1])]
    path = sandwich(tmp_path / "sandwich.pdf", pages)
    reports = [read(path, workspace=f"ws{count}", ocr="auto", workers=count) for count in (1, 2)]
    found = PageStore(reports[0][1].pages).pages()
    assert [page.origin for page in found] == ["text layer"] * 4
    assert [list(page.words) for page in found] == [words_of(hidden) for _, hidden in pages]
    assert reports[0][0].digest == reports[1][0].digest
    assert reports[0][0].unread == ()


@pytest.mark.integration
def test_a_hidden_layer_of_something_else_is_not(read, tmp_path):
    pytest.importorskip("rapidocr")
    other = sandwich(tmp_path / "other.pdf", [(ENGLISH, LOREM), (ENGLISH, RUSSIAN), (ENGLISH, ENGLISH[:1])])
    shifted = sandwich(tmp_path / "shifted.pdf", [(ENGLISH, ENGLISH)], shift=1.5 * STEP)
    report, workspace = read(other, shifted, ocr="auto")
    for page in PageStore(workspace.pages).pages():
        assert (page.origin, list(page.words)) == ("ocr", words_of(ENGLISH))
    assert report.ocr_pages == 4


def test_without_ocr_the_layers_own_letters_decide(read, tmp_path):
    noise = tuple("".join("\ufffd" if c.isalpha() else c for c in line) for line in ENGLISH)
    path = sandwich(tmp_path / "sandwich.pdf", [(GERMAN * 2, GERMAN * 2), (GERMAN * 2, noise * 2)])
    report, workspace = read(path, ocr="never")
    assert list(PageStore(workspace.pages).pages()[0].words) == words_of(GERMAN * 2)
    assert [(page.page, page.detail) for page in report.unread] == [(2, "replacement characters")]
