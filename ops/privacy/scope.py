"""The names that an expression may use, and the flow that each of them brings."""

from __future__ import annotations

from dataclasses import dataclass, field

from ops.privacy.flow import Facts, Flow, Relation, merged


class CannotFollow(Exception):
    """A part of a query of which nobody can say what it reads; the text ends a sentence."""


@dataclass
class Source:
    """What one name of a `from` brings; `anything` answers for a function's unnamed columns."""

    columns: list[tuple[str, Flow]]
    anything: Flow | None = None

    def get(self, name: str) -> Flow | None:
        """Return the flow of a column, or None where there is none of that name."""
        found = [flow for column, flow in self.columns if column == name]
        return merged(found) if found else self.anything

    def whole(self) -> Flow:
        """Return what all columns bring."""
        flows = [flow for _, flow in self.columns]
        return merged(flows if self.anything is None else [*flows, self.anything])


@dataclass
class Scope:
    """The names that an expression of one query may use."""

    ctes: dict[str, Relation]
    parent: Scope | None
    sources: dict[str, Source] = field(default_factory=dict)
    aliases: dict[str, Flow] = field(default_factory=dict)
    bound: frozenset[str] = frozenset()
    # Outside the select list a name may mean a column or an alias: both are taken.
    is_clause: bool = False
    rows: list[Facts] = field(default_factory=list)

    def influenced(self, flow: Flow, how: str) -> None:
        """Let an expression decide which rows there are."""
        self.rows.append(flow.all_as(how))
