//! Ids of states and banks in numbers: which of them it is, and how sure.

use super::national::{self, BRAZILIAN, IDS};
use super::number::Number;
use super::numbers::Numbers;
use super::payment;
use super::scan::Found;
use super::text::alnum;
use proctor_model::content::{Confidence, ContentClass as Class};

/// What stands before a dash that stands before a number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joint {
    Digit,
    Letter,
}

impl Numbers<'_> {
    /// `12345678-Z`, `X-1234567-L`, `AB 12 34 56 C`: ids whose letters stand apart from their digits.
    pub(super) fn apart(
        &mut self,
        from: usize,
        to: usize,
    ) -> Option<(usize, usize, Class, Confidence)> {
        let text = self.text;
        let mut id = [0_u8; 9];
        let digits = to.saturating_sub(from);
        if self.is_fraction(from) {
            return None;
        }
        if digits == 8 || digits == 7 {
            let letter_at = match text.at(to) {
                b'-' | b' ' => to.saturating_add(1),
                _ => to,
            };
            let letter = text.at(letter_at).to_ascii_uppercase();
            let lead = from
                .checked_sub(2)
                .filter(|_| digits == 7 && text.before(from) == b'-');
            let start = if digits == 8 { Some(from) } else { lead };
            let start = start?;
            if alnum(text.before(start)) || alnum(text.at(letter_at.saturating_add(1))) {
                return None;
            }
            let body = text.bytes(from, to);
            let first = (digits == 7).then(|| text.at(start).to_ascii_uppercase());
            let letters = first
                .into_iter()
                .chain(body.iter().copied())
                .chain([letter]);
            id.iter_mut().zip(letters).for_each(|(slot, b)| *slot = b);
            let end = letter_at.saturating_add(1);
            // A letter that stands apart is a word more often: `On 20240118 a new file`.
            let parted = text.at(to) == b' ';
            let is_word = parted && letter != text.at(letter_at);
            if is_word || !national::es_dni(&id) {
                return None;
            }
            let said = self.said(start, end);
            let sure = match parted && digits == 8 && !said.speaks_for(Class::EsDni) {
                true => Confidence::Medium,
                false => Confidence::High,
            };
            let against = said.speaks_against(Class::EsDni);
            return (!against).then_some((start, end, Class::EsDni, sure));
        }
        let blanks: &[usize] = match digits {
            2 => &[2, 5, 8, 11],
            6 => &[2, 9],
            _ => return None,
        };
        let start = from.checked_sub(3).filter(|_| text.before(from) == b' ')?;
        let end = start.saturating_add(9).saturating_add(blanks.len());
        let written = text.bytes(start, end);
        let compact = written.iter().filter(|b| **b != b' ').copied();
        id.iter_mut().zip(compact).for_each(|(slot, b)| *slot = b);
        let fits = blanks.iter().all(|at| written.get(*at) == Some(&b' '));
        if !fits || alnum(text.before(start)) || alnum(text.at(end)) {
            return None;
        }
        let sure = self.nino(&id, start, end)?;
        Some((start, end, Class::UkNino, sure))
    }

    /// How sure nine characters are a National Insurance number: by the letters that are issued, or by its name.
    pub(super) fn nino(&mut self, id: &[u8], start: usize, end: usize) -> Option<Confidence> {
        let issued = national::uk_nino(id);
        if !issued && !national::is_like_nino(id) {
            return None;
        }
        let said = self.said(start, end);
        match issued {
            true => (!said.speaks_against(Class::UkNino)).then_some(Confidence::High),
            false => said.speaks_for(Class::UkNino).then_some(Confidence::Medium),
        }
    }

    /// Of the states' ids that fit, the one that words speak for, else the one that is most sure.
    pub(super) fn id(
        &mut self,
        from: usize,
        number: &Number,
        found: &mut Found<'_>,
    ) -> Option<usize> {
        let mut best: Option<(bool, Confidence, usize, Class)> = None;
        // A telephone number.
        if self.text.before(from) == b'+' {
            return None;
        }
        let joint = self.joint(from);
        if joint == Some(Joint::Digit) {
            return None;
        }
        let fraction = self.is_fraction(from);
        for id in IDS.iter().filter(|id| number.may_have(id.digits)) {
            let plain = number
                .first(1)
                .filter(|(digits, _)| digits.len() == id.digits && !fraction)
                .map(|(digits, end)| (digits, end, id.plain));
            let grouped = id.layouts.iter().find_map(|(layout, separators)| {
                let uniform = separators.contains(&number.separator(layout.len())?);
                let (digits, end) = number.first(layout.len())?;
                (uniform && number.lens().starts_with(layout)).then_some((digits, end, id.grouped))
            });
            let brazilian = || {
                let (digits, end) = number.first(4)?;
                let dots = number.separator_at(0) == b'.'
                    && number.separator_at(1) == b'.'
                    && number.separator_at(2) == b'-';
                (id.class == Class::BrCpf && dots && number.lens().starts_with(BRAZILIAN))
                    .then_some((digits, end, id.grouped))
            };
            let in_one_run = plain.is_some();
            let Some((digits, end, sure)) = plain.or(grouped).or_else(brazilian) else {
                continue;
            };
            let goes_on = self.text.at(end) == b'-' && alnum(self.text.at(end.saturating_add(1)));
            let valid = (id.valid)(digits);
            if alnum(self.text.at(end)) || goes_on || !(valid || id.by_name) {
                continue;
            }
            let said = self.said(from, end);
            let spoken_for = said.speaks_for(id.class);
            let other =
                said.speaks_against(id.class) || (in_one_run && said.speaks_for(Class::Phone));
            // What was made up as an example is somebody's where it is called so.
            let made_up = id.class == Class::UsSsn && national::monotonous(digits);
            let behind_letters = joint == Some(Joint::Letter);
            let sure = match sure {
                _ if (made_up || behind_letters) && !spoken_for => continue,
                // By its name alone, and no name that other ids have.
                _ if !valid && !said.names(id.class) => continue,
                _ if !valid => Confidence::Medium,
                Confidence::Low if spoken_for => Confidence::Medium,
                _ if spoken_for => Confidence::High,
                _ if other => Confidence::Low,
                sure => sure,
            };
            let better =
                best.is_none_or(|(spoken, known, ..)| (spoken_for, sure) > (spoken, known));
            if better {
                best = Some((spoken_for, sure, end, id.class));
            }
        }
        let (_, sure, end, class) = best?;
        found(from, end, class, sure);
        // What is unsure may be something else as well.
        (sure > Confidence::Low).then_some(end)
    }

    /// What a dash joins to the digits at `from`, before them.
    fn joint(&self, from: usize) -> Option<Joint> {
        let dash = from.checked_sub(1).filter(|at| self.text.at(*at) == b'-')?;
        match self.text.before(dash) {
            b if b.is_ascii_digit() => Some(Joint::Digit),
            b if b.is_ascii_alphabetic() => Some(Joint::Letter),
            _ => None,
        }
    }

    /// The IBAN that begins with the word at `from`, in one run or in groups of four.
    pub(super) fn iban(&self, from: usize) -> Option<usize> {
        let head = self.text.bytes(from, from.saturating_add(4));
        let [a, b, c, d] = head else { return None };
        if !a.is_ascii_alphabetic()
            || !b.is_ascii_alphabetic()
            || !c.is_ascii_digit()
            || !d.is_ascii_digit()
        {
            return None;
        }
        let mut compact = String::with_capacity(payment::IBAN_MAX);
        let mut ends = [0_usize; 12];
        let mut groups = 0_usize;
        let mut at = from;
        loop {
            let end = self
                .text
                .run(at, payment::IBAN_MAX.saturating_add(1), alnum);
            compact.push_str(&self.text.slice(at, end).to_ascii_uppercase());
            if compact.len() > payment::IBAN_MAX || end == at {
                break;
            }
            let Some(slot) = ends.get_mut(groups) else {
                break;
            };
            *slot = end;
            groups = groups.saturating_add(1);
            if compact.len() >= payment::IBAN_LEAST && payment::iban(&compact) {
                return Some(end);
            }
            at = match self.text.at(end) {
                b' ' | b'-' => end.saturating_add(1),
                0xc2 if self.text.at(end.saturating_add(1)) == 0xa0 => end.saturating_add(2),
                _ => break,
            };
        }
        None
    }
}
