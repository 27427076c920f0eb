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

/// Counts of what a session has read, or of a part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reads {
    untrusted: u64,
    rows: u64,
}

impl Reads {
    /// What came since then.
    #[must_use]
    pub fn since(self, then: Self) -> Self {
        Self {
            untrusted: self.untrusted.saturating_sub(then.untrusted),
            rows: self.rows.saturating_sub(then.rows),
        }
    }

    /// Both together.
    #[must_use]
    pub fn with(self, more: Self) -> Self {
        Self {
            untrusted: self.untrusted.saturating_add(more.untrusted),
            rows: self.rows.saturating_add(more.rows),
        }
    }
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

    /// What was read so far.
    #[must_use]
    pub fn reads(&self) -> Reads {
        Reads {
            untrusted: self.untrusted_reads,
            rows: self.rows,
        }
    }

    /// What policies see of it when a call of this tool goes on after a question: as if the call had not been made yet,
    /// and its server had said nothing (`said`). What else was done and read since is in it: the client's replies leave
    /// with the call.
    pub(crate) fn view_without(&self, tool: &Tool, said: Reads) -> regorus::Value {
        let mut by_verb = self.by_verb.clone();
        if let Some(calls) = by_verb.get_mut(&tool.verb()) {
            *calls = calls.saturating_sub(1);
        }
        by_verb.retain(|_, calls| *calls > 0);
        let mut last = self.last.clone();
        let latest = last.iter().rposition(|past| past.tool == *tool.reference());
        if let Some(at) = latest {
            last.remove(at);
        }
        let left = self.reads().since(said);
        crate::policy::history_view(&Self {
            calls: self.calls.saturating_sub(1),
            by_verb,
            untrusted_reads: left.untrusted,
            rows: left.rows,
            answered: BTreeSet::new(),
            last,
            policy_view: regorus::Value::Undefined,
        })
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

    fn with_inbox(check: impl FnOnce(&Tool)) {
        let entry = json!({"definition": {"name": "inbox", "input_schema": {"type": "object"}}, "verb": "read"});
        let mut entry: CatalogueEntry = serde_json::from_value(entry).unwrap();
        entry.definition_digest = Some(entry.definition.digest());
        let server = json!({
            "id": "mail", "upstream": {"kind": "mcp-http", "url": "http://127.0.0.1:1/"}, "tools": [entry],
        });
        let catalogue = crate::Catalogue::compile(&[serde_json::from_value(server).unwrap()]);
        check(catalogue.get(&"mail/inbox".parse().unwrap()).unwrap());
    }

    #[test]
    fn what_policies_see_is_changed_with_it() {
        with_inbox(|tool| {
            let mut history = History::default();
            for step in 0_u32..60 {
                match step % 3 {
                    0 => history.note_call(tool, Timestamp::from_secs(step.into())),
                    1 => history.note_result(tool, 5, false, step % 2 == 0),
                    _ => history.note_overheard(step.into(), step % 2 == 0),
                }
                assert_eq!(history.policy_view, history_view(&history), "{step}");
            }
        });
    }

    /// Whatever else the session does meanwhile stays.
    #[test]
    fn a_call_that_goes_on_is_left_out_with_what_its_server_said() {
        with_inbox(|tool| {
            let at = Timestamp::from_secs(1);
            let mut history = History::default();
            history.note_result(tool, 7, false, true);
            let before = history.policy_view.clone();
            history.note_call(tool, at);
            let began = history.reads();
            history.note_overheard(4, true);
            history.note_overheard(0, true);
            let said = history.reads().since(began);
            assert_eq!(history.view_without(tool, said), before);
            let mut others = History::default();
            others.note_result(tool, 7, false, true);
            for history in [&mut history, &mut others] {
                history.note_result(tool, 3, false, true);
                history.note_call(tool, at);
            }
            assert_eq!(history.view_without(tool, said), others.policy_view);
            // A session that was lost meanwhile has less than was added to it.
            let nothing = History::default();
            assert_eq!(nothing.view_without(tool, said), nothing.policy_view);
        });
    }
}
