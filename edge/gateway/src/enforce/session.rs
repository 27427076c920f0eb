//! What a session remembers of the answers to its calls.

use super::Gateway;
use super::dialogue::Exchange;
use proctor_engine::{Channel, Reading, Release};
use proctor_model::EntryKind;
use serde_json::{Map, Value, json};
use std::sync::PoisonError;

impl Gateway {
    /// What the agent is about to read goes into its session's memory first: the next decision has to know of it.
    pub(super) fn note_reading(&self, exchange: &Exchange<'_>, release: &Release) {
        let Exchange {
            recorded,
            caller,
            loaded,
            sitting,
            permitted,
            ..
        } = exchange;
        let (tenant, permit) = (&caller.tenant, recorded.permit());
        let Some(tool) = loaded.tenant.catalogue().get(permit.tool()) else {
            return;
        };
        let intent = sitting.intent.as_deref();
        let kind = tool.reference().name.kind();
        let blocks = as_blocks(kind, release.body());
        let reading = Reading {
            tool,
            arguments: permit.arguments(),
            intent,
            result: blocks.as_ref().unwrap_or(release.body()),
            rows: release.findings().rows_at_most(),
            error: release.channel() == Channel::Error,
            memory: release.memory(),
        };
        let session = &sitting.session;
        let grown = {
            let mut tracker = session.write().unwrap_or_else(PoisonError::into_inner);
            let (before, reads) = (tracker.len(), tracker.history.reads());
            match release.channel() {
                Channel::Result | Channel::Error => tracker.read(&reading),
                Channel::Note | Channel::Question | Channel::Task => tracker.overhear(&reading),
            }
            if let Some(original) = release.original() {
                let blocks = as_blocks(kind, original);
                let result = blocks.as_ref().unwrap_or(original);
                match release.channel() {
                    Channel::Result | Channel::Error => tracker.see(&Reading { result, ..reading }),
                    Channel::Note | Channel::Question | Channel::Task => {
                        // Its rows were counted.
                        let rows = 0;
                        tracker.overhear(&Reading {
                            result,
                            rows,
                            ..reading
                        });
                    }
                }
            }
            // While nobody else is judged in this session.
            permitted.note_said(session, tracker.history.reads().since(reads));
            before..tracker.len()
        };
        tenant
            .sessions
            .grown(&caller.token, intent, session, &grown);
    }
}

/// What a resource or a prompt holds, as the blocks that a tool would have answered with: read by the same rules.
fn as_blocks(kind: EntryKind, body: &Map<String, Value>) -> Option<Map<String, Value>> {
    let member = match kind {
        EntryKind::Tool => return None,
        EntryKind::Resource => "contents",
        EntryKind::Prompt => "messages",
    };
    let elements = body.get(member)?.as_array()?.iter();
    let blocks = elements.map(|element| match kind {
        EntryKind::Prompt => element.get("content").cloned().unwrap_or_default(),
        _ => json!({ "type": "resource", "resource": element }),
    });
    let mut read = body.clone();
    read.remove(member);
    read.insert("content".into(), blocks.collect());
    Some(read)
}
