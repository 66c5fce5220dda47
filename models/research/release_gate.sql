-- One row per table whose rows are released: present only when every test of every one of them, and
-- of what their attackers are left with, has passed. A test on one table does not hold back
-- another: this model depends on all of them, and files are written from a build with its success.
-- depends_on: {{ ref('release_patients') }}
-- depends_on: {{ ref('release_ed_visits') }}
-- depends_on: {{ ref('release_diagnoses') }}
-- depends_on: {{ ref('release_risks') }}
-- depends_on: {{ ref('release_losses') }}
with final as (
    select
        cast('release_patients' as string) as table_name,
        cast('{{ invocation_id }}' as string) as build_id
    union all
    select
        cast('release_ed_visits' as string) as table_name,
        cast('{{ invocation_id }}' as string) as build_id
    union all
    select
        cast('release_diagnoses' as string) as table_name,
        cast('{{ invocation_id }}' as string) as build_id
)

select * from final
