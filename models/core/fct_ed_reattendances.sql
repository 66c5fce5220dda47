-- One row per attendance, an unplanned ED visit of a known person however it ended, and the
-- person's next unplanned visit to the same ED, if any.
--
-- Visits of one person to one ED neither touch nor overlap: those that do are one, and two never
-- begin together.
{%- set facts = ["leg_key", "main_diagnosis_code", "disposition_code", "is_admission", "age_years",
    "arrived_at"] %}
with measures as (
    select distinct pairing_code
    from {{ ref('ed_return_measures') }}
    where pairing_code = 'after_attendance'
),

-- Nobody asks where no measure pairs so.
legs as (
    select legs.*
    from {{ ref('int_ed_legs__stays') }} as legs
    cross join measures
    where
        legs.person_key is not null
        and legs.arrived_at is not null
        and not legs.is_planned
),

followed as (
    select
        leg_key,
        last_visit_key,
        person_key,
        hospital_key,
        main_diagnosis_code,
        age_years,
        follow_up_seconds,
        is_departure_known,
        arrived_month_on,
        {%- for fact in facts %}
            lead({{ fact }}) over (
                partition by person_key, hospital_key
                order by arrived_at asc nulls last, leg_key asc
            ) as next_{{ fact }},
        {%- endfor %}
        departed_at
    from legs
),

final as (
    select
        last_visit_key as index_visit_key,
        next_leg_key as return_visit_key,
        person_key,
        hospital_key,
        main_diagnosis_code as index_diagnosis_code,
        next_main_diagnosis_code as return_diagnosis_code,
        case
            when next_leg_key is not null then coalesce(next_disposition_code, 'unknown')
        end as return_outcome_code,
        age_years as index_age_years,
        next_age_years as return_age_years,
        {{ elapsed_seconds("departed_at", "next_arrived_at") }} as elapsed_seconds,
        follow_up_seconds,
        coalesce(next_is_admission, false) as is_return_admitted,
        arrived_month_on as index_month_on
    from followed
    where is_departure_known
)

select * from final
