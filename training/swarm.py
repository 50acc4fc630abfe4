"""The swarm: a designed set of mixtures, one proxy run each.

First come explicit mixtures: the natural one (token shares), the uniform one, and for each domain
the natural mixture without it, so that a fit knows what a share of exactly zero does. Then draws

    p ~ Dirichlet(s * q),   q_j proportional to natural_j ** temper

with the strength s walking over a log-spaced ladder: weak draws lie near the corners, strong ones
near q. Shares below a minimum become 0 and the rest is renormalised. Draws that break a cap or
repeat a mixture are thrown away. The mixtures come in one fixed order from one stream, so a larger
swarm of the same seed contains the smaller.

Space filling: instead of the order of the stream, the next mixture is always that of a pool of
draws which is farthest from all chosen (greedy maximin, in the Hellinger distance, which sees the
difference between a share of 0 and 1 % as large as a law does). The pool does not depend on the
number of runs, so these swarms are nested too.

Source: Liu et al. 2024, "RegMix", arXiv:2407.01492, and Olmix, arXiv:2602.12237 (size rule
K >= 3 (m + 1), minimum share). Deviations: each block of draws visits every strength once in
random order, where RegMix picks one at random, so that small swarms cover the ladder; shares are
rounded to 1e-6 so that a run's digest does not depend on the last bits of a platform's logarithm.
Shapes: K mixtures, D domains.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as config_dataclass

from training.arrays import Floats, require_simplex

DIGITS = 6
CANDIDATES_PER_RUN = 2000
POOL = 4000


@config_dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class SwarmConfig:
    """How the mixtures are drawn."""

    num_runs: Annotated[int, Field(ge=1)] = 24
    """Number of mixtures, K. Fewer than 3 (D + 1) leaves a note in the swarm."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides the draws."""
    training_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of every proxy run: shared, so that runs differ by their mixture alone."""
    strength_min: Annotated[float, Field(gt=0)] = 0.1
    """Weakest Dirichlet strength."""
    strength_max: Annotated[float, Field(gt=0)] = 5.0
    """Strongest Dirichlet strength, at least `strength_min`."""
    num_strengths: Annotated[int, Field(ge=1)] = 15
    """Steps of the log-spaced ladder between the two."""
    temper: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Exponent of the prior: 1 keeps the natural shares, 0 makes them equal."""
    minimum_share: Annotated[float, Field(ge=0, lt=1)] = 0.002
    """A drawn share below this becomes 0."""
    duplicate_distance: Annotated[float, Field(gt=0)] = 1e-3
    """Mixtures nearer than this (sum of absolute differences) count as one."""
    include_natural: bool = True
    """Start with the natural mixture."""
    include_uniform: bool = True
    """Then the uniform one."""
    zero_share_corners: bool = True
    """Then, for each domain, the natural mixture without it."""
    space_filling: bool = False
    """Whether draws are chosen from a pool to lie far apart."""

    def __post_init__(self) -> None:
        """Refuse a ladder that goes down.

        Raises:
            ValueError: `strength_max` is below `strength_min`.
        """
        if self.strength_max < self.strength_min:
            raise ValueError(
                f"strength_max = {self.strength_max} is below strength_min = {self.strength_min}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Swarm:
    """The designed runs, in their fixed order."""

    domains: tuple[str, ...]
    """Names of the columns of `weights`."""
    run_ids: tuple[str, ...]
    """One per mixture: proxy-<number>-<digest of its spec>."""
    seeds: tuple[int, ...]
    """Training seed of each run."""
    origins: tuple[str, ...]
    """Where each mixture comes from: natural, uniform, without <domain>, dirichlet <strength>."""
    weights: Floats
    """Requested shares, shape (K, D)."""
    notes: tuple[str, ...]
    """What a reader should know: too few runs, explicit mixtures left out."""


def run_key(label: str, spec: Mapping[str, object]) -> str:
    """Name a run after what decides its numbers: `<label>-<first 8 hex digits of sha256>`.

    Args:
        label: Human part of the name.
        spec: JSON-able values; the order of keys does not matter.

    Raises:
        ValueError: The label is empty, or the spec holds a number that is not finite.
        TypeError: The spec holds something that JSON cannot say.
    """
    if not label:
        raise ValueError("a run needs a label, got an empty one")
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"{label}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def design_swarm(
    domains: Sequence[str],
    natural: Floats,
    config: SwarmConfig,
    *,
    caps: Floats | None = None,
    spec: Mapping[str, object] | None = None,
) -> Swarm:
    """Design the mixtures of a swarm.

    Args:
        domains: Names, all different, at least two.
        natural: Token shares, shape (D,), on the simplex, all > 0.
        config: How to draw.
        caps: Largest share of each domain, shape (D,) (`epoching.availability_caps`). None: no cap.
        spec: What else decides a proxy's numbers (model, schedule, digests); enters the run ids.

    Raises:
        ValueError: An argument breaks a condition above, no mixture fits the caps, or too few of
            the draws do.
    """
    _require_design(domains, natural, config, caps)
    limit = np.ones(len(domains)) if caps is None else np.asarray(caps, dtype=np.float64)
    chosen: list[Floats] = []
    origins: list[str] = []
    notes: list[str] = []
    for origin, mixture in _explicit(domains, natural, config):
        if (mixture > limit + 1e-9).any():
            notes.append(f"explicit mixture left out, above a cap: {origin}")
        elif not _is_duplicate(mixture, chosen, config):
            chosen.append(mixture)
            origins.append(origin)
    if len(chosen) > config.num_runs:
        notes.append(f"{config.num_runs} runs leave out: {', '.join(origins[config.num_runs :])}")
    draws = _draws(natural, config)
    if config.space_filling:
        _fill_space(chosen, origins, draws, limit=limit, config=config)
    else:
        _fill_in_order(chosen, origins, draws, limit=limit, config=config)
    return _swarm(domains, chosen, origins, notes=notes, config=config, spec=spec or {})


