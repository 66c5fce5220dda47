-- Fails where more than a twentieth of a table's rows, and more than ten, were kept out of the
-- lake: a changed format at the source, not a few bad rows. Figures without them would be wrong.
select
    source_name,
    table_name
from {{ ref('rpt_reconciliation') }}
where
    check_code = 'row_count'
    and quarantined_count > 10
    and quarantined_count > source_count * {{ var('largest_quarantined_share') }}
