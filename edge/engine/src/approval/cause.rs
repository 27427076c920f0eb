//! Why a control asks for a person, and by which identifiers an approval covers that.

use crate::intent::Problem;
use crate::policy::Ask;
use crate::provenance::{Place, shown_pointer};
use crate::token::keyed_digest;
use proctor_model::{IntentId, Reason};
use std::collections::{BTreeMap, BTreeSet};

/// Most places of one problem that are told apart in what an approval covers; of more, all together are one. Control bounds
/// what one approval may cover.
const PLACES_MAX: usize = 16;
/// Longest pointer in an identifier, in characters.
const POINTER_CHARS_MAX: usize = 96;

/// One reason for which a control asks for a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cause {
    /// Name the reason: what an approval has to cover. Two that a person would have to be told apart are never the same;
    /// what may not be shown of them is there as a keyed digest.
    pub(crate) keys: Vec<String>,
    /// The reason for people. No value of the call.
    pub(crate) text: String,
    /// The reason of the refusal where no person can be asked.
    pub(crate) reason: Reason,
    /// The arguments that it is about.
    pub(crate) places: Vec<Place>,
}

impl Cause {
    /// What of an intent does not hold: each place of it by itself. What the session reads meanwhile may add places, of
    /// which nobody was asked.
    pub(crate) fn of_intent(intent: &IntentId, problem: Problem, digest_key: &[u8; 32]) -> Self {
        let code = problem.reason.code();
        Self {
            keys: keys_at(
                &format!("intent:{intent}:{code}"),
                &problem.places,
                digest_key,
            ),
            text: match problem.detail {
                Some(detail) => format!("{code}: {detail}"),
                None => code.to_owned(),
            },
            reason: problem.reason,
            places: problem.places,
        }
    }

    /// What policies ask a person for: each of their reasons by itself, as one of them may be gone by the time the call
    /// comes again.
    pub(crate) fn of_policies(asks: &[Ask], digest_key: &[u8; 32]) -> Vec<Self> {
        let mut times = BTreeMap::<String, usize>::new();
        let cause = |ask: &Ask| {
            let key = key_of(ask, digest_key);
            let before = times.entry(key.clone()).or_default();
            let key = match *before {
                0 => key,
                // One more of the same than was approved is one that nobody approved.
                before => format!("{key}#{before}"),
            };
            *before = before.saturating_add(1);
            Self {
                keys: vec![key],
                text: match ask.rule.as_str() {
                    "" => format!("policy {} asks for a person", ask.policy),
                    rule => rule.to_owned(),
                },
                reason: Reason::PolicyDenied,
                places: Vec::new(),
            }
        };
        asks.iter().map(cause).collect()
    }
}

/// What is not shown of a reason tells it from others all the same.
fn key_of(ask: &Ask, digest_key: &[u8; 32]) -> String {
    let key = format!("policy:{}:{}", ask.policy, ask.rule);
    match &ask.unshown {
        None => key,
        Some(digest) => format!("{key}~{}", tag(&[b"reason".as_slice(), digest], digest_key)),
    }
}

fn keys_at(reason: &str, places: &[Place], digest_key: &[u8; 32]) -> Vec<String> {
    let ends: BTreeSet<String> = places
        .iter()
        .flat_map(|place| ends_of(place, digest_key))
        .collect();
    if ends.is_empty() {
        return vec![reason.to_owned()];
    }
    if ends.len() > PLACES_MAX {
        let mut parts = vec![b"places".as_slice()];
        parts.extend(ends.iter().map(String::as_bytes));
        return vec![format!("{reason}:~{}", tag(&parts, digest_key))];
    }
    ends.iter().map(|end| format!("{reason}:{end}")).collect()
}

/// The place by its pointer, as far as it may be shown; each lead by itself, where it is about some.
fn ends_of(place: &Place, digest_key: &[u8; 32]) -> Vec<String> {
    let pointer = place.pointer.as_str();
    let shown: String = shown_pointer(pointer)
        .chars()
        .take(POINTER_CHARS_MAX)
        .collect();
    if place.leads.is_empty() {
        return match shown == pointer {
            true => vec![shown],
            false => {
                let tag = tag(&[b"place".as_slice(), pointer.as_bytes()], digest_key);
                vec![format!("{shown}~{tag}")]
            }
        };
    }
    let lead = |lead: &String| {
        let parts = [b"lead".as_slice(), pointer.as_bytes(), lead.as_bytes()];
        format!("{shown}~{}", tag(&parts, digest_key))
    };
    place.leads.iter().map(lead).collect()
}

