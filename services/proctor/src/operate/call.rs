//! `proctor call`: one tool call through the edge, as an agent makes it.

use super::api::print_json;
use super::settings::{secret, setting};
use anyhow::Context;
use clap::Args;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Exit codes: 0 allowed, 3 refused, 1 anything else.
#[derive(Args)]
pub(crate) struct CallArgs {
    /// The tool, as server/tool
    tool: String,
    /// The arguments, a JSON object
    #[arg(default_value = "{}")]
    arguments: String,
    /// The edge [default: PROCTOR_EDGE_URL, then .proctor/dev.env]; the token is taken from PROCTOR_AGENT_TOKEN
    #[arg(long)]
    edge_url: Option<String>,
    /// The approval that the call was told to come back with
    #[arg(long)]
    approval: Option<String>,
    /// Print the whole answer as JSON
    #[arg(long)]
    json: bool,
}

const REFUSED: u8 = 3;

pub(crate) async fn run(args: CallArgs) -> anyhow::Result<ExitCode> {
    let arguments: Value =
        serde_json::from_str(&args.arguments).context("the arguments are not JSON")?;
    let edge = setting(args.edge_url.as_deref(), "PROCTOR_EDGE_URL")?;
    let token = secret("PROCTOR_AGENT_TOKEN")?;
    let mut body = json!({ "tool": args.tool, "arguments": arguments });
    if let (Some(approval), Some(members)) = (args.approval, body.as_object_mut()) {
        let meta = json!({ "dev.proctor/approval": approval });
        members.insert("_meta".to_owned(), meta);
    }
    let response = reqwest::Client::builder()
        .no_proxy()
        .build()?
        .post(format!("{}/v1/tool-call", edge.trim_end_matches('/')))
        .bearer_auth(token.expose_secret())
        .json(&body)
        .send()
        .await
        .context("the edge can't be reached")?;
    let allowed = response.status() == reqwest::StatusCode::OK;
    let answer: Value = response
        .json()
        .await
        .context("the edge's answer is not JSON")?;
    if args.json {
        print_json(&answer)?;
    } else if allowed {
        print_json(answer.get("result").unwrap_or(&answer))?;
    } else {
        let data = answer
            .pointer("/error/data")
            .or_else(|| answer.get("data"))
            .unwrap_or(&answer);
        let text = |key: &str| {
            data.get(key)
                .and_then(Value::as_str)
                .unwrap_or("?")
                .to_owned()
        };
        println!(
            "refused by {} ({}): {}\ndecision {}",
            text("control"),
            text("reason"),
            text("message"),
            text("decision_id")
        );
        if data.get("retry_with").is_some() {
            let (approval, until) = (text("approval_id"), text("expires_at"));
            println!("once approved, until {until}: the same call with --approval {approval}");
        }
    }
    Ok(if allowed {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(REFUSED)
    })
}
