//! E-mail and web addresses inside text.

use super::browser::browsed;
use super::class::class;
use super::disguise::undisguised;
use super::host::{ends_as_file, host_kind};
use super::script::{pieces, separates, unspaced};
use super::value::Kind;
use std::borrow::Cow;
use std::fmt::Write as _;
use unicode_normalization::UnicodeNormalization;

/// Addresses as they stand there, and as programs read them that take full-width signs for what they look like.
pub(super) fn addresses(text: &str, found: &mut dyn FnMut(Kind, &str)) {
    read(text, found);
    if !text.is_ascii() {
        let plain = with_plain_dots(&text.nfkc().collect::<String>());
        if plain != text {
            read(&plain, found);
        }
    }
}

/// Addresses as they stand there, as browsers read them and as people do.
fn read(text: &str, found: &mut dyn FnMut(Kind, &str)) {
    scan(text, found);
    browsed(text, found);
    if let Some(plain) = undisguised(text) {
        scan(&plain, found);
        browsed(&plain, found);
    }
}

/// The ideographic full stop is a dot in the name of a host.
fn with_plain_dots(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let inside = plain.ends_with(|c: char| c.is_ascii_alphanumeric())
            && chars.peek().is_some_and(char::is_ascii_alphanumeric);
        plain.push(if c == '。' && inside { '.' } else { c });
    }
    plain
}

class!(CHUNKS, ends_chunk);

/// Chunks are looked for around the signs that an address has: most of a text has none.
fn scan(text: &str, found: &mut dyn FnMut(Kind, &str)) {
    let mut rest = text;
    while let Some(sign) = memchr::memchr3(b'.', b'@', b':', rest.as_bytes()) {
        let (before, from) = rest.split_at_checked(sign).unwrap_or_default();
        let start = after_last(before, |c| !ends_chunk(c));
        let end = CHUNKS.find(from).unwrap_or(from.len());
        let end = sign.saturating_add(end);
        let chunk = rest.get(start..end).unwrap_or_default();
        // In most, the only such sign is the full stop at the end.
        let sign = |b: u8| matches!(b, b'.' | b'@' | b':');
        if chunk.len() >= 4 && trim_tail(chunk).bytes().any(sign) {
            address(chunk, found);
        }
        rest = rest.get(end..).unwrap_or_default();
    }
}

/// What no address has inside.
pub(super) const fn ends_chunk(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '"' | '<' | '>' | '|' | '`' | '“' | '”' | '«' | '»' | '\\'
        )
        || matches!(c, '、' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301b}')
}

/// Addresses up to where other letters than ASCII's go on without a blank: whoever writes in a script without blanks puts none
/// behind an address. For what was *said*, and may have been meant so; what a call *does* is judged as it stands.
pub(super) fn ascii_addresses(text: &str, found: &mut dyn FnMut(Kind, &str)) {
    if text.is_ascii() {
        return;
    }
    let ends = |c: char| ends_chunk(c) || unspaced(c) || separates(c) || "，；！？（）".contains(c);
    for chunk in text.split(ends) {
        // What stands before a dot or an at sign is a part of the name.
        let whole = !chunk.starts_with(['.', '@', '-', '_']);
        if whole && chunk.len() >= 4 && chunk.contains(['.', '@', ':']) {
            address(chunk, found);
        }
    }
}

fn address(chunk: &str, found: &mut dyn FnMut(Kind, &str)) {
    let rest = match memchr::memchr(b':', chunk.as_bytes()) {
        Some(_) => with_scheme(chunk, found),
        None => chunk,
    };
    if memchr::memchr2(b'.', b'@', rest.as_bytes()).is_some() {
        without_scheme(rest, found);
    }
}

