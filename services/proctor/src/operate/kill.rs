//! `proctor kill …`: stop an agent, a tool, a tenant or everything, at once and on every edge.

use super::api::{Api, print_json};
use super::settings::ApiArgs;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

#[derive(Subcommand)]
pub(crate) enum KillCommand {
    /// Stop it
    ///
    /// Example: proctor kill on --agent finance-copilot --note 'pays strangers'
    On {
        #[command(flatten)]
        target: Target,
        /// Why
        #[arg(long, default_value = "")]
        note: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Let it go on
    Off {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// List what is stopped
    List {
        #[command(flatten)]
        api: ApiArgs,
    },
}

/// What is meant.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Target {
    /// An agent of the tenant, with its sub-agents
    #[arg(long)]
    agent: Option<String>,
    /// A tool, server/tool
    #[arg(long)]
    tool: Option<String>,
    /// The whole tenant
    #[arg(long)]
    all: bool,
    /// The whole platform: every tenant
    #[arg(long)]
    platform: bool,
}

impl Target {
    /// The body of the request; none: the platform.
    fn body(&self) -> Option<Value> {
        match (&self.agent, &self.tool, self.platform) {
            (Some(agent), ..) => Some(json!({ "scope": "agent", "object": agent })),
            (_, Some(tool), _) => Some(json!({ "scope": "tool", "object": tool })),
            (.., true) => None,
            _ => Some(json!({ "scope": "tenant" })),
        }
    }
}

pub(crate) async fn run(command: KillCommand) -> anyhow::Result<()> {
    match command {
        KillCommand::On { target, note, api } => {
            let client = Api::from_args(&api)?;
            let on = match target.body() {
                Some(mut body) => {
                    if let Some(members) = body.as_object_mut() {
                        members.insert("note".to_owned(), note.into());
                    }
                    client
                        .tenant(Method::POST, "kill-switches", Some(&body))
                        .await?
                }
                None => {
                    let body = json!({ "note": note });
                    client
                        .send(Method::POST, "/v1/kill-switch", Some(&body))
                        .await?
                }
            };
            if api.json {
                return print_json(&on);
            }
            println!("stopped: {}", line(&on));
        }
        KillCommand::Off { target, api } => {
            let client = Api::from_args(&api)?;
            match target.body() {
                Some(body) => {
                    client
                        .tenant(Method::POST, "kill-switches/release", Some(&body))
                        .await?
                }
                None => client.send(Method::DELETE, "/v1/kill-switch", None).await?,
            };
            if !api.json {
                println!("released");
            }
        }
        KillCommand::List { api } => {
            let listed = Api::from_args(&api)?
                .tenant(Method::GET, "kill-switches", None)
                .await?;
            if api.json {
                return print_json(&listed);
            }
            let switches = listed.get("kill_switches").and_then(Value::as_array);
            for switch in switches.into_iter().flatten() {
                println!("{}", line(switch));
            }
        }
    }
    Ok(())
}

fn line(switch: &Value) -> String {
    let text = |key: &str| switch.get(key).and_then(Value::as_str).unwrap_or_default();
    let what = format!("{} {}", text("scope"), text("object"));
    let since = format!("since {} by {}", text("set_at"), text("set_by"));
    format!("{}  {since}  {}", what.trim_end(), text("note"))
        .trim_end()
        .to_owned()
}
