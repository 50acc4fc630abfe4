"""Token shards of random tokens: speed does not depend on what tokens say."""

from pathlib import Path

import numpy as np

NUM_DOMAINS = 7


def write_random_shards(folder: Path, *, tokens: int, vocab_size: int) -> list[Path]:
    """Write the folders of NUM_DOMAINS domains, each with train/ and a smaller heldout/.

    Args:
        folder: Where.
        tokens: Of each domain in train/, >= 4096.
        vocab_size: Tokens are drawn from [1, vocab_size).
    """
    from training.shards import write_token_shards

    rng = np.random.default_rng(0)
    folders = []
    for domain in range(NUM_DOMAINS):
        drawn = rng.integers(1, vocab_size, size=tokens).astype(np.uint32)
        for split, part in (("train", drawn), ("heldout", drawn[: max(4096, tokens // 100)])):
            out = folder / f"domain-{domain}" / split
            out.mkdir(parents=True)
            write_token_shards(
                [("document", 1, part)],
                out,
                vocab_size=vocab_size,
                eos_id=0,
                tokenizer_digest="none",
            )
        folders.append(folder / f"domain-{domain}")
    return folders
