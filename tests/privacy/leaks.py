"""Leaks as somebody would write them: each is a model of the schema `published`.

`finding` is what the check must say: the column, the class and the way. `path` must stand in it.
"""

from __future__ import annotations

from dataclasses import dataclass

PATIENTS = '"memory"."core"."dim_patients"'
VISITS = '"memory"."core"."fct_ed_visits"'
DIAGNOSES = '"memory"."core"."dim_diagnoses"'
REVIEWS = '"memory"."staging"."stg_chart_audit__case_reviews"'
DATES = '"memory"."core"."dim_dates"'
YEARS = (
    "scutari_lowered('completed_years', cast(extract(year from current_date) "
    "- extract(year from birth_on) - case when extract(month from current_date) * 100 "
    "+ extract(day from current_date) < extract(month from birth_on) * 100 "
    "+ extract(day from birth_on) then 1 else 0 end as int))"
)
MONTH = "scutari_lowered('month_of', cast(date_trunc('month', {}) as date))"
BIRTH = (
    "core.dim_patients.birth_on ({how}) <- intermediate.int_persons__attributes.birth_on (value) "
    "<- staging.stg_ehr__patients.birth_on (value) <- ehr.patients.birth_date (value)"
)


@dataclass(frozen=True)
class Leak:
    name: str
    sql: str
    finding: str
    path: str


def birth(name: str, column: str, sql: str, *, how: str = "value", way: str = "by value") -> Leak:
    """A leak of the birth date; `column` is "rows" where it decides which rows there are."""
    place = f"published.{name}"
    label = f"rows of {place}" if column == "rows" else f"{place}.{column}"
    step = BIRTH.format(how=how)
    return Leak(name, sql, f"{label} holds birth_date {way}", f"{label} <- {step}")


def rows(name: str, sql: str, *, how: str) -> Leak:
    return birth(name, "rows", sql, how=how, way="by influence")


