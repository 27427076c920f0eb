//! Events that an edge has numbered and that never come: in the chain, in the metrics, and an alarm of whoever verifies.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use proctor_model::audit::{AuditEvent, EventLane, Kind, LaneFault};
use proctor_runtime::telemetry::Metrics;
use sqlx::{Executor, PgConnection};
use std::time::Duration;
use support::{Lane, Ledger, PATIENCE, Receipts, World};

/// Sends what is behind the gap again and again, as an edge does, until the chain says that something is missing.
async fn told(
    world: &World,
    ledger: &Ledger,
    lane: &Lane,
    receipts: &mut Receipts,
) -> Vec<AuditEvent> {
    let told = async {
        loop {
            world.send(&lane.batch(5, 6)).await;
            assert_eq!(receipts.seq().await, 2, "nothing behind a gap is taken");
            let chain = world.chain(ledger, "acme").await;
            if chain.iter().any(|event| event.lane.is_some()) {
                return chain;
            }
        }
    };
    tokio::time::timeout(PATIENCE, told)
        .await
        .expect("the gap goes into the chain")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_comes_is_in_the_chain_and_stays_an_alarm() {
    let metrics = Metrics::install().unwrap();
    let world = World::start().await;
    let short = Duration::from_millis(100);
    let ledger = world
        .ledger_with(|config| config.gap_patience = short)
        .await;
    let lane = world.lane("acme", "edge_a").grow(6);
    let mut receipts = world.receipts(&lane.edge, ledger.keys()).await;
    world.send(&lane.batch(1, 2)).await;
    assert_eq!(receipts.seq().await, 2);

    let chain = told(&world, &ledger, &lane, &mut receipts).await;
    let own = chain.iter().filter(|event| event.edge == lane.edge);
    assert_eq!(own.count(), 2);
    let fault = chain.last().unwrap();
    let expected = EventLane {
        edge: lane.edge.clone(),
        fault: LaneFault::LaneGap,
        edge_seq: 2,
        proof: None,
    };
    assert_eq!(
        (fault.kind, fault.lane.as_ref()),
        (Kind::Integrity, Some(&expected))
    );
    let counted = "proctor_ledger_lane_faults_total{fault=\"lane_gap\"} 1\n";
    let rendered = metrics.render();
    assert!(rendered.contains(counted), "{rendered}");
    // A chain with a gap in a lane that it tells of is sound itself.
    let report = world.verify(&ledger, "acme").await;
    let alarms: Vec<_> = report
        .alarms
        .iter()
        .map(|alarm| alarm.kind.as_str())
        .collect();
    assert_eq!((report.findings, alarms), (vec![], vec!["lane_gap"]));

    // It comes after all: the lane is whole, and what was said of it is not taken back, nor said again.
    world.send(&lane.batch(3, 6)).await;
    assert_eq!(receipts.seq().await, 6);
    world.holds_once(&ledger, &lane).await;
    let report = world.verify(&ledger, "acme").await;
    let alarms: Vec<_> = report
        .alarms
        .iter()
        .map(|alarm| alarm.kind.as_str())
        .collect();
    assert_eq!((report.entries, alarms), (7, vec!["lane_gap"]));
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_whose_end_has_a_flipped_bit_takes_nothing_until_it_is_mended() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let lane = world.lane("acme", "edge_a").grow(24);
    let mut other = world.lane("acme", "edge_b");
    let mut receipts = world.receipts(&lane.edge, ledger.keys()).await;
    world.send(&lane.batch(1, 20)).await;
    assert_eq!(receipts.seq().await, 20);
    let mut superuser = world.superuser().await;
    for flipped in [
        "edge_hash = set_byte(edge_hash, 7, get_byte(edge_hash, 7) # 1)",
        "edge_seq = edge_seq # 1",
        "edge_seq = edge_seq # 8",
    ] {
        let flip = format!("update ledger.lanes set {flipped} where edge = 'edge_a'");
        superuser
            .execute(sqlx::AssertSqlSafe(flip.clone()))
            .await
            .unwrap();
        world.send(&lane.batch(20, 24)).await;
        // Behind it in the stream: when this is there, that was looked at.
        other = other.grow(1);
        world.ship(&other, 1, ledger.keys()).await;
        let chain = world.chain(&ledger, "acme").await;
        let taken = chain.iter().filter(|event| event.edge == lane.edge);
        assert_eq!(taken.count(), 20, "{flipped}");
        superuser.execute(sqlx::AssertSqlSafe(flip)).await.unwrap();
    }
    // The edge kept its events.
    world.ship(&lane, 8, ledger.keys()).await;
    world.holds_once(&ledger, &lane).await;
    ledger.stop().await;
}

/// The transaction that waits to append something.
async fn appending(looking: &mut PgConnection) -> Option<String> {
    let query = "select min(virtualtransaction) from pg_locks l join pg_database d on d.oid = l.database
         where not l.granted and l.relation = 'ledger.entries'::regclass and d.datname = current_database()";
    sqlx::query_scalar(query).fetch_one(looking).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_the_database_did_not_take_is_told_by_the_next_attempt() {
    let world = World::start().await;
    // Nothing else is to be appended meanwhile: no seal is told of.
    let ledger = world
        .ledger_with(|config| config.seals.interval = 2 * PATIENCE)
        .await;
    let lane = world.lane("acme", "edge_a").grow(3);
    world.ship(&lane, 3, ledger.keys()).await;
    let (mut superuser, mut looking) = (world.superuser().await, world.superuser().await);
    superuser
        .execute("begin; lock table ledger.entries in share mode")
        .await
        .unwrap();
    let forked = world.lane("acme", "edge_a").grow(3);
    world.send(&forked.batch(1, 3)).await;
    let pause = Duration::from_millis(20);
    let given_up = async {
        let first = loop {
            if let Some(first) = appending(&mut looking).await {
                break first;
            }
            tokio::time::sleep(pause).await;
        };
        while appending(&mut looking).await.as_ref() == Some(&first) {
            tokio::time::sleep(pause).await;
        }
    };
    tokio::time::timeout(PATIENCE, given_up)
        .await
        .expect("the first attempt ends");
    superuser.execute("rollback").await.unwrap();
    let told = async {
        loop {
            let chain = world.chain(&ledger, "acme").await;
            if let Some(fault) = chain.into_iter().find_map(|event| event.lane) {
                return fault.fault;
            }
            tokio::time::sleep(pause).await;
        }
    };
    let told = tokio::time::timeout(PATIENCE, told).await;
    assert_eq!(told.expect("it is in the chain"), LaneFault::LaneFork);
    ledger.stop().await;
}
