//! The book against a simple sequential model, with duplicates, reordering, jumping clocks and restarted edges.
//!
//! The model keeps no balances: it writes down every charge with its date and adds them up anew for each question.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod invariants;

use proctor_counter::account::{AccountKey, Ceiling, Meter, Scope};
use proctor_counter::book::Book;
use proctor_counter::command::{
    Batch, Client, Closing, Command, Holder, Lease, Reply, Request, RequestId, Rule, Settlement,
    Spend, Want, Why,
};
use proctor_counter::limits::{ROLLING_SLICES, SETTLE_GRACE_US};
use proctor_counter::window::{LogTime, Window};
use proctor_model::TenantId;
use proptest::prelude::*;
use serde_bytes::ByteArray;
use std::collections::BTreeMap;

/// Half an hour before an hour begins; all steps are within an hour of it, so that no answer is forgotten.
const START: i64 = 1_799_998_200_000_000;

#[derive(Clone, Debug)]
enum Op {
    Lease {
        edge: u8,
        accounts: Vec<u8>,
        wanted: u64,
        minimum: u64,
        stale: bool,
    },
    Settle {
        edge: u8,
        lease: u8,
        spent: u8,
        returned: u8,
        overrun: u8,
    },
    /// An older settlement comes late.
    Late {
        at: u8,
    },
    /// A request comes once more.
    Again {
        at: u8,
    },
    Open {
        edge: u8,
    },
    Limit {
        version: u8,
        account: u8,
        limit: u64,
    },
    Adjust {
        account: u8,
        units: i64,
    },
    WriteOff {
        lease: u8,
        keep: bool,
    },
    /// The next entries have this time: seconds from the start, in any order.
    Clock {
        secs: i64,
    },
    Sweep,
}

fn op() -> impl Strategy<Value = Op> {
    let lease = (
        0..3u8,
        proptest::collection::btree_set(0..7u8, 1..4),
        1..40u64,
        1..12u64,
        proptest::bool::weighted(0.1),
    );
    prop_oneof![
        6 => lease.prop_map(|(edge, accounts, wanted, minimum, stale)| Op::Lease {
            edge, accounts: accounts.into_iter().collect(), wanted: wanted.max(minimum), minimum, stale
        }),
        6 => (0..3u8, any::<u8>(), any::<u8>(), any::<u8>(), prop_oneof![9 => Just(0), 1 => 0..5u8]).prop_map(
            |(edge, lease, spent, returned, overrun)| Op::Settle { edge, lease, spent, returned, overrun }),
        2 => any::<u8>().prop_map(|at| Op::Late { at }),
        2 => any::<u8>().prop_map(|at| Op::Again { at }),
        1 => (0..3u8).prop_map(|edge| Op::Open { edge }),
        2 => (0..20u8, 0..7u8, 0..200u64).prop_map(|(version, account, limit)| Op::Limit { version, account, limit }),
        1 => (0..7u8, -30..30i64).prop_map(|(account, units)| Op::Adjust { account, units }),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(lease, keep)| Op::WriteOff { lease, keep }),
        2 => (-100..3_400i64).prop_map(|secs| Op::Clock { secs }),
        1 => Just(Op::Sweep),
    ]
}

fn key(account: u8) -> AccountKey {
    let (scope, id, window) = match account {
        0 => (Scope::Tenant, "", Window::Lifetime),
        1 => (Scope::Tenant, "", Window::Minute),
        2 => (Scope::Agent, "a", Window::Hour),
        3 => (Scope::Agent, "b", Window::Rolling(120)),
        4 => (Scope::Session, "s", Window::Lifetime),
        5 => (Scope::Session, "s", Window::Rolling(7)),
        _ => (Scope::Token, "t", Window::Lifetime),
    };
    AccountKey {
        scope,
        id: id.to_owned(),
        meter: Meter::Calls,
        window,
    }
}

fn ceiling(account: u8) -> Option<Ceiling> {
    key(account).has_ceiling().then_some(Ceiling {
        limit: 50,
        over_at: LogTime(START + 2_500_000_000),
    })
}

#[derive(Clone)]
struct ModelLease {
    edge: u8,
    granted_at: i64,
    parts: Vec<(u8, u64, Spend)>,
}

#[derive(Default)]
struct Model {
    now: i64,
    charges: Vec<(u8, i64, i64)>,
    leases: BTreeMap<u64, ModelLease>,
    epochs: BTreeMap<u8, u64>,
    limits: BTreeMap<u8, u64>,
    version: u64,
}

