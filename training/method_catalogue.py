"""Every mixer, selector and weighter with its settings, read from the code that runs them.

A method's module says what it does in the first line of its docstring and where it comes from in
the sentence after "Source:"; its settings are the strict dataclass named <Method>Settings.
"""

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from training.mixers import MIXERS
from training.selectors import SELECTORS
from training.setting_docs import SettingDoc, describe_settings
from training.weighters import WEIGHTERS

METHODS: Mapping[str, Mapping[str, Callable[..., object]]] = {
    "mixer": MIXERS,
    "selector": SELECTORS,
    "weighter": WEIGHTERS,
}
"""Role in a run file -> name -> what makes it."""

_SOURCE = re.compile(r"Source: (.+?)\.(?=\s+[A-Z`(]|\s*\Z)", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodDoc:
    """One method."""

    role: str
    """mixer, selector or weighter."""
    name: str
    """As it stands in a run file."""
    summary: str
    """What it does, one line."""
    source: str | None
    """Where it was published; None: nowhere in particular."""
    module: str
    """Whose docstring has formula, deviations and reasons."""
    settings: tuple[SettingDoc, ...]
    """What can be set."""


def list_methods() -> tuple[MethodDoc, ...]:
    """Describe all methods, by role and name."""
    return tuple(
        _describe(role, name, make)
        for role, makers in METHODS.items()
        for name, make in sorted(makers.items())
    )


def settings_of(make: Callable[..., object]) -> type:
    """Find the settings of a method in the module that makes it."""
    found = {
        kind
        for name, kind in vars(sys.modules[make.__module__]).items()
        if name.endswith("Settings") and isinstance(kind, type)
    }
    own = [kind for kind in found if not any(kind in one.__mro__[1:] for one in found)]
    assert len(own) == 1, f"{make.__module__} must have one <Method>Settings, has {own}"
    return own[0]


def _describe(role: str, name: str, make: Callable[..., object]) -> MethodDoc:
    text = inspect.getdoc(sys.modules[make.__module__]) or ""
    source = _SOURCE.search(text)
    return MethodDoc(
        role=role,
        name=name,
        summary=text.splitlines()[0],
        source=" ".join(source[1].split()) if source else None,
        module=make.__module__,
        settings=describe_settings(settings_of(make)),
    )
