"""docs/preparation.md says what the code does."""

import dataclasses
import importlib.util
from pathlib import Path

import pytest

from quality.cleaning_profiles import CLEANING_PROFILES
from quality.documents import MAX_DOCUMENT_BYTES
from quality.filters import FILTERS
from quality.stored_table import BATCH_BYTES, BATCH_ROWS

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def printer():
    spec = importlib.util.spec_from_file_location("print_filters", DOCS / "print_filters.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def document():
    return (DOCS / "preparation.md").read_text(encoding="utf-8")


def test_the_tables_are_current(printer, document):
    assert printer.render(document) == document, "run: python docs/print_filters.py"


def test_every_threshold_has_its_default_and_meaning(printer, document):
    for name, parts in FILTERS.items():
        section = document.split(f"### `{name}`")[1].split("\n### ")[0]
        for field in dataclasses.fields(parts.settings):
            row = next(line for line in section.splitlines() if f"| `{field.name}` |" in line)
            _, _, default, meaning, _ = (cell.strip() for cell in row.split("|"))
            assert default == printer.say(field.default)
            assert meaning.endswith(".")


def test_thresholds_are_written_for_people(printer):
    thresholds = (None, True, False, 100_000, 10.0, 0.65)
    told = ["off", "yes", "no", "100,000", "10", "0.65"]
    assert [printer.say(threshold) for threshold in thresholds] == told


def test_every_profile_is_named(document):
    assert all(f"| **{name}** |" in document for name in CLEANING_PROFILES)


def test_an_outdated_page_is_found_out(printer, document):
    outdated = document.replace("| `min_words` | 50 |", "| `min_words` | 51 |")
    assert outdated != document
    assert printer.render(outdated) == document


def test_the_limits_are_those_of_the_code(document):
    assert f"longer than {MAX_DOCUMENT_BYTES // 2**20} MiB" in document
    assert f"{BATCH_ROWS} rows or about {BATCH_BYTES // 10**6} MB" in document
