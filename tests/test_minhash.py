import math
import unicodedata

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality.dedup.kernel_folding import ALONE, folding_table
from quality.dedup.kernel_ngrams import K1, K2
from quality.dedup.minhash import MinHashConfig, estimate_similarity, regroup, sign

WORD = (1 << 64) - 1
ASCII_SYMBOLS = "$+<=>^`|~"
POINTS = ".,\u060c\u066b\u2396\u2397\u2398"
TRICKY = "aZ0१٣.,\u066b \n-'_$€é\u0301ßİςΣ中のไทย한😀\x00\u00ad\u200dﬁ"
SMALL = MinHashConfig(ngram=2, num_bands=3, num_rows=2, seed=5)


def fold(character):
    """Lower case, decomposed, without marks: from Python's tables alone."""
    decomposed = unicodedata.normalize("NFD", character.lower()).replace("\u03c2", "\u03c3")
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn")


def reference_words(text):
    """The words of a text, character by character."""
    words, word, number = [], "", 0
    for place, character in enumerate(text):
        category, follower = unicodedata.category(character), text[place + 1 : place + 2]
        is_point = character in POINTS
        if category == "Nd":
            word, number = (word, number) if number else (word + "0", 1)
        elif is_point and number == 1 and follower and unicodedata.category(follower) == "Nd":
            number = 2
        elif category[0] in "PZC" or character in ASCII_SYMBOLS or is_point:
            words, word, number = [*words, word], "", 0
        elif category == "Mn" or not fold(character):
            continue
        elif folding_table()[0][ord(character)] & ALONE:
            words, word, number = [*words, word, fold(character)], "", 0
        else:
            word, number = word + fold(character), 0
    return [word for word in [*words, word] if word]


def mix(value):
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & WORD
    return value ^ (value >> 31)


def reference_ngrams(words, ngram):
    hashes = []
    for word in words:
        hashed = 0
        for character in word:
            hashed = ((hashed + ord(character)) * int(K1)) & WORD
            hashed ^= hashed >> 32
        hashes.append(mix(hashed))
    return [
        mix(sum(h * int(K2) ** (ngram - 1 - i) for i, h in enumerate(hashes[n : n + ngram])) & WORD)
        for n in range(len(words) - ngram + 1)
    ]


def reference_bands(ngrams, config):
    def drawn(index):
        return mix((config.seed + (index + 1) * 0x9E3779B97F4A7C15) & WORD)

    size = config.num_bands * config.num_rows
    minima = [
        min(((drawn(j) | 1) * g + drawn(size + j)) & WORD for g in ngrams) for j in range(size)
    ]
    bands = []
    for band in range(config.num_bands):
        hashed = 0
        for value in minima[band * config.num_rows : (band + 1) * config.num_rows]:
            hashed = mix((hashed + value) & WORD)
        bands.append(hashed)
    return bands, [value & 0xFF for value in minima]


def check_against_reference(texts, config):
    signed = sign(pl.Series(texts, dtype=pl.String), config)
    for row, text in enumerate(texts):
        ngrams = reference_ngrams(reference_words(text), config.ngram)
        assert signed.num_ngrams[row] == len(ngrams), text
        if ngrams:
            bands, sketch = reference_bands(ngrams, config)
            assert signed.bands[row].tolist() == bands, text
            assert signed.sketches[row].tolist() == sketch, text


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from(TRICKY), max_size=40)
        | st.text(st.characters(exclude_categories=("Cs", "Cn")), max_size=20),
        min_size=1,
        max_size=4,
    )
)
def test_signatures_are_those_of_a_slow_reference(texts):
    check_against_reference(texts, SMALL)


def test_long_texts_cross_the_buffer():
    rng = np.random.default_rng(0)
    text = " ".join(map(str, rng.integers(10, 99, 1500))).replace("1", "a").replace("2", "中")
    check_against_reference([text, "", "one", text + " end"], SMALL)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop--me", ["don", "t", "stop", "me"]),
        ("It cost 1,234.50 in 2024.", ["it", "cost", "0", "0", "in", "0"]),
        ("Ünïcödé Σς", ["unicode", "\u03c3\u03c3"]),
        ("v2beta x_1", ["v0beta", "x", "0"]),
        ("東京へ go", ["東", "京", "へ", "go"]),
        ("  \n\t ... ", []),
    ],
)
def test_words_by_hand(text, expected):
    assert reference_words(text) == expected  # the reference that the kernel is compared with
    check_against_reference([text], MinHashConfig(ngram=1, num_bands=1, num_rows=1))


