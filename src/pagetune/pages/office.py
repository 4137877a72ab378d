"""Office documents to PDF by LibreOffice, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pagetune.errors import DocumentRefused

MISSING = "needs LibreOffice, which is not installed: install it (the command is soffice), or save the file as PDF"


def office_command() -> str | None:
    """The LibreOffice command on this machine, None if there is none."""
    for name in ("soffice", "libreoffice"):
        if found := shutil.which(name):
            return found
    application = Path("/Applications/LibreOffice.app/Contents/MacOS/soffice")
    return str(application) if sys.platform == "darwin" and application.exists() else None


def convert_to_pdf(source: Path, format: str, target: Path, scratch: Path) -> None:
    """Write `source` as a PDF to `target`, working in the folder `scratch`. Raises DocumentRefused.

    Each conversion has a profile of its own: two on one profile refuse each other, and a macro or a setting of one
    document cannot reach the next. LibreOffice stays in the worker's process group, so that it ends when the worker
    is ended for taking too long.
    """
    command = office_command()
    if command is None:
        raise DocumentRefused(MISSING)
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        # LibreOffice goes by the name too; ours is the one that the content told.
        named = Path(folder) / f"document.{format}"
        shutil.copyfile(source, named)
        profile = f"-env:UserInstallation={(Path(folder) / 'profile').absolute().as_uri()}"
        options = ["--headless", "--norestore", "--nolockcheck", "--convert-to", "pdf", "--outdir", folder]
        subprocess.run(
            [command, profile, *options, str(named)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        made = named.with_suffix(".pdf")
        if not made.exists():
            raise DocumentRefused("damaged: LibreOffice could not convert it")
        made.replace(target)
