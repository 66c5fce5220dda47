"""The reference as a table of the published file, and a hospital's own ratios to it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from ops.publication.frozen_cells import Figures
from ops.publication.reference import (
    NOBODY,
    Counts,
    Mix,
    Period,
    Reference,
    ReferenceStratum,
    new_references,
)
from ops.statistics.standardisation import reference_rates, standardised_ratio

REFERENCE = "rpt_ed_reference_strata"
OWN_RATIOS = "rpt_ed_standardised_ratios"
OWN_STRATA = "rpt_ed_returns_by_stratum"
STRATA = "standard_strata"
# Of the declared model: its strata in their order and what falls into each, not their names.
_MODEL = (
    "md5(string_agg(concat_ws('|', stratum_code, minimum_age_years, coalesce(maximum_age_years, "
    "-1), lowest_acuity_code, highest_acuity_code, is_rest), ';' order by stratum_number))"
)
REFERENCE_SCHEMA = pa.schema(
    [
        ("period_on", pa.date32()),
        ("measure_code", pa.string()),
        ("stratum_number", pa.int32()),
        ("stratum_codes", pa.string()),
        ("stratum_name", pa.string()),
        ("numerator_count", pa.int64()),
        ("index_visits_count", pa.int64()),
        ("hospitals_count", pa.int64()),
        ("data_through_at", pa.timestamp("us")),
    ]
)
RATIOS_SCHEMA = pa.schema(
    [
        ("period_on", pa.date32()),
        ("measure_code", pa.string()),
        ("observed_count", pa.int64()),
        ("index_visits_count", pa.int64()),
        ("expected", pa.float64()),
        ("ratio", pa.float64()),
        ("lower_limit", pa.float64()),
        ("upper_limit", pa.float64()),
        ("strata_count", pa.int64()),
        ("hospitals_count", pa.int64()),
        ("reference_through_at", pa.timestamp("us")),
    ]
)


def strata_query(schema: str) -> str:
    """Return the query that reads visits and returns by stratum."""
    return (
        "select hospital_key, period_on, measure_code, stratum_code, numerator_count, "
        f"index_visits_count from {schema}.{OWN_STRATA}"
    )


def merge_references(
    con: duckdb.DuckDBPyConnection,
    fresh: str,
    history: str,
    past: str | None,
    half_years: tuple[Sequence[Figures], Sequence[Figures], Sequence[Figures]],
) -> None:
    """Keep every reference that was published, and add those of half-years that are new.

    Args:
        con: the publication's connection.
        fresh: the schema of the tables to publish; it gets those references that hospitals can be
            held to today: of the measure as it is defined and of the model as it is declared.
        history: the schema that keeps all.
        past: the schema with the references of the past; None where there are none.
        half_years: of the new build, first shown by this publication, and of the past.
    """
    model, names = _model(con, fresh)
    columns = ", ".join(f"{field.name} {_KINDS[field.type]}" for field in REFERENCE_SCHEMA)
    con.execute(f"create table {history}.{REFERENCE} ({columns}, definition text, model text)")
    if past is not None:
        con.execute(f"insert into {history}.{REFERENCE} by name from {past}.{REFERENCE}")
    mixes = _mixes(con.execute(strata_query("warehouse.marts")).fetchall())
    for reference in new_references(*half_years, list(names), mixes):
        con.register("made", pa.Table.from_pylist(_rows(reference, names), REFERENCE_SCHEMA))
        con.execute(
            f"insert into {history}.{REFERENCE} by name select *, $1 as definition, $2 as model "
            "from made",
            [reference.definition, model],
        )
        con.unregister("made")
    con.execute(
        f"create table {fresh}.{REFERENCE} as select * exclude (definition, model) "
        f"from {history}.{REFERENCE} semi join definitions using (measure_code, definition) "
        "where model = $1",
        [model],
    )


_KINDS = {
    pa.date32(): "date",
    pa.string(): "text",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.timestamp("us"): "timestamp",
}


def _model(con: duckdb.DuckDBPyConnection, fresh: str) -> tuple[str, dict[str, str]]:
    rows = con.execute(
        f"select stratum_code, stratum_name from {fresh}.{STRATA} order by stratum_number"
    ).fetchall()
    [(digest,)] = con.execute(f"select {_MODEL} from {fresh}.{STRATA}").fetchall()
    return str(digest), dict(rows)


def _mixes(rows: Iterable[tuple[Any, ...]]) -> dict[tuple[Period, str], Mix]:
    mixes: dict[tuple[Period, str], dict[str, Counts]] = {}
    for hospital, period, measure, stratum, returns, visits in rows:
        mixes.setdefault(((period, measure), hospital), {})[stratum] = Counts(returns, visits)
    return dict(mixes)


def _rows(reference: Reference, names: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "period_on": reference.period_on,
            "measure_code": reference.measure_code,
            "stratum_number": number,
            "stratum_codes": ",".join(stratum.codes),
            "stratum_name": "; ".join(names[code] for code in stratum.codes),
            "numerator_count": stratum.returns,
            "index_visits_count": stratum.visits,
            "hospitals_count": reference.hospitals_count,
            "data_through_at": reference.data_through_at,
        }
        for number, stratum in enumerate(reference.strata, start=1)
    ]


def own_ratios(con: duckdb.DuckDBPyConnection, own: str, published: str, hospital: str) -> pa.Table:
    """Draw up a hospital's ratios of every half-year that has a reference.

    Args:
        con: the publication's connection.
        own: the schema with its visits by stratum.
        published: the schema with the references.
        hospital: the hospital.
    """
    mixes = _mixes(con.execute(strata_query(own)).fetchall())
    rows = con.execute(
        f"select period_on, measure_code, stratum_codes, numerator_count, index_visits_count, "
        f"hospitals_count, data_through_at from {published}.{REFERENCE} "
        "order by period_on, measure_code, stratum_number"
    ).fetchall()
    found = []
    for period, group in itertools.groupby(rows, key=lambda row: (row[0], row[1])):
        strata = list(group)
        mix = mixes.get((period, hospital))
        if mix is not None:
            reference = [
                ReferenceStratum(tuple(codes.split(",")), returns, visits)
                for _, _, codes, returns, visits, *_ in strata
            ]
            hospitals, through = strata[0][5:]
            found.append(
                {"period_on": period[0], "measure_code": period[1], "hospitals_count": hospitals}
                | {"reference_through_at": through}
                | _ratio(mix, reference)
            )
    return pa.Table.from_pylist(found, schema=RATIOS_SCHEMA)


def _ratio(mix: Mix, reference: Sequence[ReferenceStratum]) -> dict[str, Any]:
    own = [sum((mix.get(code, NOBODY) for code in of.codes), NOBODY) for of in reference]
    rates = reference_rates([of.returns for of in reference], [of.visits for of in reference])
    whole = sum(own, NOBODY)
    network = sum((Counts(of.returns, of.visits) for of in reference), NOBODY)
    found = standardised_ratio(
        whole.returns,
        [of.visits for of in own],
        rates,
        overall_rate=network.returns / network.visits,
    )
    row = {
        "observed_count": whole.returns,
        "index_visits_count": whole.visits,
        "strata_count": len(reference),
    }
    if found is None:
        return row
    return row | {
        "expected": found.expected,
        "ratio": found.ratio,
        "lower_limit": found.lower,
        "upper_limit": found.upper,
    }
