mod crash;
mod damage;
mod full;

use super::*;
use proctor_engine::CountKey;
use proctor_model::Timestamp;
use proctor_model::audit::{EntryHash, Kind};
use std::path::Path;
use uuid::Uuid;

fn config(dir: &Path) -> SpoolConfig {
    SpoolConfig {
        dir: dir.to_owned(),
        bytes_max: 1 << 20,
    }
}

fn open(dir: &Path) -> (Spool, Vec<AuditEvent>) {
    // The thread of a spool that was just dropped may hold the lock for a moment.
    for _ in 0..200 {
        match Spool::open(config(dir), Clock::system()) {
            Err(SpoolError::InUse(_)) => std::thread::sleep(Duration::from_millis(5)),
            opened => return opened.unwrap(),
        }
    }
    panic!("the lock was never released");
}

/// Drops it, and waits until its thread has let go of the directory.
fn close(spool: Spool, dir: &Path) {
    drop(spool);
    let lock = std::fs::File::open(dir.join("lock")).unwrap();
    lock.lock().unwrap();
}

fn event(tenant: &str, number: u128, kind: Kind) -> Box<AuditEvent> {
    let id = EventId::from(Uuid::from_u128(number));
    let at = Timestamp::from_secs(1_700_000_000);
    Box::new(AuditEvent::new(
        tenant.parse().unwrap(),
        "edge_1".parse().unwrap(),
        id,
        at,
        kind,
    ))
}

fn outcome(of: &AuditEvent, number: u128) -> Box<AuditEvent> {
    let mut event = crate::event::outcome_of(of);
    event.event_id = EventId::from(Uuid::from_u128(number));
    event.kind = Kind::Completed;
    Box::new(event)
}

fn charge(most: u64) -> Vec<Charge> {
    let key = CountKey::Token("ab".repeat(32).parse().unwrap());
    vec![Charge::call(key, None, most, Reason::CallsExhausted)]
}

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

async fn stored(spool: &Spool, tenant: &TenantId) -> Vec<AuditEvent> {
    let Some((_, first)) = spool.lanes().into_iter().find(|(lane, _)| lane == tenant) else {
        return Vec::new();
    };
    let batch = spool.batch(tenant, first).await.unwrap().unwrap();
    batch
        .events
        .iter()
        .map(|bytes| AuditEvent::from_canonical(bytes).unwrap())
        .collect()
}

fn receipt(event: &AuditEvent) -> Receipt {
    let hash = EntryHash::of(&event.to_canonical().unwrap());
    Receipt {
        tenant: event.tenant.clone(),
        edge: event.edge.clone(),
        edge_seq: event.edge_seq,
        edge_hash: hash,
    }
}

#[tokio::test]
async fn lanes_are_numbered_and_chained_across_restarts_and_open_calls_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, open_calls) = open(dir.path());
    assert!(open_calls.is_empty());
    for number in 1..=3 {
        spool
            .record(event("acme", number, Kind::Refused))
            .await
            .unwrap();
    }
    spool
        .record(event("zoo", 10, Kind::Authorized))
        .await
        .unwrap();
    spool
        .record(event("zoo", 11, Kind::Authorized))
        .await
        .unwrap();
    spool
        .outcome(outcome(&event("zoo", 10, Kind::Authorized), 12), Vec::new())
        .await;
    spool.record(event("zoo", 13, Kind::Refused)).await.unwrap();
    drop(spool);
    let (spool, open_calls) = open(dir.path());
    assert_eq!(open_calls.len(), 1);
    assert_eq!(open_calls[0].of, Some(EventId::from(Uuid::from_u128(11))));
    spool.record(event("acme", 4, Kind::Refused)).await.unwrap();
    let events = stored(&spool, &acme()).await;
    assert_eq!(events.len(), 4);
    let mut before = (0, EntryHash::ZERO);
    for event in &events {
        assert_eq!((event.edge_seq, event.edge_prev), (before.0 + 1, before.1));
        before = (
            event.edge_seq,
            EntryHash::of(&event.to_canonical().unwrap()),
        );
    }
}

