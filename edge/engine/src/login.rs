//! A login: what the claims of an identity provider's access token give, once its signature was verified.
//!
//! Pure like the rest: who verifies signatures and fetches keys is the gateway.

use crate::token::{Caveat, CaveatError, login_line};
use proctor_model::login::{AgentRule, IssuerError, TrustedIssuer};
use proctor_model::{AgentId, IssuerId, KeyThumbprint, Reason, RevocationId, Timestamp, UserId};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// How far an identity provider's clock may be ahead of ours, in seconds. Never in favour of a token that is over.
const LEEWAY_S: i64 = 30;
/// Claims that name the client that a token was given to, whichever of them a provider has.
const CLIENT_CLAIMS: [&str; 4] = ["azp", "client_id", "cid", "appid"];

/// A trusted issuer, checked.
#[derive(Debug)]
pub struct CompiledIssuer {
    spec: TrustedIssuer,
    caveats: Vec<Caveat>,
}

/// Why an issuer can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IssuerProblem {
    /// A member breaks its rule.
    #[error(transparent)]
    Member(#[from] IssuerError),
    /// The tools are no patterns.
    #[error("tools: {0}")]
    Tools(CaveatError),
    /// A caveat is none.
    #[error("caveats[{0}]: {1}")]
    Caveat(usize, CaveatError),
}

/// Who logged in, as which agent, for how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// The agent that the token is for.
    pub agent: AgentId,
    /// The user; a name that is no user id of ours is written as its digest.
    pub user: UserId,
    /// Until then, in whole seconds.
    pub expires_at: Timestamp,
    /// When the access token was issued, if it says so.
    pub issued_at: Option<Timestamp>,
    /// When the access token is over, whatever is made of it.
    pub over_at: Timestamp,
    /// The client that it was given to, as the provider calls it.
    pub client: Option<String>,
    /// The key that the access token is bound to (`cnf`, RFC 7800).
    pub key: Option<KeyThumbprint>,
}

/// The time in which something is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// From then on.
    pub begin: Timestamp,
    /// Not any more, in whole seconds.
    pub end: Timestamp,
}

impl Login {
    /// Whose sessions go on under it: those of the same user, client, agent and key, whichever access token is shown.
    #[must_use]
    pub fn line(&self, issuer: &IssuerId, digest_key: &[u8; 32]) -> RevocationId {
        let principal = json!([issuer, self.user, self.client, self.agent, self.key]);
        login_line(digest_key, &principal.to_string())
    }
}

impl CompiledIssuer {
    /// Checks an issuer.
    ///
    /// # Errors
    /// See [`IssuerProblem`].
    pub fn compile(spec: &TrustedIssuer) -> Result<Self, IssuerProblem> {
        spec.check()?;
        let tools = format!("tool in {}", spec.tools.join(","));
        let mut caveats = vec![tools.parse::<Caveat>().map_err(IssuerProblem::Tools)?];
        for (index, text) in spec.caveats.iter().enumerate() {
            let caveat = text.parse::<Caveat>();
            caveats.push(caveat.map_err(|error| IssuerProblem::Caveat(index, error))?);
        }
        Ok(Self {
            spec: spec.clone(),
            caveats,
        })
    }

    /// As it was registered.
    #[must_use]
    pub fn spec(&self) -> &TrustedIssuer {
        &self.spec
    }

    /// What a capability token of such a login is narrowed to, beside its expiry.
    #[must_use]
    pub fn caveats(&self) -> &[Caveat] {
        &self.caveats
    }

    /// Whether claims say that they are this issuer's.
    #[must_use]
    pub fn made(&self, claims: &Map<String, Value>) -> bool {
        claims.get("iss").and_then(Value::as_str) == Some(self.spec.issuer.as_str())
    }

    /// Whether they are for the audience that is trusted here.
    #[must_use]
    pub fn is_for_us(&self, claims: &Map<String, Value>) -> bool {
        let ours = |audience: &Value| audience.as_str() == Some(self.spec.audience.as_str());
        match claims.get("aud") {
            Some(Value::Array(audiences)) => audiences.iter().any(ours),
            Some(audience) => ours(audience),
            None => false,
        }
    }

