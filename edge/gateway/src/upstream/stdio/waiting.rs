//! Who waits at a child for which answer, and whom a word concerns that comes before one.

use crate::upstream::Answer;
use crate::upstream::rpc::{Failure, Incoming};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Words about one request that may wait to be taken. The child's one stream can't be held up for one of those who wait
/// on it: what a slow client does not take is dropped.
const WORDS_WAITING: usize = 256;
/// How long a child is taken to work still on a request that was given up, where it could not be told: as long as the longest
/// call may take.
const IN_WORK: Duration = Duration::from_secs(20 * 60);
/// The same where it was told. One that does as it should stops, and never answers it: more would only take from everybody
/// else what names no request.
const IN_WORK_TOLD: Duration = Duration::from_secs(30);
/// Requests given up that are kept in mind one by one.
const GIVEN_UP_MAX: usize = 1_024;

/// Whether a child is told that a request is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// It is in line to be written to it.
    Queued,
    /// It takes nothing at the moment.
    Not,
}

impl Told {
    fn in_work(self) -> Duration {
        match self {
            Self::Queued => IN_WORK_TOLD,
            Self::Not => IN_WORK,
        }
    }
}

/// What a request waits for.
pub(super) type Answered = oneshot::Receiver<Result<Answer, Failure>>;

type Answers = oneshot::Sender<Result<Answer, Failure>>;

struct Waiter {
    answer: Answers,
    words: mpsc::Sender<Incoming>,
}

/// The requests that a child has.
#[derive(Default)]
struct Requests {
    waiting: HashMap<u64, Waiter>,
    /// Requests to tell of something for ever: no word before an answer is about them.
    listening: HashMap<u64, Answers>,
    given_up: GivenUp,
    /// The child is gone: it answers nothing any more.
    ended: bool,
    /// Somebody waited for an answer when it went.
    missed: bool,
}

/// Requests that nobody waits for any more, and that the child may still work on.
#[derive(Default)]
struct GivenUp {
    /// Until when, by the request.
    until: HashMap<u64, Instant>,
    /// The same of those that there was no room for.
    others_until: Option<Instant>,
}

impl GivenUp {
    fn note(&mut self, id: u64, told: Told, now: Instant) {
        let until = now + told.in_work();
        self.sweep(now);
        if self.until.len() < GIVEN_UP_MAX {
            self.until.insert(id, until);
        } else {
            self.others_until = self.others_until.max(Some(until));
        }
    }

    fn any(&mut self, now: Instant) -> bool {
        self.sweep(now);
        !self.until.is_empty() || self.others_until.is_some_and(|until| now < until)
    }

    fn sweep(&mut self, now: Instant) {
        self.until.retain(|_, until| now < *until);
    }
}

/// The requests that a child has, shared by those who make them and by who reads its answers.
#[derive(Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<Requests>>);

impl Waiting {
    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request on the list.
    pub(super) fn wait(&self, id: u64) -> (Answered, mpsc::Receiver<Incoming>) {
        let (answer, answered) = oneshot::channel();
        let (words, said) = mpsc::channel(WORDS_WAITING);
        let mut requests = self.requests();
        if !requests.ended {
            requests.waiting.insert(id, Waiter { answer, words });
        }
        drop(requests);
        (answered, said)
    }

    /// Puts a request on the list that the child answers when it tells of nothing any more.
    pub(super) fn listen(&self, id: u64) -> Answered {
        let (answer, answered) = oneshot::channel();
        let mut requests = self.requests();
        if !requests.ended {
            requests.listening.insert(id, answer);
        }
        drop(requests);
        answered
    }

    /// Hands an answer to who waits for it.
    pub(super) fn answer(&self, id: u64, answer: Result<Answer, Failure>) {
        let mut requests = self.requests();
        requests.given_up.until.remove(&id);
        let waiter = requests.waiting.remove(&id).map(|waiter| waiter.answer);
        let waiter = waiter.or_else(|| requests.listening.remove(&id));
        drop(requests);
        if let Some(waiter) = waiter {
            // Whoever asked may have gone.
            let _ = waiter.send(answer);
        }
    }

    /// The child takes back what it asked, or does not tell any more of what it was to tell of.
    pub(super) fn withdrawn(&self, id: &Value) {
        let mut requests = self.requests();
        let listener = id.as_u64().and_then(|id| requests.listening.remove(&id));
        drop(listener);
        // By the question's id each knows whether it is about its own.
        for waiter in requests.waiting.values() {
            drop(waiter.words.try_send(Incoming::Withdrawn(id.clone())));
        }
    }

    /// Takes a request off the list that the child never got, or has answered.
    pub(super) fn forget(&self, id: u64) {
        let mut requests = self.requests();
        requests.waiting.remove(&id);
        requests.listening.remove(&id);
    }

    /// The same with one that nobody waits for any more, whatever the child makes of that.
    pub(super) fn give_up(&self, id: u64, told: Told) {
        self.give_up_at(id, told, Instant::now());
    }

    fn give_up_at(&self, id: u64, told: Told, now: Instant) {
        let mut requests = self.requests();
        // If it is not there, it was answered at this moment.
        if requests.waiting.remove(&id).is_some() {
            requests.given_up.note(id, told, now);
        }
    }

