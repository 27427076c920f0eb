//! The content filter: personal data and credentials in text, whichever way it goes.
//!
//! Proof before suspicion: a class has a form, and wherever there are check digits or a library that knows which numbers
//! exist, they decide; words near a match make it more or less sure ([`Confidence`]). A text is looked at as it stands and
//! as a reader would decode it (compatibility forms, hidden characters, JSON escapes, one level of percent- and base64
//! encoding), and a match in a decoding is removed from the original. Time and memory are linear in the text.
//!
//! Reading order: `runs` (the pass over every byte), `scan` (signs, then what stands around them), `numbers` with `ids` (whatever has digits in it), `context` (words near a match, which `words` lists, and `alike` what only looks like one), the classes (`email`,
//! `phone`, `payment`, `national`, `vat`, `network` with `version`, `crypto`, `mrz`, `birth`, `provider`, `pem`, `assigned` with `names`, `scheme`, `credible`, `label` and `code`, `url`, `entries`, `told`, `commands`, `options` and `curl`, `custom`), `view`
//! and `armoured` (decodings), `rewrite` (what is put in their place), `rules` (what is done), `apply` (on JSON values),
//! `vault` and `back` (placeholders), `stream` (text that comes in pieces).

mod account;
mod alike;
mod apply;
mod armoured;
mod assigned;
mod aws;
mod azure;
mod back;
mod birth;
mod called;
mod code;
mod commands;
mod context;
mod credible;
mod crypto;
mod curl;
mod custom;
mod email;
mod entries;
mod ids;
mod jwk;
mod label;
mod monero;
mod mrz;
mod named;
mod names;
mod national;
mod network;
mod number;
mod numbers;
mod options;
mod pairs;
mod parted;
mod payment;
mod pem;
mod phone;
mod provider;
mod rewrite;
mod rules;
mod runs;
mod scan;
mod scheme;
mod spread;
mod stream;
mod text;
mod told;
mod url;
mod vat;
mod vault;
mod vendor;
mod version;
mod view;
mod words;

#[cfg(test)]
mod class_tests;
#[cfg(test)]
mod growth_tests;
#[cfg(test)]
mod tests;

pub use apply::{Content, Explained, Outcome};
pub use rules::{ContentProblem, Expected, Place, Rules};
pub use stream::{Released, Splitter};
pub use vault::{Vault, vault_key};

use custom::Custom;
use phone::Regions;
use proctor_model::content::{Confidence, ContentClass};
use std::collections::BTreeMap;
use std::ops::Range;
use text::Text;
use view::View;

/// What a match is of: a class of the filter's own, or one of the tenant's patterns and word lists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// One that the filter knows by itself.
    Known(ContentClass),
    /// The tenant's, by its place in [`Filter::custom_name`].
    Custom(u16),
}

/// Makes ready what is built when a text first needs it (the forms of keys, the plans of telephone numbers), for a process
/// whose calls are not to wait for that. Who looks through one text and ends is better off without.
pub fn warm() {
    phone::warm();
    let _ = Filter::default().find("api_key=0123456789abcdef0123456789abcdef, phone 0", "");
}

/// Whether a word is an address of a crypto currency, by its checksum.
pub(crate) fn is_wallet(word: &str) -> bool {
    crypto::address(word)
}

/// Whether digits are a card number, by its issuer's range and check digit.
pub(crate) fn is_card(digits: &str) -> bool {
    payment::card(digits.as_bytes())
}

/// Whether capitals and digits are an IBAN in a form that some country has, by its check digits.
pub(crate) fn is_iban(compact: &str) -> bool {
    account::is_known(compact)
}

/// Where private keys in PEM stand in a text as it is, one behind the other, whatever stands amid their lines.
pub(crate) fn private_keys(text: &str) -> Vec<Range<usize>> {
    let firsts = text.match_indices(pem::BEGIN).map(|(at, _)| at);
    let text = Text { text, key: "" };
    let mut after = 0;
    let keys = firsts.filter_map(|at| {
        // One may go on to the end of the text: what is of it is not read again for each first line in it.
        let end = (at >= after).then(|| pem::pem(text, at)).flatten()?;
        after = end;
        Some(at..end)
    });
    keys.collect()
}

/// How a match stands in the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Carrier {
    /// As it is, or in some spelling of it; inside of so many levels of JSON escapes.
    Plain { escapes: u8, percent: bool },
    /// In the text that the run of base64 which is the match's range is the encoding of.
    Base64,
    /// Somewhere inside of the run that is the match's range: all of it goes.
    Run { percent: bool },
}

impl Carrier {
    /// Whether the match's range is that of an encoded run, which others may have as well.
    fn is_run(self) -> bool {
        matches!(self, Self::Base64 | Self::Run { .. })
    }
}

/// One match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Match {
    /// Where it stands in the text, in bytes.
    pub range: Range<usize>,
    /// Of what.
    pub class: Class,
    /// How sure.
    pub confidence: Confidence,
    carrier: Carrier,
    /// It begins behind a backslash, which may be meant for its first letter.
    torn: bool,
}

