//! Links as browsers read them (WHATWG's URL standard): over tabs and line breaks, with backslashes for slashes, without a
//! scheme before two slashes, to a host in figures. Of these only what no reader takes for a link, or for that one: all else is
//! found as it stands.

use super::address::{ends_chunk, tell_host};
use super::class::class;
use super::value::Kind;
use std::net::Ipv4Addr;
use url::Host;

/// The schemes behind which a browser reads so.
const SCHEMES: [&str; 2] = ["https:", "http:"];

/// What a browser reads over.
const fn is_over(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r')
}

/// What it takes for a slash.
const fn is_slash(c: char) -> bool {
    matches!(c, '/' | '\\')
}

class!(AUTHORITIES, ends_authority);

/// What no user, host and port have inside.
const fn ends_authority(c: char) -> bool {
    is_slash(c) || matches!(c, '?' | '#') || (ends_chunk(c) && !is_over(c))
}

/// Links that only a browser sees.
pub(super) fn browsed(text: &str, found: &mut dyn FnMut(Kind, &str)) {
    let bytes = text.as_bytes();
    let mut past = 0_usize;
    for at in memchr::memchr3_iter(b'/', b'\\', b':', bytes) {
        if at < past || !may_begin(bytes, at) {
            continue;
        }
        if let Some(link) = Link::at(text, at) {
            past = text.len().saturating_sub(link.behind.len());
            link.tell(found);
        }
    }
}

/// Whether a link may begin at a colon or a slash: hardly any is beside another, or at the end of a line.
fn may_begin(bytes: &[u8], at: usize) -> bool {
    let byte = |at: Option<usize>| at.and_then(|at| bytes.get(at)).copied();
    let next = byte(at.checked_add(1)).map(char::from);
    let ends_line = next.is_some_and(is_over);
    match byte(Some(at)) {
        Some(b':') => ends_line,
        _ => ends_line || next.is_some_and(is_slash) || byte(at.checked_sub(1)) == Some(b':'),
    }
}

/// What a browser may take for a link.
struct Link<'t> {
    /// All before it.
    before: &'t str,
    scheme: bool,
    slashes: &'t str,
    /// All behind the slashes.
    rest: &'t str,
    /// User, host and port, over the ends of lines.
    authority: &'t str,
    /// All behind them.
    behind: &'t str,
}

impl<'t> Link<'t> {
    /// The one of which the slashes begin at a place, or the scheme ends there.
    fn at(text: &'t str, at: usize) -> Option<Self> {
        let (before, from) = text.split_at_checked(at)?;
        let (before, from) = match from.strip_prefix(':') {
            Some(from) => (text.get(..at.saturating_add(1))?, from),
            None => (before, from),
        };
        let bare = without_scheme(before);
        let (slashes, rest) = cut(from, |c| !is_slash(c) && !is_over(c));
        // Other schemes have rules of their own, and one slash is a step of a path.
        if bare.is_none() && (before.ends_with(':') || slashes.matches(is_slash).nth(1).is_none()) {
            return None;
        }
        let end = AUTHORITIES.find(rest).unwrap_or(rest.len());
        let (authority, behind) = rest.split_at_checked(end)?;
        Some(Self {
            before: bare.unwrap_or(before),
            scheme: bare.is_some(),
            slashes,
            rest,
            authority,
            behind,
        })
    }

    fn tell(&self, found: &mut dyn FnMut(Kind, &str)) {
        if let Some(link) = self.enclosed() {
            return tell_host(Kind::Url, link, found);
        }
        let odd = |c: char| is_over(c) || c == '\\';
        let plain = !self.slashes.contains(odd) && !self.authority.contains(is_over);
        if self.scheme && plain {
            return;
        }
        // Where a line ends, the link may end as well.
        for piece in self.authority.split('@') {
            self.tell_figures(piece, found);
        }
    }

