//! `requestState`: what a client has to give back with its replies, sealed so that it can neither be read nor used for
//! anything but the request that it belongs to.

use crate::enforce::Caller;
use crate::seal::Seal;
use proctor_engine::ToolQuery;
use proctor_model::{Reason, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How long a client may take to reply, in seconds.
const LIFE_S: i64 = 900;
/// Questions of one answer, and bytes of the name of one.
const NAMES_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 256;

/// What is sealed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    /// Names it; a call that is held waits under it.
    number: u128,
    /// Until when, in microseconds of the epoch.
    until: i64,
    /// The server's own state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// The names of the questions: only these get a reply.
    #[serde(default)]
    asked: Vec<String>,
}

/// What a client gave back.
pub(super) struct Opened {
    pub(super) number: u128,
    pub(super) state: Option<String>,
    pub(super) asked: Vec<String>,
}

/// The request that a state belongs to: by whom, for what, with which arguments.
pub(super) struct Subject(Seal);

impl Subject {
    /// # Errors
    /// If the tenant's keys are not here.
    pub(super) fn new(
        caller: &Caller,
        tool: &ToolQuery,
        arguments: &Map<String, Value>,
    ) -> Result<Self, Reason> {
        let keys = caller.tenant.keys().ok_or(Reason::NotReady)?;
        let key = proctor_engine::token::request_state_key(&keys.digest_key);
        let token = &caller.token;
        let digest = proctor_engine::decision::args_digest(arguments, &keys.digest_key);
        let tool = match tool {
            ToolQuery::On(server, name) => ("on", server.as_str(), name.as_str()),
            ToolQuery::Any(name) => ("any", "", name.as_str()),
        };
        let bound = serde_json::json!({
            "tenant": token.tenant(), "agent": token.agent(), "session": token.session(),
            "root": token.root(), "tool": tool, "arguments": digest,
        });
        Seal::new(key, &bound).map(Self)
    }

    /// Seals a server's state for the client, with the names of what is asked.
    ///
    /// # Errors
    /// If a server asks too much at once, or under too long a name.
    pub(super) fn seal(
        &self,
        number: u128,
        state: Option<String>,
        asked: Vec<String>,
        now: Timestamp,
    ) -> Result<String, Reason> {
        if asked.len() > NAMES_MAX || asked.iter().any(|name| name.len() > NAME_BYTES_MAX) {
            return Err(Reason::OutputInvalid);
        }
        self.0.close(&Sealed {
            number,
            until: now.plus_secs(LIFE_S).as_micros(),
            state,
            asked,
        })
    }

    /// # Errors
    /// If it is not one that was sealed for this request, or it is over.
    pub(super) fn open(&self, text: &str, now: Timestamp) -> Result<Opened, Reason> {
        let sealed: Sealed = self.0.open(text).ok_or(Reason::StateRefused)?;
        if now.as_micros() >= sealed.until {
            return Err(Reason::StateRefused);
        }
        Ok(Opened {
            number: sealed.number,
            state: sealed.state,
            asked: sealed.asked,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_opens_for_its_own_request_alone_and_not_for_ever() {
        let subject = |bound: &str| Subject(Seal::new([7; 32], &bound).unwrap());
        let now = Timestamp::from_secs(1_700_000_000);
        let asked = vec!["q".to_owned()];
        let sealed = subject("a").seal(5, Some("theirs".into()), asked.clone(), now);
        let sealed = sealed.unwrap();
        let opened = subject("a").open(&sealed, now.plus_secs(800)).unwrap();
        assert_eq!(
            (opened.number, opened.state.as_deref()),
            (5, Some("theirs"))
        );
        assert_eq!(opened.asked, asked);
        let many = vec!["q".to_owned(); NAMES_MAX + 1];
        assert!(subject("a").seal(5, None, many, now).is_err());
        assert!(subject("b").open(&sealed, now).is_err(), "another request");
        let over = now.plus_secs(LIFE_S);
        assert!(subject("a").open(&sealed, over).is_err(), "over");
    }
}
