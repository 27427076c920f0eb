-- The control plane's truth. Runs as the owner; the service connects as `proctor_control`, which owns nothing.
-- Row-level security by tenant is the second fence: a query in a transaction that has not said
-- `set local proctor.tenant` sees no tenant's rows. `*` is the platform's own view (publisher, authentication).

create schema if not exists control;

create table control.tenants (
    tenant text primary key,
    display_name text not null default '',
    settings jsonb not null,
    config_version bigint not null default 1,
    keys_version bigint not null default 1,
    revocation_seq bigint not null default 0,
    digest_key bytea not null,
    created_at timestamptz not null default now()
);
comment on table control.tenants is 'Customers, with the counters that their signed documents carry.';
comment on column control.tenants.tenant is 'Tenant id.';
comment on column control.tenants.display_name is 'Name for people.';
comment on column control.tenants.settings is 'TenantSettings document.';
comment on column control.tenants.config_version is 'Version of the published TenantConfig; one more with each change.';
comment on column control.tenants.keys_version is 'Version of the sealed token keys.';
comment on column control.tenants.revocation_seq is 'Number of the last revocation.';
comment on column control.tenants.digest_key is 'AEAD-encrypted 32-byte key of argument digests.';
comment on column control.tenants.created_at is 'When it was made.';

create table control.objects (
    tenant text not null references control.tenants,
    kind text not null check (kind in ('agent', 'server')),
    id text not null,
    document jsonb not null,
    version bigint not null default 1,
    updated_at timestamptz not null default now(),
    primary key (tenant, kind, id)
);
comment on table control.objects is 'Agents and tool servers, as their documents.';
comment on column control.objects.tenant is 'Tenant id.';
comment on column control.objects.kind is 'agent or server.';
comment on column control.objects.id is 'Id within tenant and kind.';
comment on column control.objects.document is 'The document (docs/contracts.md).';
comment on column control.objects.version is 'The ETag.';
comment on column control.objects.updated_at is 'Last change.';

create table control.policies (
    tenant text not null references control.tenants,
    id text not null,
    version integer not null,
    document jsonb not null,
    digest text not null,
    state text not null default 'draft' check (state in ('draft', 'active', 'inactive')),
    mode text not null default 'enforce' check (mode in ('enforce', 'monitor')),
    created_at timestamptz not null default now(),
    created_by text not null,
    primary key (tenant, id, version)
);
create unique index policies_one_active on control.policies (tenant, id) where state = 'active';
comment on table control.policies is 'Policy versions.';
comment on column control.policies.tenant is 'Tenant id.';
comment on column control.policies.id is 'Policy id.';
comment on column control.policies.version is 'Version, from 1.';
comment on column control.policies.document is 'Modules and data.';
comment on column control.policies.digest is 'SHA-256 of the canonical document.';
comment on column control.policies.state is 'draft, active or inactive.';
comment on column control.policies.mode is 'enforce or monitor.';
comment on column control.policies.created_at is 'When it was uploaded.';
comment on column control.policies.created_by is 'Principal that uploaded it.';

create table control.token_keys (
    tenant text not null references control.tenants,
    kid text not null,
    secret bytea not null,
    created_at timestamptz not null default now(),
    not_after timestamptz,
    primary key (tenant, kid)
);
create unique index token_keys_one_active on control.token_keys (tenant) where not_after is null;
comment on table control.token_keys is 'Root keys of capability tokens.';
comment on column control.token_keys.tenant is 'Tenant id.';
comment on column control.token_keys.kid is 'Key id.';
comment on column control.token_keys.secret is 'AEAD-encrypted 32-byte key.';
comment on column control.token_keys.created_at is 'When it was made.';
comment on column control.token_keys.not_after is 'End of its overlap window; null: the active key.';

create table control.revocations (
    tenant text not null references control.tenants,
    seq bigint not null,
    revocation_id text not null,
    revoked_at timestamptz not null default now(),
    until timestamptz not null,
    revoked_by text not null,
    primary key (tenant, seq),
    unique (tenant, revocation_id)
);
comment on table control.revocations is 'Revoked token prefixes.';
comment on column control.revocations.tenant is 'Tenant id.';
comment on column control.revocations.seq is 'Number within the tenant, from 1.';
comment on column control.revocations.revocation_id is 'Hex revocation id.';
comment on column control.revocations.revoked_at is 'When.';
comment on column control.revocations.until is 'After this no such token can be alive.';
comment on column control.revocations.revoked_by is 'Principal.';

create table control.intents (
    tenant text not null references control.tenants,
    id text not null,
    document jsonb not null,
    expires_at timestamptz not null,
    primary key (tenant, id)
);
comment on table control.intents is 'Declared intents; immutable.';
comment on column control.intents.tenant is 'Tenant id.';
comment on column control.intents.id is 'Intent id.';
comment on column control.intents.document is 'Intent document.';
comment on column control.intents.expires_at is 'When it ends.';

