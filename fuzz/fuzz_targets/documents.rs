//! Documents that operators and applications upload: one that is taken reads back as the same once it was written, and it
//! compiles, or is refused with a reason, in bounded time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proctor_engine::budget::CompiledBudget;
use proctor_engine::filter::Rules;
use proctor_engine::json::{Limits as JsonLimits, parse};
use proctor_engine::{Catalogue, CompiledIntent, CompiledIssuer};
use proctor_model::Timestamp;
use proctor_model::budget::{Limits, Prices, Versioned};
use proctor_model::catalogue::ToolServer;
use proctor_model::config::{Agent, TenantSettings};
use proctor_model::content::ContentRules;
use proctor_model::intent::{Intent, IntentDeclaration};
use proctor_model::login::TrustedIssuer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::Debug;

fn taken<D: Serialize + DeserializeOwned + PartialEq + Debug>(value: &Value) -> Option<D> {
    let document: D = serde_json::from_value(value.clone()).ok()?;
    // As an edge gets it, and as the store gives it back.
    let written = serde_json::to_vec(&document).expect("a document can be written");
    let read: D = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(read, document);
    let value = serde_json::to_value(&document).expect("a document can be written");
    let read: D = serde_json::from_value(value).expect("what was written can be read");
    assert_eq!(read, document);
    Some(document)
}

fn intent(declaration: IntentDeclaration) -> Intent {
    let declared_at = Timestamp::from_secs(1_763_000_000);
    Intent {
        v: 1,
        id: "int_1".parse().expect("an id"),
        tenant: "acme".parse().expect("an id"),
        declared_at,
        expires_at: declared_at.plus_secs(declaration.expires_in_s.into()),
        declared_by: "backend".into(),
        declaration,
        parent: None,
    }
}

fn versioned<T>(document: T) -> Versioned<T> {
    Versioned {
        version: 1,
        document,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = parse(bytes, &JsonLimits::default()) else {
        return;
    };
    if let Some(declaration) = taken::<IntentDeclaration>(&value) {
        let sound = declaration.check().is_ok();
        let compiled = CompiledIntent::compile(intent(declaration));
        assert!(sound || compiled.is_err());
    }
    if let Some(mut server) = taken::<ToolServer>(&value) {
        let entries = server.tools.len();
        for entry in &mut server.tools {
            entry.definition_digest = Some(entry.definition.digest());
        }
        let catalogue = Catalogue::compile(&[server]);
        let known = catalogue.tools().count() + catalogue.problems().count();
        assert!(known <= entries.max(3 * 64));
    }
    if let Some(rules) = taken::<ContentRules>(&value) {
        let _ = Rules::compile(&rules);
    }
    let limits = taken::<Limits>(&value).filter(|limits| limits.check().is_ok());
    let prices = taken::<Prices>(&value).filter(|prices| prices.check().is_ok());
    if limits.is_some() || prices.is_some() {
        let (limits, prices) = (limits.map(versioned), prices.map(versioned));
        let _ = CompiledBudget::compile(limits.as_ref(), prices.as_ref());
    }
    if let Some(issuer) = taken::<TrustedIssuer>(&value) {
        let _ = CompiledIssuer::compile(&issuer);
    }
    taken::<Agent>(&value);
    taken::<TenantSettings>(&value);
});
