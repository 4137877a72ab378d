"""Pages as a scanner would give them: greyscale, a little askew and noisy, without a text layer."""

from __future__ import annotations

import io
import zlib

from pagetune.demo.book import BookPlan, set_book

_DOTS_PER_INCH = 150


def typeset(plan: BookPlan) -> bytes:
    """The book as PDF, the pages of `plan.scanned` as scans of the same page set before."""
    parts = plan.parts()
    clean = set_book(plan, parts)
    if not plan.scanned:
        return clean
    seed = zlib.crc32(plan.name.encode())
    return set_book(plan, parts, {page: scan_page(clean, page, seed + page) for page in plan.scanned})


def scan_page(pdf: bytes, number: int, seed: int) -> bytes:
    """Page `number` (from 1) of a PDF as a greyscale JPEG at 150 dots per inch, rotated under a degree, with noise."""
    import numpy as np
    import pypdfium2
    from PIL import Image, ImageFilter

    rng = np.random.default_rng(seed)
    with pypdfium2.PdfDocument(pdf) as document:
        page = document[number - 1].render(scale=_DOTS_PER_INCH / 72, grayscale=True).to_pil().convert("L")
    angle = float(rng.uniform(0.25, 0.7) * rng.choice((-1.0, 1.0)))
    page = page.rotate(angle, Image.Resampling.BICUBIC, fillcolor=255).filter(ImageFilter.GaussianBlur(0.45))
    height, width = page.height, page.width
    light = 0.95 - 0.05 * np.linspace(0, 1, width)[None, :] * np.linspace(0.6, 1, height)[:, None]
    grey = np.asarray(page, dtype=np.float32) * light + rng.normal(0, 5, (height, width))
    out = io.BytesIO()
    Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=60)
    return out.getvalue()
