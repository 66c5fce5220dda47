"""The risk report of a release: what each attacker is left with, and what that cost.

One page of HTML without scripts, its plots drawn into it. Counts are rounded to hundreds: a page
about protection must not publish how many persons a rule took out to the last one.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt
import pyarrow as pa
import vl_convert

from ops.release.attacks import Attacked
from ops.release.linkage import Linkage
from ops.release.noisy_match import ECCENTRICITY, Match, Noise

ROUNDED_TO = 100
SMALLEST_SHOWN = 11
_PERCENT = 100
_STAGES = ("before", "after")
_COLOURS = ("#9aa5b1", "#1b6ca8")

ATTACKERS = {
    "person_attributes": "knows sex, age band, area and year of a person",
    "visit_sequence": "knows these, and every stay: intervals and main diagnosis groups in order",
    "two_codes": "knows two diagnosis groups of a person, and nothing else",
    "two_codes_and_attributes": "knows two diagnosis groups, sex, age band, area and year",
    "two_events": "knows sex, age band, area and year, and everything of two stays but their ends",
    "whole_record": "knows every column but how the stays ended",
    "other_release": "holds another release of the same persons, and all its columns",
}
WAYS = {
    "everything": "every column that both have; of dates the days between them",
    "unchanged": "sex, age band, year and intervals, which every level shows alike",
    "days": "every column that both have, and the days as they are written",
}
RULES = {
    "person_sample": (
        "A secret sample of persons",
        "None expected: the sample does not look at a person's data. Rare events are fewer. Of a "
        "limited data set stays at the edges of the period and on days that everybody knows are "
        "missing.",
    ),
    "first_stays": (
        "The first few stays",
        "Frequent attenders look like others: no count of stays per person is right. Later stays, "
        "and where years are shown those of later years, are missing.",
    ),
    "first_diagnoses": (
        "A cap on diagnosis groups",
        "Persons with many conditions look healthier than they are.",
    ),
    "small_classes": (
        "Histories cut, diagnoses coarsened or withheld, and persons left out, until enough look "
        "alike",
        "The very old, rare diagnoses and unusual histories are too few, and common ones too "
        "common.",
    ),
}
_STYLE = """
body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2733; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid #d3dae2; padding: .3rem .8rem; text-align: right; }
th:first-child, td:first-child, td.text { text-align: left; }
figure { margin: 1.5rem 0; } svg { max-width: 100%; height: auto; }
"""


@dataclass(frozen=True)
class Risk:
    """What one attacker is left with at one stage; a row of ``release_risks``."""

    attacker_code: str
    stage_code: str
    persons_count: int
    smallest_class_size: int
    unique_persons_count: int
    small_class_persons_count: int
    largest_risk: float
    mean_risk: float

    @property
    def small_share(self) -> float:
        """Percent of persons in classes under 11."""
        return _share(self.small_class_persons_count, self.persons_count)


@dataclass(frozen=True)
class Loss:
    """What one rule took away; a row of ``release_losses``."""

    rule_number: int
    rule_code: str
    persons_before: int
    persons_after: int
    stays_before: int
    stays_after: int
    diagnoses_before: int
    diagnoses_after: int


def risk_report(
    title: str,
    risks: Sequence[Risk],
    losses: Sequence[Loss],
    parameters: Mapping[str, object],
    attacked: Attacked,
    *,
    is_synthetic: bool,
) -> str:
    """Return the report as one HTML page.

    Args:
        title: the release and its profile.
        risks: rows of ``release_risks``.
        losses: rows of ``release_losses``, in the order of the rules.
        parameters: the profile's parameters.
        attacked: what attacks on the files found.
        is_synthetic: whether nobody in it exists.
    """
    synthetic = "<p><b>These data are synthetic: nobody in them exists.</b></p>"
    parts = [
        f"<h1>Risk report: {html.escape(title)}</h1>",
        synthetic if is_synthetic else "",
        "<p>It says which attacks the files were checked against, and what is left of each, not "
        "that nobody can be found. A class is the group of persons who fit all that an "
        "attacker knows; the risk of a person is one divided by the size of the class. Before: in "
        "bands, without the gate. After: the files beside this page. Counts are rounded to "
        f"hundreds.</p><h2>Attackers</h2>{_figure(_small_classes(risks))}{_risk_table(risks)}",
        f"<h2>Mean risk</h2>{_figure(_mean_risks(risks))}",
        f"<h2>Joined with earlier releases</h2>{_linkage(attacked)}",
        f"<h2>Matched with the warehouse</h2>{_match(attacked.match, Noise())}",
        f"<h2>What it cost</h2>{_figure(_remaining(losses))}{_loss_table(losses)}",
        f"<h2>The bias that makes</h2><ul>{''.join(_bias(loss) for loss in losses)}</ul>",
        f"<h2>Parameters of the profile</h2>{_parameter_table(parameters)}",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>Risk report</title><style>{_STYLE}</style></head><body>"
        f"{''.join(parts)}</body></html>\n"
    )


def _share(part: int, whole: int) -> float:
    return _PERCENT * part / whole if whole else 0.0


def _rounded(count: int) -> str:
    return f"{ROUNDED_TO * round(count / ROUNDED_TO):,}"


def _attacker(code: str) -> str:
    return ATTACKERS.get(code, code.replace("_", " "))


def _figure(chart: alt.Chart | alt.LayerChart) -> str:
    drawn: str = vl_convert.vegalite_to_svg(chart.to_json())
    return f"<figure>{drawn}</figure>"


def _rows(risks: Sequence[Risk]) -> list[dict[str, object]]:
    return [
        {
            "attacker": risk.attacker_code.replace("_", " "),
            "stage": risk.stage_code,
            "small": round(risk.small_share, 1),
            "risk": round(risk.mean_risk, 4),
        }
        for risk in risks
    ]


def _bars(risks: Sequence[Risk], field: str, title: str) -> alt.Chart:
    order = list(dict.fromkeys(risk.attacker_code.replace("_", " ") for risk in risks))
    chart: alt.Chart = (
        alt.Chart(pa.Table.from_pylist(_rows(risks)))
        .mark_bar()
        .encode(
            x=alt.X(f"{field}:Q", title=title),
            y=alt.Y("attacker:N", title=None, sort=order, axis=alt.Axis(labelLimit=220)),
            yOffset=alt.YOffset("stage:N", sort=list(_STAGES)),
            color=alt.Color(
                "stage:N", title=None, scale=alt.Scale(domain=list(_STAGES), range=list(_COLOURS))
            ),
        )
        # Without a browser the width of a label is only guessed.
        .properties(width=460, padding={"left": 60, "top": 5, "right": 5, "bottom": 5})
    )
    return chart


def _small_classes(risks: Sequence[Risk]) -> alt.Chart:
    return _bars(risks, "small", "percent of persons in a class under 11")


def _mean_risks(risks: Sequence[Risk]) -> alt.Chart:
    return _bars(risks, "risk", "mean risk (1 / size of the class)")


def _remaining(losses: Sequence[Loss]) -> alt.Chart:
    rows = [
        {"what": what, "rule": label, "percent": round(_share(left, total), 1)}
        for what in ("persons", "stays", "diagnoses")
        if losses
        for total in [int(getattr(losses[0], f"{what}_before"))]
        for label, left in [("all", total)]
        + [(loss.rule_code.replace("_", " "), getattr(loss, f"{what}_after")) for loss in losses]
    ]
    order = list(dict.fromkeys(str(row["rule"]) for row in rows))
    chart: alt.Chart = (
        alt.Chart(pa.Table.from_pylist(rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("rule:N", title="after the rule", sort=order, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("percent:Q", title="percent left", scale=alt.Scale(domain=[0, _PERCENT])),
            color=alt.Color("what:N", title=None),
        )
        .properties(width=560, height=220)
    )
    return chart


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f"<th>{html.escape(text)}</th>" for text in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{cells}</tr>{body}</table>"


def _risk_table(risks: Sequence[Risk]) -> str:
    head = ("the attacker", "stage", "smallest class", "alone", "under 11", "largest", "mean risk")
    rows = [
        (
            _attacker(risk.attacker_code),
            risk.stage_code,
            f"{risk.smallest_class_size:,}",
            f"{_share(risk.unique_persons_count, risk.persons_count):.1f} %",
            f"{risk.small_share:.1f} %",
            f"{risk.largest_risk:.3f}",
            f"{risk.mean_risk:.4f}",
        )
        for risk in risks
    ]
    return _table(head, rows)


def _loss_table(losses: Sequence[Loss]) -> str:
    head = ("rule", "persons", "stays", "diagnoses")
    rows = [
        (
            RULES.get(loss.rule_code, (loss.rule_code.replace("_", " "), ""))[0],
            f"{_rounded(loss.persons_before)} → {_rounded(loss.persons_after)}",
            f"{_rounded(loss.stays_before)} → {_rounded(loss.stays_after)}",
            f"{_rounded(loss.diagnoses_before)} → {_rounded(loss.diagnoses_after)}",
        )
        for loss in losses
    ]
    return _table(head, rows)


def _protected(count: int) -> str:
    """Write a count so that no small one can be read, nor worked out from another."""
    if count == 0:
        return "none"
    if count < SMALLEST_SHOWN:
        return f"under {SMALLEST_SHOWN}"
    return _rounded(count) if count >= ROUNDED_TO // 2 else f"under {ROUNDED_TO // 2}"


def _percent(part: int, whole: int) -> str:
    if part == 0 and whole >= SMALLEST_SHOWN:
        return "0 %"
    if part < SMALLEST_SHOWN:
        return "too few to say"
    return f"{_share(part, whole):.0f} %"


def _guess(share: float, persons: int) -> str:
    return f"{share:.3f}" if persons >= SMALLEST_SHOWN else "too few to say"


def _linkage(attacked: Attacked) -> str:
    """What somebody gets who holds an earlier release: joined by contents, person by person."""
    text = (
        "<p>Somebody holds this release and an earlier one, and joins them by what they show. A "
        "link is a person with one partner who has no other. It is wrong where the person does not "
        "stand in both; of the others nobody can say, because ids are forgotten, so they count as "
        "right. A guess: one of all partners, by chance; the share of the persons in both whom it "
        "finds, at most.</p>"
    )
    if attacked.missing_count:
        text += (
            "<p><b>Not every earlier release was at hand: of some it is not known how far they can "
            "be joined with this one.</b></p>"
        )
    if not attacked.linked:
        return text + "<p>There is no earlier release at hand that counts.</p>"
    rows = [
        (f"{number}, profile {profile}", WAYS[one.way], *_linked(one))
        for number, (profile, ways) in enumerate(attacked.linked, start=1)
        for one in ways
    ]
    head = ("earlier release", "joined on", "in both", "linked", "may be right", "a guess finds")
    return text + _table(head, rows)


def _linked(one: Linkage) -> tuple[str, ...]:
    return (
        _protected(one.common_count),
        _protected(one.linked_count),
        _protected(one.possible_count),
        _guess(one.guessed_share, one.common_count),
    )


def _match(match: Match, noise: Noise) -> str:
    """What somebody gets who knows nearly all that the warehouse knows of a person."""
    text = (
        f"<p>Somebody knows {noise.known_share:.0%} of a person's stays, with dates up to "
        f"{noise.days_off} days off and {noise.wrong_share:.0%} of what is known being somebody "
        "else's, and scores every record by the rare things in common. A person is named where the "
        f"best record stands out by {ECCENTRICITY} standard deviations. About half of those looked "
        "for are in the release: of a larger population less of the named would be right. A guess: "
        "one of the persons whose records fit best, by chance.</p>"
    )
    rows = [
        ("persons looked for", _protected(match.targets_count)),
        ("in the release", _protected(match.released_count)),
        ("named", _protected(match.named_count)),
        ("of the named, named rightly", _percent(match.right_count, match.named_count)),
        (
            "of those in the release, named rightly",
            _percent(match.right_count, match.released_count),
        ),
        (
            "of those in the release, found by a guess",
            _guess(match.guessed_share, match.released_count),
        ),
    ]
    return text + _table(("", ""), rows)


def _bias(loss: Loss) -> str:
    title, bias = RULES.get(loss.rule_code, (loss.rule_code.replace("_", " "), ""))
    return f"<li><b>{html.escape(title)}.</b> {html.escape(bias)}</li>"


def _parameter_table(parameters: Mapping[str, object]) -> str:
    return _table(
        ("parameter", "value"),
        [(name.replace("_", " "), str(value)) for name, value in parameters.items()],
    )
