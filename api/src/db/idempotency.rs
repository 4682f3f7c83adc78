//! Which requests with an Idempotency-Key run, and which have been answered with what.

use sqlx::{Any, Row as _, Transaction};

use super::{Db, Error, to_db};

/// What is remembered of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remembered {
    /// Nobody has used it; it is ours now.
    Ours,
    /// The first request is still running.
    Running,
    Answered {
        request_sha256: String,
        transcription_id: String,
        answer: String,
    },
}

/// The answer to a request, stored together with its row.
#[derive(Debug, Clone)]
pub struct Answered {
    pub principal: String,
    pub key: String,
    pub request_sha256: String,
    pub transcription_id: String,
    pub answer: String,
}

impl Db {
    /// Takes the key, or says who has it. A running request that was not kept since `stale_before_ms` died with its server: its
    /// key is taken over; an answer older than `expired_before_ms` is forgotten.
    pub async fn take_key(
        &self,
        principal: &str,
        key: &str,
        now_ms: u64,
        stale_before_ms: u64,
        expired_before_ms: u64,
    ) -> Result<Remembered, Error> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "DELETE FROM idempotency WHERE principal = $1 AND idempotency_key = $2 \
             AND (started_at_ms <= $4 OR (answer IS NULL AND started_at_ms <= $3))",
        )
        .bind(principal)
        .bind(key)
        .bind(to_db(stale_before_ms))
        .bind(to_db(expired_before_ms))
        .execute(&mut *transaction)
        .await?;
        let inserted = sqlx::query(
            "INSERT INTO idempotency (principal, idempotency_key, started_at_ms) VALUES ($1, $2, $3) \
             ON CONFLICT (principal, idempotency_key) DO NOTHING",
        )
        .bind(principal)
        .bind(key)
        .bind(to_db(now_ms))
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() == 1 {
            transaction.commit().await?;
            return Ok(Remembered::Ours);
        }
        let found = sqlx::query(
            "SELECT request_sha256, transcription_id, answer FROM idempotency \
             WHERE principal = $1 AND idempotency_key = $2",
        )
        .bind(principal)
        .bind(key)
        .fetch_optional(&mut *transaction)
        .await?;
        transaction.commit().await?;
        let Some(row) = found else {
            return Ok(Remembered::Running);
        };
        let answer: Option<String> = row.try_get("answer")?;
        let request_sha256: Option<String> = row.try_get("request_sha256")?;
        let transcription_id: Option<String> = row.try_get("transcription_id")?;
        Ok(match (request_sha256, transcription_id, answer) {
            (Some(request_sha256), Some(transcription_id), Some(answer)) => Remembered::Answered {
                request_sha256,
                transcription_id,
                answer,
            },
            _ => Remembered::Running,
        })
    }

    /// The request still runs.
    pub async fn keep_key(&self, principal: &str, key: &str, now_ms: u64) -> Result<(), Error> {
        sqlx::query(
            "UPDATE idempotency SET started_at_ms = $3 \
             WHERE principal = $1 AND idempotency_key = $2 AND answer IS NULL",
        )
        .bind(principal)
        .bind(key)
        .bind(to_db(now_ms))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Gives a key back whose request came to nothing; an answered one stays.
    pub async fn release_key(&self, principal: &str, key: &str) -> Result<(), Error> {
        sqlx::query("DELETE FROM idempotency WHERE principal = $1 AND idempotency_key = $2 AND answer IS NULL")
            .bind(principal)
            .bind(key)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

impl Answered {
    pub(super) async fn store(
        &self,
        transaction: &mut Transaction<'static, Any>,
    ) -> Result<(), Error> {
        let stored = sqlx::query(
            "UPDATE idempotency SET request_sha256 = $3, transcription_id = $4, answer = $5 \
             WHERE principal = $1 AND idempotency_key = $2 AND answer IS NULL",
        )
        .bind(&self.principal)
        .bind(&self.key)
        .bind(&self.request_sha256)
        .bind(&self.transcription_id)
        .bind(&self.answer)
        .execute(&mut **transaction)
        .await?;
        // A server that hung may find its key taken over: then the other request's answer stands, and this one comes to nothing.
        match stored.rows_affected() {
            0 => Err(Error::KeyTakenOver),
            _ => Ok(()),
        }
    }
}
