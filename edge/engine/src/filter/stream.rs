//! Text that comes in pieces: what of it can go on, and what has to wait for more.
//!
//! Waits only what could be the beginning of a match: the last run without a blank or quotation mark, and what stands
//! in the last [`SPAN`] bytes as a number in groups or a date would; a private key from its first line on up to its last one,
//! and where that may be in a comment, until what stands behind it shows whether the key goes on. At most
//! [`STREAM_HELD_BYTES_MAX`] bytes wait; a longer run is cut in the middle, and a key that is longer than that is swallowed
//! to its end. Words near a match count if they came before it. A text may come in several parts.

mod parts;

use super::apply::Content;
use super::context;
use super::options;
use super::pem::{self, Behind, Margin};
use super::provider;
use super::view::{self, View};
use super::{Class, ESCAPES_MAX, Match};
use crate::limits::STREAM_HELD_BYTES_MAX;
use parts::{Parts, Row};
use proctor_model::content::{ContentAction, ContentClass, ContentFinding, ContentGroup};
use std::collections::BTreeMap;

/// Longest match that has blanks inside (an IBAN in groups), with room for escapes and odd spacing, in bytes.
const SPAN: usize = 96;
/// Longest machine-readable zone, with what parts its lines.
const MRZ_SPAN: usize = 160;
/// What a cut through a run that is too long leaves waiting, in bytes.
const CUT_KEEPS: usize = 2048;

/// The state of one stream of text.
#[derive(Debug, Default)]
pub struct Splitter {
    /// The end of what has gone on, for its words.
    passed: String,
    held: String,
    parts: Parts,
    /// How much was held when it was last looked at in vain; 0 if it was not since something went on.
    looked: usize,
    swallowing: Option<Swallow>,
    counts: BTreeMap<(Class, ContentAction), u32>,
    strictest: Option<ContentAction>,
}

/// What ends a match that was longer than what may wait.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Swallow {
    Run,
    /// With the end of what is swallowed, in which its last line may have begun.
    Pem {
        tail: String,
        margin: Margin,
    },
    /// What waits stands behind what may be no last line of a key: more of that may be there.
    Behind(Behind),
}

/// What may go on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Released {
    /// The text, with what had to go replaced.
    pub text: String,
    /// Where in the text parts end of which nothing waits any more: what stands behind the first of them is of the next part.
    pub ends: Vec<usize>,
    /// Whether the stream must end here: something in it is blocked, or waits for a person.
    pub stop: bool,
}

impl Released {
    /// Adds what may go on after it.
    pub(crate) fn append(&mut self, more: &Self) {
        let before = self.text.len();
        let ends = more.ends.iter().map(|end| end.saturating_add(before));
        self.ends.extend(ends);
        self.text.push_str(&more.text);
        self.stop |= more.stop;
    }
}

impl Splitter {
    /// Ends a part of the text: what comes from now on is of another, which is read with it. Nothing goes on for that; what
    /// waits may go on with what comes ([`Released::ends`]).
    pub fn next_part(&mut self) {
        self.parts.begin(self.held.len());
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &str, content: &Content<'_>) -> Released {
        let piece = self.swallow(piece);
        self.held.push_str(piece);
        if !self.is_past_key(Behind::read) {
            return Released::default();
        }
        let fits = self.held.len() <= STREAM_HELD_BYTES_MAX;
        // What waits is looked at anew when it has grown by a sixteenth: at each piece it would be for each byte.
        if fits && self.held.len() < self.looked.saturating_add(self.looked / 16) {
            return Released::default();
        }
        let cut = cut_of(&self.passed, &self.held, content);
        if cut == 0 && fits {
            self.looked = self.held.len();
            return Released::default();
        }
        self.release(cut, content)
    }

    /// The rest, when no more comes.
    pub fn finish(&mut self, content: &Content<'_>) -> Released {
        self.is_past_key(Behind::finish);
        let end = self.held.len();
        self.release(end, content)
    }

