//! A verified token, and what it allows.

use super::{ArgCaveat, Caveat, Identifier, ToolGlob};
use crate::world::{CountKey, Revocations};
use proctor_model::catalogue::Verb;
use proctor_model::{
    AgentId, EdgeId, IntentId, KeyId, KeyThumbprint, Reason, Region, RevocationId, SessionId,
    TenantId, Timestamp, ToolRef, UserId,
};
use serde_json::Value;

/// A token whose chain verified, with its caveats collected: what an edge caches.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    tenant: TenantId,
    agent: AgentId,
    kid: KeyId,
    key_not_after: Option<Timestamp>,
    issued_at: Timestamp,
    nonce: [u8; 16],
    prefixes: Vec<RevocationId>,
    login: Option<LoginOf>,
    not_before: Option<Timestamp>,
    expires_at: Timestamp,
    tools_in: Vec<Vec<ToolGlob>>,
    tools_not_in: Vec<ToolGlob>,
    verbs: Vec<Vec<Verb>>,
    args: Vec<ArgCaveat>,
    ceilings: Vec<Ceiling>,
    regions: Vec<Vec<Region>>,
    edges: Vec<EdgeId>,
    pinned: bool,
    agents: Vec<AgentId>,
    intents: Vec<IntentId>,
    sessions: Vec<SessionId>,
    delegation: Vec<AgentId>,
    keys: Vec<KeyThumbprint>,
    pub(crate) policy_view: regorus::Value,
}

/// Whose access token of an identity provider it stands for.
#[derive(Clone, Debug)]
struct LoginOf {
    line: RevocationId,
    user: UserId,
}

/// A `calls <=` or `cost <=` caveat. It is counted under the prefix that first held it, so that all tokens derived from
/// that prefix draw on one count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ceiling {
    /// The count.
    pub key: CountKey,
    /// Most calls, or micro-units.
    pub most: u64,
    /// From then on nothing can draw on it; none: not known where it stands in the token.
    pub until: Option<Timestamp>,
}

fn never() -> Timestamp {
    Timestamp::from_micros(i64::MAX)
}

impl VerifiedToken {
    /// `prefixes` has one more element than `caveats`: the bare token's comes first.
    pub(super) fn collect(
        identifier: &Identifier,
        key_not_after: Option<Timestamp>,
        prefixes: Vec<RevocationId>,
        caveats: &[Caveat],
    ) -> Self {
        let mut token = Self {
            tenant: identifier.tenant.clone(),
            agent: identifier.agent.clone(),
            kid: identifier.kid.clone(),
            key_not_after,
            issued_at: identifier.iat,
            nonce: identifier.nonce,
            prefixes: Vec::new(),
            login: None,
            not_before: None,
            expires_at: never(),
            tools_in: Vec::new(),
            tools_not_in: Vec::new(),
            verbs: Vec::new(),
            args: Vec::new(),
            ceilings: Vec::new(),
            regions: Vec::new(),
            edges: Vec::new(),
            pinned: false,
            agents: Vec::new(),
            intents: Vec::new(),
            sessions: Vec::new(),
            delegation: Vec::new(),
            keys: Vec::new(),
            policy_view: regorus::Value::Undefined,
        };
        for (caveat, prefix) in caveats.iter().zip(prefixes.iter().skip(1)) {
            token.add(caveat.clone(), prefix);
        }
        token.prefixes = prefixes;
        token.policy_view = crate::policy::token_view(&token);
        token
    }

