//! `POST /v1/token`: OAuth 2.0 Token Exchange (RFC 8693). An access token of a tenant's identity provider is exchanged for a
//! capability token.
//!
//! `audience` names the tenant; it may be left out where issuer and audience of the token leave no doubt. `scope` narrows
//! what is given: tool patterns, separated by blanks. A DPoP proof (RFC 9449) binds the token to its key.

use super::{error, request};
use crate::enforce::{ExchangeRequest, Exchanged, Gateway, Refused};
use crate::proof::Presented;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use proctor_engine::token::Caveat;
use proctor_model::{Control, Reason, TenantId};
use serde_json::json;
use std::sync::Arc;

/// Largest form, in bytes: a token, and a few words.
const FORM_BYTES_MAX: usize = 32 * 1024;
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// Seconds until it may help to ask again, where something of ours or of the identity provider's is not there.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// The parameters that are understood; `resource` is read and not needed.
#[derive(Default)]
struct Form {
    subject_token: String,
    tenant: Option<TenantId>,
    narrowed: Option<Caveat>,
    scope: Option<String>,
}

/// What is wrong with a request, in the words of RFC 6749, section 5.2.
#[derive(Debug, PartialEq)]
struct Wrong {
    error: &'static str,
    description: &'static str,
}

pub(super) async fn exchange(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let form = if request::is_of(&parts.headers, "application/x-www-form-urlencoded") {
        request::read_within(body, FORM_BYTES_MAX).await
    } else {
        Err(Reason::InvalidTransport)
    };
    let form = match form.map(|body| read(&body)) {
        Ok(Ok(form)) => form,
        Ok(Err(wrong)) => return refusal(StatusCode::BAD_REQUEST, &wrong, None),
        Err(_) => {
            let wrong =
                invalid("the body is a form (application/x-www-form-urlencoded) of at most 32 KiB");
            return refusal(StatusCode::BAD_REQUEST, &wrong, None);
        }
    };
    let asked = ExchangeRequest {
        subject_token: &form.subject_token,
        tenant: form.tenant.clone(),
        narrowed: form.narrowed.clone(),
        presented: Presented {
            token: None,
            ..request::presented(&parts)
        },
        trace_id: request::trace_id(&parts.headers),
    };
    match gateway.exchange(asked).await {
        Ok(exchanged) => given(&exchanged, form.scope.as_deref()),
        Err(refused) => {
            let (status, wrong) = worded(&refused);
            refusal(status, &wrong, Some(&refused))
        }
    }
}

fn invalid(description: &'static str) -> Wrong {
    Wrong {
        error: "invalid_request",
        description,
    }
}

fn read(body: &[u8]) -> Result<Form, Wrong> {
    let mut form = Form::default();
    let (mut grant, mut kind, mut seen) = (None, None, Vec::new());
    for (name, value) in url::form_urlencoded::parse(body) {
        let name = name.into_owned();
        // RFC 8693, section 2.1, lets `audience` come more than once, too; one tenant is all that a token is for.
        if name != "resource" && seen.contains(&name) {
            return Err(invalid("a parameter is there twice"));
        }
        match name.as_str() {
            "grant_type" => grant = Some(value.into_owned()),
            "subject_token" => form.subject_token = value.into_owned(),
            "subject_token_type" => kind = Some(value.into_owned()),
            "requested_token_type" if value != ACCESS_TOKEN => {
                return Err(invalid(
                    "requested_token_type: an access token is all there is",
                ));
            }
            "actor_token" | "actor_token_type" => {
                return Err(invalid("actor_token: nobody acts for somebody else here"));
            }
            "audience" => form.tenant = Some(value.parse().map_err(|_| no_such_target())?),
            "scope" if !value.is_empty() => {
                form.narrowed = Some(narrowed(&value)?);
                form.scope = Some(value.into_owned());
            }
            _ => {}
        }
        seen.push(name);
    }
    match grant.as_deref() {
        Some(GRANT) => {}
        Some(_) => {
            return Err(Wrong {
                error: "unsupported_grant_type",
                description: "grant_type: urn:ietf:params:oauth:grant-type:token-exchange",
            });
        }
        None => return Err(invalid("grant_type: it is missing")),
    }
    if !matches!(kind.as_deref(), Some(ACCESS_TOKEN | JWT)) {
        return Err(invalid("subject_token_type: an access token, or a jwt"));
    }
    if form.subject_token.is_empty() {
        return Err(invalid("subject_token: it is missing"));
    }
    Ok(form)
}

