"""Marks of a chart's months whose figures are not those first published.

Late data: a dotted line. Counted otherwise since: a band, for it is a break in the series and not a
change of one month. Of both the figure as first published stands beside the one of today.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

Spec = dict[str, Any]
Row = Mapping[str, Any]

FIRST_PUBLISHED = "As first published"
FIRST_SHAPE = "diamond"
FIRST_COLOUR = "#E69F00"
LATE = "Late data taken up"
OTHERWISE = "Published by another definition"
BAND = "#F3E6C4"
GREY = "#6B6B6B"
# Beside the legend of the points they would leave it no room on a phone.
_ABOVE: Spec = {"orient": "top"}
_BAND_SYMBOL: Spec = _ABOVE | {
    "symbolType": "square",
    "symbolFillColor": BAND,
    "symbolStrokeColor": GREY,
    "symbolStrokeWidth": 1,
    "symbolOpacity": 1,
}
_ARROW = "\N{RIGHTWARDS ARROW}"


def break_marks(changes: Sequence[Row], months: Sequence[date], axis: Spec) -> list[Spec]:
    """Return the layers behind a chart's points.

    Args:
        changes: the changed months in order: ``month_on``, ``is_new_series``, ``change``.
        months: all months of the chart, in order.
        axis: the chart's axis of months.
    """
    late = [{"month": _day(row["month_on"]), "late": LATE} for row in changes if not _is_new(row)]
    bands = _bands(changes, months)
    layers: list[Spec] = []
    if bands:
        span = {name: axis[name] for name in ("type", "title", "axis")}
        layers.append(
            {
                "data": {"values": bands},
                "mark": {"type": "rect", "color": BAND},
                "encoding": {
                    "x": span | {"field": "begins"},
                    "x2": {"field": "ends"},
                    # By opacity: a scale of fills would take the other legend's symbols away.
                    "opacity": _legend("band", OTHERWISE, 0.8) | {"legend": _BAND_SYMBOL},
                    "tooltip": [{"field": "change", "type": "nominal", "title": OTHERWISE}],
                },
            }
        )
    if late:
        layers.append(
            {
                "data": {"values": late},
                "mark": {"type": "rule", "color": GREY},
                "encoding": {"x": axis, "strokeDash": _legend("late", LATE, [2, 3])},
            }
        )
    return layers


def first_points(
    changes: Sequence[Row], denominator: str, axis: Spec, y: Spec, scales: Spec
) -> list[Spec]:
    """Return the layer of the figures first published; none where there are no old figures.

    Args:
        changes: the changed months, with their counts then and now.
        denominator: ``all_visits`` or ``index_visits``.
        axis: the chart's axis of months.
        y: the chart's axis of rates.
        scales: the chart's ``shape`` and ``color``.
    """
    points = [
        {
            "month": _day(row["month_on"]),
            "rate": row["first_numerator_count"] / row[f"first_{denominator}_count"],
            "kind": FIRST_PUBLISHED,
            "change": row["change"],
            "returns": _then_and_now(row, "numerator"),
            "visits": _then_and_now(row, denominator),
        }
        for row in changes
        if row.get("first_numerator_count") is not None and row.get(f"first_{denominator}_count")
    ]
    if not points:
        return []
    tooltip = [
        {"field": "month", "type": "temporal", "format": "%B %Y", "title": "Month"},
        {"field": "change", "type": "nominal", "title": "What changed"},
        {"field": "returns", "type": "nominal", "title": f"Returns, first {_ARROW} now"},
        {"field": "visits", "type": "nominal", "title": f"Visits, first {_ARROW} now"},
        {"field": "rate", "type": "quantitative", "format": ".2%", "title": "Rate, first"},
    ]
    mark = {"type": "point", "filled": True, "size": 70, "opacity": 1}
    encoding = {"x": axis, "y": y, "tooltip": tooltip} | scales
    return [{"data": {"values": points}, "mark": mark, "encoding": encoding}]


def _bands(changes: Sequence[Row], months: Sequence[date]) -> list[Spec]:
    """Join months that follow one another on the chart and changed alike."""
    words = {row["month_on"]: row["change"] for row in changes if _is_new(row)}
    bands = []
    for change, group in itertools.groupby(months, key=words.get):
        of = list(group)
        if change is not None:
            # Half a month to each side: a point stands on the first of its month.
            bands.append({"begins": _half_before(of[0]), "ends": _half_after(of[-1])})
            bands[-1]["change"] = change
            bands[-1]["band"] = OTHERWISE
    return bands


def _half_before(month: date) -> str:
    year, number = (month.year, month.month - 1) if month.month > 1 else (month.year - 1, 12)
    return f"{year}-{number:02d}-16"


def _half_after(month: date) -> str:
    return f"{month:%Y-%m}-15"


def _then_and_now(row: Row, count: str) -> str:
    values = [row.get(f"{which}_{count}_count") for which in ("first", "now")]
    return f" {_ARROW} ".join("hidden" if value is None else f"{value:,}" for value in values)


def _is_new(row: Row) -> bool:
    return bool(row["is_new_series"])


def _day(month: date) -> str:
    return f"{month:%Y-%m-%d}"


def _legend(field: str, name: str, value: Any) -> Spec:
    # A field of its own: legends of one field become one, with the symbols of one.
    return {
        "field": field,
        "type": "nominal",
        "scale": {"domain": [name], "range": [value]},
        "legend": _ABOVE | {"symbolType": "stroke"},
    }
