//! Who may do what, over gRPC: nobody, another tenant, a lesser right.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't be set up fails"
)]

#[path = "support/mod.rs"]
mod support;

use proctor_proto::v1;
use serde_json::json;
use support::{Control, list, object};
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn only_a_principal_token_of_ours_opens_anything() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let admin = &control.admin;
    let request = v1::TenantRequest {
        tenant: "acme".into(),
    };
    let bare = admin.client.clone().get_tenant(request).await.unwrap_err();
    assert_eq!(bare.code(), Code::Unauthenticated);
    let (signed, signature) = admin.token().rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let unsigned = format!("eyJhbGciOiJub25lIn0.{payload}.");
    let flipped = format!(
        "{header}.{payload}.{}",
        signature.chars().rev().collect::<String>()
    );
    for token in ["x", &unsigned, &flipped] {
        let refused = admin
            .with_token(token)
            .get_tenant("acme")
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{token}");
    }
    for key in ["", "pak_", "pak_AAAA", "x"] {
        let refused = support::caller(&control.handle, key).await.err().unwrap();
        assert_eq!(refused.code(), Code::Unauthenticated, "{key}");
    }
    assert_eq!(admin.get_tenant("acme").await.unwrap().tenant, "acme");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_is_given_out_once() {
    let control = Control::start().await;
    assert!(control.handle.bootstrap_api_key().await.unwrap().is_none());
}

