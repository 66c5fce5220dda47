"""What is planted: hospitals, period, and how many episodes of each kind.

Two plans: a small default network, and the first nine months of the Ontario return-visit programme
at the counts that were published (DOMAIN.md of the design; CJEM 2017 abstract P037).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from demo.templates import TEMPLATES
from demo.zones import utc_seconds


class PlanError(ValueError):
    """A network is too small to hold what its plan plants."""

    def __init__(self, visits: int) -> None:
        super().__init__(
            f"A network of {visits:,} visits is too small for the histories that the demo plants:"
            " ask for more (500 are enough)."
        )


@dataclass(frozen=True)
class Hospital:
    """One hospital of the network.

    Attributes:
        weight: share of the network's volume, in any unit.
        return_effect: how likely its patients are to return, 1 is the network's level.
        zip_codes: where its patients live; the first is its own.
    """

    code: str
    name: str
    peer_group: str
    zone: str
    city: str
    zip_codes: tuple[str, ...]
    weight: float
    return_effect: float = 1.0


@dataclass(frozen=True)
class Plan:
    """A network to plant.

    Attributes:
        visits: legs to plant (registrations after double ones are joined).
        counts: episodes of each template but the single visit, which fills up to ``visits``.
        episode_shares: weights of 1, 2, 3 … episodes per person.
        abdominal, appendicitis, ami, sah, paediatric_sepsis: among the numerator's pairs, how many
            with that index complaint or that main diagnosis of the return.
        is_thin: write fewer clinical and billing rows per visit.
        has_broken_pairs: pairs across hospitals may need fuzzy matching to be found.
        has_bad_values: plant a handful of values that no contract lets through.
    """

    name: str
    hospitals: tuple[Hospital, ...]
    first_day: date
    days: int
    data_through: str
    snapshot: str
    visits: int
    counts: dict[str, int]
    episode_shares: tuple[float, ...]
    abdominal: int
    appendicitis: int
    ami: int
    sah: int
    paediatric_sepsis: int
    several_hospitals_share: float
    is_thin: bool = False
    has_broken_pairs: bool = True
    has_bad_values: bool = True
    is_censored: bool = True

    @property
    def zones(self) -> tuple[str, ...]:
        """The time zones of the hospitals, each once."""
        return tuple(dict.fromkeys(hospital.zone for hospital in self.hospitals))

    @property
    def numerator(self) -> int:
        """Planted admitted returns within 72 hours."""
        return sum(self.counts[template.name] for template in TEMPLATES if template.has_numerator)

    @property
    def data_through_at(self) -> int:
        """The earliest feed's ``data_through_at``, seconds since the epoch."""
        return utc_seconds(self.data_through)

    @property
    def snapshot_at(self) -> int:
        """The moment at which the databases are looked at, seconds since the epoch."""
        return utc_seconds(self.snapshot)


_NUMERATOR_SHARES = {
    "return_admitted": 0.0152,
    "return_admitted_elsewhere": 0.0046,
    "return_sent_from_outside": 0.0006,
    "return_after_lwbs": 0.0009,
    "return_after_planned": 0.0009,
    "return_of_a_return": 0.0014,
    "return_transferred_on": 0.0010,
    "index_after_transfer": 0.0010,
    "index_registered_twice": 0.0009,
    "index_at_two_hospitals": 0.0004,
}
_OTHER_SHARES = {
    "return_home": 0.0180,
    "return_home_elsewhere": 0.0040,
    "return_observed": 0.0020,
    "return_died": 0.0003,
    "late_return_admitted": 0.0060,
    "late_return_home": 0.0080,
    "planned_recheck": 0.0030,
    "transfer_admitted": 0.0030,
    "transfer_home": 0.0020,
    "double_registration": 0.0030,
    "touching_registration": 0.0020,
    "lwbs_then_admitted": 0.0010,
    "return_never_closed": 0.0003,
}

_NEW_YORK, _CHICAGO = "America/New_York", "America/Chicago"
_DEFAULT_HOSPITALS = (
    Hospital(
        "H01",
        "Harbour University Hospital",
        "teaching",
        _NEW_YORK,
        "Albany",
        ("12208", "12203", "12205", "12210", "12180"),
        0.25,
        1.05,
    ),
    Hospital(
        "H02",
        "St. Brigid General",
        "community_large",
        _NEW_YORK,
        "Rochester",
        ("14620", "14607", "14609", "14618"),
        0.21,
        0.90,
    ),
    Hospital(
        "H03",
        "Lakeview Medical Center",
        "community_large",
        _CHICAGO,
        "Milwaukee",
        ("53202", "53207", "53211", "53215"),
        0.18,
        1.00,
    ),
    Hospital(
        "H04",
        "Riverside Community Hospital",
        "community_medium",
        _NEW_YORK,
        "Springfield",
        ("01103", "01104", "01108", "01109"),
        0.16,
        1.45,
    ),
    Hospital(
        "H05",
        "Mill Creek Hospital",
        "community_medium",
        _NEW_YORK,
        "Syracuse",
        ("13202", "13203", "13206", "13210"),
        0.14,
        0.95,
    ),
    # Its second ZIP lies in one of the areas too thinly settled for Safe Harbor (036).
    Hospital(
        "H06",
        "Bellows Valley Cottage Hospital",
        "small",
        _NEW_YORK,
        "Walpole",
        ("03608", "03603", "05101"),
        0.06,
        0.90,
    ),
)


