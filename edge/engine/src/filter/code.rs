//! What a program has where a value goes: expressions, which are no secrets, and declarations with a type between name and
//! value.

use super::names::{Kind, kind_of, name_before};
use super::text::{Text, alnum, turns};

/// Longest type between a name and its value, in bytes.
const TYPE_BYTES_MAX: usize = 40;
/// Longest expression before the value that is taken where it is missing, in bytes.
const FIRST_BYTES_MAX: usize = 96;

/// Types that stand behind a name without a colon.
const TYPES: [&str; 6] = ["string", "String", "*string", "[]byte", "str", "text"];

/// Whether what stands in `start..end` without quotation marks is an expression: a call, an element, a field, a variable.
/// `is_variable`: it is the value of a variable of the environment, where words are no variables. By its `kind` it may be
/// a key that machines made, which has letters alone now and then.
pub(super) fn is_expression(
    text: Text<'_>,
    start: usize,
    end: usize,
    kind: Kind,
    is_variable: bool,
) -> bool {
    let chosen = matches!(kind, Kind::Password | Kind::Pass | Kind::Connection);
    let value = text.bytes(start, end);
    // `user->password`: the value was taken to end at its sign.
    let value = match (text.at(end), value.split_last()) {
        (b'>', Some((b'-', front))) => front,
        _ => value,
    };
    // `@password`: a parameter of SQL, or what belongs to an object of Ruby's.
    let value = value.strip_prefix(b"@").unwrap_or(value);
    let opens = value.iter().position(|b| matches!(b, b'(' | b'['));
    let parts = opens.and_then(|opens| value.split_at_checked(opens));
    match parts {
        Some((head, rest)) => {
            let named = !is_variable && is_name(head);
            let called = named || rest.len() == 1 || is_closed(text, end, rest);
            let no_value = !(head.is_empty() && is_variable);
            is_path(head) && called && no_value
        }
        None => {
            let has_digit = value.iter().any(u8::is_ascii_digit);
            !is_variable && !has_digit && is_path(value) && (chosen || is_orderly(value))
        }
    }
}

/// Whether what stands before a bracket is called something in a program: passwords have digits.
fn is_name(head: &[u8]) -> bool {
    let plain = !head.iter().any(u8::is_ascii_digit);
    let is_type = || std::str::from_utf8(head).is_ok_and(is_type);
    !head.is_empty() && (plain || is_type())
}

/// Whether the bracket that `opened` begins with is closed in the line of what ends at `end`, or another argument follows:
/// `md5(salt + password)`.
fn is_closed(text: Text<'_>, end: usize, opened: &[u8]) -> bool {
    let round = opened.first() == Some(&b'(');
    let (opens, closes) = if round { (b'(', b')') } else { (b'[', b']') };
    let line = text.bytes(end, text.run(end, FIRST_BYTES_MAX, |b| b != b'\n'));
    let mut open = 0_usize;
    let mut all = opened.iter().chain(line);
    text.at(end) == b','
        || all.any(|b| {
            open = open.saturating_add(usize::from(*b == opens));
            open = open.saturating_sub(usize::from(*b == closes));
            open == 0
        })
}

/// Most digits in the name of a type.
const TYPE_DIGITS_MAX: usize = 3;

/// Whether a value without quotation marks is the name of a type or the path to a field that has a digit in it:
/// `OAuth2TokenResponse`.
pub(super) fn is_type(value: &str) -> bool {
    let bytes = value.as_bytes();
    let count = |is: fn(&u8) -> bool| bytes.iter().filter(|b| is(b)).count();
    let later = bytes.iter().skip(1).any(u8::is_ascii_uppercase);
    let humps = later && count(u8::is_ascii_lowercase) > 0;
    let parts = humps || bytes.contains(&b'.');
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && is_path(bytes)
        && !bytes.iter().all(u8::is_ascii_hexdigit)
        && count(u8::is_ascii_digit) <= TYPE_DIGITS_MAX
        && parts
        && is_orderly(bytes)
}

/// Whether the letters and digits of a path are put together by people. A key that machines made turns from one kind of
/// character to another far more often.
pub(super) fn is_orderly(path: &[u8]) -> bool {
    let inside = turns(path).filter(|(a, b)| alnum(*a) && alnum(*b));
    inside.count().saturating_mul(3) <= path.len()
}

