//! What many tests begin with: an installation whose one tenant lets one agent do whatever its token says, and what is
//! registered and minted there.

use crate::cluster::{Cluster, Options, proctor_binary};
use crate::load::{AGENT, allow_all, in_secs};
use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::json;
use tokio::process::Command;

/// An installation with the agent [`AGENT`] and a policy that allows everything: what is under test are the other controls.
/// An intent holds where one is declared, and none is needed.
///
/// # Errors
/// If something does not start.
pub async fn start() -> anyhow::Result<Cluster> {
    let options = Options {
        settings: json!({ "intent": "when_declared" }),
        ..Options::default()
    };
    let cluster = Cluster::start(options).await?;
    let agent = format!("agents/{AGENT}");
    cluster.acme(Method::PUT, &agent, Some(json!({}))).await?;
    allow_all(&cluster).await?;
    Ok(cluster)
}

/// Registers the MCP server at this address with all that it lists now, as an operator does.
///
/// # Errors
/// If `proctor server import` fails.
pub async fn import(cluster: &Cluster, id: &str, url: &str) -> anyhow::Result<()> {
    let mut import = Command::new(proctor_binary()?);
    import
        .args(["server", "import", id, "--url", url])
        .env("PROCTOR_API_URL", &cluster.api_url)
        .env("PROCTOR_TENANT", "acme")
        .env("PROCTOR_ADMIN_KEY", cluster.admin_key());
    let status = import.status().await?;
    ensure!(status.success(), "importing {id}: {status}");
    Ok(())
}

/// A token of the agent that is good for so many seconds, and narrowed by these caveats.
///
/// # Errors
/// If the admin API refuses.
pub async fn mint(cluster: &Cluster, secs: u64, caveats: &[&str]) -> anyhow::Result<String> {
    let mut all = vec![format!("time < {}", in_secs(secs)?)];
    all.extend(caveats.iter().map(|caveat| (*caveat).to_owned()));
    let body = json!({ "agent": AGENT, "caveats": all });
    let minted = cluster.acme(Method::POST, "tokens", Some(body)).await?;
    Ok(minted["token"].as_str().context("the token")?.to_owned())
}

/// The token, narrowed by one more caveat: as an agent does it, offline.
///
/// # Errors
/// If `proctor token attenuate` fails.
pub async fn attenuate(token: &str, caveat: &str) -> anyhow::Result<String> {
    let mut command = Command::new(proctor_binary()?);
    let command = command.args(["token", "attenuate", token, "--caveat", caveat]);
    let output = command.output().await?;
    ensure!(output.status.success(), "attenuating: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
