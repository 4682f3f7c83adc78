//! What goes, and what is counted: rows past their time, recordings past theirs, tombstones, sums.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Row as _};

use super::row::{COLUMNS, from_db, readable};
use super::{Db, Error, Row, State, to_db};

/// An id that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    pub id: String,
    /// `deleted` (by its owner) or `expired` (by retention).
    pub reason: String,
}

impl Db {
    /// Unfinished rows (`created` ones left out) not touched since `before_ms`, in order of id, from after `after_id`.
    pub async fn list_unfinished(
        &self,
        before_ms: u64,
        after_id: &str,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let statement = format!(
            "SELECT {COLUMNS} FROM transcriptions WHERE state = 'queued' AND updated_at_ms <= $1 AND id > $2 \
             ORDER BY id LIMIT $3"
        );
        let query = sqlx::query(AssertSqlSafe(statement))
            .bind(to_db(before_ms))
            .bind(after_id);
        let found = query
            .bind(to_db(limit as u64))
            .fetch_all(&self.pool)
            .await?;
        Ok(readable(&found))
    }

    /// Rows whose time is over: finished ones past retention, and `created` ones that nobody started.
    pub async fn list_expired(&self, now_ms: u64, limit: usize) -> Result<Vec<Row>, Error> {
        let statement = format!(
            "SELECT {COLUMNS} FROM transcriptions WHERE expires_at_ms <= $1 AND state <> 'queued' \
             ORDER BY expires_at_ms LIMIT $2"
        );
        let query = sqlx::query(AssertSqlSafe(statement))
            .bind(to_db(now_ms))
            .bind(to_db(limit as u64));
        Ok(readable(&query.fetch_all(&self.pool).await?))
    }

    /// Succeeded rows that finished at or before `finished_before_ms` and still hold their recording.
    pub async fn list_stale_sources(
        &self,
        finished_before_ms: u64,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let statement = format!(
            "SELECT {COLUMNS} FROM transcriptions WHERE state = 'succeeded' AND source_stored = 1 \
             AND finished_at_ms <= $1 ORDER BY finished_at_ms LIMIT $2"
        );
        let query = sqlx::query(AssertSqlSafe(statement))
            .bind(to_db(finished_before_ms))
            .bind(to_db(limit as u64));
        Ok(readable(&query.fetch_all(&self.pool).await?))
    }

    /// The recording of this row has been deleted.
    pub async fn forget_source(&self, id: &str, now_ms: u64) -> Result<(), Error> {
        sqlx::query(
            "UPDATE transcriptions SET source_stored = 0, updated_at_ms = $2 WHERE id = $1",
        )
        .bind(id)
        .bind(to_db(now_ms))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Removes the row and leaves a tombstone whose objects are still to be deleted (`objects_deleted`). False: there is no
    /// such row any more, or it has moved on since it was read.
    pub async fn delete(&self, row: &Row, reason: &str, now_ms: u64) -> Result<bool, Error> {
        // An operator has to hear of the end of what it may still wait for. It may have ended a moment ago, by the cancel that comes
        // before this; what goes by its age ended long ago.
        let mut change = match reason {
            "expired" => self.begin_change(&[]).await?,
            _ => self.begin_change(&[&row.id]).await?,
        };
        let number = change.number();
        let transaction = &mut change.transaction;
        let origin = row.operated.as_ref().filter(|_| number > 0);
        let deleted =
            sqlx::query("DELETE FROM transcriptions WHERE id = $1 AND life = $2 AND state = $3")
                .bind(&row.id)
                .bind(to_db(row.life))
                .bind(row.state.as_str())
                .execute(&mut **transaction)
                .await?;
        if deleted.rows_affected() == 1 {
            sqlx::query(
                "INSERT INTO tombstones (id, seed_id, reason, deleted_at_ms, objects_left, origin, change_seq) \
                 VALUES ($1, $2, $3, $4, 1, $5, $6)",
            )
            .bind(&row.id)
            .bind(row.seed_id)
            .bind(reason)
            .bind(to_db(now_ms))
            .bind(origin.map(|operated| operated.origin.as_str()))
            .bind(number)
            .execute(&mut **transaction)
            .await?;
        }
        change.commit().await?;
        Ok(deleted.rows_affected() == 1)
    }

    pub async fn tombstone(&self, id: &str) -> Result<Option<Tombstone>, Error> {
        let found = sqlx::query("SELECT id, reason FROM tombstones WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = found else { return Ok(None) };
        Ok(Some(Tombstone {
            id: row.try_get("id")?,
            reason: row.try_get("reason")?,
        }))
    }

    /// Everything stored under this tombstone's id has been deleted.
    pub async fn objects_deleted(&self, id: &str) -> Result<(), Error> {
        sqlx::query("UPDATE tombstones SET objects_left = 0 WHERE id = $1")
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Ids of tombstones older than `before_ms` whose objects are still there.
    pub async fn list_leftovers(&self, before_ms: u64, limit: usize) -> Result<Vec<String>, Error> {
        let found = sqlx::query(
            "SELECT id FROM tombstones WHERE objects_left = 1 AND deleted_at_ms <= $1 ORDER BY deleted_at_ms LIMIT $2",
        )
        .bind(to_db(before_ms))
        .bind(to_db(limit as u64))
        .fetch_all(&self.pool)
        .await?;
        found.iter().map(|row| Ok(row.try_get("id")?)).collect()
    }

    /// The rows among these ids, each with its result as it is stored (JSON).
    pub async fn stored_results(
        &self,
        ids: &[&str],
    ) -> Result<BTreeMap<String, Option<String>>, Error> {
        let places: Vec<String> = (1..=ids.len()).map(|place| format!("${place}")).collect();
        let statement = format!(
            "SELECT id, result FROM transcriptions WHERE id IN ({})",
            places.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for id in ids {
            query = query.bind((*id).to_owned());
        }
        let found = query.fetch_all(&self.pool).await?;
        found
            .iter()
            .map(|row| Ok((row.try_get("id")?, row.try_get("result")?)))
            .collect()
    }

    /// Forgets idempotent answers that are older than `before_ms`. Returns how many.
    pub async fn delete_old_answers(&self, before_ms: u64) -> Result<u64, Error> {
        let deleted = sqlx::query("DELETE FROM idempotency WHERE started_at_ms <= $1")
            .bind(to_db(before_ms))
            .execute(&self.pool)
            .await?;
        Ok(deleted.rows_affected())
    }

    /// Rows per stored state, with the recordings' bytes (those still stored): `(state, rows, bytes)`.
    pub async fn sums(&self) -> Result<Vec<(State, u64, u64)>, Error> {
        let found = sqlx::query(
            "SELECT state, COUNT(*) AS row_count, CAST(SUM(CASE WHEN source_stored = 1 THEN bytes ELSE 0 END) AS BIGINT) \
             AS byte_count FROM transcriptions GROUP BY state",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut sums = Vec::new();
        for row in &found {
            if let Some(state) = State::parse(row.try_get("state")?) {
                sums.push((
                    state,
                    from_db(row.try_get("row_count")?),
                    from_db(row.try_get("byte_count")?),
                ));
            }
        }
        Ok(sums)
    }
}
