//! Reading what a policy said. Anything but a well-formed decision object is an error.

use super::compile::CompiledPolicy;
use crate::limits::{
    POLICY_REASON_BYTES_MAX, POLICY_REASONS_MAX, POLICY_REDACT_BYTES_MAX, POLICY_REDACT_MAX,
};
use proctor_model::{PolicyId, Reason};
use regorus::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What a policy decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Let it pass.
    Allow,
    /// Refuse.
    Deny,
    /// Ask a person.
    Escalate,
    /// Let it pass with obligations.
    Modify,
    /// Wait for a condition.
    Defer,
}

impl Effect {
    /// Name as in the policy's decision and in audit.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Escalate => "escalate",
            Self::Modify => "modify",
            Self::Defer => "defer",
        }
    }
}

/// A well-formed decision of one policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyDecision {
    /// What it decided.
    pub effect: Effect,
    /// Its reasons. Only texts that stand in the policy's source; another one, which could carry a value of the
    /// call, shows as `(computed)`.
    pub reasons: Vec<String>,
    /// Of each of these that shows as `(computed)`, by its place, the SHA-256 digest of its text.
    unshown: BTreeMap<usize, [u8; 32]>,
    /// Largest answer, in bytes.
    pub bytes_max: Option<u64>,
    /// Most rows in the answer.
    pub rows_max: Option<u64>,
    /// Most tokens of a model's answer.
    pub tokens_max: Option<u64>,
    /// What is to be taken out: JSON Pointers (into the arguments in the request phase, into the documents of the answer in
    /// the response phase; `*` for any one step).
    pub redact: Vec<String>,
    /// Classes of content that are to be taken out.
    pub redact_classes: Vec<String>,
}

/// One reason for which a policy asks for a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ask {
    /// The policy.
    pub(crate) policy: String,
    /// The reason as it may be shown; empty if the policy gives none.
    pub(crate) rule: String,
    /// What tells it from others that show alike.
    pub(crate) unshown: Option<[u8; 32]>,
}

impl PolicyDecision {
    /// What a person is asked for, if that is what it says.
    pub(super) fn asks(&self, policy: &PolicyId) -> Vec<Ask> {
        let ask = |(at, rule): (usize, &str)| Ask {
            policy: policy.to_string(),
            rule: rule.to_owned(),
            unshown: self.unshown.get(&at).copied(),
        };
        match self.effect {
            Effect::Escalate if self.reasons.is_empty() => vec![ask((0, ""))],
            Effect::Escalate => {
                let rules = self.reasons.iter().map(String::as_str);
                rules.enumerate().map(ask).collect()
            }
            Effect::Allow | Effect::Deny | Effect::Modify | Effect::Defer => Vec::new(),
        }
    }

    /// Reads the value of the entry point.
    pub(super) fn read(value: &Value, policy: &CompiledPolicy) -> Result<Self, Reason> {
        let Value::Object(members) = value else {
            return Err(Reason::PolicyError);
        };
        let mut decision = Self {
            effect: Effect::Deny,
            reasons: Vec::new(),
            unshown: BTreeMap::new(),
            bytes_max: None,
            rows_max: None,
            tokens_max: None,
            redact: Vec::new(),
            redact_classes: Vec::new(),
        };
        let mut effect = None;
        for (key, value) in members.iter() {
            match text(key) {
                Some("effect") => effect = Some(read_effect(value)?),
                Some("reasons") => decision.read_reasons(value, policy)?,
                Some("redact") => decision.read_redact(value)?,
                Some("limits") => decision.read_limits(value)?,
                _ => return Err(Reason::PolicyError),
            }
        }
        decision.effect = effect.ok_or(Reason::PolicyError)?;
        Ok(decision)
    }

    fn read_reasons(&mut self, value: &Value, policy: &CompiledPolicy) -> Result<(), Reason> {
        let elements = elements(value)?;
        if elements.len() > POLICY_REASONS_MAX {
            return Err(Reason::PolicyError);
        }
        for (at, reason) in elements.into_iter().enumerate() {
            let reason = text(reason).ok_or(Reason::PolicyError)?;
            let written = policy.literals.contains(reason);
            if written && reason.len() <= POLICY_REASON_BYTES_MAX {
                self.reasons.push(reason.to_owned());
            } else {
                self.reasons.push("(computed)".to_owned());
                self.unshown.insert(at, Sha256::digest(reason).into());
            }
        }
        Ok(())
    }

    fn read_redact(&mut self, value: &Value) -> Result<(), Reason> {
        let elements = elements(value)?;
        if elements.len() > POLICY_REDACT_MAX {
            return Err(Reason::PolicyError);
        }
        for element in elements {
            let what = text(element).filter(|what| what.len() <= POLICY_REDACT_BYTES_MAX);
            match what.ok_or(Reason::PolicyError)? {
                "" => return Err(Reason::PolicyError),
                pointer if pointer.starts_with('/') => self.redact.push(pointer.to_owned()),
                class => self.redact_classes.push(class.to_owned()),
            }
        }
        Ok(())
    }

    fn read_limits(&mut self, value: &Value) -> Result<(), Reason> {
        let Value::Object(members) = value else {
            return Err(Reason::PolicyError);
        };
        for (key, value) in members.iter() {
            let limit = value.as_u64().map_err(|_| Reason::PolicyError)?;
            match text(key) {
                Some("bytes") => self.bytes_max = Some(limit),
                Some("rows") => self.rows_max = Some(limit),
                Some("tokens") => self.tokens_max = Some(limit),
                _ => return Err(Reason::PolicyError),
            }
        }
        Ok(())
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn read_effect(value: &Value) -> Result<Effect, Reason> {
    let name = text(value).ok_or(Reason::PolicyError)?;
    [
        Effect::Allow,
        Effect::Deny,
        Effect::Escalate,
        Effect::Modify,
        Effect::Defer,
    ]
    .into_iter()
    .find(|effect| effect.as_str() == name)
    .ok_or(Reason::PolicyError)
}

/// The elements of an array or a set (a partial rule gives a set).
fn elements(value: &Value) -> Result<Vec<&Value>, Reason> {
    match value {
        Value::Array(elements) => Ok(elements.iter().collect()),
        Value::Set(elements) => Ok(elements.iter().collect()),
        _ => Err(Reason::PolicyError),
    }
}