#[tokio::test]
async fn ceilings_hold_under_many_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let calls =
        (0..50).map(|number| spool.submit(event("acme", number + 1, Kind::Authorized), charge(7)));
    let results = futures::future::join_all(calls).await;
    let count =
        |want: Result<(), NotRecorded>| results.iter().filter(|result| **result == want).count();
    assert_eq!(count(Ok(())), 7);
    assert_eq!(
        count(Err(NotRecorded::Exhausted(Reason::CallsExhausted))),
        43
    );
    drop(spool);
    let (spool, open_calls) = open(dir.path());
    assert_eq!(open_calls.len(), 7);
    let again = spool
        .submit(event("acme", 99, Kind::Authorized), charge(7))
        .await;
    assert_eq!(again, Err(NotRecorded::Exhausted(Reason::CallsExhausted)));
    assert_eq!(
        spool
            .submit(event("acme", 98, Kind::Authorized), charge(8))
            .await,
        Ok(())
    );
}

#[tokio::test]
async fn a_draw_behind_an_outcome_is_on_what_that_gave_back() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let key = CountKey::Lease(7);
    let draw = |units, back| {
        vec![Charge {
            units,
            back,
            ..Charge::call(key.clone(), None, 100, Reason::BudgetExhausted)
        }]
    };
    let call = |number| event("acme", number, Kind::Authorized);
    spool.submit(call(1), draw(100, 0)).await.unwrap();
    for number in (1..80).step_by(2) {
        // However many of these one sync covers.
        spool
            .outcome(outcome(&call(number), number + 1), draw(0, 100))
            .await;
        let drawn = spool.submit(call(number + 2), draw(100, 0));
        drawn.await.unwrap();
    }
    assert!(spool.flush().await);
    assert_eq!(spool.counts().get(&acme(), &key), 100);
    drop(spool);
    let (spool, _) = open(dir.path());
    assert_eq!(spool.counts().get(&acme(), &key), 100);
}

#[tokio::test]
async fn what_was_drawn_on_a_lease_is_known_after_a_restart_until_the_counter_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let key = CountKey::Lease(7);
    let draw = |units, back| Charge {
        units,
        back,
        ..Charge::call(key.clone(), None, 100, Reason::BudgetExhausted)
    };
    let submit = |number, units| {
        spool.submit(
            event("acme", number, Kind::Authorized),
            vec![draw(units, 0)],
        )
    };
    submit(1, 60).await.unwrap();
    submit(2, 40).await.unwrap();
    assert_eq!(
        submit(3, 1).await,
        Err(NotRecorded::Exhausted(Reason::BudgetExhausted)),
        "never more than was granted"
    );
    // The first used 10 of its 60; the second 70 where it had 40. An outcome is never refused.
    spool
        .outcome(
            outcome(&event("acme", 1, Kind::Authorized), 4),
            vec![draw(0, 50)],
        )
        .await;
    spool
        .outcome(
            outcome(&event("acme", 2, Kind::Authorized), 5),
            vec![draw(30, 0)],
        )
        .await;
    spool.record(event("acme", 6, Kind::Refused)).await.unwrap();
    drop(spool);
    let (spool, _) = open(dir.path());
    assert_eq!(spool.counts().get(&acme(), &key), 80);
    // By records, and by the snapshot that the restart made of them.
    drop(spool);
    let (spool, _) = open(dir.path());
    assert_eq!(spool.counts().get(&acme(), &key), 80);
    spool.forget(acme(), vec![key.clone()]).await;
    assert!(spool.flush().await);
    assert_eq!(spool.counts().get(&acme(), &key), 0);
}