def write_swarm(swarm: Swarm, out: Path) -> None:
    """Write `swarm.parquet` (run_id, seed, origin, p_<domain>...) and `swarm.json` into `out`."""
    columns: dict[str, object] = {
        "run_id": list(swarm.run_ids),
        "seed": list(swarm.seeds),
        "origin": list(swarm.origins),
    }
    for column, domain in enumerate(swarm.domains):
        columns[f"p_{domain}"] = swarm.weights[:, column].tolist()
    pl.DataFrame(columns).write_parquet(out / "swarm.parquet", compression="zstd")
    summary = {
        "domains": list(swarm.domains),
        "notes": list(swarm.notes),
        "num_runs": len(swarm.run_ids),
    }
    (out / "swarm.json").write_text(json.dumps(summary, sort_keys=True, indent=1) + "\n")


def read_swarm(folder: Path) -> Swarm:
    """Read what `write_swarm` wrote; columns are found by the name of their domain.

    Raises:
        FileNotFoundError: One of the two files is missing.
        polars.exceptions.ColumnNotFoundError: The table lacks a column that the summary names.
    """
    summary = json.loads((folder / "swarm.json").read_text())
    frame = pl.read_parquet(folder / "swarm.parquet")
    domains = tuple(str(domain) for domain in summary["domains"])
    return Swarm(
        domains=domains,
        run_ids=tuple(frame["run_id"].to_list()),
        seeds=tuple(frame["seed"].to_list()),
        origins=tuple(frame["origin"].to_list()),
        weights=np.column_stack([frame[f"p_{domain}"].to_numpy() for domain in domains]),
        notes=tuple(summary["notes"]),
    )


def _require_design(
    domains: Sequence[str], natural: Floats, config: SwarmConfig, caps: Floats | None
) -> None:
    num_domains = len(domains)
    if num_domains < 2 or len(set(domains)) != num_domains:
        raise ValueError(f"a swarm needs at least two different domains, got {list(domains)}")
    if natural.shape != (num_domains,) or not (natural > 0).all():
        raise ValueError(
            f"natural must hold a positive share for each of {list(domains)}, got "
            f"{natural.tolist()}: leave a domain without tokens out of the swarm"
        )
    require_simplex(natural, name="natural")
    if config.minimum_share * num_domains >= 1:
        raise ValueError(
            f"minimum_share = {config.minimum_share} must be below 1/{num_domains} for "
            f"{num_domains} domains"
        )
    if caps is not None and (caps.shape != (num_domains,) or not (caps >= 0).all()):
        raise ValueError(f"caps must hold {num_domains} shares >= 0, got {caps.tolist()}")
    if caps is not None and caps.sum() < 1 - 1e-9:
        raise ValueError(f"caps sum to {caps.sum():.4f} < 1: no mixture fits, got {caps.tolist()}")


def _explicit(
    domains: Sequence[str], natural: Floats, config: SwarmConfig
) -> Iterator[tuple[str, Floats]]:
    if config.include_natural:
        yield "natural", _rounded(natural)
    if config.include_uniform:
        yield "uniform", _rounded(np.full(len(domains), 1 / len(domains)))
    if config.zero_share_corners:
        for index, domain in enumerate(domains):
            rest = natural.copy()
            rest[index] = 0.0
            yield f"without {domain}", _rounded(rest / rest.sum())


