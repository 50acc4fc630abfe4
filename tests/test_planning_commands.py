"""The commands fit-scaling, propose and plan on files as people write them."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from orchestration.cli import app
from training.fitted_laws import FittedLaws
from training.law_record import LawRecord, read_law_record
from training.mixing_laws.log_linear import LogLinearLaw
from training.run_table import RunTable
from training.scaling_laws.chinchilla import ChinchillaLaw

DOMAINS = ("web", "code", "math")
SLOPES = np.array([[-0.9, 0.2, 0.6], [0.4, -1.4, 0.3], [0.1, 0.4, -0.7]])
TRUTH = ChinchillaLaw(A=480.0, B=2000.0, E=1.8, alpha=0.35, beta=0.37)
TOKENS = {"web": 9e9, "code": 2e9, "math": 6e8}


def laws(shift=0.0):
    return FittedLaws(
        method="log_linear",
        domains=DOMAINS,
        eval_domains=DOMAINS,
        laws=tuple(LogLinearLaw(irreducible_loss=1.5, sensitivities=row) for row in SLOPES + shift),
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """law.json, scaling runs and their fit, tokens.json, prior.json."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(3), size=24)
    table = RunTable(
        run_ids=tuple(f"r{n}" for n in range(24)),
        domains=DOMAINS,
        eval_domains=DOMAINS,
        weights=weights,
        losses=laws().predict(weights) + rng.normal(0, 0.01, (24, 3)),
    )
    refits = tuple(laws(rng.normal(0, 0.02, (3, 3))) for _ in range(20))
    record = LawRecord(
        laws=laws(),
        table=table,
        refits=refits,
        half_widths_nats=dict.fromkeys(DOMAINS, 0.02),
        gate={"passed": False, "rows": []},
    )
    (folder / "law.json").write_text(json.dumps(record.to_json()))
    params = np.exp(rng.uniform(np.log(5e7), np.log(1e10), 40))
    tokens = np.exp(rng.uniform(np.log(1e18), np.log(1e21), 40)) / 6 / params
    losses = TRUTH.predict(params, tokens) * np.exp(rng.normal(0, 0.003, 40))
    rows = [f"s{n},{params[n]},{tokens[n]},{losses[n]}" for n in range(40)]
    (folder / "runs.csv").write_text("\n".join(["run_id,N,D,nats", *rows]) + "\n")
    (folder / "tokens.json").write_text(json.dumps(TOKENS))
    (folder / "prior.json").write_text(json.dumps({"web": 0.6, "code": 0.3, "math": 0.101}))
    return folder


@pytest.fixture(scope="module")
def scaling(files):
    result = invoke(files, *FIT, "--bootstrap", "100", "--out", "scaling.json")
    assert result.exit_code == 0, result.output
    return files / "scaling.json"


FIT = (
    *("fit-scaling", "runs.csv", "--params-col", "N", "--tokens-col", "D"),
    *("--loss-col", "nats"),
)


def invoke(folder, *arguments):
    """Run a command; names of files mean those of the folder."""
    there = [str(folder / one) if one.endswith((".json", ".csv")) else one for one in arguments]
    return CliRunner().invoke(app, there, env={"COLUMNS": "160", "MIXWRIGHT_PRESET": "ci"})


def is_picture(path):
    return path.read_bytes()[:4] == b"\x89PNG"


def test_fit_scaling_writes_law_intervals_sensitivity_and_picture(scaling):
    content = json.loads(scaling.read_text())
    for name in ("A", "B", "E", "alpha", "beta"):
        assert content[f"{name}_low"] <= content[name] <= content[f"{name}_high"]
    assert content["objective"] > 0
    assert len(content["sensitivity"]) == 3
    assert is_picture(scaling.with_suffix(".png"))


def test_fit_scaling_as_json_prints_nothing_else(files):
    result = invoke(files, *FIT, "--bootstrap", "100", "--out", "other.json", "--json")
    assert json.loads(result.stdout)["alpha"] == pytest.approx(0.35, abs=0.05)


