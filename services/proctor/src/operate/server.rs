//! `proctor server …`: tool servers and the approval of their tools' definitions.

use super::api::{Api, print_json};
use super::settings::ApiArgs;
use anyhow::bail;
use clap::Subcommand;
use proctor_model::EntryKind;
use proctor_model::catalogue::{CatalogueEntry, ToolDefinition, ToolServer, Trust, Upstream, Verb};
use reqwest::Method;
use std::collections::BTreeMap;

#[derive(Subcommand)]
pub(crate) enum ServerCommand {
    /// List a server's tools, resources and prompts and register it with their definitions approved as they are now
    ///
    /// Every tool gets the default labels (write, untrusted), resources and prompts `read`; put finer ones through the API.
    Import {
        /// Id of the server
        id: String,
        /// Its MCP endpoint
        #[arg(long, required_unless_present = "command")]
        url: Option<String>,
        /// Or: the program that speaks MCP on its standard streams; each edge starts its own
        #[arg(long, conflicts_with = "url")]
        command: Option<String>,
        /// An argument of that program; once for each
        #[arg(long = "arg", requires = "command", allow_hyphen_values = true)]
        args: Vec<String>,
        #[command(flatten)]
        api: ApiArgs,
    },
}

pub(crate) async fn run(command: ServerCommand) -> anyhow::Result<()> {
    let ServerCommand::Import {
        id,
        url,
        command,
        args,
        api,
    } = command;
    let upstream = match (url, command) {
        (Some(url), _) => Upstream::McpHttp { url },
        (None, Some(command)) => Upstream::McpStdio {
            command,
            args,
            env: BTreeMap::new(),
        },
        (None, None) => bail!("say where the server is: --url or --command"),
    };
    let definitions = proctor_edge::list_tools(upstream.clone()).await?;
    let entries: Vec<_> = definitions.into_iter().map(entry).collect();
    let count = entries.len();
    let server = ToolServer {
        id: id.parse()?,
        upstream,
        timeout_ms: 30_000,
        result_bytes_max: 4 * 1024 * 1024,
        tools: entries,
        updated_at: None,
    };
    let body = serde_json::to_value(&server)?;
    let put = Api::from_args(&api)?
        .tenant(Method::PUT, &format!("tool-servers/{id}"), Some(&body))
        .await?;
    if api.json {
        return print_json(&put);
    }
    println!("registered {id} with {count} tools, resources and prompts");
    Ok(())
}

fn entry(definition: ToolDefinition) -> CatalogueEntry {
    // To read a resource or a prompt changes nothing, and says nothing about what can be believed of it.
    let verb = match definition.name.kind() {
        EntryKind::Tool => Verb::default(),
        EntryKind::Resource | EntryKind::Prompt => Verb::Read,
    };
    CatalogueEntry {
        definition_digest: Some(definition.digest()),
        approved_by: Some("import".to_owned()),
        definition,
        verb,
        output: Trust::default(),
        output_fields: BTreeMap::new(),
        tenant_scope: None,
        consequential: None,
        roles: BTreeMap::new(),
        reflects: false,
        memory: None,
        rows: None,
        labels: Vec::new(),
    }
}
