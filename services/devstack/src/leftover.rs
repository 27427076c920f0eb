//! Servers that outlived the process which started them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(10);

/// Ends the server named in a pid file, if it still runs and is ours.
///
/// It is ours only if `argument` (a path inside our data directory) is one of its command line
/// arguments: a pid file can be older than the process that has that number today. The caller
/// holds the lock of the data directory, so no living owner is robbed of its server.
pub(crate) async fn end_leftover(
    pid_file: &Path,
    argument: &OsStr,
    gentle: Signal,
    patience: Duration,
) {
    let Some(pid) = read_pid(pid_file) else {
        return;
    };
    for (signal, patience) in [(gentle, patience), (Signal::SIGKILL, patience)] {
        if !runs_with(pid, argument) {
            return;
        }
        tracing::warn!(pid, %signal, "ending a server left behind by an earlier process");
        if let Ok(raw) = i32::try_from(pid) {
            let _ = kill(Pid::from_raw(raw), signal);
        }
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline && runs_with(pid, argument) {
            sleep(POLL).await;
        }
    }
}

/// Kills every process of `program` whose working directory is `dir`, its own or one below.
///
/// A Postgres backend that is busy does not notice that its postmaster was killed, and no new
/// server starts while it lives.
pub(crate) fn kill_stragglers(program: &Path, dir: &Path) {
    for pid in processes(program, dir) {
        tracing::warn!(
            %pid,
            "killing a process left behind by a server that was killed"
        );
        let _ = kill(pid, Signal::SIGKILL);
    }
}

/// The processes of `program` whose working directory is `dir`, its own or one below: all processes
/// of a Postgres cluster work in the cluster's directory, each in a process group of its own.
pub(crate) fn processes(program: &Path, dir: &Path) -> Vec<Pid> {
    let Ok(program) = program.canonicalize() else {
        return Vec::new();
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let link = |name| std::fs::read_link(entry.path().join(name)).unwrap_or_default();
        let ours = link("cwd").starts_with(dir) && link("exe") == program;
        ours.then(|| Pid::from_raw(pid))
    });
    found.collect()
}

/// First line of a pid file.
fn read_pid(pid_file: &Path) -> Option<u32> {
    std::fs::read_to_string(pid_file)
        .ok()?
        .lines()
        .next()?
        .trim()
        .parse()
        .ok()
}

/// Whether the process exists and has `argument` on its command line. A zombie has no command line.
fn runs_with(pid: u32, argument: &OsStr) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
        line.split(|byte| *byte == 0)
            .any(|arg| arg == argument.as_bytes())
    })
}
