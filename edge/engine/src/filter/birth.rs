//! Dates, as far as one could be of birth.

use super::text::{Text, alnum};

/// Beginnings of the names of months, in lower case and as they stand in a date; a line leaves out what those before it
/// have.
const MONTHS: &[&str] = &[
    // English, German, French, Spanish, Italian, Portuguese, Dutch; Scandinavian ones begin like them.
    "jan feb mar apr may jun jul aug sep oct nov dec",
    "jän mär mai okt dez des fév fev avr juin juil aoû aou déc ene abr ago dic",
    "gen mag giu lug set ott maa mei out",
    // Polish; Czech, Slovak; Slovene, Croatian.
    "sty lut kwi maj cze lip sie wrz paź paz lis gru",
    "ledn úno bře dub kvě červ srp září říj prosin máj jún júl",
    "avg sije velj ožuj trav svib kolov ruj stud",
    // Romanian, Hungarian, Turkish, Indonesian and Malay.
    "ian iun iul noi már ápr szep",
    "oca şub nis haz tem ağu eyl eki kas ara",
    "agu mac ogos dis",
    // Finnish, Estonian, Latvian, Lithuanian.
    "tammi helmi huhti touko kesä heinä elok syys loka joulu",
    "jaan veeb juu dets jūn jūl saus vasar kov bal geg birž liep rugp rugs spal lapk",
    // Russian, Bulgarian and Serbian; Ukrainian; Greek.
    "янв фев мар апр мая май июн июл авг сен окт ноя дек яну юни юли ное феб јан мај јун јул сеп нов дец",
    "січ лют бер кві тра чер лип сер вер жов лис гру",
    "ιαν φεβ μαρ μάρ απρ μαΐ μαϊ μάι ιουν ιούν ιουλ ιούλ αυγ αύγ σεπ οκτ νοε νοέ δεκ",
    // Arabic, Hebrew, Hindi, Thai.
    "يناير فبراير مارس أبريل إبريل ابريل مايو يونيو يوليو أغسطس اغسطس سبتمبر أكتوبر اكتوبر نوفمبر ديسمبر",
    "شباط آذار نيسان أيار حزيران تموز أيلول جانفي فيفري أفريل جوان جويلية أوت",
    "ינואר פברואר מרץ מרס אפריל מאי יוני יולי אוגוסט ספטמבר אוקטובר נובמבר דצמבר",
    "जन फर फ़र मार्च अप्रै मई जून जुला अगस्त सित अक्ट अक्तू नव दिस",
    "มกรา กุมภา มีนา เมษา พฤษภา มิถุนา กรกฎา สิงหา กันยา ตุลา พฤศจิกา ธันวา",
];
/// Longest name of a month that is read, in bytes: ten letters of Thai.
const MONTH_MAX: usize = 32;

/// What makes the number of a day an ordinal.
const ORDINALS: [&str; 11] = [".º", ".", "st", "nd", "rd", "th", "er", "e", "º", "ª", "°"];
/// What may stand between day and month, and between month and year.
const PARTICLES: [&str; 6] = ["of ", "de ", "del ", "d'", "พ.ศ. ", "ค.ศ. "];

/// What stands behind year, month and day where each has its sign.
const SIGNS: [[&str; 3]; 4] = [
    ["年", "月", "日"],
    ["年", "月", "号"],
    ["年", "月", "號"],
    ["년", "월", "일"],
];
/// Eras of Japan from which the years of people who live are counted.
const ERAS: [&str; 4] = ["大正", "昭和", "平成", "令和"];

/// The range of a date of which the digits at `start` are a part.
pub(super) fn date(text: Text<'_>, start: usize) -> Option<(usize, usize)> {
    let first = text.run(start, 5, |b| b.is_ascii_digit());
    let digits = first.saturating_sub(start);
    let value: u32 = text.slice(start, first).parse().ok()?;
    match (digits, text.at(first)) {
        (1 | 2, b'/' | b'-' | b'.') if (1..=31).contains(&value) => {
            numeric(text, start, first, value).or_else(|| worded(text, start, first))
        }
        (4, b'/' | b'-' | b'.') if plausible(value) => {
            year_first(text, start, first).or_else(|| year_then_word(text, start, first))
        }
        (4, b' ') if plausible(value) => {
            signed(text, start, first).or_else(|| year_then_word(text, start, first))
        }
        (4, 0x80..) if plausible(value) => signed(text, start, first),
        (1 | 2, 0x80..) => of_era(text, start, first).or_else(|| {
            let day = (1..=31).contains(&value);
            day.then(|| worded(text, start, first)).flatten()
        }),
        (1 | 2, _) if (1..=31).contains(&value) => worded(text, start, first),
        _ => None,
    }
}

