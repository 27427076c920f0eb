//! Connections to other nodes by their addresses, kept open.

use crate::limits::NODE_MESSAGE_BYTES_MAX;
use crate::tls::Tls;
use proctor_proto::v1::counter_admin_client::CounterAdminClient;
use proctor_proto::v1::counter_node_client::CounterNodeClient;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// An address that can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("a node's address is http://host:port, with TLS https://host:port")]
    Form,
    #[error("the TLS files don't fit")]
    Tls(#[source] tonic::transport::Error),
}

/// The connections. Clones share them.
#[derive(Clone)]
pub(crate) struct Peers {
    tls: Option<Tls>,
    open: Arc<Mutex<BTreeMap<String, Channel>>>,
}

impl Peers {
    pub(crate) fn new(tls: Option<Tls>) -> Self {
        Self {
            tls,
            open: Arc::default(),
        }
    }

    /// The other node's own service.
    pub(crate) fn client(&self, address: &str) -> Result<CounterNodeClient<Channel>, AddressError> {
        Ok(CounterNodeClient::new(self.channel(address)?)
            .max_decoding_message_size(NODE_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(NODE_MESSAGE_BYTES_MAX))
    }

    /// The other node's operators' service.
    pub(crate) fn admin(&self, address: &str) -> Result<CounterAdminClient<Channel>, AddressError> {
        Ok(CounterAdminClient::new(self.channel(address)?))
    }

    fn channel(&self, address: &str) -> Result<Channel, AddressError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = open.get(address) {
            return Ok(channel.clone());
        }
        let channel = self.connect(address)?;
        open.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    fn connect(&self, address: &str) -> Result<Channel, AddressError> {
        let scheme = if self.tls.is_some() {
            "https://"
        } else {
            "http://"
        };
        if !address.starts_with(scheme) {
            return Err(AddressError::Form);
        }
        let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|_| AddressError::Form)?;
        let endpoint = match &self.tls {
            Some(tls) => endpoint
                .tls_config(tls.client())
                .map_err(AddressError::Tls)?,
            None => endpoint,
        };
        // A connection that has gone quiet is given up soon: the other side may have been cut off.
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(endpoint.connect_lazy())
    }
}
