"""What a report must do in a browser: each check is of the page as it is shown, against the run's own figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _browser import Browser

HELPERS = """
window.t = {
  all: (css) => [...document.querySelectorAll(css)],
  rows: () => t.all("#queries tbody tr[data-id]"),
  changes: () => t.all("#queries tr[data-id] .change").map((cell) => cell.textContent),
  shown: () => t.changes().map((text) => parseFloat(text.replace("−", "-").replace("±", ""))),
  count: () => parseInt(document.querySelector("#count").textContent.replaceAll(",", "")),
  set: (id, value) => {
    const field = document.getElementById(id);
    field.value = value;
    field.dispatchEvent(new Event("input", {bubbles: true}));
  },
  click: (css) => document.querySelector(css).click(),
  more: () => { while (!document.querySelector("#more").hidden) document.querySelector("#more").click(); },
  loaded: (css) => Promise.all(t.all(css).map((image) => image.decode().then(() => image.naturalWidth))),
};
true
"""


def check_report(browser: Browser, file: Path, look: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Everything at once: opens, filters, sorts, shows its pages, in both themes and narrow. Raises AssertionError.

    `look` is called with a name whenever the screen is worth a picture.
    """
    look = look or (lambda _: None)
    figures = json.loads((file.parent / "metrics.json").read_text(encoding="utf-8"))
    browser.errors.clear()
    browser.requests.clear()
    browser.look()
    seconds = browser.open(file)
    # A theme that was chosen in another report holds for this one too.
    browser.run("localStorage.clear()")
    browser.open(file)
    browser.run(HELPERS)
    shown = browser.run("t.count()")
    assert shown == figures["queries"], f"{shown} queries in the table, {figures['queries']} were judged"
    pages = browser.run("t.loaded('.card .thumb img')")
    look("light")
    filters = check_filters(browser, figures)
    sorts = check_sorting(browser, figures)
    slices = check_slices(browser, figures)
    suspects = check_suspects(browser, file.parent / "suspects.json")
    check_opening(browser)
    look("opened")
    light = browser.run("getComputedStyle(document.body).backgroundColor")
    browser.look(dark=True)
    dark = browser.run("getComputedStyle(document.body).backgroundColor")
    assert light != dark, f"the paper is {light} in both themes"
    look("dark")
    browser.run("t.click('#theme')")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == light, "the toggle does not make it light"
    browser.run("t.click('#theme')")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == dark, "the toggle does not make it dark"
    for width in (390, 800):
        browser.look(width=width)
        wide = browser.run("document.documentElement.scrollWidth")
        assert wide <= width, f"{wide} pixels wide on a screen of {width}"
    browser.look(width=390)
    look("narrow")
    browser.look()
    maps = check_heatmaps(browser)
    assert not browser.errors, f"the console says: {browser.errors[:3]}"
    other = [url for url in browser.requests if url != file.resolve().as_uri()]
    assert not other, f"the page asked for {other[:3]}"
    return {
        "seconds": seconds,
        "queries": shown,
        "filters": filters,
        "sorts": sorts,
        "slices": slices,
        "suspects": suspects,
        "pictures": len(pages),
        "heatmaps": maps,
    }


def check_filters(browser: Browser, figures: dict[str, Any]) -> int:
    """By outcome, kind, document and words: as many as the run has, and only such; then all again. How many filters
    were looked at."""
    looked = 0
    gain = figures["comparisons"]["tuned − base"]
    same = gain["queries"] - gain["better"] - gain["worse"]
    for outcome, expected in (("better", gain["better"]), ("worse", gain["worse"]), ("same", same)):
        browser.run(f"t.click('[data-outcome={outcome}]')")
        assert browser.run("t.count()") == expected, f"{outcome}: {browser.run('t.count()')}, not {expected}"
        sign = {"better": "v > 0", "worse": "v < 0", "same": "v === 0"}[outcome]
        # A change of less than half a thousandth is shown as 0.
        assert browser.run(f"t.shown().every((v) => {sign} || Math.abs(v) < 0.001)"), f"{outcome} shows others"
        looked += 1
    browser.run("t.click('[data-outcome=\"\"]')")
    for kind, row in figures["by_kind"].items():
        if len(figures["by_kind"]) > 1:
            browser.run(f"t.set('kind', {json.dumps(kind)})")
            assert browser.run("t.count()") == row["queries"], f"kind {kind}"
            looked += 1
    browser.run("t.set('kind', '')")
    names = browser.run("t.all('#document option').map((option) => option.value).filter(Boolean)")
    if len(names) > 1:
        counted = 0
        for name in names:
            browser.run(f"t.set('document', {json.dumps(name)})")
            counted += browser.run("t.count()")
            looked += 1
        assert counted == figures["queries"], f"{counted} queries over all documents"
        browser.run("t.set('document', '')")
    one = (figures["greatest_gains"] + figures["greatest_losses"])[0]
    browser.run(f"t.set('find', {json.dumps(one['query'].upper())})")
    assert one["query-id"] in browser.run("t.rows().map((row) => row.dataset.id)"), f"{one['query']!r} is not found"
    browser.run("t.set('find', 'no query has such words in it')")
    assert browser.run("document.querySelector('#queries').hidden && !document.querySelector('#none').hidden")
    browser.run("t.click('#clear')")
    assert browser.run("t.count()") == figures["queries"], "clearing does not bring all back"
    return looked + 2


