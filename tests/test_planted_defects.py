"""Six defects planted among sound documents: preparation removes or mends them, spares the rest.

Each planted document is a sound one with one defect. Boilerplate and another language must be
rejected, damage of the encoding rejected or mended, personal and secret data replaced; of what is
kept, near-copies of another document must be found, and documents with an evaluation item.
"""

import numpy as np
import polars as pl
import pytest

from quality.cleaning import clean_corpus
from quality.cleaning_profiles import find_profile
from quality.decontamination import EvaluationIndex
from quality.dedup.clusters import DeduplicationConfig, find_clusters
from quality.dedup.fingerprints import fingerprint
from quality.document_batches import DOCUMENTS, RAW_COLUMNS
from quality.pii.redaction import count_pii

NUM_CLEAN, NUM_PLANTED = 1000, 100
MIN_REMOVED, MAX_CLEAN_TOUCHED = 0.95, 0.02

PEOPLE = "the old captain|a young teacher|our neighbour|the village doctor|my grandmother|a weaver"
ACTS = "walked slowly towards|wrote a long letter about|never forgot|often spoke of|looked back at"
THINGS = "the harbour in winter|a garden behind the church|the bridge across the river|the café"
WHENS = "before the snow had melted|although nobody believed it|when the market was over|at night"
THOUGHTS = (
    "It seemed that nothing would ever change.|There was a reason for this, and it was simple.|"
)
THOUGHTS += (
    "Some people said the story was naïve, but they listened.|What happened next is well known."
)
FOREIGN = {
    "de": "Der alte Mann ging langsam zum Hafen und sah auf das Meer hinaus.|Niemand wusste, warum "
    "die Brücke damals gebaut worden war.|Im Winter schrieb sie lange Briefe an ihre Schwester.",
    "fr": "Le vieux capitaine marchait lentement vers le port pendant la nuit.|Personne ne savait "
    "pourquoi le pont avait été construit.|En hiver elle écrivait de longues lettres à sa sœur.",
    "es": "El viejo capitán caminaba despacio hacia el puerto durante la noche.|Nadie sabía por "
    "qué se había construido el puente.|En invierno ella escribía largas cartas a su hermana.",
}


def pick(rng, options):
    values = options.split("|")
    return values[rng.integers(len(values))]


def sound_text(rng, number):
    """Ten to sixteen sentences in paragraphs; the number makes each document the only one."""
    sentences = [f"This is what is told of the year {1200 + number}."]
    for _ in range(rng.integers(10, 17)):
        person, act, thing, when = (pick(rng, o) for o in (PEOPLE, ACTS, THINGS, WHENS))
        sentences.append(f"{person} {act} {thing} {when}.".capitalize())
        if rng.random() < 0.4:
            sentences.append(pick(rng, THOUGHTS))
    return "\n".join(" ".join(sentences[start : start + 4]) for start in range(0, 99, 4)).strip()


def with_boilerplate(rng, text):
    menu = [f"- {word}" for word in ("Home", "About us", "Contact", "Products", "Terms", "Log in")]
    kind = rng.integers(4)
    if kind == 0:
        return "\n".join(menu * 3 + ["- " + text[:40]])
    if kind == 1:
        return (
            "\n".join(["This site uses cookies to improve your experience."] * 12)
            + "\n"
            + text[:200]
        )
    if kind == 2:
        return "\n".join(f"{line[:70]}..." for line in text.replace(". ", ".\n").split("\n"))
    return "Copyright 2024. All rights reserved. Share this page. Read more."


def in_another_language(rng, text):
    code = list(FOREIGN)[rng.integers(len(FOREIGN))]
    return f"{text[:40]} " + " ".join(pick(rng, FOREIGN[code]) for _ in range(12))


def with_damage(rng, text):
    kind = rng.integers(4)
    if kind == 0:  # UTF-8 read as Windows-1252
        return text.encode().decode("cp1252", errors="replace")
    if kind == 1:  # every twentieth character could not be decoded
        return "".join("\ufffd" if i % 20 == 7 else char for i, char in enumerate(text))
    if kind == 2:
        return text.replace(" the ", " \x00the\x07 ").replace("\n", "\r\n")
    return "\ufeff" + text.replace("é", "e\u0301").replace("ï", "i\u0308") + "  \t"


def with_personal_data(rng, text):
    digits = "".join(map(str, rng.integers(0, 10, size=12)))
    secrets = (
        f"Write to ann.{digits[:4]}@mail-{digits[4:6]}.org today.",
        f"The server was {rng.integers(11, 99)}.{rng.integers(100, 250)}.{rng.integers(250)}.7.",
        f"Tel. +49 30 9{digits[:6]} was written there.",
        "Pay to DE89 3704 0044 0532 0130 00 as agreed.",
        "The card was 4111 1111 1111 1111 until May.",
        f"The key was ghp_{digits * 3} in the log.",
    )
    at = text.index("\n")
    return f"{text[:at]} {secrets[rng.integers(len(secrets))]}{text[at:]}"


