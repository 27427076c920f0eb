-- A month's partition is made by itself and attached. `create table … partition of` locks the chains against everybody: it waited
-- for whoever read them (a dump of the database, for hours), and every append stood behind it and failed.

create or replace function ledger.open_month(at_least date) returns date
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
        execute format('create table ledger.%I (like ledger.entries)', name);
        execute format('alter table ledger.%I enable row level security', name);
        execute format('alter table ledger.%I force row level security', name);
        execute format('create policy by_tenant on ledger.%I using (tenant = current_setting(''proctor.tenant'', true))', name);
        execute format('create trigger never_emptied before truncate on ledger.%I for each statement execute function ledger.refuse_change()', name);
        execute format('comment on table ledger.%I is ''The chains'''' entries of one month.''', name);
        -- Goes beside reads and appends. The indexes of `ledger.entries` and its trigger for rows come with it.
        execute format('alter table ledger.entries attach partition ledger.%I for values from (%L) to (%L)',
                       name, month, (month + interval '1 month')::date);
    end loop;
    return wanted;
end $$;
