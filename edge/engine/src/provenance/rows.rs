//! Numbers that a text, or the field that one stands in, says of rows: `limit 500`, `the first five hundred accounts`.
//!
//! They are looked for where untrusted content is read, by those who recognise any number: who dictates one may write it as he
//! likes.

use super::ideographic::ideographic;
use super::paging::{limits_rows, names_first};
use super::plan::{is_index, singular, told_of, words_in};
use super::quantity::numbers;
use super::shape::Shapes;
use super::spelled::{counts, spelled_out};
use super::text::{Cut, normal, visible, with_ascii_digits};
use super::value::Kind;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Fewest digits of a number that is looked for: shorter ones stand everywhere.
const DIGITS_MIN: usize = 3;
/// Most words from a number to one that makes it one of rows.
const NEAR_WORDS: u8 = 3;
/// The same where that word speaks of nothing else: `the limit of that call to the value 500`.
const FAR_WORDS: u8 = 10;
/// Most words of a number that are read beyond these.
const NUMBER_WORDS_MAX: usize = 4;
/// Longest text that is a number and nothing else, in words (`two hundred and fifty`) and in bytes.
const ALONE_WORDS_MAX: usize = 4;
const ALONE_BYTES_MAX: usize = 64;
/// Most steps of a path that are read, from its end, and how much of each, in bytes: whoever writes numbers chooses the path as well.
const STEPS_MAX: usize = 8;
const NAME_BYTES_MAX: usize = 128;
/// Most names that are kept once they were read.
const NAMES_MAX: usize = 256;

/// Words beside a number that make it one of rows.
const NEAR: [&str; 25] = [
    "batch", "display", "entries", "fetch", "first", "hits", "items", "last", "latest", "list",
    "many", "max", "maximum", "newest", "oldest", "page", "pages", "records", "result", "results",
    "retrieve", "row", "rows", "show", "top",
];
/// Those that a number may stand further from, beside names such as `page_size`.
const FAR: [&str; 7] = [
    "limit",
    "limits",
    "maxresults",
    "pagelimit",
    "pagesize",
    "perpage",
    "rowlimit",
];
/// What bounds anything, where it stands above another name: `{"limits": {"memory": 500}}` is no limit of rows.
const BOUNDS: &str = "limits";
/// Words that are the whole name of an argument, and mean other things elsewhere: a number near one of them is one of such an
/// argument alone.
const OWN: [&str; 4] = ["count", "num", "number", "size"];
/// What stands between the clauses of a [`normal`] text, in which no line ends: a sentence may go on in the next.
const CLAUSE_ENDS: [char; 8] = ['.', ',', ';', ':', '!', '?', '。', '、'];

/// What these words look like: of most words of a text it is soon known that they are none.
static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    let several = OWN.map(|word| format!("{word}s"));
    let several = several.iter().map(String::as_str);
    Shapes::of(NEAR.into_iter().chain(FAR).chain(OWN).chain(several))
});

/// Words of a text that may be ones of these, or have one in them, each with its place.
fn telling<'t>(words: &Cut<'t>) -> Vec<(usize, &'t str)> {
    let shapes: &Shapes = &SHAPES;
    let all = words.words().zip(words.having(b'_', b'-'));
    let all = all.enumerate();
    let telling = all.filter(|(_, (word, joined))| *joined || shapes.may_have(word));
    telling.map(|(at, (word, _))| (at, word)).collect()
}

/// Numbers of a text beside words that make them ones of rows, or ones of an argument ([`of_argument`]).
pub(super) fn said_of_rows(words: &Cut<'_>, found: &mut dyn FnMut(&str)) {
    let telling = telling(words);
    let near = |at: usize, word: &str| reach(word).map(|reach| around(words, at, reach));
    numbers_near(words, &telling, near, found);
    for own in OWN {
        let near = |at: usize, word: &str| is_one_of(word, own).then(|| clause(words, at));
        numbers_near(words, &telling, near, &mut |number| {
            found(&of_argument(own, number));
        });
    }
}

