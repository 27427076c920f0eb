//! Values of known kinds, recognised inside longer text and brought into one canonical form.

use super::text::{Word, normal, words};
use std::fmt::Write as _;

/// A kind of value. The numbers go into fingerprints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    /// The bytes as they are.
    Exact = 1,
    /// A whole value in normal form.
    Whole = 2,
    /// A word of a text.
    Word = 3,
    /// An e-mail address, lower case.
    Email = 4,
    /// A web address without its scheme: host in lower case, no trailing slash.
    Url = 5,
    /// An IBAN (ISO 13616) whose check digits are right, without spaces.
    Iban = 6,
    /// A telephone number: `+` and digits, or digits only.
    Phone = 7,
    /// A number in its shortest decimal form.
    Number = 8,
    /// A date as `year-month-day`.
    Date = 9,
    /// Month and day of any date.
    MonthDay = 10,
    /// Month and day of a date that was written without a year.
    Yearless = 11,
}

impl Kind {
    /// Names a place or a party outside: followed by whoever reads the text that it stands in.
    pub(super) fn leads_out(self) -> bool {
        matches!(self, Self::Email | Self::Url | Self::Iban | Self::Phone)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Email => "an e-mail address",
            Self::Url => "a link",
            Self::Iban => "an IBAN",
            Self::Phone => "a telephone number",
            Self::Number => "a number",
            Self::Date | Self::MonthDay | Self::Yearless => "a date",
            Self::Exact | Self::Whole | Self::Word => "a value",
        }
    }
}

/// Calls back for each recognised value: its kind and its canonical form.
pub(super) fn recognise(text: &str, found: &mut dyn FnMut(Kind, &str)) {
    let normal = normal(text);
    let cut: Vec<Word<'_>> = words(&normal).collect();
    recognise_in(text, &normal, &cut, found);
}

/// [`recognise`], where the normal form and its words are at hand.
pub(super) fn recognise_in(
    text: &str,
    normal: &str,
    words: &[Word<'_>],
    found: &mut dyn FnMut(Kind, &str),
) {
    for chunk in text.split(ends_chunk) {
        let sign = |b: u8| matches!(b, b'.' | b'@' | b':');
        if chunk.len() >= 4 && chunk.bytes().any(sign) {
            address(chunk, found);
        }
    }
    if normal.bytes().any(|b| b.is_ascii_digit()) {
        phones(normal, found);
        ibans(words, found);
        dates(words, found);
        numbers(normal, found);
    }
}

/// What no address has inside.
fn ends_chunk(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '"' | '<' | '>' | '|' | '`' | '“' | '”' | '«' | '»' | '\\'
        )
}

/// Longest text that can be one address, account or telephone number, in bytes.
const WHOLE_BYTES_MAX: usize = 2_048;
/// Longest written number, in bytes.
const NUMBER_BYTES_MAX: usize = 64;

/// The kind of a value that is of one kind as a whole, and its canonical form.
pub(super) fn whole(text: &str) -> Option<(Kind, String)> {
    let mut found = Vec::new();
    if text.trim().len() <= WHOLE_BYTES_MAX {
        recognise(text, &mut |kind, canonical| {
            found.push((kind, canonical.to_owned()))
        });
    }
    let found = found.iter().map(|(kind, text)| (*kind, text.as_str()));
    whole_of(text, found).map(|(kind, canonical)| (kind, canonical.to_owned()))
}

/// The same, of what was recognised in the text.
pub(super) fn whole_of<'f>(
    text: &str,
    mut found: impl Iterator<Item = (Kind, &'f str)>,
) -> Option<(Kind, &'f str)> {
    let text = text.trim();
    if text.len() > WHOLE_BYTES_MAX {
        return None;
    }
    let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
    found.find(|(kind, canonical)| match kind {
        Kind::Email => canonical.len() == text.len(),
        // The canonical form may lack the scheme and a slash, and nothing may stand around it.
        Kind::Url => {
            !text.contains(ends_chunk) && canonical_url(text).as_deref() == Some(*canonical)
        }
        Kind::Iban => {
            text.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ')
                && text.chars().filter(|c| *c != ' ').count() == canonical.len()
        }
        Kind::Phone => {
            text.chars()
                .all(|c| c.is_ascii_digit() || "+-() ".contains(c))
                && digits(text).trim_start_matches('0') == digits(canonical).trim_start_matches('0')
        }
        _ => false,
    })
}

