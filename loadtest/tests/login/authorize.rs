//! The stand-in identity provider as an authorization server: its metadata (RFC 8414), registration, a code with PKCE, access
//! tokens for the resource that is asked for (RFC 8707) and their refresh. Whoever asks is alice, and agrees.

use crate::identity::{Key, now};
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use reqwest::Url;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

type Parameters = HashMap<String, String>;

struct Server {
    url: String,
    key: Arc<Key>,
    /// What was agreed to, by the number in the code or in the refresh token that stands for it, until that is used.
    granted: Mutex<Vec<Option<Parameters>>>,
}

pub(crate) fn router(url: &str, key: Arc<Key>) -> Router {
    let server = Server {
        url: url.to_owned(),
        key,
        granted: Mutex::default(),
    };
    Router::new()
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .route("/register", post(register))
        .route("/authorize", get(authorize))
        .route("/token", post(token))
        .with_state(Arc::new(server))
}

async fn metadata(State(server): State<Arc<Server>>) -> Json<Value> {
    let at = |path: &str| format!("{}{path}", server.url);
    Json(json!({
        "issuer": server.url,
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "registration_endpoint": at("/register"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
    }))
}

async fn register(Json(mut client): Json<Value>) -> (StatusCode, Json<Value>) {
    client["client_id"] = json!("cursor");
    (StatusCode::CREATED, Json(client))
}

fn parameters(text: &str) -> Parameters {
    let url = Url::parse(&format!("http://form/?{text}")).unwrap();
    url.query_pairs().into_owned().collect()
}

impl Server {
    fn grant(&self, kind: &str, asked: Parameters) -> String {
        let mut granted = self.granted.lock().unwrap();
        granted.push(Some(asked));
        format!("{kind}-{}", granted.len() - 1)
    }

    fn take(&self, kind: &str, text: Option<&String>) -> Option<Parameters> {
        let number = text?.strip_prefix(kind)?.strip_prefix('-')?;
        let number: usize = number.parse().ok()?;
        self.granted.lock().unwrap().get_mut(number)?.take()
    }

    fn give(&self, asked: Parameters) -> Value {
        let scope = asked["scope"].clone();
        let claims = json!({
            "iss": self.url, "aud": asked["resource"], "sub": "alice@acme.example",
            "azp": asked["client_id"], "scope": scope, "iat": now(), "exp": now() + 600,
            "jti": self.granted.lock().unwrap().len(),
        });
        let access_token = self.key.sign(&json!({ "typ": "at+jwt" }), &claims);
        json!({
            "access_token": access_token, "token_type": "Bearer", "expires_in": 600,
            "scope": scope, "refresh_token": self.grant("refresh", asked),
        })
    }
}

fn wrong(error: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response()
}

async fn authorize(State(server): State<Arc<Server>>, uri: Uri) -> Response {
    let asked = parameters(uri.query().unwrap_or_default());
    let is = |name: &str, value: &str| asked.get(name).is_some_and(|said| said == value);
    let needed = [
        "redirect_uri",
        "code_challenge",
        "client_id",
        "resource",
        "scope",
    ];
    let whole = needed.iter().all(|name| asked.contains_key(*name));
    if !whole || !is("response_type", "code") || !is("code_challenge_method", "S256") {
        return wrong("invalid_request");
    }
    let mut back = Url::parse(&asked["redirect_uri"]).unwrap();
    let state = asked.get("state").cloned();
    let code = server.grant("code", asked);
    back.query_pairs_mut().append_pair("code", &code);
    if let Some(state) = state {
        back.query_pairs_mut().append_pair("state", &state);
    }
    (StatusCode::FOUND, [(header::LOCATION, back.to_string())]).into_response()
}

async fn token(State(server): State<Arc<Server>>, body: String) -> Response {
    let form = parameters(&body);
    let granted = match form.get("grant_type").map(String::as_str) {
        Some("authorization_code") => {
            let verifier = form.get("code_verifier").cloned().unwrap_or_default();
            let challenge = B64.encode(Sha256::digest(verifier));
            let granted = server.take("code", form.get("code"));
            granted.filter(|asked| asked["code_challenge"] == challenge)
        }
        Some("refresh_token") => server.take("refresh", form.get("refresh_token")),
        _ => return wrong("unsupported_grant_type"),
    };
    match granted {
        Some(asked) => Json(server.give(asked)).into_response(),
        None => wrong("invalid_grant"),
    }
}
