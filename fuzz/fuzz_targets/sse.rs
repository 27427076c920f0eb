//! Server-sent events from any bytes: no crash, and the same events wherever the bytes are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proctor_engine::llm::sse::Reader;

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let whole = Reader::default().push(bytes);
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let mut reader = Reader::default();
    let mut split = reader.push(first);
    if let Ok(events) = &mut split {
        match reader.push(second) {
            Ok(more) => events.extend(more),
            Err(error) => split = Err(error),
        }
    }
    assert_eq!(whole, split);
});
