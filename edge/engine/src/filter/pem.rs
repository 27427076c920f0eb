//! Private keys in PEM: their armour, and the key that has to stand in it.
//!
//! Whoever writes about keys, or a program that reads them, has the first and the last line without anything between.

mod behind;
mod margin;

pub(super) use behind::Behind;
pub(super) use margin::Margin;

use super::provider::base64;
use super::text::{Text, alnum, turns};
use memchr::memmem;

/// What the first line begins with.
pub(super) const BEGIN: &str = "-----BEGIN ";
/// What the last line begins with.
const END: &str = "-----END ";
/// What both end with.
const DASHES: &str = "-----";
/// Longest first line, in bytes.
const FIRST_BYTES_MAX: usize = 96;
/// Longest last line, in bytes.
const LAST_BYTES_MAX: usize = END.len().saturating_add(FIRST_BYTES_MAX);
/// How much of the end of a key tells whether its last line has begun there, in bytes: with what stands before that on its
/// line, and a character that is cut.
pub(super) const TAIL_BYTES: usize = LAST_BYTES_MAX
    .saturating_add(GAP_BYTES_MAX)
    .saturating_add(4);
/// How far its end is looked for, in bytes: four times the longest RSA key.
const PEM_BYTES_MAX: usize = 64 * 1024;
/// Most lines between the first one and the key: `Proc-Type: 4,ENCRYPTED`.
const HEADERS_MAX: usize = 8;
/// Longest of them, in bytes.
const HEADER_BYTES_MAX: usize = 256;
/// Most bytes between two lines: indentation, quotation marks, numbers.
const GAP_BYTES_MAX: usize = 128;
/// Least and most bytes by which a line is known as one of a key.
const LINE_BYTES: (usize, usize) = (12, 64);
/// From so many bytes on a row of letters and digits is no name in a program.
const LONG_BYTES: usize = 32;
/// Fewest bytes of base64 of a key: the shortest has 64, and a comment may stand amid them.
const BODY_BYTES_MIN: usize = 48;
/// Fewest of them in one row that are a key's whatever stands around it.
const ROW_BYTES_MIN: usize = 40;
/// Fewest in the next row of one whose last line is missing.
const NEXT_BYTES_MIN: usize = 24;
/// How far behind its first line such a key is looked for, in bytes, where what stands between is not known.
const OPEN_BYTES_MAX: usize = 512;

/// The private key whose armour begins at `start`. One whose end is missing goes as far as characters of its kind do.
pub(super) fn pem(text: Text<'_>, start: usize) -> Option<usize> {
    let name = name_of(text.from(start)).filter(|name| is_private(name))?;
    let body = start.saturating_add(first_bytes(name));
    let begun = first_line(text, body);
    let near = text.from(body);
    let near = near.get(..near.floor_char_boundary(PEM_BYTES_MAX))?;
    // That of another private key: nothing is looked for behind it, and so nothing is read twice.
    let mut firsts = near.match_indices(BEGIN).map(|(at, _)| at);
    let next = firsts.find(|at| near.get(*at..).is_some_and(begins_key));
    let all = near.get(..next.unwrap_or(near.len()))?;
    let margin = Margin::of("", text.text, start);
    if let Some((mut behind, has_rows)) = behind_last(all, begun.is_some(), margin) {
        behind.finish(all);
        // Rows behind that line alone may be of anything.
        let has_key = has_rows || behind.is_closed;
        return has_key.then(|| body.saturating_add(behind.end));
    }
    // Without such an end, whatever stands behind the first line of anything else may be of that.
    let near = near.get(..near.find(BEGIN).unwrap_or(near.len()))?;
    if let Some((last, end, _)) = last_lines(near).next()
        && (begun.is_some() || has_body(near.get(..last)?.as_bytes()))
    {
        // It may stand amid a key that is cut off.
        let end = body.saturating_add(end);
        let next = row(text, end, end.saturating_add(GAP_BYTES_MAX), NEXT_BYTES_MIN);
        return Some(next.map_or(end, |next| open_end(text, next)));
    }
    let to = body.saturating_add(near.len().min(OPEN_BYTES_MAX));
    let begun = begun.or_else(|| row(text, body, to, ROW_BYTES_MIN))?;
    Some(open_end(text, begun))
}

