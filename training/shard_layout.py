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
        ValueError: A folder below it holds half of a domain, train/ or heldout/ alone.
    """
    if is_whole(folder) or is_divided(folder):
        return {folder.resolve().name: folder}
    found = {}
    for below in sorted(folder.glob("*")):
        there = [is_whole(below / split) for split in SPLITS]
        if is_whole(below) or all(there):
            found[below.name] = below
        elif any(there):
            missing = below / SPLITS[there.index(False)] / MANIFEST_FILE
            raise ValueError(
                f"{below} has only {SPLITS[there.index(True)]}/, {missing} is missing; complete "
                "it, or name the domains that are wanted one by one"
            )
    return found
