//! Retention: months whose entries go from the database to files. Their proofs stay: tiles and checkpoints are not touched.
//!
//! A file is a bundle like any export, and is verified before its month is dropped. If we crash before the commit, the
//! month is still there and the file is written again.

use crate::bundle::{FORMAT, Header, Trust, hex_all, verify};
use crate::checkpoint::VerifierKey;
use crate::store::{Store, TenantTx};
use crate::{LedgerConfig, LedgerError};
use proctor_model::{DeploymentId, TenantId};
use sha2::{Digest, Sha256};
use sqlx::types::time::Date;
use sqlx::{Connection, Executor, PgConnection};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Entries that are read at a time.
const PAGE: i64 = 1_000;
/// Most checkpoints in a header, besides the newest.
const CHECKPOINTS_MAX: i64 = 5_000;

/// A month can't be archived.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The database.
    #[error("the database")]
    Ledger(#[from] LedgerError),
    /// A file.
    #[error("a file")]
    Io(#[from] std::io::Error),
    /// The present month, or one to come.
    #[error("only months that are over can be archived")]
    NotOver,
    /// A chain's entries of that month are not all sealed, or an earlier month is still there.
    #[error(
        "tenant {0}: its entries of that month are not all sealed, or an earlier month is not archived yet"
    )]
    NotReady(TenantId),
    /// There are entries of that month in the database that are in no file: nothing was dropped.
    #[error("entries of that month came in the meantime: nothing was dropped, try again")]
    Grown,
    /// The bundle is not sound: nothing was dropped.
    #[error("tenant {tenant}: what would be archived is not sound: {finding}")]
    NotSound {
        /// Whose.
        tenant: TenantId,
        /// What is wrong.
        finding: String,
    },
}

impl From<sqlx::Error> for ArchiveError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}

/// A file that was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Archived {
    /// Whose entries.
    pub tenant: TenantId,
    /// The first one.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// Where they are.
    pub file: PathBuf,
}

/// Moves all tenants' entries of a month (its first day) to files below `dir`, and drops the month. `config` has to name
/// the schema's owner.
///
/// # Errors
/// If the month is not over, not sealed, not sound, or something can't be written; then it is still there.
pub async fn archive(
    config: &LedgerConfig,
    month: Date,
    dir: &Path,
) -> Result<Vec<Archived>, ArchiveError> {
    let store = Store::connect(&config.database_url).await?;
    if !store.is_over(month).await? {
        return Err(ArchiveError::NotOver);
    }
    let mut written = Vec::new();
    for tenant in store.tenants().await? {
        let found = store.tenant(&tenant).await?.of_month(month).await?;
        if let Some((first, last)) = found {
            let file = dir.join(tenant.as_str()).join(format!(
                "{:04}-{:02}-{first}-{last}.ndjson",
                month.year(),
                u8::from(month.month())
            ));
            let digest = write(&store, &config.deployment, &tenant, (first, last), &file).await?;
            let archived = Archived {
                tenant,
                first,
                last,
                file,
            };
            written.push((archived, digest));
        }
    }
    drop_month(config, month, &written).await?;
    Ok(written.into_iter().map(|(archived, _)| archived).collect())
}

/// Writes a bundle and verifies it; its SHA-256.
async fn write(
    store: &Store,
    deployment: &DeploymentId,
    tenant: &TenantId,
    (first, last): (u64, u64),
    file: &Path,
) -> Result<[u8; 32], ArchiveError> {
    let mut tx = store.tenant(tenant).await?;
    let size = tx
        .newest_checkpoint()
        .await?
        .map_or(0, |newest| newest.size);
    if last > size || first != tx.archived().await? + 1 {
        return Err(ArchiveError::NotReady(tenant.clone()));
    }
    let header = bundle_header(store, deployment, tenant, &mut tx, (first, last, size)).await?;
    let dir = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let partial = file.with_extension("partial");
    let mut output = BufWriter::new(std::fs::File::create(&partial)?);
    output.write_all(&header.line().map_err(std::io::Error::other)?)?;
    let mut after = first - 1;
    while after < last {
        let page = tx.entries(after, PAGE).await?;
        let before = after;
        for entry in page.into_iter().filter(|entry| entry.seq <= last) {
            output.write_all(&entry.body)?;
            output.write_all(b"\n")?;
            after = entry.seq;
        }
        if after == before {
            break;
        }
    }
    output
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)?
        .sync_all()?;
    let keys = header.keys.iter().map(|key| VerifierKey::parse(key, ""));
    let trust = Trust {
        keys: keys.filter_map(Result::ok).collect(),
        ..Trust::default()
    };
    let sound = verify(BufReader::new(std::fs::File::open(&partial)?), &trust)?;
    if let Err(finding) = sound {
        return Err(ArchiveError::NotSound {
            tenant: tenant.clone(),
            finding: finding.to_string(),
        });
    }
    let digest = digest(&partial)?;
    std::fs::rename(&partial, file)?;
    std::fs::File::open(dir)?.sync_all()?;
    Ok(digest)
}

