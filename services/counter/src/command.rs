//! What can be asked of the book, and its answers. All of it has been checked at the door (`convert`).

use crate::account::{AccountKey, Ceiling, Totals};
use crate::window::LogTime;
use proctor_model::{EdgeId, TenantId};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

/// The commands of one log entry, with the time at which the leader wrote it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Batch {
    /// The leader's time; the book's own never goes back, whatever this says.
    pub at: LogTime,
    /// In the order in which they are applied.
    pub requests: Vec<Request>,
}

/// A command and who asked for it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Names the request for its repetitions; none: a command of the leader's own, which may be applied twice.
    pub id: Option<RequestId>,
    /// What is to be done.
    pub command: Command,
}

/// Names a request: who, which, and what it said.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RequestId {
    /// Whose requests it is one of.
    pub client: Client,
    /// As the client chose it.
    pub id: ByteArray<16>,
    /// Of the content: the same id with other content is an error.
    pub digest: ByteArray<16>,
}

/// Whose answers are kept together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Client {
    /// One edge.
    Edge(EdgeId),
    /// The operators of one tenant, and the platform's on its behalf.
    Operators(TenantId),
}

/// A command.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// A process of an edge begins.
    Open(Holder),
    /// Settles, then takes units from several accounts, all or nothing.
    Lease(Lease),
    /// Settles.
    Settle {
        /// Who.
        holder: Holder,
        /// In the order of the answer.
        settle: Vec<Settlement>,
        /// Of the leases.
        tenant: TenantId,
    },
    /// Replaces the rules of a tenant.
    SetLimits {
        /// Whose.
        tenant: TenantId,
        /// Newer than what there is, or it is ignored.
        version: u64,
        /// All of them. The id `*` stands for each id that has no rule of its own.
        rules: Vec<Rule>,
    },
    /// Charges or credits.
    Adjust {
        /// Whose.
        tenant: TenantId,
        /// Which.
        account: AccountKey,
        /// Added to what is spent.
        units: i64,
        /// For the books.
        reason: String,
    },
    /// Closes a lease for an edge that will not come back.
    WriteOff {
        /// Whose.
        tenant: TenantId,
        /// Which.
        lease: u64,
        /// Spent per account; empty: all of it.
        spent: Vec<u64>,
        /// For the books.
        reason: String,
    },
    /// Forgets what is over.
    Sweep,
}

/// An edge's process, as its request says and its certificate proves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// The edge.
    pub edge: EdgeId,
    /// Its process; 0 in `Open`, which makes one.
    pub epoch: u64,
    /// `issued_at` of its certificate: an older one than was seen is refused.
    pub certified_at: LogTime,
}

/// The request of a lease.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// Who.
    pub holder: Holder,
    /// Whose accounts.
    pub tenant: TenantId,
    /// What is settled first.
    pub settle: Vec<Settlement>,
    /// Each account once.
    pub wants: Vec<Want>,
    /// How long, milliseconds.
    pub ttl_ms: u32,
    /// Of the rules that the edge knows.
    pub limits_version: u64,
}

/// What a lease is to take from one account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Want {
    /// Which.
    pub account: AccountKey,
    /// Units, at least `minimum`.
    pub wanted: u64,
    /// Units, at least 1.
    pub minimum: u64,
    /// For accounts that a token or an intent limits.
    pub ceiling: Option<Ceiling>,
}

/// What became of one lease: totals since it was granted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Settlement {
    /// Which.
    pub lease: u64,
    /// One per account of the lease.
    pub spends: Vec<Spend>,
}

/// Totals of one account in a lease; each only grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Spend {
    /// Spent from the grant.
    pub spent: u64,
    /// Given back.
    pub returned: u64,
    /// Spent beyond the grant.
    pub overrun: u64,
}

/// A limit on an account, or on each account (`*`) of a scope.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rule {
    /// On which.
    pub account: AccountKey,
    /// Units.
    pub limit: u64,
}

