//! Power cuts at any moment: the edge starts, and what was acknowledged is there. Where syncs did nothing, it notices or has
//! less, and what it has is as it was written.

use super::*;
use crate::spool::disk::image::{Fate, mix};
use proctor_runtime::clock::TestClock;
use proptest::prelude::*;
use proptest::test_runner::Config;
use std::collections::{HashMap, HashSet};
use tempfile::TempDir;

/// Room of the spool, in bytes: its segments are as small as they get.
const ROOM: u64 = 256 * 1024;
/// An event of this length fills a segment together with a few others.
const LONG: usize = 20_000;
/// Cuts that are looked at in each run.
const CUTS: u64 = 8;
/// What calls draw on, and what they take while they go on.
const DRAWN: CountKey = CountKey::Lease(7);
const GROWN: CountKey = CountKey::Lease(8);

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A call of a tenant draws so much.
    Call {
        tenant: usize,
        units: u64,
        length: usize,
    },
    /// One that is under way ends, and gives some of that back.
    End { call: usize, back: u64 },
    /// One takes more while it goes on.
    Grow { tenant: usize, units: u64 },
    /// The ledger has so many more events of a tenant.
    Settle { tenant: usize, events: usize },
    /// The edge is restarted.
    Restart,
    /// The next syncs fail.
    Fail { syncs: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![4 => Just(0), 1 => Just(LONG)];
    let step = prop_oneof![
        6 => (0..2_usize, 1..50_u64, length).prop_map(|(tenant, units, length)| Step::Call { tenant, units, length }),
        4 => (0..8_usize, 0..50_u64).prop_map(|(call, back)| Step::End { call, back }),
        2 => (0..2_usize, 1..50_u64).prop_map(|(tenant, units)| Step::Grow { tenant, units }),
        3 => (0..2_usize, 1..20_usize).prop_map(|(tenant, events)| Step::Settle { tenant, events }),
        2 => Just(Step::Restart),
        1 => (1..6_usize).prop_map(|syncs| Step::Fail { syncs }),
    ];
    proptest::collection::vec(step, 1..40)
}

/// An event that was acknowledged, or is in the spool's backlog.
struct Noted {
    /// After so many changes to the disk.
    at: usize,
    hash: EntryHash,
    id: EventId,
}

struct Lane {
    tenant: TenantId,
    noted: Vec<Noted>,
    /// Receipts: after how many changes, up to which number.
    settled: Vec<(usize, usize)>,
    /// What calls took while they went on: when it was handed in, when it was acknowledged, how much.
    grown: Vec<(usize, Option<usize>, u64)>,
}

/// An event as it was handed in.
struct Submitted {
    event: AuditEvent,
    units: u64,
    back: u64,
}

/// What was done to a spool, and what was said of it.
struct History {
    dir: TempDir,
    disk: Disk,
    clock: Clock,
    hand: TestClock,
    lanes: [Lane; 2],
    submitted: HashMap<EventId, Submitted>,
    running: Vec<(Box<AuditEvent>, u64)>,
    number: u128,
}

fn draw(key: CountKey, units: u64, back: u64) -> Vec<Charge> {
    vec![Charge {
        units,
        back,
        ..Charge::call(key, None, u64::MAX, Reason::BudgetExhausted)
    }]
}

impl History {
    async fn of(steps: &[Step]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::at(Timestamp::from_secs(1_700_000_000));
        let lane = |tenant: &str| Lane {
            tenant: tenant.parse().unwrap(),
            noted: Vec::new(),
            settled: Vec::new(),
            grown: Vec::new(),
        };
        let mut history = Self {
            disk: Disk::new(dir.path().to_owned()),
            dir,
            clock,
            hand,
            lanes: [lane("acme"), lane("zoo")],
            submitted: HashMap::new(),
            running: Vec::new(),
            number: 0,
        };
        let mut spool = history.open();
        for step in steps {
            match *step {
                Step::Restart => {
                    close(spool, history.dir.path());
                    spool = history.open();
                }
                Step::Fail { syncs } => history.disk.trace.fail_syncs(syncs),
                Step::Call {
                    tenant,
                    units,
                    length,
                } => history.call(&spool, tenant, units, length).await,
                Step::End { call, back } => history.end(&spool, call, back).await,
                Step::Grow { tenant, units } => history.grow(&spool, tenant, units).await,
                Step::Settle { tenant, events } => history.settle(&spool, tenant, events).await,
            }
            history.look(&spool).await;
        }
        close(spool, history.dir.path());
        history
    }

