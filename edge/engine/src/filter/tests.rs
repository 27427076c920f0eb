use super::*;
use proctor_model::content::{ContentAction, ContentRules, Direction};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::LazyLock;

static FILTER: LazyLock<Filter> = LazyLock::new(Filter::default);

/// What is found at the usual threshold: class names and texts.
fn found<'t>(text: &'t str, key: &str) -> Vec<(String, &'t str)> {
    FILTER
        .find(text, key)
        .into_iter()
        .filter(|hit| hit.confidence > Confidence::Low)
        .map(|hit| (FILTER.name(hit.class).to_owned(), &text[hit.range]))
        .collect()
}

fn rules(document: Value) -> Rules {
    let document: ContentRules = serde_json::from_value(document).unwrap();
    Rules::compile(&document).unwrap()
}

pub(super) fn everything_redacted() -> Rules {
    rules(json!({"standard": false, "rules": [{"classes": ["all"], "action": "redact"}]}))
}

pub(super) fn inbound(rules: &Rules) -> Content<'_> {
    Content {
        rules,
        place: Place {
            direction: Direction::Inbound,
            tool: None,
        },
        vault: None,
        roles: None,
    }
}

#[test]
fn each_class_is_found_as_people_write_it() {
    for (text, class, value) in [
        (
            "write to bob.smith@example.co.uk, please",
            "email",
            "bob.smith@example.co.uk",
        ),
        ("call +1 (415) 555-2671 now", "phone", "+1 (415) 555-2671"),
        ("tel: 020 7946 0958", "phone", "020 7946 0958"),
        ("my number is (415) 555-2671", "phone", "(415) 555-2671"),
        ("phone 415-555-2671x123.", "phone", "415-555-2671x123"),
        ("call me: 001-415-555-2671", "phone", "001-415-555-2671"),
        (
            "IBAN GB29 NWBK 6016 1331 9268 19.",
            "iban",
            "GB29 NWBK 6016 1331 9268 19",
        ),
        (
            "to DE89370400440532013000",
            "iban",
            "DE89370400440532013000",
        ),
        (
            "pay with 4111 1111 1111 1111 today",
            "payment_card",
            "4111 1111 1111 1111",
        ),
        (
            "pay with 378282246310005 today",
            "payment_card",
            "378282246310005",
        ),
        (
            "so x4111111111111111 and",
            "payment_card",
            "4111111111111111",
        ),
        (
            "so 4111111111111111x and",
            "payment_card",
            "4111111111111111",
        ),
        (
            "so card4111111111111111 and",
            "payment_card",
            "4111111111111111",
        ),
        (
            "so x4111 1111 1111 1111 and",
            "payment_card",
            "4111 1111 1111 1111",
        ),
        (
            "so aAKIAQWERTYUIOP234567 and",
            "aws_key",
            "AKIAQWERTYUIOP234567",
        ),
        ("SSN 536-90-4399", "us_ssn", "536-90-4399"),
        (
            "my social security number is 536904399",
            "us_ssn",
            "536904399",
        ),
        ("NI number AB 12 34 56 C", "uk_nino", "AB 12 34 56 C"),
        ("AB123456C is it", "uk_nino", "AB123456C"),
        ("BSN: 111222333", "nl_bsn", "111222333"),
        ("Steuer-ID 36574261809", "de_tax_id", "36574261809"),
        (
            "NIR 2 55 08 14 168 025 38",
            "fr_nir",
            "2 55 08 14 168 025 38",
        ),
        ("DNI 12345678Z", "es_dni", "12345678Z"),
        ("NIE X-1234567-L", "es_dni", "X-1234567-L"),
        (
            "codice fiscale RSSMRA85T10A562S",
            "it_codice_fiscale",
            "RSSMRA85T10A562S",
        ),
        ("PESEL 44051401359", "pl_pesel", "44051401359"),
        ("Aadhaar 2341 2341 2346", "in_aadhaar", "2341 2341 2346"),
        ("CPF 529.982.247-25", "br_cpf", "529.982.247-25"),
        ("VAT DE136695976", "eu_vat", "DE136695976"),
        ("from 203.0.113.77 at", "ip_address", "203.0.113.77"),
        ("at db/203.0.113.77 now", "ip_address", "203.0.113.77"),
        ("of Db1/203.0.113.77:80 now", "ip_address", "203.0.113.77"),
        ("if ip.src==203.0.113.77 then", "ip_address", "203.0.113.77"),
        ("see ip-203.0.113.77 now", "ip_address", "203.0.113.77"),
        (
            "from 2001:db8::8a2e:370:7334 at",
            "ip_address",
            "2001:db8::8a2e:370:7334",
        ),
        ("nic 00:1B:44:11:3A:B7.", "mac_address", "00:1B:44:11:3A:B7"),
        ("nic 00-1B-44-11-3A-B7.", "mac_address", "00-1B-44-11-3A-B7"),
        ("nic 12-03-45-AB-CD-EF.", "mac_address", "12-03-45-AB-CD-EF"),
        ("nic 12-03-45-67-89-AB.", "mac_address", "12-03-45-67-89-AB"),
        ("au 06.12.34.56.78 ou", "phone", "06.12.34.56.78"),
        ("au 06-12-34-56-78 ou", "phone", "06-12-34-56-78"),
        ("au 06/12/34/56/78 ou", "phone", "06/12/34/56/78"),
        ("au 06.12.34 56 78 ou", "phone", "06.12.34 56 78"),
        ("born 06.12.84, call 1", "date_of_birth", "06.12.84"),
        (
            "send to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa ok",
            "crypto_address",
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        ),
        (
            "she was born on 12 March 1985 in",
            "date_of_birth",
            "12 March 1985",
        ),
        ("DOB: 1985-03-12", "date_of_birth", "1985-03-12"),
        (
            "key AKIAQWERTYUIOP234567 here",
            "aws_key",
            "AKIAQWERTYUIOP234567",
        ),
        (
            "aws_secret_access_key = wJalrXUtnFEMIaK7MDENGabPxRfiCYzzzKEY9QwA",
            "aws_key",
            "wJalrXUtnFEMIaK7MDENGabPxRfiCYzzzKEY9QwA",
        ),
        (
            "postgres://app:Gh7x%24@db:5432/x",
            "url_credentials",
            "Gh7x%24",
        ),
        (
            "Server=db;User Id=sa;Password=s3cr3t!Pw;",
            "connection_string",
            "s3cr3t!Pw",
        ),
        ("password: \"hunter22\"", "generic_secret", "hunter22"),
    ] {
        assert_eq!(found(text, ""), [(class.to_owned(), value)], "{text}");
    }
}

