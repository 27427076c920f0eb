//! Three nodes as processes of their own: killed, stopped, restarted, cut off.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod support;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proctor_counter::{Bootstrap, CounterConfig, TlsFiles, start};
use proctor_proto::v1;
use proctor_runtime::{Clock, shutdown};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::linear::{Operation, Record};
use support::*;

/// Set in a process that is to be a node.
const NODE: &str = "PROCTOR_TEST_COUNTER_NODE";

#[derive(Serialize, Deserialize)]
struct Spec {
    node: u64,
    listen: SocketAddr,
    node_listen: SocketAddr,
    data_dir: PathBuf,
    tls: Option<[PathBuf; 3]>,
}

impl Spec {
    fn config(self) -> CounterConfig {
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

    fn of(config: &CounterConfig) -> Self {
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

/// Not a test of its own: the drills start this program again as a node.
#[tokio::test(flavor = "multi_thread")]
async fn node_process() {
    let Ok(spec) = std::env::var(NODE) else {
        return;
    };
    let spec: Spec = serde_json::from_str(&spec).unwrap();
    let handle = start(
        spec.config(),
        Clock::system(),
        shutdown::on_signals().unwrap(),
    )
    .await
    .unwrap();
    handle.stopped().await.unwrap();
}

/// A node's process.
struct Process {
    config: CounterConfig,
    space: Option<String>,
    child: Option<Child>,
}

impl Process {
    fn new(config: CounterConfig, space: Option<String>) -> Self {
        let mut process = Self {
            config,
            space,
            child: None,
        };
        process.start();
        process
    }

    fn start(&mut self) {
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

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.as_ref().unwrap().id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Waits, where waiting holds up nobody.
    async fn end(&mut self, signal: Signal) {
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

fn configs(nodes: &[Process]) -> Vec<CounterConfig> {
    nodes.iter().map(|node| node.config.clone()).collect()
}

fn addresses(nodes: &[Process]) -> Vec<SocketAddr> {
    nodes.iter().map(|node| node.config.listen).collect()
}

async fn three(dir: &Path) -> Vec<Process> {
    let nodes: Vec<_> = (1..=3)
        .map(|node| Process::new(config(node, dir), None))
        .collect();
    join(&configs(&nodes)).await;
    nodes
}

async fn leader(nodes: &[Process]) -> Option<usize> {
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

/// Edges that lease and settle until the account has no more; what they did is written down.
#[derive(Clone)]
struct Load {
    history: Arc<Mutex<Vec<Record>>>,
    spent: Arc<AtomicU64>,
    slowest_ms: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Load {
    fn new() -> Self {
        Self {
            history: Arc::default(),
            spent: Arc::default(),
            slowest_ms: Arc::default(),
            stop: Arc::default(),
        }
    }

    fn record(&self, asked: Instant, operation: Operation) {
        let answered = Instant::now();
        let took = u64::try_from((answered - asked).as_millis()).unwrap();
        self.slowest_ms.fetch_max(took, Ordering::Relaxed);
        self.history.lock().unwrap().push(Record {
            asked,
            answered,
            operation,
        });
    }

    /// One edge: takes up to `wanted`, spends most of it, gives back a little, until there is no more for anybody.
    async fn run(self, addresses: Vec<SocketAddr>, number: u8, wanted: u64, pause: Duration) {
        let edge = Client::edge(&addresses, number, now()).await;
        let mut turn = u64::from(number);
        while !self.stop.load(Ordering::Relaxed) {
            turn += 1;
            let asked = Instant::now();
            let granted = match edge.lease(vec![want(tenant_account(), wanted, 1)]).await {
                Ok(granted) => granted,
                Err(refused) => {
                    self.record(
                        asked,
                        Operation::Refused {
                            minimum: 1,
                            left: refused.left,
                        },
                    );
                    if refused.why() == v1::refused::Why::Exhausted {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(refused.retry_after_ms)).await;
                    continue;
                }
            };
            let grant = granted.grants[0];
            self.record(
                asked,
                Operation::Granted {
                    wanted,
                    minimum: 1,
                    units: grant.units,
                    left: grant.left,
                },
            );
            let returned = if turn.is_multiple_of(5) {
                1.min(grant.units)
            } else {
                0
            };
            let spend = v1::Spend {
                spent: grant.units - returned,
                returned,
                overrun: 0,
            };
            self.spent.fetch_add(spend.spent, Ordering::Relaxed);
            let asked = Instant::now();
            edge.settle(granted.lease, vec![spend]).await;
            self.record(asked, Operation::Returned(returned));
            tokio::time::sleep(pause).await;
        }
    }

    fn start(
        &self,
        addresses: &[SocketAddr],
        edges: u8,
        wanted: u64,
        pause: Duration,
    ) -> Vec<tokio::task::JoinHandle<()>> {
        let run =
            |number| tokio::spawn(self.clone().run(addresses.to_vec(), number, wanted, pause));
        (1..=edges).map(run).collect()
    }

    /// To the unit, on all nodes, and in an order that makes sense.
    async fn check(&self, nodes: &[Process], limit: u64) {
        agree(&configs(nodes)).await;
        let usage = Client::operator(&addresses(nodes), now()).usage().await;
        assert_eq!(
            (usage[0].spent, usage[0].leased),
            (self.spent.load(Ordering::Relaxed), 0)
        );
        assert!(usage[0].spent <= limit);
        let history = self.history.lock().unwrap().clone();
        support::linear::check(&history, limit);
    }
}

/// Numbers that a seed repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

fn seed() -> u64 {
    let seed = std::env::var("PROCTOR_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::try_from(now().as_micros()).unwrap());
    println!("PROCTOR_TEST_SEED={seed}");
    seed
}

/// D5, D6: any node is killed at any moment, now and then two; what was granted is granted once.
#[tokio::test(flavor = "multi_thread")]
async fn kills_at_random_spend_exactly_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = three(dir.path()).await;
    let limit = 3_000;
    let operator = Client::operator(&addresses(&nodes), now());
    operator
        .set_limits(1, vec![rule(tenant_account(), limit)])
        .await
        .unwrap();
    let load = Load::new();
    let edges = load.start(&addresses(&nodes), 4, 12, Duration::from_millis(40));
    let mut dice = Dice(seed() | 1);
    let mut kills = 0;
    while edges.iter().any(|edge| !edge.is_finished()) && kills < 200 {
        let victims = if dice.roll(4) == 0 { 2 } else { 1 };
        let first = usize::try_from(dice.roll(3)).unwrap();
        for victim in (first..first + victims).map(|victim| victim % 3) {
            nodes[victim].end(Signal::SIGKILL).await;
        }
        tokio::time::sleep(Duration::from_millis(dice.roll(400))).await;
        for node in nodes.iter_mut().filter(|node| node.child.is_none()) {
            node.start();
        }
        tokio::time::sleep(Duration::from_millis(1_200 + dice.roll(800))).await;
        kills += 1;
    }
    for edge in edges {
        edge.await.unwrap();
    }
    assert!(kills > 0);
    assert_eq!(
        load.spent.load(Ordering::Relaxed),
        limit,
        "after {kills} kills"
    );
    load.check(&nodes, limit).await;
    println!(
        "{kills} kills, slowest answer {} ms",
        load.slowest_ms.load(Ordering::Relaxed)
    );
}

/// The bar: a new leader within 1.5 s of the old one's death.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_serves_soon_after_the_old_one_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = three(dir.path()).await;
    let operator = Client::operator(&addresses(&nodes), now());
    operator
        .set_limits(1, vec![rule(tenant_account(), 1_000_000)])
        .await
        .unwrap();
    let mut waits = Vec::new();
    for turn in 0..5_u8 {
        let dead = leader(&nodes).await.unwrap();
        let mut others = addresses(&nodes);
        others.remove(dead);
        let edge = Client::edge(&others, turn + 1, now()).await;
        nodes[dead].end(Signal::SIGKILL).await;
        let killed = Instant::now();
        edge.lease(vec![want(tenant_account(), 1, 1)])
            .await
            .unwrap();
        waits.push(killed.elapsed());
        nodes[dead].start();
        agree(&configs(&nodes)).await;
    }
    println!("from kill to the next grant: {waits:?}");
    waits.sort();
    assert!(waits[2] < Duration::from_millis(1_500), "{waits:?}");
}

/// D9: a leader that sleeps and wakes grants nothing on its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_asleep_grants_nothing_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = three(dir.path()).await;
    let operator = Client::operator(&addresses(&nodes), now());
    let limit = 600;
    operator
        .set_limits(1, vec![rule(tenant_account(), limit)])
        .await
        .unwrap();
    let load = Load::new();
    let edges = load.start(&addresses(&nodes), 4, 6, Duration::from_millis(50));
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if let Some(asleep) = leader(&nodes).await {
            nodes[asleep].signal(Signal::SIGSTOP);
            tokio::time::sleep(Duration::from_secs(4)).await;
            nodes[asleep].signal(Signal::SIGCONT);
        }
    }
    for edge in edges {
        edge.await.unwrap();
    }
    assert_eq!(load.spent.load(Ordering::Relaxed), limit);
    load.check(&nodes, limit).await;
}

/// Each node in turn is restarted in an orderly way: nobody who had budget is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_fails_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = three(dir.path()).await;
    let operator = Client::operator(&addresses(&nodes), now());
    let limit = 1_000_000;
    operator
        .set_limits(1, vec![rule(tenant_account(), limit)])
        .await
        .unwrap();
    let load = Load::new();
    let edges = load.start(&addresses(&nodes), 4, 3, Duration::from_millis(5));
    for node in &mut nodes {
        node.end(Signal::SIGTERM).await;
        node.start();
        eventually("it is back", || async {
            operate(&node.config)
                .status()
                .await
                .map(|_| ())
                .map_err(|error| error.to_string())
        })
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    load.stop.store(true, Ordering::Relaxed);
    for edge in edges {
        edge.await.unwrap();
    }
    let refused = load
        .history
        .lock()
        .unwrap()
        .iter()
        .filter(|record| matches!(record.operation, Operation::Refused { .. }))
        .count();
    assert_eq!(refused, 0);
    load.check(&nodes, limit).await;
    println!(
        "slowest answer {} ms",
        load.slowest_ms.load(Ordering::Relaxed)
    );
}

/// Network name spaces on a bridge; taken down at the end.
struct Net {
    tag: String,
    subnet: u32,
}

impl Net {
    fn new() -> Self {
        let id = std::process::id();
        let net = Self {
            tag: format!("pc{}", id % 100_000),
            subnet: 64 + id % 64,
        };
        net.ip(&["link", "add", &net.tag, "type", "bridge"]);
        net.ip(&[
            "addr",
            "add",
            &format!("{}/24", net.address(254)),
            "dev",
            &net.tag,
        ]);
        net.ip(&["link", "set", &net.tag, "up"]);
        for node in 1..=3 {
            let (space, outer, inner) = (
                net.space(node),
                format!("{}o{node}", net.tag),
                format!("{}i{node}", net.tag),
            );
            net.ip(&["netns", "add", &space]);
            net.ip(&[
                "link", "add", &outer, "type", "veth", "peer", "name", &inner,
            ]);
            net.ip(&["link", "set", &inner, "netns", &space]);
            net.ip(&["link", "set", &outer, "master", &net.tag, "up"]);
            net.ip(&[
                "-n",
                &space,
                "addr",
                "add",
                &format!("{}/24", net.address(node)),
                "dev",
                &inner,
            ]);
            net.ip(&["-n", &space, "link", "set", &inner, "up"]);
            net.ip(&["-n", &space, "link", "set", "lo", "up"]);
        }
        net
    }

    fn ip(&self, arguments: &[&str]) {
        let done = Command::new("ip").args(arguments).output().unwrap();
        assert!(
            done.status.success(),
            "ip {arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    fn space(&self, node: u64) -> String {
        format!("{}n{node}", self.tag)
    }

    fn address(&self, host: u64) -> String {
        format!("10.213.{}.{host}", self.subnet)
    }

    /// What `from` sends to `to` goes nowhere any more.
    fn cut(&self, from: u64, to: u64) {
        self.ip(&[
            "-n",
            &self.space(from),
            "route",
            "add",
            "blackhole",
            &self.address(to),
        ]);
    }

    fn heal(&self, from: u64, to: u64) {
        self.ip(&[
            "-n",
            &self.space(from),
            "route",
            "del",
            "blackhole",
            &self.address(to),
        ]);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for node in 1..=3 {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.space(node)])
                .status();
        }
        let _ = Command::new("ip").args(["link", "del", &self.tag]).status();
    }
}

async fn apart(net: &Net, dir: &Path) -> Vec<Process> {
    let node = |node: u64| {
        let address = net.address(node);
        let files = certificates(dir, &address);
        let at = |port: u16| SocketAddr::new(address.parse().unwrap(), port);
        let config = CounterConfig {
            listen: at(7_000),
            node_listen: at(7_001),
            node_tls: Some(files),
            ..config(node, dir)
        };
        Process::new(config, Some(net.space(node)))
    };
    let nodes: Vec<_> = (1..=3).map(node).collect();
    join(&configs(&nodes)).await;
    nodes
}

/// D7: the leader is cut off, both ways, one way, and flapping; over TLS. The others go on, it grants nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_grants_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let net = Net::new();
    let nodes = apart(&net, dir.path()).await;
    let operator = Client::operator(&addresses(&nodes), now());
    let limit = 2_500;
    operator
        .set_limits(1, vec![rule(tenant_account(), limit)])
        .await
        .unwrap();
    let load = Load::new();
    let edges = load.start(&addresses(&nodes), 4, 6, Duration::from_millis(50));
    for turn in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let Some(cut_off) = leader(&nodes).await.map(|index| nodes[index].config.node) else {
            continue;
        };
        let others: Vec<u64> = (1..=3).filter(|node| *node != cut_off).collect();
        let (flaps, for_long) = if turn == 2 { (8, 200) } else { (1, 4_000) };
        for _ in 0..flaps {
            for other in &others {
                net.cut(cut_off, *other);
                if turn == 0 {
                    net.cut(*other, cut_off);
                }
            }
            if turn == 0 {
                stale_leader_is_silent(&nodes, cut_off).await;
            }
            tokio::time::sleep(Duration::from_millis(for_long)).await;
            for other in &others {
                net.heal(cut_off, *other);
                if turn == 0 {
                    net.heal(*other, cut_off);
                }
            }
            tokio::time::sleep(Duration::from_millis(for_long.min(500))).await;
        }
    }
    for edge in edges {
        edge.await.unwrap();
    }
    assert_eq!(load.spent.load(Ordering::Relaxed), limit);
    load.check(&nodes, limit).await;
}

/// Asked directly, the minority neither grants nor shows old figures.
async fn stale_leader_is_silent(nodes: &[Process], cut_off: u64) {
    let node = nodes
        .iter()
        .find(|node| node.config.node == cut_off)
        .unwrap();
    let alone = Client::new(
        &[node.config.listen],
        edge_metadata(
            &certificate(9, &[TENANT], now()),
            &proof(9, "counter", now()),
        ),
    );
    let opened = tokio::time::timeout(Duration::from_secs(6), alone.open()).await;
    assert!(!matches!(opened, Ok(Ok(_))), "the minority committed");
    let reader = Client::operator(&[node.config.listen], now());
    let read = tokio::time::timeout(Duration::from_secs(2), reader.usage()).await;
    assert!(read.is_err(), "the minority answered a read");
}