LEAKS = [
    # The list of the issue.
    birth("star", "birth_on", f"with p as (select * from {PATIENTS}) select * from p"),
    birth(
        "concat",
        "code",
        f"select concat(sex_code, '/', cast(birth_on as text)) as code from {PATIENTS}",
    ),
    birth("pipes", "code", f"select sex_code || cast(birth_on as text) as code from {PATIENTS}"),
    rows(
        "join_key",
        f"select d.month_on, count(*) as n from {PATIENTS} as p "
        f"inner join {DATES} as d on p.birth_on = d.date_on group by d.month_on",
        how="join",
    ),
    rows(
        "join_using",
        f"select count(*) as n from {PATIENTS} inner join "
        '(select date_on as birth_on from "memory"."core"."dim_dates") as d using (birth_on)',
        how="join",
    ),
    birth(
        "case_value",
        "kind",
        f"select case when sex_code = 'F' then birth_on end as kind from {PATIENTS}",
    ),
    birth(
        "case_condition",
        "kind",
        "select case when birth_on < date '1940-01-01' then 'old' else 'young' end as kind "
        f"from {PATIENTS}",
        how="case",
        way="by the choice of a case or a join",
    ),
    birth(
        "counted_case",
        "n",
        f"select sum(case when birth_on < date '1940-01-01' then 1 end) as n from {PATIENTS}",
        how="case",
        way="by influence",
    ),
    rows(
        "filter_only",
        f"select count(*) as n from {PATIENTS} where birth_on < date '1940-01-01'",
        how="filter",
    ),
    birth("aggregated", "n", f"select min(birth_on) as n from {PATIENTS}"),
    birth(
        "window_value",
        "n",
        f"select lag(birth_on) over (order by registrations_count) as n from {PATIENTS}",
    ),
    birth(
        "window_order",
        "n",
        f"select row_number() over (order by birth_on) as n from {PATIENTS}",
        how="window",
        way="by influence",
    ),
    birth(
        "window_partition",
        "n",
        f"select count(*) over (partition by birth_on) as n from {PATIENTS}",
        how="window",
        way="by influence",
    ),
    # More of the kind.
    birth(
        "union_branch",
        "day_on",
        f"select date_on as day_on from {DATES} union all select birth_on from {PATIENTS}",
    ),
    birth(
        "union_by_name",
        "day_on",
        f"select 1 as n, date_on as day_on from {DATES} "
        f"union all by name select birth_on as day_on from {PATIENTS}",
    ),
    rows(
        "by_having",
        f"select sex_code is null as a, count(*) as n from {PATIENTS} group by a "
        "having max(birth_on) > date '2000-01-01'",
        how="filter",
    ),
    rows(
        "by_qualify",
        f"select 1 as n from {PATIENTS} qualify row_number() over (order by birth_on) = 1",
        how="window",
    ),
    birth(
        "string_agg", "n", f"select string_agg(cast(birth_on as text), ',') as n from {PATIENTS}"
    ),
    birth(
        "agg_order",
        "n",
        f"select string_agg(registrations_count, ',' order by birth_on) as n from {PATIENTS}",
        how="order",
        way="by influence",
    ),
    birth(
        "agg_filter",
        "n",
        f"select count(*) filter (where birth_on < date '1940-01-01') as n from {PATIENTS}",
        how="filter",
        way="by influence",
    ),
    birth(
        "count_of",
        "n",
        f"select count(distinct birth_on) as n from {PATIENTS}",
        how="count",
        way="by influence",
    ),
    birth("listed", "n", f"select list(birth_on) as n from {PATIENTS}"),
    birth(
        "lambda",
        "n",
        f"select list_transform(list(birth_on), day -> day + 1) as n from {PATIENTS}",
    ),
    birth("struct", "n", f"select {{'a': {{'b': birth_on}}}} as n from {PATIENTS}"),
    Leak(
        "whole_row",
        f"select cast(p as text) as n from {PATIENTS} as p",
        "published.whole_row.n holds birth_date by value",
        "<- staging.stg_ehr__patients.birth_on (value) <- ehr.patients.birth_date (value)",
    ),
    birth("alias_of_alias", "b", f"select birth_on as a, cast(a as text) as b from {PATIENTS}"),
    birth("upper_case", "a", f'SELECT "BIRTH_ON" AS A FROM {PATIENTS.upper()}'),
    birth("scalar", "n", f"select (select max(birth_on) from {PATIENTS}) as n"),
    rows(
        "exists_in_where",
        f"select 1 as n from {DATES} as d "
        f"where exists (select 1 from {PATIENTS} as p where p.birth_on = d.date_on)",
        how="filter",
    ),
    rows(
        "in_where",
        f"select 1 as n from {DATES} where date_on in (select birth_on from {PATIENTS})",
        how="filter",
    ),
    birth(
        "by_lateral",
        "born",
        f"select l.born from {PATIENTS} as p, lateral (select p.birth_on as born) as l",
    ),
    birth(
        "unnested",
        "born",
        f"select u.born from (select list(birth_on) as days from {PATIENTS}) as p, "
        "unnest(p.days) as u(born)",
    ),
    birth(
        "shadowed",
        "birth_on",
        "with dim_patients as (select date '2000-01-01' as birth_on) "
        f"select p.birth_on from {PATIENTS} as p",
    ),
    birth(
        "cte_columns",
        "b",
        f"with q (a, b) as (select sex_code, birth_on from {PATIENTS}) select b from q",
    ),
    birth(
        "recursive",
        "n",
        f"with recursive q as (select 1 as n, birth_on as d from {PATIENTS} "
        "union all select n + 1, d from q where n < 3) select d as n from q",
    ),
    birth(
        "replaced",
        "sex_code",
        f"select * exclude (birth_on, person_key) replace (birth_on as sex_code) from {PATIENTS}",
    ),
    rows("grouped", f"select count(*) as n from {PATIENTS} group by birth_on", how="group"),
    rows("distinct_on", f"select distinct on (birth_on) 1 as n from {PATIENTS}", how="distinct"),
    rows("ordered", f"select 1 as n from {PATIENTS} order by birth_on limit 5", how="order"),
    rows(
        "named_window",
        f"select 1 as n from {PATIENTS} window w as (order by birth_on)",
        how="window",
    ),
    # A macro lowers what it is declared for and nothing else.
    birth(
        "wrong_macro",
        "n",
        f"select {MONTH.format('birth_on')} as n from {PATIENTS}",
    ),
    Leak(
        "age",
        f"select {YEARS} as age from {PATIENTS}",
        "published.age.age holds age past completed_years by value",
        "ehr.patients.birth_date",
    ),
    # Other classes.
    Leak(
        "person",
        f"select person_key as n from {PATIENTS}",
        "published.person.n holds person_key by value",
        "published.person.n <- core.dim_patients.person_key (value)",
    ),
    Leak(
        "reviewed_visit",
        f"select max(index_visit_key) as n from {REVIEWS}",
        "published.reviewed_visit.n holds record_key by value",
        "<- chart_audit.case_reviews.index_visit_key (value)",
    ),
    Leak(
        "reviewed_quarter",
        f"select quarter_on, count(*) as n from {REVIEWS} group by quarter_on",
        "published.reviewed_quarter.quarter_on holds date by value",
        "<- chart_audit.case_reviews.quarter_on (value)",
    ),
    Leak(
        "found",
        'select max(severity_code) as n from "memory"."core"."fct_chart_reviews"',
        "published.found.n holds clinical by value",
        "<- chart_audit.review_answers.code (value)",
    ),
    Leak(
        "instant",
        f"select max(arrived_at) as n from {VISITS}",
        "published.instant.n holds date by value",
        "<- ehr.ed_visits.arrived_at (value)",
    ),
    Leak(
        "hidden_instant",
        f"select cast(date_trunc('month', arrived_at) as date) as n from {VISITS}",
        "published.hidden_instant.n holds date by value",
        "<- ehr.ed_visits.arrived_at (value)",
    ),
    Leak(
        "relabelled",
        f"select case acuity_code when '1' then 'one' when '2' then 'two' end as n from {VISITS}",
        "published.relabelled.n holds clinical by the choice of a case or a join",
        "<- ehr.ed_visits.acuity_code (value)",
    ),
    Leak(
        "looked_up",
        f"select d.chapter_name as n from {DIAGNOSES} as d "
        f"inner join {VISITS} as v on d.diagnosis_code = v.main_diagnosis_code",
        "published.looked_up.n holds clinical by the choice of a case or a join",
        "published.looked_up.n <- core.fct_ed_visits.main_diagnosis_code (join)",
    ),
    Leak(
        "looked_up_in_where",
        f"select d.chapter_name as n from {DIAGNOSES} as d, "
        f"{VISITS} as v where d.diagnosis_code = v.main_diagnosis_code",
        "published.looked_up_in_where.n holds clinical by the choice of a case or a join",
        "published.looked_up_in_where.n <- core.fct_ed_visits.main_diagnosis_code (join)",
    ),
    Leak(
        "looked_up_in_a_value",
        f"select (select d.chapter_name from {DIAGNOSES} as d "
        f"where d.diagnosis_code = v.main_diagnosis_code) as n from {VISITS} as v",
        "published.looked_up_in_a_value.n holds clinical by the choice of a case or a join",
        "published.looked_up_in_a_value.n <- core.fct_ed_visits.main_diagnosis_code (",
    ),
    Leak(
        "area",
        f"select count(*) as n from {PATIENTS} where postal_code = '10001'",
        "rows of published.area holds geography by influence",
        "<- ehr.patients.postal_code (value)",
    ),
    Leak(
        "named",
        'select count(*) as n from "warehouse"."lake_ehr"."patients" where last_name = \'X\'',
        "rows of published.named holds identifier by influence",
        "rows of published.named <- ehr.patients.last_name (filter)",
    ),
]

