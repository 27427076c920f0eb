//! What the server of a call, or of a task, has said of it so far. Ceilings are on all of it, however many requests it takes the
//! client to hear it.

use crate::tasks::TASKS_MAX;
use proctor_engine::{Answer, Release, Told};
use proctor_model::Timestamp;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

/// Words of a task that are known again, and answers: few say more than what the task does now and what it asks.
const KNOWN_MAX: usize = 16;

/// What was heard.
#[derive(Clone, Default)]
pub(crate) struct Heard {
    told: Told,
    /// What a task has said.
    words: Known,
    /// What it has answered.
    answers: Known,
}

/// What was heard at this edge of a tenant's tasks, by when they began and their numbers: of those that it has as of those that
/// another edge began, which it knows by their ids alone each time that it is asked. As many as are kept of it: the oldest make room.
#[derive(Default)]
pub(crate) struct HeardOf(BTreeMap<(Timestamp, u128), Arc<Mutex<Heard>>>);

/// Something that a task says or answers, by its digest: asked after, it says the same over and over, which is told once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word {
    answers: bool,
    digest: [u8; 32],
}

/// Words that are known, latest last, each with what was heard before it.
#[derive(Clone, Default)]
struct Known(VecDeque<(Word, Told)>);

impl Word {
    /// An answer is the same whatever a server notes beside it of the time, or of who has asked.
    pub(crate) fn of(answer: &Answer) -> Self {
        let answers = answer.channel.answers();
        let mut digest = Sha256::new();
        for (name, value) in &answer.body {
            let value = match value {
                Value::Object(meta) if answers && name == "_meta" => Cow::Owned(lasting(meta)),
                value => Cow::Borrowed(value),
            };
            // JSON can always be written.
            digest.update(serde_json::to_vec(&(name, &*value)).unwrap_or_default());
        }
        let digest = digest.finalize().into();
        Self { answers, digest }
    }
}

/// What of `_meta` may have rows in it. A number has none, and neither has a line of text without a bracket or a quotation mark.
fn lasting(meta: &Map<String, Value>) -> Value {
    let has_none = |name: &str, value: &Value| match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        // That one is read as a file in base64.
        Value::String(text) => name != "blob" && !text.contains(['[', '{', '"', '\n']),
        Value::Array(_) | Value::Object(_) => false,
    };
    let members = meta.iter().filter(|(name, value)| !has_none(name, value));
    let members = members.map(|(name, value)| (name.clone(), value.clone()));
    Value::Object(members.collect())
}

impl HeardOf {
    /// Of a task that another edge began: nothing, if it was not asked after here.
    pub(crate) fn task(&mut self, begun: Timestamp, number: u128) -> Arc<Mutex<Heard>> {
        let known = self.0.get(&(begun, number)).cloned();
        known.unwrap_or_else(|| {
            let heard = Arc::default();
            self.keep(begun, number, &heard);
            heard
        })
    }

    /// Of a task that begins here.
    pub(crate) fn keep(&mut self, begun: Timestamp, number: u128, heard: &Arc<Mutex<Heard>>) {
        if self.0.len() >= TASKS_MAX {
            self.0.pop_first();
        }
        self.0.insert((begun, number), Arc::clone(heard));
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
        if self.known(word).is_some() {
            return;
        }
        let before = self.told;
        match release.channel().answers() {
            true => self.told.note_answer(release),
            false => self.told.note(release),
        }
        // An answer without rows, as most errors are, is known without being kept in mind.
        if let Some(word) = word.filter(|word| !word.answers || self.told != before) {
            self.remember(word, before);
        }
    }

    /// What was heard before a word that is known.
    fn known(&self, word: Option<Word>) -> Option<Told> {
        let word = word?;
        let known = match word.answers {
            true => &self.answers,
            false => &self.words,
        };
        let (_, before) = known.0.iter().find(|(known, _)| *known == word)?;
        Some(*before)
    }

    fn remember(&mut self, word: Word, before: Told) {
        let known = match word.answers {
            true => &mut self.answers,
            false => &mut self.words,
        };
        if known.0.len() >= KNOWN_MAX {
            known.0.pop_front();
        }
        known.0.push_back((word, before));
    }

