//! Numbers and dates inside text.

use super::clock::{Clock, two_digits};
use super::ideographic::sign_zeros;
use super::script::unspaced;
use super::shape::Shapes;
use super::text::{Cut, with_ascii_digits};
use super::value::Kind;
use std::borrow::Cow;
use std::sync::LazyLock;

/// Longest written number, in bytes.
const NUMBER_BYTES_MAX: usize = 64;

pub(super) fn numbers(normal: &str, found: &mut dyn FnMut(Kind, &str)) {
    let mut rest = normal;
    while let Some(start) = first_digit(rest) {
        let before = rest.get(..start).unwrap_or_default();
        let from = rest.get(start..).unwrap_or_default();
        let end = from
            .bytes()
            .take(NUMBER_BYTES_MAX)
            .position(|b| {
                !matches!(
                    b,
                    b'0'..=b'9' | b'.' | b',' | b'\'' | b'_' | b'e' | b'+' | b'-'
                )
            })
            .unwrap_or(from.len().min(NUMBER_BYTES_MAX));
        let run = from.get(..end).unwrap_or_default();
        let minus = before.ends_with('-');
        // A run such as `2024-05-10` or `98.70,` is cut at what no number has inside, but for an exponent.
        let ends = |b: u8| matches!(b, b'e' | b'+' | b'-');
        let run = match run.bytes().position(ends) {
            Some(_) if run.contains('e') && run.parse::<f64>().is_ok() => run,
            Some(cut) => run.get(..cut).unwrap_or_default(),
            None => run,
        };
        let skip = run.len().max(1);
        let run = run.trim_end_matches(['.', ',', '\'', '_']);
        rest = from.get(skip..).unwrap_or_default();
        let scale = scale(rest);
        let halved = is_halved(before);
        for canonical in canonical_numbers(run) {
            found(Kind::Number, &canonical);
            if minus {
                found(Kind::Number, &format!("-{canonical}"));
            }
            let scaled = scale.map(|(kind, zeros)| (kind, scaled(&canonical, zeros)));
            if let Some((kind, scaled)) = &scaled {
                found(*kind, scaled);
            }
            let whole = match &scaled {
                Some((_, scaled)) => scaled.as_str(),
                None => &*canonical,
            };
            if let Some(number) = halved.then(|| half(whole)).flatten() {
                found(Kind::Meant, &number);
            }
        }
        let other = match run {
            "0" => hexadecimal(rest),
            run => grouped_by_blanks(run, rest),
        };
        if let Some(number) = other {
            found(Kind::Meant, &number);
        }
    }
}

/// Where the first digit is. A text is looked through in pieces, without a branch for each byte: most have none for long.
pub(super) fn first_digit(text: &str) -> Option<usize> {
    const PIECE: usize = 16;
    let has_digit = |piece: &[u8]| piece.iter().fold(false, |any, b| any | b.is_ascii_digit());
    let mut pieces = text.as_bytes().chunks(PIECE);
    let piece = pieces.position(has_digit)?.saturating_mul(PIECE);
    let within = text.as_bytes().get(piece..)?;
    let at = within.iter().position(u8::is_ascii_digit)?;
    Some(piece.saturating_add(at))
}

/// Whether half of the number that follows is meant.
fn is_halved(before: &str) -> bool {
    // Hardly any is.
    let last = before.bytes().rev().find(|b| !matches!(b, b' ' | b'$'));
    let may_be = last.is_some_and(|b| b == b'f' || !b.is_ascii());
    may_be && before.trim_end_matches(SIGNS).ends_with("half of")
}

/// What stands between words and an amount.
const SIGNS: [char; 5] = [' ', '$', '€', '£', '¥'];

fn half(canonical: &str) -> Option<String> {
    let number: f64 = canonical.parse().ok()?;
    Some((number / 2.0).to_string())
}

/// Most digits of a hexadecimal number that is an amount: longer ones are addresses and digests.
const HEX_DIGITS_MAX: usize = 12;

/// `0x2328`, behind its zero.
fn hexadecimal(behind: &str) -> Option<String> {
    let digits = behind.strip_prefix('x')?;
    let end = digits.bytes().take(HEX_DIGITS_MAX.saturating_add(1));
    let end = end.take_while(u8::is_ascii_hexdigit).count();
    let (digits, after) = digits.split_at_checked(end)?;
    if digits.len() > HEX_DIGITS_MAX || after.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let number = u64::from_str_radix(digits, 16).ok()?;
    Some(number.to_string())
}

