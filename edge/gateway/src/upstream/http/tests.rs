//! Servers that babble, ask, refuse and do not begin.

use super::super::Vault;
use super::super::breaker::Breaker;
use super::super::client::{Reach, Spec, builder};
use super::super::talk::Word;
use super::*;
use axum::Json;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::json;

fn http(url: String) -> Arc<Http> {
    let spec = Spec {
        auth: None,
        tls: None,
        reach: Reach::Neighbours,
    };
    let plain = builder(Reach::Neighbours).build().unwrap();
    let client = Client::new(plain, spec, Arc::new(Vault::default()));
    Arc::new(Http::new(client, url, broadcast::channel(1).0))
}

#[test]
fn a_kind_of_content_is_the_same_however_it_is_spelled() {
    let of = |kind: &str| {
        let response = axum::http::Response::builder().header(CONTENT_TYPE, kind);
        Response::from(response.body("").unwrap())
    };
    for kind in ["application/json", "Application/JSON;charset=utf-8"] {
        assert!(json(&of(kind)), "{kind}");
    }
    assert!(!json(&of("text/html")));
    assert_eq!(content_type(&of("Text/Event-Stream")), "text/event-stream");
}

/// Opens a session, says one thing after the other on its stream, and never answers a call.
async fn babbles(Json(request): Json<Value>) -> axum::response::Response {
    let result = match request["method"].as_str() {
        Some("initialize") => json!({ "protocolVersion": "2025-11-25", "capabilities": {} }),
        Some("tools/call") => std::future::pending().await,
        _ => return axum::http::StatusCode::ACCEPTED.into_response(),
    };
    let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
    ([(SESSION_ID, "s")], Json(answer)).into_response()
}

async fn words() -> axum::response::Response {
    let line = json!({ "jsonrpc": "2.0", "method": "notifications/message",
        "params": { "level": "info", "data": "x" } });
    let event = axum::body::Bytes::from(format!("data: {line}\n\n"));
    let events = futures::stream::unfold(event, |event| async {
        tokio::task::yield_now().await;
        Some((Ok::<_, std::io::Error>(event.clone()), event))
    });
    let body = axum::body::Body::from_stream(events);
    ([("content-type", "text/event-stream")], body).into_response()
}

#[tokio::test]
async fn a_client_that_does_not_listen_gives_the_server_no_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = http(format!("http://{}/", listener.local_addr().unwrap()));
    let router = axum::Router::new().route("/", get(words).post(babbles));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let (words, _nobody_takes_them) = mpsc::channel(1);
    let talk = Talk {
        words: Some(words),
        ..Talk::silent("root/")
    };
    http.session(&talk).await.unwrap();
    let mut request = Request::own("tools/call", Map::new(), &talk);
    request.limit = Duration::from_millis(300);
    let answer = Box::pin(http.request(request));
    let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
    assert_eq!(answer.unwrap().unwrap_err(), Failure::Timeout);
}

/// Opens a session; asks something before it answers a call, goes on talking, and takes it back, if the call says so.
async fn asks(Json(request): Json<Value>) -> axum::response::Response {
    let id = &request["id"];
    let begun = json!({ "protocolVersion": "2025-11-25", "capabilities": {} });
    let messages = match request["method"].as_str() {
        Some("initialize") => vec![json!({ "id": id, "result": begun })],
        Some("tools/call") => {
            let back =
                json!({ "method": "notifications/cancelled", "params": { "requestId": "q" } });
            let line = json!({ "method": "notifications/message", "params": { "level": "info", "data": "x" } });
            let mut messages = vec![json!({ "id": "q", "method": "roots/list" }), line];
            messages.extend(Some(back).filter(|_| request["params"]["takes_back"] == true));
            messages.push(json!({ "id": id, "result": { "said": "done" } }));
            messages
        }
        _ => return axum::http::StatusCode::ACCEPTED.into_response(),
    };
    let events = messages
        .iter()
        .map(|message| format!("data: {message}\n\n"));
    let events: String = events.collect();
    ([("content-type", "text/event-stream")], events).into_response()
}

