"""Vega-Lite specifications, written out: half the rendering time of building them anew in Altair.

Colours are those of Okabe and Ito, told apart by readers with any colour vision; every meaning
also has a shape or a dash of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ops.chart_breaks import FIRST_COLOUR, FIRST_PUBLISHED, FIRST_SHAPE, break_marks, first_points

BLUE = "#0072B2"
VERMILLION = "#D55E00"
SKY = "#56B4E9"
GREEN = "#009E73"
ORANGE = "#E69F00"
GREY = "#6B6B6B"

Spec = dict[str, Any]
Row = dict[str, Any]

KINDS = ["Usual variation", "Special cause: higher", "Special cause: lower", "Hidden or open"]
KIND_SHAPES = ["circle", "triangle-up", "triangle-down", "cross"]
KIND_COLOURS = [BLUE, VERMILLION, GREEN, GREY]

CAUSES = {
    "outside_limits": "outside the limits",
    "run_on_one_side": "seven in a row on one side of the mean",
    "trend": "seven in a row rising or falling",
    "two_of_three": "two of three near a limit",
}

MONTHS_OF_YEAR = 12

_CONFIG: Spec = {
    "font": "Source Sans, DejaVu Sans, sans-serif",
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
    "legend": {
        "orient": "bottom",
        "columns": 2,
        "labelFontSize": 12,
        "labelLimit": 260,
        "symbolSize": 90,
        "title": None,
    },
    "view": {"stroke": None},
}


def _chart(layers: list[Spec], *, height: int, description: str) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "description": description,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": {"left": 2, "right": 14, "top": 6, "bottom": 2},
        "layer": layers,
        "config": _CONFIG,
    }


def _data(rows: Sequence[Row]) -> Spec:
    return {"values": list(rows)}


def _over(rows: Sequence[Row], layers: list[Spec]) -> Spec:
    # Streamlit sends data of the top level after the chart, which then starts without an extent
    # and warns; data inside a layer travel with it.
    return {"data": _data(rows), "layer": layers}


def _month_axis(months_count: int) -> Spec:
    step = 3 if months_count <= 2 * MONTHS_OF_YEAR else MONTHS_OF_YEAR
    return {
        "field": "month",
        "type": "temporal",
        "timeUnit": "utcyearmonth",
        "title": None,
        "axis": {
            "format": "%b %Y",
            "tickCount": {"interval": "month", "step": step},
            "labelOverlap": True,
            "labelSeparation": 8,
            "grid": False,
        },
    }


def _rate_axis(title: str, domain: list[float] | None = None) -> Spec:
    scale: Spec = {"zero": False} if domain is None else {"domain": domain, "nice": True}
    return {
        "field": "rate",
        "type": "quantitative",
        "title": title,
        "scale": scale,
        "axis": {"format": ".2~%", "gridColor": "#E3E6EA", "tickCount": 6, "titleLimit": 300},
    }


def special_causes(codes: str | None) -> str:
    """Return the causes of a point in words."""
    return "; ".join(CAUSES[code] for code in (codes or "").split(",") if code)


def _kind(row: Row) -> str:
    if row["rate"] is None:
        return KINDS[3]
    if row["special_cause_direction"] == "high":
        return KINDS[1]
    return KINDS[2] if row["special_cause_direction"] == "low" else KINDS[0]


def xmr(
    rows: Sequence[Row],
    *,
    denominator_name: str,
    denominator: str = "all_visits",
    changes: Sequence[Row] = (),
) -> Spec:
    """Return an XmR chart: points, mean, limits, special causes by shape and colour.

    Args:
        rows: points of one series in order, as ``rpt_ed_returns_xmr`` has them.
        denominator_name: what the rate is per, for the axis.
        denominator: the same as a code.
        changes: months whose figures are not those first published, with both figures and
            ``change`` in words; marked as a break.
    """
    points = [
        {
            "month": f"{row['month_on']:%Y-%m-%d}",
            # A hidden month's cross lies on the mean, or on the axis where there is none.
            "rate": row["rate"] if row["rate"] is not None else row["mean_rate"] or 0.0,
            "line": row["rate"],
            "kind": _kind(row),
            "cause": special_causes(row["special_cause_codes"]) or "none",
            "numerator": row["numerator_count"],
            "denominator": row["denominator_count"],
            "mean": row["mean_rate"],
            "lower": row["lower_limit"],
            "upper": row["upper_limit"],
        }
        for row in rows
    ]
    axis = _month_axis(len(points))
    y = _rate_axis(f"Returns per {denominator_name}")
    limits = {"mark": {"type": "line", "strokeDash": [6, 4], "color": GREY, "strokeWidth": 1.5}}
    has_first = any(row.get("first_numerator_count") is not None for row in changes)
    kinds = [*KINDS, FIRST_PUBLISHED] if has_first else KINDS
    scales = {
        "shape": _scale("kind", kinds, [*KIND_SHAPES, FIRST_SHAPE][: len(kinds)]),
        "color": _scale("kind", kinds, [*KIND_COLOURS, FIRST_COLOUR][: len(kinds)]),
    }
    layers: list[Spec] = [
        limits | {"encoding": {"x": axis, "y": y | {"field": name}}} for name in ("lower", "upper")
    ]
    layers.append(
        {
            "mark": {"type": "line", "color": GREY, "strokeWidth": 1.5},
            "encoding": {"x": axis, "y": y | {"field": "mean"}},
        }
    )
    layers.append(
        {
            "mark": {
                "type": "line",
                "color": BLUE,
                "strokeWidth": 2,
                "invalid": "break-paths-show-domains",
            },
            "encoding": {"x": axis, "y": y | {"field": "line"}},
        }
    )
    layers.append(
        {
            "mark": {"type": "point", "filled": True, "size": 95, "opacity": 1},
            "encoding": {
                "x": axis,
                "y": y,
                **scales,
                "tooltip": [
                    {"field": "month", "type": "temporal", "format": "%B %Y", "title": "Month"},
                    {"field": "line", "type": "quantitative", "format": ".2%", "title": "Rate"},
                    {"field": "numerator", "type": "quantitative", "title": "Returns"},
                    {
                        "field": "denominator",
                        "type": "quantitative",
                        "format": ",",
                        "title": denominator_name,
                    },
                    {"field": "cause", "type": "nominal", "title": "Special cause"},
                ],
            },
        }
    )
    described = f"XmR chart of returns per {denominator_name} by month; the table holds its figures"
    drawn = [
        *break_marks(changes, [row["month_on"] for row in rows], axis),
        _over(points, layers),
        *first_points(changes, denominator, axis, y, scales),
    ]
    return _chart(drawn, height=340, description=described)


def _scale(field: str, domain: list[str], values: list[str]) -> Spec:
    return {
        "field": field,
        "type": "nominal",
        "scale": {"domain": domain, "range": values},
        "legend": {},
    }


# More hospitals than this are drawn smaller, or they hide one another.
CROWD = 30
FUNNEL_KINDS = ["Within 95 % limits", "Outside 95 %", "Outside 99.8 %", "This hospital"]
FUNNEL_SHAPES = ["circle", "square", "diamond", "triangle-up"]
FUNNEL_COLOURS = [BLUE, ORANGE, VERMILLION, "#000000"]


def _funnel_kind(row: Row) -> str:
    if row.get("is_own"):
        return FUNNEL_KINDS[3]
    position = row["position_code"] or "within"
    if position == "within":
        return FUNNEL_KINDS[0]
    return FUNNEL_KINDS[2] if position.endswith("_998") else FUNNEL_KINDS[1]


def funnel(
    rows: Sequence[Row], limits: Sequence[Row], *, denominator_name: str, has_own: bool
) -> Spec:
    """Return a funnel plot with over-dispersed limits of 95 and 99.8 %.

    Args:
        rows: one point per hospital, as ``rpt_ed_returns_funnel`` has them, with ``is_own``.
        limits: the curve of the limits.
        denominator_name: what the rate is per, for the axes.
        has_own: one of the points is the reader's own hospital.
    """
    points = [
        {
            "name": row["hospital_name"],
            "visits": row["denominator_count"],
            "rate": row["rate"],
            "numerator": row["numerator_count"],
            "kind": _funnel_kind(row),
        }
        for row in rows
    ]
    x: Spec = {
        "field": "visits",
        "type": "quantitative",
        "title": f"{denominator_name} in the half-year",
        "scale": {"zero": False, "nice": False},
        "axis": {"format": "~s", "grid": False, "tickCount": 6},
    }
    shown = [row[name] for row in limits for name in ("lower_95", "upper_95")]
    shown += [row["rate"] for row in rows]
    y = _rate_axis(f"Returns per {denominator_name}", [min(shown) * 0.85, max(shown) * 1.1])
    curves: list[Row] = [
        {"visits": row["denominator_count"], "rate": row[name], "limit": name}
        | {"width": "99.8 %" if name.endswith("998") else "95 %"}
        for row in limits
        for name in ("lower_95", "upper_95", "lower_998", "upper_998")
    ]
    centre = [{"rate": limits[0]["centre_rate"]}] if limits else []
    last = -1 if not has_own else None
    layers: list[Spec] = [
        {
            "data": _data(centre),
            "mark": {"type": "rule", "color": GREY, "strokeWidth": 1.5},
            "encoding": {"y": y},
        },
        {
            "data": _data(curves),
            "mark": {"type": "line", "color": GREY, "strokeWidth": 1.5, "clip": True},
            "encoding": {
                "x": x,
                "y": y,
                "detail": {"field": "limit", "type": "nominal"},
                "strokeDash": {
                    "field": "width",
                    "type": "nominal",
                    "scale": {"domain": ["95 %", "99.8 %"], "range": [[3, 3], [9, 4]]},
                    "legend": {"orient": "top", "title": "Limits", "titleFontWeight": "normal"},
                },
            },
        },
        {
            "data": _data(points),
            "mark": {"type": "point", "filled": True, "opacity": 1},
            "encoding": {
                "x": x,
                "y": y,
                "size": {
                    "condition": {"test": f"datum.kind === '{FUNNEL_KINDS[3]}'", "value": 190},
                    "value": 110 if len(points) <= CROWD else 50,
                },
                "shape": _scale("kind", FUNNEL_KINDS[:last], FUNNEL_SHAPES[:last]),
                "color": _scale("kind", FUNNEL_KINDS[:last], FUNNEL_COLOURS[:last]),
                "tooltip": [
                    {"field": "name", "type": "nominal", "title": "Hospital"},
                    {"field": "rate", "type": "quantitative", "format": ".2%", "title": "Rate"},
                    {"field": "numerator", "type": "quantitative", "title": "Returns"},
                    {
                        "field": "visits",
                        "type": "quantitative",
                        "format": ",",
                        "title": denominator_name,
                    },
                ],
            },
        },
    ]
    described = f"Funnel plot of returns per {denominator_name} by hospital; the table holds it"
    return _chart(layers, height=360, description=described)


CURVES = {"any": "Any return", "admitted": "Return with admission", "died": "Death, no return"}
CURVE_COLOURS = [BLUE, VERMILLION, GREY]
CURVE_DASHES = [[1, 0], [7, 3], [2, 2]]


def time_to_return(rows: Sequence[Row]) -> Spec:
    """Return cumulative incidence curves as steps, with limits shaded.

    Args:
        rows: one per day, as ``rpt_ed_return_curves`` has them; shares from 0 to 1.
    """
    start: Row = {"day_number": 0} | {f"{code}_share": 0.0 for code in CURVES}
    points: list[Row] = [
        {
            "day": row["day_number"],
            "end": end,
            "rate": row[f"{code}_share"],
            "lower": row.get(f"{code}_lower"),
            "upper": row.get(f"{code}_upper"),
        }
        for code, end in CURVES.items()
        for row in [start, *rows]
    ]
    x: Spec = {
        "field": "day",
        "type": "quantitative",
        "title": "Days since departure",
        "axis": {"grid": False, "tickMinStep": 1, "values": [0, 1, 2, 3, 7, 14, 21, 30]},
    }
    y = _rate_axis("Share of index visits so far") | {"scale": {"zero": True}}
    colour = _scale("end", list(CURVES.values()), CURVE_COLOURS)
    # Else the legend is as pale as the bands.
    colour["legend"] = {"symbolType": "stroke", "symbolOpacity": 1, "symbolStrokeWidth": 3}
    dash: Spec = {"field": "end", "type": "nominal", "legend": None}
    dash["scale"] = {"domain": list(CURVES.values()), "range": CURVE_DASHES}
    band = {"type": "area", "interpolate": "step-after", "opacity": 0.15}
    line = {"type": "line", "interpolate": "step-after", "strokeWidth": 2}
    tooltip = [
        {"field": "end", "type": "nominal", "title": "End"},
        {"field": "day", "type": "quantitative", "title": "Day"},
        {"field": "rate", "type": "quantitative", "format": ".2%", "title": "Share so far"},
    ]
    layers: list[Spec] = [
        {
            "transform": [{"filter": "isValid(datum.lower)"}],
            "mark": band,
            "encoding": {
                "x": x,
                "y": y | {"field": "lower"},
                "y2": {"field": "upper"},
                "color": colour,
            },
        },
        {
            "mark": line,
            "encoding": {"x": x, "y": y, "color": colour, "strokeDash": dash},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 40, "opacity": 0},
            "encoding": {"x": x, "y": y, "color": colour, "tooltip": tooltip},
        },
    ]
    described = "Share of index visits that returned or died by day; the table holds its figures"
    return _chart([_over(points, layers)], height=320, description=described)


def monthly_line(
    rows: Sequence[Row], *, value: str, title: str, number_format: str, colour: str = BLUE
) -> Spec:
    """Return a line with points over months; a missing month breaks the line.

    Args:
        rows: one per month, with ``month_on`` and the value.
        value: the field to draw; None where hidden.
        title: of the axis, with its unit.
        number_format: d3 format of axis and tooltip.
        colour: of the line.
    """
    points = [
        {
            "month": f"{row['month_on']:%Y-%m-%d}",
            "value": None if row[value] is None else float(row[value]),
        }
        for row in rows
    ]
    y: Spec = {
        "field": "value",
        "type": "quantitative",
        "title": title,
        "scale": {"zero": True},
        "axis": {"format": number_format, "gridColor": "#E3E6EA", "tickCount": 5},
    }
    encoding = {
        "x": _month_axis(len(points)),
        "y": y,
        "tooltip": [
            {"field": "month", "type": "temporal", "format": "%B %Y", "title": "Month"},
            {"field": "value", "type": "quantitative", "format": number_format, "title": title},
        ],
    }
    mark: Spec = {"type": "line", "color": colour, "strokeWidth": 2}
    mark |= {"point": {"filled": True, "size": 55, "color": colour}}
    mark |= {"invalid": "break-paths-show-domains"}
    described = f"{title} by month; the table holds its figures"
    layers = [_over(points, [{"mark": mark, "encoding": encoding}])]
    return _chart(layers, height=260, description=described)
