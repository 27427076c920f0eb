//! What a child says: handed to whom it concerns.

use super::lines::{self, Line};
use super::waiting::Waiting;
use crate::upstream::rpc::{self, Failure, Incoming, News};
use crate::upstream::talk::declined;
use crate::upstream::{Answer, Reply, task};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::io::BufReader;
use tokio::process::ChildStdout;
use tokio::sync::{broadcast, mpsc};

/// Lines in a row that are no message, after which a child is ended.
const BAD_LINES_MAX: usize = 64;

/// Who is told what a child says.
pub(super) struct Ears {
    pub(super) waiting: Waiting,
    pub(super) ended: Arc<AtomicBool>,
    pub(super) late: Arc<AtomicU32>,
    pub(super) news: broadcast::Sender<News>,
    /// What the child is told at once.
    pub(super) replies: mpsc::Sender<Value>,
}

impl Ears {
    /// Hands the child's lines to those who wait, until it ends.
    pub(super) async fn hear(self, stdout: ChildStdout) {
        let mut reader = BufReader::new(stdout);
        let (mut line, mut bad) = (Vec::new(), 0_usize);
        while let Ok(Some(read)) = lines::next(&mut reader, &mut line).await {
            let heard = match read {
                Line::Whole if line.trim_ascii().is_empty() => continue,
                Line::Whole => self.line(&line),
                Line::TooLong(answers) => self.too_large(answers),
            };
            if heard.is_ok() {
                bad = 0;
                continue;
            }
            if bad >= BAD_LINES_MAX {
                break;
            }
            bad = bad.saturating_add(1);
            tracing::debug!("a stdio tool server wrote something that is no message");
        }
        self.ended.store(true, Ordering::Release);
        self.waiting.end();
    }

    fn line(&self, line: &[u8]) -> Result<(), Failure> {
        let bytes = u64::try_from(line.len()).unwrap_or(u64::MAX);
        match rpc::read(line) {
            Ok(Incoming::Answer(id, reply)) => self.answered(id, Ok(Answer { reply, bytes })),
            Ok(word) => self.word(word),
            Err(Failure::TooLarge) => return self.too_large(lines::answers(line)),
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// An answer that is too large to be read is one all the same: who waits for it is told so, and nobody else is harmed.
    fn too_large(&self, answers: Option<u64>) -> Result<(), Failure> {
        let id = answers.ok_or(Failure::TooLarge)?;
        self.answered(id, Err(Failure::TooLarge));
        Ok(())
    }

    fn answered(&self, id: u64, answer: Result<Answer, Failure>) {
        self.late.store(0, Ordering::Release);
        self.waiting.answer(id, answer);
    }

    fn word(&self, word: Incoming) {
        match word {
            // A child that asks faster than it reads answers gets none.
            Incoming::Ping(id) => {
                drop(
                    self.replies
                        .try_send(rpc::reply(&id, Reply::Result(Map::new()))),
                );
            }
            Incoming::Question(id, said) => {
                let asked = self
                    .waiting
                    .by(None)
                    .map(|words| words.try_send(Incoming::Question(id.clone(), said)).is_ok());
                if asked != Some(true) {
                    let nobody = declined(-32603, "it is not clear which request this belongs to");
                    drop(self.replies.try_send(rpc::reply(&id, nobody)));
                }
            }
            Incoming::Note(said) => {
                if said.method == task::STATUS
                    && let Some(told) = News::of_task(&said.params)
                {
                    // Nobody listens: nobody misses it.
                    let _ = self.news.send(told);
                }
                let progress = said.params.get("progressToken").and_then(Value::as_u64);
                if let Some(words) = self.waiting.by(progress) {
                    drop(words.try_send(Incoming::Note(said)));
                }
            }
            Incoming::News(told) => drop(self.news.send(told)),
            Incoming::Withdrawn(id) => self.waiting.withdrawn(&id),
            Incoming::Answer(..) | Incoming::Unreadable(_) | Incoming::Other => {}
        }
    }
}
