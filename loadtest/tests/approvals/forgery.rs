//! Approvals that somebody on the wire would like to give.

use super::system::{System, VALUE};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt;
use serde_json::json;
use std::time::Duration;

/// The payload of a JWS.
fn signed(message: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(message).ok()?;
    let payload = URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?).ok()?;
    String::from_utf8(payload).ok()
}

/// Somebody with NATS' password reads no value there, approves nothing, and gets nothing through.
#[tokio::test(flavor = "multi_thread")]
async fn nats_is_not_trusted() {
    let system = System::start(json!({})).await;
    let first = &system.urls[0];
    let (user, password) = system.cluster.nats.user_and_password();
    let options = async_nats::ConnectOptions::with_user_and_password(user, password);
    let address = format!("127.0.0.1:{}", system.cluster.nats.port());
    let rogue = options.connect(address).await.unwrap();
    let mut questions = rogue.subscribe("approvals.>").await.unwrap();
    let mut answers = rogue.subscribe("edge-inbox.>").await.unwrap();
    rogue.flush().await.unwrap();
    let token = system.token(json!({}), &[]).await;
    let arguments = json!({ "id": VALUE, "amount": 700 });
    let id = system.escalate(first, &token, arguments.clone()).await;
    let question = questions.next().await.unwrap();
    // Other signed documents pass here as well.
    let answer = loop {
        let heard = answers.next().await.unwrap();
        if signed(&heard.payload).is_some_and(|payload| payload.contains("\"outcome\"")) {
            break heard;
        }
    };
    for message in [&question, &answer] {
        let payload = signed(&message.payload).unwrap();
        assert!(
            payload.contains("sha256:") && !payload.contains(VALUE),
            "{payload}"
        );
    }

    // An edge's question, altered, or asked in the name of somebody else, gets no answer.
    let mut altered = question.payload.to_vec();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    let subject = question.subject.to_string();
    let elsewhere = subject.replace("acme", "other");
    let using = subject.replace(".request", ".use");
    for (subject, payload) in [
        (&subject, altered),
        (&elsewhere, question.payload.to_vec()),
        (&using, question.payload.to_vec()),
        (&using, b"{}".to_vec()),
    ] {
        let asked = rogue.request(subject.clone(), payload.into());
        let answered = tokio::time::timeout(Duration::from_millis(500), asked).await;
        assert!(answered.is_err(), "{subject}");
    }

    // Who answers instead of control, with a grant of its own or with what control said before, is not believed.
    let forger = tokio::spawn(async move {
        let grant = r#"{"outcome":"granted"}"#.as_bytes().to_vec();
        let mut lies = [grant, answer.payload.to_vec()].into_iter().cycle();
        while let Some(question) = questions.next().await {
            if let (Some(reply), Some(lie)) = (question.reply, lies.next()) {
                rogue.publish(reply, lie.into()).await.unwrap();
                rogue.flush().await.unwrap();
            }
        }
    });
    for _ in 0..10 {
        let told = system
            .call(first, &token, arguments.clone(), Some(&id))
            .await;
        assert!(
            matches!(told.as_str(), "approval_unavailable" | "approval_pending"),
            "{told}"
        );
    }
    assert_eq!(system.executed(700), 0);
    forger.abort();
    system.stop().await;
}
