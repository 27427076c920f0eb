//! Numbers that stand free: figures inside a date, a time, an account, an address or an id are no numbers that anybody named.

use super::quantity::{day, month, numeric_date, year};
use super::script::{separates, unspaced};
use super::text::with_ascii_digits;

/// A normal text without the figures that are a part of something else.
pub(super) fn free_figures(normal: &str) -> String {
    let normal = with_ascii_digits(normal);
    let mut tokens = tokens(&normal);
    bind_dates(&mut tokens);
    bind_times(&mut tokens);
    bind_accounts(&mut tokens);
    bind_digits(&mut tokens);
    let mut free = String::with_capacity(normal.len());
    let mut at = 0_usize;
    for token in tokens.iter().filter(|token| token.bound) {
        free.push_str(normal.get(at..token.start).unwrap_or_default());
        free.push(' ');
        at = token.start.saturating_add(token.text.len());
    }
    free.push_str(normal.get(at..).unwrap_or_default());
    free
}

/// A word or a figure, with the signs at it.
struct Token<'t> {
    start: usize,
    text: &'t str,
    /// It is a part of something else than a number.
    bound: bool,
    /// A sign stands between it and the next: they belong to no one number.
    cut: bool,
}

/// Signs around a figure.
const SIGNS: [char; 16] = [
    '.', ',', ':', '!', '?', '*', '$', '€', '£', '¥', '%', '+', '-', '~', '#', '…',
];

impl<'t> Token<'t> {
    /// Without the signs at its ends.
    fn core(&self) -> &'t str {
        self.text.trim_matches(SIGNS)
    }

    fn has_digit(&self) -> bool {
        self.text.bytes().any(|b| b.is_ascii_digit())
    }

    /// How many digits it has, if nothing else but a hyphen.
    fn digits(&self) -> Option<usize> {
        let text = self.core();
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        (plain && digits > 0).then_some(digits)
    }
}

/// What figures of a day and of a time are followed by in Chinese, Japanese and Korean.
const UNITS_OF_TIME: &str = "年月日号號時时点點分秒년월일시분초";

fn tokens(normal: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0_usize;
    for chunk in normal.split(' ') {
        // An address or a path is one thing, but for `50/month`.
        let whole = chunk.contains("://") || chunk.contains(['@', '\\']);
        if whole || (chunk.contains('/') && !is_rate(chunk)) {
            tokens.push(Token {
                start: at,
                text: chunk,
                bound: true,
                cut: false,
            });
        } else {
            pieces(chunk, at, &mut tokens);
        }
        at = at.saturating_add(chunk.len()).saturating_add(1);
    }
    tokens
}

/// `50/month`
fn is_rate(chunk: &str) -> bool {
    let (amount, unit) = chunk.split_once('/').unwrap_or_default();
    let unit = unit.trim_end_matches(SIGNS);
    let word = !unit.is_empty() && unit.chars().all(char::is_alphabetic);
    word && amount.ends_with(|c: char| c.is_ascii_digit())
}

/// The pieces of a chunk without blanks.
fn pieces<'t>(chunk: &'t str, at: usize, tokens: &mut Vec<Token<'t>>) {
    let mut rest = chunk;
    let mut start = at;
    while !rest.is_empty() {
        let (length, border) = next_border(rest);
        let (text, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if !text.is_empty() {
            let of_time = behind.starts_with(|c: char| UNITS_OF_TIME.contains(c));
            let mut token = Token {
                start,
                text,
                bound: false,
                cut: !(behind.is_empty() || behind.starts_with(['(', ')'])),
            };
            token.bound = token.has_digit() && (of_time || !is_figure(token.core()));
            tokens.push(token);
        }
        let taken = length.saturating_add(border).max(1);
        start = start.saturating_add(taken);
        rest = rest.get(taken..).unwrap_or_default();
    }
}

/// Where a piece ends, and how long the sign is that it ends at.
fn next_border(text: &str) -> (usize, usize) {
    let mut before = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        let amid = digit(before) && digit(chars.peek().map(|(_, c)| *c));
        let border = match c {
            ',' | ':' | '\'' => !amid,
            '"' | '`' | '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | '|' | ';' | '=' | '/' => {
                true
            }
            c => separates(c) || unspaced(c),
        };
        if border {
            return (at, c.len_utf8());
        }
        before = Some(c);
    }
    (text.len(), 0)
}

/// Codes of currencies that stand before an amount without a blank.
const CURRENCIES: [&str; 24] = [
    "eur", "usd", "gbp", "chf", "jpy", "cny", "inr", "aud", "cad", "nzd", "sek", "nok", "dkk",
    "pln", "czk", "huf", "brl", "mxn", "zar", "sgd", "hkd", "rs", "us", "kr",
];
/// Most letters of a unit behind an amount: `10k`, `5min`, `1st`.
const UNIT_MAX: usize = 3;

/// Whether a piece is a number with its currency or its unit, and nothing else.
fn is_figure(core: &str) -> bool {
    let digit = |c: char| c.is_ascii_digit();
    let Some((before, amount)) = core.find(digit).and_then(|at| core.split_at_checked(at)) else {
        return false;
    };
    let before = before.trim_matches(SIGNS);
    if !(before.is_empty() || CURRENCIES.contains(&before)) || numeric_date(amount).is_some() {
        return false;
    }
    let part = |c: char| digit(c) || ".,'_".contains(c);
    let end = amount.find(|c| !part(c)).unwrap_or(amount.len());
    let unit = amount.get(end..).unwrap_or_default().trim_matches(SIGNS);
    let letters = unit.chars().all(char::is_alphabetic) && unit.chars().count() <= UNIT_MAX;
    // `1e3` is one as it stands.
    amount.parse::<f64>().is_ok() || (letters && !matches!(unit, "am" | "pm"))
}

