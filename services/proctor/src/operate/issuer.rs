//! `proctor issuer …`: identity providers whose access tokens are exchanged for capability tokens.

use super::api::{Api, print_json};
use super::document::read;
use super::settings::ApiArgs;
use anyhow::Context;
use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;
use std::path::PathBuf;

/// Largest document, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Subcommand)]
pub(crate) enum IssuerCommand {
    /// Trust an identity provider, or change what a login through it gives; edges have it within moments
    Put {
        /// Its id
        id: String,
        /// The document (JSON, see docs/mcp.md); `-` for standard input
        file: PathBuf,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// List the identity providers that are trusted
    List {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Print one
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Trust one no longer; tokens that it gave live on until they expire or are revoked
    Delete {
        /// Its id
        id: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

pub(crate) async fn run(command: IssuerCommand) -> anyhow::Result<()> {
    match command {
        IssuerCommand::Put { id, file, api } => {
            let document: Value = serde_json::from_str(&read(&file, FILE_BYTES_MAX)?)
                .with_context(|| format!("{}: reading it as JSON", file.display()))?;
            let put = Api::from_args(&api)?
                .tenant(Method::PUT, &format!("issuers/{id}"), Some(&document))
                .await?;
            if api.json {
                return print_json(&put);
            }
            println!("{}", line(&put));
        }
        IssuerCommand::List { api } => {
            let listed = Api::from_args(&api)?
                .tenant(Method::GET, "issuers?limit=500", None)
                .await?;
            if api.json {
                return print_json(&listed);
            }
            let issuers = listed.get("issuers").and_then(Value::as_array);
            for issuer in issuers.into_iter().flatten() {
                println!("{}", line(issuer));
            }
        }
        IssuerCommand::Show { id, api } => {
            let stored = Api::from_args(&api)?
                .tenant(Method::GET, &format!("issuers/{id}"), None)
                .await?;
            print_json(&stored)?;
        }
        IssuerCommand::Delete { id, api } => {
            Api::from_args(&api)?
                .tenant(Method::DELETE, &format!("issuers/{id}"), None)
                .await?;
            println!("{id} is trusted no longer");
        }
    }
    Ok(())
}

fn line(issuer: &Value) -> String {
    let text = |key: &str| issuer.get(key).and_then(Value::as_str).unwrap_or_default();
    format!(
        "{}\t{}\tfor {}",
        text("id"),
        text("issuer"),
        text("audience")
    )
}
