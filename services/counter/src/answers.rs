//! The answers of one client's last requests: what was asked twice is done once.

use crate::command::{Client, Rejection, Reply, RequestId};
use crate::limits::{EDGE_ANSWERS_MAX, TENANT_ANSWERS_MAX};
use crate::window::LogTime;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use std::collections::{BTreeMap, VecDeque};

/// The newest answers of one client.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answers {
    by_id: BTreeMap<ByteArray<16>, Answer>,
    /// Oldest first.
    order: VecDeque<ByteArray<16>>,
    used_at: LogTime,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Answer {
    digest: ByteArray<16>,
    reply: Reply,
}

impl Answers {
    /// The answer that this request got before; an error if the id was used for another.
    pub(crate) fn find(&self, id: &RequestId) -> Option<Result<&Reply, Rejection>> {
        let answer = self.by_id.get(&id.id)?;
        Some(if answer.digest == id.digest {
            Ok(&answer.reply)
        } else {
            Err(Rejection::RequestReused)
        })
    }

    /// Keeps an answer; the oldest goes.
    pub(crate) fn keep(&mut self, id: RequestId, reply: Reply, now: LogTime) {
        let most = match id.client {
            Client::Edge(_) => EDGE_ANSWERS_MAX,
            Client::Operators(_) => TENANT_ANSWERS_MAX,
        };
        self.used_at = now;
        self.order.push_back(id.id);
        self.by_id.insert(
            id.id,
            Answer {
                digest: id.digest,
                reply,
            },
        );
        while self.order.len() > most
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }

    pub(crate) fn used_at(&self) -> LogTime {
        self.used_at
    }
}
