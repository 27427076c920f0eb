//! Tables in text: lines with the same separators (CSV, TSV, Markdown, what database clients print). Their lines are rows.

use super::documents::Place;
use serde_json::Value;
use std::ops::Range;

/// Fewest lines of a table, its heading included: two lines that look alike are no table.
const LINES_MIN: usize = 3;
/// Most lines that a row goes on over, behind its first: a quotation mark that nothing closes hides no more of a table.
const MORE_LINES_MAX: usize = 15;

/// Shows the rows of each table in a text to `edit`, as a list of so many empty lists, which says whether it cut that; gives the
/// text without the rows that are cut off then.
pub(super) fn each_table(
    text: &str,
    edit: &mut dyn FnMut(&mut Value, Place) -> bool,
) -> Option<String> {
    memchr::memchr_iter(b'\n', text.as_bytes()).nth(LINES_MIN.saturating_sub(2))?;
    let mut dropped = Vec::new();
    for table in tables(text) {
        let mut rows = Value::Array(vec![Value::Array(Vec::new()); table.len()]);
        if edit(&mut rows, Place::Table) {
            let kept = rows.as_array().map_or(0, Vec::len);
            dropped.extend(table.into_iter().skip(kept));
        }
    }
    (!dropped.is_empty()).then(|| without(text, &dropped))
}

/// The text without these parts of it, which come in order.
fn without(text: &str, parts: &[Range<usize>]) -> String {
    let mut left = String::with_capacity(text.len());
    let mut at = 0;
    for part in parts {
        left.push_str(text.get(at..part.start).unwrap_or_default());
        at = part.end;
    }
    left.push_str(text.get(at..).unwrap_or_default());
    left
}

/// A line with its place in the text and what it looks like.
struct Line<'t> {
    place: Range<usize>,
    text: &'t str,
    columns: Option<Columns>,
}

/// The rows of each table in a text, without headings, each with its end of line.
fn tables(text: &str) -> Vec<Vec<Range<usize>>> {
    let mut tables = Vec::new();
    let mut block: Vec<Line<'_>> = Vec::new();
    let mut at = 0_usize;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let line = line_of(rest);
        let end = at.saturating_add(line.len());
        let columns = Columns::of(line);
        if block.last().is_some_and(|last| last.columns != columns) {
            tables.extend(rows(&block));
            block.clear();
        }
        if columns.is_some() {
            block.push(Line {
                place: at..end,
                text: line,
                columns,
            });
        }
        at = end;
    }
    tables.extend(rows(&block));
    tables
}

/// The line that a text begins with, and those that a quoted field of it goes on over.
fn line_of(text: &str) -> &str {
    let mut lines = text.split_inclusive('\n');
    let first = lines.next().unwrap_or_default();
    let (mut open, mut end) = (leaves_open(first, false), first.len());
    for line in lines.take(MORE_LINES_MAX) {
        if !open {
            break;
        }
        open = leaves_open(line, true);
        end = end.saturating_add(line.len());
    }
    match open {
        true => first,
        false => text.get(..end).unwrap_or(first),
    }
}

/// Whether a quoted field is open at the end of a line; `open`: whether one is at its beginning. Only a quotation mark that
/// begins a field opens one: others are inches, and may hide no rows.
fn leaves_open(line: &str, mut open: bool) -> bool {
    let mut begins = true;
    for byte in line.bytes() {
        match byte {
            b'"' if open => (open, begins) = (false, true),
            b'"' => (open, begins) = (begins, false),
            _ => begins = matches!(byte, b',' | b';' | b'\t' | b'|'),
        }
    }
    open
}

/// The rows of a block of lines that look alike, if that is a table.
fn rows(block: &[Line<'_>]) -> Option<Vec<Range<usize>>> {
    if block.len() < LINES_MIN {
        return None;
    }
    let has_digit = |line: &Line<'_>| line.text.bytes().any(|b| b.is_ascii_digit());
    let ruler = block.iter().position(|line| is_ruler(line.text));
    let heading = match (ruler, block) {
        (Some(ruler), _) => ruler,
        // Names of columns have no digits, most rows do.
        (None, [first, rest @ ..]) if !has_digit(first) && rest.iter().any(has_digit) => 1,
        (None, _) => 0,
    };
    let rows = block.iter().skip(heading);
    let rows = rows.filter(|line| !is_ruler(line.text));
    Some(rows.map(|line| line.place.clone()).collect())
}

/// `|---|:-:|`, `----+----`
fn is_ruler(line: &str) -> bool {
    let line = line.trim();
    line.contains("--") && line.bytes().all(|b| b"|-+: \t".contains(&b))
}

/// How often a line has its separator.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Columns {
    separator: u8,
    count: usize,
}

