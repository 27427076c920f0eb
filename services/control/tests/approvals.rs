//! Calls that wait for a person, asked about as an edge asks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proctor_model::approval::{
    ApprovalAnswer, ApprovalOutcome, ApprovalRelease, ApprovalRequest, ApprovalUse,
};
use proctor_model::signed::{Document, Signer, Verifier};
use proctor_model::{ApprovalId, DecisionId, EdgeId, IntentId, Reason, RevocationId, TenantId};
use proctor_proto::v1::{self, enrolment_client::EnrolmentClient};
use proctor_runtime::Clock;
use proctor_runtime::nats::{NatsSettings, connect};
use proctor_runtime::seal::{APPROVAL_VIEW_INFO, Opener, approval_view_aad, seal};
use proctor_runtime::subjects;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::{Caller, Control, object};
use tonic::{Code, Status};

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// An edge, as far as control hears of one.
struct Edge {
    id: EdgeId,
    tenant: TenantId,
    signer: Signer,
    platform: Verifier,
    sealing_key: [u8; 32],
    nats: async_nats::Client,
    decisions: AtomicU64,
}

impl Edge {
    async fn enrol(control: &Control) -> Self {
        let join = v1::CreateJoinTokenRequest {
            role: "edge".into(),
            tenants: vec!["acme".into()],
            region: "local".into(),
        };
        let mut admin = control.admin.client.clone();
        let join = admin.create_join_token(control.admin.request(join)).await;
        let signer = Signer::from_seed(&[3; 32]).unwrap();
        let request = v1::EnrolRequest {
            join_token: join.unwrap().into_inner().join_token,
            signing_key: URL_SAFE_NO_PAD.decode(signer.public_key().key).unwrap(),
            sealing_key: Opener::from_private_key(&[1; 32]).public_key().to_vec(),
        };
        let address = format!("http://{}", control.handle.grpc_addr);
        let channel = proctor_runtime::grpc::channel(&address).unwrap();
        let edge = EnrolmentClient::new(channel).enrol(request).await.unwrap();
        let settings = NatsSettings::from_url(control.stack.nats_url().to_owned());
        Self {
            id: edge.into_inner().edge.parse().unwrap(),
            tenant: "acme".parse().unwrap(),
            signer,
            platform: Verifier::new(&control.handle.platform_keys).unwrap(),
            sealing_key: control.sealing_key(),
            nats: connect(&settings, "test").await.unwrap(),
            decisions: AtomicU64::new(1),
        }
    }

    fn decision(&self) -> DecisionId {
        let number = self.decisions.fetch_add(1, Ordering::Relaxed);
        uuid::Uuid::from_u128(number.into()).into()
    }

    /// A call that is escalated for these reasons.
    fn request(&self, covers: &[&str]) -> ApprovalRequest {
        self.request_of("sha256:00", covers)
    }

    fn request_of(&self, binding: &str, covers: &[&str]) -> ApprovalRequest {
        let binding = binding.to_owned();
        let aad = approval_view_aad(&self.tenant, &self.id, &binding);
        let view = seal(&self.sealing_key, APPROVAL_VIEW_INFO, &aad, b"{}").unwrap();
        let now = Clock::system().now();
        ApprovalRequest {
            tenant: self.tenant.clone(),
            edge: self.id.clone(),
            decision_id: self.decision(),
            at: now,
            args_digest: format!("arguments of {binding}"),
            binding,
            covers: covers.iter().map(|&reason| reason.to_owned()).collect(),
            agent: "bot".parse().unwrap(),
            delegation: Vec::new(),
            user: None,
            session: None,
            intent: None,
            token: vec![token()],
            root: None,
            nonce: None,
            login: None,
            tool: "worker/work".parse().unwrap(),
            until: now.plus_secs(600),
            question: "bot wants worker/work".to_owned(),
            sealed_view: URL_SAFE_NO_PAD.encode(view),
        }
    }

    /// The approval that the call waits for.
    async fn open(&self, request: &ApprovalRequest) -> ApprovalId {
        let subject = subjects::approval_request(&self.tenant, &self.id);
        let answer = self.ask(subject, request).await;
        assert_eq!(answer.outcome, ApprovalOutcome::Waiting);
        answer.approval.unwrap()
    }

