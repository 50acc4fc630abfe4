"""The code location: all assets, their gates, schedules and sensors."""

import warnings

import dagster as dg

from assets import (
    checks,
    corpora,
    duplicates,
    evaluating,
    heldout_sets,
    label_checks,
    leaks,
    learners,
    mixing,
    preparation,
    proxies,
    scored_corpora,
    skills,
    tagging,
    tokens,
    transfer,
)
from assets import training_runs as training
from assets.lake import Lake
from assets.partitions import PRESET
from orchestration import deployments, refresh

warnings.filterwarnings("ignore", category=dg.PreviewWarning)  # partitioned asset checks
warnings.filterwarnings("ignore", category=dg.BetaWarning)

ASSET_MODULES = [
    corpora,
    preparation,
    duplicates,
    heldout_sets,
    leaks,
    tokens,
    proxies,
    mixing,
    training,
    evaluating,
    *([skills] if PRESET.skills else []),
    *([learners] if PRESET.learners else []),
    *([transfer] if PRESET.transfer else []),
    *([tagging] if PRESET.tags else []),
    *([scored_corpora] if PRESET.score else []),
]
CHECK_MODULES = [checks, proxies, *([transfer] if PRESET.transfer else [])]


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that Dagster loads."""
    return definitions_on(deployments.lake())


def definitions_on(lake: Lake) -> dg.Definitions:
    """Everything, on a lake of one's choice; a run cannot exchange the lake of loaded assets."""
    return dg.Definitions(
        assets=dg.load_assets_from_modules(ASSET_MODULES),
        asset_checks=[
            *dg.load_asset_checks_from_modules(CHECK_MODULES),
            *label_checks.of_preset(),
        ],
        schedules=[refresh.nightly_refresh],
        sensors=[refresh.refresh_downstream],
        resources=deployments.resources(lake),
        executor=dg.in_process_executor,
    )
