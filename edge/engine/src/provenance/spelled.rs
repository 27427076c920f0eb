//! Numbers in words.
//!
//! English is read word by word. Of other languages, and of what people say for a number (`grand`, `dozen`, `lakh`), round amounts
//! are recognised, as meant: suspect as a number, and no proof of one.

use super::shape::Shapes;
use super::text::Cut;
use super::value::Kind;
use std::sync::LazyLock;

/// Number words: `ten thousand`, `twenty-five`, `half a million`, `fifty lakh`, `zehntausend`. `one` alone is no number: it
/// stands everywhere.
pub(super) fn spelled_out(words: &Cut<'_>, found: &mut dyn FnMut(Kind, &str)) {
    let mut number = SpelledOut::default();
    let mut half = Half::No;
    let all = words.words().zip(words.having(b'-', b'-'));
    for (at, (word, hyphened)) in all.enumerate() {
        if let Some(round) = round(words, at, word) {
            found(Kind::Meant, &round.to_string());
        }
        // Hardly any word counts.
        if !hyphened && !may_count(word) {
            number.end(found);
            half = match (word, half) {
                ("of", Half::Bare) => Half::Of,
                _ => Half::No,
            };
            continue;
        }
        for part in word.split('-') {
            half = number.part(part, half, found);
        }
    }
    number.end(found);
}

/// The words that English numbers are spelled out with.
const COUNTING: &str = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen \
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion \
    grand lakh lakhs crore crores dozen score and half a";

/// Whether a word may be one of them: hardly any is.
fn may_count(word: &str) -> bool {
    static SHAPES: LazyLock<Shapes> =
        LazyLock::new(|| Shapes::of(COUNTING.split_ascii_whitespace()));
    SHAPES.may_have(word)
}

/// What stands before a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    No,
    /// `half`
    Bare,
    /// `half a`
    A,
    /// `half of`
    Of,
}

#[derive(Default)]
struct SpelledOut {
    total: u64,
    group: u64,
    begun: bool,
    /// A word among them is no proof of a number.
    loose: bool,
    /// Half of it is meant.
    halved: bool,
}

impl SpelledOut {
    /// One word, with what stands before it. Gives what stands before the next.
    fn part(&mut self, word: &str, half: Half, found: &mut dyn FnMut(Kind, &str)) -> Half {
        self.halved |= half == Half::Of;
        match (word, self.scale_of(word), unit(word)) {
            ("and", ..) if self.begun => {}
            ("hundred", ..) => self.hundred(),
            (_, Some((kind, scale)), _) if half == Half::A => {
                found(kind, &(scale / 2).to_string());
            }
            (_, Some((kind, scale)), _) => self.scale(kind, scale),
            (_, _, Some(unit)) => self.unit(unit, found),
            _ => self.end(found),
        }
        match (word, half) {
            ("half", _) => Half::Bare,
            ("a", Half::Bare | Half::Of) => Half::A,
            _ => Half::No,
        }
    }

    fn scale_of(&self, word: &str) -> Option<(Kind, u64)> {
        Some(match word {
            "thousand" => (Kind::Number, 1_000),
            "million" => (Kind::Number, 1_000_000),
            "billion" => (Kind::Number, 1_000_000_000),
            "trillion" => (Kind::Meant, 1_000_000_000_000),
            "grand" => (Kind::Meant, 1_000),
            "lakh" | "lakhs" => (Kind::Meant, 100_000),
            "crore" | "crores" => (Kind::Meant, 10_000_000),
            "dozen" => (Kind::Meant, 12),
            // `three score`; by itself it is something else.
            "score" if self.group > 0 => (Kind::Meant, 20),
            _ => return None,
        })
    }

    fn hundred(&mut self) {
        self.begun = true;
        self.group = self.group.max(1).saturating_mul(100);
    }

    fn scale(&mut self, kind: Kind, scale: u64) {
        self.begun = true;
        self.loose |= kind == Kind::Meant;
        let more = self.group.max(1).saturating_mul(scale);
        self.total = self.total.saturating_add(more);
        self.group = 0;
    }

