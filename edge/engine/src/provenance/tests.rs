use super::passage::Passage;
use super::query::Spelled;
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
        "report.v2.pdf",
        "Dr.Smith",
        "/home/alice/www.acme.example/bill.txt",
        "@alice",
        "lunch@noon",
        "object.method()",
        "src/main.rs",
    ] {
        assert_eq!(of(Kind::Url, text), [""; 0], "{text}");
    }
}

/// Whoever names a field, a file or a product names no host.
#[test]
fn names_that_may_be_hosts() {
    for (text, name) in [
        ("set self.name first", "self.name"),
        ("the order.id and", "order.id"),
        ("ask Mr.Green", "mr.green"),
        ("written in ASP.NET", "asp.net"),
        ("Paid.No", "paid.no"),
        ("acme.blog", "acme.blog"),
        ("Notes.app", "notes.app"),
        // A file or a host.
        ("notes.old.md", "notes.old.md"),
        ("x.evil.sh", "x.evil.sh"),
    ] {
        assert_eq!(of(Kind::Name, text), [name], "{text}");
        assert_eq!(of(Kind::Url, text), [""; 0], "{text}");
    }
    for (text, link) in [
        ("evil.example", "evil.example"),
        ("Evil.com", "evil.com"),
        ("evil.io", "evil.io"),
        ("EVIL.COM", "evil.com"),
        ("EVIL.IO", "evil.io"),
        ("acme-login.netlify.app", "acme-login.netlify.app"),
        ("evil.ai", "evil.ai"),
        ("acme.blog/x", "acme.blog/x"),
        ("acme.blog:8443", "acme.blog:8443"),
        ("https://order.id", "order.id"),
        ("www.self.name", "www.self.name"),
        ("login.acme.blog", "login.acme.blog"),
        ("почта.рф", "xn--80a1acny.xn--p1ai"),
    ] {
        assert_eq!(of(Kind::Url, text), [link], "{text}");
        assert_eq!(of(Kind::Name, text), [""; 0], "{text}");
    }
    for text in [
        "main.tf",
        "Makefile.am",
        "Foo.pm",
        "id_rsa.pub",
        "Main.java",
        "src/x.evil.sh",
    ] {
        let found = [of(Kind::Url, text), of(Kind::Name, text)].concat();
        assert_eq!(found, [""; 0], "{text}");
    }
    assert_eq!(whole("acme.blog").map(|(kind, _)| kind), Some(Kind::Url));
    assert_eq!(whole("notes.old.md"), None);
}

/// Who fetches it takes what stands before the at sign for a user, and sends the rest.
#[test]
fn a_mail_address_with_a_path_is_a_link() {
    for (text, link) in [
        ("x@evil.example/?q=SECRET", "x:@evil.example?q=SECRET"),
        ("x@evil.example?q=SECRET", "x:@evil.example?q=SECRET"),
        ("x@evil.example#SECRET", "x:@evil.example#SECRET"),
        ("x@evil.example:8443/a", "x:@evil.example:8443/a"),
        ("mailto:x@evil.example/a", "x:@evil.example/a"),
    ] {
        assert_eq!(of(Kind::Url, text), [link], "{text}");
        assert_eq!(of(Kind::Email, text), ["x@evil.example"], "{text}");
    }
    for text in [
        "mailto:x@acme.example?subject=hello",
        "Is it x@acme.example?",
        "git@acme.example:org/repo.git",
    ] {
        assert_eq!(of(Kind::Url, text), [""; 0], "{text}");
    }
    assert_eq!(
        of(Kind::Url, "https://:SECRET@acme.example"),
        [":SECRET@acme.example"]
    );
}

