//! `proctor policy …`: check and test offline, upload and activate through the API.

use super::api::{Api, print_json};
use super::settings::ApiArgs;
use anyhow::{Context, bail};
use clap::Subcommand;
use proctor_engine::policy;
use proctor_model::config::{Policy, PolicyMode, RegoModule};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Subcommand)]
pub(crate) enum PolicyCommand {
    /// Compile modules the way an edge does; says what is wrong and where
    Check {
        /// Rego files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Run the rules named test_* in these files
    Test {
        /// Rego files, tests included
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Upload a new version of a policy (a draft), and activate it if asked to
    Put {
        /// Id of the policy
        id: String,
        /// Rego files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Make it the active version
        #[arg(long)]
        activate: bool,
        /// With --activate: decide and record, but don't enforce
        #[arg(long)]
        monitor: bool,
        #[command(flatten)]
        api: ApiArgs,
    },
}

pub(crate) async fn run(command: PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Check { files } => check(&files),
        PolicyCommand::Test { files } => test(&files),
        PolicyCommand::Put {
            id,
            files,
            activate,
            monitor,
            api,
        } => {
            put(
                &id,
                &files,
                activate.then_some(if monitor { "monitor" } else { "enforce" }),
                &api,
            )
            .await
        }
    }
}

fn modules(files: &[PathBuf]) -> anyhow::Result<Vec<RegoModule>> {
    let module = |path: &PathBuf| {
        let source =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Ok(RegoModule {
            name: path.display().to_string(),
            source,
        })
    };
    files.iter().map(module).collect()
}

fn check(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let policy = Policy {
        id: "check".parse()?,
        version: 1,
        mode: PolicyMode::Enforce,
        modules: modules(files)?,
        data: Value::Null,
    };
    match policy::validate(&policy) {
        Ok(()) => {
            println!("sound");
            Ok(ExitCode::SUCCESS)
        }
        Err(problem) => bail!("{problem}"),
    }
}

fn test(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let report = policy::run_tests(&modules(files)?, &Value::Null)?;
    let failed = report.iter().filter(|test| !test.passed).count();
    for test in &report {
        println!(
            "{} {}{}",
            if test.passed { "pass" } else { "FAIL" },
            test.name,
            test.error
                .as_ref()
                .map(|error| format!(": {error}"))
                .unwrap_or_default()
        );
    }
    println!("{} passed, {failed} failed", report.len() - failed);
    Ok(if failed == 0 && !report.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn put(
    id: &str,
    files: &[PathBuf],
    mode: Option<&str>,
    args: &ApiArgs,
) -> anyhow::Result<ExitCode> {
    let api = Api::from_args(args)?;
    let named: Vec<_> = modules(files)?;
    let draft = api
        .tenant(
            Method::PUT,
            &format!("policies/{id}"),
            Some(&json!({ "modules": named })),
        )
        .await?;
    let version = draft
        .get("version")
        .and_then(Value::as_u64)
        .context("the answer has no version")?;
    let mut state = draft;
    if let Some(mode) = mode {
        let path = format!("policies/{id}/versions/{version}/activate");
        state = api
            .tenant(Method::POST, &path, Some(&json!({ "mode": mode })))
            .await?;
    }
    if args.json {
        print_json(&state)?;
    } else {
        println!(
            "{id} version {version}: {}",
            state
                .get("state")
                .and_then(Value::as_str)
                .unwrap_or_default()
        );
    }
    Ok(ExitCode::SUCCESS)
}
