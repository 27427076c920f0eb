//! Notes values in an index: as a whole where they are believed, all that is recognised in them where they are not.

use super::address::{ascii_addresses, host_of};
use super::currency::currency_of;
use super::decode::decoded_parts;
use super::file::file_names;
use super::fingerprint::Fingerprinter;
use super::index::Index;
use super::plan::push_step;
use super::quantity::{canonical_number, clock_of_stamp};
use super::query::Spelled;
use super::rows::{NamesRead, is_looked_for, limits_at, numbers_alone, said_of_rows};
use super::text::{Cut, normal, visible, with_latin_letters, without_entities};
use super::value::{Kind, recognise_in, whole_of};
use crate::limits::PROVENANCE_TEXT_BYTES_MAX;
use serde_json::Value;

/// Notes a scalar that is believed as a whole, and as nothing less.
pub(super) fn put_whole(index: &mut Index, value: &Value, source: u16, keyed: &Fingerprinter) {
    if let Some(spelled) = Spelled::of(value) {
        put_spelled(index, &spelled, source, keyed);
    }
}

/// The same, where its forms are at hand.
pub(super) fn put_spelled(
    index: &mut Index,
    spelled: &Spelled,
    source: u16,
    keyed: &Fingerprinter,
) {
    let text = &spelled.text;
    index.put(keyed.of(Kind::Exact, text), source);
    for form in spelled.proving() {
        index.put(keyed.of(Kind::Whole, form), source);
    }
    if let Some((kind, canonical)) = whole_of(text, spelled.values()).filter(|_| !spelled.number) {
        index.put(keyed.of(kind, canonical), source);
    }
    if let Some(digits) = spelled.digits() {
        index.put(keyed.of(Kind::Digits, digits), source);
    }
    for clock in spelled.clocks() {
        index.put(keyed.of(Kind::PartOfDate, &clock.whole()), source);
    }
    let dates = spelled
        .values()
        .filter(|(kind, _)| spelled.date && *kind == Kind::Date);
    for (kind, canonical) in dates {
        index.put(keyed.of(kind, canonical), source);
    }
    currency_of(text, &mut |code| {
        index.put(keyed.of(Kind::Currency, code), source);
    });
    if spelled.number {
        index.put(keyed.of(Kind::Number, text), source);
    } else if text.len() <= 15
        && let Some(number) = canonical_number(text)
        && (number == *text || text.contains('.'))
    {
        // A number in quotes; but no bank account, no telephone number and no code with zeros in front.
        index.put(keyed.of(Kind::Number, &number), source);
    }
}

/// What a time stamp by itself is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Stamps {
    /// When something in a record was: nobody is told to be there then.
    Recorded,
    /// A time like any other.
    Told,
}

/// Notes everything below a value that is not believed. Its names are not believed either.
pub(super) fn put_below(
    index: &mut Index,
    value: &Value,
    path: &mut String,
    stamps: Stamps,
    source: u16,
    keyed: &Fingerprinter,
    names: &mut NamesRead,
) {
    if index.is_closed() {
        return;
    }
    let length = path.len();
    match value {
        Value::String(text) => put_suspect(index, text, path, stamps, source, keyed, names),
        Value::Number(_) => {
            if let Some(spelled) = Spelled::of(value) {
                put_spelled(index, &spelled, source, keyed);
                if is_looked_for(Kind::Number, &spelled.text) {
                    let numbers = std::slice::from_ref(&spelled.text);
                    put_limits(index, path, numbers, source, keyed, names);
                }
            }
        }
        Value::Array(elements) => {
            path.push_str("/*");
            for element in elements {
                put_below(index, element, path, stamps, source, keyed, names);
            }
            path.truncate(length);
        }
        Value::Object(members) => {
            for (key, member) in members {
                put_suspect(index, key, "", stamps, source, keyed, names);
                push_step(path, key);
                put_below(index, member, path, stamps, source, keyed, names);
                path.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// Notes everything in a text that is not believed, and in what it says once decoded. At an empty path it has no name.
pub(super) fn put_suspect(
    index: &mut Index,
    text: &str,
    path: &str,
    stamps: Stamps,
    source: u16,
    keyed: &Fingerprinter,
    names: &mut NamesRead,
) {
    if index.is_closed() {
        return;
    }
    let end = text.floor_char_boundary(PROVENANCE_TEXT_BYTES_MAX);
    index.full |= end < text.len();
    let text = visible(text.get(..end).unwrap_or_default());
    put_plain(index, &text, path, stamps, source, keyed, names);
    if let Some(decoded) = without_entities(&text) {
        put_plain(
            index,
            &visible(&decoded),
            path,
            stamps,
            source,
            keyed,
            names,
        );
    }
    if let Some(latin) = with_latin_letters(&text) {
        put_plain(index, &latin, path, stamps, source, keyed, names);
    }
    for once in decoded_parts(&text) {
        for twice in decoded_parts(&once) {
            put_plain(index, &twice, path, stamps, source, keyed, names);
        }
        put_plain(index, &once, path, stamps, source, keyed, names);
    }
}

fn put_plain(
    index: &mut Index,
    text: &str,
    path: &str,
    stamps: Stamps,
    source: u16,
    keyed: &Fingerprinter,
    names: &mut NamesRead,
) {
    let normal = normal(text);
    let cut = Cut::new(&normal);
    index.put_words(cut.iter(), cut.len(), source, keyed);
    let mut may_be_rows = false;
    let mut told = |kind: Kind, canonical: &str| {
        may_be_rows |= is_looked_for(kind, canonical);
        // Whoever dictates an amount may write it as he likes.
        let kind = match kind {
            Kind::Meant => Kind::Number,
            kind => kind,
        };
        put_value(index, kind, canonical, source, keyed);
    };
    recognise_in(text, &normal, &cut, &mut told);
    ascii_addresses(text, &mut told);
    file_names(&normal, &mut told);
    if stamps == Stamps::Told
        && let Some(clock) = clock_of_stamp(&normal)
    {
        told(Kind::PartOfDate, &clock.part());
    }
    if may_be_rows {
        said_of_rows(&cut, &mut |number| {
            index.put_once(keyed.of(Kind::Rows, number), source);
        });
        let numbers = numbers_alone(&normal, &cut);
        put_limits(index, path, &numbers, source, keyed, names);
    }
}

/// Notes numbers that a value is by itself, should a name that leads to it say what they are.
fn put_limits(
    index: &mut Index,
    path: &str,
    numbers: &[String],
    source: u16,
    keyed: &Fingerprinter,
    names: &mut NamesRead,
) {
    limits_at(path, numbers, names, &mut |number| {
        index.put_once(keyed.of(Kind::Rows, number), source);
    });
}

/// Notes a value that was recognised in a text, and of a link its host.
pub(super) fn put_value(
    index: &mut Index,
    kind: Kind,
    canonical: &str,
    source: u16,
    keyed: &Fingerprinter,
) {
    index.put(keyed.of(kind.noted(), canonical), source);
    // Most values are none.
    if kind == Kind::Url
        && let Some(host) = host_of(canonical)
    {
        index.put(keyed.of(Kind::Url, host), source);
    }
}
