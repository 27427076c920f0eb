//! Passwords and keys in URLs: `scheme://user:password@host`, and in what Oracle's drivers have instead of one.

use super::credible::{placeholder, stands_in};
use super::text::{Text, alnum, entropy};
use proctor_model::content::{Confidence, ContentClass as Class};

/// User and password of the examples that a database has come with for decades.
const EXAMPLE: (&str, &str) = ("scott", "tiger");

/// The password in `scheme://user:password@host`, if `at` is where `://` stands.
pub(super) fn url(text: Text<'_>, at: usize) -> Option<(usize, usize, Confidence)> {
    let scheme_start = text.run_back(at, 24, |b| alnum(b) || matches!(b, b'+' | b'-' | b'.'));
    if scheme_start == at {
        return None;
    }
    let start = at.saturating_add(3);
    let end = text.run(start, 1024, |b| {
        !b.is_ascii_whitespace()
            && !matches!(
                b,
                b'/' | b'"' | b'\'' | b'<' | b'>' | b'?' | b'#' | b'`' | 0
            )
    });
    let authority = text.slice(start, end);
    let (user, _) = authority
        .rsplit_once('@')
        .or_else(|| unescaped(text, start, authority))?;
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    if password.is_empty() {
        let token = is_token(name).then(|| start.saturating_add(name.len()))?;
        return Some((start, token, Confidence::High));
    }
    let from = start.saturating_add(name.len()).saturating_add(1);
    let sure = sure(name, password)?;
    Some((from, from.saturating_add(password.len()), sure))
}

/// How sure it is that this is a user's password; not at all if it says what to put there.
fn sure(name: &str, password: &str) -> Option<Confidence> {
    let starred = password.bytes().all(|b| b == b'*');
    let shown = starred || stands_in(&password.to_ascii_lowercase()) || password.starts_with('$');
    if shown {
        return None;
    }
    // `user:password@` is in documents, and a user's own name is one sometimes.
    Some(if placeholder(password) || (name, password) == EXAMPLE {
        Confidence::Low
    } else if password == name {
        Confidence::Medium
    } else {
        Confidence::High
    })
}

/// What stands before user and password in the addresses of Oracle's drivers.
const DRIVERS: [&[u8]; 3] = [b"jdbc:oracle:thin", b"jdbc:oracle:oci", b"jdbc:oracle:oci8"];
/// Longest user or password in one, in bytes.
const PART_BYTES_MAX: usize = 128;

/// The password in `jdbc:oracle:thin:user/password@host`, if `at` is where the colon before the user stands.
pub(super) fn oracle(text: Text<'_>, at: usize) -> Option<(usize, usize, Class, Confidence)> {
    let is_before = |driver: &[u8]| {
        let start = at.saturating_sub(driver.len());
        text.bytes(start, at) == driver
    };
    // Asked first: most colons stand behind others.
    let may_be = matches!(text.before(at), b'n' | b'i' | b'8');
    if !may_be || !DRIVERS.into_iter().any(is_before) {
        return None;
    }
    let inside = |b: u8| {
        !b.is_ascii_whitespace() && !matches!(b, b'@' | b'"' | b'\'' | b'<' | b'>' | b'`' | 0)
    };
    let user = at.saturating_add(1);
    let user_end = text.run(user, PART_BYTES_MAX, |b| inside(b) && b != b'/');
    let start = user_end.saturating_add(1);
    let end = text.run(start, PART_BYTES_MAX, inside);
    let (name, password) = (text.slice(user, user_end), text.slice(start, end));
    let parted = text.at(user_end) == b'/' && text.at(end) == b'@';
    if !parted || name.is_empty() || password.is_empty() {
        return None;
    }
    let sure = sure(name, password)?;
    Some((start, end, Class::ConnectionString, sure))
}

/// Whether what stands before the at sign at `at` is a password or key in a URL.
pub(super) fn is_in_url(text: Text<'_>, at: usize) -> bool {
    let begin = text.run_back(at, 256, |b| {
        !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\'' | b'<' | b'>')
    });
    // Both kinds have one, and most addresses stand in neither.
    if !text.bytes(begin, at).contains(&b':') {
        return false;
    }
    let before = text.slice(begin, at);
    let scheme = before.rfind("://");
    let secret = scheme.and_then(|scheme| url(text, begin.saturating_add(scheme)));
    let is_secret = secret.is_some_and(|(_, end, _)| end == at || end.saturating_add(1) == at);
    is_secret || is_in_oracle(text, begin, at)
}

/// The same in the address of one of Oracle's drivers, which may begin at `begin` or behind it.
fn is_in_oracle(text: Text<'_>, begin: usize, at: usize) -> bool {
    const SCHEME: &str = "jdbc:oracle:";
    let Some(scheme) = text.slice(begin, at).rfind(SCHEME) else {
        return false;
    };
    let driver = begin.saturating_add(scheme).saturating_add(SCHEME.len());
    let colon = text.run(driver, SCHEME.len(), alnum);
    oracle(text, colon).is_some_and(|(_, end, ..)| end == at)
}

