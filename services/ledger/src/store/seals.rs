//! Tiles, checkpoints and cosignatures in Postgres.

use super::{Head, Store, TenantTx, hash32, number, signed};
use crate::LedgerError;
use crate::checkpoint::{Checkpoint, VerifierKey, origin};
use crate::merkle::{Hash, Node, Plan};
use crate::tile::{Edge, Tile, TileId};
use proctor_model::config::PublicKey;
use proctor_model::{DeploymentId, TenantId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::types::time::OffsetDateTime;
use sqlx::{PgConnection, Row};
use std::collections::{HashMap, HashSet};

/// Most chains that one look finds.
const WAITING_MAX: i64 = 200;

/// A checkpoint as stored, cosignatures included.
#[derive(Clone, Debug)]
pub(crate) struct StoredCheckpoint {
    pub(crate) size: u64,
    pub(crate) root: Hash,
    pub(crate) time_s: u64,
    pub(crate) note: String,
}

const CHECKPOINT: &str = "select c.size, c.root, c.time, c.note || coalesce(
        (select string_agg(line, '' order by witness) from ledger.cosignatures o
         where o.tenant = c.tenant and o.size = c.size), '') as note
    from ledger.checkpoints c where c.tenant = $1";

fn checkpoint(row: &PgRow) -> Result<StoredCheckpoint, LedgerError> {
    let time: OffsetDateTime = row.try_get("time")?;
    Ok(StoredCheckpoint {
        size: number(row.try_get("size")?),
        root: *hash32(row.try_get("root")?)?.as_bytes(),
        time_s: number(time.unix_timestamp()),
        note: row.try_get("note")?,
    })
}

fn tile(row: &PgRow) -> Result<Tile, LedgerError> {
    let bytes: Vec<u8> = row.try_get("hashes")?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(LedgerError::Damaged);
    }
    let level: i16 = row.try_get("level")?;
    Ok(Tile {
        id: TileId {
            level: u8::try_from(level).map_err(|_| LedgerError::Damaged)?,
            index: number(row.try_get("idx")?),
        },
        hashes: hashes.to_vec(),
    })
}

impl Store {
    /// Tenants whose chains have so many entries without a seal, or any for so long, and that `holder` may write.
    pub(crate) async fn waiting(
        &self,
        holder: &str,
        events: u64,
        interval_s: f64,
    ) -> Result<Vec<TenantId>, LedgerError> {
        let mut tx = self.platform().await?;
        let rows = sqlx::query_scalar::<_, String>(
            "select tenant from ledger.heads
             where size > sealed and (size - sealed >= $2 or sealed_at <= clock_timestamp() - make_interval(secs => $3))
               and (holder = $1 or lease_until <= clock_timestamp())
             order by sealed_at limit $4",
        )
        .bind(holder)
        .bind(signed(events))
        .bind(interval_s)
        .bind(WAITING_MAX)
        .fetch_all(&mut *tx)
        .await?;
        rows.iter()
            .map(|tenant| tenant.parse().map_err(|_| LedgerError::Damaged))
            .collect()
    }

    /// The newest checkpoint of every tenant, the platform's own left out.
    pub(crate) async fn newest_checkpoints(
        &self,
    ) -> Result<Vec<(TenantId, u64, Hash)>, LedgerError> {
        let mut tx = self.platform().await?;
        let rows = sqlx::query(
            "select h.tenant, c.size, c.root from ledger.heads h
             join ledger.checkpoints c on c.tenant = h.tenant and c.size = h.sealed
             where h.tenant <> $1",
        )
        .bind(TenantId::platform().as_str())
        .fetch_all(&mut *tx)
        .await?;
        let read = |row: &PgRow| {
            let tenant: String = row.try_get("tenant")?;
            let root = hash32(row.try_get("root")?)?;
            Ok((
                tenant.parse().map_err(|_| LedgerError::Damaged)?,
                number(row.try_get("size")?),
                *root.as_bytes(),
            ))
        };
        rows.iter().map(read).collect()
    }

