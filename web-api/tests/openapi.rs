//! The OpenAPI document is golden: a change of the API shows as a change of this file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;

#[test]
fn openapi_is_golden() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let document = proctor_web_api::document();
    if std::env::var_os("PROCTOR_REGEN").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert!(
        document == golden,
        "the API changed: run `make regen`, read the difference, and commit it"
    );
}
