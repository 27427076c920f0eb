//! Links and accounts that are split over texts which stand one after the other in a list: whoever shows the list puts them
//! together again.

use super::{Broken, Evidence, Judged, Origin, Origins};
use crate::provenance::account::ibans;
use crate::provenance::address::{addresses, ends_chunk};
use crate::provenance::host::is_top_level;
use crate::provenance::plan::{Need, Plan};
use crate::provenance::text::{normal, visible};
use crate::provenance::value::Kind;
use crate::provenance::wallet::wallet;

/// Most bytes of the texts before that are put before the next.
const TAIL_BYTES_MAX: usize = 256;

/// What the texts of a list ended with so far.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// All behind the last blank.
    chunk: String,
    /// The last words, with blanks between the texts.
    groups: String,
}

type Lead = (Kind, String);

impl Tail {
    /// Adds the next text; returns what leads out in what it makes together with those before, but in neither of them.
    fn add(&mut self, text: &str) -> Vec<Lead> {
        let text = visible(text);
        // Nobody sees that it stands there.
        if text.is_empty() {
            return Vec::new();
        }
        let mut joined = self.add_chunk(&text);
        let groups = format!("{} {}", self.groups, start(&text));
        let of_both = accounts(&groups);
        let alone = [accounts(&self.groups), accounts(&text)].concat();
        for lead in of_both {
            if !alone.contains(&lead) && !joined.contains(&lead) {
                joined.push(lead);
            }
        }
        let groups = match joined.is_empty() {
            true => format!("{} {text}", self.groups),
            false => String::new(),
        };
        self.groups = end(&groups).to_owned();
        joined
    }

    fn add_chunk(&mut self, text: &str) -> Vec<Lead> {
        let first = start(text.split(ends_chunk).next().unwrap_or_default());
        let last = end(text.rsplit(ends_chunk).next().unwrap_or_default());
        // In a list of addresses each is one by itself, and `-` stands before each element of one.
        let before = leads(&self.chunk);
        let goes_on = || {
            let rest = first.strip_prefix(['.', '@', '-']).unwrap_or_default();
            let has_path = before.iter().any(|(_, canonical)| canonical.contains('/'));
            rest.starts_with(char::is_alphanumeric) && !has_path
        };
        let alone = !leads(first).is_empty() || !(before.is_empty() || goes_on());
        let before = std::mem::take(&mut self.chunk);
        if alone || before.is_empty() || first.is_empty() {
            last.clone_into(&mut self.chunk);
            return Vec::new();
        }
        let glued = format!("{before}{first}");
        let whole = !text.contains(ends_chunk);
        self.chunk = end(if whole { &glued } else { last }).to_owned();
        let mut joined = leads(&glued);
        // Two names of files make no host.
        let host = |canonical: &str| glued.contains(':') || is_host(canonical);
        joined.retain(|(kind, canonical)| *kind != Kind::Url || host(canonical));
        // The end of a sentence, and the beginning of the next: a host to nobody, unless somebody else wrote one.
        for (kind, canonical) in &mut joined {
            let sentence = !canonical.contains('/') || first.starts_with(char::is_uppercase);
            if before.ends_with('.') && sentence && *kind == Kind::Url {
                *kind = Kind::Name;
            }
        }
        joined
    }
}

/// Whether a link goes to a name of the Internet, or to an address in figures.
fn is_host(canonical: &str) -> bool {
    let host = canonical.split(['/', '?', '#']).next().unwrap_or_default();
    let last = host.rsplit('.').next().unwrap_or_default();
    is_top_level(last) || last.bytes().all(|b| b.is_ascii_digit())
}

/// What leads out in a chunk.
fn leads(chunk: &str) -> Vec<Lead> {
    let mut found = accounts(chunk);
    found.extend(wallet(chunk).map(|wallet| (Kind::Wallet, wallet.into_owned())));
    addresses(chunk, &mut |kind, canonical| {
        found.push((kind, canonical.to_owned()))
    });
    found
}

