//! Nodes as processes of their own.

use crate::support::{config, join, operate, platform};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proctor_counter::{Bootstrap, CounterConfig, TlsFiles};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Set in a process that is to be a node.
pub const NODE: &str = "PROCTOR_TEST_COUNTER_NODE";

#[derive(Serialize, Deserialize)]
pub struct Spec {
    pub node: u64,
    pub listen: SocketAddr,
    pub node_listen: SocketAddr,
    pub data_dir: PathBuf,
    pub tls: Option<[PathBuf; 3]>,
}

impl Spec {
    pub fn config(self) -> CounterConfig {
        let files = |[cert, key, ca]: [PathBuf; 3]| TlsFiles {
            cert,
            key,
            ca: Some(ca),
        };
        CounterConfig {
            node: self.node,
            listen: self.listen,
            tls: None,
            node_listen: self.node_listen,
            node_tls: self.tls.map(files),
            node_address: None,
            data_dir: self.data_dir,
            platform_keys: vec![platform().public_key()],
            snapshot_entries: proctor_counter::limits::SNAPSHOT_ENTRIES,
            bootstrap: if self.node == 1 {
                Bootstrap::Alone
            } else {
                Bootstrap::Wait
            },
        }
    }

    pub fn of(config: &CounterConfig) -> Self {
        let files = |files: &TlsFiles| {
            [
                files.cert.clone(),
                files.key.clone(),
                files.ca.clone().unwrap(),
            ]
        };
        Self {
            node: config.node,
            listen: config.listen,
            node_listen: config.node_listen,
            data_dir: config.data_dir.clone(),
            tls: config.node_tls.as_ref().map(files),
        }
    }
}

/// A node's process.
pub struct Process {
    pub config: CounterConfig,
    pub space: Option<String>,
    pub child: Option<Child>,
}

impl Process {
    pub fn new(config: CounterConfig, space: Option<String>) -> Self {
        let mut process = Self {
            config,
            space,
            child: None,
        };
        process.start();
        process
    }

    pub fn start(&mut self) {
        let program = std::env::current_exe().unwrap();
        let mut command = match &self.space {
            Some(space) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", space]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(["--exact", "node_process", "--nocapture"]);
        command.env(
            NODE,
            serde_json::to_string(&Spec::of(&self.config)).unwrap(),
        );
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.as_ref().unwrap().id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Waits, where waiting holds up nobody.
    pub async fn end(&mut self, signal: Signal) {
        self.signal(signal);
        let mut child = self.child.take().unwrap();
        tokio::task::spawn_blocking(move || child.wait().unwrap())
            .await
            .unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn configs(nodes: &[Process]) -> Vec<CounterConfig> {
    nodes.iter().map(|node| node.config.clone()).collect()
}

pub fn addresses(nodes: &[Process]) -> Vec<SocketAddr> {
    nodes.iter().map(|node| node.config.listen).collect()
}

pub async fn three(dir: &Path) -> Vec<Process> {
    let nodes: Vec<_> = (1..=3)
        .map(|node| Process::new(config(node, dir), None))
        .collect();
    join(&configs(&nodes)).await;
    nodes
}

pub async fn leader(nodes: &[Process]) -> Option<usize> {
    for node in nodes.iter().filter(|node| node.child.is_some()) {
        let status = tokio::time::timeout(Duration::from_millis(300), async {
            operate(&node.config).status().await
        })
        .await;
        if let Ok(Ok(status)) = status
            && status.leader != 0
        {
            return nodes
                .iter()
                .position(|node| node.config.node == status.leader);
        }
    }
    None
}