fn kill(tenant: &str, scope: &str, object: &str) -> v1::KillRequest {
    v1::KillRequest {
        tenant: tenant.into(),
        scope: scope.into(),
        object: object.into(),
        note: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_stop_what_and_decide() {
    let control = Control::start().await;
    control.tenant("acme").await;
    for (role, kills, decides) in [
        ("viewer", false, false),
        ("operator", true, false),
        ("policy-admin", false, false),
        ("auditor", false, false),
        ("approver", false, true),
        ("intent-issuer", false, false),
        ("tenant-admin", true, true),
    ] {
        let caller = control.caller("acme", role).await;
        let mut client = caller.client.clone();
        let request = kill("acme", "agent", "bot");
        let engaged = client.engage_kill(caller.request(request.clone())).await;
        let released = client.release_kill(caller.request(request)).await;
        let listed = v1::ListApprovalsRequest {
            tenant: "acme".into(),
            ..Default::default()
        };
        let listed = client.list_approvals(caller.request(listed)).await;
        for (what, allowed, refusal) in [
            ("engage", kills, engaged.err()),
            ("release", kills, released.err()),
            ("approvals", decides, listed.err()),
        ] {
            let code = refusal.map(|status| status.code());
            assert_eq!(
                code,
                (!allowed).then_some(Code::PermissionDenied),
                "{role} {what}"
            );
        }
    }
    let mut admin = control.admin.client.clone();
    for (tenant, scope, object) in [
        ("acme", "platform", ""),
        ("", "tenant", ""),
        ("", "agent", "bot"),
        ("acme", "agent", ""),
        ("acme", "tool", "bank"),
        ("acme", "edge", "e"),
    ] {
        let request = control.admin.request(kill(tenant, scope, object));
        let refused = admin.engage_kill(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{scope} {object}");
    }
    let off = control.admin.request(kill("acme", "tenant", ""));
    let refused = admin.release_kill(off).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "it is not on");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_looks_like_none_at_all() {
    let control = Control::start().await;
    control.tenant("a").await;
    control.tenant("b").await;
    let bot = json!({"id": "bot"});
    let made = control.admin.put_agent("b", "bot", &bot).await.unwrap();
    let mut a = control.caller("a", "tenant-admin").await;
    let unknown = a.get_tenant("nowhere").await.unwrap_err();
    assert_eq!(
        (unknown.code(), unknown.message()),
        (Code::NotFound, "no such tenant")
    );

    let caller = a.clone();
    macro_rules! hidden {
        ($($call:ident($message:expr)),+ $(,)?) => {$(
            let refused = a.client.$call(caller.request($message)).await.unwrap_err();
            assert_eq!((refused.code(), refused.message()), (Code::NotFound, "no such tenant"), stringify!($call));
        )+};
    }
    let tenant = || "b".to_owned();
    let document = || support::put("b", "bot", &json!({"id": "bot"}), 0);
    hidden!(
        get_tenant(v1::TenantRequest { tenant: tenant() }),
        update_tenant(v1::UpdateTenantRequest {
            tenant: tenant(),
            ..Default::default()
        }),
        put_agent(document()),
        get_agent(object("b", "bot", 0)),
        list_agents(list("b")),
        delete_agent(object("b", "bot", 0)),
        put_server(document()),
        get_server(object("b", "bot", 0)),
        list_servers(list("b")),
        delete_server(object("b", "bot", 0)),
        import_open_api(v1::ImportOpenApiRequest {
            tenant: tenant(),
            ..Default::default()
        }),
        put_issuer(document()),
        get_issuer(object("b", "bot", 0)),
        list_issuers(list("b")),
        delete_issuer(object("b", "bot", 0)),
        put_policy(document()),
        get_policy_version(v1::PolicyVersionRequest {
            tenant: tenant(),
            id: "p".into(),
            version: 1
        }),
        list_policies(list("b")),
        activate_policy(v1::ActivatePolicyRequest {
            tenant: tenant(),
            id: "p".into(),
            version: 1,
            mode: "enforce".into()
        }),
        deactivate_policy(object("b", "p", 0)),
        mint_token(v1::MintTokenRequest {
            tenant: tenant(),
            agent: "bot".into(),
            caveats: vec![]
        }),
        revoke(v1::RevokeRequest {
            tenant: tenant(),
            revocation_id: "0".repeat(64),
            token: String::new()
        }),
        list_revocations(list("b")),
        rotate_key(v1::RotateKeyRequest {
            tenant: tenant(),
            overlap_s: 0
        }),
        list_keys(list("b")),
        declare_intent(v1::DeclareIntentRequest {
            tenant: tenant(),
            declaration: vec![]
        }),
        get_intent(object("b", "int_x", 0)),
        put_content_rules(support::put("b", "", &json!({}), 0)),
        get_content_rules(object("b", "", 0)),
        delete_content_rules(object("b", "", 0)),
        test_content_rules(v1::TestContentRulesRequest {
            tenant: tenant(),
            ..Default::default()
        }),
        put_secret(v1::PutSecretRequest {
            tenant: tenant(),
            name: "x".into(),
            hosts: vec!["x.example".into()],
            value: "x".into()
        }),
        list_secrets(list("b")),
        delete_secret(object("b", "x", 0)),
        extract_intent(v1::ExtractIntentRequest {
            tenant: tenant(),
            ..Default::default()
        }),
        list_approvals(v1::ListApprovalsRequest {
            tenant: tenant(),
            ..Default::default()
        }),
        get_approval(object("b", "apr_x", 0)),
        decide_approval(v1::DecideApprovalRequest {
            tenant: tenant(),
            ..Default::default()
        }),
        engage_kill(kill("b", "tenant", "")),
        release_kill(kill("b", "tenant", "")),
        list_kills(v1::TenantRequest { tenant: tenant() }),
        create_api_key(v1::CreateApiKeyRequest {
            tenant: tenant(),
            name: "x".into(),
            roles: vec!["viewer".into()],
            ..Default::default()
        }),
        list_api_keys(list("b")),
        delete_api_key(object("b", "x", 0)),
        name_memory_item(v1::NameMemoryItemRequest {
            tenant: tenant(),
            store: "notes".into(),
            kind: "item".into(),
            key: b"[1]".to_vec()
        }),
    );
    // What a tenant's administrator may not do at all, it may not do to the platform either.
    for refused in [
        a.client.list_tenants(caller.request(list(""))).await.err(),
        a.client
            .create_tenant(caller.request(v1::CreateTenantRequest {
                tenant: "c".into(),
                ..Default::default()
            }))
            .await
            .err(),
        a.client.list_edges(caller.request(list(""))).await.err(),
        a.client
            .create_join_token(caller.request(v1::CreateJoinTokenRequest {
                role: "edge".into(),
                tenants: vec![tenant()],
                region: "r".into(),
            }))
            .await
            .err(),
        a.client.list_api_keys(caller.request(list(""))).await.err(),
        a.client
            .engage_kill(caller.request(kill("", "platform", "")))
            .await
            .err(),
        a.client
            .release_kill(caller.request(kill("", "platform", "")))
            .await
            .err(),
    ] {
        let code = refused.unwrap().code();
        assert!(
            matches!(code, Code::PermissionDenied | Code::NotFound),
            "{code:?}"
        );
    }
    assert_eq!(control.admin.get_agent("b", "bot").await.unwrap(), made);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_what_it_is_for_and_no_more() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let agent = json!({"id": "bot"});
    let policy = json!({"modules": [{"name": "p.rego", "source": "package proctor.policy\nimport rego.v1\ndecision := {\"effect\": \"allow\"}\n"}]});
    for (role, reads, writes_agents, writes_policies, makes_keys) in [
        ("viewer", true, false, false, false),
        ("operator", true, true, false, false),
        ("policy-admin", true, false, true, false),
        ("auditor", true, false, false, false),
        ("intent-issuer", false, false, false, false),
        ("tenant-admin", true, true, true, true),
    ] {
        let caller = control.caller("acme", role).await;
        let key = v1::CreateApiKeyRequest {
            tenant: "acme".into(),
            name: "k".into(),
            roles: vec!["viewer".into()],
            ..Default::default()
        };
        let update = v1::UpdateTenantRequest {
            tenant: "acme".into(),
            ..Default::default()
        };
        let mut client = caller.client.clone();
        for (what, allowed, refusal) in [
            ("read", reads, caller.get_tenant("acme").await.err()),
            (
                "agents",
                writes_agents,
                caller.put_agent("acme", "bot", &agent).await.err(),
            ),
            (
                "policies",
                writes_policies,
                caller.put_policy("acme", "p", &policy).await.err(),
            ),
            (
                "keys",
                makes_keys,
                client.create_api_key(caller.request(key)).await.err(),
            ),
            (
                "tenant",
                makes_keys,
                client.update_tenant(caller.request(update)).await.err(),
            ),
        ] {
            let code = refusal.map(|status| status.code());
            assert_eq!(
                code,
                (!allowed).then_some(Code::PermissionDenied),
                "{role} {what}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_key_cannot_hold_a_platform_role() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let mut caller = control.caller("acme", "tenant-admin").await;
    for role in ["platform-admin", "root", ""] {
        let key = v1::CreateApiKeyRequest {
            tenant: "acme".into(),
            name: "k".into(),
            roles: vec![role.into()],
            ..Default::default()
        };
        let request = caller.request(key);
        assert_eq!(
            caller
                .client
                .create_api_key(request)
                .await
                .unwrap_err()
                .code(),
            Code::InvalidArgument,
            "{role}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_makes_or_takes_away_a_key_that_can_do_more() {
    let control = Control::start().await;
    let key = |roles: &[&str]| v1::CreateApiKeyRequest {
        tenant: String::new(),
        name: "k".into(),
        roles: roles.iter().map(|role| (*role).into()).collect(),
        ..Default::default()
    };
    let mut admin = control.admin.client.clone();
    let mut make = async |roles: &[&str]| {
        let request = control.admin.request(key(roles));
        let made = admin.create_api_key(request).await.unwrap().into_inner();
        (made.key.unwrap().id, made.secret)
    };
    let (_, secret) = make(&["tenant-admin"]).await;
    let (mightier, _) = make(&["viewer", "platform-admin"]).await;
    let (equal, _) = make(&["tenant-admin"]).await;
    // All tenants, but not the platform.
    let mut caller = support::caller(&control.handle, &secret).await.unwrap();
    for (roles, allowed) in [
        (&["platform-admin"][..], false),
        (&["viewer", "platform-admin"], false),
        (&["tenant-admin"], true),
        (&["operator", "intent-issuer"], true),
    ] {
        let request = caller.request(key(roles));
        let refused = caller.client.create_api_key(request).await.err();
        let code = refused.map(|status| status.code());
        assert_eq!(
            code,
            (!allowed).then_some(Code::PermissionDenied),
            "{roles:?}"
        );
    }
    for (id, code) in [(&mightier, Some(Code::PermissionDenied)), (&equal, None)] {
        let request = caller.request(object("", id, 0));
        let refused = caller.client.delete_api_key(request).await.err();
        assert_eq!(refused.map(|status| status.code()), code);
    }
    let listed = admin.list_api_keys(control.admin.request(list(""))).await;
    let listed = listed.unwrap().into_inner().keys;
    assert!(listed.iter().any(|key| key.id == mightier));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_opens_nothing() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let request = v1::CreateApiKeyRequest {
        tenant: "acme".into(),
        name: "k".into(),
        roles: vec!["viewer".into()],
        ..Default::default()
    };
    let mut admin = control.admin.client.clone();
    let made = admin
        .create_api_key(control.admin.request(request))
        .await
        .unwrap()
        .into_inner();
    assert!(support::caller(&control.handle, &made.secret).await.is_ok());
    let listed = admin
        .list_api_keys(control.admin.request(list("acme")))
        .await
        .unwrap()
        .into_inner()
        .keys;
    assert_eq!(listed.len(), 1);
    let id = made.key.unwrap().id;
    admin
        .delete_api_key(control.admin.request(object("acme", &id, 0)))
        .await
        .unwrap();
    assert_eq!(
        support::caller(&control.handle, &made.secret)
            .await
            .err()
            .unwrap()
            .code(),
        Code::Unauthenticated
    );
    let again = admin
        .delete_api_key(control.admin.request(object("acme", &id, 0)))
        .await
        .unwrap_err();
    assert_eq!(again.code(), Code::NotFound);
}
