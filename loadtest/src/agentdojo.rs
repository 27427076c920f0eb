//! The AgentDojo replay: an installation of its own, and the benchmark's own tools and ground truth behind it.

use crate::cluster::{Cluster, Options, proctor_binary};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("agentdojo")
}

/// A virtual environment with the benchmark, made anew when its requirements change.
async fn python() -> anyhow::Result<PathBuf> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/agentdojo-venv");
    let requirements = here().join("requirements.txt");
    let stamp = venv.join("installed");
    let wanted = std::fs::read_to_string(&requirements)?;
    if std::fs::read_to_string(&stamp).ok().as_ref() != Some(&wanted) {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv)).await?;
        let mut pip = Command::new(venv.join("bin/pip"));
        run(pip.args(["install", "-q", "-r"]).arg(&requirements)).await?;
        std::fs::write(&stamp, wanted)?;
    }
    Ok(venv.join("bin/python"))
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).status().await?;
    if !status.success() {
        bail!("{:?}: {status}", command.as_std().get_program());
    }
    Ok(())
}

/// Starts an installation, replays the benchmark through its edge with these further arguments, and stops it.
///
/// # Errors
/// If a part does not start, or the replay fails.
pub async fn replay(arguments: &[String]) -> anyhow::Result<()> {
    let python = python().await.context("installing agentdojo")?;
    let cluster = Cluster::start(Options::default()).await?;
    let mut command = Command::new(python);
    command
        .arg(here().join("replay.py"))
        .args(["--edge", &cluster.edge_url])
        .args(arguments)
        .env("PROCTOR_BIN", proctor_binary()?)
        .env("PROCTOR_API_URL", &cluster.api_url)
        .env("PROCTOR_TENANT", "acme")
        .env("PROCTOR_ADMIN_KEY", cluster.admin_key());
    let replayed = run(command.kill_on_drop(true)).await;
    cluster.stop().await;
    replayed.context("the replay")
}