/// Both readings of a written number: with a decimal point and with a decimal comma.
fn canonical_numbers(run: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let plain = plain_number(run).map(Cow::Borrowed);
    let readings = plain.is_none().then(|| both_readings(run));
    let readings = readings.into_iter().flatten().map(Cow::Owned);
    plain.into_iter().chain(readings)
}

/// The canonical form where there is one reading: a few digits, as most are, and an amount such as `98.50`.
fn plain_number(run: &str) -> Option<&str> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = match run.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (run, None),
    };
    if whole.starts_with('0') || !digits(whole) {
        return None;
    }
    let Some(fraction) = fraction else {
        return Some(run);
    };
    // What a double holds to the digit; and no group of three.
    let plain = digits(fraction) && fraction.len() <= 2 && whole.len() <= 12;
    plain.then(|| run.trim_end_matches('0').trim_end_matches('.'))
}

fn both_readings(run: &str) -> impl Iterator<Item = String> + use<> {
    // A mark between groups has three digits behind it; the other one stands once.
    let reading = |group: char, decimal: char| -> Option<String> {
        let (whole, fraction) = run.split_once(decimal).unwrap_or((run, ""));
        let marks = |c: char| c == group || c == '\'' || c == '_';
        let mut groups = whole.split(marks);
        let first = groups.next()?;
        let grouped = groups.all(|group| group.len() == 3);
        let sound = grouped && !first.is_empty() && !fraction.contains(marks);
        let digits = whole.replace(marks, "");
        sound.then(|| match fraction {
            "" => digits,
            fraction => format!("{digits}.{fraction}"),
        })
    };
    let point = reading(',', '.').unwrap_or_default();
    let comma = reading('.', ',').unwrap_or_default();
    let first = canonical_number(&point);
    let second = canonical_number(&comma).filter(|second| Some(second) != first.as_ref());
    first.into_iter().chain(second)
}

/// What the words right behind a number make of it: how many zeros. Letters that mean other things as well (metres) are
/// no proof.
fn scale(behind: &str) -> Option<(Kind, usize)> {
    let attached = behind.starts_with(|c: char| c.is_ascii_alphabetic());
    let mut rest = behind;
    let mut total = None;
    // `2 hundred thousand`
    for _ in 0..3 {
        let word = rest.strip_prefix([' ', '-']).unwrap_or(rest);
        if let Some((zeros, after)) = sign_zeros(word) {
            let (_, before) = total.unwrap_or((Kind::Meant, 0));
            total = Some((Kind::Meant, zeros.saturating_add(before)));
            rest = after;
            continue;
        }
        if !word.starts_with(['b', 'c', 'd', 'g', 'h', 'k', 'l', 'm', 't']) {
            break;
        }
        let end = word
            .find(|c: char| !c.is_alphanumeric() || unspaced(c))
            .unwrap_or(word.len());
        let (word, after) = word.split_at_checked(end)?;
        let Some((kind, zeros)) = zeros_of(word, attached) else {
            break;
        };
        let (_, before) = total.unwrap_or((kind, 0));
        total = Some((kind, zeros.saturating_add(before)));
        rest = after;
    }
    total
}

fn zeros_of(word: &str, attached: bool) -> Option<(Kind, usize)> {
    let zeros = match word {
        "hundred" => 2,
        "thousand" | "thousands" | "tsd" | "grand" => 3,
        "lakh" | "lakhs" => 5,
        "million" | "millions" | "mio" | "mln" | "mn" => 6,
        "crore" | "crores" => 7,
        "billion" | "billions" | "bn" | "mrd" => 9,
        "trillion" => 12,
        "k" => 3,
        "m" | "mm" => return Some((Kind::Meant, 6)),
        "b" => return Some((Kind::Meant, 9)),
        // German, Dutch, French, Spanish.
        "hundert" | "honderd" | "cientos" => return Some((Kind::Meant, 2)),
        "tausend" | "duizend" | "mille" | "mil" => return Some((Kind::Meant, 3)),
        "millionen" | "miljoen" | "millones" => return Some((Kind::Meant, 6)),
        "milliarden" | "milliard" | "milliards" | "miljard" => return Some((Kind::Meant, 9)),
        _ => return None,
    };
    let kind = match word {
        "k" if !attached => Kind::Meant,
        _ => Kind::Number,
    };
    Some((kind, zeros))
}