#[tokio::test]
async fn no_jump_of_a_clock_makes_a_used_up_ceiling_new() {
    let dir = tempfile::tempdir().unwrap();
    let noon = Timestamp::from_secs(1_700_000_000);
    let (clock, hand) = Clock::at(noon);
    let (spool, _) = Spool::open(config(dir.path()), clock).unwrap();
    let key = CountKey::Token("ab".repeat(32).parse().unwrap());
    let until = Some(noon.plus_secs(3_600));
    let one = Charge::call(key.clone(), until, 1, Reason::CallsExhausted);
    let call = |number| spool.submit(event("acme", number, Kind::Authorized), vec![one.clone()]);
    let house_kept = || async {
        spool.tick().await;
        spool.flush().await;
        spool.counts().get(&acme(), &key)
    };
    call(1).await.unwrap();
    spool.control_time().heard(noon);
    // This machine's clock jumps ten years ahead, and back.
    hand.set_wall(noon.plus_secs(315_360_000));
    assert_eq!(house_kept().await, 1);
    hand.set_wall(noon);
    let exhausted = Err(NotRecorded::Exhausted(Reason::CallsExhausted));
    assert_eq!(call(2).await, exhausted);
    // Or control's does.
    spool.control_time().heard(noon.plus_secs(3_599 + 300));
    assert_eq!(house_kept().await, 1);
    // Its time is over by both, even for a clock that is set back by what it may be behind.
    hand.set_wall(noon.plus_secs(3_599 + 300));
    assert_eq!(house_kept().await, 1);
    spool.control_time().heard(noon.plus_secs(3_600 + 300));
    hand.set_wall(noon.plus_secs(3_600 + 300));
    assert_eq!(house_kept().await, 0);
}

#[tokio::test]
async fn what_a_call_takes_while_it_goes_on_is_counted_without_an_event() {
    let dir = tempfile::tempdir().unwrap();
    let small = SpoolConfig {
        dir: dir.path().to_owned(),
        bytes_max: 1,
    };
    let (spool, _) = open(dir.path());
    let key = CountKey::Lease(7);
    let draw = |units, back| Charge {
        units,
        back,
        ..Charge::call(key.clone(), None, 100, Reason::BudgetExhausted)
    };
    let call = event("acme", 1, Kind::Authorized);
    spool.submit(call.clone(), vec![draw(10, 0)]).await.unwrap();
    assert!(
        spool.charge(acme(), vec![draw(20, 0)]).unwrap().await,
        "it is durable"
    );
    close(spool, dir.path());
    // After a crash the call has no outcome, and has all that it took; a full spool takes such a record, too.
    let (spool, open_calls) = Spool::open(small, Clock::system()).unwrap();
    assert_eq!(open_calls.len(), 1);
    assert_eq!(spool.counts().get(&acme(), &key), 30);
    assert!(
        spool
            .record(event("acme", 2, Kind::Authorized))
            .await
            .is_err()
    );
    // Whoever does not wait for it has it counted all the same, before the outcome that corrects it.
    drop(spool.charge(acme(), vec![draw(40, 0)]).unwrap());
    spool.outcome(outcome(&call, 3), vec![draw(0, 50)]).await;
    assert!(spool.flush().await);
    assert_eq!(spool.counts().get(&acme(), &key), 20);
    close(spool, dir.path());
    let (spool, open_calls) = open(dir.path());
    assert!(open_calls.is_empty());
    assert_eq!(spool.counts().get(&acme(), &key), 20);
    let kinds = stored(&spool, &acme()).await;
    assert_eq!(kinds.len(), 2, "they are no events of the lane");
}

#[test]
fn charges_of_the_first_version_are_still_read() {
    let old = r#"[{"key":{"token":"KEY"},"until":null,"most":5,"reason":"calls_exhausted"}]"#;
    let old = old.replace("KEY", &"ab".repeat(32));
    let read: Vec<Charge> = serde_json::from_str(&old).unwrap();
    assert_eq!(read, charge(5));
    assert_eq!(
        serde_json::to_string(&read).unwrap(),
        old,
        "and written as before"
    );
}