fn plausible(year: u32) -> bool {
    (1900..=2030).contains(&year)
}

/// Whether the last part of a date is a year: also one of the Buddhist calendar, which Thailand goes by.
fn ends_date(year: u32) -> bool {
    plausible(year) || (2443..=2573).contains(&year)
}

/// One or two digits behind the separator at `at`, with a blank before them where that is a dot: their value, beginning
/// and end.
fn part(text: Text<'_>, at: usize, most: usize) -> Option<(u32, usize, usize)> {
    let behind = at.saturating_add(1);
    let from = match text.at(at) {
        b'.' => text.run(behind, 1, |b| b == b' '),
        _ => behind,
    };
    let to = text.run(from, most.saturating_add(1), |b| b.is_ascii_digit());
    let length = to.saturating_sub(from);
    (1..=most).contains(&length).then_some(())?;
    Some((text.slice(from, to).parse().ok()?, from, to))
}

/// `12.03.1985`, `12/3/85`, `12. 3. 1985`.
fn numeric(text: Text<'_>, start: usize, first: usize, value: u32) -> Option<(usize, usize)> {
    let (second, from, end) = part(text, first, 2)?;
    if text.at(end) != text.at(first) || !(1..=31).contains(&second) || (value > 12 && second > 12)
    {
        return None;
    }
    let (year, year_from, last) = part(text, end, 4)?;
    let parted = text.before(from) == b' ' || text.before(year_from) == b' ';
    let written = match last.saturating_sub(year_from) {
        4 => ends_date(year),
        digits => digits == 2 && !parted,
    };
    (written && !is_part(text, start, last, text.at(first))).then_some((start, last))
}

/// Whether what looks like a date is a part of something longer, whose parts have the same sign between them:
/// `06.12.34.56.78` is a telephone number, `12-03-45-AB-CD-EF` the address of a network card.
fn is_part(text: Text<'_>, start: usize, end: usize, sign: u8) -> bool {
    let next = text.at(end.saturating_add(1));
    let pair = next.is_ascii_digit() || (sign == b'-' && next.is_ascii_hexdigit());
    let goes_on = text.at(end) == sign && pair;
    let begins =
        text.before(start) == sign && text.before(start.saturating_sub(1)).is_ascii_digit();
    goes_on || begins
}

/// `1985-03-12`, `1985. 3. 12`.
fn year_first(text: Text<'_>, start: usize, first: usize) -> Option<(usize, usize)> {
    let (month, _, end) = part(text, first, 2)?;
    let (day, _, last) = part(text, end, 2)?;
    let sign = text.at(first);
    let written = text.at(end) == sign && (1..=12).contains(&month) && (1..=31).contains(&day);
    (written && !is_part(text, start, last, sign)).then_some((start, last))
}

/// `1985. március 12`, `1985 m. kovo 12`, `1985-Mar-12`.
fn year_then_word(text: Text<'_>, start: usize, first: usize) -> Option<(usize, usize)> {
    let word = blank(text, first);
    let word = match text.from(word).starts_with("m. ") {
        true => word.saturating_add(3),
        false => word,
    };
    let end = text.run(word, MONTH_MAX, letter);
    let day = blank(text, end);
    let last = text.run(day, 3, |b| b.is_ascii_digit());
    let value: u32 = text.slice(day, last).parse().ok()?;
    let written = day > end
        && last.saturating_sub(day) <= 2
        && (1..=31).contains(&value)
        && !alnum(text.at(last));
    (written && month(text.slice(word, end))).then_some((start, last))
}

/// `1985年3月12日`, `1985년 3월 12일`, from behind the digits of the year.
fn signed(text: Text<'_>, start: usize, first: usize) -> Option<(usize, usize)> {
    if text.at(text.run(first, 1, |b| b == b' ')).is_ascii() {
        return None;
    }
    SIGNS.iter().find_map(|[year, month, day]| {
        let end = counted(text, behind_sign(text, first, year)?, month, 12)?;
        Some((start, counted(text, end, day, 31)?))
    })
}