/// Where the last private key of a text begins whose last line has not come yet, or more behind that, or what may become its
/// first line. What came before that text has `gone`.
pub(super) fn open(gone: &str, text: &str) -> Option<usize> {
    let mut first = None;
    for at in memmem::rfind_iter(text.as_bytes(), BEGIN) {
        let near = text.get(at..)?;
        match name_of(near) {
            Some(name) if is_private(name) => {
                return match is_whole(near, name, Margin::of(gone, text, at)) {
                    true => first,
                    false => Some(at),
                };
            }
            None if near.len() < FIRST_BYTES_MAX => first = Some(at),
            _ => {}
        }
    }
    first
}

/// Whether nothing that comes behind a text is of the key that it begins with.
fn is_whole(near: &str, name: &str, margin: Margin) -> bool {
    let text = Text {
        text: near,
        key: "",
    };
    let body = first_bytes(name);
    let begun = first_line(text, body);
    behind_last(text.from(body), begun.is_some(), margin)
        .is_some_and(|(mut behind, _)| behind.read(text.from(body)))
}

/// Behind the first last line in the rest of a private key, whose rows had come before.
pub(super) fn end(text: &str, margin: &Margin) -> Option<Behind> {
    let (last, end) = last_of_key(text)?;
    Some(Behind::of(text.get(..last)?, end, margin.clone()))
}

/// Behind the first last line of a private key, and whether the key stands before that.
fn behind_last(all: &str, begun: bool, margin: Margin) -> Option<(Behind, bool)> {
    let (last, end) = last_of_key(all)?;
    let before = all.get(..last)?;
    let behind = Behind::of(before, end, margin);
    Some(match begun || has_body(before.as_bytes()) {
        true => (behind, true),
        false => (behind.without_rows(), false),
    })
}

/// How long the first line with this name is.
fn first_bytes(name: &str) -> usize {
    let around = BEGIN.len().saturating_add(DASHES.len());
    name.len().saturating_add(around)
}

/// The name on the first line with which a text begins, if that stands there whole.
fn name_of(text: &str) -> Option<&str> {
    let first = text.get(..text.floor_char_boundary(FIRST_BYTES_MAX))?;
    let name = first.strip_prefix(BEGIN)?;
    name.get(..name.find(DASHES)?)
}

/// Whether a first line with this name is that of a private key.
fn is_private(name: &str) -> bool {
    name.ends_with("PRIVATE KEY") || name == "PGP PRIVATE KEY BLOCK"
}

/// Whether a text begins with the first line of a private key.
fn begins_key(text: &str) -> bool {
    name_of(text).is_some_and(is_private)
}

/// Where the first last line of a private key begins and ends. One of anything else may stand amid a key, in a comment.
fn last_of_key(near: &str) -> Option<(usize, usize)> {
    let mut lines = last_lines(near);
    let line = lines.find(|(_, _, name)| is_of_key(name));
    line.map(|(at, end, _)| (at, end))
}

/// Whether a last line with this name is that of a private key.
fn is_of_key(name: &str) -> bool {
    name.contains("PRIVATE KEY")
}

/// Where last lines begin and end, and their names. Five dashes alone are none.
fn last_lines(near: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    near.match_indices(END).filter_map(|(at, _)| {
        let from = at.saturating_add(END.len());
        let rest = near.get(from..)?;
        let rest = rest.get(..rest.floor_char_boundary(FIRST_BYTES_MAX))?;
        let name = rest.get(..rest.find(DASHES)?)?;
        let end = from.saturating_add(name.len()).saturating_add(DASHES.len());
        Some((at, end, name))
    })
}

