"""Command `design-swarm`: which mixtures to train, for people who train them elsewhere."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.command_errors import one_clear_error
from orchestration.number_files import read_shares, read_tokens

if TYPE_CHECKING:
    from training.arrays import Floats
    from training.swarm import Swarm

EPILOG = "\n\n".join(
    (
        "natural.json holds one number per training domain: its tokens, or its share. Mixtures are "
        "drawn around these shares by Dirichlet distributions of many strengths, after the natural "
        "mixture, the uniform one and, for each domain, the natural one without it. A larger swarm "
        "of the same seed contains the smaller.",
        "With --budget-tokens the numbers are tokens, and no mixture repeats a domain more than "
        "--max-epochs times in a run of that length. A proxy of fewer tokens should be offered the "
        "same share of every domain's data as its tokens are of the budget; then it repeats as "
        "the large run will.",
        "Examples:",
        "mixwright design-swarm natural.json --runs 64 --out swarm.csv",
        "mixwright design-swarm tokens.json --runs 128 --budget-tokens 1e12 --max-epochs 4 "
        "--space-filling --out swarm.csv",
    )
)


def design_swarm(
    *,
    natural: Annotated[
        Path, typer.Argument(help="Tokens or shares of each domain.", metavar="NATURAL.json")
    ],
    runs: Annotated[
        int | None, typer.Option(min=1, help="How many; default: three for each parameter.")
    ] = None,
    budget_tokens: Annotated[
        float | None, typer.Option(help="Tokens of the run that is to be planned.")
    ] = None,
    max_epochs: Annotated[float, typer.Option(help="Most epochs of a domain in it.")] = 4.0,
    strength_min: Annotated[float, typer.Option(help="Weakest Dirichlet strength.")] = 0.1,
    strength_max: Annotated[float, typer.Option(help="Strongest.")] = 5.0,
    minimum_share: Annotated[float, typer.Option(help="Smaller drawn shares become 0.")] = 0.002,
    space_filling: Annotated[
        bool, typer.Option("--space-filling", help="Choose draws that lie far apart.")
    ] = False,
    corners: Annotated[bool, typer.Option(help="Whether each domain is once left out.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Decides the draws.")] = 0,
    out: Annotated[
        Path, typer.Option(help="CSV file to write; the picture goes beside it.")
    ] = Path("swarm.csv"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Design the mixtures of a swarm of proxy runs."""
    with one_clear_error():
        from training.swarm import SwarmConfig
        from training.swarm import design_swarm as design

        domains, shares, caps = _natural(natural, budget_tokens, max_epochs)
        config = SwarmConfig(
            num_runs=3 * (len(domains) + 1) if runs is None else runs,
            seed=seed,
            strength_min=strength_min,
            strength_max=strength_max,
            minimum_share=minimum_share,
            zero_share_corners=corners,
            space_filling=space_filling,
        )
        found = design(domains, shares, config, caps=caps)
        picture = _write(found, out)
    if as_json:
        content = {"swarm": str(out), "picture": str(picture), "runs": len(found.run_ids)}
        typer.echo(json.dumps({**content, "notes": list(found.notes)}))
        return
    for note in found.notes:
        typer.echo(f"Note: {note}")
    typer.echo(f"{len(found.run_ids)} mixtures: {out}   picture: {picture}")


def _natural(
    path: Path, budget: float | None, max_epochs: float
) -> "tuple[tuple[str, ...], Floats, Floats | None]":
    """Domains, natural shares and, where there is a budget, caps."""
    import numpy as np

    from training.epoching import availability_caps

    tokens = read_tokens(path)
    for name, count in tokens.items():
        if count == 0:
            raise ValueError(f"{path}: {name}: a domain without tokens is left out of a swarm")
    total = sum(tokens.values())
    shares = np.array([count / total for count in tokens.values()])
    if budget is None:
        return tuple(tokens), shares, None
    if total <= 2:
        read_shares(path)
        raise ValueError(f"{path}: --budget-tokens needs tokens of each domain, these are shares")
    caps = availability_caps(tokens, budget_tokens=budget, max_epochs=max_epochs)
    return tuple(tokens), shares, np.array([caps[name] for name in tokens])


def _write(found: "Swarm", out: Path) -> Path:
    import polars as pl

    from assets.plots import plot_swarm

    table: dict[str, object] = {"run_id": list(found.run_ids), "origin": list(found.origins)}
    for column, domain in enumerate(found.domains):
        table[f"p_{domain}"] = found.weights[:, column].tolist()
    out.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(table).write_csv(out)
    picture = out.with_suffix(".png")
    picture.write_bytes(plot_swarm(found.run_ids, found.domains, found.weights))
    return picture
