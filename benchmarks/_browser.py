"""A headless Chromium, driven over a pipe by its DevTools protocol: no port, no driver to install, no network."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 120.0


def find_chromium() -> str | None:
    """The browser's command: $PAGETUNE_CHROMIUM, else the first that is installed; None where none is."""
    return os.environ.get("PAGETUNE_CHROMIUM") or next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def chromium(*, local: bool = False) -> Iterator[Browser]:
    """A browser with a profile of its own, which both go with it. It has no network: every host resolves to nothing,
    but 127.0.0.1 where it is to see a server of ours (`local`)."""
    command = find_chromium()
    if command is None:
        raise FileNotFoundError("no Chromium is installed; name one in PAGETUNE_CHROMIUM")
    to_browser, to_us = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(prefix="pagetune-browser-", ignore_cleanup_errors=True) as profile:
        flags = [
            *("--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run"),
            *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio"),
            f"--host-resolver-rules=MAP * ~NOTFOUND{', EXCLUDE 127.0.0.1' if local else ''}",
        ]

        def hand_over() -> None:
            # Chromium reads commands from descriptor 3 and writes answers to 4, whatever numbers ours have.
            reading, writing = os.dup(to_browser[0]), os.dup(to_us[1])
            os.dup2(reading, 3)
            os.dup2(writing, 4)
            # Where they had these numbers already, dup2 has left them to be closed.
            os.set_inheritable(3, True)
            os.set_inheritable(4, True)

        process = subprocess.Popen(
            [command, *flags, "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            pass_fds=(),
            preexec_fn=hand_over,
            start_new_session=True,
        )
        os.close(to_browser[0])
        os.close(to_us[1])
        try:
            yield Browser(to_browser[1], to_us[0])
        finally:
            os.close(to_browser[1])
            os.close(to_us[0])
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Browser:
    """One tab. `errors` are what its console said as errors, exceptions nobody caught, and loads that failed."""

    def __init__(self, writing: int, reading: int) -> None:
        self._writing, self._reading = writing, reading
        self._buffer = b""
        self._count = 0
        self._events: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._session = ""
        pages = self.send("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def open(self, place: Path | str) -> float:
        """Open a file or an address, wait until it has loaded; the seconds that it took."""
        began = time.monotonic()
        self._events.clear()
        self.send("Page.navigate", url=place if isinstance(place, str) else place.resolve().as_uri())
        self._wait("Page.loadEventFired")
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
        return time.monotonic() - began

    def run(self, expression: str) -> Any:
        """What an expression of JavaScript comes to, promises awaited. Raises RuntimeError where it throws."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"].get("exception", {}).get("description", str(found)))
        return found["result"].get("value")

    def look(self, *, width: int = 1280, height: int = 900, dark: bool = False, scale: float = 1.0) -> None:
        """The screen's size in CSS pixels, and the system's theme."""
        mobile = width < 600
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[theme])

    def screenshot(self, file: Path, *, whole: bool = False, height: int | None = None) -> None:
        """What the screen shows as PNG; `whole`: the page to its end, or down to `height`."""
        given: dict[str, Any] = {"format": "png", "captureBeyondViewport": whole}
        if whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            tall = min(size["height"], height or size["height"])
            given["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": tall, "scale": 1}
        file.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", **given)["data"]))

    def pdf(self, file: Path) -> None:
        """The page as it is printed."""
        found = self.send("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        file.write_bytes(base64.b64decode(found["data"]))

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its result."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        content = json.dumps(message).encode() + b"\0"
        while content:
            content = content[os.write(self._writing, content) :]
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _wait(self, event: str) -> None:
        while not any(found["method"] == event for found in self._events):
            self._note(self._read())

    def _note(self, event: dict[str, Any]) -> None:
        method, params = event.get("method", ""), event.get("params", {})
        self._events.append({"method": method})
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details.get("text", "")))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(" ".join(str(found.get("value", found.get("description"))) for found in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith("data:"):
                self.requests.append(url)

    def _read(self) -> dict[str, Any]:
        until = time.monotonic() + SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reading], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError(f"Chromium has not answered for {SECONDS:.0f} seconds")
            part = os.read(self._reading, 1 << 20)
            if not part:
                raise RuntimeError("Chromium has ended")
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        return found
