"""The page of one run: losses and weights over steps, domains, time, settings."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from assets.run_pictures import draw_losses, draw_weights, last_line, read_heldout
from orchestration.pages import picture, write_page

PAGE = "report.html"


def write_run_page(folder: Path, *, exit_code: int = 0) -> Path | None:
    """Write report.html into the folder of a run; None, and nothing, before its first step.

    Args:
        folder: Holds config.json, metrics.jsonl and, if the run is finished, result.json.
        exit_code: With which the training ended (training.run).

    Returns:
        The absolute path of the page.
    """
    from training.run_folder import RUN_CONFIG_FILE, read_run_config
    from training.run_result import RESULT_FILE, read_result

    metrics = folder / "metrics.jsonl"
    last = last_line(metrics)
    if last is None:
        return None
    config = read_run_config(folder)
    result = read_result(folder / RESULT_FILE) if (folder / RESULT_FILE).exists() else None
    values = {
        "command": "train",
        "folder": folder.absolute(),
        "config": config,
        "settings": (folder / RUN_CONFIG_FILE).read_text(),
        "result": result,
        "exit_code": exit_code,
        "steps": last["step"],
        "tokens": last["tokens"],
        "picture_of_losses": picture(draw_losses(metrics)),
        "picture_of_weights": picture(draw_weights(metrics)),
        **_heldout_values(read_heldout(metrics)),
        **_time_values(
            folder / "timings.jsonl",
            tokens_per_step=config.schedule.batch_rows * config.model.context_tokens,
        ),
    }
    return write_page("run.html.j2", folder / PAGE, values)


def _heldout_values(heldout: Mapping[int, Mapping[str, float]]) -> dict[str, object]:
    """First and last evaluation, as far as there were any."""
    if not heldout:
        return {"first_step": None, "first": {}, "last_step": None, "last_mean": None}
    first_step, last_step = min(heldout), max(heldout)
    last = heldout[last_step]
    return {
        "first_step": first_step,
        "first": heldout[first_step],
        "last_step": last_step,
        "last_mean": sum(last.values()) / len(last),
    }


def _time_values(timings: Path, *, tokens_per_step: int) -> dict[str, object]:
    """Seconds by phase over all attempts, and the speed of training in them."""
    if not timings.exists():
        return {"seconds": {}, "all_seconds": 0.0, "speed": None, "evaluation_share": None}
    table = pl.read_ndjson(timings)
    # Seconds on a GPU are those of all phases once more.
    columns = [c for c in table.columns if c.endswith("_seconds") and c != "gpu_seconds"]
    seconds = {c.removesuffix("_seconds"): float(table[c].sum()) for c in columns}
    busy = seconds["data"] + seconds["step"]
    return {
        "seconds": dict(sorted(seconds.items(), key=lambda item: -item[1])),
        "all_seconds": sum(seconds.values()),
        "speed": int(table["steps"].sum()) * tokens_per_step / busy,
        "evaluation_share": seconds["evaluation"] / sum(seconds.values()),
    }
