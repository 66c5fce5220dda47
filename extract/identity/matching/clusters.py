"""From joined pairs to persons: no person holds two registrations that contradict each other.

Pairs are joined one after the other, the surest first; a pair whose two groups hold a contradiction
is left apart, so that a chain of small errors cannot make one person of two twins. A steward's
decisions come before every pair and stand above the rule.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import duckdb
import numpy as np
import pyarrow as pa

from extract.identity.matching.model import CONFLICT

# A chain longer than this is made by values that many share: only the surest pairs count in it.
MOST_IN_CHAIN = 200

Pair = tuple[int, int]


@dataclass(frozen=True)
class Decided:
    """Pairs of registrations on which a steward's decision stands, by node."""

    joined: Sequence[Pair] = ()
    parted: Sequence[Pair] = ()


@dataclass
class _Groups:
    """Disjoint groups of nodes; the least node names its group."""

    parent: dict[int, int] = field(default_factory=dict)

    def find(self, node: int) -> int:
        root = node
        while (above := self.parent.get(root, root)) != root:
            root = above
        while (above := self.parent.get(node, node)) != root:
            self.parent[node], node = root, above
        return root

    def join(self, left: int, right: int) -> int:
        low, high = sorted((self.find(left), self.find(right)))
        self.parent[low] = low
        self.parent[high] = low
        return low

    def members(self) -> dict[int, list[int]]:
        found = defaultdict(list)
        for node in self.parent:
            found[self.find(node)].append(node)
        return found


def cluster(
    connection: duckdb.DuckDBPyConnection, decided: Decided, *, with_conflicts: bool
) -> None:
    """Make ``clustered`` (node, cluster): every registration that is joined to another.

    Args:
        connection: holds ``nodes`` or ``plain``, and ``judged``.
        decided: a steward's standing decisions.
        with_conflicts: whether names, birth dates and numbers may speak against a pair.
    """
    edges = _edges(connection)
    chains = _joined([*decided.joined, *(pair for pair, _ in edges)]).members()
    long = {node for nodes in chains.values() if len(nodes) > MOST_IN_CHAIN for node in nodes}
    if long:
        edges = [(pair, exact) for pair, exact in edges if exact or pair[0] not in long]
        chains = _joined([*decided.joined, *(pair for pair, _ in edges)]).members()
    conflicts = _conflicts(connection, chains) if with_conflicts else []
    groups = _joined_without(edges, conflicts, decided)
    nodes = sorted(groups.parent)
    found = pa.table(
        {
            "node": np.array(nodes, dtype=np.int64),
            "cluster": np.array([groups.find(node) for node in nodes], dtype=np.int64),
        }
    )
    connection.register("found", found)
    connection.execute("create temp table clustered as select * from found")
    connection.unregister("found")


def _edges(connection: duckdb.DuckDBPyConnection) -> list[tuple[Pair, bool]]:
    """Return the joined pairs, the surest first, and whether number and birth date are equal."""
    rows = connection.execute(
        "select node_l, node_r, band_code = 'exact' from judged "
        "where band_code in ('exact', 'probable') "
        "order by band_code, weight desc, node_l, node_r"
    ).fetchall()
    return [((left, right), exact) for left, right, exact in rows]


def _joined(pairs: Iterable[Pair]) -> _Groups:
    groups = _Groups()
    for left, right in pairs:
        groups.join(left, right)
    return groups


def _conflicts(connection: duckdb.DuckDBPyConnection, chains: dict[int, list[int]]) -> list[Pair]:
    """Return the pairs within a chain that contradict each other."""
    sizes = [len(nodes) for nodes in chains.values()]
    members = pa.table(
        {
            "node": np.array([n for nodes in chains.values() for n in nodes], dtype=np.int64),
            "chain": np.repeat(np.array(list(chains), dtype=np.int64), sizes),
        }
    )
    sides = ", ".join(
        f"{side}.{name} as {name}_{side}"
        for side in "lr"
        for name in (
            "node",
            "given",
            "family",
            "forms",
            "family_forms",
            "birth",
            "birth_text",
            "number",
        )
    )
    connection.register("members", members)
    rows = connection.execute(
        f"""
        with pairs as (
            select {sides}
            from members as a
            inner join members as b on a.chain = b.chain and a.node < b.node
            inner join nodes as l on a.node = l.node
            inner join nodes as r on b.node = r.node
        )
        select node_l, node_r from pairs where {CONFLICT}
        """
    ).fetchall()
    connection.unregister("members")
    return [(left, right) for left, right in rows]


def _joined_without(
    edges: Sequence[tuple[Pair, bool]], conflicts: Sequence[Pair], decided: Decided
) -> _Groups:
    """Join the pairs in their order, but no two groups between which something stands."""
    groups = _joined(decided.joined)
    against: dict[int, set[int]] = defaultdict(set)
    _set_against(groups, against, decided.parted)
    # Who is surely one of those whom a steward has joined belongs to them: what speaks against it
    # is what the steward has overruled.
    named = {node for pair in decided.joined for node in pair}
    sure = [pair for pair, exact in edges if exact and not named.isdisjoint(pair)]
    _join(groups, against, sure)
    _set_against(groups, against, conflicts)
    _join(groups, against, (pair for pair, _ in edges))
    return groups


def _set_against(groups: _Groups, against: dict[int, set[int]], pairs: Sequence[Pair]) -> None:
    for left, right in pairs:
        one, other = groups.find(left), groups.find(right)
        if one != other:
            against[one].add(other)
            against[other].add(one)


def _join(groups: _Groups, against: dict[int, set[int]], pairs: Iterable[Pair]) -> None:
    for left, right in pairs:
        one, other = groups.find(left), groups.find(right)
        if one == other or other in against[one]:
            continue
        kept = groups.join(one, other)
        gone = other if kept == one else one
        for third in against.pop(gone, ()):
            against[third].discard(gone)
            against[third].add(kept)
            against[kept].add(third)
