//! An HTTP client for one upstream: its TLS settings, and the credential that goes with each request.

use super::guard::{self, Within};
use super::rpc::Failure;
use super::vault::Vault;
use arc_swap::ArcSwapOption;
use proctor_model::SecretName;
use proctor_model::catalogue::{UpstreamAuth, UpstreamTls};
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Identity, Method, Request, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use url::Url;
use zeroize::Zeroizing;

/// Who asks. Some APIs answer nobody who does not say.
const AGENT: &str = concat!("proctor/", env!("CARGO_PKG_VERSION"));
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept.
const POOL_IDLE: Duration = Duration::from_secs(60);
/// How long a token endpoint may take.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer of a token endpoint, in bytes.
const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// An access token is not used in its last seconds.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);
/// Life of an access token that does not say, and the longest that is believed.
const TOKEN_LIFE: Duration = Duration::from_secs(60);
const TOKEN_LIFE_MAX: Duration = Duration::from_secs(24 * 3600);
/// RFC 8693, sections 2.1 and 3.
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// How long a message may take that nobody waits for, and how many may be on their way to one upstream; more are not
/// sent. An upstream that does not take them costs no more than these.
const PARTING_TIMEOUT: Duration = Duration::from_secs(5);
const PARTINGS_MAX: usize = 16;

/// Which addresses an upstream may have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Reach {
    /// The edge's own network included, but no address where a machine is told its own credentials.
    Neighbours,
    /// Public ones.
    Public,
}

impl Reach {
    /// What `private_addresses` of a document allows.
    pub(super) fn of(private_addresses: bool) -> Self {
        match private_addresses {
            true => Self::Neighbours,
            false => Self::Public,
        }
    }
}

/// How an upstream is dialled.
pub(super) struct Spec {
    pub(super) auth: Option<UpstreamAuth>,
    pub(super) tls: Option<UpstreamTls>,
    pub(super) reach: Reach,
}

/// A client for one upstream of one tenant.
#[derive(Clone)]
pub(super) struct Client(Arc<Inner>);

struct Inner {
    /// Shared by all upstreams that need nothing of their own.
    plain: reqwest::Client,
    spec: Spec,
    vault: Arc<Vault>,
    /// The client with this upstream's TLS settings, and the client certificate that it was made with.
    own: ArcSwapOption<(Option<Zeroizing<String>>, reqwest::Client)>,
    token: tokio::sync::Mutex<Option<AccessToken>>,
    partings: Arc<Semaphore>,
}

struct AccessToken {
    value: HeaderValue,
    until: Instant,
}

