//! Between the two forms of an event: ledger form is edge form with `prev` and `seq` in their places. Both are canonical
//! JSON (RFC 8785): one object, keys in order, no space. So one is made from the other by the members' texts, without
//! parsing what they hold.

use super::EntryHash;
use std::fmt::Write;

/// Reads the members of an event in ledger form: gives `take` each key and the text of its value, and puts the edge form
/// (without `prev` and `seq`) into `edge_form`. `None` if it is no such object, or `take` says so.
pub fn members<'e>(
    entry: &'e [u8],
    edge_form: &mut Vec<u8>,
    mut take: impl FnMut(&'e str, &'e str) -> Option<()>,
) -> Option<()> {
    edge_form.clear();
    edge_form.push(b'{');
    for member in Members::of(entry)? {
        let Member { key, value, text } = member?;
        take(key, value)?;
        if key != "prev" && key != "seq" {
            if edge_form.len() > 1 {
                edge_form.push(b',');
            }
            edge_form.extend_from_slice(text.as_bytes());
        }
    }
    edge_form.push(b'}');
    Some(())
}

/// Ledger form from edge form; `None` if it is no such object.
pub(super) fn ledger_form(edge_form: &[u8], seq: u64, prev: &EntryHash) -> Option<Vec<u8>> {
    let room = edge_form.len().saturating_add(128);
    let mut form = String::with_capacity(room);
    let mut own = ["prev", "seq"].into_iter().peekable();
    for member in Members::of(edge_form)? {
        let member = member?;
        while let Some(key) = own.next_if(|key| *key < member.key) {
            // Writing to a string can't fail.
            let _ = match key {
                "prev" => write!(form, r#","prev":"{prev}""#),
                _ => write!(form, r#","seq":{seq}"#),
            };
        }
        form.push(if form.is_empty() { '{' } else { ',' });
        form.push_str(member.text);
    }
    form.push('}');
    // Every event has an edge, which comes before them, and a tenant, which comes behind.
    own.peek().is_none().then(|| form.into_bytes())
}

/// `"key":value` of an object.
struct Member<'e> {
    key: &'e str,
    value: &'e str,
    /// Both.
    text: &'e str,
}

/// The members of a canonical object. An item of `None`: it is none.
struct Members<'e> {
    rest: &'e str,
    before: &'e str,
    ended: bool,
}

impl<'e> Members<'e> {
    fn of(object: &'e [u8]) -> Option<Self> {
        Some(Self {
            rest: std::str::from_utf8(object).ok()?.strip_prefix('{')?,
            before: "",
            ended: false,
        })
    }

    fn member(&mut self) -> Option<Member<'e>> {
        let (key, rest) = self.rest.strip_prefix('"')?.split_once('"')?;
        let rest = rest.strip_prefix(':')?;
        let end = value_end(rest.as_bytes())?;
        // In order, and so each once.
        if key <= self.before || key.contains('\\') || end == 0 {
            return None;
        }
        let (value, after) = (rest.get(..end)?, rest.get(end..)?);
        let text = self.rest.get(..self.rest.len().checked_sub(after.len())?)?;
        match after.strip_prefix(',') {
            Some(next) => self.rest = next,
            None if after == "}" => self.ended = true,
            None => return None,
        }
        self.before = key;
        Some(Member { key, value, text })
    }
}

impl<'e> Iterator for Members<'e> {
    type Item = Option<Member<'e>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let member = self.member();
        self.ended |= member.is_none();
        Some(member)
    }
}

/// Where the value at the front ends.
fn value_end(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0_usize, 0_u32);
    loop {
        match *bytes.get(at)? {
            b'"' => at = string_end(bytes, at.checked_add(1)?)?,
            b'{' | b'[' => {
                depth = depth.checked_add(1)?;
                at = at.checked_add(1)?;
            }
            b'}' | b']' | b',' if depth == 0 => return Some(at),
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at = at.checked_add(1)?;
            }
            b' ' | b'\t' | b'\n' | b'\r' => return None,
            _ => at = at.checked_add(1)?,
        }
    }
}

/// Where the string ends whose content begins here.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            b'"' => return at.checked_add(1),
            b'\\' => at = at.checked_add(2)?,
            _ => at = at.checked_add(1)?,
        }
    }
}
