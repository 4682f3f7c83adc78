//! Statements on single transcriptions. Every change is guarded by what it expects to find, so repeating one is harmless.

use sqlx::{AssertSqlSafe, Row as _};

use super::row::{COLUMNS, PLACES, from_db, readable, to_json};
use super::{Answered, Applied, Db, Error, Finish, Page, Row, State, to_db};

impl Db {
    /// Inserts an uploaded row and, with it, the answer to its Idempotency-Key: both are there or neither.
    pub async fn insert(&self, row: &Row, answered: Option<&Answered>) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        let statement = format!("INSERT INTO transcriptions ({COLUMNS}) VALUES ({PLACES})");
        row.bind_all(sqlx::query(AssertSqlSafe(statement)), 0)
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

    /// `created` -> `queued` (the seed's second step). False: it was not `created` any more, or an operator's, whose source the
    /// service fetches and starts by itself.
    pub async fn set_queued(&self, id: &str, now_ms: u64) -> Result<bool, Error> {
        let changed = sqlx::query(
            "UPDATE transcriptions SET state = 'queued', queued_at_ms = $2, updated_at_ms = $2, expires_at_ms = NULL \
             WHERE id = $1 AND state = 'created' AND origin IS NULL",
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
             WHERE id = $1 AND state = 'queued' AND origin IS NULL",
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
        let ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        let mut change = self.begin_change(&ids).await?;
        for entry in entries {
            let number = change.number();
            let audio_ms = entry
                .result
                .as_ref()
                .map(|result| to_db(result.audio_ms))
                .filter(|ms| *ms > 0);
            let changed = sqlx::query(
                "UPDATE transcriptions SET state = $4, outbox_number = $3, attempt = $5, error = $6, result = $7, \
                 audio_ms = COALESCE($8, audio_ms), \
                 duration_estimated = CASE WHEN $8 IS NULL THEN duration_estimated ELSE 0 END, \
                 started_at_ms = $9, finished_at_ms = $10, updated_at_ms = $10, \
                 expires_at_ms = CASE WHEN ttl_ms IS NOT NULL AND $10 + ttl_ms > $11 THEN $10 + ttl_ms ELSE $11 END, \
                 change_seq = CASE WHEN origin IS NULL THEN 0 ELSE $12 END, fetch_due_ms = NULL, fetch_owner = NULL \
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
            .bind(number)
            .execute(&mut *change.transaction)
            .await?;
            if changed.rows_affected() == 1 {
                applied.push(Applied::Done);
                continue;
            }
            let row = sqlx::query("SELECT id FROM transcriptions WHERE id = $1")
                .bind(&entry.id)
                .fetch_optional(&mut *change.transaction)
                .await?;
            applied.push(if row.is_some() {
                Applied::Ignored
            } else {
                Applied::Unknown
            });
        }
        change.commit().await?;
        Ok(applied)
    }

    /// Retry: a failed or cancelled row starts its next life. `None`: it was not in that state and life any more.
    pub async fn raise_life(&self, id: &str, life: u64, now_ms: u64) -> Result<Option<Row>, Error> {
        let mut change = self.begin_change(&[id]).await?;
        let number = change.number();
        let changed = sqlx::query(
            "UPDATE transcriptions SET state = 'queued', life = life + 1, attempt = 0, error = NULL, result = NULL, \
             queued_at_ms = $3, updated_at_ms = $3, started_at_ms = NULL, finished_at_ms = NULL, expires_at_ms = NULL, \
             queue_deadline_ms = CASE WHEN queue_limit_ms IS NULL OR suspended = 1 THEN NULL ELSE queue_limit_ms + $3 END, \
             run_deadline_ms = NULL, change_seq = $4 \
             WHERE id = $1 AND life = $2 AND state IN ('failed', 'cancelled')",
        )
        .bind(id)
        .bind(to_db(life))
        .bind(to_db(now_ms))
        .bind(number)
        .execute(&mut *change.transaction)
        .await?;
        if changed.rows_affected() == 1 {
            change.commit().await?;
            self.get(id).await
        } else {
            Ok(None)
        }
    }

    /// Takes a retry back that the queue refused: the old outcome again, but the life stays raised, so that no entry of
    /// the old one can apply twice.
    pub async fn restore_outcome(&self, before: &Row, now_ms: u64) -> Result<bool, Error> {
        let mut change = self.begin_change(&[&before.id]).await?;
        let number = change.number();
        let changed = sqlx::query(
            "UPDATE transcriptions SET state = $3, attempt = $4, error = $5, queued_at_ms = $6, started_at_ms = $7, \
             finished_at_ms = $8, expires_at_ms = $9, updated_at_ms = $10, change_seq = $11 \
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
        .bind(number)
        .execute(&mut *change.transaction)
        .await?;
        change.commit().await?;
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
