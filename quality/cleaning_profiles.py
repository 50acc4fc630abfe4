"""Cleaning profiles: which filters judge a corpus, and with which thresholds.

The published thresholds were found on English web pages. On other kinds of text they reject what a
model is meant to learn: a formula has few letters, a program repeats its lines, a dialogue is
short, Japanese has no spaces. A profile names the filters in force; what it does not mention of a
filter keeps the published default, a value of None switches that one rule off. Where a profile
loosens a published value, that is our choice for this kind of text and has no source but the
reason given beside it.
"""

from collections.abc import Mapping

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass

from quality.filters import FILTERS
from quality.filters.rules import Rule, at_least
from quality.pii import DETECTORS

Thresholds = Mapping[str, float | bool | None]

NORMALISE = "normalise"
"""Operator that rejects a document in which normalisation leaves no character."""
DEDUPLICATE = "exact_deduplication"
"""Operator that rejects later copies of a document."""


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class CleaningProfile:
    """How one kind of text is cleaned."""

    name: str
    """As the catalogue names it."""
    filters: Mapping[str, Mapping[str, float | bool | None]]
    """Filter -> thresholds that differ from its defaults. A filter not named is not in force."""
    redact: tuple[str, ...] = ()
    """Kinds of personal and secret data that placeholders replace; all kinds are counted."""
    deduplicate: bool = True
    """Whether only the first of several equal texts is kept."""

    def __post_init__(self) -> None:
        """Refuse unknown filters, thresholds and kinds here, not in the middle of a corpus."""
        self.rules()
        unknown = sorted(set(self.redact) - set(DETECTORS))
        if unknown:
            raise ValueError(
                f"cleaning profile {self.name!r}: unknown kind of PII {unknown[0]!r}; "
                f"known are {', '.join(DETECTORS)}"
            )

    @property
    def edits_lines(self) -> bool:
        """Whether C4's rules for lines edit the text; their filter says so."""
        return any(FILTERS[name].edits_lines for name in self.filters)

    def rules(self) -> tuple[tuple[str, Rule], ...]:
        """Pairs of operator and rule, in the order in which they are tried.

        Raises:
            ValueError: A filter or threshold is unknown, or a threshold is out of its range.
        """
        unknown = sorted(set(self.filters) - set(FILTERS))
        if unknown:
            raise ValueError(
                f"cleaning profile {self.name!r}: unknown filter {unknown[0]!r}; "
                f"known are {', '.join(FILTERS)}"
            )
        empty = at_least("num_chars", 1, "no text left")
        rules = [(NORMALISE, rule) for rule in empty]
        for operator, parts in FILTERS.items():
            if operator in self.filters:
                try:
                    settings = parts.settings(**self.filters[operator])
                except ValidationError as error:
                    raise ValueError(
                        f"cleaning profile {self.name!r}, filter {operator!r}: {_first(error)}"
                    ) from error
                rules += [(operator, rule) for rule in settings.rules()]
        return tuple(rules)


