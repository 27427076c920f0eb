//! Private Postgres and nats-server, started as supervised children.
//!
//! `proctor dev` and every integration test run on real parts: this crate finds the server
//! programs on the machine, starts them on loopback with their own data directory, credentials
//! and free port, and stops them again.
//!
//! What it promises:
//! - [`Postgres::start`] and [`Nats::start`] return when the server has answered an authenticated
//!   client, not merely when a process exists.
//! - A data directory belongs to one process at a time. A server that was left behind by a
//!   process that died is found and ended before a new one starts.
//! - Children are ended on drop; they also die with the process that started them, however it
//!   ends, where `setpriv` (util-linux) is installed.
//! - With [`Supervision::Restart`], a server that dies comes back on the same port.
//! - As root, Postgres runs as an unprivileged account, because it refuses to run as root.
//!
//! What it must never know: any role of Proctor, their tables, subjects or configuration.
//!
//! Reading order: [`postgres`], [`nats`], [`test_stack`]; below them `daemon` (life cycle and
//! supervision), `child` (one process), `home` (the data directory). Apart from all that, for any test: [`skipped`].

mod account;
mod child;
mod daemon;
mod error;
mod home;
mod leftover;
pub mod nats;
mod ports;
pub mod postgres;
mod programs;
mod secret;
mod skipped;
pub mod test_stack;

pub use daemon::Supervision;
pub use error::DevstackError;
pub use nats::{Nats, NatsOptions};
pub use ports::free_port;
pub use postgres::{Durability, Postgres, PostgresOptions};
pub use programs::{Program, find_program};
pub use skipped::skipped;
pub use test_stack::{TestNats, TestPostgres, TestStack};
