//! `proctor server …`: tool servers and the approval of their tools' definitions.

use super::api::{Api, print_json};
use super::settings::ApiArgs;
use anyhow::Context;
use clap::Subcommand;
use proctor_model::catalogue::{CatalogueEntry, ToolDefinition, ToolServer, Trust, Upstream, Verb};
use reqwest::Method;
use rmcp::ServiceExt;
use rmcp::transport::StreamableHttpClientTransport;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Subcommand)]
pub(crate) enum ServerCommand {
    /// List a server's tools and register it with their definitions approved as they are now
    ///
    /// Every tool gets the default labels (write, untrusted); put finer ones through the API.
    Import {
        /// Id of the server
        id: String,
        /// Its MCP endpoint
        #[arg(long)]
        url: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

pub(crate) async fn run(command: ServerCommand) -> anyhow::Result<()> {
    let ServerCommand::Import { id, url, api } = command;
    let session = ().serve(StreamableHttpClientTransport::from_uri(url.as_str())).await?;
    let tools = session
        .list_all_tools()
        .await
        .context("listing the server's tools")?;
    session.cancel().await.context("ending the session")?;
    let entries = tools
        .iter()
        .map(|tool| entry(&serde_json::to_value(tool)?))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let count = entries.len();
    let server = ToolServer {
        id: id.parse()?,
        upstream: Upstream::McpHttp { url },
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
    println!("registered {id} with {count} tools");
    Ok(())
}

fn entry(tool: &Value) -> anyhow::Result<CatalogueEntry> {
    let definition = ToolDefinition::from_mcp(tool)?;
    Ok(CatalogueEntry {
        definition_digest: Some(definition.digest()),
        approved_by: Some("import".to_owned()),
        definition,
        verb: Verb::default(),
        output: Trust::default(),
        consequential: None,
        roles: BTreeMap::new(),
        reflects: false,
        memory: None,
        rows: None,
        labels: Vec::new(),
    })
}
