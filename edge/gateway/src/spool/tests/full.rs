//! A spool or a disk without room.

use super::*;

#[tokio::test]
async fn a_full_spool_refuses_calls_but_takes_outcomes() {
    let dir = tempfile::tempdir().unwrap();
    let small = SpoolConfig {
        dir: dir.path().to_owned(),
        bytes_max: 2_000,
    };
    let (spool, _) = Spool::open(small, Clock::system()).unwrap();
    let mut written = 0;
    while spool
        .record(event("acme", written + 1, Kind::Authorized))
        .await
        .is_ok()
    {
        written += 1;
        assert!(written < 100, "it never gets full");
    }
    spool
        .outcome(
            outcome(&event("acme", 1, Kind::Authorized), 500),
            Vec::new(),
        )
        .await;
    // The disk may stand still for a while.
    for _ in 0..6_000 {
        spool.tick().await;
        if stored(&spool, &acme())
            .await
            .last()
            .is_some_and(|event| event.kind == Kind::Completed)
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the outcome was not written");
}

#[tokio::test]
async fn a_small_spool_that_was_full_takes_calls_again_when_the_ledger_has_all() {
    let dir = tempfile::tempdir().unwrap();
    let small = SpoolConfig {
        dir: dir.path().to_owned(),
        bytes_max: 256 * 1024,
    };
    let (spool, _) = Spool::open(small, Clock::system()).unwrap();
    let mut written = 0;
    while spool
        .record(event("acme", written + 1, Kind::Refused))
        .await
        .is_ok()
    {
        written += 1;
        assert!(written < 10_000, "it never gets full");
    }
    while let Some(last) = stored(&spool, &acme()).await.pop() {
        spool.settle(receipt(&last)).await;
        assert!(spool.flush().await);
    }
    let again = spool.record(event("acme", written + 1, Kind::Refused));
    assert_eq!(again.await, Ok(()));
}

#[tokio::test]
async fn a_spool_that_starts_on_a_full_disk_gives_what_it_holds_and_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let call = event("acme", 1, Kind::Authorized);
    spool.submit(call.clone(), charge(7)).await.unwrap();
    spool.record(event("acme", 2, Kind::Refused)).await.unwrap();
    close(spool, dir.path());

    let disk = Disk::new(dir.path().to_owned());
    disk.trace.fill();
    let (spool, open_calls) = Spool::open_on(disk.clone(), 1 << 20, Clock::system()).unwrap();
    assert_eq!(open_calls.len(), 1);
    assert!(!spool.is_writable());
    let refused = Err(NotRecorded::Unavailable);
    let attempt = || spool.record(event("acme", 3, Kind::Refused));
    assert_eq!(attempt().await, refused);
    spool.outcome(outcome(&call, 4), Vec::new()).await;
    assert!(!spool.flush().await, "it is owed");
    let events = stored(&spool, &acme()).await;
    assert_eq!(events.len(), 2);
    spool.settle(receipt(&events[1])).await;
    assert!(!spool.flush().await);
    assert_eq!(spool.waiting(), 0);
    let kept = segments(dir.path());
    assert_eq!(kept.len(), 1, "the counts are nowhere else");
    assert_eq!(attempt().await, refused);

    disk.trace.make_room();
    for _ in 0..6_000 {
        spool.tick().await;
        if spool.flush().await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(spool.is_writable());
    assert_eq!(attempt().await, Ok(()));
    let events = stored(&spool, &acme()).await;
    let kinds = events.iter().map(|event| (event.edge_seq, event.kind));
    let expected = [(3, Kind::Completed), (4, Kind::Refused)];
    assert_eq!(kinds.collect::<Vec<_>>(), expected);
    assert!(!segments(dir.path()).contains(&kept[0]));
    close(spool, dir.path());
    let (spool, open_calls) = open(dir.path());
    assert!(open_calls.is_empty());
    let key = charge(7).remove(0).key;
    assert_eq!(spool.counts().get(&acme(), &key), 1);
}
