//! Three nodes in one process: membership, leaders, clocks, disks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use proctor_counter::{CounterConfig, Handle, start};
use proctor_model::Timestamp;
use proctor_proto::v1;
use proctor_runtime::Clock;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::*;
use tokio_util::sync::CancellationToken;

struct Running {
    config: CounterConfig,
    stop: CancellationToken,
    handle: Handle,
}

async fn run(config: CounterConfig, clock: Clock) -> Running {
    let stop = CancellationToken::new();
    let handle = start(config.clone(), clock, stop.clone()).await.unwrap();
    Running {
        config,
        stop,
        handle,
    }
}

impl Running {
    async fn end(self) -> CounterConfig {
        self.stop.cancel();
        self.handle.stopped().await.unwrap();
        self.config
    }
}

async fn three(dir: &Path, clocks: [Clock; 3]) -> Vec<Running> {
    let mut running = Vec::new();
    for (node, clock) in (1..).zip(clocks) {
        running.push(run(config(node, dir), clock).await);
    }
    join(&configs(&running)).await;
    running
}

fn configs(running: &[Running]) -> Vec<CounterConfig> {
    running.iter().map(|node| node.config.clone()).collect()
}

fn addresses(running: &[Running]) -> Vec<std::net::SocketAddr> {
    running.iter().map(|node| node.config.listen).collect()
}

