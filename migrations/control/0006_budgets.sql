-- Budgets: how far the counter has heard of a tenant's limits, and which alerts were raised. The documents themselves
-- (kinds `limits` and `prices`) are in control.objects.

create table control.limits_pushed (
    tenant text primary key references control.tenants,
    version bigint not null,
    pushed_at timestamptz not null default now()
);
comment on table control.limits_pushed is 'The newest limits that the counter has taken.';
comment on column control.limits_pushed.tenant is 'Tenant id.';
comment on column control.limits_pushed.version is 'Version of the limits document.';
comment on column control.limits_pushed.pushed_at is 'When the counter took it.';

create table control.budget_alerts (
    tenant text not null references control.tenants,
    account text not null,
    window_start text not null default '',
    level integer not null,
    raised_at timestamptz not null default now(),
    primary key (tenant, account, window_start, level)
);
comment on table control.budget_alerts is 'Alerts that were raised, so that each is raised once in a window.';
comment on column control.budget_alerts.tenant is 'Tenant id.';
comment on column control.budget_alerts.account is 'Scope, id, meter and window of the account.';
comment on column control.budget_alerts.window_start is 'When the calendar window began; empty for others.';
comment on column control.budget_alerts.level is 'Percent of the limit: 50, 80 or 100.';
comment on column control.budget_alerts.raised_at is 'When.';

do $$
declare name text;
begin
    foreach name in array array['limits_pushed', 'budget_alerts'] loop
        execute format('alter table control.%I enable row level security', name);
        execute format('alter table control.%I force row level security', name);
        execute format('create policy by_tenant on control.%I using (tenant = current_setting(''proctor.tenant'', true) or current_setting(''proctor.tenant'', true) = ''*'')', name);
        execute format('grant select, insert, update, delete on control.%I to proctor_control', name);
    end loop;
end $$;
