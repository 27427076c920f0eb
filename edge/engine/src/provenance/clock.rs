//! Times of day, in the ways in which people and programs write them.

use super::calendar::spelled_part;

/// A time of day.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Clock {
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
}

/// Longest time by itself, in bytes: `12:30:00 p.m.`
const BYTES_MAX: usize = 13;
/// Words and signs that make an hour of a figure before them.
const HOUR_WORDS: [&str; 8] = ["o'clock", "o’clock", "uhr", "点", "點", "時", "时", "시"];
/// Words before an hour that somebody tells, and behind it.
const BEFORE: [&str; 13] = [
    "at", "by", "from", "to", "until", "till", "between", "around", "kl", "um", "ab", "gegen", "à",
];
const BEHIND: [&str; 15] = [
    "am",
    "pm",
    "a.m",
    "p.m",
    "o'clock",
    "in the",
    "at night",
    "tonight",
    "sharp",
    "this morning",
    "this afternoon",
    "this evening",
    "heures",
    "horas",
    "ore",
];
/// Hours as people say them, from twelve on.
const NAMES: [&str; 12] = [
    "twelve", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven",
];

impl Clock {
    /// The time that a normal text is, and nothing else: `19:00`, `7 pm`, `7:30 p.m.`, `19:00:30`, `noon`.
    pub(super) fn of(normal: &str) -> Option<Self> {
        if normal == "noon" {
            return Some(Self::full(12));
        }
        if normal.len() > BYTES_MAX || !normal.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let letters = normal.find(|c: char| c.is_ascii_alphabetic());
        let (figures, half) = normal.split_at_checked(letters.unwrap_or(normal.len()))?;
        let half = match half {
            "" => None,
            "am" | "a.m" | "a.m." => Some(0),
            "pm" | "p.m" | "p.m." => Some(12),
            _ => return None,
        };
        let mut figures = figures.trim_end().split(':');
        let hour = figures.next()?;
        let (minute, second) = (figures.next(), figures.next());
        // A figure alone is no time.
        if figures.next().is_some() || (minute.is_none() && half.is_none()) {
            return None;
        }
        let sixtieth = |figure: Option<&str>| match figure {
            None => Some(0),
            Some(figure) => two_digits(figure).filter(|figure| *figure < 60),
        };
        let hour = match hour.len() {
            1 => hour.parse().ok()?,
            _ => two_digits(hour)?,
        };
        let hour = match half {
            None if hour < 24 => hour,
            Some(half) if (1..=12).contains(&hour) => hour.checked_rem(12)?.saturating_add(half),
            _ => return None,
        };
        Some(Self {
            hour,
            minute: sixtieth(minute)?,
            second: sixtieth(second)?,
        })
    }

    fn full(hour: u32) -> Self {
        Self {
            hour,
            minute: 0,
            second: 0,
        }
    }

    /// The times that a bare hour may mean: seven in the morning or in the evening.
    pub(super) fn full_hours(figure: u32) -> impl Iterator<Item = Self> {
        let other = match figure {
            1..=11 => Some(figure.saturating_add(12)),
            12 => Some(0),
            _ => None,
        };
        let same = Some(figure).filter(|hour| *hour < 24);
        same.into_iter().chain(other).map(Self::full)
    }

    /// The hour that a normal text names with a word for it, and nothing else: `7 o'clock`, `19 uhr`, `3点`.
    pub(super) fn hour_in(normal: &str) -> Option<u32> {
        // Hardly any text ends as those words do.
        let last = normal.as_bytes().last()?;
        let may_be = matches!(last, b'k' | b'r') || !last.is_ascii();
        if !may_be || normal.len() > BYTES_MAX {
            return None;
        }
        let end = normal.find(|c: char| !c.is_ascii_digit())?;
        let (figure, word) = normal.split_at_checked(end)?;
        let word = word.strip_prefix(' ').unwrap_or(word);
        let hour = HOUR_WORDS
            .contains(&word)
            .then(|| figure.parse::<u32>().ok())?;
        hour.filter(|hour| figure.len() <= 2 && *hour < 24)
    }

    /// The times that a normal text may mean which is nothing else.
    pub(super) fn readings(normal: &str) -> impl Iterator<Item = Self> + use<> {
        let hours = Self::hour_in(normal).into_iter().flat_map(Self::full_hours);
        Self::of(normal).into_iter().chain(hours)
    }

    pub(super) fn is_midnight(self) -> bool {
        (self.hour, self.minute, self.second) == (0, 0, 0)
    }

    /// What it is noted and looked up as where it stands behind a date.
    pub(super) fn part(self) -> String {
        spelled_part("time", &format!("{}:{:02}", self.hour, self.minute))
    }