#[tokio::test]
async fn a_question_that_is_taken_back_or_answered_without_holds_nothing_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = http(format!("http://{}/", listener.local_addr().unwrap()));
    let router = axum::Router::new().route("/", axum::routing::post(asks));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let (words, mut taken) = mpsc::channel(4);
    let talk = Talk {
        words: Some(words),
        capabilities: Talk::all_askable(),
        ..Talk::silent("root/")
    };
    for takes_back in [true, false] {
        let params = Map::from_iter([("takes_back".to_owned(), takes_back.into())]);
        let answer = http.request(Request::own("tools/call", params, &talk));
        let answer = tokio::time::timeout(Duration::from_secs(20), Box::pin(answer)).await;
        let answer = answer.unwrap().unwrap();
        assert_eq!(rpc::result(answer).unwrap()["said"], "done");
        let Some(Word::Question(_, reply)) = taken.recv().await else {
            panic!("no question")
        };
        assert!(reply.is_closed(), "nobody waits for the reply");
        let mut after = Vec::new();
        while let Ok(word) = taken.try_recv() {
            after.push(word);
        }
        let notes = after.iter().filter(|word| matches!(word, Word::Note(_)));
        assert_eq!(notes.count(), 1, "what it said meanwhile is not lost");
    }
}

/// Opens a session, asks something before it answers a call, and never answers it. Each connection is for one request.
async fn asks_and_waits(Json(request): Json<Value>) -> axum::response::Response {
    let question = json!({ "jsonrpc": "2.0", "id": "q", "method": "roots/list" });
    let closes = ("connection", "close");
    match request["method"].as_str() {
        Some("initialize") => {
            let begun = json!({ "protocolVersion": "2025-11-25", "capabilities": {} });
            let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "result": begun });
            ([closes], Json(answer)).into_response()
        }
        Some("tools/call") => {
            let event = format!("data: {question}\n\n");
            let first = futures::stream::iter([Ok::<_, std::io::Error>(event)]);
            let events = futures::StreamExt::chain(first, futures::stream::pending());
            let body = axum::body::Body::from_stream(events);
            ([closes, ("content-type", "text/event-stream")], body).into_response()
        }
        _ => ([closes], StatusCode::ACCEPTED).into_response(),
    }
}

#[tokio::test]
async fn a_call_that_was_sent_was_sent_though_the_reply_to_its_question_is_not() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = http(format!("http://{}/", listener.local_addr().unwrap()));
    let router = axum::Router::new().route("/", axum::routing::post(asks_and_waits));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let (words, mut taken) = mpsc::channel(4);
    let talk = Talk {
        words: Some(words),
        capabilities: Talk::all_askable(),
        ..Talk::silent("root/")
    };
    let replying = async {
        let Some(Word::Question(_, reply)) = taken.recv().await else {
            panic!("no question")
        };
        // It takes no connection any more: the reply can't be sent.
        serving.abort();
        assert!(serving.await.is_err());
        assert!(reply.send(Reply::Result(Map::new())).is_ok());
    };
    let asking = http.request(Request::own("tools/call", Map::new(), &talk));
    let both = async { tokio::join!(Box::pin(asking), replying).0 };
    let answer = tokio::time::timeout(Duration::from_secs(20), Box::pin(both)).await;
    assert_eq!(answer.unwrap().unwrap_err(), Failure::Broken);
}

/// Opens a session, and asks something before it answers a call, which it never does: on a stream that can be taken up again.
async fn asks_on_a_stream(Json(request): Json<Value>) -> axum::response::Response {
    match request["method"].as_str() {
        Some("initialize") => {
            let result = json!({ "protocolVersion": "2025-11-25", "capabilities": {} });
            Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
        }
        Some("tools/call") => {
            let question = json!({ "jsonrpc": "2.0", "id": "q", "method": "roots/list" });
            let event = format!("retry: 1\nid: 0\ndata: {question}\n\n");
            let first = futures::stream::iter([Ok::<_, std::io::Error>(event)]);
            let events = futures::StreamExt::chain(first, futures::stream::pending());
            let body = axum::body::Body::from_stream(events);
            ([("content-type", "text/event-stream")], body).into_response()
        }
        _ => StatusCode::ACCEPTED.into_response(),
    }
}

