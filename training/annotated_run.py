"""A complete run file with every key, its meaning, what is allowed and its default.

Keys and comments come from the dataclasses of training.config, so none can be missing or out of
date; only the values that have no default are chosen here.
"""

import json
import textwrap
from collections.abc import Iterator, Mapping

from training.config import RunConfig
from training.setting_docs import SettingDoc, describe_settings

EXAMPLE: Mapping[str, object] = {
    "run_id": "example",
    "domains": "shards",
    "model": {
        "hidden_size": 128,
        "num_layers": 4,
        "num_heads": 4,
        "intermediate_size": 352,
        "context_tokens": 128,
    },
    "schedule": {"steps": 200, "batch_rows": 16, "peak_lr": 0.003, "warmup_steps": 20},
    "mixer": {"method": "uniform"},
    "evaluation": {"every_steps": 50},
    "checkpoint": {"every_steps": 50},
}
"""Values of the keys that need one, and of those that are more useful with one."""
HEAD = """\
# A training run: mixwright train THIS_FILE --out FOLDER
#
# Fill in `domains`: a folder that `mixwright tokenize` wrote, or one that holds such a folder for
# each domain; or name them one by one:
#   domains: {web: /data/tokens/web, code: /data/tokens/code}
# A domain with shards in train/ and heldout/ is evaluated on the latter, any other on its last rows
# (evaluation.heldout_share), which are then not trained on.
# All vectors over domains are in the order of the sorted names.
#
# To train a saved model further, let `model` be only its folder and the length of a row:
#   model: {folder: runs/first/final, context_tokens: 128}
"""
_WIDTH = 100


def annotated_run() -> str:
    """Return the text of the run file, YAML."""
    return "\n".join([HEAD, *_lines(RunConfig, EXAMPLE, "")]) + "\n"


def _lines(kind: type, values: Mapping[str, object], indent: str) -> Iterator[str]:
    for setting in describe_settings(kind):
        yield from _comment(setting, indent)
        if setting.nested is None:
            value = values.get(setting.name, setting.default)
            yield f"{indent}{setting.name}: {json.dumps(value)}"
        else:
            yield f"{indent}{setting.name}:"
            below = values.get(setting.name, {})
            assert isinstance(below, Mapping)
            yield from _lines(setting.nested, below, indent + "  ")
        if indent == "":
            yield ""


def _comment(setting: SettingDoc, indent: str) -> Iterator[str]:
    said = setting.meaning
    if setting.nested is None:
        default = "required" if setting.required else f"default {json.dumps(setting.default)}"
        said = f"{said} [{setting.allowed}; {default}]"
    yield from textwrap.wrap(
        said, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
    )
