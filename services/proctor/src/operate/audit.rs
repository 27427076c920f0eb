//! `proctor audit …`: read, export and verify a tenant's chain.

mod offline;

use super::api::{Api, print_json};
use super::settings::ApiArgs;
use anyhow::Context;
use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

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
    /// Verify bundles offline, or, without any, let the ledger walk its chain. Exit code 4 if something is wrong
    ///
    /// Of several bundles of one tenant, each is checked by itself; `--whole` asks for all of the log. If the platform's
    /// is among them, every tenant that it names has to be, too.
    Verify {
        /// Files from `proctor audit export`; `-`: standard input
        bundles: Vec<PathBuf>,
        #[command(flatten)]
        given: offline::Given,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Write the sealed entries with all that is needed to verify them offline into one file
    Export {
        /// From this time on (RFC 3339)
        #[arg(long, default_value = "")]
        from: String,
        /// Before this time (RFC 3339)
        #[arg(long, default_value = "")]
        to: String,
        /// The file; `-`: standard output
        #[arg(short, long)]
        out: PathBuf,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Print the newest checkpoint: keep it somewhere else, and no older state can be passed off later
    Checkpoint {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Print the log's keys, as the log tells them
    Keys {
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Move the entries of a month that is over from the database to bundles in files; proofs stay
    Archive {
        /// The ledger's settings, with the owner of the schema
        #[arg(long)]
        config: PathBuf,
        /// The month, `YYYY-MM`
        #[arg(long)]
        month: String,
        /// Where the files go
        #[arg(long)]
        dir: PathBuf,
    },
    /// Tamper with a copy of a bundle in every way there is, and see each one named
    Drill {
        /// A bundle with the chain from its first entry
        bundle: PathBuf,
        /// Where the tampered copies go, to be tried with other verifiers
        #[arg(long)]
        dir: Option<PathBuf>,
    },
}

const UNSOUND: u8 = 4;
/// How often `--follow` asks for more.
const POLL: Duration = Duration::from_millis(500);

pub(crate) async fn run(command: AuditCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Tail { limit, follow, api } => tail(limit, follow, &api).await,
        AuditCommand::Verify {
            bundles,
            given,
            api,
        } => {
            if bundles.is_empty() {
                verify(&api).await
            } else {
                offline::verify(&bundles, &given)
            }
        }
        AuditCommand::Export { from, to, out, api } => {
            export(&from, &to, &out, &api).await?;
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Checkpoint { api } => {
            let page = Api::from_args(&api)?
                .tenant(Method::GET, "audit/checkpoints?limit=1", None)
                .await?;
            let note = page
                .pointer("/checkpoints/0/note")
                .and_then(Value::as_str)
                .context("nothing is sealed yet")?;
            print!("{note}");
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Keys { api } => {
            let keys = Api::from_args(&api)?
                .tenant(Method::GET, "audit/keys", None)
                .await?;
            let keys = keys.get("keys").and_then(Value::as_array);
            for key in keys.into_iter().flatten().filter_map(Value::as_str) {
                println!("{key}");
            }
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Archive { config, month, dir } => {
            crate::role::archive(&config, &month, &dir).await?;
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Drill { bundle, dir } => offline::drill(&bundle, dir.as_deref()),
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

/// The export goes to a file beside it first: a file of that name is a whole bundle.
async fn export(from: &str, to: &str, out: &Path, args: &ApiArgs) -> anyhow::Result<()> {
    let query = [("from", from), ("to", to)];
    let mut body = Api::from_args(args)?
        .download("audit/export", &query)
        .await?;
    if out == Path::new("-") {
        while let Some(chunk) = body.chunk().await.context("the export broke off")? {
            std::io::Write::write_all(&mut std::io::stdout(), &chunk)?;
        }
        return Ok(());
    }
    let mut partial = out.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let mut file = tokio::fs::File::create(&partial).await?;
    while let Some(chunk) = body.chunk().await.context("the export broke off")? {
        file.write_all(&chunk).await?;
    }
    file.sync_all().await?;
    tokio::fs::rename(&partial, out).await?;
    Ok(())
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
            "sound: {} entries, {} of them sealed, {} calls without an outcome (yet), head {head}",
            number("entries"),
            number("sealed"),
            number("open_calls")
        );
        if number("archived") > 0 {
            println!(
                "not looked at: the first {} entries, which are in archives (`proctor audit verify FILE --whole`)",
                number("archived")
            );
        }
        for alarm in report
            .get("alarms")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            println!("an edge's lane: {alarm}");
        }
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