    /// The hosts in figures that a piece of the authority is, as far as each end of a line.
    fn tell_figures(&self, piece: &str, found: &mut dyn FnMut(Kind, &str)) {
        let lines = piece.split(is_over).filter(|line| !line.is_empty());
        let mut lines = lines.peekable();
        let mut host = String::new();
        while let Some(line) = lines.next() {
            let bytes = host.len();
            append(&mut host, line);
            let is_last = lines.peek().is_none();
            // What ended with the line before ends with this one, too.
            if host.len() == bytes && !is_last {
                continue;
            }
            // Zeros alone are nobody's address, and more figures none that ends before the text does.
            let figures = figures_in(&host);
            let ends_here = (1..=FIGURES_BYTES_MAX).contains(&figures) || is_last;
            if let Some((address, behind)) = ends_here.then(|| in_figures(&host)).flatten() {
                if self.scheme || self.is_open(behind) {
                    found(Kind::Url, &address);
                }
                // What comes then is its port.
                if !behind.is_empty() {
                    break;
                }
            }
            if host.len() > HOST_BYTES_MAX {
                break;
            }
        }
    }

    /// All of a link between quotation marks that goes on where a line ends: it is written for a browser.
    fn enclosed(&self) -> Option<&'t str> {
        let close = match self.before.chars().next_back()? {
            '<' => '>',
            quote @ ('"' | '\'') => quote,
            _ => return None,
        };
        let ends = |c: char| c == close || (ends_chunk(c) && !is_over(c) && c != '\\');
        let (link, behind) = cut(self.rest, ends);
        (behind.starts_with(close) && link.contains(is_over)).then_some(link)
    }

    /// Whether a browser comes upon figures without a scheme as a link: `[r](//3232235777/x)`. `// 12` is a remark, and `a//12/b`
    /// a path. `behind`: what stands behind the figures, of host and port.
    fn is_open(&self, behind: &str) -> bool {
        let path = behind.is_empty() && self.behind.starts_with(['/', '\\', '?', '#']);
        let goes_on = path || behind.starts_with(':');
        match self.before.chars().next_back() {
            Some('(' | '"' | '\'' | '=' | '<') => true,
            Some(c) => goes_on && (c.is_whitespace() || ",;[{|>`".contains(c)),
            None => goes_on,
        }
    }
}

/// Most letters of a host over several lines that are looked at, but for zeros that mean nothing.
const HOST_BYTES_MAX: usize = 253;
/// Most letters behind the first zeros of its parts of a host in figures that may end with any line.
const FIGURES_BYTES_MAX: usize = 64;

/// Appends a line to a host, but for zeros at the beginning of a number behind two others: however many stand there, it is the same
/// address. Behind a single one `x` has a meaning.
fn append(host: &mut String, line: &str) {
    for c in line.chars() {
        if c != '0' || !is_behind_zeros(host) {
            host.push(c);
        }
    }
}

/// Whether the last part of a host so far is two zeros, or `0x` and two zeros.
fn is_behind_zeros(host: &str) -> bool {
    host.strip_suffix("00").is_some_and(|before| {
        let sign = before.strip_suffix(['x', 'X']);
        let part = sign.and_then(|sign| sign.strip_suffix('0'));
        let part = part.unwrap_or(before);
        part.is_empty() || part.ends_with('.')
    })
}

/// How many letters the parts of a host have behind their first zeros, and behind `0x`: no zero there makes another address.
fn figures_in(host: &str) -> usize {
    let parts = host.split('.').map(|part| {
        let digits = hexadecimal(part).unwrap_or(part);
        digits.trim_start_matches('0').len()
    });
    parts.sum()
}

/// What stands behind the sign of a hexadecimal number.
fn hexadecimal(part: &str) -> Option<&str> {
    part.strip_prefix("0x").or_else(|| part.strip_prefix("0X"))
}

