//! What a session remembers of its calls and their answers.

use super::{Caller, Gateway};
use crate::world::Loaded;
use proctor_engine::{Channel, Permit, Reading, Release};
use std::sync::PoisonError;

impl Gateway {
    /// A permitted call belongs to its session's history from the start: the next decision may depend on it.
    pub(super) fn note_call(&self, caller: &Caller, loaded: &Loaded, permit: &Permit) {
        let tenant = &caller.tenant;
        let tool = loaded.tenant.catalogue().get(permit.tool());
        if let (Some(keys), Some(tool)) = (tenant.keys(), tool) {
            let intent = caller.token.intent().and_then(|id| tenant.intent(id));
            let session = tenant
                .sessions
                .of(&caller.token, intent.as_deref(), &keys.digest_key);
            let mut session = session.write().unwrap_or_else(PoisonError::into_inner);
            session.history.note_call(tool, self.clock.now());
        }
    }

    /// What the agent is about to read goes into its session's memory first: the next decision has to know of it.
    pub(super) fn note_reading(
        &self,
        caller: &Caller,
        loaded: &Loaded,
        permit: &Permit,
        release: &Release,
    ) {
        let tenant = &caller.tenant;
        let (Some(keys), Some(tool)) =
            (tenant.keys(), loaded.tenant.catalogue().get(permit.tool()))
        else {
            return;
        };
        let intent = caller.token.intent().and_then(|id| tenant.intent(id));
        let intent = intent.as_deref();
        let session = tenant.sessions.of(&caller.token, intent, &keys.digest_key);
        session
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .read(&Reading {
                tool,
                arguments: permit.arguments(),
                intent,
                result: release.body(),
                rows: release.findings().rows,
                error: release.channel() == Channel::Error,
                memory: release.memory(),
            });
        tenant.sessions.grown(&caller.token, intent, &session);
    }
}
