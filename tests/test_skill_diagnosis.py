import numpy as np
import pytest

from training.skill_diagnosis import diagnose, judge_skills
from training.skill_runs import SkillRuns


def edges(size, num_positive):
    """A square graph with so many positive edges between different skills, and all self-edges."""
    positive = np.eye(size, dtype=bool)
    others = np.flatnonzero(~positive.ravel())
    positive.ravel()[others[:num_positive]] = True
    return positive


def judged(size, num_positive, **options):
    names = tuple(f"s{k}" for k in range(size))
    positive = edges(size, num_positive)
    return diagnose(positive, np.zeros_like(positive), trained=names, evaluated=names, **options)


@pytest.mark.parametrize(
    ("size", "num_positive", "verdict"),
    [
        (3, 0, "empty"),
        (3, 1, "ordered"),
        (3, 5, "ordered"),
        (3, 6, "complete"),
        (23, 25, "empty"),  # 25 of 506 edges: 4.9 %
        (23, 26, "ordered"),
        (23, 480, "ordered"),  # 94.9 %
        (23, 481, "complete"),
    ],
)
def test_density_decides(size, num_positive, verdict):
    found = judged(size, num_positive)
    assert found.verdict == verdict
    assert found.density == num_positive / (size * (size - 1))
    assert ("stratified" in found.advice) == (verdict != "ordered")


def test_too_few_seeds_are_insufficient_whatever_the_edges():
    assert judged(3, 3, num_seeds=2).verdict == "insufficient"
    assert judged(3, 3, num_seeds=3).verdict == "ordered"


def test_self_edges_of_a_rectangular_graph_do_not_count():
    positive = np.array([[True], [False], [True]])
    negative = np.array([[False], [True], [False]])
    found = diagnose(positive, negative, trained=("a", "b", "c"), evaluated=("a",))
    assert (found.num_possible, found.num_positive, found.num_negative) == (2, 1, 1)
    found = diagnose(positive, negative, trained=("a", "b", "c"), evaluated=("z",))
    assert (found.num_possible, found.num_positive) == (3, 2)


def test_refuses_edges_without_names_and_graphs_of_one_skill():
    flags = np.ones((2, 2), dtype=bool)
    with pytest.raises(ValueError, match=r"edges must have shape \(2, 1\), got \(2, 2\)"):
        diagnose(flags, flags, trained=("a", "b"), evaluated=("a",))
    with pytest.raises(ValueError, match="two different skills"):
        diagnose(flags[:1, :1], flags[:1, :1], trained=("a",), evaluated=("a",))


def runs(random, alone, seeds=(0, 1, 2)):
    """Losses of slices a and b after random data, (S, 2), and after each alone, (S, 2, 2)."""
    size = len(seeds)
    return SkillRuns(
        trained=("a", "b"),
        evaluated=("a", "b"),
        seeds=seeds,
        steps=10,
        initial=np.full((size, 2), 5.0),
        alone=np.array(alone, dtype=float),
        pairs=np.full((size, 2, 2, 2), np.nan),
        random=np.array(random, dtype=float),
        used=(),
        unused=(),
    )


RANDOM = [[3.0, 3.0], [3.2, 3.1], [2.9, 3.3]]
ALONE = [[[2.0, 4.0], [4.0, 3.1]], [[2.1, 4.0], [4.0, 2.9]], [[2.0, 4.0], [4.0, 3.4]]]


def test_a_slice_is_a_skill_if_it_beats_random_data_in_pairs():
    first, second = judge_skills(runs(RANDOM, ALONE))
    # gains 1.0, 1.1, 0.9: mean 1, sd 0.1, half-width 4.302653 * 0.1 / sqrt(3)
    assert first.skill == "a"
    assert first.gain_nats == pytest.approx(1.0)
    assert first.low == pytest.approx(1 - 4.302653 * 0.1 / 3**0.5, abs=1e-6)
    assert first.is_skill is True
    assert second.gain_nats == pytest.approx(0.0, abs=1e-12)
    assert second.is_skill is False


def test_two_seeds_decide_nothing():
    first, _ = judge_skills(runs(RANDOM[:2], ALONE[:2], seeds=(0, 1)))
    assert (first.low, first.is_skill) == (None, None)
    assert first.gain_nats == pytest.approx(1.05)


def test_without_random_data_nothing_is_tested():
    assert judge_skills(runs(np.full((3, 2), np.nan), ALONE)) == ()


def test_a_seed_without_random_data_or_slice_is_an_error():
    random, alone = np.array(RANDOM), np.array(ALONE)
    random[1] = np.nan
    alone[2, 0] = np.nan
    with pytest.raises(ValueError, match=r"'a alone \(seed 2\)', 'random data \(seed 1\)'"):
        judge_skills(runs(random, alone))
