//! This edge as a protected resource of OAuth: where tokens for it come from (RFC 9728).

use crate::enforce::Refused;
use crate::proof;
use crate::world::{TenantState, Tenants};
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use proctor_model::Reason;
use proctor_model::login::{JwsAlgorithm, TrustedIssuer};
use serde_json::{Value, json};
use std::sync::Arc;
use url::Url;

pub(super) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
pub(super) const OF_ENDPOINT: &str = "/.well-known/oauth-protected-resource/{*endpoint}";

/// What is said of this edge. Without a public address it is none.
pub(crate) struct Resource {
    public: Option<Url>,
    authorization_servers: Vec<String>,
    tenants: Arc<Tenants>,
}

/// What a request would have to show to get further than it did.
#[derive(Clone, Debug)]
pub(super) enum Challenge {
    /// A token with these scopes, if they can be named in a header.
    Scope(Option<String>),
    /// A proof of the key that the token is bound to.
    Proof,
}

impl Challenge {
    pub(super) fn of(refused: &Refused) -> Option<Self> {
        match refused.reason {
            // Of a capability token a tool is a scope: `POST /v1/token` takes it as one.
            Reason::ToolNotInToken => Some(Self::of_scopes(refused.lacks.as_slice())),
            Reason::ProofMissing | Reason::ProofInvalid => Some(Self::Proof),
            _ => None,
        }
    }

    /// What another login has to ask for. An identity provider knows its own scopes and no tool: it refuses a client that asks for one,
    /// and a client that asks for a tool alone comes back without what a login here needs.
    pub(super) fn of_login(tenant: &TenantState) -> Self {
        Self::of_scopes(&scopes_of(tenant))
    }

    fn of_scopes(scopes: &[String]) -> Self {
        let named = !scopes.is_empty() && scopes.iter().all(|scope| is_scope(scope));
        Self::Scope(named.then(|| scopes.join(" ")))
    }
}

/// RFC 6749, section 3.3.
fn is_scope(text: &str) -> bool {
    let graphic = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    !text.is_empty() && text.bytes().all(graphic)
}

/// Scopes to ask a tenant's issuers for, without which a login gives nothing here: where all of them agree, one can't be asked for
/// another's.
fn scopes_of(tenant: &TenantState) -> Vec<String> {
    let mut scopes = of_issuers(tenant, |issuer| issuer.scopes.clone());
    scopes.dedup();
    match scopes.len() {
        1 => scopes.swap_remove(0),
        _ => Vec::new(),
    }
}

/// Something of each issuer of a tenant.
fn of_issuers<R>(tenant: &TenantState, what: impl Fn(&TrustedIssuer) -> R) -> Vec<R> {
    let loaded = tenant.loaded();
    let issuers = loaded.iter().flat_map(|loaded| loaded.tenant.issuers());
    issuers.map(|issuer| what(issuer.spec())).collect()
}

impl Resource {
    pub(crate) fn new(
        public: Option<Url>,
        authorization_servers: Vec<String>,
        tenants: Arc<Tenants>,
    ) -> Self {
        Self {
            public,
            authorization_servers,
            tenants,
        }
    }

