"""What lies in the folder of a run beside its checkpoints: its configuration and its tokenizer."""

import json
import shutil
from pathlib import Path

from pydantic import TypeAdapter

from training.config import RunConfig
from training.durable_files import write_text
from training.run_file import load_run_config
from training.run_result import RESULT_FILE, read_result
from training.tokenizer import CONFIG_FILE as TOKENIZER_CONFIG_FILE
from training.tokenizer import TOKENIZER_FILE, tokenizer_digest

RUN_CONFIG_FILE = "config.json"
_REPLACED = ("final", "ledger")


def write_run_config(config: RunConfig, out: Path) -> None:
    """Write config.json: every setting of the run, defaults included, folders absolute."""
    content = TypeAdapter(RunConfig).dump_python(config, mode="json")
    write_text(out / RUN_CONFIG_FILE, json.dumps(content, sort_keys=True, indent=1) + "\n")


def read_run_config(out: Path) -> RunConfig:
    """Read the configuration of a run from its folder.

    Raises:
        ValueError: It is missing or wrong.
    """
    return load_run_config(out / RUN_CONFIG_FILE)


def last_step(out: Path) -> int | None:
    """Return the step from which a run in this folder would go on; None if there is no run.

    That is the step of the newest checkpoint, or the last one if the run is finished; 0 if it has
    begun and has no checkpoint.

    Raises:
        ValueError: result.json is there and is no result.
    """
    if (out / RESULT_FILE).is_file():
        return read_result(out / RESULT_FILE).steps
    ends = [path.name.removeprefix("step-") for path in (out / "checkpoints").glob("step-*")]
    if steps := [int(end) for end in ends if end.isdecimal()]:
        return max(steps)
    return 0 if (out / "metrics.jsonl").exists() else None


def require_own_folder(out: Path) -> None:
    """Refuse a folder whose files a new run would replace though no run wrote them.

    Raises:
        ValueError: There is no run in it, and it holds files with the names of a run's.
    """
    if last_step(out) is not None:
        return
    found = [name for name in _REPLACED if _is_filled(out / name)]
    if not _is_run_config(out / RUN_CONFIG_FILE):  # a launcher may have put the run file there
        found.insert(0, RUN_CONFIG_FILE)
    if found:
        raise ValueError(
            f"{out} holds {', '.join(found)} and no run; they would be replaced: choose another "
            "folder, or remove them"
        )


def _is_filled(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _is_run_config(path: Path) -> bool:
    try:
        load_run_config(path)
    except ValueError:
        return not path.exists()
    return True


def require_tokenizer(folder: str | None, expected_digest: str) -> None:
    """Refuse a tokenizer that did not make the shards; None passes.

    Raises:
        ValueError: It is missing, or another one.
    """
    if folder is None:
        return
    found = tokenizer_digest(Path(folder))
    if found != expected_digest:
        raise ValueError(
            f"tokenizer: {folder} has the digest {found[:16]}, the shards were made with "
            f"{expected_digest[:16]}; name the tokenizer of the shards or leave the key out"
        )


def copy_tokenizer(folder: str | None, final: Path) -> None:
    """Copy the files from which AutoTokenizer loads beside the model; None: nothing."""
    if folder is None:
        return
    for name in (TOKENIZER_FILE, TOKENIZER_CONFIG_FILE):
        if (Path(folder) / name).is_file():
            shutil.copyfile(Path(folder) / name, final / name)