def test_bytes_that_are_no_utf8_do_no_harm():
    from quality.dedup.kernel_minhash import lower_minima

    good = b"one two " + "é".encode()
    for data in (b"\xff\xfe", good[:-1], b"\xe4\xb8", b"\xf4\x90\x80\x80", b"ab\xc3"):
        minima = np.empty((1, 2), dtype=np.uint64)
        count = np.empty(1, dtype=np.int64)
        ends = np.array([0, len(data)])
        padded = np.frombuffer(data + b"\xbf" * 4, dtype=np.uint8)
        functions = (np.array([1, 3], dtype=np.uint64), np.array([0, 7], dtype=np.uint64))
        lower_minima(padded, ends, 1, *functions, *folding_table(), minima, count)
        assert count[0] <= len(data)


def overlapping(rng, shared, num_words=400):
    """Two texts of different words that share a run of them, and the Jaccard of their 5-grams."""
    words = ["".join(map(chr, rng.integers(97, 123, 9))) for _ in range(3 * num_words)]
    one = words[:num_words]
    other = words[:shared] + words[num_words : 2 * num_words - shared]
    common, each = shared - 4, num_words - 4
    return " ".join(one), " ".join(other), common / (2 * each - common)


def test_equal_bands_and_sketches_estimate_the_jaccard_similarity():
    rng = np.random.default_rng(1)
    config = MinHashConfig(num_bands=56, num_rows=2)
    for shared in (100, 250, 350):
        estimates, bands = [], []
        for _ in range(40):
            one, other, jaccard = overlapping(rng, shared)
            signed = sign(pl.Series([one, other]), config)
            estimates.append(estimate_similarity(*signed.sketches))
            bands.append(np.mean(signed.bands[0] == signed.bands[1]))
        error = math.sqrt(jaccard * (1 - jaccard) / 112)
        assert np.mean(estimates) == pytest.approx(jaccard, abs=4 * error / math.sqrt(40))
        assert np.std(estimates) == pytest.approx(error, rel=0.5)
        assert np.mean(bands) == pytest.approx(jaccard**2, abs=0.05)


def test_estimates_by_hand():
    one = np.arange(112, dtype=np.uint8)
    assert estimate_similarity(one, one) == 1.0
    assert estimate_similarity(one, one + np.uint8(1)) == 0.0
    half = one.copy()
    half[:56] += 1
    assert estimate_similarity(one, half) == pytest.approx((0.5 - 1 / 256) / (1 - 1 / 256))


def test_seeds_give_other_functions():
    texts = pl.Series(["a b c d e f g"])
    one, two = (sign(texts, MinHashConfig(seed=seed)).bands for seed in (1, 2))
    assert (one != two).all()


def test_nulls_and_numbers_are_refused():
    with pytest.raises(ValueError, match="1 of 2 texts are null"):
        sign(pl.Series(["a", None]), SMALL)
    with pytest.raises(ValueError, match="must be strings"):
        sign(pl.Series([1, 2]), SMALL)


@pytest.mark.parametrize(
    "setting", [{"ngram": 0}, {"num_bands": 0}, {"num_rows": 65}, {"seed": -1}, {"rows": 8}]
)
def test_bad_settings(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        MinHashConfig(**setting)


def test_the_second_bands_run_across_the_first():
    config = MinHashConfig(num_bands=3, num_rows=6)
    sketches = np.zeros((4, 18), dtype=np.uint8)
    sketches[1, [0, 6, 12]] = 9  # the first minimum of every band: all in the first second band
    sketches[2, [0, 1, 2]] = 9  # three minima of one band: in the first and the second
    sketches[3, 17] = 9  # the last of all: in the last
    equal = [(group == group[0]).tolist() for group in regroup(sketches, config)]
    assert equal == [
        [True, False, False, True],
        [True, True, False, True],
        [True, True, True, False],
    ]
    assert list(regroup(sketches[:, :15], MinHashConfig(num_bands=3, num_rows=5))) == []
