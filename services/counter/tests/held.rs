//! What an edge hears of what it holds: enough to settle leases whose answer it never got.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use proctor_counter::limits::LIMITS_WAIT;
use proctor_counter::start;
use proctor_model::principal::Role;
use proctor_proto::v1;
use proctor_runtime::Clock;
use std::net::SocketAddr;
use std::time::Instant;
use support::*;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use v1::settled::State;

struct Node {
    _dir: tempfile::TempDir,
    stop: CancellationToken,
    handle: proctor_counter::Handle,
    addresses: Vec<SocketAddr>,
    operator: Client,
}

impl Node {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let config = config(1, dir.path());
        let handle = start(config, Clock::system(), stop.clone()).await.unwrap();
        let addresses = vec![handle.grpc_addr];
        Self {
            _dir: dir,
            stop,
            operator: Client::operator(&addresses, now()),
            handle,
            addresses,
        }
    }

    async fn leased(&self) -> u64 {
        self.operator.usage().await[0].leased
    }

    async fn stop(self) {
        self.stop.cancel();
        self.handle.stopped().await.unwrap();
    }
}

fn spend(spent: u64, returned: u64, overrun: u64) -> Vec<v1::Spend> {
    vec![v1::Spend {
        spent,
        returned,
        overrun,
    }]
}

fn ids(held: &v1::HeldResponse) -> Vec<u64> {
    held.leases.iter().map(|held| held.lease).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_answer_was_lost_is_named_and_settled_by_its_edge_alone() {
    let node = Node::start().await;
    let rules = vec![rule(tenant_account(), 1_000)];
    node.operator.set_limits(1, rules).await.unwrap();
    // The certificate is the same for both processes: an older one would be refused for that.
    let at = now();
    let edge = Client::edge(&node.addresses, 1, at).await;
    let other = Client::edge(&node.addresses, 2, at).await;
    let lease = || edge.lease(vec![want(tenant_account(), 40, 1)]);
    let known = lease().await.unwrap().lease;

    // A request whose answer is lost, and which is sent again when the counter has forgotten that it answered.
    let request = edge.lease_request(vec![want(tenant_account(), 40, 1)]);
    edge.send_lease(request.clone()).await.unwrap();
    for _ in 0..proctor_counter::limits::EDGE_ANSWERS_MAX {
        assert_eq!(edge.settle(9_999, spend(0, 1, 0)).await, State::Gone);
    }
    let again = edge.send_lease(request).await.unwrap().outcome.unwrap();
    let v1::lease_response::Outcome::Granted(again) = again else {
        panic!("{again:?}")
    };
    assert_eq!(node.leased().await, 120, "it is leased twice");

    let held = edge.held(0).await.unwrap();
    let lost = ids(&held)[1];
    assert_eq!(
        (ids(&held), held.next, held.fenced),
        (vec![known, lost, again.lease], 0, false)
    );
    assert!(held.leases.iter().all(|held| held.epoch == edge.epoch()));
    assert_eq!(ids(&edge.held(lost).await.unwrap()), [again.lease]);
    assert_eq!(ids(&other.held(0).await.unwrap()), [0_u64; 0]);

    // Settled as unused, twice: it comes back once.
    assert_eq!(other.settle(lost, spend(0, 40, 0)).await, State::Gone);
    assert_eq!(edge.settle(lost, spend(0, 40, 0)).await, State::Closed);
    assert_eq!(edge.settle(lost, spend(0, 40, 0)).await, State::Gone);
    assert_eq!(node.leased().await, 80);
    assert_eq!(ids(&edge.held(0).await.unwrap()), [known, again.lease]);

    // What was told of a lease is in it: for an edge that starts again.
    assert_eq!(edge.settle(known, spend(30, 5, 7)).await, State::Open);
    let account = edge.held(0).await.unwrap().leases[0].accounts[0].clone();
    assert_eq!(
        (account.spent, account.returned, account.overrun),
        (30, 5, 7)
    );

    // Another process of the edge: the old one hears nothing, and settles nothing.
    let successor = Client::edge(&node.addresses, 1, at).await;
    let held = edge.held(0).await.unwrap();
    assert!(held.fenced && held.leases.is_empty());
    assert_eq!(
        edge.settle(again.lease, spend(0, 40, 0)).await,
        State::Fenced
    );
    assert_eq!(ids(&successor.held(0).await.unwrap()), [known, again.lease]);
    assert_eq!(node.leased().await, 45);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_edges_hear_what_they_hold() {
    let node = Node::start().await;
    let operator = Client::new(&node.addresses, principal(None, Role::PlatformAdmin, now()));
    let refused = operator.held(0).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    // One that never began an epoch has none.
    let metadata = edge_metadata(
        &certificate(1, &[TENANT], now()),
        &proof(1, "counter", now()),
    );
    let unopened = Client::new(&node.addresses, metadata);
    assert!(unopened.held(0).await.unwrap().fenced);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_waits_for_rules_that_are_on_their_way() {
    let node = Node::start().await;
    let edge = Client::edge(&node.addresses, 1, now()).await;
    for version in 1.. {
        let request = v1::LeaseRequest {
            limits_version: version,
            ..edge.lease_request(vec![want(tenant_account(), 40, 1)])
        };
        let rules = vec![rule(tenant_account(), 1_000)];
        let began = Instant::now();
        let set = async {
            let set = node.operator.set_limits(version, rules).await;
            set.unwrap();
            began.elapsed()
        };
        let (leased, took) = tokio::join!(edge.send_lease(request), set);
        let outcome = leased.unwrap().outcome.unwrap();
        if let v1::lease_response::Outcome::Granted(granted) = &outcome {
            assert_eq!(granted.grants[0].units, 40);
            break;
        }
        // So long no lease waits: the next rules may be there sooner.
        assert!(took >= LIMITS_WAIT && version < 5, "{took:?}: {outcome:?}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_one_scope_are_read_page_by_page() {
    let node = Node::start().await;
    let each = account(v1::Scope::Agent, "*", lifetime());
    let session = account(v1::Scope::Session, "*", lifetime());
    let rules = [tenant_account(), each, session].map(|account| rule(account, 100));
    node.operator.set_limits(1, rules.to_vec()).await.unwrap();
    let edge = Client::edge(&node.addresses, 1, now()).await;
    let agents: Vec<_> = (0..5).map(|number| format!("bot-{number}")).collect();
    for agent in &agents {
        let wants = [
            tenant_account(),
            account(v1::Scope::Agent, agent, lifetime()),
            account(v1::Scope::Session, agent, lifetime()),
        ];
        let wants = wants.map(|account| want(account, 1, 1)).to_vec();
        edge.lease(wants).await.unwrap();
    }
    for (scope, expect) in [
        (v1::Scope::Tenant, vec![String::new()]),
        (v1::Scope::Agent, agents.clone()),
        (v1::Scope::Session, agents.clone()),
        (v1::Scope::Token, Vec::new()),
    ] {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let request = v1::UsageRequest {
                tenant: TENANT.to_owned(),
                scope: scope.into(),
                after,
                limit: 2,
                ..v1::UsageRequest::default()
            };
            let page = node.operator.usage_page(request).await;
            let accounts = page.accounts.into_iter();
            found.extend(accounts.map(|info| info.account.unwrap().id));
            after = page.next;
            if after.is_empty() {
                break;
            }
        }
        assert_eq!(found, expect, "{scope:?}");
    }
    node.stop().await;
}