    /// What was found so far.
    #[must_use]
    pub fn findings(&self, content: &Content<'_>) -> Vec<ContentFinding> {
        let mut findings: Vec<_> = self
            .counts
            .iter()
            .map(|((class, action), count)| ContentFinding {
                class: content.rules.filter().name(*class).to_owned(),
                direction: content.place.direction,
                action: *action,
                count: *count,
            })
            .collect();
        findings.sort();
        findings
    }

    /// Bytes that wait.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    fn swallow<'p>(&mut self, piece: &'p str) -> &'p str {
        let (end, next) = match &mut self.swallowing {
            None | Some(Swallow::Behind(_)) => return piece,
            Some(Swallow::Run) => (piece.find(is_break), None),
            Some(Swallow::Pem { tail, margin }) => {
                let (end, behind) = end_of_key(tail, margin, piece).unzip();
                (end, behind.flatten().map(Swallow::Behind))
            }
        };
        match end {
            Some(end) => {
                self.swallowing = next;
                piece.get(end..).unwrap_or_default()
            }
            None => "",
        }
    }

    /// Takes out of what waits what is still of the key that was swallowed before it, as far as that can be read. Whether
    /// nothing more is of it.
    fn is_past_key(&mut self, read: impl FnOnce(&mut Behind, &str) -> bool) -> bool {
        let Some(Swallow::Behind(behind)) = &mut self.swallowing else {
            return true;
        };
        let is_past = read(behind, &self.held);
        let of_key = behind.take();
        self.held.drain(..of_key);
        self.parts.skip(of_key);
        let is_past = is_past || self.held.len() > STREAM_HELD_BYTES_MAX;
        if is_past {
            self.swallowing = None;
        }
        is_past
    }

    /// Lets everything before `cut` go, and keeps the rest.
    fn release(&mut self, cut: usize, content: &Content<'_>) -> Released {
        self.looked = 0;
        let before = self.passed.len();
        let whole = format!("{}{}", self.passed, self.held);
        let mut row = self.parts.row(&whole, before);
        let found: Vec<Match> = row
            .found(content)
            .into_iter()
            .filter(|hit| hit.range.end > before)
            .map(|mut hit| {
                hit.range = hit.range.start.max(before)..hit.range.end;
                hit
            })
            .collect();
        let overlong = self.held.len() > STREAM_HELD_BYTES_MAX;
        let mut end = before.saturating_add(cut);
        if overlong {
            let keep = whole.len().saturating_sub(CUT_KEEPS);
            end = end.max(whole.floor_char_boundary(keep));
        }
        for hit in &found {
            if hit.range.start < end && hit.range.end > end {
                let longest = hit.range.len() > STREAM_HELD_BYTES_MAX.saturating_sub(CUT_KEEPS);
                if overlong && longest {
                    end = hit.range.end;
                    self.swallowing = swallow_of(hit, &whole);
                } else {
                    end = hit.range.start;
                }
            }
        }
        let gone: Vec<Match> = found
            .into_iter()
            .filter(|hit| hit.range.end <= end)
            .collect();
        let (text, ends, stop) = self.settle(&row, end, &gone, content);
        // As far as words count, and as a command reaches from its name to its options.
        let kept = options::COMMAND_BYTES_MAX.max(context::BEFORE.saturating_mul(2));
        let from = kept_from(&whole, end.saturating_sub(kept), end);
        let rest = whole.get(end..).unwrap_or_default();
        self.passed = whole.get(from..end).unwrap_or_default().to_owned();
        self.held = self.swallow(rest).to_owned();
        let swallowed = rest.len().saturating_sub(self.held.len());
        self.parts.shift(&row, from, end, swallowed);
        Released { text, ends, stop }
    }

    /// Counts what has gone, and says what goes on and where parts end in it; whether it is the last.
    fn settle(
        &mut self,
        row: &Row<'_>,
        end: usize,
        gone: &[Match],
        content: &Content<'_>,
    ) -> (String, Vec<usize>, bool) {
        let mut stop_at = None;
        for hit in gone {
            let action = row.action(hit, content);
            if action == ContentAction::Allow {
                continue;
            }
            let count = self.counts.entry((hit.class, action)).or_default();
            *count = count.saturating_add(1);
            self.strictest = self.strictest.max(Some(action));
            if action >= ContentAction::Escalate && stop_at.is_none() {
                stop_at = Some(hit.range.start);
            }
        }
        let end = stop_at.unwrap_or(end);
        let (text, ends) = row.edited(end, gone, content);
        (text, ends, stop_at.is_some())
    }
}

