"""How the folder of a domain is laid out: divided into train/ and heldout/, or undivided."""

from pathlib import Path

from training.shard_format import MANIFEST_FILE, manifest_digest

SPLITS = ("train", "heldout")


def is_divided(folder: Path) -> bool:
    """Whether a folder holds train/ and heldout/ with token shards."""
    return all((folder / split / MANIFEST_FILE).is_file() for split in SPLITS)


def is_whole(folder: Path) -> bool:
    """Whether a folder holds one set of token shards itself."""
    return (folder / MANIFEST_FILE).is_file()


def domain_digests(folder: Path) -> dict[str, str]:
    """Return the digests of the manifests of a domain, by part.

    Raises:
        ValueError: A manifest is missing.
    """
    if is_whole(folder):
        return {"whole": manifest_digest(folder)}
    return {split: manifest_digest(folder / split) for split in SPLITS}


def find_domains(folder: Path) -> dict[str, Path]:
    """Return the domains in a folder by name: those below it, or itself if it holds shards."""
    if is_whole(folder) or is_divided(folder):
        return {folder.resolve().name: folder}
    return {
        below.name: below
        for below in sorted(folder.glob("*"))
        if is_whole(below) or is_divided(below)
    }
