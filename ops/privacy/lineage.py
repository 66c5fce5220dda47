"""Follows every column of a query to the source columns it comes from.

The walk is over the syntax tree that sqlglot parses. What it does not know it refuses: a query that
cannot be followed cannot be shown to be clean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from ops.privacy.flow import Flow, Relation, merged, united
from ops.privacy.scope import CannotFollow, Scope, Source
from ops.privacy.values import Values, shown

Relations = Callable[[str, str], Relation]

# Table functions that make rows of their arguments. Others read files, settings or other databases.
_TABLE_FUNCTIONS = (exp.GenerateSeries, exp.Explode, exp.Unnest)
_QUERY_PARTS = frozenset(
    {
        "with_", "kind", "expressions", "distinct", "from_", "laterals", "joins", "where", "group",
        "having", "qualify", "windows", "order", "limit", "offset", "sample", "this", "alias",
        "expression", "by_name",
    }
)  # fmt: skip
_TABLE_PARTS = frozenset({"this", "db", "catalog", "alias", "joins", "sample"})
_JOIN_PARTS = frozenset({"this", "on", "using", "side", "kind", "method"})
_EQUATIONS = (exp.EQ, exp.NullSafeEQ, exp.In, exp.StartsWith, exp.Like, exp.ILike)
_RECURSIONS = 20


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


class _Walk(Values):
    def __init__(self, relations: Relations) -> None:
        self._relations = relations

    def query(self, node: exp.Expr, ctes: dict[str, Relation], parent: Scope | None) -> Relation:
        _check_parts(node, _QUERY_PARTS)
        ctes = self._with(node, ctes, parent)
        if isinstance(node, exp.Select):
            return self._select(node, ctes, parent)
        if isinstance(node, exp.SetOperation):
            relation = self._set_operation(node, ctes, parent)
        elif isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query):
            relation = self.query(node.this, ctes, parent)
        else:
            raise CannotFollow(f"holds {shown(node)}, which is no query that can be followed")
        # A query in brackets, or a union, may have an order, a limit and joins of its own.
        if node.args.get("joins") or node.args.get("where") or node.args.get("laterals"):
            raise CannotFollow("joins or filters a query in brackets that has no name")
        scope = Scope(ctes, parent, {"": Source(relation.columns)}, is_clause=True)
        self._tail(node, scope, [flow for _, flow in relation.columns])
        return Relation(relation.columns, united([relation.rows, *scope.rows]))

    def _with(
        self, node: exp.Expr, ctes: dict[str, Relation], parent: Scope | None
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
        parent: Scope | None,
    ) -> Relation:
        relation = _renamed(self.query(node.this, ctes, parent), columns)
        for _ in range(_RECURSIONS):
            grown = _renamed(self.query(node, ctes | {name: relation}, parent), columns)
            if _size(grown) == _size(relation):
                return grown
            relation = grown
        raise CannotFollow(f"has the recursive query {name} that never comes to an end")

    def _set_operation(
        self, node: exp.SetOperation, ctes: dict[str, Relation], parent: Scope | None
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
            return Relation(list(columns.items()), united(rows))
        if len(left.columns) != len(right.columns):
            raise CannotFollow("unites queries of which the columns cannot be counted")
        return Relation(
            [
                (name, merged([one, other]))
                for (name, one), (_, other) in zip(left.columns, right.columns, strict=True)
            ],
            united(rows),
        )

    def _select(
        self, node: exp.Select, ctes: dict[str, Relation], parent: Scope | None
    ) -> Relation:
        scope = Scope(ctes, parent)
        if (start := node.args.get("from_")) is not None:
            self._from(start.this, scope)
        for join in node.args.get("joins") or []:
            self._join(join, scope)
        for lateral in node.args.get("laterals") or []:
            self._from(lateral, scope)
        if (where := node.args.get("where")) is not None and len(scope.sources) > 1:
            # It may name what the select list names, and decides what stands there.
            self._projections(node, scope)
            scope.is_clause = True
            self._look_up(where.this, scope)
            scope.is_clause, scope.aliases = False, {}
        columns = self._projections(node, scope)
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
            scope.influenced(self.window(window, scope), "window")
        self._tail(node, scope, flows)
        return Relation(columns, united(scope.rows))

    def _projections(self, node: exp.Select, scope: Scope) -> list[tuple[str, Flow]]:
        columns: list[tuple[str, Flow]] = []
        for projection in node.expressions:
            for name, flow in self._projected(projection, scope):
                columns.append((name, flow))
                scope.aliases[name] = merged([scope.aliases.get(name, Flow()), flow])
        return columns

    def _group(self, node: exp.Select, scope: Scope, flows: Sequence[Flow]) -> None:
        group = node.args.get("group")
        if group is None:
            return
        if group.args.get("all"):
            scope.influenced(merged(flows), "group")
        for part in group.iter_expressions():
            scope.influenced(self._ordinal(part, scope, flows), "group")

    def _tail(self, node: exp.Expr, scope: Scope, flows: Sequence[Flow]) -> None:
        if (order := node.args.get("order")) is not None:
            for part in order.expressions:
                # `order by all` orders by what can be read in the rows anyway.
                if not (isinstance(part.this, exp.Var) and part.this.name.lower() == "all"):
                    scope.influenced(self._ordinal(part.this, scope, flows), "order")
        for key in ("limit", "offset"):
            if (clause := node.args.get(key)) is not None:
                scope.influenced(self.parts(clause, scope), key)

    def _ordinal(self, node: exp.Expr, scope: Scope, flows: Sequence[Flow]) -> Flow:
        if isinstance(node, exp.Literal) and node.is_int:
            number = int(node.this)
            return flows[number - 1] if 0 < number <= len(flows) else Flow()
        return self.expression(node, scope)

    def _projected(self, node: exp.Expr, scope: Scope) -> list[tuple[str, Flow]]:
        star = node.this if isinstance(node, exp.Column) else node
        if isinstance(star, exp.Star):
            table = node.table.lower() if isinstance(node, exp.Column) else None
            return self._expanded(star, table, scope)
        name = node.alias_or_name or node.sql(dialect="duckdb")
        return [(name.lower(), self.expression(node.unalias(), scope))]

    def _expanded(self, star: exp.Star, table: str | None, scope: Scope) -> list[tuple[str, Flow]]:
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

    def _from(self, node: exp.Expr, scope: Scope) -> None:
        if isinstance(node, exp.Subquery) and node.args.get("joins"):
            raise CannotFollow("joins inside brackets")
        name, source = self._source(node, scope)
        if name in scope.sources:
            raise CannotFollow(f"names two sources {name}")
        scope.sources[name] = source
        for join in node.args.get("joins") or []:
            self._join(join, scope)

    def _source(self, node: exp.Expr, scope: Scope) -> tuple[str, Source]:
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
                raise CannotFollow(f"reads {shown(function)}, which is no model, seed or source")
            return name or function.key, self._function(function, columns, scope)
        relation = _renamed(relation, columns)
        scope.rows.append(relation.rows)
        return name or f"query {len(scope.sources)}", Source(relation.columns)

    def _function(self, node: exp.Expr, columns: Sequence[str], scope: Scope) -> Source:
        flow = self.parts(node, scope, without=("alias",))
        scope.influenced(flow, "unnest")
        return Source([(column, flow) for column in columns], anything=flow)

    def _table(self, node: exp.Table, scope: Scope) -> Relation:
        _check_parts(node, _TABLE_PARTS)
        name = node.name.lower()
        # Only a bare name can mean a query of this statement: dbt writes a model with its schema,
        # so that a query cannot step before a model by bearing its name.
        if not node.db and name in scope.ctes:
            return scope.ctes[name]
        return self._relations(node.db.lower(), name)

    def _look_up(self, condition: exp.Expr, scope: Scope) -> None:
        """Let equal values choose each other's rows.

        A code list that is joined by a patient's code tells the code as well as a `case` does: what
        one table brings into an equation chooses every column of the other.
        """
        for equation in condition.find_all(*_EQUATIONS):
            sides = {
                name: Flow(value=self.expression(equation, self._without(name, scope)).value)
                for name in self._named(equation, scope)
            }
            if len(sides) > 1:
                for name, flow in sides.items():
                    scope.sources[name] = _chosen(scope.sources[name], flow.as_choice("join"))

    def _named(self, node: exp.Expr, scope: Scope) -> list[str]:
        tables = {column.table.lower() for column in node.find_all(exp.Column)}
        return [name for name in scope.sources if name in tables or "" in tables]

    def _without(self, name: str, scope: Scope) -> Scope:
        source = scope.sources[name]
        empty = Source([(column, Flow()) for column, _ in source.columns], Flow())
        blank = scope.sources | {name: empty}
        return Scope(scope.ctes, scope.parent, blank, scope.aliases, scope.bound, scope.is_clause)

    def _join(self, node: exp.Join, scope: Scope) -> None:
        _check_parts(node, _JOIN_PARTS)
        before = set(scope.sources)
        self._from(node.this, scope)
        if (condition := node.args.get("on")) is not None:
            scope.influenced(self.expression(condition, scope), "join")
            self._look_up(condition, scope)
        names = {column.name.lower() for column in node.args.get("using") or []}
        if str(node.args.get("method") or "").upper() == "NATURAL":
            new = [scope.sources[key] for key in set(scope.sources) - before]
            names |= {column for source in new for column, _ in source.columns}
        for name in sorted(names):
            found = {key: source.get(name) for key, source in scope.sources.items()}
            flows = {key: flow for key, flow in found.items() if flow is not None}
            scope.influenced(merged(flows.values()), "join")
            for key in flows:
                others = merged(flow for other, flow in flows.items() if other != key)
                chosen = Flow(value=others.value).as_choice("join")
                scope.sources[key] = _chosen(scope.sources[key], chosen)


def _chosen(source: Source, flow: Flow) -> Source:
    anything = None if source.anything is None else merged([source.anything, flow])
    return Source([(name, merged([own, flow])) for name, own in source.columns], anything)


def _check_parts(node: exp.Expr, known: frozenset[str]) -> None:
    for key, part in node.args.items():
        if key not in known and part not in (None, False, []):
            raise CannotFollow(f"uses {key.rstrip('_')} in a way that cannot be followed")


def _alias_columns(node: exp.Expr) -> list[str]:
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


def _size(relation: Relation) -> int:
    flows = sum(len(facts) for flow in relation.flows() for facts in flow.ways().values())
    return flows + len(relation.rows)
