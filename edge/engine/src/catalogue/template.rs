//! URI templates (RFC 6570), read the other way round: whether a URI is one that a template stands for.

use crate::limits::PATTERN_BYTES_MAX;
use regex::{Regex, RegexBuilder};

/// Reserved characters, which a plain `{name}` never expands to: with them one URI could be another's.
const PLAIN: &str = r"[^/?#\[\]@!$&'()*+,;=:\\]*";

/// A template, compiled.
#[derive(Debug)]
pub(crate) struct Template(Regex);

impl Template {
    /// `None` if it is no template.
    pub(crate) fn compile(template: &str) -> Option<Self> {
        let (mut pattern, mut rest) = (String::from("^"), template);
        while let Some((literal, more)) = rest.split_once('{') {
            let (expression, after) = more.split_once('}')?;
            pattern.push_str(&regex::escape(literal));
            pattern.push_str(variable(expression)?);
            rest = after;
        }
        if rest.contains('}') {
            return None;
        }
        pattern.push_str(&regex::escape(rest));
        pattern.push('$');
        let regex = RegexBuilder::new(&pattern)
            .size_limit(PATTERN_BYTES_MAX)
            .build();
        regex.ok().map(Self)
    }

    /// Whether the template stands for this URI. One with dot segments, or with a slash or dot in disguise, could be
    /// another once its server has tidied it up.
    pub(crate) fn covers(&self, uri: &str) -> bool {
        let lower = uri.to_ascii_lowercase();
        let disguised = ["%2e", "%2f", "%5c", "%25", "\\"]
            .iter()
            .any(|part| lower.contains(part));
        let dots = uri
            .split(['/', '?', '#'])
            .any(|segment| segment == "." || segment == "..");
        // RFC 3986, section 2: what stands in no URI. The template itself is none either.
        let foreign = uri.contains(['{', '}', '<', '>', '"', '^', '`', '|']);
        !disguised && !dots && !foreign && self.0.is_match(uri)
    }
}

/// What an expression may have become. Anything but a plain one may be any text: the operator approved that.
fn variable(expression: &str) -> Option<&'static str> {
    match expression.bytes().next()? {
        b'+' | b'#' | b'.' | b'/' | b';' | b'?' | b'&' => Some(".*"),
        first if first.is_ascii_alphanumeric() || first == b'_' => Some(PLAIN),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_stands_for_its_own_uris_alone() {
        let check = |template: &str, uri: &str| Template::compile(template).unwrap().covers(uri);
        assert!(check("docs://pub/{id}", "docs://pub/7"));
        assert!(check("docs://{a}/x/{b}", "docs://1/x/2"));
        assert!(check("file:///{+path}", "file:///a/b.txt"));
        assert!(check("docs://find{?q}", "docs://find?q=a"));
        for uri in [
            "docs://pub/7/secret",
            "docs://pub/../secret",
            "docs://pub/..",
            "docs://pub/%2e%2e",
            "docs://pub/a%2Fb",
            "docs://pub/a%252Fb",
            "docs://pub/a?b",
            "docs://pub/{id}",
            "docs://pub/a|b",
            "xdocs://pub/7",
            "docs://priv/7",
        ] {
            assert!(!check("docs://pub/{id}", uri), "{uri}");
        }
        assert!(!check("file:///pub/{+path}", "file:///pub/../etc/passwd"));
        assert!(!check("file:///pub/{+path}", "file:///pub/..\\etc"));
        for bad in ["docs://{", "docs://}", "docs://{}", "docs://{!x}", "a{b}c}"] {
            assert!(Template::compile(bad).is_none(), "{bad}");
        }
    }
}
