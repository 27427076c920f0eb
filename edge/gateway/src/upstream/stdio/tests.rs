use super::*;
use crate::upstream::talk::{Answers, Word};
use proctor_model::EntryKind;
use std::collections::HashSet;

/// A shell that runs this, with `$RESULT`.
fn shell(script: &str, result: &str) -> Stdio {
    let spec = Spec {
        command: "sh".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: BTreeMap::from([("RESULT".to_owned(), result.to_owned())]),
        limits: ChildLimits::default(),
        wrapper: None,
    };
    Stdio::new(spec, broadcast::channel(16).0)
}

/// A child that answers the first request and then reads nothing any more.
#[tokio::test]
async fn a_child_that_stops_to_read_is_started_anew() {
    let result = r#"{"protocolVersion":"2025-11-25","capabilities":{}}"#;
    let script = r#"read line; id=${line#*\"id\":}; id=${id%%[,\}]*}
        echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":$RESULT}"; exec sleep 600"#;
    let stdio = shell(script, result);
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
    let stdio = shell(script, result);
    // However long one takes to end on a slow machine: none of them ran for long.
    let ended_at_once = async |not_before: Instant| {
        let mut start = stdio.running.lock().await;
        (start.since, start.not_before) = (Instant::now(), not_before);
    };
    let mut pause = Duration::ZERO;
    for _ in 0..6 {
        let begun = Instant::now();
        ended_at_once(begun).await;
        let running = stdio.running().await.unwrap();
        pause = stdio.running.lock().await.not_before - begun;
        ended(&running).await;
    }
    // 200 ms, doubled five times, less a half at most.
    assert!(pause >= Duration::from_millis(3_200), "{pause:?}");
    ended_at_once(Instant::now() + pause).await;
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

const LEGACY: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{}}"#;

/// What a child of the older revisions does with each line, and then this.
fn legacy(cases: &str) -> Stdio {
    let script = r#"
        answer() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
        while read -r line; do
            id=${line#*\"id\":}; id=${id%%[,\}]*}
            case $line in
                *'"initialize"'*) answer "$RESULT";;
                CASES
            esac
        done"#;
    shell(&script.replace("CASES", cases), LEGACY)
}

fn asked(words: mpsc::Sender<Word>) -> Talk {
    Talk {
        capabilities: Talk::all_askable(),
        answers: Answers::OnItsStream,
        words: Some(words),
        ..Talk::silent("b")
    }
}

fn said(answer: Answer) -> Value {
    rpc::result(answer).unwrap()["said"].clone()
}

#[tokio::test]
async fn a_question_that_may_be_about_a_call_that_was_given_up_is_nobody_elses() {
    for given_up in [false, true] {
        let stdio = legacy(
            r#"
            *'"second"'*)
                echo '{"jsonrpc":"2.0","id":"q","method":"roots/list"}'
                while read -r reply; do case $reply in *'"id":"q"'*) break;; esac; done
                case $reply in *'"error"'*) answer '{"said":"no"}';; *) answer '{"said":"yes"}';; esac;;
            "#,
        );
        drop(stdio.running().await.unwrap());
        let silent = Talk::silent("a");
        if given_up {
            let mut first = Request::own("first", Map::new(), &silent);
            first.limit = Duration::from_millis(50);
            let answer = stdio.request(first).await;
            assert_eq!(answer.unwrap_err(), Failure::Timeout);
        }
        let (words, mut taken) = mpsc::channel(4);
        let talk = asked(words);
        let second = stdio.request(Request::own("second", Map::new(), &talk));
        let replying = async {
            while let Some(word) = taken.recv().await {
                if let Word::Question(_, reply) = word {
                    assert!(!given_up, "somebody else's question");
                    reply.send(Reply::Result(Map::new())).unwrap();
                }
            }
        };
        let answer = tokio::select! {
            answer = second => answer.unwrap(),
            () = replying => panic!("nobody is asked any more"),
        };
        let wanted = if given_up { "no" } else { "yes" };
        assert_eq!(said(answer), wanted);
    }
}

