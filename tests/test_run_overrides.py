import pytest

from training.run_overrides import apply_overrides


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("seed=3", {"seed": 3, "schedule": {"steps": 5}}),
        ("schedule.steps=9", {"seed": 1, "schedule": {"steps": 9}}),
        ("schedule.peak_lr=1e-3", {"seed": 1, "schedule": {"steps": 5, "peak_lr": 0.001}}),
        ("mixer.method=odm", {"seed": 1, "schedule": {"steps": 5}, "mixer": {"method": "odm"}}),
        ("seed=null", {"seed": None, "schedule": {"steps": 5}}),
        ("schedule={steps: 2}", {"seed": 1, "schedule": {"steps": 2}}),
        ("note=a=b", {"seed": 1, "schedule": {"steps": 5}, "note": "a=b"}),
    ],
)
def test_a_value_is_replaced_or_added(override, changed):
    content = {"seed": 1, "schedule": {"steps": 5}}
    assert apply_overrides(content, [override]) == changed
    assert content == {"seed": 1, "schedule": {"steps": 5}}


def test_later_overrides_win():
    assert apply_overrides({}, ["seed=1", "seed=2"]) == {"seed": 2}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "write key=value"),
        ("=3", "write key=value"),
        ("a..b=3", "write key=value"),
        ("seed.more=3", "seed is 1, not a section"),
        ("seed=[1", "neither JSON nor YAML"),
        ("day=2020-01-01", "neither JSON nor YAML"),
    ],
)
def test_refuses(override, message):
    with pytest.raises(ValueError, match=message):
        apply_overrides({"seed": 1}, [override])
