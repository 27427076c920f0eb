//! Memory provenance for stores that are not proxied, and its evidence: the edge's `/v1/memory`, the admin API, the command line.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use proctor_loadtest::cluster::{Cluster, Options, proctor_binary};
use proctor_loadtest::load::{AGENT, allow_all, in_secs};
use proctor_loadtest::oracle;
use reqwest::Method;
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

const TEXT: &str = "Acme pays within thirty days";
const NEW_TEXT: &str = "Acme pays within sixty days";

struct System {
    cluster: Cluster,
    http: reqwest::Client,
    token: String,
}

impl System {
    async fn start() -> Self {
        Self::with(Value::Null).await
    }

    /// A system whose tenant has these settings.
    async fn with(settings: Value) -> Self {
        let options = Options {
            settings,
            ..Options::default()
        };
        let cluster = Cluster::start(options).await.unwrap();
        let stores =
            json!({ "upstream": { "kind": "memory", "stores": ["notes", "plans"] }, "tools": [] });
        for (path, body) in [
            (format!("agents/{AGENT}"), json!({})),
            ("tool-servers/memory".to_owned(), stores),
        ] {
            cluster.acme(Method::PUT, &path, Some(body)).await.unwrap();
        }
        allow_all(&cluster).await.unwrap();
        let mut system = Self {
            cluster,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            token: String::new(),
        };
        system.token = system.session("s-1", "notes").await;
        let shown = json!({ "items": [{ "key": "a", "content": 1 }] });
        let token = &system.token;
        let waited = system
            .cluster
            .wait_allowed(token, AGENT, "memory/notes/verify", shown);
        waited.await.unwrap();
        system
    }

    /// A token for a new session that may use one store.
    async fn session(&self, id: &str, store: &str) -> String {
        let action = |operation: &str, argument: &str| {
            let tool = format!("memory/{store}/{operation}");
            json!({ "tool": tool, "origins": { argument: ["any"] } })
        };
        let declaration = json!({
            "agent": AGENT, "session": id, "goal": "Keep the terms of each vendor", "expires_in_s": 900,
            "actions": [action("write", "/items"), action("verify", "/items"), action("lineage", "/key")],
        });
        let acme = async |path: &str, body: Value| {
            let made = self.cluster.acme(Method::POST, path, Some(body)).await;
            made.unwrap()
        };
        let intent = acme("intents", declaration).await;
        let caveats = [
            format!("time < {}", in_secs(900).unwrap()),
            format!("tool in memory/{store}/*"),
            format!("intent = {}", intent["id"].as_str().unwrap()),
            format!("session = {id}"),
        ];
        let minted = acme("tokens", json!({ "agent": AGENT, "caveats": caveats })).await;
        minted["token"].as_str().unwrap().to_owned()
    }

    async fn post(&self, token: &str, operation: &str, body: impl Into<Vec<u8>>) -> (u16, Value) {
        self.post_to(&self.cluster.edge_url, token, operation, body)
            .await
    }

