//! How much of a lane may be on its way to the ledger, and when to send it again. Pure: the caller brings the time.
//!
//! What the ledger has not confirmed stays in the spool anyway. So only a window of it is put into NATS: when the ledger is
//! away, however long, neither NATS nor the ledger that comes back has the same events to carry again and again.

use proctor_model::TenantId;
use proctor_model::limits::BATCH_EVENTS_MAX;
use proctor_runtime::backoff::Backoff;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// Most events of a lane that are on their way: several times what a ledger commits in the time that a receipt takes.
const EVENTS_MAX: u64 = 16 * BATCH_EVENTS_MAX as u64;
/// Without progress for so long, a lane is sent again from its first unconfirmed event …
const RESEND: Duration = Duration::from_secs(2);
/// … and for twice as long the next time, up to this.
const RESEND_MAX: Duration = Duration::from_secs(16);
/// A lane that could not be sent waits so long, and up to the second: others go on meanwhile, even where each attempt takes as
/// long as NATS has for an answer.
const RETRY: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(4);
/// Most batches that wait for NATS' answer at once …
const SENDS_MAX: usize = 16;
/// … and among them, of lanes that could not be sent the last time: each may wait for seconds.
const RETRIES_MAX: usize = 8;

/// The lanes that have something to send.
#[derive(Default)]
pub(super) struct Windows {
    /// Version of the assignment that they were opened under.
    assignment: u64,
    lanes: HashMap<TenantId, Window>,
    /// Lanes with a batch that waits for NATS' answer, and whether the one before failed.
    sending: HashMap<TenantId, bool>,
}

impl Windows {
    /// Forgets lanes with nothing to send; under another assignment, all begin anew. A receipt that came before the key of its
    /// ledger was refused: so they get another at once, and not when their patience is over.
    pub(super) fn look(&mut self, assignment: u64, waiting: &[(TenantId, u64)], now: Instant) {
        if self.assignment != assignment {
            self.assignment = assignment;
            for (tenant, window) in &mut self.lanes {
                window.begin_anew(now, self.sending.contains_key(tenant));
            }
        }
        let lanes: HashSet<&TenantId> = waiting.iter().map(|(tenant, _)| tenant).collect();
        self.lanes.retain(|tenant, _| lanes.contains(tenant));
        for (tenant, first) in waiting {
            // What is on its way of a lane without a window was sent in one that was given up.
            if !self.lanes.contains_key(tenant) && !self.sending.contains_key(tenant) {
                let window = Window::new(*first, now);
                self.lanes.insert(tenant.clone(), window);
            }
        }
    }

    /// Whose turn it is: first the lane that has waited for one for the longest time. So each has its turn, however many
    /// come anew, and whether or not it could be sent the last time.
    pub(super) fn sort(&self, waiting: &mut [(TenantId, u64)]) {
        waiting.sort_by_cached_key(|(tenant, _)| self.lanes.get(tenant).map(|lane| lane.turn));
    }

    /// Whether a batch of a lane may be sent: there is room, and none of it waits for an answer.
    pub(super) fn may_send(&self, tenant: &TenantId) -> bool {
        let retries = self.sending.values().filter(|retry| **retry).count();
        !self.sending.contains_key(tenant)
            && self.sending.len() < SENDS_MAX
            && (retries < RETRIES_MAX || !self.is_retry(tenant))
    }

    fn is_retry(&self, tenant: &TenantId) -> bool {
        self.lanes
            .get(tenant)
            .is_some_and(|window| window.held.is_some())
    }

    /// A batch of a lane is sent, until [`Windows::done`].
    pub(super) fn begin(&mut self, tenant: &TenantId) {
        let retry = self.is_retry(tenant);
        self.sending.insert(tenant.clone(), retry);
    }

    /// The window that a batch was sent in; none, if it was given up meanwhile.
    pub(super) fn done(&mut self, tenant: &TenantId) -> Option<&mut Window> {
        self.sending.remove(tenant);
        self.lanes.get_mut(tenant)
    }

    /// The window of a lane; `first` is its first unconfirmed event.
    pub(super) fn of(&mut self, tenant: &TenantId, first: u64, now: Instant) -> &mut Window {
        self.lanes
            .entry(tenant.clone())
            .or_insert_with(|| Window::new(first, now))
    }
}

