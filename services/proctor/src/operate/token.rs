//! `proctor token …`: mint and revoke through the API; attenuate and inspect without any network.

use super::api::{Api, print_json};
use super::settings::{ApiArgs, setting};
use anyhow::{Context, bail};
use clap::Subcommand;
use proctor_engine::token::{self, Caveat, Token};
use proctor_model::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Read as _;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Subcommand)]
pub(crate) enum TokenCommand {
    /// Mint a token for an agent
    ///
    /// Example: proctor token mint --agent finance-copilot --tools 'bank/get_*,mail/read_inbox' --ttl 1h
    Mint {
        /// The agent
        #[arg(long)]
        agent: String,
        /// Globs over server/tool, comma-separated
        #[arg(long)]
        tools: String,
        /// Life: a number with s, m, h or d
        #[arg(long, default_value = "1h")]
        ttl: String,
        /// A declared intent to bind it to
        #[arg(long)]
        intent: Option<String>,
        /// More caveats, such as 'verb in read' or 'calls <= 20'
        #[arg(long = "caveat")]
        caveats: Vec<String>,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Narrow a token, offline: prints the narrower token
    ///
    /// Example: proctor token attenuate --caveat 'tool in mail/*' --caveat 'delegate = researcher'
    Attenuate {
        /// The caveats to add
        #[arg(long = "caveat", required = true)]
        caveats: Vec<String>,
        /// The token, '-' for standard input [default: PROCTOR_AGENT_TOKEN]
        token: Option<String>,
    },
    /// Show what a token says, offline (does not verify it)
    Inspect {
        /// The token, '-' for standard input [default: PROCTOR_AGENT_TOKEN]
        token: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token and all that derive from it
    Revoke {
        /// A token, a revocation id, or '-' for standard input
        token: String,
        #[command(flatten)]
        api: ApiArgs,
    },
}

pub(crate) async fn run(command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Mint {
            agent,
            tools,
            ttl,
            intent,
            mut caveats,
            api,
        } => {
            caveats.insert(0, format!("tool in {tools}"));
            caveats.insert(0, format!("time < {}", expiry(&ttl)?));
            caveats.extend(intent.map(|id| format!("intent = {id}")));
            let body = json!({ "agent": agent, "caveats": caveats });
            let minted = Api::from_args(&api)?
                .tenant(Method::POST, "tokens", Some(&body))
                .await?;
            if api.json {
                return print_json(&minted);
            }
            println!(
                "{}",
                minted
                    .get("token")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            );
        }
        TokenCommand::Attenuate { caveats, token } => {
            let parsed = caveats
                .iter()
                .map(|text| text.parse::<Caveat>())
                .collect::<Result<Vec<_>, _>>();
            let parent = Token::parse(&token_text(token)?)?;
            println!(
                "{}",
                token::attenuate(&parent, &parsed.context("a caveat")?)?.to_text()
            );
        }
        TokenCommand::Inspect { token, json } => inspect(&token_text(token)?, json)?,
        TokenCommand::Revoke { token, api } => {
            let text = if token == "-" {
                token_text(Some(token))?
            } else {
                token
            };
            let body = if text.starts_with("pct_") {
                json!({ "token": text })
            } else {
                json!({ "revocation_id": text })
            };
            let revoked = Api::from_args(&api)?
                .tenant(Method::POST, "revocations", Some(&body))
                .await?;
            if api.json {
                return print_json(&revoked);
            }
            println!(
                "revoked {}",
                revoked
                    .get("revocation_id")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            );
        }
    }
    Ok(())
}

fn token_text(argument: Option<String>) -> anyhow::Result<String> {
    match argument.as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .take(64 * 1024)
                .read_to_string(&mut text)
                .context("reading the token")?;
            Ok(text.trim().to_owned())
        }
        other => setting(other, "PROCTOR_AGENT_TOKEN"),
    }
}

fn inspect(text: &str, json: bool) -> anyhow::Result<()> {
    let seen = token::inspect(text)?;
    if json {
        return print_json(&serde_json::to_value(&seen)?);
    }
    println!(
        "tenant      {}\nagent       {}\nkey         {}\nissued at   {}",
        seen.tenant, seen.agent, seen.key, seen.issued_at
    );
    for caveat in &seen.caveats {
        println!("caveat      {caveat}");
    }
    for problem in &seen.problems {
        println!("PROBLEM     {problem}");
    }
    println!("token id    {}", seen.token_id);
    println!("(read, not verified: only an edge holds the key)");
    Ok(())
}

/// The time `ttl` from now, such as `90s`, `15m`, `1h` or `7d`.
pub(crate) fn expiry(ttl: &str) -> anyhow::Result<Timestamp> {
    let unit = ttl.chars().next_back().unwrap_or(' ');
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => bail!("a life is a number with s, m, h or d, such as 1h"),
    };
    let count: i64 = ttl
        .trim_end_matches(unit)
        .parse()
        .context("a life is a number with s, m, h or d, such as 1h")?;
    let seconds = count
        .checked_mul(factor)
        .filter(|seconds| *seconds > 0)
        .context("the life is out of range")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok(Timestamp::from_secs(
        i64::try_from(now)?.saturating_add(seconds),
    ))
}
