//! The `proctor` binary: roles and the operator's commands.

#![expect(
    clippy::print_stdout,
    reason = "a command line tool speaks on standard output"
)]

mod admin;
mod counter;
mod dev;
mod doctor;
mod operate;
mod role;

use clap::{CommandFactory, Parser, Subcommand};
use std::io::Write as _;
use std::process::ExitCode;

/// A decision makes and drops some hundreds of small values, and the threads of an edge hand many to each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Proctor decides, inline, whether an AI agent may make this tool call, now, for this user.
#[derive(Parser)]
#[command(name = "proctor", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say what is missing or broken on this machine, and how to mend it
    Doctor,
    Dev(dev::DevArgs),
    /// Run the control plane
    Control(role::RoleArgs),
    /// Run an audit ledger
    Ledger(role::JoinArgs),
    Counter(counter::CounterArgs),
    /// Run a witness that cosigns checkpoints of other installations' logs
    Witness(role::RoleArgs),
    /// Run the admin API
    WebApi(role::RoleArgs),
    /// Run an edge gateway
    Edge(role::JoinArgs),
    /// Mint, narrow, read and revoke capability tokens
    #[command(subcommand)]
    Token(operate::token::TokenCommand),
    /// Trust identity providers: their access tokens are exchanged for capability tokens
    #[command(subcommand)]
    Issuer(operate::issuer::IssuerCommand),
    /// Declare what a user asked for
    #[command(subcommand)]
    Intent(operate::intent::IntentCommand),
    /// Decide on calls that wait for a person
    #[command(subcommand)]
    Approval(operate::approval::ApprovalCommand),
    /// Make, list and withdraw keys of the admin API
    #[command(subcommand)]
    Key(operate::key::KeyCommand),
    /// Stop agents, tools, a tenant or everything at once
    #[command(subcommand)]
    Kill(operate::kill::KillCommand),
    /// Check, test, upload and activate policies
    #[command(subcommand)]
    Policy(operate::policy::PolicyCommand),
    /// Register tool servers and approve their tools
    #[command(subcommand)]
    Server(operate::server::ServerCommand),
    /// Register LLM providers and their models
    #[command(subcommand)]
    Llm(operate::llm::LlmCommand),
    /// Set credentials for tool servers and LLM providers
    #[command(subcommand)]
    Secret(operate::secret::SecretCommand),
    /// Content rules: what of personal data and credentials may pass
    #[command(subcommand)]
    Content(operate::content::ContentCommand),
    /// Set ceilings, see what is spent
    #[command(subcommand)]
    Budget(operate::budget::BudgetCommand),
    /// Make one tool call through the edge
    Call(operate::call::CallArgs),
    /// Read and verify the audit chain
    #[command(subcommand)]
    Audit(operate::audit::AuditCommand),
    /// Who wrote what agents remember
    #[command(subcommand)]
    Memory(operate::memory::MemoryCommand),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    // Before anything else, and none of the commands: what an edge starts to become a tool server.
    let mut arguments = std::env::args_os().skip(1);
    if arguments
        .next()
        .is_some_and(|first| first == proctor_edge::LIMITED)
    {
        let error = proctor_edge::become_limited(arguments);
        let _ = writeln!(std::io::stderr(), "proctor: {error}");
        return ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            // Where standard error is gone too, there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "proctor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Command::Doctor => return doctor::run(),
            Command::Dev(args) => return dev::run(args).await,
            Command::Control(args) => role::control(args).await?,
            Command::Ledger(args) => role::ledger(args).await?,
            Command::Counter(args) => counter::run(args).await?,
            Command::Witness(args) => role::witness(args).await?,
            Command::WebApi(args) => role::web_api(args).await?,
            Command::Edge(args) => role::edge(args).await?,
            Command::Token(command) => operate::token::run(command).await?,
            Command::Issuer(command) => operate::issuer::run(command).await?,
            Command::Intent(command) => operate::intent::run(command).await?,
            Command::Approval(command) => operate::approval::run(command).await?,
            Command::Key(command) => operate::key::run(command).await?,
            Command::Kill(command) => operate::kill::run(command).await?,
            Command::Policy(command) => return operate::policy::run(command).await,
            Command::Server(command) => operate::server::run(command).await?,
            Command::Llm(command) => operate::llm::run(command).await?,
            Command::Secret(command) => operate::secret::run(command).await?,
            Command::Content(command) => operate::content::run(command).await?,
            Command::Budget(command) => operate::budget::run(command).await?,
            Command::Call(args) => return operate::call::run(args).await,
            Command::Audit(command) => return operate::audit::run(command).await,
            Command::Memory(command) => return operate::memory::run(command).await,
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "proctor", &mut script);
                // Whoever reads it may have had enough: `| head` is no error.
                let _ = std::io::stdout().write_all(&script);
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
