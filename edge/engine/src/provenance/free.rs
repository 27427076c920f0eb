//! Numbers that stand free: figures inside a date, a time, an account, an address or an id are no numbers that anybody named.

use super::account::ibans;
use super::currency::CODES;
use super::phone::phones;
use super::quantity::{day, month, numeric_date, year};
use super::script::{separates, unspaced};
use super::text::with_ascii_digits;

/// A normal text without the figures that are a part of something else.
pub(super) fn free_figures(normal: &str) -> String {
    let normal = with_ascii_digits(normal);
    without_bound(&normal, &bound(&normal))
}

/// The same without those that things are named by: `#15`, `PR#12`, `…/issues/42`. They are numbers, and no amounts.
pub(super) fn free_amounts(normal: &str) -> String {
    let normal = with_ascii_digits(normal);
    let mut tokens = bound(&normal);
    bind_names(&normal, &mut tokens);
    without_bound(&normal, &tokens)
}

fn bound(normal: &str) -> Vec<Token<'_>> {
    let mut tokens = tokens(normal);
    bind_dates(&mut tokens);
    bind_times(&mut tokens);
    bind_accounts(&mut tokens);
    bind_digits(normal, &mut tokens);
    tokens
}

fn without_bound(normal: &str, tokens: &[Token<'_>]) -> String {
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
const MONEY: [char; 4] = ['$', '€', '£', '¥'];

impl<'t> Token<'t> {
    /// Without the signs at its ends.
    fn core(&self) -> &'t str {
        self.text.trim_matches(SIGNS)
    }

    fn has_digit(&self) -> bool {
        self.text.bytes().any(|b| b.is_ascii_digit())
    }

    /// Its digits, if it has nothing else but a hyphen and is no date.
    fn digits(&self) -> Option<String> {
        let text = self.core();
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        (plain && !digits.is_empty() && numeric_date(text).is_none()).then_some(digits)
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
            let (path, number) = split_number(chunk);
            let parts = [(0, path, true), (path.len(), number, false)];
            for (start, text, bound) in parts.into_iter().filter(|(_, text, _)| !text.is_empty()) {
                tokens.push(Token {
                    start: at.saturating_add(start),
                    text,
                    bound,
                    cut: true,
                });
            }
        } else {
            pieces(chunk, at, &mut tokens);
        }
        at = at.saturating_add(chunk.len()).saturating_add(1);
    }
    tokens
}

/// The number that a path ends with, apart: of `acme/api#42` and `…/issues/42`. People name things by it.
fn split_number(chunk: &str) -> (&str, &str) {
    let cut = chunk.rfind(['/', '#']).map(|at| at.saturating_add(1));
    let parts = cut.and_then(|cut| chunk.split_at_checked(cut));
    let number = parts.filter(|(path, number)| {
        let number = number.trim_end_matches(SIGNS);
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        digits && path.contains(char::is_alphabetic)
    });
    number.unwrap_or((chunk, ""))
}

/// `50/month`, `50€/month`, `500/-`
fn is_rate(chunk: &str) -> bool {
    let (amount, unit) = chunk.split_once('/').unwrap_or_default();
    let word = unit.trim_end_matches(SIGNS);
    let word = !word.is_empty() && word.chars().all(char::is_alphabetic);
    let amount = amount.trim_end_matches(MONEY);
    (word || unit.starts_with('-')) && amount.ends_with(|c: char| c.is_ascii_digit())
}

/// `2-3`, `$50-100`; but no month and day, and no telephone number.
fn is_range(chunk: &str) -> bool {
    let figure = |text: &str| {
        (1..=3).contains(&text.len())
            && !text.starts_with('0')
            && text.bytes().all(|b| b.is_ascii_digit())
    };
    let bare = chunk.trim_matches(|c: char| SIGNS.contains(&c) || "()".contains(c));
    let ends = bare.split_once('-');
    ends.is_some_and(|(from, to)| figure(from) && figure(to.trim_start_matches(MONEY)))
}

/// The pieces of a chunk without blanks.
fn pieces<'t>(chunk: &'t str, at: usize, tokens: &mut Vec<Token<'t>>) {
    let mut rest = chunk;
    let mut start = at;
    let range = is_range(chunk);
    while !rest.is_empty() {
        let (length, border) = next_border(rest, range);
        let (text, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if !text.is_empty() {
            let of_time = behind.starts_with(|c: char| UNITS_OF_TIME.contains(c));
            let mut token = Token {
                start,
                text,
                bound: false,
                cut: !(behind.is_empty() || behind.starts_with(['(', ')', '-'])),
            };
            token.bound = token.has_digit() && (of_time || !is_figure(token.core()));
            tokens.push(token);
        }
        let taken = length.saturating_add(border).max(1);
        start = start.saturating_add(taken);
        rest = rest.get(taken..).unwrap_or_default();
    }
}

