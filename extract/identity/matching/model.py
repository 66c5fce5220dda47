"""The model: what agreement and disagreement weigh, and which pairs are looked at.

Fellegi and Sunter's model with fixed probabilities: the same registrations give the same persons
every night, and nobody's weights drift with what was registered yesterday. For each level, ``m`` is
its share among pairs of one person and ``u`` its share among pairs of two. Where they come from is
in ``docs/matching.md``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from extract.identity.matching.standard import BLOCKS

PRIOR = 1e-6
# Logarithms to the base 2 of how many times likelier one person is than two.
LINK_WEIGHT = 9.0
REVIEW_WEIGHT = 2.0


class Level(NamedTuple):
    """One level of agreement; the first that holds counts."""

    code: str
    condition: str
    m: float
    u: float


def _similar(left: str, right: str) -> str:
    return (
        f"({left} = {right} or jaro_winkler_similarity({left}, {right}) >= 0.92 "
        f"or (length({left}) >= 4 and length({right}) >= 4 "
        f"and damerau_levenshtein({left}, {right}) <= 1))"
    )


def _close(left: str, right: str) -> str:
    return (
        f"({_similar(left, right)} "
        f"or (length({left}) >= 3 and starts_with({right}, {left})) "
        f"or (length({right}) >= 3 and starts_with({left}, {right})))"
    )


GIVEN_SAME = "list_has_any(forms_l, forms_r)"
GIVEN_AGREES = f"({GIVEN_SAME} or {_close('given_l', 'given_r')})"
FAMILY_CLOSE = _close("family_l", "family_r")
SWAPPED = (
    f"((list_has_any(forms_l, family_forms_r) or {_similar('given_l', 'family_r')}) "
    f"and (list_has_any(family_forms_l, forms_r) or {_similar('family_l', 'given_r')}))"
)
BIRTH_TYPED = (
    "(damerau_levenshtein(birth_text_l, birth_text_r) <= 1 "
    "or (year(birth_l) = year(birth_r) and month(birth_l) = day(birth_r) "
    "and day(birth_l) = month(birth_r)) or abs(date_diff('day', birth_l, birth_r)) = 1)"
)
NUMBER_TYPED = "damerau_levenshtein(number_l, number_r) <= 1"
BIRTH_TWO_PARTS = (
    "((year(birth_l) = year(birth_r))::int + (month(birth_l) = month(birth_r))::int "
    "+ (day(birth_l) = day(birth_r))::int = 2)"
)

# What no cluster may hold, however its members are chained: two given names that do not go
# together, two birth dates or two numbers that no typing error explains.
CONFLICT = f"""
    given_l is not null and given_r is not null
        and not ({GIVEN_AGREES} or coalesce({SWAPPED}, false))
    or birth_l is not null and birth_r is not null
        and not (birth_l = birth_r or {BIRTH_TYPED} or {BIRTH_TWO_PARTS})
        and coalesce(number_l <> number_r, true)
    or number_l is not null and number_r is not null
        and not (number_l = number_r or {NUMBER_TYPED}) and coalesce(birth_l <> birth_r, true)
"""

# Field, when it says nothing, its levels from the best down; the last is disagreement.
COMPARISONS: dict[str, tuple[str, tuple[Level, ...]]] = {
    "names": (
        "family_l is null or family_r is null or given_l is null or given_r is null",
        (
            Level("same", f"{GIVEN_SAME} and family_l = family_r", 0.80, 1e-4),
            Level("close", f"{GIVEN_AGREES} and {FAMILY_CLOSE}", 0.17, 4e-5),
            Level("swapped", SWAPPED, 0.006, 1e-6),
            Level("given_only", GIVEN_AGREES, 0.02, 1e-2),
            Level("differs", "ELSE", 0.004, 0.99),
        ),
    ),
    "birth_date": (
        "birth_l is null or birth_r is null",
        (
            Level("same", "birth_l = birth_r", 0.97, 4e-5),
            Level("typing_error", BIRTH_TYPED, 0.022, 1e-3),
            Level("two_parts", BIRTH_TWO_PARTS, 0.006, 5e-3),
            Level("differs", "ELSE", 0.002, 0.994),
        ),
    ),
    "health_number": (
        "number_l is null or number_r is null",
        (
            Level("same", "number_l = number_r", 0.95, 2e-6),
            Level("typing_error", NUMBER_TYPED, 0.03, 2e-6),
            Level("differs", "ELSE", 0.02, 0.99),
        ),
    ),
    "phone": (
        "phone_l is null or phone_r is null",
        (
            Level("same", "phone_l = phone_r", 0.75, 1e-4),
            Level("differs", "ELSE", 0.25, 0.999),
        ),
    ),
    "place": (
        "postal_l is null or postal_r is null",
        (
            Level("same_address", "address_l = address_r and postal_l = postal_r", 0.75, 5e-5),
            Level("same_postal_code", "postal_l = postal_r", 0.15, 2e-2),
            Level("differs", "ELSE", 0.10, 0.98),
        ),
    ),
}


def splink_settings() -> dict[str, Any]:
    """Return the model as Splink's settings."""
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "node",
        "probability_two_random_records_match": PRIOR,
        "blocking_rules_to_generate_predictions": [
            {"blocking_rule": f"l.block_{name} = r.block_{name}"} for name in BLOCKS
        ],
        "comparisons": [_comparison(name) for name in COMPARISONS],
        # Splink keeps the levels only together with the values; they go with its table.
        "retain_matching_columns": True,
        "retain_intermediate_calculation_columns": False,
    }


def _comparison(name: str) -> dict[str, Any]:
    unknown, levels = COMPARISONS[name]
    null = {"sql_condition": unknown, "label_for_charts": "unknown", "is_null_level": True}
    return {
        "output_column_name": name,
        "comparison_levels": [
            null,
            *(
                {
                    "sql_condition": level.condition,
                    "label_for_charts": level.code,
                    "m_probability": level.m,
                    "u_probability": level.u,
                }
                for level in levels
            ),
        ],
    }


def level_sql(name: str) -> str:
    """Return the code of a pair's level, from Splink's number of it."""
    levels = COMPARISONS[name][1]
    cases = " ".join(
        f"when {len(levels) - 1 - place} then '{level.code}'" for place, level in enumerate(levels)
    )
    return f"case gamma_{name} {cases} else 'missing' end"
