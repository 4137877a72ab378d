"""Anything that stands for a picture, and pictures from a server on this machine."""

from __future__ import annotations

import io
import ipaddress
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from visual_rows import bomb, encoded, page, png

from pagetune.errors import DataError
from pagetune.examples.fetching import Fetcher, is_public
from pagetune.examples.pictures import encode, to_rgb

RED = np.zeros((5, 6, 3), np.uint8)
RED[:, :, 0] = 255


def pixel(image: Image.Image) -> Any:
    return image.getpixel((0, 0))


@pytest.mark.parametrize(
    "value",
    [
        Image.fromarray(RED),
        Image.fromarray(RED).convert("P"),
        RED,
        np.moveaxis(RED, 2, 0),
        RED / 255,
        (RED / 255).astype(np.float16),
        RED.astype(np.int64),
        RED > 0,
        np.dstack([RED, np.full((5, 6), 255, np.uint8)]),
        encoded(Image.fromarray(RED)),
        bytearray(encoded(Image.fromarray(RED), "TIFF")),
        memoryview(encoded(Image.fromarray(RED), "BMP")),
        {"bytes": encoded(Image.fromarray(RED)), "path": "red.png"},
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_form_is_the_same_picture(value: Any) -> None:
    image = to_rgb(value)
    assert (image.mode, image.size, pixel(image)) == ("RGB", (6, 5), (255, 0, 0))
    kept = encode(value)
    assert (kept.width, kept.height) == (6, 5)
    assert pixel(to_rgb(kept.cell())) == (255, 0, 0)


def test_tensors_are_pictures() -> None:
    import torch

    tensor = torch.from_numpy(np.moveaxis(RED, 2, 0).copy())
    for value in (tensor, tensor / 255, (tensor / 255).bfloat16(), tensor.permute(1, 2, 0), tensor.float().div(255)):
        image = to_rgb(value.requires_grad_() if value.is_floating_point() else value)
        assert (image.size, pixel(image)) == ((6, 5), (255, 0, 0))
    # Where both ends could be the channels, each library has its own order.
    assert to_rgb(torch.zeros(3, 5, 4)).size == (4, 5)
    assert to_rgb(np.zeros((3, 5, 4))).size == (5, 3)


def test_grey_pictures(tmp_path: Path) -> None:
    assert pixel(to_rgb(np.full((3, 5), 128, np.uint8))) == (128, 128, 128)
    assert to_rgb(np.zeros((3, 5, 1))).size == (5, 3)
    assert to_rgb(np.zeros((1, 30, 50))).size == (50, 30)


def test_paths_relative_and_absolute(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(3))
    for value in (tmp_path / "a.png", str(tmp_path / "a.png"), {"bytes": None, "path": str(tmp_path / "a.png")}):
        assert to_rgb(value).tobytes() == page(3).tobytes()
    assert to_rgb("a.png", folder=tmp_path).size == page(3).size
    kept = encode("a.png", folder=tmp_path)
    assert kept.cell() == {"bytes": None, "path": str(tmp_path / "a.png")}
    assert kept.key == encode(png(3)).key


def test_what_is_kept_is_rgb_for_whoever_reads_it_later() -> None:
    see_through = Image.new("RGBA", (5, 5), (0, 0, 0, 0))
    assert pixel(to_rgb(see_through)) == (255, 255, 255)
    kept = encode(encoded(see_through))
    assert kept.content is not None
    assert pixel(Image.open(io.BytesIO(kept.content)).convert("RGB")) == (255, 255, 255)
    sixteen = Image.fromarray(np.linspace(0, 60000, 25).reshape(5, 5).astype(np.uint16))
    content = encode(encoded(sixteen)).content
    assert content is not None
    assert Image.open(io.BytesIO(content)).mode == "RGB"
    opaque = encoded(page(1, mode="RGBA"))
    assert encode(opaque).content is opaque


def test_a_turned_photograph_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(page(1, (40, 20)), "JPEG", exif=exif)
    assert to_rgb(turned).size == (20, 40)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "picture is empty; give a picture or remove the row"),
        ("", "picture is empty; give a picture or remove the row"),
        ({"bytes": None, "path": None}, "picture is empty; give a picture or remove the row"),
        (7.5, "picture 7.5 is no picture but of type float; give a PIL image, a path, a URL, bytes or an array"),
        ("a\0b", r"picture 'a\\x00b' cannot be read: .*; check the file"),
        (b"GIF89a", "picture of 6 bytes is no picture that can be read .*; give PNG, JPEG, WebP or TIFF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "picture of 23 bytes is no picture that can be read"),
        (bomb(), "picture of 55 bytes is far above 80000000 pixels; shrink it"),
        (encoded(page(1, (300, 300)))[:-40], "picture of .* bytes is damaged: .*; write it again"),
        (encoded(page(1, (300, 300)), "WEBP")[:-40], "picture of .* bytes is (damaged: .*; write it again|no picture)"),
        (np.zeros((2, 3, 4, 5)), r"\(float64, shape \(2, 3, 4, 5\)\) is not a picture; give height x width"),
        (np.zeros((0, 5)), r"\(float64, shape \(0, 5\)\) is not a picture"),
        (np.full((2, 2), np.nan), "has values from nan to nan; give integers 0 to 255 or floats 0 to 1"),
        (np.full((2, 2), -1), "has values from -1 to -1"),
        (np.full((2, 2), "x"), "holds no numbers"),
    ],
)
def test_what_is_no_picture_is_said_in_one_line(value: Any, message: str) -> None:
    for function in (to_rgb, encode):
        with pytest.raises(DataError, match=message) as caught:
            function(value)
        assert "\n" not in str(caught.value)


