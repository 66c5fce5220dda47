-- Fails where a ZIP3 with 20,000 people or fewer (2020 census) stands on the allow-list, or a row
-- is not three digits. One such row would let an area through that Safe Harbor wants as 000. Says
-- nothing about the other prefixes: their populations are not known here.
select zip3
from {{ ref('zip3_allowed') }}
where
    zip3 in (
        '036', '059', '102', '202', '203', '204', '205', '369', '556', '692', '753', '772', '821',
        '823', '878', '879', '884', '893', '000'
    )
    or length(zip3) <> 3
