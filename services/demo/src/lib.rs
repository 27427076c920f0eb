//! The demo: three small tool servers (bank, mail, files) over in-memory data, and a scripted agent whose
//! mailbox holds an injected instruction.
//!
//! Nothing here is special to Proctor: the servers are ordinary MCP servers made with the official Rust SDK,
//! and the agent is an ordinary client of it. Reading order: [`tools`], [`server`], [`catalogue`], [`agent`].

pub mod agent;
pub mod catalogue;
pub mod server;
pub mod tools;
