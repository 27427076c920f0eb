//! `proctor intent …`

use super::api::{Api, print_json};
use super::settings::ApiArgs;
use anyhow::Context;
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum IntentCommand {
    /// Declare an intent from a JSON file (docs/contracts.md, section 4): prints its id
    Declare {
        /// The declaration
        file: PathBuf,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Have the tenant's extractor propose a declaration: prints it; nothing is declared
    ///
    /// Example: proctor intent extract --agent finance-copilot 'Pay the December bill' > intent.json
    Extract {
        /// The request in the user's words
        goal: String,
        /// The agent that is to act
        #[arg(long)]
        agent: String,
        /// The user it acts for
        #[arg(long)]
        user: Option<String>,
        /// The session that it is for
        #[arg(long)]
        session: Option<String>,
        #[command(flatten)]
        api: ApiArgs,
    },
}

pub(crate) async fn run(command: IntentCommand) -> anyhow::Result<()> {
    match command {
        IntentCommand::Declare { file, api } => declare(&file, &api).await,
        IntentCommand::Extract {
            goal,
            agent,
            user,
            session,
            api,
        } => {
            let mut body = json!({ "goal": goal, "agent": agent });
            for (member, value) in [("user", user), ("session", session)] {
                if let (Some(value), Some(members)) = (value, body.as_object_mut()) {
                    members.insert(member.to_owned(), value.into());
                }
            }
            let proposed = Api::from_args(&api)?
                .tenant(Method::POST, "intents/extract", Some(&body))
                .await?;
            print_json(&proposed)
        }
    }
}

async fn declare(file: &PathBuf, api: &ApiArgs) -> anyhow::Result<()> {
    let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let declaration: Value =
        serde_json::from_slice(&text).context("the declaration is not JSON")?;
    let declared = Api::from_args(api)?
        .tenant(Method::POST, "intents", Some(&declaration))
        .await?;
    if api.json {
        return print_json(&declared);
    }
    println!(
        "{}",
        declared
            .get("id")
            .and_then(Value::as_str)
            .unwrap_or_default()
    );
    Ok(())
}
