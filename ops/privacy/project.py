"""The compiled project as the lineage check sees it: models, sources, seeds, and what leaves them.

dbt compiles the models twice against the target `lint`, which needs no warehouse, no snapshot and
no network: once as ever and once with a marker around what a lowering macro wrote. The two must
differ in the markers only.
"""

from __future__ import annotations

import csv
import json
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlglot
from dbt.cli.main import dbtRunner
from sqlglot import exp
from sqlglot.errors import SqlglotError

from governance.errors import PrivacyError
from governance.settings import PROJECT_ROOT
from ops.privacy.rules import LOWERINGS, MARKER, MARKING_MACRO, VARIABLE

# What dbt runs beside the models: neither writes a value anywhere.
_KNOWN_OPERATIONS = frozenset({"{{ lint_cohorts() }}", "{{ register_sources() }}"})
DEFAULT_PROFILE = "open"
# What the release account draws and puts beside the models (ops/release/sample.py).
SAMPLE = ("release_account", "sampled_persons")
SAMPLE_CLASSES = {"person_key": "person_key", "shift_days": "administrative"}
_BUILD_ID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
# What differs between this compilation and a build: SQL that asks for it may be other SQL there.
_JINJA = re.compile(r"\{[{%].*?[}%]\}", re.DOTALL)
_ASKS_WHICH_RUN = re.compile(
    r"\btarget\b(?!\.type\b)|\b(flags|env_var|invocation_args_dict|run_started_at|context)\b"
    r"|\bvar\(\s*[\"'](snapshot|privacy_lineage)\b|\bmodules\.(?!re\b)"
)
_MAY_ASK = ("macros/sources/", "macros/privacy/lowered.sql")
_KNOWN_MATERIALIZATIONS = frozenset({"table", "view", "ephemeral"})


@dataclass(frozen=True)
class Model:
    """One model: its place in the warehouse, its marked SQL, and why it cannot be followed."""

    schema: str
    name: str
    path: str
    sql: str
    refusal: str | None = None


