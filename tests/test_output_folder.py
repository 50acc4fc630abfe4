import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.output_folder import OutputRefused, replacing, write_summary

PROJECT = Path(__file__).parents[1]


def fill(out, number):
    with replacing(out, command="clean") as draft:
        (draft / f"{number}.txt").write_text(str(number))
        write_summary(draft, "clean", {"number": number})


def content(out):
    return sorted(path.name for path in out.iterdir())


def test_a_finished_folder_replaces_the_one_before(tmp_path):
    out = tmp_path / "deep" / "out"
    fill(out, 1)
    fill(out, 2)
    assert content(out) == ["2.txt", "summary.json"]
    assert json.loads((out / "summary.json").read_text()) == {"command": "clean", "number": 2}
    assert content(out.parent) == ["out"]


def test_a_failure_leaves_the_previous_folder_and_nothing_else(tmp_path):
    out = tmp_path / "out"
    fill(out, 1)
    with pytest.raises(TypeError), replacing(out, command="clean") as draft:
        (draft / "half.txt").write_text(None)
    assert content(out) == ["1.txt", "summary.json"]
    assert content(tmp_path) == ["out"]


def test_a_killed_writer_leaves_the_previous_folder_and_the_next_one_tidies_up(tmp_path):
    out = tmp_path / "out"
    fill(out, 1)
    code = (
        "import os, sys; from pathlib import Path\n"
        "from orchestration.output_folder import replacing\n"
        "with replacing(Path(sys.argv[1]), command='clean') as draft:\n"
        "    (draft / 'half.txt').write_text('x')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(out)], cwd=PROJECT, check=False)
    assert ended.returncode == -9
    assert content(out) == ["1.txt", "summary.json"]
    assert len(content(tmp_path)) == 2
    fill(out, 2)
    assert content(tmp_path) == ["out"]


def test_a_kill_between_the_renames_is_mended(tmp_path):
    out = tmp_path / "out"
    fill(out, 1)
    os.rename(out, tmp_path / ".out.previous")
    with pytest.raises(TypeError), replacing(out, command="clean") as draft:
        draft.write_text(None)
    assert content(out) == ["1.txt", "summary.json"]


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "out").mkdir()
    fill(tmp_path / "out", 1)
    assert content(tmp_path / "out") == ["1.txt", "summary.json"]


@pytest.mark.parametrize("summary", [None, "no JSON", "[]", '{"command": "profile"}'])
def test_what_another_has_written_is_never_replaced(tmp_path, summary):
    (tmp_path / "thesis.txt").write_text("x")
    if summary is not None:
        (tmp_path / "summary.json").write_text(summary)
    with pytest.raises(OutputRefused, match=r"was not written by `mixwright clean`; choose"):
        fill(tmp_path, 1)
    assert (tmp_path / "thesis.txt").exists()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(OutputRefused):
        fill(tmp_path / "out", 1)
