//! Texts that come in several parts, which whoever reads them reads as one: each part is looked at alone, as it may stand
//! alone, and what stands over the end of one is looked for in all of them together. So is what stands in one part, if only
//! another tells what it is (its name is the end of the part before it).
//!
//! What stands in more than one part is replaced by its label in the first and by nothing in the others, whatever form the
//! rules want: no other form could be told apart from its pieces. What another part tells is replaced alike.

use crate::filter::apply::Content;
use crate::filter::rewrite::label;
use crate::filter::{Filter, Match, disjoint, touched};
use proctor_model::content::ContentAction;
use std::ops::Range;

/// Where the parts of a stream begin.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// In what has gone on and is remembered.
    gone: Vec<usize>,
    /// In what waits. That the part before has ended has not been told yet.
    waiting: Vec<usize>,
}

impl Parts {
    /// One begins behind so many bytes that wait.
    pub(super) fn begin(&mut self, held: usize) {
        self.waiting.push(held);
    }

    /// The first so many bytes of what waits wait no longer.
    pub(super) fn skip(&mut self, dropped: usize) {
        for at in &mut self.waiting {
            *at = at.saturating_sub(dropped);
        }
    }

    /// The text that is remembered and waits, with its parts. What stands from `before` on waits.
    pub(super) fn row<'t>(&self, whole: &'t str, before: usize) -> Row<'t> {
        let waiting = self.waiting.iter().map(|at| before.saturating_add(*at));
        Row {
            whole,
            before,
            told: self.gone.len(),
            starts: self.gone.iter().copied().chain(waiting).collect(),
            lent: Vec::new(),
        }
    }

    /// What stands before `end` in a row has gone on, and only what stands from `from` on is remembered; of what waits behind
    /// it, the first `dropped` bytes wait no longer.
    pub(super) fn shift(&mut self, row: &Row<'_>, from: usize, end: usize, dropped: usize) {
        let starts = row.starts.iter();
        let gone = starts.clone().filter(|at| (from..=end).contains(*at));
        self.gone = gone.map(|at| at.saturating_sub(from)).collect();
        let waiting = starts.filter(|at| **at > end);
        let waits = |at: &usize| at.saturating_sub(end).saturating_sub(dropped);
        self.waiting = waiting.map(waits).collect();
    }
}

/// A text, the end of which waits, with its parts.
pub(super) struct Row<'t> {
    whole: &'t str,
    /// Where begins what waits.
    before: usize,
    /// How many of the parts are known to have begun where their text goes.
    told: usize,
    /// Where parts begin, but for the first.
    starts: Vec<usize>,
    /// Where the values end that are in one part, and that only another part tells.
    lent: Vec<usize>,
}

