//! Who fetches which source: a row is taken for a while, the time is renewed while the bytes come, and whoever died leaves it
//! to the next. None of this is a change that anybody follows, but for its end.

use queue::TaskError;
use sqlx::{AssertSqlSafe, Row as _};

use super::row::{COLUMNS, from_db, readable, to_json};
use super::{Db, Error, Row, to_db};

/// A row whose source is ours to fetch until the time is over.
#[derive(Debug)]
pub struct Fetch {
    pub row: Row,
    /// Tries before this one that came to nothing.
    pub tries: u64,
    pub owner: String,
}

/// What a fetch found.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetched {
    pub filename: String,
    pub media_type: String,
    pub bytes: u64,
    pub sha256: String,
    pub sample_rate: u64,
    pub channels: u64,
    pub audio_ms: u64,
    pub duration_estimated: bool,
}

impl Db {
    /// Takes up to `limit` rows that are due, until `until_ms`.
    pub async fn take_fetches(
        &self,
        owner: &str,
        now_ms: u64,
        until_ms: u64,
        limit: usize,
    ) -> Result<Vec<Fetch>, Error> {
        let statement = format!(
            "SELECT {COLUMNS}, fetch_tries FROM transcriptions WHERE fetch_due_ms <= $1 AND state = 'created' \
             ORDER BY fetch_due_ms LIMIT $2"
        );
        let due = sqlx::query(AssertSqlSafe(statement))
            .bind(to_db(now_ms))
            .bind(to_db(limit as u64))
            .fetch_all(&self.pool)
            .await?;
        let mut taken = Vec::new();
        for found in due {
            let tries = from_db(found.try_get("fetch_tries")?);
            let id: String = found.try_get("id")?;
            let ours = sqlx::query(
                "UPDATE transcriptions SET fetch_owner = $2, fetch_due_ms = $4 \
                 WHERE id = $1 AND fetch_due_ms <= $3 AND state = 'created'",
            )
            .bind(&id)
            .bind(owner)
            .bind(to_db(now_ms))
            .bind(to_db(until_ms))
            .execute(&self.pool)
            .await?;
            if ours.rows_affected() == 1 {
                let rows = readable(std::slice::from_ref(&found));
                taken.extend(rows.into_iter().map(|row| Fetch {
                    row,
                    tries,
                    owner: owner.to_owned(),
                }));
            }
        }
        Ok(taken)
    }

    /// Goes on until `until_ms`. False: it is somebody else's by now, or over.
    pub async fn keep_fetch(&self, fetch: &Fetch, until_ms: u64) -> Result<bool, Error> {
        let kept = sqlx::query(
            "UPDATE transcriptions SET fetch_due_ms = $3 WHERE id = $1 AND fetch_owner = $2 AND state = 'created'",
        )
        .bind(&fetch.row.id)
        .bind(&fetch.owner)
        .bind(to_db(until_ms))
        .execute(&self.pool)
        .await?;
        Ok(kept.rows_affected() == 1)
    }

    /// Gives it up until `due_ms`; a try that was the source's fault is counted.
    pub async fn put_off_fetch(
        &self,
        fetch: &Fetch,
        due_ms: u64,
        counted: bool,
    ) -> Result<(), Error> {
        sqlx::query(
            "UPDATE transcriptions SET fetch_due_ms = $3, fetch_owner = NULL, fetch_tries = fetch_tries + $4 \
             WHERE id = $1 AND fetch_owner = $2 AND state = 'created'",
        )
        .bind(&fetch.row.id)
        .bind(&fetch.owner)
        .bind(to_db(due_ms))
        .bind(i64::from(counted))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// `created` -> `failed`: the source cannot be had. False: the fetch is not ours any more, and somebody else's may do better.
    pub async fn fail_fetch(
        &self,
        fetch: &Fetch,
        error: &TaskError,
        now_ms: u64,
        expires_at_ms: Option<u64>,
    ) -> Result<bool, Error> {
        let id = fetch.row.id.as_str();
        let mut change = self.begin_change(&[id]).await?;
        let number = change.number();
        let changed = sqlx::query(
            "UPDATE transcriptions SET state = 'failed', error = $3, finished_at_ms = $4, updated_at_ms = $4, change_seq = $6, \
             expires_at_ms = CASE WHEN ttl_ms IS NOT NULL AND $4 + ttl_ms > $5 THEN $4 + ttl_ms ELSE $5 END, \
             fetch_due_ms = NULL, fetch_owner = NULL \
             WHERE id = $1 AND fetch_owner = $2 AND state = 'created'",
        )
        .bind(id)
        .bind(&fetch.owner)
        .bind(to_json(error))
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

    /// `created` -> `queued`: the recording is stored. `None`: the fetch is not ours any more, and the recording is nobody's.
    pub async fn set_fetched(
        &self,
        fetch: &Fetch,
        found: &Fetched,
        now_ms: u64,
    ) -> Result<Option<Row>, Error> {
        let id = fetch.row.id.as_str();
        let mut change = self.begin_change(&[id]).await?;
        let number = change.number();
        let changed = sqlx::query(
            "UPDATE transcriptions SET state = 'queued', queued_at_ms = $3, updated_at_ms = $3, change_seq = $4, filename = $5, \
             media_type = $6, bytes = $7, sha256 = $8, sample_rate = $9, channels = $10, audio_ms = $11, \
             duration_estimated = $12, source_stored = 1, fetch_due_ms = NULL, fetch_owner = NULL \
             WHERE id = $1 AND fetch_owner = $2 AND state = 'created'",
        )
        .bind(id)
        .bind(&fetch.owner)
        .bind(to_db(now_ms))
        .bind(number)
        .bind(&found.filename)
        .bind(&found.media_type)
        .bind(to_db(found.bytes))
        .bind(&found.sha256)
        .bind(to_db(found.sample_rate))
        .bind(to_db(found.channels))
        .bind(to_db(found.audio_ms))
        .bind(i64::from(found.duration_estimated))
        .execute(&mut *change.transaction)
        .await?;
        if changed.rows_affected() == 0 {
            return Ok(None);
        }
        change.commit().await?;
        self.get(id).await
    }
}
