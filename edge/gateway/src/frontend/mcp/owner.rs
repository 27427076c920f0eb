//! Whose a session of the older revisions is.
//!
//! What is in a session (answers that can be read again, questions that wait for a reply, calls that can be cancelled) is that
//! of the principal who opened it. Another token of the same root is the same principal's if it says the same of whom it is
//! for: the user, the session, the sub-agents that it was handed on to. Whatever else is appended to a token narrows what may
//! be done with it, not who does it.

use super::Scope;
use crate::enforce::Caller;
use proctor_model::{AgentId, IntentId, RevocationId, SessionId, TenantId, UserId};

/// Whom a session is for.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) tenant: TenantId,
    pub(super) agent: AgentId,
    /// The root of the token.
    pub(super) root: Option<RevocationId>,
    pub(super) session: Option<SessionId>,
    pub(super) delegation: Vec<AgentId>,
    /// The first that the token names: all others narrow it.
    pub(super) intent: Option<IntentId>,
    pub(super) user: User,
    pub(super) scope: Scope,
}

/// For which user a token is used.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum User {
    /// This one, as its intent says, or nobody in particular.
    Is(Option<UserId>),
    /// Its intent is not known here yet, or any more.
    Unknown,
}

impl User {
    fn of(caller: &Caller) -> Self {
        let Some(intent) = caller.token.intent() else {
            return Self::Is(None);
        };
        match caller.tenant.intent(intent) {
            Some(intent) => Self::Is(intent.root().user().cloned()),
            None => Self::Unknown,
        }
    }
}

impl Owner {
    pub(super) fn of(caller: &Caller, scope: &Scope) -> Self {
        let token = &caller.token;
        Self {
            tenant: caller.tenant.id.clone(),
            agent: token.agent().clone(),
            root: token.root().cloned(),
            session: token.session().cloned(),
            delegation: token.delegation().to_vec(),
            intent: token.intents().first().cloned(),
            user: User::of(caller),
            scope: scope.clone(),
        }
    }

    /// Whether it is this caller.
    pub(super) fn is(&self, caller: &Caller, scope: &Scope) -> bool {
        let token = &caller.token;
        self.tenant == caller.tenant.id
            && self.agent == *token.agent()
            && self.root.as_ref() == token.root()
            && self.session.as_ref() == token.session()
            && self.delegation == token.delegation()
            && self.scope == *scope
            && self.has_user_of(caller)
    }