fn address(chunk: &str, found: &mut dyn FnMut(Kind, &str)) {
    if chunk.contains(':') && with_scheme(chunk, found) {
        return;
    }
    for part in chunk.split(['(', ')', '[', ']', '{', '}', ',', ';', '=', '\'']) {
        let part = part.trim_matches(['.', '!', '?', '*', '-', '/', ':']);
        match part.split_once(':') {
            Some((host, port)) if port.starts_with(|c: char| c.is_ascii_digit()) => {
                if is_bare_address(host) || is_ipv4(host) {
                    tell_address(&format!("http://{part}"), found);
                }
            }
            _ => part.split(':').for_each(|part| bare(part, found)),
        }
    }
}

/// Addresses that say how to get there; `true` if there is one with slashes.
fn with_scheme(chunk: &str, found: &mut dyn FnMut(Kind, &str)) -> bool {
    // Each scheme begins an address that goes on to the end of the chunk: what stands in front of an at sign or behind a
    // comma is a part of it to a browser. One that can't be read is one all the same, and nothing proves it.
    let mut schemes = false;
    for (at, sign) in chunk.match_indices("://").take(ADDRESSES_MAX) {
        schemes = true;
        let before = chunk.get(..at).unwrap_or_default();
        let scheme_at = before
            .rfind(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c))
            .map_or(0, |at| at.saturating_add(1));
        let scheme = before.get(scheme_at..).unwrap_or_default();
        let rest = chunk.get(at.saturating_add(sign.len())..);
        let rest = trim_tail(rest.unwrap_or_default());
        tell_address(&format!("{scheme}://{rest}"), found);
    }
    if schemes {
        return true;
    }
    // Browsers do not need the slashes.
    let lower = chunk.to_ascii_lowercase();
    for scheme in ["http:", "https:"] {
        if let Some(at) = lower.find(scheme) {
            let rest = chunk.get(at.saturating_add(scheme.len())..);
            let rest = trim_tail(rest.unwrap_or_default()).trim_start_matches('/');
            if !rest.is_empty() {
                tell_address(&format!("http://{rest}"), found);
            }
        }
    }
    false
}

/// Most addresses in one chunk without blanks.
const ADDRESSES_MAX: usize = 16;

fn trim_tail(text: &str) -> &str {
    text.trim_end_matches(['.', ':', '!', '?', '*', '"', '\'', ')', ']', '}', ',', ';'])
}

fn tell_address(address: &str, found: &mut dyn FnMut(Kind, &str)) {
    match canonical_url(address) {
        Some(canonical) => found(Kind::Url, &canonical),
        None => found(Kind::Url, &format!("unreadable {address}")),
    }
}

/// An e-mail or web address without a scheme.
fn bare(part: &str, found: &mut dyn FnMut(Kind, &str)) {
    if let Some((local, domain)) = part.rsplit_once('@') {
        let local_at = local
            .rfind(|c: char| !c.is_alphanumeric() && !"._%+-".contains(c))
            .map_or(0, |at| at.saturating_add(1));
        let local = local.get(local_at..).unwrap_or_default();
        let end = domain.find(|c: char| !c.is_alphanumeric() && !".-".contains(c));
        let domain = domain.get(..end.unwrap_or(domain.len())).unwrap_or(domain);
        // A local part that can't be read (quoted, apart from its sign) is one all the same.
        if domain.contains('.') {
            found(Kind::Email, &format!("{local}@{domain}").to_lowercase());
        }
    } else if is_bare_address(part) || part.split_once('/').is_some_and(|(host, _)| is_ipv4(host)) {
        tell_address(&format!("http://{part}"), found);
    }
}

fn is_ipv4(host: &str) -> bool {
    host.parse::<std::net::Ipv4Addr>().is_ok()
}

/// Endings of file names that are top-level domains too.
const FILE_ENDINGS: [&str; 14] = [
    "md", "sh", "py", "rs", "pl", "ps", "cc", "zip", "mov", "doc", "app", "so", "do", "js",
];
/// Top-level domains that a bare host is taken for without `www.` and without a path.
const TOP_LEVEL: [&str; 52] = [
    "com", "org", "net", "edu", "gov", "mil", "int", "info", "biz", "io", "ai", "dev", "xyz",
    "site", "online", "top", "club", "shop", "store", "tech", "cloud", "link", "click", "live",
    "pro", "me", "ly", "gg", "tv", "co", "us", "uk", "de", "fr", "nl", "eu", "ch", "at", "be",
    "it", "es", "pl", "ru", "cn", "jp", "in", "br", "ca", "au", "example", "test", "invalid",
];

