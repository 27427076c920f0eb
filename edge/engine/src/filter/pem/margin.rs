//! What stands before the lines of a key: nothing, or what a log, a quotation or a program puts before each of them.
//!
//! A comment amid a key may have its first or last line in it: what stands before that is not what stands before the others.

use super::super::provider::base64;
use super::{GAP_BYTES_MAX, NEXT_BYTES_MIN, is_random};

/// What ends a line.
const BREAKS: [&str; 2] = ["\n", "\r"];
/// The same in texts of programs and in pages.
const WRITTEN: [&str; 5] = ["\\n", "\\r", "<br>", "<br/>", "<br />"];

/// What stands before the first line of a key on its own line, and how its lines end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::filter) struct Margin {
    before: String,
    /// Whether lines end as they are alone: what is [`WRITTEN`] in one does not end it.
    is_raw: bool,
}

impl Margin {
    /// Of the first line that begins at `start` of a text before which another has gone.
    pub(in crate::filter) fn of(gone: &str, text: &str, start: usize) -> Self {
        let behind = text.get(start..).unwrap_or_default();
        let behind = behind.get(..behind.floor_char_boundary(GAP_BYTES_MAX));
        let ends = behind.and_then(|line| line.find(['\n', '\r', '\\', '<']));
        let end = ends.and_then(|at| text.as_bytes().get(start.saturating_add(at)));
        let is_raw = matches!(end, Some(b'\n' | b'\r'));
        let before = format!(
            "{}{}",
            end_of(gone),
            end_of(text.get(..start).unwrap_or_default())
        );
        let near = end_of(&before);
        let before = line_of(near, is_raw).unwrap_or(near).to_owned();
        Self { before, is_raw }
    }

    /// Whether a line of the key begins where this ends: nothing stands before it but what does before the first one, or
    /// rows of the key.
    pub(in crate::filter) fn begins_line(&self, before: &str) -> bool {
        let near = end_of(before);
        let line = self.line(near);
        line.is_some_and(|line| line.trim().is_empty() || self.is(line))
            || quote(near).is_some_and(|mark| quote(&self.before) == Some(mark))
            || is_row(line.unwrap_or(near))
    }

    /// Whether what stands before the first line stands where this ends, and is more than blanks.
    pub(super) fn ends(&self, before: &str) -> bool {
        !self.before.trim().is_empty() && self.line(before).is_some_and(|line| self.is(line))
    }

    /// What of a text stands on its last line, if that begins in it.
    pub(super) fn line<'t>(&self, text: &'t str) -> Option<&'t str> {
        line_of(text, self.is_raw)
    }

    /// Whether this stands before the first line, with other numbers and as many blanks as they leave room for.
    fn is(&self, line: &str) -> bool {
        shape(line) == shape(&self.before)
    }
}

/// Whether nothing but the end of a key in one line stands here, with blanks between its rows. A word is no row.
pub(super) fn is_rest(line: &str) -> bool {
    let last = line.split_ascii_whitespace().next_back();
    let last = last.unwrap_or_default();
    let is_whole = last.len().is_multiple_of(4) || last.starts_with('=');
    line.bytes().all(|b| base64(b) || b.is_ascii_whitespace())
        && (is_whole || is_random(last.as_bytes(), NEXT_BYTES_MIN))
}

/// Whether nothing but rows of a key stands here.
fn is_row(line: &str) -> bool {
    let mut rows = line.split_ascii_whitespace();
    is_rest(line) && rows.any(|row| is_random(row.as_bytes(), NEXT_BYTES_MIN))
}

fn line_of(text: &str, is_raw: bool) -> Option<&str> {
    let written = WRITTEN.iter().filter(|_| !is_raw);
    let ends = BREAKS.iter().chain(written);
    let ends = ends.filter_map(|end| Some(text.rfind(*end)?.saturating_add(end.len())));
    text.get(ends.max()?..)
}

/// As much of the end of a text as is looked at.
fn end_of(text: &str) -> &str {
    let from = text.len().saturating_sub(GAP_BYTES_MAX);
    text.get(text.ceil_char_boundary(from)..)
        .unwrap_or_default()
}

/// The quotation mark that a text ends with, escaped or not.
fn quote(before: &str) -> Option<&str> {
    let text = before.trim_end_matches(['"', '\'', '`']);
    let start = text.trim_end_matches('\\').len();
    before.get(start..).filter(|_| text.len() < before.len())
}

/// A margin without what is not the same before each line: numbers, and the blanks that align them.
fn shape(margin: &str) -> Vec<u8> {
    let bytes = margin.trim().bytes();
    let mut shape: Vec<u8> = bytes
        .map(|b| match b {
            b'0'..=b'9' => b'0',
            b'\t' => b' ',
            b => b,
        })
        .collect();
    shape.dedup_by(|a, b| a == b && matches!(a, b'0' | b' '));
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r";

    #[test]
    fn a_line_begins_behind_what_stands_before_the_first_one() {
        for (first, before, begins) in [
            ("BEGIN\n", "so\n", true),
            ("BEGIN\n", "so\r\n  ", true),
            ("BEGIN\n", "so\n# ", false),
            ("BEGIN\n", "Comment: ", false),
            ("BEGIN\n", "", false),
            // What is written in a line does not end it, where lines end as they are.
            ("BEGIN\n", "so\n# \\n", false),
            ("BEGIN\\n", "so\\n", true),
            ("BEGIN<br>", "so<br />", true),
            ("app-1  | BEGIN\n", "so\napp-1  | ", true),
            ("app-1  | BEGIN\n", "so\napp-1  | # ", false),
            ("so\n> BEGIN\n", "so\n> ", true),
            ("a.pem:9:BEGIN\n", "so\na.pem:10:", true),
            ("  9 BEGIN\n", "so\n 10 ", true),
            (
                "2024-11-30T10:00:01.123456789Z BEGIN\n",
                "so\n2024-11-30T10:00:02.12Z ",
                true,
            ),
            ("k = \"BEGIN\\n\" +", "so\\n\" +\n  \"", true),
            ("BEGIN\n", "so\n# \"", false),
            ("{\"k\": \"BEGIN\\n", "Comment: \\\"", false),
            // A key in one line.
            ("BEGIN ", &*format!(" {ROW} {ROW} "), true),
            ("BEGIN ", &*format!(" {ROW} aB3= "), true),
            ("BEGIN", ROW, true),
            ("BEGIN ", &*format!(" {ROW} comment "), false),
            ("BEGIN ", &*format!(" {ROW} # "), false),
            ("BEGIN\n", &*format!("\n# {ROW} "), false),
        ] {
            let start = first.find("BEGIN").unwrap_or_default();
            let margin = Margin::of("", first, start);
            assert_eq!(margin.begins_line(before), begins, "{first} {before}");
            let (gone, rest) = first.split_at(start);
            assert_eq!(Margin::of(gone, rest, 0), margin, "{first}");
        }
    }
}
