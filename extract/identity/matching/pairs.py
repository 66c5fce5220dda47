"""Scored pairs of registrations, and what is done with each: joined, reviewed or left."""

from __future__ import annotations

import logging

import duckdb
from splink import DuckDBAPI, Linker

from extract.identity.matching.model import (
    COMPARISONS,
    LINK_WEIGHT,
    REVIEW_WEIGHT,
    level_sql,
    splink_settings,
)
from extract.identity.matching.standard import BLOCKS
from governance.errors import VaultError

_SPLINK_COLUMNS = (
    "node, number, birth, birth_text, given, family, forms, family_forms, phone, address, postal, "
    + ", ".join(f"block_{name}" for name in BLOCKS)
)
# The two sides of a pair with everything that a rule looks at.
_SIDES = """
    from {pairs} as p
    inner join nodes as l on p.node_l = l.node
    inner join nodes as r on p.node_r = r.node
"""
_LEVELS = ", ".join(f"{level_sql(name)} as {name}" for name in COMPARISONS)
# The first rule: number and birth date are the same, and no name speaks against it. A number that
# was lent, or a record without a name, is too little: twins without names bear their mother's.
EXACT = """
    health_number = 'same' and birth_date = 'same' and names <> 'differs'
    and not (is_unnamed_l or is_unnamed_r or is_lent) or (
        health_number = 'same' and birth_date = 'same' and not is_lent
        and is_unnamed_l <> is_unnamed_r
    )
"""
_JUDGED = f"""
    create temp table judged as
    with coded as (
        select p.node_l, p.node_r, round(p.match_weight, 6) as weight, {_LEVELS},
            l.is_unnamed as is_unnamed_l, r.is_unnamed as is_unnamed_r, l.is_lent as is_lent,
            l.given = r.given as is_given_equal
        {_SIDES.format(pairs="scored")}
    ), ruled as (
        select
            *,
            ({EXACT}) as is_exact,
            names in ('same', 'close', 'swapped', 'given_only') as has_given,
            -- Anna and Hannah, Jon and John: one person with two cards, or two children.
            health_number = 'differs' and not is_given_equal and names <> 'swapped'
                as may_be_twins
        from coded
    )
    select
        node_l, node_r, weight, {", ".join(COMPARISONS)},
        case
            when is_exact then 'exact'
            when weight >= {LINK_WEIGHT} and has_given and not may_be_twins
                and birth_date <> 'differs'
                and (birth_date <> 'missing' or health_number in ('same', 'typing_error'))
                then 'probable'
            when names = 'differs' and not (health_number = 'same' and birth_date = 'same')
                then 'two'
            when birth_date = 'differs' and not (health_number = 'same' and has_given) then 'two'
            when weight >= {REVIEW_WEIGHT} then 'uncertain'
            else 'two'
        end as band_code
    from ruled
"""


# Without names: the same number and the same birth date, as typed (ADR 7).
_BY_NUMBER = """
    create temp table judged as
    with groups as (
        select node, min(node) over (partition by typed_number, birth_date) as first
        from plain
        where not is_unidentified and typed_number <> '' and birth_date is not null
    )
    select first as node_l, node as node_r, 0.0::double as weight, 'exact' as band_code
    from groups where first < node
"""


def join_by_number(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``judged`` by the deterministic rule alone."""
    connection.execute(_BY_NUMBER)


def score(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``judged``: one row per pair worth a look, with its weight, levels and band.

    Raises:
        VaultError: Splink or its database failed; nothing of what it said is passed on.
    """
    logger = logging.getLogger("splink")
    logger.setLevel(logging.CRITICAL + 1)
    try:
        connection.execute(f"create view splink_nodes as select {_SPLINK_COLUMNS} from nodes")
        registered = DuckDBAPI(connection).register("splink_nodes")
        linker = Linker(registered, splink_settings(), log_level=None, validate_settings=False)
        scored = linker.inference.predict(
            threshold_match_weight=min(REVIEW_WEIGHT, 0.0), warning_mode="never"
        )
        connection.execute(f"create view scored as select * from {scored.physical_name}")
    except duckdb.Error:
        raise
    except Exception as error:
        # Splink's text repeats the database's, which can hold the value that it stumbled over.
        raise VaultError(
            f"Registrations could not be matched ({type(error).__name__}): the last good snapshot "
            "stays current; check free memory and disk space."
        ) from None
    connection.execute(_JUDGED)
    connection.execute("drop view scored")
    connection.execute("drop view splink_nodes")
    connection.execute(f"drop table {scored.physical_name}")
