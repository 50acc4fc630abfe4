"""Pictures in the metadata of an asset, as markdown for the UI."""

import dagster as dg

from assets.lake import Artifact
from assets.plots import as_markdown
from assets.run_pictures import draw_losses, draw_weights


def picture(png: bytes) -> dg.MarkdownMetadataValue:
    """Show a plot in the UI."""
    return dg.MetadataValue.md(as_markdown(png))


def training_losses_picture(run: Artifact) -> dg.MarkdownMetadataValue:
    """Training loss over steps, in all and by domain, with the held-out losses on the way."""
    return picture(draw_losses(run.folder / "metrics.jsonl"))


def weights_picture(run: Artifact) -> dg.MarkdownMetadataValue:
    """Sampling weights over steps."""
    return picture(draw_weights(run.folder / "metrics.jsonl"))
