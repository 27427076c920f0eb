//! Behind the last line of a private key that is none of its own: in a comment amid the key, or above its rows. Then its other
//! rows follow, and its end.
//!
//! Anything may follow as well: what is read next, another field, a public key, a certificate. So only what looks like a row
//! of a key is one, near what went before, and no more than that is taken, up to a last line that begins as the lines of the
//! key do. What decides stands within [`NEAR_BYTES`]: a text that comes in pieces is read like one that is there as a whole.

use super::super::provider::base64;
use super::super::text::{Text, alnum};
use super::margin::{Margin, is_rest};
use super::{BEGIN, GAP_BYTES_MAX, LAST_BYTES_MAX, NEXT_BYTES_MIN};
use super::{begins_key, gap, is_of_key, is_random, last_lines, name_of};

/// Bytes that tell what comes next: what begins within [`GAP_BYTES_MAX`], and a row or a last line from there on.
const NEAR_BYTES: usize = GAP_BYTES_MAX.saturating_add(LAST_BYTES_MAX);
/// How long whole rows are: as PEM and OpenPGP write them, OpenSSH, and MIME.
const WIDTHS: [usize; 3] = [64, 70, 76];

/// What was read last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Read {
    /// A last line that may be in a comment.
    Line,
    Row,
    /// The end of the key.
    End,
}

/// How far was read behind the first last line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::filter) struct Behind {
    margin: Margin,
    read: Read,
    /// From here on nothing was read.
    from: usize,
    /// Where the last ends that is of the key.
    pub(super) end: usize,
    /// Whether there were rows of the key, before that line or behind it.
    has_rows: bool,
    /// Whether a last line came behind them that stands behind the first.
    pub(super) is_closed: bool,
}

impl Behind {
    /// Behind a last line that ends there, of a key the rows of which are in what stands `before` it.
    pub(super) fn of(before: &str, end: usize, margin: Margin) -> Self {
        let read = match margin.begins_line(before) {
            true => Read::End,
            false => Read::Line,
        };
        Self {
            margin,
            read,
            from: end,
            end,
            has_rows: true,
            is_closed: false,
        }
    }

    /// No rows stand before that line.
    pub(super) fn without_rows(self) -> Self {
        Self {
            read: Read::Line,
            has_rows: false,
            ..self
        }
    }

    /// If the key may go on.
    pub(in crate::filter) fn if_open(self) -> Option<Self> {
        (self.read != Read::End).then_some(self)
    }

    /// Reads what has come of a text; whether nothing that may still come is of the key.
    pub(in crate::filter) fn read(&mut self, text: &str) -> bool {
        self.end_row(text);
        while self.read != Read::End && text.len() >= self.from.saturating_add(NEAR_BYTES) {
            if !self.step(text) {
                return true;
            }
        }
        self.read == Read::End
    }

    /// Reads to the end of a text of which no more comes.
    pub(in crate::filter) fn finish(&mut self, text: &str) -> bool {
        self.end_row(text);
        while self.read != Read::End && self.step(text) {}
        true
    }

    /// Where what is of the key ends; whoever asks takes it out of the text.
    pub(in crate::filter) fn take(&mut self) -> usize {
        let end = std::mem::take(&mut self.end);
        self.from = self.from.saturating_sub(end);
        end
    }

    /// Reads the next row or last line; whether there is one.
    fn step(&mut self, text: &str) -> bool {
        let rest = text.get(self.from..).unwrap_or_default();
        let near = rest.get(..rest.floor_char_boundary(NEAR_BYTES));
        let near = near.unwrap_or_default();
        // What stands behind the first line of anything is of that, unless that line is in a comment.
        let mut firsts = near.match_indices(BEGIN).map(|(at, _)| at);
        let first = firsts.find(|at| {
            let line = near.get(*at..).unwrap_or_default();
            begins_key(line) || (name_of(line).is_some() && self.begins_line(near, *at))
        });
        let to = first.unwrap_or(near.len()).min(GAP_BYTES_MAX);
        let last = last_lines(near).find(|line| line.0 < to && is_of_key(line.2));
        if let Some(end) = row(near, last.map_or(to, |(at, _, _)| at), &self.margin) {
            self.from = self.from.saturating_add(end);
            (self.read, self.has_rows) = (Read::Row, true);
            self.end = self.from;
            self.end_row(text);
            return true;
        }
        let Some((at, end, _)) = last else {
            return false;
        };
        let is_end = self.has_rows && self.begins_line(near, at);
        self.read = if is_end { Read::End } else { Read::Line };
        self.from = self.from.saturating_add(end);
        // Above all rows, one is of the key only if they come.
        if self.has_rows {
            self.is_closed = true;
            self.end = self.from;
        }
        true
    }