/// Addresses that say how to get there; returns what stands before them.
fn with_scheme<'c>(chunk: &'c str, found: &mut dyn FnMut(Kind, &str)) -> &'c str {
    // Each scheme begins an address that goes on to the end of the chunk: what stands in front of an at sign or behind a
    // comma is a part of it to a browser. One that can't be read is one all the same, and nothing proves it.
    let mut first = None;
    let sign = "://";
    let signs = chunk.match_indices(':').map(|(at, _)| at);
    let signs = signs.filter(|at| chunk.get(*at..).is_some_and(|rest| rest.starts_with(sign)));
    for at in signs.take(ADDRESSES_MAX) {
        let before = chunk.get(..at).unwrap_or_default();
        let scheme_at = after_last(before, |c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let scheme = before.get(scheme_at..).unwrap_or_default();
        let rest = chunk.get(at.saturating_add(sign.len())..);
        let rest = trim_tail(rest.unwrap_or_default());
        // A pattern for addresses, and none.
        if scheme.is_empty() && rest.trim_matches('/').is_empty() {
            continue;
        }
        // It stands there as it is.
        let end = at.saturating_add(sign.len()).saturating_add(rest.len());
        tell_address(chunk.get(scheme_at..end).unwrap_or_default(), found);
        first.get_or_insert(scheme_at);
    }
    if let Some(first) = first {
        return chunk.get(..first).unwrap_or_default();
    }
    // Browsers do not need the slashes.
    for scheme in ["http", "https"] {
        let mut colons = chunk.match_indices(':').filter_map(|(at, sign)| {
            let before = chunk.as_bytes().get(..at)?;
            let word = before.get(at.checked_sub(scheme.len())?..)?;
            let rest = chunk.get(at.saturating_add(sign.len())..);
            word.eq_ignore_ascii_case(scheme.as_bytes())
                .then_some(rest?)
        });
        if let Some(rest) = colons.next() {
            let rest = trim_tail(rest).trim_start_matches('/');
            if !rest.is_empty() {
                tell_host(Kind::Url, rest, found);
            }
        }
    }
    embedded(chunk, found);
    chunk
}

/// Addresses that have in them what they lead to: a script, a page.
fn embedded(chunk: &str, found: &mut dyn FnMut(Kind, &str)) {
    let chunk = trim_tail(chunk);
    let all = chunk.match_indices(':').filter_map(|(at, sign)| {
        let (before, rest) = (
            chunk.get(..at)?,
            chunk.get(at.saturating_add(sign.len())..)?,
        );
        let part = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let scheme = before.get(after_last(before, part)..)?;
        embeds(scheme, rest).then_some((scheme, rest))
    });
    for (scheme, rest) in all.take(ADDRESSES_MAX) {
        found(
            Kind::Url,
            &format!("{}:{rest}", scheme.to_ascii_lowercase()),
        );
    }
}

/// Longest type of what a `data:` address has in it, in bytes.
const MEDIA_TYPE_BYTES_MAX: usize = 128;

fn embeds(scheme: &str, rest: &str) -> bool {
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    if is("javascript") || is("vbscript") {
        return !rest.is_empty();
    }
    if !is("data") {
        return false;
    }
    let start = rest.get(..rest.floor_char_boundary(MEDIA_TYPE_BYTES_MAX));
    let kind = start.and_then(|start| start.split_once([';', ',']));
    kind.is_some_and(|(kind, _)| kind.is_empty() || (kind.contains('/') && !is_shown(kind)))
}

/// A picture leads nowhere, but for one with scripts.
fn is_shown(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    let picture = kind.starts_with("image/") && !kind.contains("svg");
    picture
        || ["audio/", "video/", "font/"]
            .iter()
            .any(|start| kind.starts_with(start))
}

/// Where the run of such characters begins that a text ends with.
fn after_last(text: &str, is: impl Fn(char) -> bool) -> usize {
    let other = text.char_indices().rfind(|(_, c)| !is(*c));
    other.map_or(0, |(at, c)| at.saturating_add(c.len_utf8()))
}

/// Most addresses with a scheme in one chunk without blanks.
const ADDRESSES_MAX: usize = 16;

fn trim_tail(text: &str) -> &str {
    text.trim_end_matches(['.', ':', '!', '?', '*', '"', '\'', ')', ']', '}', ',', ';'])
}

fn tell_address(address: &str, found: &mut dyn FnMut(Kind, &str)) {
    tell(Kind::Url, address, found);
}

/// An address that begins with its host.
pub(super) fn tell_host(kind: Kind, address: &str, found: &mut dyn FnMut(Kind, &str)) {
    match plain_address(address) {
        Some(canonical) => found(kind, canonical),
        None => tell(kind, &format!("http://{address}"), found),
    }
}

fn tell(kind: Kind, address: &str, found: &mut dyn FnMut(Kind, &str)) {
    if let Some(canonical) = without_web_scheme(address).and_then(plain_address) {
        return found(kind, canonical);
    }
    match parsed_url(address) {
        Some(canonical) => found(kind, &canonical),
        None => found(Kind::Url, &format!("unreadable {address}")),
    }
}

