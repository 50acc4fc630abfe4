"""The page of results keeps what was measured and says what was not."""

from pathlib import Path

from benchmarks import deduplication, laws, lightgbm_law, preparation
from benchmarks.comparison import Comparison, Family, Inputs
from benchmarks.results_page import read_sections, section, write_page
from benchmarks.run import known_sections

FAMILY = Family(
    rows=[
        Comparison(
            step="sort", peer="other", unit="MB/s", amount=12.0, ours=[2.0, 3.0], theirs=[8.0, 6.0]
        )
    ],
    notes=["One | two."],
)


def test_a_section_by_hand():
    body = section(FAMILY, "today, commit abc")
    assert body.splitlines()[0] == "today, commit abc"
    assert "| sort | 4.8 MB/s | other 1.71 MB/s | 3.00 (2.00 to 4.00) |" in body
    assert body.endswith("\n\nOne | two.")


def test_findings_without_a_peer_have_no_table():
    found = Family(rows=[], notes=["Beneath."], findings=["edge F1 1.00", "saved 200 steps"])
    assert section(found, "today") == "today\n\n- edge F1 1.00\n- saved 200 steps\n\nBeneath."


def test_without_published_runs_the_page_says_so(monkeypatch):
    for family in (laws, lightgbm_law):
        monkeypatch.setattr(family, "compare", lambda reference: [FAMILY.rows[0]])
        missing = family.measure(Inputs(corpora=None, peer_python=None))
        assert "give --reference" in missing.notes[0]
        given = Inputs(corpora=None, peer_python=None, reference=Path("runs"))
        assert family.measure(given).notes == []


def test_one_family_measured_again_leaves_the_others():
    measured = {"preparation": section(FAMILY, "today"), "gone": "x", "tokens": "old"}
    page = write_page(known_sections(measured))
    sections = read_sections(page)
    assert list(sections) == ["tokens", "preparation"]
    assert sections["preparation"] == section(FAMILY, "today")
    assert write_page(sections) == page


def test_without_corpora_or_peer_nothing_is_claimed():
    nothing = Inputs(corpora=None, peer_python=None)
    for family in (preparation.measure(nothing), deduplication.measure(nothing)):
        assert family.rows == []
        assert "--corpora" in family.notes[0]
