//! Every limit of the engine, with its unit and its reason.

/// Deepest nesting of a JSON text: real tool calls stay below 10.
pub const JSON_DEPTH_MAX: usize = 32;
/// Largest JSON text, in bytes.
pub const JSON_BYTES_MAX: usize = 1024 * 1024;
/// Largest prompt to a model, in bytes: pictures are in it.
pub const PROMPT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most keys and array elements in one JSON text: bounds memory at some 100 bytes each.
pub const JSON_NODES_MAX: usize = 50_000;
/// 2^53: from here on doubles skip integers, so that two implementations may read one number differently.
pub const JSON_FLOAT_END: f64 = 9_007_199_254_740_992.0;
/// Most significant digits of a JSON number: what an IEEE 754 double can hold.
pub const JSON_DIGITS_MAX: usize = 17;
/// Most bytes of one text that are read in vain in search of JSON amid prose.
pub const JSON_SCAN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Largest token, in bytes of its binary form: its text form must fit an HTTP header.
pub const TOKEN_BYTES_MAX: usize = 6 * 1024;
/// Largest token identifier, in bytes.
pub const IDENTIFIER_BYTES_MAX: usize = 512;
/// Most caveats in a token: an agent may append as it likes, each costs an HMAC.
pub const CAVEATS_MAX: usize = 64;
/// Largest caveat, in bytes.
pub const CAVEAT_BYTES_MAX: usize = 2048;
/// Most entries in a caveat's list.
pub const CAVEAT_LIST_MAX: usize = 64;
/// Most `matches` tests in a token: each is a compiled automaton in the verified token.
pub const CAVEAT_PATTERNS_MAX: usize = 8;
/// Most `calls <=` and `cost <=` caveats in one token: each is a count that an edge has to keep until the token is over.
pub const CAVEAT_CALLS_MAX: usize = 8;
/// Largest compiled pattern of a caveat, in bytes.
pub const PATTERN_BYTES_MAX: usize = 256 * 1024;

/// Largest JSON Schema, in bytes of its JSON text.
pub const SCHEMA_BYTES_MAX: usize = 128 * 1024;
/// Deepest nesting of a JSON Schema.
pub const SCHEMA_DEPTH_MAX: usize = 32;
/// Most subschemas, on the worst way down through a value, that one part of it after the other is held against. What real schemas
/// share and choose between stays below some hundreds; what multiplies on each of a few levels is beyond any number.
pub const SCHEMA_WEIGHT_MAX: u64 = 1 << 16;
/// Most subschemas that all parts of one value are held against, if every one were on the worst way: some seconds. What
/// a recursive schema weighs counts several times, so that large values of usual recursive schemas need some of this.
pub const SCHEMA_VISITS_MAX: u64 = 1 << 27;
/// Most steps that patterns take over all texts of one value, if every text were on the worst way and every byte met every state:
/// some seconds. A text of 1 MiB may be held against 1,024 states then, which is more than real schemas have at one place.
pub const SCHEMA_PATTERN_STEPS_MAX: u64 = 1 << 30;
/// Longest text that is taken for a regular expression (`format: regex`), in bytes: the names of its groups are compared with each
/// other, so that twice the length takes four times the time.
pub const SCHEMA_REGEX_BYTES_MAX: usize = 4 * 1024;
/// Largest compiled `pattern` of a JSON Schema, in bytes.
pub const SCHEMA_PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// Most different patterns of a JSON Schema. Each may have an automaton of up to 1 MiB beside what the two limits in bytes are about.
pub const SCHEMA_PATTERNS_MAX: usize = 256;
/// Most bytes of all compiled patterns of a JSON Schema together: each may take an equal part.
pub const SCHEMA_PATTERNS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest Rego module, in bytes.
pub const MODULE_BYTES_MAX: usize = 64 * 1024;
/// Most modules in a policy.
pub const MODULES_MAX: usize = 32;
/// Deepest expression of a policy: brackets, signs and operators on the way to its innermost value.
pub const POLICY_EXPRESSION_DEPTH_MAX: usize = 64;
/// Most that parsing a policy may cost, in bytes that the parser reads: see `policy/shape.rs`. Some tenths of a second.
pub const POLICY_PARSE_COST_MAX: u64 = 1 << 26;
/// Largest data document of a policy, in bytes of JSON.
pub const POLICY_DATA_BYTES_MAX: usize = 128 * 1024;
/// Most policies of a tenant that are active at once.
pub const POLICIES_MAX: usize = 16;
/// Most instructions of one policy's decision: some 1 ms.
pub const POLICY_INSTRUCTIONS_MAX: usize = 20_000;
/// Most work of built-ins in one policy's decision, in units of roughly a nanosecond to five: see
/// `policy/harden.rs`.
pub const POLICY_WORK_MAX: u64 = 1_000_000;
/// Time limit of one policy's decision, in microseconds. A backstop only, as it makes a decision depend on how busy the machine is:
/// the two limits above end any policy within 5 ms of its thread's own time. This one is of the wall clock, and a thread that
/// has to wait for a core waits some milliseconds at a time: at 5 or 10 ms it would refuse calls under load that cost
/// 40 µs. What it bounds is a built-in whose cost was estimated wrongly.
pub const POLICY_TIME_US_MAX: u64 = 50_000;
/// Longest string that a built-in of more than trivial cost takes, in bytes.
pub const POLICY_STRING_BYTES_MAX: usize = 64 * 1024;
/// Most elements of an array, set or object that such a built-in takes.
pub const POLICY_ELEMENTS_MAX: usize = 4_096;
/// Most reasons in a policy's decision, and the longest one in bytes: they go into audit events.
pub const POLICY_REASONS_MAX: usize = 16;
/// Longest reason, in bytes.
pub const POLICY_REASON_BYTES_MAX: usize = 128;
/// Most pointers and classes that a policy may have redacted.
pub const POLICY_REDACT_MAX: usize = 64;
/// Longest of them, in bytes.
pub const POLICY_REDACT_BYTES_MAX: usize = 256;
/// Most virtual machines that one worker keeps warm.
pub const EVALUATOR_MACHINES_MAX: usize = 256;

