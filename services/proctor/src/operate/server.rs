//! `proctor server …`: tool servers and the approval of their tools' definitions.

use super::api::{Api, print_json};
use super::settings::ApiArgs;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use proctor_edge::Listing;
use proctor_engine::definition::{Finding, hold_back, hold_back_unusable};
use proctor_model::catalogue::{
    CatalogueEntry, ChildLimits, ToolDefinition, ToolServer, Upstream, UpstreamAuth, UpstreamTls,
    Verb,
};
use proctor_model::config::UpstreamSecret;
use proctor_model::{EntryKind, ToolName};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where a listing finds the value of `--auth-secret`.
const SECRET_VARIABLE: &str = "PROCTOR_UPSTREAM_SECRET";

#[derive(Subcommand)]
pub(crate) enum ServerCommand {
    /// List a server's tools, resources and prompts and register it with their definitions approved as they are now
    ///
    /// Every tool gets the default labels (write, untrusted), resources and prompts `read`; put finer ones through the API.
    /// With --openapi the tools are the operations of a plain HTTP API.
    Import(ImportArgs),
    /// What edges see of a server: how it does, and the definitions that are not as they were approved
    Drift {
        /// Id of the server
        id: String,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Approve a definition that differs, as it is shown now
    Approve {
        /// Id of the server
        id: String,
        /// The tool, as `drift` names it
        tool: String,
        /// Its digest, as `drift` shows it
        #[arg(long)]
        digest: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

#[derive(Args)]
pub(crate) struct ImportArgs {
    /// Id of the server
    id: String,
    /// Its MCP endpoint; with --openapi the address that the document's paths stand below
    #[arg(long)]
    url: Option<String>,
    /// Or: the program that speaks MCP on its standard streams; each edge starts its own
    #[arg(long, conflicts_with_all = ["url", "openapi"])]
    command: Option<String>,
    /// An argument of that program; once for each
    #[arg(long = "arg", requires = "command", allow_hyphen_values = true)]
    args: Vec<String>,
    #[command(flatten)]
    document: DocumentArgs,
    /// The server stands in the edges' own network (needs a platform key; with one, an MCP server may without this)
    #[arg(long, conflicts_with = "command")]
    private_addresses: bool,
    /// Approve definitions too in which something stands out: text that is not seen as it is, orders to the model
    #[arg(long)]
    accept_findings: bool,
    #[command(flatten)]
    credential: CredentialArgs,
    #[command(flatten)]
    api: ApiArgs,
}

/// Tools that are the operations of a plain HTTP API.
#[derive(Args)]
struct DocumentArgs {
    /// Or: an OpenAPI document (3.0 or 3.1, JSON or YAML) of an HTTP API
    #[arg(long, value_name = "FILE")]
    openapi: Option<PathBuf>,
    /// Check the document and show the tools, but register nothing
    #[arg(long, requires = "openapi")]
    dry_run: bool,
    /// The tools declare what they answer, where the document says it; an answer that does not fit is withheld
    #[arg(long, requires = "openapi")]
    output_schemas: bool,
}

/// What edges present to the server.
#[derive(Args)]
struct CredentialArgs {
    /// A secret (`proctor secret put`) that goes with each request. To list an MCP server that wants it already, give its
    /// value in PROCTOR_UPSTREAM_SECRET
    #[arg(long, value_name = "SECRET")]
    auth_secret: Option<String>,
    /// The header that it goes into
    #[arg(
        long,
        value_name = "HEADER",
        default_value = "authorization",
        requires = "auth_secret"
    )]
    auth_header: String,
    /// What stands before it in the header
    #[arg(long, value_name = "TEXT", requires = "auth_secret")]
    auth_prefix: Option<String>,
    /// Certificates (PEM) of the authorities to believe, instead of the public ones
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A secret with a client certificate and its key (PEM)
    #[arg(long, value_name = "SECRET")]
    client_certificate: Option<String>,
}

impl CredentialArgs {
    fn auth(&self) -> anyhow::Result<Option<UpstreamAuth>> {
        let Some(secret) = &self.auth_secret else {
            return Ok(None);
        };
        let bearer = self.auth_header.eq_ignore_ascii_case("authorization");
        let usual = if bearer { "Bearer " } else { "" };
        Ok(Some(UpstreamAuth::Header {
            name: self.auth_header.clone(),
            prefix: self.auth_prefix.clone().unwrap_or_else(|| usual.to_owned()),
            secret: secret.parse()?,
        }))
    }

