-- One row per ED stay of a linkable person: how it began is taken from its first registration, how
-- it ended from the one left last. Instants are exact here.
with ed_visits as (
    select * from {{ ref('fct_ed_visits') }}
    where person_key is not null
),

hospitals as (
    select * from {{ ref('dim_hospitals') }}
),

-- A peer group of one or two hospitals names them to everybody who knows the region.
peer_groups as (
    select
        hospital_key,
        time_zone,
        case
            when
                count(*) over (partition by peer_group_code)
                >= {{ release_setting('minimum_peer_hospitals') }}
                then peer_group_code
            else 'other'
        end as peer_group_code
    from hospitals
),

-- The registration that was left last says how the stay ended; an open one counts as the last.
ranked as (
    select
        stay_key,
        person_key,
        hospital_key,
        acuity_code,
        arrival_mode_code,
        disposition_code,
        arrived_at,
        coalesce(departed_at, disposition_at) as left_at,
        row_number() over (
            partition by stay_key order by arrived_at asc nulls last, ed_visit_key asc nulls last
        ) as first_rank,
        row_number() over (
            partition by stay_key
            order by
                coalesce(departed_at, disposition_at) desc nulls first,
                arrived_at desc nulls last,
                ed_visit_key desc nulls last
        ) as last_rank
    from ed_visits
),

final as (
    select
        ranked.stay_key,
        min(ranked.person_key) as person_key,
        max(case when ranked.first_rank = 1 then peer_groups.peer_group_code end)
            as peer_group_code,
        max(case when ranked.first_rank = 1 then ranked.acuity_code end) as acuity_code,
        max(case when ranked.first_rank = 1 then ranked.arrival_mode_code end) as arrival_mode_code,
        max(case when ranked.last_rank = 1 then ranked.disposition_code end) as disposition_code,
        max(
            case
                when ranked.first_rank = 1
                    then cast({{ to_local('ranked.arrived_at', 'peer_groups.time_zone') }} as date)
            end
        ) as arrived_on,
        min(ranked.arrived_at) as arrived_at,
        max(case when ranked.last_rank = 1 then ranked.left_at end) as left_at
    from ranked
    left join peer_groups
        on ranked.hospital_key = peer_groups.hospital_key
    group by ranked.stay_key
)

select * from final
