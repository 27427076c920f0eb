//! What there is to count of a prompt or an answer: texts, names that somebody chose, pictures and files.

use crate::llm::hosted;
use serde_json::{Map, Value};

/// What a message costs beside its text, in tokens.
const PER_MESSAGE: u64 = 4;

/// Tokens of a picture, whatever its size: of a large one in full detail, as providers describe it. A few bytes may be one.
const PICTURE: u64 = 2_000;
/// Bytes of a file (a document, sound) in base64 to a token: a page of three thousand tokens has a hundred thousand.
const FILE_BYTES_PER_TOKEN: u64 = 32;

/// Where a part of a conversation has a picture or a file: its type, the member that is it or holds it, and where it is in
/// there.
const MEDIA: [(&str, &str, &str); 8] = [
    ("image_url", "image_url", "url"),
    ("input_image", "image_url", "url"),
    ("computer_screenshot", "image_url", "url"),
    ("file", "file", "file_data"),
    ("input_file", "file_data", "file_data"),
    ("input_audio", "input_audio", "data"),
    ("image", "source", "data"),
    ("document", "source", "data"),
];

/// Members of a request that no model reads.
const UNREAD: [&str; 4] = ["api", "model", "user", "metadata"];
/// Members with conversations, whose parts have the names that the API gives them.
const CONVERSED: [&str; 3] = ["messages", "input", "system"];
/// Other members whose own members have such names: those are not the agent's words.
const FORM: [&str; 2] = ["instructions", "stream_options"];

/// Of all that a model reads of a prompt.
pub(super) fn sum(prompt: &Map<String, Value>, count: fn(&str) -> u64) -> u64 {
    let messages = ["messages", "input"]
        .iter()
        .filter_map(|name| prompt.get(*name)?.as_array())
        .map(|messages| u64::try_from(messages.len()).unwrap_or(u64::MAX))
        .fold(1_u64, u64::saturating_add);
    let members = prompt
        .iter()
        .filter(|(name, _)| !UNREAD.contains(&name.as_str()));
    let texts = members.map(|(name, member)| match name.as_str() {
        name if CONVERSED.contains(&name) => conversed(Some(member), count),
        name if FORM.contains(&name) => texts(Some(member), count),
        _ => own(member, count),
    });
    texts
        .fold(0_u64, u64::saturating_add)
        .saturating_add(messages.saturating_mul(PER_MESSAGE))
}

/// Names of members, at any depth.
fn names(value: &Value, count: fn(&str) -> u64) -> u64 {
    match value {
        Value::Array(elements) => elements
            .iter()
            .map(|element| names(element, count))
            .fold(0, u64::saturating_add),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| count(name).saturating_add(names(member, count)))
            .fold(0, u64::saturating_add),
        _ => 0,
    }
}

/// Texts and names, all of them the agent's own words.
fn own(value: &Value, count: fn(&str) -> u64) -> u64 {
    texts(Some(value), count).saturating_add(names(value, count))
}

fn texts(value: Option<&Value>, count: fn(&str) -> u64) -> u64 {
    match value {
        Some(Value::String(text)) => count(text),
        Some(Value::Array(elements)) => elements
            .iter()
            .map(|element| texts(Some(element), count))
            .fold(0, u64::saturating_add),
        Some(Value::Object(members)) => members
            .values()
            .map(|member| texts(Some(member), count))
            .fold(0, u64::saturating_add),
        _ => 0,
    }
}

/// Of a conversation, whose parts may be pictures and files: none of their letters is read as a text. Nowhere else
/// is anything a picture, whatever it looks like.
pub(super) fn conversed(value: Option<&Value>, count: fn(&str) -> u64) -> u64 {
    match value {
        Some(Value::Array(elements)) => elements
            .iter()
            .map(|element| conversed(Some(element), count))
            .fold(0, u64::saturating_add),
        Some(Value::Object(part)) => part
            .iter()
            .map(|(name, member)| of_part(part, name, member, count))
            .fold(0, u64::saturating_add),
        other => texts(other, count),
    }
}

/// Tokens of a member of a part.
fn of_part(part: &Map<String, Value>, name: &str, member: &Value, count: fn(&str) -> u64) -> u64 {
    if hosted::is_argument(part, name) {
        return own(member, count);
    }
    let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
    let media = MEDIA
        .iter()
        .find(|(of, holder, _)| *of == kind && *holder == name);
    match (media, member) {
        (Some(_), Value::String(text)) => inline(text).unwrap_or_else(|| count(text)),
        (Some((_, _, place)), Value::Object(held)) => held
            .iter()
            .map(|(name, value)| {
                let text = value.as_str().filter(|_| name == place);
                let carried = text.and_then(|text| carried(held, text));
                carried.unwrap_or_else(|| conversed(Some(value), count))
            })
            .fold(0, u64::saturating_add),
        _ => conversed(Some(member), count),
    }
}

/// Tokens of a picture or a file in what holds it. None for what is no such thing.
fn carried(held: &Map<String, Value>, text: &str) -> Option<u64> {
    let says = |name: &str| held.get(name).and_then(Value::as_str);
    match (says("type"), says("format")) {
        (Some("base64"), _) => of_media(says("media_type")?, text),
        (_, Some("wav" | "mp3")) => of_media("audio/", text),
        _ => inline(text),
    }
}

