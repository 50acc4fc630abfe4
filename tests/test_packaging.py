"""The four package names are generic: they must mean this project and nothing else."""

import json
import os
import subprocess
import sys
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("orchestration", "assets", "training", "quality")


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_resolves_inside_the_repository(package):
    spec = find_spec(package)
    assert spec is not None
    assert Path(spec.origin) == ROOT / package / "__init__.py"


def test_no_other_distribution_brings_these_names():
    owners = packages_distributions()
    foreign = {name: owners[name] for name in PACKAGES if name in owners}
    assert all(set(names) == {"mixwright"} for names in foreign.values()), foreign


def test_packages_resolve_from_elsewhere_through_the_installation(tmp_path):
    """Without the current directory or PYTHONPATH: as a service or a hook starts them."""
    program = (
        "import json, sys\n"
        "from importlib.util import find_spec\n"
        "print(json.dumps({name: find_spec(name).origin for name in sys.argv[1:]}))"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *PACKAGES],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    origins = {name: Path(origin) for name, origin in json.loads(done.stdout).items()}
    # An editable installation of one checkout: all four from the same folder, which is a checkout.
    (installed,) = {origin.parents[1] for origin in origins.values()}
    assert (installed / "workspace.yaml").is_file(), origins


def test_tests_are_no_package():
    """With tests/assets/__init__.py, `import assets` in a test would find the test folder."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []
