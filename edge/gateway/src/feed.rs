//! Signed news from control: followed on NATS, checked, and put into the [`world`](crate::world).
//!
//! Nothing is believed that control did not sign for this purpose, and no older version than was ever seen here, not
//! even after a restart: the newest numbers are on disk before they are used.

mod seen;
mod space;
mod tenant;
#[cfg(test)]
mod tests;

use crate::identity::Identity;
use crate::world::{TenantState, Tenants};
use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proctor_model::TenantId;
use proctor_model::config::Assignment;
use proctor_model::kill::KillSwitches;
use proctor_model::signed::Verifier;
use proctor_runtime::Clock;
use proctor_runtime::admin::ReadyFlag;
use proctor_runtime::subjects::{self, ConfigSubject};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Whose receipts count, and which certificate goes with whose lane.
#[derive(Default)]
pub(crate) struct Assigned {
    /// Of the assignment that says so.
    pub(crate) version: u64,
    pub(crate) ledgers: Verifier,
    /// The newest certificate that names the tenant: also for what is left to send of tenants that were taken away.
    pub(crate) certificates: HashMap<TenantId, String>,
    /// The newest certificate.
    pub(crate) certificate: String,
    /// Nodes of the counter.
    pub(crate) counters: Vec<String>,
}

pub(crate) struct Feed {
    pub(crate) identity: Arc<Identity>,
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) clock: Clock,
    pub(crate) nats: async_nats::Client,
    /// Where the newest numbers are kept.
    pub(crate) dir: PathBuf,
    pub(crate) assigned: Arc<ArcSwap<Assigned>>,
    pub(crate) ready: ReadyFlag,
    followed: Mutex<Followed>,
    /// Held while the newest number of the platform's kill switch is compared and written.
    platform_seen: Mutex<()>,
}

#[derive(Default)]
struct Followed {
    version: u64,
    /// The platform's kill switch, for tenants that are yet to come.
    platform_kill: Option<KillSwitches>,
    tenants: HashMap<TenantId, (Arc<TenantState>, CancellationToken)>,
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("it is no document of control's")]
    Signed(#[from] proctor_model::signed::SignedError),
    #[error("it is for somebody else than its subject says")]
    Foreign,
    #[error("it is older than what was seen here before")]
    Older,
    #[error(
        "it is of a time that this machine's clock has not reached: calls are refused while the clock is so far behind"
    )]
    Ahead,
    #[error("it can't be opened with this edge's key")]
    Sealed,
    #[error("it can't be used")]
    Unusable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("what was seen can't be kept on disk")]
    Disk(#[from] std::io::Error),
}

