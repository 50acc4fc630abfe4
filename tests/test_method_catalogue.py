import json

import pytest
from typer.testing import CliRunner

from orchestration.cli import app
from training.method_catalogue import METHODS, list_methods
from training.mixers.odm import OdmSettings


def invoke(*arguments):
    return CliRunner().invoke(app, ["methods", *arguments], env={"COLUMNS": "160"})


def test_every_registered_method_is_described():
    told = {(one.role, one.name): one for one in list_methods()}
    assert set(told) == {(role, name) for role, makers in METHODS.items() for name in makers}
    for one in told.values():
        assert len(one.summary) > 20
        for setting in one.settings:
            assert setting.meaning, f"{one.name}.{setting.name} has no docstring"


def test_settings_and_source_are_those_of_the_code():
    (odm,) = (one for one in list_methods() if one.name == "odm")
    assert odm.source.startswith("Albalak et al. 2023, ")
    assert odm.source.endswith("(its smoothed, grouped update with s = .5)")
    smoothing = next(one for one in odm.settings if one.name == "smoothing")
    assert (smoothing.allowed, smoothing.default) == ("number >= 0, < 1", OdmSettings().smoothing)


def test_the_command_prints_tables_or_json():
    shown = invoke("temperature").stdout
    assert "arXiv:1907.05019" in shown
    assert "required" in shown
    assert "aioli" not in shown
    (method,) = json.loads(invoke("temperature", "--json").stdout)["methods"]
    assert (method["role"], method["name"]) == ("mixer", "temperature")
    (setting,) = method["settings"]
    assert setting == {
        "name": "temperature",
        "allowed": "number > 0",
        "required": True,
        "default": None,
        "meaning": setting["meaning"],
    }


@pytest.mark.parametrize("heading", ["mixers", "selectors", "weighters"])
def test_all_three_kinds_are_listed(heading):
    assert heading in invoke().stdout


def test_an_unknown_method_is_one_line():
    result = invoke("aoli")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: no method 'aoli'; choose from aioli, ")
    assert result.stderr.count("\n") == 1
