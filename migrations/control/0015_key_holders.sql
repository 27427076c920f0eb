-- API keys may name who holds them: nobody decides about his own calls with another key.
create table control.key_holders (
    tenant text not null,
    key text not null,
    holder text not null,
    primary key (tenant, key)
);
comment on table control.key_holders is 'Who holds which API key. A row outlives its key: who asked for a call with it stays the one who asked.';
comment on column control.key_holders.tenant is 'Tenant id; _platform: a platform key.';
comment on column control.key_holders.key is 'Key id (the principal).';
comment on column control.key_holders.holder is 'User id.';

alter table control.key_holders enable row level security;
alter table control.key_holders force row level security;
create policy by_tenant on control.key_holders using (tenant = current_setting('proctor.tenant', true) or current_setting('proctor.tenant', true) = '*');
-- Platform keys ask and decide in each tenant.
create policy platform_for_all on control.key_holders for select using (tenant = '_platform' and current_setting('proctor.tenant', true) <> '');

grant select, insert on control.key_holders to proctor_control;