/// A client as every upstream's begins: no redirect, which would lead a permitted call elsewhere; no proxy of the
/// environment, which would see it.
pub(super) fn builder(reach: Reach) -> reqwest::ClientBuilder {
    // Without it any coding may come (RFC 9110, section 12.5.3), and none is undone here.
    let as_it_is = (ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    reqwest::Client::builder()
        .user_agent(AGENT)
        .default_headers(HeaderMap::from_iter([as_it_is]))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .dns_resolver(Arc::new(Within(reach)))
}

impl Client {
    pub(super) fn new(plain: reqwest::Client, spec: Spec, vault: Arc<Vault>) -> Self {
        Self(Arc::new(Inner {
            plain,
            spec,
            vault,
            own: ArcSwapOption::empty(),
            token: tokio::sync::Mutex::new(None),
            partings: Arc::new(Semaphore::new(PARTINGS_MAX)),
        }))
    }

    pub(super) fn request(&self, method: Method, url: impl reqwest::IntoUrl) -> RequestBuilder {
        self.0.plain.request(method, url)
    }

    pub(super) fn get(&self, url: &str) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    pub(super) fn post(&self, url: &str) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    pub(super) fn delete(&self, url: &str) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }

    /// Sends what nobody waits for: that a request is given up, that a session is over. A server that does not hear it
    /// finds out by itself.
    pub(super) fn part(&self, request: RequestBuilder) {
        let room = Arc::clone(&self.0.partings).try_acquire_owned();
        if let (Ok(room), Ok(runtime)) = (room, tokio::runtime::Handle::try_current()) {
            let client = self.clone();
            runtime.spawn(async move {
                drop(tokio::time::timeout(PARTING_TIMEOUT, client.send(request)).await);
                drop(room);
            });
        }
    }

    /// Sends a request with the upstream's credential.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let mut request = request.build().map_err(|_| Failure::Unsendable)?;
        if !guard::may_name(request.url(), self.0.spec.reach) {
            return Err(Failure::Unreachable);
        }
        let client = self.client(request.url())?;
        self.authorize(&mut request).await?;
        let shown = request.headers().get(AUTHORIZATION).cloned();
        let response = client
            .execute(request)
            .await
            .map_err(|error| failure(&error))?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.forget(shown.as_ref()).await;
        }
        Ok(response)
    }

    /// A token that was not taken may have been withdrawn: the next request gets a new one. What others got in the
    /// meantime stays.
    async fn forget(&self, shown: Option<&HeaderValue>) {
        let mut held = self.0.token.lock().await;
        if held.as_ref().map(|token| &token.value) == shown {
            *held = None;
        }
    }

    fn client(&self, url: &Url) -> Result<reqwest::Client, Failure> {
        let Some(tls) = &self.0.spec.tls else {
            return Ok(self.0.plain.clone());
        };
        let certificate = match &tls.client_certificate {
            Some(name) => Some(self.secret(name, url)?),
            None => None,
        };
        let own = self.0.own.load();
        if let Some(own) = own.as_ref().filter(|own| own.0 == certificate) {
            return Ok(own.1.clone());
        }
        let mut made = builder(self.0.spec.reach);
        if let Some(ca) = &tls.ca {
            let authorities = Certificate::from_pem_bundle(ca.as_bytes());
            made = made.tls_certs_only(authorities.map_err(|_| Failure::NoCredential)?);
        }
        if let Some(pem) = &certificate {
            let identity = Identity::from_pem(pem.as_bytes());
            made = made.identity(identity.map_err(|_| Failure::NoCredential)?);
        }
        let made = made.build().map_err(|_| Failure::NoCredential)?;
        self.0
            .own
            .store(Some(Arc::new((certificate, made.clone()))));
        Ok(made)
    }

    /// The client for the endpoint that gives tokens for an upstream. It may be anybody's: it has the authorities that everybody
    /// has, and the upstream's own, as the client certificate is for the upstream alone. An endpoint that is at the upstream
    /// itself is spoken to as that is.
    fn token_client(&self, url: &Url, upstream: &Url) -> Result<reqwest::Client, Failure> {
        if url.origin() == upstream.origin() {
            return self.client(url);
        }
        let Some(ca) = self.0.spec.tls.as_ref().and_then(|tls| tls.ca.as_ref()) else {
            return Ok(self.0.plain.clone());
        };
        let authorities = Certificate::from_pem_bundle(ca.as_bytes());
        builder(self.0.spec.reach)
            .tls_certs_merge(authorities.map_err(|_| Failure::NoCredential)?)
            .build()
            .map_err(|_| Failure::NoCredential)
    }

    fn secret(&self, name: &SecretName, url: &Url) -> Result<Zeroizing<String>, Failure> {
        self.0.vault.open(name, url).ok_or(Failure::NoCredential)
    }

    async fn authorize(&self, request: &mut Request) -> Result<(), Failure> {
        let (name, value) = match &self.0.spec.auth {
            None => return Ok(()),
            Some(UpstreamAuth::Header {
                name,
                prefix,
                secret,
            }) => {
                let secret = self.secret(secret, request.url())?;
                let value = Zeroizing::new(format!("{prefix}{}", *secret));
                let name = HeaderName::from_bytes(name.as_bytes());
                (name.map_err(|_| Failure::NoCredential)?, sensitive(&value)?)
            }
            Some(UpstreamAuth::OauthClientCredentials { secret, .. }) => {
                // Who may register an upstream must not get the token sent to a host of their own.
                self.secret(secret, request.url())?;
                (AUTHORIZATION, self.access_token(request.url()).await?)
            }
            Some(UpstreamAuth::OauthTokenExchange {
                secret,
                subject_token,
                ..
            }) => {
                for name in [Some(subject_token), secret.as_ref()].into_iter().flatten() {
                    self.secret(name, request.url())?;
                }
                (AUTHORIZATION, self.access_token(request.url()).await?)
            }
        };
        request.headers_mut().insert(name, value);
        Ok(())
    }

    /// The access token that is held, or a new one; who comes in the meantime waits for it.
    async fn access_token(&self, upstream: &Url) -> Result<HeaderValue, Failure> {
        let mut held = self.0.token.lock().await;
        if let Some(token) = held.as_ref().filter(|token| Instant::now() < token.until) {
            return Ok(token.value.clone());
        }
        let token = tokio::time::timeout(TOKEN_TIMEOUT, self.fetch_token(upstream))
            .await
            .map_err(|_| Failure::NoCredential)??;
        let value = token.value.clone();
        *held = Some(token);
        Ok(value)
    }

    async fn fetch_token(&self, upstream: &Url) -> Result<AccessToken, Failure> {
        let url = match &self.0.spec.auth {
            Some(
                UpstreamAuth::OauthClientCredentials { token_url, .. }
                | UpstreamAuth::OauthTokenExchange { token_url, .. },
            ) => token_url,
            Some(UpstreamAuth::Header { .. }) | None => return Err(Failure::NoCredential),
        };
        let url: Url = url.parse().map_err(|_| Failure::NoCredential)?;
        if !guard::may_name(&url, self.0.spec.reach) {
            return Err(Failure::NoCredential);
        }
        let Asking { client_id, form } = self.asking(&url)?;
        let mut request = self
            .token_client(&url, upstream)?
            .post(url)
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        if let Some((id, secret)) = client_id {
            // RFC 6749, section 2.3.1: both are form-encoded before they are joined.
            let encoded = |text: &str| -> String {
                url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
            };
            request = request.basic_auth(encoded(&id), Some(encoded(&secret)));
        }
        let mut response = request.send().await.map_err(|_| Failure::NoCredential)?;
        if !response.status().is_success() {
            return Err(Failure::NoCredential);
        }
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|_| Failure::NoCredential)? {
            body.extend_from_slice(&chunk);
            if body.len() > TOKEN_BYTES_MAX {
                return Err(Failure::NoCredential);
            }
        }
        access_token(&body).ok_or(Failure::NoCredential)
    }

    /// What is sent to the token endpoint at this address. Only secrets that may go there are in it.
    fn asking(&self, url: &Url) -> Result<Asking, Failure> {
        match &self.0.spec.auth {
            Some(UpstreamAuth::OauthClientCredentials {
                client_id,
                secret,
                scope,
                resource,
                ..
            }) => Ok(Asking {
                client_id: Some((client_id.clone(), self.secret(secret, url)?)),
                form: form(&[
                    ("grant_type", Some("client_credentials")),
                    ("scope", scope.as_deref()),
                    ("resource", resource.as_deref()),
                ]),
            }),
            Some(UpstreamAuth::OauthTokenExchange {
                client_id,
                secret,
                subject_token,
                subject_token_type,
                audience,
                resource,
                scope,
                ..
            }) => {
                let client_id = match (client_id, secret) {
                    (Some(id), Some(secret)) => Some((id.clone(), self.secret(secret, url)?)),
                    (None, None) => None,
                    // Control takes no such catalogue.
                    _ => return Err(Failure::NoCredential),
                };
                let subject = self.secret(subject_token, url)?;
                let form = form(&[
                    ("grant_type", Some(EXCHANGE)),
                    ("subject_token", Some(subject.as_str())),
                    ("subject_token_type", Some(subject_token_type.as_str())),
                    ("requested_token_type", Some(ACCESS_TOKEN)),
                    ("audience", audience.as_deref()),
                    ("resource", resource.as_deref()),
                    ("scope", scope.as_deref()),
                ]);
                Ok(Asking { client_id, form })
            }
            Some(UpstreamAuth::Header { .. }) | None => Err(Failure::NoCredential),
        }
    }
}