/// Where a piece ends, and how long the sign is that it ends at. `range`: figures stand on both sides of a hyphen.
fn next_border(text: &str, range: bool) -> (usize, usize) {
    let mut before = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        let amid = digit(before) && digit(chars.peek().map(|(_, c)| *c));
        let border = match c {
            ',' | ':' | '\'' => !amid,
            '-' => range && digit(before),
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

/// Other words for currencies that stand before an amount without a blank.
const CURRENCIES: [&str; 3] = ["rs", "us", "kr"];
/// Most letters of a unit behind an amount: `10k`, `45mins`, `1st`.
const UNIT_MAX: usize = 8;

/// The number behind a sign for one, which ends the word in front: of `pr#12`, `no.12`.
pub(super) fn number_behind(word: &str) -> Option<&str> {
    let at = word.find(|c: char| c.is_ascii_digit())?;
    let (before, number) = word.split_at_checked(at)?;
    let sign = match before.strip_suffix('#') {
        Some(name) => name.chars().all(char::is_alphabetic),
        // Without a point it may be an account in Norway.
        None => matches!(before, "no." | "nr." | "n°"),
    };
    (sign && number.bytes().all(|b| b.is_ascii_digit())).then_some(number)
}

fn is_currency(word: &str) -> bool {
    CODES.contains(&word) || CURRENCIES.contains(&word)
}

/// Whether a piece is a number with its currency, its unit or the name of what it numbers, and nothing else.
fn is_figure(core: &str) -> bool {
    if number_behind(core).is_some() {
        return true;
    }
    let digit = |c: char| c.is_ascii_digit();
    let Some((before, amount)) = core.find(digit).and_then(|at| core.split_at_checked(at)) else {
        return false;
    };
    let code = before.trim_matches(SIGNS);
    // `R$500`, `CA$500`
    let dollars =
        before.ends_with(MONEY) && code.len() <= 3 && code.chars().all(char::is_alphabetic);
    let money = code.is_empty() || is_currency(code) || dollars;
    if !money || numeric_date(amount).is_some() {
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
    let all: &[Token<'_>] = tokens;
    let word = |at: usize| all.get(at).map(Token::core);
    for (at, token) in all.iter().enumerate() {
        if month(token.core()).is_none() {
            continue;
        }
        let behind = |offset: usize| at.checked_add(offset);
        let is_day = |at: &usize| word(*at).and_then(day).is_some() && !is_amount(all, *at);
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

/// Whether a figure is an amount of money, by its sign or by what stands behind it: `jan $20`, `april 30 eur`.
fn is_amount(tokens: &[Token<'_>], at: usize) -> bool {
    const WORDS: [&str; 7] = [
        "euro", "euros", "dollar", "dollars", "pounds", "yen", "percent",
    ];
    let sign = tokens
        .get(at)
        .is_some_and(|token| token.text.contains(MONEY));
    let next = tokens
        .get(at.saturating_add(1))
        .map(|next| (next.text, next.core()));
    sign || next.is_some_and(|(text, core)| {
        let money = !text.is_empty() && text.chars().all(|c| MONEY.contains(&c));
        money || is_currency(core) || WORDS.contains(&core)
    })
}

/// The hour before a word for the time of day.
fn bind_times(tokens: &mut [Token<'_>]) {
    // `o'clock` is cut at its apostrophe.
    const WORDS: [&str; 6] = ["am", "pm", "a.m", "p.m", "uhr", "o"];
    let mut parts = Vec::new();
    let is_hour = |at: &usize| {
        let hour = tokens.get(*at).map(Token::core).unwrap_or_default();
        let hour = hour
            .split(['.', ':'])
            .next()
            .and_then(|hour| hour.parse::<u32>().ok());
        hour.is_some_and(|hour| hour <= 24)
    };
    for (at, token) in tokens.iter().enumerate() {
        if WORDS.contains(&token.core()) {
            parts.extend(at.checked_sub(1).filter(is_hour));
        }
    }
    bind(tokens, parts);
}

/// The numbers of things: behind a sign for one, or at the end of a path.
fn bind_names(normal: &str, tokens: &mut [Token<'_>]) {
    for token in tokens {
        let before = normal.get(..token.start).unwrap_or_default();
        let named = token.text.starts_with('#')
            || before.ends_with(['#', '/'])
            || number_behind(token.core()).is_some();
        token.bound |= named && token.has_digit();
    }
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
        let groups: Vec<(usize, &str)> = groups.map(|(at, token)| (at, token.core())).collect();
        let mut printed = token.core().to_owned();
        for (_, group) in &groups {
            printed.push(' ');
            printed.push_str(group);
        }
        // `flight lh45 for 2 pax` is none.
        let mut left = 0_usize;
        ibans(&printed, &mut |_, account| {
            if account.starts_with(token.core()) {
                left = left.max(account.len().saturating_sub(token.core().len()));
            }
        });
        for (at, group) in groups {
            if left == 0 {
                break;
            }
            parts.push(at);
            left = left.saturating_sub(group.len());
        }
    }
    bind(tokens, parts);
}

/// Fewest digits that are a telephone number or a card's in groups.
const GROUPED_MIN: usize = 9;

/// The groups of telephone numbers and cards: figures one behind the other, without a comma between.
fn bind_digits(normal: &str, tokens: &mut [Token<'_>]) {
    let mut known: Vec<String> = Vec::new();
    phones(normal, &mut |_, number| {
        known.push(number.trim_start_matches('+').to_owned());
    });
    let mut parts = Vec::new();
    let (mut run, mut digits) = (Vec::new(), String::new());
    for (at, token) in tokens.iter().enumerate() {
        if let Some(more) = token.digits() {
            run.push(at);
            digits.push_str(&more);
        }
        let next = tokens.get(at.saturating_add(1)).filter(|_| !token.cut);
        if next.is_none_or(|next| next.digits().is_none()) {
            let grouped = run.len() > 1 && digits.len() >= GROUPED_MIN;
            if grouped && known.iter().any(|number| digits.contains(number.as_str())) {
                parts.append(&mut run);
            }
            run.clear();
            digits.clear();
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
            "to NO9386011117947",
            "to GB29 NWBK 6016 1331 9268 19",
            "call +44 20 7946 0958.",
            "call (555) 123-4567",
            "card 4111 1111 1111 1111",
            "order #W2378156",
            "order#W2378156",
            "room B#12a",
            "https://acme.example/15?a=5",
            "bob15@acme.example",
            "docs/2024/15.pdf",
            "version v15",
            "on 05-15",
            "to DE89 3704 0044 0532 0130 00 now",
            "call 555-123 4567",
            "2024年5月15日",
        ] {
            assert_eq!(numbers(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn numbers_of_things_are_no_amounts() {
        for (text, left) in [
            ("refund ticket#5000 today", "refund   today"),
            ("refund #5000, $50", "refund , $50"),
            ("refund (#5000)", "refund ( )"),
            ("close acme/api#42.", "close  "),
            ("see https://acme.example/issues/42", "see  "),
            ("No.7 or nr.8", "  or  "),
            ("pay 5000 for #5000", "pay 5000 for  "),
            ("pay 50/month", "pay 50/month"),
        ] {
            let words = |text: &str| {
                text.split(' ')
                    .filter(|word| !word.is_empty())
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            assert_eq!(words(&free_amounts(&normal(text))), words(left), "{text}");
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
            ("flight LH45 for 2 pax at 300 EUR", "2"),
            ("flight LH45 for 2 pax at 300 EUR", "300"),
            ("Send Jan $20", "20"),
            ("Pay April 30 EUR", "30"),
            ("Zahle 500 am 15. Mai", "500"),
            ("for 45mins or 100euros", "45"),
            ("for 45mins or 100euros", "100"),
            ("pay 50€/month", "50"),
            ("pay 500/-", "500"),
            ("for 2-3 nights", "2"),
            ("for 2-3 nights", "3"),
            ("pay $50-100", "100"),
            ("pay R$500", "500"),
            ("pay CA$500", "500"),
            ("orders 48213 48214", "48214"),
            ("pay 500 2024-05-15", "500"),
            ("close https://acme.example/issues/42", "42"),
            ("close acme/api#42.", "42"),
            ("merge PR#12, please", "12"),
            ("close issue#42", "42"),
            ("No.7 or nr.8", "7"),
            ("No.7 or nr.8", "8"),
        ] {
            let numbers = numbers(text);
            assert!(numbers.contains(&number.to_owned()), "{text}: {numbers:?}");
        }
    }
}
