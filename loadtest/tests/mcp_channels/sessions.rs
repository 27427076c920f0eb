//! Sessions of the older revisions: whom they answer.

use super::{System, reason};
use proctor_loadtest::load::{AGENT, attenuate, in_secs};
use proctor_loadtest::mcp::{Client, LEGACY, Stream};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// The client wants this request to be cancelled.
fn cancelled(id: u64) -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } })
}

/// The client's reply to a question.
fn reply(question: &Value, name: &str) -> Value {
    let result = json!({ "action": "accept", "content": { "name": name } });
    json!({ "jsonrpc": "2.0", "id": question["id"], "result": result })
}

impl System {
    /// A request of a session, but for what it is.
    fn of_session(&self, method: Method, token: &str, session: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}/v1/mcp/s", self.cluster.edge_url))
            .bearer_auth(token)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", LEGACY)
            .header("mcp-session-id", session)
    }

    fn post(&self, token: &str, session: &str, message: &Value) -> RequestBuilder {
        self.of_session(Method::POST, token, session).json(message)
    }

    fn client(&self, token: &str) -> Client {
        let url = format!("{}/v1/mcp/s", self.cluster.edge_url);
        Client::new(&url, token).unwrap()
    }

    /// Begins a session of a client that can be asked.
    pub(super) async fn open(&self, token: &str) -> String {
        self.client(token).asked().await.unwrap()
    }

    /// Calls the tool that asks; the question, and the stream that it came on, the session's first.
    async fn asks(&self, token: &str, session: &str) -> (Value, Stream) {
        let client = self.client(token);
        let call = client.streamed(Some(session), "tools/call", json!({ "name": "ask" }));
        let mut stream = call.await.unwrap();
        let question = stream.message(PATIENCE).await.unwrap();
        assert_eq!(question["method"], "elicitation/create", "{question}");
        (question, stream)
    }

    /// Declares that this user wants the tool called that asks; a token of that intent.
    async fn intent_of(&self, user: &str, token: &str) -> String {
        let declaration = json!({
            "agent": AGENT, "user": user, "goal": "Ask", "actions": [{ "tool": "s/ask" }], "expires_in_s": 600,
        });
        let declared = self
            .cluster
            .acme(Method::POST, "intents", Some(declaration))
            .await
            .unwrap();
        let caveat = format!("intent = {}", declared["id"].as_str().unwrap());
        let narrowed = attenuate(token, &caveat).await.unwrap();
        self.cluster
            .wait_allowed(&narrowed, AGENT, "s/ask", json!({}))
            .await
            .unwrap();
        narrowed
    }

    /// Sends it until it is refused for this reason; the status of that.
    async fn refused(&self, send: impl Fn() -> RequestBuilder, wanted: &str) -> StatusCode {
        let started = Instant::now();
        loop {
            let response = send().send().await.unwrap();
            let (status, text) = (response.status(), response.text().await.unwrap());
            let answer: Value = serde_json::from_str(&text).unwrap_or_default();
            if reason(&answer) == wanted {
                return status;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{status} {text}, not {wanted}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_answers_nobody_whose_right_is_over() {
    let system = System::start().await;
    let token = system.token(&["tool in s/*"]).await;
    let session = system.open(&token).await;
    let revoke = Some(json!({ "token": token }));
    system
        .cluster
        .acme(Method::POST, "revocations", revoke)
        .await
        .unwrap();
    let ping = request(2, "ping", json!({}));
    let refused = system.refused(|| system.post(&token, &session, &ping), "token_revoked");
    assert_eq!(refused.await, StatusCode::UNAUTHORIZED);
    let messages = [
        request(3, "logging/setLevel", json!({ "level": "debug" })),
        request(4, "resources/unsubscribe", json!({ "uri": "docs://open" })),
        request(5, "tasks/list", json!({})),
        cancelled(2),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "id": 1, "result": {} }),
    ];
    let posts = messages
        .iter()
        .map(|message| system.post(&token, &session, message));
    let end = system.of_session(Method::DELETE, &token, &session);
    for sent in posts.chain([end]) {
        let response = sent.send().await.unwrap();
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(reason(&answer), "token_revoked", "{answer}");
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
    }
    system.cluster.stop().await;
}

/// Everything that can be asked of a session; none of it is answered to who is not its principal.
async fn assert_closed(system: &System, who: &str, session: &str, question: &Value) {
    let get = system.of_session(Method::GET, who, session);
    let call = request(3, "tools/call", json!({ "name": "plain" }));
    for (what, sent) in [
        (
            "pings",
            system.post(who, session, &request(3, "ping", json!({}))),
        ),
        ("calls", system.post(who, session, &call)),
        (
            "answers",
            system.post(who, session, &reply(question, "Eve")),
        ),
        ("cancels", system.post(who, session, &cancelled(7))),
        ("reads", get.header("last-event-id", "1-0")),
        ("ends", system.of_session(Method::DELETE, who, session)),
    ] {
        let status = sent.send().await.unwrap().status();
        assert_eq!(status, StatusCode::NOT_FOUND, "{what}: {who}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_its_principals_own() {
    let system = System::start().await;
    let token = system.token(&["tool in s/*"]).await;
    let alice = system.intent_of("alice", &token).await;
    let bob = system.intent_of("bob", &token).await;
    let session = system.open(&token).await;
    let (question, stream) = system.asks(&token, &session).await;
    // All of the same root: a user's, another session's, a sub-agent's.
    for who in [
        &alice,
        &attenuate(&token, "session = elsewhere").await.unwrap(),
        &attenuate(&token, "delegate = helper").await.unwrap(),
    ] {
        assert_closed(&system, who, &session, &question).await;
    }
    // Nor is a user's session another's, or that of who gave them their token.
    let hers = system.open(&alice).await;
    for who in [
        &bob,
        &token,
        &attenuate(&alice, "delegate = helper").await.unwrap(),
    ] {
        assert_closed(&system, who, &hers, &question).await;
    }
    // What says nothing of whom it is for changes nothing.
    let caveat = format!("time < {}", in_secs(600).unwrap());
    let narrower = attenuate(&token, &caveat).await.unwrap();
    let answered = system.post(&narrower, &session, &reply(&question, "Ann"));
    assert_eq!(
        answered.send().await.unwrap().status(),
        StatusCode::ACCEPTED
    );
    let rest = json!(stream.rest(PATIENCE).await.unwrap()).to_string();
    assert!(rest.contains("Ann") && !rest.contains("Eve"), "{rest}");
    for (params, code) in [
        (json!({}), Some(-32602)),
        (json!({ "uri": 5 }), Some(-32602)),
        (json!({ "uri": "docs://open" }), None),
    ] {
        let leaves = request(8, "resources/unsubscribe", params);
        let answer = system.post(&narrower, &session, &leaves).send().await;
        let answer: Value = answer.unwrap().json().await.unwrap();
        assert_eq!(answer["error"]["code"].as_i64(), code, "{answer}");
    }
    let end = system.of_session(Method::DELETE, &narrower, &session);
    assert_eq!(end.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_a_call_is_judged_for_who_hears_of_it() {
    let system = System::start().await;
    let token = system.token(&["tool in s/*"]).await;
    let session = system.open(&token).await;
    let (question, stream) = system.asks(&token, &session).await;
    let again = |who: &str| {
        let get = system.of_session(Method::GET, who, &session);
        get.header("last-event-id", "1-0")
    };
    // The same principal, with less: it neither answers what the tool asks nor reads what it said.
    for (caveat, wanted) in [
        ("tool in s/plain", "tool_not_in_token"),
        ("verb in read", "verb_not_in_token"),
        ("arg s/ask /a = 1", "argument_not_in_token"),
    ] {
        let less = attenuate(&token, caveat).await.unwrap();
        let eve = reply(&question, "Eve");
        for sent in [system.post(&less, &session, &eve), again(&less)] {
            let response = sent.send().await.unwrap();
            let status = response.status();
            let answer: Value = response.json().await.unwrap();
            assert_eq!(reason(&answer), wanted, "{caveat}: {answer}");
            // It answers no request: only HTTP can say that it was not taken.
            assert_eq!(status, StatusCode::FORBIDDEN, "{caveat}: {answer}");
        }
        let ping = system.post(&less, &session, &request(3, "ping", json!({})));
        assert_eq!(ping.send().await.unwrap().status(), StatusCode::OK);
    }
    let answered = system.post(&token, &session, &reply(&question, "Ann"));
    assert_eq!(
        answered.send().await.unwrap().status(),
        StatusCode::ACCEPTED
    );
    let rest = json!(stream.rest(PATIENCE).await.unwrap()).to_string();
    assert!(rest.contains("Ann") && !rest.contains("Eve"), "{rest}");
    let less = attenuate(&token, "tool in s/plain").await.unwrap();
    let refused = system.refused(|| again(&less), "tool_not_in_token");
    refused.await;
    let started = Instant::now();
    loop {
        let read = again(&token).send().await.unwrap().text().await.unwrap();
        if read.contains("Ann") {
            break;
        }
        // The one before may not be gone yet.
        assert!(started.elapsed() < PATIENCE, "{read}");
    }
    // What is kept is kept from everybody once the tool is stopped.
    let kill = Some(json!({ "scope": "tool", "object": "s/ask" }));
    system
        .cluster
        .acme(Method::POST, "kill-switches", kill)
        .await
        .unwrap();
    system.refused(|| again(&token), "killed_tool").await;
    let kill = Some(json!({ "scope": "agent", "object": AGENT }));
    system
        .cluster
        .acme(Method::POST, "kill-switches", kill)
        .await
        .unwrap();
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    for message in [initialized, cancelled(7), reply(&question, "Eve")] {
        let sent = || system.post(&token, &session, &message);
        let status = system.refused(sent, "killed_agent").await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{message}");
    }
    let ping = || system.post(&token, &session, &request(9, "ping", json!({})));
    let status = system.refused(ping, "killed_agent").await;
    assert_eq!(status, StatusCode::OK, "a request is answered");
    system.cluster.stop().await;
}