/// A password with `/`, `?` or `#` in it, which should have been escaped: what stands before the next `@`. A port is none,
/// and neither is a word that stands for one.
fn unescaped<'t>(text: Text<'t>, start: usize, authority: &str) -> Option<(&'t str, &'t str)> {
    let (_, port) = authority.split_once(':')?;
    let plain = |b: u8| b.is_ascii_lowercase();
    if authority.starts_with('[')
        || port.bytes().all(|b| b.is_ascii_digit())
        || port.bytes().all(plain)
    {
        return None;
    }
    let end = text.run(start, 256, |b| {
        !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\'' | b'<' | b'>' | b'`' | 0)
    });
    let (user, host) = text.slice(start, end).split_once('@')?;
    host.starts_with(|c: char| c.is_ascii_alphanumeric())
        .then_some((user, host))
}

/// The name of a user that is a key.
pub(super) fn is_token(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() >= 20
        && bytes.iter().all(|b| alnum(*b) || matches!(b, b'_' | b'-'))
        && bytes.iter().any(u8::is_ascii_digit)
        && bytes.iter().any(u8::is_ascii_alphabetic)
        && entropy(bytes) >= 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls() {
        let find = |text: &str| {
            let at = text.find("://").unwrap();
            url(Text { text, key: "" }, at).map(|(a, b, _)| text[a..b].to_owned())
        };
        assert_eq!(
            find("postgres://app:Gh7$x@db:5432/x").as_deref(),
            Some("Gh7$x")
        );
        assert_eq!(find("https://user:p@ss@host/").as_deref(), Some("p@ss"));
        assert_eq!(
            find("https://user:p4/s?s#1@host/").as_deref(),
            Some("p4/s?s#1")
        );
        assert_eq!(
            find("https://Zx81qLmP09aBcD77tR4w@host/x").as_deref(),
            Some("Zx81qLmP09aBcD77tR4w")
        );
        assert_eq!(
            find("https://Zx81qLmP09aBcD77tR4w:@host/x").as_deref(),
            Some("Zx81qLmP09aBcD77tR4w")
        );
        assert_eq!(find("ssh://git@host/x"), None);
        assert_eq!(find("https://a-name-of-many-words@host/x"), None);
        assert_eq!(find("https://host:port/path@x"), None);
        assert_eq!(find("https://host:8080/path@x"), None);
        assert_eq!(find("https://user:<password>@host/"), None);
        assert_eq!(find("https://example.com/a:b@c"), None);
        assert_eq!(find("https://***:***@host/"), None);
    }

    #[test]
    fn passwords_in_addresses_of_oracle() {
        let find = |text: &str| {
            let mut colons = memchr::memchr_iter(b':', text.as_bytes());
            let hit = colons.find_map(|at| oracle(Text { text, key: "" }, at));
            hit.map(|(start, end, _, sure)| {
                assert!(is_in_url(Text { text, key: "" }, end), "{text}");
                (text[start..end].to_owned(), sure)
            })
        };
        for (text, password, sure) in [
            (
                "url=jdbc:oracle:thin:app/Gh7$x@db:1521:XE",
                "Gh7$x",
                Confidence::High,
            ),
            (
                "\"jdbc:oracle:thin:app/Gh7/x@//db:1521/x\"",
                "Gh7/x",
                Confidence::High,
            ),
            ("jdbc:oracle:oci:app/Gh7x@tns", "Gh7x", Confidence::High),
            ("jdbc:oracle:oci8:app/Gh7x@tns", "Gh7x", Confidence::High),
            ("jdbc:oracle:thin:app/app@db", "app", Confidence::Medium),
            ("jdbc:oracle:thin:scott/tiger@db", "tiger", Confidence::Low),
            (
                "jdbc:oracle:thin:user/password@db",
                "password",
                Confidence::Low,
            ),
        ] {
            assert_eq!(find(text), Some((password.to_owned(), sure)), "{text}");
        }
        for text in [
            "jdbc:oracle:thin:@db.example.com:1521:XE",
            "jdbc:oracle:thin:@//db.example.com:1521/x",
            "jdbc:oracle:thin:<user>/<password>@db",
            "jdbc:oracle:thin:app/${DB_PASSWORD}@db",
            "jdbc:oracle:thin:app/@db",
            "jdbc:oracle:thin:/x@db",
            "jdbc:oracle:thin:app/Gh7x",
            "jdbc:mysql:thin:app/Gh7x@db",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    #[test]
    fn passwords_that_documents_have() {
        let sure = |text: &str| {
            let at = text.find("://").unwrap();
            url(Text { text, key: "" }, at).map(|(_, _, sure)| sure)
        };
        for (text, expected) in [
            ("https://user:password@example.com/", Confidence::Low),
            ("oracle://scott:tiger@db/x", Confidence::Low),
            ("postgres://scott:scott@db/x", Confidence::Medium),
            ("postgres://scott:Gh7xQ9@db/x", Confidence::High),
        ] {
            assert_eq!(sure(text), Some(expected), "{text}");
        }
    }
}
