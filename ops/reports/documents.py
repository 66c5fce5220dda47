"""A page as HTML and as PDF: templates place its words, and no word of it is read as markup."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Literal

import jinja2
import typst
from markupsafe import Markup

from ops.reports.page import Page

_TEMPLATES = Path(__file__).parent / "templates"
# The fonts that are part of the wheel: the same on every machine.
_FONT_OF_CHARTS = "Libertinus Serif"
_FONT_FAMILY = re.compile(r'font-family="[^"]*"')


def html_document(page: Page) -> bytes:
    """Return a page of HTML that needs no other file and runs no script."""
    figures = [figure for figure in (page.months, page.funnel) if figure is not None]
    return (
        _html_template()
        .render(
            page=page,
            # Drawn by this program out of figures; all other text is escaped.
            drawings={figure.title: Markup(figure.svg) for figure in figures},
        )
        .encode()
    )


def pdf_document(page: Page) -> bytes:
    """Return a tagged PDF: one page, unless measures were added that need more.

    It is PDF/UA-1, unless it holds letters that its fonts lack.
    """
    figures = {"months": page.months, "funnel": page.funnel}
    inputs = {"page": json.dumps(asdict(page))}
    inputs |= {
        name: _FONT_FAMILY.sub(f'font-family="{_FONT_OF_CHARTS}"', figure.svg)
        for name, figure in figures.items()
        if figure is not None
    }
    try:
        return _compiled(inputs, ["ua-1"])
    except typst.TypstError:
        # The standard forbids letters that the fonts lack; boxes are better than no page.
        return _compiled(inputs, [])


def _compiled(inputs: dict[str, str], standards: list[Literal["ua-1"]]) -> bytes:
    return typst.compile(
        str(_TEMPLATES / "report.typ"),
        root=str(_TEMPLATES),
        ignore_system_fonts=True,
        sys_inputs=inputs,
        pdf_standards=[*standards],
    )


@cache
def _html_template() -> jinja2.Template:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("report.html.j2")
