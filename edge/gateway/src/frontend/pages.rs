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
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use url::Url;

/// How long a browser may remember what it was allowed.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);
/// Headers that a page may send with a request, whatever it is about.
const SENT: [HeaderName; 13] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::ACCEPT,
    HeaderName::from_static("dpop"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("mcp-session-id"),
    HeaderName::from_static("mcp-protocol-version"),
    HeaderName::from_static("mcp-method"),
    HeaderName::from_static("mcp-name"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-proctor-approval"),
];
/// And those of arguments, which each tool names by itself (MCP 2026-07-28).
const OF_ARGUMENTS: &str = "mcp-param-";
/// Headers of an answer that a page may read.
const READ: [HeaderName; 6] = [
    header::WWW_AUTHENTICATE,
    header::RETRY_AFTER,
    HeaderName::from_static("mcp-session-id"),
    HeaderName::from_static("x-proctor-decision"),
    HeaderName::from_static("x-proctor-model"),
    HeaderName::from_static("x-should-retry"),
];

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

    /// Preflights and headers for the pages that an operator named; for nobody else there are none. Which headers a page may
    /// send is what [`guard`] leaves of its question.
    pub(super) fn cors(&self) -> CorsLayer {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(self.origins.iter().cloned()))
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(READ)
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

/// Makes of the headers that a preflight asks for those that it may have: all that any page may send, so that what a browser
/// remembers is good for its next request, too, and of the others those of arguments.
fn admit_headers(headers: &mut HeaderMap) {
    let asked = headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let asked = asked.iter().filter_map(|value| value.to_str().ok());
    let asked = asked.flat_map(|value| value.split(','));
    let asked = asked.map(|name| name.trim().to_ascii_lowercase());
    let all = SENT;
    let sent = all.iter().map(|name| name.as_str().to_owned());
    let admitted: Vec<String> = sent
        .chain(asked.filter(|name| is_of_argument(name)))
        .collect();
    match HeaderValue::from_str(&admitted.join(",")) {
        Ok(admitted) => drop(headers.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, admitted)),
        Err(_) => drop(headers.remove(header::ACCESS_CONTROL_REQUEST_HEADERS)),
    }
}

fn is_of_argument(name: &str) -> bool {
    let own = name.strip_prefix(OF_ARGUMENTS);
    own.is_some_and(|own| !own.is_empty()) && HeaderName::from_bytes(name.as_bytes()).is_ok()
}

pub(super) async fn guard(
    State(pages): State<Arc<Pages>>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Err(sentence) = pages.check(request.headers()) {
        return super::turned_away(request, StatusCode::FORBIDDEN, sentence).await;
    }
    if *request.method() == Method::OPTIONS {
        admit_headers(request.headers_mut());
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
    fn a_page_may_send_what_is_known_and_what_tools_name() {
        let name = header::ACCESS_CONTROL_REQUEST_HEADERS;
        let admitted = |asked: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for asked in asked.iter().copied() {
                headers.append(name.clone(), HeaderValue::from_static(asked));
            }
            admit_headers(&mut headers);
            let admitted = headers.get(&name).unwrap().to_str().unwrap();
            let mut names: Vec<String> = admitted.split(',').map(str::to_owned).collect();
            // Each is a header's name by itself.
            assert!(names.iter().all(|name| name.parse::<HeaderName>().is_ok()));
            names.drain(..SENT.len());
            names
        };
        assert!(admitted(&[]).is_empty());
        assert!(admitted(&["x-evil, cookie,x-forwarded-for", "mcp-param-"]).is_empty());
        assert_eq!(
            admitted(&["x-api-key, Mcp-Param-Region ,x-evil", "mcp-param-size"]),
            ["mcp-param-region", "mcp-param-size"]
        );
        assert!(admitted(&["mcp-param-a b,mcp-param-a(b)"]).is_empty());
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
