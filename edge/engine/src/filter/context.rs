//! Words near a match, which make it more or less likely to be what it looks like.

use super::alike::{has_others, is_other};
use super::text::Text;
use super::words::{AGAINST, FOR, FOR_ALSO, NUMBERING, WHOLE};
use proctor_model::content::ContentClass as Class;
use std::collections::VecDeque;
use std::sync::LazyLock;

/// How far before a match words count, in bytes.
pub(super) const BEFORE: usize = 56;
/// How far behind it.
const BEHIND: usize = 24;

/// What may be left of a word behind one that is a word of its own: a plural, or what is numbered.
const TAILS: [&[u8]; 15] = [
    b"", b"s", b"es", b"id", b"ids", b"no", b"nr", b"num", b"number", b"nummer", b"code", b"sum",
    b"hash", b"date", b"ref",
];
/// Longer than any of them, in bytes.
const TAIL_MAX: usize = 7;

/// What words near a match say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Said {
    /// One bit per class that is spoken for.
    bits: u64,
    against: bool,
    /// Of parts of a document, or of versions.
    numbering: bool,
    /// What the number is: the id of something that may be called as a class is.
    id: bool,
}

impl Said {
    const AGAINST: Self = Self {
        against: true,
        ..Self::of(0)
    };
    const NUMBERING: Self = Self {
        numbering: true,
        ..Self::of(0)
    };
    const ID: Self = Self {
        id: true,
        ..Self::of(0)
    };

    const fn of(bits: u64) -> Self {
        Self {
            bits,
            against: false,
            numbering: false,
            id: false,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            bits: self.bits | other.bits,
            against: self.against || other.against,
            numbering: self.numbering || other.numbering,
            id: self.id || other.id,
        }
    }

    /// Whether a word speaks for this class.
    pub(super) fn speaks_for(self, class: Class) -> bool {
        self.bits != 0 && (self.names(class) || self.bits & also(class) != 0)
    }

    /// Whether a word speaks for this class that nothing else is called by.
    pub(super) fn names(self, class: Class) -> bool {
        FOR.iter()
            .position(|(known, _)| *known == class)
            .is_some_and(|at| self.bits & bit(at) != 0)
    }

    /// Whether a word speaks against, and none for the class.
    pub(super) fn speaks_against(self, class: Class) -> bool {
        let against = match class {
            Class::IpAddress => self.against || self.numbering,
            Class::Phone | Class::PaymentCard => self.against || self.id,
            _ => self.against,
        };
        against && !self.speaks_for(class)
    }
}

/// The bit of a class for words by which others are called too; none for most.
fn also(class: Class) -> u64 {
    let at = FOR_ALSO.iter().position(|(known, _)| *known == class);
    at.map_or(0, |at| bit(FOR.len().saturating_add(at)))
}

fn bit(at: usize) -> u64 {
    u32::try_from(at)
        .ok()
        .and_then(|at| 1_u64.checked_shl(at))
        .unwrap_or(0)
}

/// A word that is listened for.
#[derive(Clone, Copy)]
struct Spoken {
    word: &'static [u8],
    /// Its third byte, NUL if it has none: hardly any other word of a bucket has the same.
    third: u8,
    /// Not only the beginning of one.
    whole: bool,
    /// Others look like it that say something else ([`is_other`]).
    has_others: bool,
    /// In the name of an id it says what that is of: `contact_id`, `paymentId`.
    with_ids: bool,
    said: Said,
}

/// Words by their first two letters.
struct Words {
    /// One bit for each bucket that is not empty: that most are is soon known.
    present: [u64; BUCKETS / 64],
    buckets: Vec<Vec<Spoken>>,
}

impl Words {
    fn beginning(&self, pair: [u8; 2]) -> &[Spoken] {
        let at = bucket(pair);
        let bits = self.present.get(at / 64).copied().unwrap_or(0);
        let words = self.buckets.get(at).filter(|_| bits & bit(at % 64) != 0);
        words.map(Vec::as_slice).unwrap_or_default()
    }
}