impl Columns {
    /// Of separators outside of quotation marks. Prose has a blank behind a comma, and source code ends its lines with a
    /// semicolon: at the end of a line it counts only beside others, as the last field of a row may be empty.
    fn of(line: &str) -> Option<Self> {
        let line = line.trim_start().trim_end_matches([' ', '\r', '\n']);
        let ruler = is_ruler(line);
        let [mut tabs, mut bars, mut semicolons, mut commas] = [0_usize; 4];
        let mut quoted = false;
        let mut last = None;
        let mut bytes = line.bytes().peekable();
        while let Some(byte) = bytes.next() {
            let count = match byte {
                b'"' => {
                    quoted = !quoted;
                    continue;
                }
                _ if quoted => continue,
                b'\t' => &mut tabs,
                b'|' | b'+' if byte == b'|' || ruler => &mut bars,
                b';' | b',' if bytes.peek().is_none() => {
                    last = Some(byte);
                    continue;
                }
                b';' | b',' if bytes.peek().is_some_and(u8::is_ascii_whitespace) => continue,
                b';' => &mut semicolons,
                b',' => &mut commas,
                _ => continue,
            };
            *count = count.saturating_add(1);
        }
        let counts = [
            (b'\t', tabs),
            (b'|', bars),
            (b';', semicolons),
            (b',', commas),
        ];
        let (separator, count) = counts.into_iter().find(|(_, count)| *count > 0)?;
        let count = count.saturating_add(usize::from(last == Some(separator)));
        Some(Self { separator, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many rows each table has.
    fn counted(text: &str) -> Vec<usize> {
        tables(text).iter().map(Vec::len).collect()
    }

    #[test]
    fn tables_are_found() {
        for (text, rows) in [
            ("id,name\n1,a\n2,b\n3,c\n", &[3][..]),
            ("a,b\nc,d\ne,f", &[3]),
            ("id\tname\r\n1\ta\r\n2\tb\r\n", &[2]),
            ("1;\"a;b\"\n2;c\n3;\"d\"", &[3]),
            (
                "Here:\n\n| id | name |\n|---|:--|\n| 1 | a |\n| 2 | b |\n\nThat is all.",
                &[2],
            ),
            (" id | name\n----+------\n  1 | a\n  2 | b\n", &[2]),
            ("1,alice,\n2,bob,x\n3,carol,", &[3]),
            ("id;n;x\n1;a;\n2;b;y\n3;c;\n", &[3]),
            ("id\tn\tx\n1\ta\t\n2\t\t\r\n3\tc\tz", &[3]),
            (
                "id,n,x\n1,\"a\nb\",c\n2,\"d \"\"e\"\"\n\nf\",g\n3,h,i",
                &[3],
            ),
            ("6\" pipe,x\n1,a\n2,b\n3,c\n", &[3]),
            ("1,a\n2,\"b\n3,c\n4,d\n5,e\n", &[5]),
            ("id,name\n1,a\n2,b\nand\n3,x,y\n4,x,y\n5,x,y", &[2, 3]),
        ] {
            assert_eq!(counted(text), rows, "{text}");
        }
    }

    #[test]
    fn other_lines_are_none() {
        for text in [
            "Dear Bob,\nthe rent, the bill,\nand the tax, all are paid.\nKind regards, Alice\n",
            "let a = 1;\nlet b = 2;\nlet c = 3;\nlet d = 4;\n",
            "int a;\nfloat b;\nlet c;\n",
            "one,\ntwo,\nthree,\n",
            "\tindented\n\tby\n\ttabs\n",
            "id,name\n1,a\n",
            "three lines\nof\ntext",
            "",
        ] {
            assert_eq!(counted(text), [0_usize; 0], "{text}");
        }
    }

    #[test]
    fn rows_are_cut_off_and_headings_stay() {
        let cut = |text: &str| {
            each_table(text, &mut |rows, _| {
                let rows = rows.as_array_mut().unwrap();
                let longer = rows.len() > 1;
                rows.truncate(1);
                longer
            })
        };
        assert_eq!(
            cut("All:\nid,name\n1,a\n2,b\n3,c\nDone.").as_deref(),
            Some("All:\nid,name\n1,a\nDone.")
        );
        assert_eq!(
            cut("| n |\n|---|\n| 1 |\n| 2 |\n").as_deref(),
            Some("| n |\n|---|\n| 1 |\n")
        );
        assert_eq!(cut("one\ntwo\nthree"), None);
    }
}
