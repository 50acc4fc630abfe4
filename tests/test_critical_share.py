import numpy as np
import pytest

from training.critical_share import critical_share
from training.mixing_laws.log_linear import LogLinearLaw
from training.mixing_laws.scaled_laws import ExponentialSum

LAW = LogLinearLaw(irreducible_loss=2.0, sensitivities=np.array([np.log(0.25), np.log(4.0)]))
OTHERS = np.array([0.0, 1.0])


def test_the_share_is_where_the_law_meets_the_loss():
    # 2 + exp(x log .25 + (1 - x) log 4) = 3 at x = 1/2
    assert critical_share(LAW, 3.0, domain=0, others=OTHERS) == pytest.approx(0.5, abs=1e-9)


def test_no_share_is_needed_or_none_suffices():
    assert critical_share(LAW, 7.0, domain=0, others=OTHERS) == 0.0
    assert critical_share(LAW, 2.2, domain=0, others=OTHERS) is None


def test_of_two_crossings_the_first_counts():
    valley = ExponentialSum(constant=1.0, exponents=np.array([[3.0, -3.0], [-3.0, 3.0]]))
    share = critical_share(valley, 4.0, domain=0, others=OTHERS)
    assert share < 0.5
    assert valley.predict(np.array([[share, 1 - share]]))[0] == pytest.approx(4.0)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="must be 0 at 0"):
        critical_share(LAW, 3.0, domain=0, others=np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="finite"):
        critical_share(LAW, np.nan, domain=0, others=OTHERS)
    with pytest.raises(ValueError, match="sum to 1"):
        critical_share(LAW, 3.0, domain=0, others=np.array([0.0, 0.5]))