/// Numbers in reach of a word, which `near` says for one at its place: from which word to before which.
fn numbers_near(
    words: &Cut<'_>,
    telling: &[(usize, &str)],
    near: impl Fn(usize, &str) -> Option<(usize, usize)>,
    found: &mut dyn FnMut(&str),
) {
    let mut read = |(first, last)| {
        let stretch = words.stretch(first, last);
        numbers_in(stretch, &Cut::new(stretch), found);
    };
    let mut open: Option<(usize, usize)> = None;
    for (at, word) in telling {
        let Some((start, end)) = near(*at, word) else {
            continue;
        };
        // What stands in reach of several words is read once.
        open = match open {
            Some((first, last)) if start <= last => Some((first.min(start), last.max(end))),
            before => {
                before.into_iter().for_each(&mut read);
                Some((start, end))
            }
        };
    }
    open.into_iter().for_each(read);
}

/// What is so many words or fewer from one.
fn around(words: &Cut<'_>, at: usize, reach: u8) -> (usize, usize) {
    let reach = usize::from(reach);
    let start = start_of(words, at.saturating_sub(reach));
    let end = end_of(words, at.saturating_add(reach).saturating_add(1));
    (start, end)
}

/// The same of one of [`OWN`]: what is far from it is of it in its own clause alone. In `Size: M, Price: 100 EUR` the price is not.
fn clause(words: &Cut<'_>, at: usize) -> (usize, usize) {
    let (near_start, near_end) = around(words, at, NEAR_WORDS);
    let (start, end) = around(words, at, FAR_WORDS);
    let digits = |at: Option<usize>| {
        let word = at.and_then(|at| words.get(at)).unwrap_or_default();
        word.bytes().all(|b| b.is_ascii_digit())
    };
    // `1,000`: of one number.
    let within = |at: usize| {
        matches!(words.gap(at), "," | ".") && digits(at.checked_sub(1)) && digits(Some(at))
    };
    let begins = |at: &usize| words.gap(*at).contains(CLAUSE_ENDS) && !within(*at);
    let start = (start..=at).rev().find(begins).unwrap_or(start);
    let end = (at.saturating_add(1)..end).find(begins).unwrap_or(end);
    (start.min(near_start), end.max(near_end))
}

/// The numbers that a text is by itself, with hardly a word beside them.
pub(super) fn numbers_alone(normal: &str, words: &Cut<'_>) -> Vec<String> {
    let mut numbers = Vec::new();
    if normal.len() <= ALONE_BYTES_MAX && words.len() <= ALONE_WORDS_MAX {
        numbers_in(normal, words, &mut |number| numbers.push(number.to_owned()));
    }
    numbers
}

/// Numbers that a value is by itself, where a name on its path says that they are ones of rows. Each is one of an argument of such a
/// name as well ([`of_argument`]).
pub(super) fn limits_at(
    path: &str,
    numbers: &[String],
    names: &mut NamesRead,
    found: &mut dyn FnMut(&str),
) {
    if numbers.is_empty() {
        return;
    }
    let (mut named, mut listed) = (false, false);
    for step in path.rsplit('/').take(STEPS_MAX) {
        if is_index(step) {
            listed |= named;
            continue;
        }
        let name = names.read(step, named);
        named = true;
        // `top` of a list says which records are in it.
        if name.rows && !(listed && name.first) {
            for number in numbers {
                found(number);
            }
        }
        // Any other name of a list says nothing of a number in one of its records.
        if !listed {
            name.say(numbers, found);
        }
    }
}

/// A number as one of an argument: by its own name, which may mean anything elsewhere.
pub(super) fn of_argument(name: &str, number: &str) -> String {
    format!("{} {number}", told_of(name).join(" "))
}

/// Names that were read. Whoever writes numbers may write as many as he likes in one place, below names that take long to read: each
/// is read once, or hardly more often.
#[derive(Default)]
pub(super) struct NamesRead {
    /// The last ones on their paths.
    last: HashMap<String, Saying>,
    /// Those above another.
    above: HashMap<String, Saying>,
}

