//! What a stream used, where nobody reads it to its end: providers say so last of all.

use super::{Event, Form, Relay, object, text_of};
use serde_json::Value;

impl Relay {
    /// Whether the provider has said what the whole answer used.
    #[must_use]
    pub fn is_accounted(&self) -> bool {
        self.flow.accounted
    }

    /// Whether the answer is all there, as far as can be seen, and only what it used is to come.
    #[must_use]
    pub fn nears_end(&self) -> bool {
        !self.flow.accounted
            && match &self.form {
                Form::Chat(chat) => chat.is_finished(),
                Form::Messages(messages) => messages.is_between_blocks(),
                Form::Responses(responses) => responses.is_between_items(),
            }
    }

    /// Takes nothing from an event but what the answer used: nobody gets any more of it.
    pub fn overhear(&mut self, event: &Event) {
        let Ok(data) = object(&event.data) else {
            return;
        };
        let usage = match (&self.form, text_of(&data, "type")) {
            (Form::Chat(_), _) => data.get("usage"),
            (Form::Messages(_), "message_delta") => data.get("usage"),
            (
                Form::Responses(_),
                "response.completed" | "response.incomplete" | "response.failed",
            ) => data.get("response").and_then(|whole| whole.get("usage")),
            _ => None,
        };
        if let Some(usage) = usage.filter(|usage| Value::is_object(usage)) {
            // Too many of them can't be stopped any more, only counted.
            let _ = self.flow.hear(Some(usage));
            self.flow.accounted = self.flow.meter.has_output();
        }
    }
}