impl Feed {
    pub(crate) fn new(
        identity: Arc<Identity>,
        tenants: Arc<Tenants>,
        clock: Clock,
        nats: async_nats::Client,
        dir: PathBuf,
        ready: ReadyFlag,
        assigned: Arc<ArcSwap<Assigned>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            identity,
            tenants,
            clock,
            nats,
            dir,
            assigned,
            ready,
            followed: Mutex::default(),
            platform_seen: Mutex::default(),
        })
    }

    /// Follows this edge's assignment, and each tenant in it, until `shutdown`.
    pub(crate) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let space = subjects::edge_space(&self.identity.edge);
        let (to, mut news) = mpsc::channel(space::WAITING);
        tokio::spawn(space::follow(
            self.nats.clone(),
            space,
            shutdown.clone(),
            to,
        ));
        tokio::spawn(Arc::clone(&self).follow_platform(shutdown.clone()));
        while let Some((subject, payload)) = news.recv().await {
            let ConfigSubject::Assignment(edge) = subject else {
                continue;
            };
            if edge == self.identity.edge
                && let Err(why) = self.assign(&payload, &shutdown)
            {
                report(&format!("assignment of {edge}"), &why);
            }
        }
    }

    /// Follows the platform's own kill switch.
    async fn follow_platform(self: Arc<Self>, shutdown: CancellationToken) {
        let space = subjects::tenant_space(&TenantId::platform());
        let (to, mut news) = mpsc::channel(space::WAITING);
        tokio::spawn(space::follow(self.nats.clone(), space, shutdown, to));
        while let Some((subject, payload)) = news.recv().await {
            if let ConfigSubject::Kill(_) = subject
                && let Err(why) = self.kill_platform(&payload)
            {
                report("the platform's kill switch", &why);
            }
        }
    }

    fn kill_platform(&self, payload: &str) -> Result<(), Refused> {
        let switches: KillSwitches = self.identity.platform.verify(payload)?;
        if !switches.tenant.is_platform() {
            return Err(Refused::Foreign);
        }
        let version = switches.version;
        seen::Seen::load(&self.dir, "platform")?.check(|seen| &mut seen.kill, version)?;
        // In force before it is on disk, as a tenant's.
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        for (state, _) in followed.tenants.values() {
            state.set_kill(switches.clone());
        }
        let newer = |known: &KillSwitches| known.version >= version;
        if !followed.platform_kill.as_ref().is_some_and(newer) {
            followed.platform_kill = Some(switches);
        }
        drop(followed);
        self.platform_kill_seen(version)
    }

    /// Takes a version of the platform's kill switch that is at least the newest that was seen here.
    fn platform_kill_seen(&self, version: u64) -> Result<(), Refused> {
        let _one_at_a_time = self.platform_seen.lock();
        seen::Seen::load(&self.dir, "platform")?.raise(|seen| &mut seen.kill, version)
    }

    /// Begins with the last assignment from disk: so that from the first moment on it is known into whose chain a
    /// refusal goes.
    pub(crate) fn recall(self: &Arc<Self>, shutdown: &CancellationToken) {
        match seen::certificates(&self.dir) {
            Ok(certificates) => self.assigned.store(Arc::new(Assigned {
                certificates,
                ..Assigned::default()
            })),
            Err(error) => report("the certificates on disk", &error.into()),
        }
        let recalled = match seen::recall(&self.dir) {
            Ok(Some(payload)) => self.assign(&payload, shutdown),
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(why) = recalled {
            report("the assignment on disk", &why);
        }
    }

    fn assign(
        self: &Arc<Self>,
        payload: &str,
        shutdown: &CancellationToken,
    ) -> Result<(), Refused> {
        let assignment: Assignment = self.identity.platform.verify(payload)?;
        if assignment.edge != self.identity.edge {
            return Err(Refused::Foreign);
        }
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = seen::Seen::load(&self.dir, "assignment")?;
        seen.check(|seen| &mut seen.assignment, assignment.version)?;
        if assignment.version < followed.version {
            return Err(Refused::Older);
        }
        // Before the number: from then on the assignment on disk, which may be all that names them, counts as older.
        let mut certificates = self.assigned.load().certificates.clone();
        for (tenant, certificate) in &certificates {
            if !assignment.tenants.contains(tenant) {
                seen::keep_certificate(&self.dir, tenant, certificate)?;
            }
        }
        seen.raise(|seen| &mut seen.assignment, assignment.version)?;
        seen::keep(&self.dir, payload)?;
        followed.version = assignment.version;
        certificates.extend(
            assignment
                .tenants
                .iter()
                .map(|tenant| (tenant.clone(), assignment.certificate.clone())),
        );
        self.assigned.store(Arc::new(Assigned {
            version: assignment.version,
            ledgers: Verifier::new(&assignment.ledger_keys)?,
            certificates,
            certificate: assignment.certificate.clone(),
            counters: assignment.counters.clone(),
        }));
        followed.tenants.retain(|tenant, (_, stop)| {
            let stays = assignment.tenants.contains(tenant);
            if !stays {
                stop.cancel();
                self.tenants.upstreams.drop_tenant(tenant);
            }
            stays
        });
        let Followed {
            tenants,
            platform_kill,
            ..
        } = &mut *followed;
        for tenant in &assignment.tenants {
            tenants
                .entry(tenant.clone())
                .or_insert_with(|| self.begin(tenant, platform_kill.as_ref(), shutdown));
        }
        let key = assignment.approvals_key.as_ref();
        let key = key.and_then(|key| URL_SAFE_NO_PAD.decode(key).ok());
        self.tenants
            .set_approvals_key(key.and_then(|key| key.try_into().ok()));
        let states = followed
            .tenants
            .iter()
            .map(|(tenant, (state, _))| (tenant.clone(), Arc::clone(state)));
        self.tenants.set(states.collect());
        self.ready.ready();
        Ok(())
    }

    fn begin(
        self: &Arc<Self>,
        tenant: &TenantId,
        platform_kill: Option<&KillSwitches>,
        shutdown: &CancellationToken,
    ) -> (Arc<TenantState>, CancellationToken) {
        let state = Arc::new(TenantState::new(tenant.clone(), self.clock.clone()));
        if let Some(switches) = platform_kill {
            state.set_kill(switches.clone());
        }
        let stop = shutdown.child_token();
        tokio::spawn(tenant::run(
            Arc::clone(self),
            Arc::clone(&state),
            stop.clone(),
        ));
        (state, stop)
    }
}

fn report(what: &str, why: &Refused) {
    let cause = std::error::Error::source(why)
        .map(ToString::to_string)
        .unwrap_or_default();
    tracing::warn!(what, %why, cause, "news was refused");
    metrics::counter!("proctor_edge_news_refused_total").increment(1);
}
