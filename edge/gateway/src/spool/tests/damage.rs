//! Files that are not as they were written.

use super::*;
use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};

#[tokio::test]
async fn a_torn_end_is_dropped_and_damage_before_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    spool.record(event("acme", 1, Kind::Refused)).await.unwrap();
    spool.record(event("acme", 2, Kind::Refused)).await.unwrap();
    close(spool, dir.path());
    let last = segments(dir.path()).pop().unwrap();
    OpenOptions::new()
        .append(true)
        .open(&last)
        .unwrap()
        .write_all(&[9, 0, 0, 0, 1, 2])
        .unwrap();
    let (spool, _) = open(dir.path());
    spool.record(event("acme", 3, Kind::Refused)).await.unwrap();
    assert_eq!(stored(&spool, &acme()).await.len(), 3);
    close(spool, dir.path());
    // The first segment is complete by what the second one says of it: a flipped bit is damage.
    let mut file = OpenOptions::new().write(true).open(&last).unwrap();
    file.seek(SeekFrom::Start(120)).unwrap();
    file.write_all(b"~~~~").unwrap();
    drop(file);
    assert!(matches!(
        Spool::open(config(dir.path()), Clock::system()),
        Err(SpoolError::Corrupt(_))
    ));
}

#[tokio::test]
async fn what_was_promised_is_there_to_the_last_bit_or_the_edge_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    for number in 1..=3 {
        spool
            .record(event("acme", number, Kind::Refused))
            .await
            .unwrap();
    }
    close(spool, dir.path());
    let last = segments(dir.path()).pop().unwrap();
    let good = std::fs::read(&last).unwrap();
    let refuses = |why: &str| {
        let opened = Spool::open(config(dir.path()), Clock::system());
        assert!(matches!(opened, Err(SpoolError::Corrupt(_))), "{why}");
    };
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        std::fs::write(&last, bad).unwrap();
        refuses(&format!("a flipped bit at {at}"));
    }
    for length in [0, 8, good.len() / 2, good.len() - 1] {
        std::fs::write(&last, &good[..length]).unwrap();
        refuses(&format!("cut to {length}"));
    }
    let mut zeroed = good.clone();
    zeroed[good.len() - 64..].fill(0);
    std::fs::write(&last, zeroed).unwrap();
    refuses("zeros at the end");
    std::fs::remove_file(&last).unwrap();
    refuses("the segment is gone");
    std::fs::write(&last, &good).unwrap();
    let (spool, _) = open(dir.path());
    assert_eq!(stored(&spool, &acme()).await.len(), 3);
}

/// What versions before this one left of a power cut: the removal of a segment was durable, the mark that named it was not
/// written anew.
#[tokio::test]
async fn a_mark_that_names_a_segment_that_was_let_go_of_is_merely_an_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let call = event("acme", 1, Kind::Authorized);
    spool.submit(call, charge(7)).await.unwrap();
    close(spool, dir.path());
    let old = std::fs::read(mark::path(dir.path())).unwrap();
    let (spool, _) = open(dir.path());
    let last = stored(&spool, &acme()).await.pop().unwrap();
    spool.settle(receipt(&last)).await;
    spool.record(event("acme", 2, Kind::Refused)).await.unwrap();
    close(spool, dir.path());
    let [kept] = <[_; 1]>::try_from(segments(dir.path())).unwrap();
    std::fs::write(mark::path(dir.path()), &old).unwrap();

    let (spool, open_calls) = open(dir.path());
    assert_eq!(open_calls.len(), 1);
    let events = stored(&spool, &acme()).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].edge_seq, 2);
    let key = charge(7).remove(0).key;
    assert_eq!(spool.counts().get(&acme(), &key), 1);
    close(spool, dir.path());

    // But something has to be there that speaks for what is gone.
    for path in segments(dir.path()) {
        if path != kept {
            std::fs::remove_file(path).unwrap();
        }
    }
    let refuses = |why: &str| {
        std::fs::write(mark::path(dir.path()), &old).unwrap();
        let opened = Spool::open(config(dir.path()), Clock::system());
        assert!(matches!(opened, Err(SpoolError::Corrupt(_))), "{why}");
    };
    std::fs::write(&kept, b"proctor-spool-1\n").unwrap();
    refuses("nothing in the only segment");
    std::fs::remove_file(&kept).unwrap();
    refuses("no segment at all");
}

#[tokio::test]
async fn an_event_that_changed_on_disk_is_not_sent_and_no_call_is_made_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let call = event("acme", 1, Kind::Authorized);
    spool.record(call.clone()).await.unwrap();
    for number in 2..=3 {
        let event = event("acme", number, Kind::Refused);
        spool.record(event).await.unwrap();
    }
    let other = event("zoo", 4, Kind::Refused);
    spool.record(other).await.unwrap();
    let path = segments(dir.path()).pop().unwrap();
    let good = std::fs::read(&path).unwrap();
    let second = stored(&spool, &acme()).await[1].to_canonical().unwrap();
    let found = |part: &[u8]| part == second;
    let at = good.windows(second.len()).position(found).unwrap() + second.len() / 2;
    let put = |bytes: &[u8]| {
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, bytes, 0).unwrap();
    };
    let mut bad = good.clone();
    bad[at] ^= 4;
    put(&bad);

    // What comes before it is sent, and other lanes.
    assert_eq!(stored(&spool, &acme()).await.len(), 1);
    assert!(spool.batch(&acme(), 2).await.unwrap().is_none());
    assert_eq!(stored(&spool, &"zoo".parse().unwrap()).await.len(), 1);
    assert!(!spool.is_writable());
    let refused = Err(NotRecorded::Unavailable);
    let next = event("acme", 5, Kind::Refused);
    assert_eq!(spool.record(next).await, refused);
    // What has happened is still written.
    spool.outcome(outcome(&call, 6), Vec::new()).await;
    assert!(spool.flush().await);
    let refuses = |why: &str| {
        let opened = Spool::open(config(dir.path()), Clock::system());
        assert!(matches!(opened, Err(SpoolError::Corrupt(_))), "{why}");
    };
    close(spool, dir.path());
    refuses("the flipped bit");
    put(&good);
    let (spool, open_calls) = open(dir.path());
    assert!(open_calls.is_empty());
    assert_eq!(stored(&spool, &acme()).await.len(), 4);
    assert!(spool.is_writable());
}

#[tokio::test]
async fn a_segment_of_another_history_is_noticed() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for (dir, number) in dirs.iter().zip(2..) {
        let (spool, _) = open(dir.path());
        spool.record(event("acme", 1, Kind::Refused)).await.unwrap();
        let last = event("acme", number, Kind::Refused);
        spool.record(last).await.unwrap();
        close(spool, dir.path());
        let (spool, _) = open(dir.path());
        close(spool, dir.path());
    }
    let [here, there] = dirs.each_ref().map(|dir| segment::path(dir.path(), 1));
    let good = std::fs::read(&here).unwrap();
    std::fs::copy(there, &here).unwrap();
    assert!(matches!(
        Spool::open(config(dirs[0].path()), Clock::system()),
        Err(SpoolError::Corrupt(_))
    ));
    std::fs::write(&here, good).unwrap();
    let (spool, _) = open(dirs[0].path());
    assert_eq!(stored(&spool, &acme()).await.len(), 2);
}