/// Whether a text without a scheme is an address that a program would make a link of.
fn is_bare_address(text: &str) -> bool {
    let (host, path) = match text.find(['/', '?', '#']) {
        Some(at) => (text.get(..at).unwrap_or_default(), true),
        None => (text, false),
    };
    let labels = || host.split('.');
    let sound =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    let last = labels().next_back().unwrap_or_default().to_lowercase();
    if labels().count() < 2 || !labels().all(sound) || !last.chars().all(char::is_alphabetic) {
        return false;
    }
    let www = host
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("www."));
    let file = FILE_ENDINGS.contains(&last.as_str());
    last.chars().count() >= 2 && (www || path || (TOP_LEVEL.contains(&last.as_str()) && !file))
}

/// Host in lower case (IDNA), default port and scheme dropped, no trailing slash. `None`: no address.
fn canonical_url(text: &str) -> Option<String> {
    let parsed = match text.contains("://") {
        true => url::Url::parse(text).ok()?,
        false => url::Url::parse(&format!("http://{text}")).ok()?,
    };
    let host = parsed.host_str()?.trim_end_matches('.');
    let mut canonical = String::new();
    if !matches!(parsed.scheme(), "http" | "https") {
        canonical.push_str(parsed.scheme());
        canonical.push_str("://");
    }
    if !parsed.username().is_empty() {
        // What stands before the at sign decides where a careless reader believes to go: part of the value.
        canonical.push_str(parsed.username());
        canonical.push(':');
        canonical.push_str(parsed.password().unwrap_or_default());
        canonical.push('@');
    }
    canonical.push_str(host);
    if let Some(port) = parsed.port() {
        write!(canonical, ":{port}").ok()?;
    }
    canonical.push_str(parsed.path().trim_end_matches('/'));
    if let Some(query) = parsed.query() {
        canonical.push('?');
        canonical.push_str(query);
    }
    if let Some(fragment) = parsed.fragment() {
        canonical.push('#');
        canonical.push_str(fragment);
    }
    Some(canonical)
}

fn ibans(words: &[Word<'_>], found: &mut dyn FnMut(Kind, &str)) {
    let starts = |word: &str| {
        let mut chars = word.chars();
        let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase());
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        letter(chars.next()) && letter(chars.next()) && digit(chars.next()) && digit(chars.next())
    };
    let texts = words.iter().map(|word| word.word);
    for (at, word) in texts.clone().enumerate() {
        if !starts(word) {
            continue;
        }
        if word.len() >= 15 {
            if is_iban(word) {
                found(Kind::Iban, word);
            }
        } else if word.len() == 4 {
            // In groups of four, as banks print it.
            let mut joined = String::new();
            for group in texts.clone().skip(at).take(9) {
                if group.len() > 4 || !group.chars().all(|c| c.is_ascii_alphanumeric()) {
                    break;
                }
                joined.push_str(group);
                if joined.len() >= 15 && is_iban(&joined) {
                    found(Kind::Iban, &joined);
                    break;
                }
            }
        }
    }
}

/// ISO 13616: moved by four, letters as numbers, modulo 97 is 1.
fn is_iban(text: &str) -> bool {
    if !(15..=34).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return false;
    }
    let (head, body) = text.split_at(4);
    let rest = body.chars().chain(head.chars()).fold(0_u32, |rest, c| {
        let value = c.to_digit(36).unwrap_or(0);
        let shift = if value > 9 { 100_u32 } else { 10 };
        rest.wrapping_mul(shift)
            .wrapping_add(value)
            .checked_rem(97)
            .unwrap_or(0)
    });
    rest == 1
}

