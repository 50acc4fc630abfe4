"""Token shards on disk: the files of a shard folder and their manifest.

A shard folder holds, for k = 0, 1, ...:

    0000k.tok          tokens, raw little-endian uint16 (vocabulary <= 65536) or uint32
    0000k.doc          uint64 token offset of the start of each document within the shard
    documents.parquet  document_id, shard, start, num_tokens, num_bytes
    manifest.json      the description of all that, with sha256 digests

Every document is followed by one end-of-sequence token, counted in its num_tokens, and lies in one
shard.
"""

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

MANIFEST_FILE = "manifest.json"
DOCUMENTS_FILE = "documents.parquet"
_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class ShardFile:
    """One shard."""

    file: str
    """Name of the token file; the document starts are in the file of the same stem, `.doc`."""
    num_tokens: int
    """Tokens, each document's end-of-sequence token included."""
    num_documents: int
    """Documents."""
    sha256: str
    """Digest of the token file."""
    offsets_sha256: str
    """Digest of the file of document starts."""


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class ShardManifest:
    """What a shard folder holds."""

    format_version: Literal[1] = 1
    """Version of this format."""
    dtype: Literal["uint16", "uint32"]
    """Type of a token, little-endian."""
    vocab_size: int
    """All tokens are below it."""
    eos_id: int
    """The token after every document."""
    tokenizer_digest: str
    """Which tokenizer made the tokens."""
    num_tokens: int
    """Tokens of all shards."""
    num_documents: int
    """Documents of all shards."""
    num_bytes: int
    """UTF-8 bytes of the text of all documents."""
    documents_sha256: str
    """Digest of documents.parquet."""
    shards: tuple[ShardFile, ...]
    """The shards in order."""

    def to_json(self) -> str:
        """Return the text of manifest.json."""
        content = TypeAdapter(ShardManifest).dump_python(self, mode="json")
        return json.dumps(content, sort_keys=True, indent=1)


def read_manifest(folder: Path) -> ShardManifest:
    """Read the manifest of a shard folder.

    Raises:
        ValueError: It is missing or no manifest of this format version.
    """
    try:
        return TypeAdapter(ShardManifest).validate_json(_manifest_bytes(folder))
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in mistake["loc"]) or "(whole)"
        raise ValueError(
            f"{folder / MANIFEST_FILE}: {key}: {mistake['msg']}; write the shards again"
        ) from error


def manifest_digest(folder: Path) -> str:
    """Sha256 of the manifest, 64 hexadecimal digits: the identity of the shards' content.

    Raises:
        ValueError: The manifest is missing.
    """
    return hashlib.sha256(_manifest_bytes(folder)).hexdigest()


def _manifest_bytes(folder: Path) -> bytes:
    try:
        return (folder / MANIFEST_FILE).read_bytes()
    except OSError as error:
        raise ValueError(
            f"{folder / MANIFEST_FILE}: cannot be read ({error.strerror}); "
            "materialise token_shards of this domain or correct the path"
        ) from error