impl Row<'_> {
    /// What is in the text, in order of place and without overlap.
    pub(super) fn found(&mut self, content: &Content<'_>) -> Vec<Match> {
        let filter = content.rules.filter();
        let whole = self.whole;
        let together = found(whole, self.before, filter);
        if self.starts.is_empty() {
            return together;
        }
        let action = |hit: &Match| content.action_of(hit, whole);
        let alters = |hit: &Match| action(hit) > ContentAction::Count;
        let mut alone: Vec<Match> = self
            .parts()
            .flat_map(|part| self.alone(part, filter))
            .collect();
        let altered: Vec<Range<usize>> =
            alone.iter().filter(|hit| alters(hit)).map(range).collect();
        let is_new = |hit: &Match| self.is_over(&hit.range) || !is_covered(&alone, hit, action);
        let over = together
            .into_iter()
            .filter(|hit| hit.range.end > self.before && alters(hit) && is_new(hit));
        // Half of a key may look like a whole one: all of both goes.
        let widened = over.map(|hit| Match {
            range: widened(&altered, &hit.range),
            ..hit
        });
        let mut over: Vec<Match> = widened.collect();
        let taken: Vec<Range<usize>> = over.iter().map(range).collect();
        // What a stream stops for, it stops for inside of another value, too.
        let stops = alone
            .iter()
            .filter(|hit| action(hit) >= ContentAction::Escalate)
            .filter(|hit| is_touched(&taken, &hit.range));
        over.extend(stops.cloned());
        over.sort_by_key(|hit| hit.range.start);
        let mut over = joined(over.into_iter(), action);
        let taken: Vec<Range<usize>> = over.iter().map(range).collect();
        let in_one = over.iter().filter(|hit| !self.is_over(&hit.range));
        self.lent = in_one.map(|hit| hit.range.end).collect();
        alone.retain(|hit| !is_touched(&taken, &hit.range));
        alone.append(&mut over);
        alone.sort_by_key(|hit| hit.range.start);
        alone
    }

    /// What is done about a match. What another part has some of, or tells, keeps no form.
    pub(super) fn action(&self, hit: &Match, content: &Content<'_>) -> ContentAction {
        match content.action_of(hit, self.whole) {
            ContentAction::Mask | ContentAction::Tokenise if !self.keeps_form(hit) => {
                ContentAction::Redact
            }
            action => action,
        }
    }

    /// The text from `before` to `end` with what has to go replaced, and where in that the parts end which end there.
    pub(super) fn edited(
        &self,
        end: usize,
        gone: &[Match],
        content: &Content<'_>,
    ) -> (String, Vec<usize>) {
        let between = |from, to| content.edited_between(self.whole, from, to, gone);
        let over: Vec<&Match> = gone
            .iter()
            .filter(|hit| !self.keeps_form(hit))
            .filter(|hit| self.action(hit, content) >= ContentAction::Redact)
            .collect();
        let (mut text, mut ends, mut at) = (String::new(), Vec::new(), self.before);
        let told = self.starts.get(self.told..).unwrap_or_default();
        let stops = told.iter().copied().filter(|stop| *stop <= end);
        for stop in stops.chain([end]) {
            let inside = over
                .iter()
                .filter(|hit| hit.range.start < stop && hit.range.end > self.before);
            for hit in inside {
                if hit.range.start >= at {
                    text.push_str(&between(at, hit.range.start));
                    text.push_str(&label(content.rules.filter(), hit.class));
                }
                at = at.max(hit.range.end.min(stop));
            }
            text.push_str(&between(at, stop));
            at = stop;
            ends.push(text.len());
        }
        // Where the text ends, no part has to.
        ends.pop();
        (text, ends)
    }

    /// Where each part that has not gone on as a whole begins and ends.
    fn parts(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = [0].into_iter().chain(self.starts.iter().copied());
        let ends = self.starts.iter().copied().chain([self.whole.len()]);
        let parts = starts.zip(ends).map(|(start, end)| start..end);
        parts.filter(|part| !part.is_empty() && part.end > self.before)
    }

    /// What is in a part as it stands alone.
    fn alone(&self, part: Range<usize>, filter: &Filter) -> Vec<Match> {
        let text = self.whole.get(part.clone()).unwrap_or_default();
        let before = self.before.saturating_sub(part.start);
        let shifted = |hit: Match| Match {
            range: shifted(&hit.range, part.start),
            ..hit
        };
        found(text, before, filter)
            .into_iter()
            .map(shifted)
            .collect()
    }

    /// Whether a match is of one part alone.
    fn keeps_form(&self, hit: &Match) -> bool {
        !self.is_over(&hit.range) && self.lent.binary_search(&hit.range.end).is_err()
    }

    /// Whether a range is in more than one part.
    fn is_over(&self, range: &Range<usize>) -> bool {
        let next = self.starts.partition_point(|at| *at <= range.start);
        self.starts.get(next).is_some_and(|at| *at < range.end)
    }
}

/// What is in a text whose first part, up to `before`, has gone on.
fn found(whole: &str, before: usize, filter: &Filter) -> Vec<Match> {
    let mut all = filter.find(whole, "");
    let straddles =
        |hit: &Match| hit.carrier.is_run() && hit.range.start < before && hit.range.end > before;
    // Lines of base64 that were read together with some that are gone: they say what they say alone.
    if all.iter().any(straddles) {
        all.retain(|hit| !straddles(hit));
        let waiting = whole.get(before..).unwrap_or_default();
        let alone = filter.find(waiting, "").into_iter();
        all.extend(alone.filter(|hit| hit.carrier.is_run()).map(|hit| Match {
            range: shifted(&hit.range, before),
            ..hit
        }));
        return disjoint(all);
    }
    all
}

