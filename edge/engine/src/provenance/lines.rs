//! Plain text of a tool that is trusted: each line is a value, and what it says of a name.

/// The lines of a text without the signs of a list, and what stands behind a colon in each; of both also what is left without
/// a number in front, a comma at the end, and quotation marks around it.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.lines().flat_map(|line| {
        let line = line.trim().trim_start_matches(['-', '*', '•']).trim_start();
        let numbered = without_number(line);
        let whole = numbered.unwrap_or(line);
        let behind = whole.split_once(": ").map(|(_, behind)| behind.trim());
        let bare = [behind, Some(whole)].into_iter().flatten().flat_map(bare);
        behind.into_iter().chain([line]).chain(numbered).chain(bare)
    });
    parts.filter(|part| !part.is_empty())
}

/// Most digits of the number of a line.
const LINE_DIGITS_MAX: usize = 3;

/// `1. Elm Street`, `(2) Elm Street` without the number.
fn without_number(line: &str) -> Option<&str> {
    let from = line.strip_prefix('(').unwrap_or(line);
    let digits = from.bytes().take_while(u8::is_ascii_digit).count();
    let rest = from.get(digits..)?.strip_prefix(['.', ')'])?;
    let rest = rest.strip_prefix(' ')?.trim_start();
    (1..=LINE_DIGITS_MAX).contains(&digits).then_some(rest)
}

/// A value without the comma behind it, and without the one pair of quotation marks around it; each only if it is there.
fn bare(value: &str) -> impl Iterator<Item = &str> {
    let cut = value.strip_suffix(',').map(str::trim_end);
    let whole = cut.unwrap_or(value);
    let pairs = [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”')];
    let unquoted = pairs.into_iter().find_map(|(open, close)| {
        let inner = whole.strip_prefix(open)?.strip_suffix(close)?;
        (!inner.contains([open, close])).then_some(inner)
    });
    let says = |part: &&str| part.contains(char::is_alphanumeric);
    cut.into_iter().chain(unquoted).filter(says)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_values_are_written_in_many_ways() {
        for (text, parts) in [
            ("- Elm Street 5", &["Elm Street 5"][..]),
            ("• Elm Street 5", &["Elm Street 5"]),
            ("1. Elm Street 5", &["1. Elm Street 5", "Elm Street 5"]),
            ("(12) Elm", &["(12) Elm", "Elm"]),
            ("id_: '24'", &["'24'", "id_: '24'", "24"]),
            (
                "name: \"Ritz\",",
                &[
                    "\"Ritz\",",
                    "name: \"Ritz\",",
                    "\"Ritz\"",
                    "Ritz",
                    "name: \"Ritz\"",
                ],
            ),
            ("2) id: 5", &["5", "2) id: 5", "id: 5"]),
            ("“Elm”", &["“Elm”", "Elm"]),
            ("'a' and 'b'", &["'a' and 'b'"]),
            ("1.5 EUR", &["1.5 EUR"]),
            ("2024. Elm", &["2024. Elm"]),
            ("''", &["''"]),
            ("€,", &["€,"]),
        ] {
            assert_eq!(lines(text).collect::<Vec<_>>(), parts, "{text}");
        }
    }
}
