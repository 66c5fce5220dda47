"""Which privacy class may stand in which zone, and which macro lowers a class to which.

Everything that is not named here is refused: a class without a line may enter no zone, a macro
without a line lowers nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

MARKER = "scutari_lowered"
MARKING_MACRO = "lowered"
# dbt writes the marker only where this variable is true: macros/privacy/lowered.sql.
VARIABLE = "privacy_lineage"


@dataclass(frozen=True)
class Lowering:
    """What a macro makes of the classes it is given; a class that is not named passes unchanged."""

    classes: dict[str, str]
    reason: str


SAFE_HARBOR = "45 CFR 164.514(b)(2)(i)"

LOWERINGS: dict[str, Lowering] = {
    "completed_years": Lowering(
        {"birth_date": "age", "date": "age"},
        "An age in whole years; a limited data set may hold it (164.514(e)). Not yet a band.",
    ),
    "age_band": Lowering({"age": "age_band"}, f"{SAFE_HARBOR}(C): ages from 90 in one band."),
    "year_of": Lowering({"date": "year"}, f"{SAFE_HARBOR}(C): of a date the year may stay."),
    "month_of": Lowering(
        {"date": "month", "month": "month"},
        "The period of a count. A release holds years only.",
    ),
    "half_year_of": Lowering(
        {"date": "month", "month": "month"},
        "The period of a count, longer than a month.",
    ),
    "zip3_of": Lowering(
        {"geography": "zip3"},
        "Three digits, for the join with the allow-list; not yet checked against it.",
    ),
    "safe_harbor_zip3": Lowering(
        {"geography": "allowed_zip3", "zip3": "allowed_zip3"},
        f"{SAFE_HARBOR}(B): areas of more than 20,000 people, else 000.",
    ),
    "elapsed_seconds": Lowering({"date": "duration"}, "The distance of two dates, not the dates."),
    "completed_seconds": Lowering(
        {"date": "duration"}, "The distance of two dates, not the dates."
    ),
    "completed_minutes": Lowering(
        {"date": "duration"}, "The distance of two dates, not the dates."
    ),
    "day_diff": Lowering({"date": "duration"}, "The distance of two dates, not the dates."),
    "total_days": Lowering(
        {"duration": "total"}, "A sum over a group; a small group is hidden with its count."
    ),
    "group_label": Lowering(
        {"clinical": "group_value"},
        "What a hospital's own visits are counted by; in its own file alone.",
    ),
    "attendance_band": Lowering(
        {"date": "group_value"},
        "Which visit of a person to one hospital it is, in bands; in its own file alone.",
    ),
    "hour_of": Lowering({"date": "group_value"}, "An hour of the day, on whatever day."),
    "tenths_of_minutes": Lowering(
        {"duration": "group_value"},
        "A median or percentile of a hospital's own visits; in its own file alone.",
    ),
    "shifted_date": Lowering(
        {"date": "shifted_date"},
        "A limited data set may hold dates (164.514(e)), all of a person moved alike.",
    ),
    "interval_band": Lowering(
        {"duration": "duration_band"}, "Exact distances tell one history from all others."
    ),
    "length_of_stay_band": Lowering(
        {"duration": "duration_band"}, "Exact lengths tell one stay from all others."
    ),
}

# What each macro writes, with a name for every argument. A marker around anything else is refused:
# an argument with a bracket too many could carry a value past the macro, and a band that somebody
# made finer would still bear its name.
WRITES: dict[str, str] = {
    "age_band": """case
        when $age is null then 'unknown'
        when $age >= 90 then '90+'
        when $age >= 75 then '75-89'
        when $age >= 60 then '60-74'
        when $age >= 45 then '45-59'
        when $age >= 30 then '30-44'
        when $age >= 18 then '18-29'
        when $age >= 5 then '05-17'
        when $age >= 0 then '00-04'
        else 'unknown'
    end""",
    "attendance_band": """case
        when $number is null then 'unlinked'
        when not $is_look_back_known then 'look_back_short'
        when $number = 1 then '01'
        when $number <= 3 then '02_to_03'
        when $number <= 9 then '04_to_09'
        else '10_or_later'
    end""",
    "completed_minutes": "cast((epoch_us($end_at) - epoch_us($start_at)) // 60000000 as bigint)",
    "completed_seconds": "cast((epoch_us($end_at) - epoch_us($start_at)) // 1000000 as bigint)",
    "completed_years": """cast(
        extract(year from $on_date) - extract(year from $birth_date)
        - case
            when extract(month from $on_date) * 100 + extract(day from $on_date)
                < extract(month from $birth_date) * 100 + extract(day from $birth_date)
                then 1
            else 0
        end as int
    )""",
    "day_diff": "cast(date_diff('day', $from_date, $to_date) as int)",
    "elapsed_seconds": """cast(
        (epoch_us($end_at) - epoch_us($start_at) + 999999) // 1000000 as bigint
    )""",
    "group_label": "coalesce($code, 'not_recorded')",
    "half_year_of": """make_date(
        cast(extract(year from $value) as int),
        case when extract(month from $value) <= 6 then 1 else 7 end,
        1
    )""",
    "hour_of": "cast(extract(hour from $reading) as int)",
    "interval_band": """case
        when $days < 0 then 'unknown'
        when $days = 0 then '0'
        when $days <= 3 then '1-3'
        when $days <= 30 then '4-30'
        when $days <= 180 then '31-180'
        when $days > 180 then '>180'
    end""",
    "length_of_stay_band": """case
        when $minutes is null or $minutes < 0 then 'unknown'
        when $minutes < 120 then '<2h'
        when $minutes < 240 then '2-4h'
        when $minutes < 480 then '4-8h'
        when $minutes < 1440 then '8-24h'
        else '>=24h'
    end""",
    "month_of": "cast(date_trunc('month', $value) as date)",
    "safe_harbor_zip3": """case
        when $allowed_zip3 = substring($postal_code, 1, 3) then $allowed_zip3
        else '000'
    end""",
    "shifted_date": "($from_date + $days)",
    "tenths_of_minutes": """min(
        case when $rank * 10 >= $measured * $tenths then $minutes end
    )""",
    "total_days": "sum($days)",
    "year_of": "cast(extract(year from $date) as int)",
    "zip3_of": "substring($postal_code, 1, 3)",
}

# Counts may be made of these, and rows chosen, joined and put in order by them. Not of a birth
# date, a ZIP code or an identifier as it is: an age or an area must have been made of it first.
_COUNTED_BY = frozenset(
    {
        "administrative",
        "age",
        "age_band",
        "allowed_zip3",
        "clinical",
        "date",
        "duration",
        "duration_band",
        "month",
        "person_key",
        "record_key",
        "total",
        "year",
        "zip3",
    }
)
# Which row was taken, of those of one person or stay: keys are random, no branch spells them out.
_KEYS = frozenset({"person_key", "record_key"})
# Hospitals, payers, measures and periods; what is said about persons is said by counts.
_FIGURES = frozenset({"administrative", "month", "total"})
# A hospital's own file tells its visits apart, too, and what their middle one is.
_OWN_FIGURES = _FIGURES | {"group_value"}

_SAFE_HARBOR_FIELDS = frozenset(
    {"administrative", "age_band", "allowed_zip3", "clinical", "duration_band", "year"}
)


@dataclass(frozen=True)
class Zone:
    """The classes that may reach a zone's columns by value, by choice and by influence."""

    value: frozenset[str]
    choice: frozenset[str]
    influence: frozenset[str]

    def allows(self, privacy: str, way: str) -> bool:
        """Say whether a class may arrive this way."""
        ways = {"value": self.value, "choice": self.choice, "influence": self.influence}
        return privacy in ways[way]


_SHIFTED = frozenset({"shifted_date"})

ZONES: dict[str, Zone] = {
    "operational": Zone(_OWN_FIGURES, _OWN_FIGURES | _KEYS, _COUNTED_BY | _OWN_FIGURES),
    # A table of a hospital's own file: which of its visits to review, by token, and why. Which
    # visits are a pair is a matter of instants, diagnosis and age; none of them stands there.
    "worklist": Zone(
        _FIGURES | {"record_key"},
        _FIGURES | _KEYS | {"age", "clinical", "date", "duration"},
        _COUNTED_BY,
    ),
    "published": Zone(_FIGURES, _FIGURES | _KEYS, _COUNTED_BY),
    # One row per person or stay. Keys are replaced by random numbers when the files are written.
    "release": Zone(_SAFE_HARBOR_FIELDS, _SAFE_HARBOR_FIELDS | _KEYS, _COUNTED_BY),
    # A release under a data use agreement (164.514(e)), whose dates are shifted.
    "limited": Zone(
        _SAFE_HARBOR_FIELDS | _SHIFTED,
        _SAFE_HARBOR_FIELDS | _KEYS | _SHIFTED,
        _COUNTED_BY | _SHIFTED,
    ),
}