/// A canonical number with its point moved.
fn scaled(canonical: &str, zeros: usize) -> String {
    let (whole, fraction) = canonical.split_once('.').unwrap_or((canonical, ""));
    let (moved, left) = fraction.split_at_checked(zeros).unwrap_or((fraction, ""));
    let missing = zeros.saturating_sub(moved.len());
    let number = format!("{whole}{moved}{}.{left}", "0".repeat(missing));
    let number = number.trim_end_matches('.');
    canonical_number(number).unwrap_or_else(|| number.to_owned())
}

/// `10 000`, `1 250 000,50`.
fn grouped_by_blanks(run: &str, behind: &str) -> Option<String> {
    if run.len() > 3 || !run.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut rest = behind;
    if !rest.starts_with(' ') {
        return None;
    }
    let mut digits = run.to_owned();
    for _ in 0..4 {
        let Some(group) = rest.strip_prefix(' ').and_then(|rest| rest.get(..3)) else {
            break;
        };
        let after = rest.get(4..).unwrap_or_default();
        let more = after.starts_with(|c: char| c.is_alphanumeric());
        if more || !group.bytes().all(|b| b.is_ascii_digit()) {
            break;
        }
        digits.push_str(group);
        rest = after;
    }
    if digits.len() == run.len() {
        return None;
    }
    let cents = rest.strip_prefix([',', '.']).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit());
        rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
    });
    let cents = cents.filter(|cents| (1..=2).contains(&cents.len()));
    canonical_number(&match cents {
        Some(cents) => format!("{digits}.{cents}"),
        None => digits,
    })
}

/// The shortest decimal form; digits beyond what a double holds stay as they are.
pub(super) fn canonical_number(text: &str) -> Option<String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.len() <= 40 && digits.bytes().all(|b| b.is_ascii_digit()) {
        let short = match digits.trim_start_matches('0') {
            "" => "0",
            short => short,
        };
        let sign = if text.starts_with('-') { "-" } else { "" };
        return Some([sign, short].concat());
    }
    let number: f64 = (text.len() <= 40).then(|| text.parse().ok()).flatten()?;
    number.is_finite().then(|| number.to_string())
}

pub(super) fn dates(words: &Cut<'_>, found: &mut dyn FnMut(Kind, &str)) {
    let get = |at: usize| words.get(at);
    for (at, word) in words.words().enumerate() {
        if word.len() >= 8
            && word.starts_with(|c: char| c.is_ascii_digit())
            && let Some(date) = numeric_date(word)
        {
            date.tell(found);
            if !is_stamp(words)
                && let Some(clock) = clock_behind(word, get(at.saturating_add(1)))
            {
                found(Kind::PartOfDate, &clock.part());
            }
        }
        let Some(month) = month(word) else { continue };
        let word_at = |offset: usize| get(at.saturating_add(offset));
        let before = |offset: usize| at.checked_sub(offset).and_then(get);
        // `may 1st 2024`
        if let Some(day) = word_at(1).and_then(day) {
            Date::new(word_at(2).and_then(year), month, day).tell(found);
        }
        // `1 may 2024`, `1st of may`
        let earlier = before(1).and_then(|word| match word {
            "of" => before(2),
            word => Some(word),
        });
        if let Some(day) = earlier.and_then(day) {
            Date::new(word_at(1).and_then(year), month, day).tell(found);
        }
    }
}

/// Most words of a time stamp by itself, `2024-05-15T10:30:00+02:00`.
const STAMP_WORDS_MAX: usize = 4;
/// Longest text that is looked at for one, in bytes.
const STAMP_BYTES_MAX: usize = 48;

/// Whether a text with a date in it is nothing else than a time stamp: records have them, and dictate no time by them.
fn is_stamp(words: &Cut<'_>) -> bool {
    let figures = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    words.len() <= STAMP_WORDS_MAX && words.words().all(figures)
}