#[tokio::test]
async fn too_much_is_the_fault_of_one_answer_alone() {
    let stdio = legacy(
        r#"
        *'"tree"'*)
            x='[],'; n=0; while [ $n -lt 17 ]; do x=$x$x; n=$((n+1)); done
            answer "{\"x\":[${x}0]}";;
        *'"long"'*)
            x=0123456789abcdef; n=0; while [ $n -lt 21 ]; do x=$x$x; n=$((n+1)); done
            printf '{"jsonrpc":"2.0","result":{"x":"%s"},"id":%s}\n' "$x" "$id";;
        *'"small"'*) answer '{"said":"here"}';;
        "#,
    );
    let child = stdio.running().await.unwrap();
    let talk = Talk::silent("a");
    for much in ["tree", "tree", "long", "tree", "tree"] {
        let mut request = Request::own(much, Map::new(), &talk);
        request.limit = Duration::from_secs(60);
        let answer = stdio.request(request).await;
        assert_eq!(answer.unwrap_err(), Failure::TooLarge, "{much}");
    }
    let small = stdio.request(Request::own("small", Map::new(), &talk));
    assert_eq!(said(small.await.unwrap()), "here");
    let same = stdio.running().await.unwrap();
    assert!(Arc::ptr_eq(&child, &same), "the same child");
}

#[tokio::test]
async fn a_child_that_writes_what_is_no_message_beside_its_answers_is_borne_with() {
    let stdio = legacy(
        r#"
        *'"noisy"'*)
            n=0; while [ $n -lt 40 ]; do echo 'loading'; echo; echo ' '; n=$((n+1)); done
            answer '{"said":"here"}';;
        *'"babbles"'*) while echo 'loading'; do :; done;;
        "#,
    );
    let child = stdio.running().await.unwrap();
    let talk = Talk::silent("a");
    for _ in 0..4 {
        let noisy = stdio.request(Request::own("noisy", Map::new(), &talk));
        assert_eq!(said(noisy.await.unwrap()), "here");
    }
    assert!(!child.ended.load(Ordering::Acquire));
    let babbles = stdio.request(Request::own("babbles", Map::new(), &talk));
    assert_eq!(babbles.await.unwrap_err(), Failure::Broken);
}

