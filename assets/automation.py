"""When an asset is re-made by itself: its content, not the clock, decides.

`refresh_on_change` asks for a partition when an input's data version changed, when its own code
version changed, or when it does not exist yet though its inputs do; it waits while inputs are being
made and while one of their blocking gates has not passed. An identical rebuild of an input asks for
nothing, unlike `AutomationCondition.eager()`. What failed is not asked for again until an input
changes: a person looks first.

Changes count from the first evaluation on, for there is nothing older to compare with; what does
not exist counts in the first one too, so a lake that was begun before the sensor is completed.
"""

import dagster as dg

NIGHTLY = "0 3 * * *"


def refresh_on_change(
    *, behind_gates: bool = True, follows: tuple[str, ...] = ()
) -> dg.AutomationCondition:  # type: ignore[type-arg]
    """Re-make when the content of an input changed.

    Args:
        behind_gates: False: also while a gate of an input has not passed.
        follows: The inputs whose changes count. For an asset that reads several links of one chain:
            it waits for the last link, instead of being made twice, first of a mixture of old and
            new. Empty: every input.
    """
    condition = dg.AutomationCondition
    deps_changed = condition.any_deps_match(condition.data_version_changed())
    if follows:
        deps_changed = deps_changed.allow(dg.AssetSelection.assets(*follows))
    changed = (  # type: ignore[misc]  # the stubs lose the key type in a union
        deps_changed | condition.code_version_changed()
    ).since_last_handled()
    absent = (
        condition.missing()
        .newly_true()
        .since(condition.newly_requested() | condition.newly_updated())
    )
    wanted = (
        (changed | absent)
        & ~condition.any_deps_missing()
        & ~condition.any_deps_in_progress()
        & ~condition.in_progress()
    )
    if behind_gates:
        wanted = wanted & condition.all_deps_blocking_checks_passed()
    return wanted.with_label("refresh_on_change")
