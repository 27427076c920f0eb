//! One tenant's documents.

use super::seen::Seen;
use super::{Feed, Refused, report, space};
use crate::control_time::is_behind;
use crate::world::{Heard, Keys, Loaded, TenantState};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proctor_engine::{CompiledIntent, CompiledTenant};
use proctor_model::TenantId;
use proctor_model::config::{Heartbeat, Revocation, SealedKeys, TenantConfig, TokenKeys};
use proctor_model::intent::Intent;
use proctor_model::kill::KillSwitches;
use proctor_runtime::seal::{TOKEN_KEYS_INFO, token_keys_aad};
use proctor_runtime::subjects::{self, ConfigSubject};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(super) async fn run(feed: Arc<Feed>, state: Arc<TenantState>, stop: CancellationToken) {
    let space = subjects::tenant_space(&state.id);
    let (to, mut news) = mpsc::channel(space::WAITING);
    tokio::spawn(space::follow(feed.nats.clone(), space, stop, to));
    while let Some((subject, payload)) = news.recv().await {
        let what = subject.to_string();
        let taken = match subject {
            ConfigSubject::Config(_) => config(&feed, &state, &payload).await,
            ConfigSubject::Keys(_, edge) if edge == feed.identity.edge => {
                keys(&feed, &state, &payload)
            }
            ConfigSubject::Intent(..) => intent(&feed, &state, &payload),
            ConfigSubject::Revocation(_, number) => revocation(&feed, &state, number, &payload),
            ConfigSubject::Heartbeat(_) => heartbeat(&feed, &state, &payload),
            ConfigSubject::Kill(_) => kill(&feed, &state, &payload),
            ConfigSubject::Keys(..) | ConfigSubject::Assignment(_) => Ok(()),
        };
        if let Err(why) = taken {
            report(&what, &why);
        }
    }
}

fn same(state: &TenantState, tenant: &TenantId) -> Result<(), Refused> {
    if *tenant == state.id {
        Ok(())
    } else {
        Err(Refused::Foreign)
    }
}

fn seen(feed: &Feed, state: &TenantState) -> Result<Seen, Refused> {
    Ok(Seen::load(&feed.dir, &format!("tenant-{}", state.id))?)
}

async fn config(feed: &Feed, state: &TenantState, payload: &str) -> Result<(), Refused> {
    let config: TenantConfig = feed.identity.platform.verify(payload)?;
    same(state, &config.tenant)?;
    if state
        .loaded()
        .is_some_and(|loaded| loaded.tenant.version() == config.version)
    {
        return Ok(());
    }
    let version = config.version;
    let mut seen = seen(feed, state)?;
    // Compiling policies takes milliseconds: not on a thread that serves calls.
    let compile = tokio::task::spawn_blocking(move || {
        CompiledTenant::compile(&config).map(|tenant| (config.servers, tenant))
    });
    let compiled = compile
        .await
        .map_err(|error| Refused::Unusable(error.into()))?;
    let (servers, tenant) = compiled.map_err(|error| Refused::Unusable(error.into()))?;
    seen.raise(|seen| &mut seen.config, version)?;
    for (tool, held) in tenant.catalogue().problems() {
        tracing::warn!(tenant = %state.id, %tool, ?held, "a tool is held back");
    }
    let servers = feed.tenants.upstreams.wire(&state.id, &servers);
    state.set_loaded(Loaded { tenant, servers });
    tracing::info!(tenant = %state.id, version, "configuration in force");
    Ok(())
}

fn keys(feed: &Feed, state: &TenantState, payload: &str) -> Result<(), Refused> {
    let sealed: SealedKeys = feed.identity.platform.verify(payload)?;
    same(state, &sealed.tenant)?;
    if sealed.edge != feed.identity.edge {
        return Err(Refused::Foreign);
    }
    let mut bytes = URL_SAFE_NO_PAD
        .decode(&sealed.enc)
        .map_err(|_| Refused::Sealed)?;
    bytes.extend(
        URL_SAFE_NO_PAD
            .decode(&sealed.ciphertext)
            .map_err(|_| Refused::Sealed)?,
    );
    let aad = token_keys_aad(&state.id, &feed.identity.edge);
    let opened = feed
        .identity
        .opener
        .open(TOKEN_KEYS_INFO, &aad, &bytes)
        .map_err(|_| Refused::Sealed)?;
    let keys: TokenKeys = serde_json::from_slice(&opened).map_err(|_| Refused::Sealed)?;
    seen(feed, state)?.raise(|seen| &mut seen.keys, sealed.version)?;
    feed.tenants
        .upstreams
        .vault(&state.id)
        .set(keys.secrets.clone());
    state.set_keys(Keys::new(&state.id, sealed.version, &keys));
    Ok(())
}

fn intent(feed: &Feed, state: &TenantState, payload: &str) -> Result<(), Refused> {
    let intent: Intent = feed.identity.platform.verify(payload)?;
    same(state, &intent.tenant)?;
    if intent.expires_at <= feed.clock.now() {
        return Ok(());
    }
    let compiled =
        CompiledIntent::compile(intent).map_err(|error| Refused::Unusable(error.into()))?;
    state.add_intent(compiled);
    Ok(())
}

fn revocation(feed: &Feed, state: &TenantState, number: u64, payload: &str) -> Result<(), Refused> {
    let revocation: Revocation = feed.identity.platform.verify(payload)?;
    same(state, &revocation.tenant)?;
    if revocation.seq != number {
        return Err(Refused::Foreign);
    }
    state.revoke(number, revocation.revocation_id, revocation.until);
    Ok(())
}

fn kill(feed: &Feed, state: &TenantState, payload: &str) -> Result<(), Refused> {
    let switches: KillSwitches = feed.identity.platform.verify(payload)?;
    same(state, &switches.tenant)?;
    let (mut seen, version) = (seen(feed, state)?, switches.version);
    seen.check(|seen| &mut seen.kill, version)?;
    // In force before it is on disk: what stops calls must not wait for a slow one. If we crash in between, the next
    // heartbeat names the version that we have to have.
    state.set_kill(switches);
    seen.raise(|seen| &mut seen.kill, version)
}

fn heartbeat(feed: &Feed, state: &TenantState, payload: &str) -> Result<(), Refused> {
    let heartbeat: Heartbeat = feed.identity.platform.verify(payload)?;
    same(state, &heartbeat.tenant)?;
    // Who is that far behind would take for good what is long over, and does not know how old its news are.
    if is_behind(feed.clock.now(), heartbeat.at) {
        return Err(Refused::Ahead);
    }
    let mut seen = seen(feed, state)?;
    // Its numbers are control's own: one that knows less than we have seen is a played-back one.
    seen.raise(|seen| &mut seen.revocation, heartbeat.revocation_seq)?;
    seen.raise(|seen| &mut seen.kill, heartbeat.kill_version)?;
    feed.platform_kill_seen(heartbeat.platform_kill_version)?;
    state.heard(Heard {
        config_version: heartbeat.config_version,
        revocation_seq: heartbeat.revocation_seq,
        revocations: heartbeat.revocations,
        kill_version: heartbeat.kill_version,
        platform_kill_version: heartbeat.platform_kill_version,
        at: heartbeat.at,
        received: feed.clock.monotonic(),
    });
    let control_time = &feed.tenants.control_time;
    control_time.heard(heartbeat.at);
    state.forget(control_time.over(feed.clock.now()));
    Ok(())
}
