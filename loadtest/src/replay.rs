//! Replays of somebody else's benchmarks: an installation of its own, and the benchmark's own tools and ground truth behind it.

use crate::cluster::{Cluster, Options, proctor_binary};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// A benchmark that others made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Benchmark {
    /// AgentDojo: users' tasks, and what injected text asks for.
    AgentDojo,
    /// tau2-bench: what customers ask of a shop, an airline and a telephone company.
    TauBench,
}

impl Benchmark {
    /// The name of its directory.
    fn name(self) -> &'static str {
        match self {
            Self::AgentDojo => "agentdojo",
            Self::TauBench => "taubench",
        }
    }

    fn directory(self) -> PathBuf {
        root().join(self.name())
    }

    /// A virtual environment with the benchmark, made anew when its requirements change.
    async fn python(self) -> anyhow::Result<PathBuf> {
        let venv = root().join(format!("../target/{}-venv", self.name()));
        let stamp = venv.join("installed");
        let mut wanted = String::new();
        let mut installs = Vec::new();
        // What a package needs for things that are not used here is left out.
        for (file, option) in [
            ("requirements.txt", None),
            ("requirements-no-deps.txt", Some("--no-deps")),
        ] {
            let file = self.directory().join(file);
            if file.exists() {
                wanted += &std::fs::read_to_string(&file)?;
                installs.push((file, option));
            }
        }
        if std::fs::read_to_string(&stamp).ok().as_ref() != Some(&wanted) {
            run(Command::new("python3").args(["-m", "venv"]).arg(&venv)).await?;
            for (file, option) in installs {
                let mut pip = Command::new(venv.join("bin/pip"));
                run(pip.args(["install", "-q"]).args(option).arg("-r").arg(file)).await?;
            }
            std::fs::write(&stamp, wanted)?;
        }
        Ok(venv.join("bin/python"))
    }

    /// Starts an installation, replays the benchmark through its edge with these further arguments, and stops it.
    ///
    /// # Errors
    /// If a part does not start, or the replay fails.
    pub async fn replay(self, arguments: &[String]) -> anyhow::Result<()> {
        let python = self.python().await;
        let python = python.with_context(|| format!("installing {}", self.name()))?;
        let cluster = Cluster::start(Options::default()).await?;
        let mut command = Command::new(python);
        command
            .arg(self.directory().join("replay.py"))
            .args(["--edge", &cluster.edge_url])
            .args(arguments)
            // What the replays have in common.
            .env("PYTHONPATH", root().join("replay"))
            .env("PROCTOR_BIN", proctor_binary()?)
            .env("PROCTOR_API_URL", &cluster.api_url)
            .env("PROCTOR_TENANT", "acme")
            .env("PROCTOR_ADMIN_KEY", cluster.admin_key());
        let replayed = run(command.kill_on_drop(true)).await;
        cluster.stop().await;
        replayed.context("the replay")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).status().await?;
    if !status.success() {
        bail!("{:?}: {status}", command.as_std().get_program());
    }
    Ok(())
}
