//! # proctor-engine: may this agent make *this* call?
//!
//! [`decide`](decide()) takes a [`Call`] and a [`World`] and returns a [`Decision`]: a [`Permit`] to make exactly that
//! call, or a [`Refusal`] with its [`Reason`](proctor_model::Reason). [`respond`](respond()) takes what came back for it and
//! returns a [`Release`], or a [`Withhold`] with its reason.
//!
//! **It promises** that a decision is a function of the call and the world alone; that anything missing, late or
//! broken is a refusal; that narrowing a token or an intent never turns a refusal into a permit; that time and memory of a
//! decision are bounded whatever tenants and agents write; and that no value of a call, no token and no policy text
//! leaves it in a refusal or in the facts for audit.
//!
//! **It must never know** a network, a file, a database, an async runtime, a clock or a source of randomness:
//! time, nonces and the stopwatch are parameters. (The one exception is inside the policy machine, which reads a
//! monotonic clock to stop a policy that runs too long.)
//!
//! **Reading order:** [`mod@decide`] (the pipeline, on one screen), [`world`] and [`call`] (what goes in),
//! [`decision`] (what comes out), then the controls: [`token`] (with [`login`], where some come from), [`catalogue`] with [`schema`] (and [`openapi`], where some tools come from), [`intent`] with
//! [`provenance`], [`policy`] with [`history`], [`filter`], [`approval`], [`budget`]; then the way back: [`mod@respond`], with [`task`] (answers that come later), [`hearing`] (who else may hear of a call), [`response`] and [`memory`]; and [`json`], the strict parser that all of it relies on. [`limits`] has every bound.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::string_slice,
        clippy::as_conversions
    )
)]

pub mod approval;
pub mod budget;
pub mod call;
pub mod catalogue;
pub mod decide;
pub mod decision;
pub mod definition;
pub mod filter;
pub mod hearing;
pub mod history;
pub mod intent;
pub mod json;
pub mod limits;
pub mod llm;
pub mod login;
pub mod memory;
pub mod openapi;
pub mod policy;
pub mod provenance;
mod question;
mod reply;
pub mod respond;
pub mod response;
pub mod schema;
pub mod step;
pub mod task;
pub mod token;
pub mod told;
pub mod world;

pub use approval::{Escalation, Grant, Granted, Ruling};
pub use call::{Call, Purpose};
pub use catalogue::{Catalogue, Tool, ToolQuery};
pub use decide::{
    Continued, admit, decide, decide_continued, decide_granted, visible_models, visible_tools,
};
pub use decision::{ApprovalNote, Charge, Decision, Facts, Permit, Redact, Refusal, ResultLimits};
pub use filter::{Vault, vault_key};
pub use hearing::{Topic, may_hear};
pub use history::Reads;
pub use intent::CompiledIntent;
pub use login::{CompiledIssuer, Login};
pub use policy::Evaluator;
pub use provenance::{Reading, Tracker, provenance_key};
pub use question::ELICITATION_REQUIRED;
pub use reply::reply;
pub use respond::{
    Answer, Changes, Channel, Findings, Release, Response, Withhold, respond, respond_after,
};
pub use step::{Step, Verdict};
pub use task::{Carried, Deferred, Following, follow};
pub use told::Told;
pub use world::{
    CompiledTenant, CountKey, Freshness, Killed, LiveDefinitions, Revocations, SessionView, World,
};
