import numpy as np
import pytest

from assets.plots import plot_predictions, plot_residuals

OBSERVED = np.random.default_rng(0).normal(3, 0.1, (12, 3))
NAMES = ("web", "code", "math")


def test_pictures_are_png_and_decided_by_their_numbers():
    first = plot_residuals(NAMES, OBSERVED, OBSERVED - 0.01)
    assert first.startswith(b"\x89PNG")
    assert first == plot_residuals(NAMES, OBSERVED, OBSERVED - 0.01)
    assert first != plot_residuals(NAMES, OBSERVED, OBSERVED - OBSERVED**2 / 100)
    low, high = OBSERVED - 0.02, OBSERVED + 0.02
    picture = plot_predictions(NAMES, OBSERVED, low, high)
    assert picture.startswith(b"\x89PNG")
    assert picture != plot_predictions(NAMES, OBSERVED, low - 0.2, high)


def test_rejects():
    with pytest.raises(ValueError, match="shape"):
        plot_residuals(NAMES[:2], OBSERVED, OBSERVED)
    with pytest.raises(ValueError, match="shape"):
        plot_predictions(NAMES, OBSERVED, OBSERVED[:3], OBSERVED)
