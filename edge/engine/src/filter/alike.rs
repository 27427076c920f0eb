//! What looks like a word that speaks for a class, and says something else.

/// What ends as a word that speaks for a class does, and says something else: the day on which a thing happened or came to
/// be (`発生日`), or whose day it is (`卫生日`, `hari lahir`), how many are born, that somebody is born again.
const ENDING_ALIKE: &[&str] = &[
    "发生日",
    "發生日",
    "発生日",
    "产生日",
    "產生日",
    "学生日",
    "學生日",
    "卫生日",
    "衛生日",
    "先生日",
    "医生日",
    "醫生日",
    "발생일",
    "학생일",
    "재생일",
    "다시 태어",
    "새롭게 태어",
    "새로 태어",
    "hari lahir",
    "hari kelahiran",
    "angka kelahiran",
    "tingkat kelahiran",
];

/// What begins as such a word does, and says something else: how many are born, where a god was or when that is
/// celebrated, that somebody is born again, `lahir batin`: in deed and thought.
const BEGINNING_ALIKE: &[&str] = &[
    "birth rate",
    "birthrate",
    "birth-rate",
    "birth control",
    "birthright",
    "geburtenr",
    "geburtenz",
    "doğum oran",
    "doğum hız",
    "urodzeń",
    "народжуван",
    "Народжуван",
    "जन्मभूमि",
    "जन्माष्टमी",
    "जन्मोत्सव",
    "जन्मस्थ",
    "जन्मदर",
    "जन्म दर",
    "জন্মভূমি",
    "জন্মাষ্টমী",
    "জন্মহার",
    "출생률",
    "출생율",
    "출생아",
    "출생 통계",
    "출생통계",
    "出生率",
    "出生人口",
    "出生人数",
    "出生人數",
    "出生数",
    "出生數",
    "出生缺陷",
    "生まれ変",
    "lahir batin",
    "lahir dan batin",
    "lahir & batin",
    "lahir kembali",
    "lahirnya",
];

/// An alliance, which Italian writes as it does who is born.
const ALLIANCE: &str = "nato";

/// What stands before it and not before who is born. Behind a name, forms write the capital, too: `Rossi Mario Nato il`.
const BEFORE_ALLIANCE: &[&str] = &[
    "la",
    "alla",
    "della",
    "dalla",
    "nella",
    "sulla",
    "vertice",
    "vertici",
    "summit",
    "missione",
    "missioni",
    "base",
    "basi",
    "forze",
    "paesi",
    "esercitazione",
    "esercitazioni",
    "riunione",
];

/// Whether others look like this word ([`is_other`]).
pub(super) fn has_others(word: &str) -> bool {
    ENDING_ALIKE.iter().any(|other| other.ends_with(word))
        || BEGINNING_ALIKE.iter().any(|other| other.starts_with(word))
        || word.starts_with(ALLIANCE)
}

/// Whether the word at `at`, up to `end`, is part of one of [`ENDING_ALIKE`] or [`BEGINNING_ALIKE`], or is [`ALLIANCE`].
pub(super) fn is_other(text: &[u8], at: usize, end: usize) -> bool {
    let ends = |other: &str| {
        let start = end.checked_sub(other.len());
        start.is_some_and(|start| stands_at(text, start, other))
    };
    ENDING_ALIKE.iter().any(|other| ends(other))
        || BEGINNING_ALIKE
            .iter()
            .any(|other| stands_at(text, at, other))
        || (stands_at(text, at, ALLIANCE) && is_named(text, at, end))
}

fn stands_at(text: &[u8], start: usize, other: &str) -> bool {
    let here = text.get(start..start.saturating_add(other.len()));
    here.is_some_and(|here| here.eq_ignore_ascii_case(other.as_bytes()))
}

/// Most blanks between two words.
const BLANKS_MAX: usize = 4;

