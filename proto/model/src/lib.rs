//! What every part of Proctor agrees on to the byte: ids, refusal reasons, audit events and their
//! canonical bytes, signed documents.
//!
//! This crate does no I/O, reads no clock and knows no role. Its formats are promises
//! (`docs/contracts.md`): a change needs a version field and a CHANGELOG entry.
//!
//! Reading order: [`ids`], [`reason`], [`catalogue`], [`intent`], [`budget`], [`config`], [`content`], [`signed`], [`audit`], [`approval`], [`kill`], [`memory`], [`login`].

pub mod approval;
pub mod audit;
pub mod budget;
pub mod catalogue;
pub mod config;
pub mod content;
pub mod ids;
pub mod intent;
pub mod kill;
pub mod limits;
pub mod login;
pub mod memory;
pub mod principal;
pub mod reason;
pub mod sighting;
pub mod signed;
pub mod time;

pub use ids::*;
pub use reason::{Control, Reason};
pub use time::Timestamp;
