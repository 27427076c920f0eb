//! The metrics of each role, those of budgets above all, as the docs name them, at a running installation: they are there, with
//! the labels that the docs say, and none of them tells of a tenant, an agent or a session. Who watches the platform is nobody's
//! operator.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use proctor_loadtest::fleet::Fleet;
use proctor_loadtest::load::{self, AGENT};
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(30);
const DOCS: &str = include_str!("../../docs/operate.md");

/// As the docs name it, as it is scraped, and its labels.
type Documented = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const COUNTER: &[Documented] = &[
    ("`proctor_counter_leader`", &["proctor_counter_leader"], &[]),
    (
        "`proctor_counter_has_leader`",
        &["proctor_counter_has_leader"],
        &[],
    ),
    ("`proctor_counter_term`", &["proctor_counter_term"], &[]),
    (
        "`proctor_counter_log_lag`",
        &["proctor_counter_log_lag"],
        &[],
    ),
    (
        "`proctor_counter_applied_index`",
        &["proctor_counter_applied_index"],
        &[],
    ),
    (
        "`proctor_counter_grants_total`",
        &["proctor_counter_grants_total"],
        &[],
    ),
    (
        "`proctor_counter_refusals_total{why}`",
        &["proctor_counter_refusals_total"],
        &["why"],
    ),
    (
        "`proctor_counter_batch_count`",
        &["proctor_counter_batch_count_sum"],
        &[],
    ),
    (
        "`proctor_counter_units_{granted,spent,returned}_total{meter}`",
        &[
            "proctor_counter_units_granted_total",
            "proctor_counter_units_spent_total",
            "proctor_counter_units_returned_total",
        ],
        &["meter"],
    ),
];

const EDGE: &[Documented] = &[
    (
        "`proctor_edge_lease_requests_total{outcome}`",
        &["proctor_edge_lease_requests_total"],
        &["outcome"],
    ),
    (
        "`proctor_edge_budget_refusals_total{meter,scope,reason}`",
        &["proctor_edge_budget_refusals_total"],
        &["meter", "scope", "reason"],
    ),
    (
        "`proctor_edge_settlements_refused_total`",
        &["proctor_edge_settlements_refused_total"],
        &[],
    ),
    (
        "`proctor_edge_leases_lost_total`",
        &["proctor_edge_leases_lost_total"],
        &[],
    ),
    (
        "`proctor_edge_spool_events`",
        &["proctor_edge_spool_events"],
        &[],
    ),
];

const CONTROL: &[Documented] = &[(
    "| `proctor_control_budget_alerts_total` | `level`",
    &["proctor_control_budget_alerts_total"],
    &["level"],
)];

const LEDGER: &[Documented] = &[
    (
        "| `proctor_ledger_entries_total` | |",
        &["proctor_ledger_entries_total"],
        &[],
    ),
    (
        "| `proctor_ledger_seals_total` | |",
        &["proctor_ledger_seals_total"],
        &[],
    ),
];

/// A line of the text format: name and labels.
type Series<'t> = (&'t str, Vec<(&'t str, &'t str)>);

fn series(text: &str) -> Vec<Series<'_>> {
    let lines = text.lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
            let labels = rest
                .strip_prefix('{')
                .and_then(|rest| rest.rsplit_once('}'));
            let labels = labels.map_or("", |(labels, _)| labels);
            let labels = labels.split(',').filter_map(|label| label.split_once('='));
            (name, labels.collect())
        })
        .collect()
}

async fn scrape(http: &reqwest::Client, admin_url: &str) -> String {
    let sent = http.get(format!("{admin_url}/metrics")).send().await;
    sent.unwrap().text().await.unwrap()
}

/// Scrapes until all of them are there: some come with the next look or the first refusal.
async fn all_of(http: &reqwest::Client, admin_url: &str, documented: &[Documented]) -> String {
    let started = Instant::now();
    loop {
        let text = scrape(http, admin_url).await;
        let found = series(&text);
        let names = documented.iter().flat_map(|(_, names, _)| names.iter());
        let there = |name: &str| found.iter().any(|(found, _)| *found == name);
        let missing: Vec<&str> = names.copied().filter(|name| !there(name)).collect();
        if missing.is_empty() {
            return text;
        }
        assert!(started.elapsed() < WAIT, "{missing:?} not in {text}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// They are documented by these names, and have these labels and no others.
fn as_documented(text: &str, documented: &[Documented]) {
    let found = series(text);
    for (name, scraped, labels) in documented {
        assert!(DOCS.contains(name), "{name} is not in the docs");
        for (found, has) in found.iter().filter(|(found, _)| scraped.contains(found)) {
            let mut has: Vec<&str> = has.iter().map(|(label, _)| *label).collect();
            let mut labels = labels.to_vec();
            has.sort_unstable();
            labels.sort_unstable();
            assert_eq!(has, labels, "{found}");
        }
    }
}

/// Of all metrics, not only those of budgets.
fn names_nobody(text: &str, ids: &[&str]) {
    for (name, labels) in series(text) {
        for (label, value) in labels {
            let whose = ["tenant", "agent", "session", "token", "account"];
            assert!(!whose.contains(&label), "{name} has a label {label}");
            let named = ids.iter().find(|id| value.contains(**id));
            assert!(named.is_none(), "{name} names {named:?} in {label}");
        }
    }
}

async fn exhaust(http: &reqwest::Client, fleet: &Fleet, token: &str) {
    let url = format!("{}/v1/tool-call", fleet.cluster.edge_url);
    let body = json!({ "tool": "worker/work", "arguments": { "id": "1", "amount": 1 } });
    let started = Instant::now();
    loop {
        let sent = http.post(&url).bearer_auth(token).json(&body).send().await;
        let answer: Value = sent.unwrap().json().await.unwrap();
        if answer["error"]["data"]["reason"] == "budget_exhausted" {
            return;
        }
        assert!(started.elapsed() < WAIT, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_of_the_docs_are_there_and_name_no_tenant() {
    let fleet = Fleet::start(1, 1).await.unwrap();
    let upstream = Upstream::start(Duration::ZERO).await.unwrap();
    let rule = |scope: &str, id: &str| json!({ "scope": scope, "id": id, "meter": "calls", "window": "lifetime", "limit": 10 });
    let rules = [
        rule("tenant", ""),
        rule("agent", AGENT),
        rule("session", "*"),
    ];
    let limits = json!({ "rules": rules });
    let put = fleet
        .cluster
        .acme(Method::PUT, "budgets/limits", Some(limits));
    put.await.unwrap();
    let token = load::prepare(&fleet.cluster, &upstream).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    exhaust(&http, &fleet, &token).await;

    let node = fleet.nodes[0].admin_url.clone().unwrap();
    for (admin_url, documented) in [
        (node.as_str(), COUNTER),
        (fleet.cluster.edge_admin_url.as_str(), EDGE),
        (fleet.cluster.control_admin_url.as_str(), CONTROL),
        (fleet.cluster.ledger_admin_url.as_str(), LEDGER),
    ] {
        let text = all_of(&http, admin_url, documented).await;
        as_documented(&text, documented);
        names_nobody(&text, &["acme", AGENT]);
    }
    fleet.stop().await;
}
