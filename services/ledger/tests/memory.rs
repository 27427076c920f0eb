//! Memory provenance in the ledger: records as they come with the events, and who gets to know what of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use proctor_model::audit::{EventUpstream, Kind};
use proctor_model::catalogue::{MemoryChange, MemoryTrust};
use proctor_model::memory::{
    Ask, EventMemory, Fact, FactDigest, ItemId, ItemQuestion, ItemState, MemoryAnswer,
    MemoryQuestion, MemoryRecord, RecordHash, SCHEMA, SignedQuestion, SignedRecord, Writer,
};
use proctor_model::principal::Role;
use proctor_model::{DecisionId, EventId, Timestamp};
use proctor_proto::v1;
use proctor_runtime::subjects;
use sqlx::Executor;
use std::time::Duration;
use support::{Lane, Ledger, PATIENCE, World, code};
use tonic::Code;
use uuid::Uuid;

const ITEM: ItemId = item(1);

const fn item(n: u8) -> ItemId {
    ItemId::from_bytes([n; 32])
}

fn fact(n: u8) -> FactDigest {
    FactDigest::from_bytes([n; 32])
}

/// A lane's writes to memory.
trait Writes {
    fn write(&mut self, version: u64, change: MemoryChange, facts: &[u8]) -> (RecordHash, EventId);
    fn forged(&mut self, forge: impl FnOnce(&mut SignedRecord));
    fn ended(&mut self, of: EventId, status: &str);
}

fn record(lane: &Lane, version: u64, change: MemoryChange, facts: &[u8]) -> MemoryRecord {
    let fact = |n: &u8| Fact {
        digest: fact(*n),
        origins: Vec::new(),
        trust: MemoryTrust::Agent,
        proved: None,
    };
    MemoryRecord {
        v: SCHEMA.into(),
        tenant: lane.tenant.clone(),
        store: "notes".parse().unwrap(),
        kind: "entity".into(),
        item: ITEM,
        version,
        prev: RecordHash::ZERO,
        change,
        facts: facts.iter().map(fact).collect(),
        writer: Writer {
            agent: "helper".parse().unwrap(),
            user: None,
            session: None,
            delegation: Vec::new(),
            token_id: None,
            intent_id: None,
        },
        tool: "notes/set".parse().unwrap(),
        parents: Vec::new(),
        exposed: false,
        time: Timestamp::from_secs(1_700_000_000),
        edge: lane.edge.clone(),
        decision_id: Uuid::now_v7().into(),
    }
}

fn authorized(lane: &mut Lane, signed: SignedRecord) -> EventId {
    let mut id = None;
    lane.push(|event| {
        event.kind = Kind::Authorized;
        event.reason = None;
        event.decision_id = Some(signed.record.decision_id);
        event.memory = Some(EventMemory {
            records: vec![signed],
            ..EventMemory::default()
        });
        id = Some(event.event_id);
    });
    id.unwrap()
}

impl Writes for Lane {
    fn write(&mut self, version: u64, change: MemoryChange, facts: &[u8]) -> (RecordHash, EventId) {
        let record = record(self, version, change, facts);
        let hash = record.hash().unwrap();
        let signed = SignedRecord::sign(record, &self.signer).unwrap();
        (hash, authorized(self, signed))
    }

    fn forged(&mut self, forge: impl FnOnce(&mut SignedRecord)) {
        let record = record(self, 90, MemoryChange::Set, &[9]);
        let decision: DecisionId = record.decision_id;
        let mut signed = SignedRecord::sign(record, &self.signer).unwrap();
        forge(&mut signed);
        signed.record.decision_id = decision;
        authorized(self, signed);
    }

    fn ended(&mut self, of: EventId, status: &str) {
        self.push(|event| {
            event.kind = Kind::Completed;
            event.reason = None;
            event.of = Some(of);
            event.memory = (status == "ok").then(|| EventMemory {
                written: Some(1),
                ..EventMemory::default()
            });
            event.upstream = Some(EventUpstream {
                status: status.into(),
                latency_us: 1,
            });
        });
    }
}