/// Buckets of [`Words`]: five bits of each of two letters.
const BUCKETS: usize = 1024;

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let speaking = FOR
        .iter()
        .chain(FOR_ALSO)
        .enumerate()
        .flat_map(|(at, (class, words))| {
            let with_ids = matches!(class, Class::Phone | Class::PaymentCard);
            let spoken = move |word: &&'static str| Spoken {
                word: word.as_bytes(),
                third: third(word),
                whole: WHOLE.contains(word),
                has_others: has_others(word),
                with_ids,
                said: Said::of(bit(at)),
            };
            words.iter().map(spoken)
        });
    let against = AGAINST.iter().map(|word| Spoken {
        word: word.trim_end_matches('*').as_bytes(),
        third: third(word.trim_end_matches('*')),
        whole: word.bytes().all(|b| b.is_ascii_alphanumeric()),
        has_others: false,
        with_ids: false,
        said: Said::AGAINST,
    });
    let numbering = NUMBERING.iter().map(|word| Spoken {
        word: word.as_bytes(),
        third: third(word),
        whole: true,
        has_others: false,
        with_ids: false,
        said: Said::NUMBERING,
    });
    let mut present = [0; BUCKETS / 64];
    let mut buckets = vec![Vec::new(); BUCKETS];
    for spoken in speaking.chain(against).chain(numbering) {
        let at = spoken
            .word
            .split_first_chunk()
            .map_or(0, |(pair, _)| bucket(*pair));
        if let (Some(bucket), Some(bits_there)) = (buckets.get_mut(at), present.get_mut(at / 64)) {
            bucket.push(spoken);
            *bits_there |= bit(at % 64);
        }
    }
    Words { present, buckets }
});

/// The third byte of a word, if it has one.
fn third(word: &str) -> u8 {
    word.as_bytes().get(2).copied().unwrap_or(0)
}

fn bucket([first, second]: [u8; 2]) -> usize {
    usize::from(first & 31) << 5 | usize::from(second & 31)
}

/// A word that was heard: where it stands, and what it says.
#[derive(Clone, Copy)]
struct Word {
    start: usize,
    end: usize,
    said: Said,
}

/// Listens along a text, to no part of it twice.
pub(super) struct Ear<'t> {
    text: Text<'t>,
    /// What the text's key says.
    key: Option<Said>,
    words: VecDeque<Word>,
    /// Words that begin before this were heard.
    heard: usize,
    /// The last answer: of one place, several classes are asked about.
    last: (usize, usize, Said),
}

/// Words so far before a place are kept in mind: one may ask a little further back than before.
const KEPT: usize = 112;

impl<'t> Ear<'t> {
    pub(super) fn new(text: Text<'t>) -> Self {
        Self {
            text,
            key: None,
            words: VecDeque::new(),
            heard: 0,
            last: (usize::MAX, 0, Said::default()),
        }
    }

    /// What the words around `start..end`, and the text's key, say.
    pub(super) fn near(&mut self, start: usize, end: usize) -> Said {
        let (last_start, last_end, said) = self.last;
        if (start, end) == (last_start, last_end) {
            return said;
        }
        let until = end.saturating_add(BEHIND);
        self.hear(start, until);
        let mut said = self.key();
        let from = start.saturating_sub(BEFORE);
        for word in &self.words {
            if word.start >= from && word.end <= start {
                said = said.and(word.said);
            } else if word.start >= end && word.end <= until {
                // Behind, only what speaks for it: what follows may be about the next thing.
                said.bits |= word.said.bits;
            }
        }
        self.last = (start, end, said);
        said
    }

    fn key(&mut self) -> Said {
        if let Some(said) = self.key {
            return said;
        }
        let key = self.text.key.as_bytes();
        let mut said = Said::default();
        for at in 0..key.len() {
            words_at(&WORDS, key, at, &mut |_, word| said = said.and(word));
        }
        if is_id(key) {
            said = said.and(Said::ID);
        }
        self.key = Some(said);
        said
    }

    fn hear(&mut self, start: usize, until: usize) {
        let bytes = self.text.text.as_bytes();
        let words = &mut self.words;
        while words
            .front()
            .is_some_and(|word| word.start.saturating_add(KEPT) < start)
        {
            words.pop_front();
        }
        // What lies far back is of no interest.
        let from = self.heard.max(start.saturating_sub(KEPT));
        let until = until.min(bytes.len());
        let known: &Words = &WORDS;
        let mut before = from.checked_sub(1).and_then(|at| bytes.get(at));
        for (at, first) in (from..).zip(bytes.get(from..until).unwrap_or_default()) {
            let inside = before.is_some_and(u8::is_ascii_lowercase) && first.is_ascii_lowercase();
            let begins_none = first.is_ascii() && !first.is_ascii_alphabetic();
            before = Some(first);
            // Of most bytes that is known at once.
            if inside || begins_none {
                continue;
            }
            words_at(known, bytes, at, &mut |end, said| {
                words.push_back(Word {
                    start: at,
                    end,
                    said,
                });
            });
        }
        self.heard = from.max(until);
    }
}

