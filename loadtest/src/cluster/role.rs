//! A role's process, and what it says of itself.

use super::{START, STOP};
use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A role's process.
pub struct Role {
    name: String,
    config: PathBuf,
    /// The network name space that it runs in, if not this process's own.
    space: Option<String>,
    /// Files that it may have open, if not as many as this process.
    pub(super) files_max: Option<u64>,
    pub(super) child: Option<Child>,
}

impl Role {
    pub(crate) fn new(dir: &Path, name: &str, config: &str) -> anyhow::Result<Self> {
        let path = dir.join(format!("{name}.toml"));
        std::fs::write(&path, config)?;
        Ok(Self {
            name: name.to_owned(),
            config: path,
            space: None,
            files_max: None,
            child: None,
        })
    }

    /// To be started in a network name space.
    #[must_use]
    pub(crate) fn within(mut self, space: String) -> Self {
        self.space = Some(space);
        self
    }

    /// Starts it and waits until it says `sign`; returns what it said until then.
    pub(crate) async fn start(
        &mut self,
        sign: &str,
        extra: &[&str],
        env: &[(&str, &str)],
    ) -> anyhow::Result<Vec<String>> {
        let mut command = match (&self.space, self.files_max) {
            (None, None) => Command::new(proctor_binary()?),
            (None, Some(most)) => {
                let mut command = Command::new("prlimit");
                command
                    .arg(format!("--nofile={most}:{most}"))
                    .arg(proctor_binary()?);
                command
            }
            (Some(space), _) => {
                let mut command = Command::new("ip");
                command
                    .args(["netns", "exec", space])
                    .arg(proctor_binary()?);
                command
            }
        };
        // `proctor edge` for edge, edge-2, …
        let role = self
            .name
            .trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        command
            .arg(role)
            .arg("--config")
            .arg(&self.config)
            .args(extra)
            .envs(env.iter().copied());
        command
            .env("PROCTOR_LOG_FILTER", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let log_path = self.config.with_extension("log");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log_path)?;
        // What earlier starts said is not what this one says.
        let before = usize::try_from(log.metadata()?.len())?;
        command.stderr(log);
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {}", self.name))?;
        let stdout = child.stdout.take().context("its output")?;
        self.child = Some(child);
        let mut lines = BufReader::new(stdout).lines();
        let said = tokio::time::timeout(START, listen(&mut lines, sign)).await;
        let Ok(Ok(said)) = said else {
            let log = std::fs::read(log_path).unwrap_or_default();
            let log = String::from_utf8_lossy(log.get(before..).unwrap_or_default());
            bail!("{} did not start: {log}", self.name);
        };
        // Somebody has to go on reading, or it blocks one day.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(said)
    }

    /// Process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        let id = self.child.as_ref()?.id()?;
        i32::try_from(id).ok().map(Pid::from_raw)
    }

    /// Sends a signal and waits until it is gone.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn end(&mut self, signal: Signal) -> anyhow::Result<()> {
        let pid = self
            .pid()
            .with_context(|| format!("{} does not run", self.name))?;
        kill(pid, signal)?;
        if let Some(mut child) = self.child.take() {
            child.wait().await?;
        }
        Ok(())
    }

    /// Ends it in good order; where it takes its time for that, at once. One that was killed is gone already.
    pub(crate) async fn finish(&mut self) {
        // Who is not waited for any more is killed.
        let _ = tokio::time::timeout(STOP, self.end(Signal::SIGTERM)).await;
    }
}

async fn listen(
    lines: &mut Lines<BufReader<ChildStdout>>,
    sign: &str,
) -> anyhow::Result<Vec<String>> {
    let mut said = Vec::new();
    while let Some(line) = lines.next_line().await? {
        let done = line.starts_with(sign);
        said.push(line);
        if done {
            return Ok(said);
        }
    }
    bail!("it ended")
}

/// The binary under test: `PROCTOR_BIN`, or beside this one.
///
/// # Errors
/// If there is none.
pub fn proctor_binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("PROCTOR_BIN") {
        return Ok(path.into());
    }
    let here = std::env::current_exe()?;
    let found = here
        .ancestors()
        .skip(1)
        .take(3)
        .map(|dir| dir.join("proctor"))
        .find(|path| path.is_file());
    found.context("build the binary first (cargo build -p proctor), or set PROCTOR_BIN")
}
