"""When an asset is re-made by itself: its content, not the clock, decides.

`refresh_on_change` asks for a partition when an input's data version changed, when its own code
version changed, or when it does not exist yet though its inputs do; it waits while inputs are being
made and while one of their blocking gates has failed. An identical rebuild of an input asks for
nothing, unlike `AutomationCondition.eager()`.
"""

import dagster as dg

NIGHTLY = "0 3 * * *"


def refresh_on_change() -> dg.AutomationCondition:  # type: ignore[type-arg]
    """Re-make when the content of an input changed."""
    condition = dg.AutomationCondition
    changed = (  # type: ignore[misc]  # the stubs lose the key type in a union
        condition.any_deps_match(condition.data_version_changed())
        | condition.code_version_changed()
        | condition.missing().newly_true()
    ).since_last_handled()
    return (
        changed
        & ~condition.any_deps_missing()
        & ~condition.any_deps_in_progress()
        & ~condition.in_progress()
        & condition.all_deps_blocking_checks_passed()
    ).with_label("refresh_on_change")