/// A request to a token endpoint.
struct Asking {
    /// The client and its secret; none where the endpoint does not want to know it.
    client_id: Option<(String, Zeroizing<String>)>,
    form: String,
}

/// RFC 6749, section 4.4.2, with the resource of RFC 8707; RFC 8693, section 2.1.
fn form(members: &[(&str, Option<&str>)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in members {
        if let Some(value) = value {
            form.append_pair(name, value);
        }
    }
    form.finish()
}

/// RFC 6749, section 5.1.
#[derive(serde::Deserialize)]
struct Granted {
    access_token: String,
    token_type: String,
    expires_in: Option<Value>,
}

/// How long a token is good. Some endpoints write the seconds as a text, or with a fraction; the token is good all the same.
fn life(expires_in: Option<&Value>) -> Duration {
    let secs = match expires_in {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    match secs {
        Some(secs) if secs <= 0.0 => Duration::ZERO,
        Some(secs) => Duration::try_from_secs_f64(secs).unwrap_or(TOKEN_LIFE),
        None => TOKEN_LIFE,
    }
}

fn access_token(body: &[u8]) -> Option<AccessToken> {
    let granted: Granted = serde_json::from_slice(body).ok()?;
    if !granted.token_type.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let life = life(granted.expires_in.as_ref());
    let life = life.min(TOKEN_LIFE_MAX).saturating_sub(TOKEN_MARGIN);
    let token = Zeroizing::new(granted.access_token);
    let value = Zeroizing::new(format!("Bearer {}", *token));
    Some(AccessToken {
        value: sensitive(&value).ok()?,
        until: Instant::now().checked_add(life)?,
    })
}

fn sensitive(value: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(value).map_err(|_| Failure::NoCredential)?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) fn failure(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        Failure::Timeout
    } else if error.is_connect() {
        Failure::Unreachable
    } else {
        Failure::Broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client without a credential. Its vault is empty: who asks for a secret fails.
    fn client(tls: Option<UpstreamTls>) -> Client {
        let spec = Spec {
            auth: None,
            tls,
            reach: Reach::Neighbours,
        };
        let plain = builder(Reach::Neighbours).build().unwrap();
        Client::new(plain, spec, Arc::new(Vault::default()))
    }

    #[test]
    fn no_token_is_believed_to_live_for_ever() {
        let granted = |expires_in: &str| {
            let body = format!(
                r#"{{"access_token":"t","token_type":"Bearer","expires_in":{expires_in}}}"#
            );
            access_token(body.as_bytes()).unwrap().until
        };
        let tomorrow = Instant::now() + TOKEN_LIFE_MAX;
        for huge in ["18446744073709551615", "9223372036854775807"] {
            assert!(granted(huge) <= tomorrow, "{huge}");
        }
        assert!(granted("3600") > Instant::now());
        assert!(granted("0") <= Instant::now());
    }

    #[test]
    fn the_life_of_a_token_is_read_as_endpoints_write_it() {
        use serde_json::json;
        let (hour, unknown) = (Duration::from_secs(3_600), TOKEN_LIFE);
        for (said, expected) in [
            (json!(3600), hour),
            (json!(3600.0), hour),
            (json!("3600"), hour),
            (json!(" 3600.0 "), hour),
            (json!(0), Duration::ZERO),
            (json!(-1), Duration::ZERO),
            (json!("-1"), Duration::ZERO),
            (json!(u64::MAX), unknown),
            (json!("for ever"), unknown),
            (json!("inf"), unknown),
            (json!("NaN"), unknown),
            (json!(true), unknown),
            (json!(null), unknown),
        ] {
            assert_eq!(life(Some(&said)), expected, "{said}");
        }
        assert_eq!(life(None), unknown);
        let body = br#"{"access_token":"t","token_type":"bearer","expires_in":"3599"}"#;
        assert!(access_token(body).is_some());
    }

    #[test]
    fn only_at_the_upstream_itself_a_token_endpoint_gets_its_certificate() {
        let tls = UpstreamTls {
            ca: None,
            client_certificate: Some("client".parse().unwrap()),
        };
        let client = client(Some(tls));
        let upstream: Url = "https://crm.example/mcp".parse().unwrap();
        for (endpoint, gets) in [
            ("https://crm.example/token", true),
            ("https://crm.example:443/token", true),
            ("https://crm.example:8443/token", false),
            ("https://login.example/token", false),
        ] {
            let made = client.token_client(&endpoint.parse().unwrap(), &upstream);
            assert_eq!(made.is_err(), gets, "{endpoint}");
        }
    }

    #[tokio::test]
    async fn an_upstream_hears_who_asks_and_that_nothing_is_decoded() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let echo = axum::Router::new().fallback(async |headers: HeaderMap| headers);
        tokio::spawn(async move { axum::serve(listener, echo).await });
        let client = client(None);
        let answer = client.send(client.get(&url)).await.unwrap();
        assert_eq!(answer.headers()["user-agent"], AGENT);
        assert_eq!(answer.headers()["accept-encoding"], "identity");
    }

    /// An upstream that takes connections and never answers.
    #[tokio::test]
    async fn what_nobody_waits_for_is_bounded() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let client = client(None);
        for _ in 0..10 * PARTINGS_MAX {
            client.part(client.delete(&url));
        }
        assert_eq!(client.0.partings.available_permits(), 0);
        let mut taken = Vec::new();
        for _ in 0..PARTINGS_MAX {
            taken.push(listener.accept().await.unwrap());
        }
        let all = u32::try_from(PARTINGS_MAX).unwrap();
        let back = client.0.partings.acquire_many(all);
        let waited = tokio::time::timeout(2 * PARTING_TIMEOUT, back).await;
        assert!(waited.is_ok(), "they are given up");
    }
}
