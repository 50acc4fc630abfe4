"""The native pass against a slow reference in plain Python, on wild texts."""

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quality.character_table import character_table
from quality.kernel_documents import make_scratch
from quality.kernel_lines import scan_line
from quality.kernel_text import abbreviations, decode
from quality.text_buffers import STOP_WORDS, count_texts, text_buffers
from quality.text_counts import COUNT_COLUMNS

POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies")
CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")


def tokens(text):
    """Words as the native split gives them; tests/test_kernel_text.py is about those."""
    text = text.strip()
    data = np.frombuffer(text.encode() or b" ", np.uint8)
    scratch = make_scratch(data.size)
    size = decode(data, 0, len(text.encode()), character_table(), scratch.points, scratch.flags)
    scan = scan_line(scratch.points, scratch.flags, 0, size, abbreviations(), scratch.words, 0)
    found = zip(scratch.words.starts[: scan.tokens], scratch.words.ends[: scan.tokens], strict=True)
    return [text[start:end] for start, end in found]


def flagged(flag_name, text):
    from quality import character_table as module

    return [bool(character_table()[ord(c)] & getattr(module, flag_name)) for c in text]


def repeats(parts):
    """How many parts equal an earlier one, their characters, copies of the most frequent one."""
    seen = set()
    again = []
    for part in parts:
        if part in seen:
            again.append(part)
        seen.add(part)
    return len(again), sum(map(len, again)), max(Counter(parts).values(), default=0)


def top_chars(words, n):
    grams = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
    if not grams:
        return 0
    gram, copies = Counter(grams).most_common(1)[0]
    return len(gram) * copies


def repeated_chars(words, n):
    seen, chars, place = set(), 0, 0
    while place + n <= len(words):
        gram = tuple(words[place : place + n])
        if gram in seen:
            chars += sum(map(len, gram))
            place += n
        else:
            seen.add(gram)
            place += 1
    return chars


def sentences(line):
    count, ended = 1, False
    for word in tokens(line):
        if len(word) == 1 and all(flagged("SENTENCE_END", word)):
            ended = True
        elif ended and not all(flagged("PUNCTUATION", word)):
            count, ended = count + 1, False
    return count


def c4(text, counts):
    """Lines that stay under C4's rules."""
    staying = []
    for line in map(str.strip, text.splitlines()):
        if not line:
            continue
        edited = line
        while CITATION.search(edited):
            edited = CITATION.sub("", edited)
        edited = edited.strip()
        lower = re.sub("[A-Z]", lambda match: match[0].lower(), edited)
        longest = max(len(w) for one in (line, edited, "") for w in (*one.split(), ""))
        if longest > 1000 or min(len(line.split()), len(edited.split())) < 3:
            counts["dropped_lines"] += 1
        elif "lorem ipsum" in lower:
            counts["lorem_ipsum_lines"] += 1
            staying.append(edited)
        elif "javascript" in lower:
            counts["dropped_lines"] += 1
        elif "{" in edited:
            counts["brace_lines"] += 1
            staying.append(edited)
        elif any(phrase in lower for phrase in (*POLICY, "use cookies")):
            counts["dropped_lines"] += 1
        else:
            staying.append(edited)
    counts["sentences"] = sum(map(sentences, staying))
    return staying


def reference(text, edit_lines):
    """The counts of one text, and the text that stays."""
    counts = dict.fromkeys(COUNT_COLUMNS, 0)
    lines = text.splitlines()
    filled = [line.strip() for line in lines if line.strip()]
    words = [word for line in lines if line.strip() for word in tokens(line)]
    counts["chars"] = len(text)
    counts["dark_chars"] = len("".join(text.split()))
    counts["alphabetic_chars"] = sum(flagged("ALPHABETIC", text))
    counts["decimal_chars"] = sum(c.isdecimal() for c in text)
    counts["symbol_chars"] = sum(flagged("SYMBOL", text))
    counts["replacement_chars"] = text.count("\ufffd")
    counts["hashes"] = text.count("#")
    counts["ellipses"] = text.count("...") + text.count("…")
    counts["newlines"] = text.count("\n")
    counts["words"] = len(text.split())
    counts["alphabetic_words"] = sum(any(flagged("ALPHABETIC", w)) for w in text.split())
    counts["lines"] = len(lines)
    counts["filled_lines"] = len(filled)
    counts["filled_line_chars"] = sum(map(len, filled))
    counts["max_line_chars"] = max(map(len, lines), default=0)
    counts["bullet_lines"] = sum(line[0] in "-*•‣◦▪●" for line in filled)
    counts["dash_lines"] = sum(line[0] in "-•" for line in filled)
    counts["ellipsis_lines"] = sum(line.endswith(("...", "…")) for line in filled)
    (
        counts["repeated_filled_lines"],
        counts["repeated_filled_line_chars"],
        counts["top_line_copies"],
    ) = repeats(filled)
    unbroken = re.split("\n+", text)
    counts["unbroken_lines"] = len(unbroken)
    counts["repeated_lines"], counts["repeated_line_chars"], _ = repeats(unbroken)
    paragraphs = re.split(r"\n{2,}", text.strip())
    counts["paragraphs"] = len(paragraphs)
    counts["repeated_paragraphs"], counts["repeated_paragraph_chars"], _ = repeats(paragraphs)
    dark = [word for word in words if not all(flagged("SYMBOL_WORD", word))]
    counts["tokens"] = len(words)
    counts["dark_tokens"] = len(dark)
    counts["dark_token_chars"] = sum(map(len, dark))
    counts["letter_tokens"] = sum(any(c.isalpha() for c in word) for word in words)
    counts["stop_words"] = len({*STOP_WORDS} & {*words})
    for n in range(2, 5):
        counts[f"top_{n}gram_chars"] = top_chars(words, n)
    for n in range(5, 11):
        counts[f"repeated_{n}gram_chars"] = repeated_chars(words, n)
    staying = c4(text, counts)
    if edit_lines:
        kept = "\n".join(staying)
        counts["staying_chars"] = sum(map(len, staying))
        counts["staying_newlines"] = max(len(staying) - 1, 0)
        counts["staying_tokens"] = sum(len(tokens(line)) for line in staying)
    else:
        kept, staying = text, [line for line in lines if line.strip()]
        counts["staying_chars"] = len(text.replace("\n", ""))
        counts["staying_newlines"] = text.count("\n")
        counts["staying_tokens"] = len(words)
    counts["staying_lines"] = len(staying)
    counts["terminal_lines"] = sum(flagged("SENTENCE_END", line)[-1] for line in staying)
    counts["short_lines"] = sum(len(line) <= 30 for line in staying)
    counts["repeated_staying_chars"] = repeats(staying)[1]
    return counts, kept


