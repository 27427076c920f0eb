//! Telephone numbers: how they are written, and whether there are such numbers (Google's metadata).

mod plans;

use super::context::Said;
use super::text::{Text, alnum, digits_of};
use proctor_model::content::{Confidence, ContentClass as Class};
use rlibphonenumber::{PhoneNumber, Region};

/// Most groups of digits in one number.
const GROUPS_MAX: usize = 7;
/// Most digits: fifteen (E.164), and the prefix for calls abroad.
const DIGITS_MAX: usize = 18;

/// Regions whose national forms are recognised if a tenant names none.
const REGIONS: [&str; 12] = [
    "US", "GB", "DE", "FR", "NL", "IT", "ES", "PL", "IN", "BR", "AU", "IL",
];
/// Those that are tried as well where a word says that a telephone number stands there: each costs time, and makes a
/// number of more digits.
const REGIONS_IF_SPOKEN: [&str; 15] = [
    "CH", "BE", "AT", "PT", "SE", "NO", "DK", "FI", "JP", "CN", "KR", "RU", "TR", "MX", "CZ",
];

/// The regions of a tenant.
#[derive(Clone, Debug)]
pub(super) struct Regions {
    always: Vec<Region>,
    if_spoken: Vec<Region>,
}

impl Regions {
    /// Those of a tenant that names none. Without a look at the plans: who has no number to compare does not wait for them.
    pub(super) fn usual() -> Self {
        let regions = |names: &[&str]| names.iter().filter_map(|name| name.parse().ok()).collect();
        Self {
            always: regions(&REGIONS),
            if_spoken: regions(&REGIONS_IF_SPOKEN),
        }
    }

    /// The regions of these names; the first name that is none is given back.
    pub(super) fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, &'n str> {
        let regions = names.into_iter().map(|name| region(name).ok_or(name));
        Ok(Self {
            always: regions.collect::<Result<_, _>>()?,
            if_spoken: Vec::new(),
        })
    }

    /// Those in which a number may be one; more of them where a word says so.
    fn tried(&self, spoken_for: bool) -> impl Iterator<Item = &Region> {
        let more = self.if_spoken.iter().filter(move |_| spoken_for);
        self.always.iter().chain(more)
    }
}

/// A region that has telephone numbers.
fn region(name: &str) -> Option<Region> {
    let known = |region: &Region| plans::util().get_country_code_for_region(*region).is_some();
    name.parse::<Region>().ok().filter(known)
}

/// Makes ready what else the first number of each usual region waits for.
pub(super) fn warm() {
    plans::warm(Regions::usual().tried(true));
}

/// Where a number that is written at `start` (its sign, bracket or first digit) ends, and how sure that is.
pub(super) fn phone(
    text: Text<'_>,
    start: usize,
    regions: &Regions,
    said: &mut dyn FnMut(usize) -> Said,
) -> Option<(usize, Confidence)> {
    let written = Written::read(text, start)?;
    for groups in (1..=written.groups).rev() {
        let form = written.form(groups);
        if form == Form::None {
            continue;
        }
        let Some(end) = written.ends.get(groups.saturating_sub(1)).copied() else {
            continue;
        };
        let said = said(end);
        let against = said.speaks_against(Class::Phone);
        if against && form == Form::Vague {
            continue;
        }
        let spoken_for = said.speaks_for(Class::Phone);
        // Asked last: it costs more than all the rest.
        let exists = || written.exists(text.slice(start, end), form, regions, spoken_for);
        let sure = match form {
            Form::International => match (exists(), spoken_for) {
                (Known::Exists, _) => Confidence::High,
                // Written like one, to a country that has numbers of that length.
                (Known::Possible, false) if groups > 1 => Confidence::Medium,
                (_, true) => Confidence::Medium,
                (_, false) => Confidence::Low,
            },
            // Perhaps the number of an order; but there is one like it that can be called.
            Form::National if against => match exists() {
                Known::Exists => Confidence::Low,
                _ => continue,
            },
            Form::National => match (exists(), spoken_for) {
                (Known::Exists, true) => Confidence::High,
                (Known::Exists, false) | (_, true) => Confidence::Medium,
                (_, false) if written.is_telling() => Confidence::Medium,
                (_, false) => continue,
            },
            Form::Vague if spoken_for => Confidence::Medium,
            Form::Vague if exists() == Known::Exists => Confidence::Low,
            Form::Vague | Form::None => continue,
        };
        return Some((extension(text, end), sure));
    }
    None
}

/// How much a way to write digits says by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// With a plus sign or the prefix for calls abroad.
    International,
    /// As people of some region write it.
    National,
    /// Could be any number.
    Vague,
    None,
}

/// What the library knows of a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    Exists,
    /// Its country has numbers of that length.
    Possible,
    No,
}

#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "signs of one number, each on its own"
)]
struct Written {
    plus: bool,
    bracket: bool,
    leading_zero: bool,
    abroad: bool,
    lens: [usize; GROUPS_MAX],
    ends: [usize; GROUPS_MAX],
    groups: usize,
    dates: bool,
    /// A ZIP code of nine digits: `02110-1301`.
    zip: bool,
}

