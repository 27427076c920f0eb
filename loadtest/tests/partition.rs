//! Drills D7 and D8 with real edges: a node of the counter and the edge beside it are cut off from the other nodes; packets get lost.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it saw"
)]

use proctor_devstack::skipped;
use proctor_loadtest::budget::authorized;
use proctor_loadtest::callers::{self, Told};
use proctor_loadtest::fleet::{Fleet, Tls};
use proctor_loadtest::load;
use proctor_loadtest::netns::{Net, may_divide, relay};
use proctor_loadtest::upstream::Upstream;
use reqwest::Method;
use serde_json::json;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const LIMIT: u64 = 1_000_000;
/// An edge that is cut off lets each call wait two seconds before it refuses it, and what three of them did in the meantime has to
/// get into one chain: on a slow machine neither is done in half a minute.
const WAIT: Duration = Duration::from_secs(120);

async fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < WAIT, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Certificates of one authority; the files are in `dir`.
fn certificates(dir: &Path) -> impl Fn(IpAddr) -> Tls {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = dir.join("ca.pem");
    std::fs::write(&ca, params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(params, key);
    let dir = dir.to_owned();
    move |at| {
        let own = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![at.to_string()]).unwrap();
        let (cert, key) = (dir.join(format!("{at}.pem")), dir.join(format!("{at}.key")));
        std::fs::write(&cert, params.signed_by(&own, &issuer).unwrap().pem()).unwrap();
        std::fs::write(&key, own.serialize_pem()).unwrap();
        let ca = ca.clone();
        Tls { cert, key, ca }
    }
}

/// Three name spaces, each with a node of the counter, an edge and its clients at work.
struct Divided {
    net: Net,
    fleet: Fleet,
    told: Vec<Arc<Told>>,
    stop: CancellationToken,
    clients: Vec<tokio::task::JoinHandle<()>>,
    _upstream: Upstream,
    _dir: tempfile::TempDir,
}

impl Divided {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let net = Net::new(3).unwrap();
        let fleet = Fleet::apart(&net, certificates(dir.path())).await.unwrap();
        let mut upstream = Upstream::start(Duration::from_millis(1)).await.unwrap();
        let port = upstream.url.rsplit(':').next().unwrap();
        let port = port.split('/').next().unwrap().parse().unwrap();
        let relayed = relay(net.here(), port).await.unwrap().to_string();
        upstream.url = upstream.url.replace(&format!("127.0.0.1:{port}"), &relayed);
        let rule =
            json!({ "scope": "tenant", "meter": "calls", "window": "lifetime", "limit": LIMIT });
        let limits = json!({ "rules": [rule] });
        let put = fleet
            .cluster
            .acme(Method::PUT, "budgets/limits", Some(limits));
        put.await.unwrap();
        // After the limit: an edge that knows the tools knows it.
        let token = load::prepare(&fleet.cluster, &upstream).await.unwrap();
        let stop = CancellationToken::new();
        let told: Vec<Arc<Told>> = fleet.edges.iter().map(|_| Arc::default()).collect();
        let mut clients = Vec::new();
        for (edge, told) in fleet.edges.iter().zip(&told) {
            clients.extend(callers::start(3, &edge.url, &token, told, &stop).unwrap());
        }
        until("all edges serve", || {
            told.iter().all(|told| told.done() > 50)
        })
        .await;
        Self {
            net,
            fleet,
            told,
            stop,
            clients,
            _upstream: upstream,
            _dir: dir,
        }
    }

    /// What nobody uses any more goes back, and then the books are the same everywhere, and the chain says the same.
    async fn end(self) {
        self.stop.cancel();
        for client in self.clients {
            client.await.unwrap();
        }
        let started = Instant::now();
        loop {
            let account = self.fleet.usage("tenant").await.unwrap();
            let (spent, leased) = (&account[0]["spent"], &account[0]["leased"]);
            let chain = authorized(&self.fleet).await.unwrap();
            if *leased == 0 && *spent == chain {
                break;
            }
            assert!(
                started.elapsed() < WAIT,
                "{spent} spent, {leased} leased, {chain} in the chain"
            );
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        self.fleet.agree().await.unwrap();
        self.fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_cut_off_spends_only_what_it_holds() {
    if !may_divide() {
        skipped("not root: no name spaces");
        return;
    }
    let divided = Divided::start().await;
    let Divided {
        net, fleet, told, ..
    } = &divided;
    let leader = fleet.leader().await.unwrap();
    let cut_off = u8::try_from(leader).unwrap() + 1;
    let others: Vec<u8> = (1..=3).filter(|space| *space != cut_off).collect();
    for other in &others {
        net.cut(cut_off, *other).unwrap();
    }
    let before: Vec<u64> = told.iter().map(|told| told.done()).collect();
    until("the minority's edge refuses", || {
        told[leader].unavailable() > 20
    })
    .await;
    let held = told[leader].done();
    let grows = |index: usize| told[index].done() > before[index] + 200;
    until("the majority goes on", || {
        (0..3).filter(|index| *index != leader).all(grows)
    })
    .await;
    assert_eq!(told[leader].done(), held, "it spent more than it held");
    println!(
        "the edge that was cut off spent {} more",
        held - before[leader]
    );
    for other in &others {
        net.heal(cut_off, *other).unwrap();
    }
    until("it serves again", || told[leader].done() > held + 50).await;
    divided.end().await;
}

/// D8: what gets lost on the way is sent again; nobody is refused for it.
#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_refuse_nobody_who_has_budget() {
    if !may_divide() {
        skipped("not root: no name spaces");
        return;
    }
    let divided = Divided::start().await;
    for percent in [1, 5, 20] {
        let before: Vec<u64> = divided.told.iter().map(|told| told.done()).collect();
        for space in 1..=3 {
            divided.net.lose(space, percent).unwrap();
        }
        let told = &divided.told;
        let went_on = || {
            told.iter()
                .zip(&before)
                .all(|(now, then)| now.done() > then + 200)
        };
        until("all edges go on", went_on).await;
        let done = divided.told.iter().map(|told| told.done());
        let refused = divided.told.iter().map(|told| told.unavailable());
        let (done, refused): (Vec<_>, Vec<_>) = (done.collect(), refused.collect());
        println!("{percent} % lost: {before:?} calls, then {done:?}; refused {refused:?}");
        if percent <= 5 {
            assert!(refused.iter().all(|refused| *refused == 0), "{refused:?}");
        }
    }
    for space in 1..=3 {
        divided.net.lose(space, 0).unwrap();
    }
    divided.end().await;
}
