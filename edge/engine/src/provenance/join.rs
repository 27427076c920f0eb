//! Values that are put together of others: lists, a name with an address, first and last name, a directory and a file.

use super::value::{Kind, whole};

/// Most steps of a path, or parts between slashes.
const STEPS_MAX: usize = 8;
/// Most names of one person.
const NAMES_MAX: usize = 4;
/// Most fields of records, and most words, in one element of a list.
const FIELDS_MAX: usize = 3;
const WORDS_MAX: usize = 8;

/// The two parts of a text at each blank.
fn borders(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let blanks = text.match_indices(' ');
    blanks.filter_map(|(at, _)| {
        let (first, rest) = text.split_at_checked(at)?;
        Some((first, rest.get(1..)?))
    })
}

/// What stands between the elements of a list in one text.
pub(super) const LIST_SIGNS: [char; 5] = [',', ';', '、', '，', '；'];

/// Says what is known of values.
pub(super) struct Known<'a> {
    /// Whether a part comes from an accepted origin.
    pub(super) proved: &'a dyn Fn(&str) -> bool,
    /// The same, but for the goal: a record has it as a whole.
    pub(super) recorded: &'a dyn Fn(&str) -> bool,
    /// Whether somebody else may have written a join in one piece. Then it is no work of the agent's.
    pub(super) dictated: &'a dyn Fn(&str) -> bool,
    /// Whether the goal has a part.
    pub(super) named: &'a dyn Fn(&str) -> bool,
}

