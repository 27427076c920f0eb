use super::*;
use crate::spool::SpoolConfig;
use proctor_devstack::TestNats;
use proctor_model::audit::{AuditEvent, EntryHash, Kind};
use proctor_model::signed::{Signer, Verifier};
use proctor_model::{EdgeId, EventId, Timestamp};
use proctor_runtime::Clock;
use proctor_runtime::nats::{NatsSettings, connect};
use std::time::Instant as Began;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);

/// A shipper on a real spool and a real NATS, whose ledger is the test.
struct World {
    shipper: Arc<Shipper>,
    jetstream: Context,
    ledger: Signer,
    stop: CancellationToken,
    runs: tokio::task::JoinHandle<()>,
    _heard: Option<async_nats::Subscriber>,
    _server: TestNats,
    _dir: tempfile::TempDir,
}

fn tenant(number: u128) -> TenantId {
    format!("t-{number}").parse().unwrap()
}

fn event(number: u128, edge: &EdgeId, id: u128) -> Box<AuditEvent> {
    let id = EventId::from(Uuid::from_u128(id));
    let at = Timestamp::from_secs(1_700_000_000);
    let event = AuditEvent::new(tenant(number), edge.clone(), id, at, Kind::Refused);
    Box::new(event)
}

impl World {
    /// With one event of each of so many tenants, and certificates for them; the stream takes what the edge sends for `taken`.
    /// Of the others, NATS says that nobody takes it; where somebody hears it who does not answer, it says nothing (`silent`).
    async fn start(tenants: u128, taken: &[u128], silent: bool) -> Self {
        let server = TestNats::private().await.unwrap();
        let settings = NatsSettings::from_url(server.url().to_owned());
        let nats = connect(&settings, "test").await.unwrap();
        let jetstream = jetstream::new(nats.clone());
        let (platform, ledger) = (
            Signer::from_seed(&[1; 32]).unwrap(),
            Signer::from_seed(&[2; 32]).unwrap(),
        );
        let identity = Identity::of(&platform);
        let lane = |number: &u128| subjects::audit(&tenant(*number), &identity.edge);
        let stream = jetstream::stream::Config {
            subjects: taken.iter().map(lane).collect(),
            ..subjects::audit_stream(1)
        };
        jetstream.create_stream(stream).await.unwrap();
        let heard = match silent {
            true => Some(nats.subscribe("audit.>").await.unwrap()),
            false => None,
        };
        let dir = tempfile::tempdir().unwrap();
        let config = SpoolConfig {
            dir: dir.path().to_owned(),
            bytes_max: 1 << 20,
        };
        let (spool, _) = Spool::open(config, Clock::system()).unwrap();
        for number in 1..=tenants {
            let event = event(number, &identity.edge, number);
            spool.record(event).await.unwrap();
        }
        let assigned = Assigned {
            ledgers: Verifier::new([&ledger.public_key()]).unwrap(),
            certificates: (1..=tenants)
                .map(|number| (tenant(number), "a certificate".to_owned()))
                .collect(),
            ..Assigned::default()
        };
        let shipper = Arc::new(Shipper {
            spool,
            identity: Arc::new(identity),
            assigned: Arc::new(ArcSwap::from_pointee(assigned)),
            nats,
        });
        let stop = CancellationToken::new();
        Self {
            runs: tokio::spawn(Arc::clone(&shipper).run(stop.clone())),
            shipper,
            jetstream,
            ledger,
            stop,
            _heard: heard,
            _server: server,
            _dir: dir,
        }
    }

    /// Waits for what lies last on a lane's subject.
    async fn sent(&self, number: u128) -> Batch {
        let subject = subjects::audit(&tenant(number), &self.shipper.identity.edge);
        let stream = self
            .jetstream
            .get_stream_no_info(subjects::AUDIT_STREAM)
            .await
            .unwrap();
        let began = Began::now();
        loop {
            if let Ok(message) = stream.get_last_raw_message_by_subject(&subject).await {
                return serde_json::from_slice(&message.payload).unwrap();
            }
            assert!(began.elapsed() < PATIENCE, "{subject} was not sent");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn confirm(&self, batch: &Batch, by: &Signer) {
        let receipt = Receipt {
            tenant: batch.tenant.clone(),
            edge: batch.edge.clone(),
            edge_seq: batch.edge_seq,
            edge_hash: batch.edge_hash,
        };
        let subject = subjects::receipts(&batch.edge);
        let receipt = by.sign(&receipt).unwrap();
        self.shipper
            .nats
            .publish(subject, receipt.into())
            .await
            .unwrap();
    }

    async fn stop(self) {
        self.stop.cancel();
        self.runs.await.unwrap();
    }
}

#[test]
fn a_long_look_rests_for_as_long_as_it_took_and_never_for_longer_than_it_waits_for_news() {
    let began = Instant::now();
    for (took, rest) in [
        (Duration::from_micros(900), Duration::ZERO),
        (Duration::from_millis(5), Duration::from_millis(5)),
        (Duration::from_secs(3_600), LOOK),
    ] {
        let ended = began + took;
        assert_eq!(rest_until(began, ended), ended + rest, "{took:?}");
    }
}

/// Whatever NATS says of one lane, or never says: a right that was forgotten, a stream with other subjects.
#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_can_not_be_sent_holds_up_no_other() {
    let taken = [2, 3, 5, 7, 11, 13];
    let world = World::start(14, &taken, false).await;
    for number in taken {
        let batch = world.sent(number).await;
        assert_eq!((batch.edge_seq, batch.edge_hash), (1, hash(&batch)));
        // Again until it is heard: the edge may have begun to listen later.
        let began = Began::now();
        while waits(&world, number) {
            world.confirm(&batch, &world.ledger).await;
            assert!(began.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert_eq!(world.shipper.spool.waiting(), 14 - taken.len());
    world.stop().await;
}

/// An attempt ends after five seconds, here: one after the other, eight such lanes would leave the ninth one batch in forty.
#[tokio::test(flavor = "multi_thread")]
async fn lanes_that_nats_never_answers_hold_up_no_other() {
    let world = World::start(9, &[9], true).await;
    let began = Began::now();
    for seq in 1..=20_u64 {
        if seq > 1 {
            let event = event(9, &world.shipper.identity.edge, 100 + u128::from(seq));
            world.shipper.spool.record(event).await.unwrap();
        }
        while world.sent(9).await.edge_seq < seq {
            assert!(began.elapsed() < PATIENCE, "event {seq} was not sent");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    world.stop().await;
}

fn hash(batch: &Batch) -> EntryHash {
    EntryHash::of(batch.events[0].get().as_bytes())
}

fn waits(world: &World, number: u128) -> bool {
    let lanes = world.shipper.spool.lanes();
    lanes.iter().any(|(lane, _)| *lane == tenant(number))
}