/// How far a lane was sent.
pub(super) struct Window {
    /// The first unconfirmed event, when we last looked.
    first: u64,
    /// The next one to send.
    next: u64,
    /// When `first` last moved, or a batch was sent from it.
    since: Instant,
    /// How long without progress is too long.
    patience: Duration,
    /// How often it was sent again without progress.
    resent: u32,
    /// Whether that was told.
    silence_told: bool,
    /// After a failure, until something is sent: when to try again.
    held: Option<Instant>,
    /// Whether that was told.
    told: bool,
    /// Whether the batch that waits for NATS' answer is sent once more, as the lane began anew.
    is_stale: bool,
    /// When it last had its turn, or began to wait for the first.
    turn: Instant,
    backoff: Backoff,
}

impl Window {
    pub(super) fn new(first: u64, now: Instant) -> Self {
        Self {
            first,
            next: first,
            since: now,
            patience: RESEND,
            resent: 0,
            silence_told: false,
            held: None,
            told: false,
            is_stale: false,
            turn: now,
            backoff: Backoff::new(RETRY, RETRY_MAX),
        }
    }

    /// All that is unconfirmed is sent again at once. What was told stays told, how often nobody answered is counted on, and a lane
    /// that could not be sent is still one: assignments may come often.
    fn begin_anew(&mut self, now: Instant, is_sending: bool) {
        (self.next, self.since, self.patience) = (self.first, now, RESEND);
        self.held = self.held.map(|_| now);
        self.is_stale = is_sending;
    }

    /// What is to be sent, if more may be on its way; `first` is the lane's first unconfirmed event.
    pub(super) fn open(&mut self, first: u64, now: Instant) -> Option<u64> {
        if self.held.is_some_and(|until| now < until) {
            return None;
        }
        if self.first != first {
            (self.first, self.since, self.patience) = (first, now, RESEND);
            (self.resent, self.silence_told) = (0, false);
        }
        if self.next > first && now.duration_since(self.since) > self.patience {
            (self.next, self.since) = (first, now);
            self.patience = self.patience.saturating_mul(2).min(RESEND_MAX);
            self.resent = self.resent.saturating_add(1);
        }
        self.next = self.next.max(first);
        (self.next.saturating_sub(first) < EVENTS_MAX).then_some(self.next)
    }

    /// A batch that begins where [`Window::open`] said, and ends with this event, is on its way.
    pub(super) fn sent(&mut self, last: u64, now: Instant) {
        if !std::mem::take(&mut self.is_stale) {
            if self.next == self.first {
                self.since = now;
            }
            self.next = last.saturating_add(1);
        }
        self.held = None;
        self.told = false;
        self.turn = now;
        self.backoff.reset();
    }

    /// It could not be sent, and is not tried again for a while; says whether to tell that: it is news, and there is `room`.
    pub(super) fn failed(&mut self, now: Instant, room: impl FnOnce() -> bool) -> bool {
        self.put_off(now);
        let tell = !self.told && room();
        self.told |= tell;
        tell
    }

    /// It is not tried again for a while.
    pub(super) fn put_off(&mut self, now: Instant) {
        self.held = now.checked_add(self.backoff.next_pause());
        self.is_stale = false;
        self.turn = now;
    }

    /// Whether to tell that it was sent again so often without progress: it is news, and there is `room`.
    pub(super) fn unanswered(&mut self, times: u32, room: impl FnOnce() -> bool) -> bool {
        let tell = self.resent >= times && !self.silence_told && room();
        self.silence_told |= tell;
        tell
    }

