//! When the book forgets an account: not a moment before its time, and never while units of it are leased.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use proctor_counter::account::{AccountKey, Ceiling, Meter, Scope};
use proctor_counter::book::Book;
use proctor_counter::command::{
    Batch, Command, Holder, Lease, Reply, Request, Rule, Settlement, Spend, Want,
};
use proctor_counter::limits::{ACCOUNT_IDLE_US, CEILING_KEEP_US};
use proctor_counter::window::{LogTime, Window};
use proctor_model::TenantId;

/// 7:30 on a day (UTC), microseconds.
const START: i64 = 1_799_998_200_000_000;
const HOUR: i64 = 3_600 * 1_000_000;
const DAY: i64 = 24 * HOUR;
/// When that day is over.
const MIDNIGHT: i64 = START + 16 * HOUR + HOUR / 2;
/// When the ceiling of the token is over.
const CEILING_END: i64 = START + HOUR;

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

fn key(scope: Scope, id: &str, window: Window) -> AccountKey {
    AccountKey {
        scope,
        id: id.to_owned(),
        meter: Meter::Calls,
        window,
    }
}

/// One account of each kind, in the order of the book: each has a name of its own.
fn keys() -> [AccountKey; 5] {
    [
        key(Scope::Tenant, "", Window::Lifetime),
        key(Scope::Agent, "a", Window::Lifetime),
        key(Scope::Agent, "b", Window::Day),
        key(Scope::Session, "s", Window::Lifetime),
        key(Scope::Token, "t", Window::Lifetime),
    ]
}

/// The tenant's rules, without those for these accounts.
fn rules(without: &[&str]) -> Vec<Rule> {
    let rules = keys().into_iter().filter(|key| !key.has_ceiling());
    let rules = rules.filter(|key| !without.contains(&key.id.as_str()));
    rules
        .map(|account| Rule {
            account,
            limit: 100,
        })
        .collect()
}

fn holder(epoch: u64) -> Holder {
    Holder {
        edge: "edge_1".parse().unwrap(),
        epoch,
        certified_at: LogTime(0),
    }
}

/// A book in which one edge holds ten units of each account.
struct Kept {
    book: Book,
    epoch: u64,
    lease: u64,
}

impl Kept {
    fn new() -> Self {
        let mut kept = Self {
            book: Book::default(),
            epoch: 0,
            lease: 0,
        };
        let opened = kept.run(START, Command::Open(holder(0)));
        let Reply::Opened { epoch, .. } = opened else {
            panic!("{opened:?}")
        };
        kept.epoch = epoch;
        kept.set_limits(START, 1, &[]);
        let ceiling = Ceiling {
            limit: 100,
            over_at: LogTime(CEILING_END),
        };
        let wants = keys().map(|account| Want {
            ceiling: account.has_ceiling().then_some(ceiling),
            account,
            wanted: 10,
            minimum: 1,
        });
        let lease = Lease {
            holder: holder(epoch),
            tenant: tenant(),
            settle: Vec::new(),
            wants: wants.to_vec(),
            ttl_ms: 30_000,
            limits_version: 1,
        };
        let leased = kept.run(START, Command::Lease(lease));
        let Reply::Leased {
            outcome: Ok(granted),
            ..
        } = leased
        else {
            panic!("{leased:?}")
        };
        kept.lease = granted.lease;
        kept
    }

    fn run(&mut self, at: i64, command: Command) -> Reply {
        let batch = Batch {
            at: LogTime(at),
            requests: vec![Request { id: None, command }],
        };
        self.book.apply(batch).remove(0)
    }

    fn set_limits(&mut self, at: i64, version: u64, without: &[&str]) {
        let set = Command::SetLimits {
            tenant: tenant(),
            version,
            rules: rules(without),
        };
        let reply = self.run(at, set);
        assert!(
            matches!(reply, Reply::Limits { taken: true, .. }),
            "{reply:?}"
        );
    }

    /// All that was leased: some of it spent, the rest given back.
    fn settle(&mut self, at: i64) {
        let spend = Spend {
            spent: 4,
            returned: 6,
            overrun: 0,
        };
        self.settle_with(at, keys().map(|_| spend));
        assert_eq!(self.leased(), 0);
    }

    fn settle_with(&mut self, at: i64, spends: [Spend; 5]) {
        let settle = Command::Settle {
            holder: holder(self.epoch),
            settle: vec![Settlement {
                lease: self.lease,
                spends: spends.to_vec(),
            }],
            tenant: tenant(),
        };
        self.run(at, settle);
    }

