//! How an edge is to run.

use proctor_runtime::Clock;
use proctor_runtime::grpc::ClientTlsFiles;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use url::Url;

/// How an edge is to run. What it serves and for whom comes from control.
#[derive(Clone, Debug)]
pub struct EdgeConfig {
    /// Directory of the identity and the spool. One edge per directory.
    pub data_dir: PathBuf,
    /// Where agents connect.
    pub agent_listen: SocketAddr,
    /// Health, readiness, metrics: never the address agents use.
    pub admin_listen: SocketAddr,
    /// Bytes of events not yet in the ledger beyond which calls are refused.
    pub spool_bytes_max: u64,
    /// Requests in work at once; more are refused.
    pub in_flight_max: usize,
    /// The same of one tenant.
    pub tenant_in_flight_max: usize,
    /// What this edge is to the world outside.
    pub face: Face,
    /// Whose certificates are believed to be the counter's nodes', and who this edge is to them; none: no TLS.
    pub counter_tls: Option<ClientTlsFiles>,
    /// The program as which a child of `mcp-stdio` begins: it is started with [`crate::LIMITED`] and calls
    /// [`crate::become_limited`]. None: children get their limits when they run already.
    pub stdio_wrapper: Option<PathBuf>,
    /// The time.
    pub clock: Clock,
}

/// Under which address agents and browsers know an edge, and whom they get tokens from.
#[derive(Clone, Default, Debug)]
pub struct Face {
    /// The address that agents use, where a name or a proxy stands before this edge.
    pub public_url: Option<Url>,
    /// Web pages that may speak to this edge. Pages on loopback may, where the edge is there as well.
    pub allowed_origins: Vec<Url>,
    /// Who gives tokens for this edge, as its resource metadata says (RFC 9728): URLs, letter by letter as they name themselves, for
    /// that is what clients compare (RFC 8414, section 3.3).
    pub authorization_servers: Vec<String>,
}

impl EdgeConfig {
    /// The defaults: loopback on free ports, a spool of 1 GiB, 4,096 requests at once, half of them of one tenant.
    #[must_use]
    pub fn new(data_dir: PathBuf) -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            data_dir,
            agent_listen: free,
            admin_listen: free,
            spool_bytes_max: 1 << 30,
            in_flight_max: 4_096,
            tenant_in_flight_max: 2_048,
            face: Face::default(),
            counter_tls: None,
            stdio_wrapper: None,
            clock: Clock::system(),
        }
    }
}
