import gzip

import pytest

from quality.documents import CorpusError, ReadRequest
from quality.readers import warc
from quality.readers.warc import WarcReader


def record(number, body, kind="conversion", content_type="text/plain"):
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://example.org/{number}\r\n"
        f"WARC-Date: 2026-01-01T00:00:00Z\r\nWARC-Record-ID: <urn:uuid:{number}>\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


RECORDS = [
    record(0, b"software: x", kind="warcinfo", content_type="application/warc-fields"),
    record(1, "Grüße aus dem Netz.\n".encode() * 20),
    record(2, b"\xff", kind="resource"),
    record(3, b" "),
    record(4, b"\x89PNG", kind="resource", content_type="image/png"),
    record(5, b"HTTP/1.1 200 OK\r\n\r\n<p>x", kind="response", content_type="application/http"),
    record(6, b"the last one"),
]
PLAIN = b"".join(RECORDS)
COMPRESSED = b"".join(map(gzip.compress, RECORDS))


def read(folder, path="."):
    request = ReadRequest(
        corpus="c",
        folder=folder,
        cache=folder,
        text_column="text",
        id_column=None,
        select=(),
        exclude=(),
    )
    return list(WarcReader(path=path).read(request))


@pytest.mark.parametrize(
    ("name", "content"), [("a.wet", PLAIN), ("a.warc.wet.gz", COMPRESSED)], ids=("plain", "gz")
)
def test_texts_come_with_their_ids_and_the_rest_is_put_aside(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    first, bad, empty, last = read(tmp_path)
    assert first.text == "Grüße aus dem Netz.\n" * 20
    assert (first.identity, first.path) == ("urn:uuid:1", name)
    assert first.source == f"{name}#<urn:uuid:1> http://example.org/1"
    assert [bad.reason, empty.reason] == ["invalid_utf8", "empty"]
    assert last.text == "the last one"


@pytest.mark.parametrize(
    ("name", "content"), [("a.wet", PLAIN), ("a.wet.gz", COMPRESSED)], ids=("plain", "gz")
)
@pytest.mark.parametrize("lost", [1, 8, 30, 300])
def test_a_truncated_archive_is_an_error(tmp_path, name, content, lost):
    (tmp_path / name).write_bytes(content[:-lost])
    with pytest.raises(CorpusError, match=f"corpus 'c': .*{name} is no complete web archive"):
        read(tmp_path)


def test_a_record_beyond_the_limit_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(warc, "MAX_DOCUMENT_BYTES", 100)
    (tmp_path / "a.wet").write_bytes(PLAIN)
    items = read(tmp_path)
    assert [getattr(item, "reason", "text") for item in items] == [
        "too_large",
        "invalid_utf8",
        "empty",
        "text",
    ]


def test_what_is_no_archive_is_an_error(tmp_path):
    (tmp_path / "a.wet").write_bytes(b"just some text")
    with pytest.raises(CorpusError, match="no complete web archive"):
        read(tmp_path)
