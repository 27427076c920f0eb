//! An installation with a counter of several nodes and with several edges, each a process that can be killed.

use crate::cluster::{Cluster, Options, Role, free_port, proctor_binary};
use crate::delay::{self, Delay};
use crate::netns::Net;
use anyhow::{Context, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::process::Command;

/// How long a cluster of nodes may take to have a leader.
const LEADER: Duration = Duration::from_secs(90);

/// A node of the counter.
pub struct Node {
    role: Role,
    config: PathBuf,
    /// Its admin address, `http://…`, where it has one.
    pub admin_url: Option<String>,
}

/// Files of a node's TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Certificate chain.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The nodes' authority.
    pub ca: PathBuf,
}

impl Tls {
    /// For the settings of a client: whose certificates it believes.
    pub(crate) fn believed(&self) -> String {
        format!("counter_tls = {{ ca = {:?} }}\n", self.ca)
    }

    /// For the settings of a node: what it shows to its clients.
    fn shown(&self) -> String {
        let Self { cert, key, .. } = self;
        format!("tls = {{ cert = {cert:?}, key = {key:?} }}\n")
    }
}

/// An edge.
pub struct Edge {
    role: Role,
    /// Its agent address, `http://…`.
    pub url: String,
    /// Its id.
    pub id: String,
}

