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
    /// Rows in all results, and in what servers said beside them.
    pub(crate) rows: u64,
    /// Tools that answered, not with an error.
    pub(crate) answered: BTreeSet<ToolRef>,
    /// Latest last.
    pub(crate) last: VecDeque<Past>,
    /// What policies see of it: changed with it, a member at a time, as a server may say a thousand things in one call.
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
        crate::policy::view_call(self);
    }

    /// A result is on its way to the agent; `exposes`: something in it may dictate what the agent does next.
    pub(crate) fn note_result(&mut self, tool: &Tool, rows: u64, error: bool, exposes: bool) {
        if !error && !self.answered.contains(tool.reference()) {
            self.answered.insert(tool.reference().clone());
        }
        self.rows = self.rows.saturating_add(rows);
        self.untrusted_reads = self.untrusted_reads.saturating_add(u64::from(exposes));
        crate::policy::view_reads(self);
    }

    /// A server said something beside its answers; `exposes`: there are words in it.
    pub(crate) fn note_overheard(&mut self, rows: u64, exposes: bool) {
        self.rows = self.rows.saturating_add(rows);
        self.untrusted_reads = self.untrusted_reads.saturating_add(u64::from(exposes));
        crate::policy::view_reads(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::history_view;
    use proctor_model::catalogue::CatalogueEntry;
    use serde_json::json;

    #[test]
    fn what_policies_see_is_changed_with_it() {
        let entry = json!({"definition": {"name": "inbox", "input_schema": {"type": "object"}}, "verb": "read"});
        let mut entry: CatalogueEntry = serde_json::from_value(entry).unwrap();
        entry.definition_digest = Some(entry.definition.digest());
        let server = json!({
            "id": "mail", "upstream": {"kind": "mcp-http", "url": "http://127.0.0.1:1/"}, "tools": [entry],
        });
        let catalogue = crate::Catalogue::compile(&[serde_json::from_value(server).unwrap()]);
        let tool = catalogue.get(&"mail/inbox".parse().unwrap()).unwrap();
        let mut history = History::default();
        for step in 0_u32..60 {
            match step % 3 {
                0 => history.note_call(tool, Timestamp::from_secs(step.into())),
                1 => history.note_result(tool, 5, false, step % 2 == 0),
                _ => history.note_overheard(step.into(), step % 2 == 0),
            }
            assert_eq!(history.policy_view, history_view(&history), "{step}");
        }
    }
}