fn phones(normal: &str, found: &mut dyn FnMut(Kind, &str)) {
    let mut rest = normal;
    while let Some(start) = rest.bytes().position(|b| b == b'+' || b.is_ascii_digit()) {
        let from = rest.get(start..).unwrap_or_default();
        let end = from
            .find(|c: char| {
                !c.is_ascii_digit() && !matches!(c, '+' | '-' | '(' | ')' | ' ' | '.' | '/')
            })
            .unwrap_or(from.len());
        let run = from.get(..end).unwrap_or_default();
        rest = from.get(end.max(1)..).unwrap_or_default();
        if run.len() < 8 || run.split(' ').any(|part| numeric_date(part).is_some()) {
            continue;
        }
        for part in run.split_inclusive('+').flat_map(|part| part.split("  ")) {
            let digits: String = part.chars().filter(char::is_ascii_digit).collect();
            let plus = run.starts_with('+') || digits.starts_with("00");
            let national = digits.starts_with('0') || is_grouped(part);
            let canonical = digits.trim_start_matches('0');
            if plus && (8..=15).contains(&canonical.len()) {
                found(Kind::Phone, &format!("+{canonical}"));
            } else if national && (9..=11).contains(&digits.len()) {
                found(Kind::Phone, &digits);
            }
        }
    }
}

/// `555-123-4567`, `(555) 123-4567`.
fn is_grouped(text: &str) -> bool {
    let groups: Vec<usize> = text
        .split(|c: char| !c.is_ascii_digit())
        .map(str::len)
        .filter(|len| *len > 0)
        .collect();
    groups == [3, 3, 4]
}

fn numbers(normal: &str, found: &mut dyn FnMut(Kind, &str)) {
    let mut rest = normal;
    while let Some(start) = rest.bytes().position(|b| b.is_ascii_digit()) {
        let before = rest.get(..start).unwrap_or_default();
        let from = rest.get(start..).unwrap_or_default();
        let end = from
            .bytes()
            .take(NUMBER_BYTES_MAX)
            .position(|b| !b.is_ascii_digit() && !b".,'_e+-".contains(&b))
            .unwrap_or(from.len().min(NUMBER_BYTES_MAX));
        let run = from.get(..end).unwrap_or_default();
        let minus = before.ends_with('-');
        // A run such as `2024-05-10` or `98.70,` is cut at what no number has inside.
        let exponent = |run: &str| run.contains('e') && run.parse::<f64>().is_ok();
        let run = if exponent(run) {
            run
        } else {
            let cut = run.find(['e', '+', '-']).unwrap_or(run.len());
            run.get(..cut).unwrap_or_default()
        };
        let skip = run.len().max(1);
        let run = run.trim_end_matches(['.', ',', '\'', '_']);
        for canonical in canonical_numbers(run) {
            found(Kind::Number, &canonical);
            if minus {
                found(Kind::Number, &format!("-{canonical}"));
            }
        }
        rest = from.get(skip..).unwrap_or_default();
    }
}

/// Both readings of a written number: with a decimal point and with a decimal comma.
fn canonical_numbers(run: &str) -> impl Iterator<Item = String> {
    // Most are a few digits: one reading, as it stands.
    let plain = !run.starts_with('0') && run.bytes().all(|b| b.is_ascii_digit());
    let plain = (plain && !run.is_empty()).then(|| run.to_owned());
    let readings = plain.is_none().then(|| both_readings(run));
    plain.into_iter().chain(readings.into_iter().flatten())
}

fn both_readings(run: &str) -> impl Iterator<Item = String> + use<> {
    // A mark between groups has three digits behind it; the other one stands once.
    let reading = |group: char, decimal: char| -> Option<String> {
        let (whole, fraction) = run.split_once(decimal).unwrap_or((run, ""));
        let marks = |c: char| c == group || c == '\'' || c == '_';
        let mut groups = whole.split(marks);
        let first = groups.next()?;
        let grouped = groups.all(|group| group.len() == 3);
        let sound = grouped && !first.is_empty() && !fraction.contains(marks);
        let digits = whole.replace(marks, "");
        sound.then(|| match fraction {
            "" => digits,
            fraction => format!("{digits}.{fraction}"),
        })
    };
    let point = reading(',', '.').unwrap_or_default();
    let comma = reading('.', ',').unwrap_or_default();
    let first = canonical_number(&point);
    let second = canonical_number(&comma).filter(|second| Some(second) != first.as_ref());
    first.into_iter().chain(second)
}

/// The shortest decimal form; digits beyond what a double holds stay as they are.
pub(super) fn canonical_number(text: &str) -> Option<String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.len() <= 40 && digits.bytes().all(|b| b.is_ascii_digit()) {
        let short = digits.trim_start_matches('0');
        let sign = if text.starts_with('-') { "-" } else { "" };
        return Some(format!(
            "{sign}{}",
            if short.is_empty() { "0" } else { short }
        ));
    }
    let number: f64 = (text.len() <= 40).then(|| text.parse().ok()).flatten()?;
    number.is_finite().then(|| number.to_string())
}

