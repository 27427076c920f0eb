//! Machine-readable zones of travel documents (ICAO 9303): passports (two lines of 44), cards (three of 30, two of 36).

use super::text::Text;

fn of(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'<'
}

/// The zone whose first line has `<<` at `at`: its range. A line by itself is one if it is the whole text.
pub(super) fn zone(text: Text<'_>, at: usize) -> Option<(usize, usize)> {
    lines(text, at).or_else(|| alone(text))
}

/// How far a line is read that is escaped for HTML, and a zone, in bytes.
const ESCAPED_LINE: usize = 46 * 4;
const ESCAPED_ZONE: usize = 96 * 4;

/// The zone that has `&lt;&lt;` at `at`, and how far it was looked for.
pub(super) fn escaped(text: Text<'_>, at: usize) -> (Option<(usize, usize)>, usize) {
    // A `<` that is not escaped is the next tag.
    let part = |b: u8| (of(b) && b != b'<') || matches!(b, b'&' | b'l' | b't' | b';');
    let start = text.run_back(at, ESCAPED_LINE, part);
    let line = text.run(at, ESCAPED_LINE, part);
    let end = text.run(at, ESCAPED_ZONE, |b| part(b) || is_break(b));
    let written = text.slice(start, end);
    let mut plain = String::with_capacity(written.len());
    let mut places = Vec::with_capacity(written.len());
    let mut from = 0_usize;
    while let Some(rest) = written.get(from..).filter(|rest| !rest.is_empty()) {
        places.push(from);
        let (c, width) = match rest.starts_with("&lt;") {
            true => ('<', 4),
            false => (rest.chars().next().unwrap_or(' '), 1),
        };
        plain.push(c);
        from = from.saturating_add(width);
    }
    places.push(from);
    let inner = Text {
        text: &plain,
        key: "",
    };
    let whole = start == 0 && end == text.len();
    let found = plain.find("<<").and_then(|at| match whole {
        true => zone(inner, at),
        false => lines(inner, at),
    });
    let place = |at: usize| places.get(at).map(|place| start.saturating_add(*place));
    let range = found.and_then(|(from, to)| place(from).zip(place(to)));
    (range, line)
}

/// What parts two lines, escaped for JSON as well.
fn is_break(b: u8) -> bool {
    matches!(b, b'\n' | b'\r' | b' ' | b'\\' | b'n' | b'r')
}

/// A line of which the text has no other: members of JSON often have one each.
fn alone(text: Text<'_>) -> Option<(usize, usize)> {
    let line = text.text.as_bytes();
    // The length first: this is asked at each row of fillers.
    if !matches!(line.len(), 30 | 36 | 44) || !line.iter().all(|b| of(*b)) {
        return None;
    }
    let letters = line.iter().filter(|b| b.is_ascii_uppercase()).count();
    let name = letters >= 5 && line.iter().all(|b| !b.is_ascii_digit());
    let kind = line.first();
    let sound = match line.len() {
        44 => passport(line) || (name && matches!(kind, Some(b'P' | b'V'))),
        36 => passport(line) || (name && matches!(kind, Some(b'I' | b'A' | b'C' | b'V'))),
        30 => {
            let number = matches!(kind, Some(b'I' | b'A' | b'C')) && checked(line, 5, 14);
            let dates = checked(line, 0, 6) && checked(line, 8, 14);
            number || (dates && letters < 12) || (name && text.text.ends_with("<<"))
        }
        _ => false,
    };
    sound.then_some((0, line.len()))
}

fn lines(text: Text<'_>, at: usize) -> Option<(usize, usize)> {
    let start = text.run_back(at, 46, of);
    let mut lines: [&[u8]; 3] = [b"", b"", b""];
    let mut end = start;
    let mut from = start;
    for line in &mut lines {
        let to = text.run(from, 45, of);
        if to.saturating_sub(from) < 30 {
            break;
        }
        *line = text.bytes(from, to);
        end = to;
        from = text.run(to, 6, is_break);
    }
    let [first, second, third] = lines;
    let sound = match (first.len(), second.len(), third.len()) {
        (44, 44, _) => matches!(first.first(), Some(b'P' | b'V')) && passport(second),
        (36, 36, _) => {
            matches!(first.first(), Some(b'I' | b'A' | b'C' | b'V'))
                && checked(second, 0, 9)
                && checked(second, 13, 19)
        }
        (30, 30, 30) => {
            matches!(first.first(), Some(b'I' | b'A' | b'C'))
                && checked(first, 5, 14)
                && checked(second, 0, 6)
        }
        _ => false,
    };
    let end = match first.len() {
        44 => start.saturating_add(end.saturating_sub(start).min(92)),
        _ => end,
    };
    sound.then_some((start, end))
}

fn passport(line: &[u8]) -> bool {
    checked(line, 0, 9) && checked(line, 13, 19) && checked(line, 21, 27)
}

/// Whether the digit behind a field is its check digit (weights 7, 3, 1).
fn checked(line: &[u8], from: usize, to: usize) -> bool {
    let field = line.get(from..to).unwrap_or_default();
    let sum: u32 = field
        .iter()
        .zip([7_u32, 3, 1].iter().cycle())
        .map(|(b, weight)| match b {
            b'0'..=b'9' => u32::from(b.wrapping_sub(b'0')).saturating_mul(*weight),
            b'A'..=b'Z' => u32::from(b.wrapping_sub(b'A'))
                .saturating_add(10)
                .saturating_mul(*weight),
            _ => 0,
        })
        .sum();
    line.get(to).map(|b| u32::from(b.wrapping_sub(b'0'))) == Some(sum % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specimens_of_the_standard() {
        for (text, expect) in [
            (
                "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10",
                true,
            ),
            (
                "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C46UTO7408122F1204159ZE184226B<<<<<10",
                false,
            ),
            (
                "I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<",
                true,
            ),
        ] {
            let at = text.find("<<").unwrap();
            let found = zone(Text { text, key: "" }, at);
            assert_eq!(found, expect.then_some((0, text.len())), "{text}");
        }
    }

    #[test]
    fn lines_alone_escaped_and_of_visas() {
        let first = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<";
        let second = "L898902C36UTO7408122F1204159ZE184226B<<<<<10";
        let visa = "V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL8988901C4XXX4009078F96121096ZE184226B<<<<<<";
        let find = |text: &str| {
            let at = text.find("<<").unwrap();
            zone(Text { text, key: "" }, at)
        };
        for text in [first, second, visa, "ERIKSSON<<ANNA<MARIA<<<<<<<<<<"] {
            assert_eq!(find(text), Some((0, text.len())), "{text}");
        }
        assert_eq!(find(&format!("see {first}")), None);
        assert_eq!(find(&second.replace("L898902C3", "L898902C4")), None);
        assert_eq!(find("A<<B"), None);
        let html = format!("<p>{first}\n{second}</p>").replace(first, &first.replace('<', "&lt;"));
        let html = html.replace(second, &second.replace('<', "&lt;"));
        let at = html.find("&lt;&lt;").unwrap();
        let text = Text {
            text: &html,
            key: "",
        };
        assert_eq!(escaped(text, at).0, Some((3, html.len() - 4)));
    }
}
