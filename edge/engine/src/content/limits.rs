//! Every limit of the content filter, with its unit and its reason.

/// Most bytes that a stream holds back, and so the longest finding that it is sure to see whole. Longer than any
/// built-in class but JWT, PEM and vendor keys, which are recognised by their heads and followed to their ends.
pub const LOOK_BEHIND_BYTES_MAX: usize = 2048;
/// Bytes of text that was already released and is kept to judge what comes after it, in bytes: a detector looks
/// back over 64 bytes of local part and 64 of context, each up to three times as long when URL-encoded.
pub const LOOK_BACK_BYTES: usize = 512;
/// How far before a finding its context words may stand, in bytes.
pub const CONTEXT_BYTES: usize = 64;
/// Most bytes that a detector reads right of the place that called it: the head of a key, an address, an URL.
pub const HEAD_BYTES_MAX: usize = 512;

/// Longest local part of an e-mail address, in bytes (RFC 5321).
pub const LOCAL_PART_BYTES_MAX: usize = 64;
/// Longest domain name, in bytes (RFC 1035).
pub const DOMAIN_BYTES_MAX: usize = 253;
/// Longest name before `=` or `:` that is read, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest value of a generic secret that is judged, in bytes.
pub const SECRET_BYTES_MAX: usize = 256;
/// Shortest run of base64 that is decoded, in characters: shorter ones hold less than any finding needs.
pub const BASE64_RUN_MIN: usize = 16;

/// Most patterns of a tenant: each is one more pass over the text.
pub const PATTERNS_MAX: usize = 32;
/// Longest source of a tenant's pattern, in bytes.
pub const PATTERN_SOURCE_BYTES_MAX: usize = 1024;
/// Largest compiled pattern, in bytes.
pub const PATTERN_COMPILED_BYTES_MAX: usize = 256 * 1024;
/// Longest text that a tenant's pattern may match, in bytes: a stream must be able to hold it back whole.
pub const PATTERN_MATCH_BYTES_MAX: usize = 512;
/// Most words in a tenant's lists together.
pub const WORDS_MAX: usize = 10_000;
/// Longest word, in bytes.
pub const WORD_BYTES_MAX: usize = 256;
/// All words of all lists together, in bytes: bounds the automaton.
pub const WORDS_BYTES_MAX: usize = 256 * 1024;
/// Longest name of a tenant's class, in bytes.
pub const CLASS_NAME_BYTES_MAX: usize = 48;

/// How often JSON inside a string is opened again: a text in a text in a text.
pub const NESTED_JSON_MAX: u8 = 3;
/// Deepest nesting of arrays and objects that is walked; what lies deeper is blocked, not passed.
pub const WALK_DEPTH_MAX: usize = 64;
/// Most findings of one scan that are listed with their places; beyond it they are only counted.
pub const PLACES_MAX: usize = 10_000;

const _: () = assert!(PATTERN_MATCH_BYTES_MAX * 3 < LOOK_BEHIND_BYTES_MAX);
const _: () = assert!(WORD_BYTES_MAX * 3 < LOOK_BEHIND_BYTES_MAX);
const _: () = assert!(HEAD_BYTES_MAX * 3 < LOOK_BEHIND_BYTES_MAX);
const _: () = assert!((LOCAL_PART_BYTES_MAX + CONTEXT_BYTES) * 3 < LOOK_BACK_BYTES);
