import hashlib
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality import document_batches
from quality.cleaning import clean_corpus
from quality.cleaning_profiles import CLEANING_PROFILES, CleaningProfile, find_profile
from quality.dedup.exact import text_hash
from quality.document_batches import RAW_COLUMNS, BadDocuments
from quality.measurement import MEASURES

WORDS = (
    "river",
    "stone",
    "bridge",
    "lantern",
    "harvest",
    "winter",
    "garden",
    "market",
    "oak",
    "sea",
)


def prose(number):
    """Fifty-odd words, no two lines and no two documents alike."""
    return "\n".join(
        f"The {WORDS[(number + line) % 10]} of chapter {number} stood beside the old "
        f"{WORDS[(number * 3 + line) % 10]} and nobody could say who had built it first."
        for line in range(4)
    )


def write_raw(folder, texts, **columns):
    folder.mkdir(exist_ok=True)
    count = len(texts)
    defaults = {
        "id": [f"doc-{number}" for number in range(count)],
        "text": texts,
        "source": ["here"] * count,
        "licence": ["CC0-1.0"] * count,
        "language": ["en"] * count,
        "domain": ["prose"] * count,
        "metadata": ["{}"] * count,
    }
    schema = dict.fromkeys(RAW_COLUMNS, pl.String)
    pl.DataFrame({**defaults, **columns}, schema=schema).write_parquet(folder / "documents.parquet")
    return folder


def clean(tmp_path, texts, profile="prose", **columns):
    out = tmp_path / "out"
    out.mkdir()
    chosen = find_profile(profile) if isinstance(profile, str) else profile
    summary = clean_corpus(write_raw(tmp_path / "raw", texts, **columns), out, chosen)
    kept = pl.read_parquet(out / "documents.parquet")
    rejected = pl.read_parquet(out / "rejected.parquet")
    return summary, kept, rejected, json.loads((out / "summary.json").read_text())


def counts(summary):
    return {(r.operator, r.reason): r.num_documents for r in summary.rejected}


def test_every_document_is_kept_or_on_record(tmp_path):
    texts = [
        prose(0),
        "Too short.",
        prose(1) + "  \r\n",
        prose(0).upper(),
        " \n\x00",
        "and so the story ends as it began\n" * 80,
        prose(2),
    ]
    summary, kept, rejected, written = clean(tmp_path, texts)
    assert kept["id"].to_list() == ["doc-0", "doc-2", "doc-6"]
    assert kept["text"].to_list() == [prose(0), prose(1), prose(2)]
    assert rejected.select("id", "operator", "reason", "metric", "value", "limit").rows() == [
        ("doc-1", "length", "too few words", "num_words", "2", ">= 50"),
        (
            "doc-3",
            "exact_deduplication",
            "copy of an earlier document",
            "text_hash",
            "doc-0",
            "the first copy in document order",
        ),
        ("doc-4", "normalise", "no text left", "num_chars", "0", ">= 1"),
        ("doc-5", "repetition", "one line throughout", "top_line_share", "1.0", "<= 0.3"),
    ]
    assert rejected["text"].to_list()[1] == prose(0).upper()
    assert summary.raw == 7 == summary.kept + sum(counts(summary).values())
    assert counts(summary) == {
        ("normalise", "no text left"): 1,
        ("length", "too few words"): 1,
        ("repetition", "one line throughout"): 1,
        ("exact_deduplication", "copy of an earlier document"): 1,
    }
    assert summary.changed["line_endings"] == 1
    assert summary.changed["control_characters"] == 1
    assert summary.changed["trailing_whitespace"] == 3
    assert (
        summary.changed["mojibake"] == summary.changed["nfc"] == summary.changed["unsettled"] == 0
    )
    assert summary.unchanged == 4
    assert summary.raw_chars == sum(map(len, texts))
    assert summary.kept_chars == kept["num_chars"].sum() == sum(map(len, kept["text"]))
    assert summary.kept_bytes == kept["text"].str.len_bytes().sum()
    assert written["raw"] == 7
    assert written["kept"] == 3
    assert written["changed"] == summary.changed
    assert {"operator": "length", "reason": "too few words", "num_documents": 1} in written[
        "rejected"
    ]
    assert {
        "operator": "length",
        "reason": "too few words",
        "metric": "num_words",
        "limit": ">= 50",
    } in written["rules"]


