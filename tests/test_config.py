import json
import re

import numpy as np
import pytest

from training.config import (
    EvaluationConfig,
    MixerConfig,
    ModelConfig,
    RunConfig,
    SavedModelConfig,
    ScheduleConfig,
)
from training.run_file import load_run_config
from training.shards import write_token_shards

RUN = {
    "run_id": "debug-1",
    "domains": {"law": "shards/law", "code": "shards/code"},
    "model": {
        "hidden_size": 16,
        "num_layers": 1,
        "num_heads": 2,
        "intermediate_size": 32,
        "context_tokens": 8,
    },
    "schedule": {"steps": 10, "batch_rows": 4, "peak_lr": 0.001, "warmup_steps": 2},
    "mixer": {"method": "fixed", "settings": {"weights": {"law": 0.5, "code": 0.5}}},
}


def changed(path, value):
    """The run with one value replaced (or, with None, removed) at a dotted path."""
    run = json.loads(json.dumps(RUN))
    *parents, last = path.split(".")
    place = run
    for parent in parents:
        place = place.setdefault(parent, {})
    if value is None:
        del place[last]
    else:
        place[last] = value
    return run


def load(folder, run, name="run.json"):
    (folder / name).write_text(run if isinstance(run, str) else json.dumps(run))
    return load_run_config(folder / name)


def make_shards(folder, domain, seed=0):
    for split in ("train", "heldout"):
        out = folder / domain / split
        out.mkdir(parents=True)
        tokens = np.random.default_rng(seed).integers(0, 50, 40)
        write_token_shards([("a", 9, tokens)], out, vocab_size=50, eos_id=0, tokenizer_digest="t")


def test_json_and_yaml_give_the_same_run(tmp_path):
    from_json = load(tmp_path, RUN)
    text = """
        run_id: debug-1
        domains: {code: shards/code, law: shards/law}
        model: {hidden_size: 16, num_layers: 1, num_heads: 2, intermediate_size: 32,
                context_tokens: 8}
        schedule: {steps: 10, batch_rows: 4, peak_lr: 0.001, warmup_steps: 2}
        mixer: {method: fixed, settings: {weights: {law: 0.5, code: 0.5}}}
    """
    assert load(tmp_path, text, "run.yaml") == from_json
    assert from_json.schedule == ScheduleConfig(
        steps=10, batch_rows=4, peak_lr=0.001, warmup_steps=2
    )
    assert from_json.epoch_policy == "error"


def test_domains_are_sorted_and_relative_to_the_file(tmp_path):
    config = load(tmp_path, RUN | {"domains": {"law": "shards/law", "code": "/far/code"}})
    assert list(config.domains.items()) == [
        ("code", "/far/code"),
        ("law", str(tmp_path / "shards/law")),
    ]


