//! Why a call was refused: the closed list, with the code of each protocol in one place.

use serde::{Deserialize, Serialize};

/// The control that decided.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// The message itself: JSON, JSON-RPC, MCP, HTTP.
    Protocol,
    /// Capability token.
    Capability,
    /// Declared intent and value provenance.
    Intent,
    /// Rego policy.
    Policy,
    /// Budgets and counts.
    Budget,
    /// Memory provenance.
    Provenance,
    /// Content filter.
    Content,
    /// Checks of the tool's answer.
    Output,
    /// Tenant isolation.
    Tenant,
    /// Something needed is missing, late or broken: fail closed.
    Unavailable,
    /// Escalated to a person.
    Approval,
}

impl Control {
    /// Name as in `data.control` of an error.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::Capability => "capability",
            Self::Intent => "intent",
            Self::Policy => "policy",
            Self::Budget => "budget",
            Self::Provenance => "provenance",
            Self::Content => "content",
            Self::Output => "output",
            Self::Tenant => "tenant",
            Self::Unavailable => "unavailable",
            Self::Approval => "approval",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $control:ident, $rpc:literal, $http:literal, $message:literal;)+) => {
        /// A stable reason for a refusal. `code` (snake_case) is what outsiders match on.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Reason { $($(#[$doc])* $name,)+ }

        impl Reason {
            /// Every reason, for tests and the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable identifier, `data.reason`.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The control it belongs to.
            #[must_use]
            pub fn control(self) -> Control {
                match self { $(Self::$name => Control::$control,)+ }
            }

            /// JSON-RPC error code, for MCP up to 2025-11-25 and the plain endpoint.
            #[must_use]
            pub fn rpc_code(self) -> i32 {
                match self { $(Self::$name => $rpc,)+ }
            }

            /// HTTP status on the plain endpoint.
            #[must_use]
            pub fn http_status(self) -> u16 {
                match self { $(Self::$name => $http,)+ }
            }

            /// A sentence that a developer can act on. Holds no value of the call.
            #[must_use]
            pub fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)+ }
            }
        }
    };
}

