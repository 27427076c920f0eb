//! The stream of a call whose server says something before it answers. It is written by the task of the client's own connection,
//! and given up with it.

use super::{Dialogue, Next};
use crate::frontend::mcp::Endpoint;
use crate::frontend::mcp::stream::{self, ALIVE, KEEP_ALIVE};
use crate::upstream::talk::Said;
use axum::body::{Body, Bytes};
use axum::response::Response;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;

/// Most that leaves at once, in bytes, but for one event more.
const TOGETHER_BYTES_MAX: usize = 64 * 1024;

/// The stream that begins with this.
pub(super) fn response(dialogue: Dialogue, endpoint: Arc<Endpoint>, first: Said) -> Response {
    let telling = Telling {
        dialogue: Some(dialogue),
        endpoint,
        first: Some(first),
    };
    let events = futures::stream::unfold(telling, Telling::next);
    stream::response(Body::from_stream(events))
}

struct Telling {
    /// None: all is told. Dropped before that, it cancels the call.
    dialogue: Option<Dialogue>,
    endpoint: Arc<Endpoint>,
    first: Option<Said>,
}

impl Telling {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let mut dialogue = self.dialogue.take()?;
        let mut next = match self.first.take() {
            Some(said) => Next::Note(said),
            None => {
                let next = dialogue.next(&self.endpoint.gateway);
                let Ok(next) = tokio::time::timeout(KEEP_ALIVE, next).await else {
                    self.dialogue = Some(dialogue);
                    return Some((Ok(ALIVE), self));
                };
                next
            }
        };
        // What comes together leaves together.
        let mut text = Vec::new();
        loop {
            match next {
                Next::Note(said) => write(&mut text, &note(said)),
                Next::Last(last) => {
                    let message = dialogue.end(&self.endpoint, last).await;
                    write(&mut text, &message);
                    break;
                }
            }
            let more = match text.len() < TOGETHER_BYTES_MAX {
                true => dialogue.said(),
                false => None,
            };
            let Some(more) = more else {
                self.dialogue = Some(dialogue);
                break;
            };
            next = more;
        }
        Some((Ok(text.into()), self))
    }
}

fn note(said: Said) -> Value {
    json!({ "jsonrpc": "2.0", "method": said.method, "params": said.params })
}

fn write(text: &mut Vec<u8>, message: &Value) {
    text.extend_from_slice(b"event: message\ndata: ");
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(&mut *text, message);
    text.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_data() {
        let mut text = Vec::new();
        write(&mut text, &json!({ "a": "b\nc\r" }));
        assert_eq!(text, b"event: message\ndata: {\"a\":\"b\\nc\\r\"}\n\n");
    }
}
