//! `proctor issuer …`: identity providers whose access tokens are exchanged for capability tokens.

use super::collection::{Collection, text};
use super::document::read;
use super::settings::ApiArgs;
use anyhow::Context;
use clap::Subcommand;
use serde_json::Value;
use std::path::PathBuf;

/// Largest document, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

static ISSUERS: Collection = Collection {
    path: "issuers",
    entries: "issuers",
    line,
    deleted: "is trusted no longer",
};

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
            ISSUERS.put(&id, &document, line, &api).await
        }
        IssuerCommand::List { api } => ISSUERS.list(&api).await,
        IssuerCommand::Show { id, api } => ISSUERS.show(&id, &api).await,
        IssuerCommand::Delete { id, api } => ISSUERS.delete(&id, &api).await,
    }
}

fn line(issuer: &Value) -> String {
    let text = |member| text(issuer, member);
    format!(
        "{}\t{}\tfor {}",
        text("id"),
        text("issuer"),
        text("audience")
    )
}