def test_settings_keep_their_types(tmp_path):
    settings = {"eta": 0.5, "sweeps": 2, "update": "cumulative", "flag": True, "prior": {"a": 1.0}}
    found = load(tmp_path, changed("mixer.settings", settings)).mixer.settings
    assert found == settings
    assert [type(value) for value in found.values()] == [float, int, str, bool, dict]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schedule.stepz", 3, "schedule.stepz: unknown key"),
        ("surprise", 3, "surprise: unknown key"),
        ("schedule.steps", None, "schedule.steps: missing"),
        ("model", None, "model: missing"),
        ("schedule.steps", "10", "schedule.steps: .*integer.*'10'"),
        ("schedule.steps", 0, "schedule.steps: .*greater than or equal to 1.*0"),
        ("schedule.peak_lr", "1e-3", "schedule.peak_lr: .*number.*'1e-3'"),
        ("schedule.warmup_steps", 11, "warmup_steps 11 must be at most steps 10"),
        ("schedule.beta2", 1.0, "schedule.beta2: .*less than 1"),
        ("model.hidden_size", 18, "hidden_size 18 must be a multiple of 2 . num_heads = 4"),
        ("model.architecture", "lama", "model.architecture: .*'llama'.*'lama'"),
        ("model", {"folder": "m", "hidden_size": 8}, "model.hidden_size: unknown key"),
        ("model", {"folder": "m"}, "model.context_tokens: missing"),
        ("schedule.shape", "wsd", "decay_steps None with shape 'wsd': wsd needs decay_steps"),
        ("schedule.decay_steps", 3, "decay_steps 3 with shape 'cosine'"),
        ("schedule.max_grad_norm", 0.0, "schedule.max_grad_norm: .*greater than 0"),
        ("execution.micro_rows", 0, "execution.micro_rows: .*greater than or equal to 1"),
        ("execution.parallel", "tp", "execution.parallel: .*'ddp' or 'fsdp'.*'tp'"),
        ("precision", "float16", "precision: .*'bfloat16'.*'float16'"),
        ("run_id", "../up", "run_id: .*pattern.*'../up'"),
        ("domains", {}, "domains: .*at least 1"),
        ("domains", {"a/b": "x"}, "domains.a/b.*pattern"),
        ("epoch_share", 0.0, "epoch_share: .*greater than 0"),
        ("epoch_policy", "stop", "epoch_policy: .*'error', 'drop' or 'allow'.*'stop'"),
        ("evaluation.every_steps", 0, "evaluation.every_steps"),
        ("checkpoint.keep_last", 0, "checkpoint.keep_last"),
        ("seed", 2**63, "seed: .*less than"),
        ("num_threads", 100_000, "num_threads: .*less than or equal to 1024.*100000"),
        ("mixer.settings.a", [1, 2], r"settings.a: .*a mapping of names to numbers.*\[1, 2\]$"),
        ("mixer.settings.a", {"b": "c"}, "settings.a.b: .*valid number.*'c'$"),
        ("mixer.settings.a", {"b": {"c": "d"}}, "settings.a.b.c: .*valid number.*'d'$"),
    ],
)
def test_a_wrong_value_is_named_with_file_and_key(tmp_path, path, value, message):
    with pytest.raises(ValueError, match=rf"run\.json: .*{message}") as raised:
        load(tmp_path, changed(path, value))
    assert "\n" not in str(raised.value) or path == "model"  # a line for each mistake


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.json", "{", "cannot be read as a run file"),
        ("run.json", json.dumps(RUN)[:-1] + ', "seed": 1, "seed": 2}', "'seed' stands there twice"),
        ("run.yaml", "seed: 1\nseed: 2\n", "'seed' stands there twice"),
        ("run.yaml", "a: [1\nb", "cannot be read as a run file: while parsing .* column 2: b"),
        ("run.yaml", "? [a, b]\n: 1\n", "the key in line 1 is a list or a mapping"),
        ("run.yaml", "run_id: 2026-01-01", "not JSON serializable"),
        ("run.toml", "", r"ends in \.json, \.yaml or \.yml, got '\.toml'"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=rf"{re.escape(name)}: .*{message}"):
        load(tmp_path, text, name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.json: cannot be read.*No such file"):
        load_run_config(tmp_path / "nowhere.json")


def test_values_are_checked_without_a_file_too():
    with pytest.raises(ValueError, match="batch_rows"):
        ScheduleConfig(steps=1, batch_rows=0, peak_lr=0.1)
    with pytest.raises(ValueError, match="Unexpected keyword"):
        EvaluationConfig(rows=3)


def test_digest_covers_what_changes_the_numbers_and_nothing_else(tmp_path):
    for place in ("shards", "moved"):
        for domain in ("law", "code"):
            make_shards(tmp_path / place, domain)
    make_shards(tmp_path / "other", "law", seed=1)
    base = load(tmp_path, RUN).digest()
    assert re.fullmatch("[0-9a-f]{16}", base)
    same = [
        changed("run_id", "another"),
        changed("domains", {"code": "moved/code", "law": "moved/law"}),
        changed("device", "cpu"),
        changed("num_threads", 1),
        changed("checkpoint.every_steps", 5),
        changed("execution", {"micro_rows": 1, "compile": True, "parallel": "fsdp"}),
    ]
    assert [load(tmp_path, run).digest() for run in same] == [base] * len(same)
    other = [
        changed("seed", 1),
        changed("schedule.peak_lr", 0.002),
        changed("model.num_layers", 2),
        changed("mixer.settings.weights", {"law": 0.4, "code": 0.6}),
        changed("evaluation.rows_per_domain", 9),
        changed("epoch_share", 0.5),
        changed("precision", "bfloat16"),
        changed("schedule", RUN["schedule"] | {"shape": "wsd", "decay_steps": 3}),
        changed("schedule.max_grad_norm", 10.0),
        changed("domains", {"code": "shards/code", "law": "other/law"}),
        changed("domains", {"prose": "shards/code", "law": "shards/law"}),
    ]
    digests = [load(tmp_path, run).digest() for run in other]
    assert len({base, *digests}) == len(other) + 1


def test_digest_names_a_missing_manifest(tmp_path):
    with pytest.raises(ValueError, match=r"code/train/manifest\.json: cannot be read"):
        load(tmp_path, RUN).digest()


def test_a_run_can_be_built_in_python():
    config = RunConfig(
        run_id="a",
        domains={"b": "x", "a": "y"},
        model=ModelConfig(**RUN["model"]),
        schedule=ScheduleConfig(steps=1, batch_rows=1, peak_lr=0.1),
        mixer=MixerConfig(method="uniform"),
    )
    assert list(config.domains) == ["a", "b"]
    assert config.mixer.settings == {}


def test_saved_model_is_named_relative_to_the_file_and_digested_by_its_files(tmp_path):
    for domain in ("law", "code"):
        make_shards(tmp_path / "shards", domain)
    run = RUN | {"model": {"folder": "first/final", "context_tokens": 8}}
    config = load(tmp_path, run)
    assert config.model == SavedModelConfig(folder=str(tmp_path / "first/final"), context_tokens=8)
    with pytest.raises(ValueError, match="does not hold config"):
        config.digest()
    for folder, content in (("first/final", b"a"), ("copy", b"a"), ("other", b"b")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.json").write_text("{}")
        (tmp_path / folder / "model.safetensors").write_bytes(content)
    run["model"] = {"folder": "copy", "context_tokens": 8}
    assert load(tmp_path, run).digest() == config.digest()
    run["model"] = {"folder": "other", "context_tokens": 8}
    assert load(tmp_path, run).digest() != config.digest()
