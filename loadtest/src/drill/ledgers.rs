//! Ledgers that are killed where it hurts: in the middle of a transaction that appends, or seals.

use super::{HEAL, pause, taken_over};
use crate::cluster::Cluster;
use crate::load::Load;
use anyhow::Context;
use nix::sys::signal::Signal;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// Where a seal writes, and where a batch is appended.
const TILES: &str = "ledger.tiles";
const ENTRIES: &str = "ledger.entries";
/// The name under which the database knows who holds a table.
const HOLDER: &str = "proctor-drill";

/// Of two ledgers, only one runs when it is hit: it is the one that waits.
pub(super) async fn strike(seed: u64, cluster: &mut Cluster, load: &Load) -> anyhow::Result<()> {
    pause(seed, 0, 300).await;
    cluster.ledger.end(Signal::SIGKILL).await?;
    taken_over(cluster, load).await?;

    let holder = hold(cluster, TILES)?;
    waits(cluster, TILES).await?;
    cluster.kill_ledger_2().await?;
    let_go(cluster, holder).await?;
    cluster.start_ledger().await?;
    taken_over(cluster, load).await?;

    let holder = hold(cluster, ENTRIES)?;
    waits(cluster, ENTRIES).await?;
    cluster.ledger.end(Signal::SIGKILL).await?;
    let_go(cluster, holder).await?;
    // The edge goes on without any ledger.
    load.wait_done(20, HEAL).await?;
    cluster.start_ledger_2().await?;
    cluster.start_ledger().await?;
    taken_over(cluster, load).await?;

    pause(seed, 1, 2_000).await;
    cluster.kill_ledger_2().await?;
    pause(seed, 2, 300).await;
    cluster.ledger.end(Signal::SIGKILL).await?;
    load.wait_done(20, HEAL).await?;
    cluster.start_ledger_2().await?;
    cluster.start_ledger().await
}

/// Holds a table, so that nobody can write to it: who is about to waits, in its transaction.
fn hold(cluster: &Cluster, table: &str) -> anyhow::Result<Child> {
    let url = cluster.postgres.url("proctor");
    // Both in one transaction.
    let held = format!("lock table {table} in share mode; select pg_sleep(120)");
    Command::new("psql")
        .args(["-qAtX", "-d", &url, "-c", &held])
        .env("PGAPPNAME", HOLDER)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("psql")
}

/// Waits until somebody is in the middle of an insert into it.
async fn waits(cluster: &Cluster, table: &str) -> anyhow::Result<()> {
    let count = format!(
        "select count(*) from pg_stat_activity
         where wait_event_type = 'Lock' and query ilike 'insert into {table} %'"
    );
    let waiting = async {
        while cluster.psql(&count).await?.trim() == "0" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(())
    };
    let waited = tokio::time::timeout(HEAL, waiting).await;
    waited.with_context(|| format!("no ledger writes to {table}"))?
}

async fn let_go(cluster: &Cluster, mut holder: Child) -> anyhow::Result<()> {
    let end = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = '{HOLDER}'"
    );
    cluster.psql(&end).await?;
    holder.wait().await?;
    Ok(())
}
