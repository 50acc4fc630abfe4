import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from quality.catalogue import Corpus, load_catalogue
from quality.documents import CorpusError
from quality.readers.jsonl import JsonlReader

EXAMPLES = Path(__file__).parents[1] / "examples"
ENTRY = {
    "domain": "web",
    "licence": "MIT",
    "language": "en",
    "cleaning": "prose",
    "reader": "jsonl",
    "source": {"path": "d.jsonl"},
}


def write(folder, corpora):
    file = folder / "corpora.yaml"
    content = corpora if isinstance(corpora, str) else yaml.safe_dump({"corpora": corpora})
    file.write_text(content)
    return file


def test_an_entry_becomes_a_corpus_with_its_reader(tmp_path):
    entry = {**ENTRY, "select": ["*.jsonl"], "segment_chars": 100}
    (corpus,) = load_catalogue(write(tmp_path, {"small": entry})).values()
    assert (corpus.name, corpus.domain, corpus.select) == ("small", "web", ("*.jsonl",))
    assert (corpus.text_column, corpus.id_column, corpus.sample_share) == ("text", None, 1.0)
    assert corpus.make_reader() == JsonlReader(path="d.jsonl")
    request = corpus.request(tmp_path / "cache")
    assert request.folder == tmp_path
    assert (request.corpus, request.select) == ("small", ("*.jsonl",))


def test_corpora_keep_their_order_and_merge_keys_work(tmp_path):
    text = (
        "corpora:\n  b: &b\n    {domain: web, licence: MIT, language: en, cleaning: prose,"
        " reader: jsonl, source: {path: d}}\n  a:\n    <<: *b\n    domain: book\n"
    )
    corpora = load_catalogue(write(tmp_path, text))
    assert [(c.name, c.domain) for c in corpora.values()] == [("b", "web"), ("a", "book")]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"licens": "MIT"}, r"corpus 'small': field 'licens': unknown; remove it or correct"),
        ({"licence": None}, r"field 'licence': .*valid string, got None"),
        ({"licence": ""}, r"field 'licence': .*at least 1 character, got ''"),
        ({"language": "English"}, r"field 'language': .*pattern.*, got 'English'"),
        ({"domain": "Web Text"}, r"field 'domain': .*got 'Web Text'"),
        ({"reader": "pdf"}, r"'reader': unknown reader 'pdf'; choose one of \['hugging_face'"),
        ({"source": {}}, r"reader 'jsonl': field 'source.path': missing; add it"),
        ({"source": {"path": "a", "b": 1}}, r"field 'source.b': unknown; remove it"),
        ({"source": {"path": 3}}, r"field 'source.path': .*valid string, got 3"),
        ({"segment_chars": 0}, r"field 'segment_chars'.*: .*greater than or equal to 1, got 0"),
        ({"sample_share": 1.5}, r"field 'sample_share': .*less than or equal to 1, got 1.5"),
        ({"select": ["[z-a]"]}, r"pattern '\[z-a\]' cannot be read"),
        ({"name": "other"}, r"field 'name': this is set by the catalogue; remove it"),
        ({"folder": "/"}, r"field 'folder': this is set by the catalogue; remove it"),
    ],
)
def test_a_wrong_entry_names_file_corpus_field_and_remedy(tmp_path, changed, message):
    file = write(tmp_path, {"small": {**ENTRY, **changed}})
    with pytest.raises(CorpusError, match=message) as caught:
        load_catalogue(file)
    assert f"catalogue {file}, corpus 'small'" in str(caught.value)


def test_a_missing_key_and_a_wrong_extractor_are_named(tmp_path):
    entry = {key: value for key, value in ENTRY.items() if key != "licence"}
    with pytest.raises(CorpusError, match="corpus 'small': field 'licence': missing; add it"):
        load_catalogue(write(tmp_path, {"small": entry}))
    source = {"path": ".", "extract": {"*": "pdf"}}
    entry = {**ENTRY, "reader": "text_folder", "source": source}
    with pytest.raises(CorpusError, match=r"reader 'text_folder': .*extractor 'pdf'"):
        load_catalogue(write(tmp_path, {"small": entry}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("corpora: [", "is no valid YAML"),
        ("corpora:\n  a: 1\n  a: 2\n", "key a stands twice; remove one"),
        ("corpora:\n  a: {domain: x, domain: y}\n", "key domain stands twice"),
        ("corpora: {}\n", "name at least one corpus"),
        ("corpora: {a: 3}\n", "corpus 'a': expected keys and values, got 3"),
        ("corpora: {a: {}}\nextra: 1\n", "expected one key at the top, 'corpora'"),
        ("- a\n", "expected one key at the top"),
        ("corpora: {Big Name: {}}\n", "corpus 'Big Name'"),
    ],
)
def test_a_file_that_is_no_catalogue_is_an_error(tmp_path, content, message):
    with pytest.raises(CorpusError, match=message):
        load_catalogue(write(tmp_path, content))


def test_a_missing_catalogue_is_an_error(tmp_path):
    with pytest.raises(CorpusError, match=r"catalogue .*gone.yaml cannot be read"):
        load_catalogue(tmp_path / "gone.yaml")


def test_a_corpus_made_in_code_is_checked_as_well():
    with pytest.raises(ValueError, match="unknown reader"):
        Corpus(name="a", **{**ENTRY, "reader": "pdf"})


def test_the_default_catalogue_offers_eight_domains_from_verified_distributions():
    corpora = load_catalogue(EXAMPLES / "corpora.yaml").values()
    assert len({corpus.domain for corpus in corpora}) == 8
    assert {corpus.reader for corpus in corpora} == {"package_index"}
    checksums = {(c.source["filename"], c.source["sha256"]) for c in corpora}
    assert len(checksums) == len({name for name, _ in checksums}) == 8


def test_loading_a_catalogue_needs_no_heavy_library():
    code = (
        "import sys, quality.catalogue, quality.raw_corpus\n"
        "heavy = {'torch', 'datasets', 'pandas', 'transformers', 'unearth', 'polars'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
