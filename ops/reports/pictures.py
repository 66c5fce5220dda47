"""Charts drawn to SVG, without a browser and without the network; the same bytes every time."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import vl_convert

from ops import charts
from ops.charts import Row, Spec

# Half the width of a printed page, at the size that the charts' words are made for.
WIDTH, HEIGHT = 460, 300
_IDS = re.compile(r'\bid="([^"]+)"')


def xmr(rows: Sequence[Row], *, denominator_name: str) -> str:
    """Draw a hospital's months."""
    return _draw(charts.xmr(rows, denominator_name=denominator_name), "xmr")


def funnel(rows: Sequence[Row], limits: Sequence[Row], *, denominator_name: str) -> str:
    """Draw hospitals between limits, ``is_own`` marking the reader's."""
    has_own = any(row["is_own"] for row in rows)
    spec = charts.funnel(rows, limits, denominator_name=denominator_name, has_own=has_own)
    return _draw(spec, "funnel")


def _draw(spec: Spec, name: str) -> str:
    fixed = spec | {"width": WIDTH, "height": HEIGHT, "background": "white"}
    # A description of each mark would be read out one by one; the figure has a text of its own.
    fixed["config"] = spec["config"] | {"aria": False}
    drawn: str = vl_convert.vegalite_to_svg(json.dumps(fixed), allowed_base_urls=[])
    return _renamed(drawn, name)


def _renamed(svg: str, name: str) -> str:
    """Name what a drawing refers to anew: the library counts on through the life of a process.

    Two drawings of one page would also share names.
    """
    for number, old in enumerate(dict.fromkeys(_IDS.findall(svg)), start=1):
        new = f"{name}-{number}"
        svg = svg.replace(f'id="{old}"', f'id="{new}"').replace(f"url(#{old})", f"url(#{new})")
    return svg