def _draws(natural: Floats, config: SwarmConfig) -> Iterator[tuple[str, Floats]]:
    """Draw for ever; how many are taken never changes what comes."""
    rng = np.random.default_rng(config.seed)
    prior = natural**config.temper
    prior /= prior.sum()
    ladder = np.geomspace(config.strength_min, config.strength_max, config.num_strengths)
    while True:
        for strength in rng.permutation(ladder):
            mixture = rng.dirichlet(strength * prior)
            mixture[mixture < config.minimum_share] = 0.0
            yield f"dirichlet {strength:.3g}", _rounded(mixture / mixture.sum())


def _fill_in_order(
    chosen: list[Floats],
    origins: list[str],
    draws: Iterator[tuple[str, Floats]],
    *,
    limit: Floats,
    config: SwarmConfig,
) -> None:
    """Take draws as they come."""
    for tried, (origin, mixture) in enumerate(draws):
        if len(chosen) >= config.num_runs:
            break
        if tried >= CANDIDATES_PER_RUN * config.num_runs:
            raise _no_room(len(chosen), tried, limit, config)
        if (mixture <= limit + 1e-9).all() and not _is_duplicate(mixture, chosen, config):
            chosen.append(mixture)
            origins.append(origin)


def _fill_space(
    chosen: list[Floats],
    origins: list[str],
    draws: Iterator[tuple[str, Floats]],
    *,
    limit: Floats,
    config: SwarmConfig,
) -> None:
    """Take the draw that is farthest from all chosen, again and again."""
    pool = [next(draws) for _ in range(POOL)]
    pool = [one for one in pool if (one[1] <= limit + 1e-9).all()]
    if not pool and len(chosen) < config.num_runs:
        raise _no_room(len(chosen), POOL, limit, config)
    roots = np.sqrt([mixture for _, mixture in pool])
    distance = np.full(len(pool), np.inf)
    for mixture in chosen:
        distance = np.minimum(distance, np.linalg.norm(roots - np.sqrt(mixture), axis=1))
    while len(chosen) < config.num_runs:
        farthest = int(np.argmax(distance))
        origin, mixture = pool[farthest]
        if _is_duplicate(mixture, chosen, config):
            raise _no_room(len(chosen), POOL, limit, config)
        chosen.append(mixture)
        origins.append(f"{origin}, space filling")
        distance = np.minimum(distance, np.linalg.norm(roots - roots[farthest], axis=1))


def _no_room(found: int, tried: int, limit: Floats, config: SwarmConfig) -> ValueError:
    return ValueError(
        f"only {found} of {config.num_runs} mixtures found in {tried} draws: the "
        f"caps {limit.tolist()} leave too little room; raise max_epochs or strength_max"
    )


def _rounded(mixture: Floats) -> Floats:
    """Round to `DIGITS` decimals; the largest share takes what is left over."""
    rounded = np.round(mixture, DIGITS)
    largest = int(np.argmax(rounded))
    rounded[largest] = round(1.0 - float(np.delete(rounded, largest).sum()), DIGITS)
    return rounded


def _is_duplicate(mixture: Floats, chosen: Sequence[Floats], config: SwarmConfig) -> bool:
    return any(np.abs(mixture - other).sum() < config.duplicate_distance for other in chosen)


def _swarm(
    domains: Sequence[str],
    chosen: Sequence[Floats],
    origins: Sequence[str],
    *,
    notes: Sequence[str],
    config: SwarmConfig,
    spec: Mapping[str, object],
) -> Swarm:
    weights = np.array(chosen[: config.num_runs])
    wanted = 3 * (len(domains) + 1)
    if len(weights) < wanted:
        notes = [
            *notes,
            f"{len(weights)} runs for {len(domains)} domains: a law fit wants at least {wanted}",
        ]
    specs = [
        {
            **spec,
            "weights": dict(zip(domains, row.tolist(), strict=True)),
            "seed": config.training_seed,
        }
        for row in weights
    ]
    return Swarm(
        domains=tuple(domains),
        run_ids=tuple(run_key(f"proxy-{number:03d}", each) for number, each in enumerate(specs)),
        seeds=(config.training_seed,) * len(weights),
        origins=tuple(origins[: config.num_runs]),
        weights=weights,
        notes=tuple(notes),
    )
