-- One row per check of the claims data: how many rows it found and what they are worth.
-- A finding is data, not a failed build: one hospital's wrong bill must not stop the network's
-- marts, and must not vanish in them either.
{%- set checks = [
    (
        'unbalanced_claims', 'claims', 'not is_balanced',
        'billed_amount - paid_amount - patient_responsibility_amount - other_adjustment_amount',
    ),
    ('voided_claims_with_payment', 'claims', 'is_voided and paid_amount <> 0', 'paid_amount'),
    ('claims_with_unknown_target', 'claims', 'has_unknown_target', 'billed_amount'),
    ('claims_with_competing_versions', 'claims', 'has_competing_versions', 'billed_amount'),
    ('claims_without_month', 'claims', 'incurred_month_on is null', 'billed_amount'),
    ('claims_without_person', 'claims', 'is_person_unknown', 'billed_amount'),
    ('claims_without_payer', 'claims', 'is_payer_unknown', 'billed_amount'),
    ('versions_without_frequency', 'versions', 'frequency_code is null', 'billed_amount'),
    ('versions_without_amount', 'versions', 'billed_amount is null', '0'),
    (
        'versions_unlike_their_lines', 'itemised', 'billed_amount is distinct from lines_amount',
        'coalesce(billed_amount, 0) - lines_amount',
    ),
    ('lines_without_claim', 'lines', 'claim_number_key is null', 'billed_amount'),
    ('remittances_without_claim', 'remittances', 'claim_number_key is null', 'paid_amount'),
    ('remittances_without_status', 'remittances', 'status_code is null', 'paid_amount'),
    ('remittances_without_group', 'remittances', 'ungrouped_amount <> 0', 'ungrouped_amount'),
    ('adjustments_without_remittance', 'orphaned_adjustments', 'true', 'adjustment_amount'),
    ('spells_without_days', 'unusable_spells', 'true', '0'),
] %}
with fct_claims as (
    select * from {{ ref('fct_claims') }}
),

versions as (
    select * from {{ ref('fct_claim_versions') }}
),

itemised as (
    select * from {{ ref('int_claim_versions__itemised') }}
),

lines as (
    select * from {{ ref('fct_claim_lines') }}
),

remittances as (
    select * from {{ ref('fct_remittances') }}
),

orphaned_adjustments as (
    select * from {{ ref('int_remittance_adjustments__orphaned') }}
),

unusable_spells as (
    select * from {{ ref('int_coverages__unusable') }}
),

claims as (
    select
        fct_claims.billed_amount,
        fct_claims.paid_amount,
        fct_claims.patient_responsibility_amount,
        fct_claims.other_adjustment_amount,
        fct_claims.is_voided,
        fct_claims.is_balanced,
        fct_claims.has_competing_versions,
        fct_claims.has_unknown_target,
        fct_claims.person_key is null as is_person_unknown,
        fct_claims.payer_key = '{{ var("unlisted_payer_key") }}' as is_payer_unknown,
        fct_claims.incurred_month_on
    from fct_claims
),

final as (
    {%- for check_code, relation, condition, amount in checks %}
        select
            '{{ check_code }}' as check_code,
            cast(count(*) as bigint) as rows_count,
            cast(coalesce(sum({{ amount }}), 0) as decimal(18, 2)) as net_amount
        from {{ relation }}
        where {{ condition }}
        {%- if not loop.last %}
            union all
        {%- endif %}
    {%- endfor %}
)

select * from final