    /// The value of `WWW-Authenticate`.
    fn challenge(
        &self,
        scheme: &str,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Option<HeaderValue> {
        let mut challenge = format!("{scheme} realm=\"proctor\"");
        if let Some(metadata) = metadata(self.public.as_ref(), path) {
            challenge.push_str(&format!(", resource_metadata=\"{metadata}\""));
        }
        for (name, value) in parameters {
            challenge.push_str(&format!(", {name}=\"{value}\""));
        }
        HeaderValue::from_str(&challenge).ok()
    }

    /// Who gives tokens: whom the operators of this edge name, else the identity providers of its tenant. Where it serves
    /// several, whose customers they are is nobody's business.
    fn authorization_servers(&self) -> Vec<String> {
        if !self.authorization_servers.is_empty() {
            return self.authorization_servers.clone();
        }
        let tenant = self.only_tenant();
        let named = tenant.map(|tenant| of_issuers(&tenant, |issuer| issuer.issuer.clone()));
        let mut issuers = named.unwrap_or_default();
        issuers.dedup();
        issuers
    }

    /// Scopes to ask them for.
    fn scopes(&self) -> Vec<String> {
        let tenant = self.only_tenant();
        tenant.map(|tenant| scopes_of(&tenant)).unwrap_or_default()
    }

    /// The tenant of this edge, where it serves one alone.
    fn only_tenant(&self) -> Option<Arc<TenantState>> {
        match self.tenants.all().as_slice() {
            [tenant] => Some(Arc::clone(tenant)),
            _ => None,
        }
    }

    fn document(&self, path: &str) -> Response {
        let Some(resource) = self
            .public
            .as_ref()
            .and_then(|public| public.join(path).ok())
        else {
            return super::error::plain_status(
                StatusCode::NOT_FOUND,
                "this edge has no public address",
            );
        };
        let document = described(&resource, self.authorization_servers(), self.scopes());
        ([(header::CACHE_CONTROL, "max-age=300")], Json(document)).into_response()
    }
}

/// The document of a resource. A list with nothing in it is left out (RFC 9728, section 3.2): it would say that nobody gives
/// tokens, where it is only not said here.
fn described(resource: &Url, servers: Vec<String>, scopes: Vec<String>) -> Value {
    let mut document = json!({
        "resource": resource.as_str(),
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": proof::ALGORITHMS,
        "resource_name": "Proctor",
    });
    for (name, list) in [
        ("authorization_servers", servers),
        ("scopes_supported", scopes),
    ] {
        if let (false, Some(members)) = (list.is_empty(), document.as_object_mut()) {
            members.insert(name.into(), list.into());
        }
    }
    document
}

/// Says with each answer for lack of a token where one comes from: `WWW-Authenticate` (RFC 6750, section 3; RFC 9728,
/// section 5.1). It may stand with any status (RFC 9110, section 11.6.1): where a refusal of MCP is HTTP 200, a client that
/// wants to ask for more finds `insufficient_scope` there as well.
pub(super) async fn challenge(
    State(resource): State<Arc<Resource>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let presented = request.headers().contains_key(header::AUTHORIZATION);
    let mut response = next.run(request).await;
    let challenge = match response.extensions_mut().remove::<Challenge>() {
        Some(Challenge::Scope(scope)) => {
            let mut parameters = vec![("error", "insufficient_scope")];
            parameters.extend(scope.as_deref().map(|scope| ("scope", scope)));
            resource.challenge("Bearer", &path, &parameters)
        }
        Some(Challenge::Proof) => {
            let algorithms = proof::ALGORITHMS.map(JwsAlgorithm::as_str).join(" ");
            let error = ("error", "invalid_dpop_proof");
            resource.challenge("DPoP", &path, &[error, ("algs", algorithms.as_str())])
        }
        None if response.status() == StatusCode::UNAUTHORIZED => {
            let error = presented.then_some(("error", "invalid_token"));
            resource.challenge("Bearer", &path, error.as_slice())
        }
        None => None,
    };
    if let Some(challenge) = challenge {
        let headers = response.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// The document of the edge as a whole.
pub(super) async fn whole(State(resource): State<Arc<Resource>>) -> Response {
    resource.document("/")
}

/// The document of one endpoint: its path stands behind the well-known one.
pub(super) async fn endpoint(
    State(resource): State<Arc<Resource>>,
    Path(path): Path<String>,
) -> Response {
    // Whichever endpoint is asked for, it is named as itself: a client compares the two.
    let path = format!("/{path}");
    match is_described(&path) {
        true => resource.document(&path),
        false => super::error::plain_status(StatusCode::NOT_FOUND, "there is no such endpoint"),
    }
}

/// Whether there is a document of this endpoint.
fn is_described(path: &str) -> bool {
    let server = path.strip_prefix("/v1/mcp/");
    path == "/v1/mcp" || path == "/v1/tool-call" || server.is_some_and(|id| !id.contains('/'))
}

/// Where the document of an endpoint is, if there is one.
fn metadata(public: Option<&Url>, path: &str) -> Option<Url> {
    let public = public.filter(|_| is_described(path))?;
    public.join(&format!("{WELL_KNOWN}{path}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_no_empty_lists() {
        let resource: Url = "https://edge.example/v1/mcp".parse().unwrap();
        let bare = described(&resource, Vec::new(), Vec::new());
        assert_eq!(bare["resource"], resource.as_str());
        for name in ["authorization_servers", "scopes_supported"] {
            assert!(bare.get(name).is_none(), "{bare}");
        }
        let list = |one: &str| vec![one.to_owned()];
        let whole = described(&resource, list("https://login.example"), list("mcp:tools"));
        let servers = &whole["authorization_servers"];
        assert_eq!(*servers, json!(["https://login.example"]));
        assert_eq!(whole["scopes_supported"], json!(["mcp:tools"]));
    }

    #[test]
    fn a_scope_is_named_where_a_header_can_name_it() {
        let of = |scopes: &[&str]| {
            let scopes: Vec<_> = scopes.iter().map(|&scope| scope.to_owned()).collect();
            match Challenge::of_scopes(&scopes) {
                Challenge::Scope(scope) => scope,
                Challenge::Proof => panic!("no scope"),
            }
        };
        assert_eq!(
            of(&["openid", "mcp:tools"]).as_deref(),
            Some("openid mcp:tools")
        );
        assert_eq!(of(&["crm/read"]).as_deref(), Some("crm/read"));
        for unsaid in [
            vec![],
            vec![""],
            vec!["a b"],
            vec!["a", "\""],
            vec!["prompt:\u{e9}"],
        ] {
            assert_eq!(of(&unsaid), None, "{unsaid:?}");
        }
    }

    #[test]
    fn no_challenge_points_to_a_document_that_is_not_there() {
        let public: Url = "https://edge.example".parse().unwrap();
        let named = |path: &str| metadata(Some(&public), path).map(String::from);
        for path in ["/v1/mcp", "/v1/mcp/files", "/v1/tool-call"] {
            let wanted = format!("https://edge.example{WELL_KNOWN}{path}");
            assert_eq!(named(path), Some(wanted));
        }
        for path in [
            "/v1/llm/a/v1/messages",
            "/v1/memory/verify",
            "/v1/mcp/a/b",
            "/",
        ] {
            assert_eq!(named(path), None, "{path}");
        }
        assert_eq!(metadata(None, "/v1/mcp"), None);
    }
}