/// What stands before the scheme that a text ends with.
fn without_scheme(before: &str) -> Option<&str> {
    SCHEMES.iter().find_map(|scheme| {
        let at = before.len().checked_sub(scheme.len())?;
        let (bare, end) = before.split_at_checked(at)?;
        end.eq_ignore_ascii_case(scheme).then_some(bare)
    })
}

fn cut(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(ends).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or_default()
}

/// The address that a text begins with if it is one to a browser alone, and what stands behind it. Nobody has those that begin
/// with 0, as small numbers do; four figures with dots are found as they stand.
fn in_figures(text: &str) -> Option<(String, &str)> {
    let end = match text.chars().next()? {
        '[' => text.find(']')?.saturating_add(1),
        '0'..='9' => {
            let other = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '.');
            other.unwrap_or(text.len())
        }
        _ => return None,
    };
    let (host, behind) = text.split_at_checked(end)?;
    let goes_on = behind.starts_with(|c: char| c.is_alphanumeric() || "-_%".contains(c));
    if goes_on || host.trim_end_matches('.').parse::<Ipv4Addr>().is_ok() {
        return None;
    }
    if host.starts_with('[') {
        let Host::Ipv6(address) = Host::parse(host).ok()? else {
            return None;
        };
        return Some((format!("[{address}]"), behind));
    }
    let address = ipv4(host).filter(|address| address.octets().first() != Some(&0))?;
    Some((address.to_string(), behind))
}

/// The address of letters, figures and dots (WHATWG's IPv4 parser): up to four numbers, the last of which fills what is left. Texts may
/// look like one at each end of a line, so that no more than this is made of each.
fn ipv4(host: &str) -> Option<Ipv4Addr> {
    let mut parts = host.strip_suffix('.').unwrap_or(host).split('.').peekable();
    let (mut address, mut left) = (0_u32, u32::BITS);
    while let Some(part) = parts.next() {
        let number = number(part)?;
        let bits = match parts.peek() {
            Some(_) => u8::BITS,
            None => left,
        };
        let rest = left.checked_sub(bits)?;
        // Five numbers are none, and none has more bits than it has room.
        if bits == 0 || u64::from(number).checked_shr(bits)? != 0 {
            return None;
        }
        address |= number.checked_shl(rest)?;
        left = rest;
    }
    Some(Ipv4Addr::from(address))
}

/// A number of an address: decimal, behind a zero octal, behind `0x` hexadecimal.
fn number(part: &str) -> Option<u32> {
    match hexadecimal(part) {
        Some("") => Some(0),
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None if part.starts_with('0') => u32::from_str_radix(part, 8).ok(),
        None => part.parse().ok(),
    }
}

/// What a program fetches that is given a text which begins as a link, if it reads over something in it. Several links in lines
/// stay several. `for_link`: the text is to be a link and nothing else; any other with blanks in it is prose.
pub(super) fn fetched(text: &str, for_link: bool) -> Option<String> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    let slashes = text.chars().take(2).filter(|c| is_slash(*c)).count();
    let bare = for_link && slashes == 2;
    let odd = begins(text) && text.contains(|c: char| is_over(c) || c == '\\');
    if !(bare || odd) || (text.contains(' ') && !for_link) {
        return None;
    }
    let mut lines = text.split(is_over).filter(|line| !line.is_empty());
    let several = lines.all(begins);
    let read = text.chars().filter(|c| several || !is_over(*c));
    let read = read.map(|c| if c == '\\' { '/' } else { c });
    let scheme = if bare { "http:" } else { "" };
    Some(scheme.chars().chain(read).collect())
}

