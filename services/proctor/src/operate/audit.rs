//! `proctor audit …`: read and verify a tenant's chain.

use super::api::{Api, print_json};
use super::settings::ApiArgs;
use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Show the latest entries, oldest first
    Tail {
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Go on as entries come
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Walk the whole chain: hashes, links, numbers, lanes. Exit code 4 if it is not sound
    Verify {
        #[command(flatten)]
        api: ApiArgs,
    },
}

const UNSOUND: u8 = 4;
/// How often `--follow` asks for more.
const POLL: Duration = Duration::from_millis(500);

pub(crate) async fn run(command: AuditCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Tail { limit, follow, api } => tail(limit, follow, &api).await,
        AuditCommand::Verify { api } => verify(&api).await,
    }
}

async fn tail(limit: u32, follow: bool, args: &ApiArgs) -> anyhow::Result<ExitCode> {
    let api = Api::from_args(args)?;
    let mut shown = 0;
    let mut limit = limit;
    loop {
        let page = api
            .tenant(Method::GET, &format!("audit/events?limit={limit}"), None)
            .await?;
        let mut entries = page
            .get("entries")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        entries.reverse();
        for entry in entries {
            let seq = entry.get("seq").and_then(Value::as_u64).unwrap_or(0);
            if seq > shown {
                shown = seq;
                if args.json {
                    println!("{entry}")
                } else {
                    println!("{}", line(&entry))
                }
            }
        }
        if !follow {
            return Ok(ExitCode::SUCCESS);
        }
        limit = 500;
        tokio::time::sleep(POLL).await;
    }
}

fn line(entry: &Value) -> String {
    let event = entry.get("event").unwrap_or(&Value::Null);
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    let what = match event.pointer("/admin/action").and_then(Value::as_str) {
        Some(action) => format!(
            "{action} {} by {}",
            text("/admin/object"),
            text("/admin/principal")
        ),
        // Refused before it was clear which tool was meant.
        None if text("/tool/name").is_empty() => format!("- agent={}", text("/agent")),
        None => format!(
            "{}/{} agent={}",
            text("/tool/server"),
            text("/tool/name"),
            text("/agent")
        ),
    };
    let why = match (text("/control"), text("/reason")) {
        ("", "") => String::new(),
        (control, reason) => format!(" [{control}: {reason}]"),
    };
    let seq = entry.get("seq").and_then(Value::as_u64).unwrap_or(0);
    format!(
        "{seq:>6} {} {:<10} {what}{why}",
        text("/time"),
        text("/kind")
    )
}

async fn verify(args: &ApiArgs) -> anyhow::Result<ExitCode> {
    let report = Api::from_args(args)?
        .tenant(Method::GET, "audit/verify", None)
        .await?;
    let findings = report
        .get("findings")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if args.json {
        print_json(&report)?;
    } else if findings.is_empty() {
        let number = |key: &str| report.get(key).and_then(Value::as_u64).unwrap_or(0);
        let head = report
            .get("head_hash")
            .and_then(Value::as_str)
            .unwrap_or_default();
        println!(
            "sound: {} entries, {} calls without an outcome (yet), head {head}",
            number("entries"),
            number("open_calls")
        );
    } else {
        for finding in &findings {
            println!("NOT SOUND: {finding}");
        }
    }
    Ok(if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(UNSOUND)
    })
}
