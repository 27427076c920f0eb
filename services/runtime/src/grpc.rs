//! gRPC between the roles: channels, servers, bearer tokens.
//!
//! There is no TLS here yet: channels are for loopback and private networks, and an `https://`
//! address is refused rather than silently spoken to in plain text.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Status};

use crate::fair::Fair;
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

/// Key of the bearer token in a call's metadata.
const AUTHORIZATION: &str = "authorization";

/// A channel or server that cannot work. Holds no token.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// Not an `http://` address.
    #[error("not an http:// address of a gRPC server")]
    Address,
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
/// [`GrpcError::Address`] for anything but `http://host:port`.
pub fn channel(address: &str) -> Result<Channel, GrpcError> {
    if !address.starts_with("http://") {
        return Err(GrpcError::Address);
    }
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|_| GrpcError::Address)?;
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
    let incoming = incoming.map(|accepted| accepted.map(Fair::new));
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
    async fn only_plain_http_addresses_are_accepted() {
        assert!(channel("http://127.0.0.1:1").is_ok());
        for address in [
            "",
            "127.0.0.1:1",
            "https://127.0.0.1:1",
            "unix:/x",
            "http://",
        ] {
            assert!(
                matches!(channel(address), Err(GrpcError::Address)),
                "{address}"
            );
        }
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
