//! What leads out in a text: links, addresses, accounts and the like need an accepted origin, whatever stands around them.

use super::{Broken, Evidence, Origin, Origins, broken};
use crate::limits::VIEW_LEADS_MAX;
use crate::provenance::address::{addresses, canonical_url};
use crate::provenance::browser::fetched;
use crate::provenance::decode::read_decoded;
use crate::provenance::host::{ends_as_file, is_top_level};
use crate::provenance::phone::is_word_for_phones;
use crate::provenance::plan::{Need, Plan, words_of};
use crate::provenance::query::{Query, Spelled};
use crate::provenance::text::visible;
use crate::provenance::value::{Kind, recognise};
use serde_json::Value;
use std::borrow::Cow;

/// Longest beginning of a value that a telephone number is looked for in by the name of its argument, in bytes.
const PHONE_BYTES_MAX: usize = 64;
/// Fewest digits of one.
const PHONE_DIGITS_MIN: usize = 8;

impl Broken {
    /// Enough of its leads are known to tell that they are too many to be shown.
    fn is_full(&self) -> bool {
        let leads = self.place.as_ref().map(|place| place.leads.len());
        leads.is_some_and(|leads| leads > VIEW_LEADS_MAX)
    }
}

impl Evidence<'_> {
    pub(super) fn leads(
        &self,
        text: &str,
        links_only: bool,
        accepted: &[Origin],
        path: &[&str],
    ) -> Result<(), Broken> {
        let text = visible(text);
        let mut first: Option<Broken> = None;
        let mut judge = |kind: Kind, canonical: &str| {
            let kind = match kind {
                Kind::Name if links_only => name_to_read(&text, canonical, path),
                kind => kind,
            };
            let link = matches!(kind, Kind::Url | Kind::Name);
            let asked = link || (kind.leads_out() && !links_only);
            if !asked || first.as_ref().is_some_and(|first| first.is_full()) {
                return;
            }
            if let Err(broken) = self.lead(kind, canonical, accepted, path) {
                let leads = &mut first
                    .get_or_insert(broken)
                    .place
                    .get_or_insert_default()
                    .leads;
                leads.push(canonical.to_owned());
            }
        };
        recognise(&text, &mut judge);
        if links_only && let Some(link) = fetched(&text, asks_for_link(path)) {
            addresses(&link, &mut judge);
        }
        if links_only && names_host(&text, path) && !self.has_text_origin(&text, accepted, path) {
            judge(Kind::Url, text.trim());
        }
        if links_only {
            // Who fetches an address takes it as it is.
            return first.map_or(Ok(()), Err);
        }
        // Whoever gets it may decode it.
        let read = read_decoded(&text, &has_link_with, &mut |decoded| {
            recognise(decoded, &mut judge);
        });
        match first {
            Some(first) => Err(first),
            None if !read => Err(broken(path, "what it says once decoded", None)),
            None => Ok(()),
        }
    }

    /// A telephone number that only the name of its argument tells: `phone: "612 345 678"`; in a text (`in_text`) any name that
    /// people read so. One that stands just so in the goal or in a trusted record is known, whatever it is there.
    pub(super) fn named_phone(
        &self,
        plan: &Plan,
        origins: &Origins,
        scalar: &Value,
        in_text: bool,
        path: &[&str],
    ) -> Result<(), Broken> {
        let (need, accepted) = self.rule(plan, origins, path);
        let value = match scalar {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            Value::Number(number) => Cow::Owned(number.to_string()),
            _ => return Ok(()),
        };
        let start = value.floor_char_boundary(PHONE_BYTES_MAX);
        let start = value.get(..start).unwrap_or_default();
        let named = || names_phone(path) || (in_text && is_read_as_phone(path));
        if need != Need::Leads || !may_be_phone(start) || !named() {
            return Ok(());
        }
        let mut good = Ok(());
        recognise(&visible(&format!("phone: {start}")), &mut |kind, phone| {
            if kind == Kind::Phone && good.is_ok() {
                good = self.lead(kind, phone, accepted, path);
                if let Err(broken) = &mut good {
                    let place = broken.place.get_or_insert_default();
                    place.leads.push(phone.to_owned());
                }
            }
        });
        let known = || {
            let whole = Spelled::of(scalar);
            whole.is_some_and(|whole| self.has_origin(&whole, false, accepted, path))
        };
        match good {
            Err(_) if known() => Ok(()),
            good => good,
        }
    }

    /// One value that leads out.
    pub(super) fn lead(
        &self,
        kind: Kind,
        canonical: &str,
        accepted: &[Origin],
        path: &[&str],
    ) -> Result<(), Broken> {
        let noted = kind.noted();
        let query = self.session.typed_query(noted, canonical);
        if kind == Kind::Name && !self.may_be_dictated(canonical, &query) {
            return Ok(());
        }
        if self.has_typed_origin(noted, canonical, accepted, path) {
            Ok(())
        } else {
            Err(broken(path, kind.name(), self.session.suspect(&query)))
        }
    }

    /// Whether a value of a known kind comes from an accepted origin.
    pub(super) fn has_typed_origin(
        &self,
        kind: Kind,
        canonical: &str,
        accepted: &[Origin],
        path: &[&str],
    ) -> bool {
        let query = self.session.typed_query(kind, canonical);
        accepted.iter().any(|origin| match origin {
            Origin::Any => true,
            Origin::Goal => {
                self.goal.has_typed(kind, canonical)
                    || self.constants.has_typed(path, kind, canonical)
            }
            Origin::Constant => self.constants.has_typed(path, kind, canonical),
            Origin::Trusted => self.session.proves(&query, false),
            Origin::Memory(least) => self.session.proved_by_memory(&query, false, *least),
            Origin::Tool(tool, field) => {
                self.session
                    .proved_by_tool(&query, false, tool, field.as_deref())
            }
            Origin::File(name) => self.session.proved_by_file(&query, false, name),
            Origin::Unprovable => false,
        })
    }

    /// Whether somebody else may have written a name that may be a host's: as it is, or a long part of it, put together by the agent.
    fn may_be_dictated(&self, name: &str, query: &Query) -> bool {
        let label = name.split('.').next().unwrap_or_default();
        let seen = |label: &str| {
            let label = Spelled::text(label.to_owned());
            self.session.suspect(&self.session.query(&label)).is_some()
        };
        !self.session.knows_all()
            || self.session.suspect(query).is_some()
            || (label.len() >= LABEL_TELLING_MIN && seen(label))
    }
}

