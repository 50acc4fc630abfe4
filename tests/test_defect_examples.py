import polars as pl

from quality.corpus_profile import CorpusTally
from quality.defect_examples import EXCERPT_CHARS, DefectExamples, clip
from quality.documents import Unreadable


def find(texts, unreadable=()):
    """Name -> (number, [(id, excerpt)])."""
    tally, odd = CorpusTally(), DefectExamples()
    for start in range(0, len(texts), 4):
        batch = texts[start : start + 4]
        names = [f"d{start + place}" for place in range(len(batch))]
        frame = pl.DataFrame(
            {"id": names, "source": names, "text": batch, "language": [""] * len(batch)}
        )
        odd.add(tally.add(frame), unreadable if start == 0 else ())
    return {
        defect.name: (defect.num_documents, [(e.id, e.excerpt) for e in defect.examples])
        for defect in odd.defects()
    }


PROSE = "The committee shall meet at least once a year and publish a report of its work."


def test_each_defect_is_shown_with_its_line():
    found = find(
        [
            PROSE,
            f"{PROSE}\nlost \ufffd here\nand on",
            f"{PROSE}\nwasnâ€™t it",
            f"{PROSE} once \x07 more",
            PROSE.upper(),
            "brief",
        ]
    )
    assert found["replacement_character"] == (1, [("d1", "lost \ufffd here")])
    assert found["mojibake"] == (1, [("d2", "wasnâ€™t it")])
    assert found["control_characters"] == (1, [("d3", f"{PROSE} once \\x07 more")])
    assert found["exact_copy"] == (1, [("d4", PROSE.upper())])
    assert ("d5", "brief") in found["short"][1]
    assert "d0" not in {name for _, shown in found.values() for name, _ in shown}


def test_examples_stop_at_ten_and_counts_do_not():
    number, shown = find([f"{PROSE} {n} \x07" for n in range(23)])["control_characters"]
    assert number == 23
    assert [name for name, _ in shown] == [f"d{n}" for n in range(10)]


def test_the_place_is_found_in_a_long_line():
    (example,) = find([PROSE * 50 + " lost \ufffd here " + PROSE * 50])["replacement_character"][1]
    assert "\ufffd" in example[1]
    assert len(example[1]) <= EXCERPT_CHARS


def test_unreadable_rows_are_defects_and_the_commonest_comes_first():
    rows = [Unreadable(source=f"f:{n}", reason="null_text", detail="it is null") for n in range(3)]
    found = find([PROSE, f"{PROSE}\x07"], rows)
    assert list(found) == ["null_text", "control_characters"]
    assert found["null_text"] == (3, [("", "it is null")] * 3)


def test_an_excerpt_is_one_line_that_can_be_read():
    assert clip("a\nb\tc\x00") == "a \N{RETURN SYMBOL} b c\\x00"
    assert clip("x" * 500) == "x" * (EXCERPT_CHARS - 1) + "\N{HORIZONTAL ELLIPSIS}"
    assert clip("x" * EXCERPT_CHARS) == "x" * EXCERPT_CHARS
