//! The counter: accounts of calls, tokens and cost that can't be overspent, whatever crashes, is cut off or has its
//! clock changed.
//!
//! # The argument
//!
//! 1. *One book.* All accounts are in one [`book::Book`], the state machine of a Raft log. A command counts when most
//!    nodes have it on disk, and it is applied in the same order everywhere; a leader that was cut off commits nothing.
//! 2. *Escrow.* A lease subtracts its units from the account when it is granted. From then on `spent + leased <= limit`
//!    holds whatever its edge does: spends them, loses them, dies, comes back in an hour. An edge spends only what it
//!    holds, so the sum over all edges is within the limit too.
//! 3. *Time only takes away.* A lease's expiry stops its edge from spending (by the edge's own monotonic clock, from
//!    the moment it asked); it gives nothing back here. An expired lease that nobody settled stays charged in full.
//! 4. *Units come back in two ways only*: by a settlement of the edge that holds the lease, or by an operator's write-off.
//!    Settlements say totals that only grow, so repeating or reordering them changes nothing.
//! 5. *Fencing.* Each process of an edge opens an epoch. What an older process sends (it was asleep, or the network held
//!    it back) is refused, so it can neither take units nor give back what a newer one has settled. A lease id
//!    is never used again.
//! 6. *Once.* Each command names its request. What was committed before is answered from memory, so that asking again
//!    after a lost answer or a change of leaders is safe.
//! 7. *Windows begin by the log's time* (`quorum_clock`), which no single wrong clock moves ahead, and which never goes
//!    back. Units that are leased when a window ends stay charged in the next until they are settled. Those settled soon
//!    after belong to the old window, as their lease ended with it; those settled late count in the new one.
//!
//! *Why there is no command `Expire`.* It could do one of two things. If it gave back what a lease has left, units would
//! come back by time alone: an edge that sleeps, is cut off or has a slow clock may have spent them and not said so yet,
//! and the same units would be spent twice. If it gave nothing back it would change nothing, and need no place in the
//! log: an expiry is a promise of the edge's, kept by its own monotonic clock, and the book only notes it for operators
//! to see. So a lease ends as its edge settles it, in this process or the next (`Open` and `Held` name what is out), or as
//! an operator who knows what was spent writes it off. The price is that a dead edge's units stay charged meanwhile:
//! too little is spent then, never too much. `Sweep` forgets accounts that are over, and none with units on lease.
//!
//! The limit of this: an edge that lies about what it spent. Edges are part of the platform; what they did is in the
//! audit chain. And what is settled beyond a grant (a real cost over its estimate) is charged even past the limit:
//! hiding it would be worse.
//!
//! It must never know of tokens, intents, policies or arguments: accounts and numbers only.
//!
//! Reading order: [`account`], [`command`], [`book`] (all pure), `propose`, `forward`, `node`, `raft`, `grpc`.

pub mod account;
mod admin_service;
mod answers;
pub mod book;
mod caller;
mod codec;
pub mod command;
mod convert;
mod error;
mod forward;
mod grpc;
pub mod limits;
mod node;
mod node_service;
mod operate;
mod peers;
mod propose;
mod quorum_clock;
mod raft;
mod start;
mod tls;
pub mod window;

pub use error::CounterError;
pub use operate::{Operate, OperateError};
pub use raft::NodeId;
pub use start::{Bootstrap, CounterConfig, Handle, start};
pub use tls::{TlsError, TlsFiles};
