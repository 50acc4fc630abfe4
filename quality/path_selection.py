r"""Which files of a folder or an archive belong to a corpus.

Patterns are matched against the whole relative path with forward slashes: `*` and `?` stay within
one folder, `**` crosses folders, `[a-d]` is a set of characters. (`pathlib` understands `**` in
`match` only from Python 3.13.)
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from quality.documents import CorpusError, ReadRequest
from quality.source_files import SourceFile, is_url, list_files

_TOKENS = re.compile(
    r"(?P<folders>\*\*/)|(?P<any>\*\*)|(?P<name>\*)|(?P<one>\?)|(?P<set>\[[^]]+\])"
)
_MEANING = {"folders": "(?:.*/)?", "any": ".*", "name": "[^/]*", "one": "[^/]"}


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Translate a path pattern into a regular expression for `fullmatch`.

    Raises:
        CorpusError: A set of characters is not one, such as `[z-a]`.
    """
    parts: list[str] = []
    end = 0
    for token in _TOKENS.finditer(pattern):
        parts.append(re.escape(pattern[end : token.start()]))
        kind = str(token.lastgroup)
        parts.append(_MEANING[kind] if kind in _MEANING else token[0].replace("[!", "[^", 1))
        end = token.end()
    parts.append(re.escape(pattern[end:]))
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error as error:
        raise CorpusError(f"pattern {pattern!r} cannot be read: {error}; correct it") from error


class PathSelection:
    """Decides file by file, and remembers which patterns have matched nothing yet."""

    def __init__(self, select: Sequence[str], exclude: Sequence[str]) -> None:
        self._select = {pattern: compile_pattern(pattern) for pattern in select}
        self._exclude = [compile_pattern(pattern) for pattern in exclude]
        self._unmatched = dict.fromkeys(select)

    def takes(self, path: str) -> bool:
        """Tell whether a relative path is selected and not excluded."""
        matching = [name for name, pattern in self._select.items() if pattern.fullmatch(path)]
        for name in matching:
            self._unmatched.pop(name, None)
        return bool(matching) and not any(pattern.fullmatch(path) for pattern in self._exclude)

    def require_all_matched(self, where: str, *, corpus: str) -> None:
        """Call after the last path: a pattern that matched no file is a misspelling.

        Raises:
            CorpusError: Names the patterns without a match.
        """
        if self._unmatched:
            raise CorpusError(
                f"corpus {corpus!r}, field 'select': no file of {where} matches "
                f"{', '.join(map(repr, self._unmatched))}; correct or remove the pattern"
            )


def find_files(
    request: ReadRequest, path: str, *, default: Iterable[str]
) -> list[tuple[str, SourceFile]]:
    """List the files of a source as (relative path, file), sorted by relative path.

    Args:
        request: Gives the folder that `path` starts from and the patterns.
        path: Path or URL of one file, which is then taken whatever its name, or of a folder.
        default: Patterns for a folder when the corpus names none.

    Raises:
        CorpusError: The path does not exist, a named pattern matches nothing, or nothing is left.
    """
    root = path if is_url(path) else str(request.folder / path)
    try:
        files = list_files(root)
    except CorpusError as error:
        raise CorpusError(
            f"corpus {request.corpus!r}, field 'source.path': {error} "
            "(relative paths start from the catalogue's folder)"
        ) from error
    if len(files) == 1 and files[0].address == root:
        return [(files[0].name, files[0])]
    patterns = request.select or tuple(default)
    selection = PathSelection(patterns, request.exclude)
    chosen = [(file.name, file) for file in files if selection.takes(file.name)]
    if request.select:
        selection.require_all_matched(root, corpus=request.corpus)
    if not chosen:
        raise CorpusError(
            f"corpus {request.corpus!r}, field 'select': no file of {root} is left by select "
            f"{list(patterns)} and exclude {list(request.exclude)}; correct the patterns"
        )
    return chosen
