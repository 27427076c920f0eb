//! The operator's side of membership: what `proctor counter …` does.

use crate::peers::{AddressError, Peers};
use crate::raft::NodeId;
use crate::tls::{Tls, TlsError, TlsFiles};
use proctor_proto::v1;
use proctor_proto::v1::counter_admin_client::CounterAdminClient;
use tonic::transport::Channel;

/// A connection to a node's operators' service.
pub struct Operate {
    peers: Peers,
    address: String,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// The node's address.
    #[error("{0}")]
    Address(String),
    /// TLS.
    #[error("TLS")]
    Tls(#[from] TlsError),
    /// The node refuses, or can't be reached.
    #[error("{}", .0.message())]
    Refused(Box<tonic::Status>),
}

impl From<AddressError> for OperateError {
    fn from(error: AddressError) -> Self {
        Self::Address(error.to_string())
    }
}

impl From<tonic::Status> for OperateError {
    fn from(status: tonic::Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

type Answered = Result<v1::CounterStatusResponse, OperateError>;

impl Operate {
    /// To the node at this address (`https://host:port` of its nodes' listener).
    ///
    /// # Errors
    /// If the TLS files can't be used.
    pub fn new(address: String, tls: Option<&TlsFiles>) -> Result<Self, OperateError> {
        let tls = tls.map(Tls::load).transpose()?;
        Ok(Self {
            peers: Peers::new(tls),
            address,
        })
    }

    /// How the node is.
    ///
    /// # Errors
    /// If it can't be reached.
    pub async fn status(&self) -> Answered {
        let request = v1::CounterStatusRequest {};
        Ok(self.node()?.status(request).await?.into_inner())
    }

    /// Makes a cluster of this node alone.
    ///
    /// # Errors
    /// If it is in a cluster already, or can't be reached.
    pub async fn init(&self) -> Answered {
        Ok(self
            .node()?
            .init(v1::CounterInitRequest {})
            .await?
            .into_inner())
    }

    /// Adds a node to the cluster of this one.
    ///
    /// # Errors
    /// If there is no leader, or the new node can't be reached.
    pub async fn add_node(&self, node: NodeId, address: String) -> Answered {
        let request = v1::CounterAddNodeRequest { node, address };
        Ok(self.leader().await?.add_node(request).await?.into_inner())
    }

    /// Takes a node out of the cluster.
    ///
    /// # Errors
    /// If there is no leader, or it is the last.
    pub async fn remove_node(&self, node: NodeId) -> Answered {
        let request = v1::CounterRemoveNodeRequest { node };
        Ok(self
            .leader()
            .await?
            .remove_node(request)
            .await?
            .into_inner())
    }

    fn node(&self) -> Result<CounterAdminClient<Channel>, OperateError> {
        Ok(self.peers.admin(&self.address)?)
    }

    async fn leader(&self) -> Result<CounterAdminClient<Channel>, OperateError> {
        let status = self.status().await?;
        let leader = status
            .members
            .iter()
            .find(|member| member.node == status.leader);
        Ok(match leader {
            Some(leader) => self.peers.admin(&leader.address)?,
            None => self.node()?,
        })
    }
}
