//! gRPC between the roles: channels, servers, bearer tokens.
//!
//! `http://` is for loopback and private networks. `https://` needs the authority of the server's
//! certificate ([`channel_with`]). An address is never spoken to in another way than it says, nor in
//! plain text where TLS is configured: either is an error.

mod tls;

pub use tls::{ClientTls, ClientTlsFiles};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Status};

use crate::fair::Fair;
use crate::peers::{Pace, Peers};
use crate::secret::Secret;

/// Time to establish a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a whole call, on both sides.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// An idle connection is asked for a sign of life this often.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls at once on one connection; more wait.
const STREAMS_MAX: u32 = 256;
/// Metadata of one call, bytes.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// How long calls under way are waited for at the end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections of one peer at once: a network of edges behind one address has as many edges.
const PEER_CONNECTIONS_MAX: usize = 4_096;
/// New connections of one peer. Who floods a connection with frames has it ended, and connects again: what that costs is
/// bounded here. Roles keep theirs, and back off before they come again.
const PEER_PACE: Pace = Pace {
    burst: 256,
    apart: Duration::from_millis(20),
};

/// Key of the bearer token in a call's metadata.
const AUTHORIZATION: &str = "authorization";

/// A channel or server that cannot work. Holds no token.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// Neither an `http://` nor an `https://` address.
    #[error("not an http:// or https:// address of a gRPC server")]
    Address,
    /// An `https://` address, and nobody whose certificates are believed.
    #[error(
        "https:// is for the counter's nodes, and needs the authority of their certificates (`counter_tls`)"
    )]
    NoAuthority,
    /// An `http://` address where TLS is configured.
    #[error("TLS is configured (`counter_tls`), and the address is http://")]
    Plain,
    /// A PEM file.
    #[error("{path} can't be read")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// One of the client's two files is missing.
    #[error("a client's certificate needs both `cert` and `key`")]
    HalfIdentity,
    /// The files' content.
    #[error("the TLS files don't fit")]
    Tls(#[source] tonic::transport::Error),
    /// A token with characters no header can carry.
    #[error("the bearer token is not usable in a header")]
    Token,
    /// The server failed.
    #[error("the gRPC server failed")]
    Serve(#[source] tonic::transport::Error),
}

/// A channel that connects when it is first used, and again whenever the connection is lost.
///
/// # Errors
/// [`GrpcError::Address`] or [`GrpcError::NoAuthority`] for anything but `http://host:port`.
pub fn channel(address: &str) -> Result<Channel, GrpcError> {
    channel_with(address, None)
}

/// The same, with TLS to an `https://` address: if it is configured, there is no other way.
///
/// # Errors
/// If the address and the configuration don't fit.
pub fn channel_with(address: &str, tls: Option<&ClientTls>) -> Result<Channel, GrpcError> {
    let secure = address.starts_with("https://");
    if !secure && !address.starts_with("http://") {
        return Err(GrpcError::Address);
    }
    let endpoint = || Endpoint::from_shared(address.to_owned()).map_err(|_| GrpcError::Address);
    let endpoint = match (secure, tls) {
        (false, None) => endpoint()?,
        (false, Some(_)) => return Err(GrpcError::Plain),
        (true, None) => return Err(GrpcError::NoAuthority),
        (true, Some(tls)) => endpoint()?
            .tls_config(tls.config())
            .map_err(GrpcError::Tls)?,
    };
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(CALL_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_lazy())
}

/// A server builder with our limits.
#[must_use]
pub fn server() -> Server {
    Server::builder()
        .timeout(CALL_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX)
        .concurrency_limit_per_connection(STREAMS_MAX as usize)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}

/// Serves until the token is cancelled, then waits a while for the calls under way.
///
/// # Errors
/// [`GrpcError::Serve`] if the listener fails.
pub async fn serve(
    router: Router,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), GrpcError> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let peers = Peers::new(PEER_CONNECTIONS_MAX, Some(PEER_PACE));
    let incoming = incoming.filter_map(move |accepted| match accepted {
        Ok(stream) => admit(&peers, stream).map(Ok),
        Err(error) => Some(Err(error)),
    });
    let too_late = {
        let shutdown = shutdown.clone();
        async move {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN_TIMEOUT).await;
        }
    };
    tokio::select! {
        served = router.serve_with_incoming_shutdown(incoming, shutdown.cancelled_owned()) => {
            served.map_err(GrpcError::Serve)
        }
        () = too_late => {
            tracing::warn!("gRPC calls were still under way at the end");
            Ok(())
        }
    }
}

/// A new connection; none if its peer has too many, or too often new ones: it is closed.
fn admit(peers: &Arc<Peers>, stream: TcpStream) -> Option<Fair> {
    // Without an address it is gone already.
    let from = stream.peer_addr().ok()?;
    let peer = peers.enter(from.ip(), Instant::now())?;
    Some(Fair::new(stream, peer))
}