fn range(hit: &Match) -> Range<usize> {
    hit.range.clone()
}

fn shifted(range: &Range<usize>, by: usize) -> Range<usize> {
    range.start.saturating_add(by)..range.end.saturating_add(by)
}

/// Whether a range overlaps one of some, in order and apart.
fn is_touched(ranges: &[Range<usize>], range: &Range<usize>) -> bool {
    !touched(ranges, range, |other| other).is_empty()
}

/// Whether one of some matches, in order and apart, has all of another and is for as strict an action.
fn is_covered(hits: &[Match], other: &Match, action: impl Fn(&Match) -> ContentAction) -> bool {
    let near = touched(hits, &other.range, |hit| &hit.range);
    near.iter().any(|hit| {
        hit.range.start <= other.range.start
            && hit.range.end >= other.range.end
            && action(hit) >= action(other)
    })
}

/// A range with all that it overlaps.
fn widened(ranges: &[Range<usize>], range: &Range<usize>) -> Range<usize> {
    let touched = touched(ranges, range, |other| other);
    let start = touched.first().map_or(range.start, |first| first.start);
    let end = touched.last().map_or(range.end, |last| last.end);
    range.start.min(start)..range.end.max(end)
}

/// Matches in order of their places, those that overlap made one: of what the strictest action is for.
fn joined(
    hits: impl Iterator<Item = Match>,
    action: impl Fn(&Match) -> ContentAction,
) -> Vec<Match> {
    let mut all: Vec<Match> = Vec::new();
    for hit in hits {
        let Some(last) = all
            .last_mut()
            .filter(|last| hit.range.start < last.range.end)
        else {
            all.push(hit);
            continue;
        };
        let whole = last.range.start..last.range.end.max(hit.range.end);
        if action(&hit) > action(last) {
            *last = hit;
        }
        last.range = whole;
    }
    all
}

#[cfg(test)]
mod tests {
    use crate::filter::stream::Splitter;
    use crate::filter::tests::{everything_redacted, inbound};
    use crate::filter::{Content, Released, Rules};
    use proctor_model::content::{ContentAction, ContentRules};
    use proptest::prelude::*;

    /// What goes on of parts that come in these pieces.
    fn relayed(parts: &[Vec<&str>], content: &Content<'_>) -> Vec<String> {
        let (mut splitter, mut out) = (Splitter::default(), vec![String::new()]);
        let mut take = |released: Released| {
            assert!(!released.stop);
            let mut at = 0;
            for end in released.ends {
                out.last_mut().unwrap().push_str(&released.text[at..end]);
                out.push(String::new());
                at = end;
            }
            out.last_mut().unwrap().push_str(&released.text[at..]);
        };
        for (at, pieces) in parts.iter().enumerate() {
            if at > 0 {
                splitter.next_part();
            }
            for piece in pieces {
                take(splitter.push(piece, content));
            }
        }
        take(splitter.finish(content));
        assert_eq!(splitter.held_bytes(), 0);
        assert_eq!(out.len(), parts.len(), "{parts:?}");
        out
    }

    fn each(text: &str) -> Vec<&str> {
        text.split_inclusive(|_| true).collect()
    }

    const SECRETS: [(&str, &str); 4] = [
        ("AKIAQWERTYUIOP234567", "[AWS_KEY]"),
        ("ghp_R4nd0mT0kenV4lue1234567890abcdEFGH12", "[GITHUB_TOKEN]"),
        ("bob.smith@example.org", "[EMAIL]"),
        (
            "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASC\n-----END PRIVATE KEY-----",
            "[PRIVATE_KEY]",
        ),
    ];