def with_few_words_replaced(rng, text):
    words = text.split(" ")
    for place in rng.choice(np.arange(12, len(words)), max(1, len(words) // 100), replace=False):
        words[place] = "something"
    return " ".join(words)


def exam_item(number):
    """Twenty made-up words that stand nowhere else."""
    rng = np.random.default_rng(number)
    return " ".join("".join(rng.choice(list("aeilmnorst"), size=5)) for _ in range(20))


def with_exam_item(rng, text):
    number = int(text[len("This is what is told of the year ") :].split(".")[0]) - 1200
    return text.replace("\n", f"\nSomebody asked: {exam_item(number)}? Nobody knew. ", 1)


PLANTS = {
    "boilerplate": with_boilerplate,
    "language": in_another_language,
    "encoding": with_damage,
    "pii": with_personal_data,
    "near": with_few_words_replaced,
    "leak": with_exam_item,
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Texts as they were before planting, texts kept and ids rejected."""
    folder = tmp_path_factory.mktemp("planted")
    rng = np.random.default_rng(11)
    sound, planted = {}, {}
    for number in range(NUM_CLEAN + NUM_PLANTED * len(PLANTS)):
        kind = "clean" if number < NUM_CLEAN else list(PLANTS)[number % len(PLANTS)]
        name = f"{kind}-{number}"
        sound[name] = sound_text(rng, number)
        if kind == "near":  # of a sound document that is there as well
            sound[name] = sound[f"clean-{number - NUM_CLEAN}"]
        planted[name] = sound[name] if kind == "clean" else PLANTS[kind](rng, sound[name])
    order = rng.permutation(list(planted)).tolist()
    frame = pl.DataFrame({"id": order, "text": [planted[name] for name in order]})
    others = {c: "en" if c == "language" else "x" for c in RAW_COLUMNS if c not in frame.columns}
    raw, out = folder / "raw", folder / "out"
    raw.mkdir()
    out.mkdir()
    frame.with_columns(**{column: pl.lit(value) for column, value in others.items()}).select(
        RAW_COLUMNS
    ).write_parquet(raw / DOCUMENTS)
    clean_corpus(raw, out, find_profile("prose"))
    kept = dict(pl.read_parquet(out / DOCUMENTS).select("id", "text").iter_rows())
    return sound, planted, kept


def named(names, kind):
    return [name for name in names if name.startswith(f"{kind}-")]


def test_sound_documents_come_through_unchanged(outcome):
    sound, _, kept = outcome
    names = named(sound, "clean")
    touched = [name for name in names if kept.get(name) != sound[name]]
    assert len(names) == NUM_CLEAN
    assert len(touched) <= MAX_CLEAN_TOUCHED * NUM_CLEAN, touched[:5]


@pytest.mark.parametrize("kind", ["boilerplate", "language"])
def test_what_cannot_be_mended_is_rejected(outcome, kind):
    sound, _, kept = outcome
    names = named(sound, kind)
    left = [name for name in names if name in kept]
    assert len(names) == NUM_PLANTED
    assert len(left) <= (1 - MIN_REMOVED) * NUM_PLANTED, [kept[name][:80] for name in left]


def test_damage_of_the_encoding_is_mended_or_rejected(outcome):
    sound, planted, kept = outcome
    names = [name for name in named(sound, "encoding") if planted[name] != sound[name]]
    left = [name for name in names if name in kept and kept[name] != sound[name]]
    assert len(names) > NUM_PLANTED / 2
    assert len(left) <= (1 - MIN_REMOVED) * len(names), [kept[name][:80] for name in left]


def test_personal_data_is_replaced_and_the_document_kept(outcome):
    sound, planted, kept = outcome
    names = named(sound, "pii")
    left = [name for name in names if kept.get(name) == planted[name]]
    assert len(left) <= (1 - MIN_REMOVED) * NUM_PLANTED, [planted[name][:300] for name in left]
    assert sum("<" in kept.get(name, "") for name in names) >= MIN_REMOVED * NUM_PLANTED
    assert count_pii(pl.Series(list(kept.values()))).sum_horizontal().sum() == 0


def test_near_copies_are_found_and_nothing_else_goes(outcome):
    _, _, kept = outcome
    prints = fingerprint(
        pl.Series("id", list(kept), dtype=pl.String),
        pl.Series("text", list(kept.values()), dtype=pl.String),
        DeduplicationConfig().signatures,
    )
    removed = set(find_clusters({"all": prints}).filter(pl.col("kind") != "kept")["id"])
    pairs = {name: f"clean-{int(name[5:]) - NUM_CLEAN}" for name in named(kept, "near")}
    found = [name for name, original in pairs.items() if len({name, original} & removed) == 1]
    assert len(pairs) >= MIN_REMOVED * NUM_PLANTED
    assert len(found) >= MIN_REMOVED * len(pairs)
    innocent = removed - set(pairs) - set(pairs.values())
    assert len(innocent) <= MAX_CLEAN_TOUCHED * NUM_CLEAN, sorted(innocent)[:5]


def test_documents_with_an_evaluation_item_are_found_and_no_others(outcome):
    _, _, kept = outcome
    numbers = [int(name[5:]) for name in named(kept, "leak")]
    exam = EvaluationIndex(
        [("exam", pl.Series(map(str, numbers)), pl.Series(map(exam_item, numbers)))]
    )
    texts = pl.Series(list(kept.values()), dtype=pl.String)
    rows = exam.find(texts)
    found = {(list(kept)[row], item) for row, item in rows.select("row", "item_id").iter_rows()}
    assert len(numbers) >= MIN_REMOVED * NUM_PLANTED
    assert found == {(f"leak-{number}", str(number)) for number in numbers}