#[test]
fn what_only_looks_like_it_is_left_alone() {
    for text in [
        "order 4929123412341234 shipped",
        "Order number: 114-3941689-8772232",
        "invoice 2023-000123456 of 2024-01-15",
        "version 1.2.3.4 and v10.0.19045.1",
        "commit 3f2a9c81d4e5b6a7089f1e2d3c4b5a6978877665",
        "id 550e8400-e29b-41d4-a716-446655440000",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "at 12:34:56 on 2024-01-15T12:34:56Z, 1700000000000 ms",
        "ISBN 978-3-16-148410-0",
        "in 1999-2024 we grew 3.14159265 times to 1,234,567.89",
        "std::vector<int> a::b x == y",
        "token_type: bearer, max_tokens: 4096, password: required",
        "127.0.0.1:8080 and 0.0.0.0 and ::1",
        "pip install torch==2.1.0 numpy>=1.26.4,<2",
        "the price is 12 345 678 dollars, part no 1234567890",
        "a@b, @decorator, 5 @ 3.50, git@github.com:org",
        "x = y * 1234567890123456",
        "rows 100-200-3000 of 10.5.3",
        "secret: the garden behind the house",
        "https://example.com:8443/a/b?c=d#e",
        "score 0.4532015112830366 and 0,4532015112830366, 12.4532015112830366",
        "weight 0.725818500464358 or -0.403287483072823",
        "loss 1.12345678e-05, 0.2079460958",
        "Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        "opencv-python==4.8.1.78 and grpcio >= 1.48.2.1",
        "get pkg-1.2.3.4.tar.gz, 2.0.1.7.jar",
        "attribute 2.5.4.3, extension 2.5.29.17, oid 1.3.6.1",
        "icon@2x.png, getty@tty1.service",
        "order AB123456C of invoice 12345678Z, 12345678-Z",
        "code 4059803150715 on the box",
        "see ORD4111111111111111 and x4059803150715, a4111111111111111b2",
        "barcode 4532015112830366 was read",
        r#"{"password": "Passwort", "userPassword": "Пароль"}"#,
        "paid 06.12.24 1500 EUR, 06.12.2024-07.12.2024, backup-2024-01-15-20.tar",
    ] {
        let hits = found(text, "");
        assert!(hits.is_empty(), "{text}: {hits:?}");
    }
}

#[test]
fn what_is_behind_a_comma_of_a_table_is_no_fraction() {
    for text in [
        "id,card\n7,4111111111111111\n",
        "a,0,4111111111111111",
        "v1.4111111111111111",
    ] {
        let expect = ("payment_card".to_owned(), "4111111111111111");
        assert_eq!(found(text, ""), [expect], "{text}");
    }
}

