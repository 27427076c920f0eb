//! Load and fault drills: the system as a black box, over its public protocols, on real servers and real processes.
//!
//! Reading order: [`cluster`] (the roles as processes), [`upstream`] (a tool server that notes what it really did),
//! [`load`] (clients that note what they were told), [`oracle`] (the equations that must hold between the notes and the
//! audit chain), [`drill`] (the faults), [`storm`] (all of them at random), [`fleet`], [`netns`], [`delay`], [`callers`], [`clocks`]
//! and [`budget`] (counters, several edges, wrong clocks, budgets that are fought over), [`bench`] (throughput and latency next to a
//! plain reverse proxy), [`bench_ledger`] (events a second, next to a bare `COPY`), [`bench_mcp`] (streams, idle streams, connections),
//! [`replay`] (somebody else's attacks and tasks), [`conformance`] (the MCP conformance suite), [`acme`] (what many tests begin with),
//! [`install`] (what they install), [`mcp`] (a client of MCP by hand), [`wire`] (what no client library would send).

pub mod acme;
pub mod bench;
pub mod bench_ledger;
pub mod bench_llm;
pub mod bench_mcp;
pub mod budget;
pub mod callers;
pub mod clocks;
pub mod cluster;
pub mod conformance;
pub mod delay;
pub mod drill;
pub mod fleet;
pub mod install;
pub mod load;
pub mod mcp;
pub mod netns;
pub mod oracle;
pub mod provider;
pub mod replay;
pub mod storm;
pub mod upstream;
pub mod wire;
