"""What reaches a column: facts about source columns, each with the way it took.

A fact reaches a column *by value* when the column's value is made of it, *by choice* when a `case`
decides by it, and *by influence* when it only decides which rows there are, or in which order a
window looks at them. Influence gives a value away, too: who is in a table of those born before
1940?
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

VALUE = "value"
CHOICE = "choice"
INFLUENCE = "influence"


@dataclass(frozen=True)
class Fact:
    """One source column at one privacy class, and the lowering macros it has passed."""

    privacy: str
    source: str
    macros: tuple[str, ...] = ()

    def lowered(self, macro: str, privacy: str) -> Fact:
        """Return the fact after one more lowering macro."""
        return Fact(privacy, self.source, tuple(sorted({*self.macros, macro})))


@dataclass(frozen=True)
class Step:
    """A column of a table, and how it takes from the column below it."""

    column: str
    how: str = VALUE
    below: Step | None = None

    def path(self) -> str:
        """Return the way down to the source column, column by column."""
        text, step = self.column, self
        while step.below is not None:
            text += f" <- {step.below.column} ({step.how})"
            step = step.below
        return text


@dataclass(frozen=True)
class Trace:
    """How a fact came into the query that is looked at, and the column it was taken from."""

    step: Step
    how: str = VALUE


Facts = dict[Fact, Trace]


@dataclass(frozen=True)
class Flow:
    """The facts that reach one expression: by value, by choice and by influence.

    A choice is what a `case` decides by: its branches can spell the value out again, so that it is
    as good as the value until rows are counted.
    """

    value: Facts = field(default_factory=dict)
    choice: Facts = field(default_factory=dict)
    influence: Facts = field(default_factory=dict)

    def as_choice(self, how: str) -> Flow:
        """Return the flow of a condition: what was a value is what a branch is chosen by."""
        return Flow({}, _said(self.value, how) | self.choice, self.influence)

    def counted(self, how: str) -> Flow:
        """Return the flow of a sum over rows: what chose the rows is left as an influence."""
        return Flow(self.value, {}, _said(self.choice, how) | self.influence)

    def as_influence(self, how: str) -> Flow:
        """Return the flow of an expression of which only the effect is left.

        Args:
            how: filter, join, window ...; a use further in keeps its own word.
        """
        return Flow(influence=self.all_as(how))

    def all_as(self, how: str) -> Facts:
        """Return every fact, whichever way it came, as one that has this effect."""
        return _said(self.value | self.choice | self.influence, how)

    def ways(self) -> dict[str, Facts]:
        """Return the facts by their way."""
        return {VALUE: self.value, CHOICE: self.choice, INFLUENCE: self.influence}


def _said(facts: Facts, how: str) -> Facts:
    return {
        fact: trace if trace.how != VALUE else Trace(trace.step, how)
        for fact, trace in facts.items()
    }


def merged(flows: Iterable[Flow]) -> Flow:
    """Return everything that any of the flows brings."""
    found = Flow()
    for flow in flows:
        for way, into in found.ways().items():
            for fact, trace in flow.ways()[way].items():
                into.setdefault(fact, trace)
    return found


def united(facts: Iterable[Facts]) -> Facts:
    """Return what decides which rows there are, of all that does."""
    found: Facts = {}
    for each in facts:
        for fact, trace in _said(each, "filter").items():
            found.setdefault(fact, trace)
    return found


@dataclass
class Relation:
    """A table, view or query: the flow of every column, and what decides which rows there are."""

    columns: list[tuple[str, Flow]]
    rows: Facts = field(default_factory=dict)

    def named(self, name: str) -> Relation:
        """Return the relation as the next query reads it: every fact one step further away."""

        def carried(column: str, facts: Facts) -> Facts:
            return {
                fact: Trace(Step(column, trace.how, trace.step)) for fact, trace in facts.items()
            }

        columns = [
            (
                column,
                Flow(*(carried(f"{name}.{column}", facts) for facts in flow.ways().values())),
            )
            for column, flow in self.columns
        ]
        return Relation(columns, carried(f"rows of {name}", self.rows))

    def flows(self) -> Iterator[Flow]:
        """Return the flows of all columns."""
        return (flow for _, flow in self.columns)


def source_relation(name: str, classes: dict[str, str]) -> Relation:
    """Return a table of the lake: each column brings itself.

    Args:
        name: the table as the contract names it, ``ehr.patients``.
        classes: the privacy class of every column.
    """
    columns = []
    for column, privacy in classes.items():
        label = f"{name}.{column}"
        columns.append((column, Flow({Fact(privacy, label): Trace(Step(label))})))
    return Relation(columns)