class _Pages(BaseHTTPRequestHandler):
    """A server with one good picture, and many ways to go wrong."""

    def do_GET(self) -> None:
        self.server.asked.append((self.headers["Host"], self.path))  # type: ignore[attr-defined]
        path = self.path.partition("?")[0]
        if path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
        elif path in ("/page.png", "/a%20page.png"):
            self._send(png(1))
        elif path == "/page.txt":
            self._send(b"hello")
        elif path == "/endless":
            self.send_response(200)
            self.end_headers()
            for _ in range(1000):
                self.wfile.write(bytes(1 << 16))
        elif path == "/announced":
            self._send(b"", length=1 << 40)
        elif path == "/short":
            self._send(png(1)[:50], length=500)
        elif path == "/slow":
            for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + bytes(100).replace(b"\0", b"x"):
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)
        else:
            self.send_error(404)

    def _send(self, content: bytes, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with suppress(OSError):  # the client went away, as it should
            super().handle()


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as running:
        running.asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    """Names ending in .test are this machine, and this machine's own address is allowed, but no other private one."""

    def resolve(host: str, port: int) -> list[str]:
        if host.endswith(".test"):
            return ["127.0.0.1"]
        if host == "both.example":
            return ["127.0.0.1", "10.0.0.7"]
        return [host]

    own = ipaddress.ip_address("127.0.0.1")
    return Fetcher(
        cache=tmp_path / "cache",
        timeout=5,
        max_bytes=100_000,
        allowed=lambda address: address == own or is_public(address),
        resolve=resolve,
    )


def at(server: ThreadingHTTPServer, path: str, host: str = "pages.test") -> str:
    return f"http://{host}:{server.server_address[1]}{path}"


def test_a_picture_is_fetched_once(server: ThreadingHTTPServer, fetcher: Fetcher) -> None:
    url = at(server, "/page.png?size=1")
    for _ in range(2):
        assert to_rgb(url, fetcher=fetcher).tobytes() == page(1).tobytes()
    assert server.asked == [(f"pages.test:{server.server_address[1]}", "/page.png?size=1")]  # type: ignore[attr-defined]
    kept = encode(url, fetcher=fetcher)
    assert kept.key == encode(png(1)).key
    assert kept.path is not None
    assert Path(kept.path).is_relative_to(fetcher.cache)
    assert to_rgb(at(server, "/a page.png"), fetcher=fetcher).size == page(1).size


def test_redirects_are_followed(server: ThreadingHTTPServer, fetcher: Fetcher) -> None:
    assert to_rgb(at(server, "/to//page.png"), fetcher=fetcher).size == page(1).size
    other = at(server, "/page.png", "other.test")
    assert to_rgb(at(server, f"/to/{other}"), fetcher=fetcher).size == page(1).size


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nothing.png", "was answered with 404 Not Found; correct the address"),
        ("/page.txt", "is no picture that can be read .*; give PNG"),
        ("/endless", "bytes or more, above 100000; shrink it"),
        ("/announced", "is of 1099511627776 bytes or more, above 100000; shrink it"),
        ("/short", "cannot be fetched: it ended after 50 of 500 bytes; correct the address or try again"),
        ("/to//to//to//to//to//to//to//to//page.png", "redirects more than 5 times; give the last address"),
        (
            "/to/http://10.0.0.7/page.png",
            r"\(redirected to 'http://10.0.0.7/page.png'\) leads to 10.0.0.7, which is not",
        ),
        ("/to/http://both.example/page.png", "leads to 10.0.0.7, which is not a public address; keep a copy"),
        ("/to/file:///etc/passwd", "'file' is not fetched, only http and https"),
        ("/to/http://user:secret@pages.test/", "holds a user name; give an address that needs none"),
    ],
)
def test_what_a_server_does_wrong(server: ThreadingHTTPServer, fetcher: Fetcher, path: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        to_rgb(at(server, path), "t.jsonl: row 3: image", fetcher=fetcher)
    assert str(caught.value).startswith(f"t.jsonl: row 3: image 'http://pages.test:{server.server_address[1]}/")
    assert "\n" not in str(caught.value)
    assert not [file for file in fetcher.cache.rglob("*") if file.is_file()]


def test_a_server_that_drips_is_cut_off(server: ThreadingHTTPServer, fetcher: Fetcher) -> None:
    start = time.monotonic()
    with pytest.raises(DataError, match=r"took more than 0\.3 s; try again or keep a copy"):
        to_rgb(at(server, "/slow"), fetcher=replace(fetcher, timeout=0.3))
    assert time.monotonic() - start < 2


def test_a_server_that_is_not_there(server: ThreadingHTTPServer, fetcher: Fetcher) -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    with pytest.raises(DataError, match=r"cannot be fetched: 'pages\.test': Name or service not known"):
        to_rgb(at(server, "/page.png"), fetcher=replace(fetcher, resolve=nowhere))
    with pytest.raises(DataError, match=r"cannot be fetched: .*; correct the address or try again"):
        to_rgb("http://pages.test:1/page.png", fetcher=fetcher)
    with pytest.raises(DataError, match=r"cannot be fetched: .*SSL.*; correct the address or try again"):
        to_rgb(at(server, "/page.png").replace("http:", "https:"), fetcher=fetcher)


@pytest.mark.parametrize(
    "url", ["http:///x.png", "http://[::1/x.png", "http://pages.test:port/x.png", "http://" + "a" * 70 + ".test/"]
)
def test_what_is_no_address(url: str, fetcher: Fetcher) -> None:
    with pytest.raises(DataError, match=r"(is not an address|names no host); correct it"):
        to_rgb(url, fetcher=fetcher)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0.0.0.0", "169.254.169.254", "192.168.1.1", "[::1]",
     "[fe80::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fc00::1]", "224.0.0.1"],
)  # fmt: skip
def test_no_private_address_is_asked(host: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"leads to .+, which is not a public address|cannot be fetched: .*address"):
        to_rgb(f"http://{host}:9/x.png", fetcher=Fetcher(cache=tmp_path))


def test_public_addresses_are_public() -> None:
    for address in (
        "93.184.216.34",
        "2606:2800:220:1:248:1893:25c8:1946",
        "::ffff:93.184.216.34",
        "64:ff9b::5db8:d822",
    ):
        assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_size_that_is_told_is_that_of_the_picture(format: str) -> None:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        options: dict[str, Any] = {"tiffinfo": {274: orientation}} if format == "TIFF" else {"exif": exif}
        content = encoded(page(1, (40, 20)), format, **options)
        kept = encode(content)
        assert (kept.width, kept.height) == to_rgb(content).size == ((20, 40) if orientation > 4 else (40, 20))