/// Behind a sign that stands here, or behind a blank.
fn behind_sign(text: Text<'_>, at: usize, sign: &str) -> Option<usize> {
    let at = text.run(at, 1, |b| b == b' ');
    let stands = text.from(at).starts_with(sign);
    stands.then(|| at.saturating_add(sign.len()))
}

/// A number up to `most` and its sign: where the sign ends.
fn counted(text: Text<'_>, at: usize, sign: &str, most: u32) -> Option<usize> {
    let from = text.run(at, 1, |b| b == b' ');
    let to = text.run(from, 3, |b| b.is_ascii_digit());
    let value: u32 = text.slice(from, to).parse().ok()?;
    let fits = to.saturating_sub(from) <= 2 && (1..=most).contains(&value);
    behind_sign(text, to, sign).filter(|_| fits)
}

/// `昭和60年3月12日`, from its first digits on.
fn of_era(text: Text<'_>, start: usize, first: usize) -> Option<(usize, usize)> {
    let before = start.saturating_sub(6);
    ERAS.contains(&text.slice(before, start))
        .then(|| signed(text, before, first))
        .flatten()
}

/// Past what stands between the parts of a date in words.
fn blank(text: Text<'_>, at: usize) -> usize {
    text.run(at, 3, |b| matches!(b, b' ' | b',' | b'.' | b'-'))
}

fn letter(b: u8) -> bool {
    b.is_ascii_alphabetic() || b >= 0x80
}

/// Past one of these, if it stands here.
fn past(text: Text<'_>, at: usize, words: &[&str]) -> usize {
    let rest = text.from(at);
    let here = words.iter().find(|word| rest.starts_with(**word));
    at.saturating_add(here.map_or(0, |word| word.len()))
}

/// `12 March 1985`, `12th of March, 1985`, `March 12, 1985`, `12 tháng 3 năm 1985`. The year is looked for first: most
/// numbers have none behind them.
fn worded(text: Text<'_>, start: usize, first: usize) -> Option<(usize, usize)> {
    let at = match text.at(first) {
        b' ' => first,
        _ => past(text, first, &ORDINALS),
    };
    let behind = text.run(at, 3, |b| matches!(b, b' ' | b',' | b'-'));
    if text.at(behind).is_ascii_digit() && behind > at {
        // The month stands before the day.
        let end = text.run_back(start, 2, |b| b == b' ');
        let from = text.run_back(end, 14, |b| letter(b) || b == b'.');
        return year(text, behind, from).filter(|_| month(text.slice(from, end)));
    }
    let word = past(text, behind, &PARTICLES);
    let end = text.run(word, MONTH_MAX, letter);
    if text.slice(word, end).eq_ignore_ascii_case(NUMBERED) {
        return numbered(text, end, start);
    }
    let next = past(text, blank(text, end), &PARTICLES);
    year(text, next, start).filter(|_| month(text.slice(word, end)))
}

/// The word before the number of a month in Vietnamese.
const NUMBERED: &str = "tháng";

/// `12 tháng 3 năm 1985`, from behind that word.
fn numbered(text: Text<'_>, at: usize, start: usize) -> Option<(usize, usize)> {
    let from = text.run(at, 1, |b| b == b' ');
    let to = text.run(from, 3, |b| b.is_ascii_digit());
    let value: u32 = text.slice(from, to).parse().ok()?;
    let next = text.run(to, 2, |b| matches!(b, b' ' | b',' | b'/'));
    let next = past(text, next, &["năm ", "Năm ", "NĂM "]);
    year(text, next, start).filter(|_| (1..=12).contains(&value))
}

/// The last part of a date in words.
fn year(text: Text<'_>, at: usize, start: usize) -> Option<(usize, usize)> {
    let end = text.run(at, 5, |b| b.is_ascii_digit());
    let year: u32 = text.slice(at, end).parse().ok()?;
    (ends_date(year) && !alnum(text.at(end))).then_some((start, end))
}

