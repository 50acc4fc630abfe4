import json

import pytest

from quality.extractors import (
    EXTRACTORS,
    ExtractionError,
    extract_body,
    extract_conversations,
    extract_docstrings,
    extract_translations,
)

PO = """# header comment
msgid ""
msgstr ""
"Project-Id-Version: x, a header that must not come out\\n"

msgid "Please enter a correct value."
msgstr "Bitte einen gültigen Wert "
"eingeben,\\n\\"%(name)s\\" fehlt."

msgid "Yes"
msgstr "Ja"

msgctxt "verb, which is long enough to be mistaken for text"
msgid "%d item was removed from it"
msgid_plural "%d items were removed from it"
msgstr[0] "%d Eintrag wurde daraus entfernt"
msgstr[1] "%d Einträge wurden daraus entfernt"

#, fuzzy, python-format
msgid "This one is only a guess of a tool"
msgstr "Das ist bloß die Vermutung eines Programms"

#~ msgid "This one is obsolete and gone now"
#~ msgstr "Das ist veraltet und nun nicht mehr da"

msgid "Not translated, whatever its length"
msgstr ""
"""


def test_translations_are_unquoted_joined_and_without_labels_and_leftovers():
    assert list(extract_translations(PO)) == [
        (
            "",
            'Bitte einen gültigen Wert eingeben,\n"%(name)s" fehlt.\n'
            "%d Eintrag wurde daraus entfernt\n%d Einträge wurden daraus entfernt",
        )
    ]


def test_translations_count_the_limit_in_bytes_so_that_dense_scripts_stay():
    text = 'msgid "Welcome"\nmsgstr "ようこそいらっしゃ"\n'
    assert list(extract_translations(text)) == [("", "ようこそいらっしゃ")]


def test_docstrings_stand_under_their_signatures():
    source = (
        '"""Module."""\nclass Ring:\n    """A ring.\n\n    Closed.\n    """\n'
        '    def add(self, other, *, modulo=None):\n        r"""Add \\d."""\n'
        "    def bare(self): ...\nasync def run():\n    'Run.'\n"
    )
    assert list(extract_docstrings(source)) == [
        (
            "",
            "Module.\n\n\nRing\n\nA ring.\n\nClosed.\n\n\n"
            "Ring.add(self, other, *, modulo=None)\n\nAdd \\d.\n\n\nrun()\n\nRun.",
        )
    ]
    assert list(extract_docstrings("x = '\\d'  # a warning of the compiler must not escape\n")) == [
        ("", "")
    ]


def test_body_drops_a_header_only_at_the_top():
    assert list(extract_body("---\nkey: a\n---\n\nText\n---\nmore")) == [("", "Text\n---\nmore")]
    assert list(extract_body("---\nkey: a\n---")) == [("", "")]
    assert list(extract_body("Text\n---\na\n---\n")) == [("", "Text\n---\na\n---\n")]


def test_conversations_alternate_and_keep_their_ids():
    spoken = {
        "id-1": {
            "messages": [[{"text": "Hi "}, {"text": "you?"}], [{"text": ""}], [{"text": "Well"}]],
            "ratings": {},
        },
        "id-2": {"messages": [[{"text": "x"}], [{"text": "Ä"}]]},
    }
    expected = [("id-1", "A: Hi you?\nA: Well"), ("id-2", "A: x\nB: Ä")]
    assert list(extract_conversations(json.dumps(spoken))) == expected
    assert list(extract_conversations(json.dumps(spoken, indent=2) + "\n")) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("docstrings", "def (:", "not Python source"),
        ("docstrings", "x = '\0'", "not Python source"),
        ("translations", "hello", "not a gettext catalogue"),
        ("conversations", "[1]", "not a JSON object of conversations"),
        ("conversations", '{"a": {"messages": []}', "not a JSON object of conversations"),
        ("conversations", '{"a": {"turns": []}}', "KeyError"),
        ("conversations", '{"a": 3}', "TypeError"),
    ],
)
def test_a_file_of_another_kind_is_refused(name, text, message):
    with pytest.raises(ExtractionError, match=message):
        list(EXTRACTORS[name](text))
