//! What has to be true of the book after each step.

#![allow(unreachable_pub, reason = "shared by the tests that use it")]

pub mod conservation;
pub mod limits;
pub mod replay;
pub mod time;