    fn open(&self) -> Spool {
        for _ in 0..6 {
            match Spool::open_on(self.disk.clone(), ROOM, self.clock.clone()) {
                // For a sync that was to fail.
                Err(SpoolError::Io(_)) => {}
                opened => return opened.unwrap().0,
            }
        }
        panic!("it does not open");
    }

    /// After a failure: the disk works again.
    async fn heal(&self, spool: &Spool) {
        self.hand.advance(Duration::from_secs(1));
        spool.tick().await;
        spool.flush().await;
    }

    fn event(&mut self, tenant: usize, kind: Kind) -> Box<AuditEvent> {
        self.number += 1;
        event(self.lanes[tenant].tenant.as_str(), self.number, kind)
    }

    fn submit(&mut self, event: &AuditEvent, units: u64, back: u64) {
        let submitted = Submitted {
            event: event.clone(),
            units,
            back,
        };
        self.submitted.insert(event.event_id, submitted);
    }

    async fn call(&mut self, spool: &Spool, tenant: usize, units: u64, length: usize) {
        let mut event = self.event(tenant, Kind::Authorized);
        event.trace_id = (length > 0).then(|| "x".repeat(length));
        self.submit(&event, units, 0);
        match spool.submit(event.clone(), draw(DRAWN, units, 0)).await {
            Ok(()) => self.running.push((event, units)),
            Err(_) => self.heal(spool).await,
        }
    }

    async fn end(&mut self, spool: &Spool, call: usize, back: u64) {
        if self.running.is_empty() {
            return;
        }
        let (call, units) = self.running.remove(call % self.running.len());
        self.number += 1;
        let event = outcome(&call, self.number);
        let back = back % (units + 1);
        self.submit(&event, 0, back);
        spool.outcome(event, draw(DRAWN, 0, back)).await;
        if !spool.flush().await {
            self.heal(spool).await;
        }
    }

    async fn grow(&mut self, spool: &Spool, tenant: usize, units: u64) {
        let lane = &self.lanes[tenant];
        let handed_in = self.disk.trace.position();
        let durable = spool.charge(lane.tenant.clone(), draw(GROWN, units, 0));
        let durable = durable.unwrap().await;
        let acknowledged = durable.then(|| self.disk.trace.position());
        self.lanes[tenant]
            .grown
            .push((handed_in, acknowledged, units));
        if !durable {
            self.heal(spool).await;
        }
    }

    async fn settle(&mut self, spool: &Spool, tenant: usize, events: usize) {
        let lane = &mut self.lanes[tenant];
        let before = lane.settled.last().map_or(0, |(_, seq)| *seq);
        let seq = (before + events).min(lane.noted.len());
        let Some(last) = seq.checked_sub(1).map(|last| &lane.noted[last]) else {
            return;
        };
        let receipt = Receipt {
            tenant: lane.tenant.clone(),
            edge: "edge_1".parse().unwrap(),
            edge_seq: u64::try_from(seq).unwrap(),
            edge_hash: last.hash,
        };
        lane.settled.push((self.disk.trace.position(), seq));
        spool.settle(receipt).await;
        spool.flush().await;
    }

    /// Takes note of what the spool holds by now.
    async fn look(&mut self, spool: &Spool) {
        let at = self.disk.trace.position();
        for lane in &mut self.lanes {
            let next = |lane: &Lane| u64::try_from(lane.noted.len() + 1).unwrap();
            while let Some(batch) = spool.batch(&lane.tenant, next(&*lane)).await.unwrap() {
                for bytes in batch.events {
                    let event = AuditEvent::from_canonical(&bytes).unwrap();
                    lane.noted.push(Noted {
                        at,
                        hash: EntryHash::of(&bytes),
                        id: event.event_id,
                    });
                }
            }
        }
    }
}