    /// Whether a line of the key may begin there; nothing but what is near was read since the last row.
    fn begins_line(&self, near: &str, at: usize) -> bool {
        let before = near.get(..at).unwrap_or_default();
        let is_one_line = self.read == Read::Row && self.margin.line(before).is_none();
        self.margin.begins_line(before) || (is_one_line && is_rest(before))
    }

    /// Reads the rest of a row that is longer than what tells that it is one, or came in pieces.
    fn end_row(&mut self, text: &str) {
        if self.read == Read::Row {
            let text = Text { text, key: "" };
            self.from = text.run(self.from, text.len(), base64);
            self.end = self.from;
        }
    }
}

/// Where the first row of a key ends that begins before `to`: with nothing but quotation marks and the like before it, or
/// what stands before its first line; or a whole one that no word before it says to be something else.
fn row(near: &str, to: usize, margin: &Margin) -> Option<usize> {
    let text = Text {
        text: near,
        key: "",
    };
    let run = |at: usize| text.run(at, near.len(), base64);
    let first = gap(text, 0);
    if first < to && is_random(text.bytes(first, run(first)), NEXT_BYTES_MIN) {
        return Some(run(first));
    }
    let mut at = 0;
    while at < to {
        let end = run(at);
        let row = text.bytes(at, end);
        if is_random(row, NEXT_BYTES_MIN) {
            let is_whole = WIDTHS.contains(&row.len()) && !is_named(text, at);
            if is_whole || margin.ends(text.slice(0, at)) {
                return Some(end);
            }
        }
        at = end.saturating_add(1);
    }
    None
}

/// Whether a word stands before what begins there, with nothing between but blanks: `ssh-rsa AAAA…`, "see …".
fn is_named(text: Text<'_>, at: usize) -> bool {
    let blanks = text.run_back(at, at, |b| matches!(b, b' ' | b'\t'));
    alnum(text.before(blanks))
}

#[cfg(test)]
mod tests {
    use super::super::END;
    use super::*;

    const ROW: &str = "OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r";
    const SHORT: &str = "1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZq";

    /// Behind a last line in a comment.
    fn behind() -> Behind {
        Behind::of("\n# ", 0, Margin::default())
    }

    /// What of a text that follows a last line in a comment is of the key, however much of it is there at a time.
    fn check(text: &str, of_key: &str) {
        let mut whole = behind();
        whole.finish(text);
        assert_eq!(&text[..whole.end], of_key, "{text}");
        let ends = (0..=text.len()).filter(|at| text.is_char_boundary(*at));
        for size in [1, 2, 30, 1000] {
            let (mut behind, mut gone) = (behind(), 0);
            let mut is_known = false;
            for at in ends.clone().step_by(size) {
                is_known = is_known || behind.read(&text[gone..at]);
                gone += behind.take();
            }
            if !is_known {
                behind.finish(&text[gone..]);
                gone += behind.take();
            }
            assert_eq!(&text[..gone], of_key, "{text} by {size}");
        }
    }

    /// The key that a text begins with, but for what stands before its first line.
    fn key(text: &str) -> &str {
        let start = text.find(BEGIN).unwrap_or_default();
        let end = super::super::pem(Text { text, key: "" }, start);
        &text[start..end.unwrap_or(start)]
    }