def assert_like_reference(texts):
    for edit_lines in (False, True):
        table, staying = count_texts(pl.Series(texts, dtype=pl.String), edit_lines=edit_lines)
        for text, row, kept in zip(texts, table.to_dicts(), staying, strict=True):
            expected, expected_text = reference(text, edit_lines)
            assert {k: (v, expected[k]) for k, v in row.items() if v != expected[k]} == {}, text
            assert kept == expected_text


# The breaks of `str.splitlines` beyond LF only come before normalisation: paragraphs are defined
# by LF alone, so the reference and the native pass agree where LF is the only break.
CHARACTERS = st.characters(
    codec="utf-8", exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
)
ODD = st.sampled_from("aab b  \n\n\n..…!?-•#{[]1é日אب\u0301\u200d\U0001f600\x00\ufffd'’\t")
PHRASES = st.sampled_from(
    [
        "lorem ipsum ",
        "JavaScript is off ",
        "our cookie policy now ",
        "[edit] ",
        "[12]",
        "[[3]]",
        "[citation needed]",
        "the end. And more",
        "one two three four five six seven eight nine ten eleven ",
        "the cat and the dog\n",
        "- item with words…\n",
        "\n\n",
        "to be of that ",
    ]
)
WILD = st.one_of(
    st.text(CHARACTERS, max_size=80),
    st.text(ODD, max_size=80),
    st.lists(st.one_of(PHRASES, st.text(ODD, max_size=5)), max_size=14).map("".join),
)


@settings(deadline=None, max_examples=150)
@given(st.lists(WILD, max_size=4))
@example(
    ["", "a", "\n", " ", "\x00", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "שלום עולם שלום"]
)
@example(["\n\na b\n\na b\n", " a\n\na ", "a\n \na", "x" * 1001 + " y z"])
def test_native_pass_counts_like_the_reference(texts):
    assert_like_reference(texts)


def test_long_texts():
    sentence = "The river ran past the old mill and nobody knew why it did. "
    mixed = "".join(f"Line {i} of {i * i % 97}: größe, 日本 and #{i}...\n" for i in range(400))
    assert_like_reference([sentence * 60, mixed, "x" * 50_000, "日 " * 5_000])


def test_ten_megabytes_in_one_line():
    text = "one two three. " * 700_000
    table, _ = count_texts(pl.Series([text]), edit_lines=False)
    row = table.row(0, named=True)
    assert row["chars"] == len(text)
    assert row["tokens"] == 4 * 700_000
    assert row["max_line_chars"] == len(text)
    # Every run of ten words but the first four has been seen, cut into whole runs.
    assert row["repeated_10gram_chars"] == pytest.approx(12 * 700_000, rel=1e-3)


@settings(deadline=None, max_examples=150)
@given(st.lists(WILD, min_size=1, max_size=3))
def test_editing_lines_twice_is_editing_once(texts):
    _, once = count_texts(pl.Series(texts, dtype=pl.String), edit_lines=True)
    _, twice = count_texts(once, edit_lines=True)
    assert twice.to_list() == once.to_list()


def test_citation_that_appears_when_another_goes_is_cut_too():
    _, staying = count_texts(pl.Series(["He came home [[1]] at last."]), edit_lines=True)
    assert staying.to_list() == ["He came home  at last."]


def test_a_slice_of_a_column_is_read_at_its_place():
    texts = pl.Series(["first text", "größe", "third 日本"])
    content, places = text_buffers(texts[1:])
    cut = [content[start:end].tobytes().decode() for start, end in pairwise(places)]
    assert cut == ["größe", "third 日本"]
    assert count_texts(texts[1:], edit_lines=False)[0]["chars"].to_list() == [5, 8]


def test_no_texts_and_no_strings():
    table, staying = count_texts(pl.Series([], dtype=pl.String), edit_lines=True)
    assert table.columns == list(COUNT_COLUMNS)
    assert table.height == staying.len() == 0
    with pytest.raises(ValueError, match="texts must be strings, got Int64"):
        text_buffers(pl.Series([1]))


def test_lone_surrogates_never_reach_the_native_pass():
    # Arrow strings are UTF-8, which has no form for them: making the column fails.
    with pytest.raises(UnicodeEncodeError):
        pl.Series(["\ud800"])
