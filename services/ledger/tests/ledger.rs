//! The ledger on a real Postgres and a real NATS: exactly once, in order, for its own tenant, whatever stops.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use proctor_model::Control;
use proctor_model::audit::{
    AuditEvent, EntryHash, EventAdmin, EventLane, EventSeal, Kind, LaneFault,
};
use proctor_model::principal::{INTERNAL_AUDIENCE, Role};
use proctor_model::signed::{Signer, Verifier};
use proctor_proto::v1;
use proctor_runtime::subjects;
use sqlx::Executor;
use std::time::Duration;
use support::{Lane, Ledger, PATIENCE, World, by, certify, code, dated, event, token};
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn events_are_appended_once_in_order_and_receipted() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let lane = world.lane("acme", "edge_a").grow(6);
    let mut receipts = world.receipts(&lane.edge, ledger.keys()).await;
    world.send(&lane.batch(1, 3)).await;
    let first = receipts.next().await;
    assert_eq!(
        (first.edge_seq, first.edge_hash, first.tenant.as_str()),
        (3, lane.hash(3), "acme")
    );
    // The same again, all of it and a part of it: a receipt, and no second entry.
    world.send(&lane.batch(1, 3)).await;
    assert_eq!(receipts.next().await, first);
    world.send(&lane.batch(1, 2)).await;
    assert_eq!(receipts.next().await, first);
    // It overlaps what is there: the rest is appended.
    world.send(&lane.batch(2, 5)).await;
    assert_eq!(receipts.seq().await, 5);
    world.send(&lane.batch(6, 6)).await;
    assert_eq!(receipts.seq().await, 6);
    world.holds_once(&ledger, &lane).await;
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_answered_with_what_is_committed_and_nothing_is_appended() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let lane = world.lane("acme", "edge_a").grow(6);
    let mut receipts = world.receipts(&lane.edge, ledger.keys()).await;
    world.send(&lane.batch(3, 4)).await;
    let nothing = receipts.next().await;
    assert_eq!((nothing.edge_seq, nothing.edge_hash), (0, EntryHash::ZERO));
    world.send(&lane.batch(1, 2)).await;
    assert_eq!(receipts.seq().await, 2);
    world.send(&lane.batch(5, 6)).await;
    let before = receipts.next().await;
    assert_eq!((before.edge_seq, before.edge_hash), (2, lane.hash(2)));
    assert_eq!(world.chain(&ledger, "acme").await.len(), 2);
    world.send(&lane.batch(3, 6)).await;
    assert_eq!(receipts.seq().await, 6);
    world.holds_once(&ledger, &lane).await;
    ledger.stop().await;
}

/// Sends batches that must be refused, then a good one: only that is receipted and appended.
async fn refuses(
    world: &World,
    ledger: &Ledger,
    lane: &Lane,
    sent: usize,
    bad: Vec<(String, Vec<u8>)>,
) {
    let mut receipts = world.receipts(&lane.edge, ledger.keys()).await;
    for (subject, payload) in bad {
        world.publish(subject, payload).await;
    }
    world.send(&lane.batch(sent + 1, sent + 1)).await;
    assert_eq!(
        receipts.seq().await,
        sent as u64 + 1,
        "no receipt for the bad"
    );
    let mut chain = world.chain(ledger, lane.tenant.as_str()).await;
    chain.retain(|event| event.edge == lane.edge);
    assert_eq!(chain.len(), sent + 1);
}