    fn unit(&mut self, unit: u64, found: &mut dyn FnMut(Kind, &str)) {
        let below_hundred = self.group.checked_rem(100).unwrap_or(0);
        let tens = below_hundred >= 20 && below_hundred.checked_rem(10) == Some(0);
        if below_hundred != 0 && !(tens && unit < 10) {
            self.end(found);
        }
        self.begun = true;
        self.group = self.group.saturating_add(unit);
    }

    fn end(&mut self, found: &mut dyn FnMut(Kind, &str)) {
        let number = std::mem::take(self);
        let value = number.total.saturating_add(number.group);
        if !number.begun || value <= 1 {
            return;
        }
        let kind = match number.loose {
            true => Kind::Meant,
            false => Kind::Number,
        };
        found(kind, &value.to_string());
        if number.halved {
            found(Kind::Meant, &(value / 2).to_string());
        }
    }
}

/// Whether a word may be one of several that make a number together.
pub(super) fn counts(word: &str) -> bool {
    const AMONG: [&str; 13] = [
        "a", "and", "dozen", "et", "grand", "half", "hundred", "lakh", "million", "of", "score",
        "thousand", "y",
    ];
    let part =
        |word: &str| AMONG.contains(&word) || unit(word).is_some() || foreign_part(word).is_some();
    word.contains(char::is_numeric) || word.split('-').all(part) || foreign_scale(word).is_some()
}

fn unit(word: &str) -> Option<u64> {
    Some(match word {
        "one" => 1,
        "two" => 2,
        "three" => 3,
        "four" => 4,
        "five" => 5,
        "six" => 6,
        "seven" => 7,
        "eight" => 8,
        "nine" => 9,
        "ten" => 10,
        "eleven" => 11,
        "twelve" => 12,
        "thirteen" => 13,
        "fourteen" => 14,
        "fifteen" => 15,
        "sixteen" => 16,
        "seventeen" => 17,
        "eighteen" => 18,
        "nineteen" => 19,
        "twenty" => 20,
        "thirty" => 30,
        "forty" => 40,
        "fifty" => 50,
        "sixty" => 60,
        "seventy" => 70,
        "eighty" => 80,
        "ninety" => 90,
        _ => return None,
    })
}

/// Numbers of German, Dutch, French and Spanish, and what is left of some before `cientos`.
const UNITS: [(u64, &str); 28] = [
    (1, "ein eine einen eins een un une uno una"),
    (2, "zwei twee deux dos"),
    (3, "drei drie trois tres"),
    (4, "vier quatre cuatro"),
    (5, "fünf fuenf vijf cinq cinco"),
    (6, "sechs zes six seis"),
    (7, "sieben zeven sept siete sete"),
    (8, "acht huit ocho"),
    (9, "neun negen neuf nueve nove"),
    (10, "zehn tien dix diez"),
    (11, "elf onze once"),
    (12, "zwölf zwoelf twaalf douze doce"),
    (13, "dreizehn dertien treize trece"),
    (14, "vierzehn veertien quatorze catorce"),
    (15, "fünfzehn fuenfzehn vijftien quinze quince"),
    (16, "sechzehn zestien seize"),
    (17, "siebzehn zeventien"),
    (18, "achtzehn achttien"),
    (19, "neunzehn negentien"),
    (20, "zwanzig twintig vingt veinte"),
    (30, "dreißig dreissig dertig trente treinta"),
    (40, "vierzig veertig quarante cuarenta"),
    (50, "fünfzig fuenfzig vijftig cinquante cincuenta"),
    (60, "sechzig zestig soixante sesenta"),
    (70, "siebzig zeventig setenta"),
    (80, "achtzig tachtig ochenta"),
    (90, "neunzig negentig noventa"),
    (100, "hundert honderd cent cents cien ciento"),
];

fn foreign_unit(word: &str) -> Option<u64> {
    let names = |words: &str| words.split(' ').any(|other| other == word);
    UNITS
        .iter()
        .find(|(_, words)| names(words))
        .map(|(value, _)| *value)
}

/// What the words below end with, and hardly any other does.
const ENDINGS: &str = "end lle mil ert erd ent nts tos ion ons nen nes oen den ard rds";

