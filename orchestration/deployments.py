"""Where things live in this deployment: one machine, one folder.

`MIXWRIGHT_HOME` moves everything that is written (default: `.mixwright` in the project). Below it
each preset has its own lake and its own Dagster instance.

`MIXWRIGHT_LAUNCHER` names a file that says where trainings run (default: one process of this
machine each); docs/training.md describes it.
"""

import os
from pathlib import Path

import dagster as dg

from assets.lake import Lake
from assets.launchers import LocalLauncher, TrainingLauncher, load_launcher
from assets.partitions import PRESET

PROJECT = Path(__file__).parents[1]
WORKSPACE = PROJECT / "workspace.yaml"


def home() -> Path:
    """Folder of the current preset."""
    root = os.environ.get("MIXWRIGHT_HOME") or PROJECT / ".mixwright"
    return Path(root).resolve() / PRESET.name


def lake() -> Lake:
    """The lake of the current preset."""
    return Lake(root=str(home() / "lake"))


def resources(lake: Lake) -> dict[str, object]:
    """Resource values by the names that the assets ask for."""
    return {"lake": lake, "launcher": launcher()}


def launcher() -> TrainingLauncher:
    """What runs the trainings.

    Raises:
        ValueError: The file that MIXWRIGHT_LAUNCHER names cannot be used.
    """
    chosen = os.environ.get("MIXWRIGHT_LAUNCHER")
    return load_launcher(Path(chosen)) if chosen else LocalLauncher()


def dagster_home() -> Path:
    """The instance's folder, with this project's settings in it."""
    folder = home() / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = Path(__file__).with_name("dagster.yaml").read_text()
    settings = folder / "dagster.yaml"
    if not settings.exists() or settings.read_text() != wanted:
        temporary = folder / f".dagster.yaml.{os.getpid()}"
        temporary.write_text(wanted)
        os.replace(temporary, settings)  # workers read it meanwhile
    return folder


def instance() -> dg.DagsterInstance:
    """The persistent instance of the current preset."""
    return dg.DagsterInstance.from_config(str(dagster_home()))