def test_tables_have_the_promised_columns_and_thresholds_can_be_tried_again(tmp_path):
    _, kept, rejected, _ = clean(tmp_path, [prose(0), "Too short."])
    assert kept.columns == [*RAW_COLUMNS, *MEASURES]
    verdict = ["id", "operator", "reason", "metric", "value", "limit", "text", "source", "language"]
    assert rejected.columns == [*verdict, *MEASURES]
    assert kept["detected_language"].to_list() == ["en"]
    looser = CleaningProfile(name="looser", filters={"length": {"min_words": 2}})
    assert not any(rejected.select(rule.fails).item() for _, rule in looser.rules())


def test_a_copy_names_a_document_that_was_kept(tmp_path):
    # The first copy is rejected by its language, so the second one is the first that counts.
    _, kept, rejected, _ = clean(tmp_path, [prose(0)] * 3, language=["de", "en", "en"])
    assert kept["id"].to_list() == ["doc-1"]
    assert rejected.select("id", "operator", "value").rows() == [
        ("doc-0", "language", "en"),
        ("doc-2", "exact_deduplication", "doc-1"),
    ]


def test_copies_stay_where_the_profile_wants_them(tmp_path):
    profile = CleaningProfile(name="keep", filters={}, deduplicate=False)
    assert clean(tmp_path, [prose(0)] * 2, profile)[0].kept == 2


def test_batch_size_changes_nothing_and_bytes_repeat(tmp_path, monkeypatch):
    texts = [prose(number % 40) if number % 7 else "short" for number in range(100)]
    raw = write_raw(tmp_path / "raw", texts)
    frames, digests, steps = [], [], []
    for rows in (256, 256, 9):
        monkeypatch.setitem(document_batches.read_batches.__kwdefaults__, "batch_rows", rows)
        out = tmp_path / f"out-{len(digests)}"
        out.mkdir()
        steps.clear()
        clean_corpus(raw, out, find_profile("prose"), progress=lambda *step: steps.append(step))
        names = ("documents.parquet", "rejected.parquet")
        frames.append([pl.read_parquet(out / name) for name in names])
        digests.append([hashlib.sha256((out / name).read_bytes()).hexdigest() for name in names])
    assert digests[0] == digests[1]
    assert all(one.equals(other) for one, other in zip(frames[0], frames[2], strict=True))
    assert steps[0] == (9, 100)
    assert steps[-1] == (100, 100)
    assert len(steps) == 12


def test_a_corpus_without_a_survivor_is_written_with_its_reasons(tmp_path):
    summary, kept, rejected, written = clean(tmp_path, ["short", "also short"])
    assert summary.kept == written["kept"] == kept.height == 0
    assert kept.columns == [*RAW_COLUMNS, *MEASURES]
    assert rejected.height == 2


CODE = '''def apportion(weights, rows):
    """Whole counts by largest remainder."""
    counts = [int(w * rows) for w in weights]
    order = sorted(range(len(weights)), key=lambda i: counts[i] - weights[i] * rows)
    for index in order[: rows - sum(counts)]:
        counts[index] += 1
    return counts
'''
FORMULAS = """Question: Solve 3x + 7 = 22 for x, then find y = 2x^2 - 4.
3x = 22 - 7 = 15
x = 15 / 3 = 5
y = 2 * 25 - 4 = 50 - 4 = 46
Answer: 46
"""
TALK = "A: Hi there, how are you?\nB: Fine... and you?\nA: Same as ever!\nB: Good to hear that."
JAPANESE = (
    "これは日本語の文章です。単語の間に空白はありませんが、普通の文章として学習に使えます。" * 2
)


@pytest.mark.parametrize(
    ("profile", "text", "language"),
    [
        ("code", CODE, ""),
        ("mathematics", FORMULAS, "en"),
        ("dialogue", TALK, "en"),
        ("multilingual", JAPANESE, "mul"),
    ],
)
def test_the_matching_profile_keeps_what_web_prose_thresholds_reject(
    tmp_path, profile, text, language
):
    for name, kept in ((profile, 1), ("prose", 0)):
        folder = tmp_path / name
        folder.mkdir()
        assert clean(folder, [text], name, language=[language])[0].kept == kept


