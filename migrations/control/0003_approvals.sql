-- Kill switches, and calls that wait for a person.

create table control.kill_switches (
    tenant text not null,
    scope text not null check (scope in ('platform', 'tenant', 'agent', 'tool')),
    object text not null default '',
    note text not null default '',
    set_by text not null,
    set_at timestamptz not null default now(),
    primary key (tenant, scope, object),
    check ((tenant = '_platform') = (scope = 'platform')),
    check ((scope in ('platform', 'tenant')) = (object = ''))
);
comment on table control.kill_switches is 'What is stopped now; a row is a switch that is on.';
comment on column control.kill_switches.tenant is 'Tenant id; _platform: everything.';
comment on column control.kill_switches.scope is 'platform, tenant, agent or tool.';
comment on column control.kill_switches.object is 'Agent id or server/tool; empty where the scope says it all.';
comment on column control.kill_switches.note is 'Why, for people.';
comment on column control.kill_switches.set_by is 'Principal.';
comment on column control.kill_switches.set_at is 'When.';

create table control.kill_versions (
    tenant text primary key,
    version bigint not null
);
comment on table control.kill_versions is 'Versions of the published kill switches, which heartbeats carry.';
comment on column control.kill_versions.tenant is 'Tenant id, or _platform.';
comment on column control.kill_versions.version is 'One more with each change; no row: never changed.';

create table control.minted_tokens (
    tenant text not null references control.tenants,
    token_id text not null,
    minted_by text not null,
    expires_at timestamptz not null,
    primary key (tenant, token_id)
);
comment on table control.minted_tokens is 'Who minted which token: that principal may not approve what is done with it. Never the token.';
comment on column control.minted_tokens.tenant is 'Tenant id.';
comment on column control.minted_tokens.token_id is 'Revocation id of the token as it was minted.';
comment on column control.minted_tokens.minted_by is 'Principal.';
comment on column control.minted_tokens.expires_at is 'When the token is over.';

create table control.approvals (
    tenant text not null references control.tenants,
    id text not null,
    state text not null default 'pending' check (state in ('pending', 'approved', 'denied', 'used', 'expired')),
    binding text not null,
    covers text[] not null,
    question text not null,
    view bytea,
    agent text not null,
    delegation text[] not null,
    user_id text,
    session text,
    intent text,
    token_id text not null,
    tool text not null,
    args_digest text not null,
    edge text not null,
    decision_id text not null,
    requesters text[] not null,
    approvers integer not null check (approvers between 1 and 2),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz,
    used_edge text,
    used_decision_id text,
    primary key (tenant, id)
);
create unique index approvals_one_live on control.approvals (tenant, binding) where state in ('pending', 'approved');
create index approvals_denied on control.approvals (tenant, binding) where state = 'denied';
create index approvals_by_state on control.approvals (tenant, state, id);
create index approvals_by_agent on control.approvals (tenant, agent) where state in ('pending', 'approved');
create index approvals_live on control.approvals (expires_at) where state in ('pending', 'approved');
comment on table control.approvals is 'Escalated calls, and what people said.';
comment on column control.approvals.tenant is 'Tenant id.';
comment on column control.approvals.id is 'Approval id.';
comment on column control.approvals.state is 'pending, approved, denied, used or expired.';
comment on column control.approvals.binding is 'Digest of the exact call and of what it was decided by.';
comment on column control.approvals.covers is 'Identifiers of the reasons that are waved through.';
comment on column control.approvals.question is 'The question for a person; no value of the call.';
comment on column control.approvals.view is 'AEAD-encrypted view of the arguments; null once it is over.';
comment on column control.approvals.agent is 'Agent id.';
comment on column control.approvals.delegation is 'Sub-agents, outermost first.';
comment on column control.approvals.user_id is 'User that the agent acts for.';
comment on column control.approvals.session is 'Session.';
comment on column control.approvals.intent is 'Intent id.';
comment on column control.approvals.token_id is 'Revocation id of the token.';
comment on column control.approvals.tool is 'server/tool.';
comment on column control.approvals.args_digest is 'Keyed digest of the arguments, as in audit events.';
comment on column control.approvals.edge is 'Edge that asked.';
comment on column control.approvals.decision_id is 'Decision that escalated.';
comment on column control.approvals.requesters is 'Principals that may not decide: who declared the intent, who minted the token.';
comment on column control.approvals.approvers is 'How many have to approve.';
comment on column control.approvals.created_at is 'When it was asked for.';
comment on column control.approvals.expires_at is 'When it expires.';
comment on column control.approvals.ended_at is 'When it was denied or used, or expired.';
comment on column control.approvals.used_edge is 'Edge that used it.';
comment on column control.approvals.used_decision_id is 'Decision that it was used for.';

create table control.approval_votes (
    tenant text not null,
    approval text not null,
    principal text not null,
    verdict text not null check (verdict in ('approve', 'deny')),
    comment text not null default '',
    voted_at timestamptz not null,
    primary key (tenant, approval, principal),
    foreign key (tenant, approval) references control.approvals (tenant, id) on delete cascade
);
comment on table control.approval_votes is 'What each approver said.';
comment on column control.approval_votes.tenant is 'Tenant id.';
comment on column control.approval_votes.approval is 'Approval id.';
comment on column control.approval_votes.principal is 'Who.';
comment on column control.approval_votes.verdict is 'approve or deny.';
comment on column control.approval_votes.comment is 'Why, for people.';
comment on column control.approval_votes.voted_at is 'When.';

do $$
declare name text;
begin
    foreach name in array array['kill_switches', 'kill_versions', 'minted_tokens', 'approvals', 'approval_votes'] loop
        execute format('alter table control.%I enable row level security', name);
        execute format('alter table control.%I force row level security', name);
        execute format('create policy by_tenant on control.%I using (tenant = current_setting(''proctor.tenant'', true) or current_setting(''proctor.tenant'', true) = ''*'')', name);
    end loop;
end $$;
-- Whether the whole platform is stopped concerns each tenant.
create policy platform_for_all on control.kill_switches for select using (tenant = '_platform' and current_setting('proctor.tenant', true) <> '');

grant select, insert, update, delete on control.kill_switches, control.kill_versions, control.minted_tokens, control.approvals, control.approval_votes to proctor_control;
