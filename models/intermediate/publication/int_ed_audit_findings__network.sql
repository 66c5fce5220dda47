-- One row per closed half-year and finding: the network's whole counts, and what must be hidden.
--
-- What is left of a count once any one hospital takes its own off must be 0 or more than 10: each
-- knows its own. That says of each hospital that it has at most so much less than the whole: where
-- three have 17, each has 5 or 6. So a count must be 0 or as great as if each of the hospitals that
-- there must be had 11. The same holds for the cases without the finding.
{%- set least_count = var('minimum_audit_hospitals') * (var('largest_hidden_count') + 1) %}
with findings as (
    select
        *,
        of_count - found_count as rest_count
    from {{ ref('rpt_ed_audits_half_yearly') }}
    where is_closed
),

sums as (
    select
        finding_code,
        cast(sum(of_count) as bigint) as of_count,
        cast(sum(found_count) as bigint) as found_count,
        cast(sum(rest_count) as bigint) as rest_count,
        count(*) as hospitals_count,
        period_on
    from findings
    group by finding_code, period_on
),

-- Each hospital with reviews beside the sums; who has none sees the sums themselves.
exposed as (
    select
        findings.finding_code,
        bool_or(
            sums.of_count between 1 and {{ least_count - 1 }}
            or {{ is_small_count('sums.of_count - findings.of_count') }}
        ) as is_of_exposed,
        bool_or(
            sums.found_count between 1 and {{ least_count - 1 }}
            or {{ is_small_count('sums.found_count - findings.found_count') }}
            or sums.rest_count between 1 and {{ least_count - 1 }}
            or {{ is_small_count('sums.rest_count - findings.rest_count') }}
        ) as is_found_exposed,
        findings.period_on
    from findings
    inner join sums
        on
            findings.finding_code = sums.finding_code
            and findings.period_on = sums.period_on
    group by findings.finding_code, findings.period_on
),

issues as (
    select
        exposed.period_on,
        sums.hospitals_count < {{ var('minimum_audit_hospitals') }}
        or exposed.is_of_exposed as is_reviewed_hidden,
        sums.hospitals_count < {{ var('minimum_audit_hospitals') }}
        or exposed.is_of_exposed
        or exposed.is_found_exposed as is_issue_hidden
    from exposed
    inner join sums
        on
            exposed.finding_code = sums.finding_code
            and exposed.period_on = sums.period_on
    where exposed.finding_code = 'quality_issue'
),

-- A case with an issue has a theme: where the shown themes do not account for all of them, they
-- tell how many the hidden ones have at least. For each hospital, and for one without reviews.
shown_themes as (
    select
        findings.hospital_key,
        bool_or(exposed.is_found_exposed) as has_hidden,
        max(sums.of_count)
        - sum(case when exposed.is_found_exposed then 0 else sums.found_count end) as missing_count,
        max(sums.of_count - findings.of_count)
        - sum(
            case
                when exposed.is_found_exposed then 0 else sums.found_count - findings.found_count
            end
        ) as missing_of_others_count,
        findings.period_on
    from findings
    inner join sums
        on
            findings.finding_code = sums.finding_code
            and findings.period_on = sums.period_on
    inner join exposed
        on
            findings.finding_code = exposed.finding_code
            and findings.period_on = exposed.period_on
    where findings.finding_code <> 'quality_issue'
    group by findings.hospital_key, findings.period_on
),

themes as (
    select
        bool_or(has_hidden and (missing_count > 0 or missing_of_others_count > 0))
            as is_hidden_told,
        period_on
    from shown_themes
    group by period_on
),

final as (
    select
        sums.finding_code,
        sums.of_count,
        sums.found_count,
        case
            when sums.finding_code = 'quality_issue' then issues.is_reviewed_hidden
            else issues.is_issue_hidden
        end as is_of_hidden,
        issues.is_issue_hidden
        or (
            sums.finding_code <> 'quality_issue'
            and (exposed.is_found_exposed or coalesce(themes.is_hidden_told, false))
        ) as is_found_hidden,
        sums.period_on
    from sums
    inner join exposed
        on
            sums.finding_code = exposed.finding_code
            and sums.period_on = exposed.period_on
    inner join issues on sums.period_on = issues.period_on
    left join themes on sums.period_on = themes.period_on
)

select * from final
