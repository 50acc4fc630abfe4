"""Draw when each mixing law fails, on generated runs: `python docs/draw_law_failures.py`.

Three behaviours that published runs show, made from known formulas:
    left    loss falls steeply near a share of zero (a domain that the model has never seen)
    middle  runs end at a share of 60 %, and the law is asked beyond
    right   few noisy runs
The black line is the formula; laws see only the dots.
"""

from pathlib import Path

import numpy as np

from assets.plots import plot_style as style
from training.arrays import Floats
from training.mixing_laws import LAWS

OUT = Path(__file__).parent / "law_failures.png"
METHODS = ("linear", "log_linear", "additive", "lightgbm", "gaussian_process")


def steep(weights: Floats) -> Floats:
    """A power of the share: 2.3 nats fall, most of it in the first three per cent."""
    falling: Floats = 1.2 + 0.75 * (weights[:, 0] + 0.01) ** -0.3 + 0.1 * weights[:, 1]
    return falling


def smooth(weights: Floats) -> Floats:
    """An exponential with a minimum at a corner far from the runs."""
    falling: Floats = 1.5 + np.exp(0.9 - 2.2 * weights[:, 0] + 0.2 * weights[:, 1])
    return falling


def line(share: Floats) -> Floats:
    """Mixtures along the first share; the other two divide the rest equally."""
    return np.column_stack([share, (1 - share) / 2, (1 - share) / 2])


def main() -> None:
    """Fit, draw and write the picture."""
    rng = np.random.default_rng(0)
    wide = rng.dirichlet(np.full(3, 0.5), size=60)
    near = rng.dirichlet(np.array([2.0, 2.0, 2.0]), size=60)
    near = near[near[:, 0] < 0.6]
    cases = (
        ("Steep at zero", steep, np.vstack([wide, line(np.zeros(6))]), 0.01),
        ("Asked beyond the runs", smooth, near, 0.01),
        ("24 noisy runs", smooth, rng.dirichlet(np.ones(3), size=24), 0.1),
    )
    share = np.linspace(0, 1, 201)
    with style.sheet(11.5, 3.7, columns=3) as (figure, panels):
        for (title, truth, weights, noise), axes in zip(cases, panels, strict=True):
            losses = truth(weights) + rng.normal(0, noise, len(weights))
            axes.scatter(weights[:, 0], losses, s=10, color=style.LIGHT, zorder=1)
            axes.plot(share, truth(line(share)), color=style.INK, linewidth=2.2, label="truth")
            for index, method in enumerate(METHODS):
                look = style.series_look(index)
                predicted = LAWS[method](weights, losses).predict(line(share))
                axes.plot(share, predicted, color=look.colour, linewidth=1.3, label=method)
            low, high = truth(line(share)).min(), truth(line(share)).max()
            room = 0.25 * (high - low)
            axes.set(title=title, xlabel="share of the domain", ylim=(low - room, high + room))
            style.percentages(axes.xaxis)
        panels[0].set_ylabel("loss (nats per token)")
        handles, names = panels[0].get_legend_handles_labels()
        labels = [style.plain_name(name) for name in names]
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        OUT.write_bytes(style.as_png(figure))


if __name__ == "__main__":
    main()
