//! A ledger on a real Postgres and a real NATS, edges that write lanes, and readers with rights.

#![allow(dead_code, reason = "each test file uses a part of it")]

use async_nats::jetstream;
use futures::StreamExt;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proctor_devstack::TestStack;
use proctor_ledger::{GAP_PATIENCE, Handle, LedgerConfig, SealSettings};
use proctor_model::audit::{AuditEvent, Batch, Effect, EntryHash, EventTool, Kind, Receipt};
use proctor_model::config::EdgeCertificate;
use proctor_model::ids::EventId;
use proctor_model::principal::{INTERNAL_AUDIENCE, PrincipalClaims, Role};
use proctor_model::signed::{Signer, Verifier};
use proctor_model::{EdgeId, Reason, TenantId, Timestamp};
use proctor_proto::v1::{self, ledger_client::LedgerClient};
use proctor_runtime::nats::{NatsSettings, connect};
use proctor_runtime::{Secret, grpc, subjects};
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Request, Status};
use uuid::Uuid;

const PLATFORM_SEED: [u8; 32] = [1; 32];
/// Longest that anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long an edge waits for a receipt before it sends again.
const RESEND: Duration = Duration::from_secs(1);

pub(crate) struct World {
    pub(crate) stack: TestStack,
    pub(crate) platform: Signer,
    pub(crate) nats: async_nats::Client,
    data: tempfile::TempDir,
}

/// A running ledger; [`Ledger::stop`] ends it in order.
pub(crate) struct Ledger {
    handle: Handle,
    stop: CancellationToken,
}

