"""Commands on scaling laws: fit one to finished runs, and plan a training with it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.command_errors import one_clear_error

if TYPE_CHECKING:
    from training.scaling_laws.scaling_evidence import ScalingEvidence
    from training.scaling_runs import ScalingRuns

FIT_EPILOG = "\n\n".join(
    (
        "One row per finished run: parameters, training tokens, held-out loss; run_id is optional.",
        "Five outliers can move the recommended tokens per parameter by a factor of 2.6: read the "
        "table of what happens when runs are left out.",
        "Examples:",
        "mixwright fit-scaling runs.csv --params-col params --tokens-col tokens --loss-col loss "
        "--bootstrap 4000 --out scaling.json",
        "mixwright fit-scaling runs.csv --json > scaling_summary.json",
    )
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def fit_scaling(
    *,
    runs: Annotated[Path, typer.Argument(help="Finished runs, CSV.", metavar="RUNS.csv")],
    params_col: Annotated[str, typer.Option(help="Column of the parameters N.")] = "params",
    tokens_col: Annotated[str, typer.Option(help="Column of the training tokens D.")] = "tokens",
    loss_col: Annotated[str, typer.Option(help="Column of the loss, nats per token.")] = "loss",
    bootstrap: Annotated[int, typer.Option(help="Refits behind the intervals.")] = 4000,
    level: Annotated[float, typer.Option(help="Share of the refits inside an interval.")] = 0.9,
    seed: Annotated[int, typer.Option(min=0, help="Decides the resamples.")] = 0,
    out: Annotated[
        Path, typer.Option(help="JSON file to write; the picture goes beside it.")
    ] = Path("scaling.json"),
    as_json: JsonOption = False,
) -> None:
    """Fit L = E + A / N^alpha + B / D^beta, with intervals and what outliers change."""
    with one_clear_error():
        import numpy as np

        from assets.plots import plot_scaling_fit
        from training.scaling_laws.isoflop import fit_isoflop
        from training.scaling_laws.scaling_evidence import gather_scaling_evidence
        from training.scaling_laws.scaling_record import scaling_record
        from training.scaling_runs import read_scaling_runs

        table = read_scaling_runs(runs, params=params_col, tokens=tokens_col, loss=loss_col)
        evidence = gather_scaling_evidence(table, num_refits=bootstrap, level=level, seed=seed)
        isoflop = fit_isoflop(table, level=level, seed=seed)
        record = scaling_record(evidence, table, isoflop)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        picture = out.with_suffix(".png")
        budgets = np.geomspace(table.flops.min(), table.flops.max(), 6).tolist()
        law = evidence.fit.law
        picture.write_bytes(
            plot_scaling_fit(
                table.params, table.tokens, table.losses, predict=law.predict, budgets=budgets
            )
        )
    if as_json:
        record["refits"] = f"{len(evidence.refits)} refits stand in {out}"
        typer.echo(json.dumps(record))
        return
    _print_fit(evidence, table, record["isoflop"])
    typer.echo(f"Scaling law: {out}   picture: {picture}")


def _print_fit(evidence: "ScalingEvidence", runs: "ScalingRuns", isoflop: object) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    level = f"{evidence.level:.0%} interval"
    table = Table("parameter", "value", level)
    for name, one in evidence.parameters().items():
        label = "a (N* ~ C^a)" if name == "params_exponent" else name
        table.add_row(label, f"{one.value:.6g}", f"{one.low:.5g} to {one.high:.5g}")
    ratio = evidence.tokens_per_param()
    table.add_row(
        f"tokens per parameter at {evidence.reference_flops:.3g} FLOPs",
        f"{ratio.value:.4g}",
        f"{ratio.low:.4g} to {ratio.high:.4g}",
    )
    console.print(table)
    fit = evidence.fit
    console.print(
        f"{len(runs.losses)} runs; objective {fit.objective:.7g} (Huber 1e-3 on log loss), "
        f"gradient {fit.gradient_norm:.1g}, {fit.num_agreeing} of {fit.num_starts} starts agree; "
        f"{len(evidence.refits)} refits, {evidence.num_failed} failed",
        soft_wrap=True,
    )
    left_out = Table("left out", "runs", "alpha", "beta", "E", "tokens per parameter", "objective")
    for without in evidence.omissions:
        left_out.add_row(
            without.rule,
            ", ".join(without.run_ids),
            f"{without.law.alpha:.4f}",
            f"{without.law.beta:.4f}",
            f"{without.law.E:.4f}",
            f"{without.tokens_per_param:.4g}",
            f"{without.objective:.7g}",
        )
    console.print("What a few runs change:")
    console.print(left_out)
    assert isinstance(isoflop, dict)
    if "absent" in isoflop:
        console.print(f"No IsoFLOP fit: {isoflop['absent']}", soft_wrap=True, markup=False)
        return
    exponent = isoflop["exponent"]
    console.print(
        f"IsoFLOP parabolas at {len(isoflop['budgets'])} budgets: a {exponent['value']:.3f} "
        f"({exponent['low']:.3f} to {exponent['high']:.3f})",
        soft_wrap=True,
    )
