"""Run configurations of proxies and training runs, from the preset and the lake."""

from assets.lake import Artifact, Lake
from assets.partitions import DOMAINS, PRESET, TrainingRun
from training.arrays import Floats
from training.config import MixerConfig, RunConfig
from training.shard_format import manifest_digest, read_manifest


def token_artifacts(lake: Lake) -> dict[str, Artifact]:
    """Current token shards of every domain, in the order of the domain names."""
    return {domain: lake.artifact("token_shards", domain) for domain in DOMAINS}


def train_tokens(shards: dict[str, Artifact]) -> dict[str, int]:
    """Unique training tokens of each domain."""
    return {
        domain: read_manifest(artifact.folder / "train").num_tokens
        for domain, artifact in shards.items()
    }


def offered_tokens(shards: dict[str, Artifact]) -> dict[str, float]:
    """Tokens of each domain that a proxy's sampler offers: whole rows, its share of them."""
    context = PRESET.proxy.model.context_tokens
    rows = {domain: (tokens - 1) // context for domain, tokens in train_tokens(shards).items()}
    return {
        domain: float(max(1, int(PRESET.epoch_share * count)) * context)
        for domain, count in rows.items()
    }


def shard_digests(shards: dict[str, Artifact]) -> dict[str, str]:
    """Digest of each domain's training shards, as a run's result names them."""
    return {
        domain: manifest_digest(artifact.folder / "train") for domain, artifact in shards.items()
    }


def proxy_config(run_id: str, weights: Floats, seed: int, shards: dict[str, Artifact]) -> RunConfig:
    """Configuration of one proxy run: fixed weights, epochs matched to the target's.

    Args:
        run_id: Name of the run.
        weights: Shares in the order of `shards`, shape (D,).
        seed: Of parameters and order.
        shards: Token shards by domain.
    """
    shares = {domain: float(share) for domain, share in zip(shards, weights, strict=True)}
    mixer = MixerConfig(method="fixed", settings={"weights": shares})
    return small_config(run_id, mixer, seed, shards)


def small_config(
    run_id: str,
    mixer: MixerConfig,
    seed: int,
    shards: dict[str, Artifact],
    *,
    reference: Artifact | None = None,
) -> RunConfig:
    """Configuration of a run of the shape of the proxies, epochs matched to the target's.

    Args:
        run_id: Name of the run.
        mixer: Its rule.
        seed: Of parameters and order.
        shards: Token shards by domain.
        reference: Run whose losses it compares its own with, if the mixer does.
    """
    return RunConfig(
        run_id=run_id,
        domains={domain: str(artifact.folder) for domain, artifact in shards.items()},
        model=PRESET.proxy.model,
        schedule=PRESET.proxy.schedule,
        mixer=mixer,
        reference=None if reference is None else str(reference.folder),
        evaluation=PRESET.proxy.evaluation,
        checkpoint=PRESET.proxy.checkpoint,
        seed=seed,
        epoch_share=PRESET.epoch_share,
        epoch_policy="allow",
        num_threads=1,
    )


def target_config(
    run: TrainingRun,
    shards: dict[str, Artifact],
    planned: dict[str, float] | None,
    learned: Artifact | None = None,
) -> RunConfig:
    """Configuration of one training run.

    Args:
        run: What to train.
        shards: Token shards by domain.
        planned: Weights that the plan proposes or the score implies; required by a run that
            trains on one of them.
        learned: The weight run whose weights it trains on; required by a run that has one.
    """
    mixer = run.mixer
    if run.needs_plan or run.follows_score:
        assert planned is not None, f"{run.key} trains on given weights and was given none"
        mixer = MixerConfig(method="fixed", settings={"weights": planned})
    if run.weight_run is not None:
        assert learned is not None, f"{run.key} trains on learned weights and was given none"
        mixer = MixerConfig(method="fixed")
    return RunConfig(
        run_id=run.key,
        domains={domain: str(artifact.folder) for domain, artifact in shards.items()},
        model=PRESET.target.model,
        schedule=PRESET.target.schedule,
        mixer=mixer,
        weights_from=None if learned is None else str(learned.folder),
        evaluation=PRESET.target.evaluation,
        checkpoint=PRESET.target.checkpoint,
        seed=run.seed,
        epoch_policy="allow",
        num_threads=1,
    )
