-- A write to memory whose tool does not say that it went well may have reached the store or not: what it was to replace is
-- in doubt until a later one went well. Whoever runs the store could else answer with errors, and show the old for the new.

alter table ledger.memory_items add column doubt bigint not null default 0;
alter table ledger.memory_facts add column doubt bigint not null default 0;
comment on column ledger.memory_items.doubt is 'Last version that was to replace or take away all facts, whether it did or not: older facts are in doubt where it is above the floor.';
comment on column ledger.memory_facts.doubt is 'Last version that was to take the fact away, whether it did or not: a live fact of this version or an older one is in doubt.';

-- For records that are there already, of all tenants: the owner of tables is not held by a policy that is not forced. The
-- bodies are canonical JSON, in which `change` is the first member of a record; they may hold what jsonb does not.
do $$
declare name text;
begin
    foreach name in array array['memory_items', 'memory_records', 'memory_facts'] loop
        execute format('alter table ledger.%I no force row level security', name);
    end loop;
    update ledger.memory_items i set doubt = r.version
    from (select tenant, item, max(version) as version from ledger.memory_records
          where body ~ '^\{"kid":"[^"]*","record":\{"change":"(set|clear)"' group by tenant, item) r
    where r.tenant = i.tenant and r.item = i.item;
    update ledger.memory_facts f set doubt = r.version
    from (select m.tenant, m.item, d.digest[1] as fact, max(m.version) as version
          from ledger.memory_records m, regexp_matches(m.body, '"digest":"([0-9a-f]{64})"', 'g') as d (digest)
          where m.body ~ '^\{"kid":"[^"]*","record":\{"change":"remove"' group by 1, 2, 3) r
    where r.tenant = f.tenant and r.item = f.item and f.fact = decode(r.fact, 'hex');
    foreach name in array array['memory_items', 'memory_records', 'memory_facts'] loop
        execute format('alter table ledger.%I force row level security', name);
    end loop;
end $$;
