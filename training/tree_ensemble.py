"""Boosted regression trees as plain arrays: grown by LightGBM, predicted with numpy.

    f(x) = sum over trees of the value of the leaf that x falls into

Ke et al. 2017, "LightGBM". A small ensemble of small trees, because a swarm has tens to hundreds
of runs: at most 7 leaves of at least 5 runs, each tree on a random 70 % of them. The number of
trees is where the error on left-out *training* runs is smallest, found by folds over mixtures;
a test set is never looked at. Only arrays are kept, so an ensemble is readable in ten years and
predicting needs no LightGBM.
Shapes: N runs, F features, T trees, M nodes and leaves of a tree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.arrays import Floats, Ints
from training.folds import assign_folds

MAX_TREES = 600
INNER_FOLDS = 4
SETTINGS: dict[str, object] = {
    "objective": "regression",
    "learning_rate": 0.05,
    "num_leaves": 7,
    "min_data_in_leaf": 5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "boost_from_average": False,
    "seed": 42,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
_BLOCK_ROWS = 4096


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")
    features: list[str]
    offset: float
    trees: list[dict[str, list[float]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeEnsemble:
    """T trees; a leaf is a node that leads to itself."""

    offset: float
    """Added to the sum of the leaves."""
    feature: Ints
    """Feature that a node asks for, shape (T, M); 0 at leaves."""
    threshold: Floats
    """A node sends x <= threshold to the left, shape (T, M); 0 at leaves."""
    left: Ints
    """Next node, shape (T, M)."""
    right: Ints
    """Next node, shape (T, M)."""
    value: Floats
    """Of leaves, shape (T, M); 0 at nodes."""

    def predict(self, features: Floats) -> Floats:
        """Map features of shape (N, F) to values of shape (N,)."""
        starts = range(0, len(features), _BLOCK_ROWS)
        blocks = [self.leaf_values(features[at : at + _BLOCK_ROWS]).sum(axis=1) for at in starts]
        return self.offset + np.concatenate([np.zeros(0), *blocks])

    def leaf_values(self, features: Floats) -> Floats:
        """Map features of shape (N, F) to the value that each tree adds, shape (N, T)."""
        trees = np.arange(len(self.value))[None]
        rows = np.arange(len(features))[:, None]
        node = np.zeros((len(features), len(self.value)), dtype=np.int64)
        while True:
            below = features[rows, self.feature[trees, node]] <= self.threshold[trees, node]
            following = np.where(below, self.left[trees, node], self.right[trees, node])
            if np.array_equal(following, node):
                break
            node = following
        values: Floats = self.value[trees, node]
        return values

    def to_json(self, names: Sequence[str]) -> dict[str, object]:
        """Trees with the names of the features; a tree without a split is its one value."""
        trees = []
        for feature, threshold, left, right, value in zip(
            self.feature, self.threshold, self.left, self.right, self.value, strict=True
        ):
            last = int(max(left.max(), right.max())) + 1
            trees.append(
                {
                    "feature": feature[:last].tolist(),
                    "threshold": threshold[:last].tolist(),
                    "left": left[:last].tolist(),
                    "right": right[:last].tolist(),
                    "value": value[:last].tolist(),
                }
            )
        return {"features": list(names), "offset": self.offset, "trees": trees}

    @classmethod
    def from_json(cls, fields: Mapping[str, object], names: Sequence[str]) -> "TreeEnsemble":
        """Read what `to_json` wrote, for features in the order of `names`.

        Raises:
            ValueError: A field is missing or unknown, the names differ, or a tree is no tree.
        """
        record = _Record.model_validate(fields)
        if set(record.features) != set(names):
            raise ValueError(f"trees over {sorted(record.features)}, wanted {sorted(names)}")
        column = np.array([list(names).index(name) for name in record.features])
        for number, tree in enumerate(record.trees):
            if not _is_tree(tree, num_features=len(column)):
                raise ValueError(f"tree {number} is no tree, got {tree}")
            tree["feature"] = [int(column[int(feature)]) for feature in tree["feature"]]
        return _padded(record.trees, record.offset)


def grow_trees(
    features: Floats, targets: Floats, counts: Floats, *, num_trees: int
) -> TreeEnsemble:
    """Boost `num_trees` trees on the runs that count.

    Args:
        features: Shape (N, F).
        targets: Shape (N,).
        counts: Weight of each run, shape (N,), >= 0; at least one is positive.
        num_trees: >= 0. Zero leaves the mean.
    """
    return _booster(features, targets, counts, num_trees=num_trees)[0]


def choose_num_trees(
    features: Floats, targets: Floats, counts: Floats, *, left_out: Floats | None = None
) -> int:
    """Number of trees with the smallest squared error on left-out runs, 0 to `MAX_TREES`.

    Args:
        features: Mixtures, shape (N, F): runs of one mixture are left out together.
        targets: Shape (N,).
        counts: Weight of each run, shape (N,), >= 0.
        left_out: What fold k is trained on and judged by in column k, shape (N, INNER_FOLDS),
            where the targets themselves depend on what was left out. None: the targets.
    """
    seen = counts > 0
    folds = inner_folds(features, counts)
    error = np.zeros(MAX_TREES + 1)
    for fold in range(int(folds.max()) + 1):
        goal = targets if left_out is None else left_out[:, fold]
        train, test = seen & (folds != fold), seen & (folds == fold)
        _, stages = _booster(
            features, goal, np.where(train, counts, 0.0), num_trees=MAX_TREES, watch=features[test]
        )
        error += ((stages - goal[test]) ** 2) @ counts[test]
    return int(error.argmin())


def inner_folds(features: Floats, counts: Floats) -> Ints:
    """Fold of each run for the choice of the number of trees, shape (N,); -1: not counted."""
    seen = counts > 0
    folds = np.full(len(features), -1, dtype=np.int64)
    folds[seen] = assign_folds(features[seen], num_folds=INNER_FOLDS, seed=0)
    return folds


def _booster(
    features: Floats,
    targets: Floats,
    counts: Floats,
    *,
    num_trees: int,
    watch: Floats | None = None,
) -> tuple[TreeEnsemble, Floats]:
    """The ensemble, and its value at `watch` after 0, 1 ... trees, shape (num_trees + 1, W)."""
    import lightgbm

    seen = counts > 0
    offset = float(np.average(targets[seen], weights=counts[seen]))
    watched = np.zeros((0, features.shape[1])) if watch is None else watch
    trees: list[dict[str, list[float]]] = []
    if num_trees:
        data = lightgbm.Dataset(
            features[seen], targets[seen] - offset, weight=counts[seen], params=SETTINGS
        )
        booster = lightgbm.train(dict(SETTINGS), data, num_boost_round=num_trees)
        trees = _read_trees(booster.model_to_string())
    # Boosting ends early when no split is left; the remaining stages change nothing.
    stages = np.full((num_trees + 1, len(watched)), offset)
    ensemble = _padded(trees, offset)
    if len(watched) and trees:
        steps = np.cumsum(ensemble.leaf_values(watched), axis=1).T
        stages[1 : len(steps) + 1] += steps
        stages[len(steps) + 1 :] = stages[len(steps)]
    return ensemble, stages


def _read_trees(text: str) -> list[dict[str, list[float]]]:
    """Trees of LightGBM's text format; its leaf k is written as the child ~k."""
    trees = []
    for block in text.split("\nTree=")[1:]:
        lines = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        numbers = {
            name: np.array(lines.get(name, "").split(), dtype=np.float64)
            for name in ("split_feature", "threshold", "left_child", "right_child", "leaf_value")
        }
        splits, leaves = len(numbers["threshold"]), len(numbers["leaf_value"])
        own = np.arange(splits, splits + leaves, dtype=np.float64)
        none = np.zeros(leaves)

        def child(name: str, splits: int = splits, numbers: dict[str, Floats] = numbers) -> Floats:
            index = numbers[name]
            return np.where(index < 0, splits - 1 - index, index)

        trees.append(
            {
                "feature": np.concatenate([numbers["split_feature"], none]).tolist(),
                "threshold": np.concatenate([numbers["threshold"], none]).tolist(),
                "left": np.concatenate([child("left_child"), own]).tolist(),
                "right": np.concatenate([child("right_child"), own]).tolist(),
                "value": np.concatenate([np.zeros(splits), numbers["leaf_value"]]).tolist(),
            }
        )
    return trees


