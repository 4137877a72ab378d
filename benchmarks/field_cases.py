"""Inputs such as people's own files are, each with its right value: forms, scans, layers, scripts, datasets, runs.

    python benchmarks/field_cases.py [CASE ...]

Each case is a folder with a make.py that writes a small input into the folder that it is run in, and says the right
value. They are found at $PAGETUNE_CASES, else at ../shared/cases beside the repository; a copy is built, nothing is
written there. CASE: only the cases whose folder's name begins so. Claim: every value is right.
The cases need pikepdf, reportlab, Pillow, pyarrow, and the DejaVu and Droid fallback fonts.
"""

from __future__ import annotations

import os
import runpy
import shutil
import sys
import tempfile
import time
from contextlib import chdir
from pathlib import Path
from typing import Any

from _field_checks import CHECKS, Case, Finding

ROOT = Path(__file__).resolve().parent.parent
CASES = Path(os.environ.get("PAGETUNE_CASES", ROOT.parent / "shared" / "cases"))
NEEDS = "pip install pikepdf reportlab Pillow pyarrow; the fonts of fonts-dejavu-core and fonts-droid-fallback"
FIRST = ("19-chinese-manual",)
"""Cases that others take files from."""


def main() -> int:
    if not CASES.is_dir():
        print(f"no cases at {CASES}; name their folder in PAGETUNE_CASES")
        return 2
    wanted = tuple(sys.argv[1:]) or ("",)
    with tempfile.TemporaryDirectory() as name:
        copy = Path(shutil.copytree(CASES, Path(name) / "cases"))
        cases, unbuilt = build(copy)
        for folder, why in unbuilt.items():
            print(f"{folder} cannot be built: {why}; needed: {NEEDS}")
        if unbuilt:
            return 2
        counts = {case: show(case, cases[case]) for case in sorted(cases) if case.startswith(wanted)}
    right = sum(good == of for good, of in counts.values())
    good, of = sum(good for good, _ in counts.values()), sum(of for _, of in counts.values())
    holds = right == len(counts) > 0
    print(f"{right} of {len(counts)} cases right, {good} of {of} values; claim: {'holds' if holds else 'FAILS'}")
    return 0 if holds else 1


def build(copy: Path) -> tuple[dict[str, Case], dict[str, str]]:
    """Run each make.py in its folder; the cases, and why others could not be built."""
    cases: dict[str, Case] = {}
    unbuilt: dict[str, str] = {}
    folders = sorted(
        (script.parent for script in copy.glob("*/make.py")), key=lambda path: (path.name not in FIRST, path.name)
    )
    for folder in folders:
        folder.chmod(0o755)  # The originals may be read-only.
        try:
            cases[folder.name] = Case(folder, _run_make(folder))
        except Exception as error:  # Whatever a script lacks here is to be told.
            unbuilt[folder.name] = f"{type(error).__name__}: {error}"
    return cases, unbuilt


def _run_make(folder: Path) -> dict[str, Any]:
    path, modules = list(sys.path), set(sys.modules)
    try:
        with chdir(folder):
            return runpy.run_path(str(folder / "make.py"), run_name="__main__")
    finally:
        # The scripts import each other by names that only hold in their own folder.
        sys.path[:] = path
        for name in {"make", "h"} - modules:
            sys.modules.pop(name, None)


def show(name: str, case: Case) -> tuple[int, int]:
    """Check a case and print a line for each value; how many are right, of how many."""
    began = time.monotonic()
    check = CHECKS.get(name.partition("-")[0])
    findings: list[Finding] = []
    try:
        if check is None:
            raise LookupError(f"there is no check of it in _field_checks.py; read {case.folder.name}/make.py")
        findings.extend(check(case))
    except Exception as error:
        findings.append(Finding("an answer", f"{type(error).__name__}: {' '.join(str(error).split())[:120]}", False))
    good = sum(finding.holds for finding in findings)
    print(f"{name}: {good} of {len(findings)} right ({time.monotonic() - began:.0f} s)")
    for finding in findings:
        print(f"    {'right' if finding.holds else 'WRONG'}  {finding.right:58s}  {finding.came}", flush=True)
    return good, len(findings)


if __name__ == "__main__":
    sys.exit(main())
