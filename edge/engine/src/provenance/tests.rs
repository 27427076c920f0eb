use super::value::{Kind, recognise, whole};

fn found(text: &str) -> Vec<(Kind, String)> {
    let mut all = Vec::new();
    recognise(text, &mut |kind, canonical| {
        all.push((kind, canonical.to_owned()))
    });
    all
}

fn of(kind: Kind, text: &str) -> Vec<String> {
    let mut values: Vec<_> = found(text)
        .into_iter()
        .filter(|(of, _)| *of == kind)
        .map(|(_, value)| value)
        .collect();
    values.dedup();
    values
}

#[test]
fn links_in_all_their_spellings() {
    for text in [
        "see https://Evil.example/a/ now",
        "see (http://evil.example/a).",
        "[click](https://evil.example/a)",
        "EVIL.example/a",
        "<a href=\"https://evil.example/a\">",
        "link=evil.example/a",
    ] {
        assert_eq!(of(Kind::Url, text), ["evil.example/a"], "{text}");
    }
    assert_eq!(
        of(Kind::Url, "www.my-site-23.com/random!"),
        ["www.my-site-23.com/random"]
    );
    for text in [
        "bill-december-2023.txt",
        "version 1.2.3",
        "e.g. this",
        "main.rs",
        "README.md",
        "10:30",
        "a.b",
    ] {
        assert_eq!(of(Kind::Url, text), [""; 0], "{text}");
    }
}

#[test]
fn addresses_accounts_and_telephones() {
    assert_eq!(
        of(Kind::Email, "Mail <Bob@Partner.example>, please"),
        ["bob@partner.example"]
    );
    assert_eq!(
        of(Kind::Email, "mailto:a@b.example?subject=x"),
        ["a@b.example"]
    );
    assert_eq!(
        of(Kind::Iban, "to GB29 NWBK 6016 1331 9268 19."),
        ["gb29nwbk60161331926819"]
    );
    assert_eq!(
        of(Kind::Iban, "to GB29NWBK60161331926819"),
        ["gb29nwbk60161331926819"]
    );
    assert_eq!(of(Kind::Iban, "to GB28NWBK60161331926819"), [""; 0]);
    assert_eq!(
        of(Kind::Phone, "call +44 (20) 7946-0958 or"),
        ["+442079460958"]
    );
    assert_eq!(of(Kind::Phone, "on 2024-05-15 at 10:00"), [""; 0]);
}

#[test]
fn numbers_and_dates_whatever_their_form() {
    for text in [
        "1000",
        "1000.0",
        "$1,000.00",
        "1.000,00 EUR",
        "1e3",
        "EUR1000",
    ] {
        assert!(
            of(Kind::Number, text).contains(&"1000".to_owned()),
            "{text}: {:?}",
            found(text)
        );
    }
    for text in [
        "2024-05-01",
        "2024-05-01T09:00",
        "May 1st, 2024",
        "1 May 2024",
        "the 1st of May 2024",
        "01.05.2024",
        "05/01/2024",
    ] {
        assert!(
            of(Kind::Date, text).contains(&"2024-5-1".to_owned()),
            "{text}: {:?}",
            found(text)
        );
    }
    assert_eq!(of(Kind::Yearless, "on the 15th of November"), ["11-15"]);
}

#[test]
fn a_value_is_of_a_kind_only_as_a_whole() {
    assert_eq!(
        whole("https://acme.example/").map(|(kind, _)| kind),
        Some(Kind::Url)
    );
    assert_eq!(
        whole("a@b.example").map(|(kind, _)| kind),
        Some(Kind::Email)
    );
    assert_eq!(whole("a@b.example, c@d.example"), None);
    assert_eq!(
        whole("GB29 NWBK 6016 1331 9268 19").map(|(kind, _)| kind),
        Some(Kind::Iban)
    );
    assert_eq!(whole("pay GB29NWBK60161331926819"), None);
}
