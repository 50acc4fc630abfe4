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
    """Return the domains in a folder by name: those below it, or itself if it holds shards.

    Raises:
        ValueError: One of them has only one of its two parts.
    """
    if _holds_domain(folder):
        return {folder.resolve().name: folder}
    return {below.name: below for below in sorted(folder.glob("*")) if _holds_domain(below)}


def _holds_domain(folder: Path) -> bool:
    if is_whole(folder) or is_divided(folder):
        return True
    for split, other in (SPLITS, SPLITS[::-1]):
        if (folder / split / MANIFEST_FILE).is_file():
            raise ValueError(
                f"{folder} has only {split}/, {folder / other / MANIFEST_FILE} is missing; "
                "complete it, or name the domains that are wanted one by one"
            )
    return False
