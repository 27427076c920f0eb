//! Objects that give what stands in one member its name in another: `{"name": "limit", "value": 500}`.

use super::paging::{limits_rows, names_first};
use serde_json::{Map, Value};

/// Most members of such an object: a description may be there, and a type.
const MEMBERS_MAX: usize = 4;
/// Members that have the name. A `type` says other things: that of an order may be `limit`, and its price is no number of rows.
const NAMES: [&str; 8] = [
    "arg",
    "argument",
    "field",
    "key",
    "name",
    "option",
    "param",
    "parameter",
];
/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 32;
/// Names that say how many are meant for an argument of the same name alone.
const OWN: [&str; 3] = ["count", "num", "size"];

/// The name that an object gives what stands in it, if that is one by which a number is one of rows. What merely comes first
/// (`top`) is no such name: anything has a place.
pub(super) fn named_in(members: &Map<String, Value>) -> Option<&str> {
    if !(2..=MEMBERS_MAX).contains(&members.len()) {
        return None;
    }
    let is_name = |key: &str| NAMES.iter().any(|name| key.eq_ignore_ascii_case(name));
    let limits = |text: &str| {
        let own = OWN.iter().any(|own| text.eq_ignore_ascii_case(own));
        own || (limits_rows(text) && !names_first(text))
    };
    members.iter().find_map(|(key, value)| {
        let text = value.as_str()?;
        let may_be = text.len() <= NAME_BYTES_MAX && is_name(key) && may_limit(text);
        let name = (may_be && limits(text)).then_some(text)?;
        // Above another name, `limits` would be what bounds anything.
        let many = name.to_ascii_lowercase().ends_with("limits");
        name.get(..name.len().saturating_sub(usize::from(many)))
    })
}

/// Whether a part of one of those words is in a text: of most names it is known at once that they say nothing of rows.
fn may_limit(text: &str) -> bool {
    let bytes = text.as_bytes().windows(3);
    bytes
        .filter_map(|three| three.first_chunk::<3>())
        .any(|three| {
            let part = three.map(|byte| byte.to_ascii_lowercase());
            matches!(&part, b"cou" | b"lim" | b"max" | b"num" | b"per" | b"siz")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_member_has_the_name_of_another() {
        for (object, name) in [
            (json!({ "name": "limit", "value": 500 }), Some("limit")),
            (
                json!({ "Key": "pageSize", "Value": "500" }),
                Some("pageSize"),
            ),
            (
                json!({ "param": "max_results", "to": 500, "type": "number" }),
                Some("max_results"),
            ),
            (json!({ "argument": "Count", "is": 500 }), Some("Count")),
            (json!({ "name": "Limits", "value": 500 }), Some("Limit")),
            (json!({ "name": "credit limit", "value": 500 }), None),
            (json!({ "name": "top", "value": 500 }), None),
            (json!({ "name": "Maxine", "value": 500 }), None),
            (json!({ "name": "Bob", "value": 500 }), None),
            (json!({ "type": "limit", "price": 500 }), None),
            (json!({ "name": "limit" }), None),
            (
                json!({ "name": "limit", "a": 1, "b": 2, "c": 3, "d": 500 }),
                None,
            ),
        ] {
            let members = object.as_object().unwrap();
            assert_eq!(named_in(members), name, "{object}");
        }
    }
}
