use super::*;
use serde_json::json;

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
    }
}

fn server() -> Server {
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
    let dialer = Dialer::new().unwrap();
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