/// E-mail and web addresses without a scheme: each at sign with a domain behind it is one of the former, and between
/// them each name of a host is one of the latter, up to the end if it goes on with a path. So is an e-mail address with
/// something behind it that belongs to a link: who fetches it asks its host for that.
fn without_scheme(chunk: &str, found: &mut dyn FnMut(Kind, &str)) {
    let path = chunk.starts_with(['/', '~', '.']) && !chunk.starts_with("//");
    let chunk = trim_tail(chunk).trim_start_matches(['.', '!', '?', '*', '-', '/', ':']);
    let mut hosts = Hosts {
        chunk,
        path,
        ended: false,
    };
    let mut from = 0;
    for (at, _) in chunk.match_indices('@') {
        let before = chunk.get(from..at).unwrap_or_default();
        let behind = chunk.get(at.saturating_add(1)..).unwrap_or_default();
        let user = before.ends_with(char::is_alphanumeric);
        let Some(domain) = domain(behind, user) else {
            continue;
        };
        let local_at = after_last(before, |c| c.is_alphanumeric() || "._%+-".contains(c));
        let local = local_part(before.get(local_at..).unwrap_or_default());
        let local_at = before.len().saturating_sub(local.len());
        let start = from.saturating_add(local_at);
        let end = at.saturating_add(1).saturating_add(domain.len());
        // A local part that can't be read (quoted, apart from its sign) is one all the same.
        let address = chunk.get(start..end).unwrap_or_default();
        found(Kind::Email, &lower(address));
        hosts.tell(from, start, found);
        from = end;
        hosts.tell_with_user(start, from, found);
    }
    hosts.tell(from, chunk.len(), found);
}

/// In lower case; most are.
fn lower(address: &str) -> Cow<'_, str> {
    let is_lower = |b: u8| b.is_ascii() && !b.is_ascii_uppercase();
    match address.bytes().all(is_lower) {
        true => address.into(),
        false => address.to_lowercase().into(),
    }
}

/// What an e-mail address has behind its at sign: a name with a dot, or a number in brackets; behind a user's name also what
/// an address of a payment app has.
fn domain(behind: &str, user: bool) -> Option<&str> {
    if let Some(number) = behind.strip_prefix('[') {
        let end = number.find(|c: char| !c.is_ascii_alphanumeric() && !".:".contains(c));
        let end = end.unwrap_or(number.len()).saturating_add(1);
        return behind.get(..end).filter(|domain| domain.len() > 1);
    }
    let end = behind.find(|c: char| !c.is_alphanumeric() && !".-_".contains(c));
    let domain = behind.get(..end.unwrap_or(behind.len()))?;
    let domain = up_to_unspaced(domain.trim_end_matches(['.', '-', '_']));
    (domain.contains('.') || (user && is_payment_handle(domain))).then_some(domain)
}

/// What addresses of India's Unified Payments Interface have behind the at sign: the name of a bank or of an app, without a
/// dot (`alice@okbank`).
fn is_payment_handle(domain: &str) -> bool {
    const HANDLES: [&str; 11] = [
        "apl", "axl", "ibl", "okaxis", "okicici", "oksbi", "paytm", "sbi", "upi", "yapl", "ybl",
    ];
    let domain = domain.to_ascii_lowercase();
    let of_bank = |ending: &&str| domain.len() > ending.len() && domain.ends_with(*ending);
    HANDLES.contains(&domain.as_str()) || ["bank", "upi"].iter().any(of_bank)
}

/// What of it is a name: `联系bob` is a word and a name.
fn local_part(text: &str) -> &str {
    let name = text.get(after_last(text, |c| !unspaced(c))..);
    let name = name.filter(|name| name.starts_with(|c: char| c.is_ascii_alphanumeric()));
    name.unwrap_or(text)
}

/// No top-level domain mixes scripts: `partner.exampleに送信` goes on in prose.
fn up_to_unspaced(domain: &str) -> &str {
    let mut end = 0_usize;
    for piece in pieces(domain) {
        end = end.saturating_add(piece.len());
        if let Some(name) = domain.get(..end).filter(|name| name.contains('.')) {
            return name;
        }
    }
    domain
}

/// Looks for names of hosts in a chunk.
struct Hosts<'c> {
    chunk: &'c str,
    /// It is a path in a file system.
    path: bool,
    /// A link was told that goes on to the end.
    ended: bool,
}

