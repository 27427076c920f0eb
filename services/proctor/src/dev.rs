//! `proctor dev`: the whole system on this machine, on private real servers, with a demo tenant.
//!
//! Reading order: [`stack`] (what is started, in which order), [`seed`] (the demo tenant, through the admin API as any
//! operator would), [`env`] (what the other commands read), [`show`] (the demo).

mod env;
mod seed;
mod show;
mod stack;

use anyhow::Context;
use clap::Args;
use proctor_runtime::telemetry::{TelemetrySettings, init_logging};
use std::path::PathBuf;
use std::process::ExitCode;

/// Start everything on this machine: Postgres, NATS, control, ledger, counter, admin API, edge, demo tool servers
///
/// Postgres and nats-server are private: own data directory, free ports, loopback only, ended with this command. A demo
/// tenant is seeded; what is needed to talk to it is written to `.proctor/dev.env`, which the other commands read.
#[derive(Args)]
pub(crate) struct DevArgs {
    /// Where everything is kept
    #[arg(long, default_value = ".proctor")]
    data_dir: PathBuf,
    /// Listen on N (edge), N+1 (admin API) and N+2 (edge admin) instead of 8080, 8081 and 9090
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1024..65_500))]
    port_base: Option<u16>,
    /// Show the demo: an agent that reads a poisoned mailbox
    #[arg(long)]
    demo: bool,
    /// Stop when started (and shown); fail if anything was not as it should be
    #[arg(long)]
    exit: bool,
}

pub(crate) async fn run(args: DevArgs) -> anyhow::Result<ExitCode> {
    // Quiet: what people should read here is what this command prints.
    let quiet = TelemetrySettings {
        log_filter: "warn".to_owned(),
        ..TelemetrySettings::default()
    };
    init_logging(&quiet)?;
    let shutdown = proctor_runtime::shutdown::on_signals()?;
    let ports = stack::Ports::new(args.port_base);
    ports.check()?;
    println!(
        "starting Postgres, NATS, control, ledger, counter, admin API, edge and demo tool servers in {} …",
        args.data_dir.display()
    );
    let stack = stack::Stack::start(&args.data_dir, ports, shutdown.clone()).await?;
    let outcome = serve(&args, &stack, &shutdown).await;
    shutdown.cancel();
    stack.stopped().await;
    outcome
}

async fn serve(
    args: &DevArgs,
    stack: &stack::Stack,
    shutdown: &tokio_util::sync::CancellationToken,
) -> anyhow::Result<ExitCode> {
    let seeded = tokio::select! {
        seeded = seed::seed(stack) => seeded.context("seeding the demo tenant")?,
        () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let file = env::write(&args.data_dir, stack, &seeded)?;
    let sound = if args.demo {
        show::demo(stack, &seeded).await?
    } else {
        true
    };
    if args.exit {
        return Ok(if sound {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    show::addresses(stack, &file);
    shutdown.cancelled().await;
    println!("\nstopping …");
    Ok(ExitCode::SUCCESS)
}