    #[test]
    fn a_secret_over_the_end_of_a_part_leaves_both() {
        let rules = everything_redacted();
        let content = inbound(&rules);
        for (secret, label) in SECRETS {
            for at in 1..secret.len() {
                let (one, two) = secret.split_at(at);
                let (one, two) = (format!("it is {one}"), format!("{two} , so"));
                for parts in [[vec![&*one], vec![&*two]], [each(&one), each(&two)]] {
                    let clean = [format!("it is {label}"), " , so".to_owned()];
                    assert_eq!(relayed(&parts, &content), clean, "{secret} at {at}");
                }
            }
        }
    }

    #[test]
    fn a_part_is_looked_at_alone_as_well() {
        let rules = everything_redacted();
        let content = inbound(&rules);
        // What follows in the next part would make it too long for a key.
        let parts = [vec!["it is AKIAQWERTYUIOP234567"], vec!["89 and more"]];
        assert_eq!(
            relayed(&parts, &content),
            ["it is [AWS_KEY]", "89 and more"]
        );
        let parts = [
            vec!["see x"],
            vec!["AKIAQWERTYUIOP234567"],
            vec![],
            vec![" so"],
        ];
        assert_eq!(relayed(&parts, &content), ["see x", "[AWS_KEY]", "", " so"]);
    }

    #[test]
    fn what_is_in_three_parts_is_replaced_in_the_first() {
        let rules: ContentRules = serde_json::from_value(serde_json::json!({
            "standard": false, "rules": [{"classes": ["aws_key"], "action": "mask"}],
        }))
        .unwrap();
        let rules = Rules::compile(&rules).unwrap();
        let content = inbound(&rules);
        let parts = [
            vec!["it is AKIAQW"],
            vec!["ERTY"],
            vec!["UIOP234567", " , so"],
        ];
        assert_eq!(relayed(&parts, &content), ["it is [AWS_KEY]", "", " , so"]);
        let mut splitter = Splitter::default();
        splitter.push("it is AKIAQW", &content);
        splitter.next_part();
        splitter.push("ERTYUIOP234567 , so", &content);
        splitter.finish(&content);
        let found = splitter.findings(&content);
        let found: Vec<_> = found.iter().map(|f| (f.action, f.count)).collect();
        assert_eq!(found, [(ContentAction::Redact, 1)]);
    }

    #[test]
    fn a_value_is_known_by_its_name_in_the_part_before() {
        let rules = everything_redacted();
        let content = inbound(&rules);
        let check = |parts: &[&str], expect: &[&str]| {
            let whole: Vec<Vec<&str>> = parts.iter().map(|part| vec![*part]).collect();
            assert_eq!(relayed(&whole, &content), expect, "{parts:?}");
            let pieces: Vec<Vec<&str>> = parts.iter().map(|part| each(part)).collect();
            assert_eq!(relayed(&pieces, &content), expect, "{parts:?} in pieces");
        };
        let key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let named = ["aws_secret_access_key=", key];
        check(&named, &["aws_secret_access_key=", "[AWS_KEY]"]);
        let spaced = ["so, password: ", "", "hunter2!x , so"];
        check(&spaced, &["so, password: ", "", "[SECRET] , so"]);
        // Some of it is known without the name: all of both goes.
        let partly = ["password: ", "x9!bob@example.org , so"];
        check(&partly, &["password: ", "[SECRET] , so"]);
        // Nothing names these, or what is named is no value.
        check(&["see ", key], &["see ", key]);
        check(&["the password: ", "please"], &["the password: ", "please"]);
        // What a part tells by itself goes as it would alone.
        let alone = ["so ", "password: hunter2!x , so"];
        check(&alone, &["so ", "password: [SECRET] , so"]);
    }

    #[test]
    fn only_what_another_part_tells_keeps_no_form() {
        let rules: ContentRules = serde_json::from_value(serde_json::json!({
            "standard": false, "rules": [{"classes": ["generic_secret"], "action": "mask"}],
        }))
        .unwrap();
        let rules = Rules::compile(&rules).unwrap();
        let content = inbound(&rules);
        let parts = [
            vec!["password: "],
            vec!["hunter2!x , so"],
            vec![" password: hunter3!x , so"],
        ];
        let clean = ["password: ", "[SECRET] , so", " password: *******!* , so"];
        assert_eq!(relayed(&parts, &content), clean);
    }

