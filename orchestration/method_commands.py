"""The command that lists the methods of training."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from training.method_catalogue import MethodDoc

EPILOG = "\n\n".join(
    (
        "A run file names them: mixer: {method: odm, settings: {smoothing: 0.9}}.",
        "",
        "Examples:",
        "mixwright methods",
        "mixwright methods aioli",
        "mixwright methods --json",
    )
)


def methods(
    names: Annotated[
        list[str] | None, typer.Argument(help="Only these; default: all.", metavar="[NAME]...")
    ] = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """List mixers, selectors and weighters with settings, defaults, units and sources."""
    from orchestration.command_errors import one_clear_error
    from training.method_catalogue import list_methods

    found = list_methods()
    with one_clear_error():
        known = {method.name for method in found}
        for name in names or ():
            if name not in known:
                raise ValueError(f"no method {name!r}; choose from {', '.join(sorted(known))}")
    shown = [method for method in found if not names or method.name in names]
    if as_json:
        typer.echo(json.dumps({"methods": [_as_json(method) for method in shown]}))
    else:
        _print(shown)


def _as_json(method: "MethodDoc") -> dict[str, object]:
    return {
        "role": method.role,
        "name": method.name,
        "summary": method.summary,
        "source": method.source,
        "module": method.module,
        "settings": [
            {
                "name": setting.name,
                "allowed": setting.allowed,
                "required": setting.required,
                "default": setting.default,
                "meaning": setting.meaning,
            }
            for setting in method.settings
        ],
    }


def _print(shown: "list[MethodDoc]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    role = None
    for method in shown:
        if method.role != role:
            role = method.role
            console.rule(f"[bold]{role}s", align="left")
        console.print(Text.assemble((method.name, "bold cyan"), f"  {method.summary}"))
        if method.source is not None:
            console.print(Text(f"  {method.source}", style="dim"))
        if method.settings:
            table = Table("setting", "default", "allowed", pad_edge=True)
            table.add_column("meaning", overflow="fold")
            for setting in method.settings:
                default = "required" if setting.required else json.dumps(setting.default)
                table.add_row(
                    Text(setting.name), Text(default), Text(setting.allowed), Text(setting.meaning)
                )
            console.print(table)
        console.print()
