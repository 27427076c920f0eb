//! Edges and ledgers that join at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use async_nats::jetstream;
use proctor_control::JoinRole;
use proctor_model::config::Assignment;
use proctor_model::signed::{Verifier, key_id};
use proctor_proto::v1::{self, enrolment_client::EnrolmentClient};
use proctor_runtime::nats::{NatsSettings, connect};
use proctor_runtime::seal::Opener;
use proctor_runtime::subjects::ConfigSubject;
use sqlx::{Connection, Executor, PgConnection};
use std::time::{Duration, Instant};
use support::Control;

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// Who changes edges stops right behind it, until the lock 42 is free.
const STOP_BEHIND_EDGES: &str = "
    create function public.stop() returns trigger language plpgsql as
        $$ begin perform pg_advisory_xact_lock(42); return null; end $$;
    create trigger stop after update on control.edges for each statement execute function public.stop();
    select pg_advisory_lock(42);";

const GO_ON: &str = "select pg_advisory_unlock(42)";

/// Those that wait for an advisory lock.
const WAITING: &str = "select count(*) from pg_locks where locktype = 'advisory' and not granted
    and database = (select oid from pg_database where datname = current_database())";

async fn waiting(database: &mut PgConnection) -> i64 {
    sqlx::query_scalar(WAITING)
        .fetch_one(database)
        .await
        .unwrap()
}

/// Looks until it is so.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "it does not come about");
        tokio::time::sleep(POLL).await;
    }
}

fn enrolment(control: &Control) -> EnrolmentClient<tonic::transport::Channel> {
    let address = format!("http://{}", control.handle.grpc_addr);
    EnrolmentClient::new(proctor_runtime::grpc::channel(&address).unwrap())
}

async fn token(control: &Control, role: JoinRole) -> String {
    let token = control.handle.join_token(role).await.unwrap();
    token.expose().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_enrols_while_a_ledger_registers_learns_its_key() {
    let control = Control::start().await;
    let mut database = PgConnection::connect(control.stack.postgres_url())
        .await
        .unwrap();
    let settings = NatsSettings::from_url(control.stack.nats_url().to_owned());
    let jetstream = jetstream::new(connect(&settings, "test").await.unwrap());
    let platform = Verifier::new(&control.handle.platform_keys).unwrap();
    // Ids of the ledgers' keys in an edge's assignment, once there is one.
    let assigned = async |edge: &str| {
        let stream = jetstream.get_stream_no_info("CONFIG").await.ok()?;
        let subject = ConfigSubject::Assignment(edge.parse().unwrap()).to_string();
        let message = stream
            .get_last_raw_message_by_subject(&subject)
            .await
            .ok()?;
        let assignment: Assignment = platform
            .verify(std::str::from_utf8(&message.payload).unwrap())
            .unwrap();
        let keys = assignment.ledger_keys.into_iter();
        Some(keys.map(|key| key.kid).collect::<Vec<_>>())
    };
    database.execute(STOP_BEHIND_EDGES).await.unwrap();

    // It has told all edges that there are, and is not committed.
    let (mut client, request) = (
        enrolment(&control),
        v1::RegisterLedgerRequest {
            join_token: token(&control, JoinRole::Ledger).await,
            signing_key: vec![9; 32],
        },
    );
    let registers = tokio::spawn(async move { client.register_ledger(request).await });
    until(async || waiting(&mut database).await == 1).await;

    let (mut client, request) = (
        enrolment(&control),
        v1::EnrolRequest {
            join_token: token(&control, JoinRole::Edge).await,
            signing_key: vec![3; 32],
            sealing_key: Opener::from_private_key(&[1; 32]).public_key().to_vec(),
        },
    );
    let enrols = tokio::spawn(async move { client.enrol(request).await });
    until(async || enrols.is_finished() || waiting(&mut database).await == 2).await;
    let edge = if enrols.is_finished() {
        // Not behind the ledger: then its assignment may be published without it.
        let edge = enrols.await.unwrap().unwrap().into_inner().edge;
        until(async || assigned(&edge).await.is_some()).await;
        database.execute(GO_ON).await.unwrap();
        edge
    } else {
        database.execute(GO_ON).await.unwrap();
        enrols.await.unwrap().unwrap().into_inner().edge
    };
    registers.await.unwrap().unwrap();
    let ledger = key_id(&[9; 32]);
    until(async || assigned(&edge).await == Some(vec![ledger.clone()])).await;
}
