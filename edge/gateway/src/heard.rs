//! What the server of a call, or of a task, has said of it so far. Ceilings are on all of it, however many requests it takes the
//! client to hear it.

use proctor_engine::{Release, Told};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;

/// Words of a task that are known again: few say more than what the task does now and what it asks.
const KNOWN_MAX: usize = 16;

/// What was heard.
#[derive(Clone, Default)]
pub(crate) struct Heard {
    told: Told,
    /// What a task has said, latest last, each with what was heard before it.
    known: VecDeque<(Word, Told)>,
}

/// Something that a task says, by its digest: asked after, it says the same over and over, which is told once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word([u8; 32]);

impl Word {
    pub(crate) fn of(body: &Map<String, Value>) -> Self {
        // JSON can always be written.
        Self(Sha256::digest(serde_json::to_vec(body).unwrap_or_default()).into())
    }
}

impl Heard {
    /// What a word is judged on top of. One that is known is judged as it was the first time: what was cut off it then stays
    /// cut off.
    pub(crate) fn before(&self, word: Option<Word>) -> Told {
        self.known(word).unwrap_or(self.told)
    }

    /// Notes what is passed on now.
    pub(crate) fn note(&mut self, word: Option<Word>, release: &Release) {
        if self.known(word).is_none() {
            self.remember(word);
            self.told.note(release);
        }
    }

    /// What was heard before a word that is known.
    fn known(&self, word: Option<Word>) -> Option<Told> {
        let mut known = self.known.iter();
        let (_, before) = known.find(|(known, _)| Some(*known) == word)?;
        Some(*before)
    }

    fn remember(&mut self, word: Option<Word>) {
        if self.known.len() >= KNOWN_MAX {
            self.known.pop_front();
        }
        self.known.extend(word.map(|word| (word, self.told)));
    }

    #[cfg(test)]
    pub(crate) fn with_rows(rows: u64) -> Self {
        let told = Told { rows, bytes: 0 };
        Self {
            told,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn word(body: &Value) -> Option<Word> {
        body.as_object().map(Word::of)
    }

    #[test]
    fn a_task_that_says_the_same_again_says_nothing_more() {
        let mut heard = Heard::with_rows(3);
        let said = word(&json!({ "statusMessage": "[[1],[2],[3]]" }));
        let other = word(&json!({ "statusMessage": "[[1],[2],[4]]" }));
        assert_eq!(heard.before(said).rows, 3);
        heard.remember(said);
        heard.told.rows = 6;
        assert_eq!(heard.before(said).rows, 3);
        // A call's words are each something new.
        for new in [other, None, word(&json!({}))] {
            assert_eq!(heard.before(new).rows, 6);
        }
        for n in 0..KNOWN_MAX {
            heard.remember(word(&json!({ "statusMessage": n })));
        }
        assert_eq!(heard.before(said).rows, 6, "it is too long ago");
        assert_eq!(heard.known.len(), KNOWN_MAX);
    }

    /// With a ceiling of 50, ten of its rows are left the first time it is said, and each time after.
    #[test]
    fn what_was_cut_off_is_cut_off_again() {
        let mut heard = Heard::with_rows(40);
        let cut = word(&json!({ "statusMessage": "fifty rows" }));
        heard.remember(cut);
        heard.told.rows = 50;
        for _ in 0..2 {
            assert_eq!(heard.before(cut).rows, 40);
            heard.remember(word(&json!({ "statusMessage": "other words" })));
        }
    }

    #[test]
    fn words_are_told_apart() {
        let bodies = [
            json!({}),
            json!({ "a": "b" }),
            json!({ "ab": "" }),
            json!({ "a": "b", "c": 1 }),
            json!({ "a": ["b"] }),
        ];
        for (at, one) in bodies.iter().enumerate() {
            for (other_at, other) in bodies.iter().enumerate() {
                assert_eq!(word(one) == word(other), at == other_at, "{one} {other}");
            }
        }
    }
}