@dataclass
class Project:
    """What the lineage check looks at.

    Attributes:
        models: by schema and name.
        tables: sources and seeds, by schema and name: their label and each column's class.
        faults: sentences about the project as a whole.
    """

    models: dict[tuple[str, str], Model] = field(default_factory=dict)
    tables: dict[tuple[str, str], tuple[str, dict[str, str]]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    release_zone: str = "release"


def load_project(root: Path = PROJECT_ROOT, *, profile: str = DEFAULT_PROFILE) -> Project:
    """Compile the project and read what the check needs of it.

    Args:
        root: the directory of ``dbt_project.yml``.
        profile: the release profile that the research models are compiled for.

    Raises:
        PrivacyError: dbt cannot compile it.
    """
    plain, marked = compile_project(root, profile=profile)
    project = read_project(root, plain, marked)
    project.release_zone = "limited" if profile == "limited" else "release"
    return project


def read_project(root: Path, plain: dict[str, Any], marked: dict[str, Any]) -> Project:
    """Read a project from two manifests of dbt, the ordinary one and the one with markers."""
    project = Project(faults=_macro_faults(marked))
    project.tables[SAMPLE] = (".".join(SAMPLE), SAMPLE_CLASSES)
    for node in marked["sources"].values():
        label = f"{node['source_name']}.{node['name']}"
        project.tables[_place(node, "identifier")] = (label, _source_classes(label, node, project))
    for key, node in marked["nodes"].items():
        if node["resource_type"] == "seed":
            label = f"seeds.{node['name']}"
            project.tables[_place(node)] = (label, _seed_classes(root / node["original_file_path"]))
        elif node["resource_type"] == "model":
            project.models[_place(node)] = _model(node, plain["nodes"][key])
        elif node["resource_type"] == "operation":
            if node["raw_code"].strip() not in _KNOWN_OPERATIONS:
                project.faults.append(
                    f"dbt_project.yml runs {node['raw_code'].strip()}, which the lineage check "
                    "does not know: take it out, or name it in ops/privacy/project.py once it is "
                    "clear that it writes no values."
                )
    return project


def compile_project(
    root: Path, *, profile: str = DEFAULT_PROFILE
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return dbt's manifest with the SQL of every model, and the same with markers.

    Args:
        root: the directory of ``dbt_project.yml``.
        profile: the release profile that the research models are compiled for.

    Raises:
        PrivacyError: dbt cannot compile the models.
    """
    with tempfile.TemporaryDirectory(prefix="scutari_lineage_") as target:
        places = ["--project-dir", str(root), "--profiles-dir", str(root), "--target", "lint"]
        places += ["--target-path", target, "--log-path", target]
        quiet = ["--quiet", "--log-level", "none", "--no-send-anonymous-usage-stats"]
        parsed = dbtRunner().invoke([*quiet, "--no-write-json", "parse", *places])
        if not parsed.success:
            raise _not_compiled(parsed.exception)
        manifests = []
        for is_marked in (False, True):
            variables = json.dumps(
                {VARIABLE: is_marked, "release_profile": profile, "release_has_sample": True}
            )
            chosen = ["--select", "resource_type:model", "--indirect-selection", "empty"]
            done = dbtRunner(manifest=parsed.result).invoke(  # type: ignore[arg-type]
                [*quiet, "compile", *chosen, "--vars", variables, "--no-populate-cache", *places]
            )
            if not done.success:
                raise _not_compiled(done.exception)
            manifests.append(json.loads((Path(target) / "manifest.json").read_text("utf-8")))
    return manifests[0], manifests[1]


def _not_compiled(error: BaseException | None) -> PrivacyError:
    lines = [line.strip() for line in str(error or "a model does not compile").splitlines()]
    return PrivacyError(
        f"The models do not compile, so nothing can be said about them: {' '.join(lines)[:400]}. "
        "Run `dbt compile --target lint` and correct what it names."
    )


def _place(node: dict[str, Any], name: str = "alias") -> tuple[str, str]:
    return node["schema"].lower(), node[name].lower()


def _source_classes(label: str, node: dict[str, Any], project: Project) -> dict[str, str]:
    classes = {}
    for column in node["columns"].values():
        privacy = column["config"].get("meta", {}).get("privacy")
        if privacy is None:
            project.faults.append(
                f"{label}.{column['name']} has no privacy class: give it one under "
                f"config.meta.privacy in {node['original_file_path']}."
            )
        classes[column["name"].lower()] = str(privacy)
    return classes


def _seed_classes(path: Path) -> dict[str, str]:
    # Seeds are code lists and rules that lie in the repository: nothing in them is about a person.
    with path.open(encoding="utf-8", newline="") as lines:
        return {column.lower(): "administrative" for column in next(csv.reader(lines))}


def _macro_faults(manifest: dict[str, Any]) -> list[str]:
    """The marker is worth what its callers are: they are the declared macros, and nobody else."""
    marking = f"macro.{manifest['metadata']['project_name']}.{MARKING_MACRO}"
    callers = {
        macro["name"]: macro["original_file_path"]
        for macro in manifest["macros"].values()
        if marking in macro["depends_on"]["macros"]
    }
    faults = [
        f"The macro {name} ({path}) marks its result as lowered and is not declared: say in "
        "ops/privacy/rules.py which class it lowers to which."
        for name, path in sorted(callers.items())
        if name not in LOWERINGS
    ]
    faults += [
        f"The macro {name} is declared to lower a class and marks nothing: call `lowered` in it, "
        "or take it out of ops/privacy/rules.py."
        for name in sorted(set(LOWERINGS) - set(callers))
    ]
    faults += [
        f"The macro {macro['name']} ({macro['original_file_path']}) asks which run it is compiled "
        "for, so that a build may run other SQL: write it without target, flags and env_var."
        for macro in manifest["macros"].values()
        if macro["package_name"] == manifest["metadata"]["project_name"]
        and not macro["original_file_path"].startswith(_MAY_ASK)
        and _asks_which_run(macro["macro_sql"])
    ]
    return faults


def _asks_which_run(text: str) -> bool:
    return any(_ASKS_WHICH_RUN.search(part) for part in _JINJA.findall(text))


def _model(marked: dict[str, Any], plain: dict[str, Any]) -> Model:
    schema, name = _place(marked)
    return Model(
        schema=schema,
        name=name,
        path=marked["original_file_path"],
        sql=marked.get("compiled_code") or "",
        refusal=_refusal(marked, plain),
    )


def _refusal(marked: dict[str, Any], plain: dict[str, Any]) -> str | None:
    """Say what makes a model one that cannot be followed, whatever its SQL."""
    config, macros = marked["config"], marked["depends_on"]["macros"]
    ordinary, compiled = plain.get("compiled_code") or "", marked.get("compiled_code") or ""
    if marked["language"] != "sql":
        return f"is written in {marked['language']}, whose columns cannot be followed"
    refusals = {
        f"is {config['materialized']}: a build runs other SQL than is compiled here": (
            config["materialized"] not in _KNOWN_MATERIALIZATIONS
        ),
        "runs a hook, which no lineage shows": any(
            config.get(key) for key in ("pre-hook", "post-hook", "sql_header")
        ),
        "asks which run it is compiled for, so that a build may run other SQL": (
            _asks_which_run(marked["raw_code"])
        ),
        f"calls the macro {MARKING_MACRO} itself; only a declared macro may": any(
            macro.endswith(f".{MARKING_MACRO}") for macro in macros
        ),
        f"writes the marker {MARKER} itself; only a declared macro may": (
            MARKER in f"{ordinary} {marked['raw_code']}".lower()
        ),
        "compiles to other SQL when the lineage check looks at it": (
            not _differ_in_markers_only(ordinary, compiled)
        ),
    }
    return next((sentence for sentence, applies in refusals.items() if applies), None)


def _differ_in_markers_only(plain: str, marked: str) -> bool:
    # A gate holds the id of its build, which is a new one with every compilation.
    plain, marked = _BUILD_ID.sub("", plain), _BUILD_ID.sub("", marked)
    if plain == marked:
        return True
    try:
        one, other = (sqlglot.parse_one(sql, dialect="duckdb") for sql in (plain, marked))
    except SqlglotError:
        return False
    # Markers stand inside markers: the inner ones are taken off first.
    for node in reversed(list(other.find_all(exp.Anonymous))):
        if node.name.lower() == MARKER:
            node.replace(node.expressions[1])
    return one == other