/// Whether these are names with what leads from one to the next: the path to a variable, a field or a function. Signs that
/// passwords have, too, stand in it where a program has them: `$user?.login!.name`, `!Ref`.
fn is_path(bytes: &[u8]) -> bool {
    let before = std::iter::once(b'.').chain(bytes.iter().copied());
    let behind = bytes.iter().skip(1).copied().chain([b'.']);
    let mut around = bytes.iter().zip(before.zip(behind)).enumerate();
    around.all(|(at, (b, (before, behind)))| match b {
        b'$' => matches!(before, b'.' | b':' | b'$'),
        b'!' if at == 0 => true,
        b'?' | b'!' => matches!(behind, b'.' | b'?' | b'!'),
        b => alnum(*b) || matches!(b, b'_' | b'.' | b':'),
    })
}

fn is_quote(b: u8) -> bool {
    matches!(b, b'"' | b'\'' | b'`')
}

/// Past the letter that says of what kind a text in quotation marks is: `b"…"`, `@"…"`. Those that stand for more than
/// they say (`f"…"`) have none here.
pub(super) fn literal(text: Text<'_>, at: usize) -> usize {
    let next = at.saturating_add(1);
    let marked = matches!(text.at(at), b'b' | b'r' | b'u' | b'L' | b'@') && is_quote(text.at(next));
    if marked { next } else { at }
}

/// What a declaration with a type says of its value, and where that begins: `apiKey: string = "…"`, `var apiKey string =
/// "…"`, where `at` is the equals sign.
pub(super) fn declared(text: Text<'_>, at: usize) -> Option<(Kind, usize)> {
    // Asked first: most signs are others.
    if text.at(at) != b'=' || text.before(at) != b' ' {
        return None;
    }
    let value = text.run(at.saturating_add(1), 4, |b| b == b' ');
    if !is_quote(text.at(literal(text, value))) {
        return None;
    }
    let end = text.run_back(at, 4, |b| b == b' ');
    let kind = behind_colon(text, end).or_else(|| behind_name(text, end))?;
    Some((kind, value))
}

/// What the name says before the colon and the type that ends at `end`.
fn behind_colon(text: Text<'_>, end: usize) -> Option<Kind> {
    let part = |b: u8| alnum(b) || b"_.:<>[]&'*|? ".contains(&b);
    let from = text.run_back(end, TYPE_BYTES_MAX, part);
    // `std::string` has two of them.
    let is_lone = |at: &usize| {
        text.at(*at) == b':' && text.before(*at) != b':' && text.at(at.saturating_add(1)) != b':'
    };
    let colon = (from..end).rev().find(is_lone)?;
    let of_type = text.slice(colon.saturating_add(1), end).trim();
    // `&'static str` and `string | null` have blanks inside; what else has some is no type.
    let is_one = !of_type.contains(' ') || of_type.starts_with('&') || of_type.contains(" | ");
    let name_end = text.run_back(colon, 2, |b| matches!(b, b' ' | b'?'));
    let (_, name) = name_before(text, name_end);
    kind_of(name).filter(|_| is_one && !of_type.is_empty())
}

/// What the name says before the type that ends at `end`, with a blank between.
fn behind_name(text: Text<'_>, end: usize) -> Option<Kind> {
    let start = text.run_back(end, 8, |b| alnum(b) || matches!(b, b'[' | b']' | b'*'));
    if text.before(start) != b' ' || !TYPES.contains(&text.slice(start, end)) {
        return None;
    }
    let (_, name) = name_before(text, text.run_back(start, 4, |b| b == b' '));
    kind_of(name)
}

/// Where the value begins that is taken if what stands at `at` is missing: `process.env.X || "…"`. What has blanks outside
/// of brackets before it is a sentence, or says something else of the two.
pub(super) fn otherwise(text: Text<'_>, at: usize) -> Option<usize> {
    let inside = |b: u8| !matches!(b, b'\n' | b';' | b',' | b'{' | b'}');
    let end = text.run(at, FIRST_BYTES_MAX, inside);
    let first = text.bytes(at, end);
    let (found, sign) = [&b" || "[..], b" ?? ", b" or "]
        .into_iter()
        .find_map(|sign| memchr::memmem::find(first, sign).map(|found| (found, sign)))?;
    let is_one = first.get(..found).is_some_and(is_one);
    let behind = at.saturating_add(found).saturating_add(sign.len());
    let value = text.run(behind, 4, |b| b == b' ');
    (is_one && !is_quote(text.at(at)) && is_quote(text.at(value))).then_some(value)
}

/// Whether an expression is one in itself: no blank stands in it outside of brackets.
fn is_one(first: &[u8]) -> bool {
    let mut open = 0_usize;
    first.trim_ascii_end().iter().all(|b| {
        match b {
            b'(' | b'[' => open = open.saturating_add(1),
            b')' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
        open > 0 || *b != b' '
    })
}
