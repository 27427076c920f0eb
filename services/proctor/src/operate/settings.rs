//! Where the commands find the API, the key and the tenant: flags, environment, or `.proctor/dev.env`.

use anyhow::{Context, anyhow};
use clap::Args;
use secrecy::SecretString;
use std::path::Path;

/// The file that `proctor dev` writes for the commands.
pub(crate) const DEV_ENV: &str = ".proctor/dev.env";

/// Options of every command that speaks to the admin API.
#[derive(Args, Clone)]
pub(crate) struct ApiArgs {
    /// The admin API [default: PROCTOR_API_URL, then .proctor/dev.env]
    #[arg(long, global = true)]
    pub(crate) api_url: Option<String>,
    /// The tenant [default: PROCTOR_TENANT, then .proctor/dev.env]
    #[arg(long, global = true)]
    pub(crate) tenant: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// A setting from a flag, else the environment, else the development file.
pub(crate) fn setting(flag: Option<&str>, variable: &str) -> anyhow::Result<String> {
    if let Some(value) = flag {
        return Ok(value.to_owned());
    }
    if let Some(value) = std::env::var(variable)
        .ok()
        .filter(|value| !value.is_empty())
    {
        return Ok(value);
    }
    from_file(Path::new(DEV_ENV), variable)?
        .ok_or_else(|| anyhow!("{variable} is not set (`proctor dev` writes it to {DEV_ENV})"))
}

/// Like [`setting`], for what must not be on a command line.
pub(crate) fn secret(variable: &str) -> anyhow::Result<SecretString> {
    setting(None, variable).map(SecretString::from)
}

fn from_file(path: &Path, variable: &str) -> anyhow::Result<Option<String>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let value = |line: &str| {
        line.strip_prefix(variable)?
            .strip_prefix('=')
            .map(str::to_owned)
    };
    Ok(text.lines().find_map(value))
}
