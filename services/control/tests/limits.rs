//! Documents that can't be stored, published or compiled are refused with what is wrong, before anything changes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use proctor_model::catalogue::ToolDefinition;
use proctor_proto::v1;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use support::{Control, object, put};
use tonic::{Code, Status};

const POLICY: &str = "package proctor.policy\ndecision := {\"effect\": \"allow\"}\n";

fn refused<T>(answer: Result<T, Status>, names: &str) {
    let status = answer.err().expect("it is refused");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains(names), "{}", status.message());
}

fn policy(data: Value) -> Value {
    json!({ "modules": [{ "name": "p.rego", "source": POLICY }], "data": data })
}

async fn activate(control: &Control, id: &str, version: u32) -> Result<(), Status> {
    let request = v1::ActivatePolicyRequest {
        tenant: "acme".into(),
        id: id.into(),
        version,
        mode: "enforce".into(),
    };
    let request = control.admin.request(request);
    let active = control.admin.client.clone().activate_policy(request).await;
    active.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_could_not_be_published_is_refused() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let admin = &control.admin;
    // Under base64url, 1,000,000 signed bytes are some 750,000.
    let long = "x".repeat(60_000);
    let mut made = 0;
    let refusal = loop {
        let id = format!("agent-{made}");
        let agent = json!({ "id": id, "display_name": long });
        match admin.put_agent("acme", &id, &agent).await {
            Ok(_) => made += 1,
            Err(status) => break status,
        }
        assert!(made < 20, "there is a limit");
    };
    refused(Err::<(), _>(refusal), "larger than 1000000 bytes");
    assert_eq!(made, 12);
    let before = admin.get_tenant("acme").await.unwrap().config_version;
    // A policy that fits by itself, but not beside the agents.
    let data = json!({ "list": vec![long.clone(); 2] });
    refused(
        admin.put_policy("acme", "p", &policy(data)).await,
        "larger than",
    );
    let after = admin.get_tenant("acme").await.unwrap().config_version;
    assert_eq!(before, after, "what is refused changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_policy_that_no_longer_compiles_is_not_activated() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let admin = &control.admin;
    let made = admin.put_policy("acme", "p", &policy(Value::Null)).await;
    assert_eq!(made.unwrap().version, 1);
    activate(&control, "p", 1).await.unwrap();
    admin
        .put_policy("acme", "p", &policy(Value::Null))
        .await
        .unwrap();
    let mut database = PgConnection::connect(control.stack.postgres_url())
        .await
        .unwrap();
    sqlx::query("update control.policies set document = jsonb_set(document, '{modules,0,source}', '\"package x {\"') where version = 2")
        .execute(&mut database)
        .await
        .unwrap();
    refused(activate(&control, "p", 2).await, "p does not compile");
    let request = v1::PolicyVersionRequest {
        tenant: "acme".into(),
        id: "p".into(),
        version: 1,
    };
    let first = admin
        .client
        .clone()
        .get_policy_version(admin.request(request))
        .await;
    assert_eq!(first.unwrap().into_inner().state, "active");
}

/// An entry of a catalogue whose definition is approved as it is.
fn approved(definition: &Value) -> Value {
    let read: ToolDefinition = serde_json::from_value(definition.clone()).unwrap();
    json!({ "definition": definition, "definition_digest": read.digest() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_no_edge_could_use_is_not_approved() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let admin = &control.admin;
    let put_server = async |tool: Value| {
        let upstream = json!({ "kind": "mcp-http", "url": "https://crm.example/mcp" });
        let server = json!({ "id": "crm", "upstream": upstream, "tools": [tool] });
        let request = admin.request(put("acme", "crm", &server, 0));
        admin.client.clone().put_server(request).await
    };
    let (good, bad) = (json!({ "type": "object" }), json!({ "type": "objekt" }));
    let input = json!({ "name": "work", "input_schema": bad });
    let output = json!({ "name": "work", "input_schema": good, "output_schema": bad });
    for (definition, at) in [(&input, "/inputSchema"), (&output, "/outputSchema")] {
        let names = format!("tools[0].definition: {at}: not a valid JSON Schema");
        refused(put_server(approved(definition)).await, &names);
    }
    // What is held back may be there, to be looked at.
    put_server(json!({ "definition": input })).await.unwrap();
    let definition = json!({ "name": "work", "input_schema": good, "output_schema": good });
    put_server(approved(&definition)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_never_comes_again() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let admin = &control.admin;
    let agent = json!({ "id": "helper" });
    let mut seen = Vec::new();
    for _ in 0..3 {
        for _ in 0..2 {
            let made = admin.put_agent("acme", "helper", &agent).await.unwrap();
            assert!(!seen.contains(&made.version), "{seen:?} {}", made.version);
            seen.push(made.version);
        }
        let delete = admin.request(object("acme", "helper", *seen.last().unwrap()));
        admin.client.clone().delete_agent(delete).await.unwrap();
    }
    admin.put_agent("acme", "helper", &agent).await.unwrap();
    for stale in seen {
        let request = admin.request(put("acme", "helper", &agent, stale));
        let answer = admin.client.clone().put_agent(request).await;
        assert_eq!(answer.unwrap_err().code(), Code::Aborted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postgres_cannot_hold_is_the_callers_mistake() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let admin = &control.admin;
    let agent = json!({ "id": "helper", "display_name": "a\0b" });
    refused(admin.put_agent("acme", "helper", &agent).await, "U+0000");
    refused(admin.get_agent("acme", "a\0b").await, "U+0000");
    refused(
        admin
            .put_policy("acme", "p", &policy(json!({ "x": "a\0b" })))
            .await,
        "U+0000",
    );
    let request = v1::CreateApiKeyRequest {
        tenant: "acme".into(),
        name: "a\0b".into(),
        roles: vec!["viewer".into()],
        ..Default::default()
    };
    let made = admin
        .client
        .clone()
        .create_api_key(admin.request(request))
        .await;
    refused(made, "U+0000");
    let request = v1::CreateTenantRequest {
        tenant: "other".into(),
        display_name: "a\0b".into(),
        settings: Vec::new(),
    };
    let made = admin
        .client
        .clone()
        .create_tenant(admin.request(request))
        .await;
    refused(made, "U+0000");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_read_strictly() {
    let control = Control::start().await;
    control.tenant("acme").await;
    for (settings, names) in [
        (r#"{"max_stalenes_s":10}"#, "max_stalenes_s"),
        (r#"{"intent":"optional"}"#, "optional"),
        (r#"{"max_staleness_s":1,"max_staleness_s":2}"#, "settings"),
        (r#"{"max_staleness_s":-1}"#, "settings"),
        ("[]", "settings"),
    ] {
        let request = v1::UpdateTenantRequest {
            tenant: "acme".into(),
            settings: settings.into(),
            ..Default::default()
        };
        let admin = &control.admin;
        let changed = admin
            .client
            .clone()
            .update_tenant(admin.request(request))
            .await;
        refused(changed, names);
        let request = v1::CreateTenantRequest {
            tenant: "other".into(),
            settings: settings.into(),
            ..Default::default()
        };
        let made = admin
            .client
            .clone()
            .create_tenant(admin.request(request))
            .await;
        refused(made, names);
    }
}
