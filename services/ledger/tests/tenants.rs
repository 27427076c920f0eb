//! What one tenant, or one who reads, can't do to the others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use proctor_model::principal::{INTERNAL_AUDIENCE, Role};
use proctor_proto::v1;
use sqlx::Executor;
use std::time::{Duration, Instant};
use support::{Ledger, PATIENCE, World, by, code, token};
use tonic::{Code, Request, Status, Streaming};

/// Messages of one consumer that wait for an acknowledgement, as NATS has it where nothing else is said.
const UNACKNOWLEDGED_MAX: usize = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_head_stops_its_own_tenant_only() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let hurt = world.lane("acme", "edge_a").grow(3);
    let mut receipts = world.receipts(&hurt.edge, ledger.keys()).await;
    world.send(&hurt.batch(1, 2)).await;
    assert_eq!(receipts.seq().await, 2);
    let mut superuser = world.superuser().await;
    for damage in [
        "alter table ledger.heads disable trigger all",
        "create table ledger.kept as select frontier from ledger.heads where tenant = 'acme'",
        "update ledger.heads set frontier = '\\x00' where tenant = 'acme'",
    ] {
        superuser.execute(damage).await.unwrap();
    }
    // Again and again, as its edge does: more than NATS lets a consumer have unacknowledged.
    for _ in 0..UNACKNOWLEDGED_MAX + 50 {
        world.send(&hurt.batch(3, 3)).await;
    }
    let fine = world.lane("zeta", "edge_b").grow(40);
    world.ship(&fine, 2, ledger.keys()).await;
    world.holds_once(&ledger, &fine).await;
    // Once somebody has put it right, what its edge has kept comes.
    superuser
        .execute("update ledger.heads set frontier = (select frontier from ledger.kept) where tenant = 'acme'")
        .await
        .unwrap();
    world.send(&hurt.batch(3, 3)).await;
    assert_eq!(receipts.seq().await, 3);
    world.holds_once(&ledger, &hurt).await;
    ledger.stop().await;
}

/// As the database's clock left it that was wrong once: no such month is opened.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_the_schema_refuses_stops_its_own_tenant_only() {
    stops_its_own_tenant_only(
        "update ledger.heads set month = '2100-01-01' where tenant = 'acme'",
        "update ledger.heads set month = date_trunc('month', now() at time zone 'utc')::date where tenant = 'acme'",
    )
    .await;
}

/// As Postgres says it of a page that is not as it was written.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_postgres_can_not_read_stops_its_own_tenant_only() {
    stops_its_own_tenant_only(
        "create function ledger.unreadable() returns trigger language plpgsql as
             $$ begin raise exception 'invalid page' using errcode = 'XX001'; end $$;
         create trigger unreadable before update on ledger.heads for each row
             when (old.tenant = 'acme') execute function ledger.unreadable()",
        "drop trigger unreadable on ledger.heads",
    )
    .await;
}

/// Nothing can be appended to a tenant's chain between these two.
async fn stops_its_own_tenant_only(damage: &'static str, repair: &'static str) {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let hurt = world.lane("acme", "edge_a").grow(2);
    let mut receipts = world.receipts(&hurt.edge, ledger.keys()).await;
    world.send(&hurt.batch(1, 1)).await;
    assert_eq!(receipts.seq().await, 1);
    let mut superuser = world.superuser().await;
    superuser.execute(damage).await.unwrap();
    world.send(&hurt.batch(2, 2)).await;
    // One after the other: the first may still be taken together with what is refused.
    for edge in ["edge_b", "edge_c"] {
        let fine = world.lane("zeta", edge).grow(4);
        world.ship(&fine, 2, ledger.keys()).await;
    }
    superuser.execute(repair).await.unwrap();
    world.send(&hurt.batch(2, 2)).await;
    assert_eq!(receipts.seq().await, 2);
    world.holds_once(&ledger, &hurt).await;
    ledger.stop().await;
}

/// What makes the next month's partition be missing, as it is on the first of each month: also if a month has begun since
/// the last append.
const NO_NEXT_MONTH: &str = r#"do $$ begin
    execute format('drop table if exists ledger.%I',
        to_char(date_trunc('month', now() at time zone 'utc') + interval '1 month', '"entries_"YYYY_MM'));
end $$"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_month_is_opened_beside_a_dump_of_the_database() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let mut superuser = world.superuser().await;
    superuser.execute(NO_NEXT_MONTH).await.unwrap();
    // What `pg_dump` holds as long as it runs.
    superuser
        .execute("begin; lock table ledger.entries in access share mode")
        .await
        .unwrap();
    let lane = world.lane("acme", "edge_a").grow(3);
    world.ship(&lane, 2, ledger.keys()).await;
    superuser.execute("rollback").await.unwrap();
    let (months, indexes, triggers): (i64, i64, i64) = sqlx::query_as(
        "select count(*), min((select count(*) from pg_index where indrelid = i.inhrelid)),
                min((select count(*) from pg_trigger where tgrelid = i.inhrelid and tgname in ('append_only', 'never_emptied')))
         from pg_inherits i where i.inhparent = 'ledger.entries'::regclass",
    )
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    assert!(months >= 2, "{months}");
    assert_eq!((indexes, triggers), (7, 2), "as the month before");
    world.holds_once(&ledger, &lane).await;
    ledger.stop().await;
}