    fn tls(&self) -> anyhow::Result<Option<UpstreamTls>> {
        let ca = self.ca.as_ref().map(|file| {
            std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
        });
        let tls = UpstreamTls {
            ca: ca.transpose()?,
            client_certificate: self
                .client_certificate
                .as_deref()
                .map(str::parse)
                .transpose()?,
        };
        Ok(Some(tls).filter(|tls| *tls != UpstreamTls::default()))
    }

    /// For our own listing: this machine's environment may have it.
    fn secrets(&self, url: &str) -> anyhow::Result<Vec<UpstreamSecret>> {
        let (Some(name), Ok(value)) = (&self.auth_secret, std::env::var(SECRET_VARIABLE)) else {
            return Ok(Vec::new());
        };
        let host = reqwest::Url::parse(url)?.host_str().map(str::to_owned);
        Ok(vec![UpstreamSecret {
            name: name.parse()?,
            hosts: host.into_iter().collect(),
            value,
        }])
    }
}

pub(crate) async fn run(command: ServerCommand) -> anyhow::Result<()> {
    let args = match command {
        ServerCommand::Import(args) => args,
        ServerCommand::Drift { id, api } => return drift(&id, &api).await,
        ServerCommand::Approve {
            id,
            tool,
            digest,
            api,
        } => return approve(&id, &tool, &digest, &api).await,
    };
    let (upstream, listing) = match (&args.document.openapi, &args.url, &args.command) {
        (Some(file), ..) => return http_api(&args, file).await,
        (None, Some(url), _) => Box::pin(mcp_http(&args, url)).await?,
        (None, None, Some(command)) => Box::pin(mcp_stdio(command, &args.args)).await?,
        (None, None, None) => bail!("say where the server is: --url, --command or --openapi"),
    };
    mcp(&args, upstream, listing).await
}

async fn mcp(args: &ImportArgs, upstream: Upstream, listing: Listing) -> anyhow::Result<()> {
    let mut tools: Vec<_> = listing.definitions.into_iter().map(entry).collect();
    let count = tools.len();
    // Whoever accepts what stands out, control takes nothing as approved that no edge could use.
    let mut held = hold_back_unusable(&mut tools);
    // What stands out is not approved in passing: `proctor server drift` shows it.
    if !args.accept_findings {
        held.extend(hold_back(&mut tools));
    }
    let mut server = ToolServer::new(args.id.parse()?, upstream);
    server.tools = tools;
    let path = format!("tool-servers/{}", args.id);
    let body = serde_json::to_value(&server)?;
    let put = Api::from_args(&args.api)?
        .tenant(Method::PUT, &path, Some(&body))
        .await?;
    if args.api.json {
        return print_json(&put);
    }
    println!(
        "registered {} with {count} tools, resources and prompts",
        args.id
    );
    for (tool, finding) in &held {
        println!("held back: {}", held_back(tool, finding));
    }
    for left in &listing.left_out {
        println!("{}", left_out(&json!(left)));
    }
    Ok(())
}

/// What a server lists and nobody can approve or call, and why.
fn left_out(left: &Value) -> String {
    let (name, list, why) = (said(left, "name"), said(left, "list"), said(left, "why"));
    format!("left out: \"{name}\" of {list}: {why}")
}

/// A tool, and why it is held back.
fn held_back(tool: &ToolName, finding: &Finding) -> String {
    let oddity = json!(finding.oddity);
    let oddity = oddity.as_str().unwrap_or_default();
    format!("{tool}: {oddity} at {}", visible(&finding.at))
}

/// Control reads the document: what can be a tool, and what is wrong, is the same for whoever uploads it.
async fn http_api(args: &ImportArgs, file: &Path) -> anyhow::Result<()> {
    let document =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let mut body = json!({
        "document": document,
        "url": args.url,
        "auth": args.credential.auth()?,
        "tls": args.credential.tls()?,
        "private_addresses": args.private_addresses,
        "accept_findings": args.accept_findings,
    });
    // Only where it is wanted: an API that is older knows nothing of it.
    if let (true, Some(members)) = (args.document.output_schemas, body.as_object_mut()) {
        members.insert("output_schemas".into(), true.into());
    }
    let dry_run = args.document.dry_run;
    let query = if dry_run { "?dry_run=true" } else { "" };
    let path = format!("tool-servers/{}/openapi{query}", args.id);
    let done = Api::from_args(&args.api)?
        .tenant(Method::PUT, &path, Some(&body))
        .await?;
    if args.api.json {
        return print_json(&done);
    }
    let list = |of: &Value, key: &str| of.get(key).and_then(Value::as_array).cloned();
    let tools = done.get("tool_server").and_then(|of| list(of, "tools"));
    let tools = tools.unwrap_or_default();
    let done_so = if dry_run {
        "would register"
    } else {
        "registered"
    };
    println!("{done_so} {} with {} tools", args.id, tools.len());
    if dry_run {
        for tool in &tools {
            let name = tool.get("definition").map(|of| said(of, "name"));
            println!("  {}  {}", name.unwrap_or_default(), said(tool, "verb"));
        }
    }
    for operation in list(&done, "left_out").into_iter().flatten() {
        println!("left out: {}", visible(operation.as_str().unwrap_or("-")));
    }
    for held in list(&done, "held_back").into_iter().flatten() {
        let (tool, oddity, at) = (
            said(&held, "tool"),
            said(&held, "oddity"),
            said(&held, "at"),
        );
        println!("held back: {tool}: {oddity} at {at}");
    }
    Ok(())
}

async fn drift(id: &str, api: &ApiArgs) -> anyhow::Result<()> {
    let path = format!("tool-servers/{id}/drift");
    let told = Api::from_args(api)?
        .tenant(Method::GET, &path, None)
        .await?;
    if api.json {
        return print_json(&told);
    }
    let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned();
    for edge in list(&told, "edges").into_iter().flatten() {
        println!(
            "{}  {}  {}",
            said(&edge, "edge"),
            said(&edge, "health"),
            said(&edge, "at")
        );
    }
    for left in list(&told, "left_out").into_iter().flatten() {
        println!("{}", left_out(&left));
    }
    let drift = list(&told, "drift").unwrap_or_default();
    if drift.is_empty() {
        println!("every definition that is seen is as it was approved");
    }
    for one in drift {
        println!(
            "\n{}  {}  {}",
            said(&one, "tool"),
            said(&one, "change"),
            said(&one, "digest")
        );
        for finding in list(&one, "findings").into_iter().flatten() {
            println!(
                "  ! {} at {}",
                said(&finding, "oddity"),
                said(&finding, "at")
            );
        }
        for step in list(&one, "diff").into_iter().flatten() {
            println!("  {} {}", said(&step, "op"), said(&step, "path"));
            for (sign, key) in [("-", "was"), ("+", "value")] {
                if let Some(value) = step.get(key) {
                    println!("    {sign} {}", visible(&value.to_string()));
                }
            }
        }
    }
    Ok(())
}

async fn approve(id: &str, tool: &str, digest: &str, api: &ApiArgs) -> anyhow::Result<()> {
    let path = format!("tool-servers/{id}/approve");
    let body = json!({ "tool": tool, "digest": digest });
    let server = Api::from_args(api)?
        .tenant(Method::POST, &path, Some(&body))
        .await?;
    if api.json {
        return print_json(&server);
    }
    println!("{id}/{tool} is approved as {digest}");
    Ok(())
}

fn said(value: &Value, key: &str) -> String {
    visible(value.get(key).and_then(Value::as_str).unwrap_or("-"))
}

/// A server's text on a terminal: what is not printed as it is, is written as an escape.
fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c {
            '"' | '\\' | '\'' => c.to_string().chars().collect::<Vec<_>>(),
            _ => c.escape_debug().collect(),
        })
        .collect()
}

type Found = (Upstream, Listing);

async fn mcp_http(args: &ImportArgs, url: &str) -> anyhow::Result<Found> {
    let (auth, tls) = (args.credential.auth()?, args.credential.tls()?);
    let upstream = |private_addresses| Upstream::McpHttp {
        url: url.to_owned(),
        auth: auth.clone(),
        tls: tls.clone(),
        private_addresses,
    };
    // From here it may be anywhere: whoever calls the command could ask it without us.
    let listing =
        proctor_edge::list_tools(upstream(Some(true)), args.credential.secrets(url)?).await?;
    Ok((upstream(args.private_addresses.then_some(true)), listing))
}

async fn mcp_stdio(command: &str, args: &[String]) -> anyhow::Result<Found> {
    let upstream = Upstream::McpStdio {
        command: command.to_owned(),
        args: args.to_vec(),
        env: BTreeMap::new(),
        limits: ChildLimits::default(),
    };
    let listing = proctor_edge::list_tools(upstream.clone(), Vec::new()).await?;
    Ok((upstream, listing))
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
        verb,
        ..CatalogueEntry::unlabelled(definition)
    }
}