def find_profile(name: str) -> CleaningProfile:
    """Look a profile up by name.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in CLEANING_PROFILES:
        raise ValueError(
            f"unknown cleaning profile {name!r}; known are {', '.join(CLEANING_PROFILES)}"
        )
    return CLEANING_PROFILES[name]


def _first(error: ValidationError) -> str:
    detail = error.errors()[0]
    field = ".".join(str(part) for part in detail["loc"])
    return f"{field}: {detail['msg']}, got {detail['input']!r}"


_SHORT: Thresholds = {"min_words": 10, "max_words": None}
"""A paragraph, a question or a licence of one sentence is a whole document in these corpora."""
_ANY_WORDS: Thresholds = {"min_mean_word_chars": None, "max_mean_word_chars": None}
"""Identifiers and formulas make long and short words; many languages do by nature."""
_CODE_LINES: Thresholds = {
    "max_mean_line_chars": 100,
    "max_line_chars": 1000,
    "max_bullet_line_share": None,
    "max_ellipsis_line_share": None,
}
"""The StarCoder limits; a comment block may begin every line with an asterisk."""
_FORMULAS: Thresholds = {
    "max_digit_share": 0.3,
    "max_symbol_share": 0.4,
    "min_alphabetic_word_share": 0.5,
}
"""Digits, signs and names between the words, as in formulas and code."""
_LOOSE_REPETITION: Thresholds = {
    "max_duplicate_line_share": 0.6,
    "max_duplicate_line_char_share": 0.5,
}
"""Brackets, speakers, headings and headed sections repeat by rule; half of the text does not."""

_WEB_PII = ("email", "ip")
"""What FineWeb replaces."""
_SOURCE_PII = ("secret", "email", "ip")
"""What StarCoder replaces in source code, but for names of people."""

_PROFILES = (
    CleaningProfile(
        name="prose",
        redact=tuple(DETECTORS),
        filters={"length": {}, "language": {}, "characters": {}, "lines": {}, "repetition": {}},
    ),
    CleaningProfile(
        name="code",
        redact=_SOURCE_PII,
        filters={
            "length": {**_SHORT, **_ANY_WORDS},
            "characters": {
                "max_digit_share": 0.5,
                "max_symbol_share": 0.6,
                "min_alphabetic_word_share": 0.3,
                "max_symbol_word_ratio": None,
            },
            "lines": _CODE_LINES,
            "repetition": _LOOSE_REPETITION,
        },
    ),
    # People answer in a word, break off and are fond of ellipses.
    CleaningProfile(
        name="dialogue",
        redact=tuple(DETECTORS),
        filters={
            "length": {**_SHORT, **_ANY_WORDS},
            "characters": {"max_symbol_word_ratio": 0.5},
            "lines": {"max_ellipsis_line_share": None},
            "repetition": _LOOSE_REPETITION,
        },
    ),
    # Citations are digits and section signs, headings number signs; short clauses lower confidence.
    # Addresses of courts and authorities belong to the text: nothing is replaced.
    CleaningProfile(
        name="legal",
        filters={
            "length": {**_SHORT, "max_mean_word_chars": 14.0},
            "language": {"min_confidence": 0.3},
            "characters": {
                "max_digit_share": 0.4,
                "min_alphabetic_word_share": 0.5,
                "max_symbol_word_ratio": 0.3,
            },
            "lines": {},
            "repetition": _LOOSE_REPETITION,
        },
    ),
    # No language filter: old spelling, verse and names mislead the detector.
    CleaningProfile(
        name="literature",
        filters={"length": _SHORT, "characters": {}, "lines": {}, "repetition": {}},
    ),
    CleaningProfile(
        name="mathematics",
        filters={
            "length": {**_SHORT, **_ANY_WORDS},
            "characters": {
                "min_alphabetic_share": 0.1,
                "max_digit_share": 0.6,
                "max_symbol_share": 0.7,
                "min_alphabetic_word_share": 0.2,
                "max_symbol_word_ratio": 0.5,
            },
            "lines": {},
            "repetition": _LOOSE_REPETITION,
        },
    ),
    # Characters instead of words, since not every script has spaces.
    CleaningProfile(
        name="multilingual",
        redact=_WEB_PII,
        filters={
            "length": {"min_chars": 40, "min_words": None, "max_words": None, **_ANY_WORDS},
            "characters": {
                "max_digit_share": 0.3,
                "min_alphabetic_word_share": 0.5,
                "max_symbol_word_ratio": None,
            },
            "lines": {},
            "repetition": _LOOSE_REPETITION,
        },
    ),
    CleaningProfile(
        name="science",
        redact=_WEB_PII,
        filters={
            "length": {**_SHORT, **_ANY_WORDS},
            "characters": _FORMULAS,
            "lines": {},
            "repetition": _LOOSE_REPETITION,
        },
    ),
    # Examples of code make the detector unsure of the language of the prose around them.
    CleaningProfile(
        name="technical",
        redact=_SOURCE_PII,
        filters={
            "length": {**_SHORT, **_ANY_WORDS},
            "language": {"min_confidence": 0.3},
            "characters": _FORMULAS,
            "lines": {},
            "repetition": _LOOSE_REPETITION,
        },
    ),
    # The chain of Penedo et al. 2024, "The FineWeb Datasets", arXiv:2406.17557, all as published.
    CleaningProfile(
        name="web",
        redact=_WEB_PII,
        filters={"gopher_repetition": {}, "gopher_quality": {}, "c4": {}, "fineweb": {}},
    ),
)

CLEANING_PROFILES: dict[str, CleaningProfile] = {profile.name: profile for profile in _PROFILES}
"""Profile name -> profile."""