#[tokio::test]
async fn a_call_whose_question_gets_no_reply_is_not_taken_up_again() {
    let vault = Arc::new(Vault::default());
    let secret = json!({ "name": "key", "hosts": ["127.0.0.1"], "value": "x" });
    vault.set(vec![serde_json::from_value(secret).unwrap()]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let auth = json!({ "kind": "header", "name": "x-key", "secret": "key" });
    let spec = Spec {
        auth: Some(serde_json::from_value(auth).unwrap()),
        tls: None,
        reach: Reach::Neighbours,
    };
    let plain = builder(Reach::Neighbours).build().unwrap();
    let client = Client::new(plain, spec, Arc::clone(&vault));
    let http = Arc::new(Http::new(client, url, broadcast::channel(1).0));
    let taken_up = Arc::new(AtomicU64::new(0));
    let taken = Arc::clone(&taken_up);
    let take_up = async move || {
        taken.fetch_add(1, Ordering::SeqCst);
        StatusCode::METHOD_NOT_ALLOWED
    };
    let router = axum::Router::new().route("/", get(take_up).post(asks_on_a_stream));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let (words, mut heard) = mpsc::channel(4);
    let talk = Talk {
        words: Some(words),
        capabilities: Talk::all_askable(),
        ..Talk::silent("root/")
    };
    let replying = async {
        let Some(Word::Question(_, reply)) = heard.recv().await else {
            panic!("no question")
        };
        // The key for it is gone.
        vault.set(Vec::new());
        assert!(reply.send(Reply::Result(Map::new())).is_ok());
    };
    let asking = http.request(Request::own("tools/call", Map::new(), &talk));
    let both = async { tokio::join!(Box::pin(asking), replying).0 };
    let answer = tokio::time::timeout(Duration::from_secs(20), Box::pin(both)).await;
    let failure = answer.unwrap().unwrap_err();
    assert_eq!(failure, Failure::Stranded);
    assert!(!failure.is_fault(), "of the server");
    assert_eq!(taken_up.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn while_a_client_thinks_its_call_keeps_nobody_else_from_a_server_that_is_back() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = http(format!("http://{}/", listener.local_addr().unwrap()));
    let router = axum::Router::new().route("/", axum::routing::post(asks_and_waits));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let (breaker, now) = (Breaker::default(), std::time::Instant::now());
    while let Some(pass) = breaker.pass(now) {
        pass.failed(now);
    }
    let later = now + Duration::from_secs(60);
    let trial = breaker.pass(later).unwrap();
    assert!(breaker.pass(later).is_none());
    let (words, mut taken) = mpsc::channel(4);
    let talk = Talk {
        words: Some(words),
        capabilities: Talk::all_askable(),
        ..Talk::silent("root/")
    };
    let mut request = Request::own("tools/call", Map::new(), &talk);
    request.pass = Some(&trial);
    let asked = async {
        tokio::select! {
            _ = Box::pin(http.request(request)) => panic!("it is not answered"),
            word = taken.recv() => word,
        }
    };
    let asked = tokio::time::timeout(Duration::from_secs(20), asked).await;
    assert!(matches!(asked.unwrap(), Some(Word::Question(..))));
    assert!(breaker.pass(later).is_some(), "it is open still");
    drop(trial);
}

/// One event, and the end of the connection.
fn one_event(event: String) -> axum::response::Response {
    let body = format!("retry: 1\n{event}\n\n");
    ([("content-type", "text/event-stream")], body).into_response()
}

/// What comes of a call to a server that lets go of its stream again and again: it answers it the tenth time, if not before.
async fn let_go_of(says_something: bool) -> Result<Answer, Failure> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = http(format!("http://{}/", listener.local_addr().unwrap()));
    let (call, taken_up) = (Arc::new(AtomicU64::new(0)), AtomicU64::new(0));
    let of = Arc::clone(&call);
    let begin = async move |Json(request): Json<Value>| match request["method"].as_str() {
        Some("initialize") => {
            let result = json!({ "protocolVersion": "2025-11-25", "capabilities": {} });
            Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
        }
        Some("tools/call") => {
            of.store(request["id"].as_u64().unwrap(), Ordering::SeqCst);
            one_event("id: 0\ndata:".to_owned())
        }
        _ => StatusCode::ACCEPTED.into_response(),
    };
    let taken_up = Arc::new(taken_up);
    let go_on = async move || {
        let times = taken_up.fetch_add(1, Ordering::SeqCst) + 1;
        let id = call.load(Ordering::SeqCst);
        match (times, says_something) {
            (10, _) => one_event(format!(
                r#"data: {{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#
            )),
            (_, true) => one_event(format!("id: {times}\ndata:")),
            (_, false) => one_event("id: 0\ndata:".to_owned()),
        }
    };
    let router = axum::Router::new().route("/", get(go_on).post(begin));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let talk = Talk::silent("root/");
    let answer = Box::pin(http.request(Request::own("tools/call", Map::new(), &talk)));
    tokio::time::timeout(Duration::from_secs(20), answer)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_stream_is_taken_up_again_for_as_long_as_something_comes_of_it() {
    assert!(let_go_of(true).await.is_ok());
    assert_eq!(let_go_of(false).await.unwrap_err(), Failure::Broken);
}

/// A server of the older revisions: whether it answers, and what it was asked to tell of.
#[derive(Clone, Default)]
struct Telling(Arc<std::sync::Mutex<(bool, Vec<String>)>>);

impl Telling {
    async fn answer(
        axum::extract::State(telling): axum::extract::State<Self>,
        Json(request): Json<Value>,
    ) -> axum::response::Response {
        let result = match request["method"].as_str() {
            Some("initialize") => json!({ "protocolVersion": "2025-11-25", "capabilities": {} }),
            Some("resources/subscribe") => {
                let mut telling = telling.0.lock().unwrap();
                telling.1.push(request["params"]["uri"].to_string());
                match telling.0 {
                    true => json!({}),
                    false => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
                }
            }
            _ => return StatusCode::ACCEPTED.into_response(),
        };
        let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
        ([(SESSION_ID, "s")], Json(answer)).into_response()
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().1.len()
    }
}

#[tokio::test]
async fn what_is_watched_is_asked_for_until_it_is_answered_and_in_each_session() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = http(format!("http://{}/", listener.local_addr().unwrap()));
    let telling = Telling::default();
    let router = axum::Router::new()
        .route("/", axum::routing::post(Telling::answer))
        .with_state(telling.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let (wanted, talk) = (
        std::collections::HashSet::from(["docs://a".into()]),
        Talk::watching(""),
    );
    assert!(!http.subscribe(&wanted, &talk).await, "it was not answered");
    telling.0.lock().unwrap().0 = true;
    assert!(http.subscribe(&wanted, &talk).await);
    assert_eq!(telling.asked(), 2);
    assert!(http.subscribe(&wanted, &talk).await);
    assert_eq!(telling.asked(), 2, "once is enough");
    // It was restarted: what it was asked for in another session is lost.
    http.doubt();
    assert!(http.subscribe(&wanted, &talk).await);
    assert_eq!(telling.asked(), 3);
    // So it may be where its stream ended.
    assert!(http.listen(&talk, &[]).await.is_err(), "it has none");
    assert!(http.subscribe(&wanted, &talk).await);
    assert_eq!(telling.asked(), 3, "where it had one");
}

/// The levels that a server of the older revisions is told, one call after the other. Whether it takes them is another thing.
async fn told_levels(capabilities: Value, takes: bool, wanted: &[Option<&str>]) -> Vec<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = http(format!("http://{}/", listener.local_addr().unwrap()));
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let levels = Arc::clone(&told);
    let answer = async move |Json(request): Json<Value>| {
        let result = match request["method"].as_str() {
            Some("initialize") => {
                json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities })
            }
            Some("logging/setLevel") => {
                let level = request["params"]["level"].as_str().unwrap().to_owned();
                levels.lock().unwrap().push(level);
                match takes {
                    true => json!({}),
                    false => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
                }
            }
            Some("tools/call") => json!({}),
            _ => return StatusCode::ACCEPTED.into_response(),
        };
        Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
    };
    let router = axum::Router::new().route("/", axum::routing::post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    for level in wanted {
        let talk = Talk {
            log_level: level.map(str::to_owned),
            ..Talk::silent("root/")
        };
        let call = http.request(Request::own("tools/call", Map::new(), &talk));
        assert!(Box::pin(call).await.is_ok());
    }
    told.lock().unwrap().clone()
}

