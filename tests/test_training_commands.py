"""`mixwright train`: what it writes, how it goes on, and what it refuses."""

import json
import re
import shutil
import signal
from io import StringIO
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from orchestration.cli import app
from orchestration.run_page import write_run_page
from orchestration.training_display import as_line, in_words, training_display
from training import run as run_module
from training.annotated_run import annotated_run
from training.checkpoint import lock_folder
from training.loop import train
from training.run import EXIT_STOPPED, StopFlag
from training.run_file import load_run_config
from training.run_folder import last_step, read_run_config
from training.shard_writer import write_token_shards
from training.step_report import StepReport
from training.tokenizer import Encoder, save_tokenizer, tokenizer_digest, train_tokenizer


def invoke(*arguments):
    return CliRunner().invoke(app, ["train", *map(str, arguments)], env={"COLUMNS": "160"})


@pytest.fixture(autouse=True)
def _keep_signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    """Shards of two domains in one folder, with the tokenizer that made them."""
    base = tmp_path_factory.mktemp("tokens")
    words = {"letters": "the cat sat on the mat and the dog ran", "digits": "one 1 two 2 three 3"}
    save_tokenizer(train_tokenizer(words.values(), vocab_size=300), base)
    encoder = Encoder(base)
    for domain, text in words.items():
        for split in ("train", "heldout"):
            (base / domain / split).mkdir(parents=True)
            encoded = encoder.encode_batch([text] * 12)
            write_token_shards(
                ((f"{domain}/{split}/{n}", len(text), ids) for n, ids in enumerate(encoded)),
                base / domain / split,
                vocab_size=encoder.vocab_size,
                eos_id=encoder.eos_id,
                tokenizer_digest=tokenizer_digest(base),
            )
    return base


@pytest.fixture
def run_file(tokens, tmp_path):
    """The printed example, made small."""
    content = yaml.safe_load(annotated_run())
    content["model"] |= {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "context_tokens": 8}
    content["schedule"] |= {"steps": 12, "batch_rows": 4, "warmup_steps": 2}
    content |= {"domains": str(tokens), "num_threads": 1}
    content["evaluation"]["every_steps"] = content["checkpoint"]["every_steps"] = 4
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "run.yaml"


