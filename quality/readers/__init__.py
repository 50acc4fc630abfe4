"""The kinds of source that a corpus can be read from, by their name in the catalogue."""

from quality.documents import Reader
from quality.readers.hugging_face import HuggingFaceReader
from quality.readers.jsonl import JsonlReader
from quality.readers.package_index import PackageIndexReader
from quality.readers.parquet import ParquetReader
from quality.readers.text_folder import TextFolderReader
from quality.readers.warc import WarcReader

READERS: dict[str, type[Reader]] = {
    "parquet": ParquetReader,
    "jsonl": JsonlReader,
    "text_folder": TextFolderReader,
    "hugging_face": HuggingFaceReader,
    "package_index": PackageIndexReader,
    "warc": WarcReader,
}
"""Name -> settings class; its instance reads the source."""