    #[test]
    fn rows_of_a_key_go_on_behind_a_last_line() {
        let last = format!("{END}PRIVATE KEY-----");
        let (wide, words) = (ROW.repeat(9), " and so on".repeat(60));
        for of_key in [
            format!("\n{ROW}"),
            format!("\n{SHORT}"),
            format!("\n# {SHORT}\n# {SHORT}"),
            format!("\\n\", \"{SHORT}"),
            format!("\n{wide}\n{ROW}\n{SHORT}"),
            format!("\n{last}"),
            format!("\n{ROW}\nso\n{last}"),
            format!("\n# {BEGIN}x\n{ROW}\n{last}"),
            format!("\n# {BEGIN}x-----\n{ROW}\n# {last}\n{SHORT}\n{last}"),
            format!(" {SHORT} {last}"),
            format!("\n# {last}\n# {last}\n{ROW}\n{last}"),
            format!("\napp-1  | {ROW}\napp-1  | {SHORT}\napp-1  | {last}"),
            format!("\n(see below)\n{ROW}"),
            format!("\nconf/a.pem:3:{ROW}"),
        ] {
            check(&of_key, &of_key);
            check(&format!("{of_key}\"{words}"), &of_key);
        }
    }

    #[test]
    fn what_follows_a_last_line_in_a_comment_is_of_the_key_only_as_its_rows() {
        let words = " and so on".repeat(60);
        let key_id = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
        let ed25519 = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
        for text in [
            String::new(),
            words.clone(),
            format!("\nsee {ROW}{words}"),
            format!("\\n\", \"kid\": \"{key_id}\", \"n\": 1}}"),
            format!("\n256 SHA256:{} me@host (ED25519)", &ROW[..43]),
            format!("\nssh-ed25519 {ed25519} me@host"),
            format!("\nssh-rsa {}", ROW.repeat(6)),
            format!("\n-----BEGIN CERTIFICATE-----\n{ROW}\n-----END CERTIFICATE-----"),
            format!("\nhttps://docs.example.org/Guides2/PrivateKeys/HowToRotateThem{words}"),
            // Too far away.
            format!("\n{}\n{ROW}", "(so)".repeat(GAP_BYTES_MAX / 4)),
        ] {
            check(&text, "");
        }
    }

    #[test]
    fn what_follows_a_whole_key_is_not_of_it() {
        let (first, last) = (
            format!("{BEGIN}PRIVATE KEY-----"),
            format!("{END}PRIVATE KEY-----"),
        );
        let wide = ROW.repeat(2);
        let rows = |before: &str, row: &str| format!("{before}{row}").repeat(9);
        // How the lines of a key end, with what stands before the first of them, and what follows the last.
        for (before, end, behind) in [
            ("", "\n", String::new()),
            // Keys and lists of them.
            (
                "",
                "\n",
                format!(
                    "\n---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"me\"{}\n",
                    rows("\n", &wide[..70])
                ),
            ),
            (
                "",
                "\n",
                format!("\n|1|{0}=|{0}= ssh-rsa {1}", &ROW[..27], ROW.repeat(6)),
            ),
            // Another part of a message, and one in another file.
            (
                "",
                "\n",
                format!(
                    "\n\n--b\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n{}",
                    rows("\n", &wide[..76])
                ),
            ),
            ("", "\n", ROW.repeat(40)),
            // Other fields.
            (
                "key: |\n  ",
                "\n  ",
                format!("\ncert: |{}\nname: x", rows("\n  ", ROW)),
            ),
            (
                "name,key,sum\nweb,\"",
                "\n",
                format!("\n\",{}=,1\n", &ROW[..43]),
            ),
            ("| web | ", " ", format!(" | {}= | ok |", &ROW[..43])),
            ("[\"", "\\n", format!("\\n\",\"{}=\",\"x\"]", &ROW[..43])),
            (
                "{\"key\": [\"",
                "\", \"",
                format!("\"], \"id\": \"{ROW}\"}}"),
            ),
            // What stands before each line.
            ("app-1 | ", "\napp-1 | ", rows("\napp-1 | ", ROW)),
            ("a.pem:9:", "\na.pem:10:", rows("\nb.pem:1:", ROW)),
        ] {
            let of_key = [&*first, ROW, ROW, SHORT, &*last].join(end);
            let text = format!("{before}{of_key}{behind}");
            assert_eq!(key(&text), of_key, "{text}");
        }
    }
}