/// From where on a text is kept that has gone on up to `end`, about `from` on. What stands before the first line of a key is
/// kept with it, or neither is: it tells where the key ends.
fn kept_from(whole: &str, from: usize, end: usize) -> usize {
    let mut from = whole.ceil_char_boundary(from);
    let gone = whole.get(..end).unwrap_or_default();
    while from > 0 {
        let to = gone.floor_char_boundary(from.saturating_add(pem::TAIL_BYTES));
        let near = gone.get(from..to).unwrap_or_default();
        let firsts = provider::ARMOURS.map(|(first, _)| near.find(first));
        let first = firsts.into_iter().flatten().max();
        let Some(at) = first.max(near.find(pem::BEGIN)) else {
            break;
        };
        from = from.saturating_add(at).saturating_add(1);
    }
    from
}

/// What of a match may still come, where it goes on up to the end of what waits.
fn swallow_of(hit: &Match, whole: &str) -> Option<Swallow> {
    match hit.class {
        Class::Known(ContentClass::PrivateKey) => {
            let key = whole.get(hit.range.clone()).unwrap_or_default();
            let margin = Margin::of("", whole, hit.range.start);
            let Some(mut behind) = pem::end(key, &margin) else {
                let tail = tail_of(key).to_owned();
                return Some(Swallow::Pem { tail, margin });
            };
            behind.finish(key);
            behind.take();
            behind.if_open().map(Swallow::Behind)
        }
        Class::Known(class) if class.group() == ContentGroup::Credentials => Some(Swallow::Run),
        _ => None,
    }
}

/// Where in a piece the last line ends of a key that is being swallowed, the tail of which is this, and what is read behind
/// that if the key may go on. That line may come in pieces.
fn end_of_key(tail: &mut String, margin: &Margin, piece: &str) -> Option<(usize, Option<Behind>)> {
    let before = tail.len();
    tail.push_str(piece);
    let behind = pem::end(tail, margin);
    let gone = tail.len().saturating_sub(tail_of(tail).len());
    tail.drain(..gone);
    let mut behind = behind?;
    let end = behind.take().saturating_sub(before);
    Some((end, behind.if_open()))
}

/// The end of a text, in which the last line of a key may have begun.
fn tail_of(text: &str) -> &str {
    let from = text.len().saturating_sub(pem::TAIL_BYTES);
    text.get(text.ceil_char_boundary(from)..)
        .unwrap_or_default()
}

/// What no match has inside, but for numbers in groups, dates and keys in PEM form.
fn is_break(c: char) -> bool {
    (c.is_whitespace() || c == '"' || ('\u{2e80}'..='\u{d7ff}').contains(&c)) && c != '\u{3164}'
}

/// Whether the last line of a key that begins at `start` stands in what waits whole.
fn is_closed(passed: &str, held: &str, start: usize, last: &str) -> bool {
    let key = held.get(start..).unwrap_or_default();
    provider::last_line(key, last, &Margin::of(passed, held, start))
        .and_then(|at| key.get(at..))
        .is_some_and(|line| line.contains('\n'))
}