PLAIN = """The harbour lies at the end of a narrow valley, and the road that leads to it is old.
In winter the fishermen mend their nets by the fire; some of them have never seen a city.
My grandmother used to say that every boat has a name it keeps to itself.
Nobody believed her, but we would sit with her on the wall and listen until dark.
When the wind turned, she folded her hands, looked at the water and was silent."""


@pytest.mark.parametrize("profile", CLEANING_PROFILES)
def test_every_profile_keeps_plain_prose(tmp_path, profile):
    assert clean(tmp_path, [PLAIN], profile)[0].kept == 1


def test_the_web_profile_keeps_what_its_rules_for_lines_leave(tmp_path):
    page = f"Home\n\n{PLAIN} [edit]\n\nThis site uses cookies to work."
    _, kept, rejected, _ = clean(tmp_path, [page, page + " {", "Home"], "web")
    assert kept["text"].to_list() == [PLAIN]
    assert kept["num_chars"].to_list() == [len(PLAIN)]
    assert kept["num_words"].to_list() == [len(PLAIN.split())]
    assert kept["c4_dropped_lines"].to_list() == [2]
    assert kept["text_hash"].to_list() == [text_hash(PLAIN)]
    # Of a rejected document the whole text stays on record.
    assert rejected["text"].to_list() == [page + " {", "Home"]
    assert rejected["reason"].to_list() == ["an opening brace", "too few words"]


DOCUMENTS = st.lists(
    st.one_of(
        st.integers(0, 5).map(prose),
        st.sampled_from([PLAIN, PLAIN + "\r\n\x00", "Too short.", "", "große Stadt\n" * 30, CODE]),
        st.text(max_size=30),
    ),
    min_size=1,
    max_size=8,
)


@settings(deadline=None, max_examples=12)
@given(DOCUMENTS, st.sampled_from(["prose", "web", "code"]), st.randoms(use_true_random=False))
def test_laws_of_cleaning(tmp_path_factory, texts, profile, random):
    """Rows reconcile, the order decides only which copy stays, cleaning again changes nothing."""
    names = [f"doc-{number}" for number in range(len(texts))]
    summary, kept, rejected, _ = clean(tmp_path_factory.mktemp("one"), texts, profile)
    assert sorted([*kept["id"], *rejected["id"]]) == sorted(names)
    assert summary.raw == summary.kept + rejected.height

    order = random.sample(range(len(texts)), len(texts))
    _, others, _, _ = clean(
        tmp_path_factory.mktemp("two"),
        [texts[number] for number in order],
        profile,
        id=[names[number] for number in order],
    )
    assert sorted(others["text"]) == sorted(kept["text"])

    if kept.height:
        again = clean(tmp_path_factory.mktemp("three"), kept["text"].to_list(), profile)
        assert again[0].unchanged == kept.height
        remaining = again[1]["text"].to_list()
        assert remaining == [text for text in kept["text"] if text in remaining]
        if profile != "web":
            # The web profile judges some things before it edits lines: the text is settled after
            # one pass, but its verdict may be another when the lines are gone.
            assert again[0].kept == kept.height


def test_missing_corpus(tmp_path):
    with pytest.raises(BadDocuments, match=r"raw/documents\.parquet: no such file"):
        clean_corpus(tmp_path / "raw", tmp_path, find_profile("prose"))


def test_missing_column(tmp_path):
    raw = write_raw(tmp_path / "raw", [prose(0)])
    path = raw / "documents.parquet"
    pl.read_parquet(path).drop("licence").write_parquet(path)
    with pytest.raises(BadDocuments, match="no column 'licence'"):
        clean_corpus(raw, tmp_path, find_profile("prose"))


def test_empty_corpus(tmp_path):
    with pytest.raises(BadDocuments, match="0 documents; check the corpus's source"):
        clean_corpus(write_raw(tmp_path / "raw", []), tmp_path, find_profile("prose"))


def test_an_id_that_comes_twice_is_an_error_and_leaves_no_table(tmp_path, monkeypatch):
    monkeypatch.setitem(document_batches.read_batches.__kwdefaults__, "batch_rows", 1)
    with pytest.raises(BadDocuments, match="id 'a' occurs twice"):
        clean(tmp_path, [prose(0), prose(1), prose(2)], id=["a", "b", "a"])
    assert list((tmp_path / "out").iterdir()) == []
