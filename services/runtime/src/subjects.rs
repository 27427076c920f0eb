//! All NATS subjects and streams, as typed values.
//!
//! | subject | stream | what |
//! |---|---|---|
//! | `config.{tenant}.config` | `CONFIG` | signed configuration of a tenant, whole |
//! | `config.{tenant}.keys.{edge}` | `CONFIG` | token keys of a tenant, sealed to an edge |
//! | `config.{tenant}.intent.{intent}` | `CONFIG` | a signed intent |
//! | `config.{tenant}.revocation.{number}` | `CONFIG` | a signed revocation; numbered from 1 without gaps |
//! | `config.{tenant}.heartbeat` | `CONFIG` | signed: everything up to here has been published |
//! | `config.{tenant}.kill` | `CONFIG` | signed: what is stopped in a tenant (`_platform`: everywhere) |
//! | `config._edge.{edge}.assignment` | `CONFIG` | signed: which tenants an edge serves |
//! | `audit.{tenant}.{edge}` | `AUDIT` | a signed batch of one audit lane |
//! | `memory.{tenant}` | none | an edge asks the ledgers how memory items stand; the answer goes to the reply subject |
//! | `receipts.{edge}` | none | the ledger has committed a lane up to an event |
//! | `sightings.{tenant}.{edge}` | none | signed: what an edge sees of a tool server; control answers when it has it |
//! | `edge-inbox.{edge}.>` | none | answers to an edge |
//! | `approvals.{tenant}.{edge}.request`, `….use`, `….release` | none | questions of an edge that control answers, both signed |
//!
//! `CONFIG` keeps the last message of each subject, so that a reader that starts with
//! `DeliverPolicy::LastPerSubject` has the whole state and then its changes.

use std::fmt;
use std::str::FromStr;

use proctor_model::ids::{EdgeId, IntentId, TenantId};

mod streams;

pub use streams::{
    AUDIT_STREAM, CONFIG_STREAM, Incarnation, StreamsError, audit_stream, config_stream,
    ensure_streams, incarnation,
};

/// A subject of the `CONFIG` stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ConfigSubject {
    /// Signed configuration of a tenant.
    Config(TenantId),
    /// Token keys of a tenant, sealed to an edge.
    Keys(TenantId, EdgeId),
    /// A declared intent.
    Intent(TenantId, IntentId),
    /// A revocation by its number, from 1.
    Revocation(TenantId, u64),
    /// The mark behind everything published so far.
    Heartbeat(TenantId),
    /// What is stopped in a tenant, or (`_platform`) everywhere.
    Kill(TenantId),
    /// What an edge serves.
    Assignment(EdgeId),
}

/// The word in the tenant's place of an edge's own subjects. No tenant id has this form.
const EDGE_SPACE: &str = "_edge";

/// A subject outside the table above. Does not hold the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a subject of this deployment")]
pub struct SubjectError;

impl ConfigSubject {
    /// The tenant it belongs to; `None` for an edge's assignment.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Config(tenant)
            | Self::Keys(tenant, _)
            | Self::Intent(tenant, _)
            | Self::Revocation(tenant, _)
            | Self::Heartbeat(tenant)
            | Self::Kill(tenant) => Some(tenant),
            Self::Assignment(_) => None,
        }
    }
}

impl fmt::Display for ConfigSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(tenant) => write!(f, "config.{tenant}.config"),
            Self::Keys(tenant, edge) => write!(f, "config.{tenant}.keys.{edge}"),
            Self::Intent(tenant, intent) => {
                write!(f, "config.{tenant}.intent.{}", token(intent.as_str()))
            }
            Self::Revocation(tenant, number) => write!(f, "config.{tenant}.revocation.{number}"),
            Self::Heartbeat(tenant) => write!(f, "config.{tenant}.heartbeat"),
            Self::Kill(tenant) => write!(f, "config.{tenant}.kill"),
            Self::Assignment(edge) => write!(f, "config.{EDGE_SPACE}.{edge}.assignment"),
        }
    }
}

impl FromStr for ConfigSubject {
    type Err = SubjectError;

