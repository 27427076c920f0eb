//! A plain HTTP API as a tool server: each tool is one request, bound by the catalogue.

use super::client::Client;
use super::rpc::Failure;
use super::{Answer, Reply};
use crate::coding::is_encoded;
use proctor_model::ToolName;
use proctor_model::catalogue::{
    BODY_ARGUMENT, HttpBinding, HttpBody, HttpMethod, ListForm, ParameterPlace, ToolServer,
    is_method_field,
};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::time::Duration;
use url::Url;

/// One API of one tenant.
pub(super) struct Api {
    client: Client,
    /// None: what is registered is no address, and nothing is sent.
    base: Option<Url>,
}

/// The bindings of a catalogue.
pub(super) fn bindings(spec: &ToolServer) -> HashMap<ToolName, HttpBinding> {
    let entries = spec.tools.iter();
    entries
        .filter_map(|entry| Some((entry.definition.name.clone(), entry.http.clone()?)))
        .collect()
}

impl Api {
    pub(super) fn new(client: Client, base: &str) -> Self {
        let base = base.parse().ok();
        Self { client, base }
    }

    /// Makes the request of a tool and turns its answer into a tool's result; its status comes with it.
    pub(super) async fn request(
        &self,
        binding: &HttpBinding,
        arguments: &Map<String, Value>,
        bytes_max: u64,
        limit: Duration,
    ) -> Result<(Answer, StatusCode), Failure> {
        let request = self.build(binding, arguments).ok_or(Failure::Unsendable)?;
        let exchange = async {
            let response = self.client.send(request).await?;
            let status = response.status();
            match result(response, bytes_max).await {
                Ok(answer) => Ok((answer, status)),
                Err(Failure::Invalid) if status.is_server_error() => Err(Failure::ServerError),
                Err(failure) => Err(failure),
            }
        };
        tokio::time::timeout(limit, exchange)
            .await
            .map_err(|_| Failure::Timeout)?
    }

    /// None if an argument can't stand where it belongs. The input schema says so before; this is the second fence.
    fn build(
        &self,
        binding: &HttpBinding,
        arguments: &Map<String, Value>,
    ) -> Option<RequestBuilder> {
        if names_method(binding, arguments) {
            return None;
        }
        let mut url = address(self.base.as_ref()?, binding, arguments)?;
        let mut headers = Vec::new();
        for parameter in &binding.parameters {
            let Some(value) = arguments
                .get(&parameter.argument)
                .filter(|value| !value.is_null())
            else {
                continue;
            };
            match parameter.place {
                ParameterPlace::Path => {}
                ParameterPlace::Query => match parameter.list {
                    ListForm::Repeated => {
                        for text in texts(value)? {
                            url.query_pairs_mut().append_pair(&parameter.name, &text);
                        }
                    }
                    ListForm::Commas => append_with_commas(&mut url, &parameter.name, value)?,
                },
                ParameterPlace::Header => {
                    let name = HeaderName::from_bytes(parameter.name.as_bytes()).ok()?;
                    headers.push((name, HeaderValue::from_str(&texts(value)?.join(",")).ok()?));
                }
            }
        }
        // One that was bound by hand says what is wanted.
        if !headers.iter().any(|(name, _)| *name == ACCEPT) {
            headers.push((ACCEPT, wanted(&binding.accept)?));
        }
        let mut request = self.client.request(method(binding.method), url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        match (binding.body, arguments.get(BODY_ARGUMENT)) {
            (Some(HttpBody::Json), Some(body)) => {
                if let Some(kind) = &binding.content_type {
                    request = request.header(CONTENT_TYPE, HeaderValue::from_str(kind).ok()?);
                }
                Some(request.json(body))
            }
            (Some(HttpBody::Form), Some(Value::Object(fields))) => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                for (name, value) in fields {
                    for text in texts(value)? {
                        form.append_pair(name, &text);
                    }
                }
                Some(
                    request
                        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                        .body(form.finish()),
                )
            }
            (Some(HttpBody::Form), Some(_)) => None,
            _ => Some(request),
        }
    }
}

/// The kinds of answers that a tool wants, and after them any other: an API that would answer with none of them, an error above
/// all, is to say what it has to say.
fn wanted(kinds: &[String]) -> Option<HeaderValue> {
    let (first, others) = match kinds.split_first() {
        Some((first, others)) => (first.as_str(), others),
        None => ("application/json", kinds),
    };
    let mut wanted = vec![first.to_owned()];
    wanted.extend(others.iter().map(|kind| format!("{kind};q=0.9")));
    wanted.push("*/*;q=0.1".to_owned());
    HeaderValue::from_str(&wanted.join(", ")).ok()
}

