//! gRPC bindings generated from `proto/proctor/v1/*.proto`.
//!
//! The generated code is committed, so that a build needs no code generator; `tests/bootstrap.rs` renews it
//! with `PROCTOR_REGEN=1` (that is what `make regen` does) and else fails when it is out of date.

pub mod convert;

#[rustfmt::skip]
#[allow(missing_docs, clippy::all, unreachable_pub, clippy::allow_attributes_without_reason, reason = "generated")]
mod generated {
    pub mod proctor_v1 {
        include!("generated/proctor.v1.rs");
    }
}

/// Version 1 of the services' protocol.
pub mod v1 {
    pub use super::generated::proctor_v1::*;
}
