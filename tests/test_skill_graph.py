import json

import numpy as np
import pytest

from training.skill_graph import learn_skill_graph
from training.skill_runs import SkillRuns

NAMES = ("add", "carry", "sum")
INITIAL = 4.0


def make_runs(alone, gains, *, num_seeds=5, noise=0.0, evaluated=NAMES, random=None):
    """Runs with losses after one skill alone, (K, E), and gains of pairs over alone, (K, E)."""
    rng = np.random.default_rng(0)
    alone, gains = np.array(alone, dtype=float), np.array(gains, dtype=float)
    seeds = tuple(range(num_seeds))
    own = np.array([alone[NAMES.index(name), j] for j, name in enumerate(evaluated)])
    pairs = np.full((num_seeds, 3, 3, len(evaluated)), np.nan)
    for i in range(3):
        for j, name in enumerate(evaluated):
            k = NAMES.index(name)
            if i != k:
                pairs[:, i, k, j] = pairs[:, k, i, j] = own[j] - gains[i, j]
    pairs[np.isnan(pairs) & ~np.eye(3, dtype=bool)[None, :, :, None]] = 3.0
    return SkillRuns(
        trained=NAMES,
        evaluated=evaluated,
        seeds=seeds,
        steps=100,
        initial=np.full((num_seeds, len(evaluated)), INITIAL),
        alone=alone + noise * rng.normal(size=(num_seeds, *alone.shape)),
        pairs=pairs + noise * rng.normal(size=pairs.shape),
        random=np.full((num_seeds, len(evaluated)), np.nan if random is None else random),
        used=("run",),
        unused=(),
    )


ALONE = [[2.0, 3.9, 4.0], [4.0, 3.0, 3.8], [4.4, 4.0, 3.5]]
GAINS = [[0.0, 0.8, 0.0], [-0.2, 0.0, 0.4], [-0.2, -0.2, 0.0]]


def test_linear_weights_are_relative_drops():
    graph = learn_skill_graph(make_runs(ALONE, GAINS), method="linear")
    np.testing.assert_allclose(graph.matrix(), 1 - np.array(ALONE) / INITIAL)
    # exact losses: every difference but zero is certain
    expected = [["positive", "positive", "none"], ["none", "positive", "positive"]]
    assert graph.signs()[:2].tolist() == expected
    assert graph.signs()[2].tolist() == ["negative", "none", "positive"]
    assert graph.edges[1].train == "add"
    assert graph.edges[1].evaluated == "carry"


def test_brute_force_weights_are_gains_over_the_skill_alone():
    graph = learn_skill_graph(make_runs(ALONE, GAINS))
    assert graph.method == "brute_force"
    expected = np.array(GAINS) / INITIAL
    np.fill_diagonal(expected, 1 - np.diag(ALONE) / INITIAL)
    np.testing.assert_allclose(graph.matrix(), expected, atol=1e-15)
    assert graph.diagnosis.verdict == "ordered"
    assert (graph.diagnosis.num_positive, graph.diagnosis.num_negative) == (2, 3)
    positive = graph.positive_weights()
    assert positive["add"] == pytest.approx({"add": 0.5, "carry": 0.2, "sum": 0.0})
    assert positive["sum"] == pytest.approx({"add": 0.0, "carry": 0.0, "sum": 0.125})


def test_noise_is_no_edge_and_a_planted_one_is_found():
    graph = learn_skill_graph(make_runs(ALONE, GAINS, num_seeds=8, noise=0.05))
    assert graph.signs()[0].tolist() == ["positive", "positive", "none"]
    assert graph.signs()[1, 2] == "positive"
    edge = graph.edges[1]
    assert edge.low < 0.2 < edge.high
    assert edge.low < edge.weight < edge.high
    false = [
        learn_skill_graph(make_runs(ALONE, np.zeros((3, 3)), noise=0.05 * (k + 1))).diagnosis
        for k in range(5)
    ]
    assert sum(one.num_positive for one in false) <= 2


def test_a_small_weight_is_no_edge_if_so_wished():
    graph = learn_skill_graph(make_runs(ALONE, GAINS), min_weight=0.15)
    assert graph.signs()[0, 1] == "positive"
    assert graph.signs()[1].tolist() == ["none", "positive", "none"]


def test_two_seeds_are_insufficient():
    graph = learn_skill_graph(make_runs(ALONE, GAINS, num_seeds=2))
    assert set(graph.signs().ravel()) == {"unknown"}
    assert graph.diagnosis.verdict == "insufficient"
    assert graph.edges[1].low is None
    assert graph.edges[1].weight == pytest.approx(0.2)
    assert all(weight == 0 for row in graph.positive_weights().values() for weight in row.values())


def test_a_rectangular_graph_for_one_target():
    alone, gains = np.array(ALONE)[:, [2]], np.array(GAINS)[:, [2]]
    runs = make_runs(alone, gains, evaluated=("sum",))
    linear = learn_skill_graph(runs, method="linear")
    assert linear.matrix().shape == (3, 1)
    assert linear.diagnosis.num_possible == 2
    brute = learn_skill_graph(runs)
    np.testing.assert_allclose(brute.matrix()[:, 0], [0.0, 0.1, 0.125], atol=1e-15)
    assert brute.signs()[:, 0].tolist() == ["none", "positive", "positive"]