/// A request that carries a bearer token, marked so that nothing logs it.
///
/// # Errors
/// [`GrpcError::Token`].
pub fn with_bearer<T>(message: T, token: &Secret) -> Result<Request<T>, GrpcError> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert(AUTHORIZATION, bearer_value(token)?);
    Ok(request)
}

/// Adds one bearer token to every call of a client.
#[derive(Clone)]
pub struct BearerInterceptor(MetadataValue<Ascii>);

impl std::fmt::Debug for BearerInterceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BearerInterceptor")
    }
}

impl BearerInterceptor {
    /// For this token.
    ///
    /// # Errors
    /// [`GrpcError::Token`].
    pub fn new(token: &Secret) -> Result<Self, GrpcError> {
        bearer_value(token).map(Self)
    }
}

impl Interceptor for BearerInterceptor {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(AUTHORIZATION, self.0.clone());
        Ok(request)
    }
}

/// The one bearer token of a call.
///
/// # Errors
/// `UNAUTHENTICATED` if there is none, more than one, or something else in its place.
pub fn bearer(metadata: &MetadataMap) -> Result<Secret, Status> {
    let mut values = metadata.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Status::unauthenticated(
            "exactly one bearer token is required",
        ));
    };
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .unwrap_or_default();
    if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() {
        Ok(token.trim().into())
    } else {
        Err(Status::unauthenticated(
            "exactly one bearer token is required",
        ))
    }
}

fn bearer_value(token: &Secret) -> Result<MetadataValue<Ascii>, GrpcError> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.expose())
        .parse()
        .map_err(|_| GrpcError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_there_and_back_and_is_not_shown() {
        let token = Secret::from("s3cret.token");
        let request = with_bearer((), &token).unwrap();
        assert_eq!(bearer(request.metadata()).unwrap().expose(), "s3cret.token");
        let interceptor = BearerInterceptor::new(&token).unwrap();
        let called = interceptor.clone().call(Request::new(())).unwrap();
        assert_eq!(bearer(called.metadata()).unwrap().expose(), "s3cret.token");
        let shown = format!("{request:?} {interceptor:?} {called:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(matches!(
            BearerInterceptor::new(&"a\nb".into()),
            Err(GrpcError::Token)
        ));
    }

    #[test]
    fn anything_but_one_bearer_token_is_unauthenticated() {
        for values in [
            &[][..],
            &["Bearer "],
            &["Bearer"],
            &["Basic abc"],
            &["abc"],
            &["Bearer a", "Bearer b"],
        ] {
            let mut metadata = MetadataMap::new();
            for value in values {
                metadata.append(AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(
                bearer(&metadata).unwrap_err().code(),
                tonic::Code::Unauthenticated,
                "{values:?}"
            );
        }
    }

    #[tokio::test]
    async fn an_address_is_spoken_to_as_it_says_or_not_at_all() {
        assert!(channel("http://127.0.0.1:1").is_ok());
        for address in ["", "127.0.0.1:1", "unix:/x", "http://"] {
            assert!(
                matches!(channel(address), Err(GrpcError::Address)),
                "{address}"
            );
        }
        assert!(matches!(
            channel("https://127.0.0.1:1"),
            Err(GrpcError::NoAuthority)
        ));
    }

    #[tokio::test]
    async fn where_tls_is_configured_nothing_is_plain() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        let files = |cert: Option<&str>| ClientTlsFiles {
            ca: ca.clone(),
            cert: cert.map(PathBuf::from),
            key: None,
        };
        assert!(matches!(
            ClientTls::load(&files(None)),
            Err(GrpcError::File { .. })
        ));
        // No certificate is in it: then none is believed.
        std::fs::write(&ca, "").unwrap();
        assert!(matches!(
            ClientTls::load(&files(Some("own.pem"))),
            Err(GrpcError::HalfIdentity)
        ));
        let tls = ClientTls::load(&files(None)).unwrap();
        assert_eq!(format!("{tls:?}"), "ClientTls");
        assert!(matches!(
            channel_with("http://127.0.0.1:1", Some(&tls)),
            Err(GrpcError::Plain)
        ));
        assert!(matches!(
            channel_with("127.0.0.1:1", Some(&tls)),
            Err(GrpcError::Address)
        ));
    }

    #[tokio::test]
    async fn a_server_serves_until_told_to_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = tonic::service::Routes::from(axum::Router::new());
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(serve(
            server().add_routes(routes),
            listener,
            shutdown.clone(),
        ));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let connected = endpoint.connect().await.unwrap();
        drop(connected);
        shutdown.cancel();
        running.await.unwrap().unwrap();
        assert!(endpoint.connect().await.is_err());
    }
}