/// The time of day in a normal text that is a time stamp by itself.
pub(super) fn clock_of_stamp(normal: &str) -> Option<Clock> {
    let figure = normal.starts_with(char::is_numeric) && normal.contains('t');
    if normal.len() > STAMP_BYTES_MAX || !figure {
        return None;
    }
    let plain = with_ascii_digits(normal);
    let words = Cut::new(&plain);
    let day = words.get(0).filter(|_| is_stamp(&words))?;
    numeric_date(day)?;
    clock_behind(day, words.get(1))
}

/// The time behind a `t` in a date, which ends at the first colon, with the word behind that: `2024-05-15t10`, `30`.
fn clock_behind(word: &str, next: Option<&str>) -> Option<Clock> {
    let (_, hour) = word.split_once('t')?;
    let (hour, minute) = (two_digits(hour)?, two_digits(next?.get(..2)?)?);
    Some(Clock {
        hour,
        minute,
        second: 0,
    })
}

#[derive(Clone, Copy)]
pub(super) struct Date {
    year: Option<u32>,
    month: u32,
    day: u32,
    /// The same figures the other way round, where a writer may have meant either.
    ambiguous: bool,
}

impl Date {
    fn new(year: Option<u32>, month: u32, day: u32) -> Self {
        Self {
            year,
            month,
            day,
            ambiguous: false,
        }
    }

    fn tell(self, found: &mut dyn FnMut(Kind, &str)) {
        let Self {
            year, month, day, ..
        } = self;
        let month_day = format!("{month}-{day}");
        found(Kind::MonthDay, &month_day);
        match year {
            Some(year) => found(Kind::Date, &format!("{year}-{month_day}")),
            None => found(Kind::Yearless, &month_day),
        }
        if self.ambiguous {
            Self::new(year, day, month).tell(found);
        }
    }
}

/// `2024-05-10`, `2024/05/10`, with or without a time behind a `t`; `10.05.2024`; `05/10/2024` both ways.
pub(super) fn numeric_date(word: &str) -> Option<Date> {
    let word = word.split('t').next()?;
    let separator = word.chars().find(|c| !c.is_ascii_digit())?;
    let mut parts = word.split(separator);
    let (first, second, third) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !"-/.".contains(separator) {
        return None;
    }
    let (a, b, c): (u32, u32, u32) = (
        first.parse().ok()?,
        second.parse().ok()?,
        third.parse().ok()?,
    );
    let in_range = |month: u32, day: u32| (1..=12).contains(&month) && (1..=31).contains(&day);
    if first.len() == 4 {
        return in_range(b, c).then(|| Date::new(Some(a), b, c));
    }
    if third.len() != 4 {
        return None;
    }
    match (separator, in_range(b, a), in_range(a, b)) {
        ('/', true, true) => Some(Date {
            ambiguous: true,
            ..Date::new(Some(c), b, a)
        }),
        (_, true, _) => Some(Date::new(Some(c), b, a)),
        (_, false, true) => Some(Date::new(Some(c), a, b)),
        _ => None,
    }
}

/// Longest date by itself, in bytes: `wednesday, the 16th of september 2024`.
const WHOLE_DATE_BYTES_MAX: usize = 40;

/// The day that a normal text names, and nothing else, as `2024-05-16`. None if its figures may be read in two ways.
pub(super) fn whole_date(normal: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b" ,./-".contains(&b);
    if normal.len() > WHOLE_DATE_BYTES_MAX || !normal.bytes().all(plain) {
        return None;
    }
    let cut = Cut::new(normal);
    let words: Vec<&str> = cut.words().collect();
    let words = match words.as_slice() {
        [first, rest @ ..] if is_weekday(first) => rest,
        all => all,
    };
    let words = match words {
        ["the", rest @ ..] => rest,
        all => all,
    };
    let (of_year, of_month, of_day) = match words {
        [first, second, third] if month(first).is_some() => {
            (year(third)?, month(first)?, day(second)?)
        }
        [first, second, third] | [first, "of", second, third] => {
            (year(third)?, month(second)?, day(first)?)
        }
        [figures] => plain_date(figures)?,
        _ => return None,
    };
    Some(format!("{of_year:04}-{of_month:02}-{of_day:02}"))
}

/// Year, month and day of a date in figures that can be read in one way only.
fn plain_date(figures: &str) -> Option<(u32, u32, u32)> {
    let date = numeric_date(figures).filter(|_| !figures.contains('t'))?;
    let first = figures.split(['-', '/', '.']).next()?;
    let other = date.day <= 12 && date.day != date.month;
    (first.len() == 4 || !other).then_some((date.year?, date.month, date.day))
}