/// Whether a word is written as the name of [`ALLIANCE`]: in capitals behind another word, or with one behind what tells of
/// it. Not where all is in capitals.
fn is_named(text: &[u8], at: usize, end: usize) -> bool {
    let word = text.get(at..end).unwrap_or_default();
    let capital = word.first().is_some_and(u8::is_ascii_uppercase);
    let small = word.iter().any(u8::is_ascii_lowercase);
    let before = text.get(..at).unwrap_or_default();
    let blanks = before.iter().rev().take(BLANKS_MAX);
    let blanks = blanks.take_while(|b| **b == b' ').count();
    let behind = at.saturating_sub(blanks);
    let in_capitals = word.starts_with(b"NATO") && ends_word(text, behind);
    let told = |other: &&str| {
        let start = behind.checked_sub(other.len());
        start.is_some_and(|start| stands_at(text, start, other) && !ends_word(text, start))
    };
    capital && small && (in_capitals || BEFORE_ALLIANCE.iter().any(told))
}

/// Whether a letter stands before `at`.
fn ends_word(text: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|at| text.get(at));
    before.is_some_and(|b| b.is_ascii_alphabetic() || !b.is_ascii())
}

#[cfg(test)]
mod tests {
    use crate::filter::context::Ear;
    use crate::filter::text::Text;
    use proctor_model::content::ContentClass;

    /// Whether a word before the end of a text, or behind its beginning, speaks for a date of birth.
    fn speaks(text: &str, at: usize) -> bool {
        let text = Text { text, key: "" };
        let said = Ear::new(text).near(at, at);
        said.speaks_for(ContentClass::DateOfBirth)
    }

    #[test]
    fn births_are_told_from_what_is_called_alike() {
        for text in [
            "Rossi, nato a Roma il ",
            "Nato a Roma il ",
            "Mario Rossi\n  Nato il ",
            "ROSSI MARIO NATO A ROMA IL ",
            "Paziente: Rossi Mario Nato il ",
            "Il sottoscritto Mario Rossi Nato a Roma il ",
            "Russo Carla, figlio: Luca Nato il ",
            "Rossi Carla  Nato a Bari il ",
            "Mario Nicolò Nato il ",
            "il paziente Nato il ",
            "la signora Rossi, nata a Roma il ",
            "Budi Santoso (lahir ",
            "Lahir di Jakarta pada ",
            "Hari lahir anak, tarikh lahir: ",
            "pria kelahiran Jakarta, ",
            "출생 ",
            "출생일: ",
            "出生于",
            "जन्म ",
            "birthplace and birth date: ",
            "Geburtsdatum: ",
        ] {
            assert!(speaks(text, text.len()), "{text}");
        }
        for text in [
            "vertice NATO a Madrid il ",
            "il vertice Nato a Vilnius, ",
            "La NATO il ",
            "della  Nato il ",
            "Sulla Nato il ",
            "al summit Nato a Washington il ",
            "VERTICE Nato a Madrid il ",
            "la base Nato a Sigonella il ",
            "i Paesi Nato a Bruxelles il ",
            "Mario Rossi alla NATO il ",
            "il segretario NATO a Roma il ",
            "Hari Lahir Pancasila ",
            "mohon maaf lahir dan batin, ",
            "Maaf Lahir Batin ",
            "sejak lahirnya republik pada ",
            "angka kelahiran per ",
            "राम जन्मभूमि मंदिर ",
            "जन्माष्टमी ",
            "출생아 수는 ",
            "출생률 ",
            "다시 태어난 ",
            "公布出生人口 ",
            "出生率 ",
            "生まれ変わる ",
            "the birth rate of ",
            "Geburtenrate am ",
        ] {
            assert!(!speaks(text, text.len()), "{text}");
        }
        assert!(speaks("に生まれました", 0) && speaks("出生", 0));
        assert!(!speaks("に生まれ変わりました", 0) && !speaks("公布出生人口", 0));
    }
}
