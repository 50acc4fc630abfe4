import json

import numpy as np
import pytest
from typer.testing import CliRunner

from orchestration.cli import app
from training.config import EvaluationConfig, MixerConfig, ModelConfig, RunConfig, ScheduleConfig
from training.domain_shards import open_domain
from training.ledger import read_ledger
from training.loop import train
from training.run_folder import read_run_config
from training.run_inputs import open_run_inputs
from training.run_trace import TracedRun
from training.shard_layout import domain_digests, find_domains
from training.shards import write_token_shards
from training.tokenizer import save_tokenizer, train_tokenizer


def write(folder, documents=(41, 20, 20)):
    """Documents of so many tokens, the end of sequence included; the tokens count up from 1."""
    folder.mkdir(parents=True)
    ends = np.cumsum(documents)
    write_token_shards(
        [
            (f"d{index}", 1, np.arange(end - size, end - 1, dtype=np.uint32) + 1)
            for index, (end, size) in enumerate(zip(ends, documents, strict=True))
        ],
        folder,
        vocab_size=200,
        eos_id=0,
        tokenizer_digest="t",
    )
    return folder


def opened(folder, share=0.25, context_tokens=4):
    return open_domain(folder, context_tokens=context_tokens, heldout_share=share)


def test_the_last_rows_of_one_set_of_shards_are_held_out(tmp_path):
    domain = opened(write(tmp_path / "web"))
    assert domain.num_train_rows == 15  # 81 tokens are 20 rows of 4 + 1
    assert domain.num_heldout_rows == 5
    assert domain.heldout_rows(None)[:, 1].tolist() == [62, 66, 70, 74, 78]
    assert domain.heldout_rows(2)[:, 1].tolist() == [62, 70]
    assert domain.train_rows_of("d1").tolist() == [10, 11, 12, 13, 14]
    assert domain.train_rows_of("d2").tolist() == [] == domain.train_rows_of("none").tolist()
    out = [name for name in ("d0", "d1", "d2", "none") if domain.holds_out(name)]
    assert out == ["d1", "d2"]


def test_a_divided_folder_is_taken_as_it_is(tmp_path):
    write(tmp_path / "web/train")
    write(tmp_path / "web/heldout", (21,))
    domain = opened(tmp_path / "web")
    assert (domain.num_train_rows, domain.num_heldout_rows) == (20, 5)
    assert domain.heldout_rows(None)[0].tolist() == [1, 2, 3, 4, 5]
    assert domain.train_rows_of("d2")[-1] == 19
    assert domain.holds_out("d0")
    assert not domain.holds_out("d1")


def test_too_few_rows_are_refused(tmp_path):
    write(tmp_path / "web", (8,))
    with pytest.raises(ValueError, match=r"8 tokens are 1 sequences .* at least two"):
        opened(tmp_path / "web")


def test_folders_of_domains(tmp_path):
    write(tmp_path / "all/b")
    write(tmp_path / "all/a/train")
    write(tmp_path / "all/a/heldout")
    (tmp_path / "all/other").mkdir()
    assert list(find_domains(tmp_path / "all")) == ["a", "b"]
    assert list(find_domains(tmp_path / "all/b")) == ["b"]
    assert list(find_domains(tmp_path / "all/a")) == ["a"]
    write(tmp_path / "all/other/train")
    with pytest.raises(ValueError, match=r"other has only train/, .*heldout/manifest.json is miss"):
        find_domains(tmp_path / "all")
    (tmp_path / "empty").mkdir()
    assert find_domains(tmp_path / "empty") == {}
    assert set(domain_digests(tmp_path / "all/a")) == {"train", "heldout"}
    assert set(domain_digests(tmp_path / "all/b")) == {"whole"}


def run_on(folders, share=0.25):
    return RunConfig(
        run_id="whole",
        domains={path.name: str(path) for path in folders},
        model=ModelConfig(
            hidden_size=8, num_layers=1, num_heads=1, intermediate_size=8, context_tokens=4
        ),
        schedule=ScheduleConfig(steps=12, batch_rows=4, peak_lr=1e-3),
        mixer=MixerConfig(method="uniform"),
        evaluation=EvaluationConfig(heldout_share=share),
        epoch_policy="allow",
        num_threads=1,
        device="cpu",
    )


def test_held_out_rows_are_never_drawn(tmp_path):
    config = run_on([write(tmp_path / "a"), write(tmp_path / "b", (81,))])
    train(config, tmp_path / "out")
    drawn = read_ledger(tmp_path / "out/ledger")
    for domain in ("a", "b"):  # 24 rows of each, so every row once and some twice
        rows = drawn.filter(domain=domain)["row"]
        assert set(rows) == set(range(15))
    trace = TracedRun.open(tmp_path / "out").document("d2")
    assert (trace.rows, trace.heldout_domains) == ({"a": 0}, ("a",))


def test_the_share_is_part_of_the_run_only_where_it_acts(tmp_path):
    whole = write(tmp_path / "whole")
    write(tmp_path / "divided/train")
    write(tmp_path / "divided/heldout")
    assert run_on([whole], 0.25).digest() != run_on([whole], 0.5).digest()
    divided = [tmp_path / "divided"]
    assert run_on(divided, 0.25).digest() == run_on(divided, 0.5).digest()
    assert open_run_inputs(run_on([whole], 0.5)).sampler.offered_rows.tolist() == [10]


def test_from_a_folder_of_text_to_a_model_by_commands(tmp_path, monkeypatch):
    """As docs/training.md shows it."""
    monkeypatch.chdir(tmp_path)
    texts = [f"the cat number {n} sat on mat {n % 7} and looked at dog {n % 5}" for n in range(60)]
    for name, part in (("web", texts[:40]), ("code", texts[40:])):
        (tmp_path / name).mkdir()
        lines = [json.dumps({"id": f"{name}-{n}", "text": text}) for n, text in enumerate(part)]
        (tmp_path / name / "part.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "tokenizer").mkdir()
    save_tokenizer(train_tokenizer(texts, vocab_size=280), tmp_path / "tokenizer")

    def run(*arguments):
        result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.stderr
        return result.stdout

    for name in ("web", "code"):
        run("tokenize", name, "--tokenizer", "tokenizer", "--out", f"shards/{name}")
    (tmp_path / "run.yaml").write_text(run("train", "--example"))
    small = [
        f"--set={setting}"
        for setting in (
            "model.context_tokens=8", "model.hidden_size=16", "model.num_heads=2",
            "model.num_layers=1", "schedule.steps=6", "schedule.warmup_steps=1", "num_threads=1",
            "schedule.batch_rows=4",
        )
    ]  # fmt: skip
    run("train", "run.yaml", "--out", "runs/first", *small)
    assert list(read_run_config(tmp_path / "runs/first").domains) == ["code", "web"]
    result = json.loads(run("train", "run.yaml", "--out", "runs/web", "--json", *small,
                            "--set=domains=shards/web"))  # fmt: skip
    assert result["heldout"]["web"]["loss_nats"] > 0
    assert result["shard_digests"] == result["heldout_digests"]
