//! Seals on a real Postgres: key rotation, retention, an upgraded database, a chain that was changed underneath.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use proctor_ledger::bundle::{Fault, Report, Trust, verify};
use proctor_ledger::checkpoint::VerifierKey;
use proctor_ledger::merkle::includes;
use proctor_ledger::{ArchiveError, Archived, archive};
use proctor_model::audit::EntryHash;
use proctor_proto::v1;
use sqlx::types::time::{Date, OffsetDateTime};
use sqlx::{Connection, Executor, PgConnection};
use std::path::Path;
use std::time::Duration;
use support::{Ledger, PATIENCE, World, code, dated};
use tonic::Code;

/// Waits until all of a chain is sealed; its size.
async fn sealed(world: &World, ledger: &Ledger) -> u64 {
    let wait = async {
        loop {
            let report = world.verify(ledger, "acme").await;
            assert_eq!(report.findings, []);
            if report.sealed == report.entries {
                return report.sealed;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("a seal in time")
}

async fn export(world: &World, ledger: &Ledger) -> Vec<u8> {
    export_of(world, ledger, "", "").await
}

/// The entries from one time to another.
async fn export_of(world: &World, ledger: &Ledger, from: &str, to: &str) -> Vec<u8> {
    let request = v1::ExportRequest {
        tenant: "acme".into(),
        from: from.into(),
        to: to.into(),
    };
    let mut chunks = ledger
        .client()
        .export(world.auditor("acme", request))
        .await
        .unwrap()
        .into_inner();
    let mut bundle = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        bundle.extend(chunk.data);
    }
    bundle
}

fn sound(bundle: &[u8], keys: &[String]) -> Report {
    let trust = Trust {
        keys: keys
            .iter()
            .map(|key| VerifierKey::parse(key, "").unwrap())
            .collect(),
        ..Trust::default()
    };
    verify(bundle, &trust).unwrap().unwrap()
}

async fn keys(world: &World, ledger: &Ledger) -> Vec<String> {
    let request = v1::LogKeysRequest {
        tenant: "acme".into(),
    };
    let answer = ledger
        .client()
        .log_keys(world.auditor("acme", request))
        .await;
    answer.unwrap().into_inner().keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_replaced_and_both_stand_in_the_history() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let old_keys = ledger.keys();
    let mut lane = world.lane("acme", "edge_a").grow(20);
    world.ship(&lane, 5, old_keys.clone()).await;
    sealed(&world, &ledger).await;
    let first = keys(&world, &ledger).await;
    assert_eq!(first.len(), 1);
    ledger.stop().await;
    // The operator puts the old key aside; while it lies there, both sign.
    let (now, before) = (
        world.data_dir().join("ledger.key"),
        world.data_dir().join("ledger.previous.key"),
    );
    std::fs::rename(&now, &before).unwrap();
    let ledger = world.ledger().await;
    lane = lane.grow(20);
    world.ship(&lane, 5, ledger.keys()).await;
    sealed(&world, &ledger).await;
    let both = keys(&world, &ledger).await;
    assert_eq!(both.len(), 2);
    let bundle = export(&world, &ledger).await;
    // Who knows the old key follows it over to the new one.
    assert_eq!(sound(&bundle, &first).size, 40);
    ledger.stop().await;
    std::fs::remove_file(&before).unwrap();
    let ledger = world.ledger().await;
    lane = lane.grow(5);
    world.ship(&lane, 5, ledger.keys()).await;
    sealed(&world, &ledger).await;
    let bundle = export(&world, &ledger).await;
    assert_eq!(sound(&bundle, &both).size, 45);
    let old = Trust {
        keys: vec![VerifierKey::parse(&first[0], "").unwrap()],
        ..Trust::default()
    };
    assert!(verify(bundle.as_slice(), &old).unwrap().is_err());
    ledger.stop().await;
}

/// Archives a month as soon as all of it is sealed: of the platform's own chain too, which says that the tenants' are.
async fn archive_when_sealed(world: &World, month: Date, files: &Path) -> Vec<Archived> {
    let wait = async {
        loop {
            match archive(&world.config(), month, files).await {
                Err(ArchiveError::NotReady(_)) => {}
                archived => return archived.unwrap(),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("a seal in time")
}

/// Makes what there is of the entries look as if it was appended in January 2024.
const BACKDATE: &str = "
    do $$ declare part regclass; begin
        create table ledger.entries_2024_01 partition of ledger.entries for values from ('2024-01-01') to ('2024-02-01');
        for part in select inhrelid::regclass from pg_inherits where inhparent = 'ledger.entries'::regclass
        loop execute format('alter table %s disable trigger all', part); end loop;
        alter table ledger.entries disable trigger all;
        update ledger.entries set month = '2024-01-01';
        alter table ledger.entries enable trigger all;
        for part in select inhrelid::regclass from pg_inherits where inhparent = 'ledger.entries'::regclass
        loop execute format('alter table %s enable trigger all', part); end loop;
    end $$";

/// An entry that is committed while its month is archived.
async fn nothing_that_comes_late_is_dropped(world: &World, month: Date, files: &Path) {
    let mut late = world.superuser().await;
    late.execute(
        "begin; create temp table late on commit drop as select * from ledger.entries_2024_01 where tenant = 'acme' and seq = 300;
         update late set seq = 301, event_id = gen_random_uuid(); insert into ledger.entries_2024_01 select * from late",
    )
    .await
    .unwrap();
    let mut looking = world.superuser().await;
    let commit = async {
        let waits = "select exists (select from pg_locks where not granted and relation in ('ledger.entries'::regclass, 'ledger.entries_2024_01'::regclass))";
        while !sqlx::query_scalar::<_, bool>(waits)
            .fetch_one(&mut looking)
            .await
            .unwrap()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        late.execute("commit").await.unwrap();
    };
    let archived = async {
        loop {
            match archive(&world.config(), month, files).await {
                Err(ArchiveError::NotReady(_)) => {}
                archived => return archived,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let both = async { tokio::join!(archived, commit) };
    let (archived, ()) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert!(matches!(archived, Err(ArchiveError::Grown)), "{archived:?}");
    late.execute(
        "alter table ledger.entries_2024_01 disable trigger all; delete from ledger.entries_2024_01 where seq = 301;
         alter table ledger.entries_2024_01 enable trigger all",
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_goes_to_a_file_and_the_proofs_stay() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let mut lane = world.lane("acme", "edge_a").grow(300);
    world.ship(&lane, 50, ledger.keys()).await;
    sealed(&world, &ledger).await;
    world
        .superuser()
        .await
        .execute(sqlx::raw_sql(BACKDATE))
        .await
        .unwrap();
    let january = Date::from_calendar_date(
        2024,
        sqlx::types::time::OffsetDateTime::UNIX_EPOCH.month(),
        1,
    )
    .unwrap();
    let files = tempfile::tempdir().unwrap();
    // Of tomorrow: the present one may be over before the database is asked.
    let tomorrow = OffsetDateTime::now_utc().date().next_day().unwrap();
    let month = tomorrow.replace_day(1).unwrap();
    let early = archive(&world.config(), month, files.path()).await;
    assert!(matches!(early, Err(ArchiveError::NotOver)));
    lane = lane.grow(30);
    world.ship(&lane, 50, ledger.keys()).await;
    nothing_that_comes_late_is_dropped(&world, january, files.path()).await;
    // The platform's own chain may have begun in that month, too.
    let written = archive_when_sealed(&world, january, files.path()).await;
    let written = written.iter().find(|of| of.tenant.as_str() == "acme");
    let written = written.unwrap();
    assert_eq!((written.first, written.last), (1, 300));
    let keys = keys(&world, &ledger).await;
    let report = sound(&std::fs::read(&written.file).unwrap(), &keys);
    assert_eq!((report.first, report.last), (1, 300));
    // The rest goes on, is verified and exported by itself, and grows.
    lane = lane.grow(10);
    world.ship(&lane, 50, ledger.keys()).await;
    let size = sealed(&world, &ledger).await;
    assert_eq!(size, 340);
    let rest = sound(&export(&world, &ledger).await, &keys);
    assert_eq!((rest.first, rest.last, rest.size), (301, 340, 340));
    let walked = world.verify(&ledger, "acme").await;
    assert_eq!((walked.findings, walked.archived), (vec![], 300));
    let entry = async |seq| {
        let request = v1::EntryRequest {
            tenant: "acme".into(),
            seq,
        };
        ledger.client().entry(world.auditor("acme", request)).await
    };
    assert_eq!(code(entry(7).await), Code::FailedPrecondition);
    assert_eq!(code(entry(341).await), Code::NotFound);
    assert!(!entry(301).await.unwrap().into_inner().proof.is_empty());
    let request = v1::ConsistencyRequest {
        tenant: "acme".into(),
        old_size: 100,
        new_size: 0,
    };
    let proof = ledger
        .client()
        .consistency(world.auditor("acme", request))
        .await;
    assert!(!proof.unwrap().into_inner().proof.is_empty());
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_not_there_again_a_month_later() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let mut lane = world.lane("acme", "edge_a");
    let id = dated("2024-01-20T00:00:00Z");
    lane.push(|event| event.event_id = id);
    world.ship(&lane, 1, ledger.keys()).await;
    world
        .superuser()
        .await
        .execute(sqlx::raw_sql(BACKDATE))
        .await
        .unwrap();
    let mut again = world.lane("acme", "edge_a");
    again.bodies = lane.bodies.clone();
    again.push(|event| event.event_id = id);
    // Another one as old is no trouble.
    lane.push(|event| event.event_id = dated("2024-01-20T00:00:00Z"));
    let mut receipts = world.receipts(&lane.edge, ledger.keys()).await;
    world.send(&again.batch(2, 2)).await;
    world.send(&lane.batch(2, 2)).await;
    let receipt = receipts.next().await;
    assert_eq!((receipt.edge_seq, receipt.edge_hash), (2, lane.hash(2)));
    world.holds_once(&ledger, &lane).await;
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_in_the_database_is_missing_in_each_export() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    // Event n is of 1,700,000,000 s + n.
    let lane = world.lane("acme", "edge_a").grow(60);
    world.ship(&lane, 20, ledger.keys()).await;
    sealed(&world, &ledger).await;
    let keys = keys(&world, &ledger).await;
    let at = |n: i64| proctor_model::Timestamp::from_secs(1_700_000_000 + n).to_string();
    let span = |from: i64, to: i64| (at(from), at(to));
    let whole = (String::new(), String::new());
    let mut superuser = world.superuser().await;
    superuser
        .execute(sqlx::raw_sql(
            "lock table ledger.entries in access exclusive mode;
             do $$ declare part regclass; begin
                for part in select inhrelid::regclass from pg_inherits where inhparent = 'ledger.entries'::regclass
                loop execute format('alter table %s disable trigger all', part); end loop;
             end $$;
             alter table ledger.entries disable trigger all;
             create table ledger.kept as table ledger.entries",
        ))
        .await
        .unwrap();
    // A stretch shows the entry on either side of what was asked for.
    for (asked, (first, last)) in [
        (whole.clone(), (1, 60)),
        (span(20, 40), (19, 40)),
        (span(1, 61), (1, 60)),
        (span(-9, 0), (1, 1)),
        (span(99, 199), (60, 60)),
    ] {
        let report = sound(&export_of(&world, &ledger, &asked.0, &asked.1).await, &keys);
        assert_eq!(
            (report.first, report.last, report.size),
            (first, last, 60),
            "{asked:?}"
        );
    }
    for (deleted, asked) in [
        ("seq <= 10", whole.clone()),
        ("seq > 50", whole.clone()),
        ("seq between 20 and 30", whole.clone()),
        ("true", whole.clone()),
        ("seq between 20 and 24", span(20, 40)),
        ("seq between 35 and 39", span(20, 40)),
        ("seq between 18 and 42", span(20, 40)),
        ("seq <= 24", span(20, 40)),
        ("seq >= 35", span(20, 40)),
        ("seq <= 24", span(-9, 20)),
        ("seq >= 35", span(40, 99)),
        ("true", span(20, 40)),
    ] {
        let delete = format!("delete from ledger.entries where {deleted}");
        let gone = superuser
            .execute(sqlx::AssertSqlSafe(delete))
            .await
            .unwrap();
        assert!(gone.rows_affected() > 0, "{deleted}");
        let bundle = export_of(&world, &ledger, &asked.0, &asked.1).await;
        let trust = Trust {
            keys: vec![VerifierKey::parse(&keys[0], "").unwrap()],
            ..Trust::default()
        };
        let found = verify(bundle.as_slice(), &trust).unwrap();
        let fault = found.err().map(|finding| finding.fault);
        assert!(
            matches!(fault, Some(Fault::Number | Fault::Length)),
            "{deleted}, {asked:?}: {fault:?}"
        );
        superuser
            .execute("insert into ledger.entries select * from ledger.kept on conflict do nothing")
            .await
            .unwrap();
    }
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tile_or_a_checkpoint_with_a_flipped_bit_proves_nothing() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let lane = world.lane("acme", "edge_a").grow(60);
    world.ship(&lane, 60, ledger.keys()).await;
    sealed(&world, &ledger).await;
    let keys = keys(&world, &ledger).await;
    let at = |n: i64| proctor_model::Timestamp::from_secs(1_700_000_000 + n).to_string();
    let (from, to) = (at(20), at(40));
    let trust = Trust {
        keys: vec![VerifierKey::parse(&keys[0], "").unwrap()],
        ..Trust::default()
    };
    // What is around a stretch comes from the tiles.
    let is_stretch_sound = async || {
        let bundle = export_of(&world, &ledger, &from, &to).await;
        verify(bundle.as_slice(), &trust).unwrap().is_ok()
    };
    let is_included = async || {
        let request = v1::EntryRequest {
            tenant: "acme".into(),
            seq: 30,
        };
        let told = ledger.client().entry(world.auditor("acme", request)).await;
        let told = told.unwrap().into_inner();
        let hash = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).unwrap();
        let (entry, sealed) = (told.entry.unwrap(), told.checkpoint.unwrap());
        let proof: Vec<_> = told.proof.iter().map(|bytes| hash(bytes)).collect();
        let (leaf, root) = (hash(&entry.hash), hash(&sealed.root));
        includes(29, sealed.size, &leaf, &proof, &root)
    };
    let mut superuser = world.superuser().await;
    superuser
        .execute("alter table ledger.tiles disable trigger all; alter table ledger.checkpoints disable trigger all")
        .await
        .unwrap();
    assert!(is_stretch_sound().await && is_included().await);
    // The leaf beside entry 30's, and one on either side of the stretch.
    for (leaf, (stretch, included)) in [
        (28, (true, false)),
        (3, (false, false)),
        (50, (false, false)),
    ] {
        let byte = leaf * 32 + 7;
        let flip = format!(
            "update ledger.tiles set hashes = set_byte(hashes, {byte}, get_byte(hashes, {byte}) # 4)
             where tenant = 'acme' and level = 0 and idx = 0"
        );
        superuser
            .execute(sqlx::AssertSqlSafe(flip.clone()))
            .await
            .unwrap();
        let found = (is_stretch_sound().await, is_included().await);
        assert_eq!(found, (stretch, included), "leaf {leaf}");
        superuser.execute(sqlx::AssertSqlSafe(flip)).await.unwrap();
    }
    assert!(is_stretch_sound().await && is_included().await);
    for flipped in [
        "root = set_byte(root, 7, get_byte(root, 7) # 1)",
        // Of the name of the log, and of the root.
        "note = overlay(note placing chr(ascii(substr(note, 5, 1)) # 1) from 5 for 1)",
        "note = overlay(note placing chr(ascii(substr(note, strpos(note, E'\n\n') - 5, 1)) # 1)
            from strpos(note, E'\n\n') - 5 for 1)",
    ] {
        let flip = format!("update ledger.checkpoints set {flipped} where tenant = 'acme'");
        superuser
            .execute(sqlx::AssertSqlSafe(flip.clone()))
            .await
            .unwrap();
        let findings = world.verify(&ledger, "acme").await.findings;
        let found = !findings.is_empty() || !is_stretch_sound().await;
        assert!(found, "{flipped}");
        superuser.execute(sqlx::AssertSqlSafe(flip)).await.unwrap();
    }
    assert!(is_stretch_sound().await && is_included().await);
    assert_eq!(world.verify(&ledger, "acme").await.findings, []);
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_tree_is_not_sealed() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let mut lane = world.lane("acme", "edge_a").grow(20);
    world.ship(&lane, 20, ledger.keys()).await;
    sealed(&world, &ledger).await;
    let mut superuser = world.superuser().await;
    for refused in [
        "update ledger.tiles set hashes = substring(hashes from 1 for 32)",
        "update ledger.tiles set hashes = overlay(hashes placing '\\x00'::bytea from 5)",
        "delete from ledger.tiles",
        "update ledger.checkpoints set size = 3",
        "delete from ledger.checkpoints",
        "delete from ledger.archives",
    ] {
        let outcome = superuser.execute(refused).await;
        // Where there is no row, there is nothing to refuse.
        assert!(
            outcome.is_err() || outcome.unwrap().rows_affected() == 0,
            "{refused}"
        );
    }
    superuser
        .execute("alter table ledger.tiles disable trigger all; update ledger.tiles set hashes = overlay(hashes placing '\\x00ff'::bytea from 5)")
        .await
        .unwrap();
    lane = lane.grow(20);
    world.ship(&lane, 20, ledger.keys()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let report = world.verify(&ledger, "acme").await;
    assert_eq!((report.entries, report.sealed), (40, 20));
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_before_the_seals_goes_on() {
    let stack = proctor_devstack::TestStack::start().await.unwrap();
    let mut owner = PgConnection::connect(stack.postgres_url()).await.unwrap();
    owner
        .execute("create schema if not exists ledger")
        .await
        .unwrap();
    let all = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/ledger");
    let mut migrator = sqlx::migrate::Migrator::new(all).await.unwrap();
    migrator.dangerous_set_table_name("ledger._migrations");
    migrator.run_to(1, &mut owner).await.unwrap();
    let world = World::unmigrated(stack).await;
    let mut lane = world.lane("acme", "edge_a").grow(30);
    let mut prev = EntryHash::ZERO;
    for (seq, body) in (1u64..).zip(&lane.bodies) {
        let event = proctor_model::audit::AuditEvent::from_canonical(body).unwrap();
        let (id, at) = (event.event_id.as_uuid(), event.time.as_secs());
        let agent = event.agent.as_ref().map(ToString::to_string);
        let tool = (event.tool.as_ref()).map(|tool| format!("{}/{}", tool.server, tool.name));
        let reason = event.reason.map(|reason| reason.code());
        let entry = proctor_model::audit::Entry { seq, prev, event };
        let stored = entry.to_canonical().unwrap();
        prev = EntryHash::of(&stored);
        sqlx::query("insert into ledger.entries (tenant, seq, hash, body, event_id, edge, edge_seq, time, kind, agent, tool, effect, reason) values ('acme', $1, $2, $3, $4, 'edge_a', $1, to_timestamp($5), 'refused', $6, $7, 'deny', $8)")
            .bind(i64::try_from(seq).unwrap())
            .bind(prev.as_bytes().as_slice())
            .bind(stored)
            .bind(id)
            .bind(at as f64)
            .bind(agent)
            .bind(tool)
            .bind(reason)
            .execute(&mut owner)
            .await
            .unwrap();
    }
    for table in [
        "heads (tenant, size, hash) values ('acme', 30, $1)",
        "lanes (tenant, edge, edge_seq, edge_hash) values ('acme', 'edge_a', 30, $1)",
    ] {
        let hash = if table.starts_with("heads") {
            prev
        } else {
            lane.hash(30)
        };
        sqlx::query(sqlx::AssertSqlSafe(format!("insert into ledger.{table}")))
            .bind(hash.as_bytes().as_slice())
            .execute(&mut owner)
            .await
            .unwrap();
    }
    world.migrate().await;
    let ledger = world.ledger().await;
    lane = lane.grow(10);
    world.ship(&lane, 5, ledger.keys()).await;
    world.holds_once(&ledger, &lane).await;
    assert_eq!(sealed(&world, &ledger).await, 40);
    let keys = keys(&world, &ledger).await;
    assert_eq!(sound(&export(&world, &ledger).await, &keys).last, 40);
    ledger.stop().await;
}
