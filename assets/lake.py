"""The lake: immutable artifacts on disk, one current version per asset and partition.

An artifact is a folder named by the digest of its content; `current.json` beside it points to the
version in use and holds its manifest. Writing goes to a temporary folder that is renamed when it is
complete, so a crash, a failed gate upstream or a full disk leaves the previous version in use.

    root/artifacts/<asset>/<partition or _>/current.json
    root/artifacts/<asset>/<partition or _>/<data version>/...
    root/artifacts/<asset>/<partition or _>/accepted.json
    root/gates/<asset>/<partition or _>/<data version>/<gate>.json
    root/work/<asset>/<partition or _>/<key>/          checkpoints of unfinished runs
    root/downloads/                                    source files, keyed by checksum
"""

import contextlib
import hashlib
import json
import os
import resource
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from polars.exceptions import PolarsError

from assets.drafts import new_draft, ran_out_of_space

if TYPE_CHECKING:  # the alias is not exported
    from dagster._core.definitions.metadata import RawMetadataMapping

WHOLE = "_"
"""Folder name of an artifact without partitions."""
ACCEPTED = "accepted.json"
"""Versions that were accepted as normal, see assets.baselines; the last one is never pruned."""
NUM_VERSIONS_KEPT = 2
"""Current and previous version: a reader of the previous one is never cut off by one rebuild."""


class ArtifactMissing(FileNotFoundError):
    """No version of the artifact exists; the message names the asset to materialise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """One immutable version of one asset partition."""

    asset: str
    partition: str | None
    data_version: str
    """Digest of the content, 32 hexadecimal digits."""
    folder: Path
    manifest: Mapping[str, object]
    """Code version, inputs, cost, files: everything known of how it was made."""

    @property
    def name(self) -> str:
        """`asset` or `asset[partition]`."""
        return self.asset if self.partition is None else f"{self.asset}[{self.partition}]"

    def json(self, file: str) -> dict[str, object]:
        """Read one of the artifact's JSON objects."""
        value = json.loads((self.folder / file).read_text())
        assert isinstance(value, dict), f"{self.folder / file} does not hold a JSON object"
        return value


@dataclass(kw_only=True, slots=True)
class Draft:
    """A version being written; becomes an artifact when its `publishing` block ends."""

    folder: Path
    artifact: Artifact | None = None
    extra_cost: dict[str, float] = field(default_factory=dict)
    """Costs that the process cannot see itself, for example `gpu_seconds` of a subprocess."""

    def result(self, metadata: "RawMetadataMapping") -> dg.MaterializeResult[None]:
        """Dagster's record of the published version. Call it after the `publishing` block."""
        assert self.artifact is not None, "result() belongs after the publishing block"
        cost = self.artifact.manifest["cost"]
        assert isinstance(cost, dict)
        shown = {
            name: float(f"{value:.6g}") if isinstance(value, float) else value
            for name, value in metadata.items()
        }
        pictures = {
            name: value
            for name, value in shown.items()
            if isinstance(value, dg.MarkdownMetadataValue)
        }
        return dg.MaterializeResult(
            metadata={
                **pictures,
                **shown,
                "path": dg.MetadataValue.path(self.artifact.folder),
                **{f"cost/{name}": round(value, 3) for name, value in sorted(cost.items())},
            },
            data_version=dg.DataVersion(self.artifact.data_version),
        )