create table control.api_keys (
    tenant text not null,
    id text not null,
    name text not null,
    roles text[] not null,
    secret_sha256 bytea not null unique,
    created_at timestamptz not null default now(),
    primary key (tenant, id)
);
comment on table control.api_keys is 'API keys, hashed.';
comment on column control.api_keys.tenant is 'Tenant id; _platform: a platform key.';
comment on column control.api_keys.id is 'Key id (the principal).';
comment on column control.api_keys.name is 'Name for people.';
comment on column control.api_keys.roles is 'Roles.';
comment on column control.api_keys.secret_sha256 is 'SHA-256 of the whole key text.';
comment on column control.api_keys.created_at is 'When it was made.';

create table control.join_tokens (
    secret_sha256 bytea primary key,
    role text not null check (role in ('edge', 'ledger')),
    tenants text[] not null,
    region text not null,
    expires_at timestamptz not null,
    used_at timestamptz
);
comment on table control.join_tokens is 'One-time credentials for edges and ledgers that join.';
comment on column control.join_tokens.secret_sha256 is 'SHA-256 of the whole token text.';
comment on column control.join_tokens.role is 'edge or ledger.';
comment on column control.join_tokens.tenants is 'Tenants that the edge is to serve.';
comment on column control.join_tokens.region is 'Region of the edge.';
comment on column control.join_tokens.expires_at is 'End of its life.';
comment on column control.join_tokens.used_at is 'When it was used.';

create table control.edges (
    id text primary key,
    region text not null,
    tenants text[] not null,
    signing_key bytea not null,
    sealing_key bytea not null,
    version bigint not null default 1,
    enrolled_at timestamptz not null default now()
);
comment on table control.edges is 'Enrolled edges.';
comment on column control.edges.id is 'Edge id.';
comment on column control.edges.region is 'Region.';
comment on column control.edges.tenants is 'Tenants it serves.';
comment on column control.edges.signing_key is 'Ed25519 public key.';
comment on column control.edges.sealing_key is 'X25519 public key.';
comment on column control.edges.version is 'Version of its assignment.';
comment on column control.edges.enrolled_at is 'When it joined.';

create table control.ledgers (
    kid text primary key,
    signing_key bytea not null,
    registered_at timestamptz not null default now()
);
comment on table control.ledgers is 'Ledgers whose receipts edges believe.';
comment on column control.ledgers.kid is 'Key id.';
comment on column control.ledgers.signing_key is 'Ed25519 public key.';
comment on column control.ledgers.registered_at is 'When it registered.';

create table control.outbox (
    id bigint generated always as identity primary key,
    tenant text not null,
    kind text not null check (kind in ('config', 'keys', 'intent', 'revocation', 'assignment')),
    object text not null default ''
);
comment on table control.outbox is 'What is to be published, in order; a row names the object, the publisher reads its present state. Deleted when NATS has acknowledged.';
comment on column control.outbox.id is 'Order.';
comment on column control.outbox.tenant is 'Tenant id; _platform for assignments.';
comment on column control.outbox.kind is 'Kind of document.';
comment on column control.outbox.object is 'Intent id, revocation number or edge id; empty where the tenant says it all.';

create table control.audit_lane (
    tenant text primary key,
    edge_seq bigint not null,
    edge_hash bytea not null
);
comment on table control.audit_lane is 'Heads of the control plane''s own audit lanes.';
comment on column control.audit_lane.tenant is 'Tenant id, or _platform.';
comment on column control.audit_lane.edge_seq is 'Last number.';
comment on column control.audit_lane.edge_hash is 'Hash of the last event.';

create table control.audit_outbox (
    tenant text not null,
    edge_seq bigint not null,
    body bytea not null,
    primary key (tenant, edge_seq)
);
comment on table control.audit_outbox is 'Admin events that the ledger has not receipted yet.';
comment on column control.audit_outbox.tenant is 'Tenant id, or _platform.';
comment on column control.audit_outbox.edge_seq is 'Number on the lane.';
comment on column control.audit_outbox.body is 'Canonical bytes of the event, edge form.';

do $$
declare name text;
begin
    if not exists (select from pg_roles where rolname = 'proctor_control') then
        create role proctor_control nologin;
    end if;
    foreach name in array array['tenants', 'objects', 'policies', 'token_keys', 'revocations', 'intents', 'api_keys', 'audit_lane', 'audit_outbox', 'outbox'] loop
        execute format('alter table control.%I enable row level security', name);
        execute format('alter table control.%I force row level security', name);
        execute format('create policy by_tenant on control.%I using (tenant = current_setting(''proctor.tenant'', true) or current_setting(''proctor.tenant'', true) = ''*'')', name);
    end loop;
end $$;

grant usage on schema control to proctor_control;
grant select, insert, update, delete on all tables in schema control to proctor_control;