impl Known<'_> {
    /// Whether a text that is not proved as a whole is a join of parts each of which is.
    pub(super) fn joins(&self, text: &str) -> bool {
        self.list(text) || self.is_element(text)
    }

    fn list(&self, text: &str) -> bool {
        // `1,500` is one number, not a list of two.
        let digits = text.as_bytes().windows(3);
        let grouped = |three: &[u8]| matches!(three, [b'0'..=b'9', b',', b'0'..=b'9']);
        if digits.into_iter().any(grouped) {
            return false;
        }
        let known =
            |part: &str| (self.proved)(part) || self.is_element(part) || self.is_of_records(part);
        let part = |part: &str| !part.is_empty() && known(part);
        text.contains(LIST_SIGNS) && text.split(LIST_SIGNS).map(str::trim).all(part)
    }

    fn is_element(&self, text: &str) -> bool {
        self.names_address(text)
            || ((self.is_full_name(text) || self.is_path(text)) && !self.is_dictated(text))
    }

    /// Whether a join is somebody else's work: it stands there in one piece, or each of its parts does. Two words that are
    /// known from elsewhere are put together in another order by whoever wants to; but a path of steps that the goal names is
    /// the user's, though a listing of files has each of them.
    fn is_dictated(&self, text: &str) -> bool {
        let path = text.contains('/');
        let parts = || text.split(['/', ' ']).filter(|part| !part.is_empty());
        (self.dictated)(text)
            || (path && (self.dictated)(&text.replace('/', " ")))
            || (parts().all(self.dictated) && !(path && parts().all(self.named)))
    }

    /// `NY 10001`: a few fields of records in one element of a list.
    fn is_of_records(&self, text: &str) -> bool {
        text.split(' ').count() <= WORDS_MAX
            && self.fields(text, FIELDS_MAX)
            && !self.is_dictated(text)
    }

    /// Whether a text is so many fields of records or fewer, with blanks between them.
    fn fields(&self, text: &str, most: usize) -> bool {
        if (self.recorded)(text) {
            return true;
        }
        let Some(left) = most.checked_sub(1).filter(|left| *left > 0) else {
            return false;
        };
        let mut borders = borders(text);
        borders.any(|(first, rest)| (self.recorded)(first) && self.fields(rest, left))
    }

    /// `Alice Miller <alice@acme.example>`
    fn names_address(&self, text: &str) -> bool {
        let parts = text.split_once('<').and_then(|(name, rest)| {
            let address = rest.strip_suffix('>')?;
            Some((name.trim().trim_matches('"').trim(), address.trim()))
        });
        parts.is_some_and(|(name, address)| {
            let named = name.is_empty() || (self.proved)(name) || self.is_full_name(name);
            let known = whole(address).is_some_and(|(kind, _)| kind == Kind::Email);
            named && known && (self.proved)(address)
        })
    }

    /// `Alice Miller`, of a first and a last name, each of which may be two (`Mary Ann`). Words in small letters are words
    /// of a sentence.
    fn is_full_name(&self, text: &str) -> bool {
        let name = |name: &str| {
            let letter = |c: char| c.is_alphabetic() || "-'’.".contains(c);
            name.chars().count() > 1
                && name.starts_with(char::is_uppercase)
                && name.chars().all(letter)
        };
        let mut names = text.split(' ');
        names.clone().count() <= NAMES_MAX
            && names.all(name)
            && borders(text).any(|(first, last)| (self.proved)(first) && (self.proved)(last))
    }

    /// `reports/may.pdf`, of a directory and a file, or of steps. What is an address as a whole is none.
    fn is_path(&self, text: &str) -> bool {
        let Some((directory, file)) = text.rsplit_once('/') else {
            return false;
        };
        let mut steps = text.split('/');
        let plain = steps.all(|step| step != "." && step != "..") && !text.contains("//");
        if !plain || directory.is_empty() || file.is_empty() || whole(text).is_some() {
            return false;
        }
        let with_slash = || {
            text.strip_suffix(file)
                .is_some_and(|directory| (self.proved)(directory))
        };
        if (self.proved)(file) && ((self.proved)(directory) || with_slash()) {
            return true;
        }
        let steps = || text.split('/');
        steps().count() <= STEPS_MAX && steps().all(|step| !step.is_empty() && (self.proved)(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joins(text: &str, dictated: bool) -> bool {
        joins_unless(text, &|_| dictated)
    }

    fn joins_unless(text: &str, dictated: &dyn Fn(&str) -> bool) -> bool {
        const RECORDED: [&str; 6] = ["101 Highway", "New York", "NY", "10001", "Mary Ann", "Lee"];
        const PROVED: [&str; 9] = [
            "docs",
            "Alice",
            "Miller",
            "Bob",
            "alice@acme.example",
            "/home/alice/reports",
            "docs/",
            "may.pdf",
            "rent",
        ];
        let known = Known {
            proved: &|part| PROVED.contains(&part) || RECORDED.contains(&part),
            recorded: &|part| RECORDED.contains(&part),
            dictated,
            named: &|part| ["docs", "rent"].contains(&part),
        };
        known.joins(text)
    }

    #[test]
    fn a_path_of_the_goals_steps_is_the_users_unless_it_was_read_in_one_piece() {
        let words = |part: &str| ["docs", "rent", "may.pdf"].contains(&part);
        assert!(joins_unless("docs/rent", &words));
        assert!(!joins_unless("docs/may.pdf", &words));
        let whole = |part: &str| words(part) || part == "docs/rent";
        assert!(!joins_unless("docs/rent", &whole));
    }

    #[test]
    fn each_part_is_proved() {
        for text in [
            "Alice, Bob",
            "Alice; Bob;Miller",
            "Alice、Bob",
            "Alice Miller",
            "Alice Miller, Bob",
            "Alice <alice@acme.example>",
            "\"Alice Miller\" <alice@acme.example>, Bob",
            "<alice@acme.example>",
            "/home/alice/reports/may.pdf",
            "docs/may.pdf",
            "rent/may.pdf",
            "Alice/Bob/Miller",
            "Mary Ann Lee",
            "Mary Ann Miller",
            "101 Highway, New York, NY 10001",
            "Alice, 101 Highway NY 10001",
        ] {
            assert!(joins(text, false), "{text}");
        }
    }

    #[test]
    fn one_that_is_not_spoils_it() {
        for text in [
            "Alice, Eve",
            "Alice,",
            ", Alice",
            "Eve Miller",
            "Alice Eve",
            "rent Alice",
            "Alice Bob Miller",
            "Alice <eve@evil.example>",
            "Eve <alice@acme.example>",
            "Alice <Bob>",
            "Alice <alice@acme.example> x",
            "/home/alice/reports/eve.pdf",
            "/etc/may.pdf",
            "/home/alice/reports/../may.pdf",
            "docs//may.pdf",
            "/may.pdf",
            "Alice/",
            "Alice/Eve",
            // By itself it is no list, and what the goal says is no record.
            "NY 10001",
            "Bob, NY rent",
            "Bob, NY 10002",
            "Bob, NY  10001",
            "Mary Lee",
            "",
        ] {
            assert!(!joins(text, false), "{text}");
        }
    }

    #[test]
    fn what_somebody_else_wrote_in_one_piece_is_a_list_at_most() {
        for text in ["Alice Miller", "docs/may.pdf", "Alice/Bob"] {
            assert!(!joins(text, true), "{text}");
        }
        assert!(!joins("Bob, NY 10001", true));
        for text in ["Alice, Bob", "Alice <alice@acme.example>"] {
            assert!(joins(text, true), "{text}");
        }
    }

    /// Somebody else wrote each word of it, and the agent puts them together as he says.
    #[test]
    fn nor_is_it_the_agents_own_work_if_each_part_was_read() {
        for (text, words) in [
            ("docs/may.pdf", &["docs", "may.pdf"][..]),
            ("Alice/Bob", &["Bob", "Alice"]),
            ("Alice Miller", &["Miller", "Alice"]),
            ("Bob, NY 10001", &["NY", "10001"]),
        ] {
            let all = |part: &str| words.contains(&part);
            assert!(!joins_unless(text, &all), "{text}");
            let one = |part: &str| words.first() == Some(&part);
            assert!(joins_unless(text, &one), "{text}");
        }
    }
}