    /// What verified claims give. `typ` is what the token's header says it is.
    ///
    /// # Errors
    /// The reason for which they give nothing.
    pub fn judge(
        &self,
        typ: Option<&str>,
        claims: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Login, Reason> {
        // A token of another purpose (a logout, an event, a proof) says so in its type (RFC 8725, section 3.11).
        let known = ["JWT", "at+jwt", "application/at+jwt"];
        if typ.is_some_and(|typ| !known.iter().any(|known| known.eq_ignore_ascii_case(typ)))
            || !self.made(claims)
        {
            return Err(Reason::LoginTokenInvalid);
        }
        if !self.is_for_us(claims) {
            return Err(Reason::LoginWrongAudience);
        }
        let over_at = times(claims, now)?;
        if !self.has_scopes(claims) {
            return Err(Reason::LoginNotAdmitted);
        }
        let most = now.plus_secs(self.spec.ttl_max_s.into());
        Ok(Login {
            agent: self.agent(claims).ok_or(Reason::LoginNotAdmitted)?,
            user: user(claims.get(&self.spec.user_claim)).ok_or(Reason::LoginNotAdmitted)?,
            expires_at: Timestamp::from_secs(over_at.min(most).as_secs()),
            issued_at: claims.get("iat").map(time).transpose()?,
            over_at,
            client: client(claims),
            key: key(claims)?,
        })
    }

    /// For how long the access token of a login is good where it is shown in place of a capability token: as long as one for it
    /// could have lived when it was issued. When it is shown makes no difference, nor how often.
    ///
    /// # Errors
    /// The reason for which it is not.
    pub fn span(&self, login: &Login, now: Timestamp) -> Result<Span, Reason> {
        if !self.spec.mcp_bearer {
            return Err(Reason::LoginIssuerUnknown);
        }
        // Without an exchange there is no moment at which a token could be bound to the client's key: it has to be already.
        if self.spec.proof_required && login.key.is_none() {
            return Err(Reason::ProofMissing);
        }
        let begin = login.issued_at.ok_or(Reason::LoginTokenInvalid)?;
        let longest = begin.plus_secs(self.spec.ttl_max_s.into());
        let end = Timestamp::from_secs(login.over_at.min(longest).as_secs());
        match now.plus_secs(1) <= end {
            true => Ok(Span { begin, end }),
            false => Err(Reason::LoginTokenExpired),
        }
    }

    /// Scopes stand in one text (RFC 9068, section 2.2.3) or, with some providers, in a list or under `scp`.
    fn has_scopes(&self, claims: &Map<String, Value>) -> bool {
        let said = claims.get("scope").or_else(|| claims.get("scp"));
        let has = |scope: &String| match said {
            Some(Value::String(text)) => text.split(' ').any(|said| said == scope),
            Some(Value::Array(list)) => list.iter().any(|said| said.as_str() == Some(scope)),
            _ => false,
        };
        self.spec.scopes.iter().all(has)
    }

    fn agent(&self, claims: &Map<String, Value>) -> Option<AgentId> {
        match &self.spec.agent {
            AgentRule::Fixed { id } => Some(id.clone()),
            AgentRule::Claim { claim, map } => map.get(claims.get(claim)?.as_str()?).cloned(),
        }
    }
}

/// The expiry, if the token is valid now.
fn times(claims: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, Reason> {
    let soon = now.plus_secs(LEEWAY_S);
    let expires_at = time(claims.get("exp").ok_or(Reason::LoginTokenInvalid)?)?;
    let begins = ["nbf", "iat"]
        .into_iter()
        .filter_map(|name| claims.get(name));
    for begin in begins {
        if soon < time(begin)? {
            return Err(Reason::LoginTokenExpired);
        }
    }
    // A token for less than a second is none.
    if expires_at < now.plus_secs(1) {
        return Err(Reason::LoginTokenExpired);
    }
    Ok(expires_at)
}

/// Seconds of the epoch, perhaps with a fraction (RFC 7519, section 2), which is cut off.
fn time(value: &Value) -> Result<Timestamp, Reason> {
    let seconds = match (value.as_i64(), value.as_f64()) {
        (Some(whole), _) => Some(whole),
        #[expect(
            clippy::as_conversions,
            reason = "within the range of whole numbers that a double can hold"
        )]
        (None, Some(fraction)) if (0.0..9.0e15).contains(&fraction) => Some(fraction as i64),
        _ => None,
    };
    // Beyond this it would not fit into microseconds.
    let sane = seconds.filter(|seconds| (0..=9_000_000_000_000).contains(seconds));
    sane.map(Timestamp::from_secs)
        .ok_or(Reason::LoginTokenInvalid)
}

fn client(claims: &Map<String, Value>) -> Option<String> {
    let mut named = CLIENT_CLAIMS.iter().filter_map(|name| claims.get(*name));
    named.find_map(Value::as_str).map(str::to_owned)
}

/// A token that is bound to something that can't be checked here (a client certificate, say) is good for nothing here.
fn key(claims: &Map<String, Value>) -> Result<Option<KeyThumbprint>, Reason> {
    let Some(bound) = claims.get("cnf") else {
        return Ok(None);
    };
    let alone = bound.as_object().is_some_and(|members| members.len() == 1);
    let thumbprint = bound.get("jkt").and_then(Value::as_str);
    let key = thumbprint
        .filter(|_| alone)
        .and_then(|text| text.parse().ok());
    key.map(Some).ok_or(Reason::LoginTokenInvalid)
}

