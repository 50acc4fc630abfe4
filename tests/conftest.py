"""What holds for every test file; the shared fixtures are in the plugins, one file a noun."""

import os

import pytest

os.environ["MIXWRIGHT_PRESET"] = "ci"  # read when assets.partitions is imported

pytest_plugins = (
    "drive_fixtures",
    "made_graph_fixtures",
    "report_lake_fixtures",
    "run_fixtures",
)


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in the same hook
def pytest_collection_modifyitems(items):
    """Tests of one file, and all that use the made graph, go to one worker: it is made once."""
    for item in items:
        group = "graph" if "made_graph" in item.fixturenames else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))
