//! Memory provenance: the records that come with the events, as tables, and the answers to those who ask.
//!
//! A record counts from the moment that its write was authorized; what it replaces is gone only when the tool said that
//! the write went well. Until then both stand, the older as untrusted: the write may or may not have reached the store.
//!
//! Reading order: `take` (events into the tables), `state` (how items stand), `answer` (over NATS), `read` (over gRPC),
//! `replay` (whether the tables are what the entries made).

mod answer;
mod read;
mod replay;
mod state;
mod take;

pub(crate) use answer::{questions, run};
pub(crate) use read::{list, tell};
pub(crate) use replay::Replay;
use state::Item;
pub(crate) use take::take;
