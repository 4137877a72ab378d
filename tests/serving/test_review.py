"""The review: the desk and what it keeps, then the real server with a real browser."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from _browser import chromium, find_chromium
from pagetune import Pipeline, load_recipe
from pagetune.errors import DataError
from pagetune.evaluation.false_negatives import Suspect, latest, read_decisions, reviewed, write_suspects
from pagetune.serving.review import Desk
from pagetune.workspace import Workspace

SUSPECTS = [
    Suspect(
        f"q{number}",
        f"what stands on page {number}?",
        f"book-000{number}",
        "book-0001",
        {"base": 1, "tuned": 2, "BM25": 1},
        {"base": 3, "tuned": 3, "BM25": None},
        {"base": 0.9, "tuned": 0.8, "BM25": 7.25},
        {"base": 0.5, "tuned": 0.4, "BM25": None},
    )
    for number in (2, 3, 4)
]


def colour(page: str) -> Image.Image:
    if page == "book-0004":
        raise DataError("book-0004 is not to be had")
    return Image.new("RGB", (300, 400), "white")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_suspects(SUSPECTS, tmp_path / "reviews")
    return tmp_path / "reviews"


def test_a_decision_is_kept_with_who_when_and_what_was_seen(folder: Path) -> None:
    desk = Desk(folder, colour, "Ada")
    desk.decide(0, 2, "the same table")
    desk.decide(1, 0)
    assert desk.counts() == {"confirmed": 1, "rejected": 1, "left": 1}
    first, second = read_decisions(folder)
    assert (first.query, first.page, first.grade, first.by, first.note) == (
        "q2",
        "book-0002",
        2,
        "Ada",
        "the same table",
    )
    assert first.at.endswith("+00:00")
    assert first.ranks == {"base": 1, "tuned": 2, "BM25": 1}
    assert first.scores["BM25"] == 7.25
    assert first.text == "what stands on page 2?"
    assert second.grade == 0
    entry = desk.to_json()["entries"][0]
    assert entry["decision"]["grade"] == 2
    assert desk.to_json()["pages"][entry["page"]] == "book, page 2"


def test_a_decision_can_be_taken_back_and_nothing_is_forgotten(folder: Path) -> None:
    desk = Desk(folder, colour, "Ada")
    desk.decide(0, 2)
    desk.decide(0, None)
    assert desk.counts()["left"] == 3
    assert latest(read_decisions(folder)) == ()
    assert [(one.grade, one.was) for one in read_decisions(folder)] == [(2, None), (None, 2)]
    assert reviewed({"q2": {"book-0001": 2}}, read_decisions(folder)) == {"q2": {"book-0001": 2}}


def test_what_was_decided_and_is_suspected_no_more_can_still_be_changed(folder: Path) -> None:
    Desk(folder, colour, "Ada").decide(0, 2)
    write_suspects(SUSPECTS[1:], folder)
    desk = Desk(folder, colour, "Grace")
    assert [one.query for one in desk.entries] == ["q3", "q4", "q2"]
    desk.decide(2, 0)
    (last,) = latest(read_decisions(folder))
    assert (last.query, last.grade, last.was, last.by) == ("q2", 0, 2, "Grace")
    assert last.models == ("base", "tuned", "BM25")


def test_decisions_on_what_is_another_query_by_now_do_not_count(folder: Path) -> None:
    Desk(folder, colour, "Ada").decide(0, 2)
    qrels, found = {"q2": {"book-0001": 2}}, read_decisions(folder)
    assert reviewed(qrels, found, {"q2": "what stands on page 2?"}) == {"q2": {"book-0001": 2, "book-0002": 2}}
    assert reviewed(qrels, found, {"q2": "an id that was given anew"}) == qrels
    assert reviewed(qrels, found, pages={"book-0001"}) == qrels


@pytest.mark.parametrize(("entry", "page"), [(9, 0), (-1, 0), (0, 9), (0, -1)])
def test_what_is_not_there_is_refused(entry: int, page: int, folder: Path) -> None:
    desk = Desk(folder, colour, "Ada")
    if entry:
        with pytest.raises(DataError, match="there are 3"):
            desk.decide(entry, 2)
    else:
        with pytest.raises(DataError, match="there are 4"):
            desk.picture(page)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of four pages that were read."""
    from reportlab.pdfgen.canvas import Canvas

    place = tmp_path_factory.mktemp("review")
    (place / "documents").mkdir()
    canvas = Canvas(str(place / "documents" / "book.pdf"), invariant=1)
    for number in range(1, 5):
        canvas.setFont("Helvetica", 30)
        canvas.drawString(80, 700, f"This is page {number} of a book.")
        canvas.showPage()
    canvas.save()
    Pipeline(place / "ws", load_recipe(None, ["read.workers=1"]), documents=[place / "documents"]).read()
    write_suspects(SUSPECTS, Workspace(place / "ws").reviews)
    return place / "ws"