/// Whether an argument tells the server that another method is meant than the tool's, which is the one that was decided on.
fn names_method(binding: &HttpBinding, arguments: &Map<String, Value>) -> bool {
    let queried = binding.parameters.iter().any(|parameter| {
        parameter.place == ParameterPlace::Query
            && is_method_field(&parameter.name)
            && arguments.contains_key(&parameter.argument)
    });
    let body = binding.body.and_then(|_| arguments.get(BODY_ARGUMENT));
    let fields = body.and_then(Value::as_object);
    queried || fields.is_some_and(|fields| fields.keys().any(|name| is_method_field(name)))
}

/// One value of the query, the elements of a list with commas between them: those alone are commas.
fn append_with_commas(url: &mut Url, name: &str, value: &Value) -> Option<()> {
    let texts = texts(value)?;
    // Many servers take the list apart after they have decoded it: one element would become two.
    if value.is_array() && texts.iter().any(|text| text.contains(',')) {
        return None;
    }
    if texts.is_empty() {
        return Some(());
    }
    let encoded =
        |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let texts: Vec<_> = texts.iter().map(|text| encoded(text)).collect();
    let pair = format!("{}={}", encoded(name), texts.join(","));
    let query = match url.query() {
        Some(before) if !before.is_empty() => format!("{before}&{pair}"),
        _ => pair,
    };
    url.set_query(Some(&query));
    Some(())
}

fn method(method: HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Head => Method::HEAD,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Delete => Method::DELETE,
    }
}

/// The base, and the template with its placeholders filled: each value within its segment.
fn address(base: &Url, binding: &HttpBinding, arguments: &Map<String, Value>) -> Option<Url> {
    let mut url = base.clone();
    let mut segments = url.path_segments_mut().ok()?;
    segments.pop_if_empty();
    for segment in binding.path.split('/').skip(1) {
        segments.push(&filled(segment, binding, arguments)?);
    }
    drop(segments);
    Some(url)
}

fn filled(segment: &str, binding: &HttpBinding, arguments: &Map<String, Value>) -> Option<String> {
    let (mut out, mut rest) = (String::new(), segment);
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}')?;
        let parameter = binding
            .parameters
            .iter()
            .find(|parameter| parameter.place == ParameterPlace::Path && parameter.name == name)?;
        let value = text(arguments.get(&parameter.argument)?)?;
        let leaves = |char: char| char.is_control() || "/\\?#%".contains(char);
        if value.is_empty() || value.contains(leaves) {
            return None;
        }
        out.push_str(before);
        out.push_str(&value);
        rest = after;
    }
    out.push_str(rest);
    // `Url` would leave these out without a word; and what some servers take for parameters of a segment does not change
    // where it leads.
    let leads = out.split(';').next().unwrap_or_default();
    (!matches!(leads, "." | "..")).then_some(out)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        // A model may well write an id as 5.0.
        Value::Number(number) => Some(crate::wire_header::plain(number)),
        Value::Bool(bool) => Some(bool.to_string()),
        _ => None,
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        Value::Null => Some(Vec::new()),
        single => text(single).map(|text| vec![text]),
    }
}

