//! Connections for whoever reads the chains: other ones than those that append, so that no auditor holds up the audit, and
//! a part of them for each tenant, so that none holds up the others.

use super::{ACQUIRE_TIMEOUT, Store, TenantTx, pool};
use crate::LedgerError;
use proctor_model::TenantId;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections for all readers.
const CONNECTIONS_MAX: u32 = 12;
/// Reads of one tenant at once; one more waits.
const READS_MAX: usize = 3;
const _: () = assert!(READS_MAX * 2 < CONNECTIONS_MAX as usize);
/// Tenants whose readers are counted, before those without any are forgotten.
const TENANTS_MAX: usize = 1_000;

/// The readers' connections.
pub(super) struct Readers {
    pool: PgPool,
    shares: Mutex<HashMap<TenantId, Arc<Semaphore>>>,
}

pub(super) fn pool_of_readers(options: PgConnectOptions) -> PgPool {
    pool(CONNECTIONS_MAX).connect_lazy_with(options)
}

impl Readers {
    pub(super) fn new(pool: PgPool) -> Self {
        Self {
            pool,
            shares: Mutex::default(),
        }
    }

    fn share(&self, tenant: &TenantId) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if shares.len() >= TENANTS_MAX {
            shares.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let share = shares.entry(tenant.clone());
        Arc::clone(share.or_insert_with(|| Arc::new(Semaphore::new(READS_MAX))))
    }
}

impl Store {
    /// A transaction to read in for as long as it takes; within the tenant's part of the connections.
    pub(crate) async fn reading(&self, tenant: &TenantId) -> Result<TenantTx, LedgerError> {
        let share = self.share(tenant).await?;
        let tx = self.readers.pool.begin().await?;
        TenantTx::within(tx, tenant, Some(share)).await
    }

    /// The same, in which all is as it was at one instant.
    pub(crate) async fn snapshot(&self, tenant: &TenantId) -> Result<TenantTx, LedgerError> {
        let share = self.share(tenant).await?;
        let begin = "begin isolation level repeatable read read only";
        let tx = self.readers.pool.begin_with(begin).await?;
        TenantTx::within(tx, tenant, Some(share)).await
    }

    async fn share(&self, tenant: &TenantId) -> Result<OwnedSemaphorePermit, LedgerError> {
        let share = self.readers.share(tenant).acquire_owned();
        match tokio::time::timeout(ACQUIRE_TIMEOUT, share).await {
            Ok(Ok(share)) => Ok(share),
            Ok(Err(_)) | Err(_) => Err(LedgerError::Busy),
        }
    }

    /// A transaction to read one page in, for those who follow a chain: there are only so many of them.
    pub(crate) async fn glancing(&self, tenant: &TenantId) -> Result<TenantTx, LedgerError> {
        TenantTx::within(self.readers.pool.begin().await?, tenant, None).await
    }
}
