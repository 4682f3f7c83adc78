//! Statements on rows of operators: written once, suspended, ended without Redis, and past their deadlines.

use sqlx::{AssertSqlSafe, Row as _};

use queue::TaskError;

use super::row::{COLUMNS, PLACES, readable, to_json};
use super::{Db, Error, Row, State, to_db};

impl Db {
    /// Inserts a new row whose source is to be fetched from now on. False: the id is there already.
    pub async fn insert_asked(&self, row: &Row) -> Result<bool, Error> {
        let mut change = self.begin_new().await?;
        let statement = format!(
            "INSERT INTO transcriptions ({COLUMNS}, queue_limit_ms, run_limit_ms, fetch_due_ms) VALUES ({PLACES}, $35, $36, $37) \
             ON CONFLICT (id) DO NOTHING"
        );
        let number = change.number();
        let limit =
            |seconds: Option<u64>| seconds.map(|seconds| to_db(seconds.saturating_mul(1000)));
        let asked = row.operated.as_ref().map(|operated| &operated.asked);
        let inserted = row
            .bind_all(sqlx::query(AssertSqlSafe(statement)), number)
            .bind(limit(asked.and_then(|asked| asked.queue_limit_seconds)))
            .bind(limit(asked.and_then(|asked| asked.run_limit_seconds)))
            .bind(to_db(row.created_at_ms))
            .execute(&mut *change.transaction)
            .await?;
        if inserted.rows_affected() == 0 {
            // The number that was taken goes back with it.
            return Ok(false);
        }
        change.commit().await?;
        Ok(true)
    }

    /// Unfinished rows of operators, counted up to `most`.
    pub async fn count_unfinished_asked(&self, most: u64) -> Result<u64, Error> {
        let found = sqlx::query(
            "SELECT COUNT(*) AS row_count FROM (SELECT 1 FROM transcriptions \
             WHERE state IN ('created', 'queued') AND origin IS NOT NULL LIMIT $1) AS unfinished",
        )
        .bind(to_db(most))
        .fetch_one(&self.pool)
        .await?;
        Ok(super::row::from_db(found.try_get("row_count")?))
    }

    /// How long the result must be kept. A finished row that would go earlier stays longer.
    pub async fn set_ttl(&self, id: &str, ttl_ms: u64, now_ms: u64) -> Result<(), Error> {
        let mut change = self.begin_change(&[id]).await?;
        let number = change.number();
        sqlx::query(
            "UPDATE transcriptions SET ttl_ms = $2, change_seq = $3, updated_at_ms = $4, \
             expires_at_ms = CASE WHEN finished_at_ms IS NOT NULL AND expires_at_ms IS NOT NULL AND finished_at_ms + $2 > expires_at_ms \
             THEN finished_at_ms + $2 ELSE expires_at_ms END WHERE id = $1 AND origin IS NOT NULL",
        )
        .bind(id)
        .bind(to_db(ttl_ms))
        .bind(number)
        .bind(to_db(now_ms))
        .execute(&mut *change.transaction)
        .await?;
        change.commit().await
    }

    /// Suspends or resumes an unfinished row. A suspended one does not wait for a worker, so no deadline runs. False: nothing
    /// was changed.
    pub async fn set_suspended(
        &self,
        id: &str,
        suspended: bool,
        now_ms: u64,
    ) -> Result<bool, Error> {
        let mut change = self.begin_change(&[id]).await?;
        let number = change.number();
        let deadlines = match suspended {
            true => "queue_deadline_ms = NULL",
            false => {
                "queue_deadline_ms = CASE WHEN queue_limit_ms IS NULL THEN NULL ELSE queue_limit_ms + $4 END, \
                 run_deadline_ms = NULL"
            }
        };
        let statement = format!(
            "UPDATE transcriptions SET suspended = $2, change_seq = $3, updated_at_ms = $4, {deadlines} \
             WHERE id = $1 AND origin IS NOT NULL AND suspended <> $2 AND state IN ('created', 'queued')"
        );
        let changed = sqlx::query(AssertSqlSafe(statement))
            .bind(id)
            .bind(i64::from(suspended))
            .bind(number)
            .bind(to_db(now_ms))
            .execute(&mut *change.transaction)
            .await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        change.commit().await?;
        Ok(true)
    }

    /// Ends an unfinished row of which Redis knows nothing: no outbox entry will come for it.
    pub async fn end_unqueued(
        &self,
        row: &Row,
        state: State,
        error: Option<&TaskError>,
        now_ms: u64,
        expires_at_ms: Option<u64>,
    ) -> Result<bool, Error> {
        let mut change = self.begin_change(&[&row.id]).await?;
        let number = change.number();
        let changed = sqlx::query(
            "UPDATE transcriptions SET state = $3, error = $4, finished_at_ms = $5, updated_at_ms = $5, change_seq = $7, \
             expires_at_ms = CASE WHEN ttl_ms IS NOT NULL AND $5 + ttl_ms > $6 THEN $5 + ttl_ms ELSE $6 END, \
             fetch_due_ms = NULL, fetch_owner = NULL \
             WHERE id = $1 AND life = $2 AND state IN ('created', 'queued')",
        )
        .bind(&row.id)
        .bind(to_db(row.life))
        .bind(state.as_str())
        .bind(error.map(to_json))
        .bind(to_db(now_ms))
        .bind(expires_at_ms.map(to_db))
        .bind(number)
        .execute(&mut *change.transaction)
        .await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        change.commit().await?;
        Ok(true)
    }

    /// Rows that should have been started before `now_ms`, the longest past first.
    pub async fn list_past_queue_deadline(
        &self,
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let statement = format!(
            "SELECT {COLUMNS} FROM transcriptions WHERE queue_deadline_ms <= $1 AND state IN ('created', 'queued') \
             ORDER BY queue_deadline_ms LIMIT $2"
        );
        let found = sqlx::query(AssertSqlSafe(statement))
            .bind(to_db(now_ms))
            .bind(to_db(limit as u64))
            .fetch_all(&self.pool)
            .await?;
        Ok(readable(&found))
    }

    /// The row was started in time. Nobody reads this from the feed.
    pub async fn forget_queue_deadline(&self, id: &str) -> Result<(), Error> {
        sqlx::query("UPDATE transcriptions SET queue_deadline_ms = NULL WHERE id = $1")
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Queued rows with a limit for running that is passed, or of which nobody has seen yet that they run.
    pub async fn list_limited(
        &self,
        now_ms: u64,
        after_id: &str,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let statement = format!(
            "SELECT {COLUMNS} FROM transcriptions WHERE run_limit_ms IS NOT NULL AND state = 'queued' \
             AND (run_deadline_ms IS NULL OR run_deadline_ms <= $1) AND id > $2 ORDER BY id LIMIT $3"
        );
        let found = sqlx::query(AssertSqlSafe(statement))
            .bind(to_db(now_ms))
            .bind(after_id)
            .bind(to_db(limit as u64))
            .fetch_all(&self.pool)
            .await?;
        Ok(readable(&found))
    }

    /// It runs since `started_at_ms`, in this life.
    pub async fn set_run_deadline(&self, row: &Row, started_at_ms: u64) -> Result<(), Error> {
        sqlx::query(
            "UPDATE transcriptions SET run_deadline_ms = run_limit_ms + $3 \
             WHERE id = $1 AND life = $2 AND run_deadline_ms IS NULL AND state = 'queued'",
        )
        .bind(&row.id)
        .bind(to_db(row.life))
        .bind(to_db(started_at_ms))
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