    fn add(&mut self, caveat: Caveat, prefix: &RevocationId) {
        match caveat {
            Caveat::Before(time) => self.expires_at = self.expires_at.min(time),
            Caveat::NotBefore(time) => {
                self.not_before = Some(self.not_before.map_or(time, |start| start.max(time)));
            }
            Caveat::ToolIn(globs) => self.tools_in.push(globs),
            Caveat::ToolNotIn(globs) => self.tools_not_in.extend(globs),
            Caveat::Intent(id) => self.intents.push(id),
            Caveat::Session(id) => self.sessions.push(id),
            Caveat::Agent(id) => self.agents.push(id),
            Caveat::Delegate(name) => self.delegation.push(name),
            Caveat::VerbIn(verbs) => self.verbs.push(verbs),
            Caveat::Arg(caveat) => self.args.push(caveat),
            Caveat::Calls(most) => self.limit(CountKey::Token(prefix.clone()), most.into()),
            Caveat::Cost(most) => self.limit(CountKey::TokenCost(prefix.clone()), most),
            Caveat::RegionIn(regions) => self.regions.push(regions),
            Caveat::Edge(id) => {
                self.pinned |= self.expires_at == never() || self.tools_in.is_empty();
                self.edges.push(id);
            }
            Caveat::Cnf(key) => self.keys.push(key),
            Caveat::Depth(_) => {} // Checked over the whole chain when it was verified.
        }
    }

    fn limit(&mut self, key: CountKey, most: u64) {
        self.ceilings.push(Ceiling {
            key,
            most,
            // What came after may differ between tokens that share this ceiling.
            until: Some(self.expires_at).filter(|at| *at < never()),
        });
    }

    /// Everything about the token that does not depend on the call: its time, its key, revocation of each
    /// prefix, agent and session, place.
    ///
    /// # Errors
    /// The reason for which it is refused.
    pub fn check_standing(
        &self,
        now: Timestamp,
        region: &Region,
        edge: &EdgeId,
        revocations: &dyn Revocations,
    ) -> Result<(), Reason> {
        if self.key_not_after.is_some_and(|end| now >= end) {
            return Err(Reason::TokenUnknownKey);
        }
        if now >= self.expires_at {
            return Err(Reason::TokenExpired);
        }
        if self.not_before.is_some_and(|start| now < start) {
            return Err(Reason::TokenNotYetValid);
        }
        if self.prefixes.iter().any(|id| revocations.is_revoked(id)) {
            return Err(Reason::TokenRevoked);
        }
        let one = |ids: &[SessionId]| ids.iter().all(|id| Some(id) == ids.first());
        if self.agents.iter().any(|id| *id != self.agent) || !one(&self.sessions) {
            return Err(Reason::TokenWrongContext);
        }
        if self.edges.iter().any(|id| id != edge)
            || self.regions.iter().any(|regions| !regions.contains(region))
        {
            return Err(Reason::TokenWrongPlace);
        }
        Ok(())
    }

    /// Whether its tool and verb caveats cover this tool.
    ///
    /// # Errors
    /// [`Reason::ToolNotInToken`], [`Reason::VerbNotInToken`].
    pub fn check_tool(&self, tool: &ToolRef, verb: Verb) -> Result<(), Reason> {
        if !self.covers(tool) {
            return Err(Reason::ToolNotInToken);
        }
        if self.verbs.iter().all(|verbs| verbs.contains(&verb)) {
            Ok(())
        } else {
            Err(Reason::VerbNotInToken)
        }
    }

    /// Whether its tool caveats cover this tool, whatever its verb.
    #[must_use]
    pub fn covers(&self, tool: &ToolRef) -> bool {
        let granted = |globs: &[ToolGlob]| globs.iter().any(|glob| glob.grants(tool));
        let excluded = self.tools_not_in.iter().any(|glob| glob.matches(tool));
        self.tools_in.iter().all(|globs| granted(globs)) && !excluded
    }

    /// Whether its argument caveats cover these arguments (a JSON object).
    ///
    /// # Errors
    /// [`Reason::ArgumentNotInToken`].
    pub fn check_arguments(&self, tool: &ToolRef, arguments: &Value) -> Result<(), Reason> {
        if self.args.iter().all(|arg| arg.allows(tool, arguments)) {
            Ok(())
        } else {
            Err(Reason::ArgumentNotInToken)
        }
    }

