//! `.proctor/dev.env`: how to reach what `proctor dev` started. Holds keys: for the owner only.

use super::seed::{Seeded, TENANT};
use super::stack::Stack;
use anyhow::Context;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub(super) fn write(dir: &Path, stack: &Stack, seeded: &Seeded) -> anyhow::Result<PathBuf> {
    let (edge, admin) = (stack.edge.agent_addr, stack.edge.admin_addr);
    let lines = [
        ("PROCTOR_API_URL", format!("http://{}", stack.api)),
        ("PROCTOR_EDGE_URL", format!("http://{edge}")),
        ("PROCTOR_EDGE_ADMIN_URL", format!("http://{admin}")),
        ("PROCTOR_MCP_URL", format!("http://{edge}/v1/mcp")),
        ("PROCTOR_ADMIN_KEY", stack.admin_key.expose().to_owned()),
        ("PROCTOR_TENANT", TENANT.to_owned()),
        ("PROCTOR_AGENT_TOKEN", seeded.token.expose().to_owned()),
    ];
    let path = dir.join("dev.env");
    let write = || {
        // Anew each time: an older file may have other rights.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path)?;
        lines
            .iter()
            .try_for_each(|(name, value)| writeln!(file, "{name}={value}"))
    };
    write().with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