#[test]
fn what_words_speak_against_is_less_sure() {
    for (text, class, sure) in [
        ("order 415-555-2671", "phone", Confidence::Low),
        ("Tracey 415-555-2671", "phone", Confidence::Medium),
        ("version 10.20.30.40", "ip_address", Confidence::Low),
        ("replica 10.20.30.40", "ip_address", Confidence::High),
        ("353879234252622", "fr_nir", Confidence::Medium),
        ("NIR 353879234252622", "fr_nir", Confidence::High),
        ("24000000 Y", "es_dni", Confidence::Medium),
        ("24000000-Y", "es_dni", Confidence::High),
        ("581234567890123453", "payment_card", Confidence::Low),
    ] {
        let hits = FILTER.find(text, "");
        let of_class = hits.iter().find(|hit| FILTER.name(hit.class) == class);
        assert_eq!(of_class.map(|hit| hit.confidence), Some(sure), "{text}");
    }
}

/// Numbers as JSON has them, of which most have nothing beside them.
#[test]
fn what_stands_alone_is_still_found() {
    for (text, value) in [
        (r#"{"n": 12, "ip": "1.1.1.1"}"#, "1.1.1.1"),
        (r#"{"n": 1482, "dob": "1.3.1985", "m": 3}"#, "1.3.1985"),
        (r#"{"n": 0.82, "tel": "415 555 2671"}"#, "415 555 2671"),
        (r#"{"id": "q3", "mac": "aabb.cc1d.e12f"}"#, "aabb.cc1d.e12f"),
        ("call (415) 555-2671", "(415) 555-2671"),
        ("born 3rd March 1985, x9", "3rd March 1985"),
    ] {
        let hits = found(text, "");
        assert!(
            hits.iter().any(|(_, found)| *found == value),
            "{text}: {hits:?}"
        );
    }
}

#[test]
fn the_key_of_a_member_is_context() {
    assert!(found("4012345678", "contact_id").is_empty());
    assert!(found("100123456789", "uid").is_empty());
    assert_eq!(found("536904399", "ssn")[0].0, "us_ssn");
    assert_eq!(found("4155552671", "phoneNumber")[0].0, "phone");
    assert_eq!(found("hunter2!", "password")[0].0, "generic_secret");
    assert!(found("4155552671", "orderNumber").is_empty());
    assert!(found("the usual", "password").is_empty());
}

#[test]
fn disguises_are_seen_through_and_removed_from_the_original() {
    let rules = everything_redacted();
    let content = inbound(&rules);
    for (text, expect) in [
        ("to bob@example.org!", "to [EMAIL]!"),
        (
            "pay ４１１１ １１１１ １１１１ １１１１ now",
            "pay [CARD] now",
        ),
        ("b\u{200b}ob@exam\u{2060}ple.org", "[EMAIL]"),
        (
            "x \u{e0062}\u{e006f}\u{e0062}\u{e0040}\u{e0065}\u{e0078}.org y",
            "x [EMAIL] y",
        ),
        (
            r#"{\"mail\":\"bob\u0040example.org\"}"#,
            r#"{\"mail\":\"[EMAIL]\"}"#,
        ),
        (
            r#"{"card": 4111111111111111, "n": 1}"#,
            r#"{"card": "[CARD]", "n": 1}"#,
        ),
        (
            "https://x.io/?q=bob%40example.org&z=1",
            "https://x.io/?q=%5BEMAIL%5D&z=1",
        ),
        (
            "data dG8gYm9iQGV4YW1wbGUub3JnISE= end",
            "data dG8gW0VNQUlMXSEh end",
        ),
        // Disguised and percent-encoded; as a form has it; as pages and programs have it.
        (
            "n=4111%E2%80%8B1111%E2%80%8B1111%E2%80%8B1111&x",
            "n=%5BCARD%5D&x",
        ),
        ("n=%EF%BC%94111111111111111&x", "n=%5BCARD%5D&x"),
        (
            "n=1&card=4111+1111+1111+1111&x=2",
            "n=1&card=%5BCARD%5D&x=2",
        ),
        (
            "a=%41&to=IBAN+GB29+NWBK+6016+1331+9268+19&x",
            "a=%41&to=IBAN+%5BIBAN%5D&x",
        ),
        ("<b>bob&#64;example&period;org</b>", "<b>[EMAIL]</b>"),
        ("4111&nbsp;1111&#160;1111&nbsp;1111", "[CARD]"),
        (r"key \x41KIAQWERTYUIOP234567 x", "key [AWS_KEY] x"),
        // Glued to a letter; with a character in it that no text has; with bytes that are none; UTF-16.
        (
            "data xdG8gYm9iQGV4YW1wbGUub3JnISE= end",
            "data xdG8gW0VNQUlMXSEh end",
        ),
        (
            "data AXRvIGJvYkBleGFtcGxlLm9yZyEh end",
            "data AXRvIFtFTUFJTF0hIQ== end",
        ),
        ("data /3RvIGJvYkBleGFtcGxlLm9yZyH/ end", "data [EMAIL] end"),
        (
            "data dABvACAAYgBvAGIAQABlAHgAYQBtAHAAbABlAC4AbwByAGcA end",
            "data [EMAIL] end",
        ),
        // Over the end of a line.
        (
            "data:\ncGxlYXNlIHdyaXRl\nIHRvIGJvYkBleGFt\ncGxlLm9yZyBub3c=\nend",
            "data:\ncGxlYXNlIHdyaXRl\nIHRvIFtFTUFJTF0g\nbm93\nend",
        ),
        (
            r#"{"data":"cGxlYXNlIHdyaXRl\nIHRvIGJvYkBleGFt\ncGxlLm9yZyBub3c="}"#,
            r#"{"data":"[EMAIL]"}"#,
        ),
        ("card ٤١١١ ١١١١ ١١١١ ١١١١", "card [CARD]"),
        (
            "card 4111\u{2011}1111\u{2011}1111\u{2011}1111",
            "card [CARD]",
        ),
    ] {
        let outcome = content.treat_text(text);
        assert_eq!(outcome.altered.as_deref(), Some(expect), "{text}");
    }
}

#[test]
fn what_is_left_of_json_in_a_text_is_json() {
    let own = rules(json!({
        "standard": false,
        "rules": [{"classes": ["all"], "action": "redact"}],
        "words": [{"name": "city", "words": ["new york"]}],
    }));
    let masking = rules(json!({"rules": [{"classes": ["personal"], "action": "mask"}]}));
    let deep = json!({"t": "Hi,\nbob@x.org"}).to_string();
    for (value, expect) in [
        (json!({"t": "Hi,\nbob@x.org"}), json!({"t": "Hi,\n[EMAIL]"})),
        (
            json!({"t": "a\tbob@x.org\r\nanna@x.org"}),
            json!({"t": "a\t[EMAIL]\r\n[EMAIL]"}),
        ),
        (
            json!({"t": deep}),
            json!({"t": json!({"t": "Hi,\n[EMAIL]"}).to_string()}),
        ),
        // Nobody but who does not know of escapes sees a city here: it goes all the same.
        (json!({"t": "in\new york"}), json!({"t": "in[CITY]"})),
        (
            json!({"cmd": "say \"password=s3cr3t-Pa55\" now"}),
            json!({"cmd": "say \"password=[SECRET]\" now"}),
        ),
    ] {
        let text = value.to_string();
        let new = inbound(&own).treat_text(&text).altered.unwrap();
        let parsed: Value = serde_json::from_str(&new).unwrap_or_else(|_| panic!("{new}"));
        assert_eq!(parsed, expect, "{text}");
    }
    let text = r#"{"t":"\u0062ob\u0040example.org"}"#;
    let new = inbound(&masking).treat_text(text).altered.unwrap();
    assert_eq!(new, r#"{"t":"***@******e.org"}"#);
}

#[test]
fn keys_numbers_and_nested_values_are_treated() {
    let rules = everything_redacted();
    let value = json!({"a": {"bob@example.org": [1, 4_111_111_111_111_111_u64, "x"]}, "t": "{\"m\": \"a@b.org\"}", "ok": true});
    let outcome = inbound(&rules).treat(&value);
    let expect =
        json!({"a": {"[EMAIL]": [1, "[CARD]", "x"]}, "t": "{\"m\": \"[EMAIL]\"}", "ok": true});
    assert_eq!(outcome.altered, Some(expect));
    let counts: Vec<_> = outcome
        .findings
        .iter()
        .map(|f| (f.class.as_str(), f.count))
        .collect();
    assert_eq!(counts, [("email", 2), ("payment_card", 1)]);
    for pair in [
        json!({"name": "DB_PASSWORD", "value": "hunter22"}),
        json!({"Name": "DB_PASSWORD", "Value": "hunter22"}),
        json!({"key": "password", "value": "hunter22", "type": "text"}),
    ] {
        let altered = inbound(&rules).treat(&pair).altered.unwrap();
        assert!(altered.to_string().contains("[SECRET]"), "{altered}");
    }
    let clean = json!({"q": "nothing here", "n": [1, 2.5, null]});
    assert_eq!(inbound(&rules).treat(&clean).altered, None);
}

#[test]
fn the_first_rule_that_fits_decides_and_then_the_standard() {
    let rules = rules(json!({"rules": [
        {"classes": ["email"], "direction": "outbound", "tools": ["mail/*"], "action": "allow"},
        {"classes": ["personal"], "direction": "outbound", "action": "mask"},
    ]}));
    let mail = "mail/send".parse().unwrap();
    let other = "crm/note".parse().unwrap();
    let verb = proctor_model::catalogue::Verb::Write;
    let act = |text: &str, direction, tool| {
        let content = Content {
            rules: &rules,
            place: Place {
                direction,
                tool: Some((tool, verb)),
            },
            vault: None,
            roles: None,
        };
        content.treat_text(text)
    };
    assert!(
        act("bob@example.org", Direction::Outbound, &mail)
            .findings
            .is_empty()
    );
    assert_eq!(
        act("bob@example.org", Direction::Outbound, &other)
            .altered
            .as_deref(),
        Some("***@*******.org").map(|_| "***@******e.org")
    );
    assert_eq!(
        act("bob@example.org", Direction::Inbound, &other).strictest,
        ContentAction::Count
    );
    let key = "AKIAQWERTYUIOP234567";
    assert_eq!(
        act(key, Direction::Outbound, &mail).strictest,
        ContentAction::Block
    );
    assert_eq!(
        act(key, Direction::Inbound, &mail).altered.as_deref(),
        Some("[AWS_KEY]")
    );
}

#[test]
fn a_tenants_patterns_and_words_are_classes_and_are_bounded() {
    let own = rules(json!({
        "rules": [{"classes": ["case_no", "projects"], "action": "redact"}],
        "patterns": [{"name": "case_no", "regex": "\\bC-[0-9]{6}\\b", "context": ["case"]}],
        "words": [{"name": "projects", "words": ["Blue Heron", "Kestrel"]}],
    }));
    let text = "case C-123456 of blue heron, not kestrels";
    assert_eq!(
        inbound(&own).treat_text(text).altered.as_deref(),
        Some("case [CASE_NO] of [PROJECTS], not kestrels")
    );
    let quoted = inbound(&own).treat_text("the \u{201c}kestrel\u{201d} \u{2013}kestrel");
    assert_eq!(
        quoted.altered.as_deref(),
        Some("the \u{201c}[PROJECTS]\u{201d} \u{2013}[PROJECTS]")
    );
    let short = rules(json!({
        "rules": [{"classes": ["cvv", "banks"], "action": "redact"}],
        "patterns": [{"name": "cvv", "regex": "\\b[0-9]{3}\\b", "context": ["cvv"]}],
        "words": [{"name": "banks", "words": ["UBS"]}],
    }));
    let value = json!({"cvv": "123", "n": {"cvv": 123}, "of": "UBS", "no": 12});
    let expect = json!({"cvv": "[CVV]", "n": {"cvv": "[CVV]"}, "of": "[BANKS]", "no": 12});
    assert_eq!(inbound(&short).treat(&value).altered, Some(expect));
    let folded = rules(json!({
        "rules": [{"classes": ["names"], "action": "redact"}],
        "words": [{"name": "names", "words": ["Müller", "Cafe\u{301} Noir", "Smith"]}],
    }));
    for (text, expect) in [
        (
            "an Müller, MÜLLER; mu\u{308}ller!",
            "an [NAMES], [NAMES]; [NAMES]!",
        ),
        ("im café noir", "im [NAMES]"),
        ("für smith", "für [NAMES]"),
        ("smith", "[NAMES]"),
    ] {
        let altered = inbound(&folded).treat_text(text).altered;
        assert_eq!(altered.as_deref(), Some(expect), "{text}");
    }
    for text in ["Muller, Müllers", "smithé", "caf\u{e9}s noir"] {
        assert_eq!(inbound(&folded).treat_text(text).altered, None, "{text}");
    }
    let problem =
        |document: Value| Rules::compile(&serde_json::from_value(document).unwrap()).unwrap_err();
    assert!(matches!(
        problem(json!({"patterns": [{"name": "x", "regex": "a*"}]})),
        ContentProblem::Pattern(..)
    ));
    assert!(matches!(
        problem(json!({"patterns": [{"name": "x", "regex": "(a)\\1"}]})),
        ContentProblem::Pattern(..)
    ));
    assert!(matches!(
        problem(json!({"patterns": [{"name": "x", "regex": "[a-z]{1,500}{1,500}"}]})),
        ContentProblem::Pattern(..)
    ));
    assert!(matches!(
        problem(json!({"patterns": [{"name": "email", "regex": "a"}]})),
        ContentProblem::Name(_)
    ));
    assert!(matches!(
        problem(json!({"rules": [{"classes": ["nope"], "action": "block"}]})),
        ContentProblem::Class(_)
    ));
    assert!(matches!(
        problem(json!({"rules": [{"classes": ["all"], "tools": ["x"], "action": "block"}]})),
        ContentProblem::Tool(_)
    ));
    assert!(matches!(
        problem(json!({"phone_regions": ["XX"]})),
        ContentProblem::Region(_)
    ));
}

#[test]
fn placeholders_keep_the_form_and_come_back_where_they_may() {
    let rules = rules(json!({
        "rules": [{"classes": ["personal"], "direction": "inbound", "action": "tokenise"}],
        "reveal": [{"classes": ["email", "payment_card"], "tools": ["mail/*"]}],
    }));
    let vault = Vault::new([7; 32], [1; 32]);
    let crm = "crm/read".parse().unwrap();
    let mail = "mail/send".parse().unwrap();
    let verb = proctor_model::catalogue::Verb::Write;
    let content = |direction, tool| Content {
        rules: &rules,
        place: Place {
            direction,
            tool: Some((tool, verb)),
        },
        vault: Some(&vault),
        roles: None,
    };
    let read = content(Direction::Inbound, &crm);
    let text = "bob@example.org pays from DE89 3704 0044 0532 0130 00 with 4111 1111 1111 1111, bob@example.org";
    let shown = read.treat_text(text).altered.unwrap();
    assert_eq!(read.treat_text(text).altered.unwrap(), shown, "stable");
    for value in ["bob@", "3704", "1111 1111"] {
        assert!(!shown.contains(value), "{shown}");
    }
    let kinds: Vec<_> = FILTER
        .find(&shown, "")
        .iter()
        .map(|hit| FILTER.name(hit.class).to_owned())
        .collect();
    assert_eq!(kinds, ["email", "iban", "payment_card", "email"], "{shown}");
    let arguments = json!({"body": shown}).as_object().unwrap().clone();
    let back = content(Direction::Outbound, &mail)
        .put_back(&arguments)
        .unwrap();
    let back = back["body"].as_str().unwrap();
    // The IBAN may not be seen there.
    assert!(
        back.contains("bob@example.org")
            && back.contains("4111 1111 1111 1111")
            && !back.contains("3704"),
        "{back}"
    );
    assert!(
        content(Direction::Outbound, &crm)
            .put_back(&arguments)
            .is_none()
    );
    let stranger = Vault::new([8; 32], [2; 32]);
    let elsewhere = Content {
        vault: Some(&stranger),
        ..content(Direction::Outbound, &mail)
    };
    assert!(elsewhere.put_back(&arguments).is_none());
    assert!(!format!("{vault:?}").contains("bob"));
    // Wherever an agent writes it, in whatever encoding; but not inside of another word.
    let email = read.treat_text("bob@example.org").altered.unwrap();
    let card = read.treat_text("4111 1111 1111 1111").altered.unwrap();
    let encoded = |text: &str| text.replace('@', "%40").replace(' ', "+");
    for (value, expect) in [
        (json!({ email.clone(): 1 }), json!({ "bob@example.org": 1 })),
        (
            json!([format!("?to={}&card={}", encoded(&email), encoded(&card))]),
            json!(["?to=bob%40example.org&card=4111%201111%201111%201111"]),
        ),
        (
            json!(json!({ "to": format!("Hi,\n{email}") }).to_string()),
            json!(r#"{"to":"Hi,\nbob@example.org"}"#),
        ),
    ] {
        let arguments = json!({ "in": value }).as_object().unwrap().clone();
        let back = content(Direction::Outbound, &mail).put_back(&arguments);
        assert_eq!(back.unwrap()["in"], expect, "{value}");
    }
    let other = json!({ "in": format!("9{card} and x{email}") });
    let other = other.as_object().unwrap();
    assert_eq!(content(Direction::Outbound, &mail).put_back(other), None);
}

/// Secrets, each within some text, as they may come in a stream; the whole is what must come out.
const STREAMED: &[&str] = &[
    "the key AKIAQWERTYUIOP234567 is here",
    "mail bob.smith@example.org today",
    "run curl -fsS https://downloads.example.org/some-rather-long-path/that-goes-on/and-on-again/until-it-is-longer/than-what-words-reach/by-far.html -u bob:s3cr3t-Pa55 now",
    "pay 4111 1111 1111 1111 now, please",
    "IBAN GB29 NWBK 6016 1331 9268 19 it is",
    "call +1 (415) 555-2671 or write",
    "ni number AB 12 34 56 C of hers",
    "born on March 12, 1985 in Rome",
    "password = \"hunter2222\" and so on",
    "postgres://app:Gh7xQ9@db:5432/x is it",
    "nothing at all to see here, 12 apples",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASC\n-----END PRIVATE KEY-----\nafter it",
    "-----BE\u{200b}GIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASC\n-----END PRIVATE KEY-----\nafter it",
    r#"{"k": "-----BEGIN\u0020PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASC\n-----END PRIVATE KEY-----\n", "n": 1}"#,
    "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10 end",
    r#"{"to": "bob\u0040example.org", "k": "\u0041KIAQWERTYUIOP234567"}"#,
    r#"{\"to\": \"bob\\u0040example.org\"}"#,
    "q=bob%40example.org&x=1 done",
    "data dG8gYm9iQGV4YW1wbGUub3JnISE= end",
    "data xdG8gYm9iQGV4YW1wbGUub3JnISE= end",
    "so x4111111111111111, x4111 1111 1111 1111 and aAKIAQWERTYUIOP234567 here",
    "n=1&card=4111+1111+1111+1111&x=2 done",
    "n=4111%E2%80%8B1111%E2%80%8B1111%E2%80%8B1111&x done",
    "to bob&#64;example.org, or &#98;ob&commat;example.org now",
    r"key \x41KIAQWERTYUIOP234567 done",
    "ｂｏｂ＠ｅｘａｍｐｌｅ．ｏｒｇ and b\u{200b}ob@ex\u{2060}ample.org",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U ok",
];

fn in_pieces(pieces: &[&str], content: &Content<'_>) -> String {
    let mut splitter = Splitter::default();
    let mut out = String::new();
    for piece in pieces {
        let released = splitter.push(piece, content);
        assert!(!released.stop);
        out.push_str(&released.text);
    }
    out.push_str(&splitter.finish(content).text);
    assert_eq!(splitter.held_bytes(), 0);
    out
}

#[test]
fn a_secret_split_anywhere_is_found_each_time() {
    let rules = everything_redacted();
    let content = inbound(&rules);
    for text in STREAMED {
        let outcome = content.treat_text(text);
        let whole = outcome.altered.unwrap_or_else(|| (*text).to_owned());
        for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
            let (a, b) = text.split_at(at);
            assert_eq!(in_pieces(&[a, b], &content), whole, "{text} at {at}");
        }
        let each: Vec<&str> = text.split_inclusive(|_| true).collect();
        assert_eq!(in_pieces(&each, &content), whole, "{text}");
    }
}

#[test]
fn a_stream_goes_on_and_holds_little() {
    let rules = everything_redacted();
    let content = inbound(&rules);
    let mut splitter = Splitter::default();
    let mut out = String::new();
    let mut most = 0;
    for word in "some words of an answer that has nothing to hide and goes on and on "
        .repeat(20)
        .split_inclusive(' ')
    {
        out.push_str(&splitter.push(word, &content).text);
        most = most.max(splitter.held_bytes());
    }
    assert!(most < 32 && out.len() > 1000, "{most} {}", out.len());
    // A run without an end, and a key within it.
    let mut long = "x".repeat(STREAM / 2);
    long.push_str(" AKIAQWERTYUIOP234567 ");
    long.push_str(&"y".repeat(3 * STREAM));
    let mut splitter = Splitter::default();
    let mut out = String::new();
    for piece in long.as_bytes().chunks(1000) {
        out.push_str(
            &splitter
                .push(std::str::from_utf8(piece).unwrap(), &content)
                .text,
        );
        assert!(splitter.held_bytes() <= STREAM + 1000);
    }
    out.push_str(&splitter.finish(&content).text);
    assert_eq!(out, long.replace("AKIAQWERTYUIOP234567", "[AWS_KEY]"));
    // A key that is longer than what may wait is swallowed to its end, however its first line is written.
    for header in [
        "-----BEGIN RSA PRIVATE KEY-----",
        "-----BE\u{200b}GIN RSA PRIVATE KEY-----",
        r"-----BEGIN\u0020RSA PRIVATE KEY-----",
    ] {
        let pem = format!(
            "a {header}\n{}\n-----END RSA PRIVATE KEY-----\nb",
            "MIIEpAIBAAKCAQ\n".repeat(4000)
        );
        let mut splitter = Splitter::default();
        let mut out = String::new();
        for piece in pem.as_bytes().chunks(777) {
            out.push_str(
                &splitter
                    .push(std::str::from_utf8(piece).unwrap(), &content)
                    .text,
            );
        }
        out.push_str(&splitter.finish(&content).text);
        assert!(
            !out.contains("MIIE") && out.starts_with("a [PRIVATE_KEY]") && out.ends_with('b'),
            "{}",
            &out[..out.len().min(200)]
        );
    }
}

/// Lines of base64 that could wait no longer have gone on: what was in them takes nothing from the lines below.
#[test]
fn lines_that_have_gone_on_are_not_read_again() {
    let rules = everything_redacted();
    let content = inbound(&rules);
    // `write to bob@example.org!!!`, and `nothing to be seen here!!!`
    let (address, clean) = (
        "d3JpdGUgdG8gYm9iQGV4YW1wbGUub3JnISEh\n",
        "bm90aGluZyB0byBiZSBzZWVuIGhlcmUhISEh\n",
    );
    let fit = STREAM.div_ceil(clean.len());
    let line = |at: usize| match at == 0 || (fit - 3..fit).contains(&at) {
        true => address,
        false => clean,
    };
    let mut splitter = Splitter::default();
    let mut out = splitter.push("data:\n", &content).text;
    for at in 0..fit + 100 {
        out.push_str(&splitter.push(line(at), &content).text);
    }
    out.push_str(&splitter.push("end", &content).text);
    out.push_str(&splitter.finish(&content).text);
    assert!(!out.contains("Ym9iQGV4YW1wbGUub3Jn"), "an address");
    assert!(out.matches(clean).count() >= 99, "lines are gone");
}

const STREAM: usize = crate::limits::STREAM_HELD_BYTES_MAX;

#[test]
fn a_blocked_stream_stops_before_what_is_blocked() {
    let rules = rules(json!({"rules": [{"classes": ["credentials"], "action": "block"}]}));
    let content = inbound(&rules);
    let mut splitter = Splitter::default();
    let mut out = splitter.push("before AKIAQWERTY", &content).text;
    let end = splitter.push("UIOP234567 after and more. ", &content);
    out.push_str(&end.text);
    let rest = "a word or two ".repeat(8);
    let end = if end.stop {
        end
    } else {
        splitter.push(&rest, &content)
    };
    out.push_str(&end.text);
    assert!(end.stop);
    assert_eq!(out, "before ");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any text at all: no panic, matches in order and apart, and what is redacted stays redacted.
    #[test]
    fn any_text_is_taken(text in "(?s)(.|[@:=<\\\\%]|[0-9]{1,9}| |\\\\u00[0-9a-f]{2}|-----BEGIN |eyJ|password=|AKIA[A-Z2-7]{16}|bob@x\\.org){0,40}") {
        let hits = FILTER.find(&text, "");
        for pair in hits.windows(2) {
            prop_assert!(pair[0].range.end <= pair[1].range.start || pair[0].range == pair[1].range);
        }
        for hit in &hits {
            prop_assert!(text.get(hit.range.clone()).is_some());
        }
        let rules = everything_redacted();
        let _ = inbound(&rules).treat_text(&text);
    }

    /// Decimals are nobody's numbers, however many digits they have.
    #[test]
    fn a_decimal_is_nobodys_number(
        value in prop_oneof![0.0..1.0_f64, -1000.0..1000.0_f64],
        places in 1_usize..17,
    ) {
        for text in [format!("{value}"), format!("{value:e}"), format!("{value:.places$}")] {
            let hits = found(&text, "");
            prop_assert!(hits.is_empty(), "{text}: {hits:?}");
        }
    }

    /// A secret between any words, cut into any pieces, comes out as it would from the whole.
    #[test]
    fn pieces_are_as_good_as_the_whole(
        words in prop::collection::vec("[a-z]{1,8}", 0..6),
        pick in 0..STREAMED.len(),
        cuts in prop::collection::vec(0_usize..400, 0..6),
    ) {
        let text = format!("{} {} {}", words.join(" "), STREAMED[pick], words.join(" "));
        let rules = everything_redacted();
        let content = inbound(&rules);
        let whole = content.treat_text(&text).altered.unwrap_or_else(|| text.clone());
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| text.is_char_boundary(*cut)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut at = 0;
        for cut in cuts {
            pieces.push(&text[at..cut]);
            at = cut;
        }
        pieces.push(&text[at..]);
        prop_assert_eq!(in_pieces(&pieces, &content), whole);
    }
}
