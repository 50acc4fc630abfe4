"""Pictures in the metadata of an asset, as markdown for the UI."""

import json

import dagster as dg

from assets.lake import Artifact
from assets.plots import as_markdown, plot_sampling_weights, plot_training_losses


def picture(png: bytes) -> dg.MarkdownMetadataValue:
    """Show a plot in the UI."""
    return dg.MetadataValue.md(as_markdown(png))


def training_losses_picture(run: Artifact) -> dg.MarkdownMetadataValue:
    """Training loss over steps, in all and by domain, with the held-out losses on the way."""
    lines = [json.loads(line) for line in _metrics(run)]
    trained = [line for line in lines if "loss" in line]
    domains = list(trained[-1]["requested"])
    return picture(
        plot_training_losses(
            [line["step"] for line in trained],
            [line["loss"] for line in trained],
            {domain: [line["train"].get(domain) for line in trained] for domain in domains},
            heldout={line["step"]: line["heldout"] for line in lines if "heldout" in line},
        )
    )


def weights_picture(run: Artifact) -> dg.MarkdownMetadataValue:
    """Sampling weights over steps."""
    lines = [json.loads(line) for line in _metrics(run)]
    trained = [line for line in lines if "loss" in line]
    domains = list(trained[-1]["requested"])
    return picture(
        plot_sampling_weights(
            [line["step"] for line in trained],
            {domain: [line["requested"][domain] for line in trained] for domain in domains},
        )
    )


def _metrics(run: Artifact) -> list[str]:
    return (run.folder / "metrics.jsonl").read_text().splitlines()
