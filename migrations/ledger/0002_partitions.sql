-- The chains by month of their appending: an old month can be archived and dropped whole, and is a beginning of each
-- chain. The heads get what a writer has to know to go on: the tree's right edge, and who writes.

-- Row-level security would hide the rows from an owner who is no superuser.
alter table ledger.entries no force row level security;
alter table ledger.heads no force row level security;
alter table ledger.entries rename to entries_before;
alter index ledger.entries_by_time rename to entries_before_by_time;
alter index ledger.entries_by_decision rename to entries_before_by_decision;
alter index ledger.entries_by_agent rename to entries_before_by_agent;
alter index ledger.entries_by_tool rename to entries_before_by_tool;
alter table ledger.entries_before rename constraint entries_pkey to entries_before_pkey;

create table ledger.entries (
    tenant text not null,
    seq bigint not null,
    month date not null,
    hash bytea not null,
    body bytea not null,
    event_id uuid not null,
    edge text not null,
    edge_seq bigint not null,
    time timestamptz not null,
    kind text not null,
    agent text,
    user_id text,
    session text,
    tool text,
    effect text,
    control text,
    reason text,
    decision_id uuid,
    primary key (tenant, seq, month),
    unique (tenant, event_id, month)
) partition by range (month);
create index entries_by_lane on ledger.entries (tenant, edge, edge_seq);
create index entries_by_time on ledger.entries (tenant, time);
create index entries_by_decision on ledger.entries (tenant, decision_id) where decision_id is not null;
create index entries_by_agent on ledger.entries (tenant, agent, seq) where agent is not null;
create index entries_by_tool on ledger.entries (tenant, tool, seq) where tool is not null;
comment on table ledger.entries is 'The chains. `body` is the exact text that was hashed; the other columns are copies of its members for search.';
comment on column ledger.entries.tenant is 'Tenant id, or _platform.';
comment on column ledger.entries.seq is 'Number on the chain, from 1.';
comment on column ledger.entries.month is 'First day of the month (UTC) in which it was appended; never falls along a chain.';
comment on column ledger.entries.hash is 'SHA-256(0x00 || body): a leaf of the chain''s tree.';
comment on column ledger.entries.body is 'Canonical JSON in ledger form.';
comment on column ledger.entries.event_id is 'Event id.';
comment on column ledger.entries.edge is 'Edge that made it.';
comment on column ledger.entries.edge_seq is 'Number on the edge''s lane.';
comment on column ledger.entries.time is 'When the edge made it.';
comment on column ledger.entries.kind is 'What happened.';
comment on column ledger.entries.agent is 'Agent.';
comment on column ledger.entries.user_id is 'User.';
comment on column ledger.entries.session is 'Session.';
comment on column ledger.entries.tool is 'server/tool.';
comment on column ledger.entries.effect is 'What was decided.';
comment on column ledger.entries.control is 'The control that decided.';
comment on column ledger.entries.reason is 'Why.';
comment on column ledger.entries.decision_id is 'Decision id.';

create trigger append_only before update or delete on ledger.entries
    for each row execute function ledger.refuse_change();
create trigger never_emptied before truncate on ledger.entries
    for each statement execute function ledger.refuse_change();

-- The partition for the present month, or for `at_least` where a chain is further already (a clock that was set back);
-- the next month's too, so that none is made while everybody waits. Returns the month to append to.
create function ledger.open_month(at_least date) returns date
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    present date := date_trunc('month', now() at time zone 'utc')::date;
    wanted date := greatest(present, date_trunc('month', at_least)::date);
    month date;
    name text;
begin
    -- Nobody fills the catalogue with months of a distant future.
    if wanted > present + interval '2 months' then
        raise exception 'a month out of range';
    end if;
    foreach month in array array[wanted, (wanted + interval '1 month')::date] loop
        name := 'entries_' || to_char(month, 'YYYY_MM');
        continue when to_regclass('ledger.' || name) is not null;
        perform pg_advisory_xact_lock(hashtextextended('proctor.ledger.open_month', 0));
        continue when to_regclass('ledger.' || name) is not null;
        execute format('create table ledger.%I partition of ledger.entries for values from (%L) to (%L)',
                       name, month, (month + interval '1 month')::date);
        execute format('alter table ledger.%I enable row level security', name);
        execute format('alter table ledger.%I force row level security', name);
        execute format('create policy by_tenant on ledger.%I using (tenant = current_setting(''proctor.tenant'', true))', name);
        execute format('create trigger never_emptied before truncate on ledger.%I for each statement execute function ledger.refuse_change()', name);
        execute format('comment on table ledger.%I is ''The chains'''' entries of one month.''', name);
    end loop;
    return wanted;
end $$;
revoke all on function ledger.open_month(date) from public;
grant execute on function ledger.open_month(date) to proctor_ledger;

select ledger.open_month(now()::date);
alter table ledger.entries no force row level security;
insert into ledger.entries
    select tenant, seq, date_trunc('month', now() at time zone 'utc')::date, hash, body, event_id, edge, edge_seq, time,
           kind, agent, user_id, session, tool, effect, control, reason, decision_id
    from ledger.entries_before order by tenant, seq;
drop table ledger.entries_before;

alter table ledger.entries enable row level security;
alter table ledger.entries force row level security;
create policy by_tenant on ledger.entries using (tenant = current_setting('proctor.tenant', true));
grant select, insert on ledger.entries to proctor_ledger;

alter table ledger.heads
    add column frontier bytea,
    add column month date not null default date '2000-01-01',
    add column holder text not null default '',
    add column epoch bigint not null default 0,
    add column lease_until timestamptz not null default '-infinity',
    add column sealed bigint not null default 0,
    add column sealed_at timestamptz not null default '-infinity';
comment on column ledger.heads.frontier is 'Right edge of the tree over the chain: its complete subtrees, the largest first, 32 bytes each. Null: to be computed from the entries.';
comment on column ledger.heads.month is 'Month of the last entry.';
comment on column ledger.heads.holder is 'The ledger process that writes this chain.';
comment on column ledger.heads.epoch is 'Counts the holders: what was begun under an older one can''t be committed.';
comment on column ledger.heads.lease_until is 'Until when nobody else may become the holder (the database''s clock).';
comment on column ledger.heads.sealed is 'Size at the last checkpoint.';
comment on column ledger.heads.sealed_at is 'When the last checkpoint was made (the database''s clock).';
alter table ledger.heads force row level security;
