//! Numbers in the signs of Chinese, Japanese and Korean.
//!
//! As meant: suspect as a number, and no proof of one.

use super::value::Kind;

enum Sign {
    /// Zero to nine.
    Digit(u64),
    /// Ten, a hundred, a thousand.
    Unit(u64),
    /// Ten thousand, a hundred million.
    Myriad(u64),
}

fn sign(c: char) -> Option<Sign> {
    Some(match c {
        '〇' | '零' => Sign::Digit(0),
        '一' | '壹' | '일' => Sign::Digit(1),
        '二' | '两' | '兩' | '贰' | '貳' | '이' => Sign::Digit(2),
        '三' | '叁' | '參' | '삼' => Sign::Digit(3),
        '四' | '肆' | '사' => Sign::Digit(4),
        '五' | '伍' | '오' => Sign::Digit(5),
        '六' | '陆' | '陸' | '육' => Sign::Digit(6),
        '七' | '柒' | '칠' => Sign::Digit(7),
        '八' | '捌' | '팔' => Sign::Digit(8),
        '九' | '玖' | '구' => Sign::Digit(9),
        '十' | '拾' | '십' => Sign::Unit(10),
        '百' | '佰' | '백' => Sign::Unit(100),
        '千' | '仟' | '천' => Sign::Unit(1_000),
        '万' | '萬' | '만' => Sign::Myriad(10_000),
        '亿' | '億' | '억' => Sign::Myriad(100_000_000),
        _ => return None,
    })
}

#[derive(Default)]
struct Ideographic {
    total: u64,
    /// Below the next ten thousand.
    section: u64,
    digits: u64,
    signs: u32,
    scaled: bool,
}

/// `五万`, `三千五百`, `五〇〇〇`.
pub(super) fn ideographic(normal: &str, found: &mut dyn FnMut(Kind, &str)) {
    if normal.is_ascii() {
        return;
    }
    let mut number = Ideographic::default();
    for c in normal.chars() {
        match sign(c) {
            Some(sign) => number.sign(sign),
            None => number.end(found),
        }
    }
    number.end(found);
}

impl Ideographic {
    fn sign(&mut self, sign: Sign) {
        self.signs = self.signs.saturating_add(1);
        self.scaled |= !matches!(sign, Sign::Digit(_));
        match sign {
            Sign::Digit(digit) => {
                self.digits = self.digits.saturating_mul(10).saturating_add(digit);
            }
            Sign::Unit(unit) => {
                let more = self.digits.max(1).saturating_mul(unit);
                self.section = self.section.saturating_add(more);
                self.digits = 0;
            }
            Sign::Myriad(myriad) => {
                let section = self.section.saturating_add(self.digits).max(1);
                self.total = self.total.saturating_add(section.saturating_mul(myriad));
                (self.section, self.digits) = (0, 0);
            }
        }
    }

    /// One sign by itself is a word.
    fn end(&mut self, found: &mut dyn FnMut(Kind, &str)) {
        if self.signs == 0 {
            return;
        }
        let number = std::mem::take(self);
        let sum = number.total.saturating_add(number.section);
        let value = sum.saturating_add(number.digits);
        // Two digits side by side are a part of a word in Korean.
        let least = if number.scaled { 2 } else { 3 };
        if number.signs >= least {
            found(Kind::Meant, &value.to_string());
        }
    }
}

/// How many zeros the sign behind a number stands for, and what follows it: `5万`.
pub(super) fn sign_zeros(behind: &str) -> Option<(usize, &str)> {
    let first = behind.chars().next().filter(|c| !c.is_ascii())?;
    let zeros = match sign(first)? {
        Sign::Digit(_) => return None,
        Sign::Unit(10) => 1,
        Sign::Unit(100) => 2,
        Sign::Unit(_) => 3,
        Sign::Myriad(10_000) => 4,
        Sign::Myriad(_) => 8,
    };
    Some((zeros, behind.get(first.len_utf8()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        ideographic(text, &mut |_, number| all.push(number.to_owned()));
        all
    }

    #[test]
    fn signs_are_amounts() {
        for (text, number) in [
            ("五万", "50000"),
            ("付三千五百元", "3500"),
            ("一百二十万", "1200000"),
            ("五〇〇〇", "5000"),
            ("两亿", "200000000"),
            ("오만 원", "50000"),
        ] {
            assert_eq!(meant(text), [number], "{text}");
        }
    }

    #[test]
    fn words_are_none() {
        for text in ["一个人和三个朋友", "이사람", "plain", "十"] {
            assert_eq!(meant(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn signs_stand_for_zeros() {
        assert_eq!(sign_zeros("万円"), Some((4, "円")));
        assert_eq!(sign_zeros("千"), Some((3, "")));
        assert_eq!(sign_zeros("五"), None);
        assert_eq!(sign_zeros("k"), None);
    }
}
