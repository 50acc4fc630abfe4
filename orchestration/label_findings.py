"""What is said of each corpus's documents: leaks of evaluation text, skills, quality scores."""

from dataclasses import dataclass

from pydantic import TypeAdapter

from assets.lake import Artifact, Lake
from orchestration.wording import percent

MOST_SKILLS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class LeakCounts:
    """Some fields of a report of contamination."""

    num_documents: int
    """Training documents searched."""
    overlapping: int
    """Documents that share an n-gram with what is measured with."""
    contaminated: int
    """Documents that leak it and are left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SkillCounts:
    """Some fields of a summary of skill tags."""

    num_documents: int
    """Documents."""
    tagger: str
    """Kind whose tags count."""
    skills: dict[str, int]
    """Skill -> documents, commonest first; empty: not tagged."""

    def commonest(self) -> str:
        """The commonest skills with their shares, in words."""
        told = sorted(self.skills.items(), key=lambda entry: -entry[1])[:MOST_SKILLS]
        total = max(self.num_documents, 1)
        return ", ".join(f"{skill or '(none)'} {percent(count / total)}" for skill, count in told)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreQuantiles:
    """Some fields of a summary of quality scores."""

    auc: float
    """What the score is worth."""
    quantiles: dict[str, float]
    """Percent of the documents -> score."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusLabels:
    """One corpus; None: nobody looked."""

    corpus: str
    """Name."""
    leaks: LeakCounts | None
    """Evaluation text in it."""
    skills: SkillCounts | None
    """Its skills."""
    scores: ScoreQuantiles | None
    """Its scores."""


def read_labels(lake: Lake) -> tuple[CorpusLabels, ...]:
    """Every corpus of which anything is said, sorted by name."""
    assets = ("contaminated_documents", "skill_tags", "quality_scores")
    names = sorted({name for asset in assets for name in lake.partitions(asset)})
    return tuple(_labels(name, *(lake.find(asset, name) for asset in assets)) for name in names)


def _labels(
    corpus: str, leaks: Artifact | None, skills: Artifact | None, scores: Artifact | None
) -> CorpusLabels:
    file = "summary.json"
    return CorpusLabels(
        corpus=corpus,
        leaks=None if leaks is None else TypeAdapter(LeakCounts).validate_python(leaks.json(file)),
        skills=None
        if skills is None
        else TypeAdapter(SkillCounts).validate_python(skills.json(file)),
        scores=None
        if scores is None
        else TypeAdapter(ScoreQuantiles).validate_python(scores.json(file)),
    )
