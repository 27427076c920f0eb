//! Nodes are cut off from each other.

use crate::load::Load;
use crate::net::Net;
use crate::process::{Process, addresses, configs, leader};
use crate::support::*;
use proctor_counter::CounterConfig;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

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