fn message(batch: &proctor_model::audit::Batch) -> (String, Vec<u8>) {
    let subject = subjects::audit(&batch.tenant, &batch.edge);
    (subject, serde_json::to_vec(batch).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_is_refused() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let mut lane = world.lane("acme", "edge_a").grow(3);
    world.ship(&lane, 3, ledger.keys()).await;
    lane.push(|_| ());
    // The same numbers with another content, at the end of the lane, behind it and before it.
    let other = world.lane("acme", "edge_a").grow(4);
    let mut forked = world.lane("acme", "edge_a");
    forked.bodies = lane.bodies[..3].to_vec();
    forked.push(|event| event.edge_prev = lane.hash(2));
    // An id that the chain has already, under a new number.
    let mut doubled = world.lane("acme", "edge_a");
    doubled.bodies = lane.bodies[..3].to_vec();
    let id = AuditEvent::from_canonical(&lane.bodies[0])
        .unwrap()
        .event_id;
    doubled.push(|event| event.event_id = id);
    let bad = vec![
        message(&other.batch(3, 3)),
        message(&other.batch(1, 4)),
        message(&other.batch(4, 4)),
        message(&other.batch(1, 2)),
        message(&forked.batch(4, 4)),
        message(&doubled.batch(4, 4)),
    ];
    refuses(&world, &ledger, &lane, 3, bad).await;
    world.holds_once(&ledger, &lane).await;
    // It is in the chain that this edge signed two histories: once, however often it tries.
    let chain = world.chain(&ledger, "acme").await;
    let faults: Vec<_> = chain
        .iter()
        .filter_map(|event| event.lane.clone())
        .collect();
    let [fault] = faults.as_slice() else {
        panic!("{faults:?}")
    };
    assert_eq!((fault.fault, fault.edge_seq), (LaneFault::LaneFork, 3));
    assert_eq!(fault.edge, lane.edge);
    // With the edge's own signature, over what is not in the chain.
    let proof = fault.proof.as_deref().unwrap();
    let keys = Verifier::new([&other.signer.public_key()]).unwrap();
    proof.verify(&lane.tenant, &lane.edge, &keys).unwrap();
    let number = usize::try_from(proof.edge_seq).unwrap();
    assert_eq!(proof.edge_hash, other.hash(number));
    let mut made_up = proof.clone();
    made_up.edge_hash = EntryHash::ZERO;
    assert!(made_up.verify(&lane.tenant, &lane.edge, &keys).is_err());
    let alarms = world.verify(&ledger, "acme").await.alarms;
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0].kind, "lane_fork");
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_does_not_speak_for_the_ledger() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let lane = world.lane("acme", "edge_a").grow(1);
    let forged = |change: fn(&mut AuditEvent)| {
        let mut lane = world.lane("acme", "edge_a");
        lane.push(change);
        message(&lane.batch(1, 1))
    };
    fn seal(event: &mut AuditEvent) {
        event.sealed = Some(EventSeal {
            tenant: "zeta".parse().unwrap(),
            size: 1_000_000_000,
            root: EntryHash::ZERO,
        });
    }
    fn fault(event: &mut AuditEvent) {
        event.lane = Some(EventLane {
            edge: "edge_b".parse().unwrap(),
            fault: LaneFault::LaneFork,
            edge_seq: 3,
            proof: None,
        });
    }
    let bad = vec![
        forged(|event| (event.kind, ()) = (Kind::Sealed, seal(event))),
        forged(seal),
        forged(|event| (event.kind, ()) = (Kind::Integrity, fault(event))),
        forged(fault),
    ];
    refuses(&world, &ledger, &lane, 0, bad).await;
    world.holds_once(&ledger, &lane).await;
    assert_eq!(world.verify(&ledger, "acme").await.alarms, []);
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_an_edge_whose_clock_is_wrong_is_taken() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let mut lane = world.lane("acme", "edge_a").grow(1);
    lane.push(|event| event.event_id = dated("2999-01-01T00:00:00Z"));
    lane.push(|event| event.event_id = dated("1999-01-01T00:00:00Z"));
    let lane = lane.grow(1);
    world.ship(&lane, 4, ledger.keys()).await;
    world.holds_once(&ledger, &lane).await;
    assert_eq!(world.verify(&ledger, "acme").await.alarms, []);
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_certified_for_a_lane_does_not_write_to_it() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let lane = world.lane("acme", "edge_a").grow(1);
    let mut bad = vec![
        (subjects::audit(&lane.tenant, &lane.edge), b"{}".to_vec()),
        (subjects::audit(&lane.tenant, &lane.edge), vec![0xff; 3]),
        ("audit.nobody".to_owned(), message(&lane.batch(1, 1)).1),
        ("audit.acme.edge_b".to_owned(), message(&lane.batch(1, 1)).1),
        (
            "audit.other.edge_a".to_owned(),
            message(&lane.batch(1, 1)).1,
        ),
    ];
    let intruder = Signer::from_seed(&[99; 32]).unwrap();
    for certificate in [
        // Of another edge, of another tenant, of nobody we know, with another key than the batch's, none.
        certify(&world.platform, "edge_b", &["acme"], &lane.signer),
        certify(&world.platform, "edge_a", &["other"], &lane.signer),
        certify(&intruder, "edge_a", &["acme"], &lane.signer),
        certify(&world.platform, "edge_a", &["acme"], &intruder),
        String::new(),
    ] {
        let mut forged = world.lane("acme", "edge_a");
        forged.certificate = certificate;
        bad.push(message(&forged.grow(1).batch(1, 1)));
    }
    // Signed by somebody else under the edge's name and certificate.
    let mut forged = world.lane("acme", "edge_a").grow(1);
    forged.signer = intruder;
    let mut batch = forged.batch(1, 1);
    batch.kid = lane.signer.kid().clone();
    bad.push(message(&batch));
    // An edge that calls itself control, even with a certificate that says so.
    bad.push(message(&world.lane("acme", "control").grow(1).batch(1, 1)));
    // An event of another tenant in a batch of this one.
    let mut strange = world.lane("acme", "edge_a");
    strange.push(|event| event.tenant = "other".parse().unwrap());
    bad.push(message(&strange.batch(1, 1)));
    refuses(&world, &ledger, &lane, 0, bad).await;
    world.holds_once(&ledger, &lane).await;
    assert!(world.chain(&ledger, "other").await.is_empty());
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn control_writes_its_own_lane_with_the_platform_key() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let mut lane = world.lane("_platform", "control");
    lane.signer = Signer::from_seed(&[1; 32]).unwrap();
    lane.certificate = certify(&world.platform, "control", &["_platform"], &lane.signer);
    lane.push(|event| {
        event.kind = Kind::Admin;
        event.admin = Some(EventAdmin {
            action: "api_key.create".into(),
            object: "key_1".into(),
            principal: "bootstrap".into(),
        });
    });
    world.ship(&lane, 1, ledger.keys()).await;
    let request = v1::HeadRequest {
        tenant: "_platform".into(),
    };
    let platform = world.token(None, &[Role::PlatformAdmin]);
    let head = ledger.client().head(by(&platform, request)).await.unwrap();
    assert_eq!(head.into_inner().size, 1);
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn search_filters_and_pages_and_head_tells_the_end() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let mut lane = world.lane("acme", "edge_a");
    for n in 1..=25u32 {
        lane.push(|event| {
            event.session = Some(format!("s{}", n % 5).parse().unwrap());
            if n == 7 {
                event.agent = Some("other".parse().unwrap());
                event.user = Some("alice".parse().unwrap());
                event.control = Some(Control::Budget);
            }
        });
    }
    world.ship(&lane, 10, ledger.keys()).await;
    let search = async |change: fn(&mut v1::SearchRequest)| -> Vec<u64> {
        let mut request = v1::SearchRequest {
            tenant: "acme".into(),
            ..Default::default()
        };
        change(&mut request);
        let request = world.auditor("acme", request);
        let answer = ledger.client().search(request).await.unwrap().into_inner();
        answer.entries.iter().map(|entry| entry.seq).collect()
    };
    assert_eq!(search(|r| r.agent = "other".into()).await, [7]);
    assert_eq!(search(|r| r.user = "alice".into()).await, [7]);
    assert_eq!(search(|r| r.control = "budget".into()).await, [7]);
    assert_eq!(search(|r| r.control = "policy".into()).await.len(), 0);
    assert_eq!(
        search(|r| r.session = "s1".into()).await,
        [21, 16, 11, 6, 1]
    );
    assert_eq!(search(|r| r.tool = "files/read".into()).await.len(), 25);
    assert_eq!(search(|r| r.kind = "completed".into()).await.len(), 0);
    assert_eq!(search(|r| r.effect = "deny".into()).await.len(), 25);
    assert_eq!(
        search(|r| r.reason = "token_expired".into()).await.len(),
        25
    );
    // 2023-11-14T22:13:20Z and as many seconds as the event's number.
    let between = search(|r| {
        r.from = "2023-11-14T22:13:23Z".into();
        r.to = "2023-11-14T22:13:25Z".into();
    });
    assert_eq!(between.await, [4, 3]);
    let (mut before, mut pages) = (0, Vec::new());
    loop {
        let request = v1::SearchRequest {
            tenant: "acme".into(),
            before_seq: before,
            limit: 10,
            ..Default::default()
        };
        let request = world.auditor("acme", request);
        let page = ledger.client().search(request).await.unwrap().into_inner();
        pages.extend(page.entries.iter().map(|entry| entry.seq));
        before = page.next_before_seq;
        if before == 0 {
            break;
        }
    }
    assert_eq!(pages, (1..=25).rev().collect::<Vec<u64>>());
    for bad in [
        v1::SearchRequest {
            agent: "a\0b".into(),
            ..Default::default()
        },
        v1::SearchRequest {
            decision_id: "x".into(),
            ..Default::default()
        },
        v1::SearchRequest {
            from: "yesterday".into(),
            ..Default::default()
        },
    ] {
        let request = v1::SearchRequest {
            tenant: "acme".into(),
            ..bad
        };
        let answer = ledger.client().search(world.auditor("acme", request)).await;
        assert_eq!(code(answer), Code::InvalidArgument);
    }
    let request = v1::HeadRequest {
        tenant: "acme".into(),
    };
    let head = ledger.client().head(world.auditor("acme", request)).await;
    assert_eq!(head.unwrap().into_inner().size, 25);
    world.holds_once(&ledger, &lane).await;
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_gets_what_is_there_and_what_comes() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let lane = world.lane("acme", "edge_a").grow(8);
    let mut receipts = world.receipts(&lane.edge, ledger.keys()).await;
    world.send(&lane.batch(1, 4)).await;
    assert_eq!(receipts.seq().await, 4);
    let request = v1::TailRequest {
        tenant: "acme".into(),
        after_seq: 2,
    };
    let mut tail = ledger
        .client()
        .tail(world.auditor("acme", request))
        .await
        .unwrap()
        .into_inner();
    let mut next = async || {
        let entry = tokio::time::timeout(PATIENCE, tail.message()).await;
        let entry = entry.expect("in time").unwrap().expect("an entry");
        (entry.seq, event(&entry).edge_seq)
    };
    assert_eq!([next().await, next().await], [(3, 3), (4, 4)]);
    world.send(&lane.batch(5, 8)).await;
    for seq in 5..=8 {
        assert_eq!(next().await, (seq, seq));
    }
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_read_a_tenants_audit_does() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let lane = world.lane("acme", "edge_a").grow(2);
    world.ship(&lane, 2, ledger.keys()).await;
    let head = async |token| {
        let request = v1::HeadRequest {
            tenant: "acme".into(),
        };
        ledger.client().head(by(&token, request)).await
    };
    let answer = head(world.token(None, &[Role::PlatformAdmin])).await;
    assert_eq!(answer.unwrap().into_inner().size, 2);
    let foreign = head(world.token(Some("other"), &[Role::Auditor])).await;
    let foreign = foreign.unwrap_err();
    let absent = ledger
        .client()
        .head(world.auditor(
            "other",
            v1::HeadRequest {
                tenant: "nobody".into(),
            },
        ))
        .await
        .unwrap_err();
    assert_eq!(
        (foreign.code(), foreign.message()),
        (absent.code(), absent.message())
    );
    assert_eq!(foreign.code(), Code::NotFound);
    let lesser = head(world.token(Some("acme"), &[Role::Operator, Role::PolicyAdmin])).await;
    assert_eq!(code(lesser), Code::PermissionDenied);
    let auditor = [Role::Auditor];
    for (seed, audience, life_s) in [
        ([2; 32], INTERNAL_AUDIENCE, 60),
        ([1; 32], "somebody-else", 60),
        ([1; 32], INTERNAL_AUDIENCE, -1),
    ] {
        let bad = token(&seed, Some("acme"), &auditor, audience, life_s);
        assert_eq!(code(head(bad).await), Code::Unauthenticated);
    }
    let nobody = v1::HeadRequest {
        tenant: "acme".into(),
    };
    assert_eq!(
        code(ledger.client().head(nobody).await),
        Code::Unauthenticated
    );
    // Every operation asks.
    let stranger = world.token(Some("other"), &auditor);
    let mut client = ledger.client();
    let search = v1::SearchRequest {
        tenant: "acme".into(),
        ..Default::default()
    };
    assert_eq!(
        code(client.search(by(&stranger, search)).await),
        Code::NotFound
    );
    let tail = v1::TailRequest {
        tenant: "acme".into(),
        after_seq: 0,
    };
    assert_eq!(code(client.tail(by(&stranger, tail)).await), Code::NotFound);
    let verify = v1::VerifyRequest {
        tenant: "acme".into(),
        ..Default::default()
    };
    assert_eq!(
        code(client.verify(by(&stranger, verify)).await),
        Code::NotFound
    );
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_superuser_changes_is_named() {
    let world = World::start().await;
    // No seal comes in between: it would lock the heads before the entries, and a superuser locks them as he likes.
    let ledger = world
        .ledger_with(|config| config.seals.interval = 2 * PATIENCE)
        .await;
    let lane = world.lane("acme", "edge_a").grow(9);
    world.ship(&lane, 4, ledger.keys()).await;
    let mut superuser = world.superuser().await;
    // Even the owner is stopped, until he takes the trigger away.
    for statement in [
        "update ledger.entries set body = ''",
        "delete from ledger.entries",
        "truncate ledger.entries",
    ] {
        assert!(superuser.execute(statement).await.is_err(), "{statement}");
    }
    superuser
        .execute("lock table ledger.entries in access exclusive mode; do $$ declare part regclass; begin
                for part in select inhrelid::regclass from pg_inherits where inhparent = 'ledger.entries'::regclass
                loop execute format('alter table %s disable trigger all', part); end loop;
            end $$;
            alter table ledger.entries disable trigger all; create table saved as table ledger.entries; create table saved_heads as table ledger.heads")
        .await
        .unwrap();
    for (tampering, seq, kind) in [
        ("update ledger.entries set body = convert_to(replace(convert_from(body, 'UTF8'), 'helper', 'nobody'), 'UTF8') where seq = 4", 4, "hash"),
        ("update ledger.entries set body = convert_to(replace(convert_from(body, 'UTF8'), 'helper', 'nobody'), 'UTF8') where seq = 4;
          update ledger.entries set hash = sha256('\\x00'::bytea || body) where seq = 4", 5, "link"),
        ("update ledger.entries set hash = sha256(hash) where seq = 2", 2, "hash"),
        ("update ledger.entries set agent = 'nobody' where seq = 3", 3, "columns"),
        ("update ledger.entries set time = time - interval '1 day' where seq = 3", 3, "columns"),
        ("update ledger.entries set reason = null where seq = 3", 3, "columns"),
        ("update ledger.entries set decision_id = gen_random_uuid() where seq = 3", 3, "columns"),
        ("delete from ledger.entries where seq = 5", 6, "gap"),
        ("delete from ledger.entries where seq = 9", 8, "head"),
        ("delete from ledger.entries where seq = 9; update ledger.heads set size = 8", 8, "head"),
        ("delete from ledger.entries", 0, "head"),
    ] {
        superuser.execute(sqlx::raw_sql(tampering)).await.unwrap();
        let report = world.verify(&ledger, "acme").await;
        let found = report.findings.iter().any(|finding| (finding.seq, finding.kind.as_str()) == (seq, kind));
        assert!(found, "{tampering}: {:?}", report.findings);
        superuser
            .execute("truncate ledger.entries; insert into ledger.entries select * from saved; truncate ledger.heads; insert into ledger.heads select * from saved_heads")
            .await
            .unwrap();
    }
    world.holds_once(&ledger, &lane).await;
    // What was changed is not given out as what happened.
    superuser
        .execute("update ledger.entries set body = convert_to(replace(convert_from(body, 'UTF8'), 'helper', 'nobody'), 'UTF8') where seq = 4")
        .await
        .unwrap();
    let mut client = ledger.client();
    let request = v1::SearchRequest {
        tenant: "acme".into(),
        ..Default::default()
    };
    let found = client.search(world.auditor("acme", request)).await;
    assert_eq!(code(found), Code::DataLoss);
    let entry = |seq| v1::EntryRequest {
        tenant: "acme".into(),
        seq,
    };
    let shown = client.entry(world.auditor("acme", entry(4))).await;
    assert_eq!(code(shown), Code::DataLoss);
    assert!(client.entry(world.auditor("acme", entry(5))).await.is_ok());
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_role_appends_and_reads_its_tenant_and_nothing_else() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let lane = world.lane("acme", "edge_a").grow(2);
    world.ship(&lane, 2, ledger.keys()).await;
    let mut service = world.superuser().await;
    service.execute("set role proctor_ledger").await.unwrap();
    for table in ["entries", "heads", "lanes"] {
        let query = format!("select count(*) from ledger.{table}");
        for (tenant, seen) in [("", false), ("other", false), ("*", false), ("acme", true)] {
            sqlx::query("select set_config('proctor.tenant', $1, false)")
                .bind(tenant)
                .execute(&mut service)
                .await
                .unwrap();
            let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query.clone()))
                .fetch_one(&mut service)
                .await
                .unwrap();
            assert_eq!(rows > 0, seen, "{table} as {tenant:?}");
        }
    }
    for statement in [
        "update ledger.entries set body = ''",
        "delete from ledger.entries",
        "truncate ledger.entries",
        "delete from ledger.heads",
        "delete from ledger.lanes",
        "truncate ledger.heads",
        "drop table ledger.entries",
        "alter table ledger.entries disable trigger all",
        "insert into ledger.heads values ('other', 1, '')",
        "create table ledger.own ()",
    ] {
        assert!(service.execute(statement).await.is_err(), "{statement}");
    }
    let unfenced: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant'
         where c.relnamespace = 'ledger'::regnamespace and c.relkind = 'r'
           and not (c.relrowsecurity and c.relforcerowsecurity)",
    )
    .fetch_all(&mut service)
    .await
    .unwrap();
    assert_eq!(unfenced, Vec::<String>::new());
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_stops_in_between_loses_and_doubles_nothing() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let keys = ledger.keys();
    let lane = world.lane("acme", "edge_a").grow(300);
    let mut receipts = world.receipts(&lane.edge, keys.clone()).await;
    for last in (2..=300).step_by(2) {
        world.send(&lane.batch(last - 1, last)).await;
    }
    receipts.next().await;
    ledger.stop().await;
    let ledger = world.ledger().await;
    // The key is the same, and what waits in the stream is taken.
    world.ship(&lane, 50, keys).await;
    world.holds_once(&ledger, &lane).await;
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ledgers_at_once_append_each_event_once() {
    let world = World::start().await;
    let (one, two) = (world.ledger().await, world.ledger().await);
    let lanes = [
        world.lane("acme", "edge_a").grow(200),
        world.lane("other", "edge_b").grow(200),
    ];
    let [a, b] = &lanes;
    tokio::join!(world.ship(a, 5, one.keys()), world.ship(b, 7, one.keys()));
    for (ledger, lane) in [(&one, a), (&two, b)] {
        world.holds_once(ledger, lane).await;
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_of_several_edges_share_a_tenants_chain() {
    let world = World::start().await;
    let ledger = world.ledger().await;
    let lanes = ["edge_a", "edge_b", "edge_c"].map(|edge| world.lane("acme", edge).grow(40));
    let [a, b, c] = &lanes;
    tokio::join!(
        world.ship(a, 3, ledger.keys()),
        world.ship(b, 4, ledger.keys()),
        world.ship(c, 5, ledger.keys())
    );
    let chain = world.chain(&ledger, "acme").await;
    assert_eq!(chain.len(), 120);
    for lane in &lanes {
        let own = chain.iter().filter(|event| event.edge == lane.edge);
        let own: Vec<_> = own.map(|event| event.to_canonical().unwrap()).collect();
        assert!(own == lane.bodies, "{}", lane.edge);
    }
    assert_eq!(world.verify(&ledger, "acme").await.findings, []);
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_after_nats_was_killed_and_after_its_store_was_lost() {
    let world = World::private().await;
    let nats = world.stack.nats.server().unwrap();
    let ledger = world.ledger().await;
    let mut lane = world.lane("acme", "edge_a").grow(20);
    world.ship(&lane, 5, ledger.keys()).await;
    nats.kill9().await;
    nats.restart().await.unwrap();
    lane = lane.grow(20);
    world.ship(&lane, 5, ledger.keys()).await;
    nats.wipe_store().await.unwrap();
    lane = lane.grow(20);
    world.ship(&lane, 5, ledger.keys()).await;
    world.holds_once(&ledger, &lane).await;
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_after_postgres_was_killed() {
    let world = World::private().await;
    let postgres = world.stack.postgres.server().unwrap();
    let ledger = world.ledger().await;
    let mut lane = world.lane("acme", "edge_a").grow(20);
    world.ship(&lane, 5, ledger.keys()).await;
    lane = lane.grow(20);
    postgres.kill9().await;
    let mut receipts = world.receipts(&lane.edge, ledger.keys()).await;
    for last in (25..=40).step_by(5) {
        world.send(&lane.batch(last - 4, last)).await;
    }
    let early = tokio::time::timeout(Duration::from_millis(300), receipts.next()).await;
    assert!(early.is_err(), "nothing is receipted that is not committed");
    postgres.restart().await.unwrap();
    // Nothing was sent again: the ledger kept what it had, in order.
    let mut last = 0;
    while last < 40 {
        let next = receipts.seq().await;
        assert!(next > last && next.is_multiple_of(5), "{last}, then {next}");
        last = next;
    }
    world.holds_once(&ledger, &lane).await;
    ledger.stop().await;
}
