"""What model a run trains: the size of a new one, or the folder of a saved one."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
"""Of every part of a run file: an unknown key is an error and values are not coerced."""

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ModelConfig:
    """Size of a decoder-only transformer; the vocabulary comes from the token shards."""

    architecture: Literal["llama", "gpt_neox", "gpt2"] = "llama"
    """Model family, a name that transformers knows."""
    hidden_size: Count
    """Width of the residual stream; a multiple of num_heads."""
    num_layers: Count
    """Number of blocks."""
    num_heads: Count
    """Attention heads."""
    intermediate_size: Count
    """Width of the feed-forward layer."""
    context_tokens: Count
    """Tokens of one training row, T."""
    tied_embeddings: bool = False
    """Whether the output matrix is the embedding. Apart, a tiny model learns bigrams at once, not
    after a plateau whose length is chance."""

    def __post_init__(self) -> None:
        """Refuse heads that do not divide the width into even parts (rotary needs pairs)."""
        if self.hidden_size % (2 * self.num_heads):
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of 2 * num_heads = "
                f"{2 * self.num_heads}"
            )


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SavedModelConfig:
    """A model that was saved by transformers, to be trained further."""

    folder: str
    """Holds config.json and safetensors, as final/ of an earlier run does."""
    context_tokens: Count
    """Tokens of one training row, T; at most what the model can take."""

    def digest(self) -> str:
        """Sha256 over names and content of its files.

        Raises:
            ValueError: The folder holds no saved model.
        """
        names = ("config.json", "*.safetensors", "*.safetensors.index.json")
        files = sorted(path for name in names for path in Path(self.folder).glob(name))
        if not any(path.suffix == ".safetensors" for path in files) or (
            Path(self.folder, "config.json") not in files
        ):
            raise ValueError(
                f"model.folder: {self.folder} does not hold config.json and safetensors; give a "
                "folder written by save_pretrained, for instance final/ of a run"
            )
        digest = hashlib.sha256()
        for path in files:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.name} {content}\n".encode())
        return digest.hexdigest()


MODEL_KINDS = ("new model", "saved model")
"""Names of the two kinds; pydantic puts them into the places of mistakes."""


def _model_kind(value: object) -> str:
    saved = "folder" in value if isinstance(value, dict) else isinstance(value, SavedModelConfig)
    return MODEL_KINDS[saved]


AnyModelConfig = Annotated[
    Annotated[ModelConfig, Tag(MODEL_KINDS[0])] | Annotated[SavedModelConfig, Tag(MODEL_KINDS[1])],
    Discriminator(_model_kind),
]
