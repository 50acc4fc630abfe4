"""The page of results keeps what was measured and says what was not."""

from benchmarks import deduplication, preparation
from benchmarks.comparison import Comparison, Family, Inputs
from benchmarks.run import read_sections, section, write_page

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


def test_one_family_measured_again_leaves_the_others():
    page = write_page({"tokens": "old", "preparation": section(FAMILY, "today"), "gone": "x"})
    sections = read_sections(page)
    assert list(sections) == ["tokens", "preparation"]
    assert sections["preparation"] == section(FAMILY, "today")
    assert write_page(sections) == page


def test_without_corpora_or_peer_nothing_is_claimed():
    nothing = Inputs(corpora=None, peer_python=None)
    for family in (preparation.measure(nothing), deduplication.measure(nothing)):
        assert family.rows == []
        assert "--corpora" in family.notes[0]
