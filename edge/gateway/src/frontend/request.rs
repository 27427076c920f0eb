//! Reading a request: its token, its trace, its body.

use crate::proof::{self, Presented, Scheme};
use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use proctor_model::{ApprovalId, Reason};
use serde_json::Value;
use std::time::Duration;

/// Largest body, in bytes; the engine's own limit on a JSON text.
pub(super) const BODY_BYTES_MAX: usize = proctor_engine::limits::JSON_BYTES_MAX;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What a request shows of its sender.
pub(super) fn presented(parts: &Parts) -> Presented<'_> {
    let (scheme, token) = authorization(&parts.headers).unzip();
    Presented {
        token,
        scheme: scheme.unwrap_or(Scheme::Bearer),
        proof: parts.headers.get(&proof::HEADER),
        method: &parts.method,
        path: parts.uri.path(),
    }
}

/// The token's text, and how it is sent: `Bearer` or `DPoP` in any case (RFC 9110), one space, nothing else.
fn authorization(headers: &HeaderMap) -> Option<(Scheme, &str)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let known = [("bearer", Scheme::Bearer), ("dpop", Scheme::Dpop)];
    let mut known = known.into_iter();
    let (_, scheme) = known.find(|(name, _)| scheme.eq_ignore_ascii_case(name))?;
    Some((scheme, token))
}

/// The key in a request's `_meta` under which it names an approval.
pub(super) const APPROVAL: &str = "dev.proctor/approval";

/// The approval that a call's `_meta` names.
pub(super) fn approval(meta: Option<Value>) -> Result<Option<ApprovalId>, Reason> {
    let named = match meta {
        None => return Ok(None),
        Some(Value::Object(mut members)) => members.remove(APPROVAL),
        Some(_) => return Err(Reason::InvalidParams),
    };
    match named {
        None => Ok(None),
        Some(Value::String(id)) => id.parse().map(Some).map_err(|_| Reason::InvalidParams),
        Some(_) => Err(Reason::InvalidParams),
    }
}

/// The trace id of a W3C `traceparent`, if it is one.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<String> {
    let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
    let (_version, id) = (parts.next()?, parts.next()?);
    let hex = id.len() == 32
        && id
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (hex && id.bytes().any(|byte| byte != b'0')).then(|| id.to_owned())
}

/// Whether the body says that it is of this kind.
pub(super) fn is_of(headers: &HeaderMap, wanted: &str) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case(wanted)
}

/// The whole body, never more than the limit.
pub(super) async fn body(headers: &HeaderMap, body: Body) -> Result<Bytes, Reason> {
    body_within(headers, body, BODY_BYTES_MAX).await
}

/// The whole body, never more than so many bytes.
pub(super) async fn body_within(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<Bytes, Reason> {
    if !is_of(headers, "application/json") {
        return Err(Reason::InvalidTransport);
    }
    read_within(body, bytes_max).await
}

/// The whole body, whatever its kind, never more than so many bytes.
pub(super) async fn read_within(body: Body, bytes_max: usize) -> Result<Bytes, Reason> {
    let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, bytes_max).collect());
    match read.await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Reason::TooLarge),
        _ => Err(Reason::InvalidTransport),
    }
}

/// Takes a body and throws it away, so that its sender comes to hear the answer before the connection ends. Never more
/// than could be read.
pub(super) async fn discard(body: Body) {
    let mut body = Limited::new(body, BODY_BYTES_MAX);
    let discarding = async { while let Some(Ok(_)) = body.frame().await {} };
    // Who is that slow does not hear it.
    drop(tokio::time::timeout(BODY_TIMEOUT, discarding).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn with(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            axum::http::HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn an_approval_is_named_by_its_id_or_not_at_all() {
        use serde_json::json;
        let named = |meta: Value| approval(Some(meta));
        assert_eq!(approval(None), Ok(None));
        assert_eq!(named(json!({ "progressToken": 1 })), Ok(None));
        let id = "apr_0190".parse().unwrap();
        assert_eq!(named(json!({ APPROVAL: "apr_0190" })), Ok(Some(id)));
        for bad in [
            json!([]),
            json!({ APPROVAL: 1 }),
            json!({ APPROVAL: "int_1" }),
        ] {
            assert_eq!(named(bad), Err(Reason::InvalidParams));
        }
    }

    #[test]
    fn tokens_and_traces_are_read_or_not_there() {
        for (value, scheme) in [
            ("bearer pct_x", Scheme::Bearer),
            ("DPoP pct_x", Scheme::Dpop),
        ] {
            let headers = with("authorization", value);
            assert_eq!(authorization(&headers), Some((scheme, "pct_x")));
        }
        for bad in ["pct_x", "Basic pct_x", "Bearer", ""] {
            assert_eq!(authorization(&with("authorization", bad)), None, "{bad}");
        }
        let id = "0af7651916cd43dd8448eb211c80319c";
        let traced = with(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
        assert_eq!(trace_id(&traced).as_deref(), Some(id));
        for bad in [
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-1-01",
            "x",
        ] {
            assert_eq!(trace_id(&with("traceparent", bad)), None, "{bad}");
        }
    }
}