#[tokio::test]
async fn a_server_is_told_the_level_of_its_client_once_if_it_takes_one() {
    let wanted = [None, Some("error"), Some("error"), None, Some("debug")];
    for takes in [true, false] {
        let logging = json!({ "logging": {} });
        let told = told_levels(logging, takes, &wanted).await;
        assert_eq!(told, ["error", "debug"], "{takes}");
    }
    assert!(told_levels(json!({}), true, &wanted).await.is_empty());
}

/// Opens a session, and never takes a level for its log lines.
async fn takes_no_level(Json(request): Json<Value>) -> axum::response::Response {
    let result = match request["method"].as_str() {
        Some("initialize") => {
            json!({ "protocolVersion": "2025-11-25", "capabilities": { "logging": {} } })
        }
        Some("logging/setLevel") => std::future::pending().await,
        Some("tools/call") => json!({}),
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}

#[tokio::test]
async fn the_time_that_a_level_takes_is_that_of_the_call() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = http(format!("http://{}/", listener.local_addr().unwrap()));
    let router = axum::Router::new().route("/", axum::routing::post(takes_no_level));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let talk = Talk {
        log_level: Some("debug".to_owned()),
        ..Talk::silent("root/")
    };
    http.session(&talk).await.unwrap();
    let call = || Request::own("tools/call", Map::new(), &talk);
    let mut short = call();
    short.limit = Duration::from_millis(200);
    let answer = Box::pin(http.request(short)).await;
    assert_eq!(answer.unwrap_err(), Failure::Timeout);
    // The next one does not wait for it.
    let mut next = call();
    next.limit = Duration::from_millis(1_500);
    assert!(Box::pin(http.request(next)).await.is_ok());
}

