from pathlib import Path

import pytest

from quality.documents import CorpusError, ReadRequest
from quality.path_selection import PathSelection, compile_pattern, find_files


def ask(folder, select=(), exclude=()):
    return ReadRequest(
        corpus="c",
        folder=folder,
        cache=folder,
        text_column="text",
        id_column=None,
        select=tuple(select),
        exclude=tuple(exclude),
    )


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.txt", "a.txt", True),
        ("*.txt", "b/a.txt", False),
        ("**/*.txt", "a.txt", True),
        ("**/*.txt", "b/c/a.txt", True),
        ("docs/**", "docs/b/c.rst", True),
        ("docs/**", "docs.rst", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[a-c]*.txt", "b1.txt", True),
        ("[!a-c]*.txt", "b1.txt", False),
        ("[!a-c]*.txt", "d1.txt", True),
        ("a.b", "axb", False),
    ],
)
def test_patterns_match_whole_relative_paths(pattern, path, expected):
    assert (compile_pattern(pattern).fullmatch(path) is not None) == expected


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(CorpusError, match=r"'\[z-a\]' cannot be read"):
        compile_pattern("[z-a]")


def test_exclude_wins_and_a_pattern_without_a_file_is_reported():
    selection = PathSelection(["**/*.py", "*.rst"], ["tests/**"])
    assert selection.takes("a/b.py")
    assert not selection.takes("tests/b.py")
    assert not selection.takes("a/b.txt")
    with pytest.raises(CorpusError, match=r"'select': no file of here matches '\*\.rst'; correct"):
        selection.require_all_matched("here", corpus="c")
    assert selection.takes("readme.rst")
    selection.require_all_matched("here", corpus="c")


def test_files_come_sorted_and_a_single_file_has_any_name(tmp_path):
    for name in ("b/x.txt", "a.txt", "b/y.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    names = [name for name, _ in find_files(ask(tmp_path), ".", default=["**/*.txt"])]
    assert names == ["a.txt", "b/x.txt"]
    ((name, file),) = find_files(ask(tmp_path), "b/y.md", default=["**/*.txt"])
    assert (name, file.address) == ("y.md", str(tmp_path / "b" / "y.md"))
    chosen = find_files(ask(tmp_path, select=["b/*"], exclude=["**/x*"]), ".", default=[])
    assert [name for name, _ in chosen] == ["b/y.md"]


@pytest.mark.parametrize(
    ("path", "select", "exclude", "message"),
    [
        ("gone", (), (), r"'source.path': .*gone does not exist; correct"),
        (".", ("*.rst",), (), r"no file of .* matches '\*\.rst'"),
        (".", (), ("**",), r"no file of .* is left by select .* and exclude \['\*\*'\]"),
        (".", ("*.txt",), ("a*",), r"is left by select \['\*\.txt'\]"),
    ],
)
def test_an_empty_selection_is_an_error(tmp_path: Path, path, select, exclude, message):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(CorpusError, match=message):
        find_files(ask(tmp_path, select, exclude), path, default=["*.txt"])