fn question(lane: &Lane, ask: Ask, items: Vec<ItemQuestion>) -> MemoryQuestion {
    MemoryQuestion {
        v: 1,
        tenant: lane.tenant.clone(),
        edge: lane.edge.clone(),
        nonce: "0a".repeat(16),
        ask,
        items,
    }
}

/// Asks as an edge does; `None` if there is no answer.
async fn asked(
    world: &World,
    ledger: &Ledger,
    lane: &Lane,
    question: MemoryQuestion,
) -> Option<MemoryAnswer> {
    let tenant = question.tenant.clone();
    let signed = SignedQuestion::sign(question, lane.certificate.clone(), &lane.signer).unwrap();
    let payload = serde_json::to_vec(&signed).unwrap();
    let request = world
        .nats
        .request(subjects::memory(&tenant), payload.into());
    let reply = tokio::time::timeout(Duration::from_secs(2), request)
        .await
        .ok()?
        .ok()?;
    let text = std::str::from_utf8(&reply.payload).unwrap();
    Some(ledger.keys().verify(text).unwrap())
}

/// Asks until there is an answer.
async fn told(
    world: &World,
    ledger: &Ledger,
    lane: &Lane,
    question: MemoryQuestion,
) -> MemoryAnswer {
    let told = async {
        loop {
            if let Some(answer) = asked(world, ledger, lane, question.clone()).await {
                return answer;
            }
        }
    };
    tokio::time::timeout(PATIENCE, told)
        .await
        .expect("an answer")
}

async fn state(world: &World, ledger: &Ledger, lane: &Lane) -> ItemState {
    let facts = (0..10).map(fact).collect();
    let items = vec![ItemQuestion { item: ITEM, facts }];
    let mut answer = told(world, ledger, lane, question(lane, Ask::State, items)).await;
    answer.items.remove(0)
}

/// Facts that stand, and that stood once.
fn stand(state: &ItemState) -> (Vec<u8>, Vec<u8>) {
    let (live, past): (Vec<_>, Vec<_>) = state.facts.iter().partition(|fact| fact.live);
    let numbers = |facts: Vec<&proctor_model::memory::FactState>| {
        let mut numbers: Vec<u8> = facts.iter().map(|fact| fact.digest.as_bytes()[0]).collect();
        numbers.sort_unstable();
        numbers
    };
    (numbers(live), numbers(past))
}

#[tokio::test(flavor = "multi_thread")]
async fn records_count_from_the_write_and_replace_when_it_went_well() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let mut lane = world.lane("acme", "edge_a");
    assert_eq!(state(&world, &ledger, &lane).await.version, 0);

    let (_, first) = lane.write(1, MemoryChange::Set, &[1, 2]);
    world.ship(&lane, 8, ledger.keys()).await;
    let now = state(&world, &ledger, &lane).await;
    assert_eq!((now.version, stand(&now)), (1, (vec![1, 2], vec![])));
    assert_eq!(now.records.len(), 1);

    // Under way, failed, went well.
    lane.ended(first, "ok");
    let (second_hash, second) = lane.write(2, MemoryChange::Set, &[2, 3]);
    world.ship(&lane, 8, ledger.keys()).await;
    assert_eq!(
        stand(&state(&world, &ledger, &lane).await),
        (vec![1, 2, 3], vec![])
    );
    lane.ended(second, "tool_error");
    world.ship(&lane, 8, ledger.keys()).await;
    assert_eq!(
        stand(&state(&world, &ledger, &lane).await),
        (vec![1, 2, 3], vec![])
    );
    let (_, third) = lane.write(3, MemoryChange::Set, &[4]);
    lane.ended(third, "ok");
    world.ship(&lane, 8, ledger.keys()).await;
    assert_eq!(
        stand(&state(&world, &ledger, &lane).await),
        (vec![4], vec![1, 2, 3])
    );
    // One by one.
    let (_, fourth) = lane.write(4, MemoryChange::Add, &[5, 1]);
    lane.ended(fourth, "ok");
    let (_, fifth) = lane.write(5, MemoryChange::Remove, &[4]);
    lane.ended(fifth, "ok");
    world.ship(&lane, 3, ledger.keys()).await;
    assert_eq!(
        stand(&state(&world, &ledger, &lane).await),
        (vec![1, 5], vec![2, 3, 4])
    );

    // What another edge wrote before, and sends late, brings nothing back.
    let mut late = world.lane("acme", "edge_b");
    late.write(2, MemoryChange::Set, &[6]);
    late.write(3, MemoryChange::Add, &[4]);
    world.ship(&late, 8, ledger.keys()).await;
    let now = state(&world, &ledger, &late).await;
    assert_eq!((now.version, stand(&now).0), (5, vec![1, 5]));

    // All of them, in order, each good by itself.
    let items = vec![ItemQuestion {
        item: ITEM,
        facts: Vec::new(),
    }];
    let told = told(&world, &ledger, &lane, question(&lane, Ask::Lineage, items)).await;
    let platform = proctor_model::signed::Verifier::new([&world.platform.public_key()]).unwrap();
    let records = &told.items[0].records;
    assert_eq!(records.len(), 7);
    for signed in records {
        let good = told
            .certificates
            .iter()
            .any(|certificate| signed.verify(certificate, &platform).is_ok());
        assert!(good);
    }
    assert!(
        records
            .iter()
            .any(|signed| signed.record.hash().unwrap() == second_hash)
    );
    ledger.stop().await;
}

