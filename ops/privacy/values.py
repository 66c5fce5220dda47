"""What a value is made of: the flow of every kind of expression.

Counting, a `case` condition, a window's order and a filter lower a value to something less;
everything else is taken for a value made of all its parts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cache

import sqlglot
from sqlglot import exp

from ops.privacy.flow import INFLUENCE, VALUE, Flow, Relation, Trace, merged, united
from ops.privacy.rules import LOWERINGS, MARKER, WRITES
from ops.privacy.scope import CannotFollow, Scope

# Functions that sqlglot has no class for, of which we know that they read their arguments only.
_KNOWN_FUNCTIONS = frozenset({"epoch_us", "to_months"})
_REFUSED = (exp.Columns, exp.Comprehension, exp.Pivot, exp.Command, exp.ReadCSV, exp.ReadParquet)
_COUNTS = (exp.Count, exp.CountIf)
# A marker has the macro's name and what it wrote.
_MARKED = 2
_SUMS = (exp.Sum, exp.Avg)


class Values(ABC):
    """Follows expressions; what follows queries completes it."""

    @abstractmethod
    def query(self, node: exp.Expr, ctes: dict[str, Relation], parent: Scope | None) -> Relation:
        """Follow a query inside an expression."""

    def expression(self, node: exp.Expr, scope: Scope) -> Flow:
        """Return the flow of an expression.

        Raises:
            CannotFollow: it uses a name or a function of which nobody knows what it reads.
        """
        if isinstance(node, _REFUSED):
            raise CannotFollow(f"uses {shown(node)}, of which the columns cannot be told")
        for kind, method in _METHODS:
            if isinstance(node, kind):
                flow: Flow = getattr(self, method)(node, scope)
                return flow
        return self.parts(node, scope)

    def _star(self, _node: exp.Expr, scope: Scope) -> Flow:
        return merged(source.whole() for source in scope.sources.values())

    def _ordered(self, node: exp.Ordered, scope: Scope) -> Flow:
        # `order by all`
        return (self._star if isinstance(node.this, exp.Var) else self.parts)(node, scope)

    def _if(self, node: exp.If, scope: Scope) -> Flow:
        outcomes = [node.args.get("true"), node.args.get("false")]
        return self._conditional([node.this], outcomes, scope)

    def _filter(self, node: exp.Filter, scope: Scope) -> Flow:
        return self._beside([node.expression], node.this, scope, how="filter")

    def _order(self, node: exp.Order, scope: Scope) -> Flow:
        return self._beside(node.expressions, node.this, scope, how="order")

    def _sum(self, node: exp.Expr, scope: Scope) -> Flow:
        return self.parts(node, scope).counted("count")

    def _count(self, node: exp.Expr, scope: Scope) -> Flow:
        is_of_rows = isinstance(node.this, exp.Star)
        return Flow() if is_of_rows else self.parts(node, scope).as_influence("count")

    def _exists(self, node: exp.Exists, scope: Scope) -> Flow:
        return self.parts(node, scope).as_influence("exists")

    def parts(self, node: exp.Expr, scope: Scope, *, without: Iterable[str] = ()) -> Flow:
        """Return the flow of everything an expression is made of."""
        left_out = [node.args.get(key) for key in without]
        return merged(
            self.expression(part, scope)
            for part in node.iter_expressions()
            if not any(part is other for other in left_out)
        )

    def _conditional(
        self,
        conditions: Iterable[exp.Expr | None],
        outcomes: Iterable[exp.Expr | None],
        scope: Scope,
    ) -> Flow:
        flows = [self.expression(part, scope) for part in outcomes if part is not None]
        decided_by = [self.expression(part, scope) for part in conditions if part is not None]
        return merged([*flows, *(flow.as_choice("case") for flow in decided_by)])

    def _case(self, node: exp.Case, scope: Scope) -> Flow:
        branches = node.args["ifs"]
        conditions = [node.this, *(branch.this for branch in branches)]
        outcomes = [*(branch.args.get("true") for branch in branches), node.args.get("default")]
        return self._conditional(conditions, outcomes, scope)

    def _beside(
        self, parts: Iterable[exp.Expr], of: exp.Expr | None, scope: Scope, *, how: str
    ) -> Flow:
        flows = [self.expression(part, scope).as_influence(how) for part in parts]
        return merged([*flows, Flow() if of is None else self.expression(of, scope)])

    def _window(self, node: exp.Window, scope: Scope) -> Flow:
        return merged([self.expression(node.this, scope), self.window(node, scope)])

    def window(self, node: exp.Window, scope: Scope) -> Flow:
        """Return what a window, named or not, puts into groups and in order."""
        order = node.args.get("order")
        ordered = order.expressions if isinstance(order, exp.Order) else []
        parts = [self.expression(part, scope) for part in ordered]
        parts.append(self.parts(node, scope, without=("this", "alias", "order")))
        return merged(parts).as_influence("window")

    def _lambda(self, node: exp.Lambda, scope: Scope) -> Flow:
        # Its parameters are elements of the list, which is an argument beside it.
        names = frozenset(part.name.lower() for part in node.expressions)
        inner = Scope(scope.ctes, scope, bound=scope.bound | names)
        return self.expression(node.this, inner)

    def _called(self, node: exp.Anonymous, scope: Scope) -> Flow:
        name = node.name.lower()
        if name == MARKER:
            return self._lowered(node, scope)
        if name not in _KNOWN_FUNCTIONS:
            raise CannotFollow(f"calls {name}(), of which nobody has said what it reads")
        return self.parts(node, scope)

    def _lowered(self, node: exp.Anonymous, scope: Scope) -> Flow:
        macro = node.expressions[0].name
        if macro not in LOWERINGS:
            raise CannotFollow(f"passes the macro {macro}, which is not declared to lower a class")
        if len(node.expressions) != _MARKED or not _fits(_pattern(macro), node.expressions[1], {}):
            raise CannotFollow(f"passes the macro {macro} and writes other SQL than it should")
        classes = LOWERINGS[macro].classes
        inner = self.expression(node.expressions[1], scope)
        outcome = Flow()
        for way, facts in inner.ways().items():
            for fact, trace in facts.items():
                if fact.privacy in classes and way != INFLUENCE:
                    # A band is made of nothing but conditions: it arrives as a value.
                    lowered = fact.lowered(macro, classes[fact.privacy])
                    outcome.value.setdefault(lowered, Trace(trace.step, VALUE))
                else:
                    outcome.ways()[way].setdefault(fact, trace)
        return outcome

    def _subquery(self, node: exp.Query, scope: Scope) -> Flow:
        relation = self.query(node, scope.ctes, scope)
        return merged([*relation.flows(), Flow(choice=united([relation.rows]))])

    def _column(self, node: exp.Column, scope: Scope) -> Flow:
        table, name = node.table.lower(), node.name.lower()
        if not table:
            return self._bare(name, scope)
        inner: Scope | None = scope
        while inner is not None:
            source = inner.sources.get(table)
            if source is not None:
                if isinstance(node.this, exp.Star):
                    return source.whole()
                flow = source.get(name)
                if flow is None:
                    raise CannotFollow(f"reads {table}.{name}, a column that nothing gives")
                return flow
            inner = inner.parent
        # No table of that name: a field of a structured column.
        return self._bare(node.parts[0].name.lower(), scope)

    def _bare(self, name: str, scope: Scope) -> Flow:
        inner: Scope | None = scope
        while inner is not None:
            found = [source.get(name) for source in inner.sources.values()]
            flows = [flow for flow in found if flow is not None]
            if name in inner.aliases and (inner.is_clause or not flows):
                flows.append(inner.aliases[name])
            if name in inner.sources and not flows:
                flows.append(inner.sources[name].whole())
            if flows or name in inner.bound:
                return merged(flows)
            inner = inner.parent
        raise CannotFollow(f"reads {name}, a column that nothing gives")


@cache
def _pattern(macro: str) -> exp.Expr:
    return sqlglot.parse_one(WRITES[macro], dialect="duckdb")


def _fits(pattern: object, node: object, arguments: dict[str, exp.Expr]) -> bool:
    """Say whether an expression is a pattern with its arguments put in, each one the same."""
    if isinstance(pattern, exp.Placeholder) and isinstance(node, exp.Expr):
        return arguments.setdefault(pattern.name, node) == node
    if isinstance(pattern, exp.Expr) and isinstance(node, exp.Expr):
        keys = set(pattern.args) | set(node.args)
        return type(pattern) is type(node) and all(
            _fits(pattern.args.get(key), node.args.get(key), arguments) for key in keys
        )
    if isinstance(pattern, list) and isinstance(node, list):
        return len(pattern) == len(node) and all(
            _fits(one, other, arguments) for one, other in zip(pattern, node, strict=True)
        )
    return pattern == node or (not pattern and not node)


def shown(node: exp.Expr) -> str:
    """Return the kind of an expression, or the function it calls, never a value in it."""
    if isinstance(node, exp.Anonymous):
        return f"{node.name.lower()}()"
    return f"`{node.key}`"


_METHODS: tuple[tuple[type[exp.Expr] | tuple[type[exp.Expr], ...], str], ...] = (
    (exp.Column, "_column"),
    (exp.Star, "_star"),
    (exp.Query, "_subquery"),
    (exp.Case, "_case"),
    (exp.If, "_if"),
    (exp.Window, "_window"),
    (exp.Filter, "_filter"),
    (exp.Order, "_order"),
    (exp.Ordered, "_ordered"),
    (_SUMS, "_sum"),
    (_COUNTS, "_count"),
    (exp.Exists, "_exists"),
    (exp.Lambda, "_lambda"),
    (exp.Anonymous, "_called"),
)
