//! Tool servers that edges run as child processes: each has its limits and its own environment; one that takes too much
//! dies and is started anew, and the others go on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use proctor_loadtest::acme;
use proctor_loadtest::cluster::{Cluster, proctor_binary};
use proctor_loadtest::load::{AGENT, digest};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(60);

/// Says what it sees and may use, and what a process might that it started at once; on demand it fills its memory (with some hundred MB at most) or
/// spins (for a minute or so).
const SCRIPT: &str = r#"
early=$(ulimit -n)
answer() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$1" "$2"; }
say() { answer "$1" "{\"content\":[{\"type\":\"text\",\"text\":\"$2\"}]}"; }
while read -r line; do
  case $line in *'"notifications/'*) continue;; esac
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  case $line in
    *'"initialize"'*)
      answer "$id" '{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"x","version":"1"}}';;
    *'"tools/list"'*)
      answer "$id" '{"tools":[{"name":"work","description":"Works","inputSchema":{"type":"object"}}]}';;
    *'"eat"'*)
      x=0123456789abcdef; n=0
      while [ $n -lt 23 ]; do x=$x$x; n=$((n+1)); done
      say "$id" "full";;
    *'"spin"'*)
      n=0
      while [ $n -lt 100000000 ]; do n=$((n+1)); done
      say "$id" "tired";;
    *'"tools/call"'*)
      say "$id" "pid=$$ data=$(ulimit -d) files=$(ulimit -n) core=$(ulimit -c) cpu=$(ulimit -t) early=$early token=${PROCTOR_JOIN_TOKEN-unseen} filter=${PROCTOR_LOG_FILTER-unseen} greeting=${GREETING-unseen} path=${PATH+seen}";;
    *)
      printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no such method"}}\n' "$id";;
  esac
done
"#;

struct System {
    cluster: Cluster,
    token: String,
    http: reqwest::Client,
}

impl System {
    async fn start() -> Self {
        let cluster = acme::start().await.unwrap();
        let token = acme::mint(&cluster, 600, &["tool in */work"]).await;
        let token = token.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            cluster,
            token,
            http,
        }
    }

    async fn put(&self, server: &str, limits: Value) -> anyhow::Result<Value> {
        let tool =
            json!({ "name": "work", "description": "Works", "inputSchema": { "type": "object" } });
        let definition =
            json!({ "name": "work", "description": "Works", "input_schema": { "type": "object" } });
        let document = json!({
            "upstream": {
                "kind": "mcp-stdio", "command": "sh", "args": ["-c", SCRIPT],
                "env": { "GREETING": "hello" }, "limits": limits,
            },
            "tools": [{ "definition": definition, "definition_digest": digest(&tool), "consequential": [] }],
        });
        let path = format!("tool-servers/{server}");
        self.cluster.acme(Method::PUT, &path, Some(document)).await
    }

    async fn call(&self, server: &str, what: &str) -> Value {
        let arguments = json!({ "what": what });
        let body = json!({ "tool": format!("{server}/work"), "arguments": arguments });
        let request = self
            .http
            .post(format!("{}/v1/tool-call", self.cluster.edge_url))
            .bearer_auth(&self.token)
            .json(&body);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// What a server says of itself, as soon as it says something.
    async fn looks(&self, server: &str) -> String {
        let started = Instant::now();
        loop {
            let answer = self.call(server, "look").await;
            if let Some(text) = answer["result"]["content"][0]["text"].as_str() {
                return text.to_owned();
            }
            assert!(started.elapsed() < WAIT, "{server}: {answer}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Has a server do something that it does not survive; it comes back as another process.
    async fn dies_and_comes_back(&self, server: &str, of: &str) {
        let before = self.looks(server).await;
        let answer = self.call(server, of).await;
        assert_eq!(
            answer["error"]["data"]["reason"], "upstream_unavailable",
            "{server}: {answer}"
        );
        let after = self.looks(server).await;
        assert_ne!(pid(&before), pid(&after), "{server}: another process");
    }
}

fn pid(said: &str) -> &str {
    said.split(' ').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_has_its_limits_and_its_own_environment() {
    let system = System::start().await;
    let none = system.put("none", json!({ "open_files_max": 0 })).await;
    let refused = none.unwrap_err().to_string();
    assert!(refused.contains("limits.open_files_max"), "{refused}");
    for (server, limits) in [
        ("calm", json!({})),
        (
            "greedy",
            json!({ "memory_bytes_max": 64 << 20, "open_files_max": 40 }),
        ),
        ("busy", json!({ "cpu_seconds_max": 2 })),
    ] {
        system.put(server, limits).await.unwrap();
        let tool = format!("{server}/work");
        let allowed =
            system
                .cluster
                .wait_allowed(&system.token, AGENT, &tool, json!({ "what": "look" }));
        allowed.await.unwrap();
    }

    let calm = system.looks("calm").await;
    assert!(
        calm.contains(" data=4194304 files=1024 core=0 cpu=unlimited "),
        "{calm}"
    );
    // The edge has both variables; the child has what is listed, and no more.
    assert!(
        calm.ends_with(" token=unseen filter=unseen greeting=hello path=seen"),
        "{calm}"
    );
    let greedy = system.looks("greedy").await;
    assert!(
        greedy.contains(" data=65536 files=40 core=0 cpu=unlimited early=40 "),
        "{greedy}"
    );
    let busy = system.looks("busy").await;
    assert!(busy.contains(" cpu=2 "), "{busy}");

    system.dies_and_comes_back("greedy", "eat").await;
    system.dies_and_comes_back("busy", "spin").await;
    let still = system.looks("calm").await;
    assert_eq!(pid(&calm), pid(&still), "the others go on");
    proctor_loadtest::oracle::settled(&system.cluster, Duration::from_secs(20))
        .await
        .unwrap();
    system.cluster.stop().await;
}

/// As edges start it, without an edge: there is no moment in which the program runs without its limits.
#[test]
fn what_becomes_a_server_has_its_limits_before_it_runs() {
    let path = std::env::var_os("PATH").unwrap();
    let limited = |limits: &[&str]| {
        std::process::Command::new(proctor_binary().unwrap())
            .arg("__limited")
            .args(limits)
            .args(["--", "sh", "-c"])
            .arg("(ulimit -n; ulimit -d; ulimit -c; echo ${A-unseen} ${PROCTOR_CHILD_A-unseen} ${B-unseen})")
            .env_clear()
            .env("PROCTOR_CHILD_PATH", &path)
            .env("PROCTOR_CHILD_A", "a")
            .env("B", "b")
            .output()
            .unwrap()
    };
    let output = limited(&["nofile=40", "core=0", "data=67108864"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "40\n65536\n0\na unseen unseen\n");
    let output = limited(&["nofile=40", "unknown=1"]);
    assert!(!output.status.success() && output.stdout.is_empty());
}
