//! What becomes of checkpoints outside of the database: files that can't be rewritten, and witnesses' cosignatures.
//!
//! Both catch up by themselves: a directory is compared with the database, and a witness asked where it stands. What
//! fails is tried again at the next turn.

mod files;

use crate::checkpoint::{CheckpointError, VerifierKey};
use crate::merkle::Plan;
use crate::witness::request;
use crate::{LedgerError, State};
use proctor_model::TenantId;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a witness may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer of a witness that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Checkpoints that are written in one turn, for each tenant.
const FILES_MAX: i64 = 1_000;

/// A witness that is asked to cosign.
#[derive(Clone, Debug)]
pub struct Witness {
    url: String,
    key: VerifierKey,
}

impl Witness {
    /// At this address, with this key (`NAME+ID+BASE64`).
    ///
    /// # Errors
    /// If the key is none, or has no name.
    pub fn new(url: &str, key: &str) -> Result<Self, CheckpointError> {
        let key = VerifierKey::parse(key, "")?;
        if key.name.is_empty() {
            return Err(CheckpointError::Key);
        }
        Ok(Self {
            url: format!("{}/add-checkpoint", url.trim_end_matches('/')),
            key,
        })
    }

    /// The name that it signs under.
    pub(crate) fn name(&self) -> &str {
        &self.key.name
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Goes on until `shutdown`.
pub(crate) async fn run(state: Arc<State>) {
    let settings = &state.seals;
    if settings.checkpoint_dir.is_none() && settings.witnesses.is_empty() {
        return;
    }
    let http = match reqwest::Client::builder().timeout(PATIENCE).build() {
        Ok(http) => http,
        Err(error) => {
            tracing::error!(%error, "no HTTP client: no witness is asked");
            return;
        }
    };
    // Up to which size a tenant is done.
    let mut done: HashMap<TenantId, u64> = HashMap::new();
    loop {
        if let Err(error) = turn(&state, &http, &mut done).await {
            tracing::warn!(%error, "checkpoints could not be given out; trying again");
        }
        tokio::select! {
            () = state.shutdown.cancelled() => return,
            () = tokio::time::sleep(settings.interval) => {}
        }
    }
}

async fn turn(
    state: &State,
    http: &reqwest::Client,
    done: &mut HashMap<TenantId, u64>,
) -> Result<(), LedgerError> {
    let mut newest: Vec<_> = state
        .store
        .newest_checkpoints()
        .await?
        .into_iter()
        .map(|(tenant, size, _)| (tenant, size))
        .collect();
    let platform = TenantId::platform();
    let own = state
        .store
        .tenant(&platform)
        .await?
        .newest_checkpoint()
        .await?;
    newest.extend(own.map(|own| (platform, own.size)));
    for (tenant, size) in newest {
        if done.get(&tenant) == Some(&size) {
            continue;
        }
        let mut whole = true;
        if let Some(dir) = &state.seals.checkpoint_dir {
            match write(state, dir, &tenant).await {
                Ok(all) => whole = all,
                Err(error) => {
                    whole = false;
                    tracing::warn!(%tenant, %error, "a checkpoint could not be written to its file");
                    metrics::counter!("proctor_ledger_checkpoint_files_failed_total").increment(1);
                }
            }
        }
        for witness in &state.seals.witnesses {
            if let Err(error) = ask(state, http, witness, &tenant).await {
                whole = false;
                tracing::warn!(%tenant, witness = %witness.key.name, %error, "a witness did not cosign");
                metrics::counter!("proctor_ledger_cosignatures_failed_total").increment(1);
            }
        }
        if whole {
            done.insert(tenant, size);
        }
    }
    Ok(())
}

/// Writes those checkpoints below `<dir>/<tenant>/` that have no file yet; whether that was all of them.
async fn write(state: &State, dir: &Path, tenant: &TenantId) -> Result<bool, Failure> {
    let dir = dir.join(tenant.as_str());
    std::fs::create_dir_all(&dir)?;
    // The newest file again: a crash may have left it half written. Those before it were whole when it was begun.
    let newest = files::newest(&dir)?.max(1);
    let mut tx = state.store.tenant(tenant).await?;
    let missing = tx.checkpoints_between(newest, u64::MAX, FILES_MAX).await?;
    drop(tx);
    if missing.is_empty() && newest > 1 {
        // The newest of the files is always among them, unless the log is shorter now.
        tracing::error!(%tenant, size = newest, "a checkpoint's file is ahead of what is stored: the log was cut");
        metrics::counter!("proctor_ledger_checkpoint_files_ahead_total").increment(1);
    }
    for checkpoint in &missing {
        files::write(&dir, checkpoint.size, &checkpoint.note)?;
    }
    std::fs::File::open(&dir)?.sync_all()?;
    Ok(i64::try_from(missing.len()).unwrap_or(i64::MAX) < FILES_MAX)
}

/// Has the newest checkpoint cosigned.
async fn ask(
    state: &State,
    http: &reqwest::Client,
    witness: &Witness,
    tenant: &TenantId,
) -> Result<(), Failure> {
    let name = witness.key.name.as_str();
    let mut tx = state.store.tenant(tenant).await?;
    let Some(newest) = tx.newest_checkpoint().await? else {
        return Ok(());
    };
    let mut old = tx.cosigned(name).await?;
    if old == newest.size {
        return Ok(());
    }
    // The second time from where the witness says that it stands.
    for _ in 0..2 {
        let plan = Plan::consistency(old, newest.size)
            .ok_or("the witness has seen a larger log than this: an older state was restored")?;
        let proof = state.store.tenant(tenant).await?.proof(&plan).await?;
        let body = request(old, &proof, &newest.note);
        let answer = http.post(&witness.url).body(body).send().await?;
        let status = answer.status().as_u16();
        if answer
            .content_length()
            .is_some_and(|length| length > ANSWER_BYTES_MAX as u64)
        {
            return Err("its answer is too long".into());
        }
        let text = answer.text().await?;
        match status {
            200 => return keep(state, witness, tenant, &newest, &text).await,
            409 => old = text.trim().parse().map_err(|_| "its answer is no size")?,
            422 => {
                metrics::counter!("proctor_ledger_witness_refusals_total").increment(1);
                return Err("it says that the log did not only grow: the log was rewritten".into());
            }
            _ => return Err(format!("it answered with status {status}").into()),
        }
    }
    Err("it does not say where it stands".into())
}

async fn keep(
    state: &State,
    witness: &Witness,
    tenant: &TenantId,
    newest: &crate::store::seals::StoredCheckpoint,
    lines: &str,
) -> Result<(), Failure> {
    for line in lines.lines() {
        let line = format!("{line}\n");
        let note = format!("{}{line}", newest.note);
        let ours = crate::checkpoint::open(&note, std::slice::from_ref(&witness.key));
        if ours.is_ok_and(|(_, signed)| !signed.cosigned.is_empty()) {
            let mut tx = state.store.tenant(tenant).await?;
            tx.put_cosignature(newest.size, &witness.key.name, &line)
                .await?;
            tx.commit().await?;
            state.cosigned.notify_waiters();
            return Ok(());
        }
    }
    Err("its signature does not verify".into())
}
