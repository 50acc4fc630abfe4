"""The catalogue of corpora: a YAML file that says what each corpus is and where it is read from.

    corpora:
      <name>:
        domain: <domain>
        ...

Everything is strict: an unknown, missing or repeated key is an error that names the file, the
corpus, the field and the remedy.
"""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from quality.coverage_limits import CoverageLimit
from quality.documents import CorpusError, Reader, ReadRequest
from quality.path_selection import compile_pattern
from quality.readers import READERS

NAME_PATTERN = r"^[a-z0-9]+(?:[-_][a-z0-9]+)*$"


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class Corpus:
    """One raw collection with one origin and one licence."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """Name, also of its folder and partition: lower-case letters, digits, single - or _."""
    domain: Annotated[str, Field(pattern=NAME_PATTERN)]
    """Domain whose weight this corpus shares; several corpora may belong to one domain."""
    licence: Annotated[str, Field(min_length=1)]
    """Licence of the texts, SPDX identifier where there is one."""
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
    """Declared language, ISO 639 (`mul`: several languages)."""
    cleaning: Annotated[str, Field(min_length=1)]
    """Name of a cleaning profile."""
    reader: str
    """Kind of source, a key of `READERS`."""
    source: Mapping[str, object]
    """Settings of the reader."""
    text_column: Annotated[str, Field(min_length=1)] = "text"
    """Column that holds the text; only table readers use it."""
    id_column: str | None = None
    """Column that holds a stable id; None: documents are named by file and row."""
    select: tuple[str, ...] = ()
    """Patterns of the files to read (`**` crosses folders); empty: all that the reader knows."""
    exclude: tuple[str, ...] = ()
    """Patterns of files to leave out."""
    segment_chars: Annotated[int, Field(ge=1)] | None = None
    """Longer texts are cut at blank lines into documents of at most this length; None: off."""
    coverage: tuple[CoverageLimit, ...] = ()
    """Groups of documents and what each may lose in cleaning; empty: only the whole is judged."""
    sample_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the texts to keep, chosen by a hash of their name; the rest is counted."""
    folder: Path = Path()
    """Folder of the catalogue, from which relative paths start; not a key of the file."""

    def __post_init__(self) -> None:
        for pattern in (*self.select, *self.exclude):
            compile_pattern(pattern)
        self.make_reader()

    def make_reader(self) -> Reader:
        """Build the reader from its settings.

        Raises:
            CorpusError: The reader or one of its settings is unknown, missing or wrong.
        """
        if self.reader not in READERS:
            raise CorpusError(
                f"corpus {self.name!r}, field 'reader': unknown reader {self.reader!r}; "
                f"choose one of {sorted(READERS)}"
            )
        try:
            return TypeAdapter(READERS[self.reader]).validate_python(dict(self.source))
        except ValidationError as error:
            raise CorpusError(
                f"corpus {self.name!r}, reader {self.reader!r}: {_explain(error, 'source')}"
            ) from error

    def request(self, cache: Path) -> ReadRequest:
        """State what the reader needs to know beside its settings."""
        return ReadRequest(
            corpus=self.name,
            folder=self.folder,
            cache=cache,
            text_column=self.text_column,
            id_column=self.id_column,
            select=self.select,
            exclude=self.exclude,
        )


def load_catalogue(path: Path) -> dict[str, Corpus]:
    """Read a catalogue; corpora in the order of the file, by name.

    Raises:
        CorpusError: The file is missing or no YAML, or a corpus is not described as it should be.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except OSError as error:
        raise CorpusError(f"catalogue {path} cannot be read ({error}); correct the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CorpusError(f"catalogue {path} is no valid YAML: {error}") from error
    if not isinstance(content, dict) or set(content) != {"corpora"}:
        raise CorpusError(f"catalogue {path}: expected one key at the top, 'corpora'")
    entries = content["corpora"]
    if not isinstance(entries, dict) or not entries:
        raise CorpusError(f"catalogue {path}, key 'corpora': name at least one corpus")
    return {str(name): _load_corpus(path, name, entry) for name, entry in entries.items()}


def _load_corpus(path: Path, name: object, entry: object) -> Corpus:
    where = f"catalogue {path}, corpus {name!r}"
    if not isinstance(entry, dict):
        raise CorpusError(f"{where}: expected keys and values, got {entry!r}")
    for key in ("name", "folder"):
        if key in entry:
            raise CorpusError(f"{where}, field {key!r}: this is set by the catalogue; remove it")
    try:
        values = {**entry, "name": name, "folder": path.resolve().parent}
        return TypeAdapter(Corpus).validate_python(values)
    except ValidationError as error:
        raise CorpusError(f"{where}: {_explain(error)}") from error


def _explain(error: ValidationError, prefix: str = "") -> str:
    """Turn a validation error into one line per field: what was expected and what was found."""
    lines: list[str] = []
    for problem in error.errors():
        place = ".".join(str(part) for part in ([prefix] if prefix else []) + list(problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "value_error":
            lines.append(f"{place}: {message}" if problem["loc"] else message)
        elif problem["type"] == "unexpected_keyword_argument":
            lines.append(f"field {place!r}: unknown; remove it or correct its name")
        elif problem["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
            lines.append(f"field {place!r}: missing; add it")
        else:
            lines.append(f"field {place!r}: {message}, got {problem['input']!r}")
    return "; ".join(lines)


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, of which YAML would keep the last."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        repeated = {str(key) for key in keys if keys.count(key) > 1}
        if repeated:
            raise yaml.constructor.ConstructorError(
                None,
                None,
                f"key {', '.join(sorted(repeated))} stands twice; remove one",
                node.start_mark,
            )
        return super().construct_mapping(node, deep=deep)
