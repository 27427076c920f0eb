use super::*;

/// A child that answers the first request and then reads nothing any more.
#[tokio::test]
async fn a_child_that_stops_to_read_is_started_anew() {
    let result = r#"{"protocolVersion":"2025-11-25","capabilities":{}}"#;
    let script = r#"read line; id=${line#*\"id\":}; id=${id%%[,\}]*}
        echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":$RESULT}"; exec sleep 600"#;
    let args = vec!["-c".to_owned(), script.to_owned()];
    let env = BTreeMap::from([("RESULT".to_owned(), result.to_owned())]);
    let news = broadcast::channel(1).0;
    let stdio = Stdio::new("sh".to_owned(), args, env, ChildLimits::default(), news);
    let first = Arc::downgrade(&stdio.running().await.unwrap());
    let talk = Talk::silent("");
    let large = Map::from_iter([("x".to_owned(), Value::from("x".repeat(256 * 1024)))]);
    for _ in 0..LATE_MAX {
        assert!(!first.upgrade().unwrap().ended.load(Ordering::Acquire));
        let mut request = Request::own("tools/call", large.clone(), &talk);
        request.limit = Duration::from_millis(50);
        let answer = stdio.request(request).await;
        assert_eq!(answer.unwrap_err(), Failure::Timeout);
    }
    assert!(
        first
            .upgrade()
            .is_none_or(|first| first.ended.load(Ordering::Acquire))
    );
    stdio.running.lock().await.not_before = Instant::now();
    let second = stdio.running().await.unwrap();
    assert!(!second.ended.load(Ordering::Acquire));
}

/// A child that answers the first request and ends.
#[tokio::test]
async fn a_child_that_keeps_ending_is_started_ever_more_seldom() {
    let result = r#"{"protocolVersion":"2025-11-25","capabilities":{}}"#;
    let script = r#"read line; id=${line#*\"id\":}; id=${id%%[,\}]*}
        echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":$RESULT}"; read line"#;
    let args = vec!["-c".to_owned(), script.to_owned()];
    let env = BTreeMap::from([("RESULT".to_owned(), result.to_owned())]);
    let news = broadcast::channel(1).0;
    let stdio = Stdio::new("sh".to_owned(), args, env, ChildLimits::default(), news);
    let mut pause = Duration::ZERO;
    for _ in 0..6 {
        let begun = Instant::now();
        stdio.running.lock().await.not_before = begun;
        let running = stdio.running().await.unwrap();
        pause = stdio.running.lock().await.not_before - begun;
        ended(&running).await;
    }
    // 200 ms, doubled five times, less a half at most.
    assert!(pause >= Duration::from_millis(3_200), "{pause:?}");
    assert_eq!(stdio.running().await.err(), Some(Failure::Unreachable));
    // One that ran for long has nothing held against it.
    stdio.running.lock().await.not_before = Instant::now();
    let running = stdio.running().await.unwrap();
    ended(&running).await;
    let begun = Instant::now();
    let mut start = stdio.running.lock().await;
    start.since -= STEADY + Duration::from_secs(1);
    start.not_before = begun;
    drop(start);
    drop(stdio.running().await.unwrap());
    let pause = stdio.running.lock().await.not_before - begun;
    assert!(pause <= 2 * RESTART_MIN, "{pause:?}");
}

async fn ended(running: &Running) {
    let ended = async {
        while !running.ended.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(START_TIMEOUT, ended).await.unwrap();
}