fn is_weekday(word: &str) -> bool {
    const DAYS: [&str; 7] = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    DAYS.iter()
        .any(|day| *day == word || day.get(..3) == Some(word))
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// A month by its English name or its first three letters. Of each word of a text it is asked whether it is one.
pub(super) fn month(word: &str) -> Option<u32> {
    static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
        let short = MONTHS.into_iter().filter_map(|name| name.get(..3));
        Shapes::of(short.chain(MONTHS))
    });
    if !SHAPES.may_have(word) {
        return None;
    }
    let mut months = (1..).zip(MONTHS);
    let month = months.find(|(_, name)| *name == word || name.get(..3) == Some(word));
    month.map(|(number, _)| number)
}

pub(super) fn day(word: &str) -> Option<u32> {
    let digits = ["st", "nd", "rd", "th"]
        .iter()
        .find_map(|ending| word.strip_suffix(ending))
        .unwrap_or(word);
    let day = (digits.len() <= 2).then(|| digits.parse().ok()).flatten()?;
    (1..=31).contains(&day).then_some(day)
}

pub(super) fn year(word: &str) -> Option<u32> {
    let year = (word.len() == 4).then(|| word.parse().ok()).flatten()?;
    (1900..=2200).contains(&year).then_some(year)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_date_by_itself_that_can_be_read_in_one_way() {
        for text in [
            "may 16, 2024",
            "may 16th 2024",
            "16 may 2024",
            "16. may 2024",
            "the 16th of may, 2024",
            "thursday, may 16, 2024",
            "thu, 16 may 2024",
            "2024/05/16",
            "2024-5-16",
            "16/05/2024",
            "05/16/2024",
            "16.05.2024",
            "16-05-2024",
        ] {
            assert_eq!(whole_date(text).as_deref(), Some("2024-05-16"), "{text}");
        }
        assert_eq!(whole_date("05/05/2024").as_deref(), Some("2024-05-05"));
        for text in [
            "05/06/2024",
            "05-06-2024",
            "05.06.2024",
            "may 16",
            "16 may",
            "on may 16, 2024",
            "may 16, 2024 at noon",
            "may 16 or 17, 2024",
            "may 16, 2024 (moved)",
            "2024-05",
            "16",
            "",
        ] {
            assert_eq!(whole_date(text), None, "{text}");
        }
    }

    #[test]
    fn a_month_is_its_name_or_three_letters_of_it() {
        let names =
            "january february march april may june july august september october november december";
        for (number, name) in (1..).zip(names.split(' ')) {
            assert_eq!(month(name), Some(number), "{name}");
            assert_eq!(month(&name[..3]), Some(number), "{name}");
        }
        for word in ["", "ma", "maé", "mé", "mayor", "sept", "dez", "1may"] {
            assert_eq!(month(word), None, "{word}");
        }
    }

    #[test]
    fn a_stamp_dictates_no_time_but_amid_words() {
        let part = |text: &str| {
            let mut part = None;
            dates(&Cut::new(text), &mut |kind, canonical| {
                part = part
                    .take()
                    .or((kind == Kind::PartOfDate).then(|| canonical.to_owned()));
            });
            part
        };
        for text in ["2024-05-16t03:00", "2024-05-16t03:00:00+02:00"] {
            assert_eq!(part(text), None, "{text}");
            assert_eq!(
                clock_of_stamp(text).map(Clock::part).as_deref(),
                Some("time 3:00"),
                "{text}"
            );
        }
        for text in ["use 2024-05-16t03:00", "2024-05-16t03:00 please"] {
            assert_eq!(part(text).as_deref(), Some("time 3:00"), "{text}");
            assert_eq!(clock_of_stamp(text), None, "{text}");
        }
        for text in ["2024-05-16", "12345", "2024-05-16 03:00", "", "t"] {
            assert_eq!(clock_of_stamp(text), None, "{text}");
        }
    }

    proptest! {
        /// The short way says what the long way says.
        #[test]
        fn a_plain_number_has_the_one_reading(run in "[0-9]{0,14}(\\.[0-9]{0,4})?") {
            if let Some(plain) = plain_number(&run) {
                prop_assert_eq!(both_readings(&run).collect::<Vec<_>>(), [plain]);
            }
        }
    }
}