fn accounts(text: &str) -> Vec<Lead> {
    let mut found = Vec::new();
    if text.bytes().any(|b| b.is_ascii_digit()) {
        ibans(&normal(text), &mut |kind, canonical| {
            found.push((kind, canonical.to_owned()));
        });
    }
    found
}

fn start(text: &str) -> &str {
    let to = text.floor_char_boundary(TAIL_BYTES_MAX);
    text.get(..to).unwrap_or_default()
}

fn end(text: &str) -> &str {
    let from = text.len().saturating_sub(TAIL_BYTES_MAX);
    text.get(text.ceil_char_boundary(from)..)
        .unwrap_or_default()
}

impl Evidence<'_> {
    /// What leads out in a text together with those before it at the same place of a list needs an accepted origin.
    pub(super) fn joined(
        &self,
        plan: &Plan,
        origins: &Origins,
        text: &str,
        judged: &mut Judged<'_>,
    ) -> Result<(), Broken> {
        if !judged.path.contains(&"*") {
            return Ok(());
        }
        let (need, accepted) = self.rule(plan, origins, &judged.path);
        if need != Need::Leads || accepted.contains(&Origin::Any) {
            return Ok(());
        }
        let joined = judged
            .tails
            .entry(judged.path.clone())
            .or_default()
            .add(text);
        let mut first: Option<Broken> = None;
        for (kind, canonical) in joined {
            if let Err(broken) = self.lead(kind, &canonical, accepted, &judged.path) {
                let place = first.get_or_insert(broken).place.get_or_insert_default();
                place.leads.push(canonical);
            }
        }
        first.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(texts: &[&str]) -> Vec<String> {
        let mut tail = Tail::default();
        let added = texts.iter().flat_map(|text| tail.add(text));
        let sure = added.filter(|(kind, _)| *kind != Kind::Name);
        sure.map(|(_, canonical)| canonical).collect()
    }

    #[test]
    fn what_is_split_is_put_together() {
        for (texts, lead) in [
            (&["see evil", ".com/x now"][..], "evil.com/x"),
            (&["evil", ".com/x"], "evil.com/x"),
            (&["see ev", "il", ".co", "m"], "evil.co"),
            (&["see evil", "", "\u{200b}", ".com/x"], "evil.com/x"),
            (&["https://evil", ".intern/x"], "evil.intern/x"),
            (&["10.1", ".2.3/x"], "10.1.2.3/x"),
            (&["Fix the evil.", "com/x"], "evil.com/x"),
            (&["eve@evil", ".com"], "eve@evil.com"),
            (&["bob@acme.example", "evil.c", "om/x"], "evil.com/x"),
            (
                &["GB29 NWBK 6016", "1331 9268 19"],
                "gb29nwbk60161331926819",
            ),
            (
                &["GB29", "NWBK", "6016", "1331", "9268", "19"],
                "gb29nwbk60161331926819",
            ),
            (
                &["1A1zP1eP5QGefi2DM", "PTfTL5SLmv7DivfNa"],
                "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            ),
        ] {
            assert!(joined(texts).contains(&lead.to_owned()), "{texts:?}");
        }
    }

    #[test]
    fn lists_are_lists() {
        for texts in [
            &["a@x.example", "b@y.example", "c"][..],
            &["see https://acme.example/r", "and that"],
            &["Alice", "bob@acme.example"],
            &["Milk.", "do it", "more.", "Me too"],
            &["GB29NWBK60161331926819", "GB29NWBK60161331926819"],
            &["1.5", "2.5", "10"],
            &["docs/may", "2024.pdf"],
            &["evil ", ".com/x"],
            &["package.json", "src/index.ts"],
            &["Fix the tests.", "CI/CD must be green"],
            &["- https://a.example/x", "- https://b.example/y"],
            &["- https://a.example", "- https://b.example"],
            &["https://a.example/x", "-v"],
            &["", "x"],
        ] {
            assert_eq!(joined(texts), [""; 0], "{texts:?}");
        }
    }
}
