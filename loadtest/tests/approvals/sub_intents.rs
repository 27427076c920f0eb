//! Escalations of an intent that narrows another.

use super::system::{System, reason};
use proctor_loadtest::load::{AGENT, in_secs};
use reqwest::Method;
use serde_json::{Value, json};

/// A sub-agent's token is its agent's, narrowed to an intent of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_sub_intent_holds_a_sub_agent() {
    let system = System::start(json!({})).await;
    let [first, second] = &system.urls;
    let outer = json!({
        "agent": AGENT, "user": "alice@acme.example", "session": "s-1", "goal": "Do the work", "expires_in_s": 600,
        "actions": [{ "tool": "worker/work", "max_calls": 3 }],
    });
    let outer = system
        .cluster
        .acme(Method::POST, "intents", Some(outer))
        .await
        .unwrap();
    let inner = |rest: Value| {
        let mut declaration = json!({
            "agent": AGENT, "goal": "Do the small work", "expires_in_s": 900, "parent": outer["id"],
            "actions": [{ "tool": "worker/work", "args": { "properties": { "amount": { "maximum": 10 } } }, "max_calls": 2 },
                        { "tool": "worker/danger" }],
        });
        declaration
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        system
            .cluster
            .acme(Method::POST, "intents", Some(declaration))
    };
    for wider in [
        json!({ "agent": "other" }),
        json!({ "session": "s-2" }),
        json!({ "user": "bob" }),
        json!({ "parent": "int_0" }),
    ] {
        assert!(inner(wider).await.unwrap_err().to_string().contains("400"));
    }
    let declared = inner(json!({})).await.unwrap();
    assert_eq!(
        declared["expires_at"], outer["expires_at"],
        "no later than what it narrows"
    );
    assert_eq!(declared["declaration"]["session"], "s-1");
    let caveats = |intent: &Value| {
        vec![
            format!("time < {}", in_secs(600).unwrap()),
            "tool in worker/*".to_owned(),
            "session = s-1".to_owned(),
            format!("intent = {}", intent["id"].as_str().unwrap()),
        ]
    };
    let mut narrowed = caveats(&outer);
    let mint = async |caveats: &[String]| {
        let body = json!({ "agent": AGENT, "caveats": caveats });
        let minted = system
            .cluster
            .acme(Method::POST, "tokens", Some(body))
            .await
            .unwrap();
        minted["token"].as_str().unwrap().to_owned()
    };
    let whole = mint(&narrowed).await;
    narrowed.extend([
        format!("intent = {}", declared["id"].as_str().unwrap()),
        "delegate = helper".to_owned(),
    ]);
    let narrow = mint(&narrowed).await;
    let work = |amount: u64| json!({ "id": "1", "amount": amount });
    system.becomes(first, &narrow, work(5), "allowed").await;
    assert_eq!(
        system.call(first, &narrow, work(11), None).await,
        "argument_not_in_intent"
    );
    assert_eq!(system.call(first, &whole, work(11), None).await, "allowed");
    let danger = json!({ "tool": "worker/danger", "arguments": work(1) });
    let request = system
        .http
        .post(format!("{first}/v1/tool-call"))
        .bearer_auth(&narrow)
        .json(&danger);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        reason(&answer),
        "tool_not_in_intent",
        "its own intent has it, the outer one has not"
    );
    // Two of three are used, and both intents count.
    assert_eq!(system.call(first, &narrow, work(5), None).await, "allowed");
    assert_eq!(
        system.call(first, &narrow, work(5), None).await,
        "intent_calls_exhausted"
    );
    assert_eq!(
        system.call(first, &whole, work(5), None).await,
        "intent_calls_exhausted"
    );
    // Back out it does not go.
    narrowed.push(format!("intent = {}", outer["id"].as_str().unwrap()));
    let back = mint(&narrowed).await;
    // Nothing was asked of this edge before: it may be loading still.
    let refused = "intent_wrong_context";
    system.becomes(second, &back, work(5), refused).await;
    system.stop().await;
}
