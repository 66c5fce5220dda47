-- One row per measure of ED returns and rule that decides what it counts, for the pages to say
-- which rule has changed.
--
-- A rule that restricts nothing has no row, so that a rule which a later version adds changes no
-- definition that does without it. Names and sources decide nothing and are not here.
{{ config(alias='measure_rules') }}
with measures as (
    select * from {{ ref('ed_return_measures') }}
),

diagnosis_groups as (
    select * from {{ ref('ed_diagnosis_groups') }}
),

dispositions as (
    select * from {{ ref('ed_disposition_rules') }}
),

admission_types as (
    select * from {{ ref('ed_admission_type_rules') }}
),

joining_rules as (
    select * from {{ ref('ed_return_rules') }}
),

own_rules as (
    {%- for column, name, unit in [
        ("window_hours", "window", "hours"),
        ("return_outcome_code", "outcome of the return", none),
        ("return_diagnosis_group_code", "diagnosis group of the return", none),
        ("index_diagnosis_group_code", "diagnosis group of the index visit", none),
        ("return_exclusion_group_code", "diagnosis group of returns left out", none),
        ("index_exclusion_group_code", "diagnosis group of index visits left out", none),
        ("minimum_age_years", "youngest age", "years"),
        ("maximum_age_years", "oldest age", "years"),
    ] %}
        select
            measure_code,
            '{{ column }}' as rule_code,
            '{{ name }}' as rule_name,
            cast(null as string) as list_name,
            cast({{ column }} as string) as rule_value,
            cast({{ sql_literal(unit) }} as string) as unit
        from measures
        where {{ column }} is not null
        union all
    {%- endfor %}
    select
        measure_code,
        'pairing_code' as rule_code,
        'pairing' as rule_name,
        cast(null as string) as list_name,
        replace(pairing_code, '_', ' ') as rule_value,
        cast(null as string) as unit
    from measures
    where pairing_code <> 'after_discharge_home'
    union all
    select
        measures.measure_code,
        concat('admission_type.', admission_types.admission_type_code) as rule_code,
        concat(
            'admission type ', admission_types.admission_type_code, ' is a direct one'
        ) as rule_name,
        cast(null as string) as list_name,
        'yes' as rule_value,
        cast(null as string) as unit
    from measures
    inner join admission_types on measures.pairing_code = 'direct_admission'
    where admission_types.is_direct
    union all
    {#- Who asks for followed visits and known outcomes asks for what is usual. #}
    {%- for rule_code, name, condition in [
        ("requires_admission", "admission required", "requires_admission"),
        ("requires_same_hospital", "same hospital required", "requires_same_hospital"),
        (
            "counts_incomplete_follow_up",
            "visits not followed for the whole window counted",
            "not requires_complete_follow_up",
        ),
        (
            "counts_unknown_outcome",
            "visits whose return is still open counted",
            "not requires_known_outcome",
        ),
    ] %}
        select
            measure_code,
            '{{ rule_code }}' as rule_code,
            '{{ name }}' as rule_name,
            cast(null as string) as list_name,
            'yes' as rule_value,
            cast(null as string) as unit
        from measures
        where {{ condition }}
        {% if not loop.last %}union all{% endif %}
    {%- endfor %}
),

diagnosis_rules as (
    {%- for role, name in [
        ("return_diagnosis", "of the return"),
        ("index_diagnosis", "of the index visit"),
        ("return_exclusion", "of returns left out"),
        ("index_exclusion", "of index visits left out"),
    ] %}
        select
            measures.measure_code,
            concat('{{ role }}.', diagnosis_groups.icd10_prefix) as rule_code,
            diagnosis_groups.icd10_prefix as rule_name,
            concat('diagnosis group ', diagnosis_groups.group_code, ' {{ name }}') as list_name,
            case
                when diagnosis_groups.maximum_age_years is null then 'any age'
                else concat('to age ', cast(diagnosis_groups.maximum_age_years as string))
            end as rule_value,
            cast(null as string) as unit
        from measures
        inner join diagnosis_groups
            on measures.{{ role }}_group_code = diagnosis_groups.group_code
        {% if not loop.last %}union all{% endif %}
    {%- endfor %}
),

-- What decides about visits decides about every measure.
visit_rules as (
    select
        rule_code,
        replace(rule_code, '_', ' ') as rule_name,
        cast(rule_value as string) as rule_value,
        unit
    from joining_rules
    {%- for column, name in [
        ("can_be_index", "may be an index visit"),
        ("can_be_return", "may be a return"),
        ("is_admission", "is an admission"),
        ("is_transfer", "is a transfer"),
        ("is_death", "is a death"),
    ] %}
        union all
        select
            concat('disposition.', disposition_code, '.{{ column }}') as rule_code,
            concat('disposition ', replace(disposition_code, '_', ' '), ' {{ name }}') as rule_name,
            'yes' as rule_value,
            cast(null as string) as unit
        from dispositions
        where {{ column }}
    {%- endfor %}
),

final as (
    select
        measure_code,
        rule_code,
        rule_name,
        list_name,
        rule_value,
        unit
    from own_rules
    union all
    select
        measure_code,
        rule_code,
        rule_name,
        list_name,
        rule_value,
        unit
    from diagnosis_rules
    union all
    select
        measures.measure_code,
        visit_rules.rule_code,
        visit_rules.rule_name,
        cast(null as string) as list_name,
        visit_rules.rule_value,
        visit_rules.unit
    from visit_rules
    cross join measures
)

select * from final
