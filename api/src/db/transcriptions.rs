//! Statements on single transcriptions. Every change is guarded by what it expects to find, so repeating one is harmless.

use sqlx::{AssertSqlSafe, Row as _};

use super::row::{COLUMNS, from_db, readable, to_json};
use super::{Answered, Applied, Db, Error, Finish, Page, Row, State, to_db};

impl Db {
    /// Inserts a new row and, with it, the answer to its Idempotency-Key: both are there or neither.
    pub async fn insert(&self, row: &Row, answered: Option<&Answered>) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        let statement = format!(
            "INSERT INTO transcriptions ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
             $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)"
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(&row.id)
            .bind(row.seed_id)
            .bind(row.state.as_str())
            .bind(to_db(row.life))
            .bind(to_db(row.outbox_number))
            .bind(to_db(row.created_at_ms))
            .bind(to_db(row.updated_at_ms))
            .bind(row.queued_at_ms.map(to_db))
            .bind(row.started_at_ms.map(to_db))
            .bind(row.finished_at_ms.map(to_db))
            .bind(row.expires_at_ms.map(to_db))
            .bind(&row.filename)
            .bind(&row.media_type)
            .bind(to_db(row.bytes))
            .bind(&row.sha256)
            .bind(to_db(row.sample_rate))
            .bind(to_db(row.channels))
            .bind(to_db(row.audio_ms))
            .bind(i64::from(row.duration_estimated))
            .bind(i64::from(row.source_stored))
            .bind(&row.model)
            .bind(to_json(&row.options))
            .bind(&row.queue)
            .bind(to_json(&row.labels))
            .bind(to_db(row.attempt))
            .bind(row.error.as_ref().map(to_json))
            .bind(row.result.as_ref().map(to_json))
            .execute(&mut *transaction)
            .await?;
        if let Some(answered) = answered {
            answered.store(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    pub async fn get(&self, id: &str) -> Result<Option<Row>, Error> {
        let statement = format!("SELECT {COLUMNS} FROM transcriptions WHERE id = $1");
        let found = sqlx::query(AssertSqlSafe(statement))
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        found.as_ref().map(Row::read).transpose()
    }

    pub async fn get_by_seed_id(&self, seed_id: i64) -> Result<Option<Row>, Error> {
        let statement = format!("SELECT {COLUMNS} FROM transcriptions WHERE seed_id = $1");
        let found = sqlx::query(AssertSqlSafe(statement))
            .bind(seed_id)
            .fetch_optional(&self.pool)
            .await?;
        found.as_ref().map(Row::read).transpose()
    }

    /// Newest first, from after `(created_at_ms, id)`; `state` as stored. A row that cannot be read is left out.
    pub async fn list(
        &self,
        after: Option<(u64, &str)>,
        state: Option<State>,
        limit: usize,
    ) -> Result<Page, Error> {
        let (created_at_ms, id) = after.unwrap_or((u64::MAX, ""));
        let filter = if state.is_some() {
            "state = $4 AND"
        } else {
            ""
        };
        let statement = format!(
            "SELECT {COLUMNS} FROM transcriptions WHERE {filter} (created_at_ms, id) < ($1, $2) \
             ORDER BY created_at_ms DESC, id DESC LIMIT $3"
        );
        let mut query = sqlx::query(AssertSqlSafe(statement))
            .bind(to_db(created_at_ms))
            .bind(id)
            .bind(to_db(limit as u64 + 1));
        if let Some(state) = state {
            query = query.bind(state.as_str());
        }
        let mut found = query.fetch_all(&self.pool).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let end = match found.last().filter(|_| more) {
            Some(last) => Some((from_db(last.try_get("created_at_ms")?), last.try_get("id")?)),
            None => None,
        };
        let rows = readable(&found);
        Ok(Page { rows, end })
    }

    /// `created` -> `queued` (the seed's second step). False: it was not `created` any more.
    pub async fn set_queued(&self, id: &str, now_ms: u64) -> Result<bool, Error> {
        let changed = sqlx::query(
            "UPDATE transcriptions SET state = 'queued', queued_at_ms = $2, updated_at_ms = $2, expires_at_ms = NULL \
             WHERE id = $1 AND state = 'created'",
        )
        .bind(id)
        .bind(to_db(now_ms))
        .execute(&self.pool)
        .await?;
        Ok(changed.rows_affected() == 1)
    }

    /// `queued` -> `created`: the queue refused what `set_queued` promised.
    pub async fn set_created(
        &self,
        id: &str,
        now_ms: u64,
        expires_at_ms: Option<u64>,
    ) -> Result<bool, Error> {
        let changed = sqlx::query(
            "UPDATE transcriptions SET state = 'created', queued_at_ms = NULL, updated_at_ms = $2, expires_at_ms = $3 \
             WHERE id = $1 AND state = 'queued'",
        )
        .bind(id)
        .bind(to_db(now_ms))
        .bind(expires_at_ms.map(to_db))
        .execute(&self.pool)
        .await?;
        Ok(changed.rows_affected() == 1)
    }

    /// Applies outbox entries in one transaction; each only to an unfinished row of its life and with a larger number.
    pub async fn finish(&self, entries: &[Finish]) -> Result<Vec<Applied>, Error> {
        let mut applied = Vec::with_capacity(entries.len());
        let mut transaction = self.begin().await?;
        for entry in entries {
            let audio_ms = entry
                .result
                .as_ref()
                .map(|result| to_db(result.audio_ms))
                .filter(|ms| *ms > 0);
            let changed = sqlx::query(
                "UPDATE transcriptions SET state = $4, outbox_number = $3, attempt = $5, error = $6, result = $7, \
                 audio_ms = COALESCE($8, audio_ms), \
                 duration_estimated = CASE WHEN $8 IS NULL THEN duration_estimated ELSE 0 END, \
                 started_at_ms = $9, finished_at_ms = $10, updated_at_ms = $10, expires_at_ms = $11 \
                 WHERE id = $1 AND life = $2 AND outbox_number < $3 AND state IN ('created', 'queued')",
            )
            .bind(&entry.id)
            .bind(to_db(entry.life))
            .bind(to_db(entry.number))
            .bind(entry.state.as_str())
            .bind(to_db(entry.attempt))
            .bind(entry.error.as_ref().map(to_json))
            .bind(entry.result.as_ref().map(to_json))
            .bind(audio_ms)
            .bind(entry.started_at_ms.map(to_db))
            .bind(to_db(entry.finished_at_ms))
            .bind(entry.expires_at_ms.map(to_db))
            .execute(&mut *transaction)
            .await?;
            if changed.rows_affected() == 1 {
                applied.push(Applied::Done);
                continue;
            }
            let row = sqlx::query("SELECT id FROM transcriptions WHERE id = $1")
                .bind(&entry.id)
                .fetch_optional(&mut *transaction)
                .await?;
            applied.push(if row.is_some() {
                Applied::Ignored
            } else {
                Applied::Unknown
            });
        }
        transaction.commit().await?;
        Ok(applied)
    }

    /// Ends a transcription that Redis does not know (never started, or forgotten): no outbox entry will come for it.
    pub async fn cancel_unqueued(
        &self,
        row: &Row,
        now_ms: u64,
        expires_at_ms: Option<u64>,
    ) -> Result<bool, Error> {
        let changed = sqlx::query(
            "UPDATE transcriptions SET state = 'cancelled', finished_at_ms = $3, updated_at_ms = $3, expires_at_ms = $4 \
             WHERE id = $1 AND life = $2 AND state IN ('created', 'queued')",
        )
        .bind(&row.id)
        .bind(to_db(row.life))
        .bind(to_db(now_ms))
        .bind(expires_at_ms.map(to_db))
        .execute(&self.pool)
        .await?;
        Ok(changed.rows_affected() == 1)
    }

    /// Retry: a failed or cancelled row starts its next life. `None`: it was not in that state and life any more.
    pub async fn raise_life(&self, id: &str, life: u64, now_ms: u64) -> Result<Option<Row>, Error> {
        let changed = sqlx::query(
            "UPDATE transcriptions SET state = 'queued', life = life + 1, attempt = 0, error = NULL, result = NULL, \
             queued_at_ms = $3, updated_at_ms = $3, started_at_ms = NULL, finished_at_ms = NULL, expires_at_ms = NULL \
             WHERE id = $1 AND life = $2 AND state IN ('failed', 'cancelled')",
        )
        .bind(id)
        .bind(to_db(life))
        .bind(to_db(now_ms))
        .execute(&self.pool)
        .await?;
        if changed.rows_affected() == 1 {
            self.get(id).await
        } else {
            Ok(None)
        }
    }

    /// Takes a retry back that the queue refused: the old outcome again, but the life stays raised, so that no entry of
    /// the old one can apply twice.
    pub async fn restore_outcome(&self, before: &Row, now_ms: u64) -> Result<bool, Error> {
        let changed = sqlx::query(
            "UPDATE transcriptions SET state = $3, attempt = $4, error = $5, queued_at_ms = $6, started_at_ms = $7, \
             finished_at_ms = $8, expires_at_ms = $9, updated_at_ms = $10 \
             WHERE id = $1 AND life = $2 AND state = 'queued'",
        )
        .bind(&before.id)
        .bind(to_db(before.life + 1))
        .bind(before.state.as_str())
        .bind(to_db(before.attempt))
        .bind(before.error.as_ref().map(to_json))
        .bind(before.queued_at_ms.map(to_db))
        .bind(before.started_at_ms.map(to_db))
        .bind(before.finished_at_ms.map(to_db))
        .bind(before.expires_at_ms.map(to_db))
        .bind(to_db(now_ms))
        .execute(&self.pool)
        .await?;
        Ok(changed.rows_affected() == 1)
    }

    /// Undoes an `insert` whose task the queue refused: row and idempotent answer go, and no tombstone stays.
    pub async fn withdraw(&self, id: &str) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        for statement in [
            "DELETE FROM transcriptions WHERE id = $1",
            "DELETE FROM idempotency WHERE transcription_id = $1",
        ] {
            sqlx::query(statement)
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}
