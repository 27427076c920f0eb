//! Tells control what this edge sees of the tool servers: how they do, and which definitions differ from what was
//! approved. Nothing waits for it, and nothing is decided by it.

use super::Upstreams;
use crate::identity::Identity;
use proctor_model::sighting::{Health, Sighting};
use proctor_model::{ServerId, TenantId};
use proctor_runtime::{Clock, subjects};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often it is looked at what the servers show.
const LOOK: Duration = Duration::from_secs(2);
/// How often control is told though nothing changed.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// How long control may take to say that it has it.
const ANSWER: Duration = Duration::from_secs(2);

/// What was told of a server last, but for the time.
struct Told {
    sighting: Sighting,
    at: Instant,
}

/// Looks until `stop`.
pub(crate) async fn lookout(
    identity: Arc<Identity>,
    upstreams: &Upstreams,
    nats: async_nats::Client,
    clock: Clock,
    stop: CancellationToken,
) {
    let mut told: HashMap<(TenantId, ServerId), Told> = HashMap::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let servers = upstreams.all();
        told.retain(|whose, _| servers.iter().any(|(known, _)| known == whose));
        let (mut count, mut differing) = ([0_u32; 3], 0_usize);
        for (whose, server) in servers {
            let Some((health, seen, more)) = server.sighted() else {
                continue;
            };
            let slot = match health {
                Health::Up => 0,
                Health::CircuitOpen => 1,
                Health::Unseen => 2,
            };
            if let Some(count) = count.get_mut(slot) {
                *count = count.saturating_add(1);
            }
            differing = differing.saturating_add(seen.len());
            let sighting = Sighting {
                tenant: whose.0.clone(),
                edge: identity.edge.clone(),
                server: whose.1.clone(),
                at: clock.now(),
                health,
                seen,
                more,
                left_out: server.left_out(),
            };
            let known = told.get(&whose).is_some_and(|last| {
                let same = Sighting {
                    at: last.sighting.at,
                    ..sighting.clone()
                };
                same == last.sighting && last.at.elapsed() < TELL_AGAIN
            });
            // What did not arrive is told again at the next look.
            if !known && tell(&identity, &nats, &sighting).await {
                let at = Instant::now();
                told.insert(whose, Told { sighting, at });
            }
        }
        for (state, count) in ["up", "circuit_open", "unseen"].into_iter().zip(count) {
            metrics::gauge!("proctor_edge_upstreams", "state" => state).set(count);
        }
        let differing = u32::try_from(differing).unwrap_or(u32::MAX);
        metrics::gauge!("proctor_edge_definitions_differing").set(differing);
    }
}

/// Whether control has it.
async fn tell(identity: &Identity, nats: &async_nats::Client, sighting: &Sighting) -> bool {
    let signed = match identity.signer.sign(sighting) {
        Ok(signed) => signed,
        Err(error) => {
            tracing::warn!(%error, server = %sighting.server, "what a tool server shows could not be told");
            return true;
        }
    };
    let subject = subjects::sightings(&sighting.tenant, &identity.edge);
    let asked = nats.request(subject, signed.into());
    tokio::time::timeout(ANSWER, asked)
        .await
        .is_ok_and(|answer| answer.is_ok())
}