/// What a word multiplies with, and what of its number stands in the same word before that (`zehn` of `zehntausend`).
fn foreign_scale(word: &str) -> Option<(&str, u64)> {
    static SHAPES: LazyLock<Shapes> =
        LazyLock::new(|| Shapes::of(ENDINGS.split_ascii_whitespace()));
    let ending = word.get(word.len().checked_sub(3)?..)?;
    if !SHAPES.may_have(ending) {
        return None;
    }
    let scales: &[(&str, u64)] = match word.as_bytes() {
        [.., b'e', b'n', b'd'] => &[("tausend", 1_000), ("duizend", 1_000)],
        [.., b'l', b'l', b'e'] => &[("mille", 1_000)],
        b"mil" => &[("mil", 1_000)],
        [.., b'e', b'r', b't'] => &[("hundert", 100)],
        [.., b'e', b'r', b'd'] => &[("honderd", 100)],
        b"cent" => &[("cent", 100)],
        b"cents" => &[("cents", 100)],
        [.., b't', b'o', b's'] => &[("quinientos", 500), ("cientos", 100)],
        [.., b'i', b'o', b'n'] => &[("million", 1_000_000)],
        [.., b'o', b'n', b's'] => &[("millions", 1_000_000)],
        [.., b'n', b'e', b'n'] => &[("millionen", 1_000_000)],
        [.., b'n', b'e', b's'] => &[("millones", 1_000_000)],
        [.., b'o', b'e', b'n'] => &[("miljoen", 1_000_000)],
        [.., b'd', b'e', b'n'] => &[("milliarden", 1_000_000_000)],
        [.., b'a', b'r', b'd'] => &[("milliard", 1_000_000_000), ("miljard", 1_000_000_000)],
        [.., b'r', b'd', b's'] => &[("milliards", 1_000_000_000)],
        _ => return None,
    };
    scales
        .iter()
        .find_map(|(ending, scale)| Some((word.strip_suffix(ending)?, *scale)))
}

/// Most words before a scale that are read: `treinta y cinco mil`.
const WORDS_BEFORE_MAX: usize = 4;

/// A round amount of another language that ends with this word.
fn round(words: &Cut<'_>, at: usize, word: &str) -> Option<u64> {
    let (left, scale) = foreign_scale(word)?;
    if !left.is_empty() {
        let spanish = || foreign_unit(left).and_then(|unit| unit.checked_mul(scale));
        return compound(word).or_else(spanish);
    }
    match number_before(words, at) {
        Some(number) => number.checked_mul(scale),
        // `cent` by itself is a coin.
        None => (scale >= 500).then_some(scale),
    }
}

/// The number that the words before a scale make: `dix`, `deux cents`, `treinta y cinco`.
fn number_before(words: &Cut<'_>, at: usize) -> Option<u64> {
    let mut parts = Vec::new();
    for back in 1..=WORDS_BEFORE_MAX {
        let Some(word) = at.checked_sub(back).and_then(|at| words.get(at)) else {
            break;
        };
        let value = word
            .split('-')
            .rev()
            .map(foreign_part)
            .collect::<Option<Vec<_>>>();
        match (word, value) {
            ("y" | "et", _) => {}
            (_, Some(values)) => parts.extend(values),
            (_, None) => break,
        }
    }
    let number = parts.iter().rev().fold(0_u64, |sum, value| match value {
        100 if (1..10).contains(&sum) => sum.saturating_mul(100),
        value => sum.saturating_add(*value),
    });
    (number > 0).then_some(number)
}

fn foreign_part(word: &str) -> Option<u64> {
    foreign_unit(word).or_else(|| {
        let (left, scale) = foreign_scale(word).filter(|(_, scale)| *scale < 1_000)?;
        match left {
            "" => Some(scale),
            left => foreign_unit(left)?.checked_mul(scale),
        }
    })
}

/// A number in one word, as German and Dutch write it: `zehntausend`, `tweeduizendvijfhonderd`.
fn compound(word: &str) -> Option<u64> {
    let thousands = ["tausend", "duizend"]
        .iter()
        .find_map(|t| word.split_once(t));
    let (thousands, rest) = match thousands {
        Some((left, rest)) => (one_or(left, below_thousand)?, rest),
        None => (0, word),
    };
    let rest = match rest {
        "" => 0,
        rest => below_thousand(rest)?,
    };
    thousands.checked_mul(1_000)?.checked_add(rest)
}