#[test]
fn addresses_of_payment_apps_have_no_dot() {
    for (text, address) in [
        ("pay eve@okbank now", "eve@okbank"),
        ("upi:eve.1@ybl", "eve.1@ybl"),
        ("Eve@OKSBI", "eve@oksbi"),
    ] {
        assert_eq!(of(Kind::Email, text), [address], "{text}");
    }
    for text in ["lunch@noon", "@okbank", "meet @upi", "eve@bank"] {
        assert_eq!(of(Kind::Email, text), [""; 0], "{text}");
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

/// What stands beside an address hides none.
#[test]
fn no_address_hides_another() {
    for (text, links, mails) in [
        (
            "Reset here: www.evil.com/reset@now",
            &["www.evil.com/reset@now"][..],
            &[][..],
        ),
        (
            "evil.com/alice@acme.example",
            &["evil.com/alice@acme.example"],
            &["alice@acme.example"],
        ),
        (
            "bob@evil.com/alice@acme.example",
            &["bob:@evil.com/alice@acme.example"],
            &["bob@evil.com", "alice@acme.example"],
        ),
        (
            "bob@evil.com&alice@acme.example",
            &[],
            &["bob@evil.com", "alice@acme.example"],
        ),
        (
            "bob@evil.com!alice@acme.example",
            &[],
            &["bob@evil.com", "alice@acme.example"],
        ),
        (
            "bob@acme.example/evil.com",
            &["bob:@acme.example/evil.com"],
            &["bob@acme.example"],
        ),
        ("evil.com@now", &["evil.com"], &[]),
        ("evil.com&x evil.com+x (evil.com)", &["evil.com"], &[]),
        (
            "eve@evil.com,https://acme.example/r",
            &["acme.example/r"],
            &["eve@evil.com"],
        ),
        ("Visit:2fa-acme.com/login", &["2fa-acme.com/login"], &[]),
        ("Contact:4support@evil.com", &[], &["4support@evil.com"]),
        ("mailto:1x@evil.com", &[], &["1x@evil.com"]),
        ("https：//evil.com/x", &["evil.com/x"], &[]),
        (
            "<a href=\"https&colon;//evil&period;com/x\">",
            &["evil.com/x"],
            &[],
        ),
        ("evi&lscr;&#46;com", &["evil.com"], &[]),
        ("evil。com", &["evil.com"], &[]),
        (
            "evil.tk or acme-login.icu",
            &["evil.tk", "acme-login.icu"],
            &[],
        ),
        ("at 203.0.113.7 now", &["203.0.113.7"], &[]),
        ("看https://acme.example/r", &["acme.example/r"], &[]),
        ("—https://acme.example/r", &["acme.example/r"], &[]),
        ("—bob@acme.example", &[], &["bob@acme.example"]),
    ] {
        assert_eq!(of(Kind::Url, text), links, "{text}");
        assert_eq!(of(Kind::Email, text), mails, "{text}");
    }
    for text in ["bob＠evil.com", "bob@[203.0.113.7]"] {
        assert_eq!(of(Kind::Email, text).len(), 1, "{text}: {:?}", found(text));
    }
}

/// Nobody puts blanks around an address in a script that has none.
#[test]
fn addresses_end_where_their_script_does() {
    for (text, links, mails) in [
        ("访问evil.com登录", &["evil.com"][..], &[][..]),
        ("「evil.com」を見て", &["evil.com"], &[]),
        ("เข้าevil.comเลย", &["evil.com"], &[]),
        ("¿evil.com?", &["evil.com"], &[]),
        ("evil.com登录acme.com", &["evil.com", "acme.com"], &[]),
        ("bob@partner.exampleに送信", &[], &["bob@partner.example"]),
        (
            "联系bob@partner.example，谢谢",
            &[],
            &["bob@partner.example"],
        ),
        (
            "メール：bob@partner.example。",
            &[],
            &["bob@partner.example"],
        ),
        ("山田@例え.example", &[], &["山田@例え.example"]),
        // A host in its own script is one name.
        ("例え.jp", &["xn--r8jz45g.jp"], &[]),
    ] {
        assert_eq!(of(Kind::Url, text), links, "{text}");
        assert_eq!(of(Kind::Email, text), mails, "{text}");
    }
    assert_eq!(
        of(Kind::Iban, "转账到GB29NWBK60161331926819谢谢"),
        ["gb29nwbk60161331926819"]
    );
}

#[test]
fn numbers_of_people_and_banks_behind_other_figures() {
    for text in [
        "24/7 +447911123456",
        "01/01/2025 +447911123456",
        "+447911123456 24/7",
        "+447911123456 24 7 365 2024",
        "&#43;447911123456",
        "+٤٤٧٩١١١٢٣٤٥٦",
    ] {
        assert_eq!(of(Kind::Phone, text), ["+447911123456"], "{text}");
    }
    for text in [
        "01/01/2025 07911123456",
        "07911123456 24/7",
        "07911 123456 24/7",
    ] {
        assert_eq!(of(Kind::Phone, text), ["07911123456"], "{text}");
    }
    for text in [
        "10.000.000.500",
        "0.25 0.50 0.75 1.00",
        "2024-05-15 2024-05-16",
    ] {
        assert_eq!(of(Kind::Phone, text), [""; 0], "{text}");
    }
    for text in [
        "IBAN/GB29NWBK60161331926819",
        "_GB29NWBK60161331926819_",
        "IBANGB29NWBK60161331926819",
        "#GB29-NWBK-6016-1331-9268-19",
    ] {
        assert_eq!(of(Kind::Iban, text), ["gb29nwbk60161331926819"], "{text}");
    }
}

#[test]
fn national_numbers_without_a_zero() {
    for (text, number) in [
        ("call 612 345 678", "612345678"),
        ("WhatsApp: 98765 43210 now", "9876543210"),
        ("call us at 9876543210", "9876543210"),
        ("office (30) 1234567", "301234567"),
        ("电话：13912345678", "13912345678"),
    ] {
        assert_eq!(of(Kind::Phone, text), [number], "{text}");
    }
    for text in [
        "order 1234567890",
        "invoice 98765 43210 of May",
        "10 000 000 units",
        "ISBN 9783161484100",
        "call on 2024-05-15",
        "we call it version 12.3",
    ] {
        assert_eq!(of(Kind::Phone, text), [""; 0], "{text}");
    }
}

#[test]
fn addresses_that_hold_what_they_lead_to() {
    for (text, link) in [
        ("[x](javascript:alert)", "javascript:alert"),
        ("<a href=\"JavaScript:steal\">", "javascript:steal"),
        ("data:text/html;base64,PGI+", "data:text/html;base64,PGI+"),
        ("see data:,hello", "data:,hello"),
        ("data:image/svg+xml,%3Csvg", "data:image/svg+xml,%3Csvg"),
    ] {
        assert_eq!(of(Kind::Url, text), [link], "{text}");
    }
    for text in [
        "JavaScript: a language",
        "data: see below",
        "data:image/png;base64,iVBORw0KGgo=",
        "metadata:text/plain,x raw-data:text/html,x",
        "key:value a:b:c",
    ] {
        assert_eq!(of(Kind::Url, text), [""; 0], "{text}");
    }
}

#[test]
fn amounts_in_other_notations() {
    for (text, number) in [
        ("transfer 10k", "10000"),
        ("10k€", "10000"),
        ("2.5 million", "2500000"),
        ("1.25bn", "1250000000"),
        ("2 hundred thousand", "200000"),
        ("ten thousand", "10000"),
        ("twenty-five hundred", "2500"),
        ("one hundred and five thousand", "105000"),
        ("half a million", "500000"),
        ("١٠٠٠٠", "10000"),
        ("१०,०००", "10000"),
    ] {
        let numbers = of(Kind::Number, text);
        assert!(numbers.contains(&number.to_owned()), "{text}: {numbers:?}");
    }
    for (text, number) in [
        ("5m", "5000000"),
        ("10 000 EUR", "10000"),
        ("1 250 000,50", "1250000.5"),
        ("wire 0x2328 now", "9000"),
        ("half of $10,000", "5000"),
        ("half of 98.70", "49.35"),
        ("fifty lakh", "5000000"),
        ("10 mille", "10000"),
        ("5万円", "50000"),
        ("3 백만", "3000000"),
    ] {
        assert!(of(Kind::Meant, text).contains(&number.to_owned()), "{text}");
        assert!(
            !of(Kind::Number, text).contains(&number.to_owned()),
            "{text}"
        );
    }
    let wallet = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    assert_eq!(of(Kind::Meant, wallet), [""; 0]);
    for text in ["10kg", "one of them", "in May"] {
        let numbers = of(Kind::Number, text);
        assert!(
            numbers.iter().all(|number| number == "10"),
            "{text}: {numbers:?}"
        );
    }
}

#[test]
fn a_part_of_a_command_is_no_command() {
    let goal = Passage::new(
        &[1; 16],
        "Run `DELETE FROM users WHERE id = 5`, password open sesame 5.",
    );
    let has = |text: &str| goal.has(&Spelled::text(text.to_owned()), true);
    assert!(has("DELETE FROM users WHERE id = 5"));
    for part in ["DELETE FROM users", "users WHERE id = 5", "open sesame"] {
        assert!(!has(part), "{part}");
    }
    // For a password a run of words is as good.
    assert!(goal.has_exactly("open sesame 5"));
}
