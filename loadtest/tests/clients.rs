//! Official MCP clients of both eras, through the edge, against official MCP servers; and pymacaroons.
//!
//! Skipped, and listed as such, only where npm or python3 is absent.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "clients/inspector.rs"]
mod inspector;
#[path = "clients/npm.rs"]
mod npm;

use npm::{has, here, is_fresh, succeeds};
use proctor_devstack::skipped;
use proctor_loadtest::cluster::{Cluster, Options, free_port, proctor_binary};
use proctor_loadtest::install::turn;
use proctor_loadtest::load::{allow_all, in_secs};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const AGENT: &str = "client";
/// How long a server of npm's may take to start, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn venv() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/clients-venv")
}

/// Installs the official clients and servers; false where that is not possible at all.
async fn installed() -> bool {
    if !has("python3") {
        skipped("python3 is absent");
        return false;
    }
    if !npm::install().await {
        return false;
    }
    let _turn = turn("clients-venv").unwrap();
    let (stamp, requirements) = (venv().join("installed"), here().join("requirements.txt"));
    if !is_fresh(&stamp, &requirements) {
        succeeds(Command::new("python3").args(["-m", "venv"]).arg(venv())).await;
        succeeds(
            Command::new(venv().join("bin/pip"))
                .args(["install", "-q", "-r"])
                .arg(&requirements),
        )
        .await;
        std::fs::write(stamp, "").unwrap();
    }
    true
}

struct System {
    cluster: Cluster,
    _everything: Child,
    files: tempfile::TempDir,
}

