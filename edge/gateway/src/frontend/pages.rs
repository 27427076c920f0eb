//! Web pages: which of them may speak to this edge.
//!
//! A page that a user of this machine opens must not get at an edge on loopback by a name that it made point there (DNS
//! rebinding), and no page is answered that an operator did not name. Programs send no `Origin`: this is not about them.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};
use url::Url;

/// How long a browser may remember what it was allowed.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);

/// Who may be on the other side of a browser, and under which names this edge is known.
pub(crate) struct Pages {
    origins: Vec<HeaderValue>,
    public: Option<Url>,
    loopback: bool,
}

impl Pages {
    pub(crate) fn new(listen: SocketAddr, public: Option<Url>, origins: &[Url]) -> Self {
        let written =
            |origin: &Url| HeaderValue::from_str(&origin.origin().ascii_serialization()).ok();
        Self {
            origins: origins.iter().filter_map(written).collect(),
            public,
            loopback: listen.ip().is_loopback(),
        }
    }

    /// Preflights and headers for the pages that an operator named; for nobody else there are none.
    pub(super) fn cors(&self) -> CorsLayer {
        let header = HeaderName::from_static;
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(self.origins.iter().cloned()))
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                header::ACCEPT,
                header("dpop"),
                header("last-event-id"),
                header("mcp-session-id"),
                header("mcp-protocol-version"),
                header("mcp-method"),
                header("mcp-name"),
            ])
            .expose_headers([header::WWW_AUTHENTICATE, header("mcp-session-id")])
            .max_age(PREFLIGHT_AGE)
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        if !self.knows_host(headers) {
            return Err("this edge is not known by that name");
        }
        match headers.get(header::ORIGIN) {
            Some(origin) if !self.admits(origin) => {
                Err("pages of this origin may not speak to this edge")
            }
            _ => Ok(()),
        }
    }

    /// On loopback, and where a public address is set, the names are known; elsewhere a proxy may use any. An IP address is no name
    /// that somebody could make point here: off loopback, where probes and proxies use it, it is as good as the public one.
    fn knows_host(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(header::HOST) else {
            return true;
        };
        let Some(url) = host
            .to_str()
            .ok()
            .and_then(|host| Url::parse(&format!("http://{host}/")).ok())
        else {
            return false;
        };
        let named = |public: &Url| public.host() == url.host();
        let known = is_loopback(&url) || self.public.as_ref().is_some_and(named);
        known
            || match (self.loopback, &self.public) {
                (true, _) => false,
                (false, Some(_)) => is_address(&url),
                (false, None) => true,
            }
    }

    fn admits(&self, origin: &HeaderValue) -> bool {
        if self.origins.contains(origin) {
            return true;
        }
        let Some(url) = origin
            .to_str()
            .ok()
            .and_then(|origin| Url::parse(origin).ok())
        else {
            return false;
        };
        let own = |public: &Url| public.origin() == url.origin();
        self.public.as_ref().is_some_and(own) || (self.loopback && is_loopback(&url))
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(url::Host::Ipv6(ip)) => IpAddr::from(ip).is_loopback(),
        None => false,
    }
}

fn is_address(url: &Url) -> bool {
    matches!(url.host(), Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)))
}

pub(super) async fn guard(
    State(pages): State<Arc<Pages>>,
    request: Request,
    next: Next,
) -> Response {
    if let Err(sentence) = pages.check(request.headers()) {
        return super::turned_away(request, StatusCode::FORBIDDEN, sentence).await;
    }
    next.run(request).await.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(pages: &Pages, host: &'static str, origin: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
        headers.extend(origin.map(|origin| (header::ORIGIN, HeaderValue::from_static(origin))));
        pages.check(&headers).is_ok()
    }

    #[test]
    fn a_rebound_name_reaches_nothing_on_loopback() {
        let pages = Pages::new("127.0.0.1:8080".parse().unwrap(), None, &[]);
        for host in ["127.0.0.1:8080", "localhost", "[::1]:8080", "127.0.0.2:1"] {
            assert!(checked(&pages, host, None), "{host}");
        }
        for host in [
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "a b",
            "",
        ] {
            assert!(!checked(&pages, host, None), "{host}");
        }
        assert!(checked(
            &pages,
            "localhost:1",
            Some("http://localhost:3000")
        ));
        for origin in [
            "http://evil.example",
            "null",
            "http://localhost.evil.example",
            "",
        ] {
            assert!(!checked(&pages, "localhost:1", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn elsewhere_only_named_origins_are_pages_of_ours() {
        let origins = ["https://console.example".parse().unwrap()];
        let public = Some("https://edge.example/".parse().unwrap());
        let pages = Pages::new("0.0.0.0:8080".parse().unwrap(), public, &origins);
        for origin in ["https://console.example", "https://edge.example"] {
            assert!(checked(&pages, "edge.example", Some(origin)), "{origin}");
        }
        for origin in [
            "http://console.example",
            "https://console.example:8443",
            "http://localhost",
            "null",
        ] {
            assert!(!checked(&pages, "edge.example", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn where_a_public_address_is_set_no_other_name_reaches_anything() {
        let public = Some("https://edge.example/".parse().unwrap());
        let pages = Pages::new("0.0.0.0:8080".parse().unwrap(), public, &[]);
        for host in [
            "edge.example",
            "edge.example:8443",
            "localhost:8080",
            "10.0.0.7:8080",
            "[fd00::7]:8080",
        ] {
            assert!(checked(&pages, host, None), "{host}");
        }
        for host in [
            "evil.example",
            "edge.example.evil.example",
            "10.0.0.7.evil.example",
            "edge",
        ] {
            assert!(!checked(&pages, host, None), "{host}");
        }
        let unnamed = Pages::new("0.0.0.0:8080".parse().unwrap(), None, &[]);
        assert!(checked(&unnamed, "edge.internal", None), "a proxy's name");
    }
}
