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
use sqlx::Executor;
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
