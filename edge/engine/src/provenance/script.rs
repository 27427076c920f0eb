//! Scripts that are written without blanks, and the punctuation of all of them.

/// A letter of a script that puts no blanks between words (Chinese, Japanese, Thai, Lao, Burmese, Khmer, Yi), or none before
/// endings (Korean): where a word ends takes a dictionary, so each letter is a word of its own.
pub(super) const fn unspaced(c: char) -> bool {
    matches!(c,
        '\u{e01}'..='\u{e3a}' | '\u{e40}'..='\u{e4e}' // Thai; its digits make numbers
        | '\u{e81}'..='\u{ecd}' | '\u{edc}'..='\u{edf}' // Lao
        | '\u{1000}'..='\u{103f}' | '\u{1050}'..='\u{108f}' // Burmese
        | '\u{1780}'..='\u{17d3}' // Khmer
        | '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{309f}' | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{312f}'
        | '\u{31a0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' // Han, Kana, Bopomofo
        | '\u{a000}'..='\u{a48c}' // Yi
        | '\u{ac00}'..='\u{d7a3}' // Hangul
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Punctuation beyond ASCII that no word has inside. Hyphens and the middle dot of Catalan are none of it.
pub(super) const fn separates(c: char) -> bool {
    matches!(c,
        '¡' | '¿' | '«' | '»' | '‹' | '›' | '•' | '※'
        | '\u{2013}'..='\u{2015}' // dashes
        | '\u{2018}'..='\u{201f}' // quotation marks
        | '\u{589}' | '\u{5c3}' // Armenian, Hebrew
        | '\u{60c}' | '\u{61b}' | '\u{61f}' | '\u{6d4}' // Arabic
        | '\u{964}' | '\u{965}' // Devanagari and its sisters
        | '\u{e4f}' | '\u{e5a}' | '\u{e5b}' | '\u{104a}' | '\u{104b}' | '\u{17d4}'..='\u{17d6}' // Thai, Burmese, Khmer
        | '\u{f0b}'..='\u{f12}' // Tibetan
        | '\u{1361}'..='\u{1368}' // Ethiopic
        | '\u{3001}' | '\u{3002}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301f}' | '\u{30fb}')
}

/// A run of letters, digits and signs, cut where letters of a script without blanks stand side by side with those of ASCII:
/// `访问evil.com登录` is a sentence with a host in it.
pub(super) fn pieces(run: &str) -> impl Iterator<Item = &str> {
    let mut rest = run;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, behind) = rest.split_at_checked(border(rest))?;
        rest = behind;
        Some(piece)
    })
}

fn border(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    let meet = |a: char, b: char| unspaced(a) && b.is_ascii_alphanumeric();
    let pairs = text.chars().zip(text.char_indices().skip(1));
    let mut borders = pairs.filter(|(a, (_, b))| meet(*a, *b) || meet(*b, *a));
    borders.next().map_or(text.len(), |(_, (at, _))| at)
}

/// The words in a run of letters and digits: each letter of a script without blanks, and what stands between them.
pub(super) fn words_in(run: &str) -> impl Iterator<Item = &str> {
    let mut rest = run;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = match unspaced(first) {
            true => first.len_utf8(),
            false => rest.find(unspaced).unwrap_or(rest.len()),
        };
        let (word, behind) = rest.split_at_checked(end)?;
        rest = behind;
        Some(word)
    })
}

/// Whether a text has so many letters and digits that the same elsewhere is no accident.
pub(super) fn is_telling(text: &str, least: usize) -> bool {
    let letters = text.chars().filter(|c| c.is_alphanumeric());
    // Two signs of a script without blanks are a word already.
    let letters = letters.map(|c| if unspaced(c) { 2 } else { 1_usize });
    letters.take(least).sum::<usize>() >= least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_cut_where_scripts_meet() {
        for (run, cut) in [
            ("访问evil.com登录", &["访问", "evil.com", "登录"][..]),
            ("例え.jp", &["例え.jp"]),
            ("中文.com登录", &["中文.com", "登录"]),
            ("straße.example", &["straße.example"]),
            ("ดูevil.comนะ", &["ดู", "evil.com", "นะ"]),
            ("plain.example", &["plain.example"]),
            ("", &[]),
        ] {
            assert_eq!(pieces(run).collect::<Vec<_>>(), cut, "{run}");
        }
    }

    #[test]
    fn letters_are_words() {
        let all = |run| words_in(run).collect::<Vec<_>>();
        assert_eq!(all("付bob王小"), ["付", "bob", "王", "小"]);
        assert_eq!(all("bob"), ["bob"]);
        assert_eq!(all(""), [""; 0]);
    }

    #[test]
    fn no_letter_is_punctuation() {
        for c in "王小明さんに送信テストー김철수ไทยລາວမြန်ខ្មែរ".chars()
        {
            assert!(unspaced(c) && !separates(c), "{c}");
        }
        for c in "「」、。¿¡«»—“”・؟।".chars() {
            assert!(separates(c) && !unspaced(c), "{c}");
        }
        for c in "aé9жπ-·".chars() {
            assert!(!separates(c) && !unspaced(c), "{c}");
        }
    }
}
