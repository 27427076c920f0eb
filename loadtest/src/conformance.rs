//! The MCP conformance suite through a running edge. In its server leg the suite is the client, and a server with what it
//! asks for is behind; in its [`client`] leg it is the server.

pub mod client;

use crate::cluster::{Cluster, Options, free_port, proctor_binary};
use crate::load::{allow_all, in_secs};
use anyhow::{Context, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

const AGENT: &str = "conformance";
/// How long one run of the suite may take.
const SUITE: Duration = Duration::from_secs(240);

/// A revision of MCP whose requirements are run, and the era of the server behind the edge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leg {
    /// As the suite names it.
    pub revision: &'static str,
    /// `legacy` or `modern`.
    pub server: &'static str,
    /// How many scenarios it requires of a server.
    pub scenarios: usize,
    /// Those of them that can't apply, and are not judged: why, is in `docs/mcp.md`.
    pub without: &'static [&'static str],
}

/// Each revision with a server of its own era, and then with one of the other.
pub const LEGS: [Leg; 4] = [
    Leg {
        revision: "2026-07-28",
        server: "modern",
        scenarios: 37,
        without: &[],
    },
    Leg {
        revision: "2025-11-25",
        server: "legacy",
        scenarios: 30,
        without: &[],
    },
    Leg {
        revision: "2026-07-28",
        server: "legacy",
        scenarios: 37,
        without: &ASKED_BY_AN_OLDER_SERVER,
    },
    Leg {
        revision: "2025-11-25",
        server: "modern",
        scenarios: 30,
        without: &[],
    },
];

/// What a server of the older revisions can't ask, or refuse, as these want it: it asks one thing at a time, by no name, and
/// once; and it hears what its client can be asked when it is greeted, not with each request.
const ASKED_BY_AN_OLDER_SERVER: [&str; 8] = [
    "server-stateless",
    "input-required-result-basic-elicitation",
    "input-required-result-multiple-input-requests",
    "input-required-result-missing-input-response",
    "input-required-result-result-type",
    "input-required-result-capability-check",
    "input-required-result-ignore-extra-params",
    "input-required-result-validate-input",
];

/// What became of the scenarios that a revision requires.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Those that passed without a failure or a warning.
    pub passed: Vec<String>,
    /// The others.
    pub failed: Vec<String>,
    /// All that the suite printed.
    pub output: String,
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance")
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{:?}: {} {said}", command.as_std(), output.status);
    }
    Ok(())
}

/// Installs the suite, the SDK and a Node that is new enough, into a folder of their own.
///
/// # Errors
/// If npm is absent or fails.
pub async fn install() -> anyhow::Result<()> {
    let (lock, stamp) = (
        here().join("package-lock.json"),
        here().join("node_modules/.package-lock.json"),
    );
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified());
    let fresh = matches!((changed(&stamp), changed(&lock)), (Ok(stamp), Ok(lock)) if stamp >= lock);
    if !fresh {
        let mut npm = Command::new("npm");
        run(npm
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(here()))
        .await?;
    }
    Ok(())
}

fn node() -> Command {
    let mut node = Command::new(here().join("node_modules/node/bin/node"));
    node.current_dir(here()).kill_on_drop(true);
    node
}

