//! Is a recorded history of leases and settlements one that a single account could have had?
//!
//! A checker of our own, because the account model makes it small: the state is one number (what is used up of the
//! limit), and each grant says what was left. It walks the history in time ("just in time linearization", Lowe 2017): an
//! operation may take effect at any moment between its request and its answer, and at each answer every possible
//! order of what is under way is tried; what remains possible is kept.

use std::collections::BTreeSet;
use std::time::Instant;

#[derive(Clone, Copy, Debug)]
pub enum Operation {
    Granted {
        wanted: u64,
        minimum: u64,
        units: u64,
        left: u64,
    },
    Refused {
        minimum: u64,
        left: u64,
    },
    Returned(u64),
}

#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub asked: Instant,
    pub answered: Instant,
    pub operation: Operation,
}

/// What is used up after the operation, if it can happen now.
fn after(operation: Operation, used: u64, limit: u64) -> Option<u64> {
    let room = limit - used;
    match operation {
        Operation::Granted {
            wanted,
            minimum,
            units,
            left,
        } => {
            let due = wanted.min(minimum.max(room.div_ceil(2)));
            (room >= minimum && units == due && left == room - units).then_some(used + units)
        }
        Operation::Refused { minimum, left } => (room < minimum && left == room).then_some(used),
        Operation::Returned(units) => used.checked_sub(units),
    }
}

type State = (BTreeSet<usize>, u64);

/// Fails if no order explains the history.
pub fn check(history: &[Record], limit: u64) {
    let mut events: Vec<(Instant, bool, usize)> = Vec::new();
    for (index, record) in history.iter().enumerate() {
        events.push((record.asked, false, index));
        events.push((record.answered, true, index));
    }
    events.sort();
    let mut open = BTreeSet::new();
    let mut states: BTreeSet<State> = BTreeSet::from([(BTreeSet::new(), 0)]);
    for (_, is_answer, index) in events {
        if !is_answer {
            open.insert(index);
            continue;
        }
        states = answered(history, &open, states, index, limit);
        assert!(
            !states.is_empty(),
            "no order explains {index}: {:?}",
            history[index]
        );
        open.remove(&index);
    }
}

/// The states in which `index` has taken effect.
fn answered(
    history: &[Record],
    open: &BTreeSet<usize>,
    states: BTreeSet<State>,
    index: usize,
    limit: u64,
) -> BTreeSet<State> {
    let mut todo: Vec<State> = states.into_iter().collect();
    let (mut seen, mut done): (BTreeSet<State>, BTreeSet<State>) = Default::default();
    while let Some((effective, used)) = todo.pop() {
        if effective.contains(&index) {
            let mut rest = effective;
            rest.remove(&index);
            done.insert((rest, used));
            continue;
        }
        for next in open.difference(&effective) {
            if let Some(used) = after(history[*next].operation, used, limit) {
                let mut effective = effective.clone();
                effective.insert(*next);
                if seen.insert((effective.clone(), used)) {
                    todo.push((effective, used));
                }
            }
        }
    }
    done
}

#[test]
fn the_checker_finds_a_double_grant() {
    let start = Instant::now();
    let at = |ms: u64| start + std::time::Duration::from_millis(ms);
    let grant = |asked, answered, left| Record {
        asked: at(asked),
        answered: at(answered),
        operation: Operation::Granted {
            wanted: 1,
            minimum: 1,
            units: 1,
            left,
        },
    };
    // Under way together: either order.
    check(&[grant(0, 10, 0), grant(1, 9, 1)], 2);
    // One after the other, both took the last but one.
    let twice = std::panic::catch_unwind(|| check(&[grant(0, 1, 1), grant(2, 3, 1)], 2));
    assert!(twice.is_err());
    // More than there is.
    let more = std::panic::catch_unwind(|| check(&[grant(0, 3, 0), grant(1, 2, 0)], 1));
    assert!(more.is_err());
}