/// Fewest letters of a label that is suspect because untrusted content has the word: `user` stands everywhere.
const LABEL_TELLING_MIN: usize = 8;

/// Words in the names of arguments that name a file.
const FILES: [&str; 8] = [
    "doc",
    "document",
    "file",
    "filename",
    "filepath",
    "folder",
    "directory",
    "path",
];

/// Words in the names of arguments that say where to fetch something.
const LINKS: [&str; 6] = ["url", "uri", "link", "href", "webpage", "website"];

/// Words in the names of arguments that hold a telephone number,
const PHONES: [&str; 10] = [
    "phone",
    "telephone",
    "cellphone",
    "tel",
    "telefon",
    "telefono",
    "mobile",
    "handy",
    "fax",
    "whatsapp",
];
/// those beside them that make it a number of another kind,
const NO_PHONES: [&str; 5] = ["id", "code", "version", "build", "model"];
/// and names that are such words only where nothing else stands in them (a `text` is a text), or
const CALLS: [&str; 5] = ["call", "callback", "cell", "dial", "sms"];
/// with one of these (a `cell_range` is of a table).
const NUMBERS: [&str; 2] = ["number", "contact"];
/// Words beside one for telephones by which nobody reads a number as one, whoever wrote the name.
const NEVER_PHONES: [&str; 3] = ["version", "build", "model"];

/// Whether a text has the digits of a telephone number.
fn may_be_phone(text: &str) -> bool {
    let mut digits = text.chars().filter(|c| c.is_numeric());
    digits.nth(PHONE_DIGITS_MIN.saturating_sub(1)).is_some()
}

/// The name by which a value may be known for a telephone number.
fn name_of_phone<'p>(path: &[&'p str]) -> Option<&'p str> {
    let mut names = path.iter().rev().copied();
    names.find(|step| !matches!(*step, "*" | "number" | "value"))
}

/// Whether an argument is for a telephone number, by its name: `phone`, `workPhone2`, `{"mobile": {"number": …}}`.
fn names_phone(path: &[&str]) -> bool {
    let name = name_of_phone(path);
    let has = |words: &[&str]| {
        let mut own = name.into_iter().flat_map(words_of);
        own.any(|word| words.contains(&word.trim_end_matches(|c: char| c.is_ascii_digit())))
    };
    let alone = |call: &&str| name.is_some_and(|name| name.eq_ignore_ascii_case(call));
    let called = CALLS.iter().any(alone) || (has(&["callback", "cell"]) && has(&NUMBERS));
    called || (has(&PHONES) && !has(&NO_PHONES))
}