@contextmanager
def served(workspace: Path) -> Iterator[tuple[int, list[str]]]:
    """The real server's port, and, once it has been stopped by Ctrl-C, what it said at the end."""
    command = [sys.executable, "-m", "pagetune", "review", "-w", str(workspace), "--port", "0", "--by", "Ada"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    said: list[str] = []
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line, line + (process.stderr.read() if process.stderr else "")
        yield int(line.split("127.0.0.1:")[1].split("/")[0]), said
        process.send_signal(signal.SIGINT)
        told, wrong = process.communicate(timeout=30)
        assert (process.returncode, wrong) == (0, "")
        said += told.splitlines()
    finally:
        process.kill()
        process.wait()


def ask(port: int, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET" if body is None else "POST", path, content, named)
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


JSON = {"content_type": "application/json"}


@pytest.mark.integration
def test_the_server_shows_pages_takes_decisions_and_refuses_strangers(book: Path) -> None:
    decisions = book / "reviews" / "decisions.jsonl"
    decisions.unlink(missing_ok=True)
    with served(book) as (port, said):
        status, headers, page = ask(port, "/")
        assert (status, b"Pagetune" in page) == (200, True)
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        state = json.loads(ask(port, "/api/review")[2])
        assert [entry["query"] for entry in state["entries"]] == ["q2", "q3", "q4"]
        status, headers, picture = ask(port, "/pages/0")
        assert (status, headers["content-type"], picture[8:12]) == (200, "image/webp", b"WEBP")
        assert ask(port, "/pages/99")[0] == 404
        confirm = {"entry": 0, "grade": 1, "note": "in part"}
        for strange in (
            {"Host": "evil.example"},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Sec_Fetch_Site": "cross-site"},
        ):
            assert ask(port, "/api/decide", confirm, **JSON, **strange)[0] == 403, strange
            assert ask(port, "/pages/0", **strange)[0] == 403, strange
        assert ask(port, "/api/decide", confirm, content_type="text/plain")[0] == 400
        for wrong in (
            b"{",
            {"entry": 0},
            {"entry": "0", "grade": 2},
            {"entry": 0, "grade": 3},
            {"entry": 0, "grade": True},
        ):
            status, _, told = ask(port, "/api/decide", wrong, **JSON)
            assert (status, "error" in json.loads(told)) == (400, True), wrong
        assert not decisions.exists()
        assert ask(port, "/api/decide", confirm, **JSON, Origin=f"http://127.0.0.1:{port}")[0] == 200
        assert [(one.query, one.grade, one.by) for one in read_decisions(book / "reviews")] == [("q2", 1, "Ada")]
    assert said[-2] == "1 confirmed, 0 rejected, 2 left"
    assert "pagetune evaluate -w" in said[-1]


@pytest.mark.integration
@pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed")
def test_with_the_keyboard_alone(book: Path) -> None:
    (book / "reviews" / "decisions.jsonl").unlink(missing_ok=True)
    press = "(key) => dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}))"
    settled = "new Promise(done => setTimeout(done, 400))"
    with served(book) as (port, _), chromium(local=True) as browser:
        browser.look()
        browser.open(f"http://127.0.0.1:{port}/")
        browser.run(settled)
        shown = "document.querySelector('#query').textContent"
        assert browser.run(shown) == "what stands on page 2?"
        sizes = (
            "Promise.all([...document.querySelectorAll('.pair img')].map((i) => i.decode().then(() => i.naturalWidth)))"
        )
        assert min(browser.run(sizes)) > 500
        for key in ("y", "n"):
            browser.run(f"({press})('{key}')")
            browser.run(settled)
        assert browser.run(shown) == "what stands on page 4?"
        browser.run(f"({press})('ArrowLeft')")
        assert "does not answer" in browser.run("document.querySelector('#decided').textContent")
        browser.run(f"({press})('u')")
        browser.run(settled)
        browser.run("document.querySelector('#note').focus()")
        browser.run(
            "document.querySelector('#note').dispatchEvent(new KeyboardEvent('keydown', {key: 'y', bubbles: true}))"
        )
        browser.run(settled)
        for width in (420, 800):
            browser.look(width=width)
            assert browser.run("document.documentElement.scrollWidth") <= width
        browser.look()
        browser.run("document.querySelector('#note').blur()")
        for key in ("p", "n"):
            browser.run(f"({press})('{key}')")
            browser.run(settled)
        assert browser.run("document.querySelector('#told').textContent") == "2 confirmed, 1 rejected."
        assert not browser.errors
    decided = [(one.query, one.grade) for one in read_decisions(book / "reviews")]
    assert decided == [("q2", 2), ("q3", 0), ("q3", None), ("q3", 1), ("q4", 0)]
