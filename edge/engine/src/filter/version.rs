//! Versions: what says that four numbers are one, and no address of a machine.
//!
//! By its form `7.0.8.4` may be either, so what stands beside it decides. First what only versions have: the ending of a
//! file or of a release, the operator of a requirement. Then what only addresses have: a range that is set aside or that
//! everybody knows, a port or the length of a prefix behind. Then a name that is joined to the numbers, heads their line or
//! stands before their brackets: that of a package, unless machines are called so. Where an address may be written in the
//! same way, the numbers have to be as small as those of versions are, which holds for fewer than one address in a hundred.

use super::text::{Text, alnum};
use super::{context, network};
use proctor_model::content::ContentClass as Class;

/// Endings of files whose names have a version in them.
const PACKAGES: [&[u8]; 20] = [
    b"7z", b"apk", b"bz2", b"deb", b"dll", b"dmg", b"egg", b"exe", b"gem", b"gz", b"iso", b"jar",
    b"msi", b"nupkg", b"rpm", b"so", b"tar", b"tgz", b"whl", b"zip",
];

/// What is said of a release behind its numbers, without the number that it may have itself.
const RELEASES: [&[u8]; 12] = [
    b"alpha",
    b"beta",
    b"dev",
    b"el",
    b"final",
    b"ga",
    b"post",
    b"pre",
    b"preview",
    b"rc",
    b"release",
    b"snapshot",
];
/// Longer than any of them and of [`PACKAGES`], in bytes.
const ENDING_MAX: usize = 12;

/// Longest name that is read, in bytes.
const NAME_MAX: usize = 48;
/// Longest heading, up to its version.
const HEADING_MAX: usize = 64;
/// Most words of one.
const HEADING_WORDS_MAX: usize = 4;

/// What may stand before the address of a machine as a package's name does, besides the words that speak for one: where it
/// is in a connection, a protocol, whoever is at home on a machine, and `::ffff:`, an IPv4 address as one of IPv6.
const MACHINES: [&str; 38] = [
    "a",
    "admin",
    "at",
    "bind",
    "by",
    "dest",
    "destination",
    "dst",
    "ffff",
    "for",
    "from",
    "http",
    "https",
    "inet",
    "listen",
    "nameserver",
    "node",
    "origin",
    "peer",
    "proxy",
    "remote",
    "resolver",
    "root",
    "source",
    "src",
    "ssh",
    "target",
    "tcp",
    "tls",
    "to",
    "ubuntu",
    "udp",
    "upstream",
    "user",
    "via",
    "visitor",
    "whois",
    "worker",
];

/// Parts of names of what is compared to an address.
const ADDRESSED: [&str; 7] = ["addr", "address", "dst", "ip", "ipaddr", "ipv4", "src"];

/// Whether four numbers are a version by what stands around them. `called` says whether a word near them calls them an
/// address: that counts where nothing but a name makes them a version.
pub(super) fn is_version(text: Text<'_>, start: usize, end: usize, called: bool) -> bool {
    if ends_as_version(text, end) || is_product(text, start, end) {
        return true;
    }
    let octets = network::octets(text.slice(start, end)).unwrap_or_default();
    let address = is_known(octets) || ends_as_address(text, end);
    if is_required(text, start, end, called || address) {
        return true;
    }
    let small = is_small(octets);
    let beside = || is_listed(text, start, end, called) || is_headed(text, start);
    let named = || {
        let packaged = small && !called && is_packaged(text, end);
        packaged || is_joined(text, start, called, small) || (small && beside())
    };
    !address && named()
}

/// `1.2.3.4.tar.gz`, `1.2.3.4.rc1`, `1.2.3.4-SNAPSHOT`.
fn ends_as_version(text: Text<'_>, end: usize) -> bool {
    let word = end.saturating_add(1);
    let ending = text.bytes(word, text.run(word, ENDING_MAX, alnum));
    let numbers = ending.iter().rev().take_while(|b| b.is_ascii_digit());
    let stem = ending.len().saturating_sub(numbers.count());
    let stem = ending.get(..stem).unwrap_or_default();
    let release = RELEASES
        .iter()
        .any(|known| known.eq_ignore_ascii_case(stem));
    match text.at(end) {
        b'.' => PACKAGES.contains(&ending) || (release && stem.len() < ending.len()),
        b'-' => release,
        _ => false,
    }
}

