//! What operators do with budgets, at a running installation with three nodes of the counter: bad input changes nothing,
//! a limit below what is spent refuses from then on, alerts come, and nobody reaches another tenant's accounts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use proctor_loadtest::cluster::proctor_binary;
use proctor_loadtest::fleet::Fleet;
use proctor_loadtest::load::prepare;
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::process::Command;

const WAIT: Duration = Duration::from_secs(90);
/// Who runs the tests ends one that takes longer (`.config/nextest.toml`).
const TEST_S: i64 = 600;
const DAY_S: i64 = 86_400;

/// A window of the calendar; one that goes on for months where the day is over before the test may be.
fn window_at(now_s: i64) -> &'static str {
    let left_s = DAY_S - now_s.rem_euclid(DAY_S);
    if left_s > TEST_S {
        "day"
    } else {
        "rolling:25920000"
    }
}

#[test]
fn no_test_goes_on_beyond_its_window() {
    assert_eq!(window_at(0), "day");
    assert_eq!(window_at(7 * DAY_S - TEST_S - 1), "day");
    for late in [DAY_S - TEST_S, DAY_S - 1] {
        assert!(window_at(late).starts_with("rolling:"), "{late}");
    }
}

struct System {
    fleet: Fleet,
    token: String,
    http: reqwest::Client,
    upstream: Upstream,
    /// Over what time the limits are.
    window: &'static str,
}

