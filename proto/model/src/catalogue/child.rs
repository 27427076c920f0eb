//! What a tool server may use that an edge runs as a child process.

use serde::{Deserialize, Serialize};

/// Limits of the kernel, for each process of the server by itself (`setrlimit`): never more than the edge has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChildLimits {
    /// Memory that it may write to, in bytes: what is reserved and not used does not count (`RLIMIT_DATA`).
    pub memory_bytes_max: u64,
    /// All of its addresses, in bytes (`RLIMIT_AS`). No limit unless it is set: runtimes such as Node's and Java's
    /// reserve many times what they use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_space_bytes_max: Option<u64>,
    /// Files and connections that it may have open.
    pub open_files_max: u64,
    /// Processes and threads, those of everybody with the edge's user counted, the edge's own too. The kernel does not
    /// hold root to it.
    pub processes_max: u64,
    /// Seconds of processor time in its whole life, after which it is ended. No limit unless it is set: a server that
    /// runs for months uses up any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds_max: Option<u64>,
}

impl Default for ChildLimits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 4 * 1024 * 1024 * 1024,
            address_space_bytes_max: None,
            open_files_max: 1_024,
            processes_max: 8_192,
            cpu_seconds_max: None,
        }
    }
}

impl ChildLimits {
    /// Whether these are the usual ones.
    #[must_use]
    pub fn are_usual(&self) -> bool {
        *self == Self::default()
    }

    /// A limit with which nothing runs, by its name.
    #[must_use]
    pub fn impossible(&self) -> Option<&'static str> {
        let limits = [
            ("memory_bytes_max", Some(self.memory_bytes_max)),
            ("address_space_bytes_max", self.address_space_bytes_max),
            ("open_files_max", Some(self.open_files_max)),
            ("processes_max", Some(self.processes_max)),
            ("cpu_seconds_max", self.cpu_seconds_max),
        ];
        let zero = limits.into_iter().find(|(_, most)| *most == Some(0));
        zero.map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_usual() {
        let some: ChildLimits = serde_json::from_str(r#"{"open_files_max":64}"#).unwrap();
        let usual = ChildLimits::default();
        assert_eq!((some.open_files_max, some.are_usual()), (64, false));
        assert_eq!(some.memory_bytes_max, usual.memory_bytes_max);
        assert_eq!((usual.impossible(), some.impossible()), (None, None));
        let none: ChildLimits = serde_json::from_str(r#"{"cpu_seconds_max":0}"#).unwrap();
        assert_eq!(none.impossible(), Some("cpu_seconds_max"));
        assert!(serde_json::from_str::<ChildLimits>(r#"{"files":1}"#).is_err());
    }
}