/// What the words that begin at this place say.
pub(super) fn at(text: Text<'_>, at: usize) -> Said {
    let mut said = Said::default();
    words_at(&WORDS, text.text.as_bytes(), at, &mut |_, word| {
        said = said.and(word)
    });
    said
}

/// Tells of each word that begins at `at`: its end, and what it says.
#[inline]
fn words_at(known: &Words, text: &[u8], at: usize, heard: &mut impl FnMut(usize, Said)) {
    let pair = text.get(at..).and_then(|rest| rest.first_chunk::<2>());
    let words = pair.map_or(&[][..], |pair| known.beginning(*pair));
    if words.is_empty() || is_inside(text, at) {
        return;
    }
    let third = text.get(at.saturating_add(2)).copied().unwrap_or(0);
    for spoken in words {
        let Spoken { word, whole, .. } = *spoken;
        if spoken.third != 0 && (spoken.third ^ third) & !0x20 != 0 {
            continue;
        }
        let end = at.saturating_add(word.len());
        let here = text.get(at..end).unwrap_or_default();
        if !here.eq_ignore_ascii_case(word) {
            continue;
        }
        // Short words have to be whole ones: `tel` is not in `tell`.
        let after = text.get(end);
        let goes_on = after.is_some_and(|b| b.is_ascii_lowercase() && *b != b's');
        let cut = match whole {
            true => !is_whole(text, end),
            false => word.len() <= 4 && goes_on,
        };
        if !(cut || spoken.has_others && is_other(text, at, end)) {
            let of_id = spoken.with_ids && begins_id(text, at);
            heard(end, if of_id { Said::ID } else { spoken.said });
        }
    }
}

/// Whether a word ends at `end`: `orders` and `orderNo` have it whole, `ordered` has not.
fn is_whole(text: &[u8], end: usize) -> bool {
    let rest = text.get(end..).unwrap_or_default();
    let letter = |b: &&u8| b.is_ascii_alphabetic() || !b.is_ascii();
    let length = rest.iter().take(TAIL_MAX).take_while(letter).count();
    let tail = rest.get(..length).unwrap_or_default();
    let last = end.checked_sub(1).and_then(|at| text.get(at));
    let hump = last.is_some_and(u8::is_ascii_lowercase)
        && tail.first().is_some_and(u8::is_ascii_uppercase);
    hump || TAILS.iter().any(|known| tail.eq_ignore_ascii_case(known))
}

/// Longest name of an id, from a word in it on, in bytes.
const ID_NAME_MAX: usize = 32;

/// Whether the word at `at` is in the name of an id: `contact_id` is not a number to call.
fn begins_id(text: &[u8], at: usize) -> bool {
    let rest = text.get(at..).unwrap_or_default();
    let part = |b: &&u8| b.is_ascii_alphanumeric() || matches!(**b, b'_' | b'-');
    let length = rest.iter().take(ID_NAME_MAX).take_while(part).count();
    rest.get(..length).is_some_and(is_id)
}

/// Whether a name's last part says that it is of an id: `id`, `contact_id`, `contactId`.
fn is_id(name: &[u8]) -> bool {
    let Some((front, last)) = name.split_last_chunk::<2>() else {
        return false;
    };
    let before = front.last();
    let parted = before.is_none_or(|b| !b.is_ascii_alphabetic());
    let hump = last == b"Id" || (last == b"ID" && before.is_some_and(u8::is_ascii_lowercase));
    last.eq_ignore_ascii_case(b"id") && (parted || hump)
}

