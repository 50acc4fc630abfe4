"""From a table of runs to a law with all that speaks for and against it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.arrays import Floats
from training.fitted_laws import FittedLaws, bootstrap_laws, fit_laws, law_family
from training.joint_laws import FORMS
from training.law_choice import LawChoice, choose_law
from training.law_evidence import EvidenceConfig, LawEvidence, gather_evidence, judge_predictions
from training.law_gate import LawGateConfig, LawVerdict, judge_law
from training.law_record import LawRecord, build_record
from training.mixing_laws import LAWS
from training.run_noise import run_importance
from training.run_table import RunTable
from training.runs_csv import CsvColumns

CHOOSE = "auto"
"""Instead of a method: choose one by nested cross-validation; `auto:first,second` among these."""

Report = Callable[[str, int, int], None]
"""(what is being done, refits done, refits in all)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LawFit:
    """The record to store, and the objects behind it."""

    record: LawRecord
    """Content of law.json."""
    evidence: LawEvidence
    """Held-out scores."""
    verdict: LawVerdict
    """Of the gate."""
    choice: LawChoice | None
    """How the method was chosen; None: it was given."""


def law_key(name: str) -> str:
    """The key of `LAWS` or `FORMS` for a name as people write it: `log-linear` -> `log_linear`.

    Raises:
        ValueError: There is no such law.
    """
    if name.partition(":")[0].strip().lower() == CHOOSE and ":" in name:
        return f"{CHOOSE}:" + ",".join(law_key(one) for one in name.partition(":")[2].split(","))
    key = name.strip().lower().replace("-", "_")
    if key not in LAWS and key not in FORMS and key != CHOOSE:
        names = ", ".join(sorted(known.replace("_", "-") for known in (*LAWS, *FORMS)))
        raise ValueError(f"unknown law {name!r}: choose {CHOOSE}, or one of {names}")
    return key


def fit_with_evidence(
    table: RunTable,
    *,
    method: str = "log_linear",
    config: EvidenceConfig | None = None,
    gate: LawGateConfig | None = None,
    num_refits: int = 100,
    columns: CsvColumns | None = None,
    notes: Sequence[str] = (),
    report: Report | None = None,
) -> LawFit:
    """Fit, predict every run without it, judge, and refit on drawn runs for intervals.

    Args:
        table: The runs; all of them are used.
        method: Key of `LAWS`, or `CHOOSE`, or `CHOOSE:` and keys with commas between: the
            evidence is then that of the whole procedure, each fold predicted by the law that the
            other folds chose.
        config: None: the defaults.
        gate: None: the default thresholds.
        num_refits: Draws of the bootstrap; laws whose intervals come from held-out errors
            need none.
        columns: Of the file that the runs came from.
        notes: What was done to its rows.
        report: Told of progress.

    Raises:
        ValueError: The method is unknown, or there are too few runs for it or for its evidence.
    """
    config = config or EvidenceConfig()
    choice = None
    if method.partition(":")[0] == CHOOSE:
        among = [name for name in method.partition(":")[2].split(",") if name]
        choice = _choose(table, among or sorted(LAWS), config, report)
        method = choice.method
    family = law_family(method)
    fewest = family.min_runs(len(table.domains)) + 1
    if len(table.run_ids) < fewest:
        raise ValueError(
            f"{method} over {len(table.domains)} domains, fitted and judged on left-out runs, "
            f"needs {fewest} runs, got {len(table.run_ids)}: add runs, or merge domains"
        )
    laws = fit_laws(table, method=method)
    counted = run_importance(table, laws)
    if counted is not None:
        laws = fit_laws(table, method=method, importance=counted)
        notes = (*notes, _noise_note(counted))
    if choice is None:
        evidence = gather_evidence(
            table,
            method=method,
            config=config,
            importance=counted,
            tick=_tick(report, "held-out folds", 0),
        )
    else:
        evidence = judge_predictions(
            table, choice.predicted, folds=choice.folds, method=method, config=config
        )
    refits: tuple[FittedLaws, ...] = ()
    if family.intervals == "bootstrap":
        refits = bootstrap_laws(
            table,
            method=method,
            num_refits=num_refits,
            seed=config.seed,
            importance=counted,
            tick=_tick(report, "refits on drawn runs", num_refits),
        )
    verdict = judge_law(evidence, gate)
    record = build_record(
        laws, evidence=evidence, verdict=verdict, refits=refits, columns=columns, notes=notes
    )
    return LawFit(record=record, evidence=evidence, verdict=verdict, choice=choice)


def _noise_note(counted: Floats) -> str:
    return (
        "repeats show more noise at concentrated mixtures: runs count "
        f"{counted.min():.2g} to {counted.max():.2g} times in fits and refits"
    )


def _choose(
    table: RunTable, among: Sequence[str], config: EvidenceConfig, report: Report | None
) -> LawChoice:
    num_outer = config.num_folds or 5
    tick = _tick(report, "choosing the law, outer folds", num_outer + 1)
    return choose_law(
        table,
        among,
        num_outer=num_outer,
        seed=config.seed,
        tick=None if tick is None else lambda: tick(1),
    )


def _tick(report: Report | None, what: str, total: int) -> Callable[[int], None] | None:
    """Count what is done; a total of 0 is unknown."""
    if report is None:
        return None
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        report(what, done, total)

    report(what, 0, total)
    return tick
