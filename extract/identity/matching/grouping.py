"""One night's matching: from loaded registrations to groups, the review list and its figures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from extract.identity.matching.clusters import Decided, Pair, cluster
from extract.identity.matching.decisions import Registration, Standing
from extract.identity.matching.model import COMPARISONS
from extract.identity.matching.pairs import join_by_number, score
from extract.identity.matching.standard import standardise
from governance.files import write_whole
from governance.settings import MatchingMethod

REVIEW = "matching"
REVIEW_FILE = "review.csv"
FIGURES_FILE = "figures.json"

_GROUPED = """
    create temp table grouped as
    with joined as (
        select
            p.*, c.cluster,
            count(*) over (partition by c.cluster) as size,
            count(*) over (partition by c.cluster, p.typed_number, p.birth_date) as alike,
            p.typed_number <> '' and p.birth_date is not null as has_both,
            p.node in (select node from decided_nodes) as is_decided
        from plain as p
        left join clustered as c using (node)
    )
    select
        node, source_name, registration_id, registration_key,
        case
            when is_unidentified then 'unlinkable'
            when cluster is null and has_both then 'health_number'
            when cluster is null then 'alone'
            when has_both and alike > 1 then 'health_number'
            when is_decided then 'decision'
            when size > 1 then 'probability'
            when has_both then 'health_number'
            else 'alone'
        end as link_method_code,
        case when not is_unidentified then coalesce(cluster, node) end as group_key
    from joined
"""
# Of two persons the pair that speaks most for one: a steward decides about persons.
_UNDECIDED = """
    select
        l.registration_key as registration_key, r.registration_key as other_registration_key,
        l.source_name as source_name, r.source_name as other_source_name,
        j.band_code, j.weight, {levels}
    from judged as j
    inner join grouped as l on j.node_l = l.node
    inner join grouped as r on j.node_r = r.node
    where j.band_code <> 'two' and l.group_key <> r.group_key
        and not exists (
            from parted as p
            where least(l.group_key, r.group_key) = p.one
                and greatest(l.group_key, r.group_key) = p.other
        )
    qualify row_number() over (
        partition by least(l.group_key, r.group_key), greatest(l.group_key, r.group_key)
        order by j.weight desc, j.node_l, j.node_r
    ) = 1
    order by j.weight desc, j.node_l, j.node_r
"""


@dataclass(frozen=True)
class Figures:
    """What matching did, in counts.

    Attributes:
        bands: pairs by what was made of them; ``two`` are those that were looked at and dropped.
        left_out: registrations that a block was too large for, by block.
        sizes: persons by how many registrations they have.
        to_review: pairs on the review list.
        decisions: standing decisions that were applied.
    """

    method: str
    registrations: int
    bands: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    to_review: int = 0
    decisions: int = 0


def group_registrations(
    connection: duckdb.DuckDBPyConnection,
    *,
    method: MatchingMethod,
    standing: Standing,
    review: Path,
) -> Figures:
    """Make ``grouped``: one row per registration with its group; null where it has none.

    Args:
        connection: holds ``registrations``.
        method: by probability, or by health number and birth date alone.
        standing: the steward's decisions in force.
        review: directory of the review list and the figures; in the restricted zone.

    Raises:
        VaultError: Splink failed.
    """
    left_out = standardise(connection)
    is_probabilistic = method == "probabilistic"
    if is_probabilistic:
        score(connection)
    else:
        join_by_number(connection)
    decided = Decided(_nodes(connection, standing.joined), _nodes(connection, standing.parted))
    cluster(connection, decided, with_conflicts=is_probabilistic)
    named = {node for pair in decided.joined for node in pair}
    _values(connection, "decided_nodes", "node bigint", [(node,) for node in sorted(named)])
    connection.execute(_GROUPED)
    _values(connection, "parted", "one bigint, other bigint", _groups_of(connection, decided))
    to_review = _write_review(connection, review, with_levels=is_probabilistic)
    figures = Figures(
        method=method,
        registrations=_number(connection, "select count(*) from grouped"),
        bands=_counts(connection, "select band_code, count(*) from judged group by 1 order by 1"),
        left_out={name: count for name, count in left_out.items() if count},
        sizes=_counts(
            connection,
            "select least(size, 10)::varchar, count(*) from (select count(*) as size from grouped "
            "where group_key is not null group by group_key) group by 1 order by 1",
        ),
        to_review=to_review,
        decisions=len(decided.joined) + len(decided.parted),
    )
    body = json.dumps(asdict(figures), indent=1, sort_keys=True) + "\n"
    write_whole(review / FIGURES_FILE, body.encode(), 0o600)
    return figures


def _nodes(
    connection: duckdb.DuckDBPyConnection, pairs: Sequence[tuple[Registration, Registration]]
) -> list[Pair]:
    """Return the pairs as nodes; one whose registration is gone or unidentified is left out."""
    if not pairs:
        return []
    wanted = sorted({registration for pair in pairs for registration in pair})
    _values(connection, "wanted", "source_name varchar, registration_id varchar", wanted)
    rows = connection.execute(
        "select source_name, registration_id, node from plain "
        "semi join wanted using (source_name, registration_id) where not is_unidentified"
    ).fetchall()
    connection.execute("drop table wanted")
    nodes = {(source, name): node for source, name, node in rows}
    return sorted(
        (min(nodes[one], nodes[other]), max(nodes[one], nodes[other]))
        for one, other in pairs
        if one in nodes and other in nodes
    )


def _groups_of(connection: duckdb.DuckDBPyConnection, decided: Decided) -> list[Pair]:
    """Return the groups that a steward parted, as pairs."""
    nodes = sorted({node for pair in decided.parted for node in pair})
    _values(connection, "asked", "node bigint", [(node,) for node in nodes])
    rows = connection.execute(
        "select node, group_key from grouped semi join asked using (node)"
    ).fetchall()
    connection.execute("drop table asked")
    groups = dict(rows)
    pairs = ((groups[left], groups[right]) for left, right in decided.parted)
    return sorted((min(pair), max(pair)) for pair in pairs)


def _values(
    connection: duckdb.DuckDBPyConnection, name: str, columns: str, rows: Sequence[Sequence[object]]
) -> None:
    connection.execute(f"create temp table {name} ({columns})")
    if rows:
        fields = [column.split()[0] for column in columns.split(", ")]
        table = pa.table({f: [row[place] for row in rows] for place, f in enumerate(fields)})
        connection.register("given_rows", table)
        connection.execute(f"insert into {name} select * from given_rows")
        connection.unregister("given_rows")


def _write_review(connection: duckdb.DuckDBPyConnection, review: Path, *, with_levels: bool) -> int:
    """Write the review list, by tokens; it holds no identifier."""
    levels = [f"j.{n}" if with_levels else f"'missing' as {n}" for n in COMPARISONS]
    found = connection.execute(_UNDECIDED.format(levels=", ".join(levels)))
    names = [column[0] for column in found.description or ()]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    rows = found.fetchall()
    writer.writerows(rows)
    review.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(review / REVIEW_FILE, text.getvalue().encode(), 0o600)
    return len(rows)


def _number(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(connection.execute(query).fetchall()[0][0])


def _counts(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, int]:
    return {str(name): int(count) for name, count in connection.execute(query).fetchall()}