    /// What it is noted and looked up as where it is a value by itself: with its seconds, if it has any.
    pub(super) fn whole(self) -> String {
        match self.second {
            0 => self.part(),
            second => format!("{}:{second:02}", self.part()),
        }
    }

    /// The time as people write it, and programs beside a date.
    pub(super) fn written(self) -> Vec<String> {
        let Self {
            hour,
            minute,
            second,
        } = self;
        let mut written = vec![format!("{hour:02}:{minute:02}:{second:02}")];
        if second > 0 {
            return written;
        }
        written.extend([
            format!("{hour:02}:{minute:02}"),
            format!("{hour}:{minute:02}"),
        ]);
        let twelve = self.hour_of_twelve();
        for half in self.halves() {
            for blank in ["", " "] {
                written.push(format!("{twelve}:{minute:02}{blank}{half}"));
                if minute == 0 {
                    written.push(format!("{twelve}{blank}{half}"));
                }
            }
        }
        for word in HOUR_WORDS.iter().filter(|_| minute == 0) {
            let blank = if word.len() > "点".len() || word.is_ascii() {
                " "
            } else {
                ""
            };
            written.extend([hour, twelve].map(|hour| format!("{hour}{blank}{word}")));
        }
        if (hour, minute) == (12, 0) {
            written.push("noon".to_owned());
        }
        written
    }

    /// The time as anybody may say it to whoever writes it down: enough to suspect it, and no proof.
    pub(super) fn told(self) -> Vec<String> {
        let Self { hour, minute, .. } = self;
        let mut told = self.written();
        if self.second > 0 {
            return told;
        }
        let twelve = self.hour_of_twelve();
        told.push(format!("{twelve}:{minute:02}"));
        for hour in [hour, twelve] {
            let stop = format!("{hour}.{minute:02}");
            told.extend(BEFORE.map(|word| format!("{word} {stop}")));
            told.extend(["am", "pm", "a.m", "p.m", "uhr"].map(|word| format!("{stop} {word}")));
            told.extend([format!("{stop}am"), format!("{stop}pm")]);
        }
        // By itself `7.30` is a price.
        told.extend((hour > 12).then(|| format!("{hour}.{minute:02}")));
        let figures = format!("{hour:02}{minute:02}");
        told.extend(["hours", "hrs"].map(|word| format!("{figures} {word}")));
        told.extend([format!("{hour}h{minute:02}"), format!("{figures}h")]);
        // `1500` may be anything.
        told.extend(Some(figures).filter(|figures| figures.starts_with('0')));
        told.extend(match minute {
            0 => self.spoken_hour(),
            _ => self.spoken_minutes(),
        });
        told
    }

    /// A full hour with the words around it.
    fn spoken_hour(self) -> Vec<String> {
        let twelve = self.hour_of_twelve();
        let mut spoken = vec![format!("{}h", self.hour)];
        let figures = [self.hour, twelve].map(|hour| hour.to_string());
        let names = figures.iter().map(String::as_str).chain([name_of(twelve)]);
        for name in names {
            spoken.extend(BEFORE.map(|word| format!("{word} {name}")));
            spoken.extend(BEHIND.map(|word| format!("{name} {word}")));
        }
        spoken.extend((self.hour == 12).then(|| "midday".to_owned()));
        spoken
    }

    /// Halves, quarters and other minutes: `half past seven`, `10 to 8`.
    fn spoken_minutes(self) -> Vec<String> {
        let twelve = self.hour_of_twelve();
        let next = twelve.checked_rem(12).unwrap_or(0).saturating_add(1);
        let past = self.minute <= 30;
        let (minutes, hour) = match past {
            true => (self.minute, twelve),
            false => (60_u32.saturating_sub(self.minute), next),
        };
        let signs: &[&str] = match (past, minutes) {
            (true, 15) => &["past", "after"],
            (true, _) => &["past"],
            (false, 15) => &["to", "of"],
            (false, _) => &["to"],
        };
        let hours = [name_of(hour).to_owned(), hour.to_string()];
        let mut spoken = Vec::new();
        for count in [Some(minutes.to_string()), minutes_named(minutes)]
            .iter()
            .flatten()
        {
            for (sign, hour) in signs
                .iter()
                .flat_map(|sign| hours.iter().map(move |hour| (sign, hour)))
            {
                spoken.push(format!("{count} {sign} {hour}"));
            }
        }
        if minutes == 30 {
            spoken.extend(hours.map(|hour| format!("half {hour}")));
        }
        spoken
    }

    fn halves(self) -> [&'static str; 2] {
        match self.hour < 12 {
            true => ["am", "a.m"],
            false => ["pm", "p.m"],
        }
    }

    fn hour_of_twelve(self) -> u32 {
        match self.hour.checked_rem(12) {
            Some(hour) if hour > 0 => hour,
            _ => 12,
        }
    }
}

