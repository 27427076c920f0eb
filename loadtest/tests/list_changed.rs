//! What a client is told of changes of its lists, in both families of revisions: when the list that it gets to see
//! changed, and only then. And long lists, page by page.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "list_changed/resources.rs"]
mod resources;
#[path = "list_changed/system.rs"]
mod system;
#[path = "list_changed/teller.rs"]
mod teller;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proctor_loadtest::load::AGENT;
use proctor_loadtest::mcp::{Client, Era, LEGACY, Stream};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use system::{System, tool};

const CHANGED: &str = "notifications/tools/list_changed";
/// How long it may take until a client is told: a server's definitions are compared every 15 seconds.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long the intent is good: long enough to open streams on a slow machine. It is known for a minute longer.
const INTENT_S: u64 = 20;

async fn streams(client: &Client) -> Vec<Stream> {
    let mut streams = Vec::new();
    for era in Era::ALL {
        streams.push(client.stream(era).await.unwrap());
    }
    streams
}

/// Waits until each of them is told that the list of tools changed, and of nothing else before.
async fn told(streams: &mut [Stream], why: &str) {
    told_of(streams, CHANGED, why).await;
}

/// The same of any change.
async fn told_of(streams: &mut [Stream], changed: &str, why: &str) {
    for stream in streams {
        let message = stream.message(PATIENCE).await;
        let message = message.unwrap_or_else(|error| panic!("{why}: {error:#}"));
        assert_eq!(message["method"], changed, "{why}: {message}");
    }
}

