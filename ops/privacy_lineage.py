"""Follows every column of a query to the source columns it comes from.

The walk is over the syntax tree that sqlglot parses. It knows what lowers a value to an influence
(counting, a `case` condition, a filter) and takes everything else for a value made of all its
parts. What it does not know it refuses: a query that cannot be followed cannot be shown to be clean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from ops.privacy_flow import INFLUENCE, VALUE, Facts, Flow, Relation, Trace, merged
from ops.privacy_rules import LOWERINGS, MARKER

Relations = Callable[[str, str], Relation]


class CannotFollow(Exception):
    """A part of a query of which nobody can say what it reads; the text ends a sentence."""


# Functions that sqlglot has no class for, of which we know that they read their arguments only.
_KNOWN_FUNCTIONS = frozenset({"epoch_us", "to_months"})
# Table functions that make rows of their arguments. Others read files, settings or other databases.
_TABLE_FUNCTIONS = (exp.GenerateSeries, exp.Explode, exp.Unnest)
_REFUSED = (exp.Columns, exp.Comprehension, exp.Pivot, exp.Command, exp.ReadCSV, exp.ReadParquet)
_COUNTS = (exp.Count, exp.CountIf)
_SUMS = (exp.Sum, exp.Avg)
_QUERY_PARTS = frozenset(
    {
        "with_", "kind", "expressions", "distinct", "from_", "laterals", "joins", "where", "group",
        "having", "qualify", "windows", "order", "limit", "offset", "sample", "this", "alias",
        "expression", "by_name",
    }
)  # fmt: skip
_TABLE_PARTS = frozenset({"this", "db", "catalog", "alias", "joins", "sample"})
_JOIN_PARTS = frozenset({"this", "on", "using", "side", "kind", "method"})
_RECURSIONS = 20


@dataclass
class _Source:
    """What one name of a `from` brings; `anything` answers for a function's unnamed columns."""

    columns: list[tuple[str, Flow]]
    anything: Flow | None = None

    def get(self, name: str) -> Flow | None:
        found = [flow for column, flow in self.columns if column == name]
        return merged(found) if found else self.anything

    def whole(self) -> Flow:
        flows = [flow for _, flow in self.columns]
        return merged(flows if self.anything is None else [*flows, self.anything])


@dataclass
class _Scope:
    """The names that an expression of one query may use."""

    ctes: dict[str, Relation]
    parent: _Scope | None
    sources: dict[str, _Source] = field(default_factory=dict)
    aliases: dict[str, Flow] = field(default_factory=dict)
    bound: frozenset[str] = frozenset()
    # Outside the select list a name may mean a column or an alias: both are taken.
    is_clause: bool = False
    rows: list[Facts] = field(default_factory=list)

    def influenced(self, flow: Flow, how: str) -> None:
        self.rows.append(flow.all_as(how))


def follow(sql: str, relations: Relations) -> Relation:
    """Return the flow of every column of a query.

    Args:
        sql: one statement in DuckDB's dialect.
        relations: gives the relation of a schema and a table, or refuses.

    Raises:
        CannotFollow: the query holds something of which the origin is not known.
    """
    try:
        statements = sqlglot.parse(sql, dialect="duckdb")
    except SqlglotError:
        raise CannotFollow("is SQL that cannot be parsed") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise CannotFollow("is not one single query")
    return _Walk(relations).query(statements[0], {}, None)


