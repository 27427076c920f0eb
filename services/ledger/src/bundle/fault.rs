//! What can be wrong with a bundle, by name.

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// The first line is no header, or contradicts itself.
    Header,
    /// A checkpoint is not signed with a trusted key, is of another log, or does not follow from the one before.
    Checkpoint,
    /// The line is no entry.
    Form,
    /// The entry is of another tenant.
    Tenant,
    /// Not the number that comes next.
    Number,
    /// `prev` is not the hash of the entry before.
    Link,
    /// Numbers of an edge's events are missing or there twice.
    LaneGap,
    /// An edge's event does not name the one before it.
    LaneFork,
    /// An event is there twice.
    Double,
    /// Entries are missing at the end, or there are more than the header says.
    Length,
    /// The entries do not have the root that was signed.
    Root,
    /// The log is not the one that was seen before.
    History,
    /// The log is shorter than it was before.
    Old,
    /// What is known from elsewhere can't be compared with this stretch.
    Uncovered,
    /// A tenant's log that the platform's names is not there.
    TenantMissing,
    /// A witness that has to have cosigned the last checkpoint has not.
    Witness,
    /// Not the whole log, where the whole was asked for.
    Partial,
}

impl Fault {
    /// Stable identifier.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Checkpoint => "checkpoint",
            Self::Form => "form",
            Self::Tenant => "tenant",
            Self::Number => "number",
            Self::Link => "link",
            Self::LaneGap => "lane_gap",
            Self::LaneFork => "lane_fork",
            Self::Double => "double",
            Self::Length => "length",
            Self::Root => "root",
            Self::History => "history",
            Self::Old => "old",
            Self::Uncovered => "uncovered",
            Self::TenantMissing => "tenant_missing",
            Self::Witness => "witness",
            Self::Partial => "partial",
        }
    }
}

/// Something that is wrong with a bundle.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}: {message}", .fault.as_str())]
pub struct Finding {
    /// Which rule is broken.
    pub fault: Fault,
    /// At which entry; 0: at none in particular.
    pub seq: u64,
    /// A sentence.
    pub message: String,
}

pub(super) fn finding(fault: Fault, seq: u64, message: impl Into<String>) -> Finding {
    Finding {
        fault,
        seq,
        message: message.into(),
    }
}
