//! What a session has done so far, for policies that look at sequences: counts, never values.

use crate::catalogue::Tool;
use crate::limits::HISTORY_LAST_MAX;
use proctor_model::catalogue::Verb;
use proctor_model::{Timestamp, ToolRef};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// One permitted call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Past {
    pub(crate) tool: ToolRef,
    pub(crate) verb: Verb,
    pub(crate) at: Timestamp,
}

/// A session's permitted calls, those under way included.
#[derive(Clone, Debug)]
pub struct History {
    pub(crate) calls: u64,
    pub(crate) by_verb: BTreeMap<Verb, u64>,
    /// Results with anything in them that is not trusted, errors, and what servers said beside their answers.
    pub(crate) untrusted_reads: u64,
    /// Rows in all results.
    pub(crate) rows: u64,
    /// Tools that answered, not with an error.
    pub(crate) answered: BTreeSet<ToolRef>,
    /// Latest last.
    pub(crate) last: VecDeque<Past>,
    /// What policies see of it: made anew when it changes, not for each decision.
    pub(crate) policy_view: regorus::Value,
}

impl Default for History {
    fn default() -> Self {
        let mut history = Self {
            calls: 0,
            by_verb: BTreeMap::new(),
            untrusted_reads: 0,
            rows: 0,
            answered: BTreeSet::new(),
            last: VecDeque::new(),
            policy_view: regorus::Value::Undefined,
        };
        history.policy_view = crate::policy::history_view(&history);
        history
    }
}

impl History {
    /// A call was permitted.
    pub fn note_call(&mut self, tool: &Tool, at: Timestamp) {
        self.calls = self.calls.saturating_add(1);
        let of_verb = self.by_verb.entry(tool.verb()).or_default();
        *of_verb = of_verb.saturating_add(1);
        if self.last.len() >= HISTORY_LAST_MAX {
            self.last.pop_front();
        }
        self.last.push_back(Past {
            tool: tool.reference().clone(),
            verb: tool.verb(),
            at,
        });
        self.policy_view = crate::policy::history_view(self);
    }

    /// A result is on its way to the agent; `exposes`: something in it may dictate what the agent does next.
    pub(crate) fn note_result(&mut self, tool: &Tool, rows: u64, error: bool, exposes: bool) {
        if !error && !self.answered.contains(tool.reference()) {
            self.answered.insert(tool.reference().clone());
        }
        self.rows = self.rows.saturating_add(rows);
        self.untrusted_reads = self.untrusted_reads.saturating_add(u64::from(exposes));
        self.policy_view = crate::policy::history_view(self);
    }

    /// A server said something beside its answers.
    pub(crate) fn note_overheard(&mut self) {
        self.untrusted_reads = self.untrusted_reads.saturating_add(1);
        self.policy_view = crate::policy::history_view(self);
    }
}
