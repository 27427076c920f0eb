-- What edges see of tool servers: how they do, and which definitions differ from what was approved.
create table control.sightings (
    tenant text not null references control.tenants,
    server text not null,
    edge text not null,
    at timestamptz not null,
    health text not null check (health in ('up', 'circuit_open', 'unseen')),
    seen bytea not null,
    more integer not null,
    primary key (tenant, server, edge)
);
comment on table control.sightings is 'The last that each edge told of each tool server. Information for operators; nothing is decided by it.';
comment on column control.sightings.tenant is 'Tenant id.';
comment on column control.sightings.server is 'Tool server id.';
comment on column control.sightings.edge is 'Edge that saw it.';
comment on column control.sightings.at is 'When, by the clock of the edge.';
comment on column control.sightings.health is 'How the server does.';
comment on column control.sightings.seen is 'JSON array of what differs: name, digest, definition. Bytes, because a hostile server may write what jsonb does not hold.';
comment on column control.sightings.more is 'How many more differ than are named.';

alter table control.sightings enable row level security;
alter table control.sightings force row level security;
create policy by_tenant on control.sightings using (tenant = current_setting('proctor.tenant', true) or current_setting('proctor.tenant', true) = '*');
grant select, insert, update, delete on control.sightings to proctor_control;