    fn from_str(subject: &str) -> Result<Self, SubjectError> {
        let words: Vec<&str> = subject.split('.').collect();
        match words.as_slice() {
            ["config", EDGE_SPACE, edge, "assignment"] => Ok(Self::Assignment(id(edge)?)),
            ["config", tenant, "config"] => Ok(Self::Config(id(tenant)?)),
            ["config", tenant, "heartbeat"] => Ok(Self::Heartbeat(id(tenant)?)),
            ["config", tenant, "kill"] => Ok(Self::Kill(id(tenant)?)),
            ["config", tenant, "keys", edge] => Ok(Self::Keys(id(tenant)?, id(edge)?)),
            ["config", tenant, "intent", intent] => {
                Ok(Self::Intent(id(tenant)?, id(&untoken(intent))?))
            }
            ["config", tenant, "revocation", number] => {
                Ok(Self::Revocation(id(tenant)?, counted(number)?))
            }
            _ => Err(SubjectError),
        }
    }
}

/// Everything about one tenant in the `CONFIG` stream.
#[must_use]
pub fn tenant_space(tenant: &TenantId) -> String {
    format!("config.{tenant}.>")
}

/// Everything addressed to one edge in the `CONFIG` stream.
#[must_use]
pub fn edge_space(edge: &EdgeId) -> String {
    format!("config.{EDGE_SPACE}.{edge}.>")
}

/// All intents of a tenant, for purging.
#[must_use]
pub fn intent_space(tenant: &TenantId) -> String {
    format!("config.{tenant}.intent.*")
}

/// Batches of one audit lane.
#[must_use]
pub fn audit(tenant: &TenantId, edge: &EdgeId) -> String {
    format!("audit.{tenant}.{edge}")
}

/// The lane of an audit subject.
///
/// # Errors
/// If the subject is not `audit.{tenant}.{edge}`.
pub fn audit_lane(subject: &str) -> Result<(TenantId, EdgeId), SubjectError> {
    match subject.split('.').collect::<Vec<_>>().as_slice() {
        ["audit", tenant, edge] => Ok((id(tenant)?, id(edge)?)),
        _ => Err(SubjectError),
    }
}

/// Receipts of the ledger to one edge (core NATS: a lost one is cured by publishing again).
#[must_use]
pub fn receipts(edge: &EdgeId) -> String {
    format!("receipts.{edge}")
}

/// What an edge asks control about approvals (core NATS, request and reply: Postgres is where they are kept).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalQuestion {
    /// A call waits for a person.
    Request,
    /// The approved call is here.
    Use,
    /// It was, and came to nothing before it was made.
    Release,
}

/// Questions of all edges, for control.
pub const APPROVALS: &str = "approvals.*.*.*";

/// Where an edge asks for a person.
#[must_use]
pub fn approval_request(tenant: &TenantId, edge: &EdgeId) -> String {
    format!("approvals.{tenant}.{edge}.request")
}

/// Where an edge uses an approval up.
#[must_use]
pub fn approval_use(tenant: &TenantId, edge: &EdgeId) -> String {
    format!("approvals.{tenant}.{edge}.use")
}

/// Where an edge gives one back.
#[must_use]
pub fn approval_release(tenant: &TenantId, edge: &EdgeId) -> String {
    format!("approvals.{tenant}.{edge}.release")
}

/// Who asks what.
///
/// # Errors
/// If the subject is none of the three above.
pub fn approval_question(
    subject: &str,
) -> Result<(TenantId, EdgeId, ApprovalQuestion), SubjectError> {
    match subject.split('.').collect::<Vec<_>>().as_slice() {
        ["approvals", tenant, edge, "request"] => {
            Ok((id(tenant)?, id(edge)?, ApprovalQuestion::Request))
        }
        ["approvals", tenant, edge, "use"] => Ok((id(tenant)?, id(edge)?, ApprovalQuestion::Use)),
        ["approvals", tenant, edge, "release"] => {
            Ok((id(tenant)?, id(edge)?, ApprovalQuestion::Release))
        }
        _ => Err(SubjectError),
    }
}

/// Where an edge tells what it sees of a tenant's tool servers (request and reply: the answer says that control has it).
#[must_use]
pub fn sightings(tenant: &TenantId, edge: &EdgeId) -> String {
    format!("sightings.{tenant}.{edge}")
}

/// Sightings of all edges, for control.
pub const SIGHTINGS: &str = "sightings.*.*";

/// Who saw something, and whose it is.
///
/// # Errors
/// If the subject is not `sightings.{tenant}.{edge}`.
pub fn sighting_of(subject: &str) -> Result<(TenantId, EdgeId), SubjectError> {
    match subject.split('.').collect::<Vec<_>>().as_slice() {
        ["sightings", tenant, edge] => Ok((id(tenant)?, id(edge)?)),
        _ => Err(SubjectError),
    }
}