/// 128 bits of a digest that only the tenant's edges can make: few possible values can't be tried out.
fn tag(parts: &[&[u8]], digest_key: &[u8; 32]) -> String {
    let mut message = b"proctor approval cause".to_vec();
    for part in parts {
        // No part can run over into the next.
        message.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        message.extend_from_slice(part);
    }
    let digest = keyed_digest(digest_key, &message);
    hex::encode(digest.iter().copied().take(16).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [9; 32];

    fn place(pointer: &str, leads: &[&str]) -> Place {
        Place {
            pointer: pointer.to_owned(),
            leads: leads.iter().map(|lead| (*lead).to_owned()).collect(),
        }
    }

    fn ask(rule: &str, unshown: Option<u8>) -> Ask {
        Ask {
            policy: "p".to_owned(),
            rule: rule.to_owned(),
            unshown: unshown.map(|byte| [byte; 32]),
        }
    }

    fn policy_keys(asks: &[Ask]) -> Vec<String> {
        let causes = Cause::of_policies(asks, &KEY).into_iter();
        causes.flat_map(|cause| cause.keys).collect()
    }

    #[test]
    fn each_reason_of_a_policy_has_a_key_of_its_own() {
        let plain = policy_keys(&[ask("", None), ask("large", None), ask("large", None)]);
        assert_eq!(plain, ["policy:p:", "policy:p:large", "policy:p:large#1"]);
        let one = policy_keys(&[ask("(computed)", Some(1))]);
        assert_eq!(one, policy_keys(&[ask("(computed)", Some(1))]));
        let other = policy_keys(&[ask("(computed)", Some(2))]);
        assert_ne!(one, other);
        // In any order, and one that is there twice.
        let both = policy_keys(&[
            ask("(computed)", Some(2)),
            ask("(computed)", Some(1)),
            ask("(computed)", Some(2)),
        ]);
        assert_eq!(both[..2], [other[0].clone(), one[0].clone()]);
        assert_eq!(both[2], format!("{}#1", other[0]));
    }

    #[test]
    fn each_place_has_a_key_of_its_own() {
        let keys = |places: &[Place]| keys_at("x", places, &KEY);
        assert_eq!(keys(&[]), ["x"]);
        let two = [place("/to", &[]), place("/cc/0", &[]), place("/to", &[])];
        assert_eq!(keys(&two), ["x:/cc/0", "x:/to"]);
        // What may not be shown, and links within one text.
        let hidden = keys(&[
            place("/eve@evil.example", &[]),
            place("/bob@x.example", &[]),
        ]);
        assert_eq!(hidden.len(), 2);
        assert!(hidden.iter().all(|key| key.starts_with("x:/(name)~")));
        let (one, other) = (
            place("/body", &["a.example"]),
            place("/body", &["b.example"]),
        );
        let [one, other] = [one, other].map(|place| keys(&[place]));
        assert_ne!(one, other);
        assert!(!one[0].contains("example"), "{one:?}");
        let mut both = [one, other].concat();
        both.sort();
        assert_eq!(keys(&[place("/body", &["b.example", "a.example"])]), both);
        let long = format!("/{}", "abcde/".repeat(50));
        assert!(keys(&[place(&long, &[])])[0].len() < 150);
        assert_ne!(
            keys(&[place(&long, &[])]),
            keys(&[place(&format!("{long}x"), &[])])
        );
    }

    #[test]
    fn of_many_places_all_together_are_one() {
        let many = |count: usize| {
            let places = (0..count).map(|at| place(&format!("/to/{at}"), &[]));
            keys_at("x", &places.collect::<Vec<_>>(), &KEY)
        };
        assert_eq!(many(PLACES_MAX).len(), PLACES_MAX);
        let folded = many(PLACES_MAX + 1);
        assert_eq!(folded.len(), 1);
        assert_ne!(folded, many(PLACES_MAX + 2));
    }
}