#[tokio::test]
async fn receipts_let_go_of_events_and_a_foreign_one_stops_everything() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    for number in 1..=5 {
        spool
            .record(event("acme", number, Kind::Refused))
            .await
            .unwrap();
    }
    let events = stored(&spool, &acme()).await;
    spool.settle(receipt(&events[2])).await;
    spool.record(event("acme", 6, Kind::Refused)).await.unwrap();
    assert_eq!(stored(&spool, &acme()).await.first().unwrap().edge_seq, 4);
    let mut foreign = receipt(&events[4]);
    foreign.edge_hash = EntryHash::ZERO;
    spool.settle(foreign).await;
    assert_eq!(
        spool.record(event("acme", 7, Kind::Refused)).await,
        Err(NotRecorded::Unavailable)
    );
    assert!(!spool.is_writable());
}

#[tokio::test]
async fn a_call_whose_outcome_can_not_be_written_is_unknown_after_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let call = event("acme", 1, Kind::Authorized);
    spool.submit(call.clone(), charge(7)).await.unwrap();
    let mut foreign = receipt(&stored(&spool, &acme()).await[0]);
    foreign.edge_hash = EntryHash::ZERO;
    spool.settle(foreign).await;
    spool.outcome(outcome(&call, 2), Vec::new()).await;
    assert!(spool.flush().await, "it is not owed: it would never go");
    close(spool, dir.path());
    let (spool, open_calls) = open(dir.path());
    let [missing] = open_calls.as_slice() else {
        panic!("{open_calls:?}");
    };
    assert_eq!(
        (missing.of, missing.kind),
        (Some(call.event_id), Kind::Unknown)
    );
    let key = charge(7).remove(0).key;
    assert_eq!(spool.counts().get(&acme(), &key), 1);
}

#[tokio::test]
async fn a_receipt_for_more_than_we_have_stops_everything() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    spool.record(event("acme", 1, Kind::Refused)).await.unwrap();
    let mut ahead = receipt(&stored(&spool, &acme()).await[0]);
    ahead.edge_seq = 2;
    spool.settle(ahead).await;
    assert_eq!(
        spool.record(event("acme", 2, Kind::Refused)).await,
        Err(NotRecorded::Unavailable)
    );
}

fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    segment::list(dir)
        .unwrap()
        .into_iter()
        .map(|number| segment::path(dir, number))
        .collect()
}

#[tokio::test]
async fn two_processes_do_not_share_a_spool() {
    let dir = tempfile::tempdir().unwrap();
    let (_spool, _) = open(dir.path());
    assert!(matches!(
        Spool::open(config(dir.path()), Clock::system()),
        Err(SpoolError::InUse(_))
    ));
}

#[tokio::test]
async fn segments_the_ledger_has_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let (spool, _) = open(dir.path());
        spool
            .record(event("acme", round + 1, Kind::Refused))
            .await
            .unwrap();
    }
    let (spool, _) = open(dir.path());
    assert_eq!(segments(dir.path()).len(), 5);
    let events = stored(&spool, &acme()).await;
    spool.settle(receipt(events.last().unwrap())).await;
    spool.record(event("acme", 9, Kind::Refused)).await.unwrap();
    assert_eq!(segments(dir.path()).len(), 1);
    assert_eq!(stored(&spool, &acme()).await.len(), 1);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    /// Whatever bytes a segment ends in, opening gives what was acknowledged or says that it can't.
    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(0u8..=255, 0..300)) {
        let dir = tempfile::tempdir().unwrap();
        let path = segment::path(dir.path(), 1);
        let mut content = b"proctor-spool-1\n".to_vec();
        content.extend(bytes);
        std::fs::write(&path, content).unwrap();
        let _ = segment::read(&path).unwrap();
    }
}
