//! What other nodes ask of this one.

use crate::codec::{CodecError, decode, encode};
use crate::node::Node;
use proctor_proto::v1;
use proctor_proto::v1::counter_node_server::CounterNode;
use serde::Serialize;
use tonic::{Request, Response, Status};

type Answered = Result<Response<v1::NodeReply>, Status>;

/// The nodes' service.
pub(crate) struct NodeService(pub(crate) Node);

impl NodeService {
    fn reply<T: Serialize>(&self, answer: &T) -> Answered {
        let body = encode(answer).map_err(|_| Status::internal("the answer can't be written"))?;
        Ok(Response::new(v1::NodeReply {
            body,
            clock_us: self.0.clock.own_us(),
        }))
    }
}

fn unreadable(_: CodecError) -> Status {
    Status::invalid_argument("not a message of this version")
}

#[tonic::async_trait]
impl CounterNode for NodeService {
    async fn append(&self, request: Request<v1::NodeMessage>) -> Answered {
        let message = decode(&request.into_inner().body).map_err(unreadable)?;
        self.reply(&self.0.raft.append_entries(message).await)
    }

    async fn vote(&self, request: Request<v1::NodeMessage>) -> Answered {
        let message = decode(&request.into_inner().body).map_err(unreadable)?;
        self.reply(&self.0.raft.vote(message).await)
    }

    async fn snapshot(&self, request: Request<v1::NodeMessage>) -> Answered {
        let message = decode(&request.into_inner().body).map_err(unreadable)?;
        self.reply(&self.0.raft.install_snapshot(message).await)
    }

    async fn forward(&self, request: Request<v1::NodeMessage>) -> Answered {
        let question = decode(&request.into_inner().body).map_err(unreadable)?;
        self.reply(&self.0.lead(question).await)
    }
}