/// A process that something happens to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Victim {
    /// The edge with this index of [`Fleet::edge_urls`].
    Edge(usize),
    /// The node with this index of [`Fleet::nodes`].
    Node(usize),
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
        Self::start_with(nodes, edges, Options::default(), None).await
    }

    /// The same; with a delay between the edges and the nodes if there is one.
    ///
    /// # Errors
    /// If anything does not start.
    pub async fn start_with(
        nodes: usize,
        edges: usize,
        mut options: Options,
        delay: Option<&Delay>,
    ) -> anyhow::Result<Self> {
        let tls = options.counter_tls.clone();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shown = tls.map_or(String::new(), |tls| tls.shown());
        let mut ports = Vec::new();
        for _ in 0..nodes {
            let (port, node_port) = (free_port()?, free_port()?);
            let at = match delay {
                Some(delay) => delay::to(port, delay.clone()).await?,
                None => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
            };
            options.counters.push(format!("{scheme}://{at}"));
            ports.push((port, node_port));
        }
        let mut fleet = Self {
            cluster: Cluster::start(options).await?,
            nodes: Vec::new(),
            edges: Vec::new(),
        };
        for (index, (port, node_port)) in ports.into_iter().enumerate() {
            let number = index + 1;
            fleet.node(number, port, node_port, &shown).await?;
        }
        fleet.leader().await.context("the counter has no leader")?;
        for number in 2..=edges {
            let edge = fleet.edge(&format!("edge-{number}")).await?;
            fleet.edges.push(edge);
        }
        Ok(fleet)
    }

    /// Three nodes and three edges, one of each in each of three name spaces; `tls` are the nodes' files, by space.
    ///
    /// # Errors
    /// If anything does not start.
    pub async fn apart(net: &Net, tls: impl Fn(IpAddr) -> Tls) -> anyhow::Result<Self> {
        let spaces: Vec<u8> = (1..=3).collect();
        let counters = spaces
            .iter()
            .map(|space| format!("http://{}:7000", net.address(*space)));
        let options = Options {
            counters: counters.collect(),
            reach: Some(net.here()),
            ..Options::default()
        };
        let mut fleet = Self {
            cluster: Cluster::start(options).await?,
            nodes: Vec::new(),
            edges: Vec::new(),
        };
        for space in &spaces {
            let at = net.address(*space);
            let Tls { cert, key, ca } = tls(at);
            let more = format!(
                "listen = \"{at}:7000\"\nnode_listen = \"{at}:7001\"\nnode_address = \"https://{at}:7001\"\n\
                 node_tls = {{ cert = {cert:?}, key = {key:?}, ca = {ca:?} }}\n"
            );
            let place = Some(net.space(*space));
            let url = format!("https://{at}:7001");
            fleet
                .place_node(usize::from(*space), &more, &url, place)
                .await?;
        }
        fleet.leader().await.context("the counter has no leader")?;
        for space in &spaces {
            let at = SocketAddr::new(net.address(*space), 7002);
            let name = format!("edge-{}", space + 1);
            let edge = fleet
                .place_edge(&name, at, free_port()?, Some(net.space(*space)))
                .await?;
            fleet.edges.push(edge);
        }
        Ok(fleet)
    }

    async fn node(
        &mut self,
        number: usize,
        port: u16,
        node_port: u16,
        tls: &str,
    ) -> anyhow::Result<()> {
        let admin = format!("127.0.0.1:{}", free_port()?);
        let more = format!(
            "listen = \"127.0.0.1:{port}\"\nnode_listen = \"127.0.0.1:{node_port}\"\n\
             admin_listen = {admin:?}\n{tls}"
        );
        let url = format!("http://127.0.0.1:{node_port}");
        self.place_node(number, &more, &url, None).await?;
        if let Some(node) = self.nodes.last_mut() {
            node.admin_url = Some(format!("http://{admin}"));
        }
        Ok(())
    }

    async fn place_node(
        &mut self,
        number: usize,
        listeners: &str,
        url: &str,
        space: Option<String>,
    ) -> anyhow::Result<()> {
        let dir = self.cluster.dir.path();
        let data = dir.join(format!("counter-{number}-data"));
        // Tables come last in TOML.
        let config = format!(
            "node = {number}\ndata_dir = {:?}\nplatform_keys = {}\n{listeners}",
            data.display().to_string(),
            self.cluster.platform_keys_toml
        );
        let name = format!("counter-{number}");
        let mut role = placed(Role::new(dir, &name, &config)?, space);
        role.start("gRPC on", &[], &[]).await?;
        let config = dir.join(format!("{name}.toml"));
        match self.nodes.first() {
            None => counter(&config, &["init"]).await?,
            Some(first) => {
                let number = number.to_string();
                counter(&first.config, &["add-node", &number, url]).await?
            }
        };
        self.nodes.push(Node {
            role,
            config,
            admin_url: None,
        });
        Ok(())
    }

    async fn edge(&self, name: &str) -> anyhow::Result<Edge> {
        let at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), free_port()?);
        self.place_edge(name, at, free_port()?, None).await
    }

    async fn place_edge(
        &self,
        name: &str,
        at: SocketAddr,
        admin_port: u16,
        space: Option<String>,
    ) -> anyhow::Result<Edge> {
        let dir = self.cluster.dir.path();
        let data = dir.join(format!("{name}-data")).display().to_string();
        let config = format!(
            "listen = \"{at}\"\nadmin_listen = \"127.0.0.1:{admin_port}\"\ndata_dir = {data:?}\n{}",
            self.cluster.counter_tls
        );
        let mut role = placed(Role::new(dir, name, &config)?, space);
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
            url: format!("http://{at}"),
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

    fn role(&mut self, victim: Victim) -> &mut Role {
        match victim {
            Victim::Edge(0) => &mut self.cluster.edge,
            Victim::Edge(index) => &mut self.edges[index - 1].role,
            Victim::Node(index) => &mut self.nodes[index].role,
        }
    }

    /// Kills a process; it stays down until [`Self::revive`].
    ///
    /// # Errors
    /// If it does not run.
    pub async fn kill(&mut self, victim: Victim) -> anyhow::Result<()> {
        self.role(victim).end(Signal::SIGKILL).await
    }

    /// Ends a process in good order, as a restart does; it stays down until [`Self::revive`].
    ///
    /// # Errors
    /// If it does not run.
    pub async fn end(&mut self, victim: Victim) -> anyhow::Result<()> {
        self.role(victim).end(Signal::SIGTERM).await
    }

    /// Starts a process again, with this environment.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn revive(&mut self, victim: Victim, env: &[(&str, &str)]) -> anyhow::Result<()> {
        let sign = match victim {
            Victim::Edge(_) => "edge ",
            Victim::Node(_) => "gRPC on",
        };
        self.role(victim).start(sign, &[], env).await.map(drop)
    }

    /// Sends a process a signal that does not end it.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&mut self, victim: Victim, signal: Signal) -> anyhow::Result<()> {
        let pid = self.role(victim).pid().context("it does not run")?;
        Ok(nix::sys::signal::kill(pid, signal)?)
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

    /// How many entries of the log a node has applied.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn applied(&self, node: usize) -> anyhow::Result<u64> {
        let node = self.nodes.get(node).context("no such node")?;
        let said = counter(&node.config, &["status"]).await?;
        // `log 12, applied 12, snapshot 0; …`
        let (_, applied) = said.split_once(", applied ").context("what is applied")?;
        let applied = applied.split(',').next().unwrap_or_default();
        Ok(applied.parse()?)
    }

    /// Waits until all nodes hold the same bytes of the same log.
    ///
    /// # Errors
    /// If they do not come to.
    pub async fn agree(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut states = Vec::new();
        while started.elapsed() < LEADER {
            states.clear();
            for node in &self.nodes {
                let said = counter(&node.config, &["status"]).await.unwrap_or_default();
                let state = said.lines().find(|line| line.starts_with("state "));
                states.push(state.unwrap_or_default().to_owned());
            }
            let first = states.first().filter(|state| !state.is_empty());
            if first.is_some_and(|first| states.iter().all(|state| state == first)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("the nodes do not agree: {states:?}")
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
        // All edges first: what they hold, they give back to the counter, and wait for its answer.
        self.cluster.edge.finish().await;
        for edge in &mut self.edges {
            edge.role.finish().await;
        }
        for node in &mut self.nodes {
            node.role.finish().await;
        }
        self.cluster.stop().await;
    }
}

fn placed(role: Role, space: Option<String>) -> Role {
    match space {
        Some(space) => role.within(space),
        None => role,
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