class _Walk:
    def __init__(self, relations: Relations) -> None:
        self._relations = relations

    def query(
        self, node: exp.Expression, ctes: dict[str, Relation], parent: _Scope | None
    ) -> Relation:
        _check_parts(node, _QUERY_PARTS)
        ctes = self._with(node, ctes, parent)
        if isinstance(node, exp.Select):
            return self._select(node, ctes, parent)
        if isinstance(node, exp.SetOperation):
            relation = self._set_operation(node, ctes, parent)
        elif isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query):
            relation = self.query(node.this, ctes, parent)
        else:
            raise CannotFollow(f"holds {_shown(node)}, which is no query that can be followed")
        # A query in brackets, or a union, may have an order, a limit and joins of its own.
        if node.args.get("joins") or node.args.get("where") or node.args.get("laterals"):
            raise CannotFollow("joins or filters a query in brackets that has no name")
        scope = _Scope(ctes, parent, {"": _Source(relation.columns)}, is_clause=True)
        self._tail(node, scope, [flow for _, flow in relation.columns])
        return Relation(relation.columns, _union([relation.rows, *scope.rows]))

    def _with(
        self, node: exp.Expression, ctes: dict[str, Relation], parent: _Scope | None
    ) -> dict[str, Relation]:
        clause = node.args.get("with_")
        if clause is None:
            return ctes
        known = dict(ctes)
        for cte in clause.expressions:
            name, columns = cte.alias.lower(), _alias_columns(cte)
            relation = None
            if clause.args.get("recursive") and isinstance(cte.this, exp.Union):
                relation = self._recursive(cte.this, name, columns, known, parent)
            known[name] = relation or _renamed(self.query(cte.this, known, parent), columns)
        return known

    def _recursive(
        self,
        node: exp.Union,
        name: str,
        columns: Sequence[str],
        ctes: dict[str, Relation],
        parent: _Scope | None,
    ) -> Relation:
        relation = _renamed(self.query(node.this, ctes, parent), columns)
        for _ in range(_RECURSIONS):
            grown = _renamed(self.query(node, ctes | {name: relation}, parent), columns)
            if _size(grown) == _size(relation):
                return grown
            relation = grown
        raise CannotFollow(f"has the recursive query {name} that never comes to an end")

    def _set_operation(
        self, node: exp.SetOperation, ctes: dict[str, Relation], parent: _Scope | None
    ) -> Relation:
        left = self.query(node.left, ctes, parent)
        right = self.query(node.right, ctes, parent)
        rows = [left.rows, right.rows]
        if node.args.get("distinct") or not isinstance(node, exp.Union):
            rows += [flow.all_as("distinct") for flow in [*left.flows(), *right.flows()]]
        if node.args.get("by_name"):
            columns = dict(left.columns)
            for name, flow in right.columns:
                columns[name] = merged([columns.get(name, Flow()), flow])
            return Relation(list(columns.items()), _union(rows))
        if len(left.columns) != len(right.columns):
            raise CannotFollow("unites queries of which the columns cannot be counted")
        return Relation(
            [
                (name, merged([one, other]))
                for (name, one), (_, other) in zip(left.columns, right.columns, strict=True)
            ],
            _union(rows),
        )

    def _select(
        self, node: exp.Select, ctes: dict[str, Relation], parent: _Scope | None
    ) -> Relation:
        scope = _Scope(ctes, parent)
        if (start := node.args.get("from_")) is not None:
            self._from(start.this, scope)
        for join in node.args.get("joins") or []:
            self._join(join, scope)
        for lateral in node.args.get("laterals") or []:
            self._from(lateral, scope)
        columns: list[tuple[str, Flow]] = []
        for projection in node.expressions:
            for name, flow in self._projected(projection, scope):
                columns.append((name, flow))
                scope.aliases[name] = merged([scope.aliases.get(name, Flow()), flow])
        scope.is_clause = True
        flows = [flow for _, flow in columns]
        for key, how in (("where", "filter"), ("having", "filter"), ("qualify", "filter")):
            if (clause := node.args.get(key)) is not None:
                scope.influenced(self.expression(clause.this, scope), how)
        self._group(node, scope, flows)
        if (distinct := node.args.get("distinct")) is not None:
            chosen = distinct.args.get("on")
            by = flows if chosen is None else [self.expression(chosen, scope)]
            scope.influenced(merged(by), "distinct")
        for window in node.args.get("windows") or []:
            scope.influenced(self._parts(window, scope), "window")
        self._tail(node, scope, flows)
        return Relation(columns, _union(scope.rows))

    def _group(self, node: exp.Select, scope: _Scope, flows: Sequence[Flow]) -> None:
        group = node.args.get("group")
        if group is None:
            return
        if group.args.get("all"):
            scope.influenced(merged(flows), "group")
        for part in group.iter_expressions():
            scope.influenced(self._ordinal(part, scope, flows), "group")

    def _tail(self, node: exp.Expression, scope: _Scope, flows: Sequence[Flow]) -> None:
        if (order := node.args.get("order")) is not None:
            for part in order.expressions:
                # `order by all` orders by what can be read in the rows anyway.
                if not (isinstance(part.this, exp.Var) and part.this.name.lower() == "all"):
                    scope.influenced(self._ordinal(part.this, scope, flows), "order")
        for key in ("limit", "offset"):
            if (clause := node.args.get(key)) is not None:
                scope.influenced(self._parts(clause, scope), key)

    def _ordinal(self, node: exp.Expression, scope: _Scope, flows: Sequence[Flow]) -> Flow:
        if isinstance(node, exp.Literal) and node.is_int:
            number = int(node.this)
            return flows[number - 1] if 0 < number <= len(flows) else Flow()
        return self.expression(node, scope)

    def _projected(self, node: exp.Expression, scope: _Scope) -> list[tuple[str, Flow]]:
        star = node.this if isinstance(node, exp.Column) else node
        if isinstance(star, exp.Star):
            table = node.table.lower() if isinstance(node, exp.Column) else None
            return self._star(star, table, scope)
        name = node.alias_or_name or node.sql(dialect="duckdb")
        return [(name.lower(), self.expression(node.unalias(), scope))]

    def _star(self, star: exp.Star, table: str | None, scope: _Scope) -> list[tuple[str, Flow]]:
        if star.args.get("ilike") or (table is not None and table not in scope.sources):
            raise CannotFollow("has a `select *` that cannot be expanded")
        chosen = scope.sources if table is None else {table: scope.sources[table]}
        if not chosen or any(source.anything is not None for source in chosen.values()):
            raise CannotFollow("has a `select *` that cannot be expanded")
        left_out = {column.name.lower() for column in star.args.get("except_") or []}
        replaced = {
            alias.alias.lower(): self.expression(alias.this, scope)
            for alias in star.args.get("replace") or []
        }
        renamed = {
            alias.this.name.lower(): alias.alias.lower() for alias in star.args.get("rename") or []
        }
        return [
            (renamed.get(name, name), replaced.get(name, flow))
            for source in chosen.values()
            for name, flow in source.columns
            if name not in left_out
        ]

    # --- where rows come from

    def _from(self, node: exp.Expression, scope: _Scope) -> None:
        if isinstance(node, exp.Subquery) and node.args.get("joins"):
            raise CannotFollow("joins inside brackets")
        name, source = self._source(node, scope)
        if name in scope.sources:
            raise CannotFollow(f"names two sources {name}")
        scope.sources[name] = source
        for join in node.args.get("joins") or []:
            self._join(join, scope)

    def _source(self, node: exp.Expression, scope: _Scope) -> tuple[str, _Source]:
        name, columns = node.alias_or_name.lower(), _alias_columns(node)
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            relation = self._table(node, scope)
        elif isinstance(node, exp.Subquery):
            relation = self.query(node, scope.ctes, scope)
        elif isinstance(node, exp.Lateral) and isinstance(node.this, exp.Subquery):
            relation = self.query(node.this, scope.ctes, scope)
        elif isinstance(node, exp.Values):
            return name or "values", self._function(node, columns, scope)
        else:
            function = node.this if isinstance(node, (exp.Table, exp.Lateral)) else node
            if not isinstance(function, _TABLE_FUNCTIONS):
                raise CannotFollow(f"reads {_shown(function)}, which is no model, seed or source")
            return name or function.key, self._function(function, columns, scope)
        relation = _renamed(relation, columns)
        scope.rows.append(relation.rows)
        return name or f"query {len(scope.sources)}", _Source(relation.columns)

    def _function(self, node: exp.Expression, columns: Sequence[str], scope: _Scope) -> _Source:
        flow = self._parts(node, scope, without=("alias",))
        scope.influenced(flow, "unnest")
        return _Source([(column, flow) for column in columns], anything=flow)

    def _table(self, node: exp.Table, scope: _Scope) -> Relation:
        _check_parts(node, _TABLE_PARTS)
        name = node.name.lower()
        # Only a bare name can mean a query of this statement; dbt writes a model with its schema, so
        # that a query cannot step before a model by bearing its name.
        if not node.db and name in scope.ctes:
            return scope.ctes[name]
        return self._relations(node.db.lower(), name)

    def _join(self, node: exp.Join, scope: _Scope) -> None:
        _check_parts(node, _JOIN_PARTS)
        before = set(scope.sources)
        self._from(node.this, scope)
        if (condition := node.args.get("on")) is not None:
            scope.influenced(self.expression(condition, scope), "join")
        names = {column.name.lower() for column in node.args.get("using") or []}
        if str(node.args.get("method") or "").upper() == "NATURAL":
            new = [scope.sources[key] for key in set(scope.sources) - before]
            names |= {column for source in new for column, _ in source.columns}
        for name in sorted(names):
            found = [source.get(name) for source in scope.sources.values()]
            scope.influenced(merged(flow for flow in found if flow is not None), "join")

    # --- what a value is made of

    def expression(self, node: exp.Expression, scope: _Scope) -> Flow:
        if isinstance(node, exp.Column):
            return self._column(node, scope)
        if isinstance(node, exp.Star):
            return merged(source.whole() for source in scope.sources.values())
        if isinstance(node, exp.Query):
            return self._subquery(node, scope)
        if isinstance(node, exp.Case):
            return self._case(node, scope)
        if isinstance(node, exp.If):
            outcomes = [node.args.get("true"), node.args.get("false")]
            return self._conditional([node.this], outcomes, scope)
        if isinstance(node, exp.Window):
            return self._window(node, scope)
        if isinstance(node, exp.Filter):
            return self._beside([node.expression], node.this, scope, how="filter")
        if isinstance(node, exp.Order):
            return self._beside(node.expressions, node.this, scope, how="order")
        if isinstance(node, _SUMS):
            return self._parts(node, scope).counted("count")
        if isinstance(node, _COUNTS):
            if isinstance(node.this, exp.Star):
                return Flow()
            return self._parts(node, scope).as_influence("count")
        if isinstance(node, exp.Exists):
            return self._parts(node, scope).as_influence("exists")
        if isinstance(node, exp.Lambda):
            return self._lambda(node, scope)
        if isinstance(node, exp.Anonymous):
            return self._called(node, scope)
        if isinstance(node, _REFUSED):
            raise CannotFollow(f"uses {_shown(node)}, of which the columns cannot be told")
        if isinstance(node, exp.Ordered) and isinstance(node.this, exp.Var):
            return merged(source.whole() for source in scope.sources.values())
        return self._parts(node, scope)

    def _parts(self, node: exp.Expression, scope: _Scope, *, without: Iterable[str] = ()) -> Flow:
        left_out = [node.args.get(key) for key in without]
        return merged(
            self.expression(part, scope)
            for part in node.iter_expressions()
            if not any(part is other for other in left_out)
        )

    def _conditional(
        self,
        conditions: Iterable[exp.Expression | None],
        outcomes: Iterable[exp.Expression | None],
        scope: _Scope,
    ) -> Flow:
        flows = [self.expression(part, scope) for part in outcomes if part is not None]
        decided_by = [self.expression(part, scope) for part in conditions if part is not None]
        return merged([*flows, *(flow.as_choice("case") for flow in decided_by)])

    def _case(self, node: exp.Case, scope: _Scope) -> Flow:
        branches = node.args["ifs"]
        conditions = [node.this, *(branch.this for branch in branches)]
        outcomes = [*(branch.args.get("true") for branch in branches), node.args.get("default")]
        return self._conditional(conditions, outcomes, scope)

    def _beside(
        self, parts: Iterable[exp.Expression], of: exp.Expression | None, scope: _Scope, *, how: str
    ) -> Flow:
        flows = [self.expression(part, scope).as_influence(how) for part in parts]
        return merged([*flows, Flow() if of is None else self.expression(of, scope)])

    def _window(self, node: exp.Window, scope: _Scope) -> Flow:
        flow = self._parts(node, scope, without=("this", "alias")).as_influence("window")
        return merged([self.expression(node.this, scope), flow])

    def _lambda(self, node: exp.Lambda, scope: _Scope) -> Flow:
        # Its parameters are elements of the list, which is an argument beside it.
        names = frozenset(part.name.lower() for part in node.expressions)
        inner = _Scope(scope.ctes, scope, bound=scope.bound | names)
        return self.expression(node.this, inner)

    def _called(self, node: exp.Anonymous, scope: _Scope) -> Flow:
        name = node.name.lower()
        if name == MARKER:
            return self._lowered(node, scope)
        if name not in _KNOWN_FUNCTIONS:
            raise CannotFollow(f"calls {name}(), of which nobody has said what it reads")
        return self._parts(node, scope)

    def _lowered(self, node: exp.Anonymous, scope: _Scope) -> Flow:
        macro = node.expressions[0].name
        if macro not in LOWERINGS:
            raise CannotFollow(f"passes the macro {macro}, which is not declared to lower a class")
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

    def _subquery(self, node: exp.Query, scope: _Scope) -> Flow:
        relation = self.query(node, scope.ctes, scope)
        return merged([*relation.flows(), Flow(influence=_union([relation.rows]))])

    def _column(self, node: exp.Column, scope: _Scope) -> Flow:
        table, name = node.table.lower(), node.name.lower()
        if not table:
            return self._bare(name, scope)
        inner: _Scope | None = scope
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

    def _bare(self, name: str, scope: _Scope) -> Flow:
        inner: _Scope | None = scope
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


