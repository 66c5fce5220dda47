"""Which source columns reach which column of a zone, and whether they may.

The tables of a zone are those that its files hold, made by the queries that write the files:
operational and published files by `ops.publication.publish`, release files by `ops.release.write`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ops.privacy.flow import (
    INFLUENCE,
    Fact,
    Facts,
    Flow,
    Relation,
    Step,
    Trace,
    merged,
    source_relation,
)
from ops.privacy.lineage import follow
from ops.privacy.project import Model, Project
from ops.privacy.rules import ZONES
from ops.privacy.scope import CannotFollow
from ops.publication.curves import CURVES_SCHEMA
from ops.publication.derived import FUNNEL_SCHEMA, LIMITS_SCHEMA, XMR_SCHEMA
from ops.publication.history import HALF_YEARLY
from ops.publication.own_tables import OWN_TABLES
from ops.publication.publish import (
    DERIVED_TABLES,
    NETWORK_TABLES,
    OWN_DERIVED_TABLES,
    PUBLICATION,
    REFERENCE_TABLES,
    cells_query,
    network_query,
)
from ops.publication.standardised import (
    OWN_RATIOS,
    RATIOS_SCHEMA,
    REFERENCE,
    REFERENCE_SCHEMA,
)
from ops.publication.worklist import WORKLIST
from ops.release.gate import GATE as RELEASE_GATE
from ops.release.write import released_query

PUBLISHED_SCHEMA = "published"
RELEASE_SCHEMA = "research"
_DERIVED_SCHEMAS = {
    "rpt_ed_returns_xmr": XMR_SCHEMA,
    "rpt_ed_returns_funnel": FUNNEL_SCHEMA,
    "rpt_ed_returns_funnel_limits": LIMITS_SCHEMA,
    "rpt_ed_return_curves": CURVES_SCHEMA,
    REFERENCE: REFERENCE_SCHEMA,
    OWN_RATIOS: RATIOS_SCHEMA,
}
# Drawn up for the network alone.
_NETWORK_ONLY = frozenset({"rpt_ed_returns_funnel_limits"})
PATHS_SHOWN = 5
_WAYS = {
    "value": "by value",
    "choice": "by the choice of a case or a join",
    "influence": "by influence",
}


@dataclass(frozen=True)
class ZoneTable:
    """A table of a zone's files, and what reaches each of its columns."""

    zone: str
    name: str
    relation: Relation


@dataclass
class Lineage:
    """The whole picture: the tables of all zones, and what must not be."""

    tables: list[ZoneTable] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    models_count: int = 0

    def __str__(self) -> str:
        columns = sum(len(table.relation.columns) for table in self.tables)
        return (
            f"{self.models_count} models followed; {columns} columns of {len(self.tables)} tables "
            f"in {len({table.zone for table in self.tables})} zones hold what they may"
        )


class _NotFollowed(CannotFollow):
    """A query rests on one that was refused before, and reported then."""


class _Catalogue:
    """Gives the relation of a name; follows each model once, whichever asks first."""

    def __init__(self, project: Project) -> None:
        self.findings: list[str] = []
        self._project = project
        self._known: dict[tuple[str, str], Relation | None] = {}

    def __call__(self, schema: str, name: str) -> Relation:
        place = (schema, name)
        if place not in self._known:
            self._known[place] = None  # Until it is followed: one that reads itself finds this.
            self._known[place] = self._relation(place)
        relation = self._known[place]
        if relation is None:
            raise _NotFollowed(f"reads {schema}.{name}, which cannot be followed")
        return relation

    def _relation(self, place: tuple[str, str]) -> Relation | None:
        if place in self._project.tables:
            return source_relation(*self._project.tables[place])
        if place not in self._project.models:
            raise CannotFollow(f"reads {'.'.join(place)}, which is no model, seed or source")
        model = self._project.models[place]
        followed = self.follow(model.path, model.sql, refusal=model.refusal)
        return None if followed is None else followed.named(".".join(place))

    def follow(self, where: str, sql: str, *, refusal: str | None = None) -> Relation | None:
        """Follow one query; what cannot be followed becomes a finding."""
        try:
            if refusal is not None:
                raise CannotFollow(refusal)
            return follow(sql, self)
        except _NotFollowed:
            return None
        except CannotFollow as error:
            self.findings.append(
                f"{where} {error}: write it so that its lineage can be followed, or leave it out."
            )
        except RecursionError:
            self.findings.append(f"{where} is nested too deeply to be followed: divide it.")
        return None


def trace_project(project: Project) -> Lineage:
    """Follow every column of every zone to its sources, and judge what arrives."""
    catalogue = _Catalogue(project)
    for model in project.models.values():
        try:
            catalogue(model.schema, model.name)
        except CannotFollow:
            continue  # It stands among the findings.
    tables = [
        *_published(catalogue, project),
        *_operational(catalogue),
        *_released(catalogue, project),
    ]
    findings = [*project.faults, *catalogue.findings]
    for table in tables:
        findings += _findings(table)
    return Lineage(tables, findings, len(project.models))


def follow_model(project: Project, schema: str, name: str) -> Relation:
    """Follow one model and those it reads.

    Raises:
        CannotFollow: it, or one of those, cannot be followed.
    """
    return _Catalogue(project)(schema, name)


def _published(catalogue: _Catalogue, project: Project) -> Iterator[ZoneTable]:
    for table in NETWORK_TABLES:
        yield from _written(catalogue, "published", table, network_query(table))
    yield from _written(catalogue, "published", "publication", PUBLICATION)
    for name, cells in DERIVED_TABLES.items():
        yield from _derived(catalogue, "published", name, [cells_query(PUBLISHED_SCHEMA, *cells)])
    for name, query in REFERENCE_TABLES.items():
        read = [query, cells_query(PUBLISHED_SCHEMA, *HALF_YEARLY)]
        yield from _derived(catalogue, "published", name, read)
    # Every model of the schema is held to the zone, copied into a file or not.
    for model in _models(project, PUBLISHED_SCHEMA):
        if model.name not in NETWORK_TABLES:
            query = network_query(model.name)
            yield from _written(catalogue, "published", model.name, query)