/// All that the spool has of a lane that is not empty.
async fn all(spool: &Spool, tenant: &TenantId) -> Vec<AuditEvent> {
    let mut lanes = spool.lanes().into_iter();
    let (_, mut next) = lanes.find(|(lane, _)| lane == tenant).unwrap();
    let mut events = Vec::new();
    while let Some(batch) = spool.batch(tenant, next).await.unwrap() {
        next = batch.last_seq + 1;
        let read = |bytes: &Vec<u8>| AuditEvent::from_canonical(bytes).unwrap();
        events.extend(batch.events.iter().map(read));
    }
    events
}

/// How the disk was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Syncs {
    Honest,
    Lying,
}

impl History {
    /// Starts on what a power cut after so many changes leaves.
    async fn check(&self, cut: usize, syncs: Syncs, lie: &dyn Fn(usize) -> bool, mut fate: Fate) {
        let image = tempfile::tempdir().unwrap();
        self.disk.trace.image(cut, lie, &mut fate, image.path());
        if syncs == Syncs::Honest {
            let named = mark::read(image.path()).unwrap().segment;
            let there = segment::list(image.path()).unwrap();
            assert!(named == 0 || there.contains(&named), "{named} of {there:?}");
        }
        let config = SpoolConfig {
            dir: image.path().to_owned(),
            bytes_max: 1 << 30,
        };
        let (spool, open_calls) = match (Spool::open(config, Clock::system()), syncs) {
            (Err(SpoolError::Corrupt(_)), Syncs::Lying) => return,
            (opened, _) => opened.unwrap(),
        };
        for lane in &self.lanes {
            let drawn = spool.counts().get(&lane.tenant, &DRAWN);
            let grown = spool.counts().get(&lane.tenant, &GROWN);
            let probe = event(lane.tenant.as_str(), self.number + 1, Kind::Refused);
            spool.record(probe).await.unwrap();
            let held = self.held(lane, &all(&spool, &lane.tenant).await, cut, syncs);
            let of = |id: &EventId| &self.submitted[id];
            let taken: u64 = held.iter().map(|id| of(id).units).sum();
            let back: u64 = held.iter().map(|id| of(id).back).sum();
            assert_eq!(drawn, taken - back, "each draw, once");
            lane.check_grown(grown, cut, syncs);
            let ended: HashSet<_> = held.iter().filter_map(|id| of(id).event.of).collect();
            let open = held
                .iter()
                .filter(|id| of(id).event.kind == Kind::Authorized && !ended.contains(*id));
            let missing = open_calls.iter().filter(|call| call.tenant == lane.tenant);
            let missing: HashSet<_> = missing.filter_map(|call| call.of).collect();
            assert_eq!(missing, open.copied().collect::<HashSet<_>>());
        }
        close(spool, image.path());
        // It goes on from there.
        drop(open(image.path()));
    }