/// A figure of two digits.
pub(super) fn two_digits(text: &str) -> Option<u32> {
    let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn minutes_named(minutes: u32) -> Option<String> {
    let name = match minutes {
        5 => "five",
        10 => "ten",
        15 => "quarter",
        20 => "twenty",
        25 => "twenty-five",
        30 => "half",
        _ => return None,
    };
    Some(name.to_owned())
}

fn name_of(hour: u32) -> &'static str {
    let hour = usize::try_from(hour).unwrap_or(0);
    let name = hour
        .checked_rem(NAMES.len())
        .and_then(|hour| NAMES.get(hour));
    name.copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(hour: u32, minute: u32, second: u32) -> Clock {
        Clock {
            hour,
            minute,
            second,
        }
    }

    #[test]
    fn a_time_by_itself() {
        for (text, time) in [
            ("19:00", clock(19, 0, 0)),
            ("7 pm", clock(19, 0, 0)),
            ("7pm", clock(19, 0, 0)),
            ("7:30 p.m.", clock(19, 30, 0)),
            ("12 am", clock(0, 0, 0)),
            ("12:15pm", clock(12, 15, 0)),
            ("09:05:30", clock(9, 5, 30)),
            ("noon", clock(12, 0, 0)),
        ] {
            assert_eq!(Clock::of(text), Some(time), "{text}");
        }
        for text in [
            "7",
            "700",
            "24:00",
            "19:60",
            "16:9",
            "1:2:3:4",
            "13 pm",
            "0 am",
            "7 pmx",
            "at 7 pm",
            "7 pm today",
            "7:00:",
            "",
            "pm",
        ] {
            assert_eq!(Clock::of(text), None, "{text}");
        }
    }

    #[test]
    fn an_hour_has_a_word_behind_it() {
        for (text, hour) in [
            ("7 o'clock", Some(7)),
            ("19 uhr", Some(19)),
            ("3点", Some(3)),
            ("25 uhr", None),
            ("123 uhr", None),
            ("7 clock", None),
            ("at 7 o'clock", None),
            ("uhr", None),
            ("7", None),
            ("", None),
        ] {
            assert_eq!(Clock::hour_in(text), hour, "{text}");
        }
        for (figure, hours) in [
            (7, &[7, 19][..]),
            (12, &[12, 0]),
            (0, &[0]),
            (19, &[19]),
            (24, &[]),
        ] {
            let meant: Vec<u32> = Clock::full_hours(figure).map(|clock| clock.hour).collect();
            assert_eq!(meant, hours, "{figure}");
        }
    }

    #[test]
    fn times_are_written_in_many_ways() {
        let three = clock(15, 0, 0);
        for text in [
            "15:00",
            "3 pm",
            "3pm",
            "3:00 pm",
            "3 p.m",
            "15:00:00",
            "15 uhr",
            "3 o'clock",
        ] {
            assert!(three.written().iter().any(|known| known == text), "{text}");
        }
        for text in [
            "3 pm",
            "three p.m",
            "at three",
            "at 3",
            "3 in the",
            "15.00 uhr",
            "1500 hours",
            "15h00",
            "15h",
        ] {
            assert!(three.told().iter().any(|known| known == text), "{text}");
        }
        for (time, text) in [
            (clock(19, 30, 0), "7:30"),
            (clock(19, 30, 0), "half past 7"),
            (clock(19, 30, 0), "19.30"),
            (clock(19, 0, 0), "from 19"),
            (clock(21, 0, 0), "to nine"),
            (clock(19, 0, 0), "kl 19.00"),
            (clock(19, 0, 0), "19 heures"),
            (clock(19, 0, 0), "seven tonight"),
            (clock(19, 50, 0), "ten to 8"),
            (clock(12, 45, 0), "quarter to one"),
            (clock(7, 5, 0), "5 past seven"),
        ] {
            assert!(time.told().iter().any(|known| known == text), "{text}");
        }
        // A price.
        assert!(!clock(19, 30, 0).told().iter().any(|known| known == "7.30"));
        assert!(!three.told().iter().any(|known| known == "1500"));
        assert!(clock(3, 0, 0).told().iter().any(|known| known == "0300"));
        let late = clock(11, 45, 0).told();
        assert!(late.iter().any(|known| known == "quarter to twelve"));
        assert_eq!(three.whole(), "time 15:00");
        assert_eq!(clock(3, 0, 12).whole(), "time 3:00:12");
        assert!(clock(0, 0, 0).is_midnight());
        assert_eq!(clock(3, 0, 0).part(), "time 3:00");
        assert_eq!(clock(3, 0, 12).told(), ["03:00:12"]);
    }
}