reasons! {
    /// The body is not one strict JSON text.
    InvalidJson = "invalid_json", Protocol, -32700, 400, "The body is not valid JSON: send one UTF-8 JSON text without trailing bytes.";
    /// A key is there twice at one level.
    DuplicateKey = "duplicate_key", Protocol, -32700, 400, "An object has the same key twice: send each key once.";
    /// A key folds (case, NFKC) onto another or onto a known one.
    AmbiguousKey = "ambiguous_key", Protocol, -32700, 400, "A key differs from another or from a known one only by case or Unicode form: spell it exactly.";
    /// A number does not survive a round trip.
    UnsafeNumber = "unsafe_number", Protocol, -32700, 400, "A number cannot be represented exactly: use integers within 2^53, or a string.";
    /// Nested too deeply.
    TooDeep = "too_deep", Protocol, -32700, 400, "The JSON is nested too deeply.";
    /// Larger than the limit.
    TooLarge = "too_large", Protocol, -32600, 413, "The message is larger than the limit.";
    /// JSON, but no JSON-RPC 2.0 request.
    InvalidRequest = "invalid_request", Protocol, -32600, 400, "Not a JSON-RPC 2.0 request.";
    /// HTTP method, path, header or content type is not one of ours.
    InvalidTransport = "invalid_transport", Protocol, -32600, 400, "The HTTP request is not one this endpoint takes: see its method, content type and headers.";
    /// Header and body disagree, or a required header is missing (MCP 2026-07-28).
    HeaderMismatch = "header_mismatch", Protocol, -32020, 400, "A header does not say the same as the body, or is missing.";
    /// The protocol version is not supported.
    UnsupportedVersion = "unsupported_version", Protocol, -32022, 400, "This protocol version is not supported.";
    /// The MCP session is unknown or over.
    UnknownSession = "unknown_session", Protocol, -32600, 404, "This MCP session does not exist (any more): initialize anew.";
    /// Method unknown.
    UnknownMethod = "unknown_method", Protocol, -32601, 404, "This method is not known here.";
    /// Parameters do not fit the method.
    InvalidParams = "invalid_params", Protocol, -32602, 400, "The parameters do not fit the method.";
    /// The resource is not in the catalogue.
    UnknownResource = "unknown_resource", Protocol, -32602, 400, "No such resource is available here.";
    /// `requestState` is not one that was given to this caller for this request, or it is over.
    StateRefused = "state_refused", Protocol, -32602, 400, "The requestState was not given to this caller for this request, or is no longer valid: make the request anew.";
    /// The task is not one of this caller's, or it is over: the same answer for both.
    TaskUnknown = "task_unknown", Protocol, -32602, 400, "There is no such task of this caller (any more).";
    /// The tool is not run as a task.
    TaskUnsupported = "task_unsupported", Protocol, -32601, 404, "This tool is not run as a task: call it without 'task'.";
    /// The client can't answer what the server would ask (MCP 2026-07-28).
    CapabilityMissing = "capability_missing", Protocol, -32021, 400, "This needs a capability that the client does not declare.";
    /// The arguments do not fit the tool's input schema.
    InvalidArguments = "invalid_arguments", Protocol, -32602, 400, "The arguments do not fit the tool's input schema.";

    /// No token.
    TokenMissing = "token_missing", Capability, -32010, 401, "No capability token: send 'Authorization: Bearer pct_…'.";
    /// Not a token at all.
    TokenMalformed = "token_malformed", Capability, -32010, 401, "The capability token is malformed.";
    /// Signed with a key we don't hold.
    TokenUnknownKey = "token_unknown_key", Capability, -32010, 401, "The capability token was made with a key that is unknown here, or no longer valid.";
    /// The HMAC chain does not verify.
    TokenForged = "token_forged", Capability, -32010, 401, "The capability token does not verify.";
    /// A caveat that we can't parse or can't enforce.
    TokenUnknownCaveat = "token_unknown_caveat", Capability, -32010, 401, "The capability token has a caveat that is unknown or cannot be enforced here.";
    /// A caveat that each token needs is missing.
    TokenIncomplete = "token_incomplete", Capability, -32010, 401, "The capability token lacks a required caveat (an expiry and a tool list).";
    /// Over.
    TokenExpired = "token_expired", Capability, -32010, 401, "The capability token has expired.";
    /// Not yet.
    TokenNotYetValid = "token_not_yet_valid", Capability, -32010, 401, "The capability token is not valid yet.";
    /// It, or a token it derives from, was revoked.
    TokenRevoked = "token_revoked", Capability, -32010, 401, "The capability token, or one that it derives from, was revoked.";
    /// The token is bound to a key, and the request does not show that its sender has it.
    ProofMissing = "proof_missing", Capability, -32010, 401, "The capability token is bound to a key: send 'Authorization: DPoP <token>' and a proof in the header 'DPoP' (RFC 9449).";
    /// The proof is not one, not of that key, not for this request, too old, or was used before.
    ProofInvalid = "proof_invalid", Capability, -32010, 401, "The DPoP proof is not valid for this request and this token, or was used before: sign a new one for each request.";
    /// Nobody here trusts who made the identity provider's token.
    LoginIssuerUnknown = "login_issuer_unknown", Capability, -32010, 401, "No tenant here takes tokens of this issuer for this target.";
    /// The identity provider's token is not for us.
    LoginWrongAudience = "login_wrong_audience", Capability, -32010, 401, "The identity provider's token is for another audience than the one that is trusted here.";
    /// The identity provider's token does not verify.
    LoginTokenInvalid = "login_token_invalid", Capability, -32010, 401, "The identity provider's token does not verify: see its form, type, algorithm, key and signature.";
    /// The identity provider's token is over, or not valid yet.
    LoginTokenExpired = "login_token_expired", Capability, -32010, 401, "The identity provider's token has expired, or is not valid yet.";
    /// The identity provider's token is good, and gives nothing.
    LoginNotAdmitted = "login_not_admitted", Capability, -32010, 403, "The identity provider's token gives nothing here: it lacks a scope, its user, or a client that stands for an agent.";
    /// The agent is disabled or gone.
    AgentDisabled = "agent_disabled", Capability, -32010, 403, "The agent is disabled or no longer registered.";
    /// Kill switch of the whole platform.
    KilledPlatform = "killed_platform", Capability, -32010, 403, "An operator has stopped all calls on this platform.";
    /// Kill switch of the tenant.
    KilledTenant = "killed_tenant", Capability, -32010, 403, "An operator has stopped all calls of this tenant.";
    /// Kill switch of the agent.
    KilledAgent = "killed_agent", Capability, -32010, 403, "An operator has stopped this agent.";
    /// Kill switch of the tool.
    KilledTool = "killed_tool", Capability, -32010, 403, "An operator has stopped this tool.";
    /// Tool caveat.
    ToolNotInToken = "tool_not_in_token", Capability, -32010, 403, "The capability token does not cover this tool.";
    /// Verb caveat.
    VerbNotInToken = "verb_not_in_token", Capability, -32010, 403, "The capability token does not cover this kind of operation.";
    /// Argument caveat.
    ArgumentNotInToken = "argument_not_in_token", Capability, -32010, 403, "An argument is outside what the capability token allows.";
    /// Session or agent caveat.
    TokenWrongContext = "token_wrong_context", Capability, -32010, 403, "The capability token is bound to another agent or session.";
    /// Delegated more often than a `depth` caveat allows.
    DelegationTooDeep = "delegation_too_deep", Capability, -32010, 403, "The capability token was delegated further than it allows.";
    /// Region or edge caveat.
    TokenWrongPlace = "token_wrong_place", Capability, -32010, 403, "The capability token is not valid at this place.";
    /// The tool is not in the catalogue (or hidden: held back, or of another tenant).
    UnknownTool = "unknown_tool", Capability, -32010, 403, "No such tool is available to this token.";
    /// A bare tool name that several servers have.
    AmbiguousTool = "ambiguous_tool", Capability, -32010, 403, "Several servers have a tool of this name: use its full name.";
    /// The definition differs from the approved one.
    DefinitionChanged = "definition_changed", Capability, -32010, 403, "The tool's definition changed after it was approved: an operator has to approve it anew.";

    /// The token names no intent and the tenant requires one.
    IntentMissing = "intent_missing", Intent, -32011, 403, "No declared intent: the application has to declare what the user asked for.";
    /// The intent isn't known here.
    IntentUnknown = "intent_unknown", Intent, -32011, 403, "The declared intent is unknown, or no longer valid.";
    /// Over.
    IntentExpired = "intent_expired", Intent, -32011, 403, "The declared intent is over.";
    /// Declared for another agent, user or session.
    IntentWrongContext = "intent_wrong_context", Intent, -32011, 403, "The intent was declared for another agent or session.";
    /// No action has this tool.
    ToolNotInIntent = "tool_not_in_intent", Intent, -32011, 403, "The user did not ask for anything that needs this tool.";
    /// Arguments outside each action with this tool.
    ArgumentNotInIntent = "argument_not_in_intent", Intent, -32011, 403, "The arguments are outside what the user asked for.";
    /// `max_calls` of the action used up.
    IntentCallsExhausted = "intent_calls_exhausted", Intent, -32011, 403, "The user's request does not need more calls of this tool.";
    /// The amounts of all calls together.
    IntentTotalExceeded = "intent_total_exceeded", Intent, -32011, 403, "The user's request does not need that much: an amount would come to more over all calls.";
    /// Something else has to come first.
    OutOfOrder = "out_of_order", Intent, -32011, 403, "The intent asks for another call before this one.";
    /// A consequential value that did not come from an accepted origin.
    OriginNotAccepted = "origin_not_accepted", Intent, -32011, 403, "A consequential argument does not come from an origin that the intent accepts.";

    /// A policy said no.
    PolicyDenied = "policy_denied", Policy, -32012, 403, "A policy of the tenant denies this call.";
    /// A policy failed: error, undefined or malformed decision.
    PolicyError = "policy_error", Policy, -32012, 403, "A policy of the tenant could not be evaluated: the call is refused.";
    /// A policy ran out of time, instructions or memory.
    PolicyTimeout = "policy_timeout", Policy, -32012, 403, "A policy of the tenant took too long: the call is refused.";
    /// A policy asks to wait.
    PolicyDeferred = "policy_deferred", Policy, -32012, 403, "A policy of the tenant asks to wait: make the call again when its condition holds.";
    /// No active policy.
    PolicyMissing = "policy_missing", Policy, -32012, 403, "The tenant has no active policy: the call is refused.";
    /// An effect or obligation that this edge can't enforce.
    PolicyUnenforceable = "policy_unenforceable", Policy, -32012, 403, "A policy asks for an obligation that cannot be enforced here: the call is refused.";

    /// `calls <=` of the token used up.
    CallsExhausted = "calls_exhausted", Budget, -32013, 429, "The capability token's own ceiling of calls is reached.";
    /// An answer of a model was cut off at its ceiling of tokens.
    TokensExhausted = "tokens_exhausted", Budget, -32013, 429, "The ceiling of tokens for this answer is reached: it was cut off there.";
    /// `cost <=` of the token used up.
    CostExhausted = "cost_exhausted", Budget, -32013, 429, "The capability token's own ceiling of cost is reached.";
    /// A ceiling of the tenant's operators is reached.
    BudgetExhausted = "budget_exhausted", Budget, -32013, 429, "A budget of the tenant is used up.";
    /// No lease can be had: the counter can't be reached, or there is none.
    BudgetUnavailable = "budget_unavailable", Budget, -32013, 429, "No budget can be had right now: the call is refused.";

    /// Content that a rule blocks.
    ContentBlocked = "content_blocked", Content, -32015, 403, "A content rule of the tenant blocks what is in it.";
    /// What the rules leave of it does not fit the tool's schema.
    ContentUnfit = "content_unfit", Content, -32015, 403, "Without what a content rule removes it does not fit the tool's schema.";
    /// Memory that nobody signed.
    MemoryUnsigned = "memory_unsigned", Provenance, -32014, 403, "Memory was read that has no signed record of who wrote it.";
    /// Memory that isn't what was signed.
    MemoryAltered = "memory_altered", Provenance, -32014, 403, "Memory was read whose content is not what was written under this key.";
    /// An older version of memory than the last one.
    MemoryRolledBack = "memory_rolled_back", Provenance, -32014, 403, "Memory was read that was replaced or taken away since it was written.";
    /// Another tenant's memory.
    MemoryForeign = "memory_foreign", Provenance, -32014, 403, "Memory was read that belongs to another tenant.";
    /// Memory of too little trust.
    MemoryUntrusted = "memory_untrusted", Provenance, -32014, 403, "Memory was read that came from less trusted sources than this use needs.";
    /// What is to be written can't be signed: its items are not found.
    MemoryUnlocated = "memory_unlocated", Provenance, -32014, 403, "The items of this memory tool cannot be found: the catalogue has to say where they are, and each needs a key.";
    /// More than one call may write.
    MemoryTooMany = "memory_too_many", Provenance, -32014, 403, "One call writes more memory items or facts than can be signed at once: split it.";
    /// The ledger does not say how the items stand.
    MemoryUnavailable = "memory_unavailable", Provenance, -32014, 403, "The history of these memory items cannot be had right now: nothing is written to them.";

    /// The tool's answer breaks its output schema.
    OutputInvalid = "output_invalid", Output, -32016, 502, "The tool's answer is not valid, or does not fit its declared schema.";
    /// The tool's answer is too large.
    OutputTooLarge = "output_too_large", Output, -32016, 502, "The tool's answer is larger than the limit.";
    /// The tool's answer has more rows than a policy allows.
    OutputTooManyRows = "output_too_many_rows", Output, -32016, 502, "The tool's answer has more rows than a policy allows.";
    /// The tool took too long.
    OutputTimeout = "output_timeout", Output, -32016, 502, "The tool did not answer in time.";

    /// Not this tenant's, or not served by this edge.
    TenantNotServed = "tenant_not_served", Tenant, -32017, 403, "This edge does not serve the tenant of this token.";
    /// A value among the arguments, or a record in the answer, is not the tenant's.
    OutsideTenant = "outside_tenant", Tenant, -32017, 403, "A value reaches outside the tenant: an argument names another one, or the answer has records that are not its own.";

    /// The tool server can't be reached.
    UpstreamUnavailable = "upstream_unavailable", Unavailable, -32018, 503, "The tool server cannot be reached.";
    /// The tool server failed again and again.
    CircuitOpen = "circuit_open", Unavailable, -32018, 503, "The tool server failed again and again: it is left alone for a moment.";
    /// The tenant's credential for the upstream is missing, or not for its host, or was refused.
    UpstreamCredential = "upstream_credential", Unavailable, -32018, 503, "The credential for the tool server is missing here, is not for its host, or gets no access token.";
    /// The keys of an identity provider can't be had.
    LoginKeysUnavailable = "login_keys_unavailable", Unavailable, -32018, 503, "The identity provider's keys cannot be had right now: try again.";
    /// Config too old.
    StaleConfig = "stale_config", Unavailable, -32018, 503, "This edge has not heard from the control plane for too long: the call is refused.";
    /// Nothing loaded yet.
    NotReady = "not_ready", Unavailable, -32018, 503, "This edge is still loading its configuration.";
    /// The spool can't take the event.
    AuditUnavailable = "audit_unavailable", Unavailable, -32018, 503, "The audit record cannot be written: the call is refused.";
    /// Too much at once.
    Overloaded = "overloaded", Unavailable, -32018, 503, "Too many calls are in flight.";
    /// A defect; the cause is in the log under the decision id.
    Internal = "internal", Unavailable, -32018, 503, "An internal error: the call is refused.";

    /// Escalated: a person is asked.
    ApprovalRequired = "approval_required", Approval, -32019, 202, "A person has to approve this call.";
    /// Nobody has decided yet.
    ApprovalPending = "approval_pending", Approval, -32019, 202, "The approval still waits for a person.";
    /// A person said no.
    ApprovalDenied = "approval_denied", Approval, -32019, 403, "The approval was denied.";
    /// Nobody decided, or the call did not come, in time.
    ApprovalExpired = "approval_expired", Approval, -32019, 403, "The approval has expired: make the call again without it to ask anew.";
    /// It was used before.
    ApprovalUsed = "approval_used", Approval, -32019, 403, "The approval was used before: it is good for one call.";
    /// It is for another call, or for fewer reasons than stand in its way.
    ApprovalMismatch = "approval_mismatch", Approval, -32019, 403, "The approval is for another call (tool, arguments, token, intent, session and policies have to be the same), or does not cover what stands in its way now: make the call again without it to ask anew.";
    /// No such approval of this tenant.
    ApprovalUnknown = "approval_unknown", Approval, -32019, 403, "There is no such approval.";
    /// Too many calls wait for a person.
    ApprovalBacklog = "approval_backlog", Approval, -32019, 429, "Too many calls wait for a person already.";
    /// Control can't be asked.
    ApprovalUnavailable = "approval_unavailable", Approval, -32019, 503, "A person has to approve this call, and nobody can be asked now: the call is refused.";
}