# Nobody can say what these read.
CANNOT_BE_FOLLOWED = {
    "file": ("select * from read_parquet('lake/x.parquet')", "reads `readparquet`"),
    "file_name": ("select * from 'lake/x.parquet'", "which is no model, seed or source"),
    "bare_name": ("select birth_on from dim_patients", "which is no model, seed or source"),
    "other_schema": ("select * from vault.persons", "reads vault.persons"),
    "function": ("select getenv('HOME') as n", "calls getenv()"),
    "table_function": ("select * from query('select 1')", "reads query()"),
    "columns": (f"select columns('birth.*') from {PATIENTS}", "uses `columns`"),
    "pivoted": (
        f"select * from {PATIENTS} pivot (count(*) for sex_code in ('F'))",
        "uses pivots in a way",
    ),
    "unparsable": ("select from where", "is SQL that cannot be parsed"),
    "two": ("select 1 as n; select 2 as n", "is not one single query"),
    "statement": ("create table x as select 1 as n", "is not one single query"),
    "unknown_column": (f"select nothing from {PATIENTS}", "reads nothing, a column that nothing"),
    "undeclared": (
        f"select scutari_lowered('my_macro', birth_on) as n from {PATIENTS}",
        "passes the macro my_macro",
    ),
    "bracket": (
        "select scutari_lowered('year_of', cast(extract(year from arrived_at) * 10000 "
        f"+ extract(month from arrived_at) as int)) as n from {VISITS}",
        "passes the macro year_of and writes other SQL",
    ),
    "beside": (
        "select scutari_lowered('month_of', cast(date_trunc('month', arrived_at) as date), "
        f"arrived_at) as n from {VISITS}",
        "passes the macro month_of and writes other SQL",
    ),
    "finer": (
        f"select scutari_lowered('total_days', max(birth_on)) as n from {PATIENTS}",
        "passes the macro total_days and writes other SQL",
    ),
    "itself": ('select * from "memory"."published"."itself"', ""),
}

CLEAN = {
    "counted": (
        f"select hospital_key, {MONTH.format('arrived_at')} as month_on, count(*) as n "
        f"from {VISITS} where acuity_code = '1' group by all"
    ),
    "by_age": (
        "select count(distinct person_key) as n from (select person_key, "
        f"{YEARS} as age from {PATIENTS}) where age >= 65"
    ),
    "flags_counted": (
        f"select sum(case when acuity_code = '1' then 1 else 0 end) as n from {VISITS}"
    ),
    "shadow": ("with dim_patients as (select 1 as birth_on) select birth_on from dim_patients"),
    "excluded": (
        "select * exclude (person_key, sex_code, postal_code, zip3, birth_year, birth_on, "
        f"deceased_on) from {PATIENTS}"
    ),
}