    /// Whether it holds the arguments of this tool against nothing that the other one does not hold them against as well.
    pub(crate) fn holds_arguments_as(&self, other: &Self, tool: &ToolRef) -> bool {
        let mut own = self.args.iter().filter(|arg| arg.tool.matches(tool));
        own.all(|arg| other.args.contains(arg))
    }

    /// Its own ceilings of calls and cost.
    pub fn ceilings(&self) -> impl Iterator<Item = Ceiling> + '_ {
        self.ceilings.iter().cloned()
    }

    /// Compiled patterns that it holds: what it costs to keep it.
    #[must_use]
    pub fn patterns(&self) -> usize {
        let matches = |arg: &&ArgCaveat| matches!(arg.test, super::ArgTest::Matches(_));
        self.args.iter().filter(matches).count()
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The agent it was minted for.
    #[must_use]
    pub fn agent(&self) -> &AgentId {
        &self.agent
    }

    /// The key it was minted with.
    #[must_use]
    pub fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// When it was minted.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// The earliest of its expiries.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Its id: the revocation id of the last prefix. Nobody appends to what stands for an access token, and its caveats are the
    /// issuer's, which may change: there it is the first prefix's.
    #[must_use]
    pub fn id(&self) -> Option<&RevocationId> {
        match self.login {
            Some(_) => self.prefixes.first(),
            None => self.prefixes.last(),
        }
    }

    /// Revocation ids of all prefixes, the bare token's first, its own last.
    #[must_use]
    pub fn revocation_ids(&self) -> &[RevocationId] {
        &self.prefixes
    }

    /// The same token as one that stands for an access token of an identity provider, which this user got. `line` is of the form
    /// of a revocation id, and nothing is revoked by it.
    #[must_use]
    pub fn of_login(mut self, line: RevocationId, user: UserId) -> Self {
        self.login = Some(LoginOf { line, user });
        self
    }

    /// Who logged in, where it stands for an access token.
    #[must_use]
    pub fn login_user(&self) -> Option<&UserId> {
        self.login.as_ref().map(|login| &login.user)
    }

    /// What makes it differ from all others: 16 bytes ([`nonce_of`](super::nonce_of)).
    #[must_use]
    pub fn nonce(&self) -> [u8; 16] {
        self.nonce
    }

    /// Whether it stands for an access token of an identity provider, which its sender holds in its place.
    #[must_use]
    pub fn is_of_login(&self) -> bool {
        self.login.is_some()
    }

    /// In whose name sessions, tasks and questions are held: its bare prefix's, so that what is appended to it changes nothing. A
    /// login's access tokens follow on each other every few minutes: there it is their line's.
    #[must_use]
    pub fn root(&self) -> Option<&RevocationId> {
        let line = self.login.as_ref().map(|login| &login.line);
        line.or_else(|| self.prefixes.first())
    }

    /// The intent it is bound to: the last one that it names.
    #[must_use]
    pub fn intent(&self) -> Option<&IntentId> {
        self.intents.last()
    }

    /// All intents that it names, in order: each has to narrow the one before, or be the same.
    #[must_use]
    pub fn intents(&self) -> &[IntentId] {
        &self.intents
    }

    /// The session it is bound to.
    #[must_use]
    pub fn session(&self) -> Option<&SessionId> {
        self.sessions.first()
    }

    /// Whether its issuer pinned it to one edge (`edge =`). A holder can append that caveat too, another one for each edge;
    /// what stands before the token has an expiry and a tool list, without which none is given out, the issuer wrote.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// Whether it is bound to a key (`cnf`): then it is good only with a proof that its sender has that key, which who
    /// receives it has to ask for.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Whether this is the key that it is bound to. One that is bound to two keys is good with neither: who attenuates
    /// can't rebind it.
    #[must_use]
    pub fn is_bound_to(&self, key: &KeyThumbprint) -> bool {
        self.is_bound() && self.keys.iter().all(|bound| bound == key)
    }

    /// The sub-agents it was handed on to, in order.
    #[must_use]
    pub fn delegation(&self) -> &[AgentId] {
        &self.delegation
    }
}