async fn names(client: &Client, era: Era) -> Vec<String> {
    let answer = client.ask(era, "tools/list", json!({})).await.unwrap();
    let tools = answer["result"]["tools"].as_array();
    let tools = tools.unwrap_or_else(|| panic!("{answer}")).iter();
    tools
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

async fn assert_listed(client: &Client, wanted: &[&str]) {
    for era in Era::ALL {
        assert_eq!(names(client, era).await, wanted, "{era:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_when_the_list_that_it_sees_changes() {
    let system = System::start().await;
    let (a, b) = (tool("a", "One"), tool("b", "Another"));
    let (shown, url) = system.server("s", vec![a.clone(), b.clone()]).await;
    let wide = system.token(3600, &["tool in s/*"], "s/b").await;
    let narrow = system.token(3600, &["tool in s/a"], "s/a").await;
    let (all, one) = (system.client("s", &wide), system.client("s", &narrow));
    assert_listed(&all, &["a", "b"]).await;
    let (mut of_all, mut of_one) = (streams(&all).await, streams(&one).await);

    system.approve("s", &url, std::slice::from_ref(&a)).await;
    told(&mut of_all, "a tool is taken out of the catalogue").await;
    assert_listed(&all, &["a"]).await;

    let kill = json!({ "scope": "tool", "object": "s/a" });
    let steps: [(&str, &[&str]); 2] = [("kill-switches", &[]), ("kill-switches/release", &["a"])];
    for (path, listed) in steps {
        let kill = Some(kill.clone());
        system.cluster.acme(Method::POST, path, kill).await.unwrap();
        told(&mut of_all, path).await;
        told(&mut of_one, path).await;
        assert_listed(&all, listed).await;
    }

    *shown.lock().unwrap() = vec![tool("a", "Something else"), b];
    told(&mut of_all, "a definition is held back").await;
    told(&mut of_one, "a definition is held back").await;
    assert_listed(&all, &[]).await;

    // What the narrow token's client never saw, it was not told of: nothing more is on its streams than their end.
    let revoke = json!({ "token": narrow });
    system
        .cluster
        .acme(Method::POST, "revocations", Some(revoke))
        .await
        .unwrap();
    for stream in of_one {
        let rest = stream.rest(PATIENCE).await.unwrap();
        assert!(
            rest.iter().all(|message| message["method"] != CHANGED),
            "{rest:?}"
        );
    }
    system.cluster.stop().await;
}

/// Waits until the edge lists these.
async fn until_listed(client: &Client, wanted: &[&str]) {
    let began = Instant::now();
    while names(client, Era::Modern).await != wanted {
        assert!(began.elapsed() < PATIENCE, "it does not list {wanted:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Reads the `GET` stream of a session, from now on, once the edge has noticed that nobody does any more.
async fn read_again(client: &Client, session: &str) -> Stream {
    let began = Instant::now();
    loop {
        match client.general(session).await {
            Ok(stream) => return stream,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_while_nobody_read_is_told_to_who_reads_next() {
    let system = System::start().await;
    let (a, b) = (tool("a", "One"), tool("b", "Another"));
    let (_shown, url) = system.server("s", vec![a.clone(), b]).await;
    let token = system.token(3600, &["tool in s/*"], "s/b").await;
    let client = system.client("s", &token);
    let (session, _) = client.initialize(LEGACY).await.unwrap();
    // As the session itself is shown it.
    let shown = async || -> usize {
        let list = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list" });
        let shown = client.legacy(LEGACY, Some(&session), &list).send().await;
        let shown: Value = shown.unwrap().json().await.unwrap();
        shown["result"]["tools"].as_array().unwrap().len()
    };
    assert_eq!(shown().await, 2);

    // Before anybody reads, and then between one who does and the next.
    system.approve("s", &url, std::slice::from_ref(&a)).await;
    until_listed(&client, &["a"]).await;
    let mut stream = client.general(&session).await.unwrap();
    told(std::slice::from_mut(&mut stream), "since it was shown").await;
    drop(stream);
    let kill = json!({ "scope": "tool", "object": "s/a" });
    let killed = system
        .cluster
        .acme(Method::POST, "kill-switches", Some(kill));
    killed.await.unwrap();
    until_listed(&client, &[]).await;
    let mut stream = read_again(&client, &session).await;
    told(std::slice::from_mut(&mut stream), "since it was told").await;
    drop(stream);

    // Who has asked for it since knows.
    assert_eq!(shown().await, 0);
    let mut stream = read_again(&client, &session).await;
    let more = stream.message(Duration::from_secs(2)).await;
    assert!(more.is_err(), "{more:?}");
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_when_its_intent_is_over() {
    let system = System::start().await;
    system.server("s", vec![tool("a", "One")]).await;
    system.token(3600, &["tool in s/*"], "s/a").await;
    let intent = json!({
        "agent": AGENT, "goal": "Do one thing", "expires_in_s": INTENT_S, "actions": [{ "tool": "s/a" }],
    });
    let declared = system.cluster.acme(Method::POST, "intents", Some(intent));
    let declared = declared.await.unwrap();
    let bound = format!("intent = {}", declared["id"].as_str().unwrap());
    let token = system.token(3600, &["tool in s/*", &bound], "s/a").await;
    let client = system.client("s", &token);
    let mut streams = streams(&client).await;
    assert_listed(&client, &["a"]).await;

    told(&mut streams, "the intent is over").await;
    for era in Era::ALL {
        let answer = client.ask(era, "tools/list", json!({})).await.unwrap();
        assert_eq!(
            answer["error"]["data"]["reason"], "intent_expired",
            "{answer}"
        );
    }
    system.cluster.stop().await;
}

/// All pages, and each cursor on the way.
async fn pages(client: &Client, era: Era) -> (Vec<Value>, Vec<Value>) {
    let (mut pages, mut cursors) = (Vec::new(), Vec::new());
    let mut params = json!({});
    loop {
        let answer = client.ask(era, "tools/list", params).await.unwrap();
        let page = answer["result"].clone();
        assert!(page["tools"].is_array(), "{answer}");
        let next = page["nextCursor"].clone();
        pages.push(page);
        assert!(pages.len() < 10, "it goes on for ever");
        if next.is_null() {
            return (pages, cursors);
        }
        cursors.push(next.clone());
        params = json!({ "cursor": next });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_comes_in_pages_and_each_is_filtered() {
    const TOOLS: usize = 300;
    let system = System::start().await;
    let name = |number: usize| format!("t{number:03}");
    let tools = (0..TOOLS).map(|number| tool(&name(number), "One of many"));
    system.server("s", tools.rev().collect()).await;
    let wide = system.token(3600, &["tool in s/*"], "s/t299").await;
    let narrow = system.token(3600, &["tool in s/t29*"], "s/t299").await;
    let (all, some) = (system.client("s", &wide), system.client("s", &narrow));
    for era in Era::ALL {
        let (pages, cursors) = pages(&all, era).await;
        let [first, second] = pages.as_slice() else {
            panic!("{} pages", pages.len());
        };
        assert_eq!(first["tools"].as_array().unwrap().len(), 250);
        let of = |page: &Value| page["tools"].as_array().unwrap().clone();
        let came: Vec<String> = [of(first), of(second)]
            .concat()
            .iter()
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect();
        let wanted: Vec<String> = (0..TOOLS).map(name).collect();
        assert_eq!(came, wanted, "each once, in order");
        for page in &pages {
            let private = (era == Era::Modern).then_some("private");
            assert_eq!(page["cacheScope"].as_str(), private, "{era:?}");
        }

        // A cursor is a name: what another was given opens nothing, and is no way to what is hidden.
        let [cursor] = cursors.as_slice() else {
            panic!("{} cursors", cursors.len());
        };
        for cursor in [cursor.clone(), json!(URL_SAFE_NO_PAD.encode("s/a"))] {
            let params = json!({ "cursor": cursor });
            let answer = some.ask(era, "tools/list", params).await.unwrap();
            let names = answer["result"]["tools"].as_array().unwrap().iter();
            let names: Vec<&str> = names.map(|tool| tool["name"].as_str().unwrap()).collect();
            assert_eq!(names.len(), 10, "{names:?}");
            assert!(names.iter().all(|name| name.starts_with("t29")));
        }
        let text = cursor.as_str().unwrap();
        for bad in [
            json!(format!("{text}!")),
            json!(format!("={text}")),
            json!(URL_SAFE_NO_PAD.encode("no server")),
            json!(URL_SAFE_NO_PAD.encode([0xff_u8, 0xfe])),
            json!(""),
            json!(7),
            json!({ "after": text }),
        ] {
            let params = json!({ "cursor": bad });
            let answer = all.ask(era, "tools/list", params).await.unwrap();
            assert_eq!(
                answer["error"]["data"]["reason"], "invalid_params",
                "{bad}: {answer}"
            );
        }
    }
    system.cluster.stop().await;
}
