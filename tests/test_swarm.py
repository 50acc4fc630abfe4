import numpy as np
import pytest

from training.swarm import SwarmConfig, design_swarm, read_swarm, run_key, write_swarm

DOMAINS = ("web", "code", "math", "law", "talk", "books", "po")
NATURAL = np.array([0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05])


def test_shares_are_mixtures_without_crumbs():
    swarm = design_swarm(DOMAINS, NATURAL, SwarmConfig(num_runs=60))
    np.testing.assert_allclose(swarm.weights.sum(axis=1), 1, atol=1e-12)
    assert ((swarm.weights == 0) | (swarm.weights >= 0.002 - 1e-6)).all()
    gaps = np.abs(swarm.weights[:, None] - swarm.weights[None]).sum(axis=2) + np.eye(60)
    assert gaps.min() >= 1e-3
    assert len(set(swarm.run_ids)) == 60


def test_explicit_mixtures_come_first():
    swarm = design_swarm(DOMAINS, NATURAL, SwarmConfig())
    assert swarm.origins[:3] == ("natural", "uniform", "without web")
    np.testing.assert_allclose(swarm.weights[0], NATURAL)
    np.testing.assert_allclose(swarm.weights[1], np.full(7, 1 / 7), atol=1e-5)
    for index in range(7):
        row = swarm.weights[2 + index]
        assert row[index] == 0
        rest = np.delete(NATURAL, index) / (1 - NATURAL[index])
        np.testing.assert_allclose(np.delete(row, index), rest, atol=1e-5)


def test_the_ladder_of_strengths_is_visited_evenly():
    swarm = design_swarm(DOMAINS, NATURAL, SwarmConfig(num_runs=24))
    drawn = [origin for origin in swarm.origins if origin.startswith("dirichlet")]
    assert len(drawn) == 15
    assert len(set(drawn)) >= 13  # a weak draw may repeat a corner and cost its rung


def test_a_larger_swarm_contains_the_smaller_and_seeds_decide():
    small = design_swarm(DOMAINS, NATURAL, SwarmConfig(num_runs=24))
    large = design_swarm(DOMAINS, NATURAL, SwarmConfig(num_runs=50))
    assert large.run_ids[:24] == small.run_ids
    np.testing.assert_array_equal(large.weights[:24], small.weights)
    other = design_swarm(DOMAINS, NATURAL, SwarmConfig(num_runs=24, seed=1))
    assert not np.array_equal(other.weights, small.weights)


@pytest.mark.parametrize(("temper", "centre"), [(1.0, NATURAL), (0.0, np.full(7, 1 / 7))])
def test_tempering_flattens_the_prior(temper, centre):
    config = SwarmConfig(
        num_runs=300,
        temper=temper,
        include_natural=False,
        include_uniform=False,
        zero_share_corners=False,
        strength_min=5,
        strength_max=5,
    )
    drawn = design_swarm(DOMAINS, NATURAL, config).weights
    np.testing.assert_allclose(drawn.mean(axis=0), centre, atol=0.04)


def test_caps_hold_and_what_they_exclude_is_noted():
    caps = np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.1])
    swarm = design_swarm(DOMAINS, NATURAL, SwarmConfig(), caps=caps)
    assert (swarm.weights <= caps + 1e-9).all()
    assert "explicit mixture left out, above a cap: uniform" in swarm.notes
    assert "uniform" not in swarm.origins


def test_size_rule_is_a_note():
    assert design_swarm(DOMAINS, NATURAL, SwarmConfig(num_runs=24)).notes == ()
    notes = design_swarm(DOMAINS, NATURAL, SwarmConfig(num_runs=23)).notes
    assert notes == ("23 runs for 7 domains: a law fit wants at least 24",)
    notes = design_swarm(DOMAINS, NATURAL, SwarmConfig(num_runs=7)).notes
    assert notes[0] == "7 runs leave out: without books, without po"


def test_run_ids_depend_on_spec_and_mixture():
    first = design_swarm(DOMAINS, NATURAL, SwarmConfig(), spec={"model": "a"})
    second = design_swarm(DOMAINS, NATURAL, SwarmConfig(), spec={"model": "b"})
    assert not set(first.run_ids) & set(second.run_ids)
    assert first.run_ids[0].startswith("proxy-000-")