/// Whether whoever reads a text takes what stands behind a name for a telephone number. The names in it are its writer's:
/// `call_us_at`, `电话号码`. A `text` is one only with somebody to send it to.
fn is_read_as_phone(path: &[&str]) -> bool {
    let name = name_of_phone(path).unwrap_or_default();
    let lower = name.to_lowercase();
    // `WhatsApp` is one word to people.
    let plain = lower.split(|c: char| !c.is_alphanumeric());
    let words: Vec<String> = words_of(name).chain(plain.map(str::to_owned)).collect();
    let has = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    let read = |word: &String| {
        let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
        is_word_for_phones(word) && (word != "text" || has(&["us", "me", "at"]))
    };
    words.iter().any(read) && !has(&NEVER_PHONES)
}

/// Whether a name of two labels that ends like a file (`evil.sh`) stands alone where a link is asked for.
fn names_host(text: &str, path: &[&str]) -> bool {
    let text = text.trim();
    let label = |label: &str| {
        let part = |c: char| c.is_alphanumeric() || c == '-';
        !label.is_empty() && label.chars().all(part)
    };
    let sound = text.split_once('.');
    let sound = sound.is_some_and(|(name, ending)| label(name) && is_top_level(ending));
    sound && ends_as_file(text) && asks_for_link(path)
}

/// Whether an argument asks for a link by its name.
fn asks_for_link(path: &[&str]) -> bool {
    let argument = path.iter().rfind(|step| **step != "*");
    let mut words = argument.into_iter().flat_map(|name| words_of(name));
    words.any(|word| LINKS.contains(&word.as_str()))
}

/// What a name that may be a host's is to a tool that reads: `x.evil.sh` alone is a host to whoever fetches it, unless the
/// argument is for files.
fn name_to_read(text: &str, canonical: &str, path: &[&str]) -> Kind {
    let alone = || canonical_url(text.trim()).is_some_and(|url| url == canonical);
    if !ends_as_file(canonical) || !alone() {
        return Kind::Name;
    }
    let name = path.iter().rfind(|step| **step != "*");
    let mut words = name.into_iter().flat_map(|name| words_of(name));
    match words.any(|word| FILES.contains(&word.as_str())) {
        // What no program takes for a link.
        true => Kind::File,
        false => Kind::Url,
    }
}

/// Whether a chunk is a link with this sign in it, by which something may be encoded: it is judged as it is.
fn has_link_with(chunk: &str, sign: char) -> bool {
    let mut found = false;
    recognise(chunk, &mut |kind, canonical| {
        found |= kind == Kind::Url && canonical.contains(sign);
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_telephones() {
        for path in [
            &["phone"][..],
            &["phones", "*"],
            &["workPhone2"],
            &["contact", "mobile_number"],
            &["phone", "number"],
            &["whatsapp_number"],
            &["sms"],
            &["cell"],
            &["cell_number"],
            &["callback"],
        ] {
            assert!(names_phone(path), "{path:?}");
        }
        for path in [
            &["text"][..],
            &["number"],
            &["phone_number_id"],
            &["mobileVersion"],
            &["call_duration"],
            &["headphones"],
            &["phone", "model"],
            &["callback_url"],
            &["callback_data"],
            &["cell_range"],
            &["cells"],
            &[],
        ] {
            assert!(!names_phone(path), "{path:?}");
        }
    }

    #[test]
    fn names_that_people_read_as_those_of_telephones() {
        for path in [
            &["cell_number"][..],
            &["call_us_at"],
            &["ring2"],
            &["textUsAt"],
            &["WhatsApp"],
            &["sms_number"],
            &["call", "number"],
            &["电话"],
            &["电话号码"],
            &["携帯電話", "value"],
        ] {
            assert!(is_read_as_phone(path), "{path:?}");
        }
        for path in [
            &["text"][..],
            &["text_content"],
            &["order"],
            &["mobileVersion"],
            &["string"],
            &["number"],
            &[],
        ] {
            assert!(!is_read_as_phone(path), "{path:?}");
        }
    }
}