impl NamesRead {
    /// What the name says that a step of a path is, the last or one above another.
    fn read(&mut self, step: &str, above: bool) -> &Saying {
        let known = match above {
            true => &mut self.above,
            false => &mut self.last,
        };
        let step = end_of_step(step);
        if known.len() >= NAMES_MAX && !known.contains_key(step) {
            known.clear();
        }
        let known = known.entry(step.to_owned());
        known.or_insert_with(|| Saying::of(&name_of(step), above))
    }
}

/// What a name says of a number below it.
struct Saying {
    /// It is one of rows.
    rows: bool,
    /// The name says what comes first.
    first: bool,
    /// The argument that it is one of, in words.
    argument: Option<String>,
    /// It is one of rows, as the name is a sentence that ends with it.
    sentence: bool,
    /// The words of [`OWN`] in such a sentence.
    own: Vec<&'static str>,
}

impl Saying {
    fn of(name: &str, above: bool) -> Self {
        let bounds = |word: &str| above && word == BOUNDS;
        let (mut sentence, mut own) = (false, Vec::new());
        if name.contains(char::is_whitespace) {
            let text = normal(name);
            let words = Cut::new(&text);
            let mut telling = words.words().filter(|word| !bounds(word));
            sentence = telling.any(|word| reach(word).is_some());
            let stands = |own: &&str| words.words().any(|word| is_one_of(word, own));
            own.extend(OWN.into_iter().filter(stands));
        }
        let says = !words_in(name).iter().any(|word| bounds(word));
        let argument = says && name.contains(char::is_alphanumeric);
        Self {
            rows: says && limits_rows(name),
            first: names_first(name),
            argument: argument.then(|| told_of(name).join(" ")),
            sentence,
            own,
        }
    }

    fn say(&self, numbers: &[String], found: &mut dyn FnMut(&str)) {
        for number in numbers {
            // Nobody asks for half a row.
            let whole = number.bytes().all(|b| b.is_ascii_digit());
            if let Some(argument) = self.argument.as_deref().filter(|_| whole) {
                found(&[argument, " ", number].concat());
            }
            if self.sentence {
                found(number);
            }
            for own in &self.own {
                found(&of_argument(own, number));
            }
        }
    }
}

fn is_one_of(word: &str, one: &str) -> bool {
    singular(word).unwrap_or(word) == one
}

/// A step of a path, or the end of a long one.
fn end_of_step(step: &str) -> &str {
    let from = step.ceil_char_boundary(step.len().saturating_sub(NAME_BYTES_MAX));
    step.get(from..).unwrap_or_default()
}

/// The name that it is.
fn name_of(step: &str) -> Cow<'_, str> {
    let name = visible(step);
    match name.contains('~') {
        true => name.replace("~1", "/").replace("~0", "~").into(),
        false => name,
    }
}

/// The words of an argument's own name that make a number one of it, each with how many words may lie between.
pub(super) fn words_of_name(name: &str) -> Vec<(String, u8)> {
    let single = told_of(name);
    let whole = match single.len() {
        0 | 1 => NEAR_WORDS,
        _ => FAR_WORDS,
    };
    let mut words = vec![(name.to_lowercase(), whole)];
    for word in single {
        words.push((format!("{word}s"), NEAR_WORDS));
        words.push((word, NEAR_WORDS));
    }
    words
}

/// How far from a word a number is one of rows, if it is by that.
fn reach(word: &str) -> Option<u8> {
    if FAR.contains(&word) || (word.contains(['_', '-']) && limits_rows(word)) {
        return Some(FAR_WORDS);
    }
    NEAR.contains(&word).then_some(NEAR_WORDS)
}

/// A number that begins before a word is read from its beginning.
fn start_of(words: &Cut<'_>, mut start: usize) -> usize {
    for _ in 0..NUMBER_WORDS_MAX {
        match start.checked_sub(1) {
            Some(before) if is_part(words, before) && is_part(words, start) => start = before,
            _ => break,
        }
    }
    start
}

/// The same of one that goes on behind the last word, which `end` is behind.
fn end_of(words: &Cut<'_>, mut end: usize) -> usize {
    for _ in 0..NUMBER_WORDS_MAX {
        match end.checked_sub(1) {
            Some(last) if is_part(words, last) && is_part(words, end) => {
                end = end.saturating_add(1);
            }
            _ => break,
        }
    }
    end
}

