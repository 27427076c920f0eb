//! `proctor approval …`: what waits for a person.

use super::api::{Api, print_json};
use super::settings::ApiArgs;
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

#[derive(Subcommand)]
pub(crate) enum ApprovalCommand {
    /// List escalated calls, oldest first
    List {
        /// pending, approved, denied, used, expired or superseded; all: whatever its state
        #[arg(long, default_value = "pending")]
        state: String,
        /// Approvals after this one
        #[arg(long)]
        after: Option<String>,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Show one: the question, and the arguments as far as they are shown to approvers
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Let the call through, once
    Approve {
        /// Its id
        id: String,
        /// Why
        #[arg(long, default_value = "")]
        comment: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Refuse it
    Deny {
        /// Its id
        id: String,
        /// Why
        #[arg(long, default_value = "")]
        comment: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

pub(crate) async fn run(command: ApprovalCommand) -> anyhow::Result<()> {
    match command {
        ApprovalCommand::List { state, after, api } => {
            let state = if state == "all" { "" } else { &state };
            let path = format!(
                "approvals?state={state}&after={}",
                after.unwrap_or_default()
            );
            let listed = Api::from_args(&api)?
                .tenant(Method::GET, &path, None)
                .await?;
            if api.json {
                return print_json(&listed);
            }
            let approvals = listed.get("approvals").and_then(Value::as_array);
            for approval in approvals.into_iter().flatten() {
                let text = |key| text(approval, key);
                println!(
                    "{}  {:<8}  until {}  {}",
                    text("id"),
                    text("state"),
                    text("expires_at"),
                    text("question")
                );
            }
            if let Some(next) = listed.get("next").and_then(Value::as_str) {
                println!("(more: --after {next})");
            }
            Ok(())
        }
        ApprovalCommand::Show { id, api } => {
            let path = format!("approvals/{id}");
            let found = Api::from_args(&api)?
                .tenant(Method::GET, &path, None)
                .await?;
            show(&found, &api)
        }
        ApprovalCommand::Approve { id, comment, api } => {
            decide(&id, "approve", &comment, &api).await
        }
        ApprovalCommand::Deny { id, comment, api } => decide(&id, "deny", &comment, &api).await,
    }
}

async fn decide(id: &str, verdict: &str, comment: &str, api: &ApiArgs) -> anyhow::Result<()> {
    let path = format!("approvals/{id}/{verdict}");
    let body = json!({ "comment": comment });
    let decided = Api::from_args(api)?
        .tenant(Method::POST, &path, Some(&body))
        .await?;
    if api.json {
        return print_json(&decided);
    }
    println!("{} is {}", text(&decided, "id"), text(&decided, "state"));
    Ok(())
}

fn show(approval: &Value, api: &ApiArgs) -> anyhow::Result<()> {
    if api.json {
        return print_json(approval);
    }
    println!("{}\n", text(approval, "question"));
    for key in [
        "id",
        "state",
        "tool",
        "agent",
        "user",
        "session",
        "intent",
        "edge",
        "created_at",
        "expires_at",
    ] {
        println!("{key:<12}{}", text(approval, key));
    }
    let votes = approval.get("votes").and_then(Value::as_array);
    for vote in votes.into_iter().flatten() {
        println!(
            "{:<12}{} {}",
            text(vote, "verdict"),
            text(vote, "principal"),
            text(vote, "comment")
        );
    }
    if let Some(arguments) = approval.get("arguments") {
        println!("\n{}", serde_json::to_string_pretty(arguments)?);
    }
    Ok(())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