impl Hosts<'_> {
    /// An e-mail address with a path, a query or a port behind it: to a program that fetches, a link with a user's name.
    fn tell_with_user(&mut self, start: usize, end: usize, found: &mut dyn FnMut(Kind, &str)) {
        const MAIL: &str = "mailto:";
        let behind = self.chunk.get(end..).unwrap_or_default();
        if self.ended || !goes_on(behind) {
            return;
        }
        // Behind that scheme a question mark begins the subject of a mail.
        let scheme = start.checked_sub(MAIL.len());
        let scheme = scheme.and_then(|at| self.chunk.get(at..start));
        if behind.starts_with('?') && scheme.is_some_and(|it| it.eq_ignore_ascii_case(MAIL)) {
            return;
        }
        self.ended = true;
        let address = self.chunk.get(start..).unwrap_or_default();
        tell_host(Kind::Url, address, found);
    }

    fn tell(&mut self, from: usize, to: usize, found: &mut dyn FnMut(Kind, &str)) {
        let part = |c: char| c.is_alphanumeric() || ".-_".contains(c);
        let mut at = from;
        while !self.ended && at < to {
            let rest = self.chunk.get(at..to).unwrap_or_default();
            let Some(start) = rest.find(part) else { break };
            let run = rest.get(start..).unwrap_or_default();
            let run = run.get(..run.find(|c| !part(c)).unwrap_or(run.len()));
            let run = run.unwrap_or_default();
            let mut start = at.saturating_add(start);
            at = start.saturating_add(run.len().max(1));
            if !run.contains('.') {
                continue;
            }
            for piece in pieces(run) {
                if piece.contains('.') && !self.ended {
                    self.host(start, piece, found);
                }
                start = start.saturating_add(piece.len());
            }
        }
    }

    fn host(&mut self, start: usize, run: &str, found: &mut dyn FnMut(Kind, &str)) {
        let edges = ['.', '-', '_'];
        let start = start.saturating_add(
            run.len()
                .saturating_sub(run.trim_start_matches(edges).len()),
        );
        let host = run.trim_matches(edges);
        let end = start.saturating_add(host.len());
        let behind = self.chunk.get(end..).unwrap_or_default();
        let before = self.chunk.get(..start).unwrap_or_default();
        let goes_on = goes_on(behind);
        // Behind one slash stands a step of a path more often than a host.
        let step = before.ends_with('/') && !before.ends_with("//");
        if step && self.path {
            return;
        }
        let Some(kind) = host_kind(host, goes_on && !step) else {
            return;
        };
        if step && kind == Kind::Name && ends_as_file(host) {
            return;
        }
        let end = if goes_on { self.chunk.len() } else { end };
        self.ended = goes_on;
        let address = self.chunk.get(start..end).unwrap_or_default();
        tell_host(kind, address, found);
    }
}

/// Whether what stands behind a host belongs to a link.
fn goes_on(behind: &str) -> bool {
    behind.starts_with(['/', '?', '#']) || is_port(behind)
}

/// `:8443`, and nothing or a path behind it.
fn is_port(behind: &str) -> bool {
    let Some(port) = behind.strip_prefix(':') else {
        return false;
    };
    let end = port.find(|c: char| !c.is_ascii_digit());
    let (digits, after) = port
        .split_at_checked(end.unwrap_or(port.len()))
        .unwrap_or_default();
    !digits.is_empty() && (after.is_empty() || after.starts_with(['/', '?', '#']))
}

/// The host of a canonical address that has more than that.
pub(super) fn host_of(canonical: &str) -> Option<&str> {
    let rest = without_scheme_of(canonical).unwrap_or(canonical);
    let ends = |b: u8| matches!(b, b'/' | b'?' | b'#');
    let end = rest.bytes().position(ends).unwrap_or(rest.len());
    let authority = rest.get(..end)?;
    let host = match memchr::memrchr(b'@', authority.as_bytes()) {
        Some(at) => authority.get(at.saturating_add(1)..)?,
        None => authority,
    };
    let other = host.len() < canonical.len() && memchr::memchr(b'.', host.as_bytes()).is_some();
    (other && !canonical.starts_with("unreadable ")).then_some(host)
}

/// What stands behind the scheme of an address that begins with one: another may be further on in it.
fn without_scheme_of(address: &str) -> Option<&str> {
    let colon = memchr::memchr(b':', address.as_bytes())?;
    let (scheme, from) = address.split_at_checked(colon)?;
    let sound = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    let rest = from.strip_prefix("://")?;
    scheme.bytes().all(sound).then_some(rest)
}

/// Host in lower case (IDNA), default port and scheme dropped, no trailing slash. `None`: no address.
pub(super) fn canonical_url(text: &str) -> Option<String> {
    let rest = without_web_scheme(text).unwrap_or(text);
    match plain_address(rest) {
        Some(canonical) => Some(canonical.to_owned()),
        None => parsed_url(text),
    }
}

fn without_web_scheme(address: &str) -> Option<&str> {
    let secure = address.strip_prefix("https://");
    secure.or_else(|| address.strip_prefix("http://"))
}