impl Ledger {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.handle.stopped().await;
    }

    pub(crate) fn client(&self) -> LedgerClient<Channel> {
        LedgerClient::new(grpc::channel(&format!("http://{}", self.handle.grpc_addr)).unwrap())
    }

    pub(crate) fn keys(&self) -> Verifier {
        Verifier::new([&self.handle.public_key]).unwrap()
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::on(TestStack::start().await.unwrap()).await
    }

    /// On servers that may be killed.
    pub(crate) async fn private() -> Self {
        Self::on(TestStack::private().await.unwrap()).await
    }

    async fn on(stack: TestStack) -> Self {
        let world = Self::unmigrated(stack).await;
        world.migrate().await;
        // As control makes them.
        let jetstream = jetstream::new(world.nats.clone());
        subjects::ensure_streams(&jetstream, 1).await.unwrap();
        world
    }

    pub(crate) async fn migrate(&self) {
        let url = Secret::from(self.stack.postgres_url().to_owned());
        proctor_ledger::migrate(&url).await.unwrap();
    }

    pub(crate) async fn unmigrated(stack: TestStack) -> Self {
        let settings = NatsSettings::from_url(stack.nats_url().to_owned());
        Self {
            platform: Signer::from_seed(&PLATFORM_SEED).unwrap(),
            nats: connect(&settings, "test").await.unwrap(),
            data: tempfile::tempdir().unwrap(),
            stack,
        }
    }

    /// Where the ledger has its key.
    pub(crate) fn data_dir(&self) -> &std::path::Path {
        self.data.path()
    }

    pub(crate) fn config(&self) -> LedgerConfig {
        LedgerConfig {
            database_url: self.stack.postgres_url().to_owned().into(),
            nats_url: self.stack.nats_url().to_owned().into(),
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: self.data.path().to_owned(),
            platform_keys: vec![self.platform.public_key()],
            deployment: "test".parse().unwrap(),
            seals: SealSettings {
                events: 100,
                interval: Duration::from_millis(500),
                ..SealSettings::default()
            },
            gap_patience: GAP_PATIENCE,
        }
    }

    pub(crate) async fn ledger(&self) -> Ledger {
        self.ledger_with(|_| ()).await
    }

    /// A ledger whose configuration the test changes.
    pub(crate) async fn ledger_with(&self, change: impl FnOnce(&mut LedgerConfig)) -> Ledger {
        let stop = CancellationToken::new();
        let mut config = self.config();
        change(&mut config);
        let handle = proctor_ledger::start(config, stop.clone()).await.unwrap();
        Ledger { handle, stop }
    }

    /// A lane of a fresh edge with a key of its own.
    pub(crate) fn lane(&self, tenant: &str, edge: &str) -> Lane {
        let mut seed = [7; 32];
        for (byte, letter) in seed.iter_mut().zip(edge.bytes()) {
            *byte = letter;
        }
        let signer = Signer::from_seed(&seed).unwrap();
        let certificate = certify(&self.platform, edge, &[tenant], &signer);
        Lane {
            tenant: tenant.parse().unwrap(),
            edge: edge.parse().unwrap(),
            signer,
            certificate,
            bodies: Vec::new(),
        }
    }

    pub(crate) async fn publish(&self, subject: String, payload: Vec<u8>) {
        let jetstream = jetstream::new(self.nats.clone());
        let publish = async {
            loop {
                let Ok(sent) = jetstream
                    .publish(subject.clone(), payload.clone().into())
                    .await
                else {
                    continue;
                };
                if sent.await.is_ok() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, publish)
            .await
            .expect("the stream takes it");
    }

    pub(crate) async fn send(&self, batch: &Batch) {
        let subject = subjects::audit(&batch.tenant, &batch.edge);
        self.publish(subject, serde_json::to_vec(batch).unwrap())
            .await;
    }

    pub(crate) async fn receipts(&self, edge: &EdgeId, keys: Verifier) -> Receipts {
        let subscription = self.nats.subscribe(subjects::receipts(edge)).await.unwrap();
        self.nats.flush().await.unwrap();
        Receipts { subscription, keys }
    }

    /// Behaves as an edge does: sends what is not receipted, in batches of `size`, until all is.
    pub(crate) async fn ship(&self, lane: &Lane, size: usize, keys: Verifier) {
        let mut receipts = self.receipts(&lane.edge, keys).await;
        let ship = async {
            let (mut done, mut rounds) = (0, 0);
            while done < lane.bodies.len() {
                rounds += 1;
                for from in (done..lane.bodies.len()).step_by(size) {
                    let to = lane.bodies.len().min(from + size);
                    self.send(&lane.batch(from + 1, to)).await;
                }
                while let Ok(receipt) = tokio::time::timeout(RESEND, receipts.next()).await {
                    done = done.max(usize::try_from(receipt.edge_seq).unwrap());
                    if done == lane.bodies.len() {
                        assert_eq!(receipt.edge_hash, lane.hash(done));
                        // What was sent again is receipted again: not while somebody waits for the receipt of what comes next.
                        while rounds > 1
                            && tokio::time::timeout(RESEND, receipts.next()).await.is_ok()
                        {
                        }
                        return;
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, ship)
            .await
            .expect("everything is receipted in the end");
    }

    /// A principal token that control would have made.
    pub(crate) fn token(&self, tenant: Option<&str>, roles: &[Role]) -> Secret {
        token(&PLATFORM_SEED, tenant, roles, INTERNAL_AUDIENCE, 60)
    }

    pub(crate) fn auditor<T>(&self, tenant: &str, message: T) -> Request<T> {
        by(&self.token(Some(tenant), &[Role::Auditor]), message)
    }

    /// The whole chain, oldest first, as gRPC tells it.
    pub(crate) async fn chain(&self, ledger: &Ledger, tenant: &str) -> Vec<AuditEvent> {
        let request = v1::SearchRequest {
            tenant: tenant.into(),
            limit: 1000,
            ..Default::default()
        };
        let answer = ledger
            .client()
            .search(self.auditor(tenant, request))
            .await
            .unwrap();
        let entries = answer.into_inner().entries;
        entries.iter().rev().map(event).collect()
    }

    pub(crate) async fn verify(&self, ledger: &Ledger, tenant: &str) -> v1::VerifyResponse {
        let request = v1::VerifyRequest {
            tenant: tenant.into(),
            ..Default::default()
        };
        let request = self.auditor(tenant, request);
        ledger.client().verify(request).await.unwrap().into_inner()
    }

    /// Fails unless the chain is sound and is exactly this one lane.
    pub(crate) async fn holds_once(&self, ledger: &Ledger, lane: &Lane) {
        let chain = self.chain(ledger, lane.tenant.as_str()).await;
        let stored: Vec<_> = chain
            .iter()
            .filter(|event| event.edge == lane.edge)
            .map(|event| event.to_canonical().unwrap())
            .collect();
        assert_eq!(
            stored.len(),
            lane.bodies.len(),
            "each event is there exactly once"
        );
        assert!(stored == lane.bodies, "in the order of the lane");
        let report = self.verify(ledger, lane.tenant.as_str()).await;
        assert_eq!(
            (report.findings, report.entries),
            (vec![], chain.len() as u64)
        );
    }

    pub(crate) async fn superuser(&self) -> PgConnection {
        PgConnection::connect(self.stack.postgres_url())
            .await
            .unwrap()
    }
}

pub(crate) fn certify(platform: &Signer, edge: &str, tenants: &[&str], signer: &Signer) -> String {
    let certificate = EdgeCertificate {
        edge: edge.parse().unwrap(),
        signing_key: signer.public_key().key,
        sealing_key: String::new(),
        region: "local".parse().unwrap(),
        tenants: tenants
            .iter()
            .map(|tenant| tenant.parse().unwrap())
            .collect(),
        issued_at: Timestamp::from_secs(1_700_000_000),
    };
    platform.sign(&certificate).unwrap()
}

pub(crate) fn token(
    seed: &[u8; 32],
    tenant: Option<&str>,
    roles: &[Role],
    audience: &str,
    life_s: i64,
) -> Secret {
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let claims = PrincipalClaims {
        sub: "key_test".into(),
        aud: audience.into(),
        exp: now + life_s,
        iat: now,
        tenant: tenant.map(|tenant| tenant.parse().unwrap()),
        roles: roles.to_vec(),
    };
    // RFC 8410, section 7: what comes before the seed in PKCS #8.
    let prefix = hex::decode("302e020100300506032b657004220420").unwrap();
    let key = EncodingKey::from_ed_der(&[prefix.as_slice(), seed].concat());
    jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &key)
        .unwrap()
        .into()
}

pub(crate) fn by<T>(token: &Secret, message: T) -> Request<T> {
    grpc::with_bearer(message, token).unwrap()
}

pub(crate) fn event(entry: &v1::Entry) -> AuditEvent {
    assert_eq!(EntryHash::of(&entry.body).as_bytes().as_slice(), entry.hash);
    let parsed = proctor_model::audit::Entry::from_canonical(&entry.body).unwrap();
    assert_eq!(parsed.seq, entry.seq);
    parsed.event
}

/// An id that was made at this time.
pub(crate) fn dated(at: &str) -> EventId {
    let at: Timestamp = at.parse().unwrap();
    let seconds = u64::try_from(at.as_secs()).unwrap();
    let at = uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0);
    EventId::from(Uuid::new_v7(at))
}

/// One edge's events for one tenant, numbered and chained as they are made.
pub(crate) struct Lane {
    pub(crate) tenant: TenantId,
    pub(crate) edge: EdgeId,
    pub(crate) signer: Signer,
    pub(crate) certificate: String,
    pub(crate) bodies: Vec<Vec<u8>>,
}

impl Lane {
    /// Hash of the event with this number.
    pub(crate) fn hash(&self, seq: usize) -> EntryHash {
        match seq {
            0 => EntryHash::ZERO,
            _ => EntryHash::of(&self.bodies[seq - 1]),
        }
    }

    /// The next event, as the test changes it.
    pub(crate) fn push(&mut self, change: impl FnOnce(&mut AuditEvent)) {
        let seq = self.bodies.len() + 1;
        let id = EventId::from(Uuid::now_v7());
        let at = Timestamp::from_secs(1_700_000_000 + i64::try_from(seq).unwrap());
        let mut event = AuditEvent::new(
            self.tenant.clone(),
            self.edge.clone(),
            id,
            at,
            Kind::Refused,
        );
        event.edge_seq = seq as u64;
        event.edge_prev = self.hash(seq - 1);
        event.reason = Some(Reason::TokenExpired);
        event.effect = Some(Effect::Deny);
        event.agent = Some("helper".parse().unwrap());
        event.tool = Some(EventTool {
            server: "files".parse().unwrap(),
            name: "read".parse().unwrap(),
            verb: None,
        });
        change(&mut event);
        self.bodies.push(event.to_canonical().unwrap());
    }

    pub(crate) fn grow(mut self, events: usize) -> Self {
        for _ in 0..events {
            self.push(|_| ());
        }
        self
    }

    /// The events `from` to `to`, both inclusive, signed.
    pub(crate) fn batch(&self, from: usize, to: usize) -> Batch {
        self.sealed(&self.bodies[from - 1..to], to)
    }

    pub(crate) fn sealed(&self, bodies: &[Vec<u8>], last: usize) -> Batch {
        Batch::seal(
            self.tenant.clone(),
            self.edge.clone(),
            self.certificate.clone(),
            bodies,
            last as u64,
            &self.signer,
        )
        .unwrap()
    }
}

/// What the ledger tells one edge.
pub(crate) struct Receipts {
    subscription: async_nats::Subscriber,
    keys: Verifier,
}

impl Receipts {
    pub(crate) async fn next(&mut self) -> Receipt {
        let message = tokio::time::timeout(PATIENCE, self.subscription.next())
            .await
            .expect("a receipt in time")
            .unwrap();
        self.keys
            .verify(std::str::from_utf8(&message.payload).unwrap())
            .unwrap()
    }

    /// The number of the next receipt.
    pub(crate) async fn seq(&mut self) -> u64 {
        self.next().await.edge_seq
    }
}

/// The code of a refusal.
pub(crate) fn code<T>(answer: Result<T, Status>) -> tonic::Code {
    answer.err().expect("it is refused").code()
}