def test_propose_keeps_to_the_tokens(files):
    result = invoke(
        files, "propose", "law.json", "--available-tokens", "tokens.json", "--budget-tokens",
        "2e10", "--width", "0.05", "--out", "mixture.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "did not pass its gate" in result.output
    content = json.loads((files / "mixture.json").read_text())
    assert sum(content["weights"].values()) == pytest.approx(1)
    assert all(epochs <= 4 + 1e-4 for epochs in content["epochs"].values())
    for name, share in content["weights"].items():
        assert content["weights_low"][name] <= content["weights_high"][name]
        assert content["epochs"][name] == pytest.approx(share * 2e10 / TOKENS[name])
    assert content["gap_nats"] < 1e-7
    assert content["runs_for_width"]["needed_runs"] >= 12
    assert is_picture(files / "mixture.png")


def test_propose_takes_every_option(files, scaling):
    (files / "harm.json").write_text('{"web": 0.05}')
    (files / "floors.json").write_text('{"math": 0.02}')
    (files / "aims.json").write_text('{"web": 1, "code": 2, "math": 1}')
    (files / "reuse.json").write_text(
        '{"weights": {"web": 0.6, "code": 0.3}, "changed": ["math"], "coupled": []}'
    )
    result = invoke(
        files, "propose", "law.json", "--prior", "prior.json", "--available-tokens", "tokens.json",
        "--budget-tokens", "1e10", "--max-epochs", "3", "--min-token-worth", "0.9", "--kl", "0.01",
        "--objective", "aims.json", "--floors", "floors.json", "--do-no-harm", "harm.json",
        "--reuse", "reuse.json", "--scaling", "scaling.json", "--risk", "upper", "--json",
        "--out", "mixture.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["weights"]["web"] == pytest.approx(2 * content["weights"]["code"])
    assert content["weights"]["math"] >= 0.02 - 1e-9
    assert content["risk"] == "upper"
    assert content["change_nats"]["web"]["value"] <= 0.05 + 2e-5
    assert content["prior"]["math"] == pytest.approx(0.101 / 1.001)


def test_what_is_coupled_to_the_changed_domains_is_chosen_again(files):
    (files / "earlier.json").write_text(
        '{"weights": {"web": 0.6, "code": 0.3}, "changed": ["math"]}'
    )
    asked = ("propose", "law.json", "--reuse", "earlier.json", "--coupling", "1", "--json")
    result = invoke(files, *asked, "--out", "mixture.json")
    assert result.exit_code == 0, result.output
    assert result.stderr.strip() == "coupled to math: none"
    weights = json.loads(result.stdout)["weights"]
    assert weights["web"] == pytest.approx(2 * weights["code"])


def test_propose_without_proof_says_so_and_forbids(files):
    result = invoke(
        files, "propose", "law.json", "--solver", "candidates", "--forbid", "math",
        "--out", "mixture.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "nothing proves it the best" in result.output
    assert json.loads((files / "mixture.json").read_text())["weights"]["math"] == 0


def test_propose_stays_within_the_runs(files):
    (files / "aims.json").write_text('{"web": 0, "code": 1, "math": 0}')
    weights = read_law_record(files / "law.json").table.weights
    found = {}
    for limit in ("1", "0"):
        result = invoke(
            files, "propose", "law.json", "--objective", "aims.json", "--kl", "0",
            "--within-runs", limit, "--out", "mixture.json",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        assert ("Held inside the region" in result.output) == (limit == "0")
        found[limit] = json.loads((files / "mixture.json").read_text())
    assert found["1"]["hull_distance"] > 0.01
    assert found["0"]["hull_distance"] < 1e-5
    assert found["0"]["weights"]["code"] == pytest.approx(weights[:, 1].max(), abs=0.02)


def test_plan_by_flops(files, scaling):
    result = invoke(files, "plan", "--scaling", "scaling.json", "--flops", "1e21", "--json",
                    "--out", "plan.json")  # fmt: skip
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert 6 * content["N"] * content["D"] == pytest.approx(1e21)
    assert content["loss_low"] < content["loss"] < content["loss_high"]
    assert min(point["loss"] for point in content["isoflop"]) == pytest.approx(content["loss"])
    assert content["weights"] is None
    assert "kwh" not in content
    assert is_picture(files / "plan.png")


def test_plan_by_hours_with_weights_and_emissions(files, scaling):
    result = invoke(
        files, "plan", "--scaling", "scaling.json", "--law", "law.json", "--gpu-hours", "100",
        "--tokens-per-second", "50000", "--available-tokens", "tokens.json", "--watts-per-gpu",
        "500", "--pue", "1.2", "--grams-co2e-per-kwh", "100", "--price-per-gpu-hour", "2",
        "--out", "plan.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "given by the user" in result.output
    assert "no significant gain" in result.output or "significant gain" in result.output
    content = json.loads((files / "plan.json").read_text())
    assert content["D"] == pytest.approx(100 * 3600 * 50000)
    assert (content["gpu_hours"], content["kwh"]) == (pytest.approx(100), pytest.approx(60))
    assert (content["kg_co2e"], content["money"]) == (pytest.approx(6), pytest.approx(200))
    assert sum(content["weights"].values()) == pytest.approx(1)
    assert all(epochs <= 4 + 1e-4 for epochs in content["epochs"].values())
    assert content["law_gate_passed"] is False
    assert is_picture(files / "plan_weights.png")


def bad(files, *arguments):
    result = invoke(files, *arguments, "--out", "never.json")
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert not (files / "never.json").exists()
    (line,) = result.stderr.strip().splitlines()
    return line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--available-tokens", "tokens.json", "--budget-tokens", "1e12"),
            "budget is 4.64e+10",
        ),
        (("--available-tokens", "tokens.json"), "belong together"),
        (
            ("--available-tokens", "few.json", "--budget-tokens", "1e9"),
            "few.json: math: tokens must not be negative, got -1",
        ),
        (("--prior", "twice.json"), "twice.json: web stands there twice"),
        (("--prior", "latin.json"), "latin.json: no JSON: it is not UTF-8"),
        (("--reuse", "zero.json"), "zero.json: weights"),
        (("--coupling", "0.5"), "--coupling belongs to --reuse"),
        (("--max-epochs", "4"), "needs --available-tokens"),
        (("--prior", "zero.json"), "zero.json: math: a share must be above 0, got 0"),
        (("--prior", "short.json"), "names ['code', 'web']"),
        (("--prior", "nan.json"), "nan.json: math: must be finite, got nan"),
        (("--prior", "large.json"), "shares must sum to 1, got 1.5"),
        (("--prior", "nowhere.json"), "no such file"),
        (("--prior", "text.json"), "text.json: math"),
        (("--objective", "po.json"), "objective names"),
        (("--do-no-harm", "po.json"), "unknown evaluation domains ['po']"),
        (("--forbid", "po"), "unknown, choose among"),
        (("--reuse", "po.json"), "po.json: weights"),
        (("--risk", "lower"), "not convex"),
        (("--width", "2"), "width must lie"),
        (
            ("--within-runs", "-1"),
            "within_runs: Input should be greater than or equal to 0, got -1",
        ),
    ],
)
def test_propose_refuses(files, arguments, message):
    contents = {
        "zero": {"web": 0.7, "code": 0.3, "math": 0},
        "few": {"web": 1, "code": 1, "math": -1},
        "short": {"web": 0.7, "code": 0.3},
        "nan": {"web": 0.7, "code": 0.3, "math": float("nan")},
        "large": {"web": 0.7, "code": 0.3, "math": 0.5},
        "text": {"web": 0.7, "code": 0.3, "math": "x"},
        "po": {"po": 1.0},
    }
    for name, content in contents.items():
        (files / f"{name}.json").write_text(json.dumps(content))
    (files / "twice.json").write_text('{"web": 0.7, "web": 0.7, "code": 0.2, "math": 0.1}')
    (files / "latin.json").write_bytes('{"wéb": 1}'.encode("latin-1"))
    assert message in bad(files, "propose", "law.json", *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "needs one budget"),
        (("--flops", "1e21", "--kwh", "3"), "needs one budget"),
        (("--flops", "-1"), "flops must be positive"),
        (("--flops", "1"), "that is no model; raise the budget"),
        (("--gpu-hours", "9", "--tokens-per-second", "9", "--pue", "0.5"), "at least 1, got 0.5"),
        (("--gpu-hours", "10"), "needs --tokens-per-second"),
        (("--money", "10", "--tokens-per-second", "9"), "needs the price"),
        (("--flops", "1e21", "--measured-params", "1e9"), "give both"),
        (("--flops", "1e24", "--available-tokens", "tokens.json"), "largest feasible budget"),
        (("--flops", "1e21", "--law", "nowhere.json"), "no such file"),
    ],
)
def test_plan_refuses(files, scaling, arguments, message):
    assert message in bad(files, "plan", "--scaling", "scaling.json", *arguments)


def test_fit_scaling_refuses(files):
    assert "no column ['params'" in bad(files, "fit-scaling", "runs.csv")
    assert "num_refits" in bad(files, *FIT, "--bootstrap", "5")
    lines = (files / "runs.csv").read_text().splitlines()
    (files / "few.csv").write_text("\n".join(lines[:5]) + "\n")
    assert "at least 6 runs, got 4" in bad(files, "fit-scaling", "few.csv", *FIT[2:])


@pytest.mark.parametrize("command", ["fit-scaling", "propose", "plan"])
def test_help_has_examples(files, command):
    result = invoke(files, command, "--help")
    assert f"mixwright {command}" in result.output
    assert "--json" in result.output