impl System {
    async fn start() -> Self {
        let window = window_at(time::UtcDateTime::now().unix_timestamp());
        let fleet = Fleet::start(3, 1).await.unwrap();
        let upstream = Upstream::start(Duration::ZERO).await.unwrap();
        let token = prepare(&fleet.cluster, &upstream).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            fleet,
            token,
            http,
            upstream,
            window,
        }
    }

    async fn api(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, String> {
        let path = format!("budgets/{path}");
        let answer = self.fleet.cluster.acme(method, &path, body).await;
        answer.map_err(|error| error.to_string())
    }

    async fn limit(&self, limit: u64) {
        let rule =
            json!({ "scope": "tenant", "meter": "calls", "window": self.window, "limit": limit });
        let body = json!({ "rules": [rule] });
        self.api(Method::PUT, "limits", Some(body)).await.unwrap();
    }

    async fn call(&self) -> Value {
        let body = json!({ "tool": "worker/work", "arguments": { "id": "1", "amount": 1 } });
        let url = format!("{}/v1/tool-call", self.fleet.cluster.edge_url);
        let sent = self.http.post(url).bearer_auth(&self.token).json(&body);
        sent.send().await.unwrap().json().await.unwrap()
    }

    /// Calls until one comes to this.
    async fn becomes(&self, reason: &str) -> Value {
        let started = Instant::now();
        loop {
            let answer = self.call().await;
            let said = match &answer["error"]["data"]["reason"] {
                Value::String(said) => said.as_str(),
                _ => "allowed",
            };
            if said == reason {
                return answer;
            }
            assert!(started.elapsed() < WAIT, "not {reason}: {answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn events(&self) -> String {
        let path = "audit/events?limit=1000";
        let events = self.fleet.cluster.acme(Method::GET, path, None).await;
        events.unwrap().to_string()
    }

    /// The tenant's account. While the counter elects, it does not say.
    async fn account(&self) -> Value {
        let started = Instant::now();
        loop {
            match self.api(Method::GET, "usage?scope=tenant", None).await {
                Ok(usage) => return usage["accounts"][0].clone(),
                Err(refused) => assert!(started.elapsed() < WAIT, "{refused}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn spent(&self) -> u64 {
        self.account().await["spent"].as_u64().unwrap_or(0)
    }

    /// What is spent when no edge holds a unit any more.
    async fn settled(&self) -> u64 {
        let started = Instant::now();
        loop {
            let account = self.account().await;
            if account["leased"].as_u64().unwrap_or(0) == 0 {
                return account["spent"].as_u64().unwrap_or(0);
            }
            assert!(started.elapsed() < WAIT, "not settled: {account}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Calls until exactly so many are charged: those of an edge that does not know of the limit yet are not.
    async fn spend_up_to(&self, units: u64) {
        let started = Instant::now();
        loop {
            let spent = self.settled().await;
            assert!(spent <= units, "{spent} are spent, not {units}");
            if spent == units {
                return;
            }
            assert!(started.elapsed() < WAIT, "{spent} of {units} are spent");
            for _ in spent..units {
                self.call().await;
            }
        }
    }

    /// Waits until these are all alerts in the chain, oldest first.
    async fn told(&self, expected: &[&str]) {
        let started = Instant::now();
        loop {
            let path = "audit/events?limit=1000&kind=admin";
            let page = self.fleet.cluster.acme(Method::GET, path, None).await;
            let page = page.unwrap();
            let entries = page["entries"].as_array().unwrap().iter().rev();
            let admin = entries.map(|entry| &entry["event"]["admin"]);
            let alerts = admin.filter(|admin| admin["action"] == "budget.alert");
            let alerts: Vec<&str> = alerts
                .filter_map(|alert| alert["object"].as_str())
                .collect();
            if alerts == expected {
                return;
            }
            let late = started.elapsed() > WAIT;
            assert!(
                !late && expected.starts_with(&alerts),
                "{alerts:?}, not {expected:?}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn proctor(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(proctor_binary().unwrap())
            .arg("budget")
            .args(arguments)
            .env("PROCTOR_API_URL", &self.fleet.cluster.api_url)
            .env("PROCTOR_TENANT", "acme")
            .env("PROCTOR_ADMIN_KEY", self.fleet.cluster.admin_key())
            .output()
            .await
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_budget_is_refused_and_changes_nothing() {
    let system = System::start().await;
    system.limit(1_000).await;
    let before = system.api(Method::GET, "limits", None).await.unwrap();
    let rule = |part: Value| {
        let mut rule = json!({ "scope": "tenant", "meter": "calls", "window": "day", "limit": 5 });
        let members = rule.as_object_mut().unwrap();
        members.extend(part.as_object().unwrap().clone());
        json!({ "rules": [rule] })
    };
    for bad in [
        rule(json!({ "limit": -1 })),
        rule(json!({ "limit": 1.5 })),
        rule(json!({ "limit": "NaN" })),
        rule(json!({ "limit": null })),
        rule(json!({ "limit": u64::MAX })),
        rule(json!({ "meter": "amount" })),
        rule(json!({ "meter": "bananas" })),
        rule(json!({ "scope": "planet" })),
        rule(json!({ "scope": "token", "id": "x" })),
        rule(json!({ "scope": "agent" })),
        rule(json!({ "id": "somebody" })),
        rule(json!({ "window": "rolling:0" })),
        rule(json!({ "window": "rolling:-5" })),
        rule(json!({ "window": "century" })),
        rule(json!({ "more": 1 })),
        json!({ "rules": {} }),
        json!({ "rules": [rule(json!({}))["rules"][0], rule(json!({}))["rules"][0]] }),
    ] {
        let refused = system.api(Method::PUT, "limits", Some(bad.clone())).await;
        let refused = refused.expect_err(&bad.to_string());
        assert!(
            refused.contains("400") || refused.contains("422"),
            "{bad}: {refused}"
        );
    }
    assert_eq!(
        system.api(Method::GET, "limits", None).await.unwrap(),
        before
    );
    for bad in [
        json!({ "currency": "euros" }),
        json!({ "tools": { "nowhere": { "per_call": 1 } } }),
        json!({ "tools": { "worker/work": { "per_call": -1 } } }),
        json!({ "tools": { "worker/work": { "per_call": u64::MAX } } }),
        json!({ "models": { "m": { "per_million_input_tokens": 0.5 } } }),
    ] {
        let refused = system.api(Method::PUT, "prices", Some(bad.clone())).await;
        assert!(refused.expect_err(&bad.to_string()).contains("40"), "{bad}");
    }

    // The books: an account that does not fit, units that do not count, no reason.
    system.becomes("allowed").await;
    let account = json!({ "scope": "tenant", "meter": "calls", "window": system.window });
    let adjust = |account: &Value, units: Value, reason: &str| json!({ "account": account, "units": units, "reason": reason });
    let spent = system.spent().await;
    for bad in [
        adjust(&account, json!(i64::MIN), "x"),
        adjust(&account, json!(i64::MAX), "x"),
        adjust(&account, json!(1.5), "x"),
        adjust(&account, json!("NaN"), "x"),
        adjust(&account, json!(10), ""),
        adjust(
            &json!({ "scope": "tenant", "meter": "x", "window": "day" }),
            json!(1),
            "x",
        ),
        adjust(
            &json!({ "scope": "tenant", "meter": "calls", "window": "rolling:0" }),
            json!(1),
            "x",
        ),
        adjust(
            &json!({ "scope": "tenant", "id": "zoo", "meter": "calls", "window": "day" }),
            json!(1),
            "x",
        ),
    ] {
        let refused = system
            .api(Method::POST, "adjustments", Some(bad.clone()))
            .await;
        let refused = refused.expect_err(&bad.to_string());
        assert!(
            refused.contains("40") || refused.contains("422"),
            "{bad}: {refused}"
        );
    }
    assert!(system.spent().await <= spent + 1);
    let nothing = json!({ "reason": "x" });
    let lost = system
        .api(Method::POST, "leases/999999/write-off", Some(nothing))
        .await;
    assert!(lost.unwrap_err().contains("404"));
    let (good, said) = system
        .proctor(&[
            "set", "--scope", "tenant", "--meter", "calls", "--window", "day", "--limit", "-1",
        ])
        .await;
    assert!(!good, "{said}");

    // Another tenant's accounts are not there for this one.
    let cluster = &system.fleet.cluster;
    let admin = cluster.key("tenant-admin").await.unwrap();
    for (method, path, body) in [
        (Method::GET, "usage", None),
        (Method::GET, "leases", None),
        (Method::GET, "limits", None),
        (Method::PUT, "limits", Some(json!({ "rules": [] }))),
        (
            Method::POST,
            "adjustments",
            Some(adjust(&account, json!(1), "x")),
        ),
    ] {
        let path = format!("/v1/tenants/zoo/budgets/{path}");
        let refused = cluster.api_as(&admin, method, &path, body).await;
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.contains("403") || refused.contains("404"),
            "{path}: {refused}"
        );
    }
    system.fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_the_books_count_from_now_on_and_alerts_come() {
    let system = System::start().await;
    system.limit(40).await;
    let started = Instant::now();
    let exhausted = system.becomes("budget_exhausted").await;
    assert_eq!(exhausted["error"]["code"], -32013, "{exhausted}");
    assert!(
        exhausted["error"]["data"]["retry_after_ms"].is_u64(),
        "{exhausted}"
    );
    assert!(started.elapsed() < WAIT);
    // The last lease is settled a moment later.
    while system.spent().await < 40 {
        assert!(started.elapsed() < WAIT);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(system.spent().await, 40);
    let done = system.upstream.journal.all().len();

    // Somebody is told, while it is so.
    let told = Instant::now();
    let all = format!("{} 100%", system.window);
    while !system.events().await.contains(&all) {
        assert!(told.elapsed() < WAIT, "no alert");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    // A credit makes room; the same credit sent again does not.
    let account = json!({ "scope": "tenant", "meter": "calls", "window": system.window });
    let id = "018f3b1c-0000-7000-8000-000000000001";
    let credit =
        json!({ "account": account, "units": -10, "id": id, "reason": "an outage of ours" });
    for _ in 0..2 {
        let adjusted = system
            .api(Method::POST, "adjustments", Some(credit.clone()))
            .await;
        assert_eq!(adjusted.unwrap()["adjusted_total"], -10);
    }
    system.becomes("allowed").await;
    system.becomes("budget_exhausted").await;
    assert_eq!(system.upstream.journal.all().len(), done + 10);

    // Below what is spent: taken, and refuses. Above it again: goes on.
    let spent = [
        "set",
        "--scope",
        "tenant",
        "--meter",
        "calls",
        "--window",
        system.window,
        "--limit",
    ];
    let (good, said) = system.proctor(&[&spent[..], &["5"]].concat()).await;
    assert!(good, "{said}");
    system.becomes("budget_exhausted").await;
    let (good, said) = system.proctor(&[&spent[..], &["1000"]].concat()).await;
    assert!(good, "{said}");
    system.becomes("allowed").await;
    let (good, said) = system.proctor(&["usage"]).await;
    assert!(good && said.contains("calls"), "{said}");

    // What control records comes by a lane of its own, in its own time.
    let told = Instant::now();
    while !system.events().await.contains("budget.adjust") {
        assert!(told.elapsed() < WAIT, "the adjustment is not in the chain");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    system.fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_level_of_a_budget_is_told_once_also_if_several_are_passed_at_once() {
    let system = System::start().await;
    system.limit(20).await;
    let of = |window: &str| [50, 80, 100].map(|level| format!("tenant calls {window} {level}%"));
    let levels = [of(system.window), of("lifetime")].concat();
    let levels: Vec<&str> = levels.iter().map(String::as_str).collect();
    // 55, 85 and 100 %.
    for (units, reached) in [(11, 1), (17, 2), (20, 3)] {
        system.spend_up_to(units).await;
        system.told(&levels[..reached]).await;
    }

    // From nothing to all of it, between two looks.
    let rule = |window: &str| json!({ "scope": "tenant", "meter": "calls", "window": window, "limit": 20 });
    let both = json!({ "rules": [rule(system.window), rule("lifetime")] });
    system.api(Method::PUT, "limits", Some(both)).await.unwrap();
    let charge = json!({
        "account": { "scope": "tenant", "meter": "calls", "window": "lifetime" },
        "units": 20, "reason": "done elsewhere",
    });
    let started = Instant::now();
    // The counter hears of the new limit a moment later; until then it has no such account. Without an id: a refusal is
    // remembered under it as any other answer.
    while let Err(refused) = system
        .api(Method::POST, "adjustments", Some(charge.clone()))
        .await
    {
        assert!(started.elapsed() < WAIT, "{refused}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    system.told(&levels).await;
    system.fleet.stop().await;
}
