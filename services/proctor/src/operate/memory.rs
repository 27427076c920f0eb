//! `proctor memory …`: who wrote what agents remember.

use super::api::{Api, print_json};
use super::settings::ApiArgs;
use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use proctor_model::config::{EdgeCertificate, PublicKey};
use proctor_model::memory::{RecordHash, SignedRecord};
use proctor_model::signed::{Verifier, key_id};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Subcommand)]
pub(crate) enum MemoryCommand {
    /// List memory items, latest first
    List {
        /// Only of this store: a tool server's id, or memory/<name>
        #[arg(long, default_value = "")]
        store: String,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u32,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Print an item's chain of custody: who wrote it, when, from what
    Lineage {
        #[command(flatten)]
        item: ItemArgs,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Verify records offline, each by itself: the JSON that `lineage --json` prints. Exit code 4 if one is not sound
    Verify {
        /// The file
        file: PathBuf,
        /// A public key of the platform (Ed25519, base64url: it may begin with a hyphen); once for each
        #[arg(long = "key", required = true, allow_hyphen_values = true)]
        keys: Vec<String>,
    },
}

/// An item, by its digest or by its key.
#[derive(Args)]
pub(crate) struct ItemArgs {
    /// Its digest (64 hex digits), as lists and audit events have it
    #[arg(required_unless_present = "key", conflicts_with = "key")]
    item: Option<String>,
    /// Or: its store
    #[arg(long, requires = "key")]
    store: Option<String>,
    /// and kind
    #[arg(long, default_value = "item")]
    kind: String,
    /// and key; once for each part
    #[arg(long, requires = "store", allow_hyphen_values = true)]
    key: Vec<String>,
}

const UNSOUND: u8 = 4;

pub(crate) async fn run(command: MemoryCommand) -> anyhow::Result<ExitCode> {
    match command {
        MemoryCommand::List { store, limit, api } => list(&store, limit, &api).await,
        MemoryCommand::Lineage { item, api } => lineage(item, &api).await,
        MemoryCommand::Verify { file, keys } => verify(&file, &keys),
    }
}

async fn list(store: &str, limit: u32, args: &ApiArgs) -> anyhow::Result<ExitCode> {
    let path = format!("memory/items?limit={limit}&store={store}");
    let page = Api::from_args(args)?
        .tenant(Method::GET, &path, None)
        .await?;
    if args.json {
        print_json(&page)?;
        return Ok(ExitCode::SUCCESS);
    }
    let items = page.get("items").and_then(Value::as_array);
    for item in items.into_iter().flatten() {
        let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
        let version = item.get("version").and_then(Value::as_u64).unwrap_or(0);
        println!(
            "{} {} {}/{} version {version}",
            text("item"),
            text("updated_at"),
            text("store"),
            text("kind")
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn lineage(item: ItemArgs, args: &ApiArgs) -> anyhow::Result<ExitCode> {
    let api = Api::from_args(args)?;
    let item = match (item.item, item.store) {
        (Some(item), _) => item,
        (None, Some(store)) => {
            let name = json!({ "store": store, "kind": item.kind, "key": item.key });
            let named = api.tenant(Method::POST, "memory/name", Some(&name)).await?;
            let named = named.get("item").and_then(Value::as_str);
            named.context("the admin API names no item")?.to_owned()
        }
        (None, None) => bail!("say which item: its digest, or --store and --key"),
    };
    let path = format!("memory/items/{item}/lineage");
    let told = api.tenant(Method::GET, &path, None).await?;
    if args.json {
        print_json(&told)?;
        return Ok(ExitCode::SUCCESS);
    }
    let records = told.get("records").cloned().unwrap_or_default();
    let records: Vec<SignedRecord> =
        serde_json::from_value(records).context("records of an unknown form")?;
    for signed in &records {
        let own = signed.record.item.to_string() == item;
        print_record(signed, own)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A record in words; what another item's record is, is indented.
fn print_record(signed: &SignedRecord, own: bool) -> anyhow::Result<()> {
    let record = &signed.record;
    let hash = record.hash()?.to_string();
    let short = |hash: &str| hash.get(..12).unwrap_or(hash).to_owned();
    let indent = if own { "" } else { "    " };
    let who = match (&record.writer.user, &record.writer.session) {
        (Some(user), Some(session)) => format!("{} for {user} in {session}", record.writer.agent),
        (Some(user), None) => format!("{} for {user}", record.writer.agent),
        (None, Some(session)) => format!("{} in {session}", record.writer.agent),
        (None, None) => record.writer.agent.to_string(),
    };
    println!(
        "{indent}{} v{} {} {} {}/{} by {who}, with {}, at {}",
        short(&hash),
        record.version,
        record.time,
        record.change.as_str(),
        record.store,
        record.kind,
        record.tool,
        record.edge,
    );
    for fact in &record.facts {
        let origins = match fact.origins.is_empty() {
            true => "seen nowhere before".to_owned(),
            false => format!("from {}", fact.origins.join(", ")),
        };
        let digest = short(&fact.digest.to_string());
        println!(
            "{indent}  fact {digest}: {}, {origins}",
            fact.trust.as_str()
        );
    }
    if record.exposed {
        println!("{indent}  after untrusted content was read");
    }
    let parents: Vec<String> = record
        .parents
        .iter()
        .map(|parent| short(&parent.to_string()))
        .collect();
    if !parents.is_empty() {
        println!("{indent}  after reading {}", parents.join(", "));
    }
    if record.prev != RecordHash::ZERO {
        println!("{indent}  follows {}", short(&record.prev.to_string()));
    }
    Ok(())
}

fn verify(file: &PathBuf, keys: &[String]) -> anyhow::Result<ExitCode> {
    let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let bundle: Value = serde_json::from_slice(&text).context("the file is not JSON")?;
    let records: Vec<SignedRecord> =
        serde_json::from_value(bundle.get("records").cloned().unwrap_or_default())
            .context("records: not of a known form")?;
    let certificates: Vec<String> =
        serde_json::from_value(bundle.get("certificates").cloned().unwrap_or_default())
            .context("certificates: a list of texts")?;
    let keys = keys.iter().map(|key| public_key(key));
    let keys = keys.collect::<anyhow::Result<Vec<_>>>()?;
    let platform = Verifier::new(&keys).context("not Ed25519 public keys")?;
    let certificates: Vec<EdgeCertificate> = certificates
        .iter()
        .filter_map(|certificate| platform.verify(certificate).ok())
        .collect();
    let mut sound = HashMap::new();
    let mut unsound = 0_usize;
    for (at, signed) in records.iter().enumerate() {
        let good = certificates
            .iter()
            .find_map(|certificate| signed.verify_with(certificate).ok());
        match good {
            Some(hash) => drop(sound.insert(hash, signed)),
            None => {
                unsound = unsound.saturating_add(1);
                println!("NOT SOUND: record {at}: no certified edge signed it");
            }
        }
    }
    for signed in sound.values() {
        let record = &signed.record;
        let before = sound.get(&record.prev).map(|before| &before.record);
        let follows = before
            .is_none_or(|before| before.item == record.item && before.version < record.version);
        if !follows {
            unsound = unsound.saturating_add(1);
            println!(
                "NOT SOUND: version {} of {} does not follow its predecessor",
                record.version, record.item
            );
        }
    }
    if unsound > 0 {
        return Ok(ExitCode::from(UNSOUND));
    }
    println!("sound: {} records", records.len());
    Ok(ExitCode::SUCCESS)
}

fn public_key(text: &str) -> anyhow::Result<PublicKey> {
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .context("a key: Ed25519 in base64url")?;
    Ok(PublicKey {
        kid: key_id(&bytes),
        key: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: MemoryCommand,
    }

    #[test]
    fn a_key_may_begin_with_a_hyphen() {
        let line = Line::try_parse_from(["proctor", "verify", "lineage.json", "--key", "-Qx"]);
        let command = line.map(|line| line.command);
        assert!(matches!(command, Ok(MemoryCommand::Verify { keys, .. }) if keys == ["-Qx"]));
    }
}