fn digest(path: &Path) -> std::io::Result<[u8; 32]> {
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    let mut file = std::fs::File::open(path)?;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(digest.finalize().into());
        }
        digest.update(buffer.get(..read).unwrap_or_default());
    }
}

/// Notes the files and drops the month, in one transaction of the schema's owner.
async fn drop_month(
    config: &LedgerConfig,
    month: Date,
    written: &[(Archived, [u8; 32])],
) -> Result<(), ArchiveError> {
    let mut owner = PgConnection::connect(config.database_url.expose()).await?;
    let mut tx = owner.begin().await?;
    nothing_else(&mut tx, month, written).await?;
    for (archived, digest) in written {
        sqlx::query("select set_config('proctor.tenant', $1, true)")
            .bind(archived.tenant.as_str())
            .execute(&mut *tx)
            .await?;
        sqlx::query("insert into ledger.archives (tenant, month, first_seq, last_seq, file, sha256) values ($1, $2, $3, $4, $5, $6)")
            .bind(archived.tenant.as_str())
            .bind(month)
            .bind(crate::store::signed(archived.first))
            .bind(crate::store::signed(archived.last))
            .bind(archived.file.display().to_string())
            .bind(digest.as_slice())
            .execute(&mut *tx)
            .await?;
    }
    let part = format!("drop table if exists {}", partition(month));
    tx.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(part))).await?;
    tx.commit().await?;
    owner.close().await?;
    Ok(())
}

fn partition(month: Date) -> String {
    format!(
        "ledger.entries_{:04}_{:02}",
        month.year(),
        u8::from(month.month())
    )
}

/// Locks the month, and makes sure that the files have all that is in it: a transaction that began before its end may have
/// been committed since.
async fn nothing_else(
    tx: &mut PgConnection,
    month: Date,
    written: &[(Archived, [u8; 32])],
) -> Result<(), ArchiveError> {
    let part = partition(month);
    let is_there: bool = sqlx::query_scalar("select to_regclass($1) is not null")
        .bind(&part)
        .fetch_one(&mut *tx)
        .await?;
    if !is_there {
        return Ok(());
    }
    // The owner sees the rows of all tenants at once only where row-level security does not bind him; the month goes, or the
    // transaction does.
    // The whole table first, as all do who read it; who waits behind us is not to wait for long.
    let lock = format!(
        "set local lock_timeout = '3s'; lock table ledger.entries in access exclusive mode;
         alter table {part} no force row level security"
    );
    tx.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(lock))).await?;
    // From one tenant to the next along the primary key: nobody can append while this lasts.
    let ends = format!(
        "with recursive names as (
             (select tenant from {part} order by tenant limit 1)
             union all
             select (select p.tenant from {part} p where p.tenant > names.tenant order by p.tenant limit 1)
             from names where names.tenant is not null)
         select tenant, (select min(seq) from {part} p where p.tenant = names.tenant),
                (select max(seq) from {part} p where p.tenant = names.tenant)
         from names where tenant is not null"
    );
    let ends: Vec<(String, i64, i64)> = sqlx::query_as(sqlx::AssertSqlSafe(ends))
        .fetch_all(&mut *tx)
        .await?;
    let is_written = |(tenant, first, last): &(String, i64, i64)| {
        let file = |(archived, _): &&(Archived, [u8; 32])| archived.tenant.as_str() == tenant;
        written.iter().find(file).is_some_and(|(archived, _)| {
            crate::store::signed(archived.first) <= *first
                && *last <= crate::store::signed(archived.last)
        })
    };
    match ends.iter().all(is_written) {
        true => Ok(()),
        false => Err(ArchiveError::Grown),
    }
}

/// The header of a bundle of the entries `first` to `last` of a log of this size.
pub(crate) async fn bundle_header(
    store: &Store,
    deployment: &DeploymentId,
    tenant: &TenantId,
    tx: &mut TenantTx,
    (first, last, size): (u64, u64, u64),
) -> Result<Header, LedgerError> {
    let (left, right) = Header::around(first, last, size);
    let hashes = tx.nodes(left.iter().chain(&right).copied()).await?;
    let of = |nodes: &[crate::merkle::Node]| {
        let hashes: Option<Vec<_>> = nodes.iter().map(|node| hashes.get(node).copied()).collect();
        hashes
            .map(|hashes| hex_all(&hashes))
            .ok_or(LedgerError::Damaged)
    };
    let mut checkpoints = tx
        .checkpoints_between(first.saturating_sub(1).max(1), last, CHECKPOINTS_MAX)
        .await?;
    checkpoints.retain(|checkpoint| checkpoint.size != size);
    checkpoints.extend(tx.checkpoints_between(size, size, 1).await?);
    Ok(Header {
        bundle: FORMAT.into(),
        tenant: tenant.to_string(),
        first,
        last,
        size,
        left: of(&left)?,
        right: of(&right)?,
        checkpoints: checkpoints.into_iter().map(|stored| stored.note).collect(),
        keys: store.verifier_keys(deployment, tenant).await?,
    })
}