def test_the_example_is_complete_and_trains(tmp_path, tokens):
    shown = invoke("--example").stdout
    (tmp_path / "run.yaml").write_text(shown.replace('"shards"', json.dumps(str(tokens))))
    config = load_run_config(tmp_path / "run.yaml")
    assert list(config.domains) == ["digits", "letters"]
    keys = set(yaml.safe_load(shown))
    assert keys == set(type(config).__pydantic_fields__)
    result = invoke(
        tmp_path / "run.yaml", "--out", tmp_path / "out", "--set", "schedule.steps=2",
        "--set", "schedule.warmup_steps=1", "--set", "model.context_tokens=8",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr


def test_a_folder_with_all_of_a_run(run_file, tokens, tmp_path):
    out = tmp_path / "out"
    result = invoke(
        run_file, "--out", out, "--set", f"tokenizer={tokens}", "--set", "tensorboard=true"
    )
    assert result.exit_code == 0, result.stderr
    names = {path.name for path in out.iterdir()}
    assert names >= {"metrics.jsonl", "ledger", "checkpoints", "final", "result.json"}
    assert names >= {"config.json", "report.html", "tensorboard"}
    model = AutoModelForCausalLM.from_pretrained(out / "final")
    tokenizer = AutoTokenizer.from_pretrained(out / "final")
    ids = tokenizer("the cat", return_tensors="pt").input_ids
    assert ids.tolist()[0] == Encoder(tokens).encode_batch(["the cat"])[0].tolist()
    assert model(ids).logits.shape[-1] == len(tokenizer)
    assert "step 12/12  loss " in result.stderr
    assert "letters" in result.stdout
    page = (out / "report.html").read_text()
    assert page.count('src="data:image/png;base64,') == 2
    assert "http" not in page.split("<body>")[1]
    assert "12.5 %" not in page
    assert "50.0 %" in page


def test_json_is_the_result_and_nothing_else(run_file, tmp_path):
    result = invoke(run_file, "--out", tmp_path / "out", "--json")
    assert json.loads(result.stdout) == json.loads((tmp_path / "out/result.json").read_text())


def test_resume_goes_on_and_ends_in_the_same_bytes(run_file, tmp_path, monkeypatch):
    straight, out = tmp_path / "straight", tmp_path / "out"
    assert invoke(run_file, "--out", straight).exit_code == 0
    asked = []

    def stop_after_six(flag):
        asked.append(1)
        if len(asked) > 6:
            flag.set(signal.SIGTERM)
        return flag.signal is not None

    with monkeypatch.context() as patch:
        patch.setattr(StopFlag, "__call__", stop_after_six)
        stopped = invoke(run_file, "--out", out)
    assert stopped.exit_code == EXIT_STOPPED
    assert "stopped by signal 15 after step 6; checkpoint written" in stopped.stderr
    page = (out / "report.html").read_text()
    assert "not finished" in page
    assert f"mixwright train --resume --out {out}" in page
    again = invoke(run_file, "--out", out)
    assert (again.exit_code, again.stderr) == (
        2,
        f"error: {out} holds a run at step 6: add --resume to go on, or choose another --out\n",
    )
    resumed = invoke("--resume", "--out", out)  # by its own config.json
    assert resumed.exit_code == 0, resumed.stderr
    for name in ("metrics.jsonl", "result.json", "final/model.safetensors"):
        assert (out / name).read_bytes() == (straight / name).read_bytes()
    assert invoke("--resume", "--out", out).exit_code == 0  # finished already


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "schedule.stesp=3"], "schedule.stesp: unknown key; .*did you mean 'steps'"),
        (["--set", "device=gpu"], "device: Input should be 'auto', 'cpu' or 'cuda', got 'gpu'"),
        (["--set", "seed=-1"], "seed: Input should be greater than or equal to 0, got -1"),
        (["--set", "mixer.method=x"], "mixer.method: no method 'x'; choose one of aioli, "),
        (["--set", "mixer.settings.eta=1"], "mixer 'uniform', settings: eta: unknown key"),
        (["--set", "domains=/nowhere"], "domains: /nowhere holds no token shards"),
        (["--set", "domains={a: /nowhere}"], "/nowhere/train/manifest.json: cannot be read"),
        (["--set", "tokenizer=/nowhere"], "/nowhere/tokenizer.json: cannot be read"),
        (["--set", "seed"], "--set 'seed': write key=value"),
        (["--set", "seed=99999999999999999999"], "seed: Input should be less than"),
        (["--set", "mixer.settings.a=[1]"], "settings.a: Input should be a number, a text, "),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run_file, tmp_path, arguments, message):
    result = invoke(run_file, "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert re.search(message, result.stderr)
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out" / "metrics.jsonl").exists()


def test_what_is_missing_is_named(run_file, tmp_path):
    assert "--out is missing" in invoke(run_file).stderr
    assert "CONFIG.yaml is missing" in invoke("--resume", "--out", tmp_path / "new").stderr
    missing = invoke(tmp_path / "none.yaml", "--out", tmp_path / "out")
    assert "none.yaml: cannot be read (No such file" in missing.stderr
    assert missing.exit_code == 2


def test_another_tokenizer_is_refused(run_file, tokens, tmp_path):
    save_tokenizer(train_tokenizer(["something else"], vocab_size=280), tmp_path)
    result = invoke(run_file, "--out", tmp_path / "out", "--set", f"tokenizer={tmp_path}")
    assert result.exit_code == 2
    assert "name the tokenizer of the shards" in result.stderr


def test_the_folder_knows_its_run(tiny_run, tmp_path):
    assert last_step(tmp_path) is None
    train(tiny_run, tmp_path)
    assert last_step(tmp_path) == 24
    assert read_run_config(tmp_path) == tiny_run
    (tmp_path / "result.json").unlink()
    assert last_step(tmp_path) == 20
    with pytest.raises(ValueError, match=r"config\.json: cannot be read"):
        read_run_config(tmp_path / "final" / "none")


def test_no_page_before_the_first_step(tmp_path):
    assert write_run_page(tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_the_page_tells_what_a_proxy_learnt(run_file, tmp_path):
    more = ("--set", "mixer={method: doge, settings: {every_steps: 2}}")
    assert invoke(run_file, "--out", tmp_path / "out", *more).exit_code == 0
    assert '<th class="n">learned</th>' in (tmp_path / "out/report.html").read_text()


def test_the_page_of_a_run_that_diverged_promises_no_continuation(run_file, tmp_path):
    result = invoke(run_file, "--out", tmp_path / "out", "--set", "schedule.max_grad_norm=1e-9")
    assert (result.exit_code, "step 1: loss" in result.stderr) == (65, True)
    result = invoke(run_file, "--out", tmp_path / "two", "--set", "schedule.peak_lr=1e30")
    assert result.exit_code == 65
    page = (tmp_path / "two/report.html").read_text()
    assert "with exit code 65" in page
    assert "continues it" not in page


def report(step, heldout=None):
    return StepReport(
        step=step,
        steps=9,
        loss=2.5,
        weights={"code": 0.25, "web": 0.75},
        train={},
        heldout=heldout,
        learning_rate=0.1,
        gradient_norm=1.0,
        tokens_per_second=12345.6,
    )


def test_a_terminal_shows_a_bar_with_loss_speed_and_weights():
    console = Console(file=StringIO(), force_terminal=True, width=140)
    with training_display("mine", console) as show:
        show(report(4))
        show(report(9, {"code": 3.0, "web": 2.0}))
    shown = console.file.getvalue()
    for text in ("mine", "9/9", "2.5000", "12,346 tokens/s", "web 0.750  code 0.250"):
        assert text in shown
    assert "held out  code 3.000  web 2.000" in shown


def test_without_a_terminal_lines_are_few():
    console = Console(file=StringIO(), width=140)
    with training_display("mine", console) as show:
        for step in range(1, 9):
            show(report(step))
        show(report(9, {"web": 2.0}))
    lines = console.file.getvalue().splitlines()
    assert lines == [as_line(report(1)), as_line(report(9, {"web": 2.0}))]
    assert lines[0].endswith("12,346 tokens/s  weights web 0.750  code 0.250")


def test_many_domains_are_cut():
    told = in_words({f"d{number:02}": 1 / 20 for number in range(20)})
    assert told.endswith("d11 0.050  and 8 more")


def test_the_module_takes_overrides_too(run_file, tmp_path, caplog):
    out = ["--out", str(tmp_path / "out")]
    arguments = [str(run_file), *out, "--set", "schedule.stesp=2"]
    assert run_module.main(arguments) == run_module.EXIT_CONFIG
    assert "stesp" in caplog.text
    assert run_module.main([str(run_file), *out, "--set", "schedule.steps=4"]) == 0
    assert read_run_config(Path(out[1])).schedule.steps == 4


def test_a_guard_that_did_not_hold_is_told_and_stored(tmp_path, run_file):
    """Two rounds, and no fidelity can reach 1: the second trains on equal shares."""
    settings = {"round_steps": 6, "probe_steps": 1, "sweeps": 2, "min_fidelity": 1.0}
    aioli = f"mixer={json.dumps({'method': 'aioli', 'settings': settings})}"
    result = invoke(run_file, "--out", tmp_path / "out", "--set", aioli)
    assert result.exit_code == 0, result.stderr
    told = "the mixing matrix did not predict 1 of 1 rounds"
    assert f"warning: aioli_fidelity: {told}" in result.stderr
    (stored,) = json.loads((tmp_path / "out/result.json").read_text())["verdicts"]
    assert (stored["guard"], stored["passed"], stored["observed"]) == ("aioli_fidelity", False, 1)
    assert told in (tmp_path / "out/report.html").read_text()


@pytest.mark.parametrize("name", ["final/model.safetensors", "ledger/book.csv", "config.json"])
def test_files_of_others_are_not_replaced(run_file, tmp_path, name):
    (tmp_path / "out" / name).parent.mkdir(parents=True)
    (tmp_path / "out" / name).write_text('{"model_type": "llama"}')
    result = invoke(run_file, "--out", tmp_path / "out")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert f"out holds {name.split('/')[0]} and no run; they would be replaced" in result.stderr
    assert (tmp_path / "out" / name).read_text() == '{"model_type": "llama"}'


def test_the_run_file_may_lie_in_the_folder_already(run_file, tmp_path):
    (tmp_path / "out").mkdir()
    content = json.dumps(yaml.safe_load(run_file.read_text()))
    (tmp_path / "out/config.json").write_text(content)
    args = ("--out", tmp_path / "out", "--set", "schedule.steps=2")
    assert invoke(tmp_path / "out/config.json", *args).exit_code == 0


def test_a_folder_in_use_is_left_alone(run_file, tmp_path):
    out = tmp_path / "out"
    assert invoke(run_file, "--out", out, "--set", "schedule.steps=2").exit_code == 0
    (out / "report.html").unlink()
    with lock_folder(out / "checkpoints"):
        result = invoke("--resume", "--out", out)
    assert (result.exit_code, result.stderr.count("\n")) == (73, 1)
    assert not (out / "report.html").exists()


def test_learned_weights_are_found_beside_the_run_file(run_file, tmp_path):
    content = yaml.safe_load(run_file.read_text()) | {"weights_from": "proxy"}
    run_file.write_text(yaml.safe_dump(content))
    assert load_run_config(run_file).weights_from == str(tmp_path / "proxy")


def test_damaged_and_half_there_is_one_clear_line(run_file, tokens, tmp_path):
    """A file for a folder, a result that was cut, a domain without its held-out half."""
    (tmp_path / "file").write_text("")
    assert "file is a file; name a folder" in invoke(run_file, "--out", tmp_path / "file").stderr
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/result.json").write_text("{")
    for resume in ([], ["--resume"]):
        result = invoke(run_file, "--out", tmp_path / "broken", *resume)
        assert result.exit_code == 2
        assert result.stderr.count("broken/result.json: no result of a run") == 1
        assert result.stderr.count("\n") == 1
    shutil.copytree(tokens, tmp_path / "shards")
    shutil.rmtree(tmp_path / "shards/digits/heldout")
    half = ["--set", f"domains={tmp_path / 'shards'}"]
    result = invoke(run_file, "--out", tmp_path / "half", *half)
    assert (result.exit_code, "digits has only train/" in result.stderr) == (2, True)
    assert "digits/heldout/manifest.json is missing" in result.stderr


def test_a_damaged_saved_model_is_refused(run_file, tmp_path):
    assert invoke(run_file, "--out", tmp_path / "out", "--set", "schedule.steps=2").exit_code == 0
    final = tmp_path / "out/final"
    (final / "model.safetensors").write_bytes(b"junk")
    for key, value in (
        ("model", f"{{folder: {final}, context_tokens: 8}}"),
        ("reference", str(tmp_path / "out")),
    ):
        more = ["--set", "mixer.method=doremi"] if key == "reference" else []
        result = invoke(run_file, "--out", tmp_path / key, "--set", f"{key}={value}", *more)
        assert result.exit_code == 2, result.exception
        assert re.search(rf"error: {key}.*final (holds no model|cannot be read): ", result.stderr)
