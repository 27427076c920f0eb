//! What a role's readiness says of its servers, with a real one.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helper functions too"
)]

use proctor_devstack::TestNats;
use proctor_runtime::admin::Readiness;
use proctor_runtime::nats::{NatsSettings, connect};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

async fn becomes(readiness: &Readiness, missing: &[&str]) {
    let there = async {
        while readiness.missing() != missing {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, there).await.unwrap();
}

#[tokio::test]
async fn a_role_is_ready_while_its_servers_answer() {
    let nats = TestNats::private().await.unwrap();
    let server = nats.server().unwrap();
    let client = connect(&NatsSettings::from_url(nats.url()), "ready")
        .await
        .unwrap();
    let answers = Arc::new(AtomicBool::new(false));
    let postgres = {
        let answers = Arc::clone(&answers);
        move || std::future::ready(answers.load(Ordering::Acquire))
    };
    let (readiness, shutdown) = (Readiness::default(), CancellationToken::new());
    let follows = readiness.follow(postgres, client, shutdown.clone());

    becomes(&readiness, &["postgres"]).await;
    answers.store(true, Ordering::Release);
    becomes(&readiness, &[]).await;
    server.kill9().await;
    becomes(&readiness, &["nats"]).await;
    answers.store(false, Ordering::Release);
    becomes(&readiness, &["nats", "postgres"]).await;
    server.restart().await.unwrap();
    answers.store(true, Ordering::Release);
    becomes(&readiness, &[]).await;
    shutdown.cancel();
    follows.await.unwrap();
}
