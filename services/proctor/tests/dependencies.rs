//! The dependency arrows of docs/architecture.md.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Normal dependencies by package id, and package names by id.
struct Graph {
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, Vec<String>>,
}

impl Graph {
    fn load() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "cargo metadata failed");
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let names = metadata["packages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let is_normal = |dep: &&Value| {
            dep["dep_kinds"]
                .as_array()
                .unwrap()
                .iter()
                .any(|kind| kind["kind"].is_null())
        };
        let deps = |node: &Value| {
            node["deps"]
                .as_array()
                .unwrap()
                .iter()
                .filter(is_normal)
                .map(|dep| text(&dep["pkg"]))
                .collect()
        };
        let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
        Self {
            names,
            edges: nodes
                .iter()
                .map(|node| (text(&node["id"]), deps(node)))
                .collect(),
        }
    }

    fn id(&self, name: &str) -> &str {
        self.names
            .iter()
            .find(|(_, found)| *found == name)
            .map(|(id, _)| id.as_str())
            .unwrap()
    }

    fn direct(&self, name: &str) -> BTreeSet<&str> {
        self.edges[self.id(name)]
            .iter()
            .map(|id| self.names[id].as_str())
            .collect()
    }

    fn all(&self, name: &str) -> BTreeSet<&str> {
        let mut open = vec![self.id(name)];
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            for next in &self.edges[id] {
                if seen.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

#[test]
fn engine_and_model_do_no_io() {
    let graph = Graph::load();
    for pure in ["proctor-engine", "proctor-model"] {
        let below = graph.all(pure);
        for io in [
            "tokio",
            "sqlx",
            "tonic",
            "axum",
            "reqwest",
            "hyper",
            "async-nats",
        ] {
            assert!(!below.contains(io), "{pure} depends on {io}");
        }
    }
}

#[test]
fn roles_do_not_import_roles() {
    let graph = Graph::load();
    let roles = [
        "proctor-web-api",
        "proctor-control",
        "proctor-edge",
        "proctor-ledger",
        "proctor-counter",
    ];
    for role in roles {
        for other in graph.direct(role) {
            assert!(
                !roles.contains(&other) && other != "proctor",
                "{role} imports {other}"
            );
        }
    }
    assert!(
        !graph
            .direct("proctor-model")
            .iter()
            .any(|name| name.starts_with("proctor-"))
    );
    // A black box: it starts real servers, and knows nothing else of ours.
    let loadtest = graph.direct("proctor-loadtest");
    let ours: Vec<_> = loadtest
        .iter()
        .filter(|name| name.starts_with("proctor-"))
        .collect();
    assert_eq!(ours, [&"proctor-devstack"]);
}
