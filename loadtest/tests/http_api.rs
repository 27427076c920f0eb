//! A company's plain HTTP API behind the edge: an OpenAPI document becomes tools; good calls pass with the tenant's own
//! credential, and no argument leaves the place that it is for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use proctor_loadtest::cluster::{Cluster, Options, proctor_binary};
use proctor_loadtest::load::{AGENT, allow_all, in_secs};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const KEY: &str = "key-of-the-pet-store";
/// How long news of what an operator changes may travel, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the API was really asked.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Asked>>>);

#[derive(Clone, Debug)]
struct Asked {
    line: String,
    headers: axum::http::HeaderMap,
    body: String,
}

async fn serve(State(seen): State<Seen>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let asked = Asked {
        line: format!("{} {}", parts.method, parts.uri),
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let known = asked.headers.get("x-api-key").is_some_and(|key| key == KEY);
    let path = parts.uri.path().to_owned();
    seen.0.lock().unwrap().push(asked);
    match (known, path.as_str()) {
        (false, _) => (StatusCode::UNAUTHORIZED, "who are you?").into_response(),
        (_, "/v1/redirect") => {
            (StatusCode::FOUND, [(header::LOCATION, "/v1/pets")]).into_response()
        }
        (_, "/v1/pets") => Json(json!([{ "name": "Rex" }, { "name": "Tom" }])).into_response(),
        (_, "/v1/pets/none") => (StatusCode::NOT_FOUND, "no such pet").into_response(),
        (_, "/v1/pets/slow") => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            StatusCode::OK.into_response()
        }
        _ => Json(json!({ "name": "Rex" })).into_response(),
    }
}

async fn start() -> (Seen, u16) {
    let seen = Seen::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = Router::new().fallback(serve).with_state(seen.clone());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (seen, port)
}

/// `proctor …` with the platform's key.
async fn proctor(cluster: &Cluster, args: &[&str], input: &str) -> (bool, String) {
    let mut command = tokio::process::Command::new(proctor_binary().unwrap());
    command
        .args(args)
        .env("PROCTOR_API_URL", &cluster.api_url)
        .env("PROCTOR_TENANT", "acme")
        .env("PROCTOR_ADMIN_KEY", cluster.admin_key())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut child.stdin.take().unwrap(), input.as_bytes())
        .await
        .unwrap();
    let output = child.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// A token for all tools of the pet store.
