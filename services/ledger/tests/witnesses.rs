//! An export that waits for a witness that never answers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use proctor_ledger::Witness;
use proctor_ledger::checkpoint::VerifierKey;
use proctor_model::signed::Signer;
use proctor_proto::v1::{self, ledger_client::LedgerClient};
use std::time::Duration;
use support::{PATIENCE, World};
use tonic::transport::Channel;

/// All of the tenant's chain.
fn all() -> v1::ExportRequest {
    v1::ExportRequest {
        tenant: "acme".into(),
        ..Default::default()
    }
}

/// Lines of an export, once it is whole.
async fn lines(
    mut client: LedgerClient<Channel>,
    request: tonic::Request<v1::ExportRequest>,
) -> Result<usize, tonic::Status> {
    let mut chunks = client.export(request).await?.into_inner();
    let mut lines = 0;
    while let Some(chunk) = chunks.message().await? {
        lines += chunk.data.iter().filter(|byte| **byte == b'\n').count();
    }
    Ok(lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_to_stop_waits_for_no_witness() {
    let world = World::start().await;
    let signer = Signer::from_seed(&[5; 32]).unwrap();
    let key = VerifierKey::of("witness.example/w", &signer).text();
    // Nobody listens there.
    let witness = Witness::new("http://127.0.0.1:9", &key).unwrap();
    let ledger = world
        .ledger_with(|config| {
            config.seals.witnesses = vec![witness];
            // An export waits for a witness as long as this, and some seconds.
            config.seals.interval = 2 * PATIENCE;
        })
        .await;
    let lane = world.lane("acme", "edge_a").grow(4);
    world.ship(&lane, 4, ledger.keys()).await;
    let export = tokio::spawn(lines(ledger.client(), world.auditor("acme", all())));
    let begun = async {
        while world.verify(&ledger, "acme").await.sealed != 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, begun)
        .await
        .expect("the chain is sealed");
    // Nothing shows that it waits but that it does not end, while one that began later and has no witness to wait for does.
    let other = world.ledger().await;
    let whole = lines(other.client(), world.auditor("acme", all())).await;
    // A header, and each entry on a line.
    assert_eq!(whole.unwrap(), 5);
    assert!(!export.is_finished());
    let ((), answer) =
        tokio::time::timeout(PATIENCE, async { tokio::join!(ledger.stop(), export) })
            .await
            .expect("it stops at once");
    assert_eq!(answer.unwrap().unwrap(), 5);
    other.stop().await;
}
