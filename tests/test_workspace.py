"""The workspace: whole files and folders or none, one writer at a time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pagetune.errors import WorkspaceError
from pagetune.workspace import Workspace, fingerprint, read_text, replace_folder, write_atomically

HOLD = """
import sys, time
from pathlib import Path
from pagetune.workspace import Workspace
with Workspace(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(600)
"""


class Stop(Exception):
    pass


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "ws").create()


@pytest.fixture
def holder(workspace):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(workspace.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def fill_and_fail(folder):
    (folder / "half").touch()
    raise Stop


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_equal_parts_have_equal_fingerprints_whatever_the_order_of_keys():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint("a", "b") != fingerprint("ab")


def test_create_may_be_repeated_and_open_wants_a_workspace(workspace, tmp_path):
    assert workspace.create() == workspace.open() == workspace
    with pytest.raises(WorkspaceError, match="is not a workspace"):
        Workspace(tmp_path / "elsewhere").open()


def test_a_folder_of_someone_elses_files_is_refused(tmp_path):
    (tmp_path / "thesis.pdf").write_bytes(b"%PDF")
    with pytest.raises(WorkspaceError, match="not a workspace"):
        Workspace(tmp_path).create()
    with pytest.raises(WorkspaceError, match="is a file"):
        Workspace(tmp_path / "thesis.pdf").create()


def test_a_workspace_of_another_layout_is_refused(workspace):
    (workspace.root / "workspace.json").write_text(json.dumps({"layout": 99}))
    with pytest.raises(WorkspaceError, match="layout 99"):
        workspace.open()


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "inner" / "file.txt"
    write_atomically(path, "first")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert names(path.parent) == ["file.txt"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    write_atomically(path, "kept")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "kept"
    assert names(tmp_path) == ["file.txt"]


def test_a_folder_is_replaced_whole(tmp_path):
    for content in ("first", "second"):
        with replace_folder(tmp_path / "data") as fresh:
            (fresh / content).write_text(content)
    assert names(tmp_path) == ["data"]
    assert names(tmp_path / "data") == ["second"]


def test_a_folder_whose_making_fails_is_never_seen(tmp_path):
    with replace_folder(tmp_path / "data") as fresh:
        (fresh / "good").touch()
    with pytest.raises(Stop), replace_folder(tmp_path / "data") as fresh:
        fill_and_fail(fresh)
    assert names(tmp_path) == ["data"]
    assert names(tmp_path / "data") == ["good"]


def test_what_a_killed_run_left_is_mended_when_the_lock_is_taken(workspace):
    (workspace.root / ".data.new.abc").mkdir()
    (workspace.root / ".model.old").mkdir()
    (workspace.root / ".model.old" / "weights").touch()
    (workspace.root / ".index.old").mkdir()
    (workspace.index).mkdir()
    with workspace.lock():
        assert names(workspace.model) == ["weights"]
        assert {".data.new.abc", ".model.old", ".index.old"}.isdisjoint(names(workspace.root))


def test_a_stage_is_finished_when_it_says_so(workspace):
    assert workspace.finished("read") is None
    workspace.finish("read", {"documents": "abc"}, {"pages": 3})
    record = workspace.finished("read")
    assert record is not None
    assert record["fingerprint"] == fingerprint({"documents": "abc"})
    assert record["summary"] == {"pages": 3}
    (workspace.stages / "read.json").write_text("{half")
    assert workspace.finished("read") is None


@pytest.mark.parametrize(
    ("stage", "verb"),
    [("fit", "fit kind=retriever"), ("rerank", "fit kind=reranker"), ("evaluate", "evaluate")],
)
def test_a_stage_that_failed_is_said_with_the_verb_that_runs_it(workspace, stage, verb):
    workspace.check(stage)
    workspace.fail(stage, "it is too large")
    with pytest.raises(WorkspaceError, match=rf"{stage} has not finished.*too large \(then run: pagetune {verb} -w "):
        workspace.check(stage)


def test_the_lock_is_free_again_after_an_error(workspace):
    with pytest.raises(Stop), workspace.lock():
        raise Stop
    with workspace.lock():
        pass


def test_a_second_holder_is_refused_and_a_killed_one_is_forgotten(workspace, holder):
    with pytest.raises(WorkspaceError, match="another pagetune"), workspace.lock():
        pass
    holder.kill()
    holder.wait()
    with workspace.lock():
        pass


def test_a_folder_that_is_not_a_workspace_is_not_mended(tmp_path):
    (tmp_path / "home" / ".notes.old").mkdir(parents=True)
    with pytest.raises(WorkspaceError, match="not a workspace"), Workspace(tmp_path / "home").lock():
        pass
    assert names(tmp_path / "home") == [".notes.old"]


def test_a_file_is_no_workspace(tmp_path):
    (tmp_path / "ws").touch()
    with pytest.raises(WorkspaceError, match="is a file"), Workspace(tmp_path / "ws").lock():
        pass


def test_a_kill_while_the_marker_is_written_leaves_a_usable_folder(tmp_path):
    (tmp_path / ".workspace.json.a1b2").touch()
    assert Workspace(tmp_path).create().is_workspace()


def test_a_name_that_is_not_utf8_can_be_recorded(workspace):
    parts = {"documents": {b"caf\xe9.pdf".decode("utf-8", "surrogateescape"): "digest"}}
    workspace.finish("read", parts, {})
    assert workspace.finished("read")["fingerprint"] == fingerprint(parts)
    assert workspace.finished("read")["parts"] == parts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_text_from_elsewhere_is_read_whatever_wrote_it(tmp_path: Path, encoding: str, end: str) -> None:
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    (tmp_path / "t").write_bytes(f"{mark}größer\u2028{end}二{end}".encode(encoding))
    assert read_text(tmp_path / "t") == "größer\u2028\n二\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("grün".encode("cp1252"), "byte 2 is not UTF-8"),
        ("one\ntwo".encode("utf-16-le"), "line 1 has a NUL character, as UTF-16 has"),
        (b"one\ntwo\0\n", "line 2 has a NUL character, as UTF-16 has"),
        (b"\xff\xfea\0b", "byte 4 is not UTF-16"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(ValueError, match=f"^{reason}$"):
        read_text(tmp_path / "t")