#[tokio::test]
async fn a_child_that_is_let_go_of_may_end_by_itself() {
    let kept = tempfile::tempdir().unwrap();
    // One ends with its input, another when it is asked to, and one not at all.
    for (name, at_the_end) in [
        ("input", "finish"),
        (
            "asked",
            // A shell does not hear while it waits for what it runs before its eyes.
            "trap 'finish; exit' TERM; while :; do sleep 0.02 & wait $!; done",
        ),
        ("never", "trap '' TERM; while :; do sleep 0.02; done"),
    ] {
        let file = kept.path().join(name);
        let script = format!(
            r#"
            finish() {{ echo done > '{file}'; }}
            read -r line; id=${{line#*\"id\":}}; id=${{id%%[,\}}]*}}
            printf '{{"jsonrpc":"2.0","id":%s,"result":%s}}\n' "$id" "$RESULT"
            while read -r line; do :; done
            {at_the_end}"#,
            file = file.display()
        );
        let stdio = shell(&script, LEGACY);
        let running = stdio.running().await.unwrap();
        let pid = running.child.lock().unwrap().as_ref().unwrap().0.id();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(pid.unwrap()).unwrap());
        drop(running);
        drop(stdio);
        let gone = async {
            while nix::sys::signal::killpg(pid, None).is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let gone = tokio::time::timeout(START_TIMEOUT, gone).await;
        assert!(gone.is_ok(), "{name}");
        assert_eq!(file.exists(), name != "never", "{name}");
    }
}

#[tokio::test]
async fn a_question_that_is_taken_back_holds_nothing_up() {
    let stdio = legacy(
        r#"
        *'"asks"'*)
            echo '{"jsonrpc":"2.0","id":"q","method":"roots/list"}'
            echo '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"q"}}'
            read -r line; answer '{"said":"a reply, or the end"}';;
        "#,
    );
    drop(stdio.running().await.unwrap());
    let (words, mut taken) = mpsc::channel(4);
    let talk = asked(words);
    let asking = stdio.request(Request::own("asks", Map::new(), &talk));
    let asking = async { drop(asking.await) };
    let question = async {
        let Some(Word::Question(_, mut reply)) = taken.recv().await else {
            panic!("no question")
        };
        reply.closed().await;
    };
    let both = async {
        tokio::select! {
            () = asking => panic!("it is not answered"),
            () = question => {}
        }
    };
    let taken_back = tokio::time::timeout(Duration::from_secs(8), Box::pin(both)).await;
    assert!(taken_back.is_ok(), "nobody waits for the reply any more");
}

#[tokio::test]
async fn a_new_child_of_the_older_revisions_is_asked_for_what_is_watched() {
    let stdio = Arc::new(legacy(
        r#"
        *'"resources/subscribe"'*)
            answer '{}'
            echo '{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"docs://a"}}';;
        *'"ends"'*) exit;;
        "#,
    ));
    let mut news = stdio.news.subscribe();
    let (wanted, talk) = (HashSet::from(["docs://a".into()]), Talk::watching(""));
    for _ in 0..2 {
        stdio.running.lock().await.not_before = Instant::now();
        let listener = Arc::clone(&stdio);
        let listening =
            tokio::spawn(async move { listener.listen(&Talk::watching(""), &[]).await });
        assert!(stdio.subscribe(&wanted, &talk).await);
        let told = tokio::time::timeout(START_TIMEOUT, news.recv()).await;
        assert_eq!(told.unwrap().unwrap(), News::Updated("docs://a".into()));
        assert!(!listening.is_finished());
        let ends = stdio.request(Request::own("ends", Map::new(), &talk));
        assert_eq!(ends.await.unwrap_err(), Failure::Broken);
        let over = tokio::time::timeout(START_TIMEOUT, listening).await;
        assert_eq!(over.unwrap().unwrap(), Ok(()), "it is heard that it ended");
    }
}

/// Waits until the process of a child is over.
async fn over(running: &Running) {
    let id = running.child.lock().unwrap().as_ref().unwrap().0.id();
    let over = child::over(id);
    tokio::time::timeout(START_TIMEOUT, over).await.unwrap();
    ended(running).await;
}

/// Ends when it is asked to: well after its answer, well without one, or not well.
fn ending() -> Stdio {
    legacy(
        r#"
        *'"rests"'*) answer '{}'; exit 0;;
        *'"breaks"'*) exit 0;;
        *'"fails"'*) answer '{}'; exit 3;;
        "#,
    )
}

#[tokio::test]
async fn only_a_child_that_nobody_needed_is_at_rest() {
    let talk = Talk::silent("");
    for (ends, at_rest) in [("rests", true), ("breaks", false), ("fails", false)] {
        let stdio = ending();
        assert!(!stdio.rests().await, "{ends}: it never ran");
        let running = stdio.running().await.unwrap();
        assert!(!stdio.rests().await, "{ends}: it runs");
        drop(stdio.request(Request::own(ends, Map::new(), &talk)).await);
        over(&running).await;
        assert_eq!(stdio.rests().await, at_rest, "{ends}");
        stdio.running.lock().await.not_before = Instant::now();
        drop(stdio.running().await.unwrap());
        assert!(!stdio.rests().await, "{ends}: another one runs");
    }
}