/// Facts that stand, but may have been replaced or taken away.
fn in_doubt(state: &ItemState) -> Vec<u8> {
    let doubted = |fact: &&proctor_model::memory::FactState| {
        fact.live && (fact.version < state.doubt || fact.version <= fact.doubt)
    };
    let doubted = state.facts.iter().filter(doubted);
    let mut numbers: Vec<u8> = doubted.map(|fact| fact.digest.as_bytes()[0]).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_write_may_have_replaced_is_in_doubt_until_a_later_one_went_well() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let mut lane = world.lane("acme", "edge_a");
    let (_, first) = lane.write(1, MemoryChange::Set, &[1, 2, 3]);
    lane.ended(first, "ok");
    world.ship(&lane, 8, ledger.keys()).await;
    let now = state(&world, &ledger, &lane).await;
    // What went well leaves none: an edge that does not know of doubts is told of none.
    assert_eq!((now.doubt, in_doubt(&now)), (0, vec![]));
    let (_, second) = lane.write(2, MemoryChange::Set, &[2]);
    lane.ended(second, "tool_error");
    world.ship(&lane, 8, ledger.keys()).await;
    let now = state(&world, &ledger, &lane).await;
    assert_eq!(stand(&now), (vec![1, 2, 3], vec![]));
    assert_eq!(in_doubt(&now), [1, 3]);
    // Written once more; and one that was to be taken away.
    let (_, third) = lane.write(3, MemoryChange::Add, &[1]);
    lane.ended(third, "ok");
    lane.write(4, MemoryChange::Remove, &[2]);
    world.ship(&lane, 8, ledger.keys()).await;
    assert_eq!(in_doubt(&state(&world, &ledger, &lane).await), [2, 3]);
    // What another edge was about to do before, and sends late.
    let mut late = world.lane("acme", "edge_b");
    late.write(3, MemoryChange::Clear, &[]);
    world.ship(&late, 8, ledger.keys()).await;
    let now = state(&world, &ledger, &lane).await;
    assert_eq!((now.version, now.doubt), (4, 3));
    let report = world.verify(&ledger, "acme").await;
    assert_eq!((report.findings, report.alarms), (vec![], vec![]));
    let (_, fifth) = lane.write(5, MemoryChange::Set, &[4]);
    lane.ended(fifth, "ok");
    world.ship(&lane, 8, ledger.keys()).await;
    let now = state(&world, &ledger, &lane).await;
    assert_eq!(stand(&now), (vec![4], vec![1, 2, 3]));
    assert_eq!((now.doubt, in_doubt(&now)), (0, vec![]));
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_by_its_edge_for_its_tenant_is_left_out() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let mut lane = world.lane("acme", "edge_a");
    let other = world.lane("zoo", "edge_z");
    lane.forged(|signed| signed.record.version = 91);
    lane.forged(|signed| signed.record.tenant = other.tenant.clone());
    lane.forged(|signed| {
        let mut foreign = signed.record.clone();
        foreign.edge = other.edge.clone();
        *signed = SignedRecord::sign(foreign, &other.signer).unwrap();
    });
    lane.write(1, MemoryChange::Set, &[1]);
    world.ship(&lane, 8, ledger.keys()).await;
    let now = state(&world, &ledger, &lane).await;
    assert_eq!((now.version, stand(&now)), (1, (vec![1], vec![])));
    // The events stand all the same.
    world.holds_once(&ledger, &lane).await;
    // Whoever verifies hears of them.
    let report = world.verify(&ledger, "acme").await;
    let alarms: Vec<_> = report.alarms.iter().map(|alarm| alarm.seq).collect();
    assert_eq!((report.findings, alarms), (vec![], vec![1, 2, 3]));
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_a_superuser_sets_back_is_named() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let mut lane = world.lane("acme", "edge_a");
    let mut edges = [world.lane("acme", "edge_b"), world.lane("acme", "edge_c")];
    let (_, first) = lane.write(1, MemoryChange::Set, &[1, 2]);
    lane.ended(first, "ok");
    let (_, second) = lane.write(2, MemoryChange::Set, &[3, 4]);
    lane.ended(second, "ok");
    let (_, third) = lane.write(3, MemoryChange::Remove, &[3]);
    lane.ended(third, "ok");
    let (_, failed) = lane.write(4, MemoryChange::Clear, &[]);
    lane.ended(failed, "tool_error");
    world.ship(&lane, 8, ledger.keys()).await;
    // Two at once have one number; one more comes late.
    for edge in &mut edges {
        edge.write(5, MemoryChange::Add, &[5]);
        let (_, late) = edge.write(2, MemoryChange::Add, &[3]);
        edge.ended(late, "ok");
        world.ship(edge, 8, ledger.keys()).await;
    }
    // Nobody says whether this fact is gone; it is newer than all that the failed write was to clear.
    let [edge, _] = &mut edges;
    edge.write(6, MemoryChange::Remove, &[5]);
    world.ship(edge, 8, ledger.keys()).await;
    let now = state(&world, &ledger, &lane).await;
    assert_eq!(in_doubt(&now), [4, 5]);
    let report = world.verify(&ledger, "acme").await;
    assert_eq!((report.findings, report.alarms), (vec![], vec![]));

    let mut superuser = world.superuser().await;
    let tables = ["memory_items", "memory_facts"];
    for table in tables {
        let save = format!("create table saved_{table} as table ledger.{table}");
        let save = sqlx::raw_sql(sqlx::AssertSqlSafe(save));
        superuser.execute(save).await.unwrap();
    }
    for (tampering, seq) in [
        ("update ledger.memory_items set floor = 0", 15),
        ("update ledger.memory_items set doubt = 0", 15),
        ("update ledger.memory_facts set doubt = 0", 15),
        ("update ledger.memory_items set version = 2", 15),
        ("update ledger.memory_items set head = sha256(head)", 15),
        ("update ledger.memory_facts set live = true where not live", 6),
        ("update ledger.memory_facts set live = true, version = 2 where not live", 6),
        ("update ledger.memory_facts set version = 3 where version = 1", 1),
        ("update ledger.memory_facts set record = sha256(record) where version = 5", 15),
        ("delete from ledger.memory_facts where version = 5", 15),
        ("delete from ledger.memory_items", 15),
        (
            "insert into ledger.memory_facts (tenant, item, fact, version, live, record)
             select tenant, item, sha256(fact), version, live, record from ledger.memory_facts limit 1",
            0,
        ),
    ] {
        let tamper = sqlx::raw_sql(tampering);
        superuser.execute(tamper).await.unwrap();
        let report = world.verify(&ledger, "acme").await;
        let named = |finding: &v1::Finding| finding.kind == "memory";
        assert!(report.findings.iter().all(named), "{tampering}: {:?}", report.findings);
        let first = report.findings.first().map(|finding| finding.seq);
        assert_eq!(first, Some(seq), "{tampering}: {:?}", report.findings);
        for table in tables {
            let restore = format!("truncate ledger.{table}; insert into ledger.{table} table saved_{table}");
            let restore = sqlx::raw_sql(sqlx::AssertSqlSafe(restore));
            superuser.execute(restore).await.unwrap();
        }
        assert_eq!(world.verify(&ledger, "acme").await.findings, []);
    }
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_memory_is_told_to_its_own_edges_and_auditors_only() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let mut lane = world.lane("acme", "edge_a");
    let other = world.lane("zoo", "edge_z");
    lane.write(1, MemoryChange::Set, &[1]);
    world.ship(&lane, 8, ledger.keys()).await;
    let ask = || {
        question(
            &lane,
            Ask::State,
            vec![ItemQuestion {
                item: ITEM,
                facts: vec![fact(1)],
            }],
        )
    };

    // Another tenant's edge about acme, about itself, and an edge that isn't who it says.
    let mut foreign = ask();
    foreign.edge = other.edge.clone();
    assert!(
        asked(&world, &ledger, &other, foreign.clone())
            .await
            .is_none()
    );
    foreign.tenant = other.tenant.clone();
    let own = told(&world, &ledger, &other, foreign).await;
    assert_eq!((own.items[0].version, own.items[0].facts.len()), (0, 0));
    assert!(asked(&world, &ledger, &other, ask()).await.is_none());
    // Too much at once.
    let many = (0..200)
        .map(|n| ItemQuestion {
            item: item(n),
            facts: Vec::new(),
        })
        .collect();
    assert!(
        asked(&world, &ledger, &lane, question(&lane, Ask::State, many))
            .await
            .is_none()
    );

    // Over gRPC: with the right to read the audit chain, of one's own tenant.
    let lineage = |tenant: &str, item: String| v1::MemoryLineageRequest {
        tenant: tenant.into(),
        item,
    };
    let mut client = ledger.client();
    let good = world.auditor("acme", lineage("acme", ITEM.to_string()));
    assert_eq!(
        client
            .memory_lineage(good)
            .await
            .unwrap()
            .into_inner()
            .records
            .len(),
        1
    );
    for (who, tenant, item) in [
        ("zoo", "acme", ITEM.to_string()),
        ("zoo", "zoo", ITEM.to_string()),
        ("acme", "acme", "nonsense".to_owned()),
    ] {
        let request = world.auditor(who, lineage(tenant, item));
        assert_eq!(
            code(client.memory_lineage(request).await),
            Code::NotFound,
            "{who} {tenant}"
        );
    }
    let viewer = support::by(
        &world.token(Some("acme"), &[Role::IntentIssuer]),
        v1::ListMemoryRequest {
            tenant: "acme".into(),
            ..Default::default()
        },
    );
    assert_eq!(
        code(client.list_memory(viewer).await),
        Code::PermissionDenied
    );
    for (store, count) in [("", 1), ("notes", 1), ("other", 0)] {
        let request = v1::ListMemoryRequest {
            tenant: "acme".into(),
            store: store.into(),
            ..Default::default()
        };
        let page = client
            .list_memory(world.auditor("acme", request))
            .await
            .unwrap();
        assert_eq!(page.into_inner().items.len(), count, "{store}");
    }
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_listed_page_by_page() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let mut lane = world.lane("acme", "edge_a");
    for n in 1..=5 {
        let mut record = record(&lane, 1, MemoryChange::Set, &[1]);
        record.item = item(n);
        let signed = SignedRecord::sign(record, &lane.signer).unwrap();
        authorized(&mut lane, signed);
    }
    world.ship(&lane, 8, ledger.keys()).await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let request = v1::ListMemoryRequest {
            tenant: "acme".into(),
            after,
            limit: 2,
            ..Default::default()
        };
        let page = ledger
            .client()
            .list_memory(world.auditor("acme", request))
            .await
            .unwrap()
            .into_inner();
        seen.extend(page.items.into_iter().map(|item| item.item));
        after = page.next;
        if after.is_empty() {
            break;
        }
    }
    let expected: Vec<String> = (1..=5).rev().map(|n| item(n).to_string()).collect();
    assert_eq!(seen, expected);
    ledger.stop().await;
}
