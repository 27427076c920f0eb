-- Memory provenance, materialised from the signed records in the tenants' chains. Everything here can be made anew
-- from `ledger.entries`; a record also verifies by itself with its edge's certificate.

create table ledger.memory_items (
    tenant text not null,
    item bytea not null,
    store text not null,
    kind text not null,
    version bigint not null,
    head bytea not null,
    floor bigint not null default 0,
    time timestamptz not null,
    primary key (tenant, item)
);
create index memory_items_by_time on ledger.memory_items (tenant, time, item);
comment on table ledger.memory_items is 'Items of memory, with the end of each one''s chain of records.';
comment on column ledger.memory_items.tenant is 'Tenant id.';
comment on column ledger.memory_items.item is 'Keyed digest that names the item.';
comment on column ledger.memory_items.store is 'Tool server, or memory/<name>.';
comment on column ledger.memory_items.kind is 'What kind of item it is, in the catalogue''s words.';
comment on column ledger.memory_items.version is 'Number of the last record.';
comment on column ledger.memory_items.head is 'Hash of the last record.';
comment on column ledger.memory_items.floor is 'Last version that is known to have replaced or taken away all facts: older facts do not stand.';
comment on column ledger.memory_items.time is 'When the last record was made.';

create table ledger.memory_records (
    tenant text not null,
    hash bytea not null,
    item bytea not null,
    version bigint not null,
    edge text not null,
    certificate bytea not null,
    event_id uuid not null,
    confirmed boolean not null default false,
    body text not null,
    primary key (tenant, hash)
);
create index memory_records_by_item on ledger.memory_records (tenant, item, version);
create index memory_records_by_event on ledger.memory_records (tenant, event_id);
comment on table ledger.memory_records is 'Signed records of writes to memory.';
comment on column ledger.memory_records.tenant is 'Tenant id.';
comment on column ledger.memory_records.hash is 'SHA-256 of the record.';
comment on column ledger.memory_records.item is 'Its item.';
comment on column ledger.memory_records.version is 'Its number among the item''s records.';
comment on column ledger.memory_records.edge is 'Edge that signed it.';
comment on column ledger.memory_records.certificate is 'SHA-256 of the edge''s certificate.';
comment on column ledger.memory_records.event_id is 'The event of the chain that it came with.';
comment on column ledger.memory_records.confirmed is 'Whether the tool said that the write went well.';
comment on column ledger.memory_records.body is 'The record with its signature, canonical JSON.';

create table ledger.memory_facts (
    tenant text not null,
    item bytea not null,
    fact bytea not null,
    version bigint not null,
    live boolean not null,
    record bytea not null,
    primary key (tenant, item, fact)
);
comment on table ledger.memory_facts is 'How each fact of an item stands.';
comment on column ledger.memory_facts.tenant is 'Tenant id.';
comment on column ledger.memory_facts.item is 'The item.';
comment on column ledger.memory_facts.fact is 'Keyed digest of the fact.';
comment on column ledger.memory_facts.version is 'The version that last put it or took it away.';
comment on column ledger.memory_facts.live is 'Whether that version put it.';
comment on column ledger.memory_facts.record is 'The record that last put it.';

create table ledger.memory_certificates (
    tenant text not null,
    digest bytea not null,
    body text not null,
    primary key (tenant, digest)
);
comment on table ledger.memory_certificates is 'Certificates of the edges that signed memory records.';
comment on column ledger.memory_certificates.tenant is 'Tenant id.';
comment on column ledger.memory_certificates.digest is 'SHA-256 of the certificate.';
comment on column ledger.memory_certificates.body is 'proctor.edge-cert+jws.';

do $$
declare name text;
begin
    foreach name in array array['memory_items', 'memory_records', 'memory_facts', 'memory_certificates'] loop
        execute format('alter table ledger.%I enable row level security', name);
        execute format('alter table ledger.%I force row level security', name);
        execute format('create policy by_tenant on ledger.%I using (tenant = current_setting(''proctor.tenant'', true))', name);
    end loop;
end $$;

grant select, insert on ledger.memory_certificates to proctor_ledger;
grant select, insert, update on ledger.memory_items, ledger.memory_records, ledger.memory_facts to proctor_ledger;
