"""Command `discover-skills`: clusters of documents whose losses fall together."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.command_errors import one_clear_error

if TYPE_CHECKING:
    from training.skill_discovery import Clusters

EPILOG = "\n\n".join(
    (
        "One row per document: id, loss_<run>_<checkpoint> (its loss along runs), and where there "
        "are some, emb_<number> (an embedding) and label (a skill that is known, for comparison).",
        "Losses and embeddings are clustered beside each other, each with its stability over "
        "seeds: how alike the clusterings of random four fifths of the documents are. Stability "
        "says that clusters are there, not that they are skills: train on them and ask "
        "skill-graph.",
        "Examples:",
        "mixwright discover-skills documents.csv --skills 5 --out clusters.csv",
        "mixwright discover-skills documents.csv --skills 5 --seeds 5 --json",
    )
)
KINDS = {"losses": "loss_", "embeddings": "emb_"}


def discover_skills(
    *,
    documents: Annotated[
        Path, typer.Argument(help="Losses of documents, CSV.", metavar="DOCUMENTS.csv")
    ],
    skills: Annotated[int, typer.Option(min=2, help="Clusters to find.")],
    seeds: Annotated[int, typer.Option(min=2, help="Clusterings that are compared.")] = 3,
    out: Annotated[Path, typer.Option(help="CSV file to write.")] = Path("clusters.csv"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Cluster documents by their loss trajectories beside embeddings, with stability."""
    with one_clear_error():
        import polars as pl

        from training.csv_cells import numbers_of, read_cells, read_numbers
        from training.skill_discovery import discover_skills as discover

        frame = read_cells(documents)
        rows = numbers_of(frame)
        features = {}
        for kind, prefix in KINDS.items():
            columns = [name for name in frame.columns if name.startswith(prefix)]
            if columns:
                features[kind] = read_numbers(documents, frame, columns, rows, what="number")
        if "losses" not in features:
            raise ValueError(
                f"{documents}: no column begins with 'loss_', found {', '.join(frame.columns)}"
            )
        labels = None
        if "label" in frame.columns:
            labels = [label or "" for label in frame["label"]]
        found = discover(features, num_skills=skills, seeds=range(seeds), labels=labels)
        ids = frame["id"].to_list() if "id" in frame.columns else list(rows)
        out.parent.mkdir(parents=True, exist_ok=True)
        named = {f"cluster_by_{kind}": one.labels.tolist() for kind, one in found.items()}
        pl.DataFrame({"id": ids, **named}).write_csv(out)
    content = {"clusters": str(out), "documents": len(rows), "kinds": _told(found)}
    if as_json:
        typer.echo(json.dumps(content, allow_nan=False))
        return
    _print(found)
    typer.echo(f"Clusters: {out}")


def _told(found: "dict[str, Clusters]") -> dict[str, object]:
    return {
        kind: {
            "stability": one.stability,
            "stability_by_pair": list(one.stability_by_pair),
            "accuracy": one.accuracy,
            "sizes": [int((one.labels == at).sum()) for at in range(int(one.labels.max()) + 1)],
        }
        for kind, one in found.items()
    }


def _print(found: "dict[str, Clusters]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("by", "stability over seeds", "range", "right (by the labels)")
    for kind, one in found.items():
        pairs = one.stability_by_pair
        right = "no labels" if one.accuracy is None else f"{one.accuracy:.0%}"
        table.add_row(kind, f"{one.stability:.3f}", f"{min(pairs):.3f} to {max(pairs):.3f}", right)
    Console().print(table)
