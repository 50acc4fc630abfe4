"""Read a Hugging Face dataset, saved on disk or by name, through `datasets`.

By name it is streamed: rows arrive in batches and are not kept. Code that a dataset may carry is
never run.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from quality.documents import CorpusError, ReadRequest, Text, Unreadable
from quality.table_rows import read_table, require_columns

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

BATCH_ROWS = 512


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class HuggingFaceReader:
    """Settings of a corpus with `reader: hugging_face`; give either `path` or `name`."""

    path: str | None = None
    """Folder written by `save_to_disk`; relative paths start from the catalogue's folder."""
    name: str | None = None
    """Dataset on the hub, `owner/name`, or a folder of data files."""
    config_name: str | None = None
    """Configuration of a dataset by name; None: its only or default one."""
    revision: str | None = None
    """Commit or tag of a dataset by name; None: the newest, so name one for reproducible work."""
    split: str = "train"
    """Split to read; a dataset saved without splits has none and ignores it."""

    def __post_init__(self) -> None:
        if (self.path is None) == (self.name is None):
            raise CorpusError(
                "give either 'path' (a folder on disk) or 'name' (a dataset), not both"
            )

    def read(self, request: ReadRequest) -> Iterator[Text | Unreadable]:
        """Yield one text per row in the dataset's order.

        Raises:
            CorpusError: The dataset, its split or a named column is missing, or data is damaged.
        """
        import pyarrow as pa

        if request.select or request.exclude:
            raise CorpusError(
                f"corpus {request.corpus!r}, field 'select': a Hugging Face dataset has rows, not "
                "files; remove 'select' and 'exclude'"
            )
        label = self.name or (request.folder / str(self.path)).name
        try:
            dataset = self._open(request)
            row = 1
            for table in dataset.with_format("arrow").iter(batch_size=BATCH_ROWS):
                if row == 1:
                    require_columns(table.schema, request, source=label)
                yield from read_table(table, request, path=label, source=label, first_row=row)
                row += table.num_rows
        except CorpusError:
            raise
        except (OSError, ValueError, pa.ArrowException) as error:
            raise CorpusError(
                f"corpus {request.corpus!r}, field 'source': the dataset {label!r}, split "
                f"{self.split!r}, cannot be read ({type(error).__name__}: {error}); correct "
                "path, name or split, or fetch it again"
            ) from error

    def _open(self, request: ReadRequest) -> "Dataset | IterableDataset":
        from datasets import DatasetDict, load_dataset, load_from_disk

        if self.path is None:
            return load_dataset(
                self.name,
                self.config_name,
                split=self.split,
                revision=self.revision,
                streaming=True,
            )
        dataset = load_from_disk(str(request.folder / self.path))
        if not isinstance(dataset, DatasetDict):
            return dataset
        if self.split not in dataset:
            raise CorpusError(
                f"corpus {request.corpus!r}, field 'source.split': {self.path} has no split "
                f"{self.split!r}; its splits are {sorted(dataset)}; name one of them"
            )
        return dataset[self.split]
