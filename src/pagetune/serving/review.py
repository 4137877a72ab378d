"""The review page: a query, the judged page and the page in doubt side by side, to confirm or to reject.

Every decision is on the disk before it is answered.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pagetune.errors import DataError, PagetuneError
from pagetune.evaluation import false_negatives as records
from pagetune.evaluation.false_negatives import Decision, Suspect
from pagetune.evaluation.thumbnails import TYPE, PageImage, encode

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

SIDE = 1400
"""Pixels of a picture's longer side: small print can be read."""
QUALITY = 80
NOTE = 2000
"""Characters that a note may have."""
GRADES = (2, 1, 0, None)
_HELD = 32
"""Pictures kept in memory."""


class Desk:
    """What lies in a review's folder: the suspects, and after them what was decided before and is suspected no more.

    `image` draws a page, `by` is who decides, `numbered` whether page ids end in the page's number.
    """

    def __init__(self, folder: Path, image: PageImage, by: str, *, numbered: bool = True) -> None:
        self.folder, self.by, self._numbered = folder, by, numbered
        self.entries = _entries(folder)
        named = dict.fromkeys(page for one in self.entries for page in (one.judged, one.page) if page)
        self.pages: tuple[str, ...] = tuple(named)
        # The pages' store draws one page after the other.
        drawing = threading.Lock()

        @lru_cache(maxsize=_HELD)
        def picture(number: int) -> bytes:
            with drawing:
                return encode(image(self.pages[number]), SIDE, QUALITY)

        self._picture = picture

    def picture(self, number: int) -> bytes:
        """The picture of a page, as `thumbnails.TYPE`. Raises DataError for a number that no page has."""
        if not 0 <= number < len(self.pages):
            raise DataError(f"page {number} is not there; there are {len(self.pages)}")
        return self._picture(number)

    def decide(self, entry: int, grade: int | None, note: str = "") -> Decision:
        """Write a decision: grade 2 or 1 (confirmed), 0 (rejected) or None (undecided again). Raises DataError."""
        if not 0 <= entry < len(self.entries):
            raise DataError(f"entry {entry} is not there; there are {len(self.entries)}")
        one = self.entries[entry]
        if grade is None:
            return records.withdraw(self.folder, one.query, one.page, by=self.by)
        if grade == 0:
            return records.reject(self.folder, one.query, one.page, by=self.by, note=note)
        return records.confirm(self.folder, one.query, one.page, by=self.by, grade=grade, note=note)

    def to_json(self) -> dict[str, Any]:
        """The list with what is decided so far, for the page."""
        return {
            "by": self.by,
            "pages": [self._name(page) for page in self.pages],
            "entries": [self._entry(one, decision) for one, decision in self._decided()],
        }

    def counts(self) -> dict[str, int]:
        """How many are confirmed, rejected and left."""
        grades = [decision.grade if decision else None for _, decision in self._decided()]
        left = grades.count(None)
        rejected = grades.count(0)
        return {"confirmed": len(grades) - left - rejected, "rejected": rejected, "left": left}

    def _decided(self) -> list[tuple[Suspect, Decision | None]]:
        last = {(one.query, one.page): one for one in records.latest(records.read_decisions(self.folder))}
        return [(one, last.get((one.query, one.page))) for one in self.entries]

    def _entry(self, one: Suspect, decision: Decision | None) -> dict[str, Any]:
        places = {page: place for place, page in enumerate(self.pages)}
        return asdict(one) | {
            "page": places[one.page],
            "judged": places.get(one.judged),
            "decision": decided(decision) if decision else None,
        }

    def _name(self, page: str) -> str:
        from pagetune.evaluation.explorer import page_name

        return ", ".join(filter(None, page_name(page))) if self._numbered else page


def _entries(folder: Path) -> tuple[Suspect, ...]:
    listed = records.read_suspects(folder, all=True)
    known = {(one.query, one.page) for one in listed}
    before = records.latest(records.read_decisions(folder))
    return (*listed, *(one.suspect for one in before if (one.query, one.page) not in known))


def decided(decision: Decision) -> dict[str, Any]:
    """A decision for the page."""
    return {"grade": decision.grade, "by": decision.by, "at": decision.at, "note": decision.note}


def create_review_app(desk: Desk) -> Starlette:
    """The server of one review: `/`, its script and style, `/api/review`, `/api/decide`, `/pages/NUMBER`."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    from pagetune.serving.local import LocalOnly

    files = {
        "/": (_template("review.html"), "text/html; charset=utf-8"),
        "/review.js": (_template("review.js"), "text/javascript; charset=utf-8"),
        "/review.css": (_template("review.css.j2"), "text/css; charset=utf-8"),
    }

    def file(request: Request) -> Response:
        content, kind = files[request.url.path]
        return Response(content, media_type=kind, headers={"cache-control": "no-store"})

    def state(request: Request) -> Response:
        return JSONResponse(desk.to_json(), headers={"cache-control": "no-store"})

    def page(request: Request) -> Response:
        # A page that cannot be drawn any more is one missing picture, not the end of the review.
        try:
            content = desk.picture(request.path_params["number"])
        except (PagetuneError, OSError) as error:
            return JSONResponse({"error": str(error)}, 404)
        return Response(content, media_type=TYPE, headers={"cache-control": "private, max-age=3600"})

    async def decide(request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        try:
            given = _checked(request.headers.get("content-type", ""), await request.body())
            found = await run_in_threadpool(desk.decide, *given)
        except PagetuneError as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(decided(found))

    routes = [
        *(Route(path, file) for path in files),
        Route("/api/review", state),
        Route("/api/decide", decide, methods=["POST"]),
        Route("/pages/{number:int}", page),
    ]
    return Starlette(routes=routes, middleware=[Middleware(LocalOnly)])


def _checked(kind: str, body: bytes) -> tuple[int, int | None, str]:
    """Entry, grade and note of a decision as it was sent. Raises DataError."""
    import json

    if kind.partition(";")[0].strip() != "application/json":
        raise DataError(f"content-type {kind!r}: send application/json")
    try:
        given = json.loads(body)
        entry, grade, note = given["entry"], given["grade"], given.get("note", "")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f'{body[:80]!r} is no decision; send {{"entry": 0, "grade": 2, "note": ""}}') from None
    if type(entry) is not int or grade not in GRADES or type(grade) not in (int, type(None)):
        raise DataError(f"entry {entry!r}, grade {grade!r}: send a whole number, and one of {GRADES}")
    if not isinstance(note, str) or len(note) > NOTE:
        raise DataError(f"note: send a text of at most {NOTE} characters")
    return entry, grade, note


def _template(name: str) -> str:
    from jinja2 import Environment, FileSystemLoader

    import pagetune.evaluation

    own = Path(__file__).parent / "templates"
    house = Path(str(pagetune.evaluation.__file__)).parent / "templates"
    folders: Sequence[str] = [str(own), str(house)]
    return Environment(loader=FileSystemLoader(folders), autoescape=False).get_template(name).render()