/// How much of the held text can go, before which that text has passed.
fn cut_of(passed: &str, held: &str, content: &Content<'_>) -> usize {
    let run = held.rfind(is_break).map_or(0, |at| {
        let width = held
            .get(at..)
            .and_then(|rest| rest.chars().next())
            .map_or(1, char::len_utf8);
        at.saturating_add(width)
    });
    // With the word before it: `AB 12 34 56 C`, `March 12, 1985`.
    let word = |end: usize| {
        held.get(..end)
            .and_then(|text| text.trim_end_matches(is_break).rfind(is_break))
    };
    let mut cut = word(run).map_or(0, |at| held.ceil_char_boundary(at.saturating_add(1)));
    if let Some(armour) = open_key(passed, held, 0) {
        cut = cut.min(armour);
    }
    for (first, last) in provider::ARMOURS {
        if let Some(armour) = held.find(first)
            && !is_closed(passed, held, armour, last)
        {
            cut = cut.min(armour);
        }
    }
    let window = held.floor_char_boundary(run.saturating_sub(SPAN));
    let recent = held.get(window..).unwrap_or_default();
    if let Some(digit) = recent.find(|c: char| c.is_numeric()) {
        let start = held
            .get(..window.saturating_add(digit))
            .and_then(|text| text.rfind(is_break))
            .unwrap_or(0);
        cut = cut.min(word(start).unwrap_or(0));
    }
    let lines = held.floor_char_boundary(run.saturating_sub(MRZ_SPAN));
    if let Some(filler) = held.get(lines..).and_then(|recent| recent.find("<<")) {
        let start = held
            .get(..lines.saturating_add(filler))
            .and_then(|text| text.rfind(is_break))
            .unwrap_or(0);
        cut = cut.min(start);
    }
    let reach = content.rules.filter().custom.reach();
    if reach > 0 {
        let start = held.floor_char_boundary(held.len().saturating_sub(reach));
        cut = cut.min(start);
    }
    held.floor_char_boundary(cut)
}