impl Model {
    fn spent(&self, account: u8) -> i64 {
        let counts = |date: i64| match key(account).window {
            Window::Lifetime => true,
            Window::Rolling(secs) => {
                let slice = i64::from((secs / ROLLING_SLICES).max(1)) * 1_000_000;
                (date / slice + 1) * slice + i64::from(secs) * 1_000_000 > self.now
            }
            window => window.span(LogTime(date)) == window.span(LogTime(self.now)),
        };
        let charges = self
            .charges
            .iter()
            .filter(|(of, date, _)| *of == account && counts(*date));
        charges.map(|(_, _, units)| units).sum()
    }

    fn leased(&self, account: u8) -> u64 {
        let parts = self.leases.values().flat_map(|lease| &lease.parts);
        parts
            .filter(|(of, ..)| *of == account)
            .map(|(_, granted, at)| granted - at.spent - at.returned)
            .sum()
    }

    fn limit(&self, account: u8) -> Option<u64> {
        ceiling(account)
            .map(|ceiling| ceiling.limit)
            .or(self.limits.get(&account).copied())
    }

    /// What a lease gets: units per account, or nothing.
    fn lease(&self, accounts: &[u8], wanted: u64, minimum: u64) -> Option<Vec<u64>> {
        let get = |account: &u8| {
            let Some(limit) = self.limit(*account) else {
                return Some(wanted);
            };
            let over = ceiling(*account).is_some_and(|ceiling| ceiling.over_at.0 <= self.now);
            let left = limit as i64 - self.spent(*account) - self.leased(*account) as i64;
            let fits = !over && left >= minimum as i64;
            fits.then(|| wanted.min(minimum.max((left as u64).div_ceil(2))))
        };
        accounts.iter().map(get).collect()
    }

    fn settle(&mut self, lease: u64, spends: &[Spend]) {
        let (now, held) = (self.now, self.leases.get_mut(&lease).unwrap());
        for ((account, _, at), next) in held.parts.iter_mut().zip(spends) {
            let spent = next.spent - at.spent + next.overrun - at.overrun;
            let end = key(*account)
                .window
                .span(LogTime(held.granted_at))
                .map(|(_, end)| end.0);
            let timely = end.is_some_and(|end| now >= end && now <= end + SETTLE_GRACE_US);
            let date = if timely { held.granted_at } else { now };
            self.charges.push((*account, date, spent as i64));
            *at = *next;
        }
        if held
            .parts
            .iter()
            .all(|(_, granted, at)| at.spent + at.returned == *granted)
        {
            self.leases.remove(&lease);
        }
    }
}

/// The book, the model and the log, step by step.
#[derive(Default)]
struct Run {
    book: Book,
    model: Model,
    log: Vec<Batch>,
    sent: Vec<Request>,
    replies: Vec<Reply>,
    settled: Vec<(u8, u64, Vec<Spend>)>,
    clock: i64,
}

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

