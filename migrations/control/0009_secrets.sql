-- Credentials for tool servers and LLM providers: encrypted at rest, sealed to each edge that serves the tenant.
create table control.secrets (
    tenant text not null references control.tenants,
    name text not null,
    hosts text[] not null,
    value bytea not null,
    updated_at timestamptz not null default now(),
    updated_by text not null,
    primary key (tenant, name)
);
comment on table control.secrets is 'Credentials that edges present to upstreams in the tenant''s name.';
comment on column control.secrets.tenant is 'Tenant id.';
comment on column control.secrets.name is 'Name by which tool servers and providers refer to it.';
comment on column control.secrets.hosts is 'Hosts (host or host:port) that it may be sent to.';
comment on column control.secrets.value is 'AEAD-encrypted value.';
comment on column control.secrets.updated_at is 'Last change.';
comment on column control.secrets.updated_by is 'Principal that set it.';

alter table control.secrets enable row level security;
alter table control.secrets force row level security;
create policy by_tenant on control.secrets using (tenant = current_setting('proctor.tenant', true) or current_setting('proctor.tenant', true) = '*');
grant select, insert, update, delete on control.secrets to proctor_control;
