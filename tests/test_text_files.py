import pytest

from quality.documents import CorpusError, Text, Unreadable
from quality.extractors import extract_body, extract_plain
from quality.text_files import choose_extractor, read_text_file, require_extractors


def read(content, path="a/b.txt", extract=None):
    return list(read_text_file(content, path=path, source="s/" + path, extract=extract or {}))


def test_a_file_is_one_text_without_its_byte_order_mark():
    expected = Text(identity="a/b.txt", path="a/b.txt", source="s/a/b.txt", text="Grüße\r\n")
    assert read("\ufeffGrüße\r\n".encode()) == [expected]


def test_several_texts_of_a_file_are_told_apart_by_their_keys():
    content = b'{"k": {"messages": [[{"text": "x"}]]}, "empty": {"messages": []}}'
    texts = read(content, path="d.json", extract={"**/*.json": "conversations"})
    assert texts == [
        Text(identity="d.json#k", path="d.json", source="s/d.json#k", text="A: x"),
        Unreadable(
            source="s/d.json#empty",
            reason="nothing_extracted",
            detail="the extractor found no text in it",
        ),
    ]


@pytest.mark.parametrize(
    ("content", "extract", "reason", "detail"),
    [
        (b"ok \xff\xfe", {}, "invalid_utf8", "can't decode byte 0xff in position 3"),
        (b"", {}, "empty", "white space"),
        (b" \n\t", {}, "empty", "white space"),
        (b"def (", {"**": "docstrings"}, "not_extractable", "not Python source"),
        (b"x = 1", {"**": "docstrings"}, "nothing_extracted", "no text"),
    ],
)
def test_damage_is_put_aside_with_its_reason(content, extract, reason, detail):
    (item,) = read(content, extract=extract)
    assert isinstance(item, Unreadable)
    assert (item.source, item.reason) == ("s/a/b.txt", reason)
    assert detail in item.detail


def test_the_first_matching_pattern_chooses_the_extractor():
    extract = {"a/*": "body", "**": "docstrings"}
    assert choose_extractor("a/x.py", extract) is extract_body
    assert choose_extractor("x.py", {"*.po": "translations"}) is extract_plain


def test_an_unknown_extractor_is_refused():
    with pytest.raises(CorpusError, match=r"unknown extractor 'pdf'; choose one of \['body'"):
        require_extractors({"**": "pdf"})
