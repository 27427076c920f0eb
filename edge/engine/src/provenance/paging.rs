//! Names of arguments and of fields that say which part of a list is meant, and how much of it.

use super::plan::{has_any, told_of, words_in};

/// Words in the names of arguments that say where a list goes on: what a reader itself had said before.
const GOING_ON: [&str; 3] = ["cursor", "offset", "token"];
/// Words beside `page` in the names of those that say which one comes.
const OF_PAGE: [&str; 7] = ["current", "index", "next", "no", "num", "number", "start"];
/// Those of them that say it whatever else is in the name: `result_page_number`.
const PLACE: [&str; 2] = ["index", "number"];
/// Words in the names of those that say how much comes, whatever else is in them: `page_size`, `results_per_page`.
const HOW_MUCH: [&str; 5] = ["count", "limit", "max", "per", "size"];
/// Words in the names of fields that say how many rows are meant, by themselves.
const LIMITS: [&str; 7] = [
    "first",
    "limit",
    "maxresult",
    "pagesize",
    "perpage",
    "rowlimit",
    "top",
];
/// Those that do beside one of [`OF_ROWS`]. How many there are says nothing (`total_results`).
const MOST: [&str; 4] = ["max", "maximum", "per", "size"];
const OF_ROWS: [&str; 11] = [
    "batch", "count", "entrie", "entry", "hit", "item", "number", "page", "record", "result", "row",
];
/// What else may stand in such a name.
const BESIDE: [&str; 6] = ["default", "list", "n", "of", "query", "search"];

/// Whether an argument of this name says where a list goes on. How many pages come (`num_pages`) does not.
pub(super) fn goes_on(name: &str) -> bool {
    let words = told_of(name);
    let one = has_any(&words_in(name), &["page"]) && is_of_page(&words);
    (has_any(&words, &GOING_ON) || one) && !has_any(&words, &HOW_MUCH)
}

/// Whether an argument of this name says which part of a list is meant, and how much of it: `page`, `pageToken`, `per_page`. It
/// names no page.
pub(super) fn is_paging(name: &str) -> bool {
    let words = told_of(name);
    has_any(&words, &["page"])
        && (is_of_page(&words)
            || has_any(&words, &GOING_ON)
            || has_any(&words, &PLACE)
            || has_any(&words, &HOW_MUCH))
}

/// Whether a text in an argument of this name is a reader's own word for where its list goes on: any other may be a title.
pub(super) fn is_page_token(name: &str) -> bool {
    is_paging(name) && has_any(&told_of(name), &GOING_ON)
}

/// Whether a name says how many rows are meant: `limit`, `pageSize`, `max_results`. A `credit_limit` does not.
pub(super) fn limits_rows(name: &str) -> bool {
    let words = told_of(name);
    let most = has_any(&words, &MOST) && has_any(&words, &OF_ROWS);
    let known = |word: &String| {
        let word = std::slice::from_ref(word);
        let known = [LIMITS.as_slice(), &MOST, &OF_ROWS, &BESIDE];
        known.iter().any(|known| has_any(word, known))
    };
    (has_any(&words, &LIMITS) || most) && words.iter().all(known)
}

/// Whether a name says that what it has comes first: `top_items`.
pub(super) fn names_first(name: &str) -> bool {
    has_any(&told_of(name), &["first", "top"])
}

/// Whether words say which page comes, and nothing else.
fn is_of_page(words: &[String]) -> bool {
    let of_page = |word: &String| word == "page" || OF_PAGE.contains(&word.as_str());
    has_any(words, &["page"]) && words.iter().all(of_page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_which_part_of_a_list_is_meant() {
        for name in [
            "page",
            "page_size",
            "pageToken",
            "page_limit",
            "result_page_number",
            "per_page",
            "perPage",
            "results_per_page",
            "page_no",
            "pageNum",
            "current_page",
            "next_page",
            "max_pages",
            "num_pages",
            "page_count",
        ] {
            assert!(is_paging(name), "{name}");
        }
        for name in [
            "page_id",
            "page_title",
            "pageUrl",
            "wiki_page",
            "next_page_url",
            "webpage",
            "document",
            "limit",
            "token",
            "",
        ] {
            assert!(!is_paging(name), "{name}");
        }
    }
}