    fn leased(&self) -> u64 {
        let accounts = self.book.accounts(&tenant(), None, None);
        accounts.map(|info| info.leased).sum()
    }

    /// Sweeps at a time: ids of the accounts that are there then.
    fn after_sweep(&mut self, at: i64) -> Vec<String> {
        let before = self.ids().len();
        let swept = self.run(at, Command::Sweep);
        let ids = self.ids();
        let gone = u64::try_from(before - ids.len()).unwrap();
        assert_eq!(swept, Reply::Swept(gone));
        ids
    }

    fn ids(&self) -> Vec<String> {
        let accounts = self.book.accounts(&tenant(), None, None);
        accounts.map(|info| info.account.id).collect()
    }
}

#[test]
fn an_account_is_forgotten_when_its_time_is_over_and_not_before() {
    let mut kept = Kept::new();
    kept.settle(START);
    assert_eq!(kept.after_sweep(START), ["", "a", "b", "s", "t"]);

    // A day's account, when the day is over.
    assert_eq!(kept.after_sweep(MIDNIGHT - 1), ["", "a", "b", "s", "t"]);
    assert_eq!(kept.after_sweep(MIDNIGHT), ["", "a", "s", "t"]);

    // A token's, a day after its ceiling's end: clocks may disagree about the end.
    assert_eq!(CEILING_KEEP_US, DAY);
    let over = CEILING_END + DAY;
    assert_eq!(kept.after_sweep(over - 1), ["", "a", "s", "t"]);
    assert_eq!(kept.after_sweep(over), ["", "a", "s"]);

    // A session's, and an agent's without a rule, 90 days after they were used.
    assert_eq!(ACCOUNT_IDLE_US, 90 * DAY);
    kept.set_limits(over, 2, &["a"]);
    assert_eq!(kept.after_sweep(over), ["", "a", "s"]);
    assert_eq!(kept.after_sweep(START + 90 * DAY - 1), ["", "a", "s"]);
    assert_eq!(kept.after_sweep(START + 90 * DAY), [""]);

    // What is spent for ever under a rule is remembered for ever.
    assert_eq!(kept.after_sweep(START + 4_000 * DAY), [""]);
    let mut accounts = kept.book.accounts(&tenant(), None, None);
    assert_eq!(accounts.next().map(|info| info.spent), Some(4));
}

#[test]
fn an_account_with_leased_units_is_never_forgotten() {
    let mut kept = Kept::new();
    // No rule holds any of them either.
    kept.set_limits(START, 2, &["", "a", "b", "s"]);
    let all = ["", "a", "b", "s", "t"];
    for days in [1, 2, 90, 91, 400] {
        assert_eq!(kept.after_sweep(START + days * DAY), all, "{days}");
        assert_eq!(kept.leased(), 50, "{days}");
    }

    // The operator writes them off: from then on they are as any others.
    let end = START + 400 * DAY;
    let write_off = Command::WriteOff {
        tenant: tenant(),
        lease: kept.lease,
        spent: Vec::new(),
        reason: "the edge is gone".to_owned(),
    };
    let reply = kept.run(end, write_off);
    assert!(matches!(reply, Reply::WrittenOff(_)), "{reply:?}");
    assert_eq!(kept.leased(), 0);
    assert_eq!(kept.after_sweep(end), ["", "a", "b", "s"]);
    assert_eq!(kept.after_sweep(end + DAY), ["", "a", "s"]);
    assert_eq!(kept.after_sweep(end + 90 * DAY - 1), ["", "a", "s"]);
    assert_eq!(kept.after_sweep(end + 90 * DAY), [""; 0]);
}

/// A day's units are spent and its account is gone with the day; the lease goes on for other accounts, and its edge says that
/// it spent more than it had.
#[test]
fn what_is_spent_beyond_a_lease_counts_though_its_account_was_forgotten() {
    let mut kept = Kept::new();
    let spends = |overrun| {
        keys().map(|key| match key.id.as_str() {
            "b" => Spend {
                spent: 10,
                returned: 0,
                overrun,
            },
            _ => Spend::default(),
        })
    };
    kept.settle_with(START, spends(0));
    assert_eq!(kept.after_sweep(MIDNIGHT), ["", "a", "s", "t"]);
    let later = MIDNIGHT + HOUR;
    kept.settle_with(later, spends(3));
    let mut accounts = kept.book.accounts(&tenant(), None, None);
    let day = accounts.find(|info| info.account.id == "b");
    assert_eq!(day.map(|info| (info.spent, info.leased)), Some((3, 0)));
}
