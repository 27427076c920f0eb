//! What clients are told of resources and prompts: that a list changed, and that a resource which they watch did; in both
//! families of revisions, and nobody else.

use super::system::{System, tool};
use super::teller::Teller;
use super::{PATIENCE, told_of};
use proctor_loadtest::acme;
use proctor_loadtest::mcp::{Client, Era, LEGACY, Stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const UPDATED: &str = "notifications/resources/updated";
const RESOURCES: &str = "notifications/resources/list_changed";
const PROMPTS: &str = "notifications/prompts/list_changed";

async fn start() -> (System, Teller) {
    let system = System::start().await;
    let (teller, url) = Teller::start().await;
    acme::import(&system.cluster, "s", &url).await.unwrap();
    (system, teller)
}

/// A stream in each family that watches these resources, as far as it may: the same in both.
async fn watching(client: &Client, uris: &[&str], granted: &[&str]) -> Vec<Stream> {
    let mut streams = Vec::new();
    for era in Era::ALL {
        let (stream, watched) = client.watch(era, uris).await.unwrap();
        assert_eq!(watched, granted, "{era:?}");
        streams.push(stream);
    }
    streams
}

/// The next message on each stream is that this resource changed.
async fn updated(streams: &mut [Stream], uri: &str) {
    for stream in streams {
        let message = stream.message(PATIENCE).await.unwrap();
        assert_eq!(message["method"], UPDATED, "{uri}: {message}");
        assert_eq!(message["params"]["uri"], uri, "{message}");
    }
}

/// Waits until the edge knows that a client's token is revoked.
async fn is_revoked(client: &Client) {
    let began = Instant::now();
    loop {
        let answer = client.ask(Era::Modern, "tools/list", json!({})).await;
        let answer = answer.unwrap();
        if answer["error"]["data"]["reason"] == "token_revoked" {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether such a message is among these.
fn has(messages: &[Value], method: &str) -> bool {
    messages.iter().any(|message| message["method"] == method)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_updated_resource_is_told_to_those_who_watch_it_and_may_read_it() {
    let (system, teller) = start().await;
    let readers = "tool in s/plain,s/resource:docs://open,s/resource:docs://pub/*";
    let mine = system.token(3600, &[readers], "s/plain").await;
    let others = "tool in s/plain,s/resource:docs://other";
    let theirs = system.token(3600, &[others], "s/plain").await;
    let (me, they) = (system.client("s", &mine), system.client("s", &theirs));
    let wanted = [
        "docs://open",
        "docs://pub/7",
        "docs://other",
        "docs://hidden",
    ];
    let mut of_me = watching(&me, &wanted, &wanted[..2]).await;
    let mut of_them = watching(&they, &wanted, &wanted[2..3]).await;

    // A session is its owner's: another token can neither watch in it nor read its stream.
    let (session, _) = me.initialize(LEGACY).await.unwrap();
    let foreign = they.subscribe(&session, "docs://other").send().await;
    assert_eq!(foreign.unwrap().status(), StatusCode::NOT_FOUND);
    assert!(they.general(&session).await.is_err());

    teller
        .is_asked_for(&["docs://open", "docs://other", "docs://pub/7"])
        .await;
    // Of one that nobody watches, or may, nobody hears: each stream goes on with what its own client watches.
    for uri in ["docs://hidden", "docs://pub/8"].iter().chain(&wanted[..3]) {
        teller.updated(uri);
    }
    updated(&mut of_me, "docs://open").await;
    updated(&mut of_me, "docs://pub/7").await;
    updated(&mut of_them, "docs://other").await;

    // One that is revoked hears nothing more but the end, while others do.
    let revoke = json!({ "token": mine });
    let revoked = system
        .cluster
        .acme(Method::POST, "revocations", Some(revoke));
    revoked.await.unwrap();
    is_revoked(&me).await;
    for stream in &mut of_them {
        let began = Instant::now();
        // Again and again: the edge may be asking its server anew just now, for less.
        let message = loop {
            teller.updated("docs://open");
            teller.updated("docs://other");
            if let Ok(message) = stream.message(Duration::from_secs(1)).await {
                break message;
            }
            assert!(began.elapsed() < PATIENCE, "others hear nothing either");
        };
        assert_eq!(message["params"]["uri"], "docs://other", "{message}");
    }
    for stream in of_me {
        let rest = stream.rest(PATIENCE).await.unwrap();
        assert!(!has(&rest, UPDATED), "{rest:?}");
    }
    for era in Era::ALL {
        assert!(me.watch(era, &["docs://open"]).await.is_err(), "{era:?}");
    }
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_when_its_lists_of_resources_and_prompts_change() {
    let (system, teller) = start().await;
    let wide = system.token(3600, &["tool in s/*"], "s/plain").await;
    let few = "tool in s/plain,s/resource:docs://open,s/prompt:review";
    let narrow = system.token(3600, &[few], "s/plain").await;
    let (all, one) = (system.client("s", &wide), system.client("s", &narrow));
    let mut of_all = watching(&all, &[], &[]).await;
    let mut of_one = watching(&one, &[], &[]).await;

    // What the narrow token's client does not see it is not told of: its next message is of what it does see.
    for (object, changed) in [
        ("s/resource:docs://other", RESOURCES),
        ("s/resource:docs://pub/{id}", RESOURCES),
        ("s/prompt:draft", PROMPTS),
    ] {
        turn(&system, "kill-switches", object).await;
        told_of(&mut of_all, changed, object).await;
        turn(&system, "kill-switches/release", object).await;
        told_of(&mut of_all, changed, object).await;
    }
    for (object, changed) in [
        ("s/resource:docs://open", RESOURCES),
        ("s/prompt:review", PROMPTS),
    ] {
        turn(&system, "kill-switches", object).await;
        told_of(&mut of_all, changed, object).await;
        told_of(&mut of_one, changed, object).await;
    }
    for (member, method) in [("resources", "resources/list"), ("prompts", "prompts/list")] {
        for era in Era::ALL {
            let answer = one.ask(era, method, json!({})).await.unwrap();
            assert_eq!(answer["result"][member], json!([]), "{answer}");
        }
    }

    // What the server says of itself goes to all who listen.
    teller.is_asked_for(&[]).await;
    for changed in [RESOURCES, PROMPTS] {
        teller.says(changed, &json!({}));
        told_of(&mut of_all, changed, "its server says so").await;
        told_of(&mut of_one, changed, "its server says so").await;
    }
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_of_its_lists_is_told_once_a_second_to_who_sees_any_of_it() {
    let (system, teller) = start().await;
    let one = vec![tool("other", "Of another server")];
    system.server("t", one).await;
    let mine = system.token(3600, &["tool in s/*"], "s/plain").await;
    let theirs = system.token(3600, &["tool in t/*"], "t/other").await;
    let client = |token: &str| {
        let url = format!("{}/v1/mcp", system.cluster.edge_url);
        Client::new(&url, token).unwrap()
    };
    let (me, they) = (client(&mine), client(&theirs));
    let of_me = watching(&me, &[], &[]).await;
    let of_them = watching(&they, &[], &[]).await;
    teller.is_asked_for(&[]).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        teller.says(RESOURCES, &json!({}));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for token in [mine, theirs] {
        let revoke = json!({ "token": token });
        let revoked = system
            .cluster
            .acme(Method::POST, "revocations", Some(revoke));
        revoked.await.unwrap();
    }
    for (streams, told) in [(of_me, true), (of_them, false)] {
        for stream in streams {
            let rest = stream.rest(PATIENCE).await.unwrap();
            let said = rest.iter().filter(|message| message["method"] == RESOURCES);
            let said = u64::try_from(said.count()).unwrap();
            let most = began.elapsed().as_secs() + 2;
            let most = if told { most } else { 0 };
            assert!(u64::from(told) <= said && said <= most, "{said}: {rest:?}");
        }
    }
    system.cluster.stop().await;
}

/// Takes the `GET` stream of a session up from its beginning, once the edge has noticed that nobody reads it any more.
async fn again(client: &Client, session: &str) -> Stream {
    let began = Instant::now();
    loop {
        match client.resume(session, "0-0").await {
            Ok(stream) => return stream,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_is_read_again_by_who_may_read_it() {
    let (system, teller) = start().await;
    let wide = system.token(3600, &["tool in s/*"], "s/plain").await;
    let few = "tool in s/plain,s/resource:docs://open";
    let narrow = proctor_loadtest::load::attenuate(&wide, few).await.unwrap();
    let (all, one) = (system.client("s", &wide), system.client("s", &narrow));
    let (session, _) = all.initialize(LEGACY).await.unwrap();
    let mut stream = all.general(&session).await.unwrap();
    let uris = ["docs://open", "docs://other"];
    for uri in uris {
        let watched = all.subscribe(&session, uri).send().await.unwrap();
        let watched: Value = watched.json().await.unwrap();
        assert!(watched["result"].is_object(), "{watched}");
    }
    teller.is_asked_for(&uris).await;
    for uri in ["docs://other", "docs://open"] {
        teller.updated(uri);
        updated(std::slice::from_mut(&mut stream), uri).await;
    }
    turn(&system, "kill-switches", "s/prompt:draft").await;
    told_of(std::slice::from_mut(&mut stream), PROMPTS, "a prompt").await;
    drop(stream);

    // A narrower token of the same principal: neither the other resource, nor that a list changed which it never saw.
    let mut read = again(&one, &session).await;
    updated(std::slice::from_mut(&mut read), "docs://open").await;
    let more = read.message(Duration::from_secs(2)).await;
    assert!(more.is_err(), "{more:?}");
    drop(read);

    // One that sees the same, as one does that was renewed, reads of what it sees.
    let renewed = proctor_loadtest::load::attenuate(&wide, "tool in s/*");
    let same = system.client("s", &renewed.await.unwrap());
    let mut read = again(&same, &session).await;
    let streams = std::slice::from_mut(&mut read);
    updated(streams, "docs://other").await;
    updated(streams, "docs://open").await;
    told_of(streams, PROMPTS, "a prompt").await;
    drop(read);

    // The one that it was written for reads all of it.
    let mut read = again(&all, &session).await;
    let streams = std::slice::from_mut(&mut read);
    updated(streams, "docs://other").await;
    updated(streams, "docs://open").await;
    told_of(streams, PROMPTS, "a prompt").await;
    turn(&system, "kill-switches", "s/resource:docs://open").await;
    told_of(streams, RESOURCES, "it is stopped").await;
    drop(read);

    // What is stopped by now is not told of any more, either. What comes is new: that its own list is not as it was when it
    // read last.
    let mut read = again(&one, &session).await;
    told_of(
        std::slice::from_mut(&mut read),
        RESOURCES,
        "stopped meanwhile",
    )
    .await;
    let more = read.message(Duration::from_secs(2)).await;
    assert!(more.is_err(), "{more:?}");
    turn(&system, "kill-switches/release", "s/resource:docs://open").await;
    told_of(std::slice::from_mut(&mut read), RESOURCES, "it goes on").await;
    system.cluster.stop().await;
}

async fn turn(system: &System, path: &str, object: &str) {
    let kill = json!({ "scope": "tool", "object": object });
    let turned = system.cluster.acme(Method::POST, path, Some(kill)).await;
    turned.unwrap();
}
