//! Value provenance: where the values of a call's arguments were seen before.
//!
//! Proof is strict, suspicion is broad. A value is *proved* by the goal, or by a result of a tool that the operator
//! trusts, only if it stands there as it is used, after the canonical form of its kind. A value is *suspect* if it
//! stands anywhere in untrusted content, in any spelling. What was never seen is not proved.
//!
//! Reading order: `text` (words) with `script` and `shape`, `value` (kinds that are recognised inside text; `address` with `host`,
//! `browser` and `disguise`, and others), `query` (a value in the forms in which it is looked up) with `clock` (times of day), `note` and `index` (where it was
//! seen, by keyed `fingerprint`), `passage` (the goal) with `free`, `times` and `currency`, `rows` (numbers of rows) with `pair`, `tracker` (what one session has read) with
//! `lines` and `part` (what a text and a value of a record stand for), `constants` (what an action has for its arguments), `plan`
//! (which argument needs what) with `choice` and `paging`, `rules` (whether it has it) with `join`.

mod account;
mod address;
mod browser;
mod calendar;
mod choice;
mod class;
mod clock;
mod constants;
mod currency;
mod decode;
mod disguise;
mod file;
mod fingerprint;
mod free;
mod host;
mod ideographic;
mod index;
mod join;
mod lines;
mod note;
mod paging;
mod pair;
mod part;
mod passage;
mod phone;
mod plan;
mod quantity;
mod query;
mod rows;
mod rules;
mod script;
mod shape;
mod spelled;
mod text;
mod times;
mod tracker;
mod value;
mod wallet;

#[cfg(test)]
mod tests;

pub(crate) use constants::Constants;
pub(crate) use host::is_top_level;
pub(crate) use passage::Passage;
pub(crate) use plan::{Pattern, Plan};
pub use rules::shown_pointer;
pub(crate) use rules::{Broken, Evidence, Origins, Place, Times, Written, origins, written};
pub use tracker::{Reading, Tracker};

/// Looks a value up among what the trusted results of a session had, as often as it is called: for benchmarks, which time the
/// look-up without making the value's forms.
#[doc(hidden)]
pub fn prepared_lookup(session: &Tracker, value: &serde_json::Value) -> impl Fn() -> bool {
    let query = query::Spelled::of(value).map(|spelled| session.query(&spelled));
    move || {
        query
            .as_ref()
            .is_some_and(|query| session.proves(query, false))
    }
}

/// The key of a tenant's trackers, from its digest key.
#[must_use]
pub fn provenance_key(digest_key: &[u8; 32]) -> [u8; 16] {
    let digest = crate::token::keyed_digest(digest_key, b"proctor provenance");
    let mut key = [0; 16];
    key.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    key
}
