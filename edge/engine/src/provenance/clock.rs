//! Times of day, in the ways in which people and programs write them.

use super::calendar::spelled_part;

/// A time of day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Clock {
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
}

/// Longest time by itself, in bytes: `12:30:00 p.m.`
const BYTES_MAX: usize = 13;
/// Hours as people say them, from twelve on.
const NAMES: [&str; 12] = [
    "twelve", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven",
];

impl Clock {
    /// The time that a normal text is, and nothing else: `19:00`, `7 pm`, `7:30 p.m.`, `19:00:30`.
    pub(super) fn of(normal: &str) -> Option<Self> {
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

    pub(super) fn is_midnight(self) -> bool {
        (self.hour, self.minute, self.second) == (0, 0, 0)
    }

    /// What it is noted and looked up as where it stands behind a date.
    pub(super) fn part(self) -> String {
        spelled_part("time", &format!("{}:{:02}", self.hour, self.minute))
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
        let spoken = ["o'clock", "uhr"].map(|word| format!(" {word}"));
        let signs = ["点", "點", "時", "时", "시"].map(str::to_owned);
        for word in spoken.iter().chain(&signs).filter(|_| minute == 0) {
            written.extend([hour, twelve].map(|hour| format!("{hour}{word}")));
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
        for hour in [hour, twelve] {
            let stop = format!("{hour}.{minute:02}");
            told.extend(["at", "by", "from", "until"].map(|word| format!("{word} {stop}")));
            told.extend(["am", "pm", "a.m", "p.m", "uhr"].map(|word| format!("{stop} {word}")));
            told.extend([format!("{stop}am"), format!("{stop}pm")]);
        }
        let figures = format!("{hour:02}{minute:02}");
        told.extend(["hours", "hrs"].map(|word| format!("{figures} {word}")));
        told.extend([format!("{hour}h{minute:02}"), format!("{figures}h")]);
        // `1500` may be anything.
        told.extend(Some(figures).filter(|figures| figures.starts_with('0')));
        told.extend(self.spoken());
        told
    }

    /// Hours, halves and quarters in words.
    fn spoken(self) -> Vec<String> {
        let twelve = self.hour_of_twelve();
        let (this, next) = (name_of(twelve), name_of(twelve.saturating_add(1)));
        match self.minute {
            0 => {
                let mut spoken = vec![format!("{}h", self.hour)];
                let figures = [self.hour, twelve].map(|hour| hour.to_string());
                let names = figures.iter().map(String::as_str).chain([this]);
                for name in names {
                    let before = ["at", "by", "until"].map(|word| format!("{word} {name}"));
                    let behind = ["am", "pm", "a.m", "p.m", "o'clock", "in the", "at night"];
                    spoken.extend(before);
                    spoken.extend(behind.map(|word| format!("{name} {word}")));
                }
                spoken.extend((self.hour == 12).then(|| "midday".to_owned()));
                spoken
            }
            15 => vec![
                format!("quarter past {this}"),
                format!("quarter after {this}"),
            ],
            30 => vec![format!("half past {this}"), format!("half {this}")],
            45 => vec![format!("quarter to {next}"), format!("quarter of {next}")],
            _ => Vec::new(),
        }
    }

    /// A full hour as a bare figure: `from 10 to 11`.
    pub(super) fn hours(self) -> Vec<String> {
        let full = (self.minute, self.second) == (0, 0);
        let hours = [self.hour.to_string(), self.hour_of_twelve().to_string()];
        hours.into_iter().filter(|_| full).collect()
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
        assert!(!three.told().iter().any(|known| known == "1500"));
        assert!(clock(3, 0, 0).told().iter().any(|known| known == "0300"));
        let late = clock(11, 45, 0).told();
        assert!(late.iter().any(|known| known == "quarter to twelve"));
        assert_eq!(three.hours(), ["15", "3"]);
        assert_eq!(clock(9, 30, 0).hours(), [""; 0]);
        assert!(clock(0, 0, 0).is_midnight());
        assert_eq!(clock(3, 0, 0).part(), "time 3:00");
        assert_eq!(clock(3, 0, 12).told(), ["03:00:12"]);
    }
}
