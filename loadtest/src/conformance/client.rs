//! The suite's client leg: its scenario servers are behind the edge, and what they get to see as a client is the edge.

use super::{AGENT, SUITE, complaints, here, install, node, required_of};
use crate::cluster::{Cluster, Options, proctor_binary};
use crate::load::{allow_all, in_secs};
use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::json;
use std::process::Stdio;

/// A revision, and how many of the scenarios that it requires of a client apply to a gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientLeg {
    /// As the suite names it.
    pub revision: &'static str,
    /// Scenarios that apply.
    pub scenarios: usize,
}

/// Each revision.
pub const CLIENT_LEGS: [ClientLeg; 2] = [
    ClientLeg {
        revision: "2026-07-28",
        scenarios: 7,
    },
    ClientLeg {
        revision: "2025-11-25",
        scenarios: 4,
    },
];

/// Scenarios that do not: a person's login at the authorization server of the suite. A gateway does not log in for agents
/// at tool servers, and does not pass their tokens on (`docs/mcp.md`).
const LOGIN: &str = "auth/";

/// Runs the scenarios of a leg that apply, or one of them, through an edge; returns what the suite said of those that do not
/// pass.
///
/// # Errors
/// If a part does not start, or not all scenarios that should be there are.
pub async fn client_leg(leg: ClientLeg, only: Option<&str>) -> anyhow::Result<Vec<String>> {
    install().await.context("installing the suite")?;
    let mut scenarios = required_of("client", leg.revision);
    scenarios.retain(|name| !name.starts_with(LOGIN));
    ensure!(
        scenarios.len() == leg.scenarios,
        "{} scenarios apply: {scenarios:?}",
        scenarios.len()
    );
    scenarios.retain(|name| only.is_none_or(|only| only == name));
    let cluster = Cluster::start(Options {
        settings: json!({ "intent": "when_declared" }),
        ..Options::default()
    })
    .await?;
    let failed = all(&cluster, leg, &scenarios).await;
    cluster.stop().await;
    failed
}

async fn all(
    cluster: &Cluster,
    leg: ClientLeg,
    scenarios: &[String],
) -> anyhow::Result<Vec<String>> {
    allow_all(cluster).await?;
    let agent = format!("agents/{AGENT}");
    cluster.acme(Method::PUT, &agent, Some(json!({}))).await?;
    // The client registers each scenario's server under its name.
    let tools = scenarios
        .iter()
        .map(|name| format!("{}/*", name.replace('_', "-")));
    let tools: Vec<String> = tools.collect();
    let caveats = [
        format!("time < {}", in_secs(3600)?),
        format!("tool in {}", tools.join(",")),
    ];
    let asked = json!({ "agent": AGENT, "caveats": caveats });
    let minted = cluster.acme(Method::POST, "tokens", Some(asked)).await?;
    let token = minted["token"].as_str().context("the token")?;
    let mut failed = Vec::new();
    for scenario in scenarios {
        failed.extend(one(cluster, leg, scenario, token).await?);
    }
    Ok(failed)
}

/// Runs a scenario; what the suite says if it does not pass.
async fn one(
    cluster: &Cluster,
    leg: ClientLeg,
    scenario: &str,
    token: &str,
) -> anyhow::Result<Option<String>> {
    let results = tempfile::tempdir()?;
    let mut suite = node();
    suite
        .arg("node_modules/@modelcontextprotocol/conformance/dist/index.js")
        .args(["client", "--command"])
        .arg("node_modules/node/bin/node client.mjs")
        .args(["--scenario", scenario, "--spec-version", leg.revision])
        .arg("-o")
        .arg(results.path());
    suite
        .current_dir(here())
        .env("EDGE", &cluster.edge_url)
        .env("TOKEN", token)
        .env("PROCTOR", proctor_binary()?)
        .env("PROCTOR_API_URL", &cluster.api_url)
        .env("PROCTOR_TENANT", "acme")
        .env("PROCTOR_ADMIN_KEY", cluster.admin_key())
        .stdin(Stdio::null());
    let output = tokio::time::timeout(SUITE, suite.output())
        .await
        .with_context(|| format!("{scenario} does not end"))??;
    if output.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let complaints = complaints(results.path());
    Ok(Some(format!("{scenario}:{complaints}\n{said}")))
}