    /// Whom a word is for: who waits for the answer to this request. On the one stream of a child a log line or a question
    /// names none: it is only passed on where a single request waits, and none was given up that it may be about. The reply
    /// to another's question would go to the other's work.
    pub(super) fn by(&self, request: Option<u64>) -> Option<mpsc::Sender<Incoming>> {
        self.by_at(request, Instant::now())
    }

    fn by_at(&self, request: Option<u64>, now: Instant) -> Option<mpsc::Sender<Incoming>> {
        let mut requests = self.requests();
        let waiter = match request {
            Some(id) => requests.waiting.get(&id),
            None if requests.waiting.len() != 1 || requests.given_up.any(now) => None,
            None => requests.waiting.values().next(),
        };
        waiter.map(|waiter| waiter.words.clone())
    }

    /// The child is gone: nobody gets an answer.
    pub(super) fn end(&self) {
        let mut requests = self.requests();
        requests.ended = true;
        requests.missed |= !requests.waiting.is_empty();
        requests.waiting.clear();
        requests.listening.clear();
    }

    /// Whether the child is gone, and nobody waited for an answer of it then.
    pub(super) fn ended_unmissed(&self) -> bool {
        let requests = self.requests();
        requests.ended && !requests.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_no_request_is_for_nobody_while_one_that_was_given_up_may_be_in_work() {
        let (waiting, now) = (Waiting::default(), Instant::now());
        let somebodys = |request| waiting.by_at(request, now).is_some();
        let _first = waiting.wait(1);
        assert!(somebodys(None), "it can be about no other");
        waiting.give_up_at(1, Told::Not, now);
        let _second = waiting.wait(2);
        assert!(!somebodys(None), "it may be about the first");
        assert!(somebodys(Some(2)));
        waiting.answer(1, Err(Failure::TooLarge));
        assert!(somebodys(None), "the first is answered");

        waiting.forget(2);
        waiting.give_up_at(2, Told::Not, now);
        let _third = waiting.wait(3);
        assert!(somebodys(None), "nobody has given the second up");
        let _fourth = waiting.wait(4);
        assert!(!somebodys(None), "one of two");
        waiting.give_up_at(4, Told::Not, now);
        assert!(!somebodys(None));
        assert!(waiting.by_at(None, now + IN_WORK).is_some());
    }

    #[test]
    fn a_child_that_was_told_is_not_taken_to_work_on_for_long() {
        let now = Instant::now();
        for (told, passed_on) in [(Told::Queued, true), (Told::Not, false)] {
            let waiting = Waiting::default();
            drop(waiting.wait(1));
            waiting.give_up_at(1, told, now);
            let _second = waiting.wait(2);
            assert!(waiting.by_at(None, now).is_none(), "{told:?}: a moment ago");
            let later = waiting.by_at(None, now + IN_WORK_TOLD);
            assert_eq!(later.is_some(), passed_on, "{told:?}");
        }
        // One that was told makes the time of one that was not no shorter.
        let mut given_up = GivenUp::default();
        let many = u64::try_from(GIVEN_UP_MAX).unwrap();
        for id in 0..=many {
            given_up.note(id, Told::Not, now);
        }
        given_up.note(many + 1, Told::Queued, now);
        given_up.until.clear();
        assert!(given_up.any(now + IN_WORK_TOLD));
    }

    #[test]
    fn however_many_are_given_up_none_is_forgotten_before_its_time() {
        let (waiting, now) = (Waiting::default(), Instant::now());
        let many = u64::try_from(GIVEN_UP_MAX).unwrap() + 5;
        for id in 0..many {
            drop(waiting.wait(id));
            waiting.give_up_at(id, Told::Not, now);
        }
        assert_eq!(waiting.requests().given_up.until.len(), GIVEN_UP_MAX);
        for id in 0..many {
            waiting.answer(id, Err(Failure::TooLarge));
        }
        let _last = waiting.wait(many);
        assert!(waiting.by_at(None, now).is_none(), "there are others");
        assert!(waiting.by_at(None, now + IN_WORK).is_some());
    }

    #[test]
    fn a_child_is_missed_by_who_waits_for_an_answer_alone() {
        for waits in [false, true] {
            let waiting = Waiting::default();
            let _listening = waiting.listen(1);
            let _asked = waits.then(|| waiting.wait(2));
            assert!(!waiting.ended_unmissed(), "it is there");
            waiting.end();
            assert_eq!(waiting.ended_unmissed(), !waits);
            waiting.end();
            assert_eq!(waiting.ended_unmissed(), !waits, "once more");
        }
    }

    #[tokio::test]
    async fn who_listens_keeps_no_word_from_the_one_that_waits() {
        let waiting = Waiting::default();
        let listening = waiting.listen(1);
        let (_answered, mut said) = waiting.wait(2);
        assert!(waiting.by(None).is_some());
        waiting.withdrawn(&Value::from(1));
        assert!(listening.await.is_err(), "it is over");
        assert!(matches!(said.recv().await, Some(Incoming::Withdrawn(id)) if id == 1));
    }
}
