//! Memory provenance through running edges, with the official memory server: attacks on what an agent remembers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "memory/system.rs"]
mod system;

use proctor_loadtest::load::{allow_all_of, in_secs};
use proctor_loadtest::oracle;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use system::{AGENT, EVIL, IBAN, NEW_IBAN, System, installed};

/// The vendor's account as a trusted record has it, remembered in a session of its own.
async fn remembered(system: &System) {
    let token = system.session("s-accounts", "trusted").await;
    system
        .call(0, &token, "office/payees", json!({}))
        .await
        .unwrap();
    system
        .remember(0, &token, "Acme", &format!("IBAN: {IBAN}"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_remembered_is_believed_for_what_it_was_worth() {
    if !installed().await {
        return;
    }
    let system = System::start().await;
    remembered(&system).await;

    // Written through one edge, read through both, in other sessions.
    for (edge, id) in [(0, "s-a"), (1, "s-b")] {
        let token = system.session(id, "memory:verified").await;
        assert!(
            system
                .pay(edge, &token, IBAN)
                .await
                .unwrap_err()
                .starts_with("origin_not_accepted")
        );
        // The other edge knows as soon as the ledger does.
        let (seen, summary) = until(|| async {
            let opened = system.open(edge, &token, "Acme").await.ok();
            opened.filter(|(seen, _)| !seen.is_empty())
        })
        .await;
        assert_eq!(seen, [format!("IBAN: {IBAN}")]);
        assert_eq!(summary["verified"], 2, "{summary}");
        assert_eq!(summary["dropped"], 0, "{summary}");
        system.pay(edge, &token, IBAN).await.unwrap();
        assert!(system.pay(edge, &token, EVIL).await.is_err());
        // Memory is no system of record: who did not say so, does not accept it.
        let strict = system.session(&format!("{id}-strict"), "trusted").await;
        system.open(edge, &strict, "Acme").await.unwrap();
        assert!(system.pay(edge, &strict, IBAN).await.is_err());
    }

    // The agent is told to remember a false fact.
    let told = system.session("s-told", "memory:verified").await;
    system
        .call(1, &told, "office/inbox", json!({}))
        .await
        .unwrap();
    let false_fact = json!({ "observations": [{ "entityName": "Acme", "contents": [format!("IBAN: {EVIL}")] }] });
    system
        .call(1, &told, "graph/add_observations", false_fact)
        .await
        .unwrap();
    let reader = system.session("s-reader", "memory:verified").await;
    let (seen, summary) = until(|| async {
        let opened = system.open(0, &reader, "Acme").await.ok();
        opened.filter(|(seen, _)| seen.len() == 2)
    })
    .await;
    assert_eq!(seen, [format!("IBAN: {IBAN}"), format!("IBAN: {EVIL}")]);
    assert_eq!(summary["untrusted"], 1, "{summary}");
    let refused = system.pay(0, &reader, EVIL).await.unwrap_err();
    assert!(
        refused.contains("only seen in the result of graph/open_nodes (untrusted)"),
        "{refused}"
    );
    // Not even by being copied.
    let copy = json!({ "observations": [{ "entityName": "Acme", "contents": [format!("account: {EVIL}")] }] });
    system
        .call(0, &reader, "graph/add_observations", copy)
        .await
        .unwrap();
    let copied = system.session("s-copied", "memory:verified").await;
    system.open(1, &copied, "Acme").await.unwrap();
    assert!(system.pay(1, &copied, EVIL).await.is_err());
    // Where only verified memory will do, the agent does not even see it.
    system
        .graph(
            "acme",
            Some(json!({ "action": "drop", "trust": "verified" })),
        )
        .await;
    let strict = system.session("s-strict", "memory:verified").await;
    let only = until(|| async {
        let (seen, _) = system.open(1, &strict, "Acme").await.ok()?;
        (seen.len() == 1).then_some(seen)
    })
    .await;
    assert_eq!(only, [format!("IBAN: {IBAN}")]);

    let evidence = settled_events(&system).await;
    assert!(!evidence.contains(IBAN) && !evidence.contains(EVIL) && !evidence.contains("vendor"));
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_in_the_store_is_not_believed() {
    if !installed().await {
        return;
    }
    let system = System::start().await;
    remembered(&system).await;
    // What an edge did not write itself it knows from the ledger: until then it takes all of it for unsigned.
    settled_events(&system).await;
    let intact = system.stored();
    let token = system.session("s-1", "memory:verified").await;

    // The vendor's IBAN is swapped in the store.
    system.tamper(|text| text.replace(IBAN, EVIL));
    let (seen, summary) = system.open(1, &token, "Acme").await.unwrap();
    assert_eq!((seen, &summary["altered"]), (vec![], &json!(1)));
    assert!(system.pay(1, &token, EVIL).await.is_err());
    assert!(system.pay(1, &token, IBAN).await.is_err());
    // Copied under another key; an item that nobody wrote.
    system.tamper(|_| intact.replace("\"Acme\"", "\"Globex\""));
    let (seen, summary) = system.open(1, &token, "Globex").await.unwrap();
    assert_eq!(
        (seen, &summary["unsigned"]),
        (vec![], &json!(2)),
        "{summary}"
    );
    assert!(system.pay(1, &token, IBAN).await.is_err());
    // A relation that nobody drew.
    system.tamper(|_| format!("{intact}\n{{\"type\":\"relation\",\"from\":\"Acme\",\"to\":\"Mallory\",\"relationType\":\"trusts\"}}"));
    let graph = system
        .call(1, &token, "graph/read_graph", json!({}))
        .await
        .unwrap();
    assert!(!graph.to_string().contains("Mallory"), "{graph}");
    assert_eq!(
        graph["structuredContent"]["entities"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    // Old, once true: the account changes, and somebody restores the old file.
    let writer = system.session("s-2", "trusted").await;
    system
        .call(0, &writer, "office/payees", json!({}))
        .await
        .unwrap();
    system.tamper(|_| intact.clone());
    let gone = json!({ "deletions": [{ "entityName": "Acme", "observations": [format!("IBAN: {IBAN}")] }] });
    system
        .call(0, &writer, "graph/delete_observations", gone)
        .await
        .unwrap();
    system
        .remember(0, &writer, "Acme", &format!("IBAN: {NEW_IBAN}"))
        .await;
    let fresh = system.session("s-3", "memory:verified").await;
    // The edge that wrote it knows at once, the other as soon as the ledger has it.
    for edge in [0, 1] {
        let seen = until(|| async {
            let (seen, _) = system.open(edge, &fresh, "Acme").await.ok()?;
            (!seen.is_empty()).then_some(seen)
        })
        .await;
        assert_eq!(seen, [format!("IBAN: {NEW_IBAN}")]);
        system.pay(edge, &fresh, NEW_IBAN).await.unwrap();
    }
    settled_events(&system).await;
    system.tamper(|_| intact.clone());
    for edge in [0, 1] {
        let id = format!("s-old-{edge}");
        let victim = system.session(&id, "memory:verified").await;
        // An edge asks anew for the newest versions once a second.
        let seen = until(|| async {
            let (seen, summary) = system.open(edge, &victim, "Acme").await.unwrap();
            (summary["rolled_back"] == 1).then_some(seen)
        })
        .await;
        assert_eq!(seen, Vec::<String>::new());
        assert!(system.pay(edge, &victim, IBAN).await.is_err());
    }

    // Where the tenant wants it, all of such an answer is refused.
    system
        .graph("acme", Some(json!({ "action": "refuse" })))
        .await;
    let refused = until(|| async { system.open(0, &token, "Acme").await.err() }).await;
    assert!(refused.starts_with("memory_rolled_back"), "{refused}");
    system
        .graph("acme", Some(json!({ "action": "label" })))
        .await;
    let labelled = until(|| async { system.open(0, &token, "Acme").await.ok() }).await;
    assert_eq!(labelled.0, [format!("IBAN: {IBAN}")]);
    assert!(system.pay(0, &token, IBAN).await.is_err());
    settled_events(&system).await;
    system.cluster.stop().await;
}

/// The standard library's modules, as files: this crate knows no other of the installation's.
fn library() -> Vec<Value> {
    let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge/engine/policies");
    let mut names: Vec<String> = std::fs::read_dir(&place)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".rego") && !name.ends_with("_test.rego"))
        .collect();
    names.sort_unstable();
    let module = |name: String| {
        let source = std::fs::read_to_string(place.join(&name)).unwrap();
        json!({ "name": name, "source": source })
    };
    names.into_iter().map(module).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_librarys_rule_wants_the_account_from_verified_memory() {
    if !installed().await {
        return;
    }
    let system = System::start().await;
    remembered(&system).await;
    let required = json!([{ "verbs": ["financial"], "roles": ["target"], "trust": "verified" }]);
    let policy = json!({ "modules": library(), "data": { "memory": { "required": required } } });
    let made = system.acme(Method::PUT, "policies/library", policy).await;
    let activate = format!("policies/library/versions/{}/activate", made["version"]);
    system
        .acme(Method::POST, &activate, json!({ "mode": "enforce" }))
        .await;
    // The intents accept any source: nobody but the policy refuses.
    let blank = system.session("s-blank", "any").await;
    let refused = until(|| async { system.pay(0, &blank, IBAN).await.err() }).await;
    assert!(refused.starts_with("policy_denied"), "{refused}");
    // A trusted record that says the same is not what the rule asks for.
    let trusted = system.session("s-trusted", "any").await;
    system
        .call(0, &trusted, "office/payees", json!({}))
        .await
        .unwrap();
    let refused = system.pay(0, &trusted, IBAN).await.unwrap_err();
    assert!(refused.starts_with("policy_denied"), "{refused}");

    // The vendor's IBAN is swapped in the store, and the agent gets to see it.
    let intact = system.stored();
    system.tamper(|text| text.replace(IBAN, EVIL));
    system
        .graph("acme", Some(json!({ "action": "label" })))
        .await;
    let fooled = system.session("s-fooled", "any").await;
    let seen = until(|| async {
        let (seen, _) = system.open(0, &fooled, "Acme").await.ok()?;
        (!seen.is_empty()).then_some(seen)
    })
    .await;
    assert_eq!(seen, [format!("IBAN: {EVIL}")]);
    let refused = system.pay(0, &fooled, EVIL).await.unwrap_err();
    assert!(refused.starts_with("policy_denied"), "{refused}");

    // The true one passes.
    system.tamper(|_| intact.clone());
    let good = system.session("s-good", "any").await;
    let (seen, summary) = system.open(0, &good, "Acme").await.unwrap();
    assert_eq!(
        (seen, &summary["verified"]),
        (vec![format!("IBAN: {IBAN}")], &json!(2)),
        "{summary}"
    );
    system.pay(0, &good, IBAN).await.unwrap();
    let refused = system.pay(0, &good, EVIL).await.unwrap_err();
    assert!(refused.starts_with("policy_denied"), "{refused}");
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_store_says_it_could_not_replace_is_not_believed() {
    if !installed().await {
        return;
    }
    let system = System::start().await;
    remembered(&system).await;
    let writer = system.session("s-writer", "trusted").await;
    let gone = json!({ "deletions": [{ "entityName": "Acme", "observations": [format!("IBAN: {IBAN}")] }] });
    // The account is no longer good. Whoever runs the store would rather keep it, and answers that something went wrong.
    let put_back = system.broken_store();
    let failed = system
        .call(0, &writer, "graph/delete_observations", gone.clone())
        .await;
    if let Ok(result) = failed {
        assert_eq!(result["isError"], true, "{result}");
    }
    put_back();
    settled_events(&system).await;
    for edge in [0, 1] {
        // An edge asks anew once a second; each look is in a session that has read nothing yet.
        let probe = system
            .session(&format!("s-probe-{edge}"), "memory:verified")
            .await;
        until(|| async {
            let (seen, summary) = system.open(edge, &probe, "Acme").await.ok()?;
            (seen.len() == 1 && summary["untrusted"] == 1).then_some(())
        })
        .await;
        let victim = system
            .session(&format!("s-victim-{edge}"), "memory:verified")
            .await;
        let (seen, _) = system.open(edge, &victim, "Acme").await.unwrap();
        assert_eq!(seen, [format!("IBAN: {IBAN}")]);
        let refused = system.pay(edge, &victim, IBAN).await.unwrap_err();
        assert!(refused.starts_with("origin_not_accepted"), "{refused}");
    }
    // A later write that went well ends the doubt.
    system
        .call(0, &writer, "graph/delete_observations", gone)
        .await
        .unwrap();
    let fresh = system.session("s-fresh", "memory:verified").await;
    let kept = system.stored();
    assert!(!kept.contains(IBAN), "{kept}");
    let writer = system.session("s-again", "trusted").await;
    system
        .call(0, &writer, "office/payees", json!({}))
        .await
        .unwrap();
    system
        .remember(0, &writer, "Acme", &format!("IBAN: {IBAN}"))
        .await;
    let (seen, summary) = system.open(0, &fresh, "Acme").await.unwrap();
    assert_eq!(
        (seen, &summary["untrusted"]),
        (vec![format!("IBAN: {IBAN}")], &json!(0)),
        "{summary}"
    );
    system.pay(0, &fresh, IBAN).await.unwrap();
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_of_another_tenant_is_nobodys() {
    if !installed().await {
        return;
    }
    let system = System::start().await;
    let api = |method: Method, path: &str, body: Value| {
        let path = path.to_owned();
        let system = &system;
        async move { system.cluster.api(method, &path, Some(body)).await.unwrap() }
    };
    let zoo = json!({ "tenant": "zoo", "settings": { "intent": "when_declared" } });
    api(Method::POST, "/v1/tenants", zoo).await;
    api(
        Method::PUT,
        &format!("/v1/tenants/zoo/agents/{AGENT}"),
        json!({}),
    )
    .await;
    allow_all_of(&system.cluster, "zoo").await.unwrap();
    system.graph("zoo", None).await;
    let both = json!({ "tenants": ["acme", "zoo"] });
    api(
        Method::PUT,
        &format!("/v1/edges/{}", system.cluster.edge_id()),
        both,
    )
    .await;
    let caveats = [
        format!("time < {}", in_secs(600).unwrap()),
        "tool in graph/*".to_owned(),
    ];
    let minted = json!({ "agent": AGENT, "caveats": caveats });
    let minted = api(Method::POST, "/v1/tenants/zoo/tokens", minted).await;
    let foreign = minted["token"].as_str().unwrap().to_owned();

    // The stores of both are one file: what zoo wrote is signed, but not for acme.
    let entities = json!({ "entities": [{ "name": "Vendor", "entityType": "vendor", "observations": ["pays cash"] }] });
    until(|| async {
        let written = system
            .call(0, &foreign, "graph/create_entities", entities.clone())
            .await;
        written.ok()
    })
    .await;
    let (seen, summary) = system.open(0, &foreign, "Vendor").await.unwrap();
    assert_eq!(
        // In a session without an intent nobody knows what was read before.
        (seen, &summary["untrusted"]),
        (vec!["pays cash".to_owned()], &json!(2)),
        "{summary}"
    );
    let token = system.session("s-1", "memory:verified").await;
    for edge in [0, 1] {
        let (seen, summary) = system.open(edge, &token, "Vendor").await.unwrap();
        assert_eq!(
            (seen, &summary["unsigned"]),
            (vec![], &json!(2)),
            "{summary}"
        );
    }
    system.cluster.stop().await;
}

/// Tries until there is an answer: a change of the configuration takes a moment to arrive.
async fn until<T, F: Future<Output = Option<T>>>(attempt: impl Fn() -> F) -> T {
    for _ in 0..400 {
        if let Some(found) = attempt().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came to that");
}

/// All events, once the ledger has them.
async fn settled_events(system: &System) -> String {
    oracle::settled(&system.cluster, Duration::from_secs(30))
        .await
        .unwrap();
    let events = system
        .cluster
        .acme(Method::GET, "audit/events?limit=1000", None)
        .await;
    let events = events.unwrap().to_string();
    assert!(events.contains("\"memory\":{\"records\""), "{events}");
    events
}
