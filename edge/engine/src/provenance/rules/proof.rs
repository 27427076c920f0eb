//! Whether a value has an accepted origin.

use super::{Broken, Evidence, Origin, broken};
use crate::provenance::calendar::{part_named, spelled_part};
use crate::provenance::join::Known;
use crate::provenance::plan::Need;
use crate::provenance::quantity::canonical_number;
use crate::provenance::query::Spelled;
use crate::provenance::value::Kind;
use serde_json::Value;

impl Evidence<'_> {
    /// A yes or a no stands in no text: the action has it for this argument, or nothing proves it.
    pub(super) fn flag(
        &self,
        flag: bool,
        accepted: &[Origin],
        path: &[&str],
    ) -> Result<(), Broken> {
        match accepted.contains(&Origin::Goal) && self.constants.has_flag(path, flag) {
            true => Ok(()),
            false => Err(broken(path, "its value", None)),
        }
    }

    pub(super) fn proved(
        &self,
        scalar: &Value,
        need: Need,
        accepted: &[Origin],
        path: &[&str],
    ) -> Result<(), Broken> {
        let Some(spelled) = Spelled::of(scalar) else {
            return Err(broken(path, "its value", None));
        };
        let good = match (scalar, need) {
            (Value::String(text), Need::Proved) => {
                self.says_known(text, &spelled, accepted, path)
                    || self.is_known_time(&spelled, accepted, path)
                    || self.joins(text, accepted, path)
                    || self.is_part_of_date(&spelled, accepted, path)
            }
            // A part of a password is another one; a part of a command is worse.
            (Value::String(text), Need::Credential)
                if accepted.contains(&Origin::Goal) && self.goal.has_exactly(text) =>
            {
                true
            }
            _ => {
                self.has_origin(&spelled, need != Need::Proved, accepted, path)
                    || (need == Need::Proved && self.is_part_of_date(&spelled, accepted, path))
            }
        };
        match good {
            true => Ok(()),
            false => Err(self.unproved(&spelled, path)),
        }
    }

    /// Whether a figure is the part of one of the goal's dates or times that its argument is by its name.
    pub(super) fn is_part_of_date(
        &self,
        scalar: &Spelled,
        accepted: &[Origin],
        path: &[&str],
    ) -> bool {
        let name = path.iter().rfind(|step| **step != "*");
        let Some(part) = name.and_then(|name| part_named(name)) else {
            return false;
        };
        let part = || canonical_number(scalar.as_written()).map(|it| spelled_part(part, &it));
        accepted.contains(&Origin::Goal)
            && part().is_some_and(|part| self.goal.has_typed(Kind::PartOfDate, &part))
    }

    /// Put together of parts: good if each of them is.
    fn joins(&self, text: &str, accepted: &[Origin], path: &[&str]) -> bool {
        let others = accepted.iter().filter(|origin| **origin != Origin::Goal);
        let records: Vec<Origin> = others.cloned().collect();
        let known = Known {
            proved: &|part| self.has_text_origin(part, accepted, path),
            recorded: &|part| self.has_text_origin(part, &records, path),
            dictated: &|part| {
                let part = Spelled::text(part.to_owned());
                let seen = self.session.suspect(&self.session.query(&part));
                seen.is_some() || !self.session.knows_all()
            },
            named: &|part| {
                accepted.contains(&Origin::Goal)
                    && self.goal.has(&Spelled::text(part.to_owned()), false)
            },
        };
        known.joins(text)
    }

    pub(super) fn has_text_origin(&self, text: &str, accepted: &[Origin], path: &[&str]) -> bool {
        self.says_known(text, &Spelled::text(text.to_owned()), accepted, path)
    }

    /// Whether a text comes from an accepted origin, with all that it says: a date with its time of day and its year. The sign
    /// in front of an id (`#W2378156`) may be missing in the goal.
    fn says_known(
        &self,
        text: &str,
        spelled: &Spelled,
        accepted: &[Origin],
        path: &[&str],
    ) -> bool {
        if self.has_origin(spelled, false, accepted, path) {
            return self.has_time(text, spelled, accepted, path)
                && !self.is_dictated_year(spelled, accepted, path);
        }
        let bare = without_sign(text).filter(|_| accepted.contains(&Origin::Goal));
        bare.is_some_and(|bare| self.goal.has(&Spelled::text(bare.to_owned()), false))
    }

    pub(super) fn has_origin(
        &self,
        scalar: &Spelled,
        exact: bool,
        accepted: &[Origin],
        path: &[&str],
    ) -> bool {
        let declared = || self.goal.has(scalar, exact) || self.constants.has(path, scalar, exact);
        if accepted.contains(&Origin::Goal) && declared() {
            return true;
        }
        let query = self.session.query(scalar);
        accepted.iter().any(|origin| match origin {
            Origin::Any => true,
            Origin::Constant => self.constants.has(path, scalar, exact),
            Origin::Trusted => self.session.proves(&query, exact),
            Origin::Memory(least) => self.session.proved_by_memory(&query, exact, *least),
            Origin::Tool(tool, field) => {
                self.session
                    .proved_by_tool(&query, exact, tool, field.as_deref())
            }
            Origin::File(name) => self.session.proved_by_file(&query, exact, name),
            Origin::Goal | Origin::Unprovable => false,
        })
    }

    fn unproved(&self, scalar: &Spelled, path: &[&str]) -> Broken {
        broken(path, "its value", self.seen(scalar))
    }
}

/// Fewest letters and digits of an id.
const ID_MIN: usize = 4;

/// An id without the sign in front of it.
fn without_sign(text: &str) -> Option<&str> {
    let bare = text.strip_prefix(['#', '@'])?;
    let word = bare
        .chars()
        .all(|c| c.is_alphanumeric() || "-_".contains(c));
    let letters = bare.chars().filter(|c| c.is_alphanumeric()).count();
    let id = word && letters >= ID_MIN && bare.contains(|c: char| c.is_ascii_digit());
    id.then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_before_an_id_is_none_of_it() {
        for (text, bare) in [
            ("#W2378156", Some("W2378156")),
            ("@alice99", Some("alice99")),
            ("#general", None),
            ("#12", None),
            ("#W23 78156", None),
            ("W2378156", None),
        ] {
            assert_eq!(without_sign(text), bare, "{text}");
        }
    }
}