def default_plan(visits: int) -> Plan:
    """Return the default network: 6 hospitals, the 18 months that end with June 2026."""
    shares = _NUMERATOR_SHARES | _OTHER_SHARES
    counts = {name: max(1, round(share * visits)) for name, share in shares.items()}
    plan = Plan(
        name="default",
        hospitals=_DEFAULT_HOSPITALS,
        first_day=date(2025, 1, 1),
        days=546,
        data_through="2026-07-01T05:12:00",
        snapshot="2026-07-01T07:00:00",
        visits=visits,
        counts=counts,
        episode_shares=(0.60, 0.20, 0.09, 0.05, 0.025, 0.015, 0.009, 0.006, 0.003, 0.002),
        abdominal=0,
        appendicitis=0,
        ami=0,
        sah=0,
        paediatric_sepsis=0,
        several_hospitals_share=0.30,
    )
    numerator = plan.numerator
    return replace(
        plan,
        abdominal=round(0.18 * numerator),
        appendicitis=round(0.038 * numerator),
        ami=max(2, round(0.010 * numerator)),
        sah=max(1, round(0.002 * numerator)),
        paediatric_sepsis=max(1, round(0.003 * numerator)),
    )


ONTARIO_VISITS = 3_235_751
ONTARIO_NUMERATOR = 33_956
ONTARIO_AMI = 191
ONTARIO_SAH = 11
ONTARIO_PAEDIATRIC_SEPSIS = 31
ONTARIO_ABDOMINAL = 6_112
ONTARIO_APPENDICITIS = 1_290
_LARGE_EDS, _SMALL_EDS = 73, 16


def ontario_plan(factor: float = 1.0) -> Plan:
    """Return the Ontario plan; a factor below 1 shrinks every count alike (for tests).

    The exclusions of the real programme are not public: the hospitals, people and places are
    invented, the counts are the published ones.
    """
    numerator = round(ONTARIO_NUMERATOR * factor)
    visits = round(ONTARIO_VISITS * factor)
    total = sum(_NUMERATOR_SHARES.values())
    counts = {
        name: max(1, round(share / total * numerator)) for name, share in _NUMERATOR_SHARES.items()
    }
    counts["return_admitted"] += numerator - sum(counts.values())
    counts |= {name: max(1, round(share * 0.5 * visits)) for name, share in _OTHER_SHARES.items()}
    return Plan(
        name="ontario",
        hospitals=_ontario_hospitals(),
        first_day=date(2016, 4, 1),
        days=275,
        data_through="2017-03-01T05:00:00",
        snapshot="2017-03-01T09:00:00",
        visits=visits,
        counts=counts,
        episode_shares=(0.66, 0.20, 0.09, 0.04, 0.01),
        abdominal=round(ONTARIO_ABDOMINAL * factor),
        appendicitis=round(ONTARIO_APPENDICITIS * factor),
        ami=max(1, round(ONTARIO_AMI * factor)),
        sah=max(1, round(ONTARIO_SAH * factor)),
        paediatric_sepsis=max(1, round(ONTARIO_PAEDIATRIC_SEPSIS * factor)),
        several_hospitals_share=0.06,
        is_thin=True,
        has_broken_pairs=False,
        has_bad_values=False,
        is_censored=False,
    )


def _ontario_hospitals() -> tuple[Hospital, ...]:
    hospitals = []
    for number in range(1, _LARGE_EDS + _SMALL_EDS + 1):
        is_large = number <= _LARGE_EDS
        group = "teaching" if number <= 14 else "community_large"  # noqa: PLR2004
        if number > 45:  # noqa: PLR2004
            group = "community_medium" if is_large else "small"
        hospitals.append(
            Hospital(
                code=f"ED{number:02d}",
                name=f"Ontario demonstration site {number:02d}",
                peer_group=group,
                zone="America/Winnipeg" if number in (41, 88) else "America/Toronto",
                city=f"Township {number:02d}",
                zip_codes=tuple(f"{10_000 + 37 * number + 5 * step:05d}" for step in range(4)),
                weight=(1.9 - 0.015 * number) if is_large else 0.18,
                return_effect=0.85 + 0.3 * ((number * 37) % 89) / 89,
            )
        )
    return tuple(hospitals)
