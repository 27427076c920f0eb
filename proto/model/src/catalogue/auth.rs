//! How an edge shows an upstream who it is: never with the agent's token.

use crate::ids::SecretName;
use serde::{Deserialize, Serialize};

/// A credential that the edge presents in the tenant's name.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum UpstreamAuth {
    /// A header: `prefix` and the secret.
    Header {
        /// Its name.
        #[serde(default = "authorization")]
        name: String,
        /// What stands before the secret (`Bearer `).
        #[serde(default)]
        prefix: String,
        /// The secret.
        secret: SecretName,
    },
    /// An access token that the edge gets for itself (RFC 6749, section 4.4), kept until shortly before it is over. The
    /// secret has to be allowed for the host of the token endpoint and for that of the upstream.
    OauthClientCredentials {
        /// The token endpoint.
        token_url: String,
        /// The client.
        client_id: String,
        /// Its secret.
        secret: SecretName,
        /// Scopes, separated by blanks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<String>,
        /// The resource that the token is for (RFC 8707).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resource: Option<String>,
    },
    /// An access token that the edge gets in exchange for a stored one (RFC 8693), kept like the other kind's. Never in
    /// exchange for the agent's own. The stored token, and the client's secret if there is one, have to be allowed for
    /// the host of the token endpoint and for that of the upstream.
    OauthTokenExchange {
        /// The token endpoint.
        token_url: String,
        /// The client, where the endpoint wants to know it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
        /// Its secret: there if and only if `client_id` is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<SecretName>,
        /// The secret that is exchanged: a token of the one in whose name the upstream is called.
        subject_token: SecretName,
        /// What kind of token that is, as a URI.
        #[serde(default = "access_token")]
        subject_token_type: String,
        /// The name of the service that the new token is for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        audience: Option<String>,
        /// Its address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resource: Option<String>,
        /// Scopes, separated by blanks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<String>,
    },
}

fn access_token() -> String {
    "urn:ietf:params:oauth:token-type:access_token".to_owned()
}

fn authorization() -> String {
    "authorization".to_owned()
}

/// Whom the edge believes to be the upstream, and how it proves itself in the TLS handshake.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTls {
    /// Certificates (PEM) of the authorities to believe, instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// A secret with a client certificate, its chain and its key (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<SecretName>,
}