    /// Notes a key that checkpoints are signed with.
    pub(crate) async fn note_key(&self, key: &PublicKey, bytes: &[u8]) -> Result<(), LedgerError> {
        sqlx::query(
            "insert into ledger.log_keys (kid, public_key) values ($1, $2) on conflict do nothing",
        )
        .bind(key.kid.as_str())
        .bind(bytes)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Every key that ever signed, the first one first, as a tenant's log is signed with it.
    pub(crate) async fn verifier_keys(
        &self,
        deployment: &DeploymentId,
        tenant: &TenantId,
    ) -> Result<Vec<String>, LedgerError> {
        let name = origin(deployment.as_str(), tenant.as_str());
        let text = |key| {
            VerifierKey {
                name: name.clone(),
                key,
            }
            .text()
        };
        Ok(self.log_keys().await?.into_iter().map(text).collect())
    }

    async fn log_keys(&self) -> Result<Vec<[u8; 32]>, LedgerError> {
        let keys = sqlx::query_scalar::<_, Vec<u8>>(
            "select public_key from ledger.log_keys order by first_used, kid",
        )
        .fetch_all(&self.pool)
        .await?;
        keys.into_iter()
            .map(|key| Ok(*hash32(key)?.as_bytes()))
            .collect()
    }
}

impl Store {
    /// Every tenant that has a chain.
    pub(crate) async fn tenants(&self) -> Result<Vec<TenantId>, LedgerError> {
        let mut tx = self.platform().await?;
        let names =
            sqlx::query_scalar::<_, String>("select tenant from ledger.heads order by tenant")
                .fetch_all(&mut *tx)
                .await?;
        names
            .iter()
            .map(|tenant| tenant.parse().map_err(|_| LedgerError::Damaged))
            .collect()
    }
}

impl TenantTx {
    /// The right edge of the stored tiles of a tree of this size.
    pub(crate) async fn tile_edge(&mut self, size: u64) -> Result<Edge, LedgerError> {
        let (level, index): (Vec<i16>, Vec<i64>) = Edge::last_tiles(size)
            .map(|id| (i16::from(id.level), signed(id.index)))
            .unzip();
        let rows = sqlx::query(
            "select level, idx, hashes from ledger.tiles
             where tenant = $1 and (level, idx) in (select * from unnest($2::smallint[], $3::bigint[]))
             order by level",
        )
        .bind(self.tenant.as_str())
        .bind(level)
        .bind(index)
        .fetch_all(&mut *self.tx)
        .await?;
        let tiles = rows.iter().map(tile).collect::<Result<_, _>>()?;
        let edge = Edge::new(tiles).ok_or(LedgerError::Damaged)?;
        if edge.size() == size {
            Ok(edge)
        } else {
            Err(LedgerError::Damaged)
        }
    }

    pub(crate) async fn put_tiles(&mut self, tiles: Vec<Tile>) -> Result<(), LedgerError> {
        let level: Vec<i16> = tiles.iter().map(|tile| i16::from(tile.id.level)).collect();
        let index: Vec<i64> = tiles.iter().map(|tile| signed(tile.id.index)).collect();
        let hashes: Vec<Vec<u8>> = tiles.iter().map(|tile| tile.hashes.concat()).collect();
        sqlx::query(
            "insert into ledger.tiles (tenant, level, idx, hashes)
             select $1, * from unnest($2::smallint[], $3::bigint[], $4::bytea[])
             on conflict (tenant, level, idx) do update set hashes = excluded.hashes",
        )
        .bind(self.tenant.as_str())
        .bind(level)
        .bind(index)
        .bind(hashes)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// A stored tile; `None` if there is none yet.
    pub(crate) async fn tile(&mut self, id: TileId) -> Result<Option<Tile>, LedgerError> {
        let row = sqlx::query("select level, idx, hashes from ledger.tiles where tenant = $1 and level = $2 and idx = $3")
            .bind(self.tenant.as_str())
            .bind(i16::from(id.level))
            .bind(signed(id.index))
            .fetch_optional(&mut *self.tx)
            .await?;
        row.as_ref().map(tile).transpose()
    }

    /// Hashes of subtrees, from the tiles.
    pub(crate) async fn nodes(
        &mut self,
        nodes: impl Iterator<Item = Node>,
    ) -> Result<HashMap<Node, Hash>, LedgerError> {
        let nodes: Vec<Node> = nodes.collect();
        let wanted: HashSet<TileId> = nodes.iter().map(|node| TileId::of(*node)).collect();
        let mut tiles = HashMap::new();
        for id in wanted {
            let tile = self.tile(id).await?.ok_or(LedgerError::Damaged)?;
            tiles.insert(id, tile);
        }
        let hash = |node: Node| {
            let tile = tiles.get(&TileId::of(node))?;
            Some((node, tile.hash(node)?))
        };
        nodes
            .into_iter()
            .map(|node| hash(node).ok_or(LedgerError::Damaged))
            .collect()
    }

    /// A proof from the tiles.
    pub(crate) async fn proof(&mut self, plan: &Plan) -> Result<Vec<Hash>, LedgerError> {
        let hashes = self.nodes(plan.nodes()).await?;
        plan.proof(&hashes).ok_or(LedgerError::Damaged)
    }

    /// The newest checkpoint.
    pub(crate) async fn newest_checkpoint(
        &mut self,
    ) -> Result<Option<StoredCheckpoint>, LedgerError> {
        self.checkpoints(u64::MAX, 1)
            .await
            .map(|mut page| page.pop())
    }

    /// Checkpoints before `before`, the newest first.
    pub(crate) async fn checkpoints(
        &mut self,
        before: u64,
        limit: i64,
    ) -> Result<Vec<StoredCheckpoint>, LedgerError> {
        let query = format!("{CHECKPOINT} and c.size < $2 order by c.size desc limit $3");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(self.tenant.as_str())
            .bind(signed(before))
            .bind(limit)
            .fetch_all(&mut *self.tx)
            .await?;
        rows.iter().map(checkpoint).collect()
    }

    /// Checkpoints of these sizes, both inclusive, the oldest first; at most `limit`.
    pub(crate) async fn checkpoints_between(
        &mut self,
        from: u64,
        to: u64,
        limit: i64,
    ) -> Result<Vec<StoredCheckpoint>, LedgerError> {
        let query = format!("{CHECKPOINT} and c.size between $2 and $3 order by c.size limit $4");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(self.tenant.as_str())
            .bind(signed(from))
            .bind(signed(to))
            .bind(limit)
            .fetch_all(&mut *self.tx)
            .await?;
        rows.iter().map(checkpoint).collect()
    }

    /// Puts a checkpoint of `head`, and marks the head as sealed by compare-and-swap.
    pub(crate) async fn put_checkpoint(
        &mut self,
        head: &Head,
        checkpoint: &Checkpoint,
        time_s: u64,
        note: &str,
    ) -> Result<(), LedgerError> {
        let at = Timestamp::from_secs(signed(time_s));
        let at =
            OffsetDateTime::from_unix_timestamp(at.as_secs()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        sqlx::query("insert into ledger.checkpoints (tenant, size, root, time, note) values ($1, $2, $3, $4, $5)")
            .bind(self.tenant.as_str())
            .bind(signed(checkpoint.size))
            .bind(checkpoint.root.as_slice())
            .bind(at)
            .bind(note)
            .execute(&mut *self.tx)
            .await?;
        let moved = sqlx::query(
            "update ledger.heads set sealed = size, sealed_at = clock_timestamp(), frontier = $5
             where tenant = $1 and size = $2 and hash = $3 and epoch = $4",
        )
        .bind(self.tenant.as_str())
        .bind(signed(head.size))
        .bind(head.hash.as_bytes().as_slice())
        .bind(head.epoch)
        .bind(head.frontier.to_bytes())
        .execute(&mut *self.tx)
        .await?;
        if moved.rows_affected() == 1 {
            Ok(())
        } else {
            Err(LedgerError::HeadMoved)
        }
    }

    /// Up to which size each tenant's log is named in the platform's chain.
    pub(crate) async fn published(&mut self) -> Result<HashMap<String, u64>, LedgerError> {
        let rows = sqlx::query("select about, size from ledger.published_heads where tenant = $1")
            .bind(self.tenant.as_str())
            .fetch_all(&mut *self.tx)
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get("about")?, number(row.try_get("size")?))))
            .collect()
    }

