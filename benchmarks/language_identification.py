"""Accuracy and speed of language identification on text whose language is known.

    python -m benchmarks.language_identification --corpora FOLDER --cache DOWNLOADS

FOLDER holds Parquet files with `text` and `lang`; the translations of Django come from the package
index as the catalogue names them, a file of one language each. Every text is judged whole, and its
first 200 characters again, since short texts are the hard ones. Prints a Markdown table.
"""

import argparse
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from quality.catalogue import load_catalogue
from quality.documents import Text
from quality.languages import identify_languages

CATALOGUE = Path(__file__).parents[1] / "examples" / "corpora.yaml"
TRANSLATIONS = "django-translations"
SHORT_CHARS = 200
LEAST_CHARS = 50
"""Shorter texts are left out."""
SAME = {"nb": "no", "sr_latn": "sr", "zh_hans": "zh", "zh_hant": "zh", "hr": "sh", "bs": "sh"}
"""Codes under which the weights know a language, and varieties of one language: what the weights
call sh, hr, bs and sr is counted as one."""

LANGUAGE_CODE = re.compile(r"(?!py$)[a-z]{2,3}(?:[-_]\w+)*")
"""Programs are labelled with the language that they are written in."""

Labelled = Sequence[tuple[str, str]]


def read_corpora(folder: Path) -> dict[str, Labelled]:
    """Read name -> (language, text) of every Parquet file with these columns."""
    corpora = {}
    for file in sorted(folder.glob("*.parquet")):
        table = pl.read_parquet(file, columns=["lang", "text"])
        corpora[file.stem] = [
            (lang, text)
            for lang, text in table.iter_rows()
            if len(text) >= LEAST_CHARS and LANGUAGE_CODE.fullmatch(lang)
        ]
    return {name: texts for name, texts in corpora.items() if texts}


def read_translations(cache: Path) -> Labelled:
    """Read Django's translations; the folder of a file names its language."""
    corpus = load_catalogue(CATALOGUE)[TRANSLATIONS]

    def labelled() -> Iterator[tuple[str, str]]:
        for item in corpus.make_reader().read(corpus.request(cache)):
            if isinstance(item, Text) and len(item.text) >= LEAST_CHARS:
                yield item.path.split("/locale/")[1].split("/")[0], item.text

    return list(labelled())


def plain_code(code: str) -> str:
    """First subtag, varieties of one language under one code."""
    code = SAME.get(code.lower().replace("-", "_"), code.lower()).split("_")[0]
    return {"sr": "sh", "hr": "sh", "bs": "sh"}.get(code, code)


def measure(texts: Labelled) -> Mapping[str, float | str]:
    """Share of the texts whose language is found, and documents per processor second."""
    expected = [plain_code(language) for language, _ in texts]
    began = time.process_time()
    codes, confidences = identify_languages([text for _, text in texts])
    seconds = time.process_time() - began
    found = [plain_code(code) for code in codes]
    right = [one == other for one, other in zip(found, expected, strict=True)]
    wrong = Counter(
        f"{other} as {one}" for one, other in zip(found, expected, strict=True) if one != other
    )
    by_language: defaultdict[str, list[bool]] = defaultdict(list)
    for language, hit in zip(expected, right, strict=True):
        by_language[language].append(hit)
    shares = [sum(hits) / len(hits) for hits in by_language.values()]
    sure = [hit for hit, confidence in zip(right, confidences, strict=True) if confidence >= 0.65]
    return {
        "accuracy": sum(right) / len(right),
        "mean_over_languages": sum(shares) / len(shares),
        "sure": len(sure) / len(right),
        "accuracy_if_sure": sum(sure) / max(len(sure), 1),
        "documents_per_second": len(texts) / max(seconds, 1e-9),
        "wrong": ", ".join(f"{name} {number}" for name, number in wrong.most_common(3)),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, help="folder of Parquet files with text and lang")
    parser.add_argument("--cache", type=Path, help="folder of downloads, for the translations")
    options = parser.parse_args()
    named = read_corpora(options.corpora) if options.corpora is not None else {}
    if options.cache is not None:
        named[TRANSLATIONS] = read_translations(options.cache)
    identify_languages(["Load the weights first."])
    print(
        "| text | documents | languages | accuracy | mean over languages | at least 0.65 sure | "
        "accuracy of these | documents per s | commonest errors |\n" + "|---" * 9 + "|"
    )
    for name, texts in named.items():
        short = [(language, text[:SHORT_CHARS]) for language, text in texts]
        for label, chosen in ((name, texts), (f"{name}, {SHORT_CHARS} characters", short)):
            row = measure(chosen)
            languages = len({plain_code(language) for language, _ in chosen})
            print(
                f"| {label} | {len(chosen)} | {languages} | {row['accuracy']:.4f} | "
                f"{row['mean_over_languages']:.4f} | {row['sure']:.3f} | "
                f"{row['accuracy_if_sure']:.4f} | {row['documents_per_second']:.0f} | "
                f"{row['wrong']} |"
            )


if __name__ == "__main__":
    main()
