//! `proctor intent …`

use super::api::{Api, print_json};
use super::settings::ApiArgs;
use anyhow::Context;
use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;
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
}

pub(crate) async fn run(command: IntentCommand) -> anyhow::Result<()> {
    let IntentCommand::Declare { file, api } = command;
    let text = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    let declaration: Value =
        serde_json::from_slice(&text).context("the declaration is not JSON")?;
    let declared = Api::from_args(&api)?
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