/// The same of one that is an address with all of it (RFC 2397).
fn inline(text: &str) -> Option<u64> {
    let (media, data) = text.trim_start().strip_prefix("data:")?.split_once(',')?;
    of_media(media.strip_suffix(";base64")?, data)
}

fn of_media(media: &str, data: &str) -> Option<u64> {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=\r\n".contains(&byte);
    if !data.bytes().all(is_base64) {
        return None;
    }
    let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
    match media.split('/').next() {
        Some("image") => Some(PICTURE),
        Some("application" | "audio" | "video") => Some(bytes.div_ceil(FILE_BYTES_PER_TOKEN)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{of_prompt, roughly};
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_picture_is_no_text() {
        let data = "AAAA".repeat(1 << 18);
        let url = |media: &str| format!("data:{media};base64,{data}");
        let inline =
            |media: &str| json!({"type": "base64", "media_type": media, "data": data.as_str()});
        let file = (1 << 20) / FILE_BYTES_PER_TOKEN;
        for (part, least) in [
            (
                json!({"type": "image_url", "image_url": {"url": url("image/png"), "detail": "low"}}),
                PICTURE,
            ),
            (
                json!({"type": "input_image", "image_url": url("image/png")}),
                PICTURE,
            ),
            (
                json!({"type": "image", "source": inline("image/jpeg")}),
                PICTURE,
            ),
            (
                json!({"type": "document", "source": inline("application/pdf")}),
                file,
            ),
            (
                json!({"type": "file", "file": {"file_data": url("application/pdf")}}),
                file,
            ),
            (
                json!({"type": "input_file", "file_data": url("application/pdf")}),
                file,
            ),
            (
                json!({"type": "tool_result", "content": [{"type": "image", "source": inline("image/png")}]}),
                PICTURE,
            ),
            (
                json!({"type": "input_audio", "input_audio": {"format": "wav", "data": data.as_str()}}),
                file,
            ),
            // A text is one, whatever it is said to be.
            (json!({"type": "text", "text": data.as_str()}), 1 << 18),
            (
                json!({"source": {"type": "text", "media_type": "text/plain", "data": data.as_str()}}),
                1 << 18,
            ),
            (
                json!({"type": "image_url", "image_url": data.as_str()}),
                1 << 18,
            ),
            (
                json!({"type": "file", "file": {"file_data": url("text/plain")}}),
                1 << 18,
            ),
        ] {
            let prompt = map(json!({"messages": [{"role": "user", "content": [part]}]}));
            let tokens = roughly(&prompt);
            assert!((least..least + 50).contains(&tokens), "{least}: {tokens}");
        }
    }

    #[test]
    fn a_text_is_no_picture_wherever_it_says_so() {
        let data = "AAAA".repeat(1 << 10);
        let url = format!("data:image/png;base64,{data}");
        let words = format!("data:image/png;base64,{}", "one two ".repeat(1 << 9));
        let picture = json!({"type": "image_url", "image_url": {"url": url}});
        let source = json!({"type": "base64", "media_type": "image/png", "data": data});
        let said = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
        for prompt in [
            // Where the agent writes what it likes, it is read as that.
            json!({"messages": [], "tools": [{"function": {"parameters": {"default": picture}}}]}),
            json!({"messages": [], "response_format": {"json_schema": {"schema": {"examples": [picture]}}}}),
            json!({"messages": [], "prediction": {"type": "content", "content": [picture]}}),
            said(json!({"type": "tool_use", "name": "draw", "input": picture})),
            said(json!({"type": "tool_use", "name": "draw", "input": {data.as_str(): 1}})),
            // Parts that are no pictures.
            said(json!({"type": "text", "image_url": url})),
            said(json!({"type": "text", "source": source})),
            said(json!({"image_url": {"url": url}})),
            said(json!({"type": "image_url", "image_url": {"detail": url}})),
            // No base64.
            said(json!({"type": "image_url", "image_url": {"url": words}})),
            said(json!({"type": "input_image", "image_url": words.replace(";base64", "")})),
            said(json!({"type": "image", "source":
                {"type": "base64", "media_type": "image/png", "data": words}})),
        ] {
            let tokens = roughly(&map(prompt.clone()));
            assert!((1_000..1_100).contains(&tokens), "{tokens}: {prompt}");
        }
    }

    #[test]
    fn a_text_costs_wherever_it_stands() {
        let long = "one two three four ".repeat(50);
        let message = json!([{"role": "user", "content": "hi"}]);
        let bare = map(json!({"messages": message}));
        for (name, member) in [
            ("prediction", json!({"type": "content", "content": long})),
            ("functions", json!([{"name": "f", "description": long}])),
            (
                "response_format",
                json!({"json_schema": {"schema": {"description": long}}}),
            ),
            (
                "tools",
                json!([{"input_schema": {"properties": {long.as_str(): {}}}}]),
            ),
            ("system", json!([{"type": "text", "text": long}])),
        ] {
            let mut with = bare.clone();
            with.insert(name.to_owned(), member);
            assert!(of_prompt(&with) > of_prompt(&bare) + 190, "{name}");
            assert!(roughly(&with) > roughly(&bare) + 190, "{name}");
        }
        let mut named = bare.clone();
        named.insert("user".to_owned(), long.into());
        assert_eq!(of_prompt(&named), of_prompt(&bare));
    }
}