/// Where an edge takes answers: a space that no other role uses, so that an edge need not be allowed to see theirs.
#[must_use]
pub fn edge_inbox(edge: &EdgeId) -> String {
    format!("edge-inbox.{edge}")
}

/// Questions about a tenant's memory, request and reply.
#[must_use]
pub fn memory(tenant: &TenantId) -> String {
    format!("memory.{tenant}")
}

/// All questions about memory.
pub const MEMORY_SPACE: &str = "memory.*";

fn id<T: FromStr>(text: &str) -> Result<T, SubjectError> {
    text.parse().map_err(|_| SubjectError)
}

/// A number as it is written: no sign, no leading zero, so that one revocation has one subject.
fn counted(text: &str) -> Result<u64, SubjectError> {
    let number: u64 = id(text)?;
    if number >= 1 && number.to_string() == text {
        Ok(number)
    } else {
        Err(SubjectError)
    }
}

/// A dot inside an id would begin a new word of the subject; no id contains `%`.
fn token(text: &str) -> String {
    text.replace('.', "%2E")
}

fn untoken(text: &str) -> String {
    text.replace("%2E", ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> TenantId {
        "acme".parse().unwrap()
    }

    fn edge() -> EdgeId {
        "edge_1".parse().unwrap()
    }

    #[test]
    fn subjects_are_written_as_promised_and_read_back() {
        let cases = [
            (ConfigSubject::Config(tenant()), "config.acme.config"),
            (
                ConfigSubject::Keys(tenant(), edge()),
                "config.acme.keys.edge_1",
            ),
            (
                ConfigSubject::Intent(tenant(), "int_01J".parse().unwrap()),
                "config.acme.intent.int_01J",
            ),
            (
                ConfigSubject::Intent(tenant(), "int_a..b".parse().unwrap()),
                "config.acme.intent.int_a%2E%2Eb",
            ),
            (
                ConfigSubject::Revocation(tenant(), 17),
                "config.acme.revocation.17",
            ),
            (ConfigSubject::Heartbeat(tenant()), "config.acme.heartbeat"),
            (ConfigSubject::Kill(tenant()), "config.acme.kill"),
            (
                ConfigSubject::Kill(TenantId::platform()),
                "config._platform.kill",
            ),
            (
                ConfigSubject::Assignment(edge()),
                "config._edge.edge_1.assignment",
            ),
        ];
        for (subject, text) in cases {
            assert_eq!(subject.to_string(), text);
            assert_eq!(text.parse(), Ok(subject));
        }
        assert_eq!(
            audit_lane(&audit(&tenant(), &edge())),
            Ok((tenant(), edge()))
        );
        assert_eq!(receipts(&edge()), "receipts.edge_1");
        for (subject, question) in [
            (
                approval_request(&tenant(), &edge()),
                ApprovalQuestion::Request,
            ),
            (approval_use(&tenant(), &edge()), ApprovalQuestion::Use),
            (
                approval_release(&tenant(), &edge()),
                ApprovalQuestion::Release,
            ),
        ] {
            let read = approval_question(&subject);
            assert_eq!(read, Ok((tenant(), edge(), question)));
        }
        assert!(approval_question("approvals.acme.edge_1.grant").is_err());
    }

    #[test]
    fn nothing_else_is_a_subject() {
        for text in [
            "",
            "config",
            "config.acme",
            "config.acme.config.x",
            "config.acme.keys",
            "config.acme.keys.edge_1.x",
            "config.Acme.config",
            "config.*.config",
            "config.acme.intent.nope",
            "config.acme.intent.int_a.b",
            "config.acme.revocation.0",
            "config.acme.revocation.01",
            "config.acme.revocation.+1",
            "config.acme.revocation.-1",
            "config._edge.config",
            "audit.acme.config",
        ] {
            assert_eq!(text.parse::<ConfigSubject>(), Err(SubjectError), "{text}");
        }
        for text in [
            "audit",
            "audit.acme",
            "audit.acme.edge_1.x",
            "audit.>.edge_1",
            "config.acme.config",
        ] {
            assert_eq!(audit_lane(text), Err(SubjectError), "{text}");
        }
    }

    /// `config.{tenant}.>` of one tenant never covers another, nor an edge's space.
    #[test]
    fn the_edge_space_is_no_tenant() {
        assert!(EDGE_SPACE.parse::<TenantId>().is_err());
    }
}
