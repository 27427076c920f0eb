//! The built-ins that a policy may call.
//!
//! The machine's timer can't stop a built-in that runs, so only those are allowed whose cost is bounded by their
//! arguments, and whose results are not larger than what went in (else a chain of them doubles at each step:
//! `concat`, `replace`, `sprintf`, `json.marshal`, `array.concat`, `product`, `numbers.range`, `bits.lsh`).
//! None reads the clock, randomness or a network: the time is `input.time`.

/// Cost next to nothing whatever they are given, at most one fast pass over it.
const CHEAP: &[&str] = &[
    "abs",
    "ceil",
    "contains",
    "count",
    "endswith",
    "floor",
    "is_array",
    "is_boolean",
    "is_null",
    "is_number",
    "is_object",
    "is_set",
    "is_string",
    "object.get",
    "round",
    "startswith",
    "time.clock",
    "time.date",
    "time.parse_rfc3339_ns",
    "time.weekday",
    "trim_prefix",
    "trim_suffix",
    "type_name",
];

/// Linear, but with a constant that hurts on a megabyte: a policy that calls one of these is only given
/// arguments of a moderate size ([`POLICY_STRING_BYTES_MAX`](crate::limits::POLICY_STRING_BYTES_MAX)).
const HEAVY: &[&str] = &[
    "array.reverse",
    "array.slice",
    "indexof",
    "intersection",
    "lower",
    "max",
    "min",
    "net.cidr_contains",
    "net.cidr_is_valid",
    "object.keys",
    "object.remove",
    "object.subset",
    "regex.is_valid",
    "regex.match",
    "sort",
    "split",
    "strings.any_prefix_match",
    "strings.any_suffix_match",
    "strings.count",
    "strings.reverse",
    "substring",
    "sum",
    "to_number",
    "trim",
    "trim_left",
    "trim_right",
    "trim_space",
    "union",
    "upper",
];

/// How a built-in is treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cost {
    Cheap,
    Heavy,
}

/// `None`: not allowed.
pub(super) fn cost(name: &str) -> Option<Cost> {
    if CHEAP.contains(&name) {
        Some(Cost::Cheap)
    } else if HEAVY.contains(&name) {
        Some(Cost::Heavy)
    } else {
        // The parser writes the set operators as calls of these.
        name.starts_with("__builtin_sets.").then_some(Cost::Heavy)
    }
}