async fn leader_of(config: &CounterConfig) -> u64 {
    eventually("a leader", || async {
        match operate(config).status().await {
            Ok(status) if status.leader != 0 => Ok(status.leader),
            Ok(_) => Err("none".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_change_nodes_come_and_go_and_all_hold_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = three(
        dir.path(),
        [Clock::system(), Clock::system(), Clock::system()],
    )
    .await;
    let all = addresses(&nodes);
    let operator = Client::operator(&all, now());
    operator
        .set_limits(1, vec![rule(tenant_account(), 1_000)])
        .await
        .unwrap();
    // Each node serves, whoever leads.
    for (edge, address) in (1..).zip(&all) {
        let edge = Client::edge(&[*address], edge, now()).await;
        edge.lease(vec![want(tenant_account(), 10, 10)])
            .await
            .unwrap();
    }
    agree(&configs(&nodes)).await;

    // The leader leaves in an orderly way; it comes back and has missed nothing.
    let leader = leader_of(&nodes[0].config).await;
    let index = nodes
        .iter()
        .position(|node| node.config.node == leader)
        .unwrap();
    let gone = nodes.remove(index).end().await;
    let edge = Client::edge(&addresses(&nodes), 4, now()).await;
    edge.lease(vec![want(tenant_account(), 10, 10)])
        .await
        .unwrap();
    nodes.push(run(gone, Clock::system()).await);
    agree(&configs(&nodes)).await;

    // A fourth node learns all of it; then one is taken out.
    nodes.push(run(config(4, dir.path()), Clock::system()).await);
    let fourth = nodes[3].config.clone();
    join(&[nodes[0].config.clone(), fourth.clone()]).await;
    agree(&configs(&nodes)).await;
    let status = operate(&fourth).status().await.unwrap();
    assert_eq!(
        status.members.iter().filter(|member| member.voter).count(),
        4
    );
    let first = nodes.remove(0);
    let status = eventually("a node leaves", || async {
        operate(&fourth).remove_node(first.config.node).await
    })
    .await;
    assert_eq!(
        status.members.iter().filter(|member| member.voter).count(),
        3
    );
    first.end().await;
    edge.lease(vec![want(tenant_account(), 10, 10)])
        .await
        .unwrap();
    assert_eq!(
        Client::operator(&addresses(&nodes), now()).usage().await[0].leased,
        50
    );
    // Somebody else's number on this data is an error.
    let mut last = nodes.pop().unwrap().end().await;
    last.node = 9;
    assert!(
        start(last, Clock::system(), CancellationToken::new())
            .await
            .is_err()
    );
    for node in nodes {
        node.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_wrong_clock_begins_a_window_early_and_no_one_sets_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let noon: Timestamp = "2026-11-23T12:00:30Z".parse().unwrap();
    let (clocks, hands): (Vec<_>, Vec<_>) = (0..3).map(|_| Clock::at(noon)).unzip();
    let nodes = three(dir.path(), clocks.try_into().unwrap()).await;
    let minute = account(v1::Scope::Tenant, "", calendar(v1::Calendar::Minute));
    let operator = Client::operator(&addresses(&nodes), noon);
    operator
        .set_limits(1, vec![rule(minute.clone(), 4)])
        .await
        .unwrap();
    let edge = Client::edge(&addresses(&nodes), 1, noon).await;
    let take = || edge.lease(vec![want(minute.clone(), 4, 4)]);
    let granted = take().await.unwrap();
    // Not beyond the minute.
    assert!((1..=30_000).contains(&granted.ttl_ms));
    let spent = vec![v1::Spend {
        spent: 4,
        returned: 0,
        overrun: 0,
    }];
    edge.settle(granted.lease, spent.clone()).await;
    assert!(take().await.is_err());

    // Each node's clock in turn, the leader's too, an hour and ten years ahead and behind.
    for hand in &hands {
        for secs in [3_600, -3_600, 315_360_000, -315_360_000] {
            hand.set_wall(noon.plus_secs(secs));
            // So that the others have heard of it.
            tokio::time::sleep(Duration::from_millis(150)).await;
            let refused = take().await.unwrap_err();
            assert_eq!(refused.why(), v1::refused::Why::Exhausted, "{secs}");
            assert!(refused.retry_after_ms <= 30_000);
        }
        hand.set_wall(noon);
    }
    // Time passes on two of three: the next minute begins.
    for hand in &hands[..2] {
        hand.advance(Duration::from_secs(31));
    }
    let granted = eventually("the next minute", || async {
        take().await.map_err(|refused| format!("{refused:?}"))
    })
    .await;
    edge.settle(granted.lease, spent).await;
    // All clocks are set back: the minute does not begin again.
    for hand in &hands {
        hand.set_wall(noon.plus_secs(-86_400));
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(take().await.unwrap_err().why(), v1::refused::Why::Exhausted);
    agree(&configs(&nodes)).await;
    for node in nodes {
        node.end().await;
    }
}

/// Of five voters two are no quorum, whatever they have in their logs: nothing is committed, nothing answered.
#[tokio::test(flavor = "multi_thread")]
async fn two_of_five_commit_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = Vec::new();
    for node in 1..=5 {
        nodes.push(run(config(node, dir.path()), Clock::system()).await);
    }
    join(&configs(&nodes)).await;
    let operator = Client::operator(&addresses(&nodes), now());
    operator
        .set_limits(1, vec![rule(tenant_account(), 1_000)])
        .await
        .unwrap();
    agree(&configs(&nodes)).await;
    // The leader and one follower stay: the leader can still write, and the follower still acknowledges.
    let leader = leader_of(&nodes[0].config).await;
    nodes.sort_by_key(|node| node.config.node != leader);
    let mut gone = Vec::new();
    while nodes.len() > 2 {
        gone.push(nodes.pop().unwrap().end().await);
    }
    // Only now: while there were three, the leader may have swept once more, which is the time in the book.
    let before = agree(&configs(&nodes)).await;
    let edge = Client::new(
        &addresses(&nodes),
        edge_metadata(
            &certificate(1, &[TENANT], now()),
            &proof(1, "counter", now()),
        ),
    );
    let opened = tokio::time::timeout(Duration::from_secs(7), edge.open()).await;
    assert!(!matches!(opened, Ok(Ok(_))), "two of five committed");
    for node in &nodes {
        let status = operate(&node.config).status().await.unwrap();
        assert_eq!(status.state_digest, before);
    }
    // The third is enough.
    nodes.push(run(gone.pop().unwrap(), Clock::system()).await);
    let edge = Client::edge(&addresses(&nodes), 2, now()).await;
    edge.lease(vec![want(tenant_account(), 7, 7)])
        .await
        .unwrap();
    for config in gone {
        nodes.push(run(config, Clock::system()).await);
    }
    agree(&configs(&nodes)).await;
    for node in nodes {
        node.end().await;
    }
}

/// Whoever missed more than the logs still have gets the snapshot, and goes on from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_missed_too_much_installs_the_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let small = |node| CounterConfig {
        snapshot_entries: 20,
        ..config(node, dir.path())
    };
    let mut nodes = vec![
        run(small(1), Clock::system()).await,
        run(small(2), Clock::system()).await,
        run(small(3), Clock::system()).await,
    ];
    join(&configs(&nodes)).await;
    let operator = Client::operator(&addresses(&nodes), now());
    operator
        .set_limits(1, vec![rule(tenant_account(), 1_000)])
        .await
        .unwrap();
    let late = nodes.pop().unwrap().end().await;
    let edge = Client::edge(&addresses(&nodes), 1, now()).await;
    for _ in 0..120 {
        edge.lease(vec![want(tenant_account(), 1, 1)])
            .await
            .unwrap();
    }
    let status = operate(&nodes[0].config).status().await.unwrap();
    assert!(status.snapshot > 40, "{}", status.snapshot);
    // One comes back, one comes anew.
    nodes.push(run(late, Clock::system()).await);
    nodes.push(run(small(4), Clock::system()).await);
    join(&[nodes[0].config.clone(), nodes[3].config.clone()]).await;
    agree(&configs(&nodes)).await;
    for index in [2, 3] {
        let status = operate(&nodes[index].config).status().await.unwrap();
        assert!(status.snapshot > 40, "node {} had no snapshot", index + 1);
    }
    // From what is on their disks they hold the same.
    let all = configs(&nodes);
    for node in nodes {
        node.end().await;
    }
    let mut nodes = Vec::new();
    for config in all {
        nodes.push(run(config, Clock::system()).await);
    }
    edge.lease(vec![want(tenant_account(), 5, 5)])
        .await
        .unwrap();
    agree(&configs(&nodes)).await;
    assert_eq!(operator.usage().await[0].leased, 125);
    for node in nodes {
        node.end().await;
    }
}

/// A small file system of its own, unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf, size: &str) -> Self {
        std::fs::create_dir_all(&at).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&at)
            .status();
        assert!(mounted.unwrap().success());
        Self(at)
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        let grown = Command::new("mount")
            .args(["-o", &options])
            .arg(&self.0)
            .status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the node that had to stop may still have its file open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_the_node_and_nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(dir.path().join("disk"), "4m");
    let node = run(config(1, &disk.0), Clock::system()).await;
    let address = [node.config.listen];
    let operator = Client::operator(&address, now());
    operator
        .set_limits(1, vec![rule(tenant_account(), 1_000_000)])
        .await
        .unwrap();
    let edge = Client::edge(&address, 1, now()).await;
    // Long names fill the disk sooner.
    let wants = || {
        let expires_at = "2100-01-01T00:00:00Z".to_owned();
        let ceiling = v1::Ceiling {
            limit: 5,
            expires_at,
        };
        let long = |_| {
            let id = format!("{}-{}", uuid::Uuid::now_v7(), "x".repeat(200));
            let token = account(v1::Scope::Token, &id, lifetime());
            v1::Want {
                ceiling: Some(ceiling.clone()),
                ..want(token, 1, 1)
            }
        };
        let mut wants = vec![want(tenant_account(), 1, 1)];
        wants.extend((0..15).map(long));
        wants
    };
    let counted = std::sync::atomic::AtomicU64::new(0);
    let work = async {
        while let Ok(v1::LeaseResponse {
            outcome: Some(v1::lease_response::Outcome::Granted(_)),
            ..
        }) = edge.send_lease(edge.lease_request(wants())).await
        {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        // Nobody answers any more.
        std::future::pending::<()>().await;
    };
    let restart = node.config.clone();
    // Not a lease that takes long, but the node says that it is over.
    let ended = async {
        tokio::select! {
            ended = node.handle.stopped() => ended,
            () = work => Ok(()),
        }
    };
    let stopped = tokio::time::timeout(Duration::from_secs(120), Box::pin(ended))
        .await
        .unwrap();
    assert!(stopped.is_err(), "the node has to say that it had to stop");
    let acknowledged = counted.load(std::sync::atomic::Ordering::Relaxed);
    assert!(acknowledged > 10, "{acknowledged}");

    // With room again it starts again, from what was whole.
    disk.grow("64m");
    let node = run(restart, Clock::system()).await;
    let leased = operator.usage().await[0].leased;
    assert!(
        leased == acknowledged || leased == acknowledged + 1,
        "{leased} of {acknowledged}"
    );
    edge.lease(vec![want(tenant_account(), 1, 1)])
        .await
        .unwrap();
    node.end().await;
}

/// Whatever is altered in the file: the node does not start, or it holds what it held.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_never_becomes_another_state() {
    let dir = tempfile::tempdir().unwrap();
    let node = run(config(1, dir.path()), Clock::system()).await;
    let address = [node.config.listen];
    let operator = Client::operator(&address, now());
    operator
        .set_limits(1, vec![rule(tenant_account(), 1_000)])
        .await
        .unwrap();
    let edge = Client::edge(&address, 1, now()).await;
    for _ in 0..40 {
        edge.lease(vec![want(tenant_account(), 1, 1)])
            .await
            .unwrap();
    }
    let config = node.end().await;
    let file = config.data_dir.join("counter.redb");
    let whole = std::fs::read(&file).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let (mut refused, mut same) = (0, 0);
    for turn in 0..16_usize {
        std::fs::write(&file, &whole).unwrap();
        let mut damaged = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&file)
            .unwrap();
        if turn < 3 {
            // A torn last write.
            damaged
                .set_len(whole.len() as u64 - 1 - (turn as u64) * 5_000)
                .unwrap();
        } else {
            let at = (used / 13 * (turn - 3)).min(used) as u64;
            let mut block = [0; 16];
            damaged.seek(SeekFrom::Start(at)).unwrap();
            damaged.read_exact(&mut block).unwrap();
            damaged.seek(SeekFrom::Start(at)).unwrap();
            damaged.write_all(&block.map(|byte| byte ^ 0x55)).unwrap();
        }
        drop(damaged);
        let stop = CancellationToken::new();
        let clock = Clock::system();
        let started = tokio::time::timeout(
            Duration::from_secs(10),
            start(config.clone(), clock, stop.clone()),
        )
        .await;
        let Ok(Ok(handle)) = started else {
            refused += 1;
            continue;
        };
        let asked = tokio::time::timeout(Duration::from_secs(8), operator.usage()).await;
        if let Ok(usage) = asked {
            assert_eq!(
                usage.iter().map(|info| info.leased).collect::<Vec<_>>(),
                [40],
                "turn {turn}"
            );
            same += 1;
        } else {
            refused += 1;
        }
        stop.cancel();
        let _ = handle.stopped().await;
    }
    assert!(
        refused > 0 && same > 0,
        "{refused} refused, {same} as before"
    );
}