/// An HTTP answer as the result of a tool: what is JSON is structured content too, what is no success is a tool's error.
async fn result(mut response: Response, bytes_max: u64) -> Result<Answer, Failure> {
    let status = response.status();
    if is_encoded(response.headers()) {
        // None was asked for; what it inflates to could not be bounded.
        return Err(Failure::Invalid);
    }
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let is_json = kind.is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let kind = kind.to_ascii_lowercase();
        kind == "application/json" || kind.ends_with("+json")
    });
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| super::client::failure(&error))?
    {
        let size = body.len().saturating_add(chunk.len());
        if u64::try_from(size).unwrap_or(u64::MAX) > bytes_max {
            return Err(Failure::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
    // What is no text can't be looked into, and is not passed on unseen.
    let text = String::from_utf8(body).map_err(|_| Failure::Invalid)?;
    let structured = match is_json && !text.is_empty() {
        true => Some(super::rpc::value(text.as_bytes())?),
        false => None,
    };
    let text = match (status.is_success(), text.is_empty()) {
        (true, _) => text,
        (false, true) => format!("HTTP {}", status.as_u16()),
        (false, false) => format!("HTTP {}: {text}", status.as_u16()),
    };
    let mut result =
        json!({ "content": [{ "type": "text", "text": text }], "isError": !status.is_success() });
    if let (Some(value), Some(members)) = (structured, result.as_object_mut()) {
        // The structured content of a tool is an object.
        let value = match value {
            Value::Object(_) => value,
            other => json!({ "result": other }),
        };
        members.insert("structuredContent".into(), value);
    }
    let Value::Object(result) = result else {
        return Err(Failure::Invalid);
    };
    if status.is_server_error() {
        metrics::counter!("proctor_edge_upstream_errors_total").increment(1);
    }
    Ok(Answer {
        reply: Reply::Result(result),
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::super::client::{Reach, Spec, builder};
    use super::*;
    use reqwest::header::CONTENT_ENCODING;
    use std::sync::Arc;

    fn binding(path: &str) -> HttpBinding {
        serde_json::from_value(json!({
            "method": "GET", "path": path,
            "parameters": [{"argument": "id", "name": "id", "place": "path"}],
        }))
        .unwrap()
    }

    fn at(path: &str, id: Value) -> Option<String> {
        let base = "https://api.example/v1".parse().unwrap();
        let arguments = json!({ "id": id });
        address(&base, &binding(path), arguments.as_object().unwrap()).map(Into::into)
    }

    #[test]
    fn a_value_stays_within_its_segment() {
        assert_eq!(
            at("/pets/{id}", json!(7)).unwrap(),
            "https://api.example/v1/pets/7"
        );
        for (number, written) in [(json!(5.0), "5"), (json!(-0.0), "0"), (json!(5.5), "5.5")] {
            let written = format!("https://api.example/v1/pets/{written}");
            assert_eq!(at("/pets/{id}", number).unwrap(), written);
        }
        assert_eq!(
            at("/pets/a-{id}.json", json!("x y;z")).unwrap(),
            "https://api.example/v1/pets/a-x%20y;z.json"
        );
        assert_eq!(
            at("/pets/{id}/", json!("ü@:1")).unwrap(),
            "https://api.example/v1/pets/%C3%BC@:1/"
        );
        for bad in [
            "..", ".", "..;", ".;x=1", "..;/", "", "a/b", "..\\..", "%2e%2e", "%2f", "a?b", "a#b",
            "a\r\nb", "a\u{0}",
        ] {
            assert_eq!(at("/pets/{id}", json!(bad)), None, "{bad:?}");
        }
        for bad in [json!({"a": 1}), json!(["a"]), json!(null)] {
            assert_eq!(at("/pets/{id}", bad), None);
        }
        for (path, bad) in [
            ("/pets/{id}.", "."),
            ("/pets/.{id}", ".;a"),
            ("/pets/{id};v=1", ".."),
        ] {
            assert_eq!(at(path, json!(bad)), None, "{path}");
        }
    }

    #[test]
    fn a_list_with_commas_stays_the_list_that_it_is() {
        let query = |values: &[(&str, Value)]| {
            let mut url: Url = "https://api.example/v1/pets".parse().unwrap();
            for (name, value) in values {
                append_with_commas(&mut url, name, value)?;
            }
            Some(url.query().unwrap_or_default().to_owned())
        };
        let tags = json!(["a b", "c&d=e", "ü"]);
        assert_eq!(
            query(&[("tags", tags), ("x y", json!(7))]).unwrap(),
            "tags=a+b,c%26d%3De,%C3%BC&x+y=7"
        );
        assert_eq!(
            query(&[("limit", json!([5.0, 1.5]))]).unwrap(),
            "limit=5,1.5"
        );
        assert_eq!(query(&[("tag", json!("a,b"))]).unwrap(), "tag=a%2Cb");
        assert_eq!(query(&[("tags", json!([]))]).unwrap(), "");
        assert_eq!(query(&[("tags", json!(["a,b"]))]), None);
        assert_eq!(query(&[("tags", json!({ "a": 1 }))]), None);
    }

    #[test]
    fn a_tool_says_which_answers_it_wants() {
        let accept = |kinds: &[&str]| {
            let kinds: Vec<_> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
            wanted(&kinds).unwrap()
        };
        assert_eq!(accept(&[]), "application/json, */*;q=0.1");
        assert_eq!(
            accept(&["application/json", "text/csv", "image/*"]),
            "application/json, text/csv;q=0.9, image/*;q=0.9, */*;q=0.1"
        );
        assert_eq!(accept(&["text/csv"]), "text/csv, */*;q=0.1");
    }

    #[test]
    fn what_is_wanted_is_said_once() {
        let parameter = json!({ "argument": "kind", "name": "Accept", "place": "header" });
        let binding = json!({
            "method": "GET", "path": "/pets", "accept": ["text/csv"], "parameters": [parameter],
        });
        let binding: HttpBinding = serde_json::from_value(binding).unwrap();
        let said = |arguments: Value| {
            let request = api().build(&binding, arguments.as_object().unwrap());
            let request = request.unwrap().build().unwrap();
            let accept = request.headers().get_all(ACCEPT).iter();
            let accept: Vec<_> = accept.map(|value| value.to_str().unwrap()).collect();
            accept.join(" and ")
        };
        assert_eq!(said(json!({})), "text/csv, */*;q=0.1");
        assert_eq!(said(json!({ "kind": "text/html" })), "text/html");
    }

    /// What is sent, as it would be.
    fn sent(body: HttpBody, arguments: Value) -> Option<String> {
        sent_as(body, None, arguments)
    }

    fn api() -> Api {
        let spec = Spec {
            auth: None,
            tls: None,
            reach: Reach::Public,
        };
        let plain = builder(Reach::Public).build().unwrap();
        Api::new(
            Client::new(plain, spec, Arc::default()),
            "https://api.example/v1",
        )
    }

    fn sent_as(body: HttpBody, name: Option<&str>, arguments: Value) -> Option<String> {
        let binding = HttpBinding {
            method: HttpMethod::Post,
            path: "/pets".to_owned(),
            parameters: Vec::new(),
            body: Some(body),
            content_type: name.map(str::to_owned),
            accept: Vec::new(),
        };
        let request = api().build(&binding, arguments.as_object().unwrap())?;
        let request = request.build().unwrap();
        let body = request.body().and_then(reqwest::Body::as_bytes);
        let body = String::from_utf8(body.unwrap_or_default().to_vec()).unwrap();
        Some(format!(
            "{} {body}",
            request.headers()[CONTENT_TYPE].to_str().unwrap()
        ))
    }

    #[tokio::test]
    async fn json_is_json_however_its_kind_is_spelled() {
        for kind in [
            "application/json",
            "Application/JSON; Charset=UTF-8",
            "application/Problem+JSON",
        ] {
            let response = axum::http::Response::builder()
                .header(CONTENT_TYPE, kind)
                .body(r#"{"a":1}"#)
                .unwrap();
            let answer = result(Response::from(response), 1_000).await.unwrap();
            let Reply::Result(result) = answer.reply else {
                panic!("{kind}")
            };
            assert_eq!(result["structuredContent"], json!({ "a": 1 }), "{kind}");
        }
    }

    #[tokio::test]
    async fn only_a_body_that_is_as_it_is_can_be_read() {
        let cases: [(&[&str], bool); 10] = [
            (&[], true),
            (&["identity"], true),
            (&["Identity "], true),
            (&[""], true),
            (&["identity", "identity, "], true),
            (&["gzip"], false),
            (&["identity, br"], false),
            (&["identity", "gzip"], false),
            (&["identity;q=1"], false),
            (&["aws-chunked"], false),
        ];
        for (said, read) in cases {
            let mut response = axum::http::Response::builder();
            for coding in said {
                response = response.header(CONTENT_ENCODING, *coding);
            }
            let response = Response::from(response.body("plain").unwrap());
            let answer = result(response, 1_000).await.map(|answer| answer.bytes);
            let wanted = if read { Ok(5) } else { Err(Failure::Invalid) };
            assert_eq!(answer, wanted, "{said:?}");
        }
    }

    #[test]
    fn a_body_is_written_as_its_kind_is() {
        let pet =
            json!({ "body": { "name": "a&b=c", "tags": ["x", "y"], "age": 7, "none": null } });
        assert_eq!(
            sent(HttpBody::Form, pet).unwrap(),
            "application/x-www-form-urlencoded name=a%26b%3Dc&tags=x&tags=y&age=7"
        );
        for bad in [
            json!({ "body": { "a": { "b": 1 } } }),
            json!({ "body": "a=b" }),
        ] {
            assert_eq!(sent(HttpBody::Form, bad), None);
        }
        for name in ["_method", "_Method", "[_method]", ".method"] {
            let body = json!({ "body": { "name": "Rex", name: "DELETE" } });
            assert_eq!(sent(HttpBody::Form, body.clone()), None, "{name}");
            assert_eq!(sent(HttpBody::Json, body), None, "{name}");
        }
        let nested = json!({ "body": { "a": { "b": 1 } } });
        assert_eq!(
            sent(HttpBody::Json, nested.clone()).unwrap(),
            r#"application/json {"a":{"b":1}}"#
        );
        let named = Some("application/vnd.api+json");
        assert_eq!(
            sent_as(HttpBody::Json, named, nested).unwrap(),
            r#"application/vnd.api+json {"a":{"b":1}}"#
        );
    }
}
