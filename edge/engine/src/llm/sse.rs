//! Server-sent events: read from the bytes as they come, and written anew.

/// Largest event, in bytes.
pub const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Event {
    /// Its `event` field; empty if it has none.
    pub name: String,
    /// Its `data` fields, joined by line feeds.
    pub data: String,
}

/// What can't be read as events: an event that is too large, or no UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a stream of events")]
pub struct NoEvents;

/// Reads events from bytes that come in pieces.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    /// The last byte was a carriage return: a line feed next to it belongs to it.
    after_return: bool,
    started: bool,
}

impl Reader {
    /// Takes the next bytes; gives the events that they complete.
    ///
    /// # Errors
    /// See [`NoEvents`].
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<Event>, NoEvents> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_return)
                && let Some(rest) = bytes.strip_prefix(b"\n")
            {
                bytes = rest;
                continue;
            }
            let Some(at) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.line.extend_from_slice(bytes);
                break;
            };
            let (line, rest) = bytes.split_at(at);
            self.line.extend_from_slice(line);
            self.after_return = rest.first() == Some(&b'\r');
            bytes = rest.get(1..).unwrap_or_default();
            events.extend(self.end_of_line()?);
        }
        if self.line.len().saturating_add(self.event.data.len()) > EVENT_BYTES_MAX {
            return Err(NoEvents);
        }
        Ok(events)
    }

    fn end_of_line(&mut self) -> Result<Option<Event>, NoEvents> {
        let line = std::mem::take(&mut self.line);
        let mut line = std::str::from_utf8(&line).map_err(|_| NoEvents)?;
        if !std::mem::replace(&mut self.started, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Ok(std::mem::take(&mut self.has_data).then_some(event));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                if self.event.data.len() > EVENT_BYTES_MAX {
                    return Err(NoEvents);
                }
            }
            // Comments, ids, pauses before a reconnect that there will not be.
            _ => {}
        }
        Ok(None)
    }
}

/// Writes an event. `data` has no line breaks: JSON on one line.
pub(super) fn write(out: &mut Vec<u8>, name: &str, data: &str) {
    if !name.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data.as_bytes());
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[(&str, &str)]) {
        let bytes = text.as_bytes();
        let whole = Reader::default().push(bytes).unwrap();
        let seen: Vec<_> = whole
            .iter()
            .map(|e| (e.name.as_str(), e.data.as_str()))
            .collect();
        assert_eq!(seen, expect, "{text:?}");
        // Wherever it is cut, and byte by byte, it is the same.
        for at in 0..=bytes.len() {
            let mut reader = Reader::default();
            let mut split = reader.push(&bytes[..at]).unwrap();
            split.extend(reader.push(&bytes[at..]).unwrap());
            assert_eq!(split, whole, "{text:?} at {at}");
        }
        let mut reader = Reader::default();
        let single: Vec<_> = bytes
            .iter()
            .flat_map(|byte| reader.push(&[*byte]).unwrap())
            .collect();
        assert_eq!(single, whole);
    }

    #[test]
    fn events_are_read_as_the_specification_says() {
        check("data: a\n\n", &[("", "a")]);
        check("\u{feff}data:a\r\n\r\n", &[("", "a")]);
        check(
            "event: x\ndata: a\ndata:  b\n\n: note\n\n",
            &[("x", "a\n b")],
        );
        check("data: a\r\rdata: b\r\r", &[("", "a"), ("", "b")]);
        check("event: lost\n\ndata: é\n\n", &[("", "é")]);
        check(
            "data\n\nid: 1\nretry: 2\ndata: x\n\n",
            &[("", ""), ("", "x")],
        );
        check("data: unfinished\n", &[]);
    }

    #[test]
    fn what_is_no_stream_of_events_is_an_error() {
        assert_eq!(Reader::default().push(b"data: \xff\n"), Err(NoEvents));
        let mut reader = Reader::default();
        let piece = vec![b'x'; 1024 * 1024];
        let ended = (0..=8).find(|_| reader.push(&piece).is_err());
        assert_eq!(ended, Some(8));
    }
}
