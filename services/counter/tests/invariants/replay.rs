//! The same log gives the same bytes, however it is cut into entries.

use proctor_counter::book::Book;
use proctor_counter::command::Batch;

pub fn check(log: &[Batch], book: &Book) {
    let mut one_by_one = Book::default();
    for batch in log {
        for request in &batch.requests {
            one_by_one.apply(Batch {
                at: batch.at,
                requests: vec![request.clone()],
            });
        }
    }
    let bytes = |book: &Book| {
        let mut bytes = Vec::new();
        ciborium::into_writer(book, &mut bytes).unwrap();
        bytes
    };
    assert_eq!(bytes(&one_by_one), bytes(book));
    let back: Book = ciborium::from_reader(bytes(book).as_slice()).unwrap();
    assert_eq!(&back, book, "a snapshot loses something");
}
