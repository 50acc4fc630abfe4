"""What the native pass counts in every document; the filters make their metrics of these columns.

Lines are those of `str.splitlines`, words those between white space, tokens the words of
`quality.kernel_text`. A filter that needs another count adds it here and where it is counted.
"""

from enum import IntEnum, auto, unique


@unique
class Count(IntEnum):
    """Row of the table of counts; the column of a document table has the name in lower case."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[int]) -> int:
        return count

    CHARS = auto()
    """Code points."""
    DARK_CHARS = auto()
    """Code points outside white space."""
    ALPHABETIC_CHARS = auto()
    """Letters of any script and the marks that belong to them."""
    DECIMAL_CHARS = auto()
    """Decimal digits of any script."""
    SYMBOL_CHARS = auto()
    """Neither letter, mark, number nor white space."""
    REPLACEMENT_CHARS = auto()
    """U+FFFD."""
    HASHES = auto()
    """Number signs."""
    ELLIPSES = auto()
    """U+2026, and three full stops in a row, not overlapping."""
    NEWLINES = auto()
    """U+000A."""
    WORDS = auto()
    """Runs of characters between white space."""
    ALPHABETIC_WORDS = auto()
    """Those with an alphabetic character."""

    LINES = auto()
    """All lines."""
    FILLED_LINES = auto()
    """Lines with a character that is no white space."""
    FILLED_LINE_CHARS = auto()
    """Their characters without the blanks at both ends."""
    MAX_LINE_CHARS = auto()
    """Characters of the longest line."""
    BULLET_LINES = auto()
    """Lines whose first character after blanks is one of - * and the bullets."""
    DASH_LINES = auto()
    """The same with - and U+2022 only."""
    ELLIPSIS_LINES = auto()
    """Lines that end with an ellipsis, blanks aside."""
    REPEATED_FILLED_LINES = auto()
    """Filled lines equal to an earlier one, blanks at both ends aside."""
    REPEATED_FILLED_LINE_CHARS = auto()
    """Their characters."""
    TOP_LINE_COPIES = auto()
    """Copies of the most frequent filled line."""
    REPEATED_LINES = auto()
    """Non-empty lines equal to an earlier one in every character."""
    REPEATED_LINE_CHARS = auto()
    """Their characters."""
    UNBROKEN_LINES = auto()
    """Parts between runs of line breaks."""
    PARAGRAPHS = auto()
    """Parts between empty lines."""
    REPEATED_PARAGRAPHS = auto()
    """Paragraphs equal to an earlier one."""
    REPEATED_PARAGRAPH_CHARS = auto()
    """Their characters."""

    TOKENS = auto()
    """Words as the published filters count them."""
    DARK_TOKENS = auto()
    """Tokens that are not punctuation throughout."""
    DARK_TOKEN_CHARS = auto()
    """Their characters."""
    LETTER_TOKENS = auto()
    """Tokens with a letter."""
    STOP_WORDS = auto()
    """How many different words of Gopher's list of eight occur."""
    TOP_2GRAM_CHARS = auto()
    """Characters in all copies of the most frequent pair of tokens."""
    TOP_3GRAM_CHARS = auto()
    """The same of three tokens."""
    TOP_4GRAM_CHARS = auto()
    """The same of four tokens."""
    REPEATED_5GRAM_CHARS = auto()
    """Characters in runs of five tokens that occurred before, runs not overlapping."""
    REPEATED_6GRAM_CHARS = auto()
    """The same of six."""
    REPEATED_7GRAM_CHARS = auto()
    """The same of seven."""
    REPEATED_8GRAM_CHARS = auto()
    """The same of eight."""
    REPEATED_9GRAM_CHARS = auto()
    """The same of nine."""
    REPEATED_10GRAM_CHARS = auto()
    """The same of ten."""

    DROPPED_LINES = auto()
    """Filled lines that C4's rules for lines take out."""
    LOREM_IPSUM_LINES = auto()
    """Lines with that phrase, of those not taken out before."""
    BRACE_LINES = auto()
    """Lines with an opening brace, of those not taken out before."""
    SENTENCES = auto()
    """Sentences in the lines that stay."""
    STAYING_LINES = auto()
    """Lines that stay: all filled lines where the profile takes none out."""
    STAYING_CHARS = auto()
    """Their characters; line breaks not counted."""
    STAYING_NEWLINES = auto()
    """Line breaks of the text that stays."""
    STAYING_TOKENS = auto()
    """Tokens of the text that stays."""
    TERMINAL_LINES = auto()
    """Staying lines that end a sentence."""
    SHORT_LINES = auto()
    """Staying lines of at most 30 characters."""
    REPEATED_STAYING_CHARS = auto()
    """Characters in staying lines equal to an earlier one."""


COUNT_COLUMNS = tuple(count.name.lower() for count in Count)
"""Names of the columns, in the order of the rows."""