def _padded(trees: Sequence[Mapping[str, Sequence[float]]], offset: float) -> TreeEnsemble:
    """Trees of different sizes in rectangular arrays; what is added is never reached."""
    width = max((len(tree["value"]) for tree in trees), default=1)

    def stack(name: str) -> Floats:
        rows = [[*tree[name], *[0.0] * (width - len(tree[name]))] for tree in trees]
        return np.array(rows, dtype=np.float64).reshape(len(trees), width)

    return TreeEnsemble(
        offset=offset,
        feature=stack("feature").astype(np.int64),
        threshold=stack("threshold"),
        left=stack("left").astype(np.int64),
        right=stack("right").astype(np.int64),
        value=stack("value"),
    )


def _is_tree(tree: Mapping[str, Sequence[float]], *, num_features: int) -> bool:
    """Every node leads to later nodes or, being a leaf, to itself; so every path ends."""
    names = {"feature", "threshold", "left", "right", "value"}
    if set(tree) != names or len({len(tree[name]) for name in names}) != 1 or not tree["value"]:
        return False
    left, right = np.array(tree["left"]), np.array(tree["right"])
    own = np.arange(len(left))
    leaf = (left == own) & (right == own)
    forward = (left > own) & (right > own) & (np.maximum(left, right) < len(own))
    inside = (np.array(tree["feature"]) >= 0) & (np.array(tree["feature"]) < num_features)
    return bool((leaf | forward).all() and inside.all())