impl Run {
    fn send(&mut self, client: Client, command: Command) -> Reply {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(self.sent.len() as u64).to_be_bytes());
        let id = RequestId {
            client,
            id: ByteArray::new(id),
            digest: ByteArray::new(id),
        };
        let request = Request {
            id: Some(id),
            command,
        };
        let reply = self.apply(request.clone());
        self.sent.push(request);
        self.replies.push(reply.clone());
        reply
    }

    fn apply(&mut self, request: Request) -> Reply {
        let before = self.book.now();
        let batch = Batch {
            at: LogTime(START + self.clock * 1_000_000),
            requests: vec![request],
        };
        self.log.push(batch.clone());
        let reply = self.book.apply(batch).remove(0);
        self.model.now = self.model.now.max(START + self.clock * 1_000_000);
        invariants::time::check(before, self.book.now());
        reply
    }

    fn edge(&mut self, edge: u8, command: impl FnOnce(Holder) -> Command) -> Reply {
        let holder = Holder {
            edge: format!("edge{edge}").parse().unwrap(),
            epoch: self.model.epochs.get(&edge).copied().unwrap_or(0),
            certified_at: LogTime(0),
        };
        let client = Client::Edge(holder.edge.clone());
        self.send(client, command(holder))
    }

    fn operator(&mut self, command: Command) -> Reply {
        self.send(Client::Operators(tenant()), command)
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Lease {
                edge,
                accounts,
                wanted,
                minimum,
                stale,
            } => self.lease(edge, &accounts, wanted, minimum, stale),
            Op::Settle {
                edge,
                lease,
                spent,
                returned,
                overrun,
            } => self.settle(edge, lease, [spent, returned, overrun]),
            Op::Late { at } => self.late(at),
            Op::Again { at } if !self.sent.is_empty() => {
                self.again(usize::from(at) % self.sent.len())
            }
            Op::Again { .. } => {}
            Op::Open { edge } => self.open(edge),
            Op::Limit {
                version,
                account,
                limit,
            } => self.limit(u64::from(version), account, limit),
            Op::Adjust { account, units } => self.adjust(account, units),
            Op::WriteOff { lease, keep } => self.write_off(lease, keep),
            Op::Clock { secs } => self.clock = secs,
            Op::Sweep => {
                self.apply(Request {
                    id: None,
                    command: Command::Sweep,
                });
            }
        }
        self.compare();
    }

    fn lease(&mut self, edge: u8, accounts: &[u8], wanted: u64, minimum: u64, stale: bool) {
        let wants = accounts.iter().map(|account| Want {
            account: key(*account),
            wanted,
            minimum,
            ceiling: ceiling(*account),
        });
        let wants: Vec<_> = wants.collect();
        let limits_version = self.model.version;
        let reply = self.edge(edge, |holder| {
            Command::Lease(Lease {
                holder: Holder {
                    epoch: holder.epoch.saturating_sub(u64::from(stale)),
                    ..holder
                },
                tenant: tenant(),
                settle: Vec::new(),
                wants,
                ttl_ms: 1_000,
                limits_version,
            })
        });
        let Reply::Leased { outcome, .. } = reply else {
            panic!("{reply:?}")
        };
        let epoch = self.model.epochs.get(&edge).copied().unwrap_or(0);
        if stale || epoch == 0 {
            assert!(outcome.is_err_and(|refused| refused.why == Why::Fenced));
            return;
        }
        let expected = self.model.lease(accounts, wanted, minimum);
        let got = outcome
            .as_ref()
            .ok()
            .map(|granted| granted.grants.iter().map(|grant| grant.units).collect());
        assert_eq!(
            got, expected,
            "at {} {accounts:?} {wanted} {minimum}: {outcome:?}",
            self.model.now
        );
        let Ok(granted) = outcome else { return };
        let limited = accounts
            .iter()
            .zip(&granted.grants)
            .filter(|(_, grant)| grant.of.is_some());
        let parts: Vec<_> = limited
            .map(|(account, grant)| (*account, grant.units, Spend::default()))
            .collect();
        invariants::limits::check(
            &self.book,
            &tenant(),
            &parts
                .iter()
                .map(|(account, ..)| key(*account))
                .collect::<Vec<_>>(),
        );
        if granted.lease == 0 {
            assert!(parts.is_empty());
            return;
        }
        // Accounts that nothing limits are in the lease too, but the model need not know.
        if parts.len() == accounts.len() {
            let lease = ModelLease {
                edge,
                granted_at: self.model.now,
                parts,
            };
            self.model.leases.insert(granted.lease, lease);
        } else {
            self.give_back(edge, granted.lease, &granted.grants);
        }
    }

    fn give_back(&mut self, edge: u8, lease: u64, grants: &[proctor_counter::command::Grant]) {
        let spends = grants.iter().map(|grant| Spend {
            returned: if grant.of.is_some() { grant.units } else { 0 },
            ..Spend::default()
        });
        let settle = vec![Settlement {
            lease,
            spends: spends.collect(),
        }];
        let reply = self.edge(edge, |holder| Command::Settle {
            holder,
            tenant: tenant(),
            settle,
        });
        assert!(matches!(reply, Reply::Settled(settled) if settled[0].state == Closing::Closed));
    }

    fn pick(&self, lease: u8) -> Option<(u64, ModelLease)> {
        let count = self.model.leases.len().max(1);
        let found = self.model.leases.iter().nth(usize::from(lease) % count);
        found.map(|(id, lease)| (*id, lease.clone()))
    }

    fn settle(&mut self, edge: u8, lease: u8, figures: [u8; 3]) {
        let Some((id, lease)) = self.pick(lease) else {
            return;
        };
        let spends: Vec<Spend> = lease
            .parts
            .iter()
            .map(|(_, granted, at)| {
                let left = granted - at.spent - at.returned;
                let spent = u64::from(figures[0]) % (left + 1);
                let returned = u64::from(figures[1]) % (left - spent + 1);
                Spend {
                    spent: at.spent + spent,
                    returned: at.returned + returned,
                    overrun: at.overrun + u64::from(figures[2]),
                }
            })
            .collect();
        let settle = vec![Settlement {
            lease: id,
            spends: spends.clone(),
        }];
        let reply = self.edge(edge, |holder| Command::Settle {
            holder,
            tenant: tenant(),
            settle,
        });
        let Reply::Settled(settled) = reply else {
            panic!("{reply:?}")
        };
        if !self.model.epochs.contains_key(&edge) {
            assert_eq!(settled[0].state, Closing::Fenced);
        } else if edge != lease.edge {
            assert_eq!(settled[0].state, Closing::Gone, "another edge's lease");
        } else {
            self.model.settle(id, &spends);
            self.settled.push((edge, id, spends));
            let open = self.model.leases.contains_key(&id);
            assert_eq!(
                settled[0].state,
                if open { Closing::Open } else { Closing::Closed }
            );
        }
    }

    /// A settlement that was overtaken by a newer one, or repeats it: nothing changes.
    fn late(&mut self, at: u8) {
        if self.settled.is_empty() {
            return;
        }
        let (edge, lease, spends) = self.settled[usize::from(at) % self.settled.len()].clone();
        let settle = vec![Settlement { lease, spends }];
        let reply = self.edge(edge, |holder| Command::Settle {
            holder,
            tenant: tenant(),
            settle,
        });
        assert!(
            matches!(reply, Reply::Settled(settled) if matches!(settled[0].state, Closing::Open | Closing::Gone))
        );
    }

    fn again(&mut self, at: usize) {
        let (request, first) = (self.sent[at].clone(), self.replies[at].clone());
        // What an `Open` lists is what is held now; its epoch is the one of the first time.
        let second = self.apply(request);
        match (first, second) {
            (Reply::Opened { epoch, .. }, Reply::Opened { epoch: again, .. }) => {
                assert_eq!(epoch, again)
            }
            (first, second) => assert_eq!(first, second),
        }
    }

    fn open(&mut self, edge: u8) {
        let reply = self.edge(edge, Command::Open);
        let Reply::Opened { epoch, held, .. } = reply else {
            panic!("{reply:?}")
        };
        let known = self.model.epochs.insert(edge, epoch).unwrap_or(0);
        assert_eq!(epoch, known + 1);
        let mine: Vec<u64> = self
            .model
            .leases
            .iter()
            .filter(|(_, lease)| lease.edge == edge)
            .map(|(id, _)| *id)
            .collect();
        assert_eq!(held.iter().map(|info| info.lease).collect::<Vec<_>>(), mine);
    }

    fn limit(&mut self, version: u64, account: u8, limit: u64) {
        if key(account).has_ceiling() {
            return;
        }
        let mut limits = self.model.limits.clone();
        limits.insert(account, limit);
        let rules = limits
            .iter()
            .map(|(account, limit)| Rule {
                account: key(*account),
                limit: *limit,
            })
            .collect();
        let reply = self.operator(Command::SetLimits {
            tenant: tenant(),
            version,
            rules,
        });
        if version > self.model.version {
            self.model.version = version;
            self.model.limits = limits;
        }
        let taken = matches!(reply, Reply::Limits { taken: true, .. });
        assert_eq!(
            reply,
            Reply::Limits {
                version: self.model.version,
                taken
            }
        );
    }

    fn adjust(&mut self, account: u8, units: i64) {
        // Which slice of a rolling window a credit comes off is the book's own affair.
        if units == 0 || (units < 0 && matches!(key(account).window, Window::Rolling(_))) {
            return;
        }
        let reply = self.operator(Command::Adjust {
            tenant: tenant(),
            account: key(account),
            units,
            reason: "test".to_owned(),
        });
        if matches!(reply, Reply::Adjusted(_)) {
            self.model.charges.push((account, self.model.now, units));
        }
        assert!(self.model.spent(account) >= 0);
    }

    fn write_off(&mut self, lease: u8, keep: bool) {
        let Some((id, lease)) = self.pick(lease) else {
            return;
        };
        let spent: Vec<u64> = lease
            .parts
            .iter()
            .map(|(_, granted, at)| {
                if keep {
                    granted - at.returned
                } else {
                    at.spent
                }
            })
            .collect();
        let reply = self.operator(Command::WriteOff {
            tenant: tenant(),
            lease: id,
            spent: spent.clone(),
            reason: "gone".to_owned(),
        });
        assert!(matches!(reply, Reply::WrittenOff(_)), "{reply:?}");
        let spends: Vec<Spend> = lease
            .parts
            .iter()
            .zip(&spent)
            .map(|((_, granted, at), spent)| Spend {
                spent: *spent,
                returned: granted - spent,
                ..*at
            })
            .collect();
        self.model.settle(id, &spends);
    }

    fn compare(&self) {
        invariants::conservation::check(&self.book, &tenant());
        for info in self.book.accounts(&tenant(), None, None) {
            let account = (0..7)
                .find(|account| key(*account) == info.account)
                .unwrap();
            assert_eq!(
                info.spent as i64,
                self.model.spent(account),
                "{:?} at {}",
                info.account,
                self.model.now
            );
            assert_eq!(
                info.leased,
                self.model.leased(account),
                "{:?}",
                info.account
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_book_is_as_the_model_says(ops in proptest::collection::vec(op(), 1..120)) {
        let mut run = Run::default();
        for edge in 0..2 {
            run.open(edge);
        }
        run.limit(1, 0, 100);
        run.limit(2, 1, 60);
        for op in ops {
            run.step(op);
        }
        invariants::replay::check(&run.log, &run.book);
    }
}