impl Written {
    fn read(text: Text<'_>, start: usize) -> Option<Self> {
        let mut written = Self::default();
        let mut at = start;
        let mut open = false;
        if text.at(at) == b'+' {
            written.plus = true;
            at = at.saturating_add(1);
        }
        if text.at(at) == b'(' {
            written.bracket = true;
            open = true;
            at = at.saturating_add(1);
            if text.at(at) == b'+' {
                written.plus = true;
                at = at.saturating_add(1);
            }
        }
        let first = at;
        written.leading_zero = text.at(first) == b'0';
        written.abroad = text.bytes(first, first.saturating_add(2)) == b"00"
            || text.bytes(first, first.saturating_add(4)) == b"011-";
        let mut total = 0_usize;
        loop {
            let end = text.run(at, DIGITS_MAX.saturating_add(1), |b| b.is_ascii_digit());
            let length = end.saturating_sub(at);
            total = total.saturating_add(length);
            if length == 0 || total > DIGITS_MAX {
                break;
            }
            let (Some(len), Some(slot)) = (
                written.lens.get_mut(written.groups),
                written.ends.get_mut(written.groups),
            ) else {
                break;
            };
            // A bracket that opens a group closes behind it.
            *len = length;
            *slot = end;
            let mut next = end;
            if open {
                if text.at(next) != b')' {
                    break;
                }
                open = false;
                next = next.saturating_add(1);
                *slot = next;
            }
            written.groups = written.groups.saturating_add(1);
            next = between(text, next);
            if text.at(next) == b'(' && written.groups < 3 {
                if !written.may_open(text, next) {
                    break;
                }
                open = true;
                written.bracket = true;
                next = next.saturating_add(1);
            } else if next == end {
                break;
            }
            at = next;
        }
        // Turin's numbers begin so too, but they are shorter.
        let from_america = text.bytes(first, first.saturating_add(4)) == b"011 ";
        if from_america && written.lens().iter().sum::<usize>() >= 13 {
            written.abroad = true;
        }
        let lens = written.lens();
        let second = written.ends.first().copied().unwrap_or(first);
        let dashed = text.at(second) == b'-';
        let years = dashed
            && matches!(lens, [4, 4, ..])
            && is_year(text, first)
            && is_year(text, second.saturating_add(1));
        let dates = matches!(lens, [4, 2, 2, ..] | [2, 2, 4, ..] | [1 | 2, 1 | 2, 4, ..]);
        let zip = dashed && matches!(lens, [5, 4, ..]);
        written.dates = (dates || years) && !written.plus && !written.abroad;
        written.zip = zip;
        (written.groups > 0).then_some(written)
    }

    /// Whether a bracket at `at`, behind the first group, belongs to the number: behind the code of a country, or one digit
    /// that leads out of town. Behind others it has a year or the like: `056101 (2006)`.
    fn may_open(&self, text: Text<'_>, at: usize) -> bool {
        let from = at.saturating_add(1);
        let length = text
            .run(from, 4, |b| b.is_ascii_digit())
            .saturating_sub(from);
        self.plus || self.abroad || (self.lens() == [1] && length == 3)
    }

    fn lens(&self) -> &[usize] {
        self.lens.get(..self.groups).unwrap_or_default()
    }

    fn form(&self, groups: usize) -> Form {
        let lens = self.lens().get(..groups).unwrap_or_default();
        let total: usize = lens.iter().sum();
        if self.plus || (self.abroad && (groups > 1 || total >= 11)) {
            return if (7..=DIGITS_MAX).contains(&total) {
                Form::International
            } else {
                Form::None
            };
        }
        if self.dates {
            return Form::None;
        }
        let longest = lens.iter().max().copied().unwrap_or(0);
        match lens {
            [5, 4] if self.zip => Form::Vague,
            // North America.
            [3, 3, 4] | [1, 3, 3, 4] => Form::National,
            [3, 7] | [6, 4] if self.bracket => Form::National,
            [10] | [1, 10] => Form::Vague,
            [11] if !self.leading_zero => Form::Vague,
            // Brazil.
            [2, 4 | 5, 4] if self.bracket => Form::National,
            [2, 5, 4] => Form::National,
            // With the trunk prefix of most of the world.
            _ if self.leading_zero && groups > 1 && (9..=12).contains(&total) && longest <= 9 => {
                Form::National
            }
            [9..=12] if self.leading_zero => Form::Vague,
            _ if self.bracket && groups > 1 && (7..=12).contains(&total) => Form::National,
            // Spain, Poland, India.
            [3, 3, 3]
            | [3, 2, 2, 2]
            | [2, 3, 2, 2]
            | [5, 5]
            | [4, 3, 3]
            | [4, 6]
            | [3, 4]
            | [3, 7]
            | [4, 4]
            // Denmark, Norway.
            | [2, 2, 2, 2]
            | [3, 2, 3]
            // China, Mexico, Turkey, Russia.
            | [3, 4, 4]
            | [2, 4, 4]
            | [3, 3, 2, 2]
            | [1, 3, 3, 2, 2]
            | [9] => Form::Vague,
            _ => Form::None,
        }
    }

