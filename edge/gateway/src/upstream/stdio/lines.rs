//! The lines of a child: one message each, read into bounded memory.

use std::io;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// Longest line that is read as a message, in bytes: the largest answer that a server may be allowed, and its envelope. Of
/// a longer one only its id is looked for.
const LINE_BYTES_MAX: u64 = 17 * 1024 * 1024;
/// Longest line that is read past, in bytes. What is longer is no line, and the child is ended.
const PASSED_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// A line, up to its end.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Line {
    /// It was read.
    Whole,
    /// It was too long, and is gone; whose answer it was, if it was one.
    TooLong(Option<u64>),
}

/// Reads the next line; none when there is no whole one any more.
pub(super) async fn next<R: AsyncBufRead + Unpin>(
    reader: &mut R,
    line: &mut Vec<u8>,
) -> io::Result<Option<Line>> {
    next_within(reader, line, LINE_BYTES_MAX).await
}

async fn next_within<R: AsyncBufRead + Unpin>(
    reader: &mut R,
    line: &mut Vec<u8>,
    bytes_max: u64,
) -> io::Result<Option<Line>> {
    line.clear();
    let mut limited = AsyncReadExt::take(&mut *reader, bytes_max);
    limited.read_until(b'\n', line).await?;
    if line.ends_with(b"\n") {
        return Ok(Some(Line::Whole));
    }
    if u64::try_from(line.len()).unwrap_or(u64::MAX) < bytes_max {
        // The child ended within it.
        return Ok(None);
    }
    let mut glance = Glance::default();
    glance.at(line);
    // Nobody needs so much room again soon.
    *line = Vec::new();
    Ok(pass(reader, glance).await?.map(Line::TooLong))
}

/// Reads past the rest of a line.
async fn pass<R: AsyncBufRead + Unpin>(
    reader: &mut R,
    mut glance: Glance,
) -> io::Result<Option<Option<u64>>> {
    let mut left = PASSED_BYTES_MAX;
    loop {
        let rest = reader.fill_buf().await?;
        if rest.is_empty() {
            return Ok(None);
        }
        let end = rest.iter().position(|byte| *byte == b'\n');
        let passed = end.map_or(rest.len(), |end| end.saturating_add(1));
        glance.at(rest.get(..passed).unwrap_or(rest));
        reader.consume(passed);
        if end.is_some() {
            return Ok(Some(glance.answers()));
        }
        left = left.saturating_sub(u64::try_from(passed).unwrap_or(u64::MAX));
        if left == 0 {
            return Ok(None);
        }
    }
}

/// Whose answer a message is that is too large to be built.
pub(super) fn answers(line: &[u8]) -> Option<u64> {
    let mut glance = Glance::default();
    glance.at(line);
    glance.answers()
}

/// Longest name or number that is looked at, in bytes: more than any of those that matter.
const WORD_BYTES_MAX: usize = 24;

/// Where the next byte stands.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

/// Finds the `id` of a JSON-RPC message, wherever in it, and whether it is a request, without building anything.
#[derive(Default)]
struct Glance {
    /// How many objects and arrays are open.
    depth: usize,
    text: Text,
    /// Whether what comes in the outermost object is a member's value.
    in_value: bool,
    /// The name of the member, or its value, as far as it matters.
    word: Vec<u8>,
    names_id: bool,
    id: Option<u64>,
    has_method: bool,
}

impl Glance {
    fn answers(&self) -> Option<u64> {
        self.id.filter(|_| !self.has_method)
    }

