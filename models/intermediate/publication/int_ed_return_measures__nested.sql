-- One row per pair of measures where every return of the child is a return of the parent.
--
-- is_part: children with the parent's window and a narrower diagnosis may add up to the parent.
with measures as (
    select
        *,
        coalesce(maximum_age_years, 999) as age_limit,
        coalesce(minimum_age_years, -1) as least_age
    from {{ ref('ed_return_measures') }}
    where is_network_published
),

diagnosis_groups as (
    select
        group_code,
        icd10_prefix,
        coalesce(maximum_age_years, 999) as age_limit
    from {{ ref('ed_diagnosis_groups') }}
),

pairs as (
    select
        parents.measure_code as parent_measure_code,
        children.measure_code as child_measure_code,
        parents.return_diagnosis_group_code as parent_group_code,
        children.return_diagnosis_group_code as child_group_code,
        children.age_limit as child_age_limit,
        parents.return_diagnosis_group_code is not null
        and parents.window_hours = children.window_hours
        and parents.requires_admission = children.requires_admission
        and coalesce(parents.return_outcome_code, '') = coalesce(children.return_outcome_code, '')
            as is_part
    from measures as parents
    inner join measures as children
        on
            parents.measure_code != children.measure_code
            and parents.window_hours >= children.window_hours
            and (children.requires_admission or not parents.requires_admission)
            and (children.requires_same_hospital or not parents.requires_same_hospital)
            and parents.age_limit >= children.age_limit
            and parents.least_age <= children.least_age
            and (
                parents.return_outcome_code is null
                or parents.return_outcome_code = children.return_outcome_code
            )
            and (
                parents.index_diagnosis_group_code is null
                or parents.index_diagnosis_group_code = children.index_diagnosis_group_code
            )
            and (
                parents.return_diagnosis_group_code is null
                or children.return_diagnosis_group_code is not null
            )
),

-- A prefix of the child that no prefix of the parent covers.
uncovered as (
    select
        pairs.parent_measure_code,
        pairs.child_measure_code
    from pairs
    inner join diagnosis_groups as child_groups
        on pairs.child_group_code = child_groups.group_code
    left join diagnosis_groups as parent_groups
        on
            pairs.parent_group_code = parent_groups.group_code
            and {{ starts_with('child_groups.icd10_prefix', 'parent_groups.icd10_prefix') }}
            and (
                child_groups.age_limit <= parent_groups.age_limit
                or pairs.child_age_limit <= parent_groups.age_limit
            )
    where pairs.parent_group_code is not null and parent_groups.group_code is null
),

final as (
    select
        pairs.parent_measure_code,
        pairs.child_measure_code,
        pairs.is_part
    from pairs
    left join uncovered
        on
            pairs.parent_measure_code = uncovered.parent_measure_code
            and pairs.child_measure_code = uncovered.child_measure_code
    where uncovered.parent_measure_code is null
)

select * from final
