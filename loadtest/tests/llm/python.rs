//! The official Python clients, installed once for all tests that use them.

use proctor_loadtest::install::turn;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Where the clients' programs are.
pub(crate) fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/llm")
}

pub(crate) fn venv() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/llm-venv")
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

/// Whether what is stamped was made after its source was changed.
pub(crate) fn fresh(stamp: &Path, source: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified());
    matches!((changed(stamp), changed(source)), (Ok(stamp), Ok(source)) if stamp >= source)
}

/// Installs the clients, unless they are.
pub(crate) async fn install() {
    let _turn = turn("llm-venv").unwrap();
    let (stamp, requirements) = (venv().join("installed"), here().join("requirements.txt"));
    if !fresh(&stamp, &requirements) {
        succeeds(Command::new("python3").args(["-m", "venv"]).arg(venv())).await;
        let mut pip = Command::new(venv().join("bin/pip"));
        succeeds(pip.args(["install", "-q", "-r"]).arg(&requirements)).await;
        std::fs::write(stamp, "").unwrap();
    }
}
