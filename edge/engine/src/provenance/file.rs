//! Names of files inside text.

use super::script::separates;
use super::value::Kind;

/// The name at the end of each path: `/home/alice/bill.txt` speaks of `bill.txt` as well.
pub(super) fn file_names(normal: &str, found: &mut dyn FnMut(Kind, &str)) {
    let mut rest = normal;
    let mut host = false;
    while let Some(at) = memchr::memchr(b'/', rest.as_bytes()) {
        let behind = rest.get(at.saturating_add(1)..).unwrap_or_default();
        let end = behind.find(|c| !in_name(c)).unwrap_or(behind.len());
        let (name, after) = behind.split_at_checked(end).unwrap_or_default();
        // Behind two slashes stands a host, and a path behind that.
        if !host && !after.starts_with('/') && is_file_name(name.trim_end_matches('.')) {
            found(Kind::File, name.trim_end_matches('.'));
        }
        host = name.is_empty() && after.starts_with('/');
        rest = after;
    }
}

fn in_name(c: char) -> bool {
    c.is_alphanumeric()
        || "._-+~@%#".contains(c)
        || (!c.is_ascii() && !separates(c) && !c.is_whitespace())
}

/// A name with an ending that has a letter.
pub(super) fn is_file_name(name: &str) -> bool {
    let Some((stem, ending)) = name.rsplit_once('.') else {
        return false;
    };
    let letters = |c: u8| c.is_ascii_alphanumeric();
    !stem.is_empty()
        && (1..=8).contains(&ending.len())
        && ending.bytes().all(letters)
        && ending.bytes().any(|b| b.is_ascii_alphabetic())
        && name.chars().all(in_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_file() {
        for (text, names) in [
            ("see /home/alice/bill.txt.", &["bill.txt"][..]),
            ("docs/a.pdf, docs/b.tar.gz", &["a.pdf", "b.tar.gz"]),
            ("https://acme.example/x/report.docx", &["report.docx"]),
            ("https://acme.example", &[]),
            ("and/or 24/7 1/2.5 /etc/passwd bill.txt a/b", &[]),
            ("/отчёты/май.pdf", &["май.pdf"]),
        ] {
            let mut all = Vec::new();
            file_names(text, &mut |_, name| all.push(name.to_owned()));
            assert_eq!(all, names, "{text}");
        }
    }
}