class Lake(dg.ConfigurableResource):  # type: ignore[type-arg]  # the base is generic over itself
    """Where artifacts live."""

    root: str
    """Folder; created on the first write."""

    @property
    def downloads(self) -> Path:
        """Cache of downloaded source files."""
        return Path(self.root, "downloads")

    def find(self, asset: str, partition: str | None = None) -> Artifact | None:
        """The current version, or None if there is none."""
        pointer = self._home(asset, partition) / "current.json"
        if not pointer.exists():
            return None
        try:
            manifest = json.loads(pointer.read_text())
        except ValueError as error:
            raise ValueError(
                f"{pointer}: not JSON ({error}); remove it and materialise {asset} again"
            ) from error
        version = manifest["data_version"]
        folder = pointer.parent / version
        if not folder.is_dir():
            return None
        return Artifact(
            asset=asset, partition=partition, data_version=version, folder=folder, manifest=manifest
        )

    def artifact(self, asset: str, partition: str | None = None) -> Artifact:
        """The current version.

        Raises:
            ArtifactMissing: Nothing was published yet.
        """
        found = self.find(asset, partition)
        if found is None:
            name = asset if partition is None else f"{asset}[{partition}]"
            raise ArtifactMissing(f"{name} was never materialised: materialise it first")
        return found

    def partitions(self, asset: str) -> list[str]:
        """Partitions of an asset that have a current version, sorted."""
        home = Path(self.root, "artifacts", asset)
        keys = (path.parent.name for path in home.glob("*/current.json"))
        return sorted(key for key in keys if self.find(asset, key) is not None)

    def gate_folder(self, artifact: Artifact) -> Path:
        """Where the verdicts about exactly this version are stored (may not exist yet)."""
        partition = artifact.partition or WHOLE
        return Path(self.root, "gates", artifact.asset, partition, artifact.data_version)

    def work_folder(self, asset: str, partition: str, key: str) -> Path:
        """A place for unfinished work that outlives a run, created if needed.

        Args:
            asset: Asset name.
            partition: Partition key.
            key: Digest of the configuration, so that another configuration starts afresh.
        """
        folder = Path(self.root, "work", asset, partition, key)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def publish(
        self,
        draft: Path,
        *,
        asset: str,
        partition: str | None,
        recipe: Mapping[str, object],
    ) -> Artifact:
        """Make a finished draft folder the current version.

        Args:
            draft: Folder inside `draft_folder`'s parent; moved away.
            asset: Asset name.
            partition: Partition key or None.
            recipe: What goes into the manifest beside digest and files.
        """
        home = self._home(asset, partition)
        files = file_digests(draft)
        data_version = combined_digest({name: entry["sha256"] for name, entry in files.items()})
        folder = home / data_version
        if folder.exists() and file_digests(folder) == files:
            shutil.rmtree(draft)
        else:
            if folder.exists():
                shutil.rmtree(folder)  # its files were changed: making it again mends it
            os.replace(draft, folder)
        manifest = {
            "asset": asset,
            "partition": partition,
            "data_version": data_version,
            "files": files,
            **recipe,
        }
        write_json(home / "current.json", manifest)
        self._prune(home, keep=folder)
        found = self.find(asset, partition)
        assert found is not None
        return found

    def baseline_path(self, asset: str, partition: str | None) -> Path:
        """Where the accepted versions of a partition are recorded (may not exist yet)."""
        return self._home(asset, partition) / ACCEPTED

    def draft_folder(self, asset: str, partition: str | None) -> Path:
        """A fresh temporary folder on the file system of the final one."""
        return new_draft(self._home(asset, partition))

    def _home(self, asset: str, partition: str | None) -> Path:
        return Path(self.root, "artifacts", asset, partition or WHOLE)

    def _prune(self, home: Path, *, keep: Path) -> None:
        os.utime(keep)
        versions = [path for path in home.iterdir() if path.is_dir() and path.name[0] != "."]
        # Times may be equal; the version in use comes first all the same.
        versions.sort(key=lambda path: (path == keep, path.stat().st_mtime_ns), reverse=True)
        accepted = home / ACCEPTED
        baseline = json.loads(accepted.read_text())[-1]["data_version"] if accepted.exists() else ""
        for path in versions[NUM_VERSIONS_KEPT:]:
            if path.name != baseline:
                shutil.rmtree(path)


@contextlib.contextmanager
def publishing(
    context: dg.AssetExecutionContext,
    lake: Lake,
    *,
    inputs: Sequence[Artifact],
    settings: str = "",
) -> Iterator[Draft]:
    """Write a new version of the asset that `context` materialises.

    On success the draft becomes the current version with a manifest that names the inputs' exact
    versions and the cost; on any error the draft is removed and the previous version stays.

    Args:
        context: Names asset, partition and code version.
        lake: Where to write.
        inputs: Artifacts that were read; their versions make this artifact fresh or stale.
        settings: Digest of what else decides this partition's content (`partitions.settings_of`).
    """
    asset = context.asset_key.to_user_string()
    partition = context.partition_key if context.has_partition_key else None
    folder = lake.draft_folder(asset, partition)
    draft = Draft(folder=folder)
    before = _consumed()
    try:
        yield draft
        cost = {name: value - before[name] for name, value in _consumed().items()}
        for name, value in draft.extra_cost.items():
            cost[name] = cost.get(name, 0.0) + value
        draft.artifact = lake.publish(
            folder,
            asset=asset,
            partition=partition,
            recipe={
                "code_version": context.assets_def.code_versions_by_key[context.asset_key],
                "settings": settings,
                "inputs": {artifact.name: artifact.data_version for artifact in inputs},
                "cost": cost,
                "run_id": context.run.run_id,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        )
    except (OSError, PolarsError) as error:
        if ran_out_of_space(error):
            raise OSError(
                f"no space left while writing {asset} in {folder.parent} ({error}): free disk "
                "space and materialise it again; the previous version is still in use"
            ) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _consumed() -> dict[str, float]:
    """Seconds so far: wall clock, and processor time of this process and its ended children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "wall_seconds": time.monotonic(),
        "cpu_seconds": sum(usage.ru_utime + usage.ru_stime for usage in usages),
    }


def by_partition(artifacts: Sequence[Artifact]) -> dict[str, Path]:
    """Folder of each artifact by its partition."""
    return {str(artifact.partition): artifact.folder for artifact in artifacts}


def file_digests(folder: Path) -> dict[str, dict[str, object]]:
    """Size and sha256 of each file below a folder, keyed by its relative path."""
    digests: dict[str, dict[str, object]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            name = path.relative_to(folder).as_posix()
            digests[name] = {"bytes": path.stat().st_size, "sha256": sha256}
    return digests


def combined_digest(parts: Mapping[str, object]) -> str:
    """Order-independent digest of named values, 32 hexadecimal digits."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def write_json(path: Path, value: object) -> None:
    """Write JSON through a temporary name, so that readers see the old or the new file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(value, sort_keys=True, indent=1) + "\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
