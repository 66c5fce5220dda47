"""The tables of a hospital's store, with the rules that the database itself holds.

``cases``: one row per index-return pair that somebody opened. ``reviews``: one per case and stage.
``answers``: one per review, question and code. ``comments``: one per review and saved text.
``edits``: one per review and changed question, in the order of the changes; never changed itself.
``codes``: the answers that there are.
"""

from __future__ import annotations

from governance.errors import ChartAuditError

VERSION = 1
# What a person's erasure takes rows out of; a table before those that it refers to.
ROWS = ("answers", "comments", "edits", "reviews", "cases")

_TABLES = """
create table codes (
    field_code text not null,
    code text not null,
    is_many integer not null check (is_many in (0, 1)),
    primary key (field_code, code),
    unique (field_code, code, is_many)
);
create table cases (
    index_visit_key text primary key,
    return_visit_key text,
    hospital_key text not null,
    reason_code text not null check (reason_code in ('sentinel', 'sample')),
    quarter_on text not null,
    opened_by text not null,
    opened_at text not null
);
create table reviews (
    review_id integer primary key,
    index_visit_key text not null references cases (index_visit_key),
    stage_code text not null check (stage_code in ('first', 'second', 'reconciled')),
    reviewer text not null,
    state_code text not null check (state_code in ('draft', 'submitted')),
    version integer not null check (version > 0),
    updated_at text not null,
    submitted_at text,
    unique (index_visit_key, stage_code),
    check ((state_code = 'submitted') = (submitted_at is not null))
);
create unique index second_reviewer_is_another on reviews (index_visit_key, reviewer)
    where stage_code in ('first', 'second');
create table answers (
    review_id integer not null references reviews (review_id),
    field_code text not null,
    code text not null,
    is_many integer not null,
    primary key (review_id, field_code, code),
    foreign key (field_code, code, is_many) references codes (field_code, code, is_many)
);
create unique index one_answer_where_one_is_asked on answers (review_id, field_code)
    where is_many = 0;
create table comments (
    review_id integer not null references reviews (review_id),
    version integer not null,
    body text not null,
    primary key (review_id, version)
);
create table edits (
    edit_id integer primary key,
    review_id integer not null references reviews (review_id),
    version integer not null,
    edited_at text not null,
    editor text not null,
    field_code text not null,
    before_codes text not null,
    after_codes text not null
);
"""
TABLES = tuple(f"{statement};" for statement in _TABLES.split(";") if statement.strip())
_GUARDS = {
    **{
        f"{table}_{change}": f"before {change} on {table} begin select raise(abort, 'append only')"
        for table, change in (
            ("edits", "update"),
            ("edits", "delete"),
            ("comments", "update"),
            ("comments", "delete"),
            ("reviews", "delete"),
        )
    },
    **{
        f"{table}_{change}": f"before {change} on {table} when (select state_code from reviews "
        f"where review_id = {'old' if change == 'delete' else 'new'}.review_id) = 'submitted' "
        "begin select raise(abort, 'submitted')"
        for table, change in (
            ("answers", "insert"),
            ("answers", "update"),
            ("answers", "delete"),
            ("comments", "insert"),
        )
    },
    "reviews_update": "before update on reviews when old.state_code = 'submitted' "
    "begin select raise(abort, 'submitted')",
}
GUARDS = tuple(f"create trigger {name} {body}; end;" for name, body in _GUARDS.items())
# For the removal of a case, in one transaction with it.
WITHOUT_GUARDS = tuple(f"drop trigger {name};" for name in _GUARDS)


def wrong_version(hospital: str, version: int | None) -> ChartAuditError:
    """Return the refusal of a store that another version of this program made."""
    return ChartAuditError(
        f"The chart audit of hospital {hospital} is of version {version}, and this program writes "
        f"version {VERSION}: use the program that made it."
    )
