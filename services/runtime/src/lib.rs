//! What every role needs to run, and nothing of what any role does.
//!
//! What it promises:
//! - Configuration is one documented struct per role, read once and checked whole; unknown keys
//!   are errors ([`config`]). Secrets are a type that cannot be printed ([`secret`]).
//! - Time and randomness are handed in as values that tests can set ([`clock`], [`random`]).
//! - Names on the wire between the roles are typed functions, in one place ([`subjects`]).
//! - Keys are made on first use and kept in files only their owner reads ([`keyfile`]); secrets
//!   for an edge are sealed to its key ([`seal`]).
//! - What may go wrong thousands of times at once is some lines a minute in a log ([`lines`]).
//! - Connections come back by themselves and never write credentials to a log ([`nats`], [`grpc`]).
//!
//! What it must never know: any role, its tables or its decisions.
//!
//! Reading order: [`subjects`], [`nats`], [`seal`], [`config`], [`admin`]; the rest as needed.

pub mod admin;
pub mod backoff;
pub mod clock;
pub mod config;
mod fair;
mod frames;
pub mod grpc;
pub mod keyfile;
pub mod lines;
pub mod nats;
pub mod peers;
pub mod random;
pub mod seal;
pub mod secret;
pub mod shutdown;
pub mod subjects;
pub mod telemetry;

pub use clock::Clock;
pub use random::Random;
pub use secret::Secret;