fn dates(words: &[Word<'_>], found: &mut dyn FnMut(Kind, &str)) {
    let get = |at: usize| words.get(at).map(|word| word.word);
    for (at, word) in words.iter().map(|word| word.word).enumerate() {
        if word.len() >= 8
            && word.starts_with(|c: char| c.is_ascii_digit())
            && let Some(date) = numeric_date(word)
        {
            date.tell(found);
        }
        let Some(month) = month(word) else { continue };
        let word_at = |offset: usize| get(at.saturating_add(offset));
        let before = |offset: usize| at.checked_sub(offset).and_then(get);
        // `may 1st 2024`
        if let Some(day) = word_at(1).and_then(day) {
            Date::new(word_at(2).and_then(year), month, day).tell(found);
        }
        // `1 may 2024`, `1st of may`
        let earlier = before(1).and_then(|word| match word {
            "of" => before(2),
            word => Some(word),
        });
        if let Some(day) = earlier.and_then(day) {
            Date::new(word_at(1).and_then(year), month, day).tell(found);
        }
    }
}

#[derive(Clone, Copy)]
struct Date {
    year: Option<u32>,
    month: u32,
    day: u32,
    /// The same figures the other way round, where a writer may have meant either.
    ambiguous: bool,
}

impl Date {
    fn new(year: Option<u32>, month: u32, day: u32) -> Self {
        Self {
            year,
            month,
            day,
            ambiguous: false,
        }
    }

    fn tell(self, found: &mut dyn FnMut(Kind, &str)) {
        let Self {
            year, month, day, ..
        } = self;
        let month_day = format!("{month}-{day}");
        found(Kind::MonthDay, &month_day);
        match year {
            Some(year) => found(Kind::Date, &format!("{year}-{month_day}")),
            None => found(Kind::Yearless, &month_day),
        }
        if self.ambiguous {
            Self::new(year, day, month).tell(found);
        }
    }
}

/// `2024-05-10`, `2024/05/10`, with or without a time behind a `t`; `10.05.2024`; `05/10/2024` both ways.
fn numeric_date(word: &str) -> Option<Date> {
    let word = word.split('t').next()?;
    let separator = word.chars().find(|c| !c.is_ascii_digit())?;
    let mut parts = word.split(separator);
    let (first, second, third) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !"-/.".contains(separator) {
        return None;
    }
    let (a, b, c): (u32, u32, u32) = (
        first.parse().ok()?,
        second.parse().ok()?,
        third.parse().ok()?,
    );
    let in_range = |month: u32, day: u32| (1..=12).contains(&month) && (1..=31).contains(&day);
    if first.len() == 4 {
        return in_range(b, c).then(|| Date::new(Some(a), b, c));
    }
    if third.len() != 4 {
        return None;
    }
    match (separator, in_range(b, a), in_range(a, b)) {
        ('/', true, true) => Some(Date {
            ambiguous: true,
            ..Date::new(Some(c), b, a)
        }),
        (_, true, _) => Some(Date::new(Some(c), b, a)),
        (_, false, true) => Some(Date::new(Some(c), a, b)),
        _ => None,
    }
}

/// A month by its English name or its first three letters.
fn month(word: &str) -> Option<u32> {
    let (number, name) = match word.get(..3)? {
        "jan" => (1, "january"),
        "feb" => (2, "february"),
        "mar" => (3, "march"),
        "apr" => (4, "april"),
        "may" => (5, "may"),
        "jun" => (6, "june"),
        "jul" => (7, "july"),
        "aug" => (8, "august"),
        "sep" => (9, "september"),
        "oct" => (10, "october"),
        "nov" => (11, "november"),
        "dec" => (12, "december"),
        _ => return None,
    };
    (word.len() == 3 || word == name).then_some(number)
}

fn day(word: &str) -> Option<u32> {
    let digits = ["st", "nd", "rd", "th"]
        .iter()
        .find_map(|ending| word.strip_suffix(ending))
        .unwrap_or(word);
    let day = (digits.len() <= 2).then(|| digits.parse().ok()).flatten()?;
    (1..=31).contains(&day).then_some(day)
}

fn year(word: &str) -> Option<u32> {
    let year = (word.len() == 4).then(|| word.parse().ok()).flatten()?;
    (1900..=2200).contains(&year).then_some(year)
}