impl Reason {
    /// JSON-RPC error code in MCP 2026-07-28, where -32000 to -32019 are not for new use: ours are
    /// shifted from -3201x to -3101x.
    #[must_use]
    pub fn rpc_code_2026(self) -> i32 {
        match self.rpc_code() {
            code @ -32019..=-32010 => code + 1000,
            code => code,
        }
    }

    /// The reason with this stable identifier.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.code() == code)
    }
}

impl Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_code(&code).ok_or_else(|| serde::de::Error::custom("unknown reason"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// For operators: each reason, by control, and what to do about it.
    const PAGE: &str = include_str!("../../../docs/reasons.md");

    #[test]
    fn the_page_has_each_reason_once_and_its_codes_are_right() {
        // "## `control`: …", and below it "| `reason` | HTTP | JSON-RPC | …".
        let coded = |text: &str| {
            let text = text.trim().strip_prefix('`')?;
            Some(text.split_once('`')?.0.to_owned())
        };
        let mut control = String::new();
        let mut rows = Vec::new();
        for line in PAGE.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                control = coded(heading).expect(heading);
            } else if let Some(code) = line.strip_prefix("| ").and_then(coded) {
                let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
                let [_, http, rpc, meaning, advice] = cells[..] else {
                    panic!("{line}")
                };
                assert!(!meaning.is_empty() && !advice.is_empty(), "{line}");
                rows.push(format!("{control} {code} {http} {rpc}"));
            }
        }
        let mut wanted: Vec<_> = Reason::ALL
            .iter()
            .map(|reason| {
                let (control, code) = (reason.control().as_str(), reason.code());
                format!(
                    "{control} {code} {} {}",
                    reason.http_status(),
                    reason.rpc_code()
                )
            })
            .collect();
        rows.sort();
        wanted.sort();
        assert_eq!(rows, wanted);
    }

    #[test]
    fn codes_are_unique_and_fit_their_control() {
        let codes: HashSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
            let ours = (-32019..=-32010).contains(&reason.rpc_code());
            assert_eq!(
                ours,
                reason.control() != Control::Protocol,
                "{}",
                reason.code()
            );
            let shifted = (-31019..=-31010).contains(&reason.rpc_code_2026());
            assert_eq!(ours, shifted, "{}", reason.code());
        }
    }
}