/// The answer to a command.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// To `Open`.
    Opened {
        /// Of the new process.
        epoch: u64,
        /// What earlier ones left unsettled.
        held: Vec<LeaseInfo>,
        /// There are more.
        more: bool,
    },
    /// To `Lease`.
    Leased {
        /// What was granted, or why not.
        outcome: Result<Granted, Refused>,
        /// What was settled first.
        settled: Vec<Settled>,
    },
    /// To `Settle`.
    Settled(Vec<Settled>),
    /// To `SetLimits`.
    Limits {
        /// In force now.
        version: u64,
        /// Whether it is the one of this request.
        taken: bool,
    },
    /// To `Adjust`.
    Adjusted(AccountInfo),
    /// To `WriteOff`: the lease as it was.
    WrittenOff(LeaseInfo),
    /// To `Sweep`: how many accounts were forgotten.
    Swept(u64),
    /// Nothing was changed.
    Rejected(Rejection),
}

/// Why a command changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Rejection {
    /// The id was used for a request that said something else.
    RequestReused,
    /// The certificate is older than one that was seen.
    StaleCertificate,
    /// No rule and no lease ever named this account.
    NoSuchAccount,
    /// Closed, another tenant's, or never granted.
    NoSuchLease,
    /// The outcome would be less than nothing, or more than can be counted.
    OutOfRange,
    /// Not one figure per account, or not between what is settled and what was granted.
    Figures,
    /// The tenant has as many accounts as it may.
    TooManyAccounts,
}

/// A granted lease.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Granted {
    /// Its id; 0: none of the accounts is limited.
    pub lease: u64,
    /// In the order of the wants.
    pub grants: Vec<Grant>,
    /// How long, milliseconds.
    pub ttl_ms: u32,
}

/// What was granted of one account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// Units.
    pub units: u64,
    /// What the account has left then, and its limit; none: nothing limits it, nothing is counted.
    pub of: Option<Room>,
}

/// What an account has left, and its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Room {
    /// Units that may still be granted.
    pub left: u64,
    /// In force.
    pub limit: u64,
}

/// A refused lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub why: Why,
    /// Index of the first want that can't be met.
    pub want: u32,
    /// What its account has.
    pub room: Room,
    /// Milliseconds after which it may be otherwise; 0: waiting does not help.
    pub retry_after_ms: u64,
}

/// Why a lease is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Why {
    /// Less is left than the minimum.
    Exhausted,
    /// Less is left, but leases are out whose units may come back.
    HeldElsewhere,
    /// The edge's rules are newer than ours.
    LimitsBehind,
    /// The ceiling is over.
    CeilingOver,
    /// Another process of this edge has begun.
    Fenced,
    /// Too many accounts or leases.
    TooMany,
}

/// What became of a settlement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Settled {
    /// Of which lease.
    pub lease: u64,
    /// What.
    pub state: Closing,
}

/// What became of a settlement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Closing {
    /// Taken; units are still out.
    Open,
    /// Taken; nothing is out any more.
    Closed,
    /// No such lease of this edge (any more).
    Gone,
    /// Another process of this edge has begun.
    Fenced,
    /// The figures don't fit the lease.
    Invalid,
}

/// An account as operators see it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AccountInfo {
    /// Which.
    pub account: AccountKey,
    /// In the present window.
    pub spent: u64,
    /// Granted and not settled.
    pub leased: u64,
    /// In force.
    pub limit: Option<u64>,
    /// Of a calendar window: begin and end.
    pub span: Option<(LogTime, LogTime)>,
    /// Since it was made.
    pub totals: Totals,
}

/// A lease as edges and operators see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeaseInfo {
    /// Its id.
    pub lease: u64,
    /// Whose accounts.
    pub tenant: TenantId,
    /// The lease.
    pub held: Held,
}

/// A lease that is not closed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Held {
    /// By whom.
    pub edge: EdgeId,
    /// By which process.
    pub epoch: u64,
    /// When.
    pub granted_at: LogTime,
    /// Until when its edge may spend from it.
    pub expires_at: LogTime,
    /// From which accounts.
    pub parts: Vec<Part>,
}

/// One account of a lease.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// Which.
    pub account: AccountKey,
    /// Units; none: nothing limits the account, nothing is counted.
    pub granted: Option<u64>,
    /// What is settled.
    pub settled: Spend,
}
