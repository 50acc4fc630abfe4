import math

import numpy as np
import pytest

from training.scaling_laws.data_constrained import (
    PUBLISHED_LAW,
    RepetitionDecay,
    data_constrained_loss,
    effective_amount,
    epochs_until_worth,
    mixture_loss,
)


@pytest.mark.parametrize(
    ("params", "tokens", "loss"),
    [(6.34e9, 242e9, 2.2256440889984477), (8.67e9, 178e9, 2.2269634075087867)],
)
def test_published_losses(params, tokens, loss):
    found = data_constrained_loss(PUBLISHED_LAW, params=params, tokens=tokens, unique_tokens=25e9)
    assert found == pytest.approx(loss, abs=1e-9)


def test_worth_of_epochs():
    found = effective_amount(np.array([0.5, 1, 4, 16]), 1.0, decay=15.387756)
    np.testing.assert_allclose(found, [0.5, 1, 3.725673, 10.582457], atol=1e-6)
    assert effective_amount(5.0, 0.0, decay=1.0) == 0
    assert effective_amount(1e9, 1.0, decay=15.387756) == pytest.approx(16.387756)


def test_marginal_worth_is_the_slope_of_the_worth():
    epochs = epochs_until_worth(0.8, decay=15.387756)
    around = effective_amount(np.array([epochs - 1e-4, epochs + 1e-4]), 1.0, decay=15.387756)
    assert (around[1] - around[0]) / 2e-4 == pytest.approx(0.8, rel=1e-6)
    assert epochs_until_worth(1.0) == 1


def test_more_unique_tokens_than_used_change_nothing():
    loss = data_constrained_loss(PUBLISHED_LAW, params=1e8, tokens=1e10, unique_tokens=1e12)
    assert loss == pytest.approx(float(PUBLISHED_LAW.predict(1e8, 1e10)))


def test_a_mixture_of_one_domain_is_the_plain_form_and_repeats_are_counted_by_domain():
    one = mixture_loss(
        PUBLISHED_LAW,
        params=6.34e9,
        tokens=242e9,
        weights={"a": 1.0},
        available_tokens={"a": 25e9},
    )
    assert one == pytest.approx(2.2256440889984477, abs=1e-9)
    even, uneven = (
        mixture_loss(
            PUBLISHED_LAW,
            params=1e8,
            tokens=1e11,
            weights={"a": 0.5, "b": 0.5},
            available_tokens=tokens,
        )
        for tokens in ({"a": 2.5e10, "b": 2.5e10}, {"a": 4.9e10, "b": 1e9})
    )
    assert even < uneven


def test_rejects():
    with pytest.raises(ValueError, match="unique_tokens must be positive"):
        data_constrained_loss(PUBLISHED_LAW, params=1.0, tokens=1.0, unique_tokens=0.0)
    with pytest.raises(ValueError, match="amounts must be"):
        effective_amount(-1.0, 1.0, decay=1.0)
    with pytest.raises(ValueError, match="decay must be"):
        effective_amount(1.0, 1.0, decay=0.0)
    with pytest.raises(ValueError, match=r"in \(0, 1\]"):
        epochs_until_worth(0.0)
    with pytest.raises(ValueError, match="repetition decay of params"):
        RepetitionDecay(params=math.nan)
    with pytest.raises(ValueError, match="weights of"):
        mixture_loss(
            PUBLISHED_LAW, params=1.0, tokens=1.0, weights={"a": 1.0}, available_tokens={"b": 1.0}
        )
    with pytest.raises(ValueError, match=r"\['a'\] have a share but no tokens"):
        mixture_loss(
            PUBLISHED_LAW, params=1.0, tokens=1.0, weights={"a": 1.0}, available_tokens={"a": 0.0}
        )