#[tokio::test]
async fn a_child_that_went_to_rest_is_started_again_at_once() {
    let talk = Talk::silent("");
    let ran = STEADY_AT_REST + Duration::from_millis(1);
    for (ends, ran, at_once) in [
        ("rests", ran, true),
        ("rests", Duration::ZERO, false),
        ("breaks", ran, false),
        ("fails", ran, false),
        ("fails", STEADY + ran, true),
    ] {
        // Whether that is noticed before the next call or by it.
        for noticed in [false, true] {
            let stdio = ending();
            let running = stdio.running().await.unwrap();
            drop(stdio.request(Request::own(ends, Map::new(), &talk)).await);
            over(&running).await;
            let mut start = stdio.running.lock().await;
            // It has ended often.
            for _ in 0..20 {
                start.backoff.next_pause();
            }
            let now = Instant::now();
            (start.since, start.not_before) = (now - ran, now + RESTART_MAX);
            drop(start);
            if noticed {
                stdio.rests().await;
            }
            let again = stdio.running().await.map(drop);
            let wanted = at_once.then_some(()).ok_or(Failure::Unreachable);
            assert_eq!(again, wanted, "{ends} after {ran:?}");
            let pause = stdio.running.lock().await.not_before - now;
            let is_short = pause < RESTART_MAX / 2;
            assert_eq!(is_short, at_once, "{ends} after {ran:?}: {pause:?}");
        }
    }
}

#[tokio::test]
async fn a_child_at_rest_is_not_started_for_its_news() {
    let (stdio, talk) = (Arc::new(ending()), Talk::silent(""));
    let rests = async || {
        stdio.running.lock().await.not_before = Instant::now();
        let running = stdio.running().await.unwrap();
        let request = Request::own("rests", Map::new(), &talk);
        stdio.request(request).await.unwrap();
        over(&running).await;
        stdio.running.lock().await.not_before = Instant::now();
    };
    let listen = |watched: &'static [&'static str]| {
        let listener = Arc::clone(&stdio);
        tokio::spawn(async move {
            let watched: Vec<Arc<str>> = watched.iter().map(|uri| Arc::from(*uri)).collect();
            listener.listen(&Talk::watching(""), &watched).await
        })
    };
    rests().await;
    let listening = listen(&[]);
    assert!(stdio.subscribe(&HashSet::new(), &talk).await);
    tokio::task::yield_now().await;
    // If it were being started, this would wait for it.
    assert!(stdio.running.lock().await.running.is_none());
    assert!(!listening.is_finished());
    // It listens to the one that somebody else needs.
    rests().await;
    let over = tokio::time::timeout(START_TIMEOUT, listening).await;
    assert_eq!(over.unwrap().unwrap(), Ok(()));

    assert!(stdio.rests().await);
    let listening = listen(&["docs://a"]);
    let woken = tokio::time::timeout(START_TIMEOUT, stdio.woken()).await;
    assert!(woken.is_ok(), "who watches a resource needs it");
    listening.abort();
}

#[tokio::test]
async fn a_child_of_the_stateless_revision_is_asked_to_tell_and_told_to_stop() {
    let script = r#"
        while read -r line; do
            id=${line#*\"id\":}; id=${id%%[,\}]*}
            case $line in
                *'"initialize"'*)
                    printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no"}}\n' "$id";;
                *'"server/discover"'*)
                    printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$RESULT";;
                *'"subscriptions/listen"'*'"docs://a"'*)
                    meta="\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":$id}"
                    printf '{"jsonrpc":"2.0","method":"notifications/%s","params":{%s,%s}}\n' \
                        subscriptions/acknowledged "$meta" '"notifications":{}' \
                        resources/updated "$meta" '"uri":"docs://a"';;
                *'"notifications/cancelled"'*)
                    echo '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}';;
            esac
        done"#;
    let stdio = Arc::new(shell(
        script,
        r#"{"supportedVersions":["2026-07-28"],"capabilities":{}}"#,
    ));
    let mut news = stdio.news.subscribe();
    let listener = Arc::clone(&stdio);
    let listening = tokio::spawn(async move {
        let talk = Talk::watching("");
        listener.listen(&talk, &["docs://a".into()]).await
    });
    let told = tokio::time::timeout(START_TIMEOUT, news.recv()).await;
    assert_eq!(told.unwrap().unwrap(), News::Updated("docs://a".into()));
    listening.abort();
    let told = tokio::time::timeout(START_TIMEOUT, news.recv()).await;
    assert_eq!(told.unwrap().unwrap(), News::Listed(EntryKind::Tool));
}