/// Refuses the version that it names as its own, so many times.
async fn discovered(refusals: u64) -> Option<Era> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = http(format!("http://{}/", listener.local_addr().unwrap()));
    let asked = Arc::new(AtomicU64::new(0));
    let answer = async move |Json(request): Json<Value>| {
        let id = &request["id"];
        if asked.fetch_add(1, Ordering::Relaxed) >= refusals {
            let result = json!({ "supportedVersions": ["2026-07-28"] });
            return Json(json!({ "jsonrpc": "2.0", "id": id, "result": result })).into_response();
        }
        let data = json!({ "supported": ["2026-07-28"], "requested": "2026-07-28" });
        let error = json!({ "code": -32022, "message": "no such version", "data": data });
        let body = Json(json!({ "jsonrpc": "2.0", "id": id, "error": error }));
        (StatusCode::BAD_REQUEST, body).into_response()
    };
    let router = axum::Router::new().route("/", axum::routing::post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let session = http.discover(&Talk::silent("root/")).await.unwrap();
    session.map(|session| session.era)
}

#[tokio::test]
async fn a_server_that_refuses_its_own_version_is_asked_once_more() {
    assert_eq!(discovered(0).await, Some(Era::Modern));
    assert_eq!(discovered(1).await, Some(Era::Modern));
    assert_eq!(discovered(2).await, None);
}

#[tokio::test]
async fn a_server_that_has_too_much_to_do_has_nothing_against_a_request() {
    for (status, failure) in [
        (StatusCode::TOO_MANY_REQUESTS, Failure::Refused),
        (StatusCode::UNAUTHORIZED, Failure::Refused),
        (StatusCode::BAD_REQUEST, Failure::Invalid),
        (StatusCode::BAD_GATEWAY, Failure::ServerError),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = http(format!("http://{}/", listener.local_addr().unwrap()));
        let router = axum::Router::new().fallback(async move || status);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let talk = Talk::silent("root/");
        let call = Box::pin(http.request(Request::own("tools/list", Map::new(), &talk)));
        assert_eq!(call.await.unwrap_err(), failure, "{status}");
    }
}

/// A server that takes the first request and never answers.
#[tokio::test]
async fn a_server_that_does_not_begin_locks_nobody_out() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = http(format!("http://{}/", listener.local_addr().unwrap()));
    // Known to be of the older revisions: it begins with `initialize`.
    http.sessions.put(
        &Talk::silent("other/"),
        Session::legacy(HeaderValue::from_static(rpc::LEGACY_VERSION), None),
    );
    let first = Arc::clone(&http);
    // As the task that listens does, without a limit of its own.
    let first = tokio::spawn(async move { first.session(&Talk::silent("root/")).await.err() });
    let _taken = listener.accept().await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), first).await;
    assert_eq!(ended.unwrap().unwrap(), Some(Failure::Timeout));
}