    pub(crate) async fn set_published(
        &mut self,
        about: &TenantId,
        size: u64,
    ) -> Result<(), LedgerError> {
        sqlx::query(
            "insert into ledger.published_heads (tenant, about, size) values ($1, $2, $3)
             on conflict (tenant, about) do update set size = excluded.size",
        )
        .bind(self.tenant.as_str())
        .bind(about.as_str())
        .bind(signed(size))
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// The largest size that a witness has cosigned; 0: none.
    pub(crate) async fn cosigned(&mut self, witness: &str) -> Result<u64, LedgerError> {
        let size: Option<i64> = sqlx::query_scalar(
            "select max(size) from ledger.cosignatures where tenant = $1 and witness = $2",
        )
        .bind(self.tenant.as_str())
        .bind(witness)
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(size.map_or(0, number))
    }

    pub(crate) async fn put_cosignature(
        &mut self,
        size: u64,
        witness: &str,
        line: &str,
    ) -> Result<(), LedgerError> {
        sqlx::query(
            "insert into ledger.cosignatures (tenant, size, witness, line) values ($1, $2, $3, $4) on conflict do nothing",
        )
        .bind(self.tenant.as_str())
        .bind(signed(size))
        .bind(witness)
        .bind(line)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Where the archived beginning of the chain ends; 0: nothing is archived.
    pub(crate) async fn archived(&mut self) -> Result<u64, LedgerError> {
        let last: Option<i64> =
            sqlx::query_scalar("select max(last_seq) from ledger.archives where tenant = $1")
                .bind(self.tenant.as_str())
                .fetch_one(&mut *self.tx)
                .await?;
        Ok(last.map_or(0, number))
    }
}

/// Lets a transaction see all tenants' heads and checkpoints, for reading.
pub(super) async fn whole(connection: &mut PgConnection) -> Result<(), LedgerError> {
    sqlx::query("select set_config('proctor.scope', 'platform', true)")
        .execute(connection)
        .await?;
    Ok(())
}
