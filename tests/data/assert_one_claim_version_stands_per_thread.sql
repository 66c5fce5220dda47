-- Fails when two versions of one thread stand: the charges of a claim would count twice.
-- It does not claim that the version that stands is the right one: the unit tests do.
with states as (
    select * from {{ ref('int_claim_versions__current') }}
)

select count(*) as versions_count
from states
where is_current
group by claim_number_key, thread_key
having count(*) > 1