impl System {
    async fn start() -> Self {
        let cluster = Cluster::start(Options {
            settings: json!({ "intent": "when_declared" }),
            ..Options::default()
        })
        .await
        .unwrap();
        let modules = here().join("node_modules/@modelcontextprotocol");
        let port = free_port().unwrap();
        let everything = Command::new("node")
            .arg(modules.join("server-everything/dist/index.js"))
            .arg("streamableHttp")
            .env("PORT", port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let started = Instant::now();
        while let Err(error) = TcpStream::connect(("127.0.0.1", port)).await {
            assert!(started.elapsed() < PATIENCE, "it does not listen: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("note.txt"), "the note").unwrap();
        let system = Self {
            cluster,
            _everything: everything,
            files,
        };
        let url = format!("http://127.0.0.1:{port}/mcp");
        system.import("everything", &["--url", &url]).await;
        let (script, root) = (
            modules.join("server-filesystem/dist/index.js"),
            system.root(),
        );
        let args = format!("--arg={}", script.display());
        system
            .import(
                "filesystem",
                &["--command", "node", &args, &format!("--arg={root}")],
            )
            .await;
        allow_all(&system.cluster).await.unwrap();
        system
            .cluster
            .acme(Method::PUT, &format!("agents/{AGENT}"), Some(json!({})))
            .await
            .unwrap();
        system
    }

    fn root(&self) -> String {
        self.files
            .path()
            .canonicalize()
            .unwrap()
            .display()
            .to_string()
    }

    async fn import(&self, id: &str, how: &[&str]) {
        let mut command = Command::new(proctor_binary().unwrap());
        command.args(["server", "import", id]).args(how);
        command
            .env("PROCTOR_API_URL", &self.cluster.api_url)
            .env("PROCTOR_TENANT", "acme");
        succeeds(command.env("PROCTOR_ADMIN_KEY", self.cluster.admin_key())).await;
    }

    async fn token(&self, tools: &str) -> String {
        let caveats = [
            format!("time < {}", in_secs(3600).unwrap()),
            format!("tool in {tools}"),
        ];
        let body = json!({ "agent": AGENT, "caveats": caveats });
        let minted = self
            .cluster
            .acme(Method::POST, "tokens", Some(body))
            .await
            .unwrap();
        minted["token"].as_str().unwrap().to_owned()
    }

    /// What a script may and may not do, by the aggregated names.
    fn script(&self) -> Value {
        json!([
            { "name": "everything__echo", "arguments": { "message": "hello" } },
            { "name": "filesystem__read_text_file", "arguments": { "path": format!("{}/note.txt", self.root()) } },
            { "name": "filesystem__write_file", "arguments": { "path": format!("{}/x", self.root()), "content": "x" } },
            { "name": "everything__echo", "arguments": { "wrong": 1 } },
        ])
    }
}

const TOOLS: &str = "everything/echo,everything/get-sum,filesystem/read_text_file";

/// What every client has to come to, whatever its era.
fn check(who: &str, played: &Value, version: &str, codes: [i64; 2]) {
    assert_eq!(played["version"], version, "{who}");
    let mut tools: Vec<_> = played["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool.as_str().unwrap())
        .collect();
    tools.sort_unstable();
    assert_eq!(
        tools,
        [
            "everything__echo",
            "everything__get-sum",
            "filesystem__read_text_file"
        ],
        "{who}"
    );
    let calls = &played["calls"];
    assert_eq!(
        calls[0]["result"]["content"][0]["text"], "Echo: hello",
        "{who}: {calls}"
    );
    assert_eq!(
        calls[1]["result"]["content"][0]["text"], "the note",
        "{who}: {calls}"
    );
    let refused = &calls[2]["error"];
    if who == "ts2.mjs auto" {
        // Of HTTP 403 this client tells what the header says (`insufficient_scope`), not the body.
        assert_eq!(refused["scope"], "filesystem/write_file", "{who}: {calls}");
    } else {
        assert_eq!(refused["code"], codes[0], "{who}: {calls}");
        let reason = &refused["data"]["reason"];
        assert_eq!(reason, "tool_not_in_token", "{who}: {calls}");
    }
    assert_eq!(calls[3]["error"]["code"], codes[1], "{who}: {calls}");
    assert_eq!(
        calls[3]["error"]["data"]["reason"], "invalid_arguments",
        "{who}: {calls}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn official_clients_of_both_eras_list_and_call_tools() {
    if !installed().await {
        return;
    }
    let system = System::start().await;
    let token = system.token(TOOLS).await;
    system
        .cluster
        .wait_allowed(&token, AGENT, "everything/echo", json!({ "message": "x" }))
        .await
        .unwrap();
    system
        .cluster
        .wait_allowed(
            &token,
            AGENT,
            "filesystem/read_text_file",
            json!({ "path": "x" }),
        )
        .await
        .unwrap();
    let url = format!("{}/v1/mcp", system.cluster.edge_url);
    let python = venv().join("bin/python");
    let script = system.script().to_string();
    for (program, file, mode, version) in [
        (Path::new("node"), "ts1.mjs", "legacy", "2025-11-25"),
        (Path::new("node"), "ts2.mjs", "legacy", "2025-11-25"),
        (Path::new("node"), "ts2.mjs", "auto", "2026-07-28"),
        (&python, "client.py", "legacy", "2025-11-25"),
        (&python, "client.py", "auto", "2026-07-28"),
    ] {
        let who = format!("{file} {mode}");
        let mut command = Command::new(program);
        let out = succeeds(
            command
                .arg(here().join(file))
                .args([&url, &token, mode, &script]),
        )
        .await;
        let played: Value =
            serde_json::from_str(out.trim()).unwrap_or_else(|_| panic!("{who}: {out}"));
        let codes = if mode == "auto" {
            [-31010, -32602]
        } else {
            [-32010, -32602]
        };
        check(&who, &played, version, codes);
    }
    assert!(
        !system.files.path().join("x").exists(),
        "a refused call was executed"
    );
    system.cluster.stop().await;
}

/// What the agent may use of the reference server beside tools.
const BESIDE_TOOLS: &str = "everything/echo,everything/trigger-long-running-operation,everything/trigger-elicitation-request,\
    everything/trigger-sampling-request,everything/get-roots-list,everything/toggle-simulated-logging,\
    everything/resource:demo://resource/dynamic/text/*,everything/prompt:args-prompt,everything/prompt:completable-prompt";

#[tokio::test(flavor = "multi_thread")]
async fn official_clients_of_both_eras_use_what_the_protocol_has_beside_tools() {
    if !installed().await {
        return;
    }
    let system = System::start().await;
    let token = system.token(BESIDE_TOOLS).await;
    system
        .cluster
        .wait_allowed(&token, AGENT, "everything/echo", json!({ "message": "x" }))
        .await
        .unwrap();
    let url = format!("{}/v1/mcp/everything", system.cluster.edge_url);
    let python = venv().join("bin/python");
    let node = Path::new("node");
    let runs: [(&Path, &[&str], &str); 5] = [
        (node, &["protocol.mjs", "1", "legacy"], "2025-11-25"),
        (node, &["protocol.mjs", "2", "legacy"], "2025-11-25"),
        (node, &["protocol.mjs", "2", "auto"], "2026-07-28"),
        (&python, &["protocol.py", "legacy"], "2025-11-25"),
        (&python, &["protocol.py", "auto"], "2026-07-28"),
    ];
    for (program, arguments, version) in runs {
        let who = arguments.join(" ");
        let Some((file, how)) = arguments.split_first() else {
            panic!("a program without a file")
        };
        // One of its own for each: a server of the older revisions holds a session for each token, and knows the roots of it.
        let token = system.token(BESIDE_TOOLS).await;
        let mut command = Command::new(program);
        command.arg(here().join(file)).args([&url, &token]);
        let out = succeeds(command.args(how)).await;
        let told: Value =
            serde_json::from_str(out.trim()).unwrap_or_else(|_| panic!("{who}: {out}"));
        check_protocol(&who, &told, version);
        if *file == "protocol.py" {
            assert_eq!(told["logging"], true, "{who}: {told}");
        }
    }
    system.cluster.stop().await;
}

fn check_protocol(who: &str, told: &Value, version: &str) {
    let is =
        |what: &str, expected: Value| assert_eq!(told[what], expected, "{who}, {what}: {told}");
    let has = |what: &str, part: &str| {
        let text = told[what].as_str().unwrap_or_default();
        assert!(text.contains(part), "{who}, {what}: {told}");
    };
    is("version", json!(version));
    has("roots", "1. work\n   URI: file:///work");
    // Resources by name were not granted, only those of one template.
    is("resources", json!([]));
    is(
        "templates",
        json!(["demo://resource/dynamic/text/{resourceId}"]),
    );
    has("read", "Resource 7: ");
    let refused = &told["not granted"];
    if refused["error"] == -31_010 {
        // The Python client reads the body of HTTP 403.
        assert_eq!(version, "2026-07-28", "{who}: {told}");
    } else if version == "2026-07-28" {
        // Of HTTP 403 this client tells what the header says (`insufficient_scope`), not the body.
        let scope = refused["scope"].as_str().unwrap_or_default();
        let blob = "everything/resource:demo://resource/dynamic/blob/";
        assert!(scope.starts_with(blob), "{who}: {told}");
    } else {
        assert_eq!(refused["error"], -32010, "{who}: {told}");
    }
    is("prompts", json!(["args-prompt", "completable-prompt"]));
    is("prompt", json!("What's weather in Delft?"));
    is("completion", json!(["Sales", "Support"]));
    is("progress", json!([[1, 4], [2, 4], [3, 4], [4, 4]]));
    is(
        "cancel",
        json!({ "soon": true, "after": "Echo: still here" }),
    );
    has("elicitation", "Name: Ada");
    has(
        "sampling",
        "heard: Resource trigger-sampling-request context: hello",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_official_client_runs_tasks_of_an_official_server() {
    if !installed().await {
        return;
    }
    let system = System::start().await;
    let token = system
        .token("everything/echo,everything/simulate-research-query")
        .await;
    system
        .cluster
        .wait_allowed(&token, AGENT, "everything/echo", json!({ "message": "x" }))
        .await
        .unwrap();
    let url = format!("{}/v1/mcp/everything", system.cluster.edge_url);
    let mut command = Command::new("node");
    command.arg(here().join("tasks.mjs"));
    let out = succeeds(command.args([&url, &token])).await;
    let told: Value = serde_json::from_str(out.trim()).unwrap_or_else(|_| panic!("{out}"));
    let calls = json!({ "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } });
    assert_eq!(told["capability"], calls, "{told}");
    let seen = told["seen"].as_array().unwrap();
    assert_eq!(seen.first(), Some(&json!("taskCreated")), "{told}");
    assert!(seen.contains(&json!("input_required")), "{told}");
    assert_eq!(seen.last(), Some(&json!("result")), "{told}");
    assert!(told["text"].as_str().unwrap().contains("snake"), "{told}");
    assert_eq!(told["listed"], json!([[true, "completed"]]), "{told}");
    assert_eq!(told["cancelled"], "cancelled", "{told}");
    assert_eq!(told["twice"]["code"], -32602, "{told}");
    assert_eq!(told["plain"]["reason"], "task_unsupported", "{told}");
    assert_eq!(told["nobodys"]["reason"], "task_unknown", "{told}");
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pymacaroons_narrows_a_token_and_can_not_tamper_with_it() {
    if !installed().await {
        return;
    }
    let system = System::start().await;
    let token = system.token(TOOLS).await;
    system
        .cluster
        .wait_allowed(&token, AGENT, "everything/echo", json!({ "message": "x" }))
        .await
        .unwrap();
    let attenuate = async |caveats: &[&str]| {
        let mut command = Command::new(venv().join("bin/python"));
        succeeds(
            command
                .arg(here().join("attenuate.py"))
                .arg(&token)
                .args(caveats),
        )
        .await
        .trim()
        .to_owned()
    };
    let call = async |token: &str, tool: &str, arguments: Value| -> Value {
        let body = json!({ "tool": tool, "arguments": arguments });
        let url = format!("{}/v1/tool-call", system.cluster.edge_url);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        http.post(url)
            .bearer_auth(token)
            .json(&body)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    };
    let reason = |answer: &Value| {
        answer["error"]["data"]["reason"]
            .as_str()
            .unwrap_or("none")
            .to_owned()
    };
    let sum = json!({ "a": 1, "b": 2 });

    assert!(call(&token, "everything/get-sum", sum.clone()).await["result"].is_object());
    let narrow = attenuate(&["tool in everything/echo", "calls <= 1"]).await;
    assert!(
        call(&narrow, "everything/echo", json!({ "message": "x" })).await["result"].is_object()
    );
    assert_eq!(
        reason(&call(&narrow, "everything/get-sum", sum.clone()).await),
        "tool_not_in_token"
    );
    assert_eq!(
        reason(&call(&narrow, "everything/echo", json!({ "message": "x" })).await),
        "calls_exhausted"
    );
    let unknown = attenuate(&["colour = red"]).await;
    assert_eq!(
        reason(&call(&unknown, "everything/get-sum", sum.clone()).await),
        "token_unknown_caveat"
    );

    // The last caveat taken off again, its tag kept; and one byte of the tag changed.
    let mut command = Command::new(venv().join("bin/python"));
    let tampered = succeeds(command.arg(here().join("tamper.py")).arg(&narrow)).await;
    let mut count = 0;
    for bad in tampered.lines() {
        assert_eq!(
            reason(&call(bad, "everything/get-sum", sum.clone()).await),
            "token_forged"
        );
        count += 1;
    }
    assert_eq!(count, 2);
    system.cluster.stop().await;
}
