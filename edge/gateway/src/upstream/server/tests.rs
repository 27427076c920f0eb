use super::*;
use axum::Json;
use axum::response::IntoResponse;
use proctor_model::catalogue::{Listed, ToolDefinition};
use serde_json::json;
use std::sync::Mutex;

fn definition(name: &str, description: &str) -> ToolDefinition {
    let listed =
        json!({ "name": name, "description": description, "inputSchema": { "type": "object" } });
    ToolDefinition::from_list(Listed::Tool, &listed).unwrap()
}

fn at(url: &str) -> Upstream {
    Upstream::McpHttp {
        url: url.to_owned(),
        auth: None,
        tls: None,
        private_addresses: Some(true),
    }
}

pub(super) fn server() -> Server {
    of(at("http://127.0.0.1:1/"))
}

fn of(upstream: Upstream) -> Server {
    let spec = ToolServer {
        id: "s".parse().unwrap(),
        upstream,
        timeout_ms: 1_000,
        result_bytes_max: 1_000,
        tools: Vec::new(),
        updated_at: None,
    };
    let dialer = Dialer::new(None).unwrap();
    Server::new(spec, &dialer, &Arc::default(), CancellationToken::new())
}

#[tokio::test]
async fn a_child_is_each_edges_own_and_another_address_another_server() {
    let child = Upstream::McpStdio {
        command: "true".to_owned(),
        args: Vec::new(),
        env: std::collections::BTreeMap::new(),
        limits: proctor_model::catalogue::ChildLimits::default(),
    };
    assert_eq!(of(child).place(), None);
    let here = server().place();
    assert!(here.is_some());
    assert_eq!(server().place(), here);
    assert_ne!(of(at("http://127.0.0.1:2/")).place(), here);
}

async fn fails_once(link: Weak<Link>, _: CancellationToken) {
    let runs = &link.upgrade().unwrap().generation;
    assert!(runs.fetch_add(1, Ordering::AcqRel) > 0, "it fails once");
}

#[tokio::test]
async fn a_task_that_failed_begins_again_and_its_server_is_not_called_meanwhile() {
    let server = server();
    server.link.seen.store(true, Ordering::Release);
    kept_up(&server.link, fails_once).await;
    assert_eq!(server.generation(), 2);
    assert!(!server.link.seen.load(Ordering::Acquire));
}

#[tokio::test]
async fn only_what_differs_is_kept_and_within_a_limit() {
    let server = server();
    let shown = |definition: ToolDefinition| Shown {
        digest: definition.digest(),
        definition: Some(definition),
    };
    let large = "x".repeat(SEEN_BYTES_MAX / 2);
    let mut all = HashMap::new();
    for (name, description) in [
        ("a", ""),
        ("b", ""),
        ("c", &*large),
        ("d", &*large),
        ("e", ""),
    ] {
        all.insert(name.parse().unwrap(), shown(definition(name, description)));
    }
    let approved = ("a".parse().unwrap(), definition("a", "").digest());
    *server.link.approved.write().unwrap() = Arc::new(HashMap::from([approved]));
    server.link.keep_what_differs(&mut all);
    let mut kept: Vec<_> = all
        .iter()
        .filter(|(_, shown)| shown.definition.is_some())
        .map(|(name, _)| name.to_string())
        .collect();
    kept.sort_unstable();
    assert_eq!(kept, ["b", "c", "e"], "approved; beyond the limit");
    assert!(all.values().all(|shown| !shown.digest.is_empty()));
}

/// A server whose tool is described so, and who was asked for its tools how often.
#[derive(Clone, Default)]
struct Described(Arc<Mutex<(String, usize)>>);

impl Described {
    async fn answer(
        axum::extract::State(described): axum::extract::State<Self>,
        Json(request): Json<Value>,
    ) -> axum::response::Response {
        let id = &request["id"];
        let result = match request["method"].as_str() {
            Some("server/discover") => json!({ "supportedVersions": ["2026-07-28"] }),
            Some("tools/list") => {
                let mut described = described.0.lock().unwrap();
                described.1 += 1;
                let schema = json!({ "type": "object" });
                json!({ "tools": [{ "name": "a", "description": described.0, "inputSchema": schema }] })
            }
            _ => {
                let error = json!({ "code": -32601, "message": "no such method" });
                return Json(json!({ "jsonrpc": "2.0", "id": id, "error": error })).into_response();
            }
        };
        Json(json!({ "jsonrpc": "2.0", "id": id, "result": result })).into_response()
    }

