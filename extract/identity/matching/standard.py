"""One form for what clerks type in many: names, birth dates, numbers, telephones, places.

What says nothing becomes null, and null never counts as agreement: an unnamed newborn's "Baby
Girl", a birth date of 1 January 1900, a health number of one digit repeated, a value that far too
many registrations share.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from extract.contracts import TableContract
from extract.identity.matching.nicknames import nickname_pairs

UNIDENTIFIED = "unidentified"
# More registrations than this do not bear one person's number: it is a placeholder.
MOST_OF_ONE_NUMBER = 50
# A greater block is not looked at: it joins by a value that names nobody.
MOST_IN_ONE_BLOCK = 200
# A number under two birth dates this far apart was lent: a mother's to her newborn.
LENT_YEARS = 12

ROLES = (
    "health_number",
    "birth_date",
    "first_name",
    "last_name",
    "phone",
    "address",
    "postal_code",
)
RAW_COLUMNS = (
    "source_name varchar, registration_id varchar, registration_key varchar, "
    "is_unidentified boolean, health_number varchar, birth_date date, first_name varchar, "
    "last_name varchar, phone varchar, address varchar, postal_code varchar"
)
_UNNAMED = "(baby|newborn|infant|neonate|bb|bg)(boy|girl|of.*|[a-d])?|boy|girl|twin[a-d12]?"
_NO_NAME = "unknown|unk|doe|test|patient|none|noname|xxx*|anonymous"
_NO_BIRTH = ("1900-01-01", "1901-01-01", "1899-12-31", "1800-01-01", "1111-11-11", "9999-12-31")

_LETTERS = "regexp_replace(lower(strip_accents(coalesce({}, ''))), '[^\\p{{L}}]', '', 'g')"
_PLAIN = f"""
    create temp table plain as
    with typed as (
        select
            source_name, registration_id, registration_key, is_unidentified,
            upper(regexp_replace(coalesce(health_number, ''), '[^0-9A-Za-z]', '', 'g')) as number,
            birth_date,
            {_LETTERS.format("first_name")} as given,
            {_LETTERS.format("last_name")} as family,
            right(regexp_replace(coalesce(phone, ''), '[^0-9]', '', 'g'), 10) as phone,
            regexp_extract(lower(coalesce(address, '')), '^[^0-9]*([0-9]+[a-z]?)', 1) as house,
            regexp_extract(
                lower(strip_accents(coalesce(address, ''))), '[0-9]\\s+([^0-9\\s,.]+)', 1
            ) as street,
            upper(regexp_replace(coalesce(postal_code, ''), '[^0-9A-Za-z]', '', 'g')) as postal
        from registrations
    )
    select
        (row_number() over (order by source_name, registration_id))::bigint as node,
        source_name, registration_id, registration_key, is_unidentified,
        number as typed_number, birth_date,
        case when number <> '' and number <> repeat(number[1], length(number)) then number end
            as number,
        case when birth_date::varchar not in {_NO_BIRTH!r} then birth_date end as birth,
        case
            when given <> '' and not regexp_full_match(given, '{_UNNAMED}|{_NO_NAME}') then given
        end as given,
        case when family <> '' and not regexp_full_match(family, '{_NO_NAME}') then family end
            as family,
        regexp_full_match(given, '{_UNNAMED}') as is_unnamed,
        case when length(phone) >= 7 and phone <> repeat(phone[1], length(phone)) then phone end
            as phone,
        case when house <> '' and street <> '' then house || ' ' || street end as address,
        nullif(postal, '') as postal
    from typed