/// The canonical form of an address without its scheme where it is the address itself, as of most: a host of plain labels
/// and a path of plain steps, with which a parser has nothing to do.
fn plain_address(address: &str) -> Option<&str> {
    let host_end = memchr::memchr(b'/', address.as_bytes()).unwrap_or(address.len());
    let (host, path) = address.split_at_checked(host_end)?;
    let plain_label = |label: &[u8]| {
        let sound = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        let ends = !label.starts_with(b"-") && !label.ends_with(b"-");
        // Behind two hyphens in the third place stands a name in another script.
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && ends
            && label.get(2..4) != Some(b"--")
            && label.iter().all(sound)
    };
    let mut labels = host.as_bytes().split(|b| *b == b'.');
    let last = host.bytes().rposition(|b| b == b'.');
    let last = host
        .as_bytes()
        .get(last.map_or(0, |at| at.saturating_add(1))..)?;
    // What ends in a number is an address of another kind.
    let named = last.first().is_some_and(u8::is_ascii_lowercase);
    let plain_step = |step: &[u8]| {
        let sound = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        !step.starts_with(b".") && step.iter().all(sound)
    };
    let plain = named
        && host.len() <= HOST_BYTES_MAX
        && labels.all(plain_label)
        && path.as_bytes().split(|b| *b == b'/').all(plain_step);
    plain.then(|| address.trim_end_matches('/'))
}

/// Most bytes of a label and of a host (RFC 1035, section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;
const HOST_BYTES_MAX: usize = 253;

fn parsed_url(text: &str) -> Option<String> {
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
    if !parsed.username().is_empty() || parsed.password().is_some() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_has_the_host_that_it_begins_with() {
        for (canonical, host) in [
            ("a.example/x", Some("a.example")),
            ("a.example", None),
            ("ftp://a.example", Some("a.example")),
            ("ftp://u:p@a.example:21/x", Some("a.example:21")),
            ("u:@a.example", Some("a.example")),
            ("a.example/r?u=http://b.example/", Some("a.example")),
            ("a.example:8080?u=http://b.example", Some("a.example:8080")),
            ("localhost/x", None),
            ("unreadable http://a.example", None),
        ] {
            assert_eq!(host_of(canonical), host, "{canonical}");
        }
    }

    #[test]
    fn most_addresses_are_plain() {
        for (address, canonical) in [
            ("wiki.example/p12", "wiki.example/p12"),
            ("wiki.example/a/B_c-1.html//", "wiki.example/a/B_c-1.html"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(plain_address(address), Some(canonical), "{address}");
        }
        for address in [
            "",
            "a..b",
            "a.b.",
            "A.example",
            "1.2.3.4",
            "0x7f.1",
            "xn--a.example",
            "-a.example",
            "a.example:80",
            "a.example/../b",
            "a.example/.b",
            "a.example/%41",
            "a.example/a b",
            "u@a.example",
            "é.example",
            "a.example?q",
        ] {
            assert_eq!(plain_address(address), None, "{address}");
        }
    }

    proptest! {
        /// The short way says what the parser says.
        #[test]
        fn a_plain_address_is_its_canonical_form(
            scheme in "(https?://)?",
            host in "([a-z0-9-]{1,5}[.]|xn--[a-z0-9-]{0,8}[.]|[A-Zé0-9]{1,3}[.]){0,3}[a-z0-9x-]{0,6}[.]?",
            path in "(/|/[a-zA-Z0-9._-]{1,4}|/[.]{1,2}|[?#:@%é ]){0,4}",
        ) {
            let address = format!("{host}{path}");
            if let Some(plain) = plain_address(&address) {
                let parsed = parsed_url(&format!("{scheme}{address}"));
                prop_assert_eq!(parsed.as_deref(), Some(plain));
            }
        }

        /// Looking around the signs finds what looking at each chunk finds.
        #[test]
        fn no_chunk_is_missed(text in "(https?:|//|www\\.|@|:|\\.|\\.com|[ab<>\"… é王、-]|/x|\\\\|\t|\n|3232235777|\\[\\.\\]){0,16}") {
            let (mut near, mut all) = (Vec::new(), Vec::new());
            scan(&text, &mut |kind, value| near.push((kind, value.to_owned())));
            for chunk in text.split(ends_chunk).filter(|chunk| chunk.len() >= 4) {
                address(chunk, &mut |kind, value| all.push((kind, value.to_owned())));
            }
            prop_assert_eq!(near, all);
        }
    }
}
