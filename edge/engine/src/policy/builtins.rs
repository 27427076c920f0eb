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

/// Linear, but with a constant that hurts on a megabyte: these take arguments of a moderate size only
/// ([`POLICY_STRING_BYTES_MAX`](crate::limits::POLICY_STRING_BYTES_MAX),
/// [`POLICY_ELEMENTS_MAX`](crate::limits::POLICY_ELEMENTS_MAX)); a larger one is an error.
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

/// The set operators, which the parser writes as calls of these.
const SETS: &[&str] = &["__builtin_sets.intersection", "__builtin_sets.union"];

/// `None`: not allowed.
pub(super) fn cost(name: &str) -> Option<Cost> {
    if CHEAP.contains(&name) {
        Some(Cost::Cheap)
    } else if HEAVY.contains(&name) || SETS.contains(&name) {
        Some(Cost::Heavy)
    } else {
        None
    }
}

/// Number of an allowed built-in, from 0 without gaps.
pub(super) fn index(name: &str) -> Option<usize> {
    CHEAP
        .iter()
        .chain(HEAVY)
        .chain(SETS)
        .position(|known| *known == name)
}

/// Whether the built-in of this number compiles a pattern.
pub(super) fn is_pattern(index: usize) -> bool {
    let all = CHEAP.iter().chain(HEAVY);
    all.clone()
        .nth(index)
        .is_some_and(|name| name.starts_with("regex."))
}
