//! What the client of a session knows of its lists: what it was shown of them, or told, last. It may be away when one of them
//! changes; the stream that it reads next begins with that.

use super::lists::Seen;
use super::session::locked;
use proctor_engine::token::VerifiedToken;
use proctor_model::RevocationId;
use proctor_model::catalogue::Listed;
use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

/// Tokens of one session whose lists are kept in mind, some 400 bytes each. The longest unused makes room: what changes for it
/// until it reads again it is not told.
const TOKENS_MAX: usize = 4;

/// How a client begins to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Begins {
    /// Where it left off: it gets what it was told meanwhile.
    GoesOn,
    /// With what comes from now on: what it was told last may have been lost with its connection.
    Anew,
}

/// The lists of each token, the last used at the end. A narrower token of the same principal sees others, and is not to hear
/// of these: so none is held against another's.
#[derive(Default)]
pub(super) struct KnownLists(Mutex<VecDeque<(Holder, Lists)>>);

/// Who sees them: who holds this token. The access tokens of a login follow on each other, and are one.
type Holder = Option<RevocationId>;

type Lists = HashMap<Listed, Known>;

/// A list by its digest: as it was asked for last, or was when the client began to read, and as it was when the client was told
/// last that it is another.
struct Known {
    shown: [u8; 32],
    told: [u8; 32],
}

fn holder(token: &VerifiedToken) -> Holder {
    match token.is_of_login() {
        true => token.root().cloned(),
        false => token.id().cloned(),
    }
}

impl KnownLists {
    /// What somebody who begins to read so knows already; nothing of a list that they were never shown nor told of.
    pub(super) fn of(&self, token: &VerifiedToken, begins: Begins) -> Vec<Seen> {
        let digest = |known: &Known| match begins {
            Begins::GoesOn => known.told,
            Begins::Anew => known.shown,
        };
        self.with(token, |lists| {
            let known = |listed: Listed| Some((listed, digest(lists.get(&listed)?)));
            Listed::ALL.into_iter().filter_map(known).collect()
        })
    }

    /// Notes that these are the lists from now on, as far as the client is told what changes.
    pub(super) fn told(&self, token: &VerifiedToken, now: &[Seen]) {
        self.with(token, |lists| {
            for (listed, told) in now {
                let shown = *told;
                let known = lists.entry(*listed);
                let known = known.or_insert(Known { shown, told: shown });
                known.told = *told;
            }
        });
    }

    /// Notes that a client is shown a list.
    pub(super) fn shown(&self, token: &VerifiedToken, (listed, digest): Seen) {
        self.with(token, |lists| {
            let (shown, told) = (digest, digest);
            lists.insert(listed, Known { shown, told });
        });
    }

    fn with<R>(&self, token: &VerifiedToken, on: impl FnOnce(&mut Lists) -> R) -> R {
        let holder = holder(token);
        let mut all = locked(&self.0);
        let at = all.iter().position(|(known, _)| *known == holder);
        let known = at.and_then(|at| all.remove(at));
        let (holder, mut lists) = known.unwrap_or_else(|| (holder, Lists::new()));
        let done = on(&mut lists);
        if all.len() >= TOKENS_MAX {
            all.pop_front();
        }
        all.push_back((holder, lists));
        done
    }
}

#[cfg(test)]
mod tests {
    use super::super::owner::tests::{caller, tenant};
    use super::*;

    #[test]
    fn each_token_has_lists_of_its_own_and_a_login_one_for_all_of_its() {
        let (known, tenant) = (KnownLists::default(), tenant());
        let token = |nonce, appended: &[&str]| caller(&tenant, nonce, appended).token;
        let (wide, narrow) = (token(1, &[]), token(1, &["verb in read"]));
        assert!(known.of(&wide, Begins::Anew).is_empty());
        known.shown(&wide, (Listed::Tool, [1; 32]));
        assert_eq!(known.of(&wide, Begins::Anew), [(Listed::Tool, [1; 32])]);
        let others = known.of(&narrow, Begins::Anew);
        assert!(others.is_empty(), "what another one sees");

        let line = token(9, &[]).id().unwrap().clone();
        let login = |nonce| {
            (*token(nonce, &[]))
                .clone()
                .of_login(line.clone(), "alice".parse().unwrap())
        };
        known.shown(&login(2), (Listed::Tool, [4; 32]));
        let next = known.of(&login(3), Begins::Anew);
        assert_eq!(next, [(Listed::Tool, [4; 32])]);
    }

    #[test]
    fn who_begins_anew_may_have_missed_what_it_was_told_but_not_what_it_asked_for() {
        let (known, tenant) = (KnownLists::default(), tenant());
        let token = caller(&tenant, 1, &[]).token;
        let both = || [Begins::GoesOn, Begins::Anew].map(|begins| known.of(&token, begins));
        let is = |digest: u8| vec![(Listed::Resource, [digest; 32])];
        known.told(&token, &is(1));
        assert_eq!(both(), [is(1), is(1)], "so it was when it began");
        known.told(&token, &is(2));
        assert_eq!(both(), [is(2), is(1)]);
        known.shown(&token, (Listed::Resource, [2; 32]));
        assert_eq!(both(), [is(2), is(2)]);
        known.shown(&token, (Listed::Template, [3; 32]));
        let all = [(Listed::Resource, [2; 32]), (Listed::Template, [3; 32])];
        assert_eq!(known.of(&token, Begins::Anew), all);
    }

    #[test]
    fn the_longest_unused_token_makes_room() {
        let (known, tenant) = (KnownLists::default(), tenant());
        let token = |nonce| caller(&tenant, nonce, &[]).token;
        let many = u8::try_from(TOKENS_MAX).unwrap();
        let of = |nonce| known.of(&token(nonce), Begins::Anew);
        for nonce in 0..=many {
            known.shown(&token(nonce), (Listed::Tool, [nonce; 32]));
            assert_eq!(of(0).len(), 1, "used all the time");
        }
        assert_eq!(locked(&known.0).len(), TOKENS_MAX);
        assert_eq!(of(many), [(Listed::Tool, [many; 32])]);
        assert!(of(1).is_empty());
    }
}
