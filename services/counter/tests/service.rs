//! One node, from outside: what it grants, what it refuses, and what it does not even look at.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use proctor_counter::start;
use proctor_model::principal::Role;
use proctor_proto::v1;
use proctor_runtime::Clock;
use support::*;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use v1::refused::Why;
use v1::settled::State;

struct Node {
    _dir: tempfile::TempDir,
    stop: CancellationToken,
    handle: Option<proctor_counter::Handle>,
    addresses: Vec<std::net::SocketAddr>,
    operator: Client,
}

impl Node {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let handle = start(config(1, dir.path()), Clock::system(), stop.clone())
            .await
            .unwrap();
        let addresses = vec![handle.grpc_addr];
        let operator = Client::operator(&addresses, now());
        Self {
            _dir: dir,
            stop,
            handle: Some(handle),
            addresses,
            operator,
        }
    }

    async fn stop(mut self) {
        self.stop.cancel();
        self.handle.take().unwrap().stopped().await.unwrap();
    }
}

fn spend(spent: u64, returned: u64) -> Vec<v1::Spend> {
    vec![v1::Spend {
        spent,
        returned,
        overrun: 0,
    }]
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_settlements_adjustments_and_write_offs_add_up() {
    let node = Node::start().await;
    let agent = account(v1::Scope::Agent, "bot", lifetime());
    let each = account(v1::Scope::Agent, "*", lifetime());
    let limits = vec![rule(tenant_account(), 100), rule(each, 10)];
    assert!(
        node.operator
            .set_limits(3, limits.clone())
            .await
            .unwrap()
            .taken
    );
    let again = node.operator.set_limits(2, Vec::new()).await.unwrap();
    assert_eq!((again.version, again.taken), (3, false));

    let edge = Client::edge(&node.addresses, 1, now()).await;
    let both = |units| {
        vec![
            want(tenant_account(), units, 1),
            want(agent.clone(), units, 1),
        ]
    };
    let granted = edge.lease(both(8)).await.unwrap();
    // Half of what is left of ten.
    assert_eq!(
        granted
            .grants
            .iter()
            .map(|grant| (grant.units, grant.left))
            .collect::<Vec<_>>(),
        [(8, 92), (5, 5)]
    );
    // All or nothing: the agent's account refuses, the tenant's is as before.
    let refused = edge
        .lease(vec![
            want(tenant_account(), 8, 1),
            want(agent.clone(), 8, 6),
        ])
        .await
        .unwrap_err();
    assert_eq!(
        (refused.why(), refused.want, refused.left, refused.limit),
        (Why::HeldElsewhere, 1, 5, 10)
    );
    assert!(refused.retry_after_ms > 0);
    assert_eq!(node.operator.usage().await[0].leased, 8);

    let both_spend = |spent, returned| {
        let spend = |returned| v1::Spend {
            spent,
            returned,
            overrun: 0,
        };
        vec![spend(returned), spend(returned.min(5 - spent))]
    };
    assert_eq!(
        edge.settle(granted.lease, both_spend(2, 0)).await,
        State::Open
    );
    assert_eq!(
        edge.settle(granted.lease, both_spend(1, 0)).await,
        State::Open
    );
    assert_eq!(
        edge.settle(granted.lease, both_spend(2, 9)).await,
        State::Invalid
    );
    assert_eq!(
        edge.settle(granted.lease, spend(1, 1)).await,
        State::Invalid
    );
    assert_eq!(
        edge.settle(granted.lease, both_spend(2, 6)).await,
        State::Closed
    );
    assert_eq!(
        edge.settle(granted.lease, both_spend(2, 6)).await,
        State::Gone
    );
    let usage = node.operator.usage().await;
    assert_eq!(
        usage
            .iter()
            .map(|info| (info.spent, info.leased))
            .collect::<Vec<_>>(),
        [(2, 0), (2, 0)]
    );

    // An overrun counts even past the limit, and a limit below what is spent refuses.
    let granted = edge.lease(vec![want(agent.clone(), 1, 1)]).await.unwrap();
    let over = vec![v1::Spend {
        spent: 1,
        returned: 0,
        overrun: 20,
    }];
    assert_eq!(edge.settle(granted.lease, over).await, State::Closed);
    let refused = edge
        .lease(vec![want(agent.clone(), 1, 1)])
        .await
        .unwrap_err();
    assert_eq!(
        (refused.why(), refused.retry_after_ms, refused.left),
        (Why::Exhausted, 0, 0)
    );
    let credited = node
        .operator
        .adjust(agent.clone(), -20, "a mistake")
        .await
        .unwrap();
    assert_eq!((credited.spent, credited.adjusted_total), (3, -20));
    assert!(
        node.operator
            .set_limits(4, vec![rule(tenant_account(), 1)])
            .await
            .unwrap()
            .taken
    );
    let refused = edge
        .lease(vec![want(tenant_account(), 1, 1)])
        .await
        .unwrap_err();
    assert_eq!(refused.why(), Why::Exhausted);
    // The rule for agents is gone: nothing limits, nothing is counted.
    let free = edge.lease(vec![want(agent.clone(), 7, 1)]).await.unwrap();
    assert_eq!(
        (free.lease, free.grants[0].units, free.grants[0].unlimited),
        (0, 7, true)
    );

    // An edge that does not come back.
    node.operator.set_limits(5, limits).await.unwrap();
    let lost = edge
        .lease(vec![want(tenant_account(), 4, 4)])
        .await
        .unwrap();
    let write_off = v1::WriteOffRequest {
        request_id: request_id(),
        tenant: TENANT.to_owned(),
        lease: lost.lease,
        spent: vec![3],
        reason: "burnt down".to_owned(),
    };
    let off = |message| {
        node.operator
            .call(message, |mut client, request| async move {
                client.write_off(request).await
            })
    };
    assert_eq!(
        off(write_off.clone())
            .await
            .unwrap()
            .lease
            .unwrap()
            .accounts[0]
            .granted,
        4
    );
    // The same request again is answered from memory; another finds nothing.
    assert_eq!(
        off(write_off.clone()).await.unwrap().lease.unwrap().lease,
        lost.lease
    );
    let other = v1::WriteOffRequest {
        request_id: request_id(),
        ..write_off
    };
    assert_eq!(off(other).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(edge.settle(lost.lease, spend(4, 0)).await, State::Gone);
    let usage = node.operator.usage().await;
    assert_eq!((usage[0].spent, usage[0].leased), (5, 0));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_of_an_edge_fences_the_old_one_and_settles_for_it() {
    let node = Node::start().await;
    node.operator
        .set_limits(1, vec![rule(tenant_account(), 100)])
        .await
        .unwrap();
    let at = now();
    let old = Client::edge(&node.addresses, 1, at).await;
    let held = old
        .lease(vec![want(tenant_account(), 10, 1)])
        .await
        .unwrap();
    let new = Client::edge(&node.addresses, 1, at).await;
    assert_eq!(new.epoch(), old.epoch() + 1);
    assert_eq!(old.settle(held.lease, spend(0, 10)).await, State::Fenced);
    assert_eq!(
        old.lease(vec![want(tenant_account(), 1, 1)])
            .await
            .unwrap_err()
            .why(),
        Why::Fenced
    );
    let opened = new.open().await.unwrap();
    assert_eq!(
        (opened.held.len(), opened.held[0].lease, opened.more),
        (1, held.lease, false)
    );
    assert_eq!(new.settle(held.lease, spend(6, 4)).await, State::Closed);
    // Another edge can't settle it, nor see that it was.
    let other = Client::edge(&node.addresses, 2, now()).await;
    let held = new
        .lease(vec![want(tenant_account(), 10, 1)])
        .await
        .unwrap();
    assert_eq!(other.settle(held.lease, spend(0, 10)).await, State::Gone);
    assert_eq!(node.operator.usage().await[0].leased, 10);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_done_once() {
    let node = Node::start().await;
    node.operator
        .set_limits(1, vec![rule(tenant_account(), 100)])
        .await
        .unwrap();
    let edge = Client::edge(&node.addresses, 1, now()).await;
    let request = edge.lease_request(vec![want(tenant_account(), 10, 1)]);
    let first = edge.send_lease(request.clone()).await.unwrap();
    assert_eq!(edge.send_lease(request.clone()).await.unwrap(), first);
    assert_eq!(node.operator.usage().await[0].leased, 10);
    let changed = v1::LeaseRequest {
        ttl_ms: 1_000,
        ..request
    };
    assert_eq!(
        edge.send_lease(changed).await.unwrap_err().code(),
        Code::AlreadyExists
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_and_changes_nothing() {
    let node = Node::start().await;
    node.operator
        .set_limits(1, vec![rule(tenant_account(), 100)])
        .await
        .unwrap();
    let edge = Client::edge(&node.addresses, 1, now()).await;
    edge.lease(vec![want(tenant_account(), 10, 1)])
        .await
        .unwrap();
    let before = node.operator.usage().await;
    let with = |change: fn(&mut v1::Account)| {
        let mut account = tenant_account();
        change(&mut account);
        account
    };
    let rolling = |secs| {
        Some(v1::Window {
            kind: Some(v1::window::Kind::RollingS(secs)),
        })
    };
    let ceiling = |expires_at: &str, limit| {
        Some(v1::Ceiling {
            limit,
            expires_at: expires_at.to_owned(),
        })
    };
    let token = account(v1::Scope::Token, "0123", lifetime());
    let fine = want(tenant_account(), 5, 1);
    let minus_one = u64::MAX;
    let wants: Vec<Vec<v1::Want>> = vec![
        vec![],
        vec![v1::Want {
            account: None,
            ..fine.clone()
        }],
        vec![want(tenant_account(), 5, 0)],
        vec![want(tenant_account(), 0, 0)],
        vec![want(tenant_account(), 5, 6)],
        vec![want(tenant_account(), minus_one, 1)],
        vec![want(tenant_account(), 1 << 53, 1)],
        vec![want(with(|account| account.meter = 9), 5, 1)],
        vec![want(with(|account| account.meter = 0), 5, 1)],
        // An amount is of an intent alone.
        vec![want(with(|account| account.meter = 4), 5, 1)],
        vec![want(with(|account| account.scope = 0), 5, 1)],
        vec![want(with(|account| account.scope = -1), 5, 1)],
        vec![want(with(|account| account.id = "x".to_owned()), 5, 1)],
        vec![want(with(|account| account.window = None), 5, 1)],
        vec![want(
            with(|account| account.window = Some(v1::Window { kind: None })),
            5,
            1,
        )],
        vec![want(
            v1::Account {
                window: rolling(0),
                ..tenant_account()
            },
            5,
            1,
        )],
        vec![want(
            v1::Account {
                window: rolling(u32::MAX),
                ..tenant_account()
            },
            5,
            1,
        )],
        vec![want(account(v1::Scope::Agent, "", lifetime()), 5, 1)],
        vec![want(account(v1::Scope::Agent, "*", lifetime()), 5, 1)],
        vec![want(account(v1::Scope::Agent, "a b", lifetime()), 5, 1)],
        vec![want(
            account(v1::Scope::Agent, &"a".repeat(257), lifetime()),
            5,
            1,
        )],
        vec![fine.clone(), fine.clone()],
        vec![fine.clone(); 17],
        vec![want(token.clone(), 5, 1)],
        vec![v1::Want {
            ceiling: ceiling("2100-01-01T00:00:00Z", 5),
            ..fine.clone()
        }],
        vec![v1::Want {
            ceiling: ceiling("tomorrow", 5),
            ..want(token.clone(), 5, 1)
        }],
        vec![v1::Want {
            ceiling: ceiling("2100-01-01T00:00:00Z", minus_one),
            ..want(token.clone(), 5, 1)
        }],
    ];
    for wants in wants {
        let refused = edge
            .send_lease(edge.lease_request(wants.clone()))
            .await
            .unwrap_err();
        assert_eq!(
            refused.code(),
            Code::InvalidArgument,
            "{wants:?}: {refused:?}"
        );
    }
    let fine = edge.lease_request(vec![fine]);
    for (request, code) in [
        (
            v1::LeaseRequest {
                request_id: vec![1; 15],
                ..fine.clone()
            },
            Code::InvalidArgument,
        ),
        (
            v1::LeaseRequest {
                ttl_ms: 99,
                ..fine.clone()
            },
            Code::InvalidArgument,
        ),
        (
            v1::LeaseRequest {
                ttl_ms: 300_001,
                ..fine.clone()
            },
            Code::InvalidArgument,
        ),
        (
            v1::LeaseRequest {
                tenant: "globex".to_owned(),
                ..fine.clone()
            },
            Code::NotFound,
        ),
        (
            v1::LeaseRequest {
                tenant: "No Tenant".to_owned(),
                ..fine.clone()
            },
            Code::NotFound,
        ),
    ] {
        assert_eq!(edge.send_lease(request).await.unwrap_err().code(), code);
    }
    let behind = edge
        .send_lease(v1::LeaseRequest {
            limits_version: 2,
            ..fine.clone()
        })
        .await
        .unwrap();
    assert!(
        matches!(behind.outcome, Some(v1::lease_response::Outcome::Refused(refused)) if refused.why() == Why::LimitsBehind)
    );
    let over = edge
        .lease(vec![v1::Want {
            ceiling: ceiling("2020-01-01T00:00:00Z", 5),
            ..want(token, 5, 1)
        }])
        .await;
    assert_eq!(over.unwrap_err().why(), Why::CeilingOver);

    let each = account(v1::Scope::Tenant, "*", lifetime());
    for rules in [
        vec![rule(tenant_account(), minus_one)],
        vec![rule(tenant_account(), 5), rule(tenant_account(), 6)],
        vec![rule(each, 5)],
        vec![rule(account(v1::Scope::Intent, "int_1#0", lifetime()), 5)],
        vec![v1::Rule {
            account: None,
            limit: 5,
        }],
        vec![rule(tenant_account(), 5); 1_001],
    ] {
        assert_eq!(
            node.operator.set_limits(9, rules).await.unwrap_err().code(),
            Code::InvalidArgument
        );
    }
    assert_eq!(
        node.operator
            .set_limits(0, Vec::new())
            .await
            .unwrap_err()
            .code(),
        Code::InvalidArgument
    );
    for (units, reason, code) in [
        (0, "why", Code::InvalidArgument),
        (5, "", Code::InvalidArgument),
        (5, "two\nlines", Code::InvalidArgument),
        (i64::MIN, "why", Code::InvalidArgument),
        (i64::MAX, "why", Code::InvalidArgument),
        (-1, "why", Code::FailedPrecondition),
    ] {
        let refused = node
            .operator
            .adjust(tenant_account(), units, reason)
            .await
            .unwrap_err();
        assert_eq!(refused.code(), code, "{units} {reason}");
    }
    let unknown = account(v1::Scope::Agent, "nobody", lifetime());
    assert_eq!(
        node.operator
            .adjust(unknown, 5, "why")
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
    assert_eq!(node.operator.usage().await, before);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_is_heard() {
    let node = Node::start().await;
    let at = now();
    let (cert, fine) = (certificate(1, &[TENANT], at), proof(1, "counter", at));
    let stranger = edge_signer(7)
        .sign(&proctor_model::config::EdgeProof {
            edge: edge_id(1).parse().unwrap(),
            audience: "counter".to_owned(),
            issued_at: at,
        })
        .unwrap();
    let mut twice = edge_metadata(&cert, &fine);
    twice.append("proctor-edge-proof", fine.parse().unwrap());
    for (name, metadata) in [
        ("nothing", tonic::metadata::MetadataMap::new()),
        ("an operator", principal(None, Role::PlatformAdmin, at)),
        (
            "another's proof",
            edge_metadata(&cert, &proof(2, "counter", at)),
        ),
        ("signed by another", edge_metadata(&cert, &stranger)),
        (
            "for another service",
            edge_metadata(&cert, &proof(1, "ledger", at)),
        ),
        (
            "an old proof",
            edge_metadata(&cert, &proof(1, "counter", at.plus_secs(-301))),
        ),
        (
            "a proof of the future",
            edge_metadata(&cert, &proof(1, "counter", at.plus_secs(301 + 60))),
        ),
        ("a certificate for a proof", edge_metadata(&cert, &cert)),
        ("two proofs", twice),
    ] {
        let refused = Client::new(&node.addresses, metadata)
            .open()
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{name}");
    }
    // A certificate that is older than one that was seen.
    Client::edge(&node.addresses, 1, at).await;
    let old = edge_metadata(
        &certificate(1, &[TENANT, "globex"], at.plus_secs(-60)),
        &fine,
    );
    assert_eq!(
        Client::new(&node.addresses, old)
            .open()
            .await
            .unwrap_err()
            .code(),
        Code::PermissionDenied
    );

    for (name, metadata, code) in [
        (
            "an edge",
            edge_metadata(&cert, &fine),
            Code::Unauthenticated,
        ),
        (
            "a tenant's administrator",
            principal(Some(TENANT), Role::TenantAdmin, at),
            Code::PermissionDenied,
        ),
        (
            "a viewer",
            principal(None, Role::Viewer, at),
            Code::PermissionDenied,
        ),
        (
            "an administrator, past control",
            own_token(None, Role::PlatformAdmin, at),
            Code::Unauthenticated,
        ),
        (
            "yesterday's",
            principal(None, Role::PlatformAdmin, at.plus_secs(-86_400)),
            Code::Unauthenticated,
        ),
    ] {
        let refused = Client::new(&node.addresses, metadata)
            .set_limits(1, Vec::new())
            .await
            .unwrap_err();
        assert_eq!(refused.code(), code, "{name}");
    }
    for (name, metadata, code) in [
        (
            "another tenant's",
            principal(Some("globex"), Role::TenantAdmin, at),
            Code::NotFound,
        ),
        (
            "a viewer",
            principal(Some(TENANT), Role::Viewer, at),
            Code::PermissionDenied,
        ),
    ] {
        let client = Client::new(&node.addresses, metadata);
        assert_eq!(
            client
                .adjust(tenant_account(), 1, "why")
                .await
                .unwrap_err()
                .code(),
            code,
            "{name}"
        );
    }
    // A key's own token shows its holder what there is; to change it, one goes through control, which records it.
    let past_control = Client::new(
        &node.addresses,
        own_token(Some(TENANT), Role::TenantAdmin, at),
    );
    past_control.usage().await;
    let adjusted = past_control.adjust(tenant_account(), 1, "why").await;
    assert_eq!(adjusted.unwrap_err().code(), Code::Unauthenticated);
    let write_off = v1::WriteOffRequest {
        request_id: request_id(),
        tenant: TENANT.to_owned(),
        lease: 1,
        spent: vec![1],
        reason: "why".to_owned(),
    };
    let written_off = past_control.call(write_off, |mut client, request| async move {
        client.write_off(request).await
    });
    assert_eq!(written_off.await.unwrap_err().code(), Code::Unauthenticated);
    node.stop().await;
}
