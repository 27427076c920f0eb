//! What a server says of a call before it answers, all of it together: a ceiling that holds for each word alone is none for who
//! says a thousand of them.

use crate::respond::{Channel, Release};
use serde_json::{Map, Value};

/// What was passed on of it so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// Rows in all of it.
    pub rows: u64,
    /// Bytes of the notes: questions and what is said of a task are what the call needs to go on.
    pub bytes: u64,
    /// Rows of its answers, where there may be several: a task has a result whenever it is asked after.
    pub answer_rows: u64,
}

impl Told {
    /// Notes what is passed on now.
    pub fn note(&mut self, release: &Release) {
        let counted = Counted::of(release.channel(), release.body());
        let findings = release.findings();
        if matches!(counted, Counted::All | Counted::Rows) {
            self.rows = self.rows.saturating_add(findings.rows);
        }
        if counted == Counted::All {
            self.bytes = self.bytes.saturating_add(findings.bytes);
        }
    }

    /// Notes an answer that is passed on now, if another one may follow.
    pub fn note_answer(&mut self, release: &Release) {
        let rows = release.findings().rows;
        self.answer_rows = self.answer_rows.saturating_add(rows);
    }

    /// What a word is to be counted on top of.
    pub(crate) fn before(self, channel: Channel, body: &Map<String, Value>) -> Self {
        match Counted::of(channel, body) {
            Counted::All => self,
            Counted::Rows => Self { bytes: 0, ..self },
            Counted::Apart => Self {
                rows: self.answer_rows,
                bytes: 0,
                ..self
            },
            Counted::Nothing => Self::default(),
        }
    }
}

/// What of a word is counted together with others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    All,
    Rows,
    /// With other answers alone.
    Apart,
    Nothing,
}

impl Counted {
    fn of(channel: Channel, body: &Map<String, Value>) -> Self {
        match channel {
            // An answer stands by itself, and a call has one.
            Channel::Result | Channel::Error => Self::Apart,
            // A state without a word.
            Channel::Task if body.is_empty() => Self::Nothing,
            Channel::Question | Channel::Task => Self::Rows,
            Channel::Note if is_bare(body) => Self::Nothing,
            Channel::Note => Self::All,
        }
    }
}

/// Whether a note says how far a call is, and no more.
fn is_bare(note: &Map<String, Value>) -> bool {
    note.iter()
        .all(|(name, value)| name == "progressToken" || value.is_number())
}