fn month(word: &str) -> bool {
    let mut names = MONTHS.iter().flat_map(|line| line.split_ascii_whitespace());
    if !word.is_ascii() {
        let lower = word.to_lowercase();
        // `במרץ`: in March.
        let bare = lower.strip_prefix('ב').unwrap_or(&lower);
        return names.any(|name| bare.starts_with(name));
    }
    names.any(|name| {
        let start = word.get(..name.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_found_from_their_first_digits() {
        for (text, at, expect) in [
            ("12/03/1985", 0, Some("12/03/1985")),
            ("1985-03-12", 0, Some("1985-03-12")),
            ("12.03.85 x", 0, Some("12.03.85")),
            ("12 March 1985", 0, Some("12 March 1985")),
            ("12th of March, 1985", 0, Some("12th of March, 1985")),
            ("on March 12, 1985.", 9, Some("March 12, 1985")),
            ("12. März 1985", 0, Some("12. März 1985")),
            ("31/31/1985", 0, None),
            ("1.2.3", 0, None),
            ("12 apples 1985", 0, None),
            ("06.12.34.56.78", 0, None),
            ("06-12-34-56-78", 0, None),
            ("12-03-45-67-89-ab", 0, None),
            ("12-03-45-ab-cd-ef", 0, None),
            ("2024-01-15-20", 0, None),
            ("2024-01-15-20", 5, None),
            ("(12.03.1885-14.05.1985)", 12, Some("14.05.1985")),
            ("12.03.85. Then", 0, Some("12.03.85")),
            ("12.03.85.Dann", 0, Some("12.03.85")),
            ("1985-03-12T10:00", 0, Some("1985-03-12")),
            // With blanks; the year of a list's third number is none.
            ("12. 3. 1985 v", 0, Some("12. 3. 1985")),
            ("12.3. 1985", 0, Some("12.3. 1985")),
            ("1985. 3. 12.", 0, Some("1985. 3. 12")),
            ("1. 2. 34", 0, None),
            ("12. 13. 14", 0, None),
            // The year first.
            ("1985. március 12.", 0, Some("1985. március 12")),
            ("1985 m. kovo 12 d.", 0, Some("1985 m. kovo 12")),
            ("1985-Mar-12", 0, Some("1985-Mar-12")),
            ("1985 apples 12", 0, None),
            ("1985 March 123", 0, None),
            // Signs behind the numbers.
            ("1985年3月12日生", 0, Some("1985年3月12日")),
            ("1985 年 3 月 12 号", 0, Some("1985 年 3 月 12 号")),
            ("1985년 3월 12일", 0, Some("1985년 3월 12일")),
            ("昭和60年3月12日", 6, Some("昭和60年3月12日")),
            ("第60年3月12日", 3, None),
            ("1985年13月12日", 0, None),
            ("1985年3月", 0, None),
            ("1985年3月321日", 0, None),
            // In words.
            ("1er janvier 1985", 0, Some("1er janvier 1985")),
            ("1º de janeiro de 1985", 0, Some("1º de janeiro de 1985")),
            ("1° gennaio 1985", 0, Some("1° gennaio 1985")),
            ("12 de marzo del 1985", 0, Some("12 de marzo del 1985")),
            ("12. marca 1985", 0, Some("12. marca 1985")),
            ("12. října 1985", 0, Some("12. října 1985")),
            ("12. ožujka 1985.", 0, Some("12. ožujka 1985")),
            ("12 martie 1985", 0, Some("12 martie 1985")),
            ("12 Ağustos 1985", 0, Some("12 Ağustos 1985")),
            ("12 Maret 1985", 0, Some("12 Maret 1985")),
            ("12 Agustus 1985", 0, Some("12 Agustus 1985")),
            ("12 березня 1985", 0, Some("12 березня 1985")),
            ("12 Сентября 1985 г.", 0, Some("12 Сентября 1985")),
            ("12 Σεπτεμβρίου 1985", 0, Some("12 Σεπτεμβρίου 1985")),
            ("12 مارس 1985", 0, Some("12 مارس 1985")),
            ("12 במרץ 1985", 0, Some("12 במרץ 1985")),
            ("12 मार्च 1985", 0, Some("12 मार्च 1985")),
            ("12 กุมภาพันธ์ 2528", 0, Some("12 กุมภาพันธ์ 2528")),
            ("12 มีนาคม พ.ศ. 2528", 0, Some("12 มีนาคม พ.ศ. 2528")),
            ("12 tháng 3 năm 1985", 0, Some("12 tháng 3 năm 1985")),
            ("12 Tháng 3, 1985", 0, Some("12 Tháng 3, 1985")),
            ("12 tháng 13 năm 1985", 0, None),
            ("12 яблок 1985", 0, None),
            ("12 March 2200", 0, None),
        ] {
            let text_ = Text { text, key: "" };
            assert_eq!(date(text_, at).map(|(a, b)| &text[a..b]), expect, "{text}");
        }
    }
}
