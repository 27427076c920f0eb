//! `proctor secret …`: credentials for tool servers and LLM providers.

use super::collection::{Collection, text, texts};
use super::settings::ApiArgs;
use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use std::io::Read as _;

static SECRETS: Collection = Collection {
    path: "secrets",
    entries: "secrets",
    line,
    deleted: "is deleted",
};

#[derive(Subcommand)]
pub(crate) enum SecretCommand {
    /// Set a credential, read from standard input; edges have it within moments
    Put {
        /// By which tool servers and providers refer to it
        name: String,
        /// A host (`host` or `host:port`) that it may be sent to; once for each
        #[arg(long = "host", required = true)]
        hosts: Vec<String>,
        /// Take it from this environment variable instead
        #[arg(long, value_name = "VARIABLE")]
        from_env: Option<String>,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// List the credentials, without them
    List {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Delete a credential
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

pub(crate) async fn run(command: SecretCommand) -> anyhow::Result<()> {
    match command {
        SecretCommand::Put {
            name,
            hosts,
            from_env,
            api,
        } => {
            let body = json!({ "hosts": hosts, "value": value(from_env.as_deref())? });
            let set = |_: &Value| format!("{name} is set, for {}", hosts.join(", "));
            SECRETS.put(&name, &body, set, &api).await
        }
        SecretCommand::List { api } => SECRETS.list(&api).await,
        SecretCommand::Delete { name, api } => SECRETS.delete(&name, &api).await,
    }
}

fn line(secret: &Value) -> String {
    let (name, updated_at) = (text(secret, "name"), text(secret, "updated_at"));
    format!("{name}\t{}\t{updated_at}", texts(secret, "hosts"))
}

/// Never from an argument: those stand in the list of processes and in the shell's history.
fn value(from_env: Option<&str>) -> anyhow::Result<String> {
    let value = match from_env {
        Some(variable) => std::env::var(variable)
            .with_context(|| format!("the environment has no text in {variable}"))?,
        None => {
            let mut text = String::new();
            std::io::stdin()
                .take(64 * 1024)
                .read_to_string(&mut text)
                .context("reading the credential from standard input")?;
            text
        }
    };
    let value = value.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        bail!("the credential is empty");
    }
    Ok(value.to_owned())
}