    async fn use_up(&self, approval: &ApprovalId, covers: &[&str]) -> ApprovalOutcome {
        self.use_for(self.decision(), approval, covers).await
    }

    async fn use_for(
        &self,
        decision_id: DecisionId,
        approval: &ApprovalId,
        covers: &[&str],
    ) -> ApprovalOutcome {
        let request = self.request(covers);
        let using = ApprovalUse {
            tenant: request.tenant,
            edge: request.edge,
            decision_id,
            at: request.at,
            approval: approval.clone(),
            binding: request.binding,
            covers: request.covers,
            agent: request.agent,
            tool: request.tool,
            token: request.token,
        };
        let subject = subjects::approval_use(&self.tenant, &self.id);
        self.ask(subject, &using).await.outcome
    }

    async fn release(&self, decision_id: DecisionId, approval: &ApprovalId) -> ApprovalOutcome {
        let request = self.request(&[]);
        let released = ApprovalRelease {
            tenant: request.tenant,
            edge: request.edge,
            decision_id,
            at: request.at,
            approval: approval.clone(),
            binding: request.binding,
        };
        let subject = subjects::approval_release(&self.tenant, &self.id);
        self.ask(subject, &released).await.outcome
    }

    async fn ask<D: Document>(&self, subject: String, question: &D) -> ApprovalAnswer {
        let signed = self.signer.sign(question).unwrap();
        let began = Instant::now();
        loop {
            let asked = self.nats.request(subject.clone(), signed.clone().into());
            match asked.await {
                Ok(answer) => {
                    let text = std::str::from_utf8(&answer.payload).unwrap();
                    return self.platform.verify(text).unwrap();
                }
                // It may not listen yet.
                Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

fn token() -> RevocationId {
    "0".repeat(64).parse().unwrap()
}

/// A new key with one role; its id, and a caller with it.
async fn key(control: &Control, tenant: &str, role: &str, holder: &str) -> (String, Caller) {
    let request = v1::CreateApiKeyRequest {
        tenant: tenant.into(),
        name: "k".into(),
        roles: vec![role.into()],
        holder: holder.into(),
    };
    let mut admin = control.admin.client.clone();
    let made = admin.create_api_key(control.admin.request(request)).await;
    let made = made.unwrap().into_inner();
    let key = made.key.unwrap();
    assert_eq!(key.holder, holder);
    let caller = support::caller(&control.handle, &made.secret).await;
    (key.id, caller.unwrap())
}

/// A token that was minted with this key.
async fn minted(by: &Caller) -> RevocationId {
    let until = Clock::system().now().plus_secs(600);
    let request = v1::MintTokenRequest {
        tenant: "acme".into(),
        agent: "bot".into(),
        caveats: vec![format!("time < {until}"), "tool in worker/*".into()],
    };
    let minted = by.client.clone().mint_token(by.request(request)).await;
    minted.unwrap().into_inner().token_id.parse().unwrap()
}

/// An intent that was declared with this key.
async fn declared(by: &Caller) -> IntentId {
    let declaration = json!({
        "agent": "bot", "goal": "Do the work", "actions": [{ "tool": "worker/work" }], "expires_in_s": 600,
    });
    let request = v1::DeclareIntentRequest {
        tenant: "acme".into(),
        declaration: declaration.to_string().into_bytes(),
    };
    let declared = by.client.clone().declare_intent(by.request(request)).await;
    declared.unwrap().into_inner().id.parse().unwrap()
}

async fn decide(by: &Caller, id: &ApprovalId, verdict: &str) -> Result<String, Status> {
    let request = v1::DecideApprovalRequest {
        tenant: "acme".into(),
        id: id.to_string(),
        verdict: verdict.into(),
        comment: String::new(),
    };
    let decided = by.client.clone().decide_approval(by.request(request)).await;
    Ok(decided?.into_inner().state)
}

/// The tenant's admin events so far, as text.
async fn events(control: &Control) -> String {
    let mut database = PgConnection::connect(control.stack.postgres_url())
        .await
        .unwrap();
    let query = "select body from control.audit_outbox where tenant = 'acme' order by edge_seq";
    let bodies: Vec<Vec<u8>> = sqlx::query_scalar(query)
        .fetch_all(&mut database)
        .await
        .unwrap();
    String::from_utf8(bodies.concat()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_covers_too_little_gives_way() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let edge = Edge::enrol(&control).await;
    let approver = control.caller("acme", "approver").await;
    let state = async |id: &ApprovalId| {
        let request = approver.request(object("acme", id.as_str(), 0));
        let found = approver.client.clone().get_approval(request).await;
        let found = found.unwrap().into_inner();
        (found.state, found.view.is_empty())
    };
    let (two, one) = (["policy:p:first", "policy:p:leaving"], ["policy:p:leaving"]);
    let three = ["policy:p:first", "policy:p:leaving", "policy:p:late"];

    // A reason less: the same approval, while it waits and when it is approved.
    let first = edge.open(&edge.request(&two)).await;
    assert_eq!(edge.open(&edge.request(&one)).await, first);
    assert_eq!(
        decide(&approver, &first, "approve").await.unwrap(),
        "approved"
    );
    assert_eq!(edge.open(&edge.request(&one)).await, first);

    // A reason more: it is no good, and asked anew the agent is not sent back to it.
    let mismatch = ApprovalOutcome::Refused(Reason::ApprovalMismatch);
    assert_eq!(edge.use_up(&first, &three).await, mismatch);
    let second = edge.open(&edge.request(&three)).await;
    assert_ne!(second, first);
    assert_eq!(state(&first).await, ("superseded".to_owned(), true));
    let over = ApprovalOutcome::Refused(Reason::ApprovalExpired);
    assert_eq!(edge.use_up(&first, &one).await, over);
    let late = decide(&approver, &first, "approve").await.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition, "{late:?}");

    // So does one that still waits.
    let third = edge.open(&edge.request(&["policy:p:other"])).await;
    assert_eq!(state(&second).await, ("superseded".to_owned(), true));
    assert_eq!(
        decide(&approver, &third, "approve").await.unwrap(),
        "approved"
    );
    let used = edge.use_up(&third, &["policy:p:other"]).await;
    assert_eq!(used, ApprovalOutcome::Granted);

    let events = events(&control).await;
    assert_eq!(events.matches("approval.request").count(), 3);
    assert_eq!(events.matches("approval.supersede").count(), 2);
    assert_eq!(events.matches("approval.expire").count(), 0);
    let list = v1::ListApprovalsRequest {
        tenant: "acme".into(),
        state: "superseded".into(),
        ..Default::default()
    };
    let mut client = approver.client.clone();
    let listed = client.list_approvals(approver.request(list)).await.unwrap();
    let listed = listed.into_inner().approvals.into_iter();
    let listed: Vec<_> = listed.map(|one| one.id).collect();
    assert_eq!(listed, [first.to_string(), second.to_string()]);
}

/// The call of `request_of("sha256:00", …)` with another binding, of this session.
fn twin(edge: &Edge, binding: &str, session: Option<&str>) -> ApprovalRequest {
    ApprovalRequest {
        args_digest: "arguments of sha256:00".to_owned(),
        session: session.map(|session| session.parse().unwrap()),
        ..edge.request_of(binding, &["policy:p:x"])
    }
}

/// The same with a caveat appended to the token, another for each binding.
fn with_a_caveat(edge: &Edge, binding: &str) -> ApprovalRequest {
    let of_binding = binding.bytes().next_back().unwrap();
    let appended = format!("{of_binding:02x}").repeat(32);
    ApprovalRequest {
        token: vec![token(), appended.parse().unwrap()],
        ..twin(edge, binding, None)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_gives_way_to_another_one_and_not_to_a_refusal() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let edge = Edge::enrol(&control).await;
    let approver = control.caller("acme", "approver").await;
    let approved = edge.open(&edge.request(&["policy:p:x"])).await;
    assert_eq!(
        decide(&approver, &approved, "approve").await.unwrap(),
        "approved"
    );
    // Other sessions ask about the same call, but not any number of them.
    let backlog = ApprovalOutcome::Refused(Reason::ApprovalBacklog);
    let subject = || subjects::approval_request(&edge.tenant, &edge.id);
    for n in 1..8 {
        let (binding, session) = (format!("sha256:0{n}"), format!("ses_{n}"));
        edge.open(&twin(&edge, &binding, Some(&session))).await;
    }
    edge.open(&edge.request_of("sha256:0e", &["policy:p:x"]))
        .await;
    let eighth = twin(&edge, "sha256:08", Some("ses_8"));
    assert_eq!(edge.ask(subject(), &eighth).await.outcome, backlog);
    let used = edge.use_up(&approved, &["policy:p:x"]).await;
    assert_eq!(used, ApprovalOutcome::Granted);
    assert_eq!(
        edge.ask(subject(), &eighth).await.outcome,
        ApprovalOutcome::Waiting
    );
    let events = events(&control).await;
    assert_eq!(events.matches("approval.supersede").count(), 0);
}

/// What is appended to a token, or a policy that is another, gives a call another binding, and no second chance.
#[tokio::test(flavor = "multi_thread")]
async fn a_denial_ends_all_questions_about_a_call() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let edge = Edge::enrol(&control).await;
    let approver = control.caller("acme", "approver").await;
    let state = async |id: &ApprovalId| {
        let request = approver.request(object("acme", id.as_str(), 0));
        let found = approver.client.clone().get_approval(request).await;
        found.unwrap().into_inner().state
    };
    let covers = ["policy:p:x"];
    let appended = edge.open(&with_a_caveat(&edge, "sha256:0a")).await;
    let first = edge.open(&edge.request(&covers)).await;
    assert_eq!(state(&appended).await, "pending");

    let elsewhere = edge.open(&twin(&edge, "sha256:0b", Some("ses_2"))).await;
    let below = ApprovalRequest {
        delegation: vec!["helper".to_owned()],
        ..twin(&edge, "sha256:0c", None)
    };
    let below = edge.open(&below).await;
    let other_call = edge.open(&edge.request_of("sha256:0d", &covers)).await;
    let other_intent = ApprovalRequest {
        intent: Some("int_2".parse().unwrap()),
        ..twin(&edge, "sha256:0e", None)
    };
    let other_intent = edge.open(&other_intent).await;
    let other_token = ApprovalRequest {
        token: vec!["1".repeat(64).parse().unwrap()],
        ..twin(&edge, "sha256:0f", None)
    };
    let other_token = edge.open(&other_token).await;

    // One that is approved, and one that is used and might be given back, are denied with the one that waits.
    for id in [&first, &below] {
        assert_eq!(decide(&approver, id, "approve").await.unwrap(), "approved");
    }
    let decision = edge.decision();
    let granted = ApprovalOutcome::Granted;
    assert_eq!(edge.use_for(decision, &first, &covers).await, granted);
    let denied = decide(&approver, &elsewhere, "deny").await.unwrap();
    assert_eq!(denied, "denied");
    assert_eq!(state(&below).await, "denied");
    assert_eq!(state(&appended).await, "denied");
    let late = decide(&approver, &below, "approve").await.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition, "{late:?}");
    let over = ApprovalOutcome::Refused(Reason::ApprovalUsed);
    assert_eq!(edge.release(decision, &first).await, over);

    // Another call, intent or token is another question.
    for other in [&other_call, &other_intent, &other_token] {
        assert_eq!(state(other).await, "pending");
    }
    let events = events(&control).await;
    assert_eq!(events.matches("approval.supersede").count(), 0);
    assert_eq!(events.matches("approval.deny").count(), 3);
}

/// Two workers of one token without a session, each with a caveat of its own, wait for the same call.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_stays_when_the_same_call_is_asked_about_with_another_caveat() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let edge = Edge::enrol(&control).await;
    let approver = control.caller("acme", "approver").await;
    let covers = ["policy:p:x"];
    let first = edge.open(&edge.request(&covers)).await;
    let second = edge.open(&with_a_caveat(&edge, "sha256:0a")).await;
    assert_ne!(second, first);
    assert_eq!(edge.open(&edge.request(&covers)).await, first);
    assert_eq!(
        edge.open(&with_a_caveat(&edge, "sha256:0a")).await,
        second,
        "each comes back to its own"
    );
    for id in [&first, &second] {
        assert_eq!(decide(&approver, id, "approve").await.unwrap(), "approved");
    }
    let used = edge.use_up(&first, &covers).await;
    assert_eq!(used, ApprovalOutcome::Granted);
    let events = events(&control).await;
    assert_eq!(events.matches("approval.request").count(), 2);
    assert_eq!(events.matches("approval.supersede").count(), 0);
}

/// Under the policies of before nothing can be used: what waits under them takes nobody's room.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_under_other_policies_gives_way() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let edge = Edge::enrol(&control).await;
    let approver = control.caller("acme", "approver").await;
    for policies in 0..12 {
        for call in 0..10 {
            let binding = format!("sha256:{policies:02x}{call:02x}");
            let request = ApprovalRequest {
                args_digest: format!("arguments {call}"),
                ..edge.request_of(&binding, &["policy:p:x"])
            };
            let waiting = edge.open(&request).await;
            if call == 0 && policies == 6 {
                let approved = decide(&approver, &waiting, "approve").await.unwrap();
                assert_eq!(approved, "approved", "it stays");
            }
        }
    }
    let events = events(&control).await;
    assert_eq!(events.matches("approval.supersede").count(), 109);
}

/// Two workers of one token without a session, each with a caveat of its own, make the same call.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_approved_stays_when_the_same_call_is_asked_about() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let edge = Edge::enrol(&control).await;
    let approver = control.caller("acme", "approver").await;
    let covers = ["policy:p:x"];
    let approve = async |id: &ApprovalId| {
        assert_eq!(decide(&approver, id, "approve").await.unwrap(), "approved");
    };
    let first = edge.open(&edge.request(&covers)).await;
    approve(&first).await;
    for n in 1..8 {
        let binding = format!("sha256:0{n}");
        let waiting = edge.open(&twin(&edge, &binding, None)).await;
        approve(&waiting).await;
    }
    // They take the room of questions about the call, until they are used.
    let last = twin(&edge, "sha256:08", None);
    let subject = subjects::approval_request(&edge.tenant, &edge.id);
    let backlog = ApprovalOutcome::Refused(Reason::ApprovalBacklog);
    assert_eq!(edge.ask(subject, &last).await.outcome, backlog);
    let used = edge.use_up(&first, &covers).await;
    assert_eq!(used, ApprovalOutcome::Granted);
    let last = edge.open(&last).await;
    assert_eq!(events(&control).await.matches("supersede").count(), 0);

