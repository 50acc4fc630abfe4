import numpy as np
import pytest

from training.skill_discovery import cluster_documents, discover_skills, loss_trajectories

RNG = np.random.default_rng(0)
LABELS = ["easy"] * 30 + ["middle"] * 20 + ["hard"] * 10
LEVELS = np.repeat([0.5, 1.0, 2.0], [30, 20, 10])
# losses of 2 runs at 4 checkpoints: documents of one skill fall together
LOSSES = LEVELS * np.linspace(1, 0.2, 4)[None, :, None] + RNG.normal(0, 0.02, size=(2, 4, 60))
NOISE = RNG.normal(size=(60, 8))


def test_trajectories_keep_each_document_in_a_row():
    features = loss_trajectories(LOSSES)
    assert features.shape == (60, 8)
    np.testing.assert_array_equal(features[7], LOSSES[:, :, 7].ravel())
    with pytest.raises(ValueError, match=r"shape \(R, C, N\), got \(4, 60\)"):
        loss_trajectories(LOSSES[0])
    with pytest.raises(ValueError, match="finite"):
        loss_trajectories(LOSSES * np.nan)


def test_documents_that_fall_together_are_one_skill_and_noise_is_unstable():
    found = discover_skills(
        {"trajectories": loss_trajectories(LOSSES), "embeddings": NOISE},
        num_skills=3,
        seeds=(0, 1, 2, 3),
        labels=LABELS,
    )
    skills, noise = found["trajectories"], found["embeddings"]
    assert skills.accuracy == 1.0
    assert skills.stability == 1.0
    assert np.bincount(skills.labels).tolist() == [30, 20, 10]
    assert len(skills.stability_by_pair) == 6
    assert noise.accuracy < 0.6
    assert noise.stability == pytest.approx(np.mean(noise.stability_by_pair))
    assert noise.stability < 0.7


def test_the_same_seeds_give_the_same_clusters_and_no_labels_no_accuracy():
    one = cluster_documents(NOISE, num_skills=4, seeds=(5, 6))
    other = cluster_documents(NOISE, num_skills=4, seeds=(5, 6))
    np.testing.assert_array_equal(one.labels, other.labels)
    assert one.stability == other.stability
    assert one.accuracy is None
    assert set(one.labels.tolist()) == {0, 1, 2, 3}


def test_more_labels_than_clusters_count_as_wrong():
    found = cluster_documents(loss_trajectories(LOSSES), num_skills=2, seeds=(0, 1), labels=LABELS)
    assert found.accuracy in (50 / 60, 40 / 60)


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        (NOISE[0], {}, r"shape \(N, F\), got \(8,\)"),
        (NOISE * np.inf, {}, "must be finite"),
        (NOISE, {"num_skills": 1}, "at least two skills"),
        (NOISE[:3], {"num_skills": 3}, "3 documents cannot be divided into 3 skills"),
        (NOISE, {"seeds": (1, 1)}, r"at least two different seeds, got \[1, 1\]"),
    ],
)
def test_refuses(features, options, message):
    with pytest.raises(ValueError, match=message):
        cluster_documents(features, **{"num_skills": 3, "seeds": (0, 1), **options})


def test_refuses_kinds_of_other_documents():
    with pytest.raises(ValueError, match="the same documents, got"):
        discover_skills({"a": NOISE, "b": NOISE[:50]}, num_skills=2, seeds=(0, 1))
    with pytest.raises(ValueError, match="and 60 labels"):
        discover_skills({"b": NOISE[:50]}, num_skills=2, seeds=(0, 1), labels=LABELS)