/// Whether a text begins with such a scheme.
fn begins(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| {
        let start = text.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}

#[cfg(test)]
mod tests {
    use super::super::address::addresses;
    use super::*;
    use proptest::prelude::*;
    use std::time::Instant;

    fn all(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        browsed(text, &mut |kind, link| {
            assert_eq!(kind, Kind::Url);
            all.push(link.to_owned());
        });
        all
    }

    fn host_of(link: &str) -> Option<String> {
        let link = url::Url::parse(link).ok()?;
        link.host_str().map(str::to_owned)
    }

    #[test]
    fn hosts_in_figures_and_links_over_lines() {
        for (text, link) in [
            (r"open http:\\3232235777/x", "192.168.1.1"),
            (r"open HTTPS:\3232235777", "192.168.1.1"),
            ("open http:\n3232235777/x", "192.168.1.1"),
            ("[r](//3232235777/x)", "192.168.1.1"),
            ("[r](//0xC0A80101)", "192.168.1.1"),
            ("[r](//[2001:db8::7]/x)", "[2001:db8::7]"),
            ("see //3232235777/x", "192.168.1.1"),
            ("see //3232235777:8080", "192.168.1.1"),
            (r#"<a href="\\192.11010305\x">"#, "192.168.1.1"),
            ("(//acme.example@3232235777/x)", "192.168.1.1"),
            ("https://acme.example\t@3232235777/?d=x", "192.168.1.1"),
            ("https://acme.example\n.x@3232\t235777/?d=x", "192.168.1.1"),
            ("http:\\\\3232\t235777\nRegards", "192.168.1.1"),
            ("http:\\\\0\nx0C0A8\t0101\nRegards", "192.168.1.1"),
            ("<a href=\"https://acme.de\nals/x\">", "acme.deals/x"),
            ("see <//acme.example/a\t/b>", "acme.example/a/b"),
        ] {
            assert_eq!(all(text), [link], "{text}");
        }
        for text in [
            "https://3232235777/x or http://acme.example:80/x",
            "https://acme.example\nbob@partner.example",
            "https://acme.example\n@acme_hq\n12345678",
            "https://acme.de\nals PDF",
            "\"https://acme.example/help\"\n",
            "\"https://acme.example\nis down\"",
            r"https:\/\/acme.example\/help or https?:\/\/ of 3232235777",
            "// 3232235777 is a number",
            "x = 1; //20240515 fixed",
            "a//20240515/b file:///20240515/x",
            r"C:\\20240515\\x",
            "see //10.0.0.5/job",
            "(//12345/x)",
            "(//2024-05-15/x)",
            "//",
            "http:\n",
            "",
        ] {
            assert_eq!(all(text), [""; 0], "{text}");
        }
    }

    /// However many zeros stand before its figures, a host ends where a line does.
    #[test]
    fn zeros_hide_no_host_in_figures() {
        for zeros in [0, 1, 65, 80, 300] {
            let zeros = "0".repeat(zeros);
            for host in [
                format!("0x{zeros}C0A80101"),
                format!("0X{zeros}c0a80101"),
                format!("0{zeros}30052000401"),
                format!("192.0{zeros}250.257"),
                format!("192.168.0x{zeros}101"),
                format!("0x{zeros}\nC0A80101"),
                format!("0{zeros}\t30052000401"),
                format!("0x{zeros}\n{zeros}\r\n{zeros}C0A8\n0101"),
                format!("0{zeros}\n300.0{zeros}250.257"),
            ] {
                for behind in ["", "\nRegards", "\nRegards\nBob"] {
                    let text = format!("http:\\\\{host}{behind}");
                    assert_eq!(all(&text), ["192.168.1.1"], "{text:?}");
                }
            }
            for text in [
                format!("http:\\\\0{zeros}\n0\nRegards"),
                format!("http:\\\\0x{zeros}\n0{zeros}.0\nRegards"),
            ] {
                assert_eq!(all(&text), [""; 0], "{text:?}");
            }
        }
    }

    #[test]
    fn what_is_fetched() {
        for (text, for_link, link) in [
            (
                "https://acme.example\t@x.evil.example",
                false,
                Some("https://acme.example@x.evil.example"),
            ),
            (
                r"https://acme.example\@x.evil.example",
                false,
                Some("https://acme.example/@x.evil.example"),
            ),
            (
                "https://acme.example/help\nis it down?",
                true,
                Some("https://acme.example/helpis it down?"),
            ),
            ("https://acme.example/help\nis it down?", false, None),
            (
                "https://a.example/x\nHTTPS://b.example/y",
                true,
                Some("https://a.example/x\nHTTPS://b.example/y"),
            ),
            (r"\/3232235777/x", true, Some("http://3232235777/x")),
            (r"\\server\share", false, None),
            (" https://acme.example/a b\n", true, None),
            (r"C:\x", true, None),
            ("", true, None),
        ] {
            assert_eq!(fetched(text, for_link).as_deref(), link, "{text}");
        }
    }

    /// What looks like the beginning of a link at every step is as much work as it is long.
    #[test]
    fn a_text_full_of_beginnings_takes_time_in_proportion() {
        for unit in [
            "//1@",
            "a:/\n",
            "http:\n1",
            "'http://1\n",
            "<//a\n",
            "\\\n/",
            "@1\n",
            "1\n",
            "0\n",
            "0x0\n",
            "0.0\n",
            "1.\n1\n1\n1\n@",
            "[::1]:\n",
        ] {
            let time = |repeats: usize| {
                let text = format!("http:\\\\{}", unit.repeat(repeats));
                let start = Instant::now();
                browsed(&text, &mut |_, _| {});
                start.elapsed()
            };
            let grows = (0..20).any(|_| {
                let best = |repeats| (0..3).map(|_| time(repeats)).min().unwrap_or_default();
                best(40_000) < 10 * best(10_000)
            });
            assert!(grows, "{unit}");
        }
    }

    proptest! {
        /// Figures are read as browsers read them.
        #[test]
        fn an_address_in_figures_is_a_browsers(host in "(0[xX]?)?[0-9a-fA-F]{0,10}(\\.(0[xX]?)?[0-9a-f]{0,4}){0,4}\\.?") {
            let parsed = match Host::parse(&host) {
                Ok(Host::Ipv4(address)) => Some(address),
                _ => None,
            };
            prop_assert_eq!(ipv4(&host), parsed);
        }

        /// However a link to a host in figures is written that a browser can read, it is found.
        #[test]
        fn no_writing_hides_a_host_in_figures(
            scheme in "https?:|HTTP:",
            slashes in "[/\\\\\t\n\r]{1,4}",
            user in "(acme\\.example[\t\n]?x?@)?",
            host in "3232235777|0[xX]0?[cC]0[aA]80101|030052000401|0xc0\\.0xa8\\.0x1\\.0x1|192\\.11010305|192\\.168\\.257",
            behind in "(:8443)?(/x|\\?d=x|\n)?",
        ) {
            let link = format!("{scheme}{slashes}{user}{host}{behind}");
            prop_assert_eq!(host_of(&link), Some("192.168.1.1".to_owned()));
            let mut found = Vec::new();
            addresses(&format!("see {link} now"), &mut |kind, link| {
                if kind == Kind::Url {
                    found.push(link.to_owned());
                }
            });
            prop_assert!(found.iter().any(|link| link.contains("192.168.1.1")), "{link:?}: {found:?}");
        }

        /// What a program fetches is what a browser does.
        #[test]
        fn a_fetched_link_goes_where_a_browser_goes(text in "https?:[/\\\\\t\n]{0,3}([a-b.@:/\\\\?\t\n]|3232235777|\\.example){0,8}") {
            let link = fetched(&text, true).filter(|link| !link.contains(is_over));
            if let Some(link) = link {
                prop_assert_eq!(host_of(&link), host_of(&text));
            }
        }

        #[test]
        fn any_text_is_read(text in "([/\\\\:@?#\t\n \"'<>().x]|http:|3232235777|\\[::1\\]|é){0,24}") {
            all(&text);
            let _ = fetched(&text, true);
        }
    }
}
