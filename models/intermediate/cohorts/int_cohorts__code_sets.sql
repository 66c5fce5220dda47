-- One row per cohort, code set, item of the definition and diagnosis code that the item stands
-- for; an item that stands for no code of the classification keeps a row with a null code, which
-- fails this model's test before any cohort is built.
{%- set definitions = cohort_definitions() %}
with diagnoses as (
    select * from {{ ref('dim_diagnoses') }}
),

comorbidities as (
    select * from {{ ref('stg_reference__comorbidities') }}
),

items as (
    {{ cohort_code_set_item_rows(definitions) }}
),

-- A comorbidity category is itself a list of codes and prefixes.
item_codes as (
    select
        items.cohort_code,
        items.code_set_name,
        items.item_kind_code,
        items.item_code,
        comorbidities.icd10_code,
        comorbidities.is_prefix
    from items
    inner join comorbidities
        on
            items.item_kind_code = comorbidities.index_code
            and items.item_code = comorbidities.category_code
),

matches as (
    select
        items.cohort_code,
        items.code_set_name,
        items.item_kind_code,
        items.item_code,
        diagnoses.diagnosis_code
    from items
    inner join diagnoses
        on diagnoses.diagnosis_code like items.item_code || '%'
    where items.item_kind_code = 'icd10_prefixes'
    union all
    select
        items.cohort_code,
        items.code_set_name,
        items.item_kind_code,
        items.item_code,
        diagnoses.diagnosis_code
    from items
    inner join diagnoses
        on items.item_code = diagnoses.ccsr_code
    where items.item_kind_code = 'ccsr_categories'
    union all
    select distinct
        item_codes.cohort_code,
        item_codes.code_set_name,
        item_codes.item_kind_code,
        item_codes.item_code,
        diagnoses.diagnosis_code
    from item_codes
    inner join diagnoses
        on
            item_codes.icd10_code = diagnoses.diagnosis_code
            or (
                item_codes.is_prefix
                and diagnoses.diagnosis_code like item_codes.icd10_code || '%'
            )
),

final as (
    select
        items.cohort_code,
        items.code_set_name,
        items.item_kind_code,
        items.item_code,
        matches.diagnosis_code
    from items
    left join matches
        on
            items.cohort_code = matches.cohort_code
            and items.code_set_name = matches.code_set_name
            and items.item_kind_code = matches.item_kind_code
            and items.item_code = matches.item_code
)

select * from final
