//! Names of hosts, and what looks like one.

use super::value::Kind;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Endings of file names that are top-level domains too. A bare name of two labels that ends so is no host; one of more may be.
const FILE_ENDINGS: [&str; 17] = [
    "md", "sh", "py", "rs", "pl", "ps", "cc", "zip", "mov", "so", "do", "am", "pm", "tf", "pub",
    "java", "bz",
];

/// Whether a name ends like that of a file.
pub(super) fn ends_as_file(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    ending.is_some_and(|ending| {
        let mut endings = FILE_ENDINGS.iter();
        endings.any(|known| ending.eq_ignore_ascii_case(known))
    })
}

/// Those of the common ones that are words as well, or end a name in capitals (`ASP.NET`, `Paid.No`, `Ask.Me`): in capital
/// letters they may be no domain.
const WORDS: [&str; 19] = [
    "at", "be", "club", "de", "dev", "es", "example", "info", "invalid", "it", "me", "net", "no",
    "online", "shop", "site", "test", "top", "us",
];

/// Top-level domains under which a bare name of two labels is taken for a host whoever wrote it. Under any other (`order.id`,
/// `self.name`, `Mr.Green`) it is one if somebody else may have written it.
const COMMON: [&str; 62] = [
    "com", "org", "net", "edu", "gov", "mil", "int", "info", "biz", "io", "ai", "co", "me", "us",
    "eu", "uk", "de", "fr", "nl", "be", "es", "it", "pl", "pt", "ch", "at", "se", "no", "dk", "fi",
    "ie", "cz", "gr", "ru", "ua", "su", "cn", "jp", "kr", "br", "au", "nz", "ca", "mx", "tv", "ws",
    "dev", "xyz", "top", "online", "site", "shop", "club", "icu", "tk", "ga", "cf", "gq",
    "example", "invalid", "onion", "test",
];

/// All of the Internet's, those for use in documents, and `onion`.
static TOP_LEVEL: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    include_str!("top_level_domains.txt")
        .split_ascii_whitespace()
        .collect()
});

/// What a program would make of such a name without a scheme: a link, a name that may be one, or nothing; `path`: something
/// follows that belongs to it.
pub(super) fn host_kind(host: &str, path: bool) -> Option<Kind> {
    if host.parse::<std::net::Ipv4Addr>().is_ok() {
        return Some(Kind::Url);
    }
    let mut labels = host.split('.').peekable();
    let sound = |label: &str| {
        !label.is_empty()
            && label
                .chars()
                .all(|c| c.is_alphanumeric() || "-_".contains(c))
    };
    let (names, last) = host.rsplit_once('.')?;
    if names.is_empty() || !labels.all(sound) {
        return None;
    }
    let alphabetic = last.chars().count() >= 2 && last.chars().all(char::is_alphabetic);
    let www = host
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("www."));
    if alphabetic && (www || path) {
        return Some(Kind::Url);
    }
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let label = ascii_label(last)?;
    if !TOP_LEVEL.contains(&*label) {
        return None;
    }
    if ends_as_file(host) {
        return names.contains('.').then_some(Kind::Name);
    }
    // A word as it stands there: `ASP.NET` is a product.
    let common = COMMON.contains(&&*label);
    let word = WORDS.contains(&&*label) && last != label;
    let sure = names.contains('.') || !last.is_ascii() || (common && !word);
    Some(if sure { Kind::Url } else { Kind::Name })
}

/// Whether names of the Internet end in this label, or those for use in documents.
pub(crate) fn is_top_level(label: &str) -> bool {
    ascii_label(label).is_some_and(|label| TOP_LEVEL.contains(&*label))
}

/// A label in lower case, and in the form in which it is registered.
fn ascii_label(label: &str) -> Option<Cow<'_, str>> {
    if label.bytes().all(|b| b.is_ascii_lowercase()) {
        return Some(label.into());
    }
    if label.is_ascii() {
        return Some(label.to_ascii_lowercase().into());
    }
    match url::Host::parse(label).ok()? {
        url::Host::Domain(domain) => Some(domain.into()),
        _ => None,
    }
}
