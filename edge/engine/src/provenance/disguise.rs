//! Addresses that are written so that no program takes them for one: `evil[.]example`, `eve (at) evil [dot] example`.

/// Longest sign with its brackets, in bytes.
const SIGN_BYTES_MAX: usize = 8;

/// The text with plain signs in its addresses; `None` if none is disguised.
pub(super) fn undisguised(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut taken = 0_usize;
    // Hardly any bracket has such a sign in it, and nothing is copied for any other.
    for at in memchr::memchr3_iter(b'[', b'(', b'{', text.as_bytes()) {
        let (before, from) = (text.get(taken..at), text.get(at..));
        let (Some(before), Some((sign, behind))) = (before, from.and_then(sign)) else {
            continue;
        };
        let before = before.trim_end_matches(' ');
        let behind = behind.trim_start_matches(' ');
        // `3 apples (at) 2.50` is a price.
        let goes_on = |c: char| c.is_alphabetic() || (sign == '.' && c.is_numeric());
        if before.ends_with(char::is_alphanumeric) && behind.starts_with(goes_on) {
            plain.push_str(before);
            plain.push(sign);
            taken = text.len().saturating_sub(behind.len());
        }
    }
    if taken == 0 {
        return None;
    }
    plain.push_str(text.get(taken..).unwrap_or_default());
    Some(plain)
}

/// The sign that the brackets say which a text begins with, and what stands behind them.
fn sign(text: &str) -> Option<(char, &str)> {
    let close = match text.as_bytes() {
        [b'[', b'.' | b'@' | b' ' | b'a' | b'A' | b'd' | b'D', ..] => ']',
        [b'(', b'.' | b'@' | b' ' | b'a' | b'A' | b'd' | b'D', ..] => ')',
        [b'{', b'.' | b'@' | b' ' | b'a' | b'A' | b'd' | b'D', ..] => '}',
        _ => return None,
    };
    let start = text.get(..text.floor_char_boundary(SIGN_BYTES_MAX))?;
    let (word, _) = start.get(1..)?.split_once(close)?;
    let behind = text.get(word.len().saturating_add(2)..)?;
    let word = word.trim_matches(' ');
    let is = |name: &str| word.eq_ignore_ascii_case(name);
    match word {
        "." => Some(('.', behind)),
        "@" => Some(('@', behind)),
        _ if is("dot") => Some(('.', behind)),
        _ if is("at") => Some(('@', behind)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::address::addresses;
    use super::super::value::Kind;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_signs_of_addresses_are_undone() {
        for (text, plain) in [
            ("see evil[.]example/x", Some("see evil.example/x")),
            ("evil(dot)example", Some("evil.example")),
            ("eve [AT] evil [ dot ] example", Some("eve@evil.example")),
            ("eve{at}evil.example", Some("eve@evil.example")),
            ("a[.]b[.]example [1]", Some("a.b.example [1]")),
            ("203[.]0[.]113[.]7", Some("203.0.113.7")),
            ("почта[.]рф", Some("почта.рф")),
            ("a list [1], an (aside) and {x}", None),
            ("3 apples (at) 2.50", None),
            ("[at](https://a.example)", None),
            ("see [.] and [.]", Some("see.and [.]")),
            ("a[.", None),
            ("a[.é", None),
            ("(at)", None),
            ("", None),
        ] {
            assert_eq!(undisguised(text).as_deref(), plain, "{text}");
        }
    }

    proptest! {
        /// However its signs are written, an address is found.
        #[test]
        fn no_disguise_hides_an_address(
            user in "[a-z]{3,8}",
            labels in prop::collection::vec("[a-z]{3,8}", 1..3),
            dot in "\\[\\.\\]|\\(\\.\\)|\\{\\.\\}| ?[\\[({] ?(dot|DOT) ?[\\])}] ?",
            at in "\\[@\\]|\\{@\\}| ?[\\[({] ?(at|At) ?[\\])}] ?",
        ) {
            let closed = |sign: &str| {
                let close = match sign.trim_start().as_bytes() {
                    [b'[', ..] => ']',
                    [b'(', ..] => ')',
                    _ => '}',
                };
                sign.replace([']', ')', '}'], &close.to_string())
            };
            let (dot, at) = (closed(&dot), closed(&at));
            let host = format!("{}.example", labels.join("."));
            let disguised = host.replace('.', &dot);
            let mut found = Vec::new();
            let text = format!("see {disguised} or {user}{at}{disguised} now");
            addresses(&text, &mut |kind, value| found.push((kind, value.to_owned())));
            prop_assert!(found.contains(&(Kind::Url, host.clone())), "{text}: {found:?}");
            prop_assert!(found.contains(&(Kind::Email, format!("{user}@{host}"))), "{text}: {found:?}");
        }
    }
}
