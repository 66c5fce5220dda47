-- One row per ED stay of a person of the sample. Where the profile shifts dates: without the stays
-- whose day is known to everybody, and without those whose shifted day would tell the shift.
-- depends_on: {{ ref('int_release__pinned_stays') }}
-- sqlfluff:indentation:template_blocks_indent:false
with stays as (
    select * from {{ ref('int_release__whole_stays') }}
),

{% if release_setting('shift_days') > 0 -%}
pinned as (
    select * from {{ ref('int_release__pinned_stays') }}
),

observed_days as (
    select
        min(arrived_on) as first_on,
        max(arrived_on) as last_on
    from stays
),

{% endif -%}
{% if var('release_has_sample') -%}
-- Drawn by the release account, in the database of its own that it builds in.
sampled as (
    select
        person_key,
        shift_days
    from release_account.sampled_persons
),

{% endif -%}
final as (
    select
        stays.stay_key,
        stays.person_key,
        stays.peer_group_code,
        stays.acuity_code,
        stays.arrival_mode_code,
        stays.disposition_code,
        {% if release_setting('shift_days') > 0 -%}
        {{ shifted_date('stays.arrived_on', 'sampled.shift_days') }} as arrived_on,
        {% else -%}
        stays.arrived_on,
        {% endif -%}
        stays.arrived_on as age_on,
        stays.arrived_at,
        stays.left_at
    from stays
    {%- if var('release_has_sample') %}
    inner join sampled
        on stays.person_key = sampled.person_key
    {%- endif %}
    {%- if release_setting('shift_days') > 0 %}
    left join pinned
        on stays.stay_key = pinned.stay_key
    cross join observed_days
    where
        pinned.stay_key is null
        -- Of a shifted day within these limits every shift is possible; of one outside it is not.
        and {{ shifted_date('stays.arrived_on', 'sampled.shift_days') }}
        >= {{ add_days('observed_days.first_on', release_setting('shift_days')) }}
        and {{ shifted_date('stays.arrived_on', 'sampled.shift_days') }}
        <= {{ add_days('observed_days.last_on', -release_setting('shift_days')) }}
    {%- endif %}
)

select * from final