def _operational(catalogue: _Catalogue) -> Iterator[ZoneTable]:
    own: dict[str, Relation] = {}
    for name, query in OWN_TABLES.items():
        zone = "worklist" if name == WORKLIST else "operational"
        for table in _written(catalogue, zone, name, query):
            own[name] = table.relation.named(f"operational.{name}")
            yield table

    def of_the_file(schema: str, name: str) -> Relation:
        if schema == "own" and name in own:
            return own[name]
        return catalogue(schema, name)

    network = cells_query(PUBLISHED_SCHEMA, *HALF_YEARLY)
    for name, cells in DERIVED_TABLES.items():
        if name not in _NETWORK_ONLY and cells[0] in own:
            relations = [follow(cells_query("own", *cells), of_the_file)]
            relations += _followed(catalogue, name, [network])
            yield ZoneTable("operational", name, _drawn_up(name, relations))
    for name, queries in OWN_DERIVED_TABLES.items():
        relations = [follow(query, of_the_file) for query in queries]
        yield ZoneTable("operational", name, _drawn_up(name, relations))


def _released(catalogue: _Catalogue, project: Project) -> Iterator[ZoneTable]:
    """Follow the query that writes the files: every key gives way to a drawn number."""
    tables: dict[str, Relation] = {}
    for model in _models(project, RELEASE_SCHEMA):
        if model.name != RELEASE_GATE:
            for table in _written(
                catalogue,
                project.release_zone,
                model.name,
                f"select * from {RELEASE_SCHEMA}.{model.name}",
            ):
                tables[model.name] = table.relation.named(f"{RELEASE_SCHEMA}.{model.name}")

    def of_the_release(schema: str, name: str) -> Relation:
        if not schema and name in tables:
            return catalogue(RELEASE_SCHEMA, name)
        if not schema and name.startswith("crosswalk_"):
            return _crosswalk(name.removeprefix("crosswalk_"), tables)
        return catalogue(schema, name)

    for name, relation in tables.items():
        query = released_query(name, [column for column, _ in relation.columns])
        yield ZoneTable(project.release_zone, name, follow(query, of_the_release))


def _crosswalk(key: str, tables: dict[str, Relation]) -> Relation:
    """The numbers drawn for a key: nothing of it is in them but that there are so many."""
    old = merged(flow for table in tables.values() for name, flow in table.columns if name == key)
    return Relation([("old_key", old), ("new_key", Flow())])


def _models(project: Project, schema: str) -> list[Model]:
    return [model for model in project.models.values() if model.schema == schema]


def _written(catalogue: _Catalogue, zone: str, name: str, query: str) -> Iterator[ZoneTable]:
    relation = catalogue.follow(f"The query of {zone}.{name}", query)
    if relation is not None:
        yield ZoneTable(zone, name, relation)


def _followed(catalogue: _Catalogue, name: str, queries: list[str]) -> list[Relation]:
    found = (catalogue.follow(f"The cells of {name}", query) for query in queries)
    return [relation for relation in found if relation is not None]


def _derived(
    catalogue: _Catalogue, zone: str, name: str, queries: list[str]
) -> Iterator[ZoneTable]:
    yield ZoneTable(zone, name, _drawn_up(name, _followed(catalogue, name, queries)))


def _drawn_up(name: str, relations: list[Relation]) -> Relation:
    """A table made in Python: every column is taken for one made of everything that is read."""
    whole = merged(flow for relation in relations for flow in relation.flows())
    rows: Facts = {}
    for relation in relations:
        rows |= relation.rows
    return Relation([(column, whole) for column in _DERIVED_SCHEMAS[name].names], rows)


def _findings(table: ZoneTable) -> Iterator[str]:
    zone = ZONES[table.zone]
    for column, flow in table.relation.columns:
        name = f"{table.zone}.{table.name}.{column}"
        for way, facts in flow.ways().items():
            yield from _refused(name, way, facts, zone_allows=zone.allows)
    rows = f"rows of {table.zone}.{table.name}"
    yield from _refused(rows, INFLUENCE, table.relation.rows, zone_allows=zone.allows)


def _refused(
    name: str, way: str, facts: Facts, *, zone_allows: Callable[[str, str], bool]
) -> Iterator[str]:
    refused: dict[str, list[tuple[Fact, Trace]]] = {}
    for fact, trace in sorted(facts.items(), key=lambda item: (item[0].privacy, item[0].source)):
        if not zone_allows(fact.privacy, way):
            refused.setdefault(fact.privacy, []).append((fact, trace))
    for privacy, found in refused.items():
        macros = sorted({macro for fact, _ in found for macro in fact.macros})
        passed = f" past {', '.join(macros)}" if macros else ""
        paths = [_path(name, trace) for _, trace in found]
        more = f"; and {len(paths) - PATHS_SHOWN} more" if len(paths) > PATHS_SHOWN else ""
        yield (
            f"{name} holds {privacy}{passed} {_WAYS[way]}: "
            f"{'; also '.join(paths[:PATHS_SHOWN])}{more}. Leave it out, or pass it through a "
            "macro that lowers it to what this zone may hold."
        )


def _path(name: str, trace: Trace) -> str:
    # A file's table and the model it is copied from bear one name: it is told once.
    is_copy = trace.step.column == name
    return trace.step.path() if is_copy else Step(name, trace.how, trace.step).path()