/// Whether what stands at `at` does not begin a word: `userPhone` has two of them.
fn is_inside(text: &[u8], at: usize) -> bool {
    let (Some(before), Some(first)) = (at.checked_sub(1).and_then(|at| text.get(at)), text.get(at))
    else {
        return false;
    };
    let hump = before.is_ascii_lowercase() && first.is_ascii_uppercase();
    // Of scripts that have no blanks between words, and are in three bytes each.
    if (0xe3..=0xed).contains(first) {
        return false;
    }
    !before.is_ascii() || (before.is_ascii_alphabetic() && !hump)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, key: &str) -> Said {
        Ear::new(Text { text, key }).near(text.len(), text.len())
    }

    #[test]
    fn words_count_from_their_beginning() {
        assert!(said("my phone is ", "").speaks_for(Class::Phone));
        assert!(said("", "userPhone").speaks_for(Class::Phone));
        assert!(said("", "user_phone_number").speaks_for(Class::Phone));
        assert!(!said("I tell the hotel that ", "").speaks_for(Class::Phone));
        assert!(said("order no ", "").speaks_against(Class::Phone));
        assert!(!said("order by phone ", "").speaks_against(Class::Phone));
        assert!(!said("in the border region ", "").speaks_against(Class::Phone));
    }

    #[test]
    fn words_that_speak_against_are_whole_ones() {
        for text in [
            "order ",
            "orders: ",
            "ORDER ",
            "order_id ",
            "orderNo ",
            "orderno ",
            "my order, ",
            "hashes ",
            "SKUNumber ",
            "commithash ",
            "invoicedate ",
            "orderref ",
            "batchsum ",
            "Rechnungsnummer ",
        ] {
            assert!(said(text, "").speaks_against(Class::UsSsn), "{text}");
        }
        for text in [
            "ordered ",
            "ORDERED ",
            "building ",
            "Tracey ",
            "Larry Page ",
            "Driver ",
            "production ",
            "Committee ",
            "traceroute ",
            "hashé ",
        ] {
            assert!(!said(text, "").speaks_against(Class::UsSsn), "{text}");
        }
        assert!(said("section ", "").speaks_against(Class::IpAddress));
        assert!(!said("section ", "").speaks_against(Class::UsSsn));
        assert!(!said("route in table ", "").speaks_against(Class::IpAddress));
    }

    #[test]
    fn an_id_is_not_what_its_name_begins_with() {
        for key in ["contact_id", "mobile_app_id", "officeId", "officeID", "id"] {
            assert!(said("", key).speaks_against(Class::Phone), "{key}");
            assert!(!said("", key).speaks_against(Class::UsSsn), "{key}");
        }
        assert!(said("{\"contact_id\":", "").speaks_against(Class::Phone));
        assert!(said("", "contact_paid").speaks_for(Class::Phone));
        assert!(said("", "tax_id").names(Class::DeTaxId));
        assert!(said("", "uid").speaks_for(Class::InAadhaar));
        assert!(!said("", "uid").names(Class::InAadhaar));
        assert!(said("お電話は", "").speaks_for(Class::Phone));
        assert!(said("Телефон: ", "").speaks_for(Class::Phone));
    }

    #[test]
    fn words_for_births_are_heard_in_each_language() {
        for text in [
            "Narodený ",
            "nar. ",
            "Datum rođenja: ",
            "datum rojstva ",
            "ur. ",
            "tempat, tanggal lahir: ",
            "Ngày sinh: ",
            "Doğum tarihi: ",
            "data naşterii ",
            "Data de naștere: ",
            "дата рождения: ",
            "Родилась ",
            "Дата народження: ",
            "народився ",
            "Роден на ",
            "Ημερομηνία γέννησης: ",
            "γεννήθηκε στις ",
            "تاريخ الميلاد: ",
            "من مواليد ",
            "תאריך לידה: ",
            "נולדה ב-",
            "जन्म तिथि: ",
            "วันเกิด: ",
            "วัน/เดือน/ปีเกิด ",
            "出生日期:",
            "我的生日是",
            "她生于",
            "生年月日:",
            "생년월일: ",
            "제 생일은 ",
        ] {
            assert!(said(text, "").speaks_for(Class::DateOfBirth), "{text}");
        }
        for text in [
            "発生日: ",
            "发生日期:",
            "学生日常",
            "발생일: ",
            "Рождество ",
            "народный ",
            "narodowy ",
            "事件产生于",
            "วันเกิดเหตุ ",
            "عيد الميلاد ",
            "narrated ",
            "NATO agreed on ",
            "szülői értekezlet ",
        ] {
            assert!(!said(text, "").speaks_for(Class::DateOfBirth), "{text}");
        }
    }
}