    /// The events that the lane has in all, by what is left of it and the probe behind that.
    fn held(&self, lane: &Lane, left: &[AuditEvent], cut: usize, syncs: Syncs) -> Vec<EventId> {
        let (probe, left) = left.split_last().unwrap();
        let first = left.first().unwrap_or(probe).edge_seq;
        let gone = usize::try_from(first - 1).unwrap();
        let known = lane.noted[..gone]
            .iter()
            .map(|noted| (noted.hash, noted.id));
        let (mut hashes, mut held): (Vec<_>, Vec<_>) = known.unzip();
        for event in left {
            let before = hashes.last().copied().unwrap_or(EntryHash::ZERO);
            let number = u64::try_from(held.len() + 1).unwrap();
            assert_eq!((event.edge_seq, event.edge_prev), (number, before));
            let mut written = self.submitted[&event.event_id].event.clone();
            (written.edge_seq, written.edge_prev) = (event.edge_seq, event.edge_prev);
            assert_eq!(written, *event);
            hashes.push(EntryHash::of(&event.to_canonical().unwrap()));
            held.push(event.event_id);
        }
        let end = hashes.last().copied().unwrap_or(EntryHash::ZERO);
        assert_eq!(probe.edge_prev, end);
        // Where syncs lie, a whole segment may be missing before those that are left. The ledger sees the gap.
        if syncs == Syncs::Honest {
            let receipts = lane.settled.iter().filter(|(at, _)| *at <= cut);
            let settled = receipts.map(|(_, seq)| *seq).max().unwrap_or(0);
            assert!(gone <= settled, "{gone} are gone, the ledger has {settled}");
            let acknowledged = lane.noted.iter().take_while(|noted| noted.at <= cut);
            for (number, noted) in acknowledged.enumerate() {
                assert_eq!(hashes.get(number), Some(&noted.hash), "LOST: {number}");
            }
        }
        held
    }
}

impl Lane {
    fn check_grown(&self, counted: u64, cut: usize, syncs: Syncs) {
        let handed_in = self.grown.iter().filter(|(at, _, _)| *at <= cut);
        let most: u64 = handed_in.map(|(_, _, units)| units).sum();
        let is_there = |at: &Option<usize>| at.is_some_and(|at| at <= cut);
        let acknowledged = self.grown.iter().filter(|(_, at, _)| is_there(at));
        let least: u64 = acknowledged.map(|(_, _, units)| units).sum();
        assert!(counted <= most, "{counted} of {most}");
        assert!(syncs == Syncs::Lying || counted >= least, "LOST: {counted}");
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

/// Where to cut: anywhere.
fn cut(history: &History, seed: u64) -> usize {
    let many = u64::try_from(history.disk.trace.position() + 1).unwrap();
    usize::try_from(mix(seed) % many).unwrap()
}

proptest! {
    #![proptest_config(Config { cases: 32, max_shrink_iters: 256, ..Config::default() })]

    #[test]
    fn a_power_cut_loses_nothing_that_was_acknowledged(steps in steps(), seed in any::<u64>()) {
        run(async {
            let history = History::of(&steps).await;
            for number in 0..CUTS {
                let seed = seed.wrapping_add(number);
                let cut = cut(&history, seed);
                history.check(cut, Syncs::Honest, &|_: usize| false, Fate::Chance(seed)).await;
            }
        });
    }

    /// From some moment on half of the syncs do nothing, and say that they did.
    #[test]
    fn a_sync_that_lied_is_noticed_or_costs_the_end(steps in steps(), seed in any::<u64>()) {
        run(async {
            let history = History::of(&steps).await;
            for number in 0..CUTS {
                let seed = seed.wrapping_add(number);
                let cut = cut(&history, seed);
                let from = mix(!seed) % u64::try_from(cut + 1).unwrap();
                let lie = |number: usize| {
                    let number = u64::try_from(number).unwrap();
                    number >= from && mix(seed ^ number).is_multiple_of(2)
                };
                history.check(cut, Syncs::Lying, &lie, Fate::Chance(seed)).await;
            }
        });
    }
}

/// Each moment of a short life, with a disk on which files come and go long before what is in them arrives.
#[tokio::test]
async fn names_may_reach_the_disk_before_what_they_name() {
    let call = |tenant| Step::Call {
        tenant,
        units: 5,
        length: 0,
    };
    let settle = |tenant| Step::Settle { tenant, events: 20 };
    let mut steps = vec![call(0), call(1), Step::Restart, call(0), settle(0)];
    steps.extend([
        settle(1),
        call(0),
        Step::Restart,
        Step::Fail { syncs: 1 },
        call(1),
        call(0),
    ]);
    steps.extend([settle(0), settle(1), Step::Restart, call(0)]);
    let history = History::of(&steps).await;
    for cut in 0..=history.disk.trace.position() {
        let nothing = |_: usize| false;
        history
            .check(cut, Syncs::Honest, &nothing, Fate::Names)
            .await;
    }
}
