//! Small public documents of others, such as the key sets of identity providers.

use super::Upstreams;
use super::client::Reach;
use super::guard;
use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::ACCEPT;
use std::net::IpAddr;
use std::time::Duration;
use url::{Host, Url};

/// How long a document may take, from the first byte of the request to the last of the answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest document, in bytes.
const BYTES_MAX: usize = 256 * 1024;

/// Why a document can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error("its address is none that may be asked")]
    Address,
    #[error("it did not come in time")]
    Timeout,
    #[error("it can't be reached, or broke off")]
    Unreachable,
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("it is too large")]
    TooLarge,
}

impl Upstreams {
    /// A document, whole. Redirects are not followed; without `private_addresses` only public addresses are asked.
    pub(crate) async fn document(
        &self,
        url: &str,
        private_addresses: bool,
    ) -> Result<Vec<u8>, DocumentError> {
        let url: Url = url.parse().map_err(|_| DocumentError::Address)?;
        if !may_ask(&url, private_addresses) {
            return Err(DocumentError::Address);
        }
        let client = match private_addresses {
            true => &self.dialer.neighbours,
            false => &self.dialer.public,
        };
        let request = client.get(url).header(ACCEPT, "application/json");
        tokio::time::timeout(TIMEOUT, read(request))
            .await
            .unwrap_or(Err(DocumentError::Timeout))
    }
}

async fn read(request: reqwest::RequestBuilder) -> Result<Vec<u8>, DocumentError> {
    let unreachable = |_| DocumentError::Unreachable;
    let mut response = request.send().await.map_err(unreachable)?;
    if response.status() != StatusCode::OK {
        return Err(DocumentError::Status(response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        let chunk: Bytes = chunk;
        if body.len().saturating_add(chunk.len()) > BYTES_MAX {
            return Err(DocumentError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What is believed because of where it came from comes over TLS, or from the machine itself.
fn may_ask(url: &Url, private_addresses: bool) -> bool {
    match (url.scheme(), private_addresses) {
        ("https", private) => guard::may_name(url, Reach::of(private)),
        ("http", true) => is_loopback(url),
        _ => false,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_the_machine_itself() {
        for (url, public, private) in [
            ("https://login.example/keys", true, true),
            ("https://10.0.0.1/keys", false, true),
            ("https://169.254.169.254/", false, false),
            ("https://[fd00:ec2::254]/", false, false),
            ("http://login.example/keys", false, false),
            ("http://10.0.0.1/keys", false, false),
            ("http://127.0.0.1:8080/keys", false, true),
            ("http://localhost/keys", false, true),
            ("http://[::1]/keys", false, true),
            ("file:///etc/passwd", false, false),
        ] {
            let url = url.parse().unwrap();
            assert_eq!(may_ask(&url, false), public, "{url}");
            assert_eq!(may_ask(&url, true), private, "{url}");
        }
    }
}
