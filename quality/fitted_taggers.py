"""Fitted taggers on disk: what each has learnt is one npz file; its settings are the preset's."""

from pathlib import Path

import numpy as np

from quality.taggers import Tagger, TaggerSettings


def save_tagger(tagger: Tagger, path: Path) -> None:
    """Write what a tagger has learnt; equal taggers give equal bytes."""
    # The stubs take every keyword for `allow_pickle` too.
    np.savez_compressed(path, **dict(tagger.learnt()))  # type: ignore[arg-type]


def load_tagger(settings: TaggerSettings, path: Path) -> Tagger:
    """Make a tagger from its settings and what was written.

    Raises:
        ValueError: The file is missing, damaged, or of another kind of tagger.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return settings.restore({name: stored[name] for name in stored.files})
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ValueError(f"{path}: no fitted tagger ({error}); fit it again") from error