/// Most sightings of trusted values that a session keeps, some 50 bytes each.
pub const PROVENANCE_TRUSTED_MAX: usize = 65_536;
/// Most sightings of untrusted values and words that a session keeps: some 1 MB of text.
pub const PROVENANCE_UNTRUSTED_MAX: usize = 196_608;
/// Most sightings of values that signed memory vouches for.
pub const PROVENANCE_MEMORY_MAX: usize = 32_768;
/// Most values that a session remembers as written without proof, some 20 bytes each.
pub const PROVENANCE_UNPROVED_MAX: usize = 65_536;
/// Most sources (tool, field, named thing) of either kind in a session.
pub const PROVENANCE_SOURCES_MAX: usize = 4_096;
/// Most of them that are told apart by the named thing; beyond, all things that a tool reads are one.
pub const PROVENANCE_NAMED_SOURCES_MAX: usize = 3_072;
/// Most fields of one result that are told apart.
pub const PROVENANCE_FIELDS_MAX: usize = 64;
/// Most names of one call under which its result is known.
pub const PROVENANCE_NAMES_MAX: usize = 16;
/// Longest untrusted text that is read, in bytes; of a longer one the rest is unknown.
pub const PROVENANCE_TEXT_BYTES_MAX: usize = 1024 * 1024;
/// Most places that one look-up of a phrase tries.
pub const PASSAGE_STEPS_MAX: usize = 512;

/// Most subschemas of one action's `args` that are looked at for constants, the nearest first: a recursive schema has no end.
pub const INTENT_SUBSCHEMAS_MAX: usize = 8_192;

/// Most items and facts that are looked for on one side of a memory call; what is beyond belongs to no item.
pub const MEMORY_LOCATED_MAX: usize = 4_096;
/// Most places of an answer from memory that are labelled one by one.
pub const MEMORY_LABELS_MAX: usize = 256;

/// Most past calls of a session that a policy sees one by one.
pub const HISTORY_LAST_MAX: usize = 8;
/// Most arguments whose origins a policy sees.
pub const ORIGINS_MAX: usize = 64;
/// Longest text, in bytes, whose origins a policy sees: a longer one is somebody's words, not a value.
pub const ORIGINS_TEXT_BYTES_MAX: usize = 256;

/// Most links and addresses of one text that an approver is asked about.
pub const VIEW_LEADS_MAX: usize = 16;
/// Most elements of one object or list of the arguments that an approver sees, those apart that have to be seen.
pub const VIEW_ELEMENTS_MAX: usize = 64;
/// Longest text, in bytes, that an approver sees whole.
pub const VIEW_TEXT_BYTES_MAX: usize = 2_048;

/// Most content rules of a tenant, and most names or tools in one.
pub const CONTENT_RULES_MAX: usize = 128;
/// Most patterns and word lists of a tenant: each pattern is searched for in every text.
pub const CONTENT_PATTERNS_MAX: usize = 32;
/// Longest name of one, in bytes.
pub const CONTENT_NAME_BYTES_MAX: usize = 48;
/// Longest pattern, in bytes.
pub const CONTENT_PATTERN_BYTES_MAX: usize = 512;
/// Largest compiled pattern, in bytes.
pub const CONTENT_PATTERN_COMPILED_MAX: usize = 128 * 1024;
/// Most words in all word lists of a tenant.
pub const CONTENT_WORDS_MAX: usize = 10_000;
/// Longest word or phrase, in bytes.
pub const CONTENT_WORD_BYTES_MAX: usize = 128;
/// Most placeholders of a session, some 200 bytes each.
pub const CONTENT_VAULT_MAX: usize = 4_096;
/// Longest value that a placeholder stands for, in bytes; a longer one is redacted.
pub const CONTENT_VAULT_VALUE_BYTES_MAX: usize = 4_096;
/// Most bytes of a stream that wait for more: a private key has to fit.
pub const STREAM_HELD_BYTES_MAX: usize = 16 * 1024;
/// Longest match of a tenant's pattern that is surely found across the pieces of a stream, in bytes.
pub const STREAM_PATTERN_BYTES: usize = 128;

/// Most argument names in a decision's facts.
pub const ARG_NAMES_MAX: usize = 64;
/// Longest argument name in a decision's facts, in bytes; a longer one is cut.
pub const ARG_NAME_BYTES_MAX: usize = 64;

const _: () = assert!(CAVEAT_BYTES_MAX < TOKEN_BYTES_MAX);
const _: () = assert!(POLICY_STRING_BYTES_MAX < JSON_BYTES_MAX);