def check_sorting(browser: Browser, figures: dict[str, Any]) -> int:
    """By change both ways, by rank, by words; by the menu and by the column's head. How many orders were looked at."""
    browser.run("t.set('sort', 'change'); t.more()")
    falling = browser.run("t.shown()")
    assert len(falling) == figures["queries"], f"{len(falling)} rows of {figures['queries']}"
    assert falling == sorted(falling, reverse=True), "not sorted by gain"
    browser.run("t.click('#reverse'); t.more()")
    assert browser.run("t.shown()") == sorted(falling), "not sorted the other way round"
    browser.run("t.set('sort', 'size'); t.more()")
    sizes = [abs(value) for value in browser.run("t.shown()")]
    assert sizes == sorted(sizes, reverse=True), "not sorted by the size of the change"
    browser.run("t.click('th[data-key=rank1] button'); t.more()")
    read = "t.rows().map((row) => row.querySelectorAll('td.rank')[1].textContent)"
    ranks = [1 << 30 if text.startswith(">") else int(text) for text in browser.run(read)]
    assert ranks == sorted(ranks, reverse=True), "not sorted by rank"
    browser.run("t.click('th[data-key=text] button'); t.more()")
    words = browser.run("t.rows().map((row) => row.querySelector('.query button').textContent.toLowerCase())")
    # As JavaScript compares: by UTF-16 units.
    assert words == sorted(words, key=lambda text: text.encode("utf-16-be", "surrogatepass")), "not sorted by words"
    browser.run("t.set('sort', 'size')")
    return 5


def check_slices(browser: Browser, figures: dict[str, Any]) -> int:
    """Every slice of the run is a line with its queries and its difference; how many there are."""
    told = figures.get("slices") or {"facets": {}}
    expected = [
        [facet, one["name"], one["queries"], one["difference"]] for facet, own in told["facets"].items() for one in own
    ]
    read = """t.all("table.slices tbody").flatMap((body) => {
      const facet = body.querySelector("tr.facet").textContent.trim().replace(/^By /, "");
      return [...body.querySelectorAll("tr:not(.facet)")].map((row) => [
        facet, row.querySelector("th").firstChild.textContent.trim(),
        parseInt(row.querySelector("td").textContent.replaceAll(",", "")),
        parseFloat(row.querySelector("td.by").textContent.replace("−", "-").replace("±", ""))]);
    })"""
    shown = browser.run(read)
    assert [row[:3] for row in shown] == [row[:3] for row in expected], (
        f"slices {shown[:3]}, the run has {expected[:3]}"
    )
    for (*name, _, change), row in zip(shown, expected, strict=True):
        assert abs(change - row[3]) <= 0.0006, f"slice {name}: {change}, the run has {row[3]}"
    return len(shown)


def check_suspects(browser: Browser, file: Path) -> int:
    """Every answer that nobody judged is there, the first of them with both pages' pictures; how many there are."""
    listed = json.loads(file.read_text(encoding="utf-8"))["suspects"] if file.exists() else []
    cards = browser.run("t.all('.doubt q').map((quoted) => quoted.textContent)")
    assert cards == [one["text"] for one in listed[: len(cards)]], f"in doubt: {cards[:3]}"
    assert bool(cards) == bool(listed), f"{len(cards)} pages in doubt are shown, {len(listed)} were found"
    more = browser.run("t.all('.doubts + details.rest tbody tr').length")
    assert more <= len(listed) - len(cards), f"{more} more pages in doubt"
    if cards:
        # They are drawn when they come near.
        browser.run("document.querySelector('#doubtful').scrollIntoView()")
        widths = browser.run("t.loaded('.doubt .thumb img')")
        blank = browser.run("t.all('.doubt .thumb.blank').length")
        assert len(widths) + blank == 2 * len(cards), f"{len(widths)} pictures of {len(cards)} pairs of pages"
        browser.run("scrollTo(0, 0)")
    return len(listed)


def check_print(file: Path, figures: dict[str, Any]) -> int:
    """The PDF of the report: no page is empty, the verdict stands on the first; how many pages it has."""
    import pypdfium2

    with pypdfium2.PdfDocument(file) as printed:
        texts = [" ".join(page.get_textpage().get_text_bounded().split()) for page in printed]
    assert texts, f"{file} has no pages"
    empty = [number for number, text in enumerate(texts, start=1) if not text]
    assert len(empty) <= len(texts) / 4, f"pages {empty} of {len(texts)} have no words"
    start = " ".join(figures["verdict"].split()[:4])
    assert start in texts[0], f"the first page begins {texts[0][:80]!r}, not with the verdict {start!r}"
    return len(texts)


def check_opening(browser: Browser) -> None:
    """A row opens to its pages, a page to a larger picture, and both close again."""
    browser.run("t.click('#queries .query button')")
    widths = browser.run("t.loaded('#queries tr.detail .thumb img')")
    blank = browser.run("t.all('#queries tr.detail .thumb.blank').length")
    assert min(widths, default=0) > 50, f"pictures {widths} pixels wide, {blank} missing"
    browser.run("t.click('#queries tr.detail .thumb')")
    assert browser.run("document.querySelector('dialog').open"), "the page does not open"
    assert browser.run("t.loaded('dialog img')")[0] > 50
    browser.run("t.click('dialog .button')")
    assert not browser.run("document.querySelector('dialog').open"), "the page does not close"


def check_heatmaps(browser: Browser) -> int:
    """Every map is painted, and another token paints it otherwise; how many maps there are."""
    maps = browser.run("t.all('.map canvas').length")
    if not maps:
        return 0
    pixels = (
        "t.all('.map canvas').map((c) => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].join())"
    )
    whole = browser.run(pixels)
    assert all(len(set(one.split(","))) > 3 for one in whole), "a map of one colour"
    browser.run("t.all('.tokens').forEach((tokens) => tokens.children[1].click())")
    token = browser.run(pixels)
    assert any(a != b for a, b in zip(whole, token, strict=True)), "a token paints the same map"
    browser.run("t.all('.tokens').forEach((tokens) => tokens.children[0].click())")
    return int(maps)
