//! The MCP Inspector, as a command line: what a developer looks at a server with, looking at the edge.

use super::{AGENT, System, here, installed, succeeds};
use serde_json::{Value, json};
use tokio::process::Command;

const ALLOWED: &str = "everything/echo,everything/get-sum,everything/resource:demo://resource/static/document/*,\
    everything/prompt:args-prompt,everything/prompt:simple-prompt,memory/create_entities,memory/read_graph";

struct Inspector<'a> {
    server: String,
    token: &'a str,
    /// Where it keeps what it remembers.
    home: &'a std::path::Path,
}

impl Inspector<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(here().join("node_modules/node/bin/node"));
        command
            .arg(here().join(
                "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js",
            ))
            .args(["--cli", &self.server, "--transport", "http"])
            .args(["--header", &format!("Authorization: Bearer {}", self.token)])
            .args(arguments)
            .env("HOME", self.home)
            .kill_on_drop(true);
        command
    }

    async fn asks(&self, arguments: &[&str]) -> Value {
        let out = succeeds(&mut self.command(arguments)).await;
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: {out}"))
    }

    /// Its own complaint, where what it asks for is refused.
    async fn fails(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(!output.status.success(), "{arguments:?}: {said}");
        said
    }
}

fn names(list: &Value, kind: &str, key: &str) -> Vec<String> {
    let names = list[kind].as_array().unwrap_or_else(|| panic!("{list}"));
    let mut names: Vec<_> = names
        .iter()
        .map(|one| one[key].as_str().unwrap().to_owned())
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inspector_lists_calls_and_reads_what_is_granted() {
    if !installed().await {
        return;
    }
    let system = System::start().await;
    let memory = here().join("node_modules/@modelcontextprotocol/server-memory/dist/index.js");
    let script = format!("--arg={}", memory.display());
    system
        .import("memory", &["--command", "node", &script])
        .await;
    let token = system.token(ALLOWED).await;
    for (tool, arguments) in [
        ("everything/echo", json!({ "message": "x" })),
        ("memory/read_graph", json!({})),
    ] {
        let allowed = system.cluster.wait_allowed(&token, AGENT, tool, arguments);
        allowed.await.unwrap();
    }
    let home = tempfile::tempdir().unwrap();
    let inspector = |server: &str| Inspector {
        server: format!("{}/v1/mcp{server}", system.cluster.edge_url),
        token: &token,
        home: home.path(),
    };

    let everything = inspector("/everything");
    let tools = everything.asks(&["--method", "tools/list"]).await;
    assert_eq!(names(&tools, "tools", "name"), ["echo", "get-sum"]);
    let call = ["--method", "tools/call", "--tool-name"];
    let sum = [&call[..], &["get-sum", "--tool-arg", "a=2", "b=40"]].concat();
    let sum = everything.asks(&sum).await;
    let text = sum["content"][0]["text"].as_str().unwrap_or_default();
    assert!(text.contains("42"), "{sum}");

    let listed = everything.asks(&["--method", "resources/list"]).await;
    let uris = names(&listed, "resources", "uri");
    let uri = uris.first().unwrap();
    assert!(uri.starts_with("demo://resource/static/document/"), "{uri}");
    let read = everything
        .asks(&["--method", "resources/read", "--uri", uri])
        .await;
    assert_eq!(read["contents"][0]["uri"], **uri, "{read}");
    let text = read["contents"][0]["text"].as_str().unwrap_or_default();
    assert!(!text.is_empty(), "{read}");
    let foreign = "demo://resource/dynamic/text/1";
    let refused = everything
        .fails(&["--method", "resources/read", "--uri", foreign])
        .await;
    // By the body of the refusal in one era, by its header in the other.
    assert!(
        refused.contains("token") || refused.contains("scope"),
        "{refused}"
    );

    let prompts = everything.asks(&["--method", "prompts/list"]).await;
    let prompts = names(&prompts, "prompts", "name");
    assert_eq!(prompts, ["args-prompt", "simple-prompt"]);
    let get = ["--method", "prompts/get", "--prompt-name", "args-prompt"];
    let get = [&get[..], &["--prompt-args", "city=Delft"]].concat();
    let prompt = everything.asks(&get).await;
    let text = &prompt["messages"][0]["content"]["text"];
    assert_eq!(text, "What's weather in Delft?", "{prompt}");

    // All servers at once, one of them the child of an edge.
    let all = inspector("");
    let entity = r#"entities=[{"name":"Ada","entityType":"person","observations":["wrote the first program"]}]"#;
    let create = [
        &call[..],
        &["memory__create_entities", "--tool-arg", entity],
    ]
    .concat();
    all.asks(&create).await;
    let graph = [&call[..], &["memory__read_graph"]].concat();
    let graph = all.asks(&graph).await.to_string();
    assert!(graph.contains("wrote the first program"), "{graph}");
    let refused = [
        &call[..],
        &["memory__delete_entities", "--tool-arg", "entityNames=[]"],
    ]
    .concat();
    all.fails(&refused).await;
    system.cluster.stop().await;
}
