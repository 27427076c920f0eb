//! The official clients and servers, as npm has them.

use proctor_devstack::skipped;
use proctor_loadtest::install::turn;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Where the clients are.
pub(crate) fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

pub(crate) async fn succeeds(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    out.into_owned()
}

pub(crate) fn has(program: &str) -> bool {
    let found = std::process::Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    found.is_ok_and(|status| status.success())
}

/// Whether something was installed since its list changed.
pub(crate) fn is_fresh(stamp: &Path, source: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified());
    matches!((changed(stamp), changed(source)), (Ok(stamp), Ok(source)) if stamp >= source)
}

/// Installs them; false where there is no npm.
pub(crate) async fn install() -> bool {
    if !has("npm") {
        skipped("npm is absent");
        return false;
    }
    let _turn = turn("clients").unwrap();
    let stamp = here().join("node_modules/.package-lock.json");
    if !is_fresh(&stamp, &here().join("package-lock.json")) {
        // Not `ci`: that refuses a lock without an optional package for Windows that some registries lack.
        succeeds(
            Command::new("npm")
                .args(["install", "--no-save", "--no-audit", "--no-fund"])
                .current_dir(here()),
        )
        .await;
    }
    true
}