fn user(claim: Option<&Value>) -> Option<UserId> {
    let name = claim?.as_str().filter(|name| !name.is_empty())?;
    let digest = || format!("sha256:{}", hex::encode(Sha256::digest(name.as_bytes())));
    name.parse().or_else(|_| digest().parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_800_000_000;
    const KEY: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

    fn issuer(more: &Value) -> CompiledIssuer {
        let mut document = json!({
            "id": "corp", "issuer": "https://login.example", "audience": "https://edge.example",
            "keys": { "kind": "fetched", "jwks_uri": "https://login.example/keys" },
            "agent": { "kind": "fixed", "id": "copilot" }, "tools": ["files/*", "crm/read_*"],
        });
        let members = document.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        CompiledIssuer::compile(&serde_json::from_value(document).unwrap()).unwrap()
    }

    fn check(issuer: &CompiledIssuer, typ: Option<&str>, more: &Value) -> Result<Login, Reason> {
        let mut claims = json!({
            "iss": "https://login.example", "aud": "https://edge.example", "sub": "alice@acme.example",
            "exp": NOW + 600, "iat": NOW, "azp": "cursor", "scope": "openid mcp:tools",
        });
        let members = claims.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        issuer.judge(typ, members, Timestamp::from_secs(NOW))
    }

    #[test]
    fn claims_give_what_the_issuer_may_give() {
        let plain = issuer(&json!({}));
        let login = check(&plain, Some("at+jwt"), &json!({})).unwrap();
        assert_eq!(login.agent.as_str(), "copilot");
        assert_eq!(login.user.as_str(), "alice@acme.example");
        assert_eq!(
            login.expires_at.as_secs(),
            NOW + 600,
            "no longer than its own token"
        );
        assert_eq!(plain.caveats()[0].to_string(), "tool in files/*,crm/read_*");
        let long = check(&plain, None, &json!({ "exp": NOW + 100_000 })).unwrap();
        assert_eq!(long.expires_at.as_secs(), NOW + 3_600);
        let odd = check(
            &plain,
            None,
            &json!({ "sub": "auth0|7", "exp": NOW as f64 + 60.5 }),
        );
        let odd = odd.unwrap();
        assert!(odd.user.as_str().starts_with("sha256:"), "{odd:?}");
        assert_eq!(odd.expires_at.as_secs(), NOW + 60);
        let mapped = issuer(&json!({
            "agent": { "kind": "claim", "claim": "azp", "map": { "cursor": "coder" } },
            "user_claim": "email", "scopes": ["mcp:tools"],
        }));
        let login = check(&mapped, None, &json!({ "email": "bob@acme.example" })).unwrap();
        assert_eq!(
            (login.agent.as_str(), login.user.as_str()),
            ("coder", "bob@acme.example")
        );
        for scopes in [
            json!({ "scope": null, "scp": ["mcp:tools"] }),
            json!({ "scope": "mcp:tools" }),
        ] {
            let mut claims = scopes;
            claims["email"] = json!("bob");
            assert!(check(&mapped, None, &claims).is_ok());
        }
        for refused in [
            json!({}),
            json!({ "email": "" }),
            json!({ "email": 7 }),
            json!({ "email": "bob", "azp": "other" }),
            json!({ "email": "bob", "azp": null }),
            json!({ "email": "bob", "scope": "mcp:tools2" }),
            json!({ "email": "bob", "scope": null }),
        ] {
            let got = check(&mapped, None, &refused);
            assert_eq!(got, Err(Reason::LoginNotAdmitted), "{refused}");
        }
    }

    #[test]
    fn what_is_not_for_us_or_not_now_gives_nothing() {
        let plain = issuer(&json!({}));
        for (claims, reason) in [
            (
                json!({ "iss": "https://login.example/" }),
                Reason::LoginTokenInvalid,
            ),
            (json!({ "iss": null }), Reason::LoginTokenInvalid),
            (
                json!({ "aud": "https://edge.example/" }),
                Reason::LoginWrongAudience,
            ),
            (json!({ "aud": ["other"] }), Reason::LoginWrongAudience),
            (json!({ "aud": null }), Reason::LoginWrongAudience),
            (json!({ "exp": NOW }), Reason::LoginTokenExpired),
            (json!({ "exp": NOW - 1 }), Reason::LoginTokenExpired),
            (json!({ "exp": null }), Reason::LoginTokenInvalid),
            (json!({ "exp": "1900000000" }), Reason::LoginTokenInvalid),
            (json!({ "exp": i64::MAX }), Reason::LoginTokenInvalid),
            (json!({ "exp": -1 }), Reason::LoginTokenInvalid),
            (json!({ "nbf": NOW + 31 }), Reason::LoginTokenExpired),
            (json!({ "iat": NOW + 31 }), Reason::LoginTokenExpired),
        ] {
            assert_eq!(check(&plain, None, &claims), Err(reason), "{claims}");
        }
        assert!(check(&plain, None, &json!({ "nbf": NOW + 30 })).is_ok());
        assert!(
            check(
                &plain,
                None,
                &json!({ "aud": ["x", "https://edge.example"] })
            )
            .is_ok()
        );
        for typ in ["dpop+jwt", "logout+jwt", "secevent+jwt", ""] {
            let got = check(&plain, Some(typ), &json!({}));
            assert_eq!(got, Err(Reason::LoginTokenInvalid), "{typ}");
        }
        for typ in ["JWT", "jwt", "AT+JWT", "application/at+jwt"] {
            assert!(check(&plain, Some(typ), &json!({})).is_ok(), "{typ}");
        }
    }

    #[test]
    fn an_access_token_that_is_shown_is_good_from_its_issue_on() {
        let now = Timestamp::from_secs(NOW);
        let span = |issuer: &Value, claims: Value| -> Result<(i64, i64), Reason> {
            let issuer = self::issuer(issuer);
            let login = check(&issuer, None, &claims).unwrap();
            let span = issuer.span(&login, now)?;
            Ok((span.begin.as_secs() - NOW, span.end.as_secs() - NOW))
        };
        let plain = json!({});
        assert_eq!(span(&plain, json!({})), Ok((0, 600)), "as it is itself");
        let old = json!({ "iat": NOW - 3_000, "exp": NOW + 5_000 });
        assert_eq!(
            span(&plain, old),
            Ok((-3_000, 600)),
            "no longer than an hour"
        );
        let bound = json!({ "cnf": { "jkt": KEY } });
        let asks = json!({ "proof_required": true });
        assert_eq!(span(&asks, bound), Ok((0, 600)));
        for (issuer, claims, reason) in [
            (
                json!({}),
                json!({ "iat": NOW - 3_600, "exp": NOW + 5_000 }),
                Reason::LoginTokenExpired,
            ),
            (json!({}), json!({ "iat": null }), Reason::LoginTokenInvalid),
            (asks, json!({}), Reason::ProofMissing),
            (
                json!({ "mcp_bearer": false }),
                json!({}),
                Reason::LoginIssuerUnknown,
            ),
        ] {
            assert_eq!(span(&issuer, claims), Err(reason), "{issuer}");
        }
    }

    #[test]
    fn what_a_token_is_bound_to_is_known_or_it_is_no_token() {
        let plain = issuer(&json!({}));
        let cnf = |cnf: Value| check(&plain, None, &json!({ "cnf": cnf }));
        let login = cnf(json!({ "jkt": KEY })).unwrap();
        assert_eq!(login.key.unwrap().as_str(), KEY);
        for bad in [
            json!({}),
            json!("x"),
            json!({ "jkt": "short" }),
            json!({ "x5t#S256": KEY }),
            json!({ "jkt": KEY, "x5t#S256": KEY }),
        ] {
            assert_eq!(cnf(bad), Err(Reason::LoginTokenInvalid));
        }
    }

    #[test]
    fn sessions_are_of_a_user_with_a_client_and_a_key() {
        let plain = issuer(&json!({}));
        let line = |more: &Value, digest_key: u8| {
            let login = check(&plain, None, more).unwrap();
            login.line(&plain.spec().id, &[digest_key; 32])
        };
        let own = line(&json!({}), 7);
        // The next access token.
        assert_eq!(own, line(&json!({ "iat": NOW - 5, "exp": NOW + 900 }), 7));
        for other in [
            json!({ "sub": "bob@acme.example" }),
            json!({ "azp": "other" }),
            json!({ "cnf": { "jkt": KEY } }),
        ] {
            assert_ne!(own, line(&other, 7), "{other}");
        }
        assert_ne!(own, line(&json!({}), 8), "another tenant's");
        let okta = check(&plain, None, &json!({ "azp": null, "cid": "c" })).unwrap();
        assert_eq!(okta.client.as_deref(), Some("c"));
    }

    #[test]
    fn an_issuer_gives_only_what_can_be_enforced() {
        for bad in [
            json!({ "tools": [] }),
            json!({ "tools": ["*"] }),
            json!({ "caveats": ["colour = red"] }),
            json!({ "ttl_max_s": 1 }),
        ] {
            let mut document = json!({
                "id": "corp", "issuer": "i", "audience": "a", "tools": ["files/*"],
                "keys": { "kind": "fetched", "jwks_uri": "https://login.example/keys" },
                "agent": { "kind": "fixed", "id": "copilot" },
            });
            let members = document.as_object_mut().unwrap();
            members.extend(bad.as_object().unwrap().clone());
            let spec = serde_json::from_value(document).unwrap();
            assert!(CompiledIssuer::compile(&spec).is_err(), "{bad}");
        }
    }
}
