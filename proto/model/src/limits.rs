//! Limits on the shared documents, each with its unit and reason.

/// Longest id of a tenant, agent or server, in bytes: fits a NATS subject token and a DNS label.
pub const ID_BYTES_MAX: usize = 63;
/// Longest tool name, in bytes (MCP 2025-11-25 recommends at most 128).
pub const TOOL_NAME_BYTES_MAX: usize = 128;
/// Longest URI of a resource or name of a prompt, in bytes.
pub const URI_BYTES_MAX: usize = 1024;
/// Most actions in one intent declaration: it is searched linearly for each call.
pub const INTENT_ACTIONS_MAX: usize = 64;
/// Longest life of an intent, in seconds: intents are for one task, not for a standing order.
pub const INTENT_LIFE_S_MAX: u32 = 24 * 3600;
/// Longest goal of an intent, in bytes: all that a user has said in a conversation finds room.
pub const INTENT_GOAL_BYTES_MAX: usize = 16 * 1024;
/// Most intents that one may narrow, one within the other: each call is held against all of them.
pub const INTENT_DEPTH_MAX: usize = 4;
/// Most agents and tools of a tenant that are stopped at once.
pub const KILLS_MAX: usize = 1_000;
/// Most calls of one agent that wait for a person.
pub const APPROVALS_OF_AGENT_MAX: usize = 100;
/// Most calls of a tenant that wait for a person: more than people can answer within an approval's life.
pub const APPROVALS_OF_TENANT_MAX: usize = 1_000;
/// Largest view of the arguments for an approver, in bytes of JSON.
pub const APPROVAL_VIEW_BYTES_MAX: usize = 16 * 1024;
/// Most tools in one server's catalogue.
pub const CATALOGUE_TOOLS_MAX: usize = 512;
/// Largest signed document, in bytes: below nats-server's default `max_payload` of 1 MiB.
pub const SIGNED_BYTES_MAX: usize = 1_000_000;
/// Most credentials for upstreams of one tenant, and the longest of them in bytes (a PEM key): together they fit one
/// signed document.
pub const SECRETS_MAX: usize = 64;
/// See [`SECRETS_MAX`].
pub const SECRET_BYTES_MAX: usize = 8 * 1024;
/// Most events in one audit batch.
pub const BATCH_EVENTS_MAX: usize = 512;
/// Largest audit batch, in bytes of its events.
pub const BATCH_BYTES_MAX: usize = 512 * 1024;
/// Most ceilings that a tenant sets: each call looks through those of its scopes.
pub const LIMIT_RULES_MAX: usize = 500;
/// Most prices of a tenant.
pub const PRICES_MAX: usize = 1_000;
/// Most items that one call writes: their records ride in one audit event.
pub const MEMORY_ITEMS_MAX: usize = 64;
/// Most facts that one call writes, some 150 bytes each in the audit event.
pub const MEMORY_FACTS_MAX: usize = 512;
/// Largest set of records that one call writes, in bytes as signed: its event has to fit a batch.
pub const MEMORY_BYTES_MAX: usize = 256 * 1024;
/// Most records that a record names as its parents.
pub const MEMORY_PARENTS_MAX: usize = 32;
/// Most items in one question to the ledger: the answer has to fit a signed document.
pub const QUESTION_ITEMS_MAX: usize = 32;
/// Most facts in one question to the ledger.
pub const QUESTION_FACTS_MAX: usize = 128;
/// Most records in one answer about an item's lineage.
pub const LINEAGE_RECORDS_MAX: usize = 128;
/// Largest set of records in such an answer, in bytes.
pub const LINEAGE_BYTES_MAX: usize = 512 * 1024;

const _: () = assert!(BATCH_BYTES_MAX < SIGNED_BYTES_MAX);
const _: () = assert!(MEMORY_BYTES_MAX < BATCH_BYTES_MAX);
const _: () = assert!(LINEAGE_BYTES_MAX / 3 * 4 < SIGNED_BYTES_MAX);