/// Where a private key begins whose end has not come yet, as the text stands or as a reader would decode it.
fn open_key(passed: &str, held: &str, depth: u8) -> Option<usize> {
    let mut first = pem::open(passed, held);
    let mut note = |view: &View, inside: Option<usize>| {
        let at = inside.map(|at| view.original(at, at.saturating_add(1)).0);
        first = match (first, at) {
            (Some(first), Some(at)) => Some(first.min(at)),
            (first, at) => first.or(at),
        };
    };
    for view in [view::percent_decoded(held), view::entities(held)]
        .iter()
        .flatten()
    {
        note(view, pem::open(passed, &view.text));
    }
    if depth < ESCAPES_MAX {
        let deeper = depth.saturating_add(1);
        for view in [view::visible(held), view::unescaped(held)]
            .iter()
            .flatten()
        {
            note(view, open_key(passed, &view.text, deeper));
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::{everything_redacted, inbound};

    #[test]
    fn what_waits_is_not_looked_at_for_each_piece() {
        let rules = everything_redacted();
        let content = inbound(&rules);
        let mut splitter = Splitter::default();
        let begun = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n",
            "MIIEpAIBAAKCAQ".repeat(8)
        );
        assert_eq!(splitter.push(&begun, &content), Released::default());
        let (mut looks, mut looked) = (0, splitter.looked);
        assert_eq!(looked, begun.len());
        for _ in 0..8000 {
            assert_eq!(splitter.push("A", &content), Released::default());
            if splitter.looked != looked {
                (looks, looked) = (looks + 1, splitter.looked);
            }
        }
        assert!((10..100).contains(&looks), "{looks}");
        assert!(!splitter.finish(&content).text.is_empty());
        assert_eq!((splitter.held_bytes(), splitter.looked), (0, 0));
    }

    const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
    const END: &str = "-----END PRIVATE KEY-----";
    const LINES: [&str; 2] = [
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",
        "OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r",
    ];

    /// What goes on of a text that comes in these pieces.
    fn in_pieces<'p>(pieces: impl IntoIterator<Item = &'p str>, content: &Content<'_>) -> String {
        let (mut splitter, mut out) = (Splitter::default(), String::new());
        for piece in pieces {
            out.push_str(&splitter.push(piece, content).text);
            assert!(splitter.held_bytes() <= STREAM_HELD_BYTES_MAX);
        }
        out.push_str(&splitter.finish(content).text);
        assert_eq!(splitter.held_bytes(), 0);
        out
    }

    /// Last lines, and first ones, that a key may have amid it.
    const DECOYS: [&str; 9] = [
        "# -----END PRIVATE KEY-----\n",
        "# -----END PRIVATE KEY-----\n# -----END RSA PRIVATE KEY-----\n",
        "-----END x-----\n",
        "# -----END CERTIFICATE-----\n",
        "-----BEGIN x-----\n-----END x-----\n",
        "# -----BEGIN x-----\n",
        "# -----BEGIN x\n",
        "# -----END PRIVATE KEY-----\n# -----BEGIN x\n",
        "# -----END PRIVATE KEY-----\n# -----BEGIN x-----\n",
    ];

    #[test]
    fn a_key_ends_where_its_own_last_line_is_its_end() {
        let rules = everything_redacted();
        let content = inbound(&rules);
        let [one, two] = LINES;
        for decoy in DECOYS {
            let begun = format!("so {BEGIN}\n{one}\n{decoy}");
            let ended = format!("{begun}{two}\n{END}\nand more");
            let cut = format!("{begun}{two}\n{one}");
            for (text, clean) in [
                (&ended, "so [PRIVATE_KEY]\nand more"),
                (&cut, "so [PRIVATE_KEY]"),
            ] {
                for at in 0..=text.len() {
                    let (a, b) = text.split_at(at);
                    assert_eq!(in_pieces([a, b], &content), clean, "{text} at {at}");
                }
                assert_eq!(
                    in_pieces(text.split_inclusive(|_| true), &content),
                    clean,
                    "{text}"
                );
            }
            // Longer than what is remembered of what has gone on.
            let body = format!("{two}\n{one}\n").repeat(12);
            let long = format!("{begun}{body}{END}\nand more");
            let clean = "so [PRIVATE_KEY]\nand more";
            assert_eq!(
                in_pieces(long.split_inclusive('\n'), &content),
                clean,
                "{decoy}"
            );
            assert_eq!(
                in_pieces(long.split_inclusive(|_| true), &content),
                clean,
                "{decoy}"
            );
        }
    }

    #[test]
    fn a_key_that_is_swallowed_ends_with_its_own_last_line() {
        let rules = everything_redacted();
        let content = inbound(&rules);
        let [one, two] = LINES;
        let lines = format!("{one}\n{two}\n").repeat(STREAM_HELD_BYTES_MAX / 128);
        for decoy in DECOYS {
            let text = format!("so {BEGIN}\n{lines}{decoy}{lines}{END}\nand more");
            for size in [1, 3, 7, 1000] {
                let pieces = text.as_bytes().chunks(size);
                let pieces = pieces.map(|piece| std::str::from_utf8(piece).unwrap());
                let out = in_pieces(pieces, &content);
                assert_eq!(out, "so [PRIVATE_KEY]\nand more", "{decoy} {size}");
            }
        }
        // What ends at its last line takes nothing of what follows.
        let key = format!("so {BEGIN}\n{lines}{END}");
        let clean = "so [PRIVATE_KEY] and more";
        assert_eq!(in_pieces([&*key, " and", " more"], &content), clean);
        for at in key.len() - END.len()..=key.len() {
            let text = format!("{key} and more");
            let (a, b) = text.split_at(at);
            assert_eq!(in_pieces([a, b], &content), clean, "{at}");
        }
    }

    /// What ends what is swallowed may have come, with rows behind it, before it is known to be too long to wait.
    #[test]
    fn a_key_longer_than_what_may_wait_goes_on_behind_a_last_line_that_came() {
        let rules = everything_redacted();
        let content = inbound(&rules);
        let [one, two] = LINES;
        let words = "and words of an answer that has nothing to hide ".repeat(20);
        for lines in 118..=126 {
            let lines = format!("{one}\n{two}\n").repeat(lines);
            let text = format!("so {BEGIN}\n{lines}# {END}\n{two}\n{two}\n{words}");
            let pieces = text.as_bytes().chunks(50);
            let pieces = pieces.map(|piece| std::str::from_utf8(piece).unwrap());
            let clean = format!("so [PRIVATE_KEY]\n{words}");
            assert_eq!(in_pieces(pieces, &content), clean, "{}", lines.len());
        }
    }

    #[test]
    fn a_key_in_a_log_ends_with_its_own_last_line() {
        let rules = everything_redacted();
        let content = inbound(&rules);
        let [one, two] = LINES;
        let text = format!(
            "so\napp {BEGIN}\napp {one}\napp # {END}\napp {two}\napp {one}\napp {END}\napp and more"
        );
        let clean = "so\napp [PRIVATE_KEY]\napp and more";
        for at in 0..=text.len() {
            let (a, b) = text.split_at(at);
            assert_eq!(in_pieces([a, b], &content), clean, "{at}");
        }
        assert_eq!(in_pieces(text.split_inclusive(|_| true), &content), clean);
    }

    /// Also where what stands before its first line would just be forgotten.
    #[test]
    fn what_follows_a_key_in_a_log_stays() {
        let rules = everything_redacted();
        let content = inbound(&rules);
        let [one, two] = LINES;
        let at = "[pod/a-7/b] ";
        let rows = format!("{at}{two}\n").repeat(8);
        for width in 0..40 {
            let short = &two[..width];
            let key = format!("{BEGIN}\n{at}{one}\n{at}{short}\n{at}{END}");
            let text = format!("so\n{at}{key}\n{rows}{at}and more");
            let out = in_pieces(text.split_inclusive(|_| true), &content);
            assert_eq!(out.matches("[PRIVATE_KEY]").count(), 1, "{out}");
        }
    }

    /// The first line that has it may be amid others that have none.
    #[test]
    fn a_key_behind_an_empty_one_is_gone() {
        let rules = everything_redacted();
        let content = inbound(&rules);
        let [one, two] = LINES;
        let text = format!("so {BEGIN} # {BEGIN}\n# {END}\n{one}\n{two}\n{END}\nand more");
        let clean = format!("so {BEGIN} # [PRIVATE_KEY]\nand more");
        for at in 0..=text.len() {
            let (a, b) = text.split_at(at);
            assert_eq!(in_pieces([a, b], &content), clean, "{at}");
        }
        assert_eq!(in_pieces(text.split_inclusive(|_| true), &content), clean);
    }

    #[test]
    fn what_follows_a_key_flows() {
        let rules = everything_redacted();
        let content = inbound(&rules);
        let [one, two] = LINES;
        let words = "words of an answer that has nothing to hide ".repeat(20);
        let mut splitter = Splitter::default();
        let text = format!("so {BEGIN}\n{one}\n{END}\nsee {two}, {words}");
        let out = splitter.push(&text, &content).text;
        assert!(out.starts_with("so [PRIVATE_KEY]\nsee "), "{out}");
        assert!(splitter.held_bytes() < 32, "{}", splitter.held_bytes());
    }

    #[test]
    fn what_is_said_of_keys_flows() {
        let rules = everything_redacted();
        let content = inbound(&rules);
        let words = "words of an answer that has nothing to hide ".repeat(1000);
        for text in [
            format!("A key begins with {BEGIN} and so on, {words}"),
            format!("It is what stands between {BEGIN} and {END}, {words}"),
            format!("See {BEGIN}\n<key>\n{END}\n-----BEGIN CERTIFICATE-----\n<it>\n{words}"),
            format!("All begin with -----BEGIN and end with -----END and {words}"),
        ] {
            assert_eq!(in_pieces(text.split_inclusive(' '), &content), text);
        }
    }
}
