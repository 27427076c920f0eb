-- What makes the chains provable: tiles of their trees, checkpoints, cosignatures, and the keys that signed.

create table ledger.tiles (
    tenant text not null,
    level smallint not null,
    idx bigint not null,
    hashes bytea not null,
    primary key (tenant, level, idx),
    check (length(hashes) between 32 and 256 * 32 and length(hashes) % 32 = 0)
);
comment on table ledger.tiles is 'The trees, in tiles of up to 256 hashes (C2SP tlog-tiles). They stay when entries are archived.';
comment on column ledger.tiles.tenant is 'Tenant id, or _platform.';
comment on column ledger.tiles.level is 'Level of the tile, from 0: its hashes are of subtrees with 256^level leaves.';
comment on column ledger.tiles.idx is 'Number of the tile within its level, from 0.';
comment on column ledger.tiles.hashes is 'Its hashes, 32 bytes each; 256 of them when it is full.';

create table ledger.checkpoints (
    tenant text not null,
    size bigint not null,
    root bytea not null,
    time timestamptz not null,
    note text not null,
    primary key (tenant, size)
);
comment on table ledger.checkpoints is 'Signed tree heads (C2SP tlog-checkpoint).';
comment on column ledger.checkpoints.tenant is 'Tenant id, or _platform.';
comment on column ledger.checkpoints.size is 'Number of entries.';
comment on column ledger.checkpoints.root is 'Root of the tree over them.';
comment on column ledger.checkpoints.time is 'The time that was signed with it; never falls along a chain.';
comment on column ledger.checkpoints.note is 'The signed note, as the ledger signed it.';

create table ledger.cosignatures (
    tenant text not null,
    size bigint not null,
    witness text not null,
    line text not null,
    primary key (tenant, size, witness)
);
comment on table ledger.cosignatures is 'What witnesses have signed (C2SP tlog-cosignature).';
comment on column ledger.cosignatures.tenant is 'Tenant id, or _platform.';
comment on column ledger.cosignatures.size is 'Size of the checkpoint.';
comment on column ledger.cosignatures.witness is 'Name of the witness.';
comment on column ledger.cosignatures.line is 'Its signature line.';

create table ledger.published_heads (
    tenant text not null,
    about text not null,
    size bigint not null,
    primary key (tenant, about)
);
comment on table ledger.published_heads is 'Up to which checkpoint each tenant''s log is named in the platform''s own chain.';
comment on column ledger.published_heads.tenant is 'Always _platform.';
comment on column ledger.published_heads.about is 'The tenant.';
comment on column ledger.published_heads.size is 'Size of the checkpoint that was named last.';

create table ledger.archives (
    tenant text not null,
    month date not null,
    first_seq bigint not null,
    last_seq bigint not null,
    file text not null,
    sha256 bytea not null,
    archived_at timestamptz not null default now(),
    primary key (tenant, month)
);
comment on table ledger.archives is 'Months whose entries were moved to a file; their proofs stay here.';
comment on column ledger.archives.tenant is 'Tenant id, or _platform.';
comment on column ledger.archives.month is 'First day of the month.';
comment on column ledger.archives.first_seq is 'Its first entry.';
comment on column ledger.archives.last_seq is 'Its last entry.';
comment on column ledger.archives.file is 'Name of the bundle that holds them.';
comment on column ledger.archives.sha256 is 'SHA-256 of that file.';
comment on column ledger.archives.archived_at is 'When that was done.';

create table ledger.log_keys (
    kid text primary key,
    public_key bytea not null,
    first_used timestamptz not null default now()
);
comment on table ledger.log_keys is 'Every key that ever signed checkpoints of this installation.';
comment on column ledger.log_keys.kid is 'Key id.';
comment on column ledger.log_keys.public_key is 'Ed25519 public key.';
comment on column ledger.log_keys.first_used is 'When a ledger first came with it.';

-- A tile only grows, and is never another one.
create function ledger.tile_grows() returns trigger language plpgsql as $$
begin
    if (new.tenant, new.level, new.idx) is distinct from (old.tenant, old.level, old.idx)
       or length(new.hashes) < length(old.hashes)
       or substring(new.hashes from 1 for length(old.hashes)) <> old.hashes then
        raise exception 'a tile of the tree only grows';
    end if;
    return new;
end $$;
create trigger only_grows before update on ledger.tiles for each row execute function ledger.tile_grows();

-- Sizes and times of a chain's checkpoints only rise.
create function ledger.checkpoint_rises() returns trigger language plpgsql as $$
begin
    if exists (select from (select size, time from ledger.checkpoints
                            where tenant = new.tenant order by size desc limit 1) last
               where last.size >= new.size or last.time > new.time) then
        raise exception 'checkpoints only rise';
    end if;
    return new;
end $$;
create trigger only_rises before insert on ledger.checkpoints for each row execute function ledger.checkpoint_rises();

do $$
declare name text;
begin
    foreach name in array array['tiles', 'checkpoints', 'cosignatures', 'published_heads', 'archives'] loop
        execute format('alter table ledger.%I enable row level security', name);
        execute format('alter table ledger.%I force row level security', name);
        execute format('create policy by_tenant on ledger.%I using (tenant = current_setting(''proctor.tenant'', true))', name);
    end loop;
    foreach name in array array['checkpoints', 'cosignatures', 'archives', 'log_keys'] loop
        execute format('create trigger append_only before update or delete on ledger.%I
                        for each row execute function ledger.refuse_change()', name);
    end loop;
    foreach name in array array['tiles', 'checkpoints', 'cosignatures', 'archives', 'log_keys'] loop
        execute format('create trigger never_emptied before truncate on ledger.%I
                        for each statement execute function ledger.refuse_change()', name);
    end loop;
end $$;
create trigger never_deleted before delete on ledger.tiles for each row execute function ledger.refuse_change();

-- The ledger has to find the chains that wait for a seal, whoever's they are: it sees their heads, not their entries.
create policy for_sealing on ledger.heads for select using (current_setting('proctor.scope', true) = 'platform');
create policy for_sealing on ledger.checkpoints for select using (current_setting('proctor.scope', true) = 'platform');

grant select, insert, update (hashes) on ledger.tiles to proctor_ledger;
grant select, insert on ledger.checkpoints, ledger.cosignatures, ledger.log_keys to proctor_ledger;
grant select, insert, update on ledger.published_heads to proctor_ledger;
grant select on ledger.archives to proctor_ledger;