def _check_parts(node: exp.Expression, known: frozenset[str]) -> None:
    for key, part in node.args.items():
        if key not in known and part not in (None, False, []):
            raise CannotFollow(f"uses {key.rstrip('_')} in a way that cannot be followed")


def _alias_columns(node: exp.Expression) -> list[str]:
    alias = node.args.get("alias")
    if not isinstance(alias, exp.TableAlias):
        return []
    return [column.name.lower() for column in alias.columns]


def _renamed(relation: Relation, names: Sequence[str]) -> Relation:
    if len(names) > len(relation.columns):
        raise CannotFollow("gives more names than there are columns")
    columns = [
        (names[place] if place < len(names) else name, flow)
        for place, (name, flow) in enumerate(relation.columns)
    ]
    return Relation(columns, relation.rows)


def _union(facts: Iterable[Facts]) -> Facts:
    found: Facts = {}
    for each in facts:
        for fact, trace in each.items():
            found.setdefault(fact, trace if trace.how != VALUE else Trace(trace.step, "filter"))
    return found


def _size(relation: Relation) -> int:
    flows = sum(len(facts) for flow in relation.flows() for facts in flow.ways().values())
    return flows + len(relation.rows)


def _shown(node: exp.Expression) -> str:
    if isinstance(node, exp.Anonymous):
        return f"{node.name.lower()}()"
    return f"`{node.key}`"
