use super::*;
use proptest::prelude::*;

fn check(text: &str, expect: Result<(), JsonError>) {
    let got = parse(text.as_bytes(), &Limits::json_rpc()).map(|_| ());
    assert_eq!(got, expect, "{text}");
}

#[test]
fn plain_texts_pass() {
    for text in [
        "null",
        r#"{"a":1,"b":[true,null,-2.5e3],"c":{"A":1}}"#,
        r#""\ud83d\ude00""#,
        "9007199254740991",
        "0.1",
        "0.30000000000000004",
        r#"{"params":{"arguments":{"Name":"x","ID":1}}}"#,
    ] {
        check(text, Ok(()));
    }
}

#[test]
fn what_parsers_disagree_on_is_refused() {
    use JsonError::{AmbiguousKey, DuplicateKey, Invalid, TooDeep, UnsafeNumber};
    for (text, error) in [
        ("", Invalid),
        ("{} {}", Invalid),
        ("{},", Invalid),
        ("[1,]", Invalid),
        ("{'a':1}", Invalid),
        ("NaN", Invalid),
        ("01", Invalid),
        ("+1", Invalid),
        ("1.", Invalid),
        (r#""\ud800""#, Invalid),
        (r#""\udc00\ud800""#, Invalid),
        ("\u{feff}{}", Invalid),
        ("\"a\nb\"", Invalid),
        (r#"{"a\u0000":1}"#, Invalid),
        (r#"{"a":1,"a":2}"#, DuplicateKey),
        (r#"{"a":1,"\u0061":2}"#, DuplicateKey),
        (r#"{"x":[{"a":1,"b":2,"a":1}]}"#, DuplicateKey),
        (r#"{"x":{"name":1,"Name":2}}"#, AmbiguousKey),
        (r#"{"x":{"key":1,"Key":2}}"#, AmbiguousKey),
        (r#"{"x":{"ﬁle":1,"file":2}}"#, AmbiguousKey),
        (r#"{"x":{"ſ":1,"S":2}}"#, AmbiguousKey),
        (r#"{"x":{"straße":1,"STRASSE":2}}"#, AmbiguousKey),
        (r#"{"Method":"tools/call"}"#, AmbiguousKey),
        (r#"{"method":"x","params":{"NAME":"y"}}"#, AmbiguousKey),
        ("9007199254740992", UnsafeNumber),
        ("-9007199254740992", UnsafeNumber),
        ("18446744073709551616", UnsafeNumber),
        ("1e400", UnsafeNumber),
        ("1e-400", UnsafeNumber),
        ("1e16", UnsafeNumber),
        ("-0", UnsafeNumber),
        ("-0.0", UnsafeNumber),
        ("0.123456789012345678", UnsafeNumber),
    ] {
        check(text, Err(error));
    }
    check(&format!("{}{}", "[".repeat(32), "]".repeat(32)), Ok(()));
    check(
        &format!("{}{}", "[".repeat(33), "]".repeat(33)),
        Err(TooDeep),
    );
}

#[test]
fn brackets_and_digits_within_strings_do_not_count() {
    check(
        &format!(
            r#"{{"a":"{}\\","b":"99999999999999999999"}}"#,
            "[".repeat(99)
        ),
        Ok(()),
    );
    check(r#"["\"[[[1e999", "\\"]"#, Ok(()));
}

#[test]
fn hostile_sizes_are_refused_in_linear_time() {
    let wide: String = (0..1_000_000).map(|i| format!("\"k{i}\":1,")).collect();
    let limits = Limits {
        bytes_max: usize::MAX,
        ..Limits::default()
    };
    let parse = |text: &str| parse(text.as_bytes(), &limits).map(|_| ());
    assert_eq!(
        parse(&format!("{{{wide}\"z\":1}}")),
        Err(JsonError::TooLarge)
    );
    assert_eq!(parse(&"[".repeat(1_000_000)), Err(JsonError::TooDeep));
    assert_eq!(parse(&"{\"a\":".repeat(1_000_000)), Err(JsonError::TooDeep));
    assert_eq!(parse(&"9".repeat(1_000_000)), Err(JsonError::UnsafeNumber));
    assert_eq!(
        super::parse(
            &[b' '; 1025],
            &Limits {
                bytes_max: 1024,
                ..limits
            }
        ),
        Err(JsonError::TooLarge)
    );
    assert_eq!(super::parse(b"\"\xff\"", &limits), Err(JsonError::Invalid));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
        (-1e15..1e15_f64).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Zé]{0,4}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_parses_survives_being_written_and_read_again(text in "[\\[\\]{}\":,0-9eE.+\\-a-b \\\\u]{0,40}") {
        if let Ok(value) = parse(text.as_bytes(), &Limits::default()) {
            let written = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(parse(&written, &Limits::default()), Ok(value));
        }
    }

    #[test]
    fn values_round_trip_or_are_refused_for_a_reason(value in value()) {
        let written = serde_json::to_vec(&value).unwrap();
        match parse(&written, &Limits::default()) {
            Ok(read) => prop_assert_eq!(read, value),
            Err(error) => prop_assert!(matches!(error, JsonError::AmbiguousKey | JsonError::UnsafeNumber), "{:?}", error),
        }
    }

    #[test]
    fn numbers_that_pass_are_the_same_to_the_last_digit(text in "-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,18})?(e-?[0-9]{1,3})?") {
        if let Ok(value) = parse(text.as_bytes(), &Limits::default()) {
            prop_assert_eq!(value.as_f64(), text.parse::<f64>().ok());
            let written = value.to_string();
            prop_assert_eq!(written.parse::<f64>().ok(), value.as_f64());
        }
    }
}
