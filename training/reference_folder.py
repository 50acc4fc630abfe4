"""Where the reference model of a run lies: a folder of transformers, or the folder of a run."""

import hashlib
from pathlib import Path

_CONFIGURATION = "config.json"


def reference_model_folder(reference: Path) -> Path:
    """Return the folder of the model: `reference` itself, or final/ of a finished run in it.

    Raises:
        ValueError: There is no model; the message says where it was looked for.
    """
    for folder in (reference, reference / "final"):
        if (folder / _CONFIGURATION).is_file() and any(folder.glob("*.safetensors")):
            return folder
    raise ValueError(
        f"reference: no model in {reference} or {reference / 'final'} ({_CONFIGURATION} and "
        "safetensors); name the folder of a finished run or of a saved model"
    )


def reference_digest(reference: Path) -> str:
    """16 hexadecimal digits over configuration and parameters of the model.

    Raises:
        ValueError: There is no model.
    """
    folder = reference_model_folder(reference)
    digest = hashlib.sha256()
    for path in [folder / _CONFIGURATION, *sorted(folder.glob("*.safetensors"))]:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