async fn token(cluster: &Cluster) -> String {
    allow_all(cluster).await.unwrap();
    let caveats = [
        format!("time < {}", in_secs(600).unwrap()),
        "tool in pets/*".to_owned(),
    ];
    let agent = format!("agents/{AGENT}");
    let put = cluster.acme(Method::PUT, &agent, Some(json!({}))).await;
    put.unwrap();
    let wanted = json!({ "agent": AGENT, "caveats": caveats });
    let minted = cluster.acme(Method::POST, "tokens", Some(wanted)).await;
    minted.unwrap()["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_openapi_document_becomes_tools_that_stay_within_their_bounds() {
    let (seen, port) = start().await;
    let cluster = Cluster::start(Options {
        settings: json!({ "intent": "when_declared" }),
        ..Options::default()
    })
    .await
    .unwrap();
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/petstore.yaml");
    let url = format!("http://127.0.0.1:{port}/v1");
    let host = format!("127.0.0.1:{port}");
    let (good, said) = proctor(&cluster, &["secret", "put", "pets", "--host", &host], KEY).await;
    assert!(good && !said.contains(KEY), "{said}");
    let import = [
        "server",
        "import",
        "pets",
        "--openapi",
        document,
        "--url",
        &url,
        "--auth-header",
        "X-Api-Key",
        "--auth-secret",
        "pets",
    ];
    // Loopback is the edge's own network: only who may change edges may open it.
    let (good, said) = proctor(&cluster, &import, "").await;
    assert!(good, "{said}");
    assert!(
        said.contains("5 tools") && said.contains("POST /photos"),
        "{said}"
    );
    let token = token(&cluster).await;
    let token = token.as_str();
    cluster
        .wait_allowed(token, AGENT, "pets/getPet", json!({ "petId": "1" }))
        .await
        .unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = async |tool: &str, arguments: Value| -> (Value, Vec<Asked>) {
        seen.0.lock().unwrap().clear();
        let body = json!({ "tool": format!("pets/{tool}"), "arguments": arguments });
        let request = http
            .post(format!("{}/v1/tool-call", cluster.edge_url))
            .bearer_auth(token)
            .json(&body);
        let answer = request.send().await.unwrap().json().await.unwrap();
        let asked = seen.0.lock().unwrap().clone();
        (answer, asked)
    };

    // Not public, and not opened: nothing goes there.
    let (answer, asked) = call("getPet", json!({ "petId": "1" })).await;
    assert_eq!(
        answer["error"]["data"]["reason"], "upstream_unavailable",
        "{answer}"
    );
    assert!(asked.is_empty());
    let (good, said) = proctor(
        &cluster,
        &[&import[..], &["--private-addresses"]].concat(),
        "",
    )
    .await;
    assert!(good, "{said}");
    let started = Instant::now();
    loop {
        let (answer, _) = call("getPet", json!({ "petId": "1" })).await;
        if answer.get("result").is_some() {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let (answer, asked) = call(
        "listPets",
        json!({ "limit": 7, "tag": ["a&b=c", "ü"], "X-Request-Id": "r 1" }),
    )
    .await;
    assert_eq!(
        answer["result"]["structuredContent"]["result"][1]["name"], "Tom",
        "{answer}"
    );
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].line,
        "GET /v1/pets?limit=7&tag=a%26b%3Dc&tag=%C3%BC"
    );
    assert_eq!(asked[0].headers["x-request-id"], "r 1");
    let agent = asked[0].headers["user-agent"].to_str().unwrap();
    assert!(agent.starts_with("proctor/"), "{agent}");
    assert_eq!(asked[0].headers["accept-encoding"], "identity");
    assert_eq!(
        asked[0].headers["accept"],
        "application/json, text/csv;q=0.9, */*;q=0.1"
    );
    assert!(
        asked[0].headers.get("authorization").is_none(),
        "the agent's token goes no further"
    );
    let (_, asked) = call("getPet", json!({ "petId": "a b;c" })).await;
    assert_eq!(asked[0].line, "GET /v1/pets/a%20b;c");
    let (_, asked) = call(
        "addPet",
        json!({ "body": { "name": null, "parent": { "name": "Rex" } } }),
    )
    .await;
    assert_eq!(
        (asked[0].line.as_str(), asked[0].body.as_str()),
        ("POST /v1/pets", r#"{"name":null,"parent":{"name":"Rex"}}"#)
    );

    // An argument that would leave its place, or its schema, is no argument of this tool.
    for bad in [
        "..",
        "../admin",
        "..\\admin",
        "%2e%2e",
        "%2e%2e%2fadmin",
        "a/b",
        "1?admin=1",
        "1#x",
        "a\r\nX-Admin: 1",
        "",
    ] {
        let (answer, asked) = call("getPet", json!({ "petId": bad })).await;
        assert_eq!(
            answer["error"]["data"]["reason"], "invalid_arguments",
            "{bad:?}: {answer}"
        );
        assert!(asked.is_empty(), "{bad:?}: {asked:?}");
    }
    for (tool, arguments) in [
        ("listPets", json!({ "X-Request-Id": "1\r\nX-Admin: 1" })),
        ("listPets", json!({ "X-Request-Id": "1\u{7f}" })),
        ("listPets", json!({ "limit": 101 })),
        ("listPets", json!({ "admin": true })),
        ("addPet", json!({ "body": { "name": "x", "admin": true } })),
        ("addPet", json!({})),
    ] {
        let (answer, asked) = call(tool, arguments).await;
        assert_eq!(
            answer["error"]["data"]["reason"], "invalid_arguments",
            "{answer}"
        );
        assert!(asked.is_empty());
    }

    // What the API refuses is a tool's error; a redirect is not followed.
    let (answer, asked) = call("getPet", json!({ "petId": "none" })).await;
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert_eq!(
        answer["result"]["content"][0]["text"],
        "HTTP 404: no such pet"
    );
    assert_eq!(asked.len(), 1);
    let (answer, asked) = call("elsewhere", json!({})).await;
    assert_eq!(
        (answer["result"]["isError"].as_bool(), asked.len()),
        (Some(true), 1),
        "{answer}"
    );
    // A credential that is gone is missed, not left out.
    let (good, said) = proctor(&cluster, &["secret", "delete", "pets"], "").await;
    assert!(good, "{said}");
    let started = Instant::now();
    let last = loop {
        let (answer, asked) = call("getPet", json!({ "petId": "1" })).await;
        if asked.is_empty() {
            break answer;
        }
        assert!(started.elapsed() < PATIENCE, "{answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(
        last["error"]["data"]["reason"], "upstream_credential",
        "{last}"
    );
    proctor_loadtest::oracle::settled(&cluster, PATIENCE)
        .await
        .unwrap();
    cluster.stop().await;
}

/// Uploads for the server `pets`: status, whether there is an `ETag`, and the answer.
struct Uploads<'c> {
    cluster: &'c Cluster,
    http: reqwest::Client,
}

impl Uploads<'_> {
    async fn put(&self, key: &str, query: &str, body: &Value) -> (u16, bool, Value) {
        let path = format!("/v1/tenants/acme/tool-servers/pets/openapi{query}");
        let request = self.http.put(format!("{}{path}", self.cluster.api_url));
        let response = request.bearer_auth(key).json(body).send().await.unwrap();
        let status = response.status().as_u16();
        let tagged = response.headers().contains_key(header::ETAG.as_str());
        (status, tagged, response.json().await.unwrap())
    }

    /// A refusal: its status and what it says.
    async fn refused(&self, body: &Value) -> (u16, String) {
        let (status, _, problem) = self.put(self.cluster.admin_key(), "", body).await;
        let detail = problem["detail"].as_str();
        (status, detail.unwrap_or_default().to_owned())
    }

    async fn server(&self) -> Option<Value> {
        let server = self.cluster.acme(Method::GET, "tool-servers/pets", None);
        server.await.ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_uploaded_over_rest() {
    let (seen, port) = start().await;
    let cluster = Cluster::start(Options {
        settings: json!({ "intent": "when_declared" }),
        ..Options::default()
    })
    .await
    .unwrap();
    let uploads = Uploads {
        cluster: &cluster,
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
    };
    let admin = cluster.admin_key();
    let host = format!("127.0.0.1:{port}");
    let (good, said) = proctor(&cluster, &["secret", "put", "pets", "--host", &host], KEY).await;
    assert!(good, "{said}");
    let body = json!({
        "document": include_str!("petstore.yaml"),
        "url": format!("http://{host}/v1"),
        "auth": { "kind": "header", "name": "x-api-key", "secret": "pets" },
        "private_addresses": true,
    });
    let with = |member: &str, value: Value| {
        let mut body = body.clone();
        body[member] = value;
        body
    };

    // Tried only: what would be, and nothing is.
    let (status, tagged, tried) = uploads.put(admin, "?dry_run=true", &body).await;
    assert_eq!((status, tagged), (200, false), "{tried}");
    let tools = tried["tool_server"]["tools"].as_array().unwrap().clone();
    let names: Vec<_> = tools
        .iter()
        .map(|tool| tool["definition"]["name"].as_str().unwrap())
        .collect();
    let all = ["listPets", "addPet", "getPet", "deletePet", "elsewhere"];
    assert_eq!(names, all);
    let photos = "POST /photos: its body is neither JSON nor a form";
    assert_eq!(tried["left_out"], json!([photos]));
    assert!(uploads.server().await.is_none());

    // A tool that no edge could use is none.
    let query = json!({ "name": "q", "in": "query", "schema": { "pattern": "(a" } });
    let paths = json!({
        "/a": { "get": { "operationId": "a" } },
        "/b": { "get": { "operationId": "b", "parameters": [query] } },
    });
    let unusable = with("document", json!({ "openapi": "3.1.0", "paths": paths }));
    let (_, _, partly) = uploads.put(admin, "?dry_run=true", &unusable).await;
    let usable = partly["tool_server"]["tools"].as_array().unwrap();
    assert_eq!(usable.len(), 1, "{partly}");
    let left_out = partly["left_out"][0].as_str().unwrap();
    let why = "GET /b: not a valid JSON Schema: at ";
    assert!(left_out.starts_with(why), "{left_out}");

    // A document that is wrong changes nothing, and it is told what is wrong.
    let document = |text: &str| with("document", text.into());
    let twice = "openapi: 3.1.0\npaths: { /a: { get: { operationId: x } }, /b: { get: { operationId: x } } }\n";
    for (wrong, says) in [
        (document("openapi: 3.1.0\npaths: {\n"), "line"),
        (document("swagger: '2.0'\n"), "3.0 and 3.1"),
        (document("openapi: 3.1.0\n"), "no operation"),
        (document(twice), "tool x"),
        (document(&"x".repeat((3 << 20) + 1)), "larger than"),
        (with("document", 1.into()), "document: an object or a text"),
        (with("url", Value::Null), "url: "),
        (with("url", "ftp://pets.example".into()), "upstream.url"),
        (with("timeout_ms", 0.into()), "timeout_ms"),
        (with("tools", json!([])), "tools"),
    ] {
        let (status, detail) = uploads.refused(&wrong).await;
        assert_eq!(status, 400, "{says}: {detail}");
        assert!(detail.contains(says), "{says}: {detail}");
    }
    let (status, _) = uploads.refused(&document(&"x".repeat(6 << 20))).await;
    assert_eq!(status, 413);
    // Neither a lesser right, nor a tenant's key for a neighbour of the edge.
    let key = async |role: &str| {
        let new = json!({ "name": role, "roles": [role] });
        let made = cluster.acme(Method::POST, "api-keys", Some(new)).await;
        made.unwrap()["key"].as_str().unwrap().to_owned()
    };
    for role in ["viewer", "tenant-admin"] {
        let key = key(role).await;
        for query in ["", "?dry_run=true"] {
            let (status, _, problem) = uploads.put(&key, query, &body).await;
            assert_eq!(status, 403, "{role}: {problem}");
        }
    }
    assert!(uploads.server().await.is_none());

    // Put, and by an agent called.
    let (status, tagged, put) = uploads.put(admin, "", &body).await;
    assert_eq!((status, tagged), (200, true), "{put}");
    let stored = uploads.server().await.unwrap();
    assert_eq!(stored["tools"], tried["tool_server"]["tools"]);
    let token = token(&cluster).await;
    cluster
        .wait_allowed(&token, AGENT, "pets/getPet", json!({ "petId": "1" }))
        .await
        .unwrap();
    let call = json!({ "tool": "pets/getPet", "arguments": { "petId": "1" } });
    let request = uploads
        .http
        .post(format!("{}/v1/tool-call", cluster.edge_url))
        .bearer_auth(&token)
        .json(&call);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        answer["result"]["structuredContent"]["name"], "Rex",
        "{answer}"
    );
    assert_eq!(seen.0.lock().unwrap()[0].line, "GET /v1/pets/1");

    // As an object, too; what is hidden in it is not approved in passing.
    let hidden = json!({ "openapi": "3.1.0", "paths": { "/a": { "get": { "operationId": "a", "summary": "A\u{200b}" } } } });
    let hidden = with("document", hidden);
    let (status, _, tried) = uploads.put(admin, "?dry_run=true", &hidden).await;
    assert_eq!(status, 200, "{tried}");
    assert_eq!(
        tried["held_back"][0],
        json!({ "tool": "a", "oddity": "zero_width", "at": "/title" })
    );
    let tool = |answer: &Value| answer["tool_server"]["tools"][0].clone();
    assert!(tool(&tried).get("definition_digest").is_none(), "{tried}");
    let mut accepted = hidden.clone();
    accepted["accept_findings"] = true.into();
    let (_, _, tried) = uploads.put(admin, "?dry_run=true", &accepted).await;
    assert!(tool(&tried)["definition_digest"].is_string(), "{tried}");

    // What is in the chain: that it was put, once.
    proctor_loadtest::oracle::settled(&cluster, PATIENCE)
        .await
        .unwrap();
    assert_eq!(uploads.server().await.unwrap(), stored);
    let put = async || {
        let events = "audit/events?kind=admin&limit=500";
        let page = cluster.acme(Method::GET, events, None).await.unwrap();
        let entries = page["entries"].as_array().unwrap().clone();
        let put = |entry: &&Value| entry["event"]["admin"]["action"] == "server.put";
        entries.iter().filter(put).count()
    };
    // Control's own events come on another lane, in their own time.
    let arrived = tokio::time::timeout(PATIENCE, async {
        while put().await == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    arrived.await.expect("the event is in the chain");
    assert_eq!(put().await, 1);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_that_declare_what_they_answer_are_held_to_it() {
    let (seen, port) = start().await;
    let cluster = Cluster::start(Options {
        settings: json!({ "intent": "when_declared" }),
        ..Options::default()
    })
    .await
    .unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let host = format!("127.0.0.1:{port}");
    let (good, said) = proctor(&cluster, &["secret", "put", "pets", "--host", &host], KEY).await;
    assert!(good, "{said}");
    let get = |id: &str, schema: &Value| {
        let content = json!({ "application/json": { "schema": schema } });
        let answer = json!({ "200": { "description": "", "content": content } });
        json!({ "get": { "operationId": id, "responses": answer } })
    };
    let pet = json!({ "type": "object", "required": ["name"], "properties": { "name": { "type": "string" } } });
    let owner = json!({ "type": "object", "required": ["owner"] });
    let document = json!({ "openapi": "3.1.0", "paths": {
        "/pets": get("listPets", &json!({ "type": "array", "items": pet })),
        "/pets/rex": get("getPet", &pet),
        "/owners": get("getOwner", &owner),
    } });
    let mut body = json!({
        "document": document,
        "url": format!("http://{host}/v1"),
        "auth": { "kind": "header", "name": "x-api-key", "secret": "pets" },
        "private_addresses": true,
    });
    let path = "tool-servers/pets/openapi?dry_run=true";
    let tried = cluster.acme(Method::PUT, path, Some(body.clone())).await;
    let tool = tried.unwrap()["tool_server"]["tools"][0].clone();
    assert_eq!(tool["definition"]["output_schema"], Value::Null, "{tool}");
    body["output_schemas"] = true.into();
    let put = cluster.acme(Method::PUT, "tool-servers/pets/openapi", Some(body));
    let put = put.await.unwrap();
    assert_eq!(put["left_out"], json!([]));
    let token = token(&cluster).await;
    let allowed = cluster.wait_allowed(&token, AGENT, "pets/getOwner", json!({}));
    allowed.await.unwrap();
    let call = async |tool: &str| -> Value {
        let body = json!({ "tool": format!("pets/{tool}"), "arguments": {} });
        let request = http
            .post(format!("{}/v1/tool-call", cluster.edge_url))
            .bearer_auth(&token)
            .json(&body);
        request.send().await.unwrap().json().await.unwrap()
    };
    let answer = call("getPet").await;
    let content = &answer["result"]["structuredContent"];
    assert_eq!(*content, json!({ "name": "Rex" }), "{answer}");
    let answer = call("listPets").await;
    let content = &answer["result"]["structuredContent"];
    assert_eq!(content["result"][1]["name"], "Tom", "{answer}");
    let answer = call("getOwner").await;
    let reason = &answer["error"]["data"]["reason"];
    assert_eq!(*reason, "output_invalid", "{answer}");
    for asked in seen.0.lock().unwrap().iter() {
        let accepted = asked.headers["accept"].to_str().unwrap();
        assert!(accepted.starts_with("application/json"), "{asked:?}");
    }
    cluster.stop().await;
}
