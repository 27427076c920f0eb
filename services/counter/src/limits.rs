//! The limits of the counter, each with its unit and reason.

use std::time::Duration;

/// Largest amount of units: what JSON numbers carry exactly.
pub const UNITS_MAX: u64 = (1 << 53) - 1;
/// Bytes of an account's id.
pub const ACCOUNT_ID_BYTES_MAX: usize = 256;
/// Accounts of one lease: agent, session, tenant, token and intent in three meters leave room.
pub const WANTS_MAX: usize = 16;
/// Settlements in one `Lease`.
pub const LEASE_SETTLEMENTS_MAX: usize = 64;
/// Settlements in one `Settle`.
pub const SETTLEMENTS_MAX: usize = 256;
/// Rules of one tenant.
pub const RULES_MAX: usize = 1_000;
/// Characters of an operator's reason.
pub const REASON_CHARS_MAX: usize = 256;
/// Seconds of a rolling window: a leap year.
pub const ROLLING_S_MAX: u32 = 366 * 86_400;
/// A rolling window is counted in so many slices: the account stays small, and a unit counts at most a 60th longer.
pub const ROLLING_SLICES: u32 = 60;
/// Milliseconds of a lease that asks for none.
pub const TTL_MS_DEFAULT: u32 = 30_000;
/// Milliseconds of the shortest lease one can ask for.
pub const TTL_MS_MIN: u32 = 100;
/// Milliseconds of the longest lease: so long a dead edge's units may be in doubt before anyone looks.
pub const TTL_MS_MAX: u32 = 300_000;
/// A lease settled so soon after its calendar window was spent in that window: its edge stopped at the lease's
/// expiry, before the window's end. Later settlements may come from an edge whose clock crawls or that slept: what
/// they spent counts in the present window.
pub const SETTLE_GRACE_US: i64 = 5_000_000;
/// Accounts of one tenant: some 200 MB.
pub const ACCOUNTS_MAX: usize = 1_000_000;
/// Leases of one edge that are not closed.
pub const LEASES_MAX: usize = 10_000;
/// Of them, those of one tenant: another one's agents can have leases all the same.
pub const TENANT_LEASES_MAX: usize = LEASES_MAX / 2;
/// Leases that one `Open` lists.
pub const OPEN_LEASES_MAX: usize = 1_000;
/// Answers that are kept for an edge's repeated requests.
pub const EDGE_ANSWERS_MAX: usize = 256;
/// Answers that are kept for a tenant's operators.
pub const TENANT_ANSWERS_MAX: usize = 1_024;
/// An edge's answers are forgotten after so long without a new request, microseconds. To lease or settle again does no
/// harm then: a lease is escrow, settlements say totals.
pub const ANSWERS_IDLE_US: i64 = 3_600 * 1_000_000;
/// Operators' answers are forgotten after so long without a new one in that tenant, microseconds: 90 days. An
/// adjustment that is sent again later counts again.
pub const TENANT_ANSWERS_IDLE_US: i64 = 90 * 86_400 * 1_000_000;
/// A lifetime account that is bound to a session, or has no rule any more, is forgotten after so long without a
/// lease, microseconds: 90 days.
pub const ACCOUNT_IDLE_US: i64 = 90 * 86_400 * 1_000_000;
/// An account of a ceiling is kept so long after its end, microseconds: nothing that clocks disagree about matters.
pub const CEILING_KEEP_US: i64 = 86_400 * 1_000_000;
/// Accounts that one sweep looks at: a few hundred microseconds.
pub const SWEEP_ACCOUNTS: usize = 2_000;
/// Time between sweeps.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// What a refused edge is told to wait where units may come back at any moment, milliseconds.
pub const RETRY_MS: u64 = 100;
/// Objects of one page.
pub const PAGE_MAX: u32 = 500;
/// Objects of a page where none is asked for.
pub const PAGE_DEFAULT: u32 = 100;
/// Commands that wait to be proposed; more are refused as UNAVAILABLE.
pub const QUEUE_MAX: usize = 16_384;
/// Commands of one log entry.
pub const BATCH_MAX: usize = 512;
/// Log entries under way at once: while one is synced by the others the leader syncs the next. More of them would only
/// be smaller, and cost a sync each.
pub const BATCHES_MAX: usize = 2;
/// Messages to the leader under way at once; what comes in meanwhile goes together with the next.
pub const FORWARDS_MAX: usize = 2;
/// How long a command may take, from the door to the answer.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a lease waits for rules that its edge knows already: less than an edge waits for its answer.
pub const LIMITS_WAIT: Duration = Duration::from_secs(1);
/// Bytes of a message between nodes.
pub const NODE_MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Bytes of one piece of a snapshot.
pub const SNAPSHOT_CHUNK_BYTES: u64 = 2 << 20;
/// Log entries after which a snapshot is made.
pub const SNAPSHOT_ENTRIES: u64 = 20_000;

const _: () = assert!(SNAPSHOT_CHUNK_BYTES as usize * 4 <= NODE_MESSAGE_BYTES_MAX);
const _: () = assert!(TTL_MS_MIN < TTL_MS_DEFAULT && TTL_MS_DEFAULT <= TTL_MS_MAX);
