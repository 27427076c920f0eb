//! Behind the last line of a private key. One may stand in a comment amid the key: then its other rows follow, and its end.
//!
//! Anything may follow a key that is whole: what is read next, another field, a public key, a certificate. So only what looks
//! like a row of a key is one, near what went before, and no more than that is taken. What decides stands within
//! [`NEAR_BYTES`]: a text that comes in pieces is read like one that is there as a whole.

use super::super::provider::base64;
use super::super::text::{Text, alnum};
use super::{BEGIN, GAP_BYTES_MAX, LAST_BYTES_MAX, NEXT_BYTES_MIN};
use super::{gap, is_of_key, is_random, last_lines};

/// Bytes that tell what comes next: what begins within [`GAP_BYTES_MAX`], and a row or a last line from there on.
const NEAR_BYTES: usize = GAP_BYTES_MAX.saturating_add(LAST_BYTES_MAX);
/// How long whole rows are: as PEM and OpenPGP write them, OpenSSH, and MIME.
const WIDTHS: [usize; 3] = [64, 70, 76];

/// How far was read behind a last line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::filter) struct Behind {
    /// From here on nothing was read.
    from: usize,
    /// Where the last ends that is of the key.
    pub(super) end: usize,
    /// Whether rows were there.
    pub(super) goes_on: bool,
}

impl Behind {
    /// Behind a last line that ends there.
    pub(super) fn at(end: usize) -> Self {
        Self {
            from: end,
            end,
            goes_on: false,
        }
    }

    /// Behind a key that is gone, and that did or did not go on behind a last line.
    pub(in crate::filter) fn gone(goes_on: bool) -> Self {
        Self {
            goes_on,
            ..Self::default()
        }
    }

    /// Reads what has come of a text; whether nothing that may still come is of the key.
    pub(in crate::filter) fn read(&mut self, text: &str) -> bool {
        self.end_row(text);
        while text.len() >= self.from.saturating_add(NEAR_BYTES) {
            if !self.step(text) {
                return true;
            }
        }
        false
    }

    /// Reads to the end of a text of which no more comes.
    pub(in crate::filter) fn finish(&mut self, text: &str) -> bool {
        self.end_row(text);
        while self.step(text) {}
        true
    }

    /// Where what is of the key ends; whoever asks takes it out of the text.
    pub(in crate::filter) fn take(&mut self) -> usize {
        let end = std::mem::take(&mut self.end);
        self.from = self.from.saturating_sub(end);
        end
    }

    /// Reads the next row or last line; whether there is one. A last line is of the key if rows stand before it.
    fn step(&mut self, text: &str) -> bool {
        let rest = text.get(self.from..).unwrap_or_default();
        let near = rest.get(..rest.floor_char_boundary(NEAR_BYTES));
        let near = near.unwrap_or_default();
        // What stands behind the first line of anything is of that.
        let to = near.find(BEGIN).unwrap_or(near.len()).min(GAP_BYTES_MAX);
        let last = last_lines(near).find(|line| line.0 < to && is_of_key(line.2));
        let row = row(near, last.map_or(to, |(at, _, _)| at));
        let Some(end) = row.or(last.map(|(_, end, _)| end)) else {
            return false;
        };
        self.from = self.from.saturating_add(end);
        self.goes_on |= row.is_some();
        if self.goes_on {
            self.end = self.from;
        }
        self.end_row(text);
        true
    }

    /// Reads the rest of a row that is longer than what tells that it is one, or came in pieces.
    fn end_row(&mut self, text: &str) {
        if self.goes_on {
            let text = Text { text, key: "" };
            self.from = text.run(self.from, text.len(), base64);
            self.end = self.from;
        }
    }
}

/// Where the first row of a key ends that begins before `to`: with nothing but quotation marks and the like before it, or a
/// whole one that no word before it says to be something else.
fn row(near: &str, to: usize) -> Option<usize> {
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
        if WIDTHS.contains(&row.len()) && is_random(row, NEXT_BYTES_MIN) && !is_named(text, at) {
            return Some(end);
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

    /// What of a text that follows a last line is of the key, however much of it is there at a time.
    fn check(text: &str, of_key: &str) {
        let mut behind = Behind::default();
        behind.finish(text);
        assert_eq!(&text[..behind.end], of_key, "{text}");
        assert_eq!(behind.goes_on, !of_key.is_empty(), "{text}");
        let ends = (0..=text.len()).filter(|at| text.is_char_boundary(*at));
        for size in [1, 2, 30, 1000] {
            let (mut behind, mut gone) = (Behind::default(), 0);
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
            format!("\n{ROW}\nso\n{last}"),
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
    fn what_follows_a_whole_key_is_not_of_it() {
        let words = " and so on".repeat(60);
        let key_id = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
        let ed25519 = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
        for text in [
            String::new(),
            words.clone(),
            format!("\n{END}PRIVATE KEY-----{words}"),
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
}