/// Whether there is a key between the first and the last line, whatever else is: what a log has before each line, elements
/// of a page, comments, a program, blanks. In programs and in prose few letters are beside one of another kind.
fn has_body(body: &[u8]) -> bool {
    let mut rows = body.split(|b| !base64(*b));
    rows.any(|row| is_random(row, ROW_BYTES_MIN)) || {
        let all: Vec<u8> = body.iter().copied().filter(|b| base64(*b)).collect();
        is_random(&all, BODY_BYTES_MIN)
    }
}

/// Whether these are so many bytes of base64 that say nothing. Of those, two of three are beside one of another kind; where
/// a key says what it is, two of five are.
fn is_random(bytes: &[u8], least: usize) -> bool {
    let count = |is: fn(&u8) -> bool| bytes.iter().filter(|b| is(b)).count();
    let many = |count: usize| count.saturating_mul(8) >= bytes.len();
    bytes.len() >= least
        && many(count(u8::is_ascii_uppercase))
        && many(count(u8::is_ascii_lowercase))
        && count(u8::is_ascii_digit) > 0
        && turns(bytes).count().saturating_mul(20) >= bytes.len().saturating_mul(7)
}

/// Where the first row of so many bytes of a key ends that begins from `start` on and before `to`.
fn row(text: Text<'_>, start: usize, to: usize, least: usize) -> Option<usize> {
    let mut at = start;
    while at < to.min(text.len()) {
        let end = text.run(at, OPEN_BYTES_MAX, base64);
        if is_random(text.bytes(at, end), least) {
            return Some(end);
        }
        at = end.saturating_add(1);
    }
    None
}

/// How far a key goes whose last line is missing and whose first one ends at `line`: as characters of its kind do, and on
/// to each further row of it that is near.
fn open_end(text: Text<'_>, line: usize) -> usize {
    let armour = |b: u8| {
        alnum(b)
            || b.is_ascii_whitespace()
            || matches!(b, b'+' | b'/' | b'=' | b'-' | b':' | b',' | b'\\')
    };
    let mut end = text.run(line, text.len(), armour);
    while let Some(next) = row(text, end, end.saturating_add(GAP_BYTES_MAX), NEXT_BYTES_MIN) {
        end = text.run(next, text.len(), armour);
    }
    end
}

/// How far the key goes at least whose armour's first line ends at `body`: to the end of a line of base64, or amid a long
/// one. Nothing stands before that but lines that say how it is encrypted or who made it.
fn first_line(text: Text<'_>, body: usize) -> Option<usize> {
    // With blanks for the ends of lines.
    let is_one_line = text.at(body) == b' ';
    let mut at = body;
    for _ in 0..=HEADERS_MAX {
        at = gap(text, at);
        let end = text.run(at, LINE_BYTES.1, base64);
        if is_line(text.bytes(at, end)) {
            return (text.at(end) != b'(').then_some(end);
        }
        at = header(text, at, is_one_line)?;
    }
    None
}

/// Whether this is the beginning of a line of base64: names in programs are shorter, or have few capitals.
fn is_line(line: &[u8]) -> bool {
    let count = |is: fn(&u8) -> bool| line.iter().filter(|b| is(b)).count();
    let capitals = count(u8::is_ascii_uppercase);
    let small = count(u8::is_ascii_lowercase);
    let is_long = line.len() >= LONG_BYTES && count(u8::is_ascii_digit) > 0;
    let has_capitals = capitals.saturating_mul(4) >= capitals.saturating_add(small);
    line.len() >= LINE_BYTES.0 && capitals > 0 && small > 0 && (is_long || has_capitals)
}

/// Behind what may stand between two lines: their end as it is or escaped, the marks of texts in a program that puts them
/// together, of quotations, comments and lists, the number of a line.
fn gap(text: Text<'_>, start: usize) -> usize {
    let most = start.saturating_add(GAP_BYTES_MAX);
    let mut at = start;
    while at < most {
        let next = text.at(at.saturating_add(1));
        let length = match text.at(at) {
            b'\\' if matches!(next, b'n' | b'r' | b't') => 2,
            b'-' if next != b'-' => 1,
            b'/' if matches!(next, b'/' | b' ') => 1,
            b'<' => line_break(text, at),
            b if b.is_ascii_digit() => number(text, at),
            // `b"…"`: of what kind a text in a program is.
            b if b.is_ascii_alphabetic() && matches!(next, b'"' | b'\'') => 1,
            b if b.is_ascii_whitespace() || b >= 0x80 => 1,
            b if b"\\\"'`+,.|>#*&".contains(&b) => 1,
            _ => 0,
        };
        if length == 0 {
            return at;
        }
        at = at.saturating_add(length);
    }
    at
}

