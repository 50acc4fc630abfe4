"""HTML pages that hold their pictures and styles themselves and ask no server for anything."""

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assets import plots
from assets.plots.plot_style import DOTS_PER_INCH
from orchestration import wording

CSS_PIXELS_PER_INCH = 108
"""Size of a plot's inch on the page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An image that the page holds itself."""

    address: str
    """Data URI."""
    width: int
    """On the page, in CSS pixels, so that all pictures have the same size of letters."""


def picture(png: bytes) -> Picture:
    """Embed a plot."""
    (pixels,) = struct.unpack(">I", png[16:20])
    inches = pixels / DOTS_PER_INCH
    return Picture(address=plots.as_data_uri(png), width=round(inches * CSS_PIXELS_PER_INCH))


def write_page(template: str, out: Path, values: Mapping[str, object]) -> Path:
    """Fill a template of this folder; every text is escaped, a value that is missing is an error.

    Args:
        template: File name.
        out: HTML file; its folder is created, an older page is replaced at once.
        values: What the template shows.

    Returns:
        The absolute path of the page.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in wording.__all__:
        environment.filters[name] = getattr(wording, name)
    page = environment.get_template(template).render(**values)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    temporary.write_text(page, encoding="utf-8")
    os.replace(temporary, out)
    return out.resolve()