"""
# Whoever has two of these has them in any order: a block must not depend on which is which.
_NODES = f"""
    create temp table nodes as
    with counted as (
        select
            *,
            count(*) over (partition by number) as bearers,
            date_diff('year', min(birth) over (partition by number),
                max(birth) over (partition by number)) >= {LENT_YEARS} as is_lent
        from plain
        where not is_unidentified
    ), kept as (
        select
            * exclude (number, is_lent, bearers),
            case when bearers <= {MOST_OF_ONE_NUMBER} then number end as number,
            number is not null and bearers > {MOST_OF_ONE_NUMBER} as has_placeholder_number,
            coalesce(number is not null and is_lent, false) as is_lent
        from counted
    ), named as (
        select
            k.*,
            list_sort(list_distinct(list_append(coalesce(g.names, []), k.given))) as forms,
            list_append(coalesce(f.names, []), k.family) as family_forms
        from kept as k
        left join nicknames as g on k.given = g.form
        left join nicknames as f on k.family = f.form
    ), keyed as (
        select
            *,
            strftime(birth, '%Y-%m-%d') as birth_text,
            hash(least(given[1], family[1]), greatest(given[1], family[1])) as initials,
            hash(least(forms[1], family), greatest(forms[1], family)) as both_names
        from named
    )
    select
        *,
        hash(number) as raw_number,
        hash(birth, family[1]) as raw_birth_family,
        hash(birth, given[1]) as raw_birth_given,
        hash(birth, initials) as raw_birth_initials,
        hash(both_names, year(birth)) as raw_names_year,
        hash(both_names, month(birth), day(birth)) as raw_names_day,
        hash(both_names, postal) as raw_names_postal,
        hash(phone, given[1]) as raw_phone_given,
        hash(phone, birth) as raw_phone_birth
    from keyed
"""
# What a block's hash is made of: a hash of nothing is a number like any other.
BLOCKS = {
    "number": "number is not null",
    "birth_family": "birth is not null and family is not null",
    "birth_given": "birth is not null and given is not null",
    "birth_initials": "birth is not null and given is not null and family is not null",
    "names_year": "birth is not null and given is not null and family is not null",
    "names_day": "birth is not null and given is not null and family is not null",
    "names_postal": "postal is not null and given is not null and family is not null",
    "phone_given": "phone is not null and given is not null",
    "phone_birth": "phone is not null and birth is not null",
}


def load_batch(
    connection: duckdb.DuckDBPyConnection, table: TableContract, batch: pa.RecordBatch
) -> None:
    """Add one batch of a registration table's identifiers to ``registrations``."""
    roles = {c.identity: c.name for c in table.vault_columns if c.identity}
    status = status_column(table)
    unidentified = f"coalesce(\"{status}\" = '{UNIDENTIFIED}', false)" if status else "false"
    values = [f'"{roles[role]}"' if role in roles else "null" for role in ROLES]
    connection.register("batch", batch)
    connection.execute(
        f"insert into registrations select '{table.source}', source_key, token, {unidentified}, "
        f"{', '.join(values)} from batch"
    )
    connection.unregister("batch")


def read_columns(table: TableContract) -> list[str]:
    """Return the columns of a table's vault files that matching looks at."""
    roles = {c.identity: c.name for c in table.vault_columns if c.identity in ROLES}
    named = [*roles.values(), status_column(table)]
    return ["source_key", "token", *dict.fromkeys(name for name in named if name is not None)]


def status_column(table: TableContract) -> str | None:
    """Return the column that says whether the patient is known, if there is one."""
    return next((c.name for c in table.vault_columns if c.code_system == "identity_status"), None)


def standardise(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Make ``plain`` (every registration) and ``nodes`` (those that can be linked).

    Returns:
        How many registrations were left out of each block for its size, and how many bear a
        placeholder for a number.
    """
    pairs = nickname_pairs()
    forms = pa.table({"form": [form for form, _ in pairs], "name": [name for _, name in pairs]})
    connection.register("forms", forms)
    connection.execute(
        "create temp table nicknames as "
        "select form, list(name order by name) as names from forms group by form"
    )
    connection.unregister("forms")
    connection.execute(_PLAIN)
    connection.execute("drop table registrations")
    connection.execute(_NODES)
    left_out = {}
    for name, condition in BLOCKS.items():
        connection.execute(f"alter table nodes add column block_{name} ubigint")
        connection.execute(
            f"update nodes set block_{name} = raw_{name} where {condition} and raw_{name} not in ("
            f"select raw_{name} from nodes where {condition} group by 1 "
            f"having count(*) > {MOST_IN_ONE_BLOCK})"
        )
        left_out[name] = _count(connection, f"({condition}) and block_{name} is null")
    left_out["placeholder_number"] = _count(connection, "has_placeholder_number")
    return left_out


def _count(connection: duckdb.DuckDBPyConnection, condition: str) -> int:
    row = connection.execute(f"select count(*) from nodes where {condition}").fetchall()[0]
    return int(row[0])
