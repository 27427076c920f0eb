//! Texts that come in several parts (`content` of a message, of a result): whoever reads them reads one text, so a value may
//! stand over the end of a part.
//!
//! What stands in more than one of them has to go first: half of a value may look like a whole one (a private key whose end
//! is in the next part), and where that half is gone, nobody knows the rest. It is replaced by its label in the first part
//! and by nothing in the others, whatever form the rules want: no other form could be told apart from its pieces. So is what
//! stands in one part, if only another tells what it is (its name is the end of the part before it). Then each part is
//! looked at by itself. A stream of parts is treated alike, by the filter's `Splitter`.

use crate::filter::{self, Content, Explained, Outcome};
use crate::limits::STREAM_HELD_BYTES_MAX;
use proctor_model::content::{ContentAction, ContentFinding};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ops::Range;

/// How much of a part is looked at with the part before it, and with the one behind it, in bytes: as much as may wait of a
/// stream. The longest key has less.
const REACH: usize = STREAM_HELD_BYTES_MAX;

/// What the rules make of a value of which each text was looked at by itself (`found`), and now each row of parts, too.
pub(crate) fn treat(content: &Content<'_>, value: &Value, found: Outcome<Value>) -> Outcome<Value> {
    let mut walk = Walk::new(content);
    match walk.value(value) {
        None => walk.added_to(found),
        Some(cleared) => walk.after(found, content.treat(&cleared), cleared),
    }
}

/// The same on the members of an object.
pub(crate) fn treat_members(
    content: &Content<'_>,
    members: &Map<String, Value>,
    found: Outcome<Map<String, Value>>,
) -> Outcome<Map<String, Value>> {
    let mut walk = Walk::new(content);
    match walk.members(members) {
        None => walk.added_to(found),
        Some(cleared) => walk.after(found, content.treat_members(&cleared), cleared),
    }
}

/// Looks for what stands over the ends of parts, and takes it out.
struct Walk<'a> {
    content: &'a Content<'a>,
    counts: BTreeMap<(String, ContentAction), u32>,
}

/// Some of a part's text, in a row with that of its neighbours.
struct Piece<'t> {
    /// Which part.
    part: usize,
    /// Where in its text the piece begins.
    from: usize,
    /// Where in the text of the row it begins.
    start: usize,
    text: &'t str,
}

impl Piece<'_> {
    /// Where in the text of the row it ends.
    fn end(&self) -> usize {
        self.start.saturating_add(self.text.len())
    }
}

/// What is to stand in place of a range of a part's text.
type Edits = BTreeMap<usize, Vec<(Range<usize>, String)>>;

impl<'a> Walk<'a> {
    fn new(content: &'a Content<'a>) -> Self {
        Self {
            content,
            counts: BTreeMap::new(),
        }
    }

    /// What is found `now` that some has gone. What stood in the way `before` still does, also where it went with the value
    /// around it.
    fn after<T>(self, before: Outcome<T>, now: Outcome<T>, cleared: T) -> Outcome<T> {
        let mut found = self.added_to(now);
        for finding in before.findings {
            if finding.action < ContentAction::Escalate {
                continue;
            }
            found.strictest = found.strictest.max(finding.action);
            let same = |known: &&mut ContentFinding| {
                known.class == finding.class && known.action == finding.action
            };
            match found.findings.iter_mut().find(same) {
                // Half of a value was one, too, and is counted with the whole of it.
                Some(known) => known.count = known.count.max(finding.count),
                None => found.findings.push(finding),
            }
        }
        found.findings.sort();
        found.altered = found.altered.or(Some(cleared));
        found
    }

    fn added_to<T>(self, mut found: Outcome<T>) -> Outcome<T> {
        for ((class, action), count) in self.counts {
            found.strictest = found.strictest.max(action);
            let same = |known: &&mut ContentFinding| known.class == class && known.action == action;
            match found.findings.iter_mut().find(same) {
                Some(known) => known.count = known.count.saturating_add(count),
                None => found.findings.push(ContentFinding {
                    class,
                    action,
                    count,
                    direction: self.content.place.direction,
                }),
            }
        }
        found.findings.sort();
        found
    }

    fn value(&mut self, value: &Value) -> Option<Value> {
        match value {
            Value::Object(members) => self.members(members).map(Value::Object),
            Value::Array(elements) => self.elements(elements).map(Value::Array),
            _ => None,
        }
    }

    fn members(&mut self, members: &Map<String, Value>) -> Option<Map<String, Value>> {
        let mut changed = None;
        for (name, member) in members {
            if let Some(member) = self.value(member) {
                let new = changed.get_or_insert_with(|| members.clone());
                new.insert(name.clone(), member);
            }
        }
        changed
    }

