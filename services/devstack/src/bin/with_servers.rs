//! Runs a command with servers that all its tests share: `proctor-with-servers cargo nextest run`.
//!
//! One Postgres cluster and one nats-server are started, named to the command in
//! `PROCTOR_TEST_POSTGRES_URL` and `PROCTOR_TEST_NATS_URL`, and stopped when it ends. With
//! `--postgres-only` first, tests start nats-servers of their own. The exit code is the command's.

use std::process::ExitCode;

use proctor_devstack::test_stack::{NATS_URL_VARIABLE, POSTGRES_URL_VARIABLE};
use proctor_devstack::{TestNats, TestPostgres};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let mut words: Vec<_> = std::env::args_os().skip(1).collect();
    let postgres_only = words.first().is_some_and(|word| word == "--postgres-only");
    if postgres_only {
        words.remove(0);
    }
    match run(&words, postgres_only).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report(error.as_ref());
            ExitCode::from(125)
        }
    }
}

async fn run(
    words: &[std::ffi::OsString],
    postgres_only: bool,
) -> Result<u8, Box<dyn std::error::Error>> {
    let (program, args) = words
        .split_first()
        .ok_or("usage: proctor-with-servers [--postgres-only] COMMAND [ARG…]")?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let postgres = TestPostgres::private().await?;
    let nats = if postgres_only {
        None
    } else {
        Some(TestNats::private().await?)
    };
    let mut command = Command::new(program);
    command
        .args(args)
        .env(POSTGRES_URL_VARIABLE, postgres.url())
        .kill_on_drop(true);
    if let Some(nats) = &nats {
        command.env(NATS_URL_VARIABLE, nats.url());
    }
    let mut child = command.spawn()?;
    let status = tokio::select! {
        status = child.wait() => status?,
        _ = interrupt.recv() => return Ok(130),
        _ = terminate.recv() => return Ok(143),
    };
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}

#[expect(
    clippy::print_stderr,
    reason = "a command line program tells its user on standard error"
)]
fn report(error: &dyn std::error::Error) {
    eprintln!("proctor-with-servers: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
}