/// Told of each match in a decoding.
type Told<'f> = dyn FnMut(Match) + 'f;

/// Everything that can be found for one tenant, compiled.
#[derive(Debug)]
pub struct Filter {
    regions: Regions,
    custom: Custom,
}

/// Levels of JSON escapes that are undone: JSON in a text in JSON in a text.
const ESCAPES_MAX: u8 = 3;

impl Filter {
    /// The name of a tenant's class.
    #[must_use]
    pub fn custom_name(&self, at: u16) -> &str {
        self.custom.name(at)
    }

    /// The name of a class.
    #[must_use]
    pub fn name(&self, class: Class) -> &str {
        match class {
            Class::Known(class) => class.as_str(),
            Class::Custom(at) => self.custom_name(at),
        }
    }

    /// Whether the tenant looks for something of its own, which may be of any length.
    fn has_own(&self) -> bool {
        !self.custom.names().is_empty()
    }

    /// Everything in a text, in order of place and without overlap. `key` is what the text is called where it stands
    /// (the key of a JSON member), or empty.
    #[must_use]
    pub fn find(&self, text: &str, key: &str) -> Vec<Match> {
        let mut found = Vec::new();
        let carrier = Carrier::Plain {
            escapes: 0,
            percent: false,
        };
        self.look(text, key, carrier, &mut found);
        let visible = view::visible(text);
        if let Some(view) = &visible {
            self.through(view, key, carrier, &mut found);
        }
        let base = visible.as_ref().map_or(text, |view| &view.text);
        self.decode(base, key, 0, &mut |hit| {
            found.push(match &visible {
                Some(view) => behind(view, hit),
                None => hit,
            });
        });
        disjoint(found)
    }

    /// Looks through each encoding, and through those inside of JSON escapes; ranges are those of `text`.
    fn decode(&self, text: &str, key: &str, escapes: u8, found: &mut Told<'_>) {
        let percent = Carrier::Plain {
            escapes,
            percent: true,
        };
        self.base64(text, key, found);
        if let Some(view) = view::percent_decoded(text) {
            self.seen(&view, key, percent, found);
            self.base64(&view.text, key, &mut |hit| {
                // Two encodings around it: all of it goes.
                let carrier = Carrier::Run { percent: true };
                found(behind(&view, Match { carrier, ..hit }));
            });
        }
        if let Some(view) = view::form(text) {
            self.seen(&view, key, percent, found);
            if let Some(decoded) = view::percent_decoded(&view.text) {
                self.seen(&decoded, key, percent, &mut |hit| found(behind(&view, hit)));
            }
        }
        if let Some(view) = view::entities(text) {
            let carrier = Carrier::Plain {
                escapes,
                percent: false,
            };
            self.seen(&view, key, carrier, found);
        }
        if escapes >= ESCAPES_MAX {
            return;
        }
        if let Some(view) = view::unescaped(text) {
            let deeper = escapes.saturating_add(1);
            let carrier = Carrier::Plain {
                escapes: deeper,
                percent: false,
            };
            self.seen(&view, key, carrier, found);
            self.decode(&view.text, key, deeper, &mut |hit| {
                found(behind(&view, hit));
            });
        }
    }

    /// What stands in a view, as it is and as it looks.
    fn seen(&self, view: &View, key: &str, carrier: Carrier, found: &mut Told<'_>) {
        let mut inner = Vec::new();
        self.look(&view.text, key, carrier, &mut inner);
        if let Some(visible) = view::visible(&view.text) {
            self.through(&visible, key, carrier, &mut inner);
        }
        for hit in inner {
            found(behind(view, hit));
        }
    }

    fn base64(&self, text: &str, key: &str, found: &mut Told<'_>) {
        armoured::base64(text, &mut |run| {
            let carrier = match run.is_exact {
                true => Carrier::Base64,
                false => Carrier::Run { percent: false },
            };
            let mut inner = Vec::new();
            self.look(&run.text, key, carrier, &mut inner);
            if let Some(visible) = view::visible(&run.text) {
                self.look(&visible.text, key, carrier, &mut inner);
            }
            if let Some(unescaped) = view::unescaped(&run.text) {
                self.look(&unescaped.text, key, carrier, &mut inner);
            }
            let (range, torn) = whole_escapes(text, run.start, run.end);
            for hit in inner
                .into_iter()
                .filter(|hit| hit.confidence > Confidence::Low)
            {
                let range = range.clone();
                found(Match { range, torn, ..hit });
            }
        });
    }

    fn through(&self, view: &View, key: &str, carrier: Carrier, found: &mut Vec<Match>) {
        let mut inner = Vec::new();
        self.look(&view.text, key, carrier, &mut inner);
        found.extend(inner.into_iter().map(|hit| behind(view, hit)));
    }