    /// One intent has one user, whether it is known at the moment or not. Users of whom nothing is known are not the same.
    fn has_user_of(&self, caller: &Caller) -> bool {
        self.intent.as_ref() == caller.token.intents().first()
            || (self.user != User::Unknown && self.user == User::of(caller))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::world::TenantState;
    use proctor_engine::CompiledIntent;
    use proctor_engine::token::{KeyRing, MintRequest, mint, verify};
    use proctor_model::Timestamp;
    use proctor_model::config::{TokenKey, TokenKeys};
    use proctor_model::intent::{Intent, IntentDeclaration};
    use proctor_runtime::Clock;
    use serde_json::{Value, json};
    use std::sync::Arc;

    const NOW: i64 = 1_800_000_000;
    const KEY: [u8; 32] = [7; 32];

    pub(crate) fn tenant() -> Arc<TenantState> {
        let (clock, _hand) = Clock::at(Timestamp::from_secs(NOW));
        Arc::new(TenantState::new("acme".parse().unwrap(), clock))
    }

    /// With a token of one root: the one that this nonce makes.
    pub(crate) fn caller(tenant: &Arc<TenantState>, nonce: u8, appended: &[&str]) -> Caller {
        let key = TokenKey {
            kid: "k1".parse().unwrap(),
            key: KEY,
            not_after: None,
        };
        let needed = [
            format!("time < {}", Timestamp::from_secs(NOW + 600)),
            "tool in bank/*".to_owned(),
        ];
        let appended = appended.iter().map(|caveat| (*caveat).to_owned());
        let request = MintRequest {
            tenant: "acme".parse().unwrap(),
            agent: "copilot".parse().unwrap(),
            caveats: needed
                .into_iter()
                .chain(appended)
                .map(|caveat| caveat.parse().unwrap())
                .collect(),
        };
        let token = mint(&request, &key, [nonce; 16], Timestamp::from_secs(NOW)).unwrap();
        let keys = TokenKeys {
            keys: vec![key],
            digest_key: KEY,
            secrets: Vec::new(),
        };
        let ring = KeyRing::new("acme".parse().unwrap(), &keys);
        Caller {
            tenant: Arc::clone(tenant),
            token: Arc::new(verify(&token, &ring).unwrap()),
        }
    }

    fn declare(tenant: &TenantState, id: &str, user: &Value) {
        let declaration: IntentDeclaration =
            serde_json::from_value(json!({ "agent": "copilot", "user": user,
            "goal": "do it", "actions": [{ "tool": "bank/pay" }], "expires_in_s": 60 }))
            .unwrap();
        let intent = Intent {
            v: 1,
            id: id.parse().unwrap(),
            tenant: "acme".parse().unwrap(),
            declared_at: Timestamp::from_secs(NOW),
            expires_at: Timestamp::from_secs(NOW + 60),
            declared_by: "backend".into(),
            declaration,
            parent: None,
        };
        tenant.add_intent(CompiledIntent::compile(intent).unwrap());
    }

    #[test]
    fn a_session_is_its_principals_whatever_else_is_appended() {
        let tenant = tenant();
        let owner = Owner::of(&caller(&tenant, 3, &["session = s-1"]), &Scope::All);
        let is =
            |nonce: u8, appended: &[&str]| owner.is(&caller(&tenant, nonce, appended), &Scope::All);
        for same in [
            &["session = s-1"][..],
            &["session = s-1", "verb in read"],
            &["calls <= 5", "session = s-1"],
        ] {
            assert!(is(3, same), "{same:?}");
        }
        for other in [
            &["verb in read"][..],
            &["session = s-2"],
            &["session = s-1", "delegate = helper"],
        ] {
            assert!(!is(3, other), "{other:?}");
        }
        assert!(!is(4, &["session = s-1"]), "another token");
        let elsewhere = Scope::One("bank".parse().unwrap());
        assert!(!owner.is(&caller(&tenant, 3, &["session = s-1"]), &elsewhere));
        let helper = ["session = s-1", "delegate = helper"];
        let helpers = Owner::of(&caller(&tenant, 3, &helper), &Scope::All);
        assert!(!helpers.is(&caller(&tenant, 3, &["session = s-1"]), &Scope::All));
        assert!(helpers.is(&caller(&tenant, 3, &helper), &Scope::All));
    }

    #[test]
    fn a_session_is_its_users_own() {
        let tenant = tenant();
        for (id, user) in [
            ("int_1", json!("alice")),
            ("int_2", json!("alice")),
            ("int_3", json!("bob")),
            ("int_4", Value::Null),
        ] {
            declare(&tenant, id, &user);
        }
        let named = |id: &str| {
            let intent = format!("intent = {id}");
            caller(&tenant, 3, &[intent.as_str()])
        };
        let owner = |id: &str| Owner::of(&named(id), &Scope::All);
        let nobodys = Owner::of(&caller(&tenant, 3, &[]), &Scope::All);
        for (mine, theirs, same) in [
            ("int_1", "int_1", true),
            // A later intent of the same user.
            ("int_1", "int_2", true),
            ("int_1", "int_3", false),
            ("int_1", "int_4", false),
            // Of an intent that has not come yet only this much is known: that it is itself.
            ("int_8", "int_8", true),
            ("int_8", "int_9", false),
            ("int_8", "int_1", false),
            ("int_1", "int_8", false),
        ] {
            let is = owner(mine).is(&named(theirs), &Scope::All);
            assert_eq!(is, same, "{mine} {theirs}");
        }
        assert!(nobodys.is(&named("int_4"), &Scope::All));
        assert!(!nobodys.is(&named("int_1"), &Scope::All));
        let early = owner("int_8");
        declare(&tenant, "int_8", &json!("alice"));
        assert!(early.is(&named("int_8"), &Scope::All), "now it is known");
    }
}
