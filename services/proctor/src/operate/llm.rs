//! `proctor llm …`: LLM providers and their models.

use super::api::{Api, print_json};
use super::settings::ApiArgs;
use anyhow::{Context, bail};
use clap::{Subcommand, ValueEnum};
use proctor_model::catalogue::{
    CatalogueEntry, LLM_SERVER, LlmDialect, LlmModel, LlmProvider, ToolDefinition, ToolServer,
    Upstream, UpstreamAuth, Verb, llm_tool_name,
};
use proctor_model::{ServerId, ToolName};
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeMap;

#[derive(Subcommand)]
pub(crate) enum LlmCommand {
    /// Register a provider with the models that may be asked; what it had before is replaced
    ///
    /// Agents then use its official clients with the edge's `/v1/llm/PROVIDER` as base address and their capability token
    /// as key. Each model is the tool `llm/PROVIDER/MODEL`.
    Put {
        /// Its name
        provider: String,
        /// What it speaks
        #[arg(long, value_enum)]
        dialect: Dialect,
        /// The address that its clients take as the base (`https://api.openai.com/v1`, `https://api.anthropic.com`)
        #[arg(long)]
        url: String,
        /// The secret that is its key; see `proctor secret put`
        #[arg(long)]
        secret: Option<String>,
        /// A model; once for each
        #[arg(long = "model", required = true)]
        models: Vec<String>,
        /// A model (`PROVIDER/MODEL`) that is asked instead where one of these fails; once for each, in order
        #[arg(long = "fail-over")]
        fail_over: Vec<ToolName>,
        /// Most tokens of one answer
        #[arg(long)]
        output_tokens_max: Option<u64>,
        /// Largest answer in bytes, for all providers: a whole one as it comes, of a stream its texts and tool calls
        #[arg(long)]
        result_bytes_max: Option<u32>,
        /// Time until an answer is there, or its stream begins, in milliseconds; for all providers
        #[arg(long)]
        timeout_ms: Option<u32>,
        /// Longest pause within a stream, in milliseconds
        #[arg(long, default_value_t = 60_000)]
        idle_timeout_ms: u32,
        /// Its address may be in the edges' own network (needs a platform key)
        #[arg(long)]
        private_addresses: bool,
        /// Agents may use tools that the provider runs itself, and what it keeps of earlier answers
        #[arg(long)]
        hosted: bool,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// List the providers and their models
    List {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Delete a provider and its models
    Delete {
        /// Its name
        provider: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

/// Which API a provider speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Dialect {
    /// Chat completions, responses, embeddings
    Openai,
    /// Messages
    Anthropic,
}

pub(crate) async fn run(command: LlmCommand) -> anyhow::Result<()> {
    match command {
        LlmCommand::Put {
            provider,
            dialect,
            url,
            secret,
            models,
            fail_over,
            output_tokens_max,
            result_bytes_max,
            timeout_ms,
            idle_timeout_ms,
            private_addresses,
            hosted,
            api,
        } => {
            let id: ServerId = provider.parse()?;
            let dialect = match dialect {
                Dialect::Openai => LlmDialect::Openai,
                Dialect::Anthropic => LlmDialect::Anthropic,
            };
            let spec = LlmProvider {
                dialect,
                url,
                auth: auth(dialect, secret.as_deref())?,
                private_addresses,
                idle_timeout_ms,
                hosted,
            };
            let entry = |model: &String| {
                let settings = LlmModel {
                    model: Some(model.clone()),
                    fail_over: fail_over.clone(),
                    output_tokens_max,
                };
                entry(&id, model, settings)
            };
            let entries = models.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
            let changed = change(&api, |server, providers| {
                providers.insert(id.clone(), spec);
                server.tools.retain(|tool| !is_of(tool, &id));
                server.tools.extend(entries);
                server.timeout_ms = timeout_ms.unwrap_or(server.timeout_ms);
                server.result_bytes_max = result_bytes_max.unwrap_or(server.result_bytes_max);
            });
            let put = changed.await?;
            if api.json {
                return print_json(&put);
            }
            println!("{provider} is registered with {} models", models.len());
        }
        LlmCommand::List { api } => {
            let server = load(&Api::from_args(&api)?).await?;
            if api.json {
                return print_json(&serde_json::to_value(&server)?);
            }
            for tool in &server.tools {
                println!("{LLM_SERVER}/{}", tool.definition.name);
            }
        }
        LlmCommand::Delete { provider, api } => {
            let id: ServerId = provider.parse()?;
            change(&api, |server, providers| {
                providers.remove(&id);
                server.tools.retain(|tool| !is_of(tool, &id));
            })
            .await?;
            if !api.json {
                println!("{provider} is deleted");
            }
        }
    }
    Ok(())
}

fn is_of(tool: &CatalogueEntry, provider: &ServerId) -> bool {
    let name = tool.definition.name.as_str().split_once('/');
    name.is_some_and(|(id, _)| id == provider.as_str())
}

/// Where each dialect's clients put their key.
fn auth(dialect: LlmDialect, secret: Option<&str>) -> anyhow::Result<Option<UpstreamAuth>> {
    let Some(secret) = secret else {
        return Ok(None);
    };
    let (name, prefix) = match dialect {
        LlmDialect::Openai => ("authorization", "Bearer "),
        LlmDialect::Anthropic => ("x-api-key", ""),
    };
    Ok(Some(UpstreamAuth::Header {
        name: name.to_owned(),
        prefix: prefix.to_owned(),
        secret: secret.parse()?,
    }))
}

/// The tool that a model is. Its answer repeats what it was told, and is nobody's word; its prompt is content, and decides
/// nothing by itself.
fn entry(provider: &ServerId, model: &str, settings: LlmModel) -> anyhow::Result<CatalogueEntry> {
    let name = llm_tool_name(provider, model).context("the model's name is empty or too long")?;
    let definition = ToolDefinition {
        name,
        title: None,
        description: Some(format!("The model {model} of {provider}")),
        input_schema: json!({ "type": "object" }),
        output_schema: None,
        annotations: None,
        other: serde_json::Map::new(),
    };
    Ok(CatalogueEntry {
        definition_digest: Some(definition.digest()),
        approved_by: Some("llm put".to_owned()),
        verb: Verb::Read,
        consequential: Some(Vec::new()),
        reflects: true,
        llm: Some(settings),
        ..CatalogueEntry::unlabelled(definition)
    })
}

/// The server of the providers as it is, or a new one.
async fn load(api: &Api) -> anyhow::Result<ToolServer> {
    let listed = api
        .tenant(Method::GET, "tool-servers?limit=500", None)
        .await?;
    let servers = listed.get("tool_servers").and_then(|list| list.as_array());
    let known = servers
        .into_iter()
        .flatten()
        .find(|one| one["id"] == LLM_SERVER);
    if let Some(known) = known {
        let server = serde_json::from_value(known.clone());
        return server.context("the server of the providers can't be read");
    }
    Ok(ToolServer {
        id: LLM_SERVER.parse()?,
        upstream: Upstream::Llm {
            providers: BTreeMap::new(),
        },
        timeout_ms: 120_000,
        result_bytes_max: 4 * 1024 * 1024,
        tools: Vec::new(),
        updated_at: None,
    })
}

async fn change(
    args: &ApiArgs,
    change: impl FnOnce(&mut ToolServer, &mut BTreeMap<ServerId, LlmProvider>),
) -> anyhow::Result<serde_json::Value> {
    let api = Api::from_args(args)?;
    let mut server = load(&api).await?;
    let Upstream::Llm { mut providers } = server.upstream.clone() else {
        bail!("the tool server {LLM_SERVER} is none of providers");
    };
    change(&mut server, &mut providers);
    server.upstream = Upstream::Llm { providers };
    let body = serde_json::to_value(&server)?;
    let path = format!("tool-servers/{LLM_SERVER}");
    api.tenant(Method::PUT, &path, Some(&body)).await
}