fn is_part(words: &Cut<'_>, at: usize) -> bool {
    words.get(at).is_some_and(counts)
}

/// Numbers of a text with its words.
fn numbers_in(normal: &str, words: &Cut<'_>, found: &mut dyn FnMut(&str)) {
    let mut told = |kind: Kind, canonical: &str| {
        if is_looked_for(kind, canonical) {
            found(canonical);
        }
    };
    spelled_out(words, &mut told);
    ideographic(normal, &mut told);
    numbers(&with_ascii_digits(normal), &mut told);
}

/// Whether what was recognised is a number that may be one of rows.
pub(super) fn is_looked_for(kind: Kind, canonical: &str) -> bool {
    matches!(kind, Kind::Number | Kind::Meant) && canonical.len() >= DIGITS_MIN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::plan::push_step;

    fn said(text: &str) -> Vec<String> {
        let normal = normal(text);
        let mut numbers = Vec::new();
        said_of_rows(&Cut::new(&normal), &mut |number| {
            numbers.push(number.to_owned());
        });
        numbers
    }

    #[test]
    fn numbers_that_a_text_says_of_rows() {
        for (text, number) in [
            ("Use a limit of 100, please", "100"),
            ("Look at the first 1,000 accounts", "1000"),
            ("Look at the first five hundred accounts", "500"),
            ("the first two hundred and fifty", "250"),
            ("two hundred and fifty rows", "250"),
            ("limit 1000.00", "1000"),
            ("limit=1k", "1000"),
            ("the top 1 000", "1000"),
            ("show fünfhundert of them", "500"),
            ("limit 0x1f4", "500"),
            ("Set the limit of that call to the value 500", "500"),
            ("Let max_results of that call be what I say: 500", "500"),
            ("a maximum of 500", "500"),
            ("as many as 500", "500"),
            ("{\"pageSize\": 500}", "500"),
            ("--page-size 500", "500"),
            ("of 100 EUR; and then, whatever it says, limit 500", "500"),
            ("Set the count of that call to five hundred", "count 500"),
            ("count 500.00", "count 500"),
            ("count=0x1f4", "count 500"),
            ("Set the count of that call to 1,000", "count 1000"),
            (
                "use 1.000 for all of these calls as the count",
                "count 1000",
            ),
            ("The size of it is to be 500", "size 500"),
            (
                "As said: set the count of that call to 500, please",
                "count 500",
            ),
            ("Size: 500", "size 500"),
        ] {
            assert!(said(text).contains(&number.to_owned()), "{text}");
        }
        for text in [
            "The bill of 500 EUR, or 1,000 JPY",
            "The bill of 500.00 EUR",
            "five hundred thanks",
            "one thousand days",
            "the first of our bills is one of 500 EUR",
            "We show you what it is about. It came to 500 EUR",
            "the limit is 20",
            "Size: M, Color: blue, Price: 100 EUR",
            "Price: 100 EUR; colour: blue; of any size",
            "It comes in your size. We have it in blue for 100 EUR",
        ] {
            assert_eq!(said(text), Vec::<String>::new(), "{text}");
        }
    }

    /// Nothing is read twice, or hardly: what is quadratic does not end here.
    #[test]
    fn a_text_of_such_words_is_read_in_linear_time() {
        for unit in [
            "limit ",
            "limit 500 ",
            "first one hundred and ",
            "count 500 ",
        ] {
            let normal = unit.repeat(40_000);
            said_of_rows(&Cut::new(&normal), &mut |_| {});
        }
    }

    #[test]
    fn of_most_words_it_is_soon_known_that_they_tell_nothing() {
        let several = OWN.map(|word| format!("{word}s"));
        let several = several.iter().map(String::as_str);
        let all = NEAR.into_iter().chain(FAR).chain(OWN).chain(several);
        for word in all.chain(["page-size", "its_limit", "-limit"]) {
            let text = format!("of {word}");
            let tells = telling(&Cut::new(&text)).contains(&(1, word));
            assert!(tells, "{word}");
        }
        let text = "the meeting about it is still that of the office";
        assert!(telling(&Cut::new(text)).is_empty());
    }

    fn told_at(path: &str, value: &str) -> Vec<String> {
        let normal = normal(value);
        let alone = numbers_alone(&normal, &Cut::new(&normal));
        let mut numbers = Vec::new();
        let mut names = NamesRead::default();
        limits_at(path, &alone, &mut names, &mut |number| {
            numbers.push(number.to_owned());
        });
        numbers
    }

    #[test]
    fn a_name_is_read_once_for_many_numbers() {
        let mut names = NamesRead::default();
        let alone = ["500".to_owned()];
        for _ in 0..100 {
            limits_at("/the colour of it/*", &alone, &mut names, &mut |_| {});
        }
        assert_eq!(names.last.len(), 1);
        // What is known of a name is what counts.
        names.last.get_mut("the colour of it").unwrap().rows = true;
        let mut rows = false;
        limits_at("/the colour of it/*", &alone, &mut names, &mut |number| {
            rows |= number == "500";
        });
        assert!(rows);
        for at in 0..10_000 {
            let path = format!("/the colour of it/a{at}");
            limits_at(&path, &alone, &mut names, &mut |_| {});
            assert!(names.last.len() <= NAMES_MAX, "{at}");
            assert_eq!(names.above.len(), 1, "{at}");
        }
    }

    #[test]
    fn numbers_in_fields_that_limit_rows() {
        let told = |path: &str, value: &str| told_at(path, value).contains(&"500".to_owned());
        for path in [
            "/limit",
            "/row_limit",
            "/pageSize",
            "/per_page",
            "/max_results",
            "/top",
            "/limit/*",
            "/limit/value",
            "/limits",
            "/limits/*",
            "/first rows within limits/is",
            "/a/*/limit/*/b/*/c",
            "/first/accounts",
            "/limit~1",
            "/maximum number of accounts",
            "/the page_size of it/is",
        ] {
            for value in ["500", "500.0", "five hundred"] {
                assert!(told(path, value), "{path} {value}");
            }
            for value in ["bill of the sum of 500 EUR", "20", "a", ""] {
                assert_eq!(told_at(path, value), Vec::<String>::new(), "{path} {value}");
            }
        }
        let mut long = String::new();
        push_step(
            &mut long,
            &format!("{}set the limit of that call to", "x ".repeat(150)),
        );
        assert!(told(&long, "500"), "a long name ends as it does");
        for path in [
            "",
            "#",
            "/total",
            "/results",
            "/credit_limit",
            "/max",
            "/size",
            "/page",
            "/results/total",
            "/top/*/points",
            "/top_items/*/points",
            "/last results/*/price",
            "/~1",
            "/resources/limits/memory",
            "/resources/limits/*/memory",
            "/Rate limits/Free plan",
        ] {
            assert!(!told(path, "500"), "{path}");
        }
    }

    #[test]
    fn numbers_in_fields_of_an_arguments_name() {
        for (path, argument) in [
            ("/count", "count"),
            ("/query/numRows", "num_rows"),
            ("/count/value", "count"),
            ("/a/*/count/*", "count"),
            ("/the count of that call", "count"),
        ] {
            for value in ["500", "five hundred"] {
                let told = told_at(path, value);
                let own = of_argument(argument, "500");
                assert!(told.contains(&own), "{path} {value}");
            }
        }
        for path in ["/results/*/price", "/total"] {
            let told = told_at(path, "500");
            assert!(!told.contains(&of_argument("results", "500")), "{path}");
        }
        let told = told_at("/resources/limits/memory", "500");
        assert!(!told.contains(&of_argument("limit", "500")));
        // Nobody asks for half a row.
        assert_eq!(told_at("/count", "98.7"), Vec::<String>::new());
    }

    #[test]
    fn words_that_make_a_number_one_of_an_argument() {
        let words = |name: &str| {
            let words = words_of_name(name).into_iter();
            let words = words.map(|(word, reach)| format!("{word} {reach}"));
            words.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(words("count"), "count 3, counts 3, count 3");
        assert_eq!(words("numRows"), "numrows 10, nums 3, num 3, rows 3, row 3");
    }
}