    /// A server at which it is watched.
    async fn watched(&self) -> Server {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let router = axum::Router::new()
            .route("/", axum::routing::post(Self::answer))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let server = of(at(&url));
        server.watch();
        server.known(EntryKind::Tool).await;
        server
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

fn digest_now(server: &Server) -> String {
    let name: ToolName = "a".parse().unwrap();
    let shown = server.link.shown.read().unwrap();
    shown.as_ref().unwrap()[&name].digest.clone()
}

#[tokio::test]
async fn tools_are_looked_at_before_a_call_if_they_were_not_lately() {
    let described = Described::default();
    let server = described.watched().await;
    assert_eq!(digest_now(&server), definition("a", "").digest());
    let generation = server.generation();

    described.0.lock().unwrap().0 = "changed".to_owned();
    server.known(EntryKind::Tool).await;
    assert_eq!(described.asked(), 1, "it was looked at a moment ago");

    // Calls at the same time wait for the same look.
    server.link.looks.were(Duration::from_secs(6));
    tokio::join!(
        server.known(EntryKind::Tool),
        server.known(EntryKind::Tool),
        server.known(EntryKind::Tool)
    );
    assert_eq!(digest_now(&server), definition("a", "changed").digest());
    assert!(server.generation() > generation);
    assert_eq!(described.asked(), 2);

    // No look at resources: those are seen to from time to time.
    server.link.looks.were(Duration::from_secs(6));
    server.known(EntryKind::Resource).await;
    assert_eq!(described.asked(), 2);

    // Where calls follow each other, none of them waits.
    server.link.looks.were(Duration::from_secs(3));
    described.0.lock().unwrap().0 = "once more".to_owned();
    server.known(EntryKind::Tool).await;
    assert_eq!(digest_now(&server), definition("a", "changed").digest());
    let seen = async {
        while digest_now(&server) != definition("a", "once more").digest() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(10), seen).await;
    assert!(seen.is_ok(), "beside the call");
}

#[tokio::test]
async fn a_look_at_the_tools_leaves_what_else_is_shown_as_it_is() {
    let described = Described::default();
    let server = described.watched().await;
    let resource = Shown {
        digest: "sha256:00".to_owned(),
        definition: None,
    };
    let name: ToolName = "resource:a:b".parse().unwrap();
    let insert = |shown: &mut Option<_>| {
        let shown: &mut std::collections::HashMap<ToolName, Shown> = shown.as_mut().unwrap();
        shown.insert(name.clone(), resource)
    };
    assert!(insert(&mut server.link.shown.write().unwrap()).is_none());
    let generation = server.generation();
    server.link.looks.were(Duration::from_secs(6));
    server.known(EntryKind::Tool).await;
    assert_eq!(described.asked(), 2);
    assert_eq!(server.generation(), generation, "nothing changed");
    let shown = server.link.shown.read().unwrap();
    assert!(shown.as_ref().unwrap().contains_key(&name));
}

/// Has one tool, and ends once it was asked for the last of its lists. Each start is a line in a file.
const SHORT_LIVED: &str = r#"
    echo started >> "$STARTS"
    while read -r line; do
        id=${line#*\"id\":}; id=${id%%[,\}]*}
        case $line in
            *'"initialize"'*) result='{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}';;
            *'"tools/list"'*) result='{"tools":[{"name":"a","inputSchema":{"type":"object"}}]}';;
            *'"resources/list"'*) result='{"resources":[]}';;
            *'"resources/templates/list"'*) result='{"resourceTemplates":[]}';;
            *'"prompts/list"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"prompts":[]}}\n' "$id"; exit 0;;
            *) continue;;
        esac
        printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$result"
    done"#;

#[tokio::test]
async fn a_server_at_rest_is_looked_at_when_somebody_needs_it() {
    let kept = tempfile::tempdir().unwrap();
    let starts = kept.path().join("starts");
    let server = of(Upstream::McpStdio {
        command: "sh".to_owned(),
        args: vec!["-c".to_owned(), SHORT_LIVED.to_owned()],
        env: [("STARTS".to_owned(), starts.display().to_string())].into(),
        limits: proctor_model::catalogue::ChildLimits::default(),
    });
    let started = || std::fs::read_to_string(&starts).unwrap().lines().count();
    server.watch();
    server.known(EntryKind::Tool).await;
    assert!(server.link.seen.load(Ordering::Acquire));
    let rests = async {
        while !server.link.looks.at_rest() {
            // A reason to look, but not to start it.
            let _ = server.link.news.send(News::Listed(EntryKind::Tool));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let rests = tokio::time::timeout(Duration::from_secs(60), rests).await;
    assert!(rests.is_ok(), "it is started again and again");
    let before = started();
    assert!(
        !server.link.seen.load(Ordering::Acquire),
        "another one may come"
    );
    let sighted = server.sighted().map(|(health, ..)| health);
    assert_eq!(sighted, Some(Health::Up));

    // Whatever it is needed for.
    server.known(EntryKind::Resource).await;
    assert!(server.link.seen.load(Ordering::Acquire));
    assert_eq!(started(), before + 1);
    assert_eq!(digest_now(&server), {
        let listed = json!({ "name": "a", "inputSchema": { "type": "object" } });
        ToolDefinition::from_list(Listed::Tool, &listed)
            .unwrap()
            .digest()
    });
}

#[tokio::test]
async fn only_who_may_be_there_is_reached_in_the_edges_own_network() {
    let described = Described::default();
    let server = described.watched().await;
    let Upstream::McpHttp { url, .. } = server.spec().upstream.clone() else {
        panic!("over HTTP")
    };
    assert!(list(&server).await.is_ok());
    for private_addresses in [None, Some(false)] {
        let url = url.clone();
        let upstream = Upstream::McpHttp {
            url,
            auth: None,
            tls: None,
            private_addresses,
        };
        let listed = list(&of(upstream)).await.map(drop);
        assert_eq!(listed, Err(Failure::Unreachable));
    }
}
