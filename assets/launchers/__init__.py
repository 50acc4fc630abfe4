"""The launchers by name, and the file that chooses one. A new one: a file, a line here, a test."""

from importlib.util import find_spec
from pathlib import Path

import yaml
from pydantic import ValidationError

from assets.launchers.kubernetes_launcher import KubernetesLauncher
from assets.launchers.local_launcher import LocalLauncher, TorchrunLauncher
from assets.launchers.ray_launcher import RayLauncher
from assets.launchers.training_launcher import TrainingLauncher
from training.config import UniqueKeyLoader

__all__ = [
    "LAUNCHERS",
    "KubernetesLauncher",
    "LocalLauncher",
    "RayLauncher",
    "TorchrunLauncher",
    "TrainingLauncher",
    "load_launcher",
]

LAUNCHERS: dict[str, type[TrainingLauncher]] = {
    "kubernetes": KubernetesLauncher,
    "local": LocalLauncher,
    "ray": RayLauncher,
    "torchrun": TorchrunLauncher,
}
NEEDED_PACKAGES = {"kubernetes": "dagster_k8s", "ray": "dagster_ray"}
"""Optional extras of the same names install them."""
_NAME = "launcher"


def load_launcher(path: Path) -> TrainingLauncher:
    """Read a launcher file: YAML with `launcher: NAME` and the settings of that launcher.

    Raises:
        ValueError: The file cannot be read, an unknown launcher or setting, a wrong value, or a
            package that is not installed.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), UniqueKeyLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read as a launcher file: {error}") from error
    name = content.pop(_NAME, None) if isinstance(content, dict) else None
    if name not in LAUNCHERS:
        raise ValueError(
            f"{path}: {_NAME}: must be one of {', '.join(sorted(LAUNCHERS))}, got {name!r}"
        )
    kind = LAUNCHERS[name]
    if unknown := sorted(set(content) - set(kind.model_fields)):
        raise ValueError(
            f"{path}: {unknown[0]}: unknown key; the launcher {name!r} has "
            f"{', '.join(kind.model_fields)}"
        )
    needed = NEEDED_PACKAGES.get(name)
    if needed is not None and find_spec(needed) is None:
        raise ValueError(
            f"{path}: the launcher {name!r} needs the package {needed.replace('_', '-')}: "
            f"pip install -e '.[{name}]'"
        )
    try:
        return kind(**content)
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        key = ".".join(map(str, mistake["loc"]))
        raise ValueError(f"{path}: {key}: {mistake['msg']}, got {mistake['input']!r}") from error
