//! `proctor-loadtest`: the bench and the drills from the command line.

#![allow(
    clippy::print_stdout,
    reason = "a command line tool speaks on standard output"
)]

use anyhow::Context;
use clap::Parser;
use proctor_loadtest::bench::{self, Plan};
use proctor_loadtest::bench_ledger;
use proctor_loadtest::bench_llm;
use proctor_loadtest::bench_mcp;
use proctor_loadtest::conformance;
use proctor_loadtest::drill::{self, Drill};
use proctor_loadtest::replay::Benchmark;
use proctor_loadtest::storm;
use proctor_loadtest::wire::{bombs, forwarded, frames, malformed, slow, smuggle, upstreams};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// Load and fault drills against the `proctor` binary beside this one (or `PROCTOR_BIN`).
#[derive(Parser)]
#[command(name = "proctor-loadtest")]
enum Command {
    /// Throughput and latency through the edge, next to a plain reverse proxy
    Bench {
        /// Connections at once
        #[arg(long, default_value_t = 32)]
        clients: usize,
        /// Seconds of each turn
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// Turns of each
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Events a second through edge, NATS and ledger, next to a bare `COPY`; delays; export and offline verification
    BenchLedger {
        /// Seconds at full speed
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Seconds at 2,000 decisions a second
        #[arg(long, default_value_t = 20)]
        paced: u64,
    },
    /// What the edge adds to each event of a model's stream, next to a plain proxy
    BenchLlm {
        /// Streams of each
        #[arg(long, default_value_t = 10)]
        rounds: usize,
    },
    /// A streamed answer of a tool next to a plain proxy, memory of idle streams, connections to a tool server; fails
    /// where one takes more than it may
    BenchMcp {
        /// Streams of each
        #[arg(long, default_value_t = 21)]
        rounds: usize,
        /// Events of a stream
        #[arg(long, default_value_t = 1_000)]
        events: usize,
        /// Streams that idle
        #[arg(long, default_value_t = 1_000)]
        streams: usize,
        /// Calls
        #[arg(long, default_value_t = 50_000)]
        calls: usize,
        /// Calls at once
        #[arg(long, default_value_t = 64)]
        in_flight: usize,
    },
    /// Run a fault drill with its oracle
    Drill {
        /// Which
        drill: Drill,
        /// How many seeds
        #[arg(long, default_value_t = 3)]
        seeds: u64,
        /// The first seed
        #[arg(long, default_value_t = 1)]
        first: u64,
    },
    /// Run a drill over raw sockets: what no client library would send
    Wire {
        /// Which
        drill: WireDrill,
        /// Calls of each faulty server (d14: 30), slow clients (d15: 5,000), malformed inputs (d16: 100,000), calls (d17: 1,000,000),
        /// connections (d19: 16), times (d20: 10)
        #[arg(long)]
        size: Option<usize>,
        /// Files that the edge may have open (d15)
        #[arg(long)]
        files_max: Option<u64>,
        /// Chooses what is broken, or spelled, how (d15, d16, d17)
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Fight over one budget, a token, its sub-agent and that one's: as it is with `--kills 0` (D23), or while leader,
    /// followers and edges are killed, sleep or have wrong clocks (D5, D9, D13)
    Budget {
        /// Calls that are allowed
        #[arg(long, default_value_t = 10_000)]
        limit: u64,
        /// Clients at once
        #[arg(long, default_value_t = 64)]
        clients: usize,
        /// Edges
        #[arg(long, default_value_t = 4)]
        edges: usize,
        /// Nodes of the counter
        #[arg(long, default_value_t = 3)]
        nodes: usize,
        /// Faults in each run
        #[arg(long, default_value_t = 8)]
        kills: u64,
        /// Of which kind
        #[arg(long, default_value = "kill")]
        fault: proctor_loadtest::budget::Fault,
        /// Whose ceiling it is
        #[arg(long, default_value = "tenant")]
        ceiling: proctor_loadtest::budget::Ceiling,
        /// How many seeds
        #[arg(long, default_value_t = 20)]
        seeds: u64,
        /// The first seed
        #[arg(long, default_value_t = 1)]
        first: u64,
    },
    /// Kill ledgers, edge, NATS and Postgres at random under a steady load of decisions: all answered ones are in the
    /// chain, once
    Storm {
        /// Seconds of load
        #[arg(long, default_value_t = 120)]
        seconds: u64,
        /// Decisions a second
        #[arg(long, default_value_t = 2_000)]
        pace: u32,
        /// Chooses victims and instants
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// AgentDojo's ground truth through a running edge: attacks executed, user tasks untouched
    Agentdojo {
        /// For the replay: `--suite banking`, `--version v1.1`, `--attack tool_knowledge`, `--details FILE`, `--attacks-max N`,
        /// `--untouched-min N`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// tau2-bench's ground truth through a running edge: customers' tasks untouched, and a poisoned catalogue
    Taubench {
        /// For the replay: `--domain retail`, `--details FILE`, `--attacks-max N`, `--untouched-min N`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The MCP conformance suite through a running edge; fails unless every required scenario passes
    Conformance {
        /// Only this revision (`2025-11-25`, `2026-07-28`), printing all that the suite says
        #[arg(long)]
        revision: Option<String>,
        /// Only this scenario of it
        #[arg(long, requires = "revision")]
        scenario: Option<String>,
        /// The era of the server behind the edge (`legacy`, `modern`), if not the revision's own
        #[arg(long, requires = "revision")]
        server: Option<String>,
        /// The suite as the server, the edge as its client
        #[arg(long, requires = "revision", conflicts_with = "server")]
        client: bool,
    },
    /// (of the bench) A tool server that gives back what it gets
    #[command(hide = true)]
    Echo,
    /// (of the bench) A plain reverse proxy
    #[command(hide = true)]
    Proxy {
        /// The server behind it
        #[arg(long)]
        to: SocketAddr,
    },
    /// (of D19) Attackers, until they are killed
    #[command(hide = true)]
    Flood {
        /// With what
        attack: frames::Attack,
        /// Whom
        #[arg(long)]
        to: SocketAddr,
        /// At once
        #[arg(long)]
        connections: usize,
    },
}

/// Drills over raw sockets.
#[derive(Clone, Copy, clap::ValueEnum)]
enum WireDrill {
    /// Slow, broken and endless tool servers
    D14,
    /// Slow and half-open clients
    D15,
    /// Malformed input
    D16,
    /// Arguments in every spelling: what was decided is what is forwarded
    D17,
    /// Requests within requests
    D18,
    /// Floods of HTTP/2 frames
    D19,
    /// Input that is small to send and large to read
    D20,
}

async fn wire(
    drill: WireDrill,
    size: Option<usize>,
    files_max: Option<u64>,
    seed: u64,
) -> anyhow::Result<()> {
    let jitter = Duration::from_millis(5);
    match drill {
        WireDrill::D14 => {
            let plan = upstreams::Plan {
                calls: size.unwrap_or(30),
                good: 200,
                percent: 120,
                jitter,
                timeout_ms: 2_000,
            };
            println!("{:?}", upstreams::run(plan).await?);
        }
        WireDrill::D15 => {
            let plan = slow::Plan {
                connections: size.unwrap_or(5_000),
                files_max,
                calls: 500,
                jitter,
            };
            println!("{:?}", slow::run(plan, seed).await?);
        }
        WireDrill::D16 => {
            let plan = malformed::Plan {
                inputs: size.unwrap_or(100_000),
                patience: Duration::from_secs(5),
            };
            println!("{:?}", malformed::run(plan, seed).await?);
        }
        WireDrill::D17 => {
            let plan = forwarded::Plan {
                calls: size.unwrap_or(1_000_000),
            };
            println!("{:?}", forwarded::run(plan, seed).await?);
        }
        WireDrill::D18 => println!("{} cases", smuggle::run().await?),
        WireDrill::D19 => {
            let plan = frames::Plan {
                connections: size.unwrap_or(16),
                requests: 1_000,
                jitter,
            };
            println!("{:?}", frames::run(plan).await?);
        }
        WireDrill::D20 => {
            let plan = bombs::Plan {
                cpu_per_kb: Duration::from_millis(1),
                times: u32::try_from(size.unwrap_or(10))?,
            };
            for cost in bombs::run(plan).await? {
                println!("{cost:?}");
            }
        }
    }
    Ok(())
}

async fn listener() -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    Ok(listener)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Bench {
            clients,
            seconds,
            rounds,
        } => {
            let turn = Duration::from_secs(seconds);
            println!(
                "{}",
                bench::run(Plan {
                    clients,
                    turn,
                    rounds
                })
                .await?
            );
            Ok(())
        }
        Command::BenchLedger { seconds, paced } => {
            let plan = bench_ledger::Plan {
                sustained: Duration::from_secs(seconds),
                paced: Duration::from_secs(paced),
            };
            println!("{}", bench_ledger::run(plan).await?);
            Ok(())
        }
        Command::BenchLlm { rounds } => {
            println!("{}", bench_llm::run(rounds).await?);
            Ok(())
        }
        Command::BenchMcp {
            rounds,
            events,
            streams,
            calls,
            in_flight,
        } => {
            let plan = bench_mcp::Plan {
                rounds,
                events,
                streams,
                calls,
                in_flight,
            };
            let report = bench_mcp::run(plan).await?;
            println!("{report}");
            report.judge()
        }
        Command::Drill {
            drill,
            seeds,
            first,
        } => {
            for seed in first..first + seeds {
                println!(
                    "{drill:?} seed {seed}: {:?}",
                    drill::run(drill, seed).await?
                );
            }
            Ok(())
        }
        Command::Wire {
            drill,
            size,
            files_max,
            seed,
        } => wire(drill, size, files_max, seed).await,
        Command::Budget {
            limit,
            clients,
            edges,
            nodes,
            kills,
            fault,
            ceiling,
            seeds,
            first,
        } => {
            let plan = proctor_loadtest::budget::Plan {
                limit,
                clients,
                edges,
                nodes,
                kills,
                fault,
                ceiling,
            };
            for seed in first..first + seeds {
                println!(
                    "seed {seed}: {:?}",
                    proctor_loadtest::budget::run(plan, seed).await?
                );
            }
            Ok(())
        }
        Command::Storm {
            seconds,
            pace,
            seed,
        } => {
            let plan = storm::Plan {
                during: Duration::from_secs(seconds),
                pace,
                seed,
            };
            println!("seed {seed}: {:?}", storm::run(plan).await?);
            Ok(())
        }
        Command::Agentdojo { arguments } => Benchmark::AgentDojo.replay(&arguments).await,
        Command::Taubench { arguments } => Benchmark::TauBench.replay(&arguments).await,
        Command::Conformance { revision: None, .. } => {
            println!("{}", conformance::all().await?);
            Ok(())
        }
        Command::Conformance {
            revision: Some(revision),
            scenario,
            client: true,
            ..
        } => {
            let mut legs = conformance::client::CLIENT_LEGS.into_iter();
            let leg = legs
                .find(|leg| leg.revision == revision)
                .context("no such revision")?;
            let failed = conformance::client::client_leg(leg, scenario.as_deref()).await?;
            println!("{}\n{} failed", failed.join("\n"), failed.len());
            Ok(())
        }
        Command::Conformance {
            revision: Some(revision),
            scenario,
            server,
            client: false,
        } => {
            let server = server.as_deref();
            let leg = conformance::LEGS
                .into_iter()
                .filter(|leg| leg.revision == revision)
                .find(|leg| server.is_none_or(|server| server == leg.server))
                .context("no such pairing")?;
            let report = conformance::server_leg(leg, scenario.as_deref()).await?;
            println!("{}", report.output);
            println!(
                "{} passed, failed: {:?}",
                report.passed.len(),
                report.failed
            );
            Ok(())
        }
        Command::Echo => Ok(bench::echo(listener().await?).await?),
        Command::Proxy { to } => bench::proxy(listener().await?, to).await,
        Command::Flood {
            attack,
            to,
            connections,
        } => {
            println!("{to}");
            frames::flood(to, attack, connections).await
        }
    }
}