/// Bytes of the line break of HTML that stands here.
fn line_break(text: Text<'_>, at: usize) -> usize {
    let breaks = ["<br>", "<br/>", "<br />"];
    let here = breaks.iter().find(|tag| text.from(at).starts_with(*tag));
    here.map_or(0, |tag| tag.len())
}

/// Bytes of the number of a line that stands here, with the sign behind it.
fn number(text: Text<'_>, at: usize) -> usize {
    let end = text.run(at, 6, |b| b.is_ascii_digit());
    match base64(text.at(end)) {
        true => 0,
        false => end.saturating_sub(at).saturating_add(1),
    }
}

/// Behind the line `Name: value` that stands here.
fn header(text: Text<'_>, at: usize, is_one_line: bool) -> Option<usize> {
    let name = text.run(at, 24, |b| b.is_ascii_alphabetic() || b == b'-');
    if name == at || text.at(name) != b':' {
        return None;
    }
    let value = text.run(name.saturating_add(1), 2, |b| b == b' ');
    let ends = |b: u8| matches!(b, b'\n' | b'\\' | b'"' | b'<') || (is_one_line && b == b' ');
    let inside = |b: u8| !ends(b);
    Some(text.run(value, HEADER_BYTES_MAX, inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";

    /// The armour is put together here, so that nobody who looks for keys in source code finds one.
    fn found(text: &str) -> Option<String> {
        let text = text
            .replace("BEGIN!", "-----BEGIN ")
            .replace("END!", "-----END ");
        let at = text.find(BEGIN)?;
        let end = pem(
            Text {
                text: &text,
                key: "",
            },
            at,
        )?;
        Some(text[at..end].to_owned())
    }

    #[test]
    fn a_key_has_a_body() {
        for text in [
            format!("BEGIN!PRIVATE KEY-----\n{LINE}\nEND!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\r\n{LINE}\r\nEND!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\\n{LINE}\\nEND!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\\\\n{LINE}\\\\nEND!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY----- {LINE} END!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----{LINE}END!PRIVATE KEY-----"),
            format!("BEGIN!EC PRIVATE KEY-----\n    {LINE}\n    END!EC PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\\n\" +\n  \"{LINE}\\n\" +\n  \"END!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\", \"{LINE}\", \"END!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\\n\"\n  b\"{LINE}\\n\"\n  b\"END!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\n> {LINE}\n> END!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\n+{LINE}\n+END!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\n  2\t{LINE}\n  3\tEND!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----<br/>{LINE}<br/>END!PRIVATE KEY-----"),
            format!(
                "BEGIN!RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123456789ABCDEF\n\n{LINE}\nEND!RSA PRIVATE KEY-----"
            ),
            format!(
                "BEGIN!RSA PRIVATE KEY----- Proc-Type: 4,ENCRYPTED DEK-Info: AES-128-CBC,0123456789ABCDEF {LINE} END!RSA PRIVATE KEY-----"
            ),
            format!(
                "BEGIN!PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2.0.22 (GNU/Linux)\nComment: a b c\n\n{LINE}\n=aB3d\nEND!PGP PRIVATE KEY BLOCK-----"
            ),
        ] {
            let whole = text
                .replace("BEGIN!", "-----BEGIN ")
                .replace("END!", "-----END ");
            assert_eq!(found(&format!("{text} and more")), Some(whole), "{text}");
        }
    }

    #[test]
    fn a_key_may_be_cut_off() {
        for length in [14, 20, 64] {
            let line = &LINE[..length];
            let text = format!("BEGIN!PRIVATE KEY-----\n{line}");
            let whole = text.replace("BEGIN!", "-----BEGIN ");
            assert_eq!(found(&text), Some(whole), "{text}");
        }
        let text = format!("BEGIN!PRIVATE KEY-----\\n\" +\n  \"{LINE}{LINE}\" and more");
        let hit = found(&text).unwrap_or_default();
        assert!(hit.ends_with(&format!("{LINE}{LINE}")), "{hit}");
    }

    /// A key of EC, as OpenSSL writes it.
    const LINES: [&str; 3] = [
        "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2",
        "OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r",
        "1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G",
    ];

    #[test]
    fn whatever_stands_before_its_lines_a_key_is_one() {
        let [one, two, three] = LINES;
        let narrow: Vec<String> = LINES
            .concat()
            .as_bytes()
            .chunks(10)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let narrow = narrow.join("\n");
        let spaced: String = LINES.concat().chars().flat_map(|c| [c, ' ']).collect();
        for text in [
            // Logs, and what looks for something in files.
            format!(
                "BEGIN!PRIVATE KEY-----\napp-1  | {one}\napp-1  | {two}\napp-1  | {three}\napp-1  | END!PRIVATE KEY-----"
            ),
            format!(
                "BEGIN!PRIVATE KEY-----\n[pod/a-7/b] {one}\n[pod/a-7/b] {two}\n[pod/a-7/b] {three}\n[pod/a-7/b] END!PRIVATE KEY-----"
            ),
            format!(
                "BEGIN!PRIVATE KEY-----\nNov 30 10:00:01 h app[7]: {one}\nNov 30 10:00:01 h app[7]: {two}\nNov 30 10:00:01 h app[7]: END!PRIVATE KEY-----"
            ),
            format!(
                "BEGIN!PRIVATE KEY-----\nconf/a.pem:2:{one}\nconf/a.pem:3:{two}\nconf/a.pem:4:{three}\nconf/a.pem:5:END!PRIVATE KEY-----"
            ),
            // Who made it.
            format!(
                "BEGIN!PGP PRIVATE KEY BLOCK-----\nComment: Alice \"A\" <alice@example.org>\n\n{one}\n{two}\n=aB3d\nEND!PGP PRIVATE KEY BLOCK-----"
            ),
            // Pages and programs.
            format!(
                "BEGIN!PRIVATE KEY-----</div><div>{one}</div><div>{two}</div><div>{three}</div><div>END!PRIVATE KEY-----"
            ),
            format!(
                "BEGIN!PRIVATE KEY-----\" + Environment.NewLine + \"{one}\" + Environment.NewLine + \"{two}\" + \"END!PRIVATE KEY-----"
            ),
            format!(
                "BEGIN!PRIVATE KEY-----\" >> k\necho \"{one}\" >> k\necho \"{two}\" >> k\necho \"END!PRIVATE KEY-----"
            ),
            // Disguises.
            format!("BEGIN!PRIVATE KEY-----\n{narrow}\nEND!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\n{spaced}\nEND!PRIVATE KEY-----"),
            format!("BEGIN!PRIVATE KEY-----\n(key)\n{one}\n{two}\n{three}\nEND!PRIVATE KEY-----"),
            format!(
                "BEGIN!PRIVATE KEY-----\n{}\n{one}\n{two}\n{three}\nEND!PRIVATE KEY-----",
                "so many words ".repeat(99)
            ),
            // Dashes inside.
            format!("BEGIN!PRIVATE KEY-----\n{one}\n# -----\n{two}\n{three}\nEND!PRIVATE KEY-----"),
            format!(
                "BEGIN!PRIVATE KEY-----\n{one}\n# {}\n{two}\nEND!PRIVATE KEY-----",
                "-".repeat(72)
            ),
            format!(
                "BEGIN!PRIVATE KEY-----\n{one}\n# END!of line 1-----\n{two}\nEND!PRIVATE KEY-----"
            ),
            // Its own last line inside, above it, and again and again.
            format!(
                "BEGIN!PRIVATE KEY-----\n{one}\n# END!PRIVATE KEY-----\n{two}\n{three}\nEND!PRIVATE KEY-----"
            ),
            format!(
                "BEGIN!PRIVATE KEY-----\n# END!PRIVATE KEY-----\n{one}\n{two}\n{three}\nEND!PRIVATE KEY-----"
            ),
            format!(
                "BEGIN!PRIVATE KEY-----\n{}{one}\n{two}\n{three}\nEND!PRIVATE KEY-----",
                "# END!PRIVATE KEY-----\n".repeat(99)
            ),
            format!(
                "BEGIN!PRIVATE KEY-----\napp-1  | {one}\napp-1  | # END!PRIVATE KEY-----\napp-1  | {two}\napp-1  | {three}\napp-1  | END!PRIVATE KEY-----"
            ),
            // Both beside each other.
            format!(
                "BEGIN!PRIVATE KEY-----\n{one}\n# END!PRIVATE KEY-----\n# BEGIN!x\n{two}\n{three}\nEND!PRIVATE KEY-----"
            ),
            format!(
                "BEGIN!PRIVATE KEY-----\n# END!PRIVATE KEY-----\n# BEGIN!x-----\n{one}\n{two}\n{three}\nEND!PRIVATE KEY-----"
            ),
            // First lines inside, whole or not, and whatever comes behind them.
            format!(
                "BEGIN!PRIVATE KEY-----\n# BEGIN!x\n{one}\n{two}\n{three}\nEND!PRIVATE KEY-----"
            ),
            format!(
                "BEGIN!EC PRIVATE KEY-----\n# BEGIN!x-----\n{one}\n{two}\nEND!EC PRIVATE KEY-----"
            ),
            format!(
                "BEGIN!PRIVATE KEY-----\n# BEGIN!x-----\n# END!x-----\n{one}\n{two}\nEND!PRIVATE KEY-----"
            ),
            format!(
                "BEGIN!PRIVATE KEY-----\n{}{one}\n{two}\nEND!PRIVATE KEY-----",
                "# BEGIN!x\n".repeat(999)
            ),
            format!(
                "BEGIN!PRIVATE KEY-----\n{one}\n# BEGIN!x {}\n{two}\nEND!PRIVATE KEY-----",
                "(so) ".repeat(99)
            ),
        ] {
            let whole = text
                .replace("BEGIN!", "-----BEGIN ")
                .replace("END!", "-----END ");
            assert_eq!(found(&format!("{text} and more")), Some(whole), "{text}");
        }
    }

    #[test]
    fn a_key_in_a_log_goes_on_as_its_lines_do() {
        let [one, two, three] = LINES;
        for before in ["2024-11-30T10:00:01.123456789Z ", "app ", "| > "] {
            let ended = [one, "# END!PRIVATE KEY-----", two, three];
            let above = ["# END!PRIVATE KEY-----", one, two, three];
            for lines in [ended, above] {
                let lines: String = lines.map(|line| format!("{before}{line}\n")).concat();
                let key = format!("BEGIN!PRIVATE KEY-----\n{lines}{before}END!PRIVATE KEY-----");
                let whole = key
                    .replace("BEGIN!", "-----BEGIN ")
                    .replace("END!", "-----END ");
                let text = format!("{before}{key}\n{before}{one}\n{before}{two}");
                assert_eq!(found(&text), Some(whole), "{text}");
            }
        }
    }

    #[test]
    fn a_key_that_is_cut_off_goes_on_behind_what_is_not_known() {
        let [one, two, _] = LINES;
        for text in [
            format!("BEGIN!PRIVATE KEY-----\napp-1  | {one}\napp-1  | {two}"),
            format!("BEGIN!PRIVATE KEY-----\n{one}\n# -----\n{two}"),
            format!("BEGIN!PRIVATE KEY-----\n{one}\n# BEGIN!-----\n{two}"),
            format!("BEGIN!PRIVATE KEY-----</div><div>{one}</div><div>{two}"),
            format!("BEGIN!PRIVATE KEY-----\n{one}\"\n + \"{two}"),
            // The end of something else amid it, or above it.
            format!("BEGIN!PRIVATE KEY-----\n{one}\nEND!x-----\n{two}\n{one}"),
            format!("BEGIN!PRIVATE KEY-----\n{one}\n# END!x-----\n# {two}\n# {one}"),
            format!("BEGIN!PRIVATE KEY-----\nEND!x-----\n{one}\n{two}"),
            format!("BEGIN!PRIVATE KEY-----\n{one}\n# END!PRIVATE KEY-----\n{two}\n{one}"),
        ] {
            let whole = text
                .replace("BEGIN!", "-----BEGIN ")
                .replace("END!", "-----END ");
            assert_eq!(found(&format!("{text}. It is")), Some(whole), "{text}");
        }
    }

    #[test]
    fn the_end_of_another_key_is_not_that_of_one() {
        let [one, two, _] = LINES;
        let text = format!(
            "BEGIN!PRIVATE KEY-----, then BEGIN!CERTIFICATE-----\n{one}\n{two}\nEND!CERTIFICATE-----"
        );
        assert_eq!(found(&text), None);
        // Nor is that of the next key the end of what is said of one, or of a place for one.
        for text in [
            format!(
                "BEGIN!PRIVATE KEY----- is how keys begin:\nBEGIN!PRIVATE KEY-----\n{one}\nEND!PRIVATE KEY-----"
            ),
            format!(
                "BEGIN!PRIVATE KEY-----\n<key>\nEND!PRIVATE KEY-----\nBEGIN!CERTIFICATE-----\n{one}\n{two}\nEND!CERTIFICATE-----, END!PRIVATE KEY-----"
            ),
        ] {
            assert_eq!(found(&text), None, "{text}");
        }
        let text = format!("BEGIN!PRIVATE KEY-----\n{one}\nEND!EC KEY-----");
        assert!(found(&text).is_some_and(|hit| hit.ends_with("EC KEY-----")));
    }

    #[test]
    fn a_key_is_open_up_to_its_own_last_line() {
        for (text, at) in [
            ("a", None),
            ("a BEGIN!", Some(2)),
            ("a BEGIN!RSA PRIV", Some(2)),
            ("a BEGIN!PRIVATE KEY-----\nMII", Some(2)),
            ("a BEGIN!PRIVATE KEY-----\nMII\nEND!PRIVATE KEY", Some(2)),
            ("a BEGIN!PRIVATE KEY-----\nMII\nEND!x-----\nMII", Some(2)),
            (
                "a BEGIN!PRIVATE KEY-----\nBEGIN!x-----\nEND!x-----\nMII",
                Some(2),
            ),
            ("a BEGIN!PRIVATE KEY-----\nMII\n# BEGIN!x", Some(2)),
            // More of it may come behind that.
            (
                "a BEGIN!PRIVATE KEY-----\nMII\nEND!PRIVATE KEY-----",
                Some(2),
            ),
            (
                "a BEGIN!PRIVATE KEY-----\nMII\nEND!PRIVATE KEY-----\n# So it",
                Some(2),
            ),
            (
                "a BEGIN!PRIVATE KEY-----\nLINE!\n# END!PRIVATE KEY-----\n# So it",
                Some(2),
            ),
            (
                "> BEGIN!PRIVATE KEY-----\n> LINE!\n> END!PRIVATE KEY-----",
                None,
            ),
            (
                "a BEGIN!PRIVATE KEY-----\nMII\nEND!PRIVATE KEY-----WORDS!",
                None,
            ),
            (
                "a BEGIN!PGP PRIVATE KEY BLOCK-----\nMII\nEND!PGP PRIVATE KEY BLOCK-----WORDS!",
                None,
            ),
            ("a BEGIN!CERTIFICATE-----\nMII", None),
        ] {
            let text = text
                .replace("BEGIN!", "-----BEGIN ")
                .replace("END!", "-----END ")
                .replace("WORDS!", &" and so on".repeat(30));
            let text = text.replace("LINE!", LINE);
            assert_eq!(open("", &text), at, "{text}");
        }
        let log = format!("{BEGIN}PRIVATE KEY-----\nso {LINE}\nso {END}PRIVATE KEY-----");
        assert_eq!(open("and\nso ", &log), None);
        assert_eq!(open("and so ", &log), Some(0));
        // What stays without dashes for so long is no first line.
        let text = format!("-----BEGIN {}", "of words ".repeat(20));
        assert_eq!(open("", &text), None);
    }

    #[test]
    fn who_writes_of_keys_has_none() {
        for text in [
            "BEGIN!PRIVATE KEY-----",
            "BEGIN!PRIVATE KEY-----\nEND!PRIVATE KEY-----",
            "BEGIN!PRIVATE KEY-----\n...\nEND!PRIVATE KEY-----",
            "BEGIN!PRIVATE KEY-----\nMIIE...\nEND!PRIVATE KEY-----",
            "BEGIN!PRIVATE KEY-----\nYOUR_PRIVATE_KEY\nEND!PRIVATE KEY-----",
            "BEGIN!PRIVATE KEY-----\n<your key>\nEND!PRIVATE KEY-----",
            "BEGIN!PRIVATE KEY-----\nbase64-encoded-key-data\nEND!PRIVATE KEY-----",
            "if pem.startswith(\"BEGIN!PRIVATE KEY-----\") and pem.endswith(\"END!PRIVATE KEY-----\"):",
            "key.replace(\"BEGIN!PRIVATE KEY-----\", \"\").replaceAll(\"\\\\n\", \"\").replace(\"END!PRIVATE KEY-----\", \"\"); new PKCS8EncodedKeySpec(x)",
            "\"BEGIN!PRIVATE KEY-----\\n\" + base64Encode(key) + \"\\nEND!PRIVATE KEY-----\"",
            "\"BEGIN!PRIVATE KEY-----\\n\" + privateKeyInBase64 + \"\\nEND!PRIVATE KEY-----\"",
            "[\"BEGIN!PRIVATE KEY-----\", \"BEGIN!RSA PRIVATE KEY-----\"]",
            "A key begins with BEGIN!PRIVATE KEY----- and ends with END!PRIVATE KEY-----.",
            "println(\"BEGIN!PRIVATE KEY-----\");\nprintln(Base64.getMimeEncoder(64, \"\\n\".getBytes(StandardCharsets.US_ASCII)).encodeToString(privateKey.getEncoded()));\nprintln(\"END!PRIVATE KEY-----\");",
            "key.replace(\"BEGIN!PRIVATE KEY-----\", \"\").replaceAll(\"\\\\s+\", \"\"); KeyFactory.getInstance(\"RSA\").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(key))); // not END!PRIVATE KEY-----",
            "Behind BEGIN!PRIVATE KEY----- follow lines in Base64 of the DER encoding of a PrivateKeyInfo (PKCS8, RFC 5208), see https://www.rfc-editor.org/rfc/rfc7468#section-10, up to END!PRIVATE KEY-----.",
            "# BEGIN!PRIVATE KEY-----\n# 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n# END!PRIVATE KEY-----",
            "rules: BEGIN!PRIVATE KEY-----, read in src/main/java/com/example/Base64Encoder2/PrivateKeyReader.java and so on",
            "BEGIN!PRIVATE KEY-----: a line that comes before the key, which says what it is",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
        // What follows a place for one is of something else.
        let wide = format!("{LINE}{}", &LINE[..12]);
        for text in [
            format!(
                "BEGIN!PRIVATE KEY-----\n<your key>\nEND!PRIVATE KEY-----\n```\nThe signature is:\n```\n{wide}\n{wide}\n```"
            ),
            format!(
                "BEGIN!PRIVATE KEY-----\n...\nEND!PRIVATE KEY-----\n---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"me\"\n{LINE}\n{LINE}\n---- END SSH2 PUBLIC KEY ----"
            ),
        ] {
            assert_eq!(found(&text), None, "{text}");
        }
        let public = format!("BEGIN!PUBLIC KEY-----\n{LINE}\nEND!PUBLIC KEY-----");
        assert_eq!(found(&public), None);
    }
}
