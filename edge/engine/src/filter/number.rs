//! Digits in groups: how a number is written.

use super::text::Text;

/// Most groups that are looked at.
const GROUPS_MAX: usize = 8;
/// Most digits.
const DIGITS_MAX: usize = 24;

/// A run of digits, or of groups of digits with one separator (`-`, `.`, `/`, a blank) between each two. Only as much
/// as can be one number.
#[derive(Clone, Copy, Default)]
pub(super) struct Number {
    digits: [u8; DIGITS_MAX],
    digits_len: usize,
    lens: [u8; GROUPS_MAX],
    ends: [usize; GROUPS_MAX],
    groups: usize,
    separators: [u8; GROUPS_MAX],
    /// One bit for each number of digits that its first groups have together.
    totals: u32,
}

impl Number {
    /// Reads from `start`, the first of a run of digits.
    pub(super) fn read(text: Text<'_>, start: usize) -> Self {
        let mut number = Self::default();
        let mut at = start;
        loop {
            let end = text.run(at, DIGITS_MAX.saturating_add(1), |b| b.is_ascii_digit());
            if !number.push(text.bytes(at, end), end) {
                return number;
            }
            let Some(next) = separator(text, end) else {
                return number;
            };
            if let Some(slot) = number.separators.get_mut(number.groups.saturating_sub(1)) {
                *slot = text.at(end);
            }
            at = next;
        }
    }

    fn push(&mut self, group: &[u8], end: usize) -> bool {
        let total = self.digits_len.saturating_add(group.len());
        let (Some(room), Some(len), Some(slot), false) = (
            self.digits.get_mut(self.digits_len..total),
            self.lens.get_mut(self.groups),
            self.ends.get_mut(self.groups),
            group.is_empty(),
        ) else {
            return false;
        };
        room.copy_from_slice(group);
        *len = u8::try_from(group.len()).unwrap_or(u8::MAX);
        *slot = end;
        self.digits_len = total;
        self.totals |= bit(total);
        self.groups = self.groups.saturating_add(1);
        true
    }

    /// Whether it has so many digits at the end of one of its groups.
    pub(super) fn may_have(&self, digits: usize) -> bool {
        self.totals & bit(digits) != 0
    }

    /// Lengths of the groups.
    pub(super) fn lens(&self) -> &[u8] {
        self.lens.get(..self.groups).unwrap_or_default()
    }

    /// The first `groups` groups: their digits, and where they end.
    pub(super) fn first(&self, groups: usize) -> Option<(&[u8], usize)> {
        let end = *self.ends.get(groups.checked_sub(1)?)?;
        let digits: usize = self
            .lens()
            .get(..groups)?
            .iter()
            .map(|n| usize::from(*n))
            .sum();
        Some((self.digits.get(..digits)?, end))
    }

    /// The separator of the first `groups` groups, if it is one and the same; NUL for a single group.
    pub(super) fn separator(&self, groups: usize) -> Option<u8> {
        let between = self.separators.get(..groups.saturating_sub(1))?;
        match between.split_first() {
            None => Some(0),
            Some((first, rest)) => rest.iter().all(|b| b == first).then_some(*first),
        }
    }

    /// Separator behind the group of this index.
    pub(super) fn separator_at(&self, group: usize) -> u8 {
        self.separators.get(group).copied().unwrap_or(0)
    }
}

fn bit(digits: usize) -> u32 {
    let shift = u32::try_from(digits).unwrap_or(u32::BITS);
    1_u32.checked_shl(shift).unwrap_or(0)
}

/// Where the next group begins, if one separator and then a digit follows `end`.
fn separator(text: Text<'_>, end: usize) -> Option<usize> {
    let next = match text.at(end) {
        b' ' | b'-' | b'.' | b'/' => end.saturating_add(1),
        // The blank that does not break.
        0xc2 if text.at(end.saturating_add(1)) == 0xa0 => end.saturating_add(2),
        _ => return None,
    };
    text.at(next).is_ascii_digit().then_some(next)
}