    /// A text as it stands.
    fn look(&self, text: &str, key: &str, carrier: Carrier, found: &mut Vec<Match>) {
        let mut tell = |start, end, class, confidence| {
            let (range, torn) = whole_escapes(text, start, end);
            found.push(Match {
                range,
                class,
                confidence,
                carrier,
                torn,
            });
        };
        scan::scan(
            Text { text, key },
            &self.regions,
            &mut |start, end, class, confidence| tell(start, end, Class::Known(class), confidence),
        );
        self.custom.scan(text, key, &mut |start, end, at| {
            tell(start, end, Class::Custom(at), Confidence::High);
        });
    }
}

/// A match in a view where it stands in the original.
fn behind(view: &View, hit: Match) -> Match {
    let (start, end) = view.original(hit.range.start, hit.range.end);
    Match {
        range: start..end,
        ..hit
    }
}

/// The range with the whole of a JSON escape that it begins inside of, and nothing of one that it ends inside of: half of
/// one that stays behind would make the text no JSON any more. And whether a backslash stands before it at all: if that is
/// the escape of another level, the first letter is not one of the match.
fn whole_escapes(text: &str, start: usize, end: usize) -> (Range<usize>, bool) {
    let escape = view::escape_around(text, start);
    let before = start.checked_sub(1).and_then(|at| text.as_bytes().get(at));
    let from = escape.unwrap_or(start);
    let to = view::escape_around(text, end).filter(|to| *to > from);
    (
        from..to.unwrap_or(end),
        escape.is_some() || before == Some(&b'\\'),
    )
}

impl Default for Filter {
    /// Without anything of a tenant's.
    fn default() -> Self {
        Self {
            regions: Regions::usual(),
            custom: Custom::default(),
        }
    }
}

/// In order of place; of matches that overlap the surest stays, then one that is not torn off its backslash (of
/// `\nbob@x.org` it is `bob@x.org`), then the tenant's own, then the longest. Matches of several classes in one run of
/// base64 all stay.
fn disjoint(mut found: Vec<Match>) -> Vec<Match> {
    found.sort_by_key(|hit| (hit.range.start, std::cmp::Reverse(hit.range.end)));
    let mut kept: Vec<Match> = Vec::with_capacity(found.len());
    let mut cluster: Vec<Match> = Vec::new();
    let mut end = 0;
    for hit in found {
        if hit.range.start >= end {
            settle(&mut cluster, &mut kept);
        }
        end = end.max(hit.range.end);
        cluster.push(hit);
    }
    settle(&mut cluster, &mut kept);
    kept
}

/// Those of some values, in order and apart, that a range overlaps.
pub(crate) fn touched<'v, V>(
    values: &'v [V],
    range: &Range<usize>,
    place: impl Fn(&V) -> &Range<usize>,
) -> &'v [V] {
    let first = values.partition_point(|value| place(value).end <= range.start);
    let last = values.partition_point(|value| place(value).start < range.end);
    values.get(first..last).unwrap_or_default()
}

/// Chooses among matches that hang together by overlaps.
fn settle(cluster: &mut Vec<Match>, kept: &mut Vec<Match>) {
    if cluster.len() < 2 {
        kept.append(cluster);
        return;
    }
    rank(cluster);
    if join_runs(cluster) {
        rank(cluster);
    }
    let mut taken: BTreeMap<usize, (usize, Carrier)> = BTreeMap::new();
    let mut chosen = Vec::new();
    for hit in cluster.drain(..) {
        let beside = taken.range(..hit.range.end).next_back();
        let free = beside.is_none_or(|(start, (end, carrier))| {
            let same_run = carrier.is_run() && hit.carrier.is_run();
            *end <= hit.range.start
                || (same_run && *start == hit.range.start && *end == hit.range.end)
        });
        if free {
            taken.insert(hit.range.start, (hit.range.end, hit.carrier));
            chosen.push(hit);
        }
    }
    chosen.sort_by_key(|hit| hit.range.start);
    kept.append(&mut chosen);
}

/// The surest first, each once.
fn rank(cluster: &mut Vec<Match>) {
    let rank = |hit: &Match| {
        let own = matches!(hit.class, Class::Custom(_));
        (hit.confidence, !hit.torn, own, hit.range.len())
    };
    cluster.sort_by_key(|hit| (std::cmp::Reverse(rank(hit)), hit.class));
    cluster.dedup_by(|a, b| a.range == b.range && a.class == b.class);
}

/// Makes one of runs of base64 that overlap (a line, and the lines together; the same read in several ways), all of which
/// goes: what is in one of them must not give way to what is in another. Whether there were several.
fn join_runs(cluster: &mut [Match]) -> bool {
    let runs = || cluster.iter().filter(|hit| hit.carrier.is_run());
    let start = runs().map(|hit| hit.range.start).min().unwrap_or(0);
    let end = runs().map(|hit| hit.range.end).max().unwrap_or(0);
    let first = runs().next().map(|hit| hit.carrier);
    let is_one = runs().all(|hit| hit.range == (start..end) && Some(hit.carrier) == first);
    if is_one {
        return false;
    }
    for hit in cluster.iter_mut().filter(|hit| hit.carrier.is_run()) {
        hit.range = start..end;
        hit.carrier = Carrier::Run { percent: false };
    }
    true
}
