-- An approval that does not cover what stands in the way of its call any more gives way to another.
alter table control.approvals drop constraint approvals_state_check;
alter table control.approvals add constraint approvals_state_check
    check (state in ('pending', 'approved', 'denied', 'used', 'expired', 'superseded'));
comment on column control.approvals.state is 'pending, approved, denied, used, expired or superseded.';
comment on column control.approvals.ended_at is 'When it was denied, used or superseded, or expired.';