    // A denial ends all, approved or not.
    assert_eq!(decide(&approver, &last, "deny").await.unwrap(), "denied");
    assert_eq!(events(&control).await.matches("approval.deny").count(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_call_that_is_denied_elsewhere_is_not_made() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let edge = Edge::enrol(&control).await;
    let approver = control.caller("acme", "approver").await;
    let covers = ["policy:p:x"];
    let approved = edge.open(&edge.request(&covers)).await;
    let verdict = decide(&approver, &approved, "approve").await.unwrap();
    assert_eq!(verdict, "approved");
    let elsewhere = edge.open(&twin(&edge, "sha256:0a", Some("ses_2"))).await;
    assert_eq!(
        decide(&approver, &elsewhere, "deny").await.unwrap(),
        "denied"
    );
    let denied = ApprovalOutcome::Refused(Reason::ApprovalDenied);
    assert_eq!(edge.use_up(&approved, &covers).await, denied);
    let subject = subjects::approval_request(&edge.tenant, &edge.id);
    let more = edge.request(&["policy:p:x", "policy:p:late"]);
    assert_eq!(edge.ask(subject, &more).await.outcome, denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_decides_on_his_own_call_with_another_key() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let bot = json!({ "id": "bot" });
    control.admin.put_agent("acme", "bot", &bot).await.unwrap();
    let edge = Edge::enrol(&control).await;
    let (alice, carol) = ("alice@acme.example", "carol@acme.example");
    let (asking, asker) = key(&control, "acme", "tenant-admin", carol).await;
    let (_, backend) = key(&control, "acme", "tenant-admin", "").await;
    let request = |binding: &str| edge.request_of(binding, &["policy:p:x"]);
    let acted_for = ApprovalRequest {
        user: Some(alice.parse().unwrap()),
        ..request("sha256:0a")
    };
    let minted_for = ApprovalRequest {
        token: vec![token(), minted(&asker).await],
        ..request("sha256:0b")
    };
    let declared_for = ApprovalRequest {
        intent: Some(declared(&asker).await),
        ..request("sha256:0c")
    };
    let logged_in = ApprovalRequest {
        login: Some(alice.parse().unwrap()),
        ..request("sha256:0e")
    };
    let by_nobody = ApprovalRequest {
        token: vec![minted(&backend).await],
        ..request("sha256:0d")
    };
    // Who asked with it stays who asked.
    let delete = control.admin.request(object("acme", &asking, 0));
    let mut admin = control.admin.client.clone();
    admin.delete_api_key(delete).await.unwrap();

    let (_, bob) = key(&control, "acme", "approver", "bob@acme.example").await;
    for (request, own) in [
        (acted_for, alice),
        (logged_in, alice),
        (minted_for, carol),
        (declared_for, carol),
    ] {
        let id = edge.open(&request).await;
        for (tenant, role, holder) in [
            ("acme", "approver", own.to_owned()),
            ("acme", "tenant-admin", own.to_uppercase()),
            ("", "platform-admin", own.to_owned()),
        ] {
            let (_, own) = key(&control, tenant, role, &holder).await;
            for verdict in ["approve", "deny"] {
                let refused = decide(&own, &id, verdict).await.unwrap_err();
                assert_eq!(refused.code(), Code::PermissionDenied, "{holder} {role}");
            }
        }
        assert_eq!(decide(&bob, &id, "approve").await.unwrap(), "approved");
    }

    // Where a key names no holder, it is the key that counts.
    let id = edge.open(&by_nobody).await;
    let refused = decide(&backend, &id, "approve").await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let (_, another) = key(&control, "acme", "approver", "").await;
    assert_eq!(decide(&another, &id, "approve").await.unwrap(), "approved");
    assert!(
        events(&control)
            .await
            .contains(&format!("{asking} {carol}"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_call_asks_nobody_again_whatever_is_appended_to_its_token() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let edge = Edge::enrol(&control).await;
    let approver = control.caller("acme", "approver").await;
    let (root, appended) = (token(), "1".repeat(64).parse::<RevocationId>().unwrap());
    let request = |binding: &str, token: &[&RevocationId]| ApprovalRequest {
        token: token.iter().copied().cloned().collect(),
        args_digest: "sha256:01".to_owned(),
        ..edge.request_of(binding, &["policy:p:x"])
    };
    let first = edge.open(&request("sha256:0a", &[&root])).await;
    assert_eq!(decide(&approver, &first, "deny").await.unwrap(), "denied");

    let outcome = async |request: &ApprovalRequest| {
        let subject = subjects::approval_request(&edge.tenant, &edge.id);
        edge.ask(subject, request).await.outcome
    };
    let session = Some("ses_2".parse().unwrap());
    let login = Some(root.clone());
    for again in [
        request("sha256:0a", &[&root]),
        request("sha256:0b", &[&root, &appended]),
        ApprovalRequest {
            session,
            ..request("sha256:0c", &[&root])
        },
        ApprovalRequest {
            root: login,
            ..request("sha256:0d", &[&appended])
        },
    ] {
        let denied = ApprovalOutcome::Refused(Reason::ApprovalDenied);
        assert_eq!(outcome(&again).await, denied, "{}", again.binding);
    }
    let other_call = ApprovalRequest {
        args_digest: "sha256:02".to_owned(),
        ..request("sha256:0e", &[&root])
    };
    let other_intent = ApprovalRequest {
        intent: Some("int_2".parse().unwrap()),
        ..request("sha256:0f", &[&root])
    };
    for other in [other_call, other_intent, request("sha256:10", &[&appended])] {
        assert_eq!(
            outcome(&other).await,
            ApprovalOutcome::Waiting,
            "{}",
            other.binding
        );
    }
}

/// As if this much time had passed for all that was asked.
async fn later(control: &Control, seconds: f64) {
    let mut database = PgConnection::connect(control.stack.postgres_url())
        .await
        .unwrap();
    let query = "update control.approvals set created_at = created_at - make_interval(secs => $1),
         expires_at = expires_at - make_interval(secs => $1), ended_at = ended_at - make_interval(secs => $1)";
    sqlx::query(query)
        .bind(seconds)
        .execute(&mut database)
        .await
        .unwrap();
}

/// A token can be made to end sooner by whoever has it. What is denied meanwhile is denied for the tenant's time (900 s) from then on.
#[tokio::test(flavor = "multi_thread")]
async fn a_denial_outlives_the_token_that_its_question_was_asked_with() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let edge = Edge::enrol(&control).await;
    let approver = control.caller("acme", "approver").await;
    let outcome = async |request: &ApprovalRequest| {
        let subject = subjects::approval_request(&edge.tenant, &edge.id);
        edge.ask(subject, request).await.outcome
    };
    let denied = ApprovalOutcome::Refused(Reason::ApprovalDenied);
    let brief = |request: ApprovalRequest| ApprovalRequest {
        token: vec![token(), "1".repeat(64).parse().unwrap()],
        until: request.at.plus_secs(60),
        ..request
    };

    let plain = edge.request_of("sha256:0a", &["policy:p:x"]);
    let asked = brief(ApprovalRequest {
        args_digest: plain.args_digest.clone(),
        ..edge.request_of("sha256:0b", &["policy:p:x"])
    });
    let asked = edge.open(&asked).await;
    assert_eq!(decide(&approver, &asked, "deny").await.unwrap(), "denied");
    later(&control, 61.0).await;
    assert_eq!(outcome(&plain).await, denied);
    later(&control, 840.0).await;
    assert_eq!(outcome(&plain).await, ApprovalOutcome::Waiting);

    // It makes no difference how long before that it was asked, and what is denied along with it.
    let first = edge.open(&edge.request(&["policy:p:x"])).await;
    later(&control, 500.0).await;
    edge.open(&brief(twin(&edge, "sha256:0c", Some("ses_2"))))
        .await;
    assert_eq!(decide(&approver, &first, "deny").await.unwrap(), "denied");
    let again = twin(&edge, "sha256:0d", None);
    later(&control, 420.0).await;
    assert_eq!(outcome(&again).await, denied);
    later(&control, 481.0).await;
    assert_eq!(outcome(&again).await, ApprovalOutcome::Waiting);
}

/// Who can make a question brief does not get to ask it until somebody tires: a person says no to what is over as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_over_can_be_denied() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let edge = Edge::enrol(&control).await;
    let approver = control.caller("acme", "approver").await;
    let outcome = async |request: &ApprovalRequest| {
        let subject = subjects::approval_request(&edge.tenant, &edge.id);
        edge.ask(subject, request).await.outcome
    };
    let denied = ApprovalOutcome::Refused(Reason::ApprovalDenied);
    let closed = async |id: &ApprovalId, verdict: &str, why: &str| {
        let late = decide(&approver, id, verdict).await.unwrap_err();
        assert_eq!(late.code(), Code::FailedPrecondition, "{late:?}");
        assert!(late.message().contains(why), "{late:?}");
    };

    // It has expired. The tenant's time runs from the denial on.
    let asked = edge.request_of("sha256:01", &["policy:p:x"]);
    let brief = ApprovalRequest {
        until: asked.at.plus_secs(60),
        ..asked.clone()
    };
    let expired = edge.open(&brief).await;
    later(&control, 890.0).await;
    closed(&expired, "approve", "expired").await;
    let decided = decide(&approver, &expired, "deny").await.unwrap();
    assert_eq!(decided, "denied");
    closed(&expired, "deny", "denied").await;
    assert_eq!(outcome(&asked).await, denied);
    later(&control, 870.0).await;
    assert_eq!(outcome(&asked).await, denied);
    later(&control, 31.0).await;
    assert_eq!(outcome(&asked).await, ApprovalOutcome::Waiting);

    // It gave way. The call is denied with it, however it was asked about since.
    let superseded = edge.open(&edge.request(&["policy:p:x"])).await;
    let next = edge.request(&["policy:p:x", "policy:p:late"]);
    let anew = edge.open(&next).await;
    let waiting = edge.open(&with_a_caveat(&edge, "sha256:0a")).await;
    closed(&superseded, "approve", "superseded").await;
    let decided = decide(&approver, &superseded, "deny").await.unwrap();
    assert_eq!(decided, "denied");
    for id in [&anew, &waiting] {
        closed(id, "approve", "denied").await;
    }
    assert_eq!(outcome(&next).await, denied);
    let events = events(&control).await;
    assert_eq!(events.matches("approval.deny").count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_whose_call_was_not_made_is_given_back_by_whoever_used_it() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let edge = Edge::enrol(&control).await;
    let approver = control.caller("acme", "approver").await;
    let covers = ["policy:p:x"];
    let id = edge.open(&edge.request(&covers)).await;
    let used = ApprovalOutcome::Refused(Reason::ApprovalUsed);
    let (first, second) = (edge.decision(), edge.decision());
    assert_eq!(edge.release(first, &id).await, used, "it is not approved");
    assert_eq!(decide(&approver, &id, "approve").await.unwrap(), "approved");
    assert_eq!(edge.release(first, &id).await, used, "it is not used");
    let granted = ApprovalOutcome::Granted;
    assert_eq!(edge.use_for(first, &id, &covers).await, granted);
    assert_eq!(
        edge.release(second, &id).await,
        used,
        "for another decision"
    );
    assert_eq!(edge.release(first, &id).await, ApprovalOutcome::Waiting);
    assert_eq!(edge.release(first, &id).await, used, "once");

    assert_eq!(edge.use_for(second, &id, &covers).await, granted);
    // Its call was asked about anew meanwhile: there is one approval for it at a time.
    let next = edge.open(&edge.request(&covers)).await;
    assert_ne!(next, id);
    assert_eq!(edge.release(second, &id).await, used);
    assert_eq!(edge.use_up(&id, &covers).await, used);
    let events = events(&control).await;
    assert_eq!(events.matches("approval.release").count(), 1);
    assert_eq!(events.matches("approval.use").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_approvers_are_two_people() {
    let control = Control::start().await;
    let mut admin = control.admin.client.clone();
    let request = v1::CreateTenantRequest {
        tenant: "acme".into(),
        settings: br#"{"approvals": {"approvers": 2}}"#.to_vec(),
        ..Default::default()
    };
    let request = control.admin.request(request);
    admin.create_tenant(request).await.unwrap();
    let edge = Edge::enrol(&control).await;
    let (_, first) = key(&control, "acme", "approver", "dana@acme.example").await;
    let (_, second) = key(&control, "acme", "approver", "Dana@acme.example").await;
    let (_, bob) = key(&control, "acme", "approver", "bob@acme.example").await;
    let (_, one) = key(&control, "acme", "approver", "").await;
    let (_, other) = key(&control, "acme", "approver", "").await;
    let asked = async |binding: &str| edge.open(&edge.request_of(binding, &["policy:p:x"])).await;

    for (binding, then) in [("sha256:0a", &bob), ("sha256:0b", &one)] {
        let id = asked(binding).await;
        assert_eq!(decide(&first, &id, "approve").await.unwrap(), "pending");
        for again in [&first, &second] {
            let refused = decide(again, &id, "approve").await.unwrap_err();
            assert_eq!(refused.code(), Code::AlreadyExists);
        }
        assert_eq!(decide(then, &id, "approve").await.unwrap(), "approved");
    }
    // Of keys that name no holder two are two.
    let id = asked("sha256:0c").await;
    assert_eq!(decide(&one, &id, "approve").await.unwrap(), "pending");
    assert_eq!(decide(&other, &id, "approve").await.unwrap(), "approved");
    // Who has approved may still deny, with whichever key.
    let id = asked("sha256:0d").await;
    assert_eq!(decide(&first, &id, "approve").await.unwrap(), "pending");
    assert_eq!(decide(&second, &id, "deny").await.unwrap(), "denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keys_holder_is_a_user_id_and_is_listed() {
    let control = Control::start().await;
    control.tenant("acme").await;
    let mut admin = control.admin.client.clone();
    let request = v1::CreateApiKeyRequest {
        tenant: "acme".into(),
        name: "k".into(),
        roles: vec!["approver".into()],
        holder: "alice smith".into(),
    };
    let request = control.admin.request(request);
    let refused = admin.create_api_key(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().starts_with("holder: "), "{refused:?}");
    key(&control, "acme", "viewer", "").await;
    key(&control, "acme", "viewer", "alice@acme.example").await;
    let request = control.admin.request(support::list("acme"));
    let listed = admin.list_api_keys(request).await.unwrap().into_inner();
    let listed: Vec<_> = listed.keys.into_iter().map(|key| key.holder).collect();
    assert_eq!(listed, ["", "alice@acme.example"]);
}