    /// How often the lane was sent again since it last moved.
    pub(super) fn resent(&self) -> u32 {
        self.resent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: u64 = BATCH_EVENTS_MAX as u64;

    /// Sends whole batches until the window is shut; how many.
    fn fill(window: &mut Window, first: u64, now: Instant) -> u64 {
        let mut batches = 0;
        while let Some(from) = window.open(first, now) {
            window.sent(from + BATCH - 1, now);
            batches += 1;
        }
        batches
    }

    #[test]
    fn no_more_than_a_window_is_on_its_way_and_it_moves_with_the_receipts() {
        let now = Instant::now();
        let mut window = Window::new(1, now);
        assert_eq!(fill(&mut window, 1, now), 16);
        assert_eq!(fill(&mut window, 1, now + RESEND), 0);
        assert_eq!(fill(&mut window, 1 + 3 * BATCH, now), 3);
        // Confirmed beyond what was sent in this life of the edge: on from there.
        assert_eq!(window.open(100 * BATCH, now), Some(100 * BATCH));
    }

    #[test]
    fn an_hour_without_receipts_is_some_hundred_windows_and_progress_makes_it_quick_again() {
        let start = Instant::now();
        let mut window = Window::new(1, start);
        let sent: u64 = (0..3_600)
            .map(|second| fill(&mut window, 1, start + Duration::from_secs(second)))
            .sum();
        assert!((2 * 16..250 * 16).contains(&sent), "{sent}");
        let now = start + Duration::from_secs(3_600);
        assert_eq!(fill(&mut window, 1 + BATCH, now), 1);
        assert_eq!(fill(&mut window, 1 + BATCH, now + RESEND), 0);
        let later = now + RESEND + Duration::from_millis(1);
        assert_eq!(window.open(1 + BATCH, later), Some(1 + BATCH));
    }

    #[test]
    fn after_a_failure_it_waits_for_seconds_at_most_and_only_the_first_is_news() {
        let mut now = Instant::now();
        let mut window = Window::new(1, now);
        window.sent(4, now);
        for attempt in 0..20 {
            assert!(window.open(1, now).is_some(), "{attempt}");
            // As long as there is no room to tell it, it stays news.
            assert!(attempt > 0 || !window.failed(now, || false));
            let told = window.failed(now, || true);
            assert_eq!(told, attempt == 0, "only the first is news");
            assert_eq!(window.open(1, now), None);
            now += RETRY_MAX;
        }
        let next = window.open(1, now);
        assert!(next.is_some());
        window.sent(8, now);
        assert_eq!(window.open(1, now), Some(9));
        window.put_off(now);
        assert!(window.failed(now, || true), "a new streak");
    }

    #[test]
    fn it_counts_how_often_it_was_sent_again_until_it_moves() {
        let start = Instant::now();
        let mut window = Window::new(1, start);
        for second in 0..=15 {
            fill(&mut window, 1, start + Duration::from_secs(second));
        }
        assert_eq!(window.resent(), 2, "after more than 2 and 4 seconds");
        assert!(!window.unanswered(3, || true));
        assert!(!window.unanswered(2, || false), "no room");
        assert!(window.unanswered(2, || true));
        assert!(!window.unanswered(2, || true), "told");
        fill(&mut window, 2, start + Duration::from_secs(16));
        assert_eq!(window.resent(), 0);
        assert!(!window.unanswered(2, || true));
        assert!(window.unanswered(0, || true), "it is news again");
    }

    #[test]
    fn another_assignment_has_all_lanes_sent_again_at_once() {
        let now = Instant::now();
        let tenant: TenantId = "acme".parse().unwrap();
        let (mut windows, waiting) = (Windows::default(), [(tenant.clone(), 1)]);
        let mut next = |assignment, waiting: &[(TenantId, u64)]| {
            windows.look(assignment, waiting, now);
            let window = windows.of(&tenant, 1, now);
            let next = window.open(1, now);
            window.sent(4, now);
            next
        };
        assert_eq!(next(7, &waiting), Some(1));
        assert_eq!(next(7, &waiting), Some(5));
        assert_eq!(next(8, &waiting), Some(1));
        assert_eq!(next(8, &waiting), Some(5));
        // Nothing is kept of a lane that had nothing to send.
        assert_eq!(next(8, &[]), Some(1));
    }

    #[test]
    fn another_assignment_forgets_neither_what_was_told_nor_who_failed() {
        let start = Instant::now();
        let tenant: TenantId = "acme".parse().unwrap();
        let (mut windows, waiting) = (Windows::default(), [(tenant.clone(), 1)]);
        windows.look(7, &waiting, start);
        assert!(windows.of(&tenant, 1, start).failed(start, || true));
        windows.look(8, &waiting, start);
        assert!(windows.is_retry(&tenant));
        let window = windows.of(&tenant, 1, start);
        assert_eq!(window.open(1, start), Some(1), "at once");
        assert!(!window.failed(start, || true), "told");
        // One that was on its way as the assignment came is sent again as well.
        windows.look(9, &waiting, start);
        for (assignment, next) in [(10, 1), (10, 5)] {
            windows.begin(&tenant);
            windows.look(assignment, &waiting, start);
            windows.done(&tenant).unwrap().sent(4, start);
            assert_eq!(windows.of(&tenant, 1, start).open(1, start), Some(next));
        }
        // A ledger that never answers is noticed, though assignments come more often than that takes.
        let mut now = start;
        for assignment in 11..14 {
            windows.look(assignment, &waiting, now);
            windows.of(&tenant, 1, now).sent(4, now);
            now += RESEND + Duration::from_millis(1);
            assert_eq!(windows.of(&tenant, 1, now).open(1, now), Some(1));
        }
        assert!(windows.of(&tenant, 1, now).unanswered(3, || true));
    }

    #[test]
    fn lanes_take_turns_and_those_that_fail_leave_room_for_the_others() {
        let now = Instant::now();
        let name = |number: u64| -> TenantId { format!("t-{number:02}").parse().unwrap() };
        let mut waiting: Vec<_> = (0..40).map(|number| (name(number), 1)).collect();
        let mut windows = Windows::default();
        for (number, (tenant, first)) in (0_u32..).zip(&waiting) {
            let window = windows.of(tenant, *first, now);
            match number {
                0..20 => window.put_off(now),
                // Those behind were served before.
                _ => window.sent(4, now + Duration::from_secs((40 - number).into())),
            }
        }
        let mut begin = |waiting: &mut Vec<(TenantId, u64)>| {
            windows.sort(waiting);
            let mut begun = Vec::new();
            for (tenant, _) in waiting {
                if windows.may_send(tenant) {
                    windows.begin(tenant);
                    begun.push(tenant.clone());
                }
            }
            begun
        };
        let failed = 0..RETRIES_MAX as u64;
        let served: Vec<_> = failed.chain((32..40).rev()).map(name).collect();
        assert_eq!(begin(&mut waiting), served);
        assert!(begin(&mut waiting).is_empty(), "no room");
        let mut windows = Windows::default();
        for number in 0..20 {
            windows.of(&name(number), 1, now).put_off(now);
        }
        let retried = (0..20).filter(|number| {
            let may = windows.may_send(&name(*number));
            if may {
                windows.begin(&name(*number));
            }
            may
        });
        assert_eq!(retried.count(), RETRIES_MAX);
        assert!(windows.may_send(&name(30)), "one that did not fail");
        assert!(windows.done(&name(0)).is_some());
        assert!(windows.may_send(&name(0)));
    }

    #[test]
    fn who_waits_is_overtaken_by_no_newcomers_and_not_for_a_failure() {
        let start = Instant::now();
        let name = |number: u64| -> TenantId { format!("t-{number}").parse().unwrap() };
        // One with more to send than a batch, and one that NATS did not answer once.
        let (long, failed) = ((name(1), 1), (name(2), 1));
        let mut windows = Windows::default();
        windows.look(1, &[long.clone(), failed.clone()], start);
        windows.of(&long.0, 1, start).sent(4, start);
        windows.of(&failed.0, 1, start).put_off(start);
        for turn in 1..=3_u32 {
            let now = start + RETRY_MAX * turn;
            let mut waiting: Vec<_> = (0..40)
                .map(|number| (name(u64::from(turn) * 100 + number), 1))
                .collect();
            waiting.extend([long.clone(), failed.clone()]);
            windows.look(1, &waiting, now);
            windows.sort(&mut waiting);
            assert_eq!(waiting[..2], [long.clone(), failed.clone()], "{turn}");
            for (tenant, _) in &waiting[..2] {
                assert!(windows.may_send(tenant));
                let window = windows.of(tenant, 1, now);
                assert!(window.open(1, now).is_some());
                window.put_off(now);
            }
        }
    }
}
