"""Speed beside named peers: `make bench` writes benchmarks/RESULTS.md, a section for each family.

Each step runs this project and its peer by turns on the same input and compares processor seconds
(median of the turns), so that a noisy machine slows both alike. A section is replaced when its
family has been measured, and only then; it says when, on what and at which commit.

    make bench BENCH="--corpora FOLDER --peer-python PATH"     everything
    make bench BENCH="--only tokens"                           one family, the other sections stay

Laws are fitted to generated runs, or with `--reference FOLDER` to published ones. The corpora are
Parquet files with the columns `id` and `text`. The peers of preparation have an
environment of their own: `pip install 'datatrove[io,processing]' spacy`. So have those of the
training engine, one each: `pip install torch transformers accelerate`, `pip install
mosaicml-streaming`, `pip install litdata`, `pip install grain`; name each with --engine-python.
"""

import argparse
import os
import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import (
    deduplication,
    engine,
    gpu,
    known_data,
    laws,
    lightgbm_law,
    memory,
    preparation,
    skills,
    tokens,
)
from benchmarks.comparison import Family, Inputs
from benchmarks.laws import PUBLISHED_RUNS
from benchmarks.results_page import RESULTS, commit, read_sections, section, write_page

FAMILIES: dict[str, Callable[[Inputs], Family]] = {
    "tokens": tokens.measure,
    "preparation": preparation.measure,
    "deduplication": deduplication.measure,
    "memory": memory.measure,
    "training engine": engine.measure,
    "law fits": laws.measure,
    "laws and LightGBM": lightgbm_law.measure,
    "known data": known_data.measure,
    "skill graph": skills.measure,
    gpu.SECTION: gpu.measure,
}
"""Name of a section -> what measures it. Adding one: a file, a line here."""


def known_sections(sections: Mapping[str, str]) -> dict[str, str]:
    """Put sections into the order of the families; those of no family any more are left out."""
    return {name: sections[name] for name in FAMILIES if name in sections}


def _circumstances(inputs: Inputs) -> str:
    corpora = inputs.corpora
    text = "fixture corpora" if corpora is None else f"corpora in a folder named {corpora.name}"
    runs = "generated runs" if inputs.reference is None else "published runs"
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {text}, {runs}, {os.cpu_count()} cores "
        f"{platform.machine()}, Python {platform.python_version()}"
    )


def main() -> None:
    """Measure, print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--corpora", type=Path, help="folder of Parquet files with id and text")
    parser.add_argument("--peer-python", type=Path, help="Python of an environment with datatrove")
    parser.add_argument("--turns", type=int, default=3, help="of preparation and deduplication")
    parser.add_argument("--documents", type=int, default=250, help="of each corpus, preparation")
    parser.add_argument(
        "--reference",
        type=Path,
        default=os.environ.get("MIXWRIGHT_REFERENCE"),
        help="folder of published runs as CSV; also MIXWRIGHT_REFERENCE",
    )
    parser.add_argument(
        "--engine-python",
        type=Path,
        action="append",
        default=[],
        help="Python of an environment with accelerate, streaming, litdata or grain; repeat",
    )
    parser.add_argument("--only", action="append", choices=FAMILIES, help="repeat for several")
    given = parser.parse_args()
    if given.peer_python is not None and not given.peer_python.is_file():
        parser.error(f"{given.peer_python}: no such Python; make an environment with datatrove")
    if given.reference is not None and not (given.reference / PUBLISHED_RUNS).is_file():
        parser.error(f"{given.reference}: holds no {PUBLISHED_RUNS}; leave the option out")
    if missing := [str(path) for path in given.engine_python if not path.is_file()]:
        parser.error(f"--engine-python: no such Python: {', '.join(missing)}")
    inputs = Inputs(
        corpora=given.corpora,
        peer_python=given.peer_python,
        turns=given.turns,
        documents=given.documents,
        reference=given.reference,
        engine_pythons=tuple(given.engine_python),
    )
    sections = read_sections(RESULTS.read_text() if RESULTS.exists() else "")
    for name in given.only or FAMILIES:
        family = FAMILIES[name](inputs)
        if family.rows or family.findings:
            sections[name] = section(family, _circumstances(inputs))
            print(f"{name}\n{sections[name]}\n", flush=True)
        else:
            print(f"{name}: not measured. {' '.join(family.notes)}\n", flush=True)
    RESULTS.write_text(write_page(known_sections(sections)))


if __name__ == "__main__":
    main()