fn no_such_target() -> Wrong {
    Wrong {
        error: "invalid_target",
        description: Reason::LoginIssuerUnknown.message(),
    }
}

/// Scopes are tool patterns, as in `tool in`.
fn narrowed(scope: &str) -> Result<Caveat, Wrong> {
    let patterns: Vec<&str> = scope.split(' ').collect();
    let caveat = format!("tool in {}", patterns.join(","));
    // A comma within one would be two.
    let plain = !scope.contains(',');
    caveat.parse().ok().filter(|_| plain).ok_or(Wrong {
        error: "invalid_scope",
        description: "scope: tool patterns (server/tool), separated by blanks",
    })
}

fn given(exchanged: &Exchanged, scope: Option<&str>) -> Response {
    let mut body = json!({
        "access_token": exchanged.token,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": if exchanged.bound { "DPoP" } else { "Bearer" },
        "expires_in": exchanged.expires_in,
    });
    if let (Some(scope), Some(members)) = (scope, body.as_object_mut()) {
        members.insert("scope".into(), scope.into());
    }
    (StatusCode::OK, no_store(), Json(body)).into_response()
}

/// RFC 8693, section 2.2.2: a token that is not taken is an `invalid_request`, whatever is wrong with it.
fn worded(refused: &Refused) -> (StatusCode, Wrong) {
    let reason = refused.reason;
    let (status, error) = match reason {
        Reason::LoginIssuerUnknown => (StatusCode::BAD_REQUEST, "invalid_target"),
        Reason::ProofMissing | Reason::ProofInvalid => {
            (StatusCode::BAD_REQUEST, "invalid_dpop_proof")
        }
        reason if reason.control() == Control::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
        }
        _ => (StatusCode::BAD_REQUEST, "invalid_request"),
    };
    let wrong = Wrong {
        error,
        description: reason.message(),
    };
    (status, wrong)
}

fn no_store() -> [(header::HeaderName, HeaderValue); 2] {
    [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
    ]
}

fn refusal(status: StatusCode, wrong: &Wrong, refused: Option<&Refused>) -> Response {
    let mut body = json!({ "error": wrong.error, "error_description": wrong.description });
    if let (Some(refused), Some(members)) = (refused, body.as_object_mut()) {
        members.insert("data".into(), error::data(refused));
    }
    let mut headers = HeaderMap::from_iter(no_store());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    (status, headers, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(parameters: &[(&str, &str)]) -> Result<Form, &'static str> {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(parameters);
        read(body.finish().as_bytes()).map_err(|wrong| wrong.error)
    }

    const GOOD: [(&str, &str); 3] = [
        ("grant_type", GRANT),
        ("subject_token", "a.b.c"),
        ("subject_token_type", ACCESS_TOKEN),
    ];

    fn with(more: &[(&'static str, &'static str)]) -> Result<Form, &'static str> {
        form(&[&GOOD[..], more].concat())
    }

    #[test]
    fn a_form_is_read_or_refused_in_the_words_of_oauth() {
        let plain = with(&[]).unwrap();
        assert_eq!(plain.subject_token, "a.b.c");
        assert!(plain.tenant.is_none() && plain.narrowed.is_none());
        let more = with(&[
            ("audience", "acme"),
            ("resource", "https://a.example"),
            ("resource", "https://b.example"),
            ("scope", "files/* crm/read_*"),
            ("requested_token_type", ACCESS_TOKEN),
            ("client_id", "cursor"),
        ]);
        let more = more.unwrap();
        assert_eq!(more.tenant.unwrap().as_str(), "acme");
        assert_eq!(
            more.narrowed.unwrap().to_string(),
            "tool in files/*,crm/read_*"
        );
        for (bad, error) in [
            (("audience", "https://edge.example"), "invalid_target"),
            (("scope", "files"), "invalid_scope"),
            (("scope", "files/a,crm/b"), "invalid_scope"),
            (("scope", "files/a  crm/b"), "invalid_scope"),
            (("requested_token_type", JWT), "invalid_request"),
            (("actor_token", "x"), "invalid_request"),
            (("subject_token", "x"), "invalid_request"),
        ] {
            assert_eq!(with(&[bad]).err(), Some(error), "{bad:?}");
        }
        for (at, left_out) in GOOD.iter().enumerate() {
            let mut less = GOOD.to_vec();
            less.remove(at);
            assert_eq!(form(&less).err(), Some("invalid_request"), "{left_out:?}");
        }
        let mut other = GOOD;
        other[0].1 = "client_credentials";
        assert_eq!(form(&other).err(), Some("unsupported_grant_type"));
    }
}