    fn elements(&mut self, elements: &[Value]) -> Option<Vec<Value>> {
        let mut changed = None;
        for (at, element) in elements.iter().enumerate() {
            if let Some(element) = self.value(element) {
                put(&mut changed, elements, at, element);
            }
        }
        // A long part is in two rows: what has to go of it is in its own text, and goes at once.
        let mut all = Edits::new();
        for row in rows(elements) {
            for (at, edits) in self.row(&row) {
                all.entry(at).or_default().extend(edits);
            }
        }
        for (at, edits) in all {
            let now = changed.as_deref().unwrap_or(elements);
            let Some(mut part) = now.get(at).cloned() else {
                continue;
            };
            let text = edited(text_of(&part).unwrap_or_default(), &edits);
            if let Some(members) = part.as_object_mut() {
                members.insert(TEXT.to_owned(), text.into());
            }
            put(&mut changed, elements, at, part);
        }
        changed
    }

    /// What has to go of a row of pieces.
    fn row(&mut self, row: &[Piece<'_>]) -> Edits {
        let mut edits = Edits::new();
        let mut alone = Alone::new(self.content);
        let joined: String = row.iter().map(|piece| piece.text).collect();
        for hit in self.content.explain(&joined, "") {
            if hit.action <= ContentAction::Count || alone.has(row, &hit) {
                continue;
            }
            let touched = touched(row, &alone.widened(row, &hit.range));
            let (action, goes) = match hit.action {
                ContentAction::Mask | ContentAction::Tokenise => (ContentAction::Redact, true),
                action => (action, action != ContentAction::Escalate),
            };
            let mut label = Some(hit.label).filter(|_| goes);
            for (part, range) in touched {
                let with = label.take().unwrap_or_default();
                if goes {
                    edits.entry(part).or_default().push((range, with));
                }
            }
            let count = self.counts.entry((hit.class, action)).or_default();
            *count = count.saturating_add(1);
        }
        edits
    }
}

/// What is in the pieces of a row as each stands alone. A piece is looked at once, and only if it is asked about.
struct Alone<'a> {
    content: &'a Content<'a>,
    /// By where the piece begins; ranges are those of the row.
    by_piece: BTreeMap<usize, Vec<Explained>>,
}

impl<'a> Alone<'a> {
    fn new(content: &'a Content<'a>) -> Self {
        Self {
            content,
            by_piece: BTreeMap::new(),
        }
    }

    /// Whether a value is in one piece, and all of it is known there without the others.
    fn has(&mut self, row: &[Piece<'_>], value: &Explained) -> bool {
        let [piece] = pieces_of(row, &value.range) else {
            return false;
        };
        let covers = |own: &Explained| {
            own.range.start <= value.range.start
                && own.range.end >= value.range.end
                && own.action >= value.action
        };
        self.touched(piece, &value.range).iter().any(covers)
    }

    /// A range with all that it overlaps of what has to go of a part that stands alone: half of a value may look like
    /// another one. Only the parts at its ends can have such.
    fn widened(&mut self, row: &[Piece<'_>], range: &Range<usize>) -> Range<usize> {
        let pieces = pieces_of(row, range);
        let mut wide = range.clone();
        for piece in [pieces.first(), pieces.last()].into_iter().flatten() {
            let own = self.touched(piece, range).iter();
            for hit in own.filter(|hit| hit.action > ContentAction::Count) {
                wide = wide.start.min(hit.range.start)..wide.end.max(hit.range.end);
            }
        }
        wide
    }

    /// What a range overlaps of what is in a piece. No piece at an end of a range is empty, so each begins elsewhere.
    fn touched(&mut self, piece: &Piece<'_>, range: &Range<usize>) -> &[Explained] {
        let content = self.content;
        let found = self.by_piece.entry(piece.start).or_insert_with(|| {
            let in_row = |at: usize| at.saturating_add(piece.start);
            let mut found = content.explain(piece.text, "");
            for hit in &mut found {
                hit.range = in_row(hit.range.start)..in_row(hit.range.end);
            }
            found
        });
        filter::touched(found, range, |hit| &hit.range)
    }
}

/// The member of a part that has its text.
const TEXT: &str = "text";

/// The text of a part that is nothing but text. A record that has a text among other things is none.
fn text_of(part: &Value) -> Option<&str> {
    let kind = part.get("type")?.as_str()?;
    part.get(TEXT)?.as_str().filter(|_| kind.ends_with(TEXT))
}

/// The rows of pieces that are read as one text each.
fn rows(parts: &[Value]) -> Vec<Vec<Piece<'_>>> {
    let mut rows = Vec::new();
    let mut row: Vec<Piece<'_>> = Vec::new();
    for (part, text) in parts.iter().map(text_of).enumerate() {
        match text {
            None => rows.push(std::mem::take(&mut row)),
            Some(text) if text.len() <= REACH.saturating_mul(2) => append(&mut row, part, 0, text),
            // Nothing goes from its one end to the other.
            Some(text) => {
                let head = text.get(..text.floor_char_boundary(REACH));
                append(&mut row, part, 0, head.unwrap_or_default());
                rows.push(std::mem::take(&mut row));
                let from = text.ceil_char_boundary(text.len().saturating_sub(REACH));
                append(&mut row, part, from, text.get(from..).unwrap_or_default());
            }
        }
    }
    rows.push(row);
    rows.retain(|row| row.len() > 1);
    rows
}

/// Adds a piece at the end of a row.
fn append<'t>(row: &mut Vec<Piece<'t>>, part: usize, from: usize, text: &'t str) {
    let start = row.last().map_or(0, Piece::end);
    row.push(Piece {
        part,
        from,
        start,
        text,
    });
}