    #[cfg(test)]
    pub(crate) fn with_rows(rows: u64) -> Self {
        let told = Told {
            rows,
            ..Told::default()
        };
        Self {
            told,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_engine::Channel;
    use serde_json::json;

    fn word_by(channel: Channel, body: &Value) -> Option<Word> {
        let body = body.as_object()?.clone();
        Some(Word::of(&Answer {
            channel,
            body,
            bytes: 0,
        }))
    }

    fn word(body: &Value) -> Option<Word> {
        word_by(Channel::Task, body)
    }

    fn remember(heard: &mut Heard, word: Option<Word>) {
        let before = heard.told;
        heard.remember(word.unwrap(), before);
    }

    #[test]
    fn a_task_that_says_the_same_again_says_nothing_more() {
        let mut heard = Heard::with_rows(3);
        let said = word(&json!({ "statusMessage": "[[1],[2],[3]]" }));
        let other = word(&json!({ "statusMessage": "[[1],[2],[4]]" }));
        assert_eq!(heard.before(said).rows, 3);
        remember(&mut heard, said);
        heard.told.rows = 6;
        assert_eq!(heard.before(said).rows, 3);
        // A call's words are each something new.
        for new in [other, None, word(&json!({}))] {
            assert_eq!(heard.before(new).rows, 6);
        }
        let answered = word_by(Channel::Result, &json!({ "content": [] }));
        remember(&mut heard, answered);
        for n in 0..KNOWN_MAX {
            remember(&mut heard, word(&json!({ "statusMessage": n })));
        }
        assert_eq!(heard.before(said).rows, 6, "it is too long ago");
        assert_eq!(heard.words.0.len(), KNOWN_MAX);
        assert!(heard.known(answered).is_some(), "answers are apart");
    }

    /// With a ceiling of 50, ten of its rows are left the first time it is said, and each time after.
    #[test]
    fn what_was_cut_off_is_cut_off_again() {
        let mut heard = Heard::with_rows(40);
        let cut = word(&json!({ "statusMessage": "fifty rows" }));
        remember(&mut heard, cut);
        heard.told.rows = 50;
        for _ in 0..2 {
            assert_eq!(heard.before(cut).rows, 40);
            remember(&mut heard, word(&json!({ "statusMessage": "other words" })));
        }
    }

    #[test]
    fn what_was_heard_of_a_task_is_kept_until_many_are_newer() {
        let (mut all, begun) = (HeardOf::default(), Timestamp::from_secs(1_000));
        let begins = Arc::new(Mutex::new(Heard::with_rows(40)));
        all.keep(begun, 1, &begins);
        all.task(begun, 2).lock().unwrap().told.rows = 5;
        let mut rows = |number| all.task(begun, number).lock().unwrap().told.rows;
        assert_eq!([1, 2, 3].map(&mut rows), [40, 5, 0]);
        let later = begun.plus_secs(1);
        for number in 0..TASKS_MAX {
            all.task(later, u128::try_from(number).unwrap());
        }
        assert_eq!(all.0.len(), TASKS_MAX);
        assert_eq!(all.task(begun, 1).lock().unwrap().told.rows, 0);
    }

    #[test]
    fn words_are_told_apart() {
        let bodies = [
            json!({}),
            json!({ "a": "b" }),
            json!({ "ab": "" }),
            json!({ "a": "b", "c": 1 }),
            json!({ "a": ["b"] }),
            json!({ "_meta": { "at": 1 } }),
        ];
        for (at, one) in bodies.iter().enumerate() {
            for (other_at, other) in bodies.iter().enumerate() {
                assert_eq!(word(one) == word(other), at == other_at, "{one} {other}");
            }
            assert!(word(one) != word_by(Channel::Result, one), "{one}");
        }
    }

    #[test]
    fn an_answer_is_the_same_whatever_is_noted_beside_it() {
        let with = |meta: &Value| {
            let answer = json!({ "content": [{ "type": "text", "text": "1" }], "_meta": meta });
            word_by(Channel::Result, &answer).unwrap()
        };
        let bare = with(&json!({}));
        for (meta, same) in [
            (json!({ "at": "2026-07-28T10:00:00Z", "n": 5 }), true),
            (json!({ "trace": "00-4bf9-01", "last": null }), true),
            (json!({ "rows": [1] }), false),
            (json!({ "rows": { "a": {} } }), false),
            (json!({ "rows": "[[1],[2]]" }), false),
            (json!({ "rows": "{}" }), false),
            (json!({ "rows": "\"\\u005b\"" }), false),
            (json!({ "rows": "a,b\nc,d\ne,f" }), false),
            (json!({ "blob": "W1sxXV0=" }), false),
        ] {
            assert_eq!(with(&meta) == bare, same, "{meta}");
        }
    }
}
