//! An installation with a counter of several nodes and with several edges, each a process that can be killed.

use crate::cluster::{Cluster, Options, Role, free_port, proctor_binary};
use anyhow::{Context, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::process::Command;

/// How long a cluster of nodes may take to have a leader.
const LEADER: Duration = Duration::from_secs(20);

/// A node of the counter.
pub struct Node {
    role: Role,
    config: PathBuf,
}

/// An edge.
pub struct Edge {
    role: Role,
    /// Its agent address, `http://…`.
    pub url: String,
    /// Its id.
    pub id: String,
}

/// An installation.
pub struct Fleet {
    /// The roles that there is one of; its edge is the first of `edges` by address.
    pub cluster: Cluster,
    /// Nodes of the counter.
    pub nodes: Vec<Node>,
    /// More edges than the cluster's own.
    pub edges: Vec<Edge>,
}

impl Fleet {
    /// Starts everything: so many nodes, so many edges.
    ///
    /// # Errors
    /// If anything does not start.
    pub async fn start(nodes: usize, edges: usize) -> anyhow::Result<Self> {
        let mut ports = Vec::new();
        for _ in 0..nodes {
            ports.push((free_port()?, free_port()?));
        }
        let address = |port: &u16| format!("http://127.0.0.1:{port}");
        let options = Options {
            counters: ports.iter().map(|(port, _)| address(port)).collect(),
            ..Options::default()
        };
        let mut fleet = Self {
            cluster: Cluster::start(options).await?,
            nodes: Vec::new(),
            edges: Vec::new(),
        };
        for (index, (port, node_port)) in ports.into_iter().enumerate() {
            let number = index + 1;
            fleet.node(number, port, node_port).await?;
        }
        fleet.leader().await.context("the counter has no leader")?;
        for number in 2..=edges {
            let edge = fleet.edge(&format!("edge-{number}")).await?;
            fleet.edges.push(edge);
        }
        Ok(fleet)
    }

    async fn node(&mut self, number: usize, port: u16, node_port: u16) -> anyhow::Result<()> {
        let dir = self.cluster.dir.path();
        let data = dir.join(format!("counter-{number}-data"));
        let config = format!(
            "node = {number}\nlisten = \"127.0.0.1:{port}\"\nnode_listen = \"127.0.0.1:{node_port}\"\n\
             data_dir = {:?}\nplatform_keys = {}\n",
            data.display().to_string(),
            self.cluster.platform_keys
        );
        let name = format!("counter-{number}");
        let mut role = Role::new(dir, &name, &config)?;
        role.start("gRPC on", &[], &[]).await?;
        let config = dir.join(format!("{name}.toml"));
        match self.nodes.first() {
            None => counter(&config, &["init"]).await?,
            Some(first) => {
                let (number, url) = (number.to_string(), format!("http://127.0.0.1:{node_port}"));
                counter(&first.config, &["add-node", &number, &url]).await?
            }
        };
        self.nodes.push(Node { role, config });
        Ok(())
    }

    async fn edge(&self, name: &str) -> anyhow::Result<Edge> {
        let (port, admin_port) = (free_port()?, free_port()?);
        let dir = self.cluster.dir.path();
        let data = dir.join(format!("{name}-data")).display().to_string();
        let config = format!(
            "listen = \"127.0.0.1:{port}\"\nadmin_listen = \"127.0.0.1:{admin_port}\"\ndata_dir = {data:?}\n"
        );
        let mut role = Role::new(dir, name, &config)?;
        let body = json!({ "role": "edge", "tenants": ["acme"], "region": "local" });
        let token = self.cluster.join_token(body).await?;
        let said = role
            .start(
                "edge ",
                &["--join", &self.cluster.control_url],
                &[("PROCTOR_JOIN_TOKEN", &token)],
            )
            .await?;
        let id = said
            .iter()
            .find_map(|line| line.strip_prefix("enrolled as "));
        Ok(Edge {
            role,
            url: format!("http://127.0.0.1:{port}"),
            id: id.context("the edge's id")?.to_owned(),
        })
    }

    /// Agent addresses of all edges.
    #[must_use]
    pub fn edge_urls(&self) -> Vec<String> {
        let more = self.edges.iter().map(|edge| edge.url.clone());
        std::iter::once(self.cluster.edge_url.clone())
            .chain(more)
            .collect()
    }

    /// Kills an edge; it stays down until [`Self::revive_edge`].
    ///
    /// # Errors
    /// If it does not run.
    pub async fn kill_edge(&mut self, index: usize) -> anyhow::Result<()> {
        match index
            .checked_sub(1)
            .map(|index| &mut self.edges[index].role)
        {
            Some(role) => role.end(Signal::SIGKILL).await,
            None => self.cluster.edge.end(Signal::SIGKILL).await,
        }
    }

    /// Starts an edge again.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn revive_edge(&mut self, index: usize) -> anyhow::Result<()> {
        match index
            .checked_sub(1)
            .map(|index| &mut self.edges[index].role)
        {
            Some(role) => role.start("edge ", &[], &[]).await.map(drop),
            None => self.cluster.start_edge().await,
        }
    }

    /// Kills a node of the counter.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn kill_node(&mut self, index: usize) -> anyhow::Result<()> {
        self.nodes[index].role.end(Signal::SIGKILL).await
    }

    /// Starts a node again.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn revive_node(&mut self, index: usize) -> anyhow::Result<()> {
        self.nodes[index]
            .role
            .start("gRPC on", &[], &[])
            .await
            .map(drop)
    }

    /// Index of the leader, once there is one that a node names.
    ///
    /// # Errors
    /// If there is none for long.
    pub async fn leader(&self) -> anyhow::Result<usize> {
        let started = Instant::now();
        while started.elapsed() < LEADER {
            for node in &self.nodes {
                let asked = counter(&node.config, &["status"]).await.unwrap_or_default();
                // `node 1: leader; leader 1, term 2`
                let leader = asked.split_once("leader ").map_or("", |(_, rest)| rest);
                let leader = leader.split(',').next().unwrap_or_default();
                if let Some(leader) = leader.parse().ok().filter(|leader: &usize| *leader > 0) {
                    return Ok(leader - 1);
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("no node names a leader")
    }

    /// What the counter says of the tenant's accounts of a scope.
    ///
    /// # Errors
    /// If the admin API refuses.
    pub async fn usage(&self, scope: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!("budgets/usage?limit=500&scope={scope}");
        let page = self.cluster.acme(reqwest::Method::GET, &path, None).await?;
        Ok(page["accounts"].as_array().cloned().unwrap_or_default())
    }

    /// Ends everything in good order.
    pub async fn stop(mut self) {
        for edge in &mut self.edges {
            // One that was killed is gone already.
            let _ = edge.role.end(Signal::SIGTERM).await;
        }
        for node in &mut self.nodes {
            let _ = node.role.end(Signal::SIGTERM).await;
        }
        self.cluster.stop().await;
    }
}

/// `proctor counter …`, and what it prints.
async fn counter(config: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(proctor_binary()?)
        .arg("counter")
        .arg("--config")
        .arg(config)
        .args(arguments)
        .output()
        .await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "proctor counter {arguments:?}: {errors}"
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