def test_skills_renamed_and_reordered_give_the_same_graph():
    runs = make_runs(ALONE, GAINS, noise=0.05)
    order = [2, 0, 1]
    turned = SkillRuns(
        trained=tuple(NAMES[k] for k in order),
        evaluated=tuple(NAMES[k] for k in order),
        seeds=runs.seeds,
        steps=runs.steps,
        initial=runs.initial[:, order],
        alone=runs.alone[:, order][:, :, order],
        pairs=runs.pairs[:, order][:, :, order][:, :, :, order],
        random=runs.random[:, order],
        used=runs.used,
        unused=(),
    )
    for method in ("linear", "brute_force"):
        one = learn_skill_graph(runs, method=method)
        other = learn_skill_graph(turned, method=method)
        np.testing.assert_array_equal(one.matrix()[np.ix_(order, order)], other.matrix())
        np.testing.assert_array_equal(one.signs()[np.ix_(order, order)], other.signs())


def test_the_record_holds_evidence_weights_and_a_mixer():
    graph = learn_skill_graph(make_runs(ALONE, GAINS, random=3.2))
    record = json.loads(json.dumps(graph.to_json(), allow_nan=False))
    assert record["axes"] == ["train", "eval"]
    assert record["matrix"]["add"]["carry"] == pytest.approx(0.2)
    assert record["mixer"]["method"] == "skill_it"
    assert record["mixer"]["settings"]["graph"] == graph.positive_weights()
    assert record["diagnosis"]["advice"].startswith("an order can help")
    assert record["edges"][1]["sign"] == "positive"
    assert [one["is_skill"] for one in record["skills"]] == [True, True, False]


def missing(field, *index):
    runs = make_runs(ALONE, GAINS)
    getattr(runs, field)[index] = np.nan
    return runs


@pytest.mark.parametrize(
    ("runs", "options", "message"),
    [
        (missing("alone", 2, 1), {"method": "linear"}, r"skill alone; missing: carry alone \(seed"),
        (missing("alone", 2, 1), {}, r"brute force needs .* missing: carry alone \(seed 2\)"),
        (missing("pairs", 1, 0, 2), {}, r"missing: add and sum \(seed 1\)"),
        (missing("pairs", 1), {}, r"missing: add and carry \(seed 1\), .* \(seed 1\)$"),
        (make_runs(ALONE, GAINS), {"min_weight": -1.0}, "min_weight must be finite and not neg"),
        (make_runs(ALONE, GAINS), {"level": 1.0}, "0 < level < 1"),
    ],
)
def test_refuses(runs, options, message):
    with pytest.raises(ValueError, match=message):
        learn_skill_graph(runs, **options)


def test_brute_force_refuses_a_skill_that_is_only_evaluated():
    runs = make_runs(ALONE, GAINS)
    foreign = SkillRuns(
        trained=NAMES,
        evaluated=("add", "carry", "exam"),
        seeds=runs.seeds,
        steps=runs.steps,
        initial=runs.initial,
        alone=runs.alone,
        pairs=runs.pairs,
        random=runs.random,
        used=runs.used,
        unused=(),
    )
    with pytest.raises(ValueError, match=r"there is no share of \['exam'\]; use the linear"):
        learn_skill_graph(foreign, method="brute_force")
    assert learn_skill_graph(foreign, method="linear").diagnosis.num_possible == 7


def test_planted_edges_are_recovered_from_noisy_runs():
    """Simulated losses: a pair gains what is planted, every loss has noise of half that size."""
    size, scores = 7, []
    names = tuple(f"s{k}" for k in range(size))
    for repeat in range(10):
        rng = np.random.default_rng(repeat)
        planted = (rng.random((size, size)) < 0.3) & ~np.eye(size, dtype=bool)
        gains = np.where(planted, rng.uniform(0.15, 0.5, (size, size)), rng.uniform(-0.5, 0.0))
        shape = (5, size, size, size)
        alone = 2.0 + 0.05 * rng.normal(size=(5, size, size))
        pairs = np.full(shape, 3.0)
        for i in range(size):
            for j in range(size):
                if i != j:
                    pairs[:, i, j, j] = pairs[:, j, i, j] = 2.0 - gains[i, j]
        pairs += 0.05 * rng.normal(size=shape)
        pairs[:, np.arange(size), np.arange(size)] = np.nan
        graph = learn_skill_graph(
            SkillRuns(
                trained=names,
                evaluated=names,
                seeds=(0, 1, 2, 3, 4),
                steps=10,
                initial=np.full((5, size), INITIAL),
                alone=alone,
                pairs=pairs,
                random=np.full((5, size), np.nan),
                used=(),
                unused=(),
            )
        )
        found = (graph.signs() == "positive") & ~np.eye(size, dtype=bool)
        scores.append(2 * (found & planted).sum() / (found.sum() + planted.sum()))
    assert np.mean(scores) > 0.9