    /// Whether the groups leave no doubt whatever the number: `(415) 555-2671`.
    fn is_telling(&self) -> bool {
        self.bracket && self.lens() == [3, 3, 4]
    }

    fn exists(&self, number: &str, form: Form, regions: &Regions, spoken_for: bool) -> Known {
        let util = plans::util();
        let parse = |region: Option<Region>, number: &str| util.parse(number, region).ok();
        let abroad = |number: &str| match plain(number).or_else(|| parse(None, number)) {
            Some(parsed) if is_somewhere(&parsed) => Known::Exists,
            Some(parsed) if util.is_possible_number(&parsed) => Known::Possible,
            _ => Known::No,
        };
        if self.plus {
            return match number.contains("(0)") {
                true => abroad(&number.replace("(0)", "")),
                false => abroad(number),
            };
        }
        if self.abroad && form == Form::International {
            let digits = number
                .trim_start_matches("011-")
                .trim_start_matches("011 ")
                .trim_start_matches('0');
            return abroad(&format!("+{digits}"));
        }
        let here = |region: &Region| {
            parse(Some(*region), number).is_some_and(|parsed| util.is_valid_number(&parsed))
        };
        match regions.tried(spoken_for).any(here) {
            true => Known::Exists,
            false => Known::No,
        }
    }
}

/// A number after its plus sign, put together without the library's reader: that allows for much that was ruled out here
/// already, and takes its time for it. None where there is more to it than digits, a zero at the front above all.
fn plain(number: &str) -> Option<PhoneNumber> {
    let digits = |start: usize| digits_of(number.as_bytes()).skip(start);
    let value = |digits: &mut dyn Iterator<Item = u32>| {
        digits.fold(0_u64, |sum, digit| {
            sum.saturating_mul(10).saturating_add(digit.into())
        })
    };
    let country = (1..=3).find_map(|length| {
        let code = i32::try_from(value(&mut digits(0).take(length))).ok()?;
        let known = plans::util().get_regions_for_country_calling_code(code)?;
        (known.len() > 0).then_some((length, code))
    });
    let (length, country_code) = country?;
    if digits(length).next()? == 0 || digits(length).count() > 15 {
        return None;
    }
    Some(PhoneNumber {
        country_code,
        national_number: value(&mut digits(length)),
        ..PhoneNumber::default()
    })
}

/// Whether it is a number of one of its code's regions; the largest of them comes first.
fn is_somewhere(number: &PhoneNumber) -> bool {
    let util = plans::util();
    let regions = util.get_regions_for_country_calling_code(number.country_code);
    regions
        .into_iter()
        .flatten()
        .any(|region| util.is_valid_number_for_region(number, region))
}

/// Whether the four digits at `at` are a year of these days.
fn is_year(text: Text<'_>, at: usize) -> bool {
    matches!(text.bytes(at, at.saturating_add(2)), b"19" | b"20")
}

/// Past what stands between two groups: at most two of blank, dash, dot, slash. A dot and a blank end a sentence.
fn between(text: Text<'_>, at: usize) -> usize {
    let separates = |b: u8| matches!(b, b' ' | b'-' | b'.' | b'/' | 0xc2 | 0xa0);
    let end = text.run(at, 2, separates);
    let next = text.at(end);
    let sentence = text.bytes(at, end) == b". ";
    if !sentence && (next.is_ascii_digit() || next == b'(') {
        end
    } else {
        at
    }
}

/// The end with an extension: `x123`, `ext. 123`.
fn extension(text: Text<'_>, end: usize) -> usize {
    let rest = text.bytes(end, end.saturating_add(16));
    let blanks = rest.iter().take_while(|b| **b == b' ').count().min(2);
    let behind = rest.get(blanks..).unwrap_or_default();
    let mark = [&b"extension "[..], b"ext. ", b"ext.", b"ext ", b"x", b"#"]
        .into_iter()
        .find(|mark| {
            behind
                .get(..mark.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(mark))
        });
    let Some(mark) = mark else { return end };
    let from = end.saturating_add(blanks).saturating_add(mark.len());
    let to = text.run(from, 7, |b| b.is_ascii_digit());
    if (1..=6).contains(&to.saturating_sub(from)) && !alnum(text.at(to)) {
        to
    } else {
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_regions_have_numbers() {
        for name in REGIONS.iter().chain(&REGIONS_IF_SPOKEN) {
            assert!(region(name).is_some(), "{name}");
        }
        let usual = Regions::usual();
        assert_eq!(usual.tried(true).count(), 27);
        assert_eq!(region("XX"), None);
        assert_eq!(region("001"), None);
    }
}