/// `7.0.8.4-1ubuntu1`: the package that was made of a version. Not the first of two addresses.
fn is_packaged(text: Text<'_>, end: usize) -> bool {
    let behind = end.saturating_add(1);
    let last = text.run(behind, 16, |b| b.is_ascii_digit() || b == b'.');
    let address = network::octets(text.slice(behind, last).trim_end_matches('.')).is_some();
    text.at(end) == b'-' && text.at(behind).is_ascii_digit() && !address
}

/// `Chrome/120.0.0.0`: a word with a capital. In a path, behind the name of a host, and before a port it is an address.
fn is_product(text: Text<'_>, start: usize, end: usize) -> bool {
    let joint = start.saturating_sub(1);
    if text.at(joint) != b'/' || text.at(end) == b':' {
        return false;
    }
    name_before(text, joint).is_some_and(|(word, last)| {
        let address = speaks(text, word) || speaks(text, last);
        !address && begins(text, word) && text.at(word).is_ascii_uppercase()
    })
}

/// Ranges for networks of one's own, for documents, and the servers of names that everybody knows.
fn is_known(octets: [u8; 4]) -> bool {
    matches!(
        octets,
        [10, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [169, 254, ..]
            | [100, 64..=127, ..]
            | [192, 0, 2, _]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            | [8, 8, 8, 8]
            | [8, 8, 4, 4]
            | [1, 1, 1, 1]
            | [1, 0, 0, 1]
            | [9, 9, 9, 9]
    )
}

/// `1.2.3.4:80`, `1.2.3.4:/path`, `1.2.3.4/24`.
fn ends_as_address(text: Text<'_>, end: usize) -> bool {
    let behind = end.saturating_add(1);
    match text.at(end) {
        b':' => text.at(behind).is_ascii_digit() || matches!(text.at(behind), b'/' | b'~'),
        b'/' => {
            let last = text.run(behind, 3, |b| b.is_ascii_digit());
            let digits = last.saturating_sub(behind);
            (1..=2).contains(&digits) && !alnum(text.at(last)) && text.at(last) != b'.'
        }
        _ => false,
    }
}

/// Whether the numbers are as small as those of versions.
fn is_small(octets: [u8; 4]) -> bool {
    let [first, ..] = octets;
    first < 32 && octets.iter().all(|octet| *octet < 100)
}

/// The operator of a requirement before the numbers: `~> 7.0.8.4`, `>= 7.0.8.4`, `(= 1.2.3.4)`, `"^1.2.3.4"`. Addresses
/// are compared too, where something else says that they are some (`address`) or what they are compared to.
fn is_required(text: Text<'_>, start: usize, end: usize, address: bool) -> bool {
    let behind = text.run_back(start, 2, |b| b == b' ');
    let sign = text.run_back(behind, 3, |b| b"=<>!~^".contains(&b));
    match text.bytes(sign, behind) {
        b"~>" | b"~=" => true,
        b"==" | b"===" | b"!=" => !address,
        b">=" | b"<=" => !is_addressed(text, sign),
        // Not the bracket or the end of an element around it.
        b"=" | b"<" | b">" | b"^" | b"~" => {
            !matches!(text.at(end), b'<' | b'>') && opens(text, sign)
        }
        _ => false,
    }
}

/// Whether a name before an operator is one of an address: `client.ip >=`.
fn is_addressed(text: Text<'_>, sign: usize) -> bool {
    let end = text.run_back(sign, 2, |b| b == b' ');
    let name = text.run_back(end, NAME_MAX, |b| alnum(b) || b"._-".contains(&b));
    let mut parts = text.slice(name, end).split(['.', '_', '-']);
    parts.any(|part| {
        let mut known = ADDRESSED.iter();
        known.any(|known| known.eq_ignore_ascii_case(part))
    })
}

/// Whether what begins at `sign` is the first in brackets or quotation marks, or the next behind a comma.
fn opens(text: Text<'_>, sign: usize) -> bool {
    let outside = text.run_back(sign, 2, |b| b == b' ');
    match text.before(outside) {
        b'(' | b'[' | b',' => true,
        b'"' | b'\'' if outside == sign => {
            // As JSON has it in a text.
            let quote = text.run_back(sign.saturating_sub(1), 1, |b| b == b'\\');
            let before = text.before(quote);
            before == 0 || before.is_ascii_whitespace() || b"([{,:=".contains(&before)
        }
        _ => false,
    }
}

/// Where the name begins that ends at `end`, and where its last part does. There is a letter in it.
fn name_before(text: Text<'_>, end: usize) -> Option<(usize, usize)> {
    let word = text.run_back(end, NAME_MAX, |b| alnum(b) || b == b'-' || b == b'_');
    let last = text.run_back(end, NAME_MAX, alnum);
    let lettered = text.bytes(word, end).iter().any(u8::is_ascii_alphabetic);
    (lettered && last < end).then_some((word, last))
}

fn speaks(text: Text<'_>, at: usize) -> bool {
    context::at(text, at).speaks_for(Class::IpAddress)
}

/// Whether the word is one of [`MACHINES`].
fn is_machine(text: Text<'_>, start: usize, end: usize) -> bool {
    let word = text.slice(start, end);
    MACHINES
        .iter()
        .any(|known| known.eq_ignore_ascii_case(word))
}

/// Whether a word begins where nothing is joined to it.
fn begins(text: Text<'_>, word: usize) -> bool {
    let outside = text.before(word);
    outside == 0 || outside.is_ascii_whitespace() || b"\"'(,;".contains(&outside)
}

/// `pkg-1.2.3.4`, `artifact:1.2.3.4`, `package@1.2.3.4`, `curl/1.2.3.4`.
fn is_joined(text: Text<'_>, start: usize, called: bool, small: bool) -> bool {
    let joint = start.saturating_sub(1);
    let Some((word, last)) = name_before(text, joint).filter(|_| start > joint) else {
        return false;
    };
    let sign = text.at(joint);
    if sign == b':' && is_coordinate(text, word) {
        return small;
    }
    if speaks(text, word) || speaks(text, last) {
        return false;
    }
    match sign {
        // Of branches and files: `bump-rails-from-7.0.5.1`.
        b'-' => small || text.before(joint).is_ascii_alphabetic(),
        _ if is_machine(text, last, joint) => false,
        b':' => small && !called,
        b'@' => {
            let of_url =
                text.before(word) == b':' || text.bytes(word.saturating_sub(2), word) == b"//";
            small && !called && !of_url
        }
        b'/' => small && !called && begins(text, word),
        _ => false,
    }
}

/// Whether a group stands before the name at `word`, as in Maven's coordinates: `org.example:name:1.2.3.4`.
fn is_coordinate(text: Text<'_>, word: usize) -> bool {
    let colon = word.saturating_sub(1);
    let group = text.run_back(colon, NAME_MAX, |b| alnum(b) || b"._-".contains(&b));
    let written = text.bytes(group, colon);
    text.at(colon) == b':'
        && written.first().is_some_and(u8::is_ascii_alphabetic)
        && written.contains(&b'.')
}

/// `rails (7.0.8.4)`: alone in its line, as lock files have it, or behind a name in small letters. In a list that is headed
/// as one of addresses it is none, whatever the other lines say: packages are called `ipaddr`, too.
fn is_listed(text: Text<'_>, start: usize, end: usize, called: bool) -> bool {
    let blank = start.saturating_sub(2);
    if text.bytes(blank, start) != b" (" || text.at(end) != b')' {
        return false;
    }
    let Some((word, last)) = name_before(text, blank) else {
        return false;
    };
    // Of several words the first tells what it is: `net-ssh`, but `host-a`.
    if speaks(text, word) || (last == word && is_machine(text, last, blank)) {
        return false;
    }
    let margin = text.run_back(word, 16, |b| matches!(b, b' ' | b'\t' | b'*' | b'-'));
    // Line breaks may be as JSON has them.
    let first = matches!(text.before(margin), 0 | b'\n' | b'\r')
        || text.bytes(margin.saturating_sub(2), margin) == b"\\n";
    let alone = matches!(
        text.at(end.saturating_add(1)),
        0 | b'\n' | b'\r' | b'!' | b'\\'
    );
    let small = !text.bytes(word, blank).iter().any(u8::is_ascii_uppercase);
    match first && alone {
        true => !is_headed_as_addresses(text, margin),
        false => small && !called && !speaks(text, last) && begins(text, word),
    }
}

/// How far above an item the head of its list is looked for, in bytes.
const LIST_BYTES_MAX: usize = 256;

/// Whether the line above a list, an item of which begins at `item`, speaks for addresses. Items end in a bracket.
fn is_headed_as_addresses(text: Text<'_>, item: usize) -> bool {
    let from = item.saturating_sub(LIST_BYTES_MAX);
    // Line breaks may be as JSON has them: a backslash and a letter.
    let is_break = |b: u8| matches!(b, b'\n' | b'\r' | b'\\');
    let mut end = item;
    while end > from {
        let start = text.run_back(end, end.saturating_sub(from), |b| !is_break(b));
        let line = text.bytes(start, end).trim_ascii();
        if line.len() > 1 && !line.ends_with(b")") {
            return (start..end).any(|at| speaks(text, at));
        }
        end = start.saturating_sub(1);
    }
    false
}

/// `## Rails 7.0.8.4`, the heading of a list of changes. A single `#` begins a comment more often.
fn is_headed(text: Text<'_>, start: usize) -> bool {
    let part = |b: u8| alnum(b) || b" ._-/@[".contains(&b);
    let heading = text.run_back(start, HEADING_MAX, part);
    let written = text.bytes(heading, start);
    if text.bytes(heading.saturating_sub(2), heading) != b"##" || written.first() != Some(&b' ') {
        return false;
    }
    let words = written
        .split(|b| *b == b' ')
        .filter(|word| !word.is_empty());
    let end = text.run_back(start, 2, |b| matches!(b, b' ' | b'['));
    let last = text.run_back(end, NAME_MAX, alnum);
    words.count() <= HEADING_WORDS_MAX
        && !is_machine(text, last, end)
        && !(heading..start).any(|at| speaks(text, at))
}

#[cfg(test)]
mod tests {
    use crate::filter::{Class, Filter};
    use proctor_model::content::{Confidence, ContentClass};

    /// Texts with an address of a machine that is found at the usual threshold.
    fn with_address<'t>(texts: &[&'t str]) -> Vec<&'t str> {
        let filter = Filter::default();
        let found = |text: &str| {
            filter.find(text, "").iter().any(|hit| {
                hit.class == Class::Known(ContentClass::IpAddress)
                    && hit.confidence > Confidence::Low
            })
        };
        texts.iter().copied().filter(|text| found(text)).collect()
    }

    #[test]
    fn versions_are_no_addresses() {
        let texts = [
            // Lock files, in which other packages are called as machines are.
            "GEM\n  specs:\n    rails (7.0.8.4)\n      actionpack (= 7.0.8.4)\n",
            "    ipaddr (1.2.2)\n    rails (7.0.8.4)\n",
            "    net-ssh (7.0.8.4)\n",
            r#"{"lock": "specs:\n    rails (7.0.8.4)\n    rake (13.0.6)\n"}"#,
            "we run rails (7.0.8.4) now",
            "GIT\n  remote: https://server.example.com/x.git\n  specs:\n    dns-client (1.2.2)\n    rails (7.0.8.4)\n",
            r#"{"lock": "specs:\n    ipaddr (1.2.2)\n\n    rails (7.0.8.4)\n"}"#,
            "rails (7.0.8.4)",
            // Requirements.
            "(= 1.2.3.4)",
            "activesupport (>= 7.0.8.4)",
            "gem \"net-ping\", \"~> 7.0.8.4\"",
            "gem 'rails', '7.0.8.4'",
            "openssh-server >= 7.0.8.4",
            "needs (>= 10.2.0.4)",
            r#""dependencies": {"left": "^1.2.3.4", "right": "~1.2.3.4"}"#,
            r#"add "rails", ">= 5.2.8.1", "< 7.0.8.4""#,
            r#"{"d": "{\"left\": \"^1.2.3.4\"}"}"#,
            "torch~=2.1.0.4 and x==7.0.8.4, y != 7.0.8.4",
            // Names that are joined to it.
            "compile artifact:2.9.10.8 now",
            "com.fasterxml.jackson.core:jackson-databind:2.9.10.8",
            "org.eclipse.jetty:jetty-server:9.4.2.8",
            "registry.example.com/team/image:7.0.8.4",
            "npm install package@7.0.8.4",
            "npm install @scope/package@7.0.8.4",
            "pkg-7.0.8.4 and h2-1.4.20.1",
            "bump-rails-from-7.0.5.1-to-7.0.8.4",
            "curl/7.0.8.4 and Chrome/120.0.0.0",
            "v7.0.8.4 and V7.0.8.4, release_7.0.8.4",
            // Files and releases.
            "foo-1.2.3.4.jar",
            "get 1.2.3.4.tar.gz",
            "7.0.8.4-SNAPSHOT, 7.0.8.4.rc1, 7.0.8.4-beta2, 7.0.8.4.el7",
            "libfoo 7.0.8.4-1ubuntu1, 7.0.8.4-1",
            // Headings.
            "## Rails 7.0.8.4 (June 04, 2024) ##\n\n*   No changes.\n",
            "### [7.0.8.4] - 2024-06-04",
            "=== 7.0.8.4 / 2024-06-04",
        ];
        assert_eq!(with_address(&texts), [""; 0]);
    }

    #[test]
    fn addresses_beside_names_and_signs_are_addresses() {
        let texts = [
            // By their range, whatever stands before them.
            "host (10.0.0.1)",
            "    web1 (192.168.7.3)\n",
            "server:10.0.0.1",
            "db:172.16.0.4",
            "ssh root@192.168.1.5",
            "ssh deploy@10.0.0.5",
            "worker-10.0.3.17",
            "x == 10.0.0.1",
            "cache:10.1.2.3",
            // By what is known of the numbers, or stands behind them.
            "ping 8.8.8.8",
            "ping 1.1.1.1",
            "http://1.2.3.4:80/",
            "http://5.9.12.3/x",
            "web1:5.9.12.3:8080",
            "net-5.9.12.0/24",
            "5.9.12.0/24 200",
            "seen 81.2.69.142 200 times",
            "scp x deploy@5.9.12.3:/srv",
            // By the name that stands before them.
            "gateway (5.9.12.3)",
            "from (5.9.12.3)",
            "Alice (5.9.12.3) wrote",
            "mail.example.com (5.9.12.3)",
            "src:5.9.12.3 dst:5.9.12.4",
            "::ffff:5.9.12.3",
            "root@5.9.12.3",
            "ftp://bob@5.9.12.3",
            "sip:bob@5.9.12.3",
            "X-Forwarded-For:5.9.12.3",
            "## Gateway 5.9.12.3",
            "# allow 5.9.12.3",
            "Connections by IP address:\n  bob (5.9.12.3)\n",
            r#"{"text": "Connections by IP address:\n  bob (5.9.12.3)\n"}"#,
            "Last logins\n\n- alice (5.9.12.4)\n- bob (5.9.12.3)\n",
            "Clients:\r\n  bob (5.9.12.3)\r\n",
            // By their size.
            "rails (81.2.69.142)",
            "bob@81.2.69.142",
            "alice:81.2.69.142",
            "## Rails 81.2.69.142",
            "tcp/81.2.69.142",
            // Signs around them that are no operators.
            "<b>5.9.12.3</b>",
            "<td class=\"x\">5.9.12.3</td>",
            "relay <5.9.12.3>",
            "a (<5.9.12.3>)",
            "a -> 5.9.12.3",
            "a => 5.9.12.3",
            "bind = 5.9.12.3",
            "where ip >= 5.9.12.3",
            "ip.src == 5.9.12.3",
            "between 5.9.12.3-5.9.12.9.",
        ];
        assert_eq!(with_address(&texts), texts);
    }
}