def test_run_key_ignores_key_order_and_refuses_nan():
    assert run_key("x", {"a": 1, "b": 2}) == run_key("x", {"b": 2, "a": 1})
    assert run_key("x", {}) == "x-44136fa3"  # sha256 of the two bytes "{}"
    with pytest.raises(ValueError, match="label"):
        run_key("", {})
    with pytest.raises(ValueError, match="JSON"):
        run_key("x", {"a": float("nan")})


def test_written_swarm_reads_back(tmp_path):
    swarm = design_swarm(DOMAINS, NATURAL, SwarmConfig(num_runs=12))
    write_swarm(swarm, tmp_path)
    back = read_swarm(tmp_path)
    assert (back.run_ids, back.seeds, back.domains) == (swarm.run_ids, swarm.seeds, swarm.domains)
    assert (back.origins, back.notes) == (swarm.origins, swarm.notes)
    np.testing.assert_array_equal(back.weights, swarm.weights)


def test_reading_a_folder_without_a_swarm_fails(tmp_path):
    with pytest.raises(FileNotFoundError, match="swarm"):
        read_swarm(tmp_path)


HALF = np.array([0.5, 0.5])


@pytest.mark.parametrize(
    ("domains", "natural", "caps", "message"),
    [
        (("a",), np.array([1.0]), None, "at least two"),
        (("a", "a"), HALF, None, "different"),
        (("a", "b"), np.array([1.0, 0.0]), None, "positive share"),
        (("a", "b"), np.array([0.6, 0.6]), None, "sum to 1"),
        (("a", "b"), HALF, np.array([0.3, 0.3]), "sum to 0.6"),
        (("a", "b"), HALF, np.array([1.0]), "2 shares"),
        (("a", "b"), HALF, HALF, "too little room"),
    ],
)
def test_design_rejects(domains, natural, caps, message):
    with pytest.raises(ValueError, match=message):
        design_swarm(domains, natural, SwarmConfig(num_runs=3), caps=caps)


def test_config_rejects():
    with pytest.raises(ValueError, match="below strength_min"):
        SwarmConfig(strength_min=2, strength_max=1)
    with pytest.raises(ValueError, match="nmu_runs"):
        SwarmConfig(nmu_runs=3)
    with pytest.raises(ValueError, match="minimum_share"):
        design_swarm(("a", "b"), HALF, SwarmConfig(minimum_share=0.6))


def spread(swarm):
    roots = np.sqrt(swarm.weights)
    gaps = np.linalg.norm(roots[:, None] - roots[None], axis=2) + 9 * np.eye(len(roots))
    return gaps.min(axis=1)


def test_space_filling_swarms_are_spread_out_and_nested():
    plain = design_swarm(DOMAINS, NATURAL, SwarmConfig(num_runs=40))
    wide = design_swarm(DOMAINS, NATURAL, SwarmConfig(num_runs=40, space_filling=True))
    small = design_swarm(DOMAINS, NATURAL, SwarmConfig(num_runs=24, space_filling=True))
    assert spread(wide)[9:].min() > 2 * spread(plain)[9:].min()
    assert wide.run_ids[:24] == small.run_ids
    assert wide.origins[:3] == ("natural", "uniform", "without web")
    assert wide.origins[-1].endswith("space filling")
    np.testing.assert_allclose(wide.weights.sum(axis=1), 1, atol=1e-12)


def test_space_filling_keeps_to_the_caps_or_says_that_it_cannot():
    caps = np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.1])
    config = SwarmConfig(num_runs=30, space_filling=True)
    assert (design_swarm(DOMAINS, NATURAL, config, caps=caps).weights <= caps + 1e-9).all()
    with pytest.raises(ValueError, match="too little room"):
        design_swarm(("a", "b"), HALF, SwarmConfig(num_runs=3, space_filling=True), caps=HALF)
    crowded = SwarmConfig(num_runs=60, space_filling=True, duplicate_distance=0.5)
    with pytest.raises(ValueError, match="too little room"):
        design_swarm(DOMAINS, NATURAL, crowded)