fn below_thousand(word: &str) -> Option<u64> {
    let hundreds = ["hundert", "honderd"]
        .iter()
        .find_map(|h| word.split_once(h));
    let Some((left, rest)) = hundreds else {
        return below_hundred(word);
    };
    let rest = match rest {
        "" => 0,
        rest => below_hundred(rest)?,
    };
    one_or(left, foreign_unit)?
        .checked_mul(100)?
        .checked_add(rest)
}

/// `fünfundzwanzig`, `vijfentwintig`.
fn below_hundred(word: &str) -> Option<u64> {
    let sum = |(left, right): (&str, &str)| {
        let unit = foreign_unit(left).filter(|unit| *unit < 10)?;
        unit.checked_add(foreign_unit(right).filter(|tens| *tens >= 20)?)
    };
    foreign_unit(word).or_else(|| {
        ["und", "en"]
            .iter()
            .find_map(|and| word.split_once(and).and_then(sum))
    })
}

fn one_or(word: &str, read: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    match word {
        "" => Some(1),
        word => read(word),
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::normal;
    use super::*;

    fn meant(text: &str) -> Vec<String> {
        let normal = normal(text);
        let mut all = Vec::new();
        spelled_out(&Cut::new(&normal), &mut |kind, number| {
            if kind == Kind::Meant {
                all.push(number.to_owned());
            }
        });
        all
    }

    #[test]
    fn words_that_count_are_looked_at() {
        let words = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen \
             seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million \
             billion trillion grand lakh lakhs crore crores dozen score and half a";
        for word in words.split_whitespace() {
            assert!(may_count(word), "{word}");
        }
        for word in ["the", "that", "for", "on", "an", "to", "of", "about"] {
            assert!(!may_count(word), "{word}");
        }
    }

    #[test]
    fn each_scale_is_one_behind_a_number() {
        let scales = "tausend duizend mille mil hundert honderd cent cents quinientos cientos million millions millionen millones \
             miljoen milliarden milliard miljard milliards";
        for scale in scales.split_whitespace() {
            assert!(foreign_scale(scale).is_some(), "{scale}");
        }
        for word in ["", "il", "é", "éé", "send", "mail", "hat"] {
            assert_eq!(foreign_scale(word), None, "{word}");
        }
    }

    #[test]
    fn round_amounts_in_other_words() {
        for (text, number) in [
            ("five grand", 5_000_u64),
            ("fifty lakh", 5_000_000),
            ("two crore", 20_000_000),
            ("three dozen", 36),
            ("half a dozen", 6),
            ("two score", 40),
            ("half of ten thousand", 5_000),
            ("Zehntausend Euro", 10_000),
            ("zweitausendfünfhundert", 2_500),
            ("fünfundzwanzigtausend", 25_000),
            ("fünf Millionen", 5_000_000),
            ("neunhundert", 900),
            ("tienduizend euro", 10_000),
            ("vijfentwintigduizend", 25_000),
            ("vijf miljoen", 5_000_000),
            ("dix mille euros", 10_000),
            ("vingt-cinq mille", 25_000),
            ("deux cents mille", 200_000),
            ("cinq cents", 500),
            ("cent mille", 100_000),
            ("diez mil pesos", 10_000),
            ("treinta y cinco mil", 35_000),
            ("doscientos mil", 200_000),
            ("quinientos", 500),
            ("cien mil", 100_000),
        ] {
            let numbers = meant(text);
            assert!(numbers.contains(&number.to_string()), "{text}: {numbers:?}");
        }
    }

    #[test]
    fn other_words_are_no_amounts() {
        for text in [
            "a credit score of the document",
            "per cent, fifty cent",
            "the last recent events were sent by a friend",
            "six on the grandstand",
            "September, sept, once, elf",
        ] {
            assert_eq!(meant(text), [""; 0], "{text}");
        }
    }
}
