//! The content filter, all classes on: clean and dense text, one core.
//!
//! `cargo bench -p proctor-engine --bench filter`. The bars: clean 4 kB under 40 µs; 300 MB/s clean, 50 MB/s dense; 1 MiB
//! of nothing but e-mail addresses under 100 ms.

#![allow(clippy::unwrap_used, reason = "this is a benchmark")]

use divan::Bencher;
use divan::counter::BytesCount;
use proctor_engine::filter::{Filter, Rules};
use proctor_model::content::ContentRules;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// Prose with the punctuation, numbers and names of ordinary documents, and nothing to find.
const CLEAN: &str = "The committee met in the afternoon to discuss the proposal, which had been circulated a week before. Members \
    asked whether the 3 options could be compared side by side; the chair agreed (after some debate) and set a new date. Nothing \
    else was decided. In the meantime the team goes on with the work: \"as planned\", she said, 'and within the budget of 40 \
    thousand'. See section 4.2 of the report for details about costs, staff and risks. ";

/// Something to find in every forty bytes.
const DENSE: &str = "Contact bob.smith@example.org or call +1 415-555-2671, card 4111 1111 1111 1111, IBAN GB29NWBK60161331926819, \
    SSN 536-90-4399 from 203.0.113.77, key AKIAQWERTYUIOP234567; born 12/03/1985, VAT DE136695976, password: \"hunter2222\", mail \
    anna@example.net at 00:1B:44:11:3A:B7. ";

fn text_of(unit: &str, bytes: usize) -> String {
    unit.repeat(bytes.div_ceil(unit.len()))
        .chars()
        .take(bytes)
        .collect()
}

fn find(bencher: Bencher<'_, '_>, text: &str) {
    let filter = Filter::default();
    bencher
        .counter(BytesCount::of_str(text))
        .bench_local(|| filter.find(text, ""));
}

#[divan::bench]
fn clean_4_kb(bencher: Bencher<'_, '_>) {
    find(bencher, &text_of(CLEAN, 4096));
}

#[divan::bench]
fn clean_1_mib(bencher: Bencher<'_, '_>) {
    find(bencher, &text_of(CLEAN, 1 << 20));
}

#[divan::bench]
fn dense_4_kb(bencher: Bencher<'_, '_>) {
    find(bencher, &text_of(DENSE, 4096));
}

#[divan::bench]
fn dense_1_mib(bencher: Bencher<'_, '_>) {
    find(bencher, &text_of(DENSE, 1 << 20));
}

#[divan::bench]
fn addresses_1_mib(bencher: Bencher<'_, '_>) {
    find(bencher, &text_of("someone.else@mail.example.org ", 1 << 20));
}

/// JSON as tools answer with it.
#[divan::bench]
fn clean_json_64_kb(bencher: Bencher<'_, '_>) {
    let unit = r#"{"id": 1482, "title": "Quarterly review", "state": "open", "labels": ["finance", "q3"], "score": 0.82, "parent": null},"#;
    find(bencher, &text_of(unit, 1 << 16));
}

#[divan::bench]
fn compile_rules(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| Rules::compile(&ContentRules::default()).unwrap());
}