async fn server(port: u16, era: &str) -> anyhow::Result<Child> {
    let mut server = node();
    server
        .arg("server.mjs")
        .args([&port.to_string(), era])
        .stdout(Stdio::null());
    let server = server.spawn()?;
    for _ in 0..2_000 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_ok()
        {
            return Ok(server);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("the server of the suite does not start")
}

/// Runs the scenarios that a revision requires of a server through an edge of its own.
///
/// # Errors
/// If a part does not start.
pub async fn server_leg(leg: Leg, scenario: Option<&str>) -> anyhow::Result<Report> {
    install().await.context("installing the suite")?;
    let cluster = Cluster::start(Options {
        settings: json!({ "intent": "when_declared" }),
        ..Options::default()
    })
    .await?;
    let report = through(&cluster, leg, scenario).await;
    cluster.stop().await;
    report
}

async fn through(cluster: &Cluster, leg: Leg, scenario: Option<&str>) -> anyhow::Result<Report> {
    let port = free_port()?;
    let _server = server(port, leg.server).await?;
    let mut import = Command::new(proctor_binary()?);
    import
        .args([
            "server",
            "import",
            "suite",
            "--url",
            &format!("http://127.0.0.1:{port}/mcp"),
        ])
        .env("PROCTOR_API_URL", &cluster.api_url)
        .env("PROCTOR_TENANT", "acme")
        .env("PROCTOR_ADMIN_KEY", cluster.admin_key());
    run(&mut import).await?;
    allow_all(cluster).await?;
    cluster
        .acme(Method::PUT, &format!("agents/{AGENT}"), Some(json!({})))
        .await?;
    let caveats = [
        format!("time < {}", in_secs(3600)?),
        "tool in suite/*".to_owned(),
    ];
    let minted = json!({ "agent": AGENT, "caveats": caveats });
    let minted = cluster.acme(Method::POST, "tokens", Some(minted)).await?;
    let token = minted["token"].as_str().context("the token")?;
    cluster
        .wait_allowed(token, AGENT, "suite/test_simple_text", json!({}))
        .await?;
    let url = format!("{}/v1/mcp/suite", cluster.edge_url);
    let mut suite = node();
    suite
        .args(["--import", "./authorize.mjs"])
        .arg("node_modules/@modelcontextprotocol/conformance/dist/index.js")
        .args(["server", "--url", &url]);
    match scenario {
        Some(scenario) => suite.args(["--spec-version", leg.revision, "--scenario", scenario]),
        None => suite.args(["--requirements", leg.revision]),
    };
    let results = tempfile::tempdir()?;
    suite.arg("-o").arg(results.path());
    suite
        .env("EDGE", &cluster.edge_url)
        .env("TOKEN", token)
        .stdin(Stdio::null());
    let output = tokio::time::timeout(SUITE, suite.output())
        .await
        .context("the suite does not end")??;
    let mut output = String::from_utf8_lossy(&output.stdout).into_owned();
    output.push_str(&complaints(results.path()));
    Ok(read(leg, output))
}

/// What the suite complains about, check by check.
fn complaints(results: &Path) -> String {
    let folders = std::fs::read_dir(results).into_iter().flatten().flatten();
    let mut said = String::new();
    for folder in folders {
        let checks = std::fs::read(folder.path().join("checks.json")).unwrap_or_default();
        let checks: Vec<Value> = serde_json::from_slice(&checks).unwrap_or_default();
        let bad = |check: &&Value| check["status"] == "FAILURE" || check["status"] == "WARNING";
        for check in checks.iter().filter(bad) {
            let line = format!(
                "\n{} {}: {}",
                check["status"], check["id"], check["errorMessage"]
            );
            said.push_str(&line);
        }
    }
    said
}

/// Scenarios below the line that begins the summary: `✓ name: …` or `✗ name: …`, the required ones first.
fn read(leg: Leg, output: String) -> Report {
    let summary = output.split("SUMMARY ===").nth(1).unwrap_or_default();
    let named = |mark: &'static str| {
        let lines = summary
            .lines()
            .filter_map(move |line| line.trim().strip_prefix(mark));
        lines
            .filter_map(|line| Some(line.trim().split(':').next()?.to_owned()))
            .filter(|name| required(leg, name))
            .collect()
    };
    Report {
        passed: named("✓"),
        failed: named("✗"),
        output,
    }
}

/// Whether the revision requires it: the suite runs others beside, which it does not count.
fn required(leg: Leg, scenario: &str) -> bool {
    let required = required_of("server", leg.revision);
    required.iter().any(|name| name == scenario)
}

/// What a revision requires of a `server` or a `client`.
fn required_of(role: &str, revision: &str) -> Vec<String> {
    let file = here()
        .join("node_modules/@modelcontextprotocol/conformance/requirements")
        .join(format!("{revision}.yaml"));
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let role = format!("{role}:");
    let lines = text.lines().skip_while(|line| *line != role).skip(1);
    lines
        .map_while(|line| line.strip_prefix("  - ").map(str::to_owned))
        .collect()
}

impl Leg {
    /// What came of it.
    ///
    /// # Errors
    /// If not all scenarios were run, or one that applies does not pass.
    fn judge(self, report: &Report) -> anyhow::Result<String> {
        let Self {
            revision,
            server,
            scenarios,
            without,
        } = self;
        let run = report.passed.len().saturating_add(report.failed.len());
        let applies = |name: &&String| !without.contains(&name.as_str());
        let failed: Vec<&String> = report.failed.iter().filter(applies).collect();
        ensure!(
            failed.is_empty() && run == scenarios,
            "{revision} to a {server} server: {run} of {scenarios} run, {} passed, failed: {failed:?}\n{}",
            report.passed.len(),
            report.output
        );
        let apply = scenarios.saturating_sub(without.len());
        Ok(format!(
            "{revision} to a {server} server: {apply} of {apply} scenarios that apply"
        ))
    }
}

/// Runs all legs and says what came of them.
///
/// # Errors
/// If a scenario that is required does not pass.
pub async fn all() -> anyhow::Result<String> {
    // Before any leg: two of them would do it at once.
    install().await.context("installing the suite")?;
    let mut said = Vec::new();
    // Two at a time, each with an installation of its own: they wait more than they work.
    for legs in LEGS.chunks(2) {
        let reports = legs.iter().map(|leg| server_leg(*leg, None));
        let reports = futures::future::try_join_all(reports).await?;
        for (leg, report) in legs.iter().zip(reports) {
            said.push(leg.judge(&report)?);
        }
    }
    for leg in client::CLIENT_LEGS {
        let failed = client::client_leg(leg, None).await?;
        ensure!(
            failed.is_empty(),
            "{}, the edge as a client: {}",
            leg.revision,
            failed.join("\n")
        );
        said.push(format!(
            "{}, the edge as a client: {} of {} scenarios that apply",
            leg.revision, leg.scenarios, leg.scenarios
        ));
    }
    Ok(said.join("\n"))
}