/// When the database gives up a read that stands at a lock.
const STUCK: Duration = Duration::from_secs(4);

/// Reads of one tenant that stand at a lock, again and again.
fn stuck_reads(world: &World, ledger: &Ledger) -> tokio::task::JoinSet<()> {
    let mut reads = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let mut client = ledger.client();
        let token = world.token(Some("acme"), &[Role::Auditor]);
        reads.spawn(async move {
            loop {
                let request = v1::VerifyRequest {
                    tenant: "acme".into(),
                    ..Default::default()
                };
                let _ = client.verify(by(&token, request)).await;
            }
        });
    }
    reads
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_much_holds_up_neither_the_audit_nor_other_tenants() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let lane = world.lane("acme", "edge_a").grow(1);
    world.ship(&lane, 1, ledger.keys()).await;
    // What a walk reads first, and no append: each read stands until the database gives it up.
    let mut superuser = world.superuser().await;
    superuser
        .execute("begin; lock table ledger.archives in access exclusive mode")
        .await
        .unwrap();
    let mut reads = stuck_reads(&world, &ledger);
    let mut waiting = world.superuser().await;
    let began = Instant::now();
    loop {
        let stuck: i64 = sqlx::query_scalar(
            "select count(*) from pg_locks l join pg_database d on d.oid = l.database
             where not l.granted and l.relation = 'ledger.archives'::regclass and d.datname = current_database()",
        )
        .fetch_one(&mut waiting)
        .await
        .unwrap();
        assert!(stuck <= 3, "a part of the connections for each tenant");
        if stuck == 3 {
            break;
        }
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A machine may stand still for a moment; whoever is held up waits for those reads each time.
    let mut waits = Vec::new();
    for edge in ["edge_b", "edge_c", "edge_d"] {
        let other = world.lane("zeta", edge).grow(40);
        let began = Instant::now();
        world.ship(&other, 10, ledger.keys()).await;
        let chain = world.chain(&ledger, "zeta").await;
        let waited = began.elapsed();
        waits.push(waited);
        let own = chain.iter().filter(|event| event.edge == other.edge);
        assert_eq!(own.count(), 40);
        if waited < STUCK {
            break;
        }
    }
    assert!(waits.iter().any(|wait| *wait < STUCK), "{waits:?}");
    superuser.execute("rollback").await.unwrap();
    reads.shutdown().await;
    ledger.stop().await;
}

async fn follow(
    ledger: &Ledger,
    request: Request<v1::TailRequest>,
) -> Result<Streaming<v1::Entry>, Status> {
    Ok(ledger.client().tail(request).await?.into_inner())
}

fn tail(tenant: &str) -> v1::TailRequest {
    v1::TailRequest {
        tenant: tenant.into(),
        after_seq: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_follow_one_chain_at_once() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let mut followers = Vec::new();
    for _ in 0..16 {
        let request = world.auditor("acme", tail("acme"));
        followers.push(follow(&ledger, request).await.unwrap());
    }
    let more = follow(&ledger, world.auditor("acme", tail("acme"))).await;
    assert_eq!(code(more), Code::ResourceExhausted);
    let other = follow(&ledger, world.auditor("zeta", tail("zeta"))).await;
    assert!(other.is_ok());
    // One leaves; one may come.
    followers.pop();
    let began = Instant::now();
    while follow(&ledger, world.auditor("acme", tail("acme")))
        .await
        .is_err()
    {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(followers);
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_follows_beyond_his_token() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let lane = world.lane("acme", "edge_a").grow(1);
    world.ship(&lane, 1, ledger.keys()).await;
    // On a slow machine one token may be over before anybody follows with it.
    for life_s in [3, 10, 40] {
        let short = token(
            &[1; 32],
            Some("acme"),
            &[Role::Auditor],
            INTERNAL_AUDIENCE,
            life_s,
        );
        let Ok(mut entries) = follow(&ledger, by(&short, tail("acme"))).await else {
            continue;
        };
        let Some(first) = entries.message().await.unwrap() else {
            continue;
        };
        assert_eq!(first.seq, 1);
        let end = tokio::time::timeout(PATIENCE, entries.message()).await;
        assert!(end.expect("an end").unwrap().is_none());
        let again = follow(&ledger, by(&short, tail("acme"))).await;
        assert_eq!(code(again), Code::Unauthenticated);
        return ledger.stop().await;
    }
    panic!("nobody follows");
}
