//! Reasons that come and go between an approval and its use.

use super::system::{PATIENCE, System};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Asks a person about large amounts, also for being early or late in the session.
const GUARD: &str = r#"package proctor.policy

import rego.v1

default decision := {"effect": "allow", "reasons": []}

decision := {"effect": "escalate", "reasons": grounds} if count(grounds) > 0

grounds contains "large" if input.args.amount > 500

grounds contains "early" if {
	input.args.amount > 500
	input.history.calls < 2
}

grounds contains "late" if {
	input.args.amount > 500
	input.history.calls > 3
}
"#;

impl System {
    async fn approval(&self, id: &str) -> Value {
        let path = format!("/v1/tenants/acme/approvals/{id}");
        let found = self
            .cluster
            .api_as(&self.approver, Method::GET, &path, None);
        found.await.unwrap()
    }

    async fn approve(&self, id: &str) {
        let approved = self.decide(&self.approver, id, "approve").await.unwrap();
        assert_eq!(approved["state"], "approved");
    }

    async fn guard(&self) {
        let policy = json!({ "modules": [{ "name": "guard.rego", "source": GUARD }] });
        let policy = self
            .cluster
            .acme(Method::PUT, "policies/guard", Some(policy));
        let version = policy.await.unwrap()["version"].clone();
        let path = format!("policies/guard/versions/{version}/activate");
        let mode = Some(json!({ "mode": "enforce" }));
        self.cluster.acme(Method::POST, &path, mode).await.unwrap();
    }

    /// Escalates until the guard is in force.
    async fn escalate_for(&self, token: &str, amount: u64, reason: &str) -> String {
        let started = Instant::now();
        loop {
            let call = json!({ "id": "1", "amount": amount });
            let id = self.escalate(&self.urls[0], token, call).await;
            let covers = self.approval(&id).await["covers"].to_string();
            if covers.contains(reason) {
                return id;
            }
            assert!(started.elapsed() < PATIENCE, "{covers}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_outlives_a_reason_and_gives_way_to_a_new_one() {
    let system = System::start(json!({})).await;
    let first = &system.urls[0];
    system.guard().await;
    // One call was made on each edge.
    let token = system.token(json!({}), &[]).await;
    let work = |amount: u64| json!({ "id": "1", "amount": amount });
    let call =
        async |amount: u64, id: &str| system.call(first, &token, work(amount), Some(id)).await;

    // Two are early; when one was made, the other is not any more.
    let one = system.escalate_for(&token, 601, "policy:guard:early").await;
    let other = system.escalate_for(&token, 602, "policy:guard:early").await;
    system.approve(&one).await;
    system.approve(&other).await;
    assert_eq!(call(601, &one).await, "allowed");
    assert_eq!(call(602, &other).await, "allowed");

    // What is late meanwhile was not approved as such; asked anew, nobody is sent back to the old approval.
    let old = system.escalate_for(&token, 603, "policy:guard:large").await;
    system.approve(&old).await;
    assert_eq!(system.call(first, &token, work(2), None).await, "allowed");
    assert_eq!(call(603, &old).await, "approval_mismatch");
    let new = system.escalate_for(&token, 603, "policy:guard:late").await;
    assert_ne!(new, old);
    assert_eq!(system.approval(&old).await["state"], "superseded");
    assert_eq!(call(603, &old).await, "approval_mismatch");
    system.approve(&new).await;
    assert_eq!(call(603, &new).await, "allowed");
    for amount in [601, 602, 603] {
        assert_eq!(system.executed(amount), 1);
    }
    system.stop().await;
}
