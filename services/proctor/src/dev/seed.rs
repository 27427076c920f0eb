//! The demo tenant, made through the admin API as an operator and an application would.

use super::stack::Stack;
use crate::operate::api::Api;
use anyhow::{Context, bail};
use proctor_demo::catalogue;
use proctor_demo::tools::Service;
use proctor_engine::policy::stdlib;
use proctor_model::Timestamp;
use proctor_runtime::{Clock, Secret};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// The demo's tenant.
pub(super) const TENANT: &str = "acme";
const POLICY: &str = "baseline";
const TOKEN_LIFE_S: i64 = 3600;
/// How long the edge may take to have it all.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the seed made anew.
pub(super) struct Seeded {
    /// The agent's token, bound to an intent.
    pub(super) token: Secret,
}

pub(super) async fn seed(stack: &Stack) -> anyhow::Result<Seeded> {
    let api = api(stack)?;
    tenant(&api).await?;
    let agent = json!({ "display_name": "Finance copilot" });
    api.tenant(
        Method::PUT,
        &format!("agents/{}", catalogue::AGENT),
        Some(&agent),
    )
    .await?;
    for service in Service::ALL {
        let server = catalogue::tool_server(service, stack.demo.url(service))?;
        let body = serde_json::to_value(&server)?;
        api.tenant(
            Method::PUT,
            &format!("tool-servers/{}", server.id),
            Some(&body),
        )
        .await?;
    }
    policy(&api).await?;
    let edge = json!({ "tenants": [TENANT] });
    api.send(
        Method::PUT,
        &format!("/v1/edges/{}", stack.edge.edge_id),
        Some(&edge),
    )
    .await?;
    let token = token(&api).await?;
    known(stack, &token).await?;
    Ok(Seeded { token })
}

pub(super) fn api(stack: &Stack) -> anyhow::Result<Api> {
    Api::new(
        format!("http://{}", stack.api),
        stack.admin_key.clone().into(),
        TENANT.to_owned(),
    )
}

async fn tenant(api: &Api) -> anyhow::Result<()> {
    let listed = api.send(Method::GET, "/v1/tenants", None).await?;
    let tenants = listed
        .get("tenants")
        .and_then(Value::as_array)
        .context("the list of tenants")?;
    if !tenants
        .iter()
        .any(|tenant| tenant.get("tenant").and_then(Value::as_str) == Some(TENANT))
    {
        let body = json!({ "tenant": TENANT, "display_name": "Acme" });
        api.send(Method::POST, "/v1/tenants", Some(&body)).await?;
    }
    Ok(())
}

async fn policy(api: &Api) -> anyhow::Result<()> {
    let body = json!({ "modules": stdlib::modules(), "data": {} });
    let draft = api
        .tenant(Method::PUT, &format!("policies/{POLICY}"), Some(&body))
        .await?;
    let version = draft
        .get("version")
        .and_then(Value::as_u64)
        .context("the policy's version")?;
    let path = format!("policies/{POLICY}/versions/{version}/activate");
    api.tenant(Method::POST, &path, Some(&json!({ "mode": "enforce" })))
        .await?;
    Ok(())
}

/// A new intent of the user, and a token bound to it.
async fn token(api: &Api) -> anyhow::Result<Secret> {
    let declared = api
        .tenant(Method::POST, "intents", Some(&catalogue::intent()))
        .await?;
    let intent = declared
        .get("id")
        .and_then(Value::as_str)
        .context("the intent's id")?;
    let until: Timestamp = Clock::system().now().plus_secs(TOKEN_LIFE_S);
    let mut caveats = catalogue::caveats();
    caveats.push(format!("intent = {intent}"));
    caveats.push(format!("time < {}", Timestamp::from_secs(until.as_secs())));
    let body = json!({ "agent": catalogue::AGENT, "caveats": caveats });
    let minted = api.tenant(Method::POST, "tokens", Some(&body)).await?;
    let token = minted
        .get("token")
        .and_then(Value::as_str)
        .context("the token")?;
    Ok(Secret::from(token))
}

/// Waits until the edge decides as it should: all that was made has arrived.
async fn known(stack: &Stack, token: &Secret) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let question = json!({
        "subject": { "type": "agent", "id": catalogue::AGENT },
        "action": { "name": "call" },
        "resource": { "type": "tool", "id": "bank/get_balance" },
    });
    let url = format!("http://{}/access/v1/evaluation", stack.edge.agent_addr);
    let started = std::time::Instant::now();
    let mut last = Value::Null;
    while started.elapsed() < PATIENCE {
        let answer = client
            .post(&url)
            .bearer_auth(token.expose())
            .json(&question)
            .send()
            .await;
        if let Ok(answer) = answer {
            last = answer.json().await.unwrap_or_default();
        }
        if last.get("decision") == Some(&Value::Bool(true)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!(
        "the edge does not know the demo tenant after {} s; it says {last}",
        PATIENCE.as_secs()
    )
}
