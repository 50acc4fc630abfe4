"""The scheduled refresh: read the sources again at night, re-make what their content changed."""

from collections.abc import Iterator

import dagster as dg

from assets.automation import NIGHTLY
from assets.corpora import raw_corpora
from assets.partitions import CATALOGUE

refresh_job = dg.define_asset_job(
    "refresh_sources",
    selection=dg.AssetSelection.assets(raw_corpora),
    description="Read one corpus from its source again and judge it.",
)


@dg.schedule(
    job=refresh_job,
    cron_schedule=NIGHTLY,
    execution_timezone="UTC",
    description="Reads every source again; what follows re-runs only where content changed.",
)
def nightly_refresh(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """One run per corpus, so that one broken source stops only itself."""
    tick = context.scheduled_execution_time.isoformat()
    for corpus in CATALOGUE:
        yield dg.RunRequest(run_key=f"{tick}/{corpus}", partition_key=corpus)


refresh_downstream = dg.AutomationConditionSensorDefinition(
    "refresh_downstream",
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=30,
    description="Re-makes partitions whose inputs changed in content, behind passed gates.",
)