    #[test]
    fn a_stream_stops_in_the_part_where_what_is_blocked_begins() {
        let rules: ContentRules = serde_json::from_value(serde_json::json!({
            "rules": [{"classes": ["credentials"], "action": "block"}],
        }))
        .unwrap();
        let rules = Rules::compile(&rules).unwrap();
        let content = inbound(&rules);
        let mut splitter = Splitter::default();
        let mut out = splitter.push("one", &content);
        for piece in [" two AKIAQWERTY", "UIOP234567 , so"] {
            splitter.next_part();
            out.append(&splitter.push(piece, &content));
        }
        if !out.stop {
            out.append(&splitter.finish(&content));
        }
        assert!(out.stop);
        assert_eq!((out.text.as_str(), &*out.ends), ("one two ", &[3][..]));
    }

    #[test]
    fn a_stream_stops_for_what_is_blocked_inside_of_another_value() {
        let rules: ContentRules = serde_json::from_value(serde_json::json!({
            "standard": false, "rules": [
                {"classes": ["aws_key"], "action": "block"},
                {"classes": ["private_key"], "action": "redact"},
            ],
        }))
        .unwrap();
        let rules = Rules::compile(&rules).unwrap();
        let content = inbound(&rules);
        let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
        let first = format!("it is -----BEGIN PRIVATE KEY-----\n{line}\n");
        for (inside, stops) in [("AKIAQWERTYUIOP234567", true), ("something", false)] {
            let mut splitter = Splitter::default();
            let mut out = splitter.push(&first, &content);
            splitter.next_part();
            let second = format!("x {inside} \n-----END PRIVATE KEY----- , so");
            out.append(&splitter.push(&second, &content));
            if !out.stop {
                out.append(&splitter.finish(&content));
            }
            assert_eq!(out.stop, stops, "{inside}");
            let clean = if stops {
                "it is "
            } else {
                "it is [PRIVATE_KEY] , so"
            };
            assert_eq!(out.text, clean);
            let found = splitter.findings(&content);
            let found: Vec<_> = found.iter().map(|f| (f.class.as_str(), f.count)).collect();
            let class = if stops { "aws_key" } else { "private_key" };
            assert_eq!(found, [(class, 1)]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        /// Wherever a text is cut into parts, and those into pieces, a key in it is gone, and everything else is in its part.
        #[test]
        fn a_key_is_gone_wherever_a_text_is_cut(
            // No letter that ends a British insurance number: the end of the key may look like the beginning of one.
            words in prop::collection::vec("[fghjkl]{1,8}", 0..6),
            ends in prop::collection::vec(0_usize..120, 1..5),
            cuts in prop::collection::vec(0_usize..120, 0..6),
        ) {
            let key = "AKIAQWERTYUIOP234567";
            let words = words.join(" ");
            let text = format!("{words} {key} {words}");
            let start = words.len() + 1;
            let mut ends: Vec<usize> = ends.iter().map(|end| *end % (text.len() + 1)).collect();
            ends.sort_unstable();
            let (mut parts, mut clean) = (Vec::new(), Vec::new());
            let starts: Vec<usize> = [0].into_iter().chain(ends.iter().copied()).collect();
            for (from, to) in starts.into_iter().zip(ends.into_iter().chain([text.len()])) {
                let mut cuts: Vec<usize> = cuts.iter().copied().filter(|cut| (from..to).contains(cut)).collect();
                cuts.sort_unstable();
                let froms: Vec<usize> = [from].into_iter().chain(cuts.iter().copied()).collect();
                let pieces = froms.into_iter().zip(cuts.into_iter().chain([to]));
                parts.push(pieces.map(|(a, b)| &text[a..b]).collect::<Vec<&str>>());
                let before = &text[from..to.clamp(from, start.max(from))];
                let label = if (from..to).contains(&start) { "[AWS_KEY]" } else { "" };
                let behind = &text[(start + key.len()).clamp(from, to)..to];
                clean.push(format!("{before}{label}{behind}"));
            }
            let rules = everything_redacted();
            prop_assert_eq!(relayed(&parts, &inbound(&rules)), clean);
        }
    }
}