/// The day and the year beside the name of a month.
fn bind_dates(tokens: &mut [Token<'_>]) {
    let mut parts = Vec::new();
    let word = |at: usize| tokens.get(at).map(Token::core);
    for (at, token) in tokens.iter().enumerate() {
        if month(token.core()).is_none() {
            continue;
        }
        let behind = |offset: usize| at.checked_add(offset);
        let is_day = |at: &usize| word(*at).and_then(day).is_some();
        let is_year = |at: &usize| word(*at).and_then(year).is_some();
        // `may 1st 2024`
        if let Some(day) = behind(1).filter(is_day) {
            parts.push(day);
            parts.extend(behind(2).filter(is_year));
        }
        // `1 may 2024`, `1st of may`
        let of = at.checked_sub(1).filter(|at| word(*at) == Some("of"));
        let before = of.unwrap_or(at).checked_sub(1);
        if let Some(day) = before.filter(is_day) {
            parts.push(day);
            parts.extend(behind(1).filter(is_year));
        }
    }
    bind(tokens, parts);
}

/// The hour before a word for the time of day.
fn bind_times(tokens: &mut [Token<'_>]) {
    // `o'clock` is cut at its apostrophe.
    const WORDS: [&str; 6] = ["am", "pm", "a.m", "p.m", "uhr", "o"];
    let mut parts = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if WORDS.contains(&token.core()) {
            parts.extend(at.checked_sub(1));
        }
    }
    bind(tokens, parts);
}

/// Most groups of an account that stand behind the first.
const GROUPS_MAX: usize = 8;

/// The groups of an IBAN, as banks print it.
fn bind_accounts(tokens: &mut [Token<'_>]) {
    let mut parts = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let [a, b, c, d] = token.core().as_bytes() else {
            continue;
        };
        let letters = a.is_ascii_lowercase() && b.is_ascii_lowercase();
        if !(letters && c.is_ascii_digit() && d.is_ascii_digit()) {
            continue;
        }
        let group = |text: &str| text.len() <= 4 && text.bytes().all(|b| b.is_ascii_alphanumeric());
        let behind = tokens.iter().enumerate().skip(at.saturating_add(1));
        let groups = behind.take(GROUPS_MAX);
        let groups = groups.take_while(|(_, token)| group(token.core()));
        parts.extend(groups.map(|(at, _)| at));
    }
    bind(tokens, parts);
}

/// Fewest digits that are a telephone number or a card's in groups.
const GROUPED_MIN: usize = 9;

/// The groups of telephone numbers and cards: figures one behind the other, without a comma between.
fn bind_digits(tokens: &mut [Token<'_>]) {
    let mut parts = Vec::new();
    let (mut run, mut digits) = (Vec::new(), 0_usize);
    for (at, token) in tokens.iter().enumerate() {
        if let Some(more) = token.digits() {
            run.push(at);
            digits = digits.saturating_add(more);
        }
        let next = tokens.get(at.saturating_add(1)).filter(|_| !token.cut);
        if next.is_none_or(|next| next.digits().is_none()) {
            if run.len() > 1 && digits >= GROUPED_MIN {
                parts.append(&mut run);
            }
            run.clear();
            digits = 0;
        }
    }
    bind(tokens, parts);
}

fn bind(tokens: &mut [Token<'_>], parts: Vec<usize>) {
    for at in parts {
        if let Some(token) = tokens.get_mut(at) {
            token.bound |= token.has_digit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::normal;
    use super::super::value::{Kind, recognise};
    use super::*;

    fn numbers(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        recognise(&free_figures(&normal(text)), &mut |kind, number| {
            if kind == Kind::Number && !found.contains(&number.to_owned()) {
                found.push(number.to_owned());
            }
        });
        found
    }

    #[test]
    fn figures_that_are_a_part_of_something_are_no_numbers() {
        for text in [
            "on 2024-05-15",
            "on 15.05.2024 or 05/15/2024",
            "on May 15th, 2024",
            "the 15th of May 2024",
            "15 May",
            "at 10:30",
            "at 10 am, 3pm, 11 Uhr",
            "to GB29NWBK60161331926819",
            "to GB29 NWBK 6016 1331 9268 19",
            "call +44 20 7946 0958.",
            "call (555) 123-4567",
            "card 4111 1111 1111 1111",
            "order #W2378156",
            "https://acme.example/15?a=5",
            "bob15@acme.example",
            "docs/2024/15.pdf",
            "version v15",
            "2024年5月15日",
        ] {
            assert_eq!(numbers(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn numbers_that_somebody_named_stay() {
        for (text, number) in [
            ("pay 98.70 EUR", "98.7"),
            ("pay EUR1000 now", "1000"),
            ("pay 1000EUR", "1000"),
            ("pay $1,000.00.", "1000"),
            ("pay 1.000,00 EUR", "1000"),
            ("pay 1e3", "1000"),
            ("pay 10k€", "10000"),
            ("pay 2.5 million", "2500000"),
            ("pay ten thousand", "10000"),
            ("pay US$50/month", "50"),
            ("file 15 (of 20)", "15"),
            ("file 15 (of 20)", "20"),
            ("amount=5", "5"),
            ("amount: 5, please", "5"),
            ("issue #15", "15"),
            ("in 2024", "2024"),
            ("付98.70元", "98.7"),
            ("for 5min", "5"),
            ("account 12345678901", "12345678901"),
            ("rooms 101, 102, 103 and 104", "102"),
            ("3 rooms on 2024-05-15", "3"),
        ] {
            let numbers = numbers(text);
            assert!(numbers.contains(&number.to_owned()), "{text}: {numbers:?}");
        }
    }
}