    async fn post_to(
        &self,
        edge: &str,
        token: &str,
        operation: &str,
        body: impl Into<Vec<u8>>,
    ) -> (u16, Value) {
        let url = format!("{edge}/v1/memory/{operation}");
        let request = self.http.post(url).bearer_auth(token);
        let request = request.header("content-type", "application/json");
        let answer = request.body(body.into()).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    /// The answer to a request that has to succeed.
    async fn good(&self, operation: &str, body: Value) -> Value {
        let (status, answer) = self.post(&self.token, operation, body.to_string()).await;
        assert_eq!(status, 200, "{operation}: {answer}");
        assert!(answer["decision"]["decision_id"].is_string(), "{answer}");
        answer
    }

    async fn refused(&self, token: &str, operation: &str, body: &str) -> (u16, String) {
        let (status, answer) = self.post(token, operation, body).await;
        let reason = answer["error"]["data"]["reason"].as_str();
        (status, reason.unwrap_or("none").to_owned())
    }

    async fn standing(&self, key: &str, content: &str) -> String {
        let answer = self.good("verify", items(key, content)).await;
        assert_eq!(answer["items"][0]["key"], key, "{answer}");
        answer["items"][0]["standing"].as_str().unwrap().to_owned()
    }

    async fn proctor(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(proctor_binary().unwrap());
        command
            .args(arguments)
            .env("PROCTOR_API_URL", &self.cluster.api_url)
            .env("PROCTOR_TENANT", "acme")
            .env("PROCTOR_ADMIN_KEY", self.cluster.admin_key())
            .stdin(Stdio::null());
        let output = command.output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        let code = output.status.code().unwrap();
        (code, String::from_utf8(said).unwrap())
    }
}

fn items(key: &str, content: &str) -> Value {
    json!({ "store": "notes", "items": [{ "key": key, "content": content }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_are_not_proxied_have_signed_records_too() {
    let system = System::start().await;
    let written = system.good("write", items("acme", TEXT)).await;
    let first = &written["records"][0];
    assert_eq!(first["version"], 1, "{written}");
    assert_eq!(first["signed"]["record"]["store"], "memory/notes");
    assert_eq!(first["signed"]["record"]["writer"]["session"], "s-1");

    assert_eq!(system.standing("acme", TEXT).await, "agent");
    assert_eq!(system.standing("acme", NEW_TEXT).await, "altered");
    assert_eq!(system.standing("globex", TEXT).await, "unsigned");
    // Replaced: the old one is known for what it is.
    let replaced = system.good("write", items("acme", NEW_TEXT)).await;
    assert_eq!(replaced["records"][0]["version"], 2);
    assert_eq!(system.standing("acme", NEW_TEXT).await, "agent");
    assert_eq!(system.standing("acme", TEXT).await, "rolled_back");
    // Its record beside it changes nothing; another tenant's gives it away.
    let mut carried = items("acme", NEW_TEXT);
    carried["items"][0]["record"] = replaced["records"][0]["signed"].clone();
    let verified = system.good("verify", carried.clone()).await;
    assert_eq!(verified["items"][0]["standing"], "agent", "{verified}");
    carried["items"][0]["record"]["record"]["tenant"] = json!("zoo");
    let carried = carried.to_string();
    let foreign = system.refused(&system.token, "verify", &carried).await;
    assert_eq!(foreign, (403, "memory_foreign".to_owned()));

    // Once the ledger has it, the chain of custody is told.
    oracle::settled(&system.cluster, Duration::from_secs(30))
        .await
        .unwrap();
    let asked = json!({ "store": "notes", "key": "acme" });
    let lineage = system.good("lineage", asked).await;
    let versions: Vec<&Value> = lineage["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|signed| &signed["record"]["version"])
        .collect();
    assert_eq!(versions, [1, 2], "{lineage}");
    assert_eq!(lineage["item"], first["item"]);
    assert_eq!(lineage["head"], replaced["records"][0]["hash"]);
    assert_eq!(lineage["records"][0], first["signed"]);
    assert_eq!(lineage["certificates"].as_array().unwrap().len(), 1);
    let nothing = json!({ "store": "notes", "key": "nothing" });
    assert_eq!(system.good("lineage", nothing).await["version"], 0);
    // All of it is in the chain, none of it in words.
    let path = "audit/events?limit=1000";
    let events = system.cluster.acme(Method::GET, path, None).await.unwrap();
    let events = events.to_string();
    assert!(events.contains("\"memory\":{\"records\""));
    assert!(events.contains("\"written\":1") && !events.contains("thirty"));
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_database_administrator_sets_back_is_not_believed_and_is_named() {
    let system = System::start().await;
    let (_edge, other) = system.cluster.another_edge().await.unwrap();
    system.good("write", items("acme", TEXT)).await;
    system.good("write", items("acme", NEW_TEXT)).await;
    oracle::settled(&system.cluster, Duration::from_secs(30))
        .await
        .unwrap();
    // An edge that wrote none of it.
    let standing = async |content: &str| {
        let body = items("acme", content).to_string();
        let (_, answer) = system.post_to(&other, &system.token, "verify", body).await;
        let standing = answer["items"][0]["standing"].as_str();
        standing.map_or_else(|| answer.to_string(), str::to_owned)
    };
    let mut now = String::new();
    for _ in 0..300 {
        now = standing(TEXT).await;
        if now == "rolled_back" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(now, "rolled_back");
    assert_eq!(standing(NEW_TEXT).await, "agent");

    // Store and tables as they were after the first write.
    let set_back = "delete from ledger.memory_facts where version = 2;
        update ledger.memory_items set floor = 1, version = 1,
            head = (select record from ledger.memory_facts where version = 1)";
    system.cluster.psql(set_back).await.unwrap();
    // What the edge was told a moment ago it still goes by; after that, nothing is believed.
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        seen.insert(standing(TEXT).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!seen.contains("agent"), "{seen:?}");
    assert!(seen.contains("unsigned"), "{seen:?}");
    let (code, report) = system.proctor(&["audit", "verify"]).await;
    assert!(code != 0 && report.contains("memory"), "{report}");
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_of_such_stores_is_asked_with_a_token_and_in_good_form() {
    let system = System::start().await;
    let good = items("acme", TEXT).to_string();
    let refused = |token: &str, operation: &'static str, body: &str| {
        let (token, body) = (token.to_owned(), body.to_owned());
        let system = &system;
        async move { system.refused(&token, operation, &body).await }
    };
    let plans = system.session("s-2", "plans").await;
    for operation in ["write", "verify", "lineage"] {
        let (status, _) = refused("", operation, &good).await;
        assert_eq!(status, 401, "{operation}");
    }
    let (status, reason) = refused(&plans, "write", &good).await;
    assert_eq!((status, reason.as_str()), (403, "tool_not_in_token"));
    let token = system.token.clone();
    let store = good.replace("\"notes\"", "\"others\"");
    let (status, _) = refused(&token, "write", &store).await;
    assert!(status == 403 || status == 404, "{status}");
    assert_eq!(refused(&token, "forget", &good).await.0, 404);
    for bad in [
        "{",
        "[]",
        r#"{"items":[]}"#,
        r#"{"store":"notes","items":[]}"#,
        r#"{"store":"notes","items":[{"key":"","content":1}]}"#,
        r#"{"store":"notes","items":[{"key":1,"content":1}]}"#,
        r#"{"store":"notes","items":[{"key":"a"}]}"#,
        r#"{"store":"notes","store":"plans","items":[{"key":"a","content":1}]}"#,
        r#"{"store":"notes","items":[{"key":"a\u0000","content":1}]}"#,
        r#"{"store":"notes","items":[{"key":"a","content":"\ud800"}]}"#,
        r#"{"store":"notes/write","items":[{"key":"a","content":1}]}"#,
    ] {
        let (status, answer) = system.post(&token, "write", bad).await;
        assert_eq!(status, 400, "{bad}: {answer}");
    }
    // More than one call may write.
    let many: Vec<Value> = (0..65)
        .map(|n| json!({ "key": n.to_string(), "content": n }))
        .collect();
    let many = json!({ "store": "notes", "items": many }).to_string();
    assert_eq!(refused(&token, "write", &many).await.0, 400);
    oracle::settled(&system.cluster, Duration::from_secs(30))
        .await
        .unwrap();
    // Nothing was written by any of these.
    let items = system.cluster.acme(Method::GET, "memory/items", None).await;
    assert_eq!(items.unwrap()["items"], json!([]));
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn auditors_are_told_where_memory_comes_from() {
    let system = System::start().await;
    system.good("write", items("acme", TEXT)).await;
    system.good("verify", items("acme", TEXT)).await;
    let second = json!({ "store": "notes", "items": [
        { "key": "globex", "content": { "terms": TEXT, "days": 30 } },
        { "key": "acme", "content": NEW_TEXT },
    ] });
    let written = system.good("write", second).await;
    let item = written["records"][1]["item"].as_str().unwrap().to_owned();
    oracle::settled(&system.cluster, Duration::from_secs(30))
        .await
        .unwrap();

    // The admin API: lists in pages, names, tells; to auditors of this tenant.
    let api = async |path: &str| system.cluster.acme(Method::GET, path, None).await;
    let page = api("memory/items?limit=1").await.unwrap();
    let rest = format!("memory/items?after={}", page["next"].as_str().unwrap());
    let rest = api(&rest).await.unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");
    assert_eq!(rest["items"].as_array().unwrap().len(), 1, "{rest}");
    assert_eq!(rest["items"][0]["store"], "memory/notes");
    assert_eq!(
        api("memory/items?store=memory/plans").await.unwrap()["items"],
        json!([])
    );
    let name = json!({ "store": "memory/notes", "kind": "item", "key": ["acme"] });
    let named = system.cluster.acme(Method::POST, "memory/name", Some(name));
    assert_eq!(named.await.unwrap()["item"], item);
    let path = format!("memory/items/{item}/lineage");
    let told = api(&path).await.unwrap();
    assert_eq!((&told["version"], &told["item"]), (&json!(2), &json!(item)));
    let issuer = system.cluster.key("intent-issuer").await.unwrap();
    let zoo = json!({ "tenant": "zoo", "settings": {} });
    let zoo = system.cluster.api(Method::POST, "/v1/tenants", Some(zoo));
    zoo.await.unwrap();
    let key = json!({ "name": "eyes", "roles": ["auditor"] });
    let path_of_keys = "/v1/tenants/zoo/api-keys";
    let key = system.cluster.api(Method::POST, path_of_keys, Some(key));
    let stranger = key.await.unwrap()["key"].as_str().unwrap().to_owned();
    for (who, tenant, status) in [
        (&issuer, "acme", "403"),
        (&stranger, "acme", "404"),
        (&stranger, "zoo", "404"),
    ] {
        let path = format!("/v1/tenants/{tenant}/{path}");
        let asked = system.cluster.api_as(who, Method::GET, &path, None).await;
        let error = asked.unwrap_err().to_string();
        assert!(error.contains(status), "{tenant}: {error}");
    }

    // The command line.
    let (code, listed) = system.proctor(&["memory", "list"]).await;
    assert_eq!(code, 0, "{listed}");
    assert!(listed.contains(&item) && listed.contains("memory/notes/item version 2"));
    let by_key = [
        "memory",
        "lineage",
        "--store",
        "memory/notes",
        "--key",
        "acme",
    ];
    let (code, custody) = system.proctor(&by_key).await;
    assert_eq!(code, 0, "{custody}");
    let by_item = system.proctor(&["memory", "lineage", &item]).await;
    assert_eq!(by_item, (code, custody.clone()));
    for part in [
        "v1 ",
        "v2 ",
        &format!("by {AGENT} in s-1"),
        "with memory/notes/write",
        ": agent, seen nowhere before",
        "after reading ",
        "follows ",
    ] {
        assert!(custody.contains(part), "{part}: {custody}");
    }
    let unknown = "0".repeat(64);
    let (code, said) = system.proctor(&["memory", "lineage", &unknown]).await;
    assert!(code != 0 && said.contains("no such memory item"), "{said}");

    // Offline, by itself: as it is, in part, and not when it was touched.
    let (_, json) = system
        .proctor(&["memory", "lineage", &item, "--json"])
        .await;
    let file = system.cluster.dir.path().join("custody.json");
    let bundle: Value = serde_json::from_str(&json).unwrap();
    let mut part = bundle.clone();
    part["records"].as_array_mut().unwrap().remove(0);
    let mut touched = bundle.clone();
    touched["records"][0]["record"]["facts"][0]["trust"] = json!("verified");
    let mut claimed = bundle.clone();
    claimed["records"][1]["record"]["writer"]["agent"] = json!("somebody");
    for (bundle, sound) in [
        (&bundle, true),
        (&part, true),
        (&touched, false),
        (&claimed, false),
    ] {
        std::fs::write(&file, bundle.to_string()).unwrap();
        let key = &system.cluster.platform_keys[0];
        let verify = ["memory", "verify", file.to_str().unwrap(), "--key", key];
        let (code, said) = system.proctor(&verify).await;
        assert_eq!(code, if sound { 0 } else { 4 }, "{said}");
    }
    let wrong = [
        "memory",
        "verify",
        file.to_str().unwrap(),
        "--key",
        "A".repeat(43).as_str(),
    ]
    .map(str::to_owned);
    std::fs::write(&file, bundle.to_string()).unwrap();
    let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
    assert_ne!(system.proctor(&wrong).await.0, 0);
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_may_refuse_what_does_not_stand() {
    let system = System::with(json!({ "memory": { "action": "refuse" } })).await;
    system.good("write", items("acme", TEXT)).await;
    assert_eq!(system.standing("acme", TEXT).await, "agent");
    let verify = async |key: &str, content: &str| {
        let body = items(key, content).to_string();
        let (status, reason) = system.refused(&system.token, "verify", &body).await;
        assert_eq!(status, 403, "{key}: {reason}");
        reason
    };
    assert_eq!(verify("acme", NEW_TEXT).await, "memory_altered");
    assert_eq!(verify("globex", TEXT).await, "memory_unsigned");
    system.good("write", items("acme", NEW_TEXT)).await;
    assert_eq!(verify("acme", TEXT).await, "memory_rolled_back");
    assert_eq!(system.standing("acme", NEW_TEXT).await, "agent");
    // One that does not stand is enough.
    let both = json!({ "store": "notes", "items": [
        { "key": "acme", "content": NEW_TEXT },
        { "key": "globex", "content": TEXT },
    ] });
    let both = both.to_string();
    let refused = system.refused(&system.token, "verify", &both).await;
    assert_eq!(refused, (403, "memory_unsigned".to_owned()));
    oracle::settled(&system.cluster, Duration::from_secs(30))
        .await
        .unwrap();
    let path = "audit/events?limit=1000&kind=withheld&control=provenance";
    let events = system.cluster.acme(Method::GET, path, None).await.unwrap();
    assert_eq!(events["entries"].as_array().unwrap().len(), 4, "{events}");
    system.cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_may_refuse_what_does_not_stand() {
    let system = System::start().await;
    system.good("write", items("acme", TEXT)).await;
    // By the tenant's rule it is left out, and the rest is passed on.
    assert_eq!(system.standing("globex", TEXT).await, "unsigned");
    let source = "package proctor.policy\n\nimport rego.v1\n\n\
        decision := {\"effect\": \"deny\", \"reasons\": [\"unsigned\"]} if {\n\
        \tinput.memory.use == \"read\"\n\tinput.memory.unsigned > 0\n\
        } else := {\"effect\": \"allow\", \"reasons\": []}\n";
    let policy = json!({ "modules": [{ "name": "memory.rego", "source": source }] });
    let made = system
        .cluster
        .acme(Method::PUT, "policies/memory", Some(policy))
        .await
        .unwrap();
    let activate = format!("policies/memory/versions/{}/activate", made["version"]);
    let mode = json!({ "mode": "enforce" });
    let activated = system.cluster.acme(Method::POST, &activate, Some(mode));
    activated.await.unwrap();
    let unsigned = items("globex", TEXT).to_string();
    let mut last = (0, String::new());
    for _ in 0..300 {
        last = system.refused(&system.token, "verify", &unsigned).await;
        if last.0 != 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(last, (403, "policy_denied".to_owned()));
    // What stands is passed on, and writing is another matter.
    assert_eq!(system.standing("acme", TEXT).await, "agent");
    system.good("write", items("globex", TEXT)).await;
    assert_eq!(system.standing("globex", TEXT).await, "agent");
    system.cluster.stop().await;
}
