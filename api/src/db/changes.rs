//! The feed of changes that operators read: a number per change, and the rows by it.
//!
//! A reader asks for everything above the last number that it saw, so no number may become visible after a higher one. All
//! numbers come from one row, which is raised before anything else in the transaction is locked: until the commit every other
//! transaction that changes such a row waits for it. First, because a transaction that held another row while it waited for the
//! counter could be waited for by the one that has it.

use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};

use super::row::{COLUMNS, from_db, readable};
use super::{Db, Error, Row, to_db};

/// A transaction that changes rows, with the numbers that it may give to those with an origin.
pub(super) struct Change {
    pub(super) transaction: Transaction<'static, Any>,
    next: Option<i64>,
}

impl Change {
    /// A number for one row; 0 where no row of this transaction has an origin.
    pub(super) fn number(&mut self) -> i64 {
        match &mut self.next {
            Some(next) => {
                *next += 1;
                *next
            }
            None => 0,
        }
    }

    pub(super) async fn commit(self) -> Result<(), Error> {
        self.transaction.commit().await?;
        Ok(())
    }
}

/// What is asked of the feed.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// `release/namespace`, or with a slash at its end the beginning of all that are meant.
    pub origin: &'a str,
    pub after: u64,
    pub limit: usize,
    /// Unfinished rows only.
    pub active: bool,
}

/// A part of the feed.
#[derive(Debug)]
pub struct Changes {
    /// By number, ascending.
    pub rows: Vec<Row>,
    /// Rows that were removed before they had finished: id, origin, number.
    pub removed: Vec<(String, String, u64)>,
    /// Where to go on.
    pub next: u64,
}

impl Db {
    /// Begins a change of these rows. Whether a row has an origin never changes, so it may be looked up before the lock.
    pub(super) async fn begin_change(&self, ids: &[&str]) -> Result<Change, Error> {
        let mut transaction = self.begin().await?;
        let mut with_origin = 0;
        for some in ids.chunks(500) {
            let places: Vec<String> = (1..=some.len()).map(|place| format!("${place}")).collect();
            let statement = format!(
                "SELECT COUNT(*) AS row_count FROM transcriptions WHERE origin IS NOT NULL AND id IN ({})",
                places.join(", ")
            );
            let mut query = sqlx::query(AssertSqlSafe(statement));
            for id in some {
                query = query.bind((*id).to_owned());
            }
            let found = query.fetch_one(&mut *transaction).await?;
            with_origin += found.try_get::<i64, _>("row_count")?;
        }
        let next = match with_origin {
            0 => None,
            // One for each id: an entry may come twice.
            _ => Some(raise(&mut transaction, ids.len()).await?),
        };
        Ok(Change { transaction, next })
    }

    /// As [`Db::begin_change`], for a row with an origin that is not there yet.
    pub(super) async fn begin_new(&self) -> Result<Change, Error> {
        let mut transaction = self.begin().await?;
        let next = Some(raise(&mut transaction, 1).await?);
        Ok(Change { transaction, next })
    }

    /// The highest number that was given.
    pub async fn last_change(&self) -> Result<u64, Error> {
        let found = sqlx::query("SELECT seq FROM change_counter WHERE id = 1")
            .fetch_one(&self.pool)
            .await?;
        Ok(from_db(found.try_get("seq")?))
    }

    /// What changed after a number, by number.
    pub async fn changes(&self, wanted: Wanted<'_>) -> Result<Changes, Error> {
        // Before the rows: a change in between is then seen again, not skipped.
        let head = self.last_change().await?;
        let mut changes = Changes {
            rows: Vec::new(),
            removed: Vec::new(),
            next: head.max(wanted.after),
        };
        if wanted.limit == 0 {
            return Ok(changes);
        }
        let (place, prefix) = match wanted.origin.ends_with('/') {
            true => (
                "substr(origin, 1, CAST($3 AS INTEGER))",
                wanted.origin.chars().count() as u64,
            ),
            false => ("origin", 0),
        };
        // The parameter has to be used in both forms.
        let origin = format!("origin IS NOT NULL AND $3 >= 0 AND {place} = $1");
        let active = match wanted.active {
            true => "AND state IN ('created', 'queued')",
            false => "",
        };
        let statement = format!(
            "SELECT {COLUMNS} FROM transcriptions WHERE {origin} AND change_seq > $2 {active} ORDER BY change_seq LIMIT $4"
        );
        let found = sqlx::query(AssertSqlSafe(statement))
            .bind(wanted.origin)
            .bind(to_db(wanted.after))
            .bind(to_db(prefix))
            .bind(to_db(wanted.limit as u64))
            .fetch_all(&self.pool)
            .await?;
        // What cannot be read must not stop the feed: its number counts all the same.
        let last = match found.last() {
            Some(last) => Some(from_db(last.try_get("change_seq")?)),
            None => None,
        };
        // Everything up to the last row was there when it was read; what is behind the head has come since.
        match last {
            Some(last) if found.len() == wanted.limit => changes.next = last,
            Some(last) => changes.next = changes.next.max(last),
            None => {}
        }
        changes.rows = readable(&found);
        if !wanted.active {
            changes.removed = self
                .removed(wanted, (&origin, prefix), changes.next)
                .await?;
        }
        Ok(changes)
    }

    async fn removed(
        &self,
        wanted: Wanted<'_>,
        (origin, prefix): (&str, u64),
        up_to: u64,
    ) -> Result<Vec<(String, String, u64)>, Error> {
        let statement = format!(
            "SELECT id, origin, change_seq FROM tombstones WHERE {origin} AND change_seq > $2 AND change_seq <= $4 \
             ORDER BY change_seq"
        );
        let found = sqlx::query(AssertSqlSafe(statement))
            .bind(wanted.origin)
            .bind(to_db(wanted.after))
            .bind(to_db(prefix))
            .bind(to_db(up_to))
            .fetch_all(&self.pool)
            .await?;
        found
            .iter()
            .map(|row| {
                Ok((
                    row.try_get("id")?,
                    row.try_get("origin")?,
                    from_db(row.try_get("change_seq")?),
                ))
            })
            .collect()
    }
}

/// Raises the counter by `count` and holds it; returns what it was before.
async fn raise(transaction: &mut Transaction<'static, Any>, count: usize) -> Result<i64, Error> {
    let count = to_db(count as u64);
    let raised = sqlx::query("UPDATE change_counter SET seq = seq + $1 WHERE id = 1 RETURNING seq")
        .bind(count)
        .fetch_one(&mut **transaction)
        .await?;
    Ok(raised.try_get::<i64, _>("seq")? - count)
}
