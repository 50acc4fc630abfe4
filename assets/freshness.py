"""Whether an artifact is what materialising its asset again would make.

Fresh means: made by the current code version and settings, from the versions of its inputs that are
current now; an asset that reads all partitions of another one, from all that there are now. A
pinned asset (tag `mixwright/refresh: pinned`) stays fresh when only its inputs change: making
another tokenizer is a decision, not a consequence of one more document.
"""

import re

import dagster as dg

from assets.lake import Lake
from assets.partitions import current_partitions, settings_of

REFRESH_TAG = "mixwright/refresh"
_NAME = re.compile(r"^(?P<asset>\w+)(\[(?P<partition>.+)\])?$")


def stale_reason(lake: Lake, spec: dg.AssetSpec, partition: str | None) -> str | None:
    """Say in a few words why a partition should be made again; None if it is fresh."""
    asset = spec.key.to_user_string()
    current = lake.find(asset, partition)
    if current is None:
        return "never made"
    manifest = current.manifest
    if manifest["code_version"] != spec.code_version:
        return "code or preset changed"
    if manifest["settings"] != settings_of(asset, partition):
        return "settings or source changed"
    if spec.tags.get(REFRESH_TAG) == "pinned":
        return None
    inputs = manifest["inputs"]
    assert isinstance(inputs, dict)
    for name, version in inputs.items():
        if _current_version(lake, name) != version:
            return f"{name} changed"
    added = [name for name in _read_whole(lake, spec) if name not in inputs]
    return f"{added[0]} is new" if added else None


def _read_whole(lake: Lake, spec: dg.AssetSpec) -> list[str]:
    """Names of the artifacts that there are of assets of which every partition is read."""
    return [
        f"{dep.asset_key.to_user_string()}[{key}]"
        for dep in spec.deps
        if isinstance(dep.partition_mapping, dg.AllPartitionMapping)
        for key in current_partitions(lake, dep.asset_key.to_user_string())
        if lake.find(dep.asset_key.to_user_string(), key) is not None
    ]


def _current_version(lake: Lake, name: str) -> str | None:
    match = _NAME.match(name)
    assert match is not None, f"{name!r} is no artifact name"
    found = lake.find(match["asset"], match["partition"])
    return None if found is None else found.data_version