/// Which pieces of a row a range is in. Only those are looked at, as a row may have as many ranges as pieces.
fn pieces_of<'r, 't>(row: &'r [Piece<'t>], range: &Range<usize>) -> &'r [Piece<'t>] {
    let first = row.partition_point(|piece| piece.end() <= range.start);
    let last = row.partition_point(|piece| piece.start < range.end);
    row.get(first..last).unwrap_or_default()
}

/// Which parts a range of a row is in, and where in their texts.
fn touched(row: &[Piece<'_>], range: &Range<usize>) -> Vec<(usize, Range<usize>)> {
    let pieces = pieces_of(row, range).iter();
    pieces
        .filter(|piece| !piece.text.is_empty())
        .map(|piece| {
            let (from, to) = (range.start.max(piece.start), range.end.min(piece.end()));
            let within = |at: usize| at.saturating_sub(piece.start).saturating_add(piece.from);
            (piece.part, within(from)..within(to))
        })
        .collect()
}

/// A text with these ranges replaced.
fn edited(text: &str, edits: &[(Range<usize>, String)]) -> String {
    let mut edits: Vec<_> = edits.iter().collect();
    edits.sort_by_key(|(range, _)| range.start);
    let (mut new, mut from) = (String::with_capacity(text.len()), 0);
    for (range, with) in edits {
        new.push_str(text.get(from..range.start).unwrap_or_default());
        new.push_str(with);
        from = from.max(range.end);
    }
    new.push_str(text.get(from..).unwrap_or_default());
    new
}

fn put(changed: &mut Option<Vec<Value>>, elements: &[Value], at: usize, element: Value) {
    let new = changed.get_or_insert_with(|| elements.to_vec());
    if let Some(place) = new.get_mut(at) {
        *place = element;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::{Duration, Instant};

    fn part(text: &str) -> Value {
        json!({"type": "text", "text": text})
    }

    fn seen(parts: &[Value]) -> Vec<String> {
        let rows = rows(parts);
        let texts = rows.iter().map(|row| row.iter().map(|piece| piece.text));
        texts.map(Iterator::collect::<String>).collect()
    }

    #[test]
    fn parts_that_are_read_as_one_are_looked_at_as_one() {
        let image = json!({"type": "image", "source": {}});
        let record = json!({"id": 1, "text": "c"});
        assert_eq!(seen(&[part("a"), part(""), part("b")]), ["ab"]);
        assert_eq!(
            seen(&[part("a"), image, part("b"), part("c")]),
            ["bc".to_owned()]
        );
        assert!(seen(&[record.clone(), record]).is_empty());
        assert!(seen(&[part("alone")]).is_empty());
        let long = format!("{}é{}", "x".repeat(REACH - 1), "y".repeat(2 * REACH));
        let seen = seen(&[part("<"), part(&long), part(">")]);
        let x = "x".repeat(REACH - 1);
        let y = "y".repeat(REACH);
        assert_eq!(seen, [format!("<{x}"), format!("{y}>")]);
    }

    #[test]
    fn a_range_is_found_in_each_of_its_parts() {
        let parts = [part("ab"), part(""), part("cd"), part("ef")];
        let rows = rows(&parts);
        assert!(touched(&rows[0], &(6..6)).is_empty());
        assert_eq!(
            touched(&rows[0], &(1..5)),
            [(0, 1..2), (2, 0..2), (3, 0..1)]
        );
        assert_eq!(touched(&rows[0], &(2..4)), [(2, 0..2)]);
        assert_eq!(touched(&rows[0], &(5..6)), [(3, 1..2)]);
        let edits = [(4..5, String::new()), (0..1, "[X]".to_owned())];
        assert_eq!(edited("abcdef", &edits), "[X]bcdf");
    }

    /// As many ranges as parts take time in proportion. Measured by growth: load only makes a time longer, so the shortest
    /// of some is near the truth.
    #[test]
    fn many_ranges_in_many_parts_take_time_in_proportion() {
        let time = |count: usize| -> Duration {
            let parts = vec![part("ab"); count];
            let rows = rows(&parts);
            let begun = Instant::now();
            for at in 0..count - 1 {
                let over = 2 * at + 1..2 * at + 3;
                assert_eq!(touched(&rows[0], &over).len(), 2);
            }
            begun.elapsed()
        };
        let in_proportion = (0..20).any(|_| {
            let best = |count| (0..3).map(|_| time(count)).min().unwrap_or_default();
            best(8_000) < 8 * best(2_000)
        });
        assert!(in_proportion);
    }
}