    /// Looks at the next bytes.
    fn at(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.see(*byte);
        }
    }

    fn see(&mut self, byte: u8) {
        if self.text != Text::Outside {
            let ends = byte == b'"' && self.text == Text::Inside;
            let escapes = byte == b'\\' && self.text == Text::Inside;
            self.text = match (ends, escapes) {
                (true, _) => Text::Outside,
                (_, true) => Text::Escaped,
                _ => Text::Inside,
            };
            if !ends {
                self.keep(byte);
            }
            return;
        }
        match byte {
            b'"' => {
                self.text = Text::Inside;
                // A text is no number of ours.
                if self.in_value {
                    self.keep(byte);
                }
            }
            b'{' | b'[' => {
                self.keep(byte);
                self.depth = self.depth.saturating_add(1);
                if self.depth == 1 {
                    self.word.clear();
                }
            }
            b'}' | b']' => {
                if self.depth == 1 {
                    self.member_ends();
                }
                self.depth = self.depth.saturating_sub(1);
            }
            b',' if self.depth == 1 => self.member_ends(),
            b':' if self.depth == 1 && !self.in_value => {
                self.names_id = self.word == b"id";
                self.has_method |= self.word == b"method";
                self.in_value = true;
                self.word.clear();
            }
            byte if byte.is_ascii_whitespace() => {}
            byte => self.keep(byte),
        }
    }

    /// Keeps a byte of the outermost object, if there is room: what is longer is neither a name nor a number that matters.
    fn keep(&mut self, byte: u8) {
        if self.depth == 1 && self.word.len() < WORD_BYTES_MAX {
            self.word.push(byte);
        }
    }

    fn member_ends(&mut self) {
        if self.in_value && self.names_id {
            // As a parser does, the last one counts.
            let text = std::str::from_utf8(&self.word).ok();
            self.id = text.and_then(|text| text.parse().ok());
        }
        (self.in_value, self.names_id) = (false, false);
        self.word.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answers_id_is_found_wherever_it_stands() {
        for (line, id) in [
            (
                r#"{"jsonrpc":"2.0","id":7,"result":{"id":8,"x":[1,{"id":9}]}}"#,
                Some(7),
            ),
            (
                r#"{"result":{"a":"\"},\"id\":1"},"id": 12 ,"jsonrpc":"2.0"}"#,
                Some(12),
            ),
            (
                r#" { "result" : [] , "id" : 18446744073709551615 } "#,
                Some(u64::MAX),
            ),
            (r#"{"id":1,"id":2,"result":{}}"#, Some(2)),
            (
                r#"{"id":5,"method":"sampling/createMessage","params":{}}"#,
                None,
            ),
            (r#"{"id":"5","result":{}}"#, None),
            (r#"{"id":{"id":5},"result":{}}"#, None),
            (r#"{"id":-5,"result":{}}"#, None),
            (r#"{"id":1000000000000000000000001,"result":{}}"#, None),
            (r#"{"xid":5,"idx":6,"result":{"id":7}}"#, None),
            (
                r#"{"method":"notifications/message","params":{"id":5}}"#,
                None,
            ),
            ("", None),
            ("garbage", None),
        ] {
            assert_eq!(answers(line.as_bytes()), id, "{line}");
            // However it is cut.
            let mut glance = Glance::default();
            for byte in line.as_bytes() {
                glance.at(&[*byte]);
            }
            assert_eq!(glance.answers(), id, "{line}");
        }
    }

    #[tokio::test]
    async fn what_is_too_long_is_passed_and_what_follows_is_read() {
        let long = format!(r#"{{"result":{{"x":"{}"}},"id":3}}"#, "x".repeat(100));
        let all = format!("{{\"id\":1}}\n{long}\n{}\n{{\"id\":2}}\n{{", "y".repeat(90));
        for room in [1, 7, 1_000] {
            let mut reader = tokio::io::BufReader::with_capacity(room, all.as_bytes());
            let (mut line, mut seen) = (Vec::new(), Vec::new());
            while let Some(next) = next_within(&mut reader, &mut line, 40).await.unwrap() {
                assert!(line.len() <= 40);
                seen.push((next, String::from_utf8(line.clone()).unwrap()));
            }
            let whole = |text: &str| (Line::Whole, format!("{text}\n"));
            let gone = |id| (Line::TooLong(id), String::new());
            let wanted = [
                whole(r#"{"id":1}"#),
                gone(Some(3)),
                gone(None),
                whole(r#"{"id":2}"#),
            ];
            assert_eq!(seen, wanted, "{room}");
        }
    }
}
