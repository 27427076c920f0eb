-- The audit chains. Runs as the owner; the service connects as `proctor_ledger`, which can append and read, and
-- nothing else. Row-level security by tenant is the second fence, as in control's schema.

create schema if not exists ledger;

create table ledger.heads (
    tenant text primary key,
    size bigint not null,
    hash bytea not null
);
comment on table ledger.heads is 'End of each tenant''s chain; changed only by compare-and-swap.';
comment on column ledger.heads.tenant is 'Tenant id, or _platform.';
comment on column ledger.heads.size is 'Number of entries.';
comment on column ledger.heads.hash is 'Hash of the last entry.';

create table ledger.lanes (
    tenant text not null,
    edge text not null,
    edge_seq bigint not null,
    edge_hash bytea not null,
    primary key (tenant, edge)
);
comment on table ledger.lanes is 'How far each edge''s lane is committed.';
comment on column ledger.lanes.tenant is 'Tenant id, or _platform.';
comment on column ledger.lanes.edge is 'Edge id.';
comment on column ledger.lanes.edge_seq is 'Last committed number of the lane.';
comment on column ledger.lanes.edge_hash is 'Hash of that event in edge form.';

create table ledger.entries (
    tenant text not null,
    seq bigint not null,
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
    primary key (tenant, seq),
    unique (tenant, event_id),
    unique (tenant, edge, edge_seq)
);
create index entries_by_time on ledger.entries (tenant, time);
create index entries_by_decision on ledger.entries (tenant, decision_id);
create index entries_by_agent on ledger.entries (tenant, agent, seq);
create index entries_by_tool on ledger.entries (tenant, tool, seq);
comment on table ledger.entries is 'The chains. `body` is the exact text that was hashed; the other columns are copies of its members for search.';
comment on column ledger.entries.tenant is 'Tenant id, or _platform.';
comment on column ledger.entries.seq is 'Number on the chain, from 1.';
comment on column ledger.entries.hash is 'SHA-256(0x00 || body).';
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

create function ledger.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'audit entries are never changed or deleted';
end $$;
create trigger append_only before update or delete on ledger.entries
    for each row execute function ledger.refuse_change();
create trigger never_emptied before truncate on ledger.entries
    for each statement execute function ledger.refuse_change();

do $$
declare name text;
begin
    if not exists (select from pg_roles where rolname = 'proctor_ledger') then
        create role proctor_ledger nologin;
    end if;
    foreach name in array array['heads', 'lanes', 'entries'] loop
        execute format('alter table ledger.%I enable row level security', name);
        execute format('alter table ledger.%I force row level security', name);
        execute format('create policy by_tenant on ledger.%I using (tenant = current_setting(''proctor.tenant'', true))', name);
    end loop;
end $$;

grant usage on schema ledger to proctor_ledger;
grant select, insert on ledger.entries to proctor_ledger;
grant select, insert, update on ledger.heads, ledger.lanes to proctor_ledger;
