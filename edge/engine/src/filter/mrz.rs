//! Machine-readable zones of travel documents (ICAO 9303): passports (two lines of 44), cards (three of 30, two of 36).

use super::text::Text;

fn of(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'<'
}

/// The zone whose first line has `<<` at `at`: its range.
pub(super) fn zone(text: Text<'_>, at: usize) -> Option<(usize, usize)> {
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
        let breaks = |b: u8| matches!(b, b'\n' | b'\r' | b' ' | b'\\' | b'n' | b'r');
        from = text.run(to, 6, breaks);
    }
    let [first, second, third] = lines;
    let sound = match (first.len(), second.len(), third.len()) {
        (44, 44, _) => first.starts_with(b"P") && passport(second),
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
}
